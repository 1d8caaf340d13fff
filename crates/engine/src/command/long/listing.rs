//! The keys of a database that match a pattern, partition after partition.
//!
//! There is no image of a keyspace: KEYS answers, as it always did with more than one worker, every key that is there all
//! the time, and each key once. Each partition is held for as long as some of its buckets are looked at. If databases are
//! exchanged meanwhile, it begins anew and looks at all at once.

use super::super::dispatch::fail;
use super::{Budget, Gathered, Progress, Work};
use crate::node::Node;
use larder_protocol::glob;
use larder_protocol::resp::reply::Reply;
use larder_protocol::slot::slot_of;
use larder_store::{Key, Now, Partition, PartitionId, Store, Watcher};

/// The key by which it hears that databases were exchanged: any key does that nobody uses.
const HEARD_BY: &[u8] = b"\xff\0KEYS";

/// Keys of a database.
pub struct Listing {
    pattern: Box<[u8]>,
    db: u16,
    now: Now,
    partitions: Vec<PartitionId>,
    /// The partition that is looked at, and the position in it.
    at: (usize, u32),
    gathered: Gathered,
    /// Marked when databases are exchanged.
    watcher: Watcher,
    watches: bool,
    /// All at once, because it was disturbed.
    whole: bool,
}

impl Listing {
    /// All keys that match.
    pub fn new(store: &Store, pattern: &[u8], db: u16, now: Now) -> Listing {
        Listing {
            pattern: pattern.into(),
            db,
            now,
            partitions: store.partitions().collect(),
            at: (0, 0),
            gathered: Gathered::new(larder_protocol::resp::reply::Version::default()),
            watcher: Watcher::default(),
            watches: false,
            whole: false,
        }
    }

    fn heard_by(store: &Store) -> (Key<'static>, PartitionId) {
        let key = store.key(HEARD_BY, slot_of(HEARD_BY));
        let id = store.partition_of(key.slot);
        (key, id)
    }

    /// Begins to hear of exchanges.
    fn watch(&mut self, store: &Store) {
        let (key, id) = Listing::heard_by(store);
        store.lock(id).watch(self.db, &key, &self.watcher);
        self.watches = true;
    }

    fn unwatch(&mut self, store: &Store) {
        if std::mem::replace(&mut self.watches, false) {
            let (key, id) = Listing::heard_by(store);
            store.lock(id).unwatch(self.db, &key, &self.watcher);
        }
    }

    /// Looks at keys until the budget is spent; true when all were looked at.
    fn look(&mut self, store: &Store, budget: &mut Budget) -> bool {
        let (mut at, partitions) = (self.at, &self.partitions);
        let (pattern, db, now, whole) = (&self.pattern, self.db, self.now, self.whole);
        self.gathered.add(|piece| {
            let mut count = 0;
            while at.0 < partitions.len() && (whole || budget.spend(0)) {
                let held = store.lock(partitions[at.0]);
                let mut first = Some(at.1);
                at = loop {
                    let next = visit(store, &held, (db, at.1, first.take(), now), |key| {
                        budget.spend(key.len());
                        if glob::matches(pattern, key, false) {
                            piece.bulk(key);
                            count += 1;
                        }
                    });
                    match next {
                        None => break (at.0 + 1, 0),
                        Some(position) if !whole && !budget.spend(0) => break (at.0, position),
                        Some(position) => at.1 = position,
                    }
                };
            }
            count
        });
        self.at = at;
        at.0 == partitions.len()
    }
}

/// Visits the keys of a bucket; of the first one of a slice only those that lie at its position or behind, because what is
/// in front of it may have been in another bucket when it was visited.
fn visit(
    store: &Store,
    held: &Partition,
    (db, position, first, now): (u16, u32, Option<u32>, Now),
    mut each: impl FnMut(&[u8]),
) -> Option<u32> {
    held.scan(db, position, now, |item| {
        let key = item.key();
        let passed =
            first.is_some_and(|from| from > 0 && store.key(key, slot_of(key)).hash.reverse_bits() < from);
        if !passed {
            each(key);
        }
    })
}

impl Work for Listing {
    fn slice(&mut self, node: &Node, out: &mut Reply, budget: &mut Budget) -> Progress {
        if self.at.0 == self.partitions.len() {
            let done = self.gathered.pour(out, |out, count| out.array(count));
            return if done { Progress::Done } else { Progress::More };
        }
        if node.loading.is_shut() {
            self.unwatch(&node.store);
            let start = out.len();
            fail(node, out, start, "LOADING Larder is loading the dataset in memory");
            return Progress::Done;
        }
        if !self.watches {
            self.watch(&node.store);
        }
        let over = self.look(&node.store, budget);
        if self.watcher.is_changed() && !self.whole {
            self.gathered = Gathered::new(larder_protocol::resp::reply::Version::default());
            (self.at, self.whole) = ((0, 0), true);
        }
        if over && self.at.0 == self.partitions.len() {
            self.unwatch(&node.store);
        }
        Progress::More
    }

    fn memory_bytes(&self) -> usize {
        self.gathered.bytes
    }

    fn abandon(&mut self, store: &Store) {
        self.unwatch(store);
    }
}
