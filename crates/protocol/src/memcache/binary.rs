//! The binary protocol: frames of a 24-byte header, extras, key and value.
//!
//! [`step`] finds the first frame of the input; what it means is up to who executes it. Source: protocol_binary of
//! the memcached wiki ("Memcached binary protocol", revamped) for the layout and the numbers; behaviour where that is
//! silent was found by asking memcached.

use super::request::Apart;

/// First byte of a request.
pub const REQUEST: u8 = 0x80;
/// First byte of a response.
pub const RESPONSE: u8 = 0x81;
/// Bytes of a header.
pub const HEADER_BYTES: usize = 24;

/// Longest body that is not skipped but ends the session: no item can be so large.
const BODY_BYTES_MAX: usize = 1 << 30;

/// What a request asks for. Quiet forms answer only what is not usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// Read.
    Get,
    /// Read; the answer names the key.
    GetK,
    /// Store.
    Set,
    /// Store where nothing is.
    Add,
    /// Store where something is.
    Replace,
    /// Remove.
    Delete,
    /// Count up.
    Increment,
    /// Count down.
    Decrement,
    /// Close.
    Quit,
    /// Invalidate everything.
    Flush,
    /// Nothing: answered, so that the answers before it are known to be all there.
    NoOp,
    /// Name the version.
    Version,
    /// Add behind.
    Append,
    /// Add before.
    Prepend,
    /// Statistics.
    Stat,
    /// Change how much is logged.
    Verbosity,
    /// Change the expiration time.
    Touch,
    /// Read and change the expiration time.
    Gat,
    /// The same; the answer names the key.
    GatK,
    /// Which mechanisms of authentication there are.
    SaslList,
    /// Begin to authenticate.
    SaslAuth,
    /// Go on to authenticate.
    SaslStep,
}

impl Opcode {
    /// True for what changes keys.
    pub fn writes(self) -> bool {
        self.is_store()
            || matches!(
                self,
                Opcode::Delete
                    | Opcode::Increment
                    | Opcode::Decrement
                    | Opcode::Flush
                    | Opcode::Touch
                    | Opcode::Gat
                    | Opcode::GatK
            )
    }

    /// The operation with this number, and whether it is the quiet form.
    pub fn of(number: u8) -> Option<(Opcode, bool)> {
        Some(match number {
            0x00 => (Opcode::Get, false),
            0x01 => (Opcode::Set, false),
            0x02 => (Opcode::Add, false),
            0x03 => (Opcode::Replace, false),
            0x04 => (Opcode::Delete, false),
            0x05 => (Opcode::Increment, false),
            0x06 => (Opcode::Decrement, false),
            0x07 => (Opcode::Quit, false),
            0x08 => (Opcode::Flush, false),
            0x09 => (Opcode::Get, true),
            0x0a => (Opcode::NoOp, false),
            0x0b => (Opcode::Version, false),
            0x0c => (Opcode::GetK, false),
            0x0d => (Opcode::GetK, true),
            0x0e => (Opcode::Append, false),
            0x0f => (Opcode::Prepend, false),
            0x10 => (Opcode::Stat, false),
            0x11 => (Opcode::Set, true),
            0x12 => (Opcode::Add, true),
            0x13 => (Opcode::Replace, true),
            0x14 => (Opcode::Delete, true),
            0x15 => (Opcode::Increment, true),
            0x16 => (Opcode::Decrement, true),
            0x17 => (Opcode::Quit, true),
            0x18 => (Opcode::Flush, true),
            0x19 => (Opcode::Append, true),
            0x1a => (Opcode::Prepend, true),
            0x1b => (Opcode::Verbosity, false),
            0x1c => (Opcode::Touch, false),
            0x1d => (Opcode::Gat, false),
            0x1e => (Opcode::Gat, true),
            0x20 => (Opcode::SaslList, false),
            0x21 => (Opcode::SaslAuth, false),
            0x22 => (Opcode::SaslStep, false),
            0x23 => (Opcode::GatK, false),
            0x24 => (Opcode::GatK, true),
            _ => return None,
        })
    }

    /// True for what stores a value as it is sent.
    pub fn is_store(self) -> bool {
        matches!(self, Opcode::Set | Opcode::Add | Opcode::Replace | Opcode::Append | Opcode::Prepend)
    }
}

/// How a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Status {
    /// Well.
    Success = 0x00,
    /// No such key.
    NotFound = 0x01,
    /// The key is there, or has another CAS unique.
    Exists = 0x02,
    /// The value is too large.
    TooLarge = 0x03,
    /// The request makes no sense.
    Invalid = 0x04,
    /// Not stored: the key is, or is not, there.
    NotStored = 0x05,
    /// The value is no number.
    NonNumeric = 0x06,
    /// Wrong or missing credentials.
    AuthError = 0x20,
    /// More of the credentials is wanted.
    AuthContinue = 0x21,
    /// No such operation.
    Unknown = 0x81,
    /// No memory.
    NoMemory = 0x82,
    /// It cannot be done just now.
    Temporary = 0x86,
}

impl Status {
    /// The text that goes with it.
    pub fn text(self) -> &'static [u8] {
        match self {
            Status::Success | Status::AuthContinue => b"",
            Status::NotFound => b"Not found",
            Status::Exists => b"Data exists for key.",
            Status::TooLarge => b"Too large.",
            Status::Invalid => b"Invalid arguments",
            Status::NotStored => b"Not stored.",
            Status::NonNumeric => b"Non-numeric server-side value for incr or decr",
            Status::AuthError => b"Auth failure.",
            Status::Unknown => b"Unknown command",
            Status::NoMemory => b"Out of memory",
            Status::Temporary => b"Temporary failure",
        }
    }
}

/// A header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Number of the operation.
    pub opcode: u8,
    /// Length of the key.
    pub key_bytes: u16,
    /// Length of the extras.
    pub extras_bytes: u8,
    /// Length of extras, key and value together.
    pub body_bytes: u32,
    /// Sent back as it came.
    pub opaque: u32,
    /// CAS unique; 0 = any.
    pub cas: u64,
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its header.
    pub header: Header,
    /// Fixed fields that depend on the operation.
    pub extras: &'a [u8],
    /// The key.
    pub key: &'a [u8],
    /// The value.
    pub value: &'a [u8],
}

/// What stands at the start of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A request that takes this many bytes.
    Frame {
        /// The request.
        frame: Frame<'a>,
        /// Its bytes.
        consumed: usize,
    },
    /// A request whose body is longer than the limit: it is answered, and its body is to be skipped.
    TooLarge {
        /// The header.
        header: Header,
        /// What there is of extras and key; empty while they have not come.
        key: &'a [u8],
        /// Bytes to skip, the header's included.
        bytes: usize,
    },
    /// At least this many bytes more must come.
    Incomplete {
        /// How many.
        need: usize,
    },
    /// The lengths of a request cannot be: it is answered, and the session is closed.
    Malformed {
        /// The header.
        header: Header,
    },
    /// This is no request: the session is closed.
    Broken,
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// The 32-bit number at an offset that lies within.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The 64-bit number at an offset that lies within.
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) << 32 | u64::from(u32_at(bytes, at + 4))
}

#[inline]
fn header(input: &[u8]) -> Option<(Header, &[u8])> {
    let (head, rest) = input.split_at_checked(HEADER_BYTES)?;
    let header = Header {
        opcode: head[1],
        key_bytes: u16_at(head, 2),
        extras_bytes: head[4],
        body_bytes: u32_at(head, 8),
        opaque: u32_at(head, 12),
        cas: u64_at(head, 16),
    };
    Some((header, rest))
}

/// The value of an incomplete request, if it could do with it elsewhere than in the input: one that is to be stored.
/// Asked after [`Step::Incomplete`].
pub fn value_to_come(input: &[u8]) -> Option<Apart> {
    let (header, rest) = header(input)?;
    let store = Opcode::of(header.opcode).is_some_and(|(opcode, _)| opcode.is_store());
    let before = usize::from(header.extras_bytes) + usize::from(header.key_bytes);
    let bytes = (header.body_bytes as usize).checked_sub(before)?;
    (store && rest.len() >= before).then_some(Apart { at: HEADER_BYTES + before, bytes })
}

/// The first request of `input` without its value, which came elsewhere, and where it ends. Only for one of which
/// [`value_to_come`] told.
pub fn without_value(input: &[u8]) -> Option<(Frame<'_>, usize)> {
    let (header, rest) = header(input)?;
    let extras = usize::from(header.extras_bytes);
    let before = rest.get(..extras + usize::from(header.key_bytes))?;
    let frame = Frame { header, extras: &before[..extras], key: &before[extras..], value: b"" };
    Some((frame, HEADER_BYTES + before.len()))
}

/// Finds the first request of `input`; `body_bytes_max` is the longest body that is taken. O(1).
#[inline]
pub fn step(input: &[u8], body_bytes_max: usize) -> Step<'_> {
    if input.first().is_some_and(|&magic| magic != REQUEST) {
        return Step::Broken;
    }
    let Some((header, rest)) = header(input) else {
        return Step::Incomplete { need: HEADER_BYTES - input.len() };
    };
    let (body, extras) = (header.body_bytes as usize, usize::from(header.extras_bytes));
    let key_end = extras + usize::from(header.key_bytes);
    if key_end > body || body > BODY_BYTES_MAX {
        return Step::Malformed { header };
    }
    if body > body_bytes_max {
        let Some(known) = rest.get(..key_end) else {
            return Step::Incomplete { need: key_end - rest.len() };
        };
        return Step::TooLarge { header, key: &known[extras..], bytes: HEADER_BYTES + body };
    }
    let Some(rest) = rest.get(..body) else {
        return Step::Incomplete { need: body - rest.len() };
    };
    let frame =
        Frame { header, extras: &rest[..extras], key: &rest[extras..key_end], value: &rest[key_end..] };
    Step::Frame { frame, consumed: HEADER_BYTES + body }
}

/// Appends a response.
#[inline]
pub fn respond(
    out: &mut Vec<u8>,
    request: &Header,
    status: Status,
    (extras, key, value): (&[u8], &[u8], &[u8]),
    cas: u64,
) {
    let body = extras.len() + key.len() + value.len();
    out.reserve(HEADER_BYTES + body);
    out.extend_from_slice(&[RESPONSE, request.opcode]);
    out.extend_from_slice(&(key.len() as u16).to_be_bytes());
    out.extend_from_slice(&[extras.len() as u8, 0]);
    out.extend_from_slice(&(status as u16).to_be_bytes());
    out.extend_from_slice(&(body as u32).to_be_bytes());
    out.extend_from_slice(&request.opaque.to_be_bytes());
    out.extend_from_slice(&cas.to_be_bytes());
    out.extend_from_slice(extras);
    out.extend_from_slice(key);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(opcode: u8, extras: &[u8], key: &[u8], value: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let header = Header { opcode, opaque: 7, ..Header::default() };
        respond(&mut bytes, &header, Status::Success, (extras, key, value), 9);
        bytes[0] = REQUEST;
        bytes
    }

    #[test]
    fn a_frame_is_found_when_it_is_whole() {
        let bytes = frame(0x01, &[0; 8], b"key", b"value");
        for len in 0..bytes.len() {
            assert!(
                matches!(step(&bytes[..len], 100), Step::Incomplete { need } if need <= bytes.len() - len)
            );
        }
        let Step::Frame { frame, consumed } = step(&bytes, 100) else { panic!("no frame") };
        assert_eq!(
            (frame.key, frame.value, frame.extras.len(), consumed),
            (&b"key"[..], &b"value"[..], 8, 40)
        );
        assert_eq!((frame.header.opaque, frame.header.cas), (7, 9));
        assert_eq!(Opcode::of(frame.header.opcode), Some((Opcode::Set, false)));
    }

    #[test]
    fn what_is_too_large_is_named_before_it_came() {
        let bytes = frame(0x01, &[0; 8], b"key", &[0; 200]);
        let Step::TooLarge { key, bytes: skip, .. } = step(&bytes[..40], 100) else { panic!("not refused") };
        assert_eq!((key, skip), (&b"key"[..], bytes.len()));
        let mut lies = frame(0x01, &[0; 8], b"key", b"");
        lies[3] = 200; // a key longer than the body
        assert!(matches!(step(&lies, 100), Step::Malformed { .. }));
        lies[0] = 0x42;
        assert_eq!(step(&lies, 100), Step::Broken);
    }

    proptest! {
        #[test]
        fn no_input_is_too_bad(input in prop::collection::vec(any::<u8>(), 0..80)) {
            match step(&input, 30) {
                Step::Frame { consumed, .. } => prop_assert!(consumed <= input.len()),
                Step::Incomplete { need } => prop_assert!(need > 0),
                Step::TooLarge { bytes, .. } => prop_assert!(bytes > 30),
                Step::Malformed { .. } | Step::Broken => {}
            }
        }
    }
}
