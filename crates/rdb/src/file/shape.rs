//! How long records are, without building anything.
//!
//! The shape of each kind of record is a pattern of atoms. A [`Walk`] goes along it over bytes that come piece by
//! piece; where they end it remembers its place, so that a value that comes in a thousand pieces is looked at once.

use super::opcode;
use crate::error::{Error, Problem};
use crate::kind;
use crate::read::{Length, Reader};

/// A part of a record.
#[derive(Clone, Copy, Debug)]
enum Atom {
    /// A length.
    Length,
    /// A string in any encoding.
    Text,
    /// So many bytes.
    Bytes(u64),
    /// A double as text.
    Double,
    /// A number, and so many times the pattern.
    Times(&'static [Atom]),
    /// Values that a module wrote, each after its kind, until a zero.
    Module,
}

use Atom::{Bytes, Double, Module, Text, Times};
const LENGTH: Atom = Atom::Length;

const STRINGS: &[Atom] = &[Times(&[Text])];
const PAIRS: &[Atom] = &[Times(&[Text, Text])];
/// An id and a time of delivery, and how often.
const PENDING: &[Atom] = &[Bytes(24), LENGTH];
const NODES: Atom = Times(&[Text, Text]);
const STREAM: &[Atom] = &[
    NODES,
    LENGTH,
    LENGTH,
    LENGTH,
    Times(&[Text, LENGTH, LENGTH, Times(PENDING), Times(&[Text, Bytes(8), Times(&[Bytes(16)])])]),
];
const STREAM_2: &[Atom] = &[
    NODES,
    LENGTH,
    LENGTH,
    LENGTH,
    LENGTH,
    LENGTH,
    LENGTH,
    LENGTH,
    LENGTH,
    Times(&[Text, LENGTH, LENGTH, LENGTH, Times(PENDING), Times(&[Text, Bytes(8), Times(&[Bytes(16)])])]),
];
const STREAM_3: &[Atom] = &[
    NODES,
    LENGTH,
    LENGTH,
    LENGTH,
    LENGTH,
    LENGTH,
    LENGTH,
    LENGTH,
    LENGTH,
    Times(&[Text, LENGTH, LENGTH, LENGTH, Times(PENDING), Times(&[Text, Bytes(16), Times(&[Bytes(16)])])]),
];

/// The pattern of what follows the first byte of a record, and after that whether a key's value follows.
fn of_opcode(opcode: u8) -> Option<&'static [Atom]> {
    Some(match opcode {
        opcode::SLOT_INFO => &[LENGTH, LENGTH, LENGTH],
        opcode::FUNCTION => &[Text],
        opcode::MODULE_AUX => &[LENGTH, Module],
        opcode::IDLE | opcode::SELECT => &[LENGTH],
        opcode::FREQUENCY => &[Bytes(1)],
        opcode::AUX => &[Text, Text],
        opcode::RESIZE => &[LENGTH, LENGTH],
        opcode::DEADLINE_MS => &[Bytes(8)],
        opcode::DEADLINE => &[Bytes(4)],
        opcode::END => &[],
        _ => return None,
    })
}

fn of_value(kind: u8) -> Option<&'static [Atom]> {
    Some(match kind {
        kind::STRING
        | kind::HASH_ZIPMAP
        | kind::LIST_ZIPLIST
        | kind::SET_INTSET
        | kind::ZSET_ZIPLIST
        | kind::HASH_ZIPLIST
        | kind::HASH_LISTPACK
        | kind::ZSET_LISTPACK
        | kind::SET_LISTPACK => &[Text],
        kind::LIST | kind::SET | kind::LIST_QUICKLIST => STRINGS,
        kind::ZSET => &[Times(&[Text, Double])],
        kind::ZSET_2 => &[Times(&[Text, Bytes(8)])],
        kind::HASH => PAIRS,
        kind::LIST_QUICKLIST_2 => &[Times(&[LENGTH, Text])],
        kind::STREAM => STREAM,
        kind::STREAM_2 => STREAM_2,
        kind::STREAM_3 => STREAM_3,
        kind::HASH_2 => &[Times(&[Text, Text, Bytes(8)])],
        kind::HASH_METADATA => &[Bytes(8), Times(&[LENGTH, Text, Text])],
        kind::HASH_LISTPACK_EX => &[Bytes(8), Text],
        _ => return None,
    })
}

/// True for a record that is a key with its value.
pub(super) fn is_value(first: u8) -> bool {
    of_value(first).is_some()
}

/// What modules write: a kind, and something in that form.
const MODULE_END: u64 = 0;
const MODULE_SIGNED: u64 = 1;
const MODULE_UNSIGNED: u64 = 2;
const MODULE_FLOAT: u64 = 3;
const MODULE_DOUBLE: u64 = 4;
const MODULE_TEXT: u64 = 5;

/// A pattern under way.
#[derive(Clone, Copy, Debug)]
struct Frame {
    pattern: &'static [Atom],
    at: usize,
    /// How many times more the pattern follows after this time.
    more: u64,
}

/// Patterns within patterns, at most.
const DEPTH_MAX: usize = 8;

/// A walk along records.
#[derive(Debug, Default)]
pub(super) struct Walk {
    stack: Vec<Frame>,
    /// Bytes of the record that were walked over.
    done: u64,
    /// Bytes of a string that were not walked over yet.
    skip: u64,
}

/// How far a walk came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The record is complete: it has so many bytes.
    Complete(u64),
    /// More bytes are needed.
    More,
}

impl Walk {
    /// Walks over a record. `record` begins where the record does and holds all of it that is there; `offset` is the
    /// place of that in the file, and `left` how many bytes the file has from there on.
    pub(super) fn advance(&mut self, record: &[u8], offset: u64, left: u64) -> Result<Progress, Error> {
        let fail =
            |at: u64, problem| Error { offset: usize::try_from(offset + at).unwrap_or(usize::MAX), problem };
        if self.done == 0 {
            let Some(first) = record.first() else { return Ok(Progress::More) };
            match (of_opcode(*first), of_value(*first)) {
                (Some(pattern), _) => self.push(pattern, 0),
                (None, Some(pattern)) => {
                    self.push(pattern, 0);
                    self.push(&[Text], 0);
                }
                (None, None) => return Err(fail(0, unreadable(*first))),
            }
            self.done = 1;
        }
        loop {
            if self.skip > 0 {
                if self.skip > left.saturating_sub(self.done) {
                    return Err(fail(self.done, Problem::Truncated));
                }
                let here = (record.len() as u64).saturating_sub(self.done).min(self.skip);
                self.done += here;
                self.skip -= here;
                if self.skip > 0 {
                    return Ok(Progress::More);
                }
            }
            let Some(frame) = self.stack.last_mut() else {
                let length = std::mem::take(&mut self.done);
                return Ok(Progress::Complete(length));
            };
            let Some(atom) = frame.pattern.get(frame.at).copied() else {
                match frame.more.checked_sub(1) {
                    Some(more) => (frame.at, frame.more) = (0, more),
                    None => {
                        self.stack.pop();
                    }
                }
                continue;
            };
            let rest = record.get(usize::try_from(self.done).unwrap_or(usize::MAX)..).unwrap_or_default();
            let base = usize::try_from(offset + self.done).unwrap_or(usize::MAX);
            let mut reader = Reader::within(rest, base);
            match self.atom(atom, &mut reader) {
                Ok(()) => self.done += (rest.len() - reader.remaining()) as u64,
                // A claim is held against the rest of the file when it is skipped; here only some bytes are missing.
                Err(error) if error.problem == Problem::Truncated => {
                    return match left > record.len() as u64 {
                        true => Ok(Progress::More),
                        false => Err(error),
                    };
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn push(&mut self, pattern: &'static [Atom], more: u64) {
        debug_assert!(self.stack.len() < DEPTH_MAX, "patterns are not recursive");
        self.stack.push(Frame { pattern, at: 0, more });
    }

    /// Reads the front of an atom; what may be long is left to be skipped. Changes nothing if it fails.
    fn atom(&mut self, atom: Atom, reader: &mut Reader<'_>) -> Result<(), Error> {
        let mut inner = None;
        match atom {
            Atom::Length => {
                reader.length()?;
            }
            Text => match reader.length_or_special()? {
                Length::Plain(length) => self.skip = length,
                Length::Special(special @ 0..=2) => self.skip = 1 << special,
                Length::Special(3) => {
                    let packed = reader.length()?;
                    reader.length()?;
                    self.skip = packed;
                }
                Length::Special(other) => return Err(reader.error(Problem::Unknown(other))),
            },
            Bytes(count) => self.skip = count,
            Double => {
                let length = reader.byte()?;
                self.skip = if length < 253 { length.into() } else { 0 };
            }
            Times(pattern) => {
                let count = reader.length()?;
                inner = count.checked_sub(1).map(|more| (pattern, more));
            }
            Module => {
                match reader.length()? {
                    MODULE_END => {}
                    MODULE_SIGNED | MODULE_UNSIGNED => {
                        reader.length()?;
                        inner = Some((&[Module] as &[Atom], 0));
                    }
                    MODULE_FLOAT => (self.skip, inner) = (4, Some((&[Module] as &[Atom], 0))),
                    MODULE_DOUBLE => (self.skip, inner) = (8, Some((&[Module] as &[Atom], 0))),
                    MODULE_TEXT => inner = Some((&[Text, Module] as &[Atom], 0)),
                    _ => return Err(reader.error(Problem::Inconsistent)),
                }
                // What follows replaces this atom's frame instead of nesting in it.
                self.stack.pop();
                inner.into_iter().for_each(|(pattern, more)| self.push(pattern, more));
                return Ok(());
            }
        }
        if let Some(frame) = self.stack.last_mut() {
            frame.at += 1;
        }
        inner.into_iter().for_each(|(pattern, more)| self.push(pattern, more));
        Ok(())
    }
}

fn unreadable(first: u8) -> Problem {
    match first {
        super::MODULE | super::MODULE_2 => Problem::Module,
        opcode::FUNCTION_OLD => Problem::Outdated,
        other => Problem::Unknown(other),
    }
}
