//! What only the server knows of a miss, and only the reader of a hit: exchanged with servers that have words for it.
//!
//! Larder remembers why keys left (LARDER.WHY), and counts hits that were stale or negative (LARDER.OUTCOME). A cache with
//! [`reasons`](super::CacheBuilder::reasons) asks with each miss, which is one exchange more, and tells with a read now and
//! then. What is told is lost with the exchange that carries it, if that fails: counters are no ledger.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::{Pipeline, Value};

use super::Inner;
use crate::outcome::{Event, Miss};

/// How long outcomes are gathered before they are told.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Whether a cache exchanges reasons, and what it has not told yet.
pub(crate) struct Reasons {
    wanted: bool,
    began: Instant,
    told_ms: AtomicU64,
    stale: AtomicU64,
    negative: AtomicU64,
}

impl Reasons {
    pub(super) fn new(wanted: bool) -> Self {
        Self {
            wanted,
            began: Instant::now(),
            told_ms: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            negative: AtomicU64::new(0),
        }
    }

    /// Notes what became of a request.
    pub(super) fn note(&self, event: Event) {
        match event {
            _ if !self.wanted => {}
            Event::StaleRevalidating | Event::StaleSourceFailed => {
                self.stale.fetch_add(1, Ordering::Relaxed);
            }
            Event::NegativeHit => {
                self.negative.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    /// What is to be told now, if anything: stale and negative hits.
    fn due(&self) -> Option<(u64, u64)> {
        if !self.wanted || self.stale.load(Ordering::Relaxed) + self.negative.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let told_ms = self.told_ms.load(Ordering::Relaxed);
        let pause_ms = u64::try_from(TELL_EVERY.as_millis()).unwrap_or(u64::MAX);
        if now_ms.saturating_sub(told_ms) < pause_ms
            || self.told_ms.compare_exchange(told_ms, now_ms, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            return None;
        }
        Some((self.stale.swap(0, Ordering::Relaxed), self.negative.swap(0, Ordering::Relaxed)))
    }
}

impl<V: Send + Sync + 'static> Inner<V> {
    /// Adds to a pipeline what the server should hear, if it is one that listens.
    pub(super) async fn tell(&self, pipe: &mut Pipeline) {
        if self.reasons.wanted
            && self.server.tells_reasons().await
            && let Some((stale, negative)) = self.reasons.due()
        {
            let of = self.names.value("");
            pipe.cmd("LARDER.OUTCOME").arg(of).arg("STALE").arg(stale).arg("NEGATIVE").arg(negative).ignore();
        }
    }

    /// Why these keys are not there, as far as the server says. One exchange for all.
    pub(super) async fn why(&self, keys: &[&str]) -> Vec<Miss> {
        let unknown = || vec![Miss::Unknown; keys.len()];
        if keys.is_empty() || !self.reasons.wanted || !self.server.tells_reasons().await {
            return unknown();
        }
        let mut pipe = Pipeline::new();
        for key in keys {
            pipe.cmd("LARDER.WHY").arg(self.names.value(key));
        }
        match self.server.ask::<Vec<Value>>(&pipe).await {
            Ok(answers) if answers.len() == keys.len() => answers.iter().map(reason).collect(),
            _ => unknown(),
        }
    }
}

/// The reason in an answer of LARDER.WHY: pairs of names and values, `state` the first.
fn reason(answer: &Value) -> Miss {
    let state = match answer {
        Value::Array(pairs) => pairs.get(1),
        Value::Map(pairs) => pairs.first().map(|(_, state)| state),
        _ => None,
    };
    match state {
        Some(Value::BulkString(state)) => match state.as_slice() {
            b"evicted" => Miss::Evicted,
            b"expired" => Miss::Expired,
            b"deleted" => Miss::Deleted,
            b"flushed" => Miss::Flushed,
            b"unknown" => Miss::NeverStored,
            _ => Miss::Unknown, // it came in between
        },
        _ => Miss::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_reasons() {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        for (state, miss) in [
            ("evicted", Miss::Evicted),
            ("expired", Miss::Expired),
            ("deleted", Miss::Deleted),
            ("flushed", Miss::Flushed),
            ("unknown", Miss::NeverStored),
            ("present", Miss::Unknown),
        ] {
            assert_eq!(reason(&Value::Array(vec![bulk("state"), bulk(state), bulk("bytes")])), miss);
            assert_eq!(reason(&Value::Map(vec![(bulk("state"), bulk(state))])), miss);
        }
        assert_eq!(reason(&Value::Nil), Miss::Unknown);
    }

    #[test]
    fn outcomes_are_told_now_and_then_and_once() {
        let reasons =
            Reasons { began: Instant::now().checked_sub(TELL_EVERY * 3).unwrap(), ..Reasons::new(true) };
        assert_eq!(reasons.due(), None);
        reasons.note(Event::StaleRevalidating);
        reasons.note(Event::NegativeHit);
        reasons.note(Event::Hit);
        assert_eq!(reasons.due(), Some((1, 1)));
        reasons.note(Event::NegativeHit);
        assert_eq!(reasons.due(), None, "not yet again");
        let silent =
            Reasons { began: Instant::now().checked_sub(TELL_EVERY * 3).unwrap(), ..Reasons::new(false) };
        silent.note(Event::NegativeHit);
        assert_eq!(silent.due(), None);
    }
}
