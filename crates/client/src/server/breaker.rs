//! A circuit breaker as a pure state machine: the time is an argument.
//!
//! Closed: everything passes; `failures` in a row open it. Open: nothing passes for `rest`. Then half-open: one probe at
//! a time passes; its success closes the circuit, its failure opens it again.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// When a cache that fails is left alone, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Failures in a row that open the circuit.
    pub failures: u32,
    /// How long nothing is asked of the cache then, before a probe.
    pub rest: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self { failures: 5, rest: Duration::from_secs(1) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// A probe is under way.
    HalfOpen,
}

pub(crate) struct Breaker {
    policy: BreakerPolicy,
    state: Mutex<State>,
}

/// Leave to ask the cache once. Dropped without a verdict (a request that was cancelled) it says nothing about the
/// cache; a probe's place becomes free again.
pub(crate) struct Pass<'a> {
    breaker: &'a Breaker,
    probe: bool,
    told: bool,
}

impl Breaker {
    pub(crate) fn new(policy: BreakerPolicy) -> Self {
        Self { policy, state: Mutex::new(State::Closed { failures: 0 }) }
    }

    /// `None` while the circuit is open, or while another probe is under way.
    pub(crate) fn admit(&self, now: Instant) -> Option<Pass<'_>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match *state {
            State::Closed { .. } => Some(Pass { breaker: self, probe: false, told: false }),
            State::Open { until } if now >= until => {
                *state = State::HalfOpen;
                Some(Pass { breaker: self, probe: true, told: false })
            }
            State::Open { .. } | State::HalfOpen => None,
        }
    }

    fn tell(&self, probe: bool, success: bool, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = match (*state, success) {
            (State::Closed { .. }, true) => State::Closed { failures: 0 },
            (State::Closed { failures }, false) if failures + 1 < self.policy.failures => {
                State::Closed { failures: failures + 1 }
            }
            (State::Closed { .. }, false) => State::Open { until: now + self.policy.rest },
            (State::HalfOpen, true) if probe => State::Closed { failures: 0 },
            (State::HalfOpen, false) if probe => State::Open { until: now + self.policy.rest },
            // What was asked before the circuit opened decides nothing any more.
            (state, _) => state,
        };
    }
}

impl Pass<'_> {
    pub(crate) fn success(mut self, now: Instant) {
        self.told = true;
        self.breaker.tell(self.probe, true, now);
    }

    pub(crate) fn failure(mut self, now: Instant) {
        self.told = true;
        self.breaker.tell(self.probe, false, now);
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.probe && !self.told {
            let mut state = self.breaker.state.lock().unwrap_or_else(PoisonError::into_inner);
            *state = State::Open { until: Instant::now() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_secs(1);

    fn opened() -> (Breaker, Instant) {
        let breaker = Breaker::new(BreakerPolicy { failures: 2, rest: REST });
        let now = Instant::now();
        breaker.admit(now).expect("closed").failure(now);
        breaker.admit(now).expect("one failure does not open").failure(now);
        (breaker, now)
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_does_not() {
        let (breaker, now) = opened();
        assert!(breaker.admit(now).is_none());
        let breaker = Breaker::new(BreakerPolicy { failures: 2, rest: REST });
        for _ in 0..5 {
            breaker.admit(now).expect("closed").failure(now);
            breaker.admit(now).expect("closed").success(now);
        }
        assert!(breaker.admit(now).is_some());
    }

    #[test]
    fn one_probe_at_a_time_and_its_verdict_counts() {
        let (breaker, now) = opened();
        let later = now + REST;
        let probe = breaker.admit(later).expect("a probe");
        assert!(breaker.admit(later).is_none(), "only one");
        probe.failure(later);
        assert!(breaker.admit(later).is_none(), "open again");
        breaker.admit(later + REST).expect("the next probe").success(later);
        assert!(breaker.admit(later).is_some(), "closed");
    }

    #[test]
    fn a_probe_that_is_dropped_frees_its_place() {
        let (breaker, now) = opened();
        drop(breaker.admit(now + REST).expect("a probe"));
        assert!(breaker.admit(Instant::now() + REST).is_some());
    }

    #[test]
    fn late_verdicts_change_nothing() {
        let breaker = Breaker::new(BreakerPolicy { failures: 1, rest: REST });
        let now = Instant::now();
        let slow = breaker.admit(now).expect("closed");
        breaker.admit(now).expect("closed").failure(now);
        slow.success(now);
        assert!(breaker.admit(now).is_none(), "an answer from before does not close it");
    }
}
