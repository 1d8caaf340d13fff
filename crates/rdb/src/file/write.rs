//! Writing files: the parts, in the order in which they stand there.

use super::opcode;
use crate::checksum::Checksum;
use crate::write::Writer;
use crate::{kind, save};
use larder_store::ValueRef;

/// How a key was used last: one of the two is written, as the eviction policy wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Nothing is written.
    Unknown,
    /// Seconds since then.
    Idle(u64),
    /// How often.
    Frequency(u8),
}

/// The head. The version is [`kind::VERSION`], or [`kind::VERSION_VALKEY_9`] if hashes have deadlines of fields.
pub fn head(version: u16, writer: &mut Writer) {
    let magic = if version >= kind::VERSION_VALKEY_9 { "VALKEY" } else { "REDIS" };
    let digits = 9 - magic.len();
    writer.raw(format!("{magic}{version:0digits$}").as_bytes());
}

/// A fact about the file.
pub fn aux(name: &str, value: &[u8], writer: &mut Writer) {
    writer.byte(opcode::AUX);
    writer.string(name.as_bytes());
    writer.string(value);
}

/// The database of what follows.
pub fn select(db: u16, writer: &mut Writer) {
    writer.byte(opcode::SELECT);
    writer.length(db.into());
}

/// How much of the database follows.
pub fn resize(keys: u64, volatile: u64, writer: &mut Writer) {
    writer.byte(opcode::RESIZE);
    writer.length(keys);
    writer.length(volatile);
}

/// What stands before a key: its deadline and its use.
pub fn prefix(deadline: Option<u64>, used: Use, writer: &mut Writer) {
    if let Some(deadline) = deadline {
        writer.byte(opcode::DEADLINE_MS);
        writer.raw(&deadline.to_le_bytes());
    }
    match used {
        Use::Unknown => {}
        Use::Idle(seconds) => {
            writer.byte(opcode::IDLE);
            writer.length(seconds);
        }
        Use::Frequency(count) => {
            writer.byte(opcode::FREQUENCY);
            writer.byte(count);
        }
    }
}

/// A key with its value.
pub fn key(key: &[u8], value: &ValueRef<'_>, writer: &mut Writer) {
    key_before(key, value, writer);
    save::value(value, writer);
}

/// A key whose value follows: [`save::value`] writes it.
pub fn key_before(key: &[u8], value: &ValueRef<'_>, writer: &mut Writer) {
    writer.byte(save::kind_for(value, writer));
    writer.string(key);
}

/// The end of the records; the checksum follows, see [`checksum`].
pub fn end(writer: &mut Writer) {
    writer.byte(opcode::END);
}

/// What stands behind the end: the checksum of all bytes before, or zeros if none was computed.
pub fn checksum(sum: Option<&Checksum>) -> [u8; 8] {
    sum.map_or(0, Checksum::sum).to_le_bytes()
}

/// A whole file without keys, which old servers read, too.
pub fn empty(with_checksum: bool) -> Vec<u8> {
    let mut writer = Writer::uncompressed();
    head(kind::VERSION_REDIS_7_0, &mut writer);
    end(&mut writer);
    let mut bytes = writer.take();
    let sum = if with_checksum { Checksum::of(&bytes) } else { 0 };
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}
