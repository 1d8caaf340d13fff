//! Invalidations that the cache did not take, because it was down or slow. Until it does, this process does not believe
//! the entries of these keys, and keeps trying. Bounded: one more than the bound is given up, and the time to live of
//! its entry is the bound on its age.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// What is to be invalidated.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Debt {
    /// A key, by its own name.
    Key(String),
    /// The version of a tag or prefix, by its name in the cache.
    Version(String),
}

pub(super) struct Owed {
    bound: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Each with the number of its latest debt: paying an earlier one does not clear it.
    debts: HashMap<Debt, u64>,
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

    /// Whether an entry of `key`, which depends on `versions`, is not to be believed.
    pub(super) fn has(&self, key: &str, versions: impl FnOnce() -> Vec<String>) -> bool {
        let state = self.state();
        if state.debts.is_empty() {
            return false;
        }
        state.debts.contains_key(&Debt::Key(key.to_owned()))
            || versions().into_iter().any(|version| state.debts.contains_key(&Debt::Version(version)))
    }

    pub(super) fn add(&self, debt: Debt) -> Taken {
        let mut state = self.state();
        if state.debts.len() >= self.bound && !state.debts.contains_key(&debt) {
            return Taken::Full;
        }
        state.next += 1;
        let number = state.next;
        state.debts.insert(debt, number);
        if std::mem::replace(&mut state.paying, true) { Taken::Yes } else { Taken::First }
    }

    /// Some of what is owed; none says that paying is over.
    pub(super) fn some(&self, most: usize) -> Vec<(Debt, u64)> {
        let mut state = self.state();
        state.paying = !state.debts.is_empty();
        state.debts.iter().take(most).map(|(debt, number)| (debt.clone(), *number)).collect()
    }

    pub(super) fn paid(&self, debts: &[(Debt, u64)]) {
        let mut state = self.state();
        for (debt, number) in debts {
            if state.debts.get(debt) == Some(number) {
                state.debts.remove(debt);
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

    fn key(name: &str) -> Debt {
        Debt::Key(name.to_owned())
    }

    #[test]
    fn an_owed_version_reaches_what_depends_on_it() {
        let owed = Owed::new(2);
        owed.add(Debt::Version("n:t:x".into()));
        assert!(owed.has("k", || vec!["n:t:x".into()]));
        assert!(!owed.has("k", || vec!["n:t:y".into()]));
    }

    #[test]
    fn owed_keys_are_bounded_and_paid_once() {
        let owed = Owed::new(2);
        assert!(matches!(owed.add(key("a")), Taken::First));
        assert!(matches!(owed.add(key("b")), Taken::Yes));
        assert!(matches!(owed.add(key("c")), Taken::Full));
        assert!(matches!(owed.add(key("a")), Taken::Yes), "a key is owed once");
        let debts = owed.some(10);
        assert!(matches!(owed.add(key("a")), Taken::Yes), "owed again while the first debt is being paid");
        owed.paid(&debts);
        assert!(owed.has("a", Vec::new) && !owed.has("b", Vec::new));
        owed.paid(&owed.some(10));
        assert!(owed.some(10).is_empty());
        assert!(matches!(owed.add(key("a")), Taken::First), "paying begins anew");
    }
}
