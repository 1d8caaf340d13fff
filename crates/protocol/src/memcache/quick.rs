//! The requests that nearly all traffic consists of, read the short way: `get` and `set` that are complete and in plain
//! form. Whatever else it is, [`super::text`] reads it, and only that module refuses anything: here is no second opinion
//! on what is right, only a quicker way to the same request.

use super::request::{KEY_BYTES_MAX, item_bytes};
use super::text::{KEYS_LINE_BYTES_MAX, LINE_BYTES_MAX};
use std::ops::Range;

/// Digits of a number that surely fits 32 bits, with sign or without.
const DIGITS_MAX: usize = 9;

const NOREPLY: &[u8] = b" noreply";

/// What is asked for. Offsets count from the start of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quick {
    /// `get` of the keys that were told.
    Get,
    /// `set` of the one key that was told.
    Set {
        /// Opaque to the server.
        flags: u32,
        /// Expiration time as sent.
        exptime: i32,
        /// Where the value begins.
        value: u32,
        /// Its length.
        value_bytes: u32,
        /// True if no answer is wanted.
        noreply: bool,
    },
}

/// Reads the request that begins at `at`, and tells its keys to `key`, which says whether it takes them. Answers the
/// request and where it ends; `None` when it is none of these, is not complete, or a key was not taken: then what was
/// told does not count.
#[inline]
pub fn read(
    input: &[u8],
    at: usize,
    item_bytes_max: usize,
    mut key: impl FnMut(Range<usize>) -> bool,
) -> Option<(Quick, usize)> {
    match input.get(at..at + 4)? {
        b"get " => keys(input, at, &mut key).map(|end| (Quick::Get, end)),
        b"set " => set(input, at + 4, item_bytes_max, &mut key),
        _ => None,
    }
}

#[inline]
fn keys(input: &[u8], line: usize, key: &mut impl FnMut(Range<usize>) -> bool) -> Option<usize> {
    let mut at = line + 4;
    loop {
        let end = word(input, at)?;
        if !key(at..end) {
            return None;
        }
        if input[end] == b' ' {
            at = end + 1;
            continue;
        }
        let next = line_end(input, end)?;
        return (next - line <= KEYS_LINE_BYTES_MAX).then_some(next);
    }
}

#[inline]
fn set(
    input: &[u8],
    at: usize,
    item_bytes_max: usize,
    key: &mut impl FnMut(Range<usize>) -> bool,
) -> Option<(Quick, usize)> {
    let name = at..word(input, at)?;
    let (flags, at) = number(input, blank(input, name.end)?)?;
    let (exptime, at) = number(input, blank(input, at)?)?;
    let (value_bytes, mut at) = number(input, blank(input, at)?)?;
    let noreply = input[at..].starts_with(NOREPLY);
    if noreply {
        at += NOREPLY.len();
    }
    let value = line_end(input, at)?;
    let end = value + value_bytes as usize;
    let large = item_bytes(name.len(), value_bytes as usize, flags) > item_bytes_max;
    if large || input.get(end..end + 2)? != b"\r\n" || value > u32::MAX as usize || !key(name) {
        return None;
    }
    let exptime = exptime as i32; // nine digits
    Some((Quick::Set { flags, exptime, value: value as u32, value_bytes, noreply }, end + 2))
}

/// The end of the key that begins at `at`. `None` if it is empty, too long, or not ended yet.
#[inline]
fn word(input: &[u8], at: usize) -> Option<usize> {
    const LOW: u64 = u64::from_ne_bytes([0x21; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let rest = &input[at..];
    let mut len = 0;
    // Eight bytes at a time: the top bit of a byte is set where it is below '!' (the lowest one that is set is exact).
    loop {
        let Some(eight) = rest.get(len..len + 8) else {
            len += rest[len..].iter().position(|&byte| byte < 0x21)?;
            break;
        };
        let eight = u64::from_le_bytes(eight.try_into().ok()?);
        let below = eight.wrapping_sub(LOW) & !eight & HIGH;
        if below != 0 {
            len += below.trailing_zeros() as usize / 8;
            break;
        }
        len += 8;
        if len > KEY_BYTES_MAX {
            return None;
        }
    }
    (1..=KEY_BYTES_MAX).contains(&len).then_some(at + len)
}

#[inline]
fn blank(input: &[u8], at: usize) -> Option<usize> {
    (*input.get(at)? == b' ').then_some(at + 1)
}

/// The number that begins at `at`, and where it ends.
#[inline]
fn number(input: &[u8], at: usize) -> Option<(u32, usize)> {
    let mut value = 0;
    for (len, byte) in input.get(at..)?.iter().enumerate() {
        match byte {
            b'0'..=b'9' if len < DIGITS_MAX => value = value * 10 + u32::from(byte - b'0'),
            _ => return (len > 0).then_some((value, at + len)),
        }
    }
    None
}

/// Where the next line begins, if one ends at `at`.
#[inline]
fn line_end(input: &[u8], at: usize) -> Option<usize> {
    match input.get(at..at + 2)? {
        b"\r\n" => Some(at + 2),
        [b'\n', _] => Some(at + 1),
        _ => None,
    }
}

// A key and three numbers are far from the limit of a line.
const _: () = assert!(KEY_BYTES_MAX + 3 * DIGITS_MAX + 32 < LINE_BYTES_MAX);

#[cfg(test)]
mod tests {
    use super::super::request::{Request, Verb};
    use super::super::text::{Limits, Parser, Step};
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { item_bytes_max: 1024, config_writable: false, strict: true };

    fn quick(input: &[u8]) -> Option<(Quick, usize, Vec<Vec<u8>>)> {
        let mut keys = Vec::new();
        let found = read(input, 0, LIMITS.item_bytes_max, |range| {
            keys.push(input[range].to_vec());
            true
        });
        found.map(|(quick, end)| (quick, end, keys))
    }

    /// What is read the short way is what the parser reads.
    fn agree(input: &[u8]) -> Result<bool, TestCaseError> {
        let Some((quick, end, keys)) = quick(input) else { return Ok(false) };
        let Ok(Step::Request { request, consumed }) = Parser::new().step(input, &LIMITS) else {
            return Err(TestCaseError::fail("the parser reads no request"));
        };
        prop_assert_eq!(consumed, end);
        match (quick, request) {
            (Quick::Get, Request::Get { keys: words, cas: false, touch: None }) => {
                prop_assert!(words.eq(keys.iter().map(Vec::as_slice)));
            }
            (
                Quick::Set { flags, exptime, value, value_bytes, noreply },
                Request::Store { verb, key, flags: f, exptime: e, data, noreply: n },
            ) => {
                let bytes = &input[value as usize..(value + value_bytes) as usize];
                prop_assert_eq!((Verb::Set, &keys[0][..], flags, exptime, bytes), (verb, key, f, e, data));
                prop_assert_eq!(noreply, n);
            }
            (quick, request) => return Err(TestCaseError::fail(format!("{quick:?} is {request:?}"))),
        }
        Ok(true)
    }

    #[test]
    fn plain_requests_are_read() {
        let long = format!("get {}\r\n", "k".repeat(250));
        let many = format!("get {}\r\nrest", "key:123 ".repeat(500).trim_end());
        let all = ["get a\r\n", "get abcdefgh\r\n", "get a bb ccccccccc\nget", &long, &many];
        for input in all.into_iter().chain(["set a 5 0 1\r\nx\r\n", "set a 0 99 2 noreply\r\nxy\r\nset"]) {
            assert!(agree(input.as_bytes()).unwrap(), "{input}");
        }
    }

    #[test]
    fn all_else_is_left_to_the_parser() {
        let long = format!("get {}\r\n", "k".repeat(251));
        for input in [
            "",
            "g",
            "get",
            "get ",
            "get \r\n",
            "get a",
            "get a\r",
            "get a  b\r\n",
            "get a \r\n",
            "get a\tb\r\n",
            "gets a\r\n",
            "get a\0\r\n",
            &long,
            "set a 0 0 1\r\nx\r",
            "set a 0 0 1\r\nxy\r\n",
            "set a -1 0 1\r\nx\r\n",
            "set a 0 -1 1\r\nx\r\n",
            "set a 0 0 1000\r\n",
            "set a 0 0 1 2\r\nx\r\n",
            "set a 0 0  1\r\nx\r\n",
            "set a 0000000000 0 1\r\nx\r\n",
            "set a 0 0 999999999\r\n",
            "set a 0 0 noreply\r\n",
            "set  a 0 0 1\r\nx\r\n",
        ] {
            assert_eq!(quick(input.as_bytes()), None, "{input}");
        }
        assert_eq!(read(b"get a b\r\n", 0, 1024, |range| range.start == 4), None, "a key was not taken");
    }

    proptest! {
        #[test]
        fn both_ways_agree(words in prop::collection::vec("[ -~\\x00-\\x7f]{0,9}", 0..7), tail in "[ -~]{0,12}") {
            for verb in ["get ", "set "] {
                agree(format!("{verb}{}\r\n{tail}\r\n", words.join(" ")).as_bytes())?;
            }
        }

        #[test]
        fn sets_agree(key in "[!-~]{1,20}", flags in 0u32..70000, exptime in 0i32..9999, value in "[ -~]{0,40}", off in 0usize..3, noreply: bool) {
            let len = (value.len() + off).saturating_sub(1);
            let noreply = if noreply { " noreply" } else { "" };
            let done = agree(format!("set {key} {flags} {exptime} {len}{noreply}\r\n{value}\r\n").as_bytes())?;
            prop_assert_eq!(done, off == 1 || value.is_empty() && off == 0);
        }
    }
}
