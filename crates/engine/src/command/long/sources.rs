//! Unions, intersections and differences of sets, gathered in slices; and the sources of what is to be stored.

use super::super::set::Algebra;
use super::super::{Call, Keyspace};
use super::whole::Members;
use super::{Budget, LOOKED_UP_BYTES, MEMBER_BYTES, Prepared, Progress, Stored, Work};
use crate::node::Node;
use larder_protocol::resp::reply::Reply;
use larder_protocol::slot::slot_of;
use larder_store::object::{Element, Limits, Set};
use larder_store::{Store, Watcher};
use std::mem;

/// Keys that must not change.
#[derive(Default)]
pub struct Watched {
    watcher: Watcher,
    db: u16,
    /// Each with whether it was there.
    keys: Vec<(Box<[u8]>, bool)>,
}

impl Watched {
    /// Watches keys that are held.
    pub fn of<'k>(keys: &mut Keyspace<'_>, named: impl Iterator<Item = &'k [u8]>) -> Watched {
        let mut watched = Watched { db: keys.db(), ..Watched::default() };
        for key in named {
            keys.watch(key, &watched.watcher);
            watched.keys.push((key.into(), keys.exists(key)));
        }
        watched
    }

    /// True if none has changed, or gone because its time was over. They are held.
    pub fn is_clean(&self, keys: &Keyspace<'_>) -> bool {
        !self.watcher.is_changed() && self.keys.iter().all(|(key, existed)| !existed || keys.exists(key))
    }

    /// Ends the watches. Takes locks of partitions, so none may be held.
    pub fn end(&mut self, store: &Store) {
        for (bytes, _) in mem::take(&mut self.keys) {
            let key = store.key(&bytes, slot_of(&bytes));
            store.lock(store.partition_of(key.slot)).unwatch(self.db, &key, &self.watcher);
        }
    }
}

/// A union, an intersection or a difference.
pub struct Combination {
    algebra: Algebra,
    /// Images: first the one that is walked, but for a union, of which all are.
    sources: Vec<Set>,
    walked: usize,
    place: usize,
    result: Set,
    limits: Limits,
    added_bytes: usize,
    /// Of a command that stores: its sources.
    watched: Option<Watched>,
    /// Of one that reads: what is written.
    members: Option<Members>,
}

impl Combination {
    /// Begins if there is much to do. `stores` is for a command that stores the result.
    pub fn of<'k>(
        call: &mut Call<'_>,
        algebra: Algebra,
        named: impl Iterator<Item = &'k [u8]> + Clone,
        stores: bool,
    ) -> Option<Combination> {
        // What holds something else is left to the handler to refuse.
        let sets: Result<Vec<_>, _> = named.clone().map(|key| call.keys.peek_set(key)).collect();
        let sets = sets.ok()?;
        let lens = || sets.iter().flatten().map(|set| set.len());
        let work = match algebra {
            Algebra::Union => lens().sum(),
            Algebra::Intersection if sets.iter().any(Option::is_none) => 0,
            Algebra::Intersection => lens().min()?.saturating_mul(sets.len()),
            Algebra::Difference => (*sets.first()?)?.len().saturating_mul(sets.len()),
        };
        if !super::is_long(call.session, work, lens().sum()) {
            return None;
        }
        // Of a difference the first is the one that is walked; missing ones say nothing.
        let mut sources: Vec<Set> = sets.into_iter().flatten().cloned().collect();
        let limits = call.node.limits();
        let mut result = Set::new();
        match algebra {
            Algebra::Intersection => sources.sort_by_key(Set::len),
            Algebra::Union => {
                sources.sort_by_key(Set::len);
                // What is gathered from the largest is a set of this form already.
                let small = limits.set_max_intset_entries.max(limits.set_max_listpack_entries);
                if let Some(largest) = sources.pop_if(|set| set.len() > small) {
                    result = largest;
                }
            }
            Algebra::Difference => {}
        }
        let watched = stores.then(|| Watched::of(&mut call.keys, named));
        Some(Combination {
            algebra,
            sources,
            walked: 0,
            place: 0,
            result,
            limits,
            added_bytes: 0,
            watched,
            members: None,
        })
    }

    /// Gathers a part; true when all is gathered.
    fn gather(&mut self, budget: &mut Budget) -> bool {
        let Combination { algebra, sources, walked, place, result, limits, added_bytes, .. } = self;
        let most = if matches!(algebra, Algebra::Union) { sources.len() } else { 1 };
        while *walked < most && !budget.is_spent() {
            let (others, mut digits) = (&sources[*walked + 1..], larder_store::object::Digits::new());
            let next = sources[*walked].walk(*place, &mut |member: Element<'_>| {
                let bytes = member.bytes(&mut digits);
                let mut looks = 1;
                let wanted = match algebra {
                    Algebra::Union => true,
                    Algebra::Intersection => {
                        others.iter().inspect(|_| looks += 1).all(|set| set.contains(bytes))
                    }
                    Algebra::Difference => {
                        !others.iter().inspect(|_| looks += 1).any(|set| set.contains(bytes))
                    }
                };
                if wanted && result.insert(bytes, limits) {
                    *added_bytes += bytes.len() + MEMBER_BYTES;
                }
                budget.spend(bytes.len() + looks * LOOKED_UP_BYTES)
            });
            match next {
                Some(next) => *place = next,
                None => (*walked, *place) = (*walked + 1, 0),
            }
        }
        *walked >= most
    }
}

impl Work for Combination {
    fn slice(&mut self, node: &Node, out: &mut Reply, budget: &mut Budget) -> Progress {
        if let Some(members) = &mut self.members {
            return members.slice(node, out, budget);
        }
        if !self.gather(budget) {
            return Progress::More;
        }
        let set = mem::take(&mut self.result);
        match self.watched.take() {
            Some(sources) => Progress::Ready(Prepared { result: Stored::Set(set), sources }),
            None => {
                out.set(set.len());
                self.members = Some(Members::new(set));
                self.added_bytes = 0;
                Progress::More
            }
        }
    }

    fn memory_bytes(&self) -> usize {
        self.added_bytes
    }

    fn abandon(&mut self, store: &Store) {
        if let Some(mut watched) = self.watched.take() {
            watched.end(store);
        }
    }
}
