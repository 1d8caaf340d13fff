//! Requests as clients send them: arrays of bulk strings, and inline commands.
//!
//! [`Parser::step`] takes the bytes received so far and yields one command at a time as ranges into them, so that
//! nothing is copied. A command that arrives in pieces is not scanned again: the parser keeps where it stopped.
//! Error texts are those of Redis 7, because clients and tests match on them.
//!
//! Source: RESP protocol specification (redis.io, "Sending commands to a Redis server", "Inline commands").

use memchr::memchr;

/// Longest inline request, and longest header line of a multibulk one, in bytes.
pub const INLINE_BYTES_MAX: usize = 64 * 1024;

/// Most arguments of one command, as in Redis 7. Each takes five bytes at least before anything is kept of it.
pub const ARGS_MAX: i64 = i32::MAX as i64;

/// Where one argument lies in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgRange {
    start: u32,
    len: u32,
}

impl ArgRange {
    /// The range that starts at `start` and is `len` bytes long.
    pub const fn new(start: u32, len: u32) -> ArgRange {
        ArgRange { start, len }
    }

    /// Offset of the first byte.
    pub const fn start(self) -> usize {
        self.start as usize
    }

    /// Length in bytes.
    pub const fn len(self) -> usize {
        self.len as usize
    }

    /// True for an empty argument.
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// Most arguments of a command before the session authenticated.
pub const UNAUTHENTICATED_ARGS_MAX: i64 = 10;

/// Longest argument before the session authenticated, in bytes.
pub const UNAUTHENTICATED_BULK_BYTES_MAX: i64 = 16384;

/// What a session may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest argument in bytes (`proto-max-bulk-len`).
    pub bulk_bytes_max: i64,
    /// True while the session still has to authenticate: it may send little until then.
    pub unauthenticated: bool,
}

/// What one step of the parser found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A complete command; its arguments (at least one) are in the ranges. `consumed` bytes belong to it.
    Command {
        /// Bytes of input to drop once the command was executed.
        consumed: usize,
    },
    /// Bytes that hold no command (blank lines, empty arrays) and can be dropped at once.
    Nothing {
        /// Bytes of input to drop.
        consumed: usize,
    },
    /// The command is not complete; at least `need` more bytes must come.
    Incomplete {
        /// Bytes that surely have to come; a hint for reserving the buffer.
        need: usize,
    },
}

/// A request that breaks the protocol. The session is told and closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// An inline request without a line end within [`INLINE_BYTES_MAX`].
    TooBigInline,
    /// An inline request with quotes that do not close.
    UnbalancedQuotes,
    /// The header of an array is too long.
    TooBigCountLine,
    /// The count of an array is no number or too large.
    InvalidMultibulkLength,
    /// More arguments than a session may send before it authenticated.
    UnauthenticatedMultibulkLength,
    /// The header of an argument is too long.
    TooBigBulkCountLine,
    /// An argument does not begin with `$`.
    ExpectedDollar(u8),
    /// The length of an argument is no number, negative or too large.
    InvalidBulkLength,
    /// A longer argument than a session may send before it authenticated.
    UnauthenticatedBulkLength,
}

impl std::fmt::Display for ProtocolError {
    /// The text after `-ERR `, as Redis sends it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Protocol error: ")?;
        match self {
            ProtocolError::TooBigInline => f.write_str("too big inline request"),
            ProtocolError::UnbalancedQuotes => f.write_str("unbalanced quotes in request"),
            ProtocolError::TooBigCountLine => f.write_str("too big mbulk count string"),
            ProtocolError::InvalidMultibulkLength => f.write_str("invalid multibulk length"),
            ProtocolError::UnauthenticatedMultibulkLength => f.write_str("unauthenticated multibulk length"),
            ProtocolError::TooBigBulkCountLine => f.write_str("too big bulk count string"),
            ProtocolError::ExpectedDollar(byte) => write!(f, "expected '$', got '{}'", char::from(*byte)),
            ProtocolError::InvalidBulkLength => f.write_str("invalid bulk length"),
            ProtocolError::UnauthenticatedBulkLength => f.write_str("unauthenticated bulk length"),
        }
    }
}

impl std::error::Error for ProtocolError {}

/// State of a session's request stream between two reads.
///
/// Offsets are relative to the start of the command being read, which the caller keeps at the start of `input`.
#[derive(Debug)]
pub struct Parser {
    /// Arguments of the unfinished command; empty, without memory, when idle.
    done: Vec<ArgRange>,
    /// Arguments still to come; 0 when no array header was read yet.
    left: u32,
    /// How far the unfinished command was read.
    at: u32,
    /// Length of the argument whose header was read, or `NO_BULK`.
    bulk: u32,
    /// Arguments that an earlier step read; they were put back in front of the new ones.
    seen: u32,
}

const NO_BULK: u32 = u32::MAX;

enum Line {
    /// The number, and the offset after its line end.
    Number(i64, usize),
    /// No number on the line.
    Bad,
    /// The line end has not come yet.
    Incomplete,
}

/// Reads `digits CR LF` at `at`. Accepts what Redis accepts: an optional minus, no plus, no spaces.
#[inline(always)]
fn number_line(input: &[u8], at: usize) -> Line {
    // Nearly every header is one digit or two.
    let digit = |byte: u8| byte.wrapping_sub(b'0');
    match input.get(at..at + 4) {
        Some(&[a, b'\r', ..]) if digit(a) < 10 => Line::Number(i64::from(digit(a)), at + 3),
        Some(&[a, b, b'\r', _]) if (1..10).contains(&digit(a)) && digit(b) < 10 => {
            Line::Number(i64::from(digit(a)) * 10 + i64::from(digit(b)), at + 4)
        }
        _ => number_line_long(input, at),
    }
}

#[inline(never)]
fn number_line_long(input: &[u8], at: usize) -> Line {
    // The others have few: read them without looking for the line end first.
    let mut value = 0i64;
    for (i, &byte) in input[at.min(input.len())..].iter().take(10).enumerate() {
        match byte {
            b'0'..=b'9' => value = value * 10 + i64::from(byte - b'0'),
            b'\r' if i > 0 && !(i > 1 && input[at] == b'0') => {
                let end = at + i + 2;
                return if end <= input.len() { Line::Number(value, end) } else { Line::Incomplete };
            }
            _ => break,
        }
    }
    number_line_slow(input, at)
}

#[cold]
fn number_line_slow(input: &[u8], at: usize) -> Line {
    let rest = &input[at.min(input.len())..];
    let Some(end) = memchr(b'\r', rest) else { return Line::Incomplete };
    if end + 2 > rest.len() {
        return Line::Incomplete;
    }
    match crate::number::parse_i64(&rest[..end]) {
        Some(value) => Line::Number(value, at + end + 2),
        None => Line::Bad,
    }
}

impl Default for Parser {
    fn default() -> Parser {
        Parser::new()
    }
}

impl Parser {
    /// A parser at the start of a stream.
    pub const fn new() -> Parser {
        Parser { done: Vec::new(), left: 0, at: 0, bulk: NO_BULK, seen: 0 }
    }

    /// True when no command has been read in part.
    pub fn is_idle(&self) -> bool {
        self.left == 0 && self.at == 0
    }

    /// Bytes at the front of a command that is not complete yet which are not looked at any more: its whole arguments.
    #[inline]
    pub fn settled(&self) -> usize {
        if self.left == 0 { 0 } else { self.at as usize }
    }

    /// Reads one command from the start of `input`; its arguments are appended to `args`, so that one vector can
    /// hold a whole batch.
    ///
    /// After `Command` and `Nothing` the caller drops `consumed` bytes; after `Incomplete` it calls again with the
    /// same bytes and more. `input` is written to only when an inline command has quotes, which are resolved in
    /// place. O(bytes not seen before).
    #[inline]
    pub fn step(
        &mut self,
        input: &mut [u8],
        args: &mut Vec<ArgRange>,
        limits: &Limits,
    ) -> Result<Step, ProtocolError> {
        if self.left == 0 {
            match input.first() {
                None => return Ok(Step::Incomplete { need: 1 }),
                Some(b'*') => {}
                Some(_) => return self.inline(input, args),
            }
            let (count, at) = match number_line(input, 1) {
                Line::Number(count, at) => (count, at),
                Line::Bad => return Err(ProtocolError::InvalidMultibulkLength),
                Line::Incomplete if input.len() > INLINE_BYTES_MAX => {
                    return Err(ProtocolError::TooBigCountLine);
                }
                Line::Incomplete => return Ok(Step::Incomplete { need: 1 }),
            };
            if count > ARGS_MAX {
                return Err(ProtocolError::InvalidMultibulkLength);
            }
            if limits.unauthenticated && count > UNAUTHENTICATED_ARGS_MAX {
                return Err(ProtocolError::UnauthenticatedMultibulkLength);
            }
            if count <= 0 {
                return Ok(Step::Nothing { consumed: at });
            }
            (self.left, self.at) = (count as u32, at as u32);
        } else {
            self.seen = self.done.len() as u32;
            args.append(&mut self.done);
        }
        self.arguments(input, args, limits)
    }

    #[inline]
    fn arguments(
        &mut self,
        input: &[u8],
        args: &mut Vec<ArgRange>,
        limits: &Limits,
    ) -> Result<Step, ProtocolError> {
        let first = args.len() - self.seen as usize;
        let mut at = self.at as usize;
        let mut bulk = self.bulk;
        while self.left > 0 {
            if bulk == NO_BULK {
                match input.get(at) {
                    Some(b'$') => {}
                    Some(&other) => return Err(ProtocolError::ExpectedDollar(other)),
                    None => return Ok(self.pause(at, bulk, 1, args, first)),
                }
                match number_line(input, at + 1) {
                    Line::Number(len, after) => {
                        bulk = bulk_length(len, limits)?;
                        at = after;
                    }
                    Line::Bad => return Err(ProtocolError::InvalidBulkLength),
                    Line::Incomplete if input.len() - at > INLINE_BYTES_MAX => {
                        return Err(ProtocolError::TooBigBulkCountLine);
                    }
                    Line::Incomplete => return Ok(self.pause(at, bulk, 1, args, first)),
                }
            }
            let end = at + bulk as usize + 2;
            if end > input.len() {
                return Ok(self.pause(at, bulk, end - input.len(), args, first));
            }
            args.push(ArgRange::new(at as u32, bulk));
            (at, bulk) = (end, NO_BULK);
            self.left -= 1;
        }
        (self.at, self.bulk, self.seen) = (0, NO_BULK, 0);
        Ok(Step::Command { consumed: at })
    }

    #[cold]
    fn pause(&mut self, at: usize, bulk: u32, need: usize, args: &mut Vec<ArgRange>, first: usize) -> Step {
        (self.at, self.bulk, self.seen) = (at as u32, bulk, 0);
        self.done.extend_from_slice(&args[first..]);
        args.truncate(first);
        Step::Incomplete { need }
    }
}

#[inline]
fn bulk_length(len: i64, limits: &Limits) -> Result<u32, ProtocolError> {
    if len < 0 || len > limits.bulk_bytes_max || len >= i64::from(NO_BULK) {
        return Err(ProtocolError::InvalidBulkLength);
    }
    if limits.unauthenticated && len > UNAUTHENTICATED_BULK_BYTES_MAX {
        return Err(ProtocolError::UnauthenticatedBulkLength);
    }
    Ok(len as u32)
}

impl Parser {
    #[cold]
    fn inline(&mut self, input: &mut [u8], args: &mut Vec<ArgRange>) -> Result<Step, ProtocolError> {
        let seen = self.at as usize;
        let Some(end) = memchr(b'\n', &input[seen..]).map(|i| seen + i) else {
            if input.len() > INLINE_BYTES_MAX {
                return Err(ProtocolError::TooBigInline);
            }
            self.at = input.len() as u32;
            return Ok(Step::Incomplete { need: 1 });
        };
        self.at = 0;
        let first = args.len();
        let line = if end > 0 && input[end - 1] == b'\r' { end - 1 } else { end };
        split_inline(&mut input[..line], args)?;
        let consumed = end + 1;
        Ok(if args.len() == first { Step::Nothing { consumed } } else { Step::Command { consumed } })
    }
}

/// Splits a line at blanks, with the quoting rules of `redis-cli` and redis.conf: `"..."` with the escapes
/// `\n \r \t \b \a \xHH`, and `'...'` with `\'`. A closing quote must be followed by a blank or the end.
/// Resolved bytes are written over the line: they are never longer than their source.
fn split_inline(line: &mut [u8], args: &mut Vec<ArgRange>) -> Result<(), ProtocolError> {
    let mut at = 0;
    loop {
        while at < line.len() && is_space(line[at]) {
            at += 1;
        }
        if at == line.len() {
            return Ok(());
        }
        let start = at;
        let mut to = at;
        while at < line.len() && !ends_argument(line[at]) {
            match line[at] {
                quote @ (b'"' | b'\'') => (at, to) = unquote(line, at + 1, to, quote)?,
                byte => {
                    line[to] = byte;
                    (at, to) = (at + 1, to + 1);
                }
            }
        }
        args.push(ArgRange::new(start as u32, (to - start) as u32));
    }
}

/// Copies what stands between quotes from `at` to `to`; answers where both ended.
fn unquote(
    line: &mut [u8],
    mut at: usize,
    mut to: usize,
    quote: u8,
) -> Result<(usize, usize), ProtocolError> {
    loop {
        let byte = *line.get(at).ok_or(ProtocolError::UnbalancedQuotes)?;
        if byte == quote {
            let closed = line.get(at + 1).is_none_or(|&next| is_space(next));
            return if closed { Ok((at + 1, to)) } else { Err(ProtocolError::UnbalancedQuotes) };
        }
        let (value, width) =
            if byte == b'\\' && at + 1 < line.len() { escape(line, at, quote) } else { (byte, 1) };
        line[to] = value;
        (at, to) = (at + width, to + 1);
    }
}

/// The byte that the backslash at `at` stands for, and how many bytes of source it takes.
fn escape(line: &[u8], at: usize, quote: u8) -> (u8, usize) {
    let next = line[at + 1];
    if quote == b'\'' {
        return if next == b'\'' { (next, 2) } else { (b'\\', 1) };
    }
    let hex = |i: usize| line.get(at + i).and_then(|&b| char::from(b).to_digit(16));
    if let (b'x', Some(high), Some(low)) = (next, hex(2), hex(3)) {
        return ((high * 16 + low) as u8, 4);
    }
    let value = match next {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    };
    (value, 2)
}

/// What ends an argument without quotes: not every blank, for Redis counts a vertical tab within it as its own.
fn ends_argument(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0)
}

#[cfg(test)]
mod tests;
