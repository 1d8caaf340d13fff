//! Replies as a server writes them, in RESP2 or RESP3.
//!
//! [`Reply`] appends to a byte buffer. A type that RESP2 lacks is written as Redis writes it for an old client: a
//! map as a flat array, a double as a bulk string, a boolean as an integer, null as `$-1`.

use crate::number;

/// Which generation of the protocol a session speaks (`HELLO`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// RESP2, the protocol before `HELLO 3`.
    #[default]
    Resp2,
    /// RESP3.
    Resp3,
}

/// At most sixteen bytes as a number, the first one lowest.
#[inline]
fn short(bytes: &[u8]) -> u128 {
    let len = bytes.len();
    // From both ends, where the two may overlap.
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        u128::from(u64::from_le_bytes(*first)) | u128::from(u64::from_le_bytes(*last)) << (8 * (len - 8))
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        u128::from(u64::from(first) | u64::from(last) << (8 * (len - 4)))
    } else {
        match *bytes {
            [] => 0,
            [a] => u128::from(a),
            [a, b] => u128::from(u16::from_le_bytes([a, b])),
            [a, b, c, ..] => u128::from(u32::from_le_bytes([a, b, c, 0])),
        }
    }
}

/// Bytes that are gathered before they are appended, of [`Reply::bulks`].
const GATHERED_BYTES: usize = 1024;
/// Longest string that is gathered.
const GATHERED_MAX: usize = 64;
/// Bytes that writing such a string touches: a header, the string in words of 16 bytes, a line end.
const GATHERED_ROOM: usize = 8 + GATHERED_MAX + 16;

/// Many bulk strings one after another: see [`Reply::bulks`].
pub struct Bulks<'a> {
    buf: &'a mut Vec<u8>,
    /// What is not in the buffer yet: its first `used` bytes.
    gathered: [u8; GATHERED_BYTES],
    used: usize,
}

impl Bulks<'_> {
    /// Adds one.
    #[inline(always)]
    pub fn push(&mut self, bytes: &[u8]) {
        match self.gathered.get_mut(self.used..).and_then(<[u8]>::first_chunk_mut) {
            Some(room) if bytes.len() <= 16 => self.used += put_short(room, bytes),
            _ => self.push_longer(bytes),
        }
    }

    #[inline(never)]
    fn push_longer(&mut self, bytes: &[u8]) {
        if bytes.len() > GATHERED_MAX {
            self.flush();
            self.buf.reserve(bytes.len() + 16);
            header(self.buf, b'$', bytes.len());
            self.buf.extend_from_slice(bytes);
            self.buf.extend_from_slice(b"\r\n");
            return;
        }
        if self.used > GATHERED_BYTES - GATHERED_ROOM {
            self.flush();
        }
        let room = self.gathered.get_mut(self.used..).and_then(<[u8]>::first_chunk_mut);
        self.used += room.map_or(0, |room| put_medium(room, bytes));
    }

    fn flush(&mut self) {
        self.buf.extend_from_slice(&self.gathered[..self.used]);
        self.used = 0;
    }
}

/// Writes a bulk string of at most 16 bytes; tells how many bytes it is. What is too much of a word is written over by what
/// follows.
#[inline(always)]
fn put_short(room: &mut [u8; GATHERED_ROOM], bytes: &[u8]) -> usize {
    let at = header_of_short(room, bytes.len());
    put::<16>(room, at, &short(bytes).to_le_bytes());
    put(room, at + bytes.len(), b"\r\n");
    at + bytes.len() + 2
}

/// The same for up to [`GATHERED_MAX`] bytes.
fn put_medium(room: &mut [u8; GATHERED_ROOM], bytes: &[u8]) -> usize {
    let at = header_of_short(room, bytes.len());
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().enumerate().for_each(|(n, word)| put(room, at + 16 * n, word));
    put::<16>(room, at + 16 * words.len(), &short(rest).to_le_bytes());
    put(room, at + bytes.len(), b"\r\n");
    at + bytes.len() + 2
}

/// Writes the header of a bulk string of at most two digits; tells its length.
#[inline(always)]
fn header_of_short(room: &mut [u8; GATHERED_ROOM], len: usize) -> usize {
    const ONE: u64 = u32::from_le_bytes(*b"$0\r\n") as u64;
    const TWO: u64 = u64::from_le_bytes(*b"$00\r\n\0\0\0");
    if len < 10 {
        put(room, 0, &(ONE + ((len as u64) << 8)).to_le_bytes());
        4
    } else {
        put(room, 0, &(TWO + ((len as u64 / 10) << 8) + ((len as u64 % 10) << 16)).to_le_bytes());
        5
    }
}

#[inline(always)]
fn put<const N: usize>(room: &mut [u8; GATHERED_ROOM], at: usize, bytes: &[u8; N]) {
    if let Some(to) = room.get_mut(at..at + N) {
        to.copy_from_slice(bytes);
    }
}

/// A writer of replies.
#[derive(Debug, Default)]
pub struct Reply {
    buf: Vec<u8>,
    version: Version,
}

impl Reply {
    /// A writer that appends to `buf`.
    pub fn new(buf: Vec<u8>, version: Version) -> Reply {
        Reply { buf, version }
    }

    /// The protocol generation in use.
    pub fn version(&self) -> Version {
        self.version
    }

    /// True when the session speaks RESP3.
    pub fn is_resp3(&self) -> bool {
        self.version == Version::Resp3
    }

    /// Changes the protocol generation for what is written from now on.
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// Bytes written so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.buf
    }

    /// Number of bytes written so far; a mark for [`Reply::truncate`].
    pub fn len(&self) -> usize {
        self.buf.len()
    }

    /// True when nothing was written.
    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// Bytes that the buffer has room for.
    pub fn capacity(&self) -> usize {
        self.buf.capacity()
    }

    /// Takes back everything written after `len`.
    pub fn truncate(&mut self, len: usize) {
        self.buf.truncate(len);
    }

    /// The buffer, for a caller that sends it and puts another in its place.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buf
    }

    /// `+text`. `text` must hold no line end.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.buf.extend_from_slice(b"+OK\r\n");
    }

    /// `-text`, where `text` begins with its code (`ERR ...`). Line ends in it become blanks, as in Redis.
    pub fn error(&mut self, text: &str) {
        self.buf.push(b'-');
        let from = self.buf.len();
        self.buf.extend_from_slice(text.as_bytes());
        for byte in &mut self.buf[from..] {
            if matches!(*byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.buf.extend_from_slice(b"\r\n");
    }

    /// `:n`.
    #[inline]
    pub fn integer(&mut self, n: i64) {
        match usize::try_from(n) {
            Ok(small) => self.header(b':', small),
            Err(_) => self.prefixed(b':', n),
        }
    }

    /// A bulk string.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        let len = bytes.len();
        if len < 10 {
            // Put together in a register, where every length is known: that spares calls and checks, and what is written
            // byte by byte could not be copied as a whole before it has reached the cache.
            const HEAD: u32 = u32::from_le_bytes(*b"$0\r\n");
            const END: u128 = u16::from_le_bytes(*b"\r\n") as u128;
            let head = u128::from(HEAD + ((len as u32) << 8));
            let whole = head | short(bytes) << 32 | END << (32 + 8 * len);
            self.buf.extend_from_slice(&whole.to_le_bytes());
            self.buf.truncate(self.buf.len() - 10 + len);
            return;
        }
        self.buf.reserve(len + 16);
        self.header(b'$', len);
        self.buf.extend_from_slice(bytes);
        self.buf.extend_from_slice(b"\r\n");
    }

    /// Many bulk strings, as `write` pushes them. Short ones are put together where every length is known, and appended
    /// many at a time: to append each would cost more than the string.
    #[inline]
    pub fn bulks(&mut self, write: impl FnOnce(&mut Bulks<'_>)) {
        let mut bulks = Bulks { buf: &mut self.buf, gathered: [0; GATHERED_BYTES], used: 0 };
        write(&mut bulks);
        bulks.flush();
    }

    /// A bulk string with the decimal form of `n`.
    pub fn bulk_integer(&mut self, n: i64) {
        let mut digits = itoa::Buffer::new();
        self.bulk(digits.format(n).as_bytes());
    }

    /// A bulk string with the shortest form of `value`, in both protocols.
    pub fn bulk_double(&mut self, value: f64) {
        let mut digits = number::Buffer::new();
        self.bulk(digits.format_f64(value));
    }

    /// No value: `_`, or `$-1` in RESP2.
    #[inline]
    pub fn null(&mut self) {
        self.buf.extend_from_slice(if self.version == Version::Resp3 {
            b"_\r\n" as &[u8]
        } else {
            b"$-1\r\n"
        });
    }

    /// No array: `_`, or `*-1` in RESP2.
    pub fn null_array(&mut self) {
        self.buf.extend_from_slice(if self.version == Version::Resp3 {
            b"_\r\n" as &[u8]
        } else {
            b"*-1\r\n"
        });
    }

    /// Header of an array of `len` replies that follow.
    #[inline]
    pub fn array(&mut self, len: usize) {
        self.header(b'*', len);
    }

    /// Header of a map of `len` pairs that follow.
    pub fn map(&mut self, len: usize) {
        match self.version {
            Version::Resp2 => self.header(b'*', 2 * len),
            Version::Resp3 => self.header(b'%', len),
        }
    }

    /// Header of a set of `len` replies that follow.
    pub fn set(&mut self, len: usize) {
        self.header(if self.version == Version::Resp3 { b'~' } else { b'*' }, len);
    }

    /// Header of a push message of `len` replies that follow (an array in RESP2).
    pub fn push(&mut self, len: usize) {
        self.header(if self.version == Version::Resp3 { b'>' } else { b'*' }, len);
    }

    /// A double: `,1.5`, or a bulk string in RESP2.
    pub fn double(&mut self, value: f64) {
        let mut digits = number::Buffer::new();
        let text = digits.format_f64(value);
        match self.version {
            Version::Resp2 => self.bulk(text),
            Version::Resp3 => self.line(b',', text),
        }
    }

    /// A boolean: `#t`, or `:1` in RESP2.
    pub fn boolean(&mut self, value: bool) {
        let text: &[u8] = match (self.version, value) {
            (Version::Resp3, true) => b"#t\r\n",
            (Version::Resp3, false) => b"#f\r\n",
            (Version::Resp2, true) => b":1\r\n",
            (Version::Resp2, false) => b":0\r\n",
        };
        self.buf.extend_from_slice(text);
    }

    /// A text with a format of three letters (`txt`, `mkd`), or a bulk string in RESP2.
    pub fn verbatim(&mut self, format: &str, text: &str) {
        if self.version == Version::Resp2 {
            return self.bulk(text.as_bytes());
        }
        self.header(b'=', format.len() + 1 + text.len());
        self.buf.extend_from_slice(format.as_bytes());
        self.buf.push(b':');
        self.buf.extend_from_slice(text.as_bytes());
        self.buf.extend_from_slice(b"\r\n");
    }

    /// Bytes that are a reply already.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.buf.reserve(text.len() + 3);
        self.buf.push(kind);
        self.buf.extend_from_slice(text);
        self.buf.extend_from_slice(b"\r\n");
    }

    #[inline]
    fn header(&mut self, kind: u8, len: usize) {
        header(&mut self.buf, kind, len);
    }

    fn prefixed(&mut self, kind: u8, n: i64) {
        prefixed(&mut self.buf, kind, n);
    }
}

/// A length after its kind.
#[inline]
fn header(buf: &mut Vec<u8>, kind: u8, len: usize) {
    if len < 10 {
        buf.extend_from_slice(&[kind, b'0' + len as u8, b'\r', b'\n']);
    } else if len < 100 {
        buf.extend_from_slice(&[kind, b'0' + (len / 10) as u8, b'0' + (len % 10) as u8, b'\r', b'\n']);
    } else {
        prefixed(buf, kind, len as i64);
    }
}

/// A number after its kind: made whole on the stack, so that it is appended at once.
fn prefixed(buf: &mut Vec<u8>, kind: u8, n: i64) {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(n).as_bytes();
    let mut line = [kind; 24];
    let Some((head, rest)) = line[1..].split_at_mut_checked(digits.len()) else { return };
    head.copy_from_slice(digits);
    rest[0] = b'\r';
    rest[1] = b'\n';
    buf.extend_from_slice(&line[..digits.len() + 3]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_strings_of_every_short_length() {
        let mut reply = Reply::new(b"before".to_vec(), Version::Resp2);
        let mut expected = b"before".to_vec();
        for len in 0..120 {
            let bytes: Vec<u8> = (0..len).map(|n| 0xff - n).collect();
            expected.extend_from_slice(format!("${len}\r\n").as_bytes());
            expected.extend_from_slice(&bytes);
            expected.extend_from_slice(b"\r\n");
            reply.bulk(&bytes);
            assert_eq!(reply.as_bytes(), expected, "{len}");
        }
    }

    #[test]
    fn many_bulk_strings_are_those_of_each() {
        let strings: Vec<Vec<u8>> = (0..300).map(|n| vec![b'a' + (n % 26) as u8; n * 7 % 130]).collect();
        let (mut each, mut many) = (Reply::default(), Reply::default());
        strings.iter().for_each(|string| each.bulk(string));
        many.bulks(|bulks| strings.iter().for_each(|string| bulks.push(string)));
        assert_eq!(many.as_bytes(), each.as_bytes());
    }

    #[test]
    fn integers_of_every_length() {
        for n in [0, 7, -1, 12, i64::MAX, i64::MIN] {
            let mut reply = Reply::default();
            reply.integer(n);
            assert_eq!(reply.as_bytes(), format!(":{n}\r\n").as_bytes());
        }
    }
}
