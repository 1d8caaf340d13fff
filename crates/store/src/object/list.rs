//! A list: a deque of packed nodes of about 8 KB, each at most as big as `list-max-listpack-size` says.
//!
//! A list of one node is reported as "listpack", a longer one as "quicklist", as Redis 7.2 does. An element bigger
//! than a node gets a node of its own. A clone shares the nodes. Neighbours that shrink so far that they fit in one node are joined.

use super::Limits;
use super::packed::{Element, Packed, packed_len};
use super::shared::Shared;
use crate::compact::Mover;
use std::collections::VecDeque;

/// Which end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The head, index 0.
    Left,
    /// The tail, index -1.
    Right,
}

/// Bytes of a node when the limit is a number of elements.
const NODE_BYTES_SAFE: usize = 8 << 10;

/// Nodes of a list beyond which they stay where they are: moving them all at once would hold its partition too long.
const COMPACT_NODES_MAX: usize = 16;

/// What a node takes beside its own bytes.
const SHARED_BYTES: usize = 2 * size_of::<usize>() + size_of::<Packed>();

/// A list value.
#[derive(Clone, Debug, Default)]
pub struct List {
    nodes: VecDeque<Shared<Packed>>,
    len: usize,
}

/// Place of an element: node and position in it.
#[derive(Clone, Copy, Debug)]
struct Place {
    node: usize,
    at: usize,
}

fn fits(count: usize, bytes: usize, limits: &Limits) -> bool {
    match limits.list_max_listpack_size {
        level @ ..0 => bytes <= (4 << 10) << (level.max(-5).unsigned_abs() - 1),
        entries => count <= entries.max(1) as usize && bytes <= NODE_BYTES_SAFE,
    }
}

fn accepts(node: &Packed, element: &Element<'_>, limits: &Limits) -> bool {
    node.is_empty() || fits(node.len() + 1, node.byte_len() + packed_len(element), limits)
}

impl List {
    /// An empty list.
    pub const fn new() -> Self {
        List { nodes: VecDeque::new(), len: 0 }
    }

    /// Number of elements. O(1).
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Name of the present form, as `OBJECT ENCODING` prints it.
    pub fn encoding(&self) -> &'static str {
        if self.nodes.len() <= 1 { "listpack" } else { "quicklist" }
    }

    /// Lets the nodes take other memory where they lie badly, unless there are very many.
    pub(crate) fn compact(&mut self, mover: &mut Mover<'_>) {
        if self.nodes.len() <= COMPACT_NODES_MAX {
            self.nodes.iter_mut().for_each(|node| node.compact(mover));
        }
    }

    /// Bytes that the value holds beside its own size.
    pub fn memory_bytes(&self) -> usize {
        let nodes: usize = self.nodes.iter().map(|node| SHARED_BYTES + node.memory_bytes()).sum();
        nodes + self.nodes.capacity() * size_of::<Shared<Packed>>()
    }

    /// Adds an element at an end. O(1) in the length of the list.
    pub fn push(&mut self, end: End, value: &[u8], limits: &Limits) {
        let element = Element::parse(value);
        let node = match end {
            End::Left => self.nodes.front_mut(),
            End::Right => self.nodes.back_mut(),
        };
        match node.filter(|node| accepts(node, &element, limits)) {
            Some(node) => {
                let at = if end == End::Left { 0 } else { node.end() };
                node.insert(at, &element);
            }
            None => self.push_alone(end, &element),
        }
        self.len += 1;
    }

    /// Adds a node with one element at an end.
    #[cold]
    fn push_alone(&mut self, end: End, element: &Element<'_>) {
        let mut node = Packed::new();
        node.insert(0, element);
        match end {
            End::Left => self.nodes.push_front(Shared::new(node)),
            End::Right => self.nodes.push_back(Shared::new(node)),
        }
    }

    /// Appends a node of entries as it is, however large.
    pub fn push_node(&mut self, node: Packed) {
        if !node.is_empty() {
            self.len += node.len();
            self.nodes.push_back(Shared::new(node));
        }
    }

    /// The nodes in order; none is empty.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Packed> {
        self.nodes.iter().map(|node| &**node)
    }

    /// Removes the element at an end.
    pub fn pop(&mut self, end: End) -> Option<Vec<u8>> {
        let node = match end {
            End::Left => self.nodes.front_mut()?,
            End::Right => self.nodes.back_mut()?,
        };
        let at = match end {
            End::Left => node.first()?,
            End::Right => node.last()?,
        };
        let value = node.get(at).to_vec();
        node.remove(at);
        if node.is_empty() {
            match end {
                End::Left => self.nodes.pop_front(),
                End::Right => self.nodes.pop_back(),
            };
        }
        self.len -= 1;
        Some(value)
    }

    /// The element number `index` from the head. O(nodes), and O(one node).
    pub fn get(&self, index: usize) -> Option<Element<'_>> {
        self.place(index).map(|place| self.nodes[place.node].get(place.at))
    }

    /// Overwrites the element number `index`; false if there is none.
    pub fn set(&mut self, index: usize, value: &[u8], limits: &Limits) -> bool {
        let Some(place) = self.place(index) else { return false };
        self.nodes[place.node].remove(place.at);
        self.len -= 1;
        self.insert_at(place, &Element::parse(value), limits);
        true
    }

    /// Inserts in front of the element number `index`, or at the tail if `index` is the length.
    pub fn insert(&mut self, index: usize, value: &[u8], limits: &Limits) {
        match self.place(index) {
            Some(place) => self.insert_at(place, &Element::parse(value), limits),
            None => self.push(End::Right, value, limits),
        }
    }

    /// Index of the first element equal to `value`. O(n).
    pub fn position(&self, value: &[u8]) -> Option<usize> {
        let needle = Element::parse(value);
        self.iter().position(|element| element == needle)
    }

    /// All elements, from either end.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Element<'_>> {
        self.nodes.iter().flat_map(|node| node.iter())
    }

    /// Visits `count` elements from number `start` on, as many as there are. O(nodes + count).
    #[inline]
    pub fn visit(&self, start: usize, count: usize, mut visit: impl FnMut(Element<'_>)) {
        let Some(place) = self.place(start) else { return };
        let (mut at, mut left) = (place.at, count);
        for node in self.nodes.range(place.node..) {
            left -= node.visit(at, left, &mut visit);
            if left == 0 {
                return;
            }
            at = 0;
        }
    }

    /// The nodes in which `count` elements from number `start` on lie, shared, as a list of their own, and the number of the
    /// first of these elements in it. O(nodes).
    pub fn part(&self, start: usize, count: usize) -> (List, usize) {
        let (mut skipped, mut part) = (0, List::new());
        for node in &self.nodes {
            let behind = skipped + node.len();
            if behind <= start && part.nodes.is_empty() {
                skipped = behind;
                continue;
            }
            if part.len >= (start - skipped).saturating_add(count) {
                break;
            }
            part.len += node.len();
            part.nodes.push_back(node.clone());
        }
        (part, start - skipped)
    }

    /// Visits up to `count` elements of one node from its element `start` on; tells how many there were, `None` if there is
    /// no such node.
    pub fn visit_node(
        &self,
        node: usize,
        start: usize,
        count: usize,
        visit: impl FnMut(Element<'_>),
    ) -> Option<usize> {
        let node = self.nodes.get(node)?;
        Some(node.seek(start).map_or(0, |at| node.visit(at, count, visit)))
    }

    /// Elements from the tail towards the head, beginning with number `start`. O(nodes) to start.
    pub fn iter_back_from(&self, start: usize) -> impl Iterator<Item = Element<'_>> {
        let behind = self.place(start).map(|place| {
            let node = &self.nodes[place.node];
            (place.node, node.after(place.at).unwrap_or(node.end()))
        });
        let (index, end) = behind.unwrap_or((0, 0));
        let first = behind.and_then(|_| self.nodes.get(index)).map(|node| node.iter_before(end).rev());
        first.into_iter().flatten().chain(self.nodes.range(..index).rev().flat_map(|node| node.iter().rev()))
    }

    /// Removes elements equal to `value`: `count` from the head if positive, from the tail if negative, all if 0.
    /// Tells how many. O(n).
    pub fn remove_equal(&mut self, count: i64, value: &[u8], limits: &Limits) -> usize {
        let needle = Element::parse(value);
        let budget = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
        let mut removed = 0;
        for step in 0..self.nodes.len() {
            let index = if count < 0 { self.nodes.len() - 1 - step } else { step };
            let node = &mut self.nodes[index];
            removed += match count {
                ..0 => remove_from_tail(node, &needle, budget - removed),
                _ => remove_from_head(node, &needle, budget - removed),
            };
            if removed == budget {
                break;
            }
        }
        self.len -= removed;
        if removed > 0 {
            self.tidy(limits);
        }
        removed
    }

    /// Removes `count` elements from number `start` on (as many as there are). O(nodes + count).
    pub fn remove_range(&mut self, start: usize, count: usize, limits: &Limits) {
        let Some(mut place) = self.place(start) else { return };
        let mut left = count.min(self.len - start);
        self.len -= left;
        let edited = place.node;
        while left > 0 {
            let node = &mut self.nodes[place.node];
            if place.at == 0 && node.len() <= left {
                left -= node.len();
                *node = Shared::default();
            } else {
                left -= node.remove_range(place.at, left);
            }
            place = Place { node: place.node + 1, at: 0 };
        }
        let edited_end = place.node;
        self.drop_empty(edited, edited_end);
        self.join(edited, limits);
    }

    /// Finds an element, counting from the nearer end.
    fn place(&self, index: usize) -> Option<Place> {
        if index >= self.len {
            return None;
        }
        if index < self.len / 2 {
            let mut rest = index;
            for (node, packed) in self.nodes.iter().enumerate() {
                if rest < packed.len() {
                    return packed.seek(rest).map(|at| Place { node, at });
                }
                rest -= packed.len();
            }
            return None;
        }
        let mut behind = self.len - index; // elements from `index` on
        for (node, packed) in self.nodes.iter().enumerate().rev() {
            if behind <= packed.len() {
                return packed.seek(packed.len() - behind).map(|at| Place { node, at });
            }
            behind -= packed.len();
        }
        None
    }

    /// Inserts in front of a place, splitting its node if it is full.
    fn insert_at(&mut self, place: Place, element: &Element<'_>, limits: &Limits) {
        let Place { node: index, at } = place;
        self.len += 1;
        if accepts(&self.nodes[index], element, limits) {
            return self.nodes[index].insert(at, element);
        }
        let right = self.nodes[index].split_off(at);
        if !right.is_empty() {
            self.nodes.insert(index + 1, Shared::new(right));
        }
        if accepts(&self.nodes[index], element, limits) {
            let end = self.nodes[index].end();
            return self.nodes[index].insert(end, element);
        }
        let mut alone = Packed::new();
        alone.insert(0, element);
        self.nodes.insert(index + 1, Shared::new(alone));
    }

    fn drop_empty(&mut self, from: usize, to: usize) {
        let mut kept = from;
        for index in from..to.min(self.nodes.len()) {
            if !self.nodes[index].is_empty() {
                self.nodes.swap(kept, index);
                kept += 1;
            }
        }
        self.nodes.drain(kept..to.min(self.nodes.len()));
    }

    /// Joins the nodes around `index` while two neighbours fit in one.
    fn join(&mut self, index: usize, limits: &Limits) {
        let mut left = index.saturating_sub(1);
        while left < self.nodes.len() && left <= index + 1 {
            let Some(right) = self.nodes.get(left + 1) else { return };
            let node = &self.nodes[left];
            if !fits(node.len() + right.len(), node.byte_len() + right.byte_len(), limits) {
                left += 1;
                continue;
            }
            if let Some(right) = self.nodes.remove(left + 1) {
                self.nodes[left].append(&right);
            }
        }
    }

    /// Drops empty nodes and joins small neighbours all over.
    fn tidy(&mut self, limits: &Limits) {
        let mut kept: VecDeque<Shared<Packed>> = VecDeque::with_capacity(self.nodes.len());
        for node in self.nodes.drain(..).filter(|node| !node.is_empty()) {
            match kept.back_mut() {
                Some(last) if fits(last.len() + node.len(), last.byte_len() + node.byte_len(), limits) => {
                    last.append(&node);
                }
                _ => kept.push_back(node),
            }
        }
        self.nodes = kept;
    }
}

fn remove_from_head(node: &mut Packed, needle: &Element<'_>, budget: usize) -> usize {
    let (mut from, mut removed) = (0, 0);
    while removed < budget {
        let Some(at) = node.find(from, needle, 1) else { break };
        node.remove(at);
        from = at;
        removed += 1;
    }
    removed
}

fn remove_from_tail(node: &mut Packed, needle: &Element<'_>, budget: usize) -> usize {
    let (mut behind, mut removed) = (node.end(), 0);
    while removed < budget {
        let Some(at) = node.before(behind) else { break };
        if node.get(at) == *needle {
            node.remove(at);
            removed += 1;
        }
        behind = at;
    }
    removed
}
