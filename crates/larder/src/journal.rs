//! How the log of `larder up` looks: the time, the sentence, then its facts. The level is named only when it is not
//! the ordinary one, so that a warning stands out.

use std::fmt::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::failure::{Code, Failure};
use crate::terminal::{Paint, clean};

/// Sends what the process logs to standard output, as far as `filter` lets it through.
pub(crate) fn start(filter: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Failure::new(Code::WrongUse, format!("--log {filter}: {error}")).hint("Such as --log debug")
    })?;
    let format = Lines { paint: Paint::for_stdout() };
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).event_format(format);
    subscriber.try_init().map_err(|error| Failure::failed(format!("cannot start the log: {error}")))
}

struct Lines {
    paint: Paint,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut facts = Facts::default();
        event.record(&mut facts);
        write!(out, "{} ", self.paint.dim(&clock(SystemTime::now())))?;
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
}
