//! Ranges of lists, sorted sets and streams.

use super::super::collection::{bulk, bulk_of};
use super::super::stream::put_entry;
use super::{Budget, Gathered, Progress, Work};
use crate::node::Node;
use larder_protocol::resp::reply::Reply;
use larder_store::object::stream::{Id, Stream};
use larder_store::object::{List, SortedSet};

/// Elements of one node that are visited without looking at what was done.
const ELEMENTS_AT_ONCE: usize = 64;

/// Elements of a list, whose header was written.
pub struct Elements {
    part: List,
    node: usize,
    start: usize,
    left: usize,
}

impl Elements {
    /// `left` elements of a part of a list, from its element `start` on, which lies in the first node.
    pub fn new((part, start): (List, usize), left: usize) -> Elements {
        Elements { part, node: 0, start, left }
    }
}

impl Work for Elements {
    fn slice(&mut self, _: &Node, out: &mut Reply, budget: &mut Budget) -> Progress {
        out.bulks(|bulks| {
            while self.left > 0 && !budget.is_spent() {
                let most = self.left.min(ELEMENTS_AT_ONCE);
                let visited = self.part.visit_node(self.node, self.start, most, |element| {
                    budget.spend(element.len());
                    bulk_of(bulks, element);
                });
                match visited {
                    Some(0) => (self.node, self.start) = (self.node + 1, 0),
                    Some(count) => (self.start, self.left) = (self.start + count, self.left - count),
                    None => self.left = 0, // there are as many as were counted
                }
            }
        });
        if self.left > 0 { Progress::More } else { Progress::Done }
    }
}

/// Members of a sorted set in their order; the header was written.
pub struct Ranked {
    set: SortedSet,
    rank: usize,
    left: usize,
    reverse: bool,
    with_scores: bool,
}

impl Ranked {
    /// `left` members of an image from a rank on, upwards or downwards.
    pub fn new(set: SortedSet, (rank, left): (usize, usize), reverse: bool, with_scores: bool) -> Ranked {
        Ranked { set, rank, left, reverse, with_scores }
    }
}

impl Work for Ranked {
    fn slice(&mut self, _: &Node, out: &mut Reply, budget: &mut Budget) -> Progress {
        let nested = self.with_scores && out.is_resp3();
        let mut done = 0;
        for (member, score) in self.set.iter_from(self.rank, self.reverse).take(self.left) {
            if nested {
                out.array(2);
            }
            bulk(out, member);
            if self.with_scores {
                out.double(score);
            }
            done += 1;
            if !budget.spend(member.len()) {
                break;
            }
        }
        self.left -= done;
        if self.left == 0 || done == 0 {
            return Progress::Done;
        }
        self.rank = if self.reverse { self.rank - done } else { self.rank + done };
        Progress::More
    }
}

/// Entries of a stream.
pub struct Entries {
    stream: Stream,
    /// The ids between which entries are still to be visited.
    left: Option<(Id, Id)>,
    back: bool,
    most: usize,
    gathered: Gathered,
}

impl Entries {
    /// At most `most` entries of an image between two ids, upwards or downwards, behind those that were visited already.
    pub fn new(
        stream: Stream,
        (low, high): (Id, Id),
        back: bool,
        most: usize,
        (first, count): (Reply, usize),
    ) -> Entries {
        let mut gathered = Gathered::new(first.version());
        gathered.adopt(first, count);
        Entries { stream, left: Some((low, high)).filter(|(low, high)| low <= high), back, most, gathered }
    }
}

impl Work for Entries {
    fn slice(&mut self, _: &Node, out: &mut Reply, budget: &mut Budget) -> Progress {
        let Some((low, high)) = self.left else {
            let done = self.gathered.pour(out, |out, count| out.array(count));
            return if done { Progress::Done } else { Progress::More };
        };
        let (mut last, mut room) = (None, self.most);
        let Entries { stream, gathered, back, .. } = self;
        gathered.add(|piece| {
            let mut count = 0;
            let mut visit = |entry: larder_store::object::stream::Entry<'_>| {
                let bytes: usize = entry.parts.iter().map(|part| part.len()).sum();
                put_entry(piece, &entry);
                last = Some(entry.id);
                (count, room) = (count + 1, room - 1);
                // Each part is written like a member.
                let spent = entry.parts.iter().all(|_| budget.spend(0));
                budget.spend(bytes) && spent && room > 0
            };
            match back {
                false => stream.range(low, high, &mut visit),
                true => stream.range_back(low, high, &mut visit),
            }
            count
        });
        self.most = room;
        let rest = match (last, self.back) {
            _ if room == 0 || !budget.is_spent() => None,
            (None, _) => None,
            (Some(id), false) => id.next().map(|low| (low, high)),
            (Some(id), true) => id.previous().map(|high| (low, high)),
        };
        self.left = rest.filter(|(low, high)| low <= high);
        Progress::More
    }

    fn memory_bytes(&self) -> usize {
        self.gathered.bytes
    }
}
