//! What belongs to ids of a stream, in their order: chunks that a clone shares, so that a snapshot takes what is pending in a
//! group of millions in microseconds, and who changes it meanwhile copies the chunks that it touches.

use super::Id;
use crate::object::shared::Shared;
use std::ops::{Bound, RangeBounds};

/// Most ids of a chunk: at most 12 KB of what is pending, so that the copy of one takes a microsecond or two.
const CHUNK_MAX: usize = 256;

/// An ordered map. Chunks are neither empty nor longer than [`CHUNK_MAX`].
#[derive(Clone, Debug)]
pub struct Ids<V> {
    chunks: Vec<Shared<Vec<(Id, V)>>>,
    len: usize,
}

impl<V> Default for Ids<V> {
    fn default() -> Self {
        Ids { chunks: Vec::new(), len: 0 }
    }
}

impl<V: Clone> Ids<V> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What they take. O(chunks).
    pub fn memory_bytes(&self) -> usize {
        let chunk = |chunk: &Shared<Vec<(Id, V)>>| chunk.capacity() * size_of::<(Id, V)>();
        self.chunks.capacity() * size_of::<Shared<Vec<(Id, V)>>>()
            + self.chunks.iter().map(chunk).sum::<usize>()
    }

    /// The chunk in which an id is, or would be.
    fn chunk_of(&self, id: Id) -> usize {
        self.chunks.partition_point(|chunk| chunk[0].0 <= id).saturating_sub(1)
    }

    /// The place of an id: chunk, index in it, and whether it is there.
    fn place(&self, id: Id) -> (usize, usize, bool) {
        let at = self.chunk_of(id);
        match self.chunks.get(at).map(|chunk| chunk.binary_search_by_key(&id, |(id, _)| *id)) {
            Some(Ok(index)) => (at, index, true),
            Some(Err(index)) => (at, index, false),
            None => (0, 0, false),
        }
    }

    /// What belongs to an id.
    pub fn get(&self, id: Id) -> Option<&V> {
        let (at, index, found) = self.place(id);
        found.then(|| &self.chunks[at][index].1)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, id: Id) -> Option<&mut V> {
        let (at, index, found) = self.place(id);
        found.then(|| &mut self.chunks[at][index].1)
    }

    /// Sets what belongs to an id; answers what did before.
    pub fn insert(&mut self, id: Id, value: V) -> Option<V> {
        let (at, index, found) = self.place(id);
        if found {
            return Some(std::mem::replace(&mut self.chunks[at][index].1, value));
        }
        self.len += 1;
        let Some(chunk) = self.chunks.get_mut(at) else {
            self.chunks.push(Shared::new(vec![(id, value)]));
            return None;
        };
        if chunk.len() < CHUNK_MAX {
            chunk.insert(index, (id, value));
            return None;
        }
        if index == CHUNK_MAX {
            // Ids ascend, most often: the full chunk stays full.
            self.chunks.insert(at + 1, Shared::new(vec![(id, value)]));
            return None;
        }
        let mut right = chunk.split_off(CHUNK_MAX / 2);
        match index.checked_sub(CHUNK_MAX / 2) {
            Some(index) => right.insert(index, (id, value)),
            None => chunk.insert(index, (id, value)),
        }
        self.chunks.insert(at + 1, Shared::new(right));
        None
    }

    /// Takes out what belongs to an id.
    pub fn remove(&mut self, id: Id) -> Option<V> {
        let (at, index, found) = self.place(id);
        if !found {
            return None;
        }
        self.len -= 1;
        let (_, value) = self.chunks[at].remove(index);
        if self.chunks[at].is_empty() {
            self.chunks.remove(at);
        } else {
            self.join(at);
        }
        Some(value)
    }

    /// Puts a chunk and the next one together where both are small, so that few ids are not spread over many chunks.
    fn join(&mut self, at: usize) {
        let small = |at: usize| self.chunks.get(at).map_or(CHUNK_MAX, |chunk| chunk.len());
        if small(at) + small(at + 1) <= CHUNK_MAX / 4 {
            let next = self.chunks.remove(at + 1).take();
            self.chunks[at].extend(next);
        }
    }

    /// All of them in order.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &V)> {
        self.chunks.iter().flat_map(|chunk| chunk.iter().map(|(id, value)| (*id, value)))
    }

    /// Those of a range in order.
    pub fn range(&self, range: impl RangeBounds<Id>) -> impl Iterator<Item = (Id, &V)> {
        let first = match range.start_bound() {
            Bound::Included(low) | Bound::Excluded(low) => self.chunk_of(*low),
            Bound::Unbounded => 0,
        };
        let all = self.chunks[first.min(self.chunks.len())..].iter().flat_map(|chunk| chunk.iter());
        let below = move |id: &Id, range: &(Bound<Id>, Bound<Id>)| match range.0 {
            Bound::Included(low) => *id < low,
            Bound::Excluded(low) => *id <= low,
            Bound::Unbounded => false,
        };
        let range = (range.start_bound().cloned(), range.end_bound().cloned());
        let ends = range.1;
        all.skip_while(move |(id, _)| below(id, &range))
            .take_while(move |(id, _)| (Bound::Unbounded, ends).contains(id))
            .map(|(id, value)| (*id, value))
    }

    /// The first id and the last.
    pub fn ends(&self) -> Option<(Id, Id)> {
        Some((self.chunks.first()?.first()?.0, self.chunks.last()?.last()?.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn id(n: u16) -> Id {
        Id { ms: u64::from(n / 7), seq: u64::from(n % 7) }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        /// As an ordered map does it; and an image stays what it was.
        #[test]
        fn ids_are_a_map(steps in prop::collection::vec((0u8..10, any::<u16>(), 1u16..900), 1..60), range in any::<[u16; 2]>()) {
            let (mut ids, mut model) = (Ids::default(), BTreeMap::new());
            let mut images = Vec::new();
            for (kind, from, count) in steps {
                for n in 0..count {
                    let id = id(from.wrapping_add(n) % 5000);
                    match kind {
                        0..5 => prop_assert_eq!(ids.insert(id, n), model.insert(id, n)),
                        5..8 => prop_assert_eq!(ids.remove(id), model.remove(&id)),
                        8 => prop_assert_eq!(ids.get(id), model.get(&id)),
                        _ => {
                            if let Some(value) = ids.get_mut(id) {
                                *value = n;
                                model.insert(id, n);
                            }
                        }
                    }
                }
                prop_assert!(ids.chunks.iter().all(|chunk| (1..=CHUNK_MAX).contains(&chunk.len())));
                images.push((ids.clone(), model.clone()));
            }
            let (low, high) = (id(range[0] % 5000), id(range[1] % 5000));
            for (ids, model) in &images {
                prop_assert_eq!((ids.len(), ids.is_empty()), (model.len(), model.is_empty()));
                prop_assert!(ids.iter().eq(model.iter().map(|(id, value)| (*id, value))));
                prop_assert!(ids.range(low..).eq(model.range(low..).map(|(id, value)| (*id, value))));
                let ends = model.keys().next().copied().zip(model.keys().next_back().copied());
                prop_assert_eq!(ids.ends(), ends);
                if low <= high {
                    prop_assert!(ids.range(low..=high).eq(model.range(low..=high).map(|(id, value)| (*id, value))));
                }
            }
        }
    }
}
