//! Zipmaps: small hashes of Redis before 2.6.
//!
//! A byte with the number of fields (254: count yourself), then for each field its length and bytes, the length of the
//! value, a byte that says how many unused bytes follow the value, and the value; 0xff ends it. A length is a byte, or
//! 254 and four bytes.

use crate::error::{Error, Problem};
use crate::read::Reader;

const END: u8 = 0xff;
const WIDE_LENGTH: u8 = 0xfe;

/// Visits fields and values of a zipmap that begins at `base` of the input.
pub(crate) fn each<'a>(
    bytes: &'a [u8],
    base: usize,
    mut visit: impl FnMut(&'a [u8], &'a [u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut reader = Reader::within(bytes, base);
    let count = reader.byte()?;
    let mut seen = 0usize;
    while let Some(len) = length(&mut reader)? {
        let field = reader.take(len)?;
        let len = length(&mut reader)?.ok_or(reader.error(Problem::Packed("zipmap")))?;
        let unused = reader.byte()?;
        let value = reader.take(len)?;
        reader.take(unused.into())?;
        visit(field, value)?;
        seen += 1;
    }
    if !reader.is_empty() || (count < WIDE_LENGTH && usize::from(count) != seen) {
        return Err(reader.error(Problem::Packed("zipmap")));
    }
    Ok(())
}

fn length(reader: &mut Reader<'_>) -> Result<Option<usize>, Error> {
    match reader.byte()? {
        END => Ok(None),
        WIDE_LENGTH => reader.u32().map(|len| Some(len as usize)),
        len => Ok(Some(len.into())),
    }
}
