//! Members that are drawn at random.

use super::super::collection::{Draw, Selection, bulk, dice};
use super::{Budget, LOOKED_UP_BYTES, Progress, Work};
use crate::node::Node;
use larder_protocol::resp::reply::Reply;
use larder_store::object::{Element, Hash, Set, SortedSet};

/// What they are drawn from; there is at least one member.
pub enum Drawn {
    /// A set.
    Set(Set),
    /// A hash, and whether values are answered, too.
    Hash(Hash, bool),
    /// A sorted set, and whether scores are answered, too.
    Sorted(SortedSet, bool),
}

/// Draws whose header was written.
pub struct Draws {
    image: Drawn,
    /// How many draws are left of those that are independent of each other.
    repeated: Option<usize>,
    selection: Selection,
    place: usize,
}

impl Draws {
    /// So many draws.
    pub(in super::super) fn new(image: Drawn, draw: Draw) -> Draws {
        let len = match &image {
            Drawn::Set(set) => set.len(),
            Drawn::Hash(hash, _) => hash.len(),
            Drawn::Sorted(zset, _) => zset.len(),
        };
        let repeated = draw.repeated.then_some(draw.count);
        Draws { image, repeated, selection: Selection::new(draw.count, len), place: 0 }
    }
}

impl Drawn {
    /// Draws one, and gives its bytes.
    fn draw(&self, out: &mut Reply) -> usize {
        let mut random = dice();
        match self {
            Drawn::Set(set) => set.random(&mut random).map(|member| put(out, member)),
            Drawn::Hash(hash, values) => hash.random(&mut random).map(|pair| put_field(out, pair, *values)),
            Drawn::Sorted(zset, scores) => {
                zset.random(&mut random).map(|member| put_scored(out, member, *scores))
            }
        }
        .unwrap_or_default()
    }

    /// Passes members from a place on and answers those that are chosen; gives the next place.
    fn select(
        &self,
        place: usize,
        selection: &mut Selection,
        out: &mut Reply,
        budget: &mut Budget,
    ) -> Option<usize> {
        let mut random = dice();
        let mut pass = |put: &mut dyn FnMut(&mut Reply) -> usize| {
            let bytes = if selection.takes(&mut random) { put(out) } else { 0 };
            budget.spend(bytes) && !selection.is_complete()
        };
        match self {
            Drawn::Set(set) => set.walk(place, &mut |member| pass(&mut |out| put(out, member))),
            Drawn::Hash(hash, values) => {
                hash.walk(place, &mut |field, value| pass(&mut |out| put_field(out, (field, value), *values)))
            }
            Drawn::Sorted(zset, scores) => {
                let mut rank = place;
                for member in zset.iter_from(place, false) {
                    rank += 1;
                    if !pass(&mut |out| put_scored(out, member, *scores)) {
                        return Some(rank);
                    }
                }
                None
            }
        }
    }
}

fn put(out: &mut Reply, member: Element<'_>) -> usize {
    bulk(out, member);
    member.len()
}

fn put_field(out: &mut Reply, (field, value): (Element<'_>, Element<'_>), with_value: bool) -> usize {
    if with_value && out.is_resp3() {
        out.array(2);
    }
    put(out, field) + if with_value { put(out, value) } else { 0 }
}

fn put_scored(out: &mut Reply, (member, score): (Element<'_>, f64), with_score: bool) -> usize {
    if with_score && out.is_resp3() {
        out.array(2);
    }
    let bytes = put(out, member);
    if with_score {
        out.double(score);
    }
    bytes
}

impl Work for Draws {
    fn slice(&mut self, _: &Node, out: &mut Reply, budget: &mut Budget) -> Progress {
        let Draws { image, repeated, selection, place } = self;
        if let Some(left) = repeated {
            while *left > 0 && !budget.is_spent() {
                budget.spend(image.draw(out) + LOOKED_UP_BYTES);
                *left -= 1;
            }
            return if *left > 0 { Progress::More } else { Progress::Done };
        }
        match image.select(*place, selection, out, budget) {
            Some(next) if !selection.is_complete() => {
                *place = next;
                Progress::More
            }
            _ => Progress::Done,
        }
    }
}
