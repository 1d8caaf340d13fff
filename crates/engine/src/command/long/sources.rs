//! What is gathered in slices, to be answered or stored; the sources of what is to be stored; and unions, intersections and
//! differences of sets.

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

/// Something that is made of images, part by part.
pub trait Gather: Send {
    /// Gathers a part; true when all is gathered.
    fn gather(&mut self, budget: &mut Budget) -> bool;

    /// Bytes that were gathered.
    fn memory_bytes(&self) -> usize;

    /// What is stored of it.
    fn stored(&mut self) -> Stored {
        Stored::Nothing
    }

    /// Begins the reply, and gives what writes the rest.
    fn answer(&mut self, _node: &Node, _out: &mut Reply) -> Option<Box<dyn Work>> {
        None
    }
}

/// A command that gathers, and then answers or stores what it gathered.
pub struct Gathering<G> {
    result: G,
    /// Of a command that stores: its sources.
    watched: Option<Watched>,
    /// Of one that reads: what writes the rest of the reply.
    rest: Option<Box<dyn Work>>,
}

impl<G: Gather> Gathering<G> {
    /// It is answered.
    pub fn answered(result: G) -> Gathering<G> {
        Gathering { result, watched: None, rest: None }
    }

    /// It is stored, if the sources are as they were.
    pub fn stored(result: G, watched: Watched) -> Gathering<G> {
        Gathering { result, watched: Some(watched), rest: None }
    }
}

impl<G: Gather> Work for Gathering<G> {
    fn slice(&mut self, node: &Node, out: &mut Reply, budget: &mut Budget) -> Progress {
        if let Some(rest) = &mut self.rest {
            return rest.slice(node, out, budget);
        }
        if !self.result.gather(budget) {
            return Progress::More;
        }
        if let Some(sources) = self.watched.take() {
            return Progress::Ready(Prepared { result: self.result.stored(), sources });
        }
        self.rest = self.result.answer(node, out);
        if self.rest.is_some() { Progress::More } else { Progress::Done }
    }

    fn memory_bytes(&self) -> usize {
        self.rest.as_ref().map_or_else(|| self.result.memory_bytes(), |rest| rest.memory_bytes())
    }

    fn abandon(&mut self, store: &Store) {
        if let Some(mut watched) = self.watched.take() {
            watched.end(store);
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
    /// Only so many are counted, and none is kept.
    counted: Option<Counted>,
}

/// How many there are, up to how many.
struct Counted {
    count: usize,
    most: usize,
}

impl Combination {
    /// Takes images of the sources if there is much to do.
    pub fn of<'k>(
        call: &Call<'_>,
        algebra: Algebra,
        named: impl Iterator<Item = &'k [u8]>,
    ) -> Option<Combination> {
        // What holds something else is left to the handler to refuse.
        let sets: Result<Vec<_>, _> = named.map(|key| call.keys.peek_set(key)).collect();
        let sets = sets.ok()?;
        let lens = || sets.iter().flatten().map(|set| set.len());
        let work = match algebra {
            Algebra::Union => lens().sum(),
            Algebra::Intersection if sets.iter().any(Option::is_none) => 0,
            Algebra::Intersection => lens().min()?.saturating_mul(sets.len()),
            Algebra::Difference => (*sets.first()?)?.len().saturating_mul(sets.len()),
        };
        if !super::is_large(work, lens().sum()) {
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
        Some(Combination {
            algebra,
            sources,
            walked: 0,
            place: 0,
            result,
            limits,
            added_bytes: 0,
            counted: None,
        })
    }

    /// Only counts them, up to `most`, which is more than none.
    pub fn counted(mut self, most: usize) -> Combination {
        self.counted = Some(Counted { count: 0, most });
        self
    }

    /// All of it now.
    pub fn at_once(mut self) -> Set {
        self.gather(&mut Budget::unlimited());
        mem::take(&mut self.result)
    }
}

impl Gather for Combination {
    fn gather(&mut self, budget: &mut Budget) -> bool {
        let Combination { algebra, sources, walked, place, result, limits, added_bytes, counted } = self;
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
                match counted {
                    Some(counted) => counted.count += usize::from(wanted),
                    None if wanted && result.insert(bytes, limits) => {
                        *added_bytes += bytes.len() + MEMBER_BYTES;
                    }
                    None => {}
                }
                budget.spend(bytes.len() + looks * LOOKED_UP_BYTES)
            });
            match next {
                _ if counted.as_ref().is_some_and(|counted| counted.count >= counted.most) => return true,
                Some(next) => *place = next,
                None => (*walked, *place) = (*walked + 1, 0),
            }
        }
        *walked >= most
    }

    fn memory_bytes(&self) -> usize {
        self.added_bytes
    }

    fn stored(&mut self) -> Stored {
        Stored::Set(mem::take(&mut self.result))
    }

    fn answer(&mut self, _: &Node, out: &mut Reply) -> Option<Box<dyn Work>> {
        if let Some(counted) = &self.counted {
            out.integer(counted.count.min(counted.most) as i64);
            return None;
        }
        let set = mem::take(&mut self.result);
        out.set(set.len());
        Some(Box::new(Members::new(set)))
    }
}
