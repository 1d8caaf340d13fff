//! What the hash, list, set and sorted set families share: reading their arguments, writing members, choosing
//! random members, and the options of the SCAN family. Owns no data and takes no lock.

use super::{Call, CommandError};
use larder_protocol::resp::reply::{Bulks, Reply};
use larder_protocol::{glob, number};
use larder_store::object::{Digits, Element, End};
use std::cell::Cell;
use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};

/// What a handler gives.
pub(super) type Answer = Result<(), CommandError>;

/// Most members that one call may ask for with repetition. The original has no bound, and so lets one short request
/// build a reply that fills the memory.
pub(super) const REPEATED_MEMBERS_MAX: u64 = 1 << 24;

/// An error with a fixed text.
pub(super) fn text(message: &'static str) -> CommandError {
    CommandError::Text(message.into())
}

/// A signed integer argument.
pub(super) fn integer(bytes: &[u8]) -> Result<i64, CommandError> {
    number::parse_i64(bytes).ok_or(CommandError::NotInteger)
}

/// A floating point argument (infinities included, NaN not).
pub(super) fn float(bytes: &[u8]) -> Result<f64, CommandError> {
    number::parse_f64(bytes).ok_or(CommandError::NotFloat)
}

/// A count that may not be negative.
pub(super) fn positive(bytes: &[u8]) -> Result<usize, CommandError> {
    match number::parse_i64(bytes) {
        Some(count @ 0..) => Ok(usize::try_from(count).unwrap_or(usize::MAX)),
        _ => Err(text("ERR value is out of range, must be positive")),
    }
}

/// An integer that may be anything but the smallest one, because its negation is needed.
pub(super) fn negatable(bytes: &[u8]) -> Result<i64, CommandError> {
    match integer(bytes)? {
        i64::MIN => Err(text(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        )),
        value => Ok(value),
    }
}

/// An integer of at least `low`, else `message`.
pub(super) fn at_least(bytes: &[u8], low: i64, message: &'static str) -> Result<usize, CommandError> {
    let value = number::parse_i64(bytes).filter(|&value| value >= low).ok_or(text(message))?;
    usize::try_from(value).map_err(|_| text(message))
}

/// True if an argument is this word, in any case.
pub(super) fn is(argument: &[u8], word: &str) -> bool {
    argument.eq_ignore_ascii_case(word.as_bytes())
}

/// Which end `LEFT` or `RIGHT` names.
pub(super) fn end(word: &[u8]) -> Result<End, CommandError> {
    match word {
        word if is(word, "LEFT") => Ok(End::Left),
        word if is(word, "RIGHT") => Ok(End::Right),
        _ => Err(CommandError::Syntax),
    }
}

/// Writes a member.
pub(super) fn bulk(out: &mut Reply, element: Element<'_>) {
    out.bulk(element.bytes(&mut Digits::new()));
}

/// Writes one of many members.
#[inline]
pub(super) fn bulk_of(bulks: &mut Bulks<'_>, element: Element<'_>) {
    match element {
        Element::Bytes(bytes) => bulks.push(bytes),
        Element::Int(value) => bulks.push(Digits::new().format(value).as_bytes()),
    }
}

/// The part of `0..len` that the inclusive, possibly negative indexes name: its start and how many there are.
pub(super) fn window(start: i64, stop: i64, len: usize) -> (usize, usize) {
    let signed = len as i64;
    let absolute = |index: i64| if index < 0 { index.saturating_add(signed) } else { index };
    let (start, stop) = (absolute(start).max(0), absolute(stop).min(signed - 1));
    if start > stop || start >= signed { (0, 0) } else { (start as usize, (stop - start + 1) as usize) }
}

/// A source of random numbers for choosing members: a generator per thread, seeded by the system.
pub(crate) fn dice() -> impl FnMut() -> u64 {
    thread_local! {
        static SEED: Cell<u64> = Cell::new(RandomState::new().build_hasher().finish());
    }
    || {
        let seed = SEED.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        SEED.set(seed);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A count of random members: how many, and whether a member may come twice.
#[derive(Clone, Copy)]
pub(super) struct Draw {
    pub(super) count: usize,
    pub(super) repeated: bool,
}

impl Draw {
    /// A positive count asks for different members, a negative one for independent draws.
    pub(super) fn parse(bytes: &[u8]) -> Result<Draw, CommandError> {
        let value = negatable(bytes)?;
        if value < 0 && value.unsigned_abs() > REPEATED_MEMBERS_MAX {
            return Err(text("ERR value is out of range"));
        }
        Ok(Draw { count: usize::try_from(value.unsigned_abs()).unwrap_or(usize::MAX), repeated: value < 0 })
    }

    /// How many are drawn of `len` members, of which there are some.
    pub(super) fn answered(self, len: usize) -> usize {
        if self.repeated { self.count } else { self.count.min(len) }
    }
}

/// `count` different members out of `len`, every subset as likely as any other. `all` walks the members, `one` draws.
pub(super) fn distinct<T: std::hash::Hash + Eq>(
    count: usize,
    len: usize,
    all: impl Iterator<Item = T>,
    mut one: impl FnMut(&mut dyn FnMut() -> u64) -> Option<T>,
) -> Vec<T> {
    let mut random = dice();
    if count.saturating_mul(3) < len {
        let mut drawn = HashSet::with_capacity(count);
        while drawn.len() < count {
            let Some(member) = one(&mut random) else { break };
            drawn.insert(member);
        }
        return drawn.into_iter().collect();
    }
    let mut selection = Selection::new(count, len);
    all.filter(|_| selection.takes(&mut random)).collect()
}

/// The choice of some of many that are passed one by one, every subset as likely as any other.
pub(super) struct Selection {
    wanted: u64,
    left: u64,
}

impl Selection {
    /// `count` of `len`, or all.
    pub(super) fn new(count: usize, len: usize) -> Selection {
        Selection { wanted: count.min(len) as u64, left: len as u64 }
    }

    /// True if the next one is chosen.
    pub(super) fn takes(&mut self, random: &mut dyn FnMut() -> u64) -> bool {
        let take = (u128::from(random()) * u128::from(self.left)) >> 64 < u128::from(self.wanted);
        self.left = self.left.saturating_sub(1);
        self.wanted -= u64::from(take);
        take
    }

    /// True when all are chosen.
    pub(super) fn is_complete(&self) -> bool {
        self.wanted == 0
    }
}

/// Notes the reading of several keys (hits, misses, access times), which are then only looked at.
pub(super) fn note_reads(call: &mut Call<'_>, from: usize, to: usize) {
    for at in from..to {
        call.keys.read(call.args.get(at));
    }
}

/// `numkeys key [key ...]` at argument `at`: the index behind the last key.
pub(super) fn keys_end(call: &Call<'_>, at: usize, too_few: &'static str) -> Result<usize, CommandError> {
    let count = at_least(call.args.get(at), 1, too_few)?;
    match at.checked_add(1).and_then(|first| first.checked_add(count)) {
        Some(end) if end <= call.args.len() => Ok(end),
        _ => Err(CommandError::Syntax),
    }
}

/// `cursor [MATCH pattern] [COUNT count]`, and a word with which only half of each pair is answered.
pub(super) struct Scan<'a> {
    pub(super) cursor: u64,
    /// NOVALUES or NOSCORES was said.
    pub(super) halves: bool,
    pub(super) count: usize,
    pattern: Option<&'a [u8]>,
}

/// Words with which only half of each pair is answered, and where they may be said.
const HALVES: [(&str, &str); 2] = [("NOVALUES", "HSCAN"), ("NOSCORES", "ZSCAN")];

/// Members that a SCAN call looks at unless told.
const SCAN_COUNT_DEFAULT: usize = 10;

/// The cursor of a SCAN-like command.
pub(super) fn cursor(bytes: &[u8]) -> Result<u64, CommandError> {
    let digits =
        std::str::from_utf8(bytes).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|text| text.parse().ok()).ok_or(text("ERR invalid cursor"))
}

impl<'a> Scan<'a> {
    /// Reads the options from argument 3 on. `word` is the command's own, if it has one.
    pub(super) fn parse(call: &Call<'a>, cursor: u64, word: &str) -> Result<Scan<'a>, CommandError> {
        let mut scan = Scan { cursor, halves: false, count: SCAN_COUNT_DEFAULT, pattern: None };
        let mut at = 3;
        while at < call.args.len() {
            let said = call.args.get(at);
            if let Some((own, command)) = HALVES.iter().find(|(own, _)| is(said, own)) {
                if *own != word {
                    let message = format!("ERR {own} option can only be used in {command}");
                    return Err(CommandError::new(message));
                }
                scan.halves = true;
                at += 1;
                continue;
            }
            if at + 1 >= call.args.len() {
                return Err(CommandError::Syntax);
            }
            let value = call.args.get(at + 1);
            match said {
                word if is(word, "COUNT") => match integer(value)? {
                    count @ 1.. => scan.count = usize::try_from(count).unwrap_or(usize::MAX),
                    _ => return Err(CommandError::Syntax),
                },
                word if is(word, "MATCH") => scan.pattern = Some(value).filter(|pattern| pattern != b"*"),
                _ => return Err(CommandError::Syntax),
            }
            at += 2;
        }
        Ok(scan)
    }

    /// True if the member matches the pattern, if there is one.
    pub(super) fn wants(&self, member: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, member, false))
    }
}

/// The reply of a SCAN call: the next cursor and what was found.
pub(super) fn scanned(out: &mut Reply, next: u64, found: &[Vec<u8>]) {
    out.array(2);
    out.bulk(next.to_string().as_bytes());
    out.array(found.len());
    found.iter().for_each(|member| out.bulk(member));
}
