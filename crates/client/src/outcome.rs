//! What a request to a cache came to: the vocabulary of this crate, of its counters and of its spans.

use std::time::Duration;

/// What was asked for, and how it was come by.
#[derive(Clone, Debug, PartialEq)]
pub struct Fetched<V> {
    /// The value; `None` when the source has none (or, for a request that does not load, on a miss).
    pub value: Option<V>,
    /// Where it came from.
    pub outcome: Outcome,
}

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// From the cache, and fresh.
    Hit {
        /// How long ago it was stored.
        age: Duration,
    },
    /// From the cache, past its time to live.
    StaleHit {
        /// How long ago it was stored.
        age: Duration,
        /// Why it was good enough.
        why: Stale,
    },
    /// The cache knows that the source has no such value.
    NegativeHit {
        /// How long ago the source said so.
        age: Duration,
    },
    /// Not in the cache, and the request does not load.
    Miss(Miss),
    /// From the source.
    Load {
        /// Why the cache did not have it.
        after: Miss,
        /// Who asked the source.
        by: Load,
    },
}

/// Why a value past its time was handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// A new one is being loaded meanwhile (stale-while-revalidate).
    Revalidating,
    /// The source failed (stale-if-error).
    SourceFailed,
}

/// Why the cache did not have a value.
///
/// Whether an absent key was never stored, expired, was evicted, deleted or flushed is known to the server alone. Larder says
/// so to a cache with [`reasons`](crate::CacheBuilder::reasons); otherwise all of it is `Unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Miss {
    /// The key is not there; the server does not say why.
    Unknown,
    /// It was never stored, or left so long ago that the server has forgotten it.
    NeverStored,
    /// It is there, and too old even to be served stale; or its time to live at the server was over.
    Expired,
    /// It had to make room.
    Evicted,
    /// Somebody removed it: an invalidation, mostly.
    Deleted,
    /// Its database was emptied.
    Flushed,
    /// It is there, and one of its tags or prefixes was invalidated since.
    Invalidated,
    /// It is there, and is not an entry, or not one that the codec reads.
    Unreadable,
    /// The cache could not be asked.
    Unreachable,
    /// This process owes the key an invalidation that the cache did not take yet.
    Owed,
}

/// Who asked the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// This request.
    Own,
    /// Another request of this process, which this one waited for.
    Joined,
    /// Another process, which this one waited for.
    Awaited,
}

impl Outcome {
    /// Whether the source was spared.
    #[must_use]
    pub fn is_hit(&self) -> bool {
        matches!(self, Self::Hit { .. } | Self::StaleHit { .. } | Self::NegativeHit { .. })
    }

    pub(crate) fn event(&self) -> Event {
        match self {
            Self::Hit { .. } => Event::Hit,
            Self::StaleHit { why: Stale::Revalidating, .. } => Event::StaleRevalidating,
            Self::StaleHit { why: Stale::SourceFailed, .. } => Event::StaleSourceFailed,
            Self::NegativeHit { .. } => Event::NegativeHit,
            Self::Miss(miss) | Self::Load { after: miss, .. } => miss.event(),
        }
    }
}

impl Miss {
    fn event(self) -> Event {
        match self {
            Self::Unknown => Event::MissUnknown,
            Self::NeverStored => Event::MissNeverStored,
            Self::Expired => Event::MissExpired,
            Self::Evicted => Event::MissEvicted,
            Self::Deleted => Event::MissDeleted,
            Self::Flushed => Event::MissFlushed,
            Self::Invalidated => Event::MissInvalidated,
            Self::Unreadable => Event::MissUnreadable,
            Self::Unreachable => Event::MissUnreachable,
            Self::Owed => Event::MissOwed,
        }
    }
}

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident => $metric:literal $label:literal $value:literal,)*) => {
        /// Everything that is counted. A request is exactly one of the first group (hit, stale hit, negative hit, miss by
        /// reason, error); the other groups count what happened beside.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Event { $($(#[$doc])* $name,)* }

        impl Event {
            /// All of them, in order.
            pub const ALL: &'static [Event] = &[$(Event::$name,)*];

            /// The name of the metric, its label beside `cache`, and the label's value.
            #[must_use]
            pub fn metric(self) -> (&'static str, &'static str, &'static str) {
                match self { $(Event::$name => ($metric, $label, $value),)* }
            }
        }
    };
}

events! {
    /// A fresh value.
    Hit => "larder_cache_requests_total" "outcome" "hit",
    /// A stale value while a new one is loaded.
    StaleRevalidating => "larder_cache_requests_total" "outcome" "stale_revalidating",
    /// A stale value because the source failed.
    StaleSourceFailed => "larder_cache_requests_total" "outcome" "stale_source_failed",
    /// A known absence.
    NegativeHit => "larder_cache_requests_total" "outcome" "negative_hit",
    /// A miss whose reason the server does not tell.
    MissUnknown => "larder_cache_requests_total" "outcome" "miss_unknown",
    /// A miss: never stored.
    MissNeverStored => "larder_cache_requests_total" "outcome" "miss_never_stored",
    /// A miss: evicted.
    MissEvicted => "larder_cache_requests_total" "outcome" "miss_evicted",
    /// A miss: deleted.
    MissDeleted => "larder_cache_requests_total" "outcome" "miss_deleted",
    /// A miss: flushed.
    MissFlushed => "larder_cache_requests_total" "outcome" "miss_flushed",
    /// A miss: too old.
    MissExpired => "larder_cache_requests_total" "outcome" "miss_expired",
    /// A miss: a tag or prefix was invalidated.
    MissInvalidated => "larder_cache_requests_total" "outcome" "miss_invalidated",
    /// A miss: bytes that are no entry.
    MissUnreadable => "larder_cache_requests_total" "outcome" "miss_unreadable",
    /// A miss: the cache could not be asked.
    MissUnreachable => "larder_cache_requests_total" "outcome" "miss_unreachable",
    /// A miss: an invalidation is still owed.
    MissOwed => "larder_cache_requests_total" "outcome" "miss_owed",
    /// A request that ended in an error.
    Failed => "larder_cache_requests_total" "outcome" "error",
    /// The source was asked and had the value.
    Loaded => "larder_cache_loads_total" "result" "found",
    /// The source was asked and has no such value.
    LoadedNothing => "larder_cache_loads_total" "result" "absent",
    /// The source failed.
    LoadFailed => "larder_cache_loads_total" "result" "error",
    /// A request waited for another one's load in this process.
    Joined => "larder_cache_loads_total" "result" "joined",
    /// A request waited for another process's load.
    Awaited => "larder_cache_loads_total" "result" "awaited",
    /// A value was refreshed before its time, or while stale, in the background.
    Refreshed => "larder_cache_loads_total" "result" "refresh",
    /// A loaded value was stored.
    Stored => "larder_cache_stores_total" "result" "stored",
    /// A loaded value was not stored: a writer came between, or the lease was over.
    StoreVoided => "larder_cache_stores_total" "result" "voided",
    /// A loaded value was not stored: the cache failed, or the value is too large.
    StoreFailed => "larder_cache_stores_total" "result" "failed",
    /// A write went to the source and the cache follows it.
    Written => "larder_cache_writes_total" "result" "written",
    /// A write went to the source; the cache could not be told yet.
    WriteOwed => "larder_cache_writes_total" "result" "owed",
    /// The source refused a write.
    WriteFailed => "larder_cache_writes_total" "result" "error",
    /// Keys, tags or prefixes were invalidated.
    Invalidated => "larder_cache_writes_total" "result" "invalidated",
    /// An owed invalidation was given up: more are owed than may be remembered.
    OwedDropped => "larder_cache_writes_total" "result" "owed_dropped",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_a_name_of_its_own() {
        let mut names: Vec<_> = Event::ALL.iter().map(|event| event.metric()).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
