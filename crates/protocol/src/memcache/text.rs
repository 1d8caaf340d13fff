//! The text protocol: lines of words, and values behind the lines of storage commands.
//!
//! [`Parser::step`] takes the bytes received so far and yields one request at a time that borrows from them. What is
//! accepted and how it is refused follows memcached 1.6, found by asking it. Two things differ on purpose: a line
//! longer than [`LINE_BYTES_MAX`] is refused whether or not its end came in the same packet, and so told to the
//! client before the session ends.
//!
//! Source: protocol.txt of memcached ("Storage commands" and after); ElastiCache user guide, "Adding Auto Discovery
//! to your client library", for `config`.

use super::meta::{self, Meta};
use super::request::{Admin, Apart, KEY_BYTES_MAX, Reject, Request, Verb, Words, item_bytes};
use super::strict;
use memchr::memchr;

/// Longest line in bytes, without its end, of a command that does not take any number of keys.
pub const LINE_BYTES_MAX: usize = 2048;

/// Longest line in bytes of a command that takes any number of keys.
pub const KEYS_LINE_BYTES_MAX: usize = 1024 * 1024;

/// Longest value that can be announced at all; one that is longer is a malformed number.
pub(super) const VALUE_BYTES_MAX: i32 = i32::MAX - 2;

/// What a session may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest item, counted as [`item_bytes`] counts.
    pub item_bytes_max: usize,
    /// True for a session that may change the settings of Auto Discovery.
    pub config_writable: bool,
    /// Lines are read as by memcached from 1.6.32 on (the module `strict`), not as before.
    pub strict: bool,
}

/// What one step of the parser found.
#[derive(Clone, Debug, PartialEq)]
pub enum Step<'a> {
    /// A complete request. `consumed` bytes belong to it.
    Request {
        /// The request.
        request: Request<'a>,
        /// Bytes of input to drop once it was carried out.
        consumed: usize,
    },
    /// Bytes that ask for nothing and can be dropped at once: a refused request that wanted no answer, a part of a
    /// value that is too large.
    Nothing {
        /// Bytes of input to drop.
        consumed: usize,
    },
    /// The request is not complete; at least `need` more bytes must come.
    Incomplete {
        /// Bytes that surely have to come; a hint for reserving the buffer.
        need: usize,
    },
}

/// A line without end. The session is told [`LineTooLong::LINE`] and closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineTooLong;

impl LineTooLong {
    /// The answer.
    pub const LINE: &'static [u8] = b"CLIENT_ERROR line too long\r\n";
}

/// State of a session's request stream between two reads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parser {
    /// Bytes at the start of the input known to have no line end.
    scanned: u32,
    /// Length of the request whose line has been read but whose value is not complete; 0 if none.
    total: u32,
    /// Where the value of that request begins; 0 if it is not to be kept apart.
    value_at: u32,
    /// That value is kept apart: only its line and its end stand in the input.
    apart: bool,
    /// Bytes of a value still to be dropped.
    skip: u32,
    /// How dropping that value is to be answered.
    skip_reply: Option<Reject>,
}

/// A line of a command that is followed by a value.
pub(super) struct Header<'a> {
    pub(super) target: Target<'a>,
    pub(super) flags: u32,
    pub(super) value_bytes: usize,
    pub(super) noreply: bool,
}

pub(super) enum Target<'a> {
    Item { verb: Verb, key: &'a [u8], exptime: i32 },
    Config { name: &'a [u8] },
}

pub(super) enum Line<'a> {
    Whole(Request<'a>),
    Silent,
    Header(Header<'a>),
    /// It is not carried out, and so many bytes of a value behind it are dropped before that is said.
    Refused {
        reject: Option<Reject>,
        value_bytes: usize,
    },
}

impl Parser {
    /// A parser at the start of a stream.
    pub const fn new() -> Parser {
        Parser { scanned: 0, total: 0, value_at: 0, apart: false, skip: 0, skip_reply: None }
    }

    /// True when no request has been read in part.
    pub fn is_idle(&self) -> bool {
        self.scanned == 0 && self.total == 0 && self.skip == 0
    }

    /// The value that is still to come, if its request could do with it elsewhere than in the input. Asked after
    /// `Incomplete`.
    pub fn value_to_come(&self) -> Option<Apart> {
        let (at, end) = (self.value_at as usize, (self.total as usize).checked_sub(2)?);
        (at > 0 && !self.apart).then(|| Apart { at, bytes: end - at })
    }

    /// Says that the value which is to come will not stand in the input: its request is read without it, with no data.
    pub fn keep_apart(&mut self) {
        if self.value_to_come().is_some() {
            (self.apart, self.total) = (true, self.value_at + 2);
        }
    }

    /// Bytes of a value in the input, by what its line says.
    #[inline]
    fn bytes_here(&self, value_bytes: usize) -> usize {
        if self.apart { 0 } else { value_bytes }
    }

    /// A value of so many bytes is not complete.
    #[inline]
    fn wait(&mut self, total: usize, value_at: usize, available: usize) -> Step<'static> {
        (self.total, self.value_at) = (total as u32, value_at as u32);
        Step::Incomplete { need: total - available }
    }

    /// Reads one request from the start of `input`.
    ///
    /// After `Request` and `Nothing` the caller drops `consumed` bytes; after `Incomplete` it calls again with the
    /// same bytes and more. O(bytes not seen before), and a value's line once more when the value is complete.
    #[inline]
    pub fn step<'a>(&mut self, input: &'a [u8], limits: &Limits) -> Result<Step<'a>, LineTooLong> {
        if self.skip > 0 {
            return Ok(self.drop_value(input.len()));
        }
        if input.len() < self.total as usize {
            return Ok(Step::Incomplete { need: self.total as usize - input.len() });
        }
        // A line that was read before is found again at once: nothing was noted as scanned.
        let seen = self.scanned as usize;
        let Some(end) = memchr(b'\n', &input[seen..]).map(|at| seen + at) else {
            if too_long(input, input.len()) {
                return Err(LineTooLong);
            }
            self.scanned = input.len() as u32;
            return Ok(Step::Incomplete { need: 1 });
        };
        self.scanned = 0;
        if too_long(input, end) {
            return Err(LineTooLong);
        }
        let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
        let consumed = end + 1;
        if let [b'm', verb, b' ', rest @ ..] = line
            && let Some(step) = self.meta(*verb, rest, input, consumed, limits)
        {
            return Ok(step);
        }
        let read = match limits.strict {
            true => strict::read_line(line, end, limits),
            false => read_line(line, limits),
        };
        Ok(match read {
            Line::Whole(request) => Step::Request { request, consumed },
            Line::Silent => Step::Nothing { consumed },
            Line::Header(header) => self.value(input, consumed, header, limits),
            Line::Refused { reject, value_bytes } => {
                self.skip = value_bytes as u32 + 2;
                self.skip_reply = reject;
                Step::Nothing { consumed }
            }
        })
    }

    fn drop_value(&mut self, available: usize) -> Step<'static> {
        let consumed = available.min(self.skip as usize);
        self.skip -= consumed as u32;
        match (consumed, self.skip, self.skip_reply) {
            (0, left, _) => Step::Incomplete { need: left as usize },
            (_, 0, Some(reject)) => Step::Request { request: Request::Reject(reject), consumed },
            _ => Step::Nothing { consumed },
        }
    }

    /// A meta command with the rest of its line behind the verb; `None` if there is no such command.
    fn meta<'a>(
        &mut self,
        verb: u8,
        rest: &'a [u8],
        input: &'a [u8],
        at: usize,
        limits: &Limits,
    ) -> Option<Step<'a>> {
        let mut words = if limits.strict { Words::whole(rest) } else { Words::new(rest) };
        let whole = |request| Some(Step::Request { request, consumed: at });
        let verb = match verb {
            b'g' => meta::Verb::Get,
            b's' => meta::Verb::Set,
            b'd' => meta::Verb::Delete,
            b'a' => meta::Verb::Arithmetic,
            b'n' => return whole(Request::MetaNoOp),
            b'e' => return whole(meta_debug(words)),
            _ => return None,
        };
        let key = words.next().unwrap_or_default();
        if verb != meta::Verb::Set {
            return whole(Meta::read(verb, key, words).map_or_else(Request::Reject, Request::Meta));
        }
        let Some(value_bytes) = words.next().and_then(plain_value_bytes) else {
            return whole(Request::Reject(Reject::BadFormat));
        };
        match Meta::read(verb, key, words) {
            Ok(meta) => Some(self.meta_value(input, at, meta, value_bytes, limits)),
            Err(Reject::BadFormat) if key.len() <= KEY_BYTES_MAX && !are_letters(rest) => {
                whole(Request::Reject(Reject::BadFormat))
            }
            Err(reject) => {
                self.skip = value_bytes as u32 + 2;
                self.skip_reply = Some(reject);
                Some(Step::Nothing { consumed: at })
            }
        }
    }

    fn meta_value<'a>(
        &mut self,
        input: &'a [u8],
        at: usize,
        mut meta: Meta<'a>,
        value_bytes: usize,
        limits: &Limits,
    ) -> Step<'a> {
        if item_bytes(meta.sent_key.len(), value_bytes, meta.client_flags) > limits.item_bytes_max {
            self.skip = self.bytes_here(value_bytes) as u32 + 2;
            self.skip_reply = Some(Reject::TooLarge);
            (self.total, self.apart) = (0, false);
            meta.oversized = true;
            return Step::Request { request: Request::Meta(meta), consumed: at };
        }
        let end = at + self.bytes_here(value_bytes);
        let total = end + 2;
        if input.len() < total {
            return self.wait(total, at, input.len());
        }
        (self.total, self.apart) = (0, false);
        let request = if input[end..total] == *b"\r\n" {
            Request::Meta(Meta { data: &input[at..end], ..meta })
        } else {
            Request::Reject(Reject::BadChunk)
        };
        Step::Request { request, consumed: total }
    }

    #[inline]
    fn value<'a>(&mut self, input: &'a [u8], at: usize, header: Header<'a>, limits: &Limits) -> Step<'a> {
        if header.size() > limits.item_bytes_max {
            return self.oversized(at, &header);
        }
        let end = at + self.bytes_here(header.value_bytes);
        let total = end + 2;
        if input.len() < total {
            let for_an_item = matches!(header.target, Target::Item { .. });
            return self.wait(total, if for_an_item { at } else { 0 }, input.len());
        }
        (self.total, self.apart) = (0, false);
        if input[end..total] == *b"\r\n" {
            Step::Request { request: header.with(&input[at..end]), consumed: total }
        } else if header.noreply {
            Step::Nothing { consumed: total }
        } else {
            Step::Request { request: Request::Reject(Reject::BadChunk), consumed: total }
        }
    }

    #[cold]
    fn oversized<'a>(&mut self, line_bytes: usize, header: &Header<'a>) -> Step<'a> {
        self.skip = self.bytes_here(header.value_bytes) as u32 + 2;
        (self.total, self.apart) = (0, false);
        self.skip_reply = (!header.noreply).then_some(Reject::TooLarge);
        match header.target {
            Target::Item { verb, key, .. } => {
                Step::Request { request: Request::Oversized { verb, key }, consumed: line_bytes }
            }
            Target::Config { .. } => Step::Nothing { consumed: line_bytes },
        }
    }
}

impl<'a> Header<'a> {
    fn size(&self) -> usize {
        match self.target {
            Target::Item { key, .. } => item_bytes(key.len(), self.value_bytes, self.flags),
            Target::Config { name } => item_bytes(name.len(), self.value_bytes, self.flags),
        }
    }

    fn with(self, data: &'a [u8]) -> Request<'a> {
        let Header { flags, noreply, .. } = self;
        match self.target {
            Target::Item { verb, key, exptime } => {
                Request::Store { verb, key, flags, exptime, data, noreply }
            }
            Target::Config { name } => Request::ConfigSet { name, flags, data },
        }
    }
}

/// True when a line that ends at `end`, or not before it, is longer than what it seems to be may be.
fn too_long(input: &[u8], end: usize) -> bool {
    end > LINE_BYTES_MAX && (end > KEYS_LINE_BYTES_MAX || !takes_keys(&input[..LINE_BYTES_MAX]))
}

fn takes_keys(head: &[u8]) -> bool {
    matches!(Words::new(head).next(), Some(b"get" | b"gets" | b"gat" | b"gats"))
}

/// The words behind a command's name: the first `N`, and how many there are, counted up to `N + 1`.
#[derive(Clone, Copy)]
struct Fields<'a, const N: usize> {
    words: [&'a [u8]; N],
    count: usize,
}

impl<'a, const N: usize> Fields<'a, N> {
    #[inline]
    fn of(mut words: Words<'a>) -> Fields<'a, N> {
        let mut fields = Fields { words: [b""; N], count: 0 };
        for slot in &mut fields.words {
            let Some(word) = words.next() else { return fields };
            *slot = word;
            fields.count += 1;
        }
        fields.count += usize::from(words.next().is_some());
        fields
    }

    /// True when the last word is `noreply`. Only for as many words as the command takes.
    fn noreply(&self) -> bool {
        self.count > 0 && self.words[self.count - 1] == b"noreply"
    }
}

pub(super) fn reject(reason: Reject, noreply: bool) -> Line<'static> {
    if noreply { Line::Silent } else { Line::Whole(Request::Reject(reason)) }
}

const UNKNOWN: Line<'static> = Line::Whole(Request::Reject(Reject::Unknown));

#[inline]
fn read_line<'a>(line: &'a [u8], limits: &Limits) -> Line<'a> {
    let mut words = Words::new(line);
    match words.next().unwrap_or_default() {
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
        b"me" => reject(Reject::BadFormat, false),
        verb => operators(verb, words.clone()).unwrap_or_else(|| unknown(words)),
    }
}

/// The commands for operators.
pub(super) fn operators<'a>(verb: &[u8], words: Words<'a>) -> Option<Line<'a>> {
    let command = match verb {
        b"cache_memlimit" => Admin::CacheMemlimit,
        b"lru" => Admin::Lru,
        b"lru_crawler" => Admin::LruCrawler,
        b"slabs" => Admin::Slabs,
        b"watch" => Admin::Watch,
        b"shutdown" => Admin::Shutdown,
        b"refresh_certs" => Admin::RefreshCerts,
        _ => return None,
    };
    Some(Line::Whole(Request::Admin { command, words }))
}

/// Three words of which the last names HTTP are a web browser that a page made post here: it is cut off, as what follows
/// may be commands.
#[cold]
fn unknown(words: Words<'_>) -> Line<'_> {
    let fields = Fields::<2>::of(words);
    if fields.count == 2 && fields.words[1].starts_with(b"HTTP/") {
        return Line::Whole(Request::Quit);
    }
    UNKNOWN
}

pub(super) fn meta_debug(mut words: Words<'_>) -> Request<'_> {
    match words.next() {
        Some(key) if is_key(key) => {
            Request::MetaDebug { key, base64: words.any(|flag| flag.starts_with(b"b")) }
        }
        _ => Request::Reject(Reject::BadFormat),
    }
}

/// True if each flag of `ms` begins with a letter. Then the value is skipped even if a flag is malformed.
fn are_letters(rest: &[u8]) -> bool {
    Words::new(rest).skip(2).all(|flag| matches!(flag.first(), Some(b'A'..=b'z')))
}

pub(super) fn is_key(word: &[u8]) -> bool {
    word.len() <= KEY_BYTES_MAX
}

#[inline]
fn get(keys: Words<'_>, cas: bool) -> Line<'_> {
    match keys.clone().next() {
        None => UNKNOWN,
        Some(_) => values(keys, cas, None),
    }
}

fn get_and_touch(mut words: Words<'_>, cas: bool) -> Line<'_> {
    let Some(exptime) = words.next() else { return UNKNOWN };
    let Some(exptime) = exptime_of(exptime) else { return reject(Reject::BadExptime, false) };
    values(words, cas, Some(exptime))
}

#[inline]
fn values(keys: Words<'_>, cas: bool, touch: Option<i32>) -> Line<'_> {
    if !keys.clone().all(is_key) {
        return reject(Reject::BadFormat, false);
    }
    Line::Whole(Request::Get { keys, cas, touch })
}

#[inline]
fn store(verb: Verb, words: Words<'_>) -> Line<'_> {
    let fields = Fields::<6>::of(words);
    let least = if matches!(verb, Verb::Cas(_)) { 5 } else { 4 };
    if fields.count < least || fields.count > least + 1 {
        return UNKNOWN;
    }
    let noreply = fields.noreply();
    let [key, flags, exptime, len, unique, _] = fields.words;
    let header = (|| {
        let verb = if least == 5 { Verb::Cas(unsigned(unique)?) } else { verb };
        let exptime = exptime_of(exptime)?;
        let target = Target::Item { verb, key, exptime };
        Some(Header { target, flags: unsigned(flags)? as u32, value_bytes: value_bytes(len)?, noreply })
    })();
    match header {
        Some(header) if is_key(key) => Line::Header(header),
        _ => reject(Reject::BadFormat, noreply),
    }
}

fn delete(words: Words<'_>) -> Line<'_> {
    let fields = Fields::<3>::of(words);
    let [key, second, _] = fields.words;
    let noreply = fields.count <= 3 && fields.noreply();
    let usable = match fields.count {
        0 | 4.. => return UNKNOWN,
        1 => true,
        2 => second == b"0" || noreply,
        _ => second == b"0" && noreply,
    };
    match (usable, is_key(key)) {
        (false, _) => reject(Reject::DeleteUsage, noreply),
        (_, false) => reject(Reject::BadFormat, noreply),
        _ => Line::Whole(Request::Delete { key, noreply: noreply && fields.count > 1 }),
    }
}

fn arithmetic(words: Words<'_>, up: bool) -> Line<'_> {
    let fields = Fields::<3>::of(words);
    let [key, delta, _] = fields.words;
    if !(2..=3).contains(&fields.count) {
        return UNKNOWN;
    }
    let noreply = fields.noreply();
    match unsigned(delta) {
        _ if !is_key(key) => reject(Reject::BadFormat, noreply),
        None => reject(Reject::BadDelta, noreply),
        Some(delta) => Line::Whole(Request::Arithmetic { key, delta, up, noreply }),
    }
}

fn touch(words: Words<'_>) -> Line<'_> {
    let fields = Fields::<3>::of(words);
    let [key, exptime, _] = fields.words;
    if !(2..=3).contains(&fields.count) {
        return UNKNOWN;
    }
    let noreply = fields.noreply();
    match exptime_of(exptime) {
        _ if !is_key(key) => reject(Reject::BadFormat, noreply),
        None => reject(Reject::BadExptime, noreply),
        Some(exptime) => Line::Whole(Request::Touch { key, exptime, noreply }),
    }
}

fn flush_all(words: Words<'_>) -> Line<'_> {
    let fields = Fields::<2>::of(words);
    if fields.count > 2 {
        return UNKNOWN;
    }
    let noreply = fields.noreply();
    let delay = match fields.count - usize::from(noreply && fields.count == 1) {
        0 => Some(0),
        _ => exptime_of(fields.words[0]),
    };
    match delay {
        Some(delay) => Line::Whole(Request::FlushAll { delay, noreply }),
        None => reject(Reject::BadExptime, noreply),
    }
}

fn verbosity(words: Words<'_>) -> Line<'_> {
    let fields = Fields::<2>::of(words);
    if !(1..=2).contains(&fields.count) {
        return UNKNOWN;
    }
    let noreply = fields.noreply();
    match unsigned(fields.words[0]) {
        Some(level) => Line::Whole(Request::Verbosity { level: level as u32, noreply }),
        None => reject(Reject::BadFormat, noreply),
    }
}

pub(super) fn config<'a>(words: Words<'a>, limits: &Limits) -> Line<'a> {
    let Fields { words: [verb, name, flags, len], count } = Fields::<4>::of(words);
    match (verb, count) {
        (b"get", 2) => Line::Whole(Request::ConfigGet { name }),
        (b"delete", 2) if limits.config_writable => Line::Whole(Request::ConfigDelete { name }),
        (b"set", 4) if limits.config_writable => match (unsigned(flags), value_bytes(len)) {
            (Some(flags), Some(value_bytes)) if is_key(name) => Line::Header(Header {
                target: Target::Config { name },
                flags: flags as u32,
                value_bytes,
                noreply: false,
            }),
            _ => reject(Reject::BadFormat, false),
        },
        _ => UNKNOWN,
    }
}

/// The length of a value; 32 bits of it count.
fn value_bytes(word: &[u8]) -> Option<usize> {
    match signed(word)? as i32 {
        len @ 0..=VALUE_BYTES_MAX => Some(len as usize),
        _ => None,
    }
}

/// The length of a value of `ms`: digits and nothing else.
fn plain_value_bytes(word: &[u8]) -> Option<usize> {
    let len = usize::try_from(decimal(word)?).ok()?;
    (len <= VALUE_BYTES_MAX as usize).then_some(len)
}

/// Reads a number of digits and nothing else.
pub(super) fn decimal(word: &[u8]) -> Option<u64> {
    if word.is_empty() || word.len() > 20 {
        return None;
    }
    word.iter().try_fold(0u64, |value, &byte| match byte {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// An expiration time; 32 bits of it count.
pub(super) fn exptime_of(word: &[u8]) -> Option<i32> {
    Some(signed(word)? as i32)
}

/// Reads a number as `strtoull` does, and refuses one with a minus unless it wraps to a small one.
pub fn unsigned(word: &[u8]) -> Option<u64> {
    let (negative, magnitude) = magnitude(word)?;
    if !negative {
        return Some(magnitude);
    }
    let wrapped = magnitude.wrapping_neg();
    (wrapped <= i64::MAX as u64).then_some(wrapped)
}

/// Reads a number as `strtoll` does.
fn signed(word: &[u8]) -> Option<i64> {
    let (negative, magnitude) = magnitude(word)?;
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// Sign and digits of a number, with blanks before it, and anything behind it that a blank parts from it.
fn magnitude(word: &[u8]) -> Option<(bool, u64)> {
    let start = word.iter().position(|byte| !is_space(*byte))?;
    let (negative, digits) = match &word[start..] {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let len = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    if len == 0 || digits.get(len).is_some_and(|&byte| byte != 0 && !is_space(byte)) {
        return None;
    }
    digits[..len]
        .iter()
        .try_fold(0u64, |value, &byte| value.checked_mul(10)?.checked_add(u64::from(byte - b'0')))
        .map(|value| (negative, value))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests;
