//! Bitmap commands: strings read and changed bit by bit, or as integers of any width (BITFIELD, in [`fields`]). The
//! arithmetic is in [`bits`] and [`field`].

mod bits;
mod field;
mod fields;

use super::collection::{Answer, integer, is, note_reads, text};
use super::patch::patch;
use super::string::element;
use super::table::{Keys, ONE_KEY, flag};
use super::{Call, Command, CommandError};
use crate::notify::Classes;
use bits::Operation;
use larder_protocol::number;
use larder_store::object::{Digits, Element};
use larder_store::{Extras, Value};
use std::borrow::Cow;
use std::ops::Range;

/// The bitmap commands.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "setbit",
        summary: "Sets or clears a bit of a string, which grows to hold it; answers what the bit was.",
        syntax: "key offset value",
        since: "2.2.0",
        group: "bitmap",
        arity: 4,
        flags: flag::WRITE | flag::DENYOOM,
        keys: ONE_KEY,
        handler: setbit,
        ..Command::DEFAULT
    },
    Command {
        name: "getbit",
        summary: "Reads a bit of a string.",
        syntax: "key offset",
        since: "2.2.0",
        group: "bitmap",
        arity: 3,
        flags: flag::READONLY | flag::FAST,
        keys: ONE_KEY,
        handler: getbit,
        ..Command::DEFAULT
    },
    Command {
        name: "bitcount",
        summary: "Counts the ones in a string or a part of it.",
        syntax: "key [start [end [BYTE | BIT]]]",
        since: "2.6.0",
        group: "bitmap",
        complexity: "O(N), N = bytes looked at",
        arity: -2,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: bitcount,
        ..Command::DEFAULT
    },
    Command {
        name: "bitpos",
        summary: "Finds the first one or zero in a string or a part of it.",
        syntax: "key bit [start [end [BYTE | BIT]]]",
        since: "2.8.7",
        group: "bitmap",
        complexity: "O(N), N = bytes looked at",
        arity: -3,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: bitpos,
        ..Command::DEFAULT
    },
    Command {
        name: "bitop",
        summary: "Combines strings bit by bit and stores the result.",
        syntax: "<AND | OR | XOR | NOT | DIFF | DIFF1 | ANDOR | ONE> destkey key [key ...]",
        since: "2.6.0",
        group: "bitmap",
        complexity: "O(N), N = bytes of all strings",
        arity: -4,
        flags: flag::WRITE | flag::DENYOOM,
        keys: Keys::Range { first: 2, last: -1, step: 1 },
        handler: bitop,
        ..Command::DEFAULT
    },
    Command {
        name: "bitfield",
        summary: "Reads and changes integers of any width at any bit of a string.",
        syntax: "key [GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] <SET encoding offset value | INCRBY encoding offset increment>] ...",
        since: "3.2.0",
        group: "bitmap",
        complexity: "O(N), N = operations given",
        arity: -2,
        flags: flag::WRITE | flag::DENYOOM,
        keys: ONE_KEY,
        handler: fields::bitfield,
        ..Command::DEFAULT
    },
    Command {
        name: "bitfield_ro",
        summary: "Reads integers of any width at any bit of a string.",
        syntax: "key [GET encoding offset [GET encoding offset ...]]",
        since: "6.0.0",
        group: "bitmap",
        complexity: "O(N), N = operations given",
        arity: -2,
        flags: flag::READONLY | flag::FAST,
        keys: ONE_KEY,
        handler: fields::bitfield_ro,
        ..Command::DEFAULT
    },
];

/// Bits of the longest string that may be made by naming a bit: `proto-max-bulk-len` bytes.
fn bits_max(call: &Call<'_>) -> u64 {
    u64::try_from(call.node.settings().proto_max_bulk_len).map_or(u64::MAX, |bytes| bytes.saturating_mul(8))
}

/// A bit offset. With `#` in front, where `width` is given, it counts fields of that width.
fn offset(call: &Call<'_>, bytes: &[u8], width: Option<u32>) -> Result<usize, CommandError> {
    let (digits, factor) = match (bytes, width) {
        ([b'#', digits @ ..], Some(width)) => (digits, width),
        _ => (bytes, 1),
    };
    let number = number::parse_i64(digits).and_then(|number| u64::try_from(number).ok());
    let bits = number.and_then(|number| number.checked_mul(factor.into()));
    let within = bits.filter(|&bits| bits < bits_max(call)).and_then(|bits| usize::try_from(bits).ok());
    within.ok_or(text("ERR bit offset is not an integer or out of range"))
}

/// Reads the string at a key; an integer is written to `digits`. A missing key is `None`.
fn read<'a>(
    call: &'a mut Call<'_>,
    key: &[u8],
    digits: &'a mut Digits,
) -> Result<Option<&'a [u8]>, CommandError> {
    Ok(match call.keys.read(key).map(|item| element(item.value())).transpose()? {
        None => None,
        Some(Element::Bytes(bytes)) => Some(bytes),
        Some(Element::Int(n)) => Some(digits.format(n).as_bytes()),
    })
}

fn setbit(call: &mut Call<'_>) -> Answer {
    let (key, bit) = (call.args.get(1), call.args.get(3));
    let offset = offset(call, call.args.get(2), None)?;
    let bit = match bit {
        b"0" => false,
        b"1" => true,
        _ => return Err(text("ERR bit is not an integer or out of range")),
    };
    let before = call.keys.dirty();
    let old = patch(&mut call.keys, key, offset / 8 + 1, |bytes| {
        let old = bits::set(bytes, offset, bit);
        (old != bit, old)
    })?;
    if call.keys.dirty() > before {
        call.keys.notify(Classes::STRING, "setbit", key);
    }
    call.out.integer(old.into());
    Ok(())
}

fn getbit(call: &mut Call<'_>) -> Answer {
    let offset = offset(call, call.args.get(2), None)?;
    let bit = read(call, call.args.get(1), &mut Digits::new())?.is_some_and(|bytes| bits::get(bytes, offset));
    call.out.integer(bit.into());
    Ok(())
}

/// A part of a string: from `start` to `end`, both included, counted from the end where negative.
#[derive(Clone, Copy)]
struct Span {
    start: i64,
    end: Option<i64>,
    in_bits: bool,
}

impl Span {
    const WHOLE: Span = Span { start: 0, end: None, in_bits: false };

    fn unit(word: &[u8]) -> Result<bool, CommandError> {
        match word {
            word if is(word, "BIT") => Ok(true),
            word if is(word, "BYTE") => Ok(false),
            _ => Err(CommandError::Syntax),
        }
    }

    /// The bits of a string of `len` bytes; indexes that are still negative, counted from the end, are 0.
    fn bits(&self, len: usize) -> Range<usize> {
        let (all, width) = if self.in_bits { (len * 8, 1) } else { (len, 8) };
        let total = all as i64;
        let absolute = |at: i64| if at < 0 { at.saturating_add(total).max(0) } else { at };
        let (start, end) = (absolute(self.start), absolute(self.end.unwrap_or(-1)).min(total - 1));
        if start > end { 0..0 } else { start as usize * width..(end as usize + 1) * width }
    }
}

fn bitcount(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let span = match args.len() {
        2 => Span::WHOLE,
        3 => Span { start: integer(args.get(2))?, end: None, in_bits: false },
        4 | 5 => {
            let (start, end) = (integer(args.get(2))?, Some(integer(args.get(3))?));
            let in_bits = if args.len() == 5 { Span::unit(args.get(4))? } else { false };
            Span { start, end, in_bits }
        }
        _ => return Err(CommandError::Syntax),
    };
    let backwards = span.start < 0 && span.end.is_some_and(|end| end < 0 && span.start > end);
    let mut digits = Digits::new();
    let count = match read(call, args.get(1), &mut digits)? {
        Some(bytes) if !backwards => bits::count(bytes, span.bits(bytes.len())),
        _ => 0,
    };
    call.out.integer(count as i64);
    Ok(())
}

fn bitpos(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let bit = match integer(args.get(2))? {
        0 => false,
        1 => true,
        _ => return Err(text("ERR The bit argument must be 1 or 0.")),
    };
    let span = match args.len() {
        3 => Span::WHOLE,
        4..=6 => {
            let start = integer(args.get(3))?;
            let in_bits = if args.len() == 6 { Span::unit(args.get(5))? } else { false };
            let end = if args.len() > 4 { Some(integer(args.get(4))?) } else { None };
            Span { start, end, in_bits }
        }
        _ => return Err(CommandError::Syntax),
    };
    let mut digits = Digits::new();
    let found = match read(call, args.get(1), &mut digits)? {
        Some(bytes) => first(bytes, bit, &span),
        // As an endless row of zeros.
        None => (!bit).then_some(0),
    };
    call.out.integer(found.map_or(-1, |at| at as i64));
    Ok(())
}

/// Behind a string stand endless zeros, unless its end was named.
fn first(bytes: &[u8], bit: bool, span: &Span) -> Option<usize> {
    let range = span.bits(bytes.len());
    let behind = (!bit && span.end.is_none() && !range.is_empty()).then_some(bytes.len() * 8);
    bits::position(bytes, bit, range).or(behind)
}

/// The operation of this name.
fn operation(word: &[u8]) -> Result<Operation, CommandError> {
    let names = [
        ("AND", Operation::And),
        ("OR", Operation::Or),
        ("XOR", Operation::Xor),
        ("NOT", Operation::Not),
        ("DIFF", Operation::Diff),
        ("DIFF1", Operation::Diff1),
        ("ANDOR", Operation::AndOr),
        ("ONE", Operation::One),
    ];
    let found = names.iter().find(|(name, _)| is(word, name));
    found.map(|(_, operation)| *operation).ok_or(CommandError::Syntax)
}

fn check_sources(operation: Operation, count: usize) -> Answer {
    match operation {
        Operation::Not if count != 1 => Err(text("ERR BITOP NOT must be called with a single source key.")),
        Operation::Diff | Operation::Diff1 | Operation::AndOr if count < 2 => {
            let name = format!("{operation:?}").to_uppercase();
            Err(CommandError::new(format!("ERR BITOP {name} must be called with at least two source keys.")))
        }
        _ => Ok(()),
    }
}

fn bitop(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let operation = operation(args.get(1))?;
    check_sources(operation, args.len() - 3)?;
    note_reads(call, 3, args.len());
    let sources: Vec<Cow<'_, [u8]>> = (3..args.len()).map(|at| source(call, at)).collect::<Result<_, _>>()?;
    let slices: Vec<&[u8]> = sources.iter().map(|source| &**source).collect();
    let result = bits::combine(operation, &slices);
    let len = result.len();
    if len > 0 {
        call.keys.set(args.get(2), Value::Long(result), Extras { raw: true, ..Extras::default() });
        call.keys.notify(Classes::STRING, "set", args.get(2));
    } else {
        call.keys.remove_and_notify(args.get(2));
    }
    call.out.integer(len as i64);
    Ok(())
}

/// The string that an argument names; a missing one is empty.
fn source<'a>(call: &'a Call<'_>, at: usize) -> Result<Cow<'a, [u8]>, CommandError> {
    Ok(match call.keys.peek_value(call.args.get(at)).map(element).transpose()? {
        None => Cow::Borrowed(&[]),
        Some(Element::Bytes(bytes)) => Cow::Borrowed(bytes),
        Some(integer) => Cow::Owned(integer.to_vec()),
    })
}
