//! Parts of a value that two values may have in common: a clone of a large value costs a count for each of its parts,
//! and who changes a part that is shared copies that part, and no other. So a snapshot takes a collection of millions
//! of members in microseconds, and a writer pays for what it touches.
//!
//! As `Arc` with `make_mut`, but that it asks with a plain load whether the part is shared: members are changed far more
//! often than values are shared. Nobody makes weak references.
//!
//! Invariant: the count is 1 exactly while this is the only owner. It only grows through a `&Shared`, which nobody else
//! has while there is a `&mut Shared` of the only owner.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

/// A part, perhaps shared.
#[derive(Debug, Default)]
pub(super) struct Shared<T>(Arc<T>);

impl<T> Shared<T> {
    pub(super) fn new(value: T) -> Shared<T> {
        Shared(Arc::new(value))
    }
}

impl<T: Clone> Shared<T> {
    /// The part itself, if nobody shares it, or a copy.
    pub(super) fn take(self) -> T {
        Arc::unwrap_or_clone(self.0)
    }

    #[cold]
    #[inline(never)]
    fn copy(&mut self) {
        self.0 = Arc::new(T::clone(&self.0));
    }
}

impl<T> Clone for Shared<T> {
    /// Shares it.
    fn clone(&self) -> Self {
        Shared(self.0.clone())
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    /// Copies it if it is shared.
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        if Arc::strong_count(&self.0) != 1 {
            self.copy();
        }
        // What others did with it before they let go of it has happened.
        fence(Ordering::Acquire);
        // SAFETY: the count is 1 and there are no weak references, so this is the only owner; it is borrowed exclusively
        // as long as what is answered, so that nobody can share it meanwhile. The pointer comes from the allocation, not
        // from a reference.
        unsafe { &mut *Arc::as_ptr(&self.0).cast_mut() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_changes_a_shared_part_changes_a_copy() {
        let mut one = Shared::new(vec![1, 2]);
        let place = one.as_ptr();
        one.push(3);
        let two = one.clone();
        assert_eq!(one.as_ptr(), two.as_ptr());
        one[0] = 9;
        assert_eq!((one.as_slice(), two.as_slice()), (&[9, 2, 3][..], &[1, 2, 3][..]));
        drop(two);
        let kept = one.as_ptr();
        one[1] = 8;
        assert!(kept == one.as_ptr() && kept != place, "not shared any more");
        assert_eq!(one.take(), [9, 8, 3]);
    }

    #[test]
    fn threads_that_share_see_what_was() {
        let mut one = Shared::new(vec![0u64; 512]);
        std::thread::scope(|scope| {
            for round in 1..200 {
                let image = one.clone();
                scope.spawn(move || assert!(image.iter().all(|word| *word == round - 1)));
                one.iter_mut().for_each(|word| *word = round);
            }
        });
    }
}
