//! Which stream a node is in: the id of its history, and that of the history it was in before.
//!
//! Pure. A position in a history is the number of bytes before it. A node that takes over begins a history of its own,
//! which is the same as the one before up to the point where it took over: so whoever was in that one can go on.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Digits of an id.
pub const ID_DIGITS: usize = 40;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The id.
    pub id: String,
    /// The id of the history before, and up to where the two are the same.
    pub before: Option<(String, u64)>,
}

/// An id that nobody else has.
pub fn new_id() -> String {
    let word = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}{:08x}", word(), word(), word() as u32)
}

/// A position in a history as it is told; it is no more than what a signed number holds, so what is added to it does not
/// overflow.
pub fn position(text: &str) -> Option<u64> {
    text.parse().ok().filter(|position| *position <= i64::MAX as u64)
}

/// True if this may be an id.
pub fn is_id(text: &str) -> bool {
    text.len() == ID_DIGITS && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

impl History {
    /// A history that begins.
    pub fn begin() -> History {
        History { id: new_id(), before: None }
    }

    /// True if whoever is at this position of that history is in this one too.
    pub fn covers(&self, id: &str, position: u64) -> bool {
        let same_before = || {
            self.before
                .as_ref()
                .is_some_and(|(before, until)| before.eq_ignore_ascii_case(id) && position <= *until)
        };
        self.id.eq_ignore_ascii_case(id) || same_before()
    }

    /// Begins a history of its own at this position.
    pub fn branch(&mut self, position: u64) {
        let id = std::mem::replace(&mut self.id, new_id());
        self.before = Some((id, position));
    }

    /// The primary went on under another id from this position.
    pub fn rename(&mut self, id: &str, position: u64) {
        if self.id != id {
            let before = std::mem::replace(&mut self.id, id.to_owned());
            self.before = Some((before, position));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_in_the_history_before_goes_on_up_to_the_branch() {
        let mut history = History::begin();
        let first = history.id.clone();
        assert!(is_id(&first) && !is_id("?"));
        assert!(history.covers(&first, 7));
        history.branch(100);
        assert_ne!(history.id, first);
        assert!(history.covers(&first, 100) && !history.covers(&first, 101));
        assert!(history.covers(&history.id.clone(), 1 << 40) && !history.covers(&new_id(), 0));
        let mut replica = History { id: first.clone(), before: None };
        replica.rename(&history.id, 90);
        assert_eq!(replica.before, Some((first, 90)));
        let same = replica.clone();
        replica.rename(&history.id, 95);
        assert_eq!(replica, same);
    }
}
