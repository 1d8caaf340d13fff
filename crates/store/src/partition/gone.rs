//! Keys, and fields of hashes, that left because their time was over, for whoever wants to hear of them.
//!
//! Nobody calls anybody from here: a partition keeps a list, as long as somebody asked for it, and who holds the
//! partition takes it before it lets go: so the list holds what one command, or one round of reclaiming, came upon.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What left of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The key, at its deadline.
    Key,
    /// Some fields of a hash, at theirs.
    Fields,
    /// The last fields of a hash, and so the key.
    LastFields,
}

/// A key that left because its time was over, or some of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// What left.
    pub left: Left,
    /// Its database.
    pub db: u16,
    /// The key.
    pub key: Box<[u8]>,
    /// The fields that left, if it was not the key.
    pub fields: Vec<Box<[u8]>>,
}

/// Whose coming upon a dead key leaves it where it is, hidden; the same for all partitions of a store.
#[derive(Debug, Default)]
pub(crate) struct Keeping {
    /// Everybody's.
    pub(crate) all: AtomicBool,
    /// That of reads.
    pub(crate) reads: AtomicBool,
}

/// The list of a partition.
#[derive(Debug)]
pub(super) struct GoneList {
    keys: Vec<Gone>,
    /// True while somebody wants to hear of it; the same for all partitions of a store.
    telling: Arc<AtomicBool>,
    keeping: Arc<Keeping>,
}

impl GoneList {
    pub(super) fn new(telling: Arc<AtomicBool>, keeping: Arc<Keeping>) -> GoneList {
        GoneList { keys: Vec::new(), telling, keeping }
    }

    /// True while dead keys are hidden, but stay.
    pub(super) fn keeps(&self) -> bool {
        self.keeping.all.load(Ordering::Relaxed)
    }

    /// True while they do for who reads.
    pub(super) fn keeps_from_reads(&self) -> bool {
        self.keeps() || self.keeping.reads.load(Ordering::Relaxed)
    }

    /// True while somebody wants to hear of it.
    pub(super) fn is_wanted(&self) -> bool {
        self.telling.load(Ordering::Relaxed)
    }

    pub(super) fn note(&mut self, db: u16, key: &[u8], left: Left, fields: Vec<Box<[u8]>>) {
        if self.is_wanted() {
            self.keys.push(Gone { left, db, key: key.into(), fields });
        }
    }

    /// True when nothing is in the list.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn take(&mut self) -> Vec<Gone> {
        std::mem::take(&mut self.keys)
    }
}
