//! Combinations of sorted sets, gathered in slices.

use super::super::long::{
    Budget, LOOKED_UP_BYTES, MEMBER_BYTES, Prepared, Progress, Ranked, Stored, Watched, Work,
};
use super::algebra::{Rule, Source};
use super::scored;
use crate::node::Node;
use larder_protocol::resp::reply::Reply;
use larder_store::Store;
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
    /// Of a command that stores: its inputs.
    watched: Option<Watched>,
    /// Of one that reads: what is written.
    ranked: Option<Ranked>,
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
            watched: None,
            ranked: None,
        }
    }

    /// The same for a command that stores the result.
    pub(super) fn stored(mut self, watched: Watched) -> Combination {
        self.watched = Some(watched);
        self
    }

    /// Gathers a part; true when all is gathered.
    fn gather(&mut self, budget: &mut Budget) -> bool {
        let Combination { rule, inputs, at, place, result, limits, added_bytes, .. } = self;
        let inputs: Vec<_> = inputs.iter().map(|(image, weight)| (image.source(), *weight)).collect();
        let most = rule.walked(inputs.len());
        while *at < most && !budget.is_spent() {
            let mut take = |member: &[u8], score: f64| {
                let before = result.len();
                rule.take((&inputs, *at), (member, score), result, limits);
                if result.len() > before {
                    *added_bytes += member.len() + MEMBER_BYTES;
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
                Some(next) => *place = next,
                None => (*at, *place) = (*at + 1, 0),
            }
        }
        *at >= most
    }
}

impl Work for Combination {
    fn slice(&mut self, node: &Node, out: &mut Reply, budget: &mut Budget) -> Progress {
        if let Some(ranked) = &mut self.ranked {
            return ranked.slice(node, out, budget);
        }
        if !self.gather(budget) {
            return Progress::More;
        }
        let result = mem::take(&mut self.result);
        if let Some(sources) = self.watched.take() {
            return Progress::Ready(Prepared { result: Stored::Sorted(result), sources });
        }
        let len = result.len();
        scored(out, len, self.with_scores, std::iter::empty());
        self.added_bytes = 0;
        self.ranked = Some(Ranked::new(result, (0, len), false, self.with_scores));
        Progress::More
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
