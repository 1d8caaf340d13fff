//! The payload of DUMP: a type, a value, the version of the format (2 bytes) and a checksum of all that (8 bytes).

use crate::checksum::Checksum;
use crate::error::Error;
use crate::load::{self, Options};
use crate::read::Reader;
use crate::write::Writer;
use crate::{kind, save};
use larder_store::{Value, ValueRef};

/// Version and checksum.
const FOOTER: usize = 10;

/// The payload of a value. Its version is the oldest that has the value's form: older servers take it too.
pub fn write(value: &ValueRef<'_>) -> Vec<u8> {
    let mut writer = Writer::new();
    let kind = save::kind_of(value);
    writer.byte(kind);
    save::value(value, &mut writer);
    let mut bytes = writer.take();
    bytes.extend_from_slice(&kind::version_of(kind).to_le_bytes());
    let sum = Checksum::of(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// Checks version and checksum and gives type and value, still to be read.
pub fn verified(payload: &[u8]) -> Option<&[u8]> {
    let (body, footer) = payload.split_at(payload.len().checked_sub(FOOTER)?);
    let version = u16::from_le_bytes([footer[0], footer[1]]);
    let sum = footer[2..].iter().rev().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    let right = kind::is_known_version(version) && sum == Checksum::of(&payload[..payload.len() - 8]);
    right.then_some(body)
}

/// Reads what [`verified`] gave. What stands behind the value is ignored, as everywhere.
pub fn read<'a>(body: &'a [u8], options: &Options<'_>) -> Result<Value<'a>, Error> {
    let mut reader = Reader::new(body);
    let kind = reader.byte()?;
    load::value(kind, &mut reader, options)
}
