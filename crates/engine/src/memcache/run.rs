//! A run of plain requests: the `get` and `set` that stand one behind the other at the start of a session's input.
//!
//! They are nearly all that a cache is asked, so they have a way of their own: read without building a request, their
//! keys hashed once, and what later ones will touch is asked for while earlier ones are carried out. The first request
//! that is anything else ends the run, and goes the way of all others.

use super::{Turn, execute, item};
use crate::ahead::Ahead;
use crate::command::known::KeyAt;
use larder_protocol::memcache::quick::{self, Quick};
use larder_protocol::memcache::request::Verb;
use std::borrow::Cow;

/// Most keys of a run. A request with more goes the other way, where keys are looked up in groups.
const KEYS_MAX: usize = 4096;

/// Room for a run, used again by the next one.
#[derive(Default)]
pub struct Run {
    entries: Vec<Entry>,
    keys: Vec<KeyAt>,
}

struct Entry {
    quick: Quick,
    /// How many keys it has.
    count: u32,
    /// Where it ends.
    end: usize,
}

/// How a run ended.
pub(super) struct Done {
    /// Bytes that were done with.
    pub(super) consumed: usize,
    /// Requests that were carried out.
    pub(super) count: usize,
    /// It ended because enough was answered.
    pub(super) full: bool,
}

impl Run {
    /// Carries out the run at the start of `input`, of `most` requests and about `out_max` bytes of output at most.
    pub(super) fn serve(
        &mut self,
        turn: &mut Turn<'_>,
        input: &[u8],
        (most, out_max): (usize, usize),
        out: &mut Vec<u8>,
    ) -> Done {
        let (store, item_bytes_max) = (turn.store, turn.shared.item_size_max());
        self.entries.clear();
        self.keys.clear();
        let (mut ahead, mut at) = (Ahead::default(), 0);
        while self.entries.len() < most {
            let (first, keys) = (self.keys.len(), &mut self.keys);
            let told = quick::read(input, at, item_bytes_max, |range| {
                let room = keys.len() < KEYS_MAX;
                if room {
                    keys.push(KeyAt::new(store, input, range));
                }
                room
            });
            let Some((quick, end)) = told else {
                self.keys.truncate(first);
                break;
            };
            self.entries.push(Entry { quick, count: (self.keys.len() - first) as u32, end });
            at = end;
        }
        ahead.read(store, &self.keys);
        ahead.begin(store, &self.keys);
        let mut next = 0;
        let mut done = Done { consumed: 0, count: self.entries.len(), full: false };
        for (number, entry) in self.entries.iter().enumerate() {
            let keys = &self.keys[next..next + entry.count as usize];
            next += keys.len();
            match entry.quick {
                Quick::Get => {
                    for key in keys {
                        ahead.step(store, &self.keys, 1);
                        item::get_one(turn, &key.key(input), false, None, out);
                    }
                    out.extend_from_slice(b"END\r\n");
                }
                Quick::Set { flags, exptime, value, value_bytes, noreply } => {
                    ahead.step(store, &self.keys, 1);
                    let data = &input[value as usize..value as usize + value_bytes as usize];
                    for key in keys {
                        let answer = item::store(
                            turn,
                            Verb::Set,
                            &key.key(input),
                            flags,
                            exptime,
                            Cow::Borrowed(data),
                        );
                        match turn.refusal {
                            _ if noreply => {}
                            Some(why) => execute::refuse(why, out),
                            None => out.extend_from_slice(answer),
                        }
                    }
                }
            }
            done.consumed = entry.end;
            if out.len() > out_max {
                return Done { count: number + 1, full: true, ..done };
            }
        }
        done
    }
}
