//! Ziplists: the packed form of Redis before 7.0.
//!
//! `[bytes: 4][offset of the last entry: 4][entries: 2]`, the entries, 0xff. An entry is the length of the one before
//! (1 byte, or 0xfe and 4), a head, and data. We only walk forwards, so the lengths of predecessors are checked to be
//! there and no more.

use crate::error::{Error, Problem};
use crate::read::Reader;
use larder_store::object::Element;

const END: u8 = 0xff;
const WIDE_LENGTH: u8 = 0xfe;

/// Visits the entries of a ziplist that begins at `base` of the input.
pub(crate) fn each<'a>(
    bytes: &'a [u8],
    base: usize,
    mut visit: impl FnMut(Element<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut reader = Reader::within(bytes, base);
    let (size, _, count) = (reader.u32()?, reader.u32()?, reader.u16()?);
    if size as usize != bytes.len() {
        return Err(broken(&reader));
    }
    let mut seen = 0usize;
    loop {
        match reader.byte()? {
            END => break,
            WIDE_LENGTH => _ = reader.u32()?,
            _ => {}
        }
        visit(entry(&mut reader)?)?;
        seen += 1;
    }
    // A count of 65535 says that there are as many or more.
    if !reader.is_empty() || (count != u16::MAX && usize::from(count) != seen) {
        return Err(broken(&reader));
    }
    Ok(())
}

fn broken(reader: &Reader<'_>) -> Error {
    reader.error(Problem::Packed("ziplist"))
}

fn entry<'a>(reader: &mut Reader<'a>) -> Result<Element<'a>, Error> {
    let head = reader.byte()?;
    let len = match head {
        0x00..=0x3f => usize::from(head),
        0x40..=0x7f => usize::from(head & 0x3f) << 8 | usize::from(reader.byte()?),
        0x80 => reader.u32()?.swap_bytes() as usize,
        _ => return integer(reader, head),
    };
    reader.take(len).map(Element::parse)
}

fn integer<'a>(reader: &mut Reader<'a>, head: u8) -> Result<Element<'a>, Error> {
    let width = match head {
        0xc0 => 2,
        0xd0 => 4,
        0xe0 => 8,
        0xf0 => 3,
        0xfe => 1,
        0xf1..=0xfd => return Ok(Element::Int(i64::from(head & 0x0f) - 1)),
        _ => return Err(broken(reader)),
    };
    let data = reader.take(width)?;
    let wide = data.iter().rev().fold(0u64, |wide, byte| wide << 8 | u64::from(*byte));
    let unused = 64 - 8 * width as u32;
    Ok(Element::Int(((wide << unused) as i64) >> unused))
}
