//! For tests: a service that is killed at an instant of their choice.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::{Change, FileRecords, Page, Record, Records, StateError};

/// Kills a run at its n-th instant; from then on nothing works, until it is mended.
pub(crate) struct Fuse {
    /// Instants that are left.
    pub(crate) left: AtomicUsize,
    /// Number of the service's life; what was begun in an earlier one has no effect any more.
    life: Mutex<u64>,
}

impl Default for Fuse {
    fn default() -> Fuse {
        Fuse { left: AtomicUsize::new(usize::MAX), life: Mutex::new(0) }
    }
}

impl Fuse {
    pub(crate) fn burnt(&self) -> bool {
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| Some(left.saturating_sub(1)))
            == Ok(0)
    }

    pub(crate) fn mend(&self) {
        let mut life = self.life.lock().unwrap();
        *life += 1;
        self.left.store(usize::MAX, Ordering::SeqCst);
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }
}

/// Records as one life of the service sees them: nothing is written any more after it was killed.
pub(crate) struct MortalRecords {
    inner: Arc<FileRecords>,
    fuse: Arc<Fuse>,
    life: u64,
}

impl MortalRecords {
    /// Records of the life that goes on now.
    pub(crate) fn new(inner: Arc<FileRecords>, fuse: Arc<Fuse>) -> Arc<MortalRecords> {
        let life = *fuse.life.lock().unwrap();
        Arc::new(MortalRecords { inner, fuse, life })
    }
}

fn killed() -> StateError {
    StateError::Failed("killed".into())
}

impl Records for MortalRecords {
    fn get(&self, kind: &str, id: &str) -> Result<Option<Record>, StateError> {
        self.inner.get(kind, id)
    }

    fn list(&self, kind: &str, page: Page<'_>) -> Result<Vec<Record>, StateError> {
        self.inner.list(kind, page)
    }

    fn apply(&self, changes: &[Change]) -> Result<u64, StateError> {
        let life = self.fuse.life.lock().unwrap();
        if *life != self.life || self.fuse.burnt() {
            return Err(killed());
        }
        let revision = self.inner.apply(changes)?;
        if self.fuse.burnt() { Err(killed()) } else { Ok(revision) }
    }

    fn watch(&self, kind: &str) -> watch::Receiver<u64> {
        self.inner.watch(kind)
    }
}
