//! How the log of `larder up` looks: the time, the sentence, then its facts. The level is named only when it is not
//! the ordinary one, so that a warning stands out.

use std::fmt::{self, Write};
use std::fs::OpenOptions;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::failure::{Code, Failure};
use crate::terminal::{Paint, clean};

/// Sends what the process logs to standard output or to the end of a file, as far as `filter` lets it through.
pub(crate) fn start(filter: &str, file: Option<&Path>) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Failure::new(Code::WrongUse, format!("--log {filter}: {error}")).hint("Such as --log debug")
    })?;
    // When nobody reads the log any more, there is nobody to tell so.
    let builder = tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false);
    let started = match file {
        None => {
            let (paint, dated) = (Paint::for_stdout(), !std::io::stdout().is_terminal());
            builder.event_format(Lines { paint, dated }).try_init()
        }
        Some(path) => {
            let opened = OpenOptions::new().append(true).create(true).open(path);
            let file =
                opened.map_err(|error| Failure::failed(format!("logfile {}: {error}", path.display())))?;
            let format = Lines { paint: Paint::plain(), dated: true };
            builder.event_format(format).with_writer(Mutex::new(file)).try_init()
        }
    };
    started.map_err(|error| Failure::failed(format!("cannot start the log: {error}")))
}

struct Lines {
    paint: Paint,
    /// Whether the day stands before the time: on a screen it is known.
    dated: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut facts = Facts::default();
        event.record(&mut facts);
        let now = SystemTime::now();
        let moment = if self.dated { format!("{} {}", day(now), clock(now)) } else { clock(now) };
        write!(out, "{} ", self.paint.dim(&moment))?;
        match *event.metadata().level() {
            Level::ERROR => write!(out, "{} ", self.paint.red("error:"))?,
            Level::WARN => write!(out, "{} ", self.paint.yellow("warning:"))?,
            Level::INFO => {}
            Level::DEBUG => write!(out, "{} ", self.paint.dim("debug:"))?,
            Level::TRACE => write!(out, "{} ", self.paint.dim("trace:"))?,
        }
        writeln!(out, "{}{}", clean(&facts.message), self.paint.dim(&clean(&facts.rest)))
    }
}

/// `14:02:11`, UTC.
fn clock(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()) % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// `2026-11-23`, UTC.
fn day(now: SystemTime) -> String {
    let mut days = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()) / 86_400;
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    format!("{year}-{:02}-{:02}", month + 1, days + 1)
}

/// The fields of an event: its sentence, and the rest as `name=value`.
#[derive(Default)]
struct Facts {
    message: String,
    rest: String,
}

impl Visit for Facts {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            // Writing into a String cannot fail.
            let _ = write!(self.rest, "  {}={value}", field.name());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else {
            let _ = write!(self.rest, "  {}={value:?}", field.name());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_clock_is_utc_and_wraps_at_midnight() {
        assert_eq!(clock(UNIX_EPOCH + Duration::from_secs(86_400 + 3661)), "01:01:01");
    }

    #[test]
    fn days_are_civil() {
        let at = |days: u64| day(UNIX_EPOCH + Duration::from_secs(days * 86_400));
        assert_eq!((at(0), at(58), at(59)), ("1970-01-01".into(), "1970-02-28".into(), "1970-03-01".into()));
        assert_eq!((at(11_016), at(20_780)), ("2000-02-29".into(), "2026-11-23".into()));
    }
}
