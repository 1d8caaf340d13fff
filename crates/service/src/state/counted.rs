//! For tests: records that count how many of them are read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

use super::{Change, Page, Record, Records, StateError};

/// Counts the records that are read.
pub(crate) struct Counted {
    inner: Arc<dyn Records>,
    read: AtomicUsize,
}

impl Counted {
    pub(crate) fn new(inner: Arc<dyn Records>) -> Arc<Counted> {
        Arc::new(Counted { inner, read: AtomicUsize::new(0) })
    }

    /// How many were read since this was asked last.
    pub(crate) fn take(&self) -> usize {
        self.read.swap(0, Ordering::Relaxed)
    }
}

impl Records for Counted {
    fn get(&self, kind: &str, id: &str) -> Result<Option<Record>, StateError> {
        self.read.fetch_add(1, Ordering::Relaxed);
        self.inner.get(kind, id)
    }

    fn list(&self, kind: &str, page: Page<'_>) -> Result<Vec<Record>, StateError> {
        let found = self.inner.list(kind, page)?;
        self.read.fetch_add(found.len(), Ordering::Relaxed);
        Ok(found)
    }

    fn apply(&self, changes: &[Change]) -> Result<u64, StateError> {
        self.inner.apply(changes)
    }

    fn watch(&self, kind: &str) -> watch::Receiver<u64> {
        self.inner.watch(kind)
    }
}
