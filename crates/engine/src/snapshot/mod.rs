//! Snapshots: taking them, writing them to files, loading files.
//!
//! [`begin`] makes a cut through the whole keyspace and answers a [`Snapshot`]: workers save in slices of their turns
//! ([`take`]), whoever asked for it takes pieces of an RDB file out of its [`queue`], on a thread of its own. One
//! snapshot is taken at a time. [`file`] is the consumer that makes a file; `save` is BGSAVE, SAVE and the save points;
//! [`load`] reads files; [`inspect`] does it for people; [`exit`] is the end of a node; [`delay`] makes all this slow for
//! tests.

pub mod delay;
pub mod exit;
pub mod file;
pub mod inspect;
pub mod load;
pub mod output;
pub mod queue;
pub mod save;
pub mod take;

use crate::command::locked::Held;
use crate::node::Node;
use delay::Delay;
use save::Saves;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
pub use take::{Purpose, Snapshot, State};

/// What a node knows about snapshots.
#[derive(Debug, Default)]
pub struct Snapshots {
    /// True while one is being taken: what workers look at in each turn.
    active: AtomicBool,
    current: Mutex<Option<Arc<Snapshot>>>,
    /// BGSAVE and its kin.
    pub saves: Saves,
    /// `rdb-key-save-delay`.
    pub delay: Arc<Delay>,
}

impl Snapshots {
    /// True while a snapshot is being taken.
    #[inline]
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    /// The snapshot that is being taken.
    pub fn current(&self) -> Option<Arc<Snapshot>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The walk of this one is over, in one way or another.
    fn walked(&self, snapshot: &Snapshot) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.take_if(|current| std::ptr::eq(&raw const **current, snapshot)).is_some() {
            self.active.store(false, Ordering::Release);
        }
    }

    /// Gives up whatever snapshot is being taken, with all partitions held, so that another can begin.
    pub fn abort(&self, held: &mut dyn Held) {
        if let Some(snapshot) = self.current() {
            snapshot.cancel();
            held.visit(&mut |partition| crate::background::drop_later(partition.stop_saving(&*snapshot)));
            self.walked(&snapshot);
        }
        self.saves.end();
    }
}

/// Begins a snapshot: what `held` holds now, which has to be all partitions, will come out of it, whatever happens to the
/// keyspace from now on. `aux` are facts that the file tells beside the usual ones. `cut` is called at that instant,
/// with everything held: there a log notes how far it has come. `None`, without a call of `cut`, while another snapshot
/// is being taken, or data are being loaded.
///
/// Somebody must take the pieces out of [`Snapshot::queue`], or fail or cancel the snapshot: nothing else ends it. What
/// comes out is a whole RDB file but for the end and the checksum; a piece's string is to be encoded by
/// [`larder_rdb::Writer::string`]. When the queue is over, [`Snapshot::state`] says whether that was all.
pub fn begin(
    node: &Node,
    purpose: Purpose,
    aux: &[(&str, Vec<u8>)],
    held: &mut dyn Held,
    cut: &mut dyn FnMut(),
) -> Option<Arc<Snapshot>> {
    let mut current = node.snapshots.current.lock().unwrap_or_else(PoisonError::into_inner);
    // Who asked may have looked before loading began, and got the partitions only afterwards.
    if current.is_some() || node.loading.is_on() {
        return None;
    }
    let number = |number: u64| number.to_string().into_bytes();
    let is_base = purpose == Purpose::LogBase;
    let mut all = vec![
        ("redis-ver", crate::config::REDIS_VERSION.into()),
        ("larder-ver", env!("CARGO_PKG_VERSION").into()),
        ("redis-bits", number(usize::BITS.into())),
        ("ctime", number(crate::node::now_ms() / 1000)),
        ("used-mem", number(crate::memory::used_bytes())),
        ("aof-base", number(is_base.into())),
    ];
    all.extend(aux.iter().cloned());
    let snapshot = Snapshot::begin(node, purpose, &all, held, cut)?;
    *current = Some(snapshot.clone());
    node.snapshots.active.store(true, Ordering::Release);
    Some(snapshot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::locked::Locked;
    use crate::config::Settings;
    use crate::mailbox::Mailbox;
    use crate::run::Startup;

    #[test]
    fn what_is_being_loaded_is_not_saved() {
        let mailboxes = vec![Mailbox::new().unwrap()];
        let node =
            Node::new(Settings::default(), &Startup::default(), 7, mailboxes, crate::command::families());
        let mut held = Locked::all(&node.store);
        for serves in [false, true] {
            node.loading.set_beside(serves);
            assert!(begin(&node, Purpose::Save, &[], &mut held, &mut || ()).is_none());
        }
        node.loading.set(false);
        let snapshot = begin(&node, Purpose::Save, &[], &mut held, &mut || ());
        assert!(snapshot.is_some());
        node.snapshots.abort(&mut held);
    }
}
