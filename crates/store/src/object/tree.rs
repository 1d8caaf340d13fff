//! The order of a grown sorted set: a B+tree of 4-byte handles with subtree counts.
//!
//! A leaf holds up to 58 handles in 252 bytes, with the count of who shares it; an inner node holds, for each child, its
//! first handle and the number of members below it, so rank and select are O(log n). No node but a root is empty. Neither
//! score nor name is stored here: comparing asks the caller, who looks into the arena. Nodes own their children; a path is
//! a recursion or a stack, there are no parent pointers. A clone shares all nodes, and costs nothing.

use super::arena::Handle;
use super::shared::Shared;

const LEAF_MAX: usize = 58;
const INNER_MAX: usize = 32;

#[derive(Clone, Debug)]
struct Leaf {
    len: u32,
    items: [Handle; LEAF_MAX],
}

const _: () = assert!(size_of::<Leaf>() + 2 * size_of::<usize>() <= 256);

#[derive(Clone, Debug)]
enum Node {
    Leaf(Shared<Leaf>),
    Inner(Shared<Vec<Child>>),
}

#[derive(Clone, Debug)]
struct Child {
    node: Node,
    first: Handle,
    count: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Tree {
    root: Node,
    len: usize,
}

impl Leaf {
    fn new(items: &[Handle]) -> Shared<Leaf> {
        let mut leaf = Leaf { len: items.len() as u32, items: [0; LEAF_MAX] };
        leaf.items[..items.len()].copy_from_slice(items);
        Shared::new(leaf)
    }

    fn as_slice(&self) -> &[Handle] {
        &self.items[..self.len as usize]
    }

    /// Inserts; a full leaf gives its right part away. An append keeps the left leaf full, since scores often ascend.
    fn insert(&mut self, index: usize, handle: Handle) -> Option<Shared<Leaf>> {
        let len = self.len as usize;
        if len < LEAF_MAX {
            self.items.copy_within(index..len, index + 1);
            self.items[index] = handle;
            self.len += 1;
            return None;
        }
        if index == LEAF_MAX {
            return Some(Leaf::new(&[handle]));
        }
        let cut = LEAF_MAX / 2;
        let mut right = Leaf::new(&self.items[cut..]);
        self.len = cut as u32;
        match index <= cut {
            true => self.insert(index, handle),
            false => right.insert(index - cut, handle),
        };
        Some(right)
    }

    fn remove(&mut self, index: usize) -> Handle {
        let handle = self.items[index];
        self.items.copy_within(index + 1..self.len as usize, index);
        self.len -= 1;
        handle
    }
}

impl Child {
    fn of(node: Node) -> Child {
        let (first, count) = match &node {
            Node::Leaf(leaf) => (leaf.items[0], leaf.len as usize),
            Node::Inner(children) => (
                children.first().map_or(0, |child| child.first),
                children.iter().map(|child| child.count).sum(),
            ),
        };
        Child { node, first, count }
    }

    fn refresh_first(&mut self) {
        self.first = match &self.node {
            Node::Leaf(leaf) => leaf.items[0],
            Node::Inner(children) => children.first().map_or(0, |child| child.first),
        };
    }
}

impl Node {
    fn width(&self) -> usize {
        match self {
            Node::Leaf(leaf) => leaf.len as usize,
            Node::Inner(children) => children.len(),
        }
    }

    fn width_max(&self) -> usize {
        match self {
            Node::Leaf(_) => LEAF_MAX,
            Node::Inner(_) => INNER_MAX,
        }
    }

    /// Inserts at a rank; what does not fit becomes a new right neighbour.
    fn insert(&mut self, rank: usize, handle: Handle) -> Option<Node> {
        match self {
            Node::Leaf(leaf) => leaf.insert(rank, handle).map(Node::Leaf),
            Node::Inner(children) => {
                insert_below(children, rank, handle).map(|right| Node::Inner(Shared::new(right)))
            }
        }
    }

    fn remove(&mut self, rank: usize) -> Handle {
        match self {
            Node::Leaf(leaf) => leaf.remove(rank),
            Node::Inner(children) => remove_below(children, rank),
        }
    }

    fn replace(&mut self, rank: usize, handle: Handle) {
        match self {
            Node::Leaf(leaf) => leaf.items[rank] = handle,
            Node::Inner(children) => {
                let (index, rank) = child_of(children, rank, false);
                children[index].node.replace(rank, handle);
                children[index].refresh_first();
            }
        }
    }

    /// Takes over all that is in the right neighbour, which must be of the same height.
    fn absorb(&mut self, right: Node) {
        match (self, right) {
            (Node::Leaf(left), Node::Leaf(right)) => {
                let (at, more) = (left.len as usize, right.len as usize);
                left.items[at..at + more].copy_from_slice(right.as_slice());
                left.len += right.len;
            }
            (Node::Inner(left), Node::Inner(right)) => left.extend(right.take()),
            _ => debug_assert!(false, "neighbours have the same height"),
        }
    }

    fn memory_bytes(&self) -> usize {
        match self {
            Node::Leaf(_) => size_of::<Leaf>(),
            Node::Inner(children) => {
                let below: usize = children.iter().map(|child| child.node.memory_bytes()).sum();
                children.capacity() * size_of::<Child>() + below
            }
        }
    }
}

/// The child that holds a rank and the rank in it; a rank at the border goes to the left one if `left`.
fn child_of(children: &[Child], mut rank: usize, left: bool) -> (usize, usize) {
    let last = children.len() - 1;
    for (index, child) in children[..last].iter().enumerate() {
        if rank < child.count || (left && rank == child.count) {
            return (index, rank);
        }
        rank -= child.count;
    }
    (last, rank)
}

fn insert_below(children: &mut Vec<Child>, rank: usize, handle: Handle) -> Option<Vec<Child>> {
    let (index, rank) = child_of(children, rank, true);
    let child = &mut children[index];
    let split = child.node.insert(rank, handle);
    child.count += 1;
    child.refresh_first();
    let right = Child::of(split?);
    child.count -= right.count;
    children.reserve_exact(if children.len() < INNER_MAX { 4 } else { 1 });
    children.insert(index + 1, right);
    if children.len() <= INNER_MAX {
        return None;
    }
    let cut = if index + 2 == children.len() { INNER_MAX } else { INNER_MAX / 2 };
    Some(children.split_off(cut))
}

fn remove_below(children: &mut Vec<Child>, rank: usize) -> Handle {
    let (index, rank) = child_of(children, rank, false);
    let child = &mut children[index];
    let handle = child.node.remove(rank);
    child.count -= 1;
    child.refresh_first();
    if child.count == 0 {
        // Its neighbours may be too full to take it over, and there may be none; its first handle is nobody's.
        children.remove(index);
    } else if child.node.width() < child.node.width_max() / 3 {
        merge(children, index);
    }
    handle
}

/// Joins a thin child with a neighbour if both fit in one.
fn merge(children: &mut Vec<Child>, index: usize) {
    for left in [index, index.wrapping_sub(1)] {
        let Some([one, two]) = children.get(left..left.wrapping_add(2)) else { continue };
        if one.node.width() + two.node.width() > one.node.width_max() {
            continue;
        }
        let right = children.remove(left + 1);
        children[left].count += right.count;
        children[left].node.absorb(right.node);
        children[left].refresh_first();
        return;
    }
}

impl Tree {
    pub(super) fn new() -> Self {
        Tree { root: Node::Leaf(Leaf::new(&[])), len: 0 }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.root.memory_bytes()
    }

    /// Number of members at the front for which `before` holds; it must hold for a prefix of the order.
    pub(super) fn partition_point(&self, before: &mut dyn FnMut(Handle) -> bool) -> usize {
        let (mut node, mut rank) = (&self.root, 0);
        loop {
            match node {
                Node::Leaf(leaf) => return rank + leaf.as_slice().partition_point(|&handle| before(handle)),
                Node::Inner(children) => {
                    let behind = children.partition_point(|child| before(child.first));
                    let index = behind.saturating_sub(1);
                    rank += children[..index].iter().map(|child| child.count).sum::<usize>();
                    node = &children[index].node;
                }
            }
        }
    }

    pub(super) fn insert(&mut self, rank: usize, handle: Handle) {
        self.len += 1;
        if let Some(right) = self.root.insert(rank, handle) {
            let left = std::mem::replace(&mut self.root, Node::Inner(Shared::default()));
            self.root = Node::Inner(Shared::new(vec![Child::of(left), Child::of(right)]));
        }
    }

    /// Removes the member with a rank below the length.
    pub(super) fn remove(&mut self, rank: usize) -> Handle {
        self.len -= 1;
        let handle = self.root.remove(rank);
        while let Node::Inner(children) = &mut self.root {
            if children.len() > 1 {
                break;
            }
            self.root = match children.pop() {
                Some(only) => only.node,
                None => Node::Leaf(Leaf::new(&[])),
            };
        }
        handle
    }

    /// Gives the member with a rank below the length another handle.
    pub(super) fn replace(&mut self, rank: usize, handle: Handle) {
        self.root.replace(rank, handle);
    }

    /// Members from a rank on, ascending or descending.
    pub(super) fn iter(&self, rank: usize, reverse: bool) -> Iter<'_> {
        let mut iter = Iter { path: Vec::new(), leaf: &[], at: 0, left: 0, reverse };
        if rank >= self.len {
            return iter;
        }
        iter.left = if reverse { rank + 1 } else { self.len - rank };
        iter.descend(&self.root, rank);
        iter
    }
}

/// Iterator of [`Tree::iter`].
#[derive(Clone, Debug)]
pub(super) struct Iter<'a> {
    path: Vec<(&'a [Child], usize)>,
    leaf: &'a [Handle],
    at: usize,
    left: usize,
    reverse: bool,
}

impl<'a> Iter<'a> {
    fn descend(&mut self, mut node: &'a Node, mut rank: usize) {
        loop {
            match node {
                Node::Leaf(leaf) => {
                    self.leaf = leaf.as_slice();
                    self.at = rank;
                    return;
                }
                Node::Inner(children) => {
                    let (index, below) = child_of(children, rank, false);
                    self.path.push((children, index));
                    (node, rank) = (&children[index].node, below);
                }
            }
        }
    }

    /// Goes to the leaf beside the present one.
    fn turn(&mut self) {
        while let Some((children, index)) = self.path.pop() {
            let beside = if self.reverse { index.checked_sub(1) } else { Some(index + 1) };
            let Some(beside) = beside.filter(|&beside| beside < children.len()) else { continue };
            self.path.push((children, beside));
            let child = &children[beside];
            return self.descend(&child.node, if self.reverse { child.count - 1 } else { 0 });
        }
    }
}

impl Iterator for Iter<'_> {
    type Item = Handle;

    fn next(&mut self) -> Option<Handle> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let handle = self.leaf[self.at];
        let at_edge = if self.reverse { self.at == 0 } else { self.at + 1 == self.leaf.len() };
        match at_edge {
            true if self.left > 0 => self.turn(),
            true => {}
            false if self.reverse => self.at -= 1,
            false => self.at += 1,
        }
        Some(handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing below a node is empty, counts are those of what is below, and firsts are the first handles.
    fn check(node: &Node) {
        let Node::Inner(children) = node else { return };
        for child in children.iter() {
            let honest = Child::of(child.node.clone());
            assert!(child.count > 0 && child.count == honest.count && child.first == honest.first);
            check(&child.node);
        }
    }

    /// Handles come and go in stretches of many, at the ends and in between, as those of scores that ascend do: whole
    /// leaves and inner nodes become thin beside full ones.
    #[test]
    fn a_node_that_loses_all_is_gone() {
        for seed in 0..12u64 {
            let mut state = seed * 2 + 1;
            let mut draw = |below: usize| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as usize % below
            };
            let (mut tree, mut model, mut fresh) = (Tree::new(), Vec::new(), 0);
            for _ in 0..60 {
                let (act, many, place) = (draw(6), draw(3000), draw(model.len() + 1));
                for _ in 0..many {
                    if act < 3 {
                        let rank = [model.len(), place, 0][act];
                        fresh += 1;
                        model.insert(rank, fresh);
                        tree.insert(rank, fresh);
                    } else if !model.is_empty() {
                        let rank = [model.len() - 1, place.min(model.len() - 1), 0][act - 3];
                        assert_eq!(tree.remove(rank), model.remove(rank));
                    }
                }
                check(&tree.root);
                assert!(tree.iter(0, false).eq(model.iter().copied()), "seed {seed}");
                let last = model.len().wrapping_sub(1);
                assert!(tree.iter(last, true).eq(model.iter().rev().copied()), "seed {seed}");
            }
        }
    }
}
