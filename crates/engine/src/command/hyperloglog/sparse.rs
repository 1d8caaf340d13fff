//! The sparse form of a sketch: runs of equal registers as opcodes of one or two bytes. Pure functions over bytes that
//! anybody may have written with SET, so nothing here trusts them.
//!
//! ```text
//! 00xxxxxx            ZERO: x + 1 empty registers
//! 01xxxxxx yyyyyyyy   XZERO: xy + 1 empty registers
//! 1vvvvvxx            VAL: x + 1 registers of rank v + 1
//! ```
//!
//! Which of the equivalent sequences is written is part of the format as far as anybody compares bytes: an insertion
//! splits one run into at most three, and then joins equal neighbours among the next few opcodes only.

use super::hash::Place;
use super::sketch::{Corrupt, HEADER_BYTES, REGISTERS};

/// The highest rank that VAL can say.
const RANK_MAX: u8 = 32;
/// Registers of the longest ZERO.
const ZERO_MAX: usize = 64;
/// Registers of the longest VAL.
const VALUE_MAX: usize = 4;
/// Opcodes after an insertion that are looked at for joining.
const JOIN_SCAN: usize = 5;

/// What became of an insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inserted {
    /// The register had that rank or a higher one.
    Same,
    /// The register was raised.
    Raised,
    /// It does not fit the sparse form; nothing was changed.
    TooMuch,
}

/// Equal registers side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// 0 = empty.
    pub(super) rank: u8,
    /// Number of registers.
    pub(super) len: usize,
    /// Bytes of the opcode.
    width: usize,
}

impl Run {
    /// Reads the opcode at the front.
    fn read(bytes: &[u8]) -> Option<Run> {
        let (len, width) = extent(bytes)?;
        let rank = if bytes[0] & 0x80 != 0 { (bytes[0] >> 2 & 0x1f) + 1 } else { 0 };
        Some(Run { rank, len, width })
    }
}

/// Number of registers and bytes of the opcode at the front. ZERO and VAL, which follow one another in no order that a
/// processor could learn, go without a branch.
fn extent(bytes: &[u8]) -> Option<(usize, usize)> {
    let first = *bytes.first()?;
    if first >> 6 == 1 {
        return Some(((usize::from(first & 0x3f) << 8 | usize::from(*bytes.get(1)?)) + 1, 2));
    }
    let mask = if first & 0x80 != 0 { 3 } else { 0x3f };
    Some((usize::from(first & mask) + 1, 1))
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.rank, self.width) {
            (0, 1) => write!(f, "z:{}", self.len),
            (0, _) => write!(f, "Z:{}", self.len),
            (rank, _) => write!(f, "v:{rank},{}", self.len),
        }
    }
}

/// At most three opcodes.
#[derive(Default)]
struct Opcodes {
    bytes: [u8; 5],
    len: usize,
}

impl Opcodes {
    fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    /// `len` registers of a rank; 0 registers are no opcode.
    fn add(&mut self, rank: u8, len: usize) {
        match (rank, len) {
            (_, 0) => {}
            (0, 1..=ZERO_MAX) => self.push((len - 1) as u8),
            (0, _) => {
                self.push(0x40 | ((len - 1) >> 8) as u8);
                self.push((len - 1) as u8);
            }
            _ => self.push(value(rank, len)),
        }
    }
}

fn value(rank: u8, len: usize) -> u8 {
    0x80 | (rank - 1) << 2 | (len - 1) as u8
}

/// The opcodes of a sketch without elements.
pub(super) fn empty() -> [u8; 2] {
    let mut opcodes = Opcodes::default();
    opcodes.add(0, REGISTERS);
    [opcodes.bytes[0], opcodes.bytes[1]]
}

/// Visits the runs with the register that each begins at. Errors: they do not cover the registers exactly.
pub(super) fn each(bytes: &[u8], mut visit: impl FnMut(usize, Run)) -> Result<(), Corrupt> {
    let (mut at, mut register) = (HEADER_BYTES, 0);
    while at < bytes.len() {
        let run = Run::read(&bytes[at..]).ok_or(Corrupt)?;
        if register + run.len > REGISTERS {
            return Err(Corrupt);
        }
        visit(register, run);
        at += run.width;
        register += run.len;
    }
    if register == REGISTERS { Ok(()) } else { Err(Corrupt) }
}

/// Where to begin to look for a register: an opcode and the register that it begins at. Who inserts in ascending order
/// need not begin at the front again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    at: usize,
    first: usize,
}

impl Cursor {
    /// The first opcode.
    pub(super) const START: Cursor = Cursor { at: HEADER_BYTES, first: 0 };
}

/// Where the run that holds a register lies.
struct Found {
    /// The opcode in front of that, which joining does not touch; the first one where the search began too near.
    farther: Cursor,
    /// The opcode in front of it; of the first one, itself.
    before: Cursor,
    here: Cursor,
    run: Run,
}

fn find(bytes: &[u8], register: usize, from: Cursor) -> Option<Found> {
    let (mut farther, mut before, mut here) = (Cursor::START, from, from);
    loop {
        let rest = bytes.get(here.at..)?;
        let (len, width) = extent(rest)?;
        if register < here.first + len {
            return Some(Found { farther, before, here, run: Run::read(rest)? });
        }
        farther = if before.at < here.at { before } else { Cursor::START };
        before = here;
        here = Cursor { at: here.at + width, first: here.first + len };
    }
}

/// The rank of a register. O(length).
pub(super) fn rank(bytes: &[u8], register: usize) -> Result<u8, Corrupt> {
    find(bytes, register, Cursor::START).map(|found| found.run.rank).ok_or(Corrupt)
}

/// Raises a register to a rank; the sketch may get as long as `bytes_max`. Looks for it from `cursor` on, which then is
/// good for higher registers. O(length).
pub(super) fn insert(
    bytes: &mut Vec<u8>,
    place: Place,
    bytes_max: usize,
    cursor: &mut Cursor,
) -> Result<Inserted, Corrupt> {
    if place.rank > RANK_MAX {
        return Ok(Inserted::TooMuch);
    }
    let found = find(bytes, place.register, *cursor).ok_or(Corrupt)?;
    *cursor = found.farther;
    let run = found.run;
    if run.rank >= place.rank {
        return Ok(Inserted::Same);
    }
    let mut opcodes = Opcodes::default();
    opcodes.add(run.rank, place.register - found.here.first);
    opcodes.add(place.rank, 1);
    opcodes.add(run.rank, found.here.first + run.len - 1 - place.register);
    if opcodes.len > run.width && bytes.len() + opcodes.len - run.width > bytes_max {
        return Ok(Inserted::TooMuch);
    }
    bytes.splice(found.here.at..found.here.at + run.width, opcodes.bytes[..opcodes.len].iter().copied());
    join(bytes, found.before.at);
    Ok(Inserted::Raised)
}

/// Joins neighbours of equal rank among the few opcodes from `at` on.
fn join(bytes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..JOIN_SCAN {
        let Some(run) = bytes.get(at..).and_then(Run::read) else { return };
        let next = bytes.get(at + run.width..).and_then(Run::read);
        match next {
            Some(next) if run.rank > 0 && next.rank == run.rank && run.len + next.len <= VALUE_MAX => {
                bytes[at + 1] = value(run.rank, run.len + next.len);
                bytes.remove(at);
            }
            _ => at += run.width,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sketch;
    use super::*;

    fn opcodes(bytes: &[u8]) -> Vec<(u8, usize)> {
        let mut runs = Vec::new();
        each(bytes, |_, run| runs.push((run.rank, run.len))).unwrap();
        runs
    }

    fn put(bytes: &mut Vec<u8>, register: usize, rank: u8) -> Inserted {
        insert(bytes, Place { register, rank }, 3000, &mut { Cursor::START }).unwrap()
    }

    #[test]
    fn runs_are_split_and_joined() {
        let mut bytes = sketch::empty();
        assert_eq!(opcodes(&bytes), [(0, 16384)]);
        assert_eq!(put(&mut bytes, 100, 3), Inserted::Raised);
        assert_eq!(opcodes(&bytes), [(0, 100), (3, 1), (0, 16283)]);
        assert_eq!(put(&mut bytes, 100, 2), Inserted::Same);
        assert_eq!(put(&mut bytes, 101, 3), Inserted::Raised);
        assert_eq!(put(&mut bytes, 102, 3), Inserted::Raised);
        assert_eq!(opcodes(&bytes), [(0, 100), (3, 3), (0, 16281)]);
        assert_eq!(put(&mut bytes, 101, 7), Inserted::Raised);
        assert_eq!(opcodes(&bytes), [(0, 100), (3, 1), (7, 1), (3, 1), (0, 16281)]);
        assert_eq!(put(&mut bytes, 0, 1), Inserted::Raised);
        assert_eq!(put(&mut bytes, 16383, 32), Inserted::Raised);
        assert_eq!(put(&mut bytes, 5, 33), Inserted::TooMuch);
        assert_eq!(opcodes(&bytes), [(1, 1), (0, 99), (3, 1), (7, 1), (3, 1), (0, 16280), (32, 1)]);
    }

    #[test]
    fn it_does_not_grow_beyond_its_limit() {
        let mut bytes = sketch::empty();
        let place = |register| Place { register, rank: 1 };
        assert_eq!(insert(&mut bytes, place(9000), 20, &mut { Cursor::START }), Ok(Inserted::TooMuch));
        assert_eq!(bytes, sketch::empty());
        assert_eq!(insert(&mut bytes, place(9000), 21, &mut { Cursor::START }), Ok(Inserted::Raised));
        assert_eq!(bytes.len(), 21);
    }

    #[test]
    fn corrupt_runs_are_refused() {
        let head = &sketch::empty()[..HEADER_BYTES];
        for tail in [&[][..], &[0x40], &[0x00], &[0x7f, 0xff, 0x00], &[0x7f, 0xfe], &[0x7f, 0xfe, 0x40]] {
            let mut bytes = [head, tail].concat();
            assert_eq!(each(&bytes, |_, _| {}), Err(Corrupt), "{tail:?}");
            let last = Place { register: REGISTERS - 1, rank: 5 };
            // Only what is needed is read, so a surplus behind the register goes unnoticed here.
            assert_eq!(
                insert(&mut bytes, last, 3000, &mut { Cursor::START }).is_err(),
                tail != [0x7f, 0xff, 0x00],
                "{tail:?}"
            );
        }
    }
}
