//! Invalidations that the cache did not take, because it was down or slow. Until it does, this process does not believe
//! the entries of these keys, and keeps trying. Bounded: one more than the bound is given up, and the time to live of
//! its entry is the bound on its age.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

pub(super) struct Owed {
    bound: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Each with the number of its latest debt: paying an earlier one does not clear it.
    keys: HashMap<String, u64>,
    next: u64,
    paying: bool,
}

/// What came of owing one more.
pub(super) enum Taken {
    /// Remembered, and somebody is paying.
    Yes,
    /// Remembered, and the caller has to begin paying.
    First,
    /// Given up.
    Full,
}

impl Owed {
    pub(super) fn new(bound: usize) -> Self {
        Self { bound, state: Mutex::default() }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        let state = self.state();
        !state.keys.is_empty() && state.keys.contains_key(key)
    }

    pub(super) fn add(&self, key: &str) -> Taken {
        let mut state = self.state();
        if state.keys.len() >= self.bound && !state.keys.contains_key(key) {
            return Taken::Full;
        }
        state.next += 1;
        let number = state.next;
        state.keys.insert(key.to_owned(), number);
        if std::mem::replace(&mut state.paying, true) { Taken::Yes } else { Taken::First }
    }

    /// Some of what is owed; none says that paying is over.
    pub(super) fn some(&self, most: usize) -> Vec<(String, u64)> {
        let mut state = self.state();
        state.paying = !state.keys.is_empty();
        state.keys.iter().take(most).map(|(key, number)| (key.clone(), *number)).collect()
    }

    pub(super) fn paid(&self, debts: &[(String, u64)]) {
        let mut state = self.state();
        for (key, number) in debts {
            if state.keys.get(key) == Some(number) {
                state.keys.remove(key);
            }
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owed_keys_are_bounded_and_paid_once() {
        let owed = Owed::new(2);
        assert!(matches!(owed.add("a"), Taken::First));
        assert!(matches!(owed.add("b"), Taken::Yes));
        assert!(matches!(owed.add("c"), Taken::Full));
        assert!(matches!(owed.add("a"), Taken::Yes), "a key is owed once");
        let debts = owed.some(10);
        assert!(matches!(owed.add("a"), Taken::Yes), "owed again while the first debt is being paid");
        owed.paid(&debts);
        assert!(owed.has("a") && !owed.has("b"));
        owed.paid(&owed.some(10));
        assert!(owed.some(10).is_empty());
        assert!(matches!(owed.add("a"), Taken::First), "paying begins anew");
    }
}
