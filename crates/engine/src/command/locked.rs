//! The partitions that a command holds: none, one, several or all, or those that EXEC lends to the commands it runs.
//!
//! They are locked in ascending order, always, which is what keeps two commands from waiting for each other.

use larder_store::{Guard, Partition, PartitionId, Store};

/// The partitions that are held.
pub enum Locked<'a> {
    /// None: the command has no keys, or goes through them one by one.
    None,
    /// One: nearly every command.
    One(PartitionId, Guard<'a>),
    /// Several, in ascending order.
    Many(Vec<(PartitionId, Guard<'a>)>),
    /// Those that somebody else holds: EXEC, for the command that it runs.
    Lent(&'a mut (dyn Held + 'a)),
}

/// Partitions that are held. A trait only so that they can be lent for one command after another.
pub trait Held {
    /// A held partition.
    fn get(&mut self, id: PartitionId) -> Option<&mut Partition>;
    /// The same, to look at.
    fn peek(&self, id: PartitionId) -> Option<&Partition>;
    /// Visits all held partitions.
    fn visit(&mut self, visit: &mut dyn FnMut(&mut Partition));
    /// Visits the held partitions if several are held; false if not.
    fn each(&mut self, visit: &mut dyn FnMut(PartitionId, &mut Partition)) -> bool;
}

impl<'a> Locked<'a> {
    /// Locks these partitions. Sorts them, because that order is what keeps two commands from waiting for each other.
    pub fn many(store: &'a Store, ids: &mut [PartitionId]) -> Locked<'a> {
        ids.sort_unstable();
        match *ids {
            [] => Locked::None,
            [first, .., last] if first != last => {
                let mut held: Vec<(PartitionId, Guard<'a>)> = Vec::with_capacity(ids.len());
                for &id in ids.iter() {
                    if held.last().is_none_or(|(last, _)| *last != id) {
                        held.push((id, store.lock(id)));
                    }
                }
                Locked::Many(held)
            }
            [id, ..] => Locked::One(id, store.lock(id)),
        }
    }

    /// The partitions that are held here; not those that are lent.
    pub fn ids(&self) -> Vec<PartitionId> {
        match self {
            Locked::None | Locked::Lent(_) => Vec::new(),
            Locked::One(id, _) => vec![*id],
            Locked::Many(held) => held.iter().map(|(id, _)| *id).collect(),
        }
    }

    /// Locks everything.
    pub fn all(store: &'a Store) -> Locked<'a> {
        Locked::Many(store.partitions().map(|id| (id, store.lock(id))).collect())
    }
}

impl Held for Locked<'_> {
    #[inline]
    fn get(&mut self, id: PartitionId) -> Option<&mut Partition> {
        match self {
            Locked::None => None,
            Locked::One(held, guard) => (*held == id).then_some(&mut **guard),
            Locked::Many(held) => {
                let at = held.binary_search_by_key(&id, |(held, _)| *held).ok()?;
                Some(&mut held[at].1)
            }
            Locked::Lent(held) => held.get(id),
        }
    }

    #[inline]
    fn peek(&self, id: PartitionId) -> Option<&Partition> {
        match self {
            Locked::None => None,
            Locked::One(held, guard) => (*held == id).then_some(&**guard),
            Locked::Many(held) => {
                let at = held.binary_search_by_key(&id, |(held, _)| *held).ok()?;
                Some(&held[at].1)
            }
            Locked::Lent(held) => held.peek(id),
        }
    }

    fn visit(&mut self, visit: &mut dyn FnMut(&mut Partition)) {
        match self {
            Locked::None => {}
            Locked::One(_, guard) => visit(guard),
            Locked::Many(held) => held.iter_mut().for_each(|(_, guard)| visit(guard)),
            Locked::Lent(held) => held.visit(visit),
        }
    }

    fn each(&mut self, visit: &mut dyn FnMut(PartitionId, &mut Partition)) -> bool {
        match self {
            Locked::None | Locked::One(..) => false,
            Locked::Many(held) => {
                held.iter_mut().for_each(|(id, guard)| visit(*id, guard));
                true
            }
            Locked::Lent(held) => held.each(visit),
        }
    }
}
