//! The bytes of messages, in the form of RESP3. In RESP2 only the first byte differs: `*` for `>`.

use std::io::Write;
use std::sync::Arc;

/// What a message begins with in RESP2.
pub const RESP2_FIRST: u8 = b'*';

fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    let _ = write!(out, "${}\r\n", bytes.len()); // a vector takes everything
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn of(head: &[u8], parts: &[&[u8]]) -> Arc<[u8]> {
    let bytes = parts.iter().map(|part| part.len() + 16).sum::<usize>();
    let mut out = Vec::with_capacity(head.len() + bytes);
    out.extend_from_slice(head);
    parts.iter().for_each(|part| bulk(&mut out, part));
    out.into()
}

/// A message of a channel that was listened to by name; `kind` is `message` or `smessage`.
pub fn of_channel(kind: &str, channel: &[u8], message: &[u8]) -> Arc<[u8]> {
    of(b">3\r\n", &[kind.as_bytes(), channel, message])
}

/// A message of a channel that was listened to by a pattern.
pub fn of_pattern(pattern: &[u8], channel: &[u8], message: &[u8]) -> Arc<[u8]> {
    of(b">4\r\n", &[b"pmessage", pattern, channel, message])
}
