//! `larder rdb`: what is in a file of a snapshot, and whether it is sound. Works on files of Redis and Valkey too.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use larder_engine::snapshot::inspect::{Key, Report, inspect};
use serde::Serialize;
use serde_json::{Value, json};

use crate::arguments::{Output, Rdb, RdbAction};
use crate::failure::Failure;
use crate::terminal::{Paint, Table, clean, print, print_json};

/// Output is printed in pieces of about this size.
const PRINT_BYTES: usize = 64 * 1024;
/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

pub(crate) fn rdb(arguments: &Rdb) -> Result<(), Failure> {
    match &arguments.action {
        RdbAction::Check { file } => check(file, arguments.format.output),
        RdbAction::Show { file } => show(file, arguments.format.output),
    }
}

/// Tells on standard error how far a long file was read, if somebody sits there.
struct Progress {
    next: Instant,
    shown: bool,
    wanted: bool,
}

impl Progress {
    fn new() -> Progress {
        let wanted = std::io::stderr().is_terminal();
        Progress { next: Instant::now() + PROGRESS_EVERY, shown: false, wanted }
    }

    fn tell(&mut self, done: u64, size: u64) {
        if self.wanted && done < size && Instant::now() >= self.next {
            self.next = Instant::now() + PROGRESS_EVERY;
            self.shown = true;
            let percent = done * 100 / size.max(1);
            let _ = write!(std::io::stderr(), "\rreading: {percent} % of {size} bytes"); // only for people
        }
    }

    fn end(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K"); // only for people
        }
    }
}

/// Reads the file and tells what is wrong, with what was found before.
fn read(file: &Path, key: &mut dyn FnMut(&Key<'_>)) -> (Report, Result<(), Failure>) {
    let (mut report, mut progress) = (Report::default(), Progress::new());
    let result = inspect(file, &mut report, key, &mut |done, size| progress.tell(done, size));
    progress.end();
    (report, result.map_err(|error| Failure::failed(format!("{}: {error}", file.display()))))
}

#[derive(Serialize)]
struct Checked<'a> {
    file: &'a Path,
    sound: bool,
    error: Option<String>,
    version: u16,
    bytes: u64,
    checksum: &'static str,
    functions: u64,
    bytes_after_the_end: u64,
    aux: serde_json::Map<String, Value>,
    databases: Vec<Value>,
}

fn check(file: &Path, output: Output) -> Result<(), Failure> {
    let (report, result) = read(file, &mut |_| {});
    let checksum = match (&result, report.checked) {
        (Ok(()), true) => "right",
        (Ok(()), false) => "none",
        (Err(_), _) => "unknown",
    };
    if output == Output::Json {
        print_json(&Checked {
            file,
            sound: result.is_ok(),
            error: result.as_ref().err().map(ToString::to_string),
            version: report.version,
            bytes: report.size,
            checksum,
            functions: report.functions,
            bytes_after_the_end: report.rest,
            aux: report.aux.iter().map(|(name, value)| (name.clone(), json!(value))).collect(),
            databases: report
                .databases
                .iter()
                .map(|(db, found)| {
                    json!({"db": db, "keys": found.keys(), "expires": found.volatile, "bytes": found.bytes,
                           "types": found.kinds})
                })
                .collect(),
        });
        return result;
    }
    let mut table = Table::new(&["DB", "KEYS", "EXPIRES", "BYTES", "TYPES"]);
    for (db, found) in &report.databases {
        let kinds: Vec<String> = found.kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let numbers = [db, &found.keys(), &found.volatile, &found.bytes].map(u64::to_string);
        table.row(&[&numbers[0], &numbers[1], &numbers[2], &numbers[3], &kinds.join(", ")]);
    }
    for (name, value) in &report.aux {
        print(&format!("{}: {}\n", clean(name), clean(value)));
    }
    print(&table.render(Paint::for_stdout()));
    if report.functions > 0 {
        print(&format!("{} libraries of functions\n", report.functions));
    }
    if report.rest > 0 {
        print(&format!("{} bytes behind the end\n", report.rest));
    }
    result?;
    let (size, version) = (report.size, report.version);
    print(&format!("sound: {size} bytes, RDB version {version}, checksum {checksum}\n"));
    Ok(())
}

fn show(file: &Path, output: Output) -> Result<(), Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as u64);
    let mut text = match output {
        Output::Json => "[".to_owned(),
        Output::Table => line(["DB", "TYPE", "MEMBERS", "BYTES", "SECONDS LEFT", "KEY"]),
    };
    let mut first = true;
    let (_, result) = read(file, &mut |key| {
        let name = String::from_utf8_lossy(key.key);
        match output {
            Output::Json => {
                let row = json!({"db": key.db, "key": name, "type": key.kind, "members": key.members,
                                 "bytes": key.bytes, "expires_at_ms": key.deadline});
                text.push_str(if std::mem::take(&mut first) { "\n  " } else { ",\n  " });
                text.push_str(&row.to_string());
            }
            Output::Table => {
                let left = |deadline: u64| ((deadline as i64).saturating_sub(now as i64) / 1000).to_string();
                let left = key.deadline.map_or("-".to_owned(), left);
                let numbers = [key.db.to_string(), key.members.to_string(), key.bytes.to_string()];
                text.push_str(&line([&numbers[0], key.kind, &numbers[1], &numbers[2], &left, &clean(&name)]));
            }
        }
        if text.len() >= PRINT_BYTES {
            print(&std::mem::take(&mut text));
        }
    });
    if output == Output::Json {
        text.push_str("\n]\n");
    }
    print(&text);
    result
}

/// A row of columns of fixed width: there may be more rows than fit into memory.
fn line([db, kind, members, bytes, left, key]: [&str; 6]) -> String {
    format!("{db:<4} {kind:<7} {members:>9} {bytes:>11} {left:>13}  {key}\n")
}
