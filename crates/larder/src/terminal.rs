//! Printing for people: standard output that may close early, colour where it is welcome, tables.

use std::io::{IsTerminal, Write};

/// Writes to standard output. A reader that went away (`larder caches | head -1`) is no error: nothing is left to do.
pub(crate) fn print(text: &str) {
    print_bytes(text.as_bytes());
}

/// The same for a process that goes on when nobody reads any more.
pub(crate) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// The same as [`print`] for bytes that are not text.
pub(crate) fn print_bytes(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Writes `value` as indented JSON and a line end.
pub(crate) fn print_json(value: &impl serde::Serialize) {
    let text =
        serde_json::to_string_pretty(value).unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}"));
    print(&format!("{text}\n"));
}

/// Whether colour is welcome on standard output.
pub(crate) fn colour_wanted() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal()
        && !set("NO_COLOR")
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Colours, or nothing where they are not welcome.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    pub(crate) fn for_stdout() -> Self {
        Self { on: colour_wanted() }
    }

    /// No colour.
    pub(crate) fn plain() -> Self {
        Self { on: false }
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    pub(crate) fn cyan(self, text: &str) -> String {
        self.wrap("36", text)
    }

    /// A status word: green when all is well, red when it needs somebody, yellow on the way.
    pub(crate) fn status(self, status: &str) -> String {
        let code = match status {
            "available" | "in-sync" => "32",
            "create-failed" | "incompatible-network" | "restore-failed" => "31",
            _ => "33",
        };
        self.wrap(code, status)
    }
}

/// Text from outside, fit for a terminal: control characters are replaced.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A table with a heading and left-aligned columns.
#[derive(Debug)]
pub(crate) struct Table {
    heading: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    /// The column that holds a status word, if any.
    status: Option<usize>,
}

impl Table {
    pub(crate) fn new(heading: &[&'static str]) -> Self {
        let status = heading.iter().position(|name| *name == "STATUS");
        Self { heading: heading.to_vec(), rows: Vec::new(), status }
    }

    pub(crate) fn row(&mut self, cells: &[&str]) {
        self.rows.push(cells.iter().map(|cell| clean(cell)).collect());
    }

    /// The table as lines; columns are two spaces apart and lines do not end in spaces.
    pub(crate) fn render(&self, paint: Paint) -> String {
        let widths = self.widths();
        let mut text = String::new();
        let heading: Vec<String> = self.heading.iter().map(|name| (*name).to_owned()).collect();
        text.push_str(&line(&heading, &widths, |_, cell| paint.dim(cell)));
        for row in &self.rows {
            let is_status = |column| self.status == Some(column);
            text.push_str(&line(row, &widths, |column, cell| match column {
                0 => paint.bold(cell),
                _ if is_status(column) => paint.status(cell),
                _ => cell.to_owned(),
            }));
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let cell_width =
            |row: &Vec<String>, column: usize| row.get(column).map_or(0, |cell| cell.chars().count());
        let width = |column: usize| self.rows.iter().map(|row| cell_width(row, column)).max().unwrap_or(0);
        self.heading.iter().enumerate().map(|(column, name)| width(column).max(name.len())).collect()
    }
}

fn line(cells: &[String], widths: &[usize], paint: impl Fn(usize, &str) -> String) -> String {
    let mut text = String::new();
    for (column, cell) in cells.iter().enumerate() {
        text.push_str(&paint(column, cell));
        if column + 1 < cells.len() {
            let gap = widths[column].saturating_sub(cell.chars().count()) + 2;
            text.extend(std::iter::repeat_n(' ', gap));
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["NAME", "STATUS", "NODES"]);
        table.row(&["sessions", "available", "1"]);
        table.row(&["p", "creating", "3"]);
        let expected = "NAME      STATUS     NODES\nsessions  available  1\np         creating   3\n";
        assert_eq!(table.render(Paint::plain()), expected);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(clean("a\x1b[31mb"), "a\u{fffd}[31mb");
    }

    #[test]
    fn colour_marks_a_status() {
        let paint = Paint { on: true };
        assert_eq!(paint.status("available"), "\x1b[32mavailable\x1b[0m");
        assert_eq!(Paint::plain().status("available"), "available");
    }
}
