//! Lines of the text protocol as memcached reads them from 1.6.32 on. Beside [`super::text`], which reads them as the
//! versions before: words beyond those of a request are passed over, `noreply` is looked for at the end of the line,
//! numbers are digits and nothing else, a line with too few words has a bad format instead of being unknown, and a value
//! behind a line that is refused is dropped.
//!
//! Found by asking memcached 1.6.45.

use super::request::{Reject, Request, Verb, Words};
use super::text::{
    Header, Limits, Line, Target, VALUE_BYTES_MAX, config, decimal, exptime_of, is_key, meta_debug,
    operators, reject, unsigned,
};

/// Words of a line that are looked at for `noreply`.
const WORDS_MAX: usize = 23;
/// Digits of a number of 64 bits, at most.
const DIGITS_64_MAX: usize = 22;
/// Digits of a number of 32 bits, with its sign, at most.
const DIGITS_32_MAX: usize = 11;
/// Bytes of a line, with its carriage return, from which on it may be a request.
const LINE_BYTES_MIN: usize = 3;

const BAD_FORMAT: Line<'static> = Line::Whole(Request::Reject(Reject::BadFormat));

/// The words behind the verb: the first five, how many of them are there, and what the last word of the line is.
struct Fields<'a> {
    words: [&'a [u8]; 5],
    count: usize,
    last: &'a [u8],
}

impl<'a> Fields<'a> {
    fn of(words: Words<'a>) -> Fields<'a> {
        let mut fields = Fields { words: [b""; 5], count: 0, last: b"" };
        for (at, word) in words.take(WORDS_MAX).enumerate() {
            if let Some(slot) = fields.words.get_mut(at) {
                *slot = word;
                fields.count += 1;
            }
            // One more than are looked at: then the last one that is looked at is not known to be the last.
            fields.last = if at + 1 < WORDS_MAX { word } else { b"" };
        }
        fields
    }

    fn noreply(&self) -> bool {
        self.last == b"noreply"
    }
}

/// Reads a line that is no meta command with words behind it; `bytes` is its length with the carriage return.
pub(super) fn read_line<'a>(line: &'a [u8], bytes: usize, limits: &Limits) -> Line<'a> {
    if bytes < LINE_BYTES_MIN {
        return BAD_FORMAT;
    }
    let (verb, rest) = line.split_at(memchr::memchr(b' ', line).unwrap_or(line.len()));
    let words = Words::whole(rest);
    match verb {
        b"get" => get(words, false),
        b"set" => store(Verb::Set, words),
        b"gets" => get(words, true),
        b"gat" => get_and_touch(words, false),
        b"gats" => get_and_touch(words, true),
        b"add" => store(Verb::Add, words),
        b"replace" => store(Verb::Replace, words),
        b"append" => store(Verb::Append, words),
        b"prepend" => store(Verb::Prepend, words),
        b"cas" => store(Verb::Cas(0), words),
        b"delete" => delete(words),
        b"incr" => arithmetic(words, true),
        b"decr" => arithmetic(words, false),
        b"touch" => touch(words),
        b"flush_all" => flush_all(words),
        b"version" => Line::Whole(Request::Version),
        b"verbosity" => verbosity(words),
        b"stats" => Line::Whole(Request::Stats(words)),
        b"quit" => Line::Whole(Request::Quit),
        b"config" => config(words, limits),
        b"mn" => Line::Whole(Request::MetaNoOp),
        b"me" => Line::Whole(meta_debug(words)),
        b"mg" | b"ms" | b"md" | b"ma" => BAD_FORMAT,
        _ => operators(verb, words.clone()).unwrap_or_else(|| unknown(verb, words)),
    }
}

/// As in [`super::text`], a line whose last word names HTTP ends the session.
#[cold]
fn unknown<'a>(verb: &'a [u8], words: Words<'a>) -> Line<'a> {
    let fields = Fields::of(words);
    if fields.last.starts_with(b"HTTP/") {
        return Line::Whole(Request::Quit);
    }
    reject(Reject::Unknown, fields.noreply() || fields.count == 0 && verb == b"noreply")
}

fn get(keys: Words<'_>, cas: bool) -> Line<'_> {
    if keys.clone().next().is_none() { BAD_FORMAT } else { values(keys, cas, None) }
}

fn get_and_touch(mut words: Words<'_>, cas: bool) -> Line<'_> {
    let (Some(exptime), Some(_)) = (words.next(), words.clone().next()) else { return BAD_FORMAT };
    match signed(exptime) {
        Some(exptime) => values(words, cas, Some(exptime)),
        None => reject(Reject::BadExptime, false),
    }
}

fn values(keys: Words<'_>, cas: bool, touch: Option<i32>) -> Line<'_> {
    if !keys.clone().all(is_key) {
        return reject(Reject::KeyOfGet, false);
    }
    Line::Whole(Request::Get { keys, cas, touch })
}

fn store(verb: Verb, words: Words<'_>) -> Line<'_> {
    let fields = Fields::of(words);
    let [key, flags, exptime, len, unique] = fields.words;
    let Some(value_bytes) =
        signed(len).filter(|len| fields.count >= 4 && (0..=VALUE_BYTES_MAX).contains(len))
    else {
        return BAD_FORMAT;
    };
    let (value_bytes, noreply) = (value_bytes as usize, fields.noreply());
    let header = (|| {
        let verb = if matches!(verb, Verb::Cas(_)) { Verb::Cas(strict(unique)?) } else { verb };
        let target = Target::Item { verb, key, exptime: exptime_of(exptime)? };
        Some(Header { target, flags: unsigned(flags)? as u32, value_bytes, noreply })
    })();
    match header {
        Some(header) if is_key(key) => Line::Header(header),
        _ => Line::Refused { reject: (!noreply).then_some(Reject::BadFormat), value_bytes },
    }
}

/// Words beyond those of the request are refused here as before: libmemcached's `memcapable` asks for it, whose test
/// memcached 1.6.45 fails.
fn delete(words: Words<'_>) -> Line<'_> {
    let fields = Fields::of(words);
    let ([key, second, third, ..], noreply) = (fields.words, fields.noreply());
    let usable = match fields.count {
        0 => return BAD_FORMAT,
        1 => true,
        2 => second == b"0" || noreply,
        count => count == 3 && second == b"0" && third == b"noreply",
    };
    match usable {
        false => reject(Reject::DeleteUsage, noreply),
        true if !is_key(key) => reject(Reject::BadFormat, noreply),
        _ => Line::Whole(Request::Delete { key, noreply }),
    }
}

fn arithmetic(words: Words<'_>, up: bool) -> Line<'_> {
    let fields = Fields::of(words);
    let ([key, delta, ..], noreply) = (fields.words, fields.noreply());
    match strict(delta) {
        _ if fields.count < 2 => BAD_FORMAT,
        _ if !is_key(key) => reject(Reject::BadFormat, noreply),
        None => reject(Reject::BadDelta, noreply),
        Some(delta) => Line::Whole(Request::Arithmetic { key, delta, up, noreply }),
    }
}

fn touch(words: Words<'_>) -> Line<'_> {
    let fields = Fields::of(words);
    let ([key, exptime, ..], noreply) = (fields.words, fields.noreply());
    match signed(exptime) {
        _ if fields.count < 2 => BAD_FORMAT,
        _ if !is_key(key) => reject(Reject::BadFormat, noreply),
        None => reject(Reject::BadExptime, noreply),
        Some(exptime) => Line::Whole(Request::Touch { key, exptime, noreply }),
    }
}

fn flush_all(words: Words<'_>) -> Line<'_> {
    let fields = Fields::of(words);
    let noreply = fields.noreply();
    let delay = match fields.count - usize::from(noreply && fields.count == 1) {
        0 => Some(0),
        _ => signed(fields.words[0]),
    };
    match delay {
        Some(delay) => Line::Whole(Request::FlushAll { delay, noreply }),
        None => reject(Reject::BadExptime, noreply),
    }
}

fn verbosity(words: Words<'_>) -> Line<'_> {
    let fields = Fields::of(words);
    let (level, noreply) = (fields.words[0], fields.noreply());
    if fields.count == 0 {
        return BAD_FORMAT;
    }
    match strict(level).filter(|_| level.len() <= DIGITS_32_MAX).and_then(|level| u32::try_from(level).ok()) {
        Some(level) => Line::Whole(Request::Verbosity { level, noreply }),
        None => reject(Reject::BadFormat, noreply),
    }
}

/// Digits and nothing else, within 64 bits.
fn strict(word: &[u8]) -> Option<u64> {
    if word.len() > DIGITS_64_MAX {
        return None;
    }
    let zeros = word.iter().take_while(|&&byte| byte == b'0').count();
    decimal(&word[zeros.min(word.len().saturating_sub(1))..])
}

/// Digits within 32 bits, with a minus or without; none of them after it is 0, as there.
fn signed(word: &[u8]) -> Option<i32> {
    let (negative, digits) = match word {
        [b'-', rest @ ..] => (true, rest),
        digits => (false, digits),
    };
    if word.len() > DIGITS_32_MAX || word.is_empty() {
        return None;
    }
    let magnitude = if digits.is_empty() { 0 } else { i64::try_from(decimal(digits)?).ok()? };
    i32::try_from(if negative { -magnitude } else { magnitude }).ok()
}
