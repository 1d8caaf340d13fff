//! What commands cost: calls, time, failures and latencies by command, errors by code.
//!
//! Each worker has a [`Meter`] of its own, which only it writes and anybody reads, so that no cache line travels
//! between cores for a command. How time is measured stands in [`stopwatch`].

pub mod histogram;
pub mod stopwatch;

use crate::command::{Command, Table};
use histogram::{Histogram, Summary};
use larder_store::Due;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Codes of errors that are told apart (INFO errorstats); what comes after them is counted together.
const ERROR_CODES_MAX: usize = 128;
/// Under which further codes are counted.
const OTHER_ERRORS: &str = "ERRORSTATS_OVERFLOW";

/// What a worker measured of a command.
#[derive(Default)]
struct Row {
    calls: AtomicU64,
    nanos: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
    histogram: OnceLock<Histogram>,
}

/// Adds to a counter that has one writer: no lock prefix, no waiting.
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}

/// Nanoseconds of a millisecond.
const NANOS_PER_MS: u64 = 1_000_000;

/// Milliseconds after their deadlines within which keys and fields were reclaimed: half of them, 99 %, and all.
pub fn expire_lag_ms(meters: &[Meter]) -> [u64; 3] {
    let mut summary = Summary::default();
    meters.iter().for_each(|meter| summary.add(&meter.expire_lag));
    [50.0, 99.0, 100.0].map(|percent| summary.percentile(percent).div_ceil(NANOS_PER_MS))
}

/// Milliseconds that keys, and hashes with dead fields, stayed after their deadlines, of all that were reclaimed.
pub fn late_ms(meters: &[Meter]) -> [u64; 2] {
    [0, 1].map(|what| meters.iter().map(|meter| meter.late_ms[what].load(Ordering::Relaxed)).sum())
}

/// How many of `living` and the dead among them are dead, percent, where what was reclaimed in a second had waited
/// `late_ms` milliseconds together: by Little's law (Operations Research 9(3), 1961) a thousandth of that is how many
/// were there at a time.
pub fn stale_percent(late_ms: u64, living: usize) -> f64 {
    let dead = late_ms as f64 / 1000.0;
    if living == 0 { 0.0 } else { (100.0 * dead / living as f64).min(100.0) }
}

/// What a worker measured. Its numbers are those of [`Table::number`].
pub struct Meter {
    rows: Box<[Row]>,
    /// How long after its deadline what was dead was reclaimed.
    expire_lag: Histogram,
    /// Milliseconds after deadlines: of keys, and of hashes with fields that have them.
    late_ms: [AtomicU64; 2],
    errors: Mutex<BTreeMap<Box<str>, u64>>,
}

impl Meter {
    /// A meter for the commands of a table.
    pub fn new(table: &Table) -> Meter {
        Meter {
            rows: (0..table.count()).map(|_| Row::default()).collect(),
            expire_lag: Histogram::default(),
            late_ms: Default::default(),
            errors: Mutex::default(),
        }
    }

    /// Counts a key, or fields of a hash, that were reclaimed so many milliseconds after their deadline.
    pub fn reclaimed(&self, due: Due, late_ms: u64) {
        add(&self.late_ms[usize::from(due == Due::Fields)], late_ms);
        self.expire_lag.record(late_ms.saturating_mul(NANOS_PER_MS), 1);
    }

    /// Counts `count` calls of a command that took `nanos` together.
    pub fn record(&self, number: usize, count: u64, nanos: u64, track: bool) {
        let row = &self.rows[number];
        add(&row.calls, count);
        add(&row.nanos, nanos);
        if track && count > 0 {
            row.histogram.get_or_init(Histogram::default).record(nanos / count, count);
        }
    }

    /// Counts a command that was refused before it ran; `text` is the error without its `-`.
    pub fn rejected(&self, number: Option<usize>, text: &str) {
        if let Some(number) = number {
            add(&self.rows[number].rejected, 1);
        }
        self.error(text);
    }

    /// Counts a command that ran and failed.
    pub fn failed(&self, number: usize, text: &str) {
        self.failed_call(number);
        self.error(text);
    }

    /// Counts a call that failed, whose error is counted.
    pub fn failed_call(&self, number: usize) {
        add(&self.rows[number].failed, 1);
    }

    /// Counts an error by its code, the first word. Any thread may call it.
    pub fn error(&self, text: &str) {
        let code = text.split(' ').next().unwrap_or("ERR");
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let code =
            if errors.len() < ERROR_CODES_MAX || errors.contains_key(code) { code } else { OTHER_ERRORS };
        *errors.entry(code.into()).or_default() += 1;
    }

    /// Starts counting anew (CONFIG RESETSTAT). What the owner writes at the same instant may survive.
    pub fn reset(&self) {
        for row in &self.rows {
            for counter in [&row.calls, &row.nanos, &row.rejected, &row.failed] {
                counter.store(0, Ordering::Relaxed);
            }
            if let Some(histogram) = row.histogram.get() {
                histogram.reset();
            }
        }
        self.expire_lag.reset();
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// What all workers measured of a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Times it ran.
    pub calls: u64,
    /// Nanoseconds that it took in all.
    pub nanos: u64,
    /// Times it was refused before it ran.
    pub rejected: u64,
    /// Times it ran and failed.
    pub failed: u64,
}

/// The sum over all workers for one command.
pub fn total(meters: &[Meter], number: usize) -> Total {
    let mut sum = Total::default();
    for row in meters.iter().map(|meter| &meter.rows[number]) {
        sum.calls += row.calls.load(Ordering::Relaxed);
        sum.nanos += row.nanos.load(Ordering::Relaxed);
        sum.rejected += row.rejected.load(Ordering::Relaxed);
        sum.failed += row.failed.load(Ordering::Relaxed);
    }
    sum
}

/// The latencies of one command over all workers.
pub fn latencies(meters: &[Meter], number: usize) -> Summary {
    let mut summary = Summary::default();
    meters.iter().filter_map(|meter| meter.rows[number].histogram.get()).for_each(|row| summary.add(row));
    summary
}

/// Errors by code, over all workers.
pub fn errors(meters: &[Meter]) -> BTreeMap<Box<str>, u64> {
    let mut sum: BTreeMap<Box<str>, u64> = BTreeMap::new();
    for meter in meters {
        for (code, count) in &*meter.errors.lock().unwrap_or_else(PoisonError::into_inner) {
            *sum.entry(code.clone()).or_default() += count;
        }
    }
    sum
}

/// True for commands that cannot take long, of which a run is timed as one.
pub fn is_quick(command: &Command) -> bool {
    command.subcommands.is_empty()
        && (command.is(crate::command::table::flag::FAST) || command.complexity.starts_with("O(1)"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::families;

    #[test]
    fn sums_over_workers() {
        let table = Table::new(families());
        let meters = [Meter::new(&table), Meter::new(&table)];
        let number = table.number(table.get(b"get").unwrap());
        meters[0].record(number, 2, 3000, true);
        meters[1].record(number, 1, 500, false);
        meters[1].failed(number, "WRONGTYPE no");
        meters[0].rejected(Some(number), "ERR wrong number");
        meters[0].rejected(None, "ERR unknown command");
        let expected = Total { calls: 3, nanos: 3500, rejected: 1, failed: 1 };
        assert_eq!(total(&meters, number), expected);
        assert_eq!(latencies(&meters, number).total(), 2);
        let errors: Vec<_> =
            errors(&meters).into_iter().map(|(code, count)| format!("{code}={count}")).collect();
        assert_eq!(errors, ["ERR=2", "WRONGTYPE=1"]);
        meters.iter().for_each(Meter::reset);
        assert_eq!(total(&meters, number), Total::default());
    }

    #[test]
    fn how_many_are_dead_follows_from_how_long_they_waited() {
        let meters = [0, 1].map(|_| Meter::new(&Table::new(families())));
        meters[0].reclaimed(Due::Key, 40);
        meters[1].reclaimed(Due::Key, 60);
        meters[1].reclaimed(Due::Fields, 7);
        assert_eq!(late_ms(&meters), [100, 7]);
        // 2000 a second that waited 50 ms each: 100 at a time.
        assert!((stale_percent(2000 * 50, 1000) - 10.0).abs() < 1e-9);
        assert_eq!((stale_percent(0, 1000), stale_percent(5, 0)), (0.0, 0.0));
        assert!((stale_percent(u64::MAX, 1) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn codes_of_errors_are_bounded() {
        let meter = Meter::new(&Table::new(families()));
        for code in 0..1000 {
            meter.rejected(None, &format!("E{code} x"));
        }
        let errors = errors(&[meter]);
        assert_eq!(
            (errors.len(), errors[OTHER_ERRORS]),
            (ERROR_CODES_MAX + 1, 1000 - ERROR_CODES_MAX as u64)
        );
    }

    #[test]
    fn the_common_ones_are_quick() {
        let table = Table::new(families());
        for name in ["get", "set", "incr", "hset", "lpush", "zadd"] {
            assert!(is_quick(table.get(name.as_bytes()).unwrap()), "{name}");
        }
        for name in ["keys", "lrange", "config", "exec", "sinter"] {
            assert!(!is_quick(table.get(name.as_bytes()).unwrap()), "{name}");
        }
    }
}
