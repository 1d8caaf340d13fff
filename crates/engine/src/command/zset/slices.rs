//! Combinations and ranges of sorted sets, gathered in slices.

use super::super::long::{Budget, Gather, LOOKED_UP_BYTES, MEMBER_BYTES, Ranked, Stored, Work};
use super::algebra::{Rule, Source};
use super::scored;
use crate::node::Node;
use larder_protocol::resp::reply::Reply;
use larder_store::object::{Digits, Limits, Set, SortedSet};
use std::mem;

/// An input as it was.
enum Image {
    Missing,
    Plain(Set),
    Sorted(SortedSet),
}

impl Image {
    fn of(source: &Source<'_>) -> Image {
        match *source {
            Source::Missing => Image::Missing,
            Source::Plain(set) => Image::Plain(set.clone()),
            Source::Sorted(zset) => Image::Sorted(zset.clone()),
        }
    }

    fn source(&self) -> Source<'_> {
        match self {
            Image::Missing => Source::Missing,
            Image::Plain(set) => Source::Plain(set),
            Image::Sorted(zset) => Source::Sorted(zset),
        }
    }
}

/// A union, an intersection or a difference.
pub(super) struct Combination {
    rule: Rule,
    inputs: Vec<(Image, f64)>,
    at: usize,
    place: usize,
    result: SortedSet,
    limits: Limits,
    with_scores: bool,
    added_bytes: usize,
    /// Only so many are counted, and none is kept.
    counted: Option<(usize, usize)>,
}

impl Combination {
    /// Takes images of the inputs.
    pub(super) fn new(
        rule: Rule,
        inputs: &[(Source<'_>, f64)],
        with_scores: bool,
        limits: Limits,
    ) -> Combination {
        Combination {
            rule,
            inputs: inputs.iter().map(|(source, weight)| (Image::of(source), *weight)).collect(),
            at: 0,
            place: 0,
            result: SortedSet::new(),
            limits,
            with_scores,
            added_bytes: 0,
            counted: None,
        }
    }

    /// Only counts them, up to `most`, which is more than none.
    pub(super) fn counted(mut self, most: usize) -> Combination {
        self.counted = Some((0, most));
        self
    }
}

impl Gather for Combination {
    fn gather(&mut self, budget: &mut Budget) -> bool {
        let Combination { rule, inputs, at, place, result, limits, added_bytes, counted, .. } = self;
        let inputs: Vec<_> = inputs.iter().map(|(image, weight)| (image.source(), *weight)).collect();
        let most = rule.walked(inputs.len());
        while *at < most && !budget.is_spent() {
            let mut take = |member: &[u8], score: f64| {
                let total = rule.score((&inputs, *at), (member, score), result);
                match (counted.as_mut(), total) {
                    (Some((count, _)), total) => *count += usize::from(total.is_some()),
                    (None, Some(total)) => {
                        let before = result.len();
                        result.insert(member, total, limits);
                        *added_bytes += (result.len() - before) * (member.len() + MEMBER_BYTES);
                    }
                    (None, None) => {}
                }
                budget.spend(member.len() + inputs.len() * LOOKED_UP_BYTES)
            };
            let mut digits = Digits::new();
            let next = match inputs[*at].0 {
                Source::Missing => None,
                Source::Plain(set) => set.walk(*place, &mut |member| take(member.bytes(&mut digits), 1.0)),
                Source::Sorted(zset) => {
                    let mut rank = *place;
                    let mut members = zset.iter_from(rank, false);
                    loop {
                        let Some((member, score)) = members.next() else { break None };
                        rank += 1;
                        if !take(member.bytes(&mut digits), score) {
                            break Some(rank);
                        }
                    }
                }
            };
            match next {
                _ if counted.is_some_and(|(count, most)| count >= most) => return true,
                Some(next) => *place = next,
                None => (*at, *place) = (*at + 1, 0),
            }
        }
        *at >= most
    }
    fn memory_bytes(&self) -> usize {
        self.added_bytes
    }

    fn stored(&mut self) -> Stored {
        Stored::Sorted(mem::take(&mut self.result))
    }

    fn answer(&mut self, _: &Node, out: &mut Reply) -> Option<Box<dyn Work>> {
        if let Some((count, most)) = self.counted {
            out.integer(count.min(most) as i64);
            return None;
        }
        let result = mem::take(&mut self.result);
        let len = result.len();
        scored(out, len, self.with_scores, std::iter::empty());
        Some(Box::new(Ranked::new(result, (0, len), false, self.with_scores)))
    }
}

/// Members of a sorted set in their order, which make another one.
pub(super) struct Part {
    zset: SortedSet,
    /// The next one, and how many there are from it on.
    rank: usize,
    left: usize,
    reverse: bool,
    result: SortedSet,
    limits: Limits,
    added_bytes: usize,
}

impl Part {
    /// `left` members of an image from a rank on, upwards or downwards.
    pub(super) fn new(zset: SortedSet, (rank, left): (usize, usize), reverse: bool, limits: Limits) -> Part {
        Part { zset, rank, left, reverse, result: SortedSet::new(), limits, added_bytes: 0 }
    }
}

impl Gather for Part {
    fn gather(&mut self, budget: &mut Budget) -> bool {
        let (mut done, mut digits) = (0, Digits::new());
        for (member, score) in self.zset.iter_from(self.rank, self.reverse).take(self.left) {
            let bytes = member.bytes(&mut digits);
            self.result.insert(bytes, score, &self.limits);
            self.added_bytes += bytes.len() + MEMBER_BYTES;
            done += 1;
            if !budget.spend(bytes.len() + LOOKED_UP_BYTES) {
                break;
            }
        }
        self.left -= done;
        if self.left == 0 || done == 0 {
            return true;
        }
        self.rank = if self.reverse { self.rank - done } else { self.rank + done };
        false
    }

    fn memory_bytes(&self) -> usize {
        self.added_bytes
    }

    fn stored(&mut self) -> Stored {
        Stored::Sorted(mem::take(&mut self.result))
    }
}
