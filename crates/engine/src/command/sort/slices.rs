//! Members that are sorted in slices: runs, each sorted as it is gathered, which are merged while they are written.

use super::super::dispatch::fail;
use super::super::long::{Budget, Gather, LOOKED_UP_BYTES, MEMBER_BYTES, Progress, Stored, Work};
use super::{NOT_NUMBERS, weight};
use crate::node::Node;
use larder_protocol::resp::reply::Reply;
use larder_store::object::{Digits, End, Limits, List, Set, SortedSet};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::mem;

/// Elements of a list that are gathered without looking at what was done.
const ELEMENTS_AT_ONCE: usize = 64;

/// What is sorted.
pub(super) enum Image {
    List(List),
    Set(Set),
    Sorted(SortedSet),
}

/// How it is sorted: as numbers, or as text.
#[derive(Clone, Copy)]
pub(super) struct Order {
    pub(super) alpha: bool,
    pub(super) descending: bool,
}

/// What a member is compared by.
pub(super) enum Weight {
    /// A number, and where they are equal the member.
    Number(f64),
    /// The member.
    Member,
    /// What another key holds, if it holds anything, and where it is equal the order in which they were.
    Text(Option<Box<[u8]>>),
}

/// A member, and the next of its run behind it.
pub(super) struct Item {
    pub(super) weight: Weight,
    pub(super) member: Vec<u8>,
    /// Which it was before.
    place: usize,
    /// Which of the answers is its own.
    pub(super) answer: usize,
    run: usize,
    descending: bool,
}

impl Item {
    pub(super) fn new(weight: Weight, member: Vec<u8>, place: usize, order: Order) -> Item {
        Item { weight, member, place, answer: place, run: 0, descending: order.descending }
    }

    pub(super) fn order(&self, other: &Item) -> Ordering {
        let order = match (&self.weight, &other.weight) {
            (Weight::Number(one), Weight::Number(two)) => {
                one.partial_cmp(two).unwrap_or(Ordering::Equal).then_with(|| self.member.cmp(&other.member))
            }
            (Weight::Text(one), Weight::Text(two)) => one.cmp(two),
            _ => self.member.cmp(&other.member),
        };
        let order = if self.descending { order.reverse() } else { order };
        order.then(self.place.cmp(&other.place))
    }
}

// The first one is the greatest to a heap.
impl Ord for Item {
    fn cmp(&self, other: &Item) -> Ordering {
        other.order(self)
    }
}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Item) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Item) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Item {}

/// Runs that are sorted, last ones first, and the first ones of all.
#[derive(Default)]
pub(super) struct Runs {
    rest: Vec<Vec<Item>>,
    heads: BinaryHeap<Item>,
}

impl Runs {
    /// Adds members as a run.
    pub(super) fn add(&mut self, mut run: Vec<Item>) {
        run.sort_unstable_by(|one, other| other.order(one));
        run.iter_mut().for_each(|item| item.run = self.rest.len());
        self.heads.extend(run.pop());
        self.rest.push(run);
    }

    /// Takes the first one.
    fn next(&mut self) -> Option<Item> {
        let first = self.heads.pop()?;
        self.heads.extend(self.rest[first.run].pop());
        Some(first)
    }
}

/// See the module.
pub(super) struct Sorting {
    image: Image,
    /// Where in it the next one is: a node and an element of it, a place, a rank.
    at: (usize, usize),
    gathered: bool,
    order: Order,
    runs: Runs,
    bytes: usize,
    /// A member is no number.
    failed: bool,
    /// How many are passed over, and how many wanted.
    window: (usize, usize),
    /// What is to be stored.
    list: Option<(List, Limits)>,
}

impl Sorting {
    /// The members of an image in an order: `window.1` of them behind the first `window.0`.
    pub(super) fn new(image: Image, order: Order, window: (usize, usize)) -> Sorting {
        Sorting {
            image,
            at: (0, 0),
            gathered: false,
            order,
            runs: Runs::default(),
            bytes: 0,
            failed: false,
            window,
            list: None,
        }
    }

    /// The same, to be stored.
    pub(super) fn kept(mut self, limits: Limits) -> Sorting {
        self.list = Some((List::new(), limits));
        self
    }

    /// Makes a run of the next members; true if it was the last.
    fn gather_run(&mut self, budget: &mut Budget) -> bool {
        let Sorting { image, at, order, bytes, failed, .. } = self;
        let (mut run, mut digits) = (Vec::new(), Digits::new());
        let mut take = |member: &[u8]| {
            let weight = if order.alpha { Some(Weight::Member) } else { weight(member).map(Weight::Number) };
            *failed |= weight.is_none();
            *bytes += member.len() + mem::size_of::<Item>() + MEMBER_BYTES;
            run.push(Item::new(weight.unwrap_or(Weight::Member), member.to_vec(), 0, *order));
            budget.spend(member.len() + LOOKED_UP_BYTES) && !*failed
        };
        let next = match image {
            Image::List(list) => loop {
                let mut more = true;
                let visited = list.visit_node(at.0, at.1, ELEMENTS_AT_ONCE, |element| {
                    more &= take(element.bytes(&mut Digits::new()));
                });
                *at = match visited {
                    Some(0) => (at.0 + 1, 0),
                    Some(count) => (at.0, at.1 + count),
                    None => break None,
                };
                if !more {
                    break Some(*at);
                }
            },
            Image::Set(set) => {
                set.walk(at.0, &mut |member| take(member.bytes(&mut digits))).map(|place| (place, 0))
            }
            Image::Sorted(zset) => {
                let mut rank = at.0;
                let more = zset.iter_from(rank, false).all(|(member, _)| {
                    rank += 1;
                    take(member.bytes(&mut digits))
                });
                (!more).then_some((rank, 0))
            }
        };
        self.runs.add(run);
        self.at = next.unwrap_or(self.at);
        next.is_none() || self.failed
    }
}

/// Takes one member after the other, but for those that are passed over, until nothing is left or the budget is spent; false
/// then.
pub(super) fn merge(
    runs: &mut Runs,
    (passed, wanted): &mut (usize, usize),
    budget: &mut Budget,
    mut put: impl FnMut(&Item) -> usize,
) -> bool {
    while *wanted > 0 {
        let Some(item) = runs.next() else { break };
        let bytes = match *passed {
            0 => {
                *wanted -= 1;
                put(&item)
            }
            _ => {
                *passed -= 1;
                item.member.len()
            }
        };
        if !budget.spend(bytes + LOOKED_UP_BYTES) && *wanted > 0 {
            return false;
        }
    }
    true
}

/// Writes a member; gives its bytes.
pub(super) fn write(out: &mut Reply, item: &Item) -> usize {
    out.bulk(&item.member);
    item.member.len()
}

impl Gather for Sorting {
    fn gather(&mut self, budget: &mut Budget) -> bool {
        if !self.gathered {
            self.gathered = self.gather_run(budget);
            return self.gathered && self.list.is_none();
        }
        match &mut self.list {
            Some((list, limits)) if !self.failed => merge(&mut self.runs, &mut self.window, budget, |item| {
                list.push(End::Right, &item.member, limits);
                item.member.len()
            }),
            _ => true,
        }
    }

    fn memory_bytes(&self) -> usize {
        self.bytes
    }

    fn stored(&mut self) -> Stored {
        match self.list.take() {
            Some((list, _)) if !self.failed => Stored::List(list),
            _ => Stored::Nothing, // the handler says why
        }
    }

    fn answer(&mut self, node: &Node, out: &mut Reply) -> Option<Box<dyn Work>> {
        if self.failed {
            let start = out.len();
            fail(node, out, start, NOT_NUMBERS);
            return None;
        }
        out.array(self.window.1);
        let (runs, window, bytes) = (mem::take(&mut self.runs), self.window, self.bytes);
        Some(Box::new(Merging { runs, window, bytes }))
    }
}

/// Runs that are written; the header was.
struct Merging {
    runs: Runs,
    window: (usize, usize),
    bytes: usize,
}

impl Work for Merging {
    fn slice(&mut self, _: &Node, out: &mut Reply, budget: &mut Budget) -> Progress {
        match merge(&mut self.runs, &mut self.window, budget, |item| write(out, item)) {
            true => Progress::Done,
            false => Progress::More,
        }
    }

    fn memory_bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is answered for so many numbers in slices.
    fn sorted(image: Image, order: Order, window: (usize, usize)) -> Vec<Vec<u8>> {
        let mut sorting = Sorting::new(image, order, window);
        let mut slices = 0;
        while !sorting.gather(&mut Budget::of_slice()) {
            slices += 1;
        }
        assert!(slices > 1 && !sorting.failed);
        let (mut found, mut window) = (Vec::new(), window);
        while !merge(&mut sorting.runs, &mut window, &mut Budget::of_slice(), |item| {
            found.push(item.member.clone());
            item.member.len()
        }) {}
        found
    }

    #[test]
    fn runs_are_merged_in_every_order() {
        let numbers: Vec<i64> = (0..9000).map(|n| (n * 7919) % 9001 - 4000).collect();
        let limits = Limits::default();
        let image = || {
            let mut list = List::new();
            numbers.iter().for_each(|n| list.push(End::Right, n.to_string().as_bytes(), &limits));
            list
        };
        for (alpha, descending) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut expected = numbers.clone();
            match alpha {
                false => expected.sort_unstable(),
                true => expected.sort_unstable_by_key(|n| n.to_string()),
            }
            if descending {
                expected.reverse();
            }
            let expected: Vec<Vec<u8>> = expected.iter().map(|n| n.to_string().into_bytes()).collect();
            let order = Order { alpha, descending };
            assert_eq!(sorted(Image::List(image()), order, (0, 9000)), expected);
            assert_eq!(sorted(Image::List(image()), order, (8000, 500)), expected[8000..8500]);
            assert!(sorted(Image::List(image()), order, (10, 0)).is_empty());
        }
    }
}
