//! How long a value is good for, and what it is still good for afterwards. Pure: randomness and the time are arguments.

use std::time::Duration;

/// The times of an entry's life.
///
/// ```text
/// stored ──── fresh ────┬── stale while revalidating ──┬── stale if the source fails ──► gone
///        (early refresh)│  served at once, reloaded     │  served only if loading fails
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Ttl {
    /// How long a value is fresh.
    pub fresh: Duration,
    /// By which share of `fresh` (0 to 1) lives are shortened at random, so that what was stored together does not
    /// expire together.
    pub jitter: f64,
    /// How long the absence of a value is believed; `None` does not remember absences.
    pub negative: Option<Duration>,
    /// How long after `fresh` a value is served while one request loads a new one in the background.
    pub stale_while_revalidate: Duration,
    /// How long after `fresh` a value is served when the source fails.
    pub stale_if_error: Duration,
    /// How eagerly a value is refreshed before its time, by XFetch; 0 never, 1 is the paper's optimum for loads of
    /// exponentially distributed cost, more is earlier.
    pub early_refresh: f64,
}

impl Ttl {
    /// Fresh for `fresh` with a tenth of jitter; absences are not remembered; nothing stale; no early refresh.
    #[must_use]
    pub fn new(fresh: Duration) -> Self {
        Self {
            fresh,
            jitter: 0.1,
            negative: None,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            early_refresh: 0.0,
        }
    }

    /// The length of one entry's fresh life; `random` is uniform in 0..1.
    pub(crate) fn fresh_ms(&self, negative: bool, random: f64) -> u64 {
        let whole = if negative { self.negative.unwrap_or_default() } else { self.fresh };
        let share = 1.0 - self.jitter.clamp(0.0, 1.0) * random;
        ((millis(whole) as f64 * share) as u64).max(1)
    }

    /// How long the server keeps an entry that is fresh for `fresh_ms`.
    pub(crate) fn kept_ms(&self, negative: bool, fresh_ms: u64) -> u64 {
        let stale = self.stale_while_revalidate.max(self.stale_if_error);
        if negative { fresh_ms } else { fresh_ms + millis(stale) }
    }

    /// How an entry that was fresh until `until` stands at `now`.
    pub(crate) fn age(&self, until: u64, now: u64) -> Age {
        let over = now.saturating_sub(until);
        if over == 0 {
            Age::Fresh
        } else if over <= millis(self.stale_while_revalidate) {
            Age::Revalidate
        } else if over <= millis(self.stale_if_error) {
            Age::OnlyOnError
        } else {
            Age::Over
        }
    }

    /// Whether this reader should refresh a fresh entry now: XFetch, from A. Vattani, F. Chierichetti and K. Lowenstein,
    /// "Optimal Probabilistic Cache Stampede Prevention", VLDB 8(8), 2015. Each reader draws a moment ahead of now,
    /// exponentially distributed in proportion to what loading costs, and refreshes if that moment is past the end. So
    /// the first to do so is, on average, early by one load, however many readers there are.
    pub(crate) fn refresh_early(&self, until: u64, cost_ms: u32, now: u64, random: f64) -> bool {
        if self.early_refresh <= 0.0 {
            return false;
        }
        let ahead = f64::from(cost_ms.max(1)) * self.early_refresh * -random.max(f64::MIN_POSITIVE).ln();
        now as f64 + ahead >= until as f64
    }
}

/// What an entry is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    Fresh,
    Revalidate,
    OnlyOnError,
    Over,
}

/// Milliseconds, bounded so that sums of a few never overflow.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).min(u64::MAX / 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(ttl: u64, revalidate: u64, error: u64) -> Ttl {
        Ttl {
            stale_while_revalidate: Duration::from_secs(revalidate),
            stale_if_error: Duration::from_secs(error),
            ..Ttl::new(Duration::from_secs(ttl))
        }
    }

    #[test]
    fn the_ages_of_an_entry() {
        let ttl = seconds(10, 5, 60);
        assert_eq!(ttl.age(10_000, 10_000), Age::Fresh);
        assert_eq!(ttl.age(10_000, 10_001), Age::Revalidate);
        assert_eq!(ttl.age(10_000, 15_001), Age::OnlyOnError);
        assert_eq!(ttl.age(10_000, 70_001), Age::Over);
        assert_eq!(ttl.kept_ms(false, 10_000), 70_000);
        assert_eq!(ttl.kept_ms(true, 10_000), 10_000, "an absence is never served stale");
    }

    #[test]
    fn jitter_shortens_and_never_lengthens() {
        let ttl = seconds(100, 0, 0);
        assert_eq!(ttl.fresh_ms(false, 0.0), 100_000);
        assert_eq!(ttl.fresh_ms(false, 1.0), 90_000);
        assert_eq!(Ttl { jitter: 7.0, ..ttl }.fresh_ms(false, 1.0), 1, "an entry lives at least a moment");
    }

    #[test]
    fn early_refresh_follows_the_law_of_the_paper() {
        let ttl = Ttl { early_refresh: 1.0, ..seconds(100, 0, 0) };
        assert!(!Ttl::new(Duration::from_secs(1)).refresh_early(10, 1000, 10, 0.0), "0 is never");
        assert!(ttl.refresh_early(1000, 10, 1000, 1.0), "at the end everybody refreshes");
        // A share exp(-left / cost) of the readers refreshes: at one cost before the end, 36.8 %.
        let share =
            (0..10_000).filter(|i| ttl.refresh_early(10_000, 500, 9_500, (f64::from(*i) + 0.5) / 1e4));
        assert!((3_670..=3_690).contains(&share.count()));
    }

    #[test]
    fn absurd_times_do_not_overflow() {
        let ttl = Ttl { negative: Some(Duration::MAX), ..seconds(u64::MAX, u64::MAX, u64::MAX) };
        let fresh = ttl.fresh_ms(false, 0.0);
        assert!(ttl.kept_ms(false, fresh) > fresh);
        assert_eq!(ttl.age(u64::MAX, 0), Age::Fresh);
    }
}
