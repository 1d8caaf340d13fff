//! All members of a set, all fields of a hash.

use super::super::collection::bulk_of;
use super::{Budget, Progress, Work};
use crate::node::Node;
use larder_protocol::resp::reply::Reply;
use larder_store::object::{Hash, Set};

/// The members of a set, whose header was written.
pub struct Members {
    set: Set,
    place: usize,
}

impl Members {
    /// All members of an image.
    pub fn new(set: Set) -> Members {
        Members { set, place: 0 }
    }
}

impl Work for Members {
    fn slice(&mut self, _: &Node, out: &mut Reply, budget: &mut Budget) -> Progress {
        let mut next = None;
        out.bulks(|bulks| {
            next = self.set.walk(self.place, &mut |member| {
                bulk_of(bulks, member);
                budget.spend(member.len())
            });
        });
        self.place = next.unwrap_or(self.place);
        if next.is_some() { Progress::More } else { Progress::Done }
    }
}

/// The fields of a hash, or their values, or both; the header was written.
pub struct Fields {
    hash: Hash,
    place: usize,
    names: bool,
    values: bool,
}

impl Fields {
    /// Of all fields of an image what is asked for.
    pub fn new(hash: Hash, names: bool, values: bool) -> Fields {
        Fields { hash, place: 0, names, values }
    }
}

impl Work for Fields {
    fn slice(&mut self, _: &Node, out: &mut Reply, budget: &mut Budget) -> Progress {
        let mut next = None;
        out.bulks(|bulks| {
            next = self.hash.walk(self.place, &mut |field, value| {
                let bytes = field.len() + value.len();
                if self.names {
                    bulk_of(bulks, field);
                }
                if self.values {
                    bulk_of(bulks, value);
                }
                budget.spend(bytes)
            });
        });
        self.place = next.unwrap_or(self.place);
        if next.is_some() { Progress::More } else { Progress::Done }
    }
}
