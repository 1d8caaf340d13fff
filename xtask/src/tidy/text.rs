//! Rules for every text file: line ends, trailing space, marks of unfinished work, paths of somebody's machine.

use super::{File, Finding};

/// Marks that must not be merged. Written in two pieces, so that this file does not accuse itself.
const MARKS: [&str; 3] = [concat!("FIX", "ME"), concat!("XX", "X"), concat!("db", "g!(")];

/// Folders that exist on one person's machine only.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];

pub(super) fn check(file: File<'_>, findings: &mut Vec<Finding>) {
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        findings.push(Finding::new(file, file.text.lines().count(), "the last line has no line end"));
    }
    let generated = file.path.ends_with(".lock") || file.path.ends_with(".snap");
    for (index, line) in file.text.split('\n').enumerate() {
        let mut found = |message: String| findings.push(Finding::new(file, index + 1, message));
        if line.ends_with('\r') {
            found("line ends with a carriage return".into());
        } else if line.ends_with([' ', '\t']) && !generated {
            found("trailing space".into());
        }
        if generated {
            continue;
        }
        for mark in MARKS {
            if is_word_in(line, mark) {
                found(format!("`{mark}` must not be merged"));
            }
        }
        for path in MACHINE_PATHS {
            if begins_a_path(line, path) {
                found(format!("a path of somebody's machine: {path}"));
            }
        }
    }
}

/// Whether `mark` stands in `line` as a word of its own, not inside a longer one (`0xXXXX` is no mark).
fn is_word_in(line: &str, mark: &str) -> bool {
    line.match_indices(mark).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + mark.len()..].chars().next();
        let is_part = |side: Option<char>| side.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !is_part(before) && (mark.ends_with('(') || !is_part(after))
    })
}

/// Whether an absolute path beginning with `folder` stands in `line`; `a/home/b` and `https://x/home/` are none.
fn begins_a_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '}' | '~' | '*'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        check(File { path: "docs/a.md", text }, &mut findings);
        findings.into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn line_ends() {
        assert_eq!(messages("a\r\n"), ["line ends with a carriage return"]);
        assert_eq!(messages("a \nb\n"), ["trailing space"]);
        assert_eq!(messages("a"), ["the last line has no line end"]);
        assert!(messages("").is_empty());
    }

    #[test]
    fn marks_count_as_whole_words_only() {
        assert_eq!(messages(&format!("// {} later\n", MARKS[0])).len(), 1);
        assert_eq!(messages(&format!("{}x)\n", MARKS[2])).len(), 1);
        assert!(messages(&format!("mask 0x{}F\n", MARKS[1])).is_empty());
    }

    #[test]
    fn machine_paths() {
        assert_eq!(messages(&format!("see `{}ann/x`\n", MACHINE_PATHS[1])).len(), 1);
        assert!(messages(&format!("https://example.org{}x\n", MACHINE_PATHS[1])).is_empty());
    }
}
