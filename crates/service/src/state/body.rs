//! The text of a record, and the value that was read from it: read once, however often the record is looked at.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// Most records of one kind whose texts and values are kept. An account has at most a few thousand of what is looked at
/// often; of a kind with more than that (events) one pass would push out what it read before.
const KEPT_MAX: usize = 4096;

/// JSON text of a record. Clones share it and the value that was read from it.
#[derive(Clone)]
pub struct Body(Arc<Inner>);

struct Inner {
    text: Vec<u8>,
    value: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl From<Vec<u8>> for Body {
    fn from(text: Vec<u8>) -> Body {
        Body(Arc::new(Inner { text, value: OnceLock::new() }))
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.text
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Body) -> bool {
        self[..] == other[..]
    }
}

impl Eq for Body {}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self))
    }
}

impl Body {
    /// The value of the text, which `read` finds when nobody has before. A text that was read as another type is read
    /// again each time.
    pub(super) fn value<T: Send + Sync + 'static, E>(
        &self,
        read: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        if let Some(value) = self.0.value.get().map(Arc::clone).and_then(|value| value.downcast::<T>().ok()) {
            return Ok(value);
        }
        let value = Arc::new(read(self)?);
        let _ = self.0.value.set(Arc::clone(&value) as Arc<dyn Any + Send + Sync>);
        Ok(value)
    }
}

/// Revision and body by id.
type OfKind = HashMap<String, (u64, Body)>;

/// Bodies by the revision at which they were read. A revision is never used twice, so what is kept for one is its text for
/// ever, and whether it is the newest one only the file says: nothing here can be out of date.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    kept: RwLock<HashMap<String, OfKind>>,
}

impl Bodies {
    /// The body of a record that has this revision and text.
    pub(super) fn body(&self, kind: &str, id: &str, revision: u64, text: &[u8]) -> Body {
        {
            let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, body)) =
                kept.get(kind).and_then(|of| of.get(id)).filter(|(at, _)| *at == revision)
            {
                return body.clone();
            }
        }
        let body = Body::from(text.to_vec());
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        let of_kind = kept.entry(kind.to_owned()).or_default();
        if of_kind.len() >= KEPT_MAX {
            of_kind.clear();
        }
        // Who read an older state of the file must not push out what a later reader kept.
        if of_kind.get(id).is_none_or(|(at, _)| *at < revision) {
            of_kind.insert(id.to_owned(), (revision, body.clone()));
        }
        body
    }

    /// Forgets a record that was changed or deleted.
    pub(super) fn forget(&self, kind: &str, id: &str) {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_kind) = kept.get_mut(kind) {
            of_kind.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_once_for_each_revision() {
        let bodies = Bodies::default();
        let read = |text: &[u8]| Ok::<String, ()>(String::from_utf8_lossy(text).into_owned());
        let first = bodies.body("a", "x", 1, b"one");
        let value = first.value(read).unwrap();
        let again = bodies.body("a", "x", 1, b"one");
        assert!(
            Arc::ptr_eq(&value, &again.value(|_| Err::<String, ()>(())).unwrap()),
            "it was not read again"
        );
        assert_eq!(again.value(|_| Ok::<u8, ()>(7)), Ok(Arc::new(7)), "as another type it is");
        assert_eq!(*bodies.body("a", "x", 2, b"two").value(read).unwrap(), "two");
        assert_eq!(
            *bodies.body("a", "x", 1, b"one").value(read).unwrap(),
            "one",
            "an older look at the file"
        );
        bodies.forget("a", "x");
        assert_eq!(*bodies.body("a", "x", 3, b"three").value(read).unwrap(), "three");
        assert!(Body::from(b"no".to_vec()).value(|_| Err::<u8, &str>("why")).is_err());
    }

    #[test]
    fn no_more_is_kept_than_the_bound() {
        let bodies = Bodies::default();
        for n in 0..KEPT_MAX + 10 {
            bodies.body("event", &n.to_string(), 1, b"{}");
        }
        assert!(bodies.kept.read().unwrap()["event"].len() <= KEPT_MAX);
    }
}
