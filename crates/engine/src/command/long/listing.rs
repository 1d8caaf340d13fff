//! The keys of a database that match a pattern, partition after partition.
//!
//! There is no image of a keyspace: KEYS answers, as it always did with more than one worker, every key that is there all
//! the time, and each key once. Each partition is held for as long as some of its buckets are looked at. If databases are
//! exchanged meanwhile, it begins anew and looks at all at once.

use super::{Budget, Gathered, Progress, Work};
use crate::node::Node;
use larder_protocol::glob;
use larder_protocol::resp::reply::{Reply, Version};
use larder_protocol::slot::slot_of;
use larder_store::{Now, Partition, PartitionId, Store};

/// Keys of a database.
pub struct Listing {
    pattern: Box<[u8]>,
    db: u16,
    now: Now,
    partitions: Vec<PartitionId>,
    /// The partition that is looked at, and the position in it.
    at: (usize, u32),
    gathered: Gathered,
    /// How often databases had been exchanged when it looked at the first partition.
    swaps: Option<u64>,
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
            gathered: Gathered::new(Version::default()),
            swaps: None,
        }
    }

    /// Looks at keys until the budget is spent. False if databases were exchanged since it began.
    fn look(&mut self, store: &Store, budget: &mut Budget) -> bool {
        let Listing { pattern, db, now, partitions, at, gathered, swaps, .. } = self;
        let mut undisturbed = true;
        gathered.add(|piece| {
            let mut count = 0;
            while at.0 < partitions.len() && budget.spend(0) {
                let held = store.lock(partitions[at.0]);
                undisturbed = *swaps.get_or_insert(held.swaps()) == held.swaps();
                if !undisturbed {
                    break;
                }
                let mut first = Some(at.1);
                *at = loop {
                    let next = visit(store, &held, (*db, at.1, first.take(), *now), |key| {
                        budget.spend(key.len());
                        count += usize::from(put(piece, pattern, key));
                    });
                    match next {
                        None => break (at.0 + 1, 0),
                        Some(position) if !budget.spend(0) => break (at.0, position),
                        Some(position) => at.1 = position,
                    }
                };
            }
            count
        });
        undisturbed
    }

    /// Looks at all keys at one instant.
    #[cold]
    fn look_at_all(&mut self, store: &Store) {
        let Listing { pattern, db, now, partitions, at, gathered, .. } = self;
        *gathered = Gathered::new(Version::default());
        *at = (partitions.len(), 0);
        gathered.add(|piece| {
            let mut count = 0;
            for partition in &store.lock_all() {
                let mut position = Some(0);
                while let Some(from) = position {
                    position = partition.scan(*db, from, *now, |item| {
                        count += usize::from(put(piece, pattern, item.key()));
                    });
                }
            }
            count
        });
    }
}

/// Writes a key, if it matches.
fn put(piece: &mut Reply, pattern: &[u8], key: &[u8]) -> bool {
    let matches = glob::matches(pattern, key, false);
    if matches {
        piece.bulk(key);
    }
    matches
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
            out.error("LOADING Larder is loading the dataset in memory");
            return Progress::Done;
        }
        if !self.look(&node.store, budget) {
            self.look_at_all(&node.store);
        }
        Progress::More
    }

    fn memory_bytes(&self) -> usize {
        self.gathered.bytes
    }
}
