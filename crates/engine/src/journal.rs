//! The log of a node, in the format that tools around Redis wait for:
//! `4711:M 23 Nov 2026 17:06:32.123 * Ready to accept connections tcp`.

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

/// How much is logged; the order is that of `loglevel`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// Much that is seldom useful.
    Verbose,
    /// What an operator wants.
    #[default]
    Notice,
    /// Only what is important.
    Warning,
    /// Nothing.
    Nothing,
}

impl LogLevel {
    /// The names of `loglevel`.
    pub const NAMES: [(&'static str, LogLevel); 5] = [
        ("debug", LogLevel::Debug),
        ("verbose", LogLevel::Verbose),
        ("notice", LogLevel::Notice),
        ("warning", LogLevel::Warning),
        ("nothing", LogLevel::Nothing),
    ];

    fn of(level: Level) -> (LogLevel, char) {
        match level {
            Level::TRACE => (LogLevel::Debug, '.'),
            Level::DEBUG => (LogLevel::Verbose, '-'),
            Level::INFO => (LogLevel::Notice, '*'),
            _ => (LogLevel::Warning, '#'),
        }
    }
}

static LEVEL: AtomicU8 = AtomicU8::new(LogLevel::Notice as u8);

/// Changes how much is logged.
pub fn set_level(level: LogLevel) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// Logs to the end of a file, or to the standard output. A process has one log: where there is one already, it stays.
///
/// # Errors
/// The file cannot be opened.
pub fn start(level: LogLevel, file: Option<&Path>) -> io::Result<()> {
    set_level(level);
    let file = file.map(|path| OpenOptions::new().append(true).create(true).open(path)).transpose()?;
    // Whoever started another log before meant it.
    let _ = tracing::subscriber::set_global_default(Journal { file: file.map(Mutex::new) });
    Ok(())
}

struct Journal {
    file: Option<Mutex<File>>,
}

impl Journal {
    fn write(&self, line: &str) {
        // When nobody reads the log any more, there is nobody to tell so.
        let _ = match &self.file {
            Some(file) => file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes()),
            None => io::stdout().lock().write_all(line.as_bytes()).and_then(|()| io::stdout().flush()),
        };
    }
}

impl Subscriber for Journal {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        LogLevel::of(*metadata.level()).0 as u8 >= LEVEL.load(Ordering::Relaxed)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1) // spans are not logged
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut facts = Facts::default();
        event.record(&mut facts);
        let mark = LogLevel::of(*event.metadata().level()).1;
        let stamp = stamp(SystemTime::now());
        let text = facts.message + &facts.rest;
        let text = text.replace(|c: char| c.is_control(), " ");
        self.write(&format!("{}:M {stamp} {mark} {text}\n", std::process::id()));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The sentence of an event, and the rest as `name=value`.
#[derive(Default)]
struct Facts {
    message: String,
    rest: String,
}

impl Visit for Facts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing into a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.rest, " {name}={value:?}"),
        };
    }
}

/// `23 Nov 2026 17:06:32.123`, local time.
fn stamp(now: SystemTime) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs() as libc::time_t;
    // SAFETY: tm is plain data for which zero is a value; localtime_r writes to it and reads only its arguments.
    let time = unsafe {
        let mut time: libc::tm = std::mem::zeroed();
        libc::localtime_r(&raw const seconds, &raw mut time);
        time
    };
    let month = MONTHS.get(time.tm_mon as usize).copied().unwrap_or("???");
    format!(
        "{:02} {month} {} {:02}:{:02}:{:02}.{:03}",
        time.tm_mday,
        1900 + time.tm_year,
        time.tm_hour,
        time.tm_min,
        time.tm_sec,
        since.subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn stamps_look_like_those_of_redis() {
        let text = stamp(UNIX_EPOCH + Duration::from_millis(1_795_453_592_123));
        assert!(text.ends_with(".123") && text.contains(" Nov 2026 "), "{text}");
        assert_eq!(text.len(), "23 Nov 2026 17:06:32.123".len());
    }

    #[test]
    fn levels_are_in_order() {
        assert!(LogLevel::of(Level::ERROR).0 > LogLevel::of(Level::INFO).0);
        assert_eq!(LogLevel::of(Level::TRACE), (LogLevel::Debug, '.'));
    }
}
