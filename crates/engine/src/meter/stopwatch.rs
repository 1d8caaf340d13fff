//! Measuring commands without paying for it.
//!
//! Reading the clock costs a tenth of a small command. So requests that follow each other in a batch and are the same
//! *quick* command (constant or logarithmic time) are a *run*, timed as one; each of its calls gets an equal share.
//! A client that does not pipeline has runs of one, which is exact. Other commands are timed each. When a run took as
//! long as a slow command may, and when hardly anything is quick enough not to be logged, the worker is *exact* for a
//! while: it times every command.

use super::Meter;
use crate::command::{Command, Table};
use crate::config::Observation;
use std::time::Instant;

/// A limit in microseconds below which every command is timed on its own.
const EXACT_BELOW_US: i64 = 1000;

/// Replies of fewer bytes each are never too many in one turn.
pub const WEIGHED_BYTES: usize = 128 * 1024;

/// What is looked for while a batch is executed.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// A command that takes longer, in nanoseconds, goes to the slow log.
    pub slow_ns: u64,
    /// A command that takes longer, in nanoseconds, is an event of the latency monitor.
    pub latency_ns: u64,
    /// A longer request, in bytes, is logged.
    pub request_bytes: usize,
    /// A longer reply, in bytes, is logged.
    pub reply_bytes: usize,
    /// After a longer reply it is asked how much waits to be sent; no more than `reply_bytes`.
    pub weighed_bytes: usize,
    /// Latencies are counted in histograms.
    pub track: bool,
    /// Every command is timed on its own.
    pub exact: bool,
    /// Somebody watches with MONITOR.
    pub monitored: bool,
}

impl Rules {
    /// The rules that follow from settings.
    pub fn new(settings: &Observation, exact: bool, monitored: bool) -> Rules {
        let scaled = |limit: i64| u64::try_from(limit).map_or(u64::MAX, |limit| limit.saturating_mul(1000));
        let size = |limit: i64| usize::try_from(limit).unwrap_or(usize::MAX);
        let latency_ns = match settings.latency_monitor_threshold {
            0 => u64::MAX,
            ms => ms.saturating_mul(1_000_000),
        };
        Rules {
            slow_ns: scaled(settings.slower_than_us),
            latency_ns,
            request_bytes: size(settings.request_larger_than),
            reply_bytes: size(settings.reply_larger_than),
            weighed_bytes: size(settings.reply_larger_than).min(WEIGHED_BYTES),
            track: settings.latency_tracking,
            exact: exact || (0..EXACT_BELOW_US).contains(&settings.slower_than_us),
            monitored,
        }
    }

    /// The least time that anybody wants to hear of.
    fn notable_ns(&self) -> u64 {
        self.slow_ns.min(self.latency_ns)
    }
}

/// A run that took as long as somebody wants to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Long {
    /// Nanoseconds.
    pub nanos: u64,
    /// How many calls: only of one is it known that it was slow.
    pub count: u64,
    /// Which request of the batch was its last.
    pub last: usize,
}

/// Times the commands of a batch.
pub struct Stopwatch<'a> {
    meter: &'a Meter,
    table: &'a Table,
    rules: Rules,
    started: Instant,
    run: Option<&'static Command>,
    /// The run's command is timed call by call.
    single: bool,
    count: u64,
    last: usize,
}

impl<'a> Stopwatch<'a> {
    /// Starts.
    pub fn start(meter: &'a Meter, table: &'a Table, rules: Rules) -> Stopwatch<'a> {
        Stopwatch {
            meter,
            table,
            rules,
            started: Instant::now(),
            run: None,
            single: false,
            count: 0,
            last: 0,
        }
    }

    /// A request for this command comes next.
    #[inline]
    pub fn before(&mut self, command: Option<&'static Command>) -> Option<Long> {
        let same = match (self.run, command) {
            (Some(run), Some(command)) => std::ptr::eq(run, command),
            (None, None) => true,
            _ => false,
        };
        if same && !self.single { None } else { self.turn_to(command) }
    }

    /// Request `at` of the batch is done; `ran` is what ran, subcommands told apart, if it was not refused or queued.
    #[inline]
    pub fn after(&mut self, ran: Option<&'static Command>, at: usize) -> Option<Long> {
        self.count += u64::from(ran.is_some());
        self.last = at;
        if self.single { self.finish(ran) } else { None }
    }

    /// The batch is done.
    pub fn stop(mut self) -> Option<Long> {
        self.finish(self.run)
    }

    fn turn_to(&mut self, command: Option<&'static Command>) -> Option<Long> {
        let long = self.finish(self.run);
        self.run = command;
        self.single = self.rules.exact || command.is_some_and(|row| !self.table.is_quick(row));
        long
    }

    fn finish(&mut self, ran: Option<&'static Command>) -> Option<Long> {
        let count = std::mem::take(&mut self.count);
        let command = ran.filter(|_| count > 0)?;
        let now = Instant::now();
        let nanos = now.duration_since(self.started).as_nanos() as u64;
        self.started = now;
        self.meter.record(self.table.number(command), count, nanos, self.rules.track);
        (nanos >= self.rules.notable_ns()).then_some(Long { nanos, count, last: self.last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::families;
    use crate::meter::total;

    fn rules(slower_than_us: i64) -> Rules {
        Rules::new(&Observation { slower_than_us, ..Observation::default() }, false, false)
    }

    #[test]
    fn quick_commands_run_together_and_others_alone() {
        let table = Table::new(families());
        let meter = Meter::new(&table);
        let row = |name: &[u8]| table.get(name);
        let mut watch = Stopwatch::start(&meter, &table, rules(10_000_000));
        for (at, name) in [&b"get"[..], b"get", b"set", b"keys", b"nosuch", b"get"].into_iter().enumerate() {
            assert_eq!(watch.before(row(name)), None);
            assert_eq!(watch.after(row(name), at), None);
        }
        assert_eq!(watch.stop(), None);
        let meters = [meter];
        let calls = |name: &[u8]| total(&meters, table.number(row(name).unwrap())).calls;
        assert_eq!((calls(b"get"), calls(b"set"), calls(b"keys")), (3, 1, 1));
    }

    #[test]
    fn what_everybody_wants_to_hear_of_is_exact() {
        let table = Table::new(families());
        let meter = Meter::new(&table);
        let get = table.get(b"get");
        let mut watch = Stopwatch::start(&meter, &table, rules(0));
        for at in 0..3 {
            assert_eq!(watch.before(get), None);
            let long = watch.after(get, at).unwrap();
            assert_eq!((long.count, long.last), (1, at));
        }
        assert!(rules(-1).notable_ns() == u64::MAX && !rules(-1).exact);
    }

    #[test]
    fn refused_requests_are_not_counted() {
        let table = Table::new(families());
        let meter = Meter::new(&table);
        let get = table.get(b"get");
        let mut watch = Stopwatch::start(&meter, &table, rules(10_000_000));
        watch.before(get);
        watch.after(None, 0);
        watch.stop();
        assert_eq!(total(&[meter], table.number(get.unwrap())).calls, 0);
    }
}
