//! Members that are taken out of a set (SPOP with a count).
//!
//! They are taken out of an image, which becomes another set that way, and the command puts that in the place of the set if
//! this has not changed meanwhile. What the log is told, and the reply, are written on the way: who holds the partition in the
//! end only exchanges the two.

use super::super::collection::dice;
use super::{Budget, Gather, Gathered, LOOKED_UP_BYTES, MEMBER_BYTES, Progress, Stored, Work};
use crate::log::effects::{encode_argument, encode_head};
use crate::node::Node;
use larder_protocol::resp::reply::{Reply, Version};
use larder_store::object::Set;
use std::mem;

/// Bytes of a part that an image shares and who changes it first has to copy, at most.
const PART_BYTES: usize = 64 * 1024;
/// So many times as many members are drawn as there are parts until next to all of those were met.
const DRAWS_PER_PART: usize = 4;

/// What is left of a set, and what was taken out.
pub struct Popped {
    /// The members that are left: some.
    pub rest: Set,
    /// How many were taken out.
    pub count: usize,
    /// The command that does the same to any set like that, in RESP; `None` if the log was off.
    pub effect: Option<Vec<u8>>,
    reply: Gathered,
}

impl Work for Popped {
    fn slice(&mut self, _: &Node, out: &mut Reply, _: &mut Budget) -> Progress {
        match self.reply.pour(out, |_, _| {}) {
            true => Progress::Done,
            false => Progress::More,
        }
    }

    fn memory_bytes(&self) -> usize {
        self.reply.bytes
    }
}

/// Takes members out of an image.
pub struct Pops {
    popped: Popped,
    left: usize,
    /// Draws that may copy a part.
    copying: usize,
    /// What a draw costs in a set that is no table: it is moved together each time.
    draw_bytes: usize,
    added_bytes: usize,
}

impl Pops {
    /// Takes fewer members out of the image of a set than it has. `logged`: its key, if the log is on.
    pub fn new(image: Set, count: usize, logged: Option<&[u8]>, version: Version) -> Pops {
        let effect = logged.map(|key| {
            let mut effect = Vec::new();
            encode_head(&mut effect, count + 2);
            encode_argument(&mut effect, b"SREM");
            encode_argument(&mut effect, key);
            effect
        });
        let is_table = image.encoding() == "hashtable";
        Pops {
            left: count,
            copying: if is_table { image.memory_bytes() / PART_BYTES * DRAWS_PER_PART } else { 0 },
            draw_bytes: if is_table { LOOKED_UP_BYTES } else { LOOKED_UP_BYTES + image.memory_bytes() / 8 },
            added_bytes: 0,
            popped: Popped { rest: image, count, effect, reply: Gathered::new(version) },
        }
    }
}

impl Gather for Pops {
    fn gather(&mut self, budget: &mut Budget) -> bool {
        let Pops { popped: Popped { rest, effect, reply, .. }, left, copying, draw_bytes, added_bytes } =
            self;
        let mut random = dice();
        reply.add(|piece| {
            let mut count = 0;
            while *left > 0 && !budget.is_spent() {
                let Some(member) = rest.pop(&mut random) else { break };
                piece.bulk(&member);
                if let Some(effect) = effect {
                    encode_argument(effect, &member);
                }
                let copied = if *copying > 0 { PART_BYTES } else { 0 };
                budget.spend(*draw_bytes + member.len() + copied);
                *added_bytes += member.len() + MEMBER_BYTES;
                (*left, *copying, count) = (*left - 1, copying.saturating_sub(1), count + 1);
            }
            count
        });
        *left == 0
    }

    fn memory_bytes(&self) -> usize {
        self.popped.reply.bytes + self.popped.effect.as_ref().map_or(0, Vec::capacity) + self.added_bytes
    }

    fn stored(&mut self) -> Stored {
        let Popped { rest, count, effect, reply } = &mut self.popped;
        let reply = mem::replace(reply, Gathered::new(reply.version));
        Stored::Popped(Box::new(Popped {
            rest: mem::take(rest),
            count: *count,
            effect: effect.take(),
            reply,
        }))
    }
}
