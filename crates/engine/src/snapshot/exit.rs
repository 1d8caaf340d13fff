//! The last save: a node that has save points saves before it ends.
//!
//! Whoever ends the node is none of its workers, and in a node with one worker only that may touch the keyspace. So the
//! one asks and waits, and the other saves in its turn.

use super::save;
use crate::command::keyspace::Locked;
use crate::node::Node;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// See the module.
#[derive(Debug, Default)]
pub struct LastSave {
    /// SHUTDOWN has saved, or was told not to.
    settled: AtomicBool,
    wanted: AtomicBool,
    outcome: Mutex<Option<Result<(), String>>>,
    changed: Condvar,
}

impl LastSave {
    /// Whether to save was decided: the node may end.
    pub fn settle(&self) {
        self.settled.store(true, Ordering::Release);
    }

    /// Saves if that is still to be done, and waits for it. Called by a thread that is no worker.
    ///
    /// # Errors
    /// What went wrong: the node should not end.
    pub fn ask(&self, node: &Node) -> Result<(), String> {
        let has_points = !node.settings().persistence.save_points.is_empty();
        if self.settled.load(Ordering::Acquire) || !has_points || node.loading.is_on() {
            return Ok(());
        }
        tracing::warn!("Saving the final RDB snapshot before exiting.");
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        self.wanted.store(true, Ordering::Release);
        node.mailboxes[0].wake();
        loop {
            if let Some(result) = outcome.take() {
                return result;
            }
            outcome = self.changed.wait(outcome).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// True if a worker is asked to save.
    #[inline]
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// The worker's part.
    #[cold]
    pub fn serve(&self, node: &Node) {
        self.wanted.store(false, Ordering::Release);
        let gate = node.replication.gate();
        let result = save_at_last(node, &mut Locked::all(&node.store));
        drop(gate);
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        self.changed.notify_all();
    }
}

/// Saves, whatever snapshot is being taken: it will never be finished.
///
/// # Errors
/// What went wrong.
pub fn save_at_last(node: &Node, held: &mut Locked<'_>) -> Result<(), String> {
    node.snapshots.abort(held);
    save::now(node, held)
}
