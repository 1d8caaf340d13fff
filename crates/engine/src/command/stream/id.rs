//! How ids are written in arguments.

use crate::command::CommandError;
use crate::command::collection::text;
use larder_protocol::number::parse_u64;
use larder_store::object::stream::Id;

pub(super) const INVALID: &str = "ERR Invalid stream ID specified as stream command argument";

/// Splits `ms-seq`; the number within the millisecond may be left out.
pub(super) fn split(bytes: &[u8]) -> Option<(u64, Option<&[u8]>)> {
    let mut halves = bytes.splitn(2, |&byte| byte == b'-');
    Some((parse_u64(halves.next()?)?, halves.next()))
}

/// An id; `missing` stands for a number that was left out.
pub(super) fn strict(bytes: &[u8], missing: u64) -> Result<Id, CommandError> {
    let parsed =
        split(bytes).and_then(|(ms, seq)| Some(Id { ms, seq: seq.map_or(Some(missing), parse_u64)? }));
    parsed.ok_or(text(INVALID))
}

/// An id, or `-` or `+` for the smallest and largest.
pub(super) fn loose(bytes: &[u8], missing: u64) -> Result<Id, CommandError> {
    match bytes {
        b"-" => Ok(Id::MIN),
        b"+" => Ok(Id::MAX),
        _ => strict(bytes, missing),
    }
}

/// The lower end of a range.
pub(super) fn low(bytes: &[u8]) -> Result<Id, CommandError> {
    match bytes.split_first() {
        Some((b'(', rest)) if !rest.is_empty() => {
            strict(rest, 0)?.next().ok_or(text("ERR invalid start ID for the interval"))
        }
        _ => loose(bytes, 0),
    }
}

/// The upper end of a range.
pub(super) fn high(bytes: &[u8]) -> Result<Id, CommandError> {
    match bytes.split_first() {
        Some((b'(', rest)) if !rest.is_empty() => {
            strict(rest, u64::MAX)?.previous().ok_or(text("ERR invalid end ID for the interval"))
        }
        _ => loose(bytes, u64::MAX),
    }
}
