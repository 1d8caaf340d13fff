//! Members whose order, or whose answers, other keys say.
//!
//! What other keys hold must be of one instant, so all of it is gathered while everything is held: of members the weights, of
//! those that are answered what GET leads to. They are sorted and written afterwards, in slices.

use super::super::long::{Budget, LOOKED_UP_BYTES, MEMBER_BYTES, Progress, Work};
use super::slices::{Item, Runs, merge, write};
use crate::node::Node;
use larder_protocol::resp::reply::{Reply, Version};
use std::mem;
use std::vec::IntoIter;

/// What is answered for members instead of them, as it is written.
pub(super) struct Answers {
    replies: Reply,
    /// Where those of a member end, by number.
    ends: Vec<usize>,
}

impl Answers {
    pub(super) fn new(version: Version) -> Answers {
        Answers { replies: Reply::new(Vec::new(), version), ends: Vec::new() }
    }

    /// Adds a reply for the next member.
    pub(super) fn add(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.replies.bulk(value),
            None => self.replies.null(),
        }
    }

    /// The member's replies are complete.
    pub(super) fn end(&mut self) {
        self.ends.push(self.replies.len());
    }

    /// All of them.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.replies.as_bytes()
    }

    /// Writes those with a number; gives their bytes.
    fn write(&self, number: usize, out: &mut Reply) -> usize {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        let bytes = &self.replies.as_bytes()[start..self.ends[number]];
        out.raw(bytes);
        bytes.len()
    }
}

/// See the module. The header of the reply was written.
pub(super) struct Weighed {
    /// Those that are in no run yet.
    items: IntoIter<Item>,
    runs: Runs,
    /// How many are passed over, and how many wanted.
    window: (usize, usize),
    /// They are written in the order that they have.
    unsorted: bool,
    answers: Option<Answers>,
    bytes: usize,
}

impl Weighed {
    /// These members in their order, of which so many are passed over, and so many wanted.
    pub(super) fn sorted(items: Vec<Item>, window: (usize, usize), answers: Option<Answers>) -> Weighed {
        let bytes: usize = items.iter().map(|item| item.member.len() + MEMBER_BYTES).sum();
        let answered = answers.as_ref().map_or(0, |answers| {
            answers.replies.capacity() + answers.ends.capacity() * mem::size_of::<usize>()
        });
        let bytes = bytes + items.capacity() * mem::size_of::<Item>() + answered;
        Weighed { items: items.into_iter(), runs: Runs::default(), window, unsorted: false, answers, bytes }
    }

    /// These members as they are.
    pub(super) fn unsorted(items: Vec<Item>, answers: Option<Answers>) -> Weighed {
        let window = (0, items.len());
        Weighed { unsorted: true, ..Weighed::sorted(items, window, answers) }
    }
}

impl Work for Weighed {
    fn slice(&mut self, _: &Node, out: &mut Reply, budget: &mut Budget) -> Progress {
        let Weighed { items, runs, window, unsorted, answers, .. } = self;
        let mut put = |item: &Item| match answers {
            Some(answers) => answers.write(item.answer, out),
            None => write(out, item),
        };
        if *unsorted {
            for item in items.by_ref() {
                let bytes = put(&item);
                if !budget.spend(bytes) {
                    return Progress::More;
                }
            }
            return Progress::Done;
        }
        if items.len() > 0 {
            let mut run = Vec::new();
            for item in items.by_ref() {
                let more = budget.spend(item.member.len() + LOOKED_UP_BYTES);
                run.push(item);
                if !more {
                    break;
                }
            }
            runs.add(run);
            return Progress::More;
        }
        match merge(runs, window, budget, put) {
            true => Progress::Done,
            false => Progress::More,
        }
    }

    fn memory_bytes(&self) -> usize {
        self.bytes
    }
}
