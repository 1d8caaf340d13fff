//! Reading the atoms of the format: lengths, strings, numbers.

use crate::error::{Error, Problem};
use crate::lzf;
use larder_protocol::number;
use std::borrow::Cow;

/// A walk over bytes. It never goes back, and never past the end.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the bytes begin in the whole input.
    base: usize,
}

/// A length, or the name of a special encoding of a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// So many bytes or members.
    Plain(u64),
    /// 0 to 2: an integer of 1, 2 or 4 bytes; 3: compressed.
    Special(u8),
}

/// A string as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text<'a> {
    /// Bytes of the input, or unfolded ones.
    Bytes(Cow<'a, [u8]>),
    /// An integer, for its decimal digits.
    Integer(i64),
}

impl<'a> Text<'a> {
    /// The string's bytes.
    pub fn into_bytes(self) -> Cow<'a, [u8]> {
        match self {
            Text::Bytes(bytes) => bytes,
            Text::Integer(n) => Cow::Owned(n.to_string().into_bytes()),
        }
    }
}

/// Upper two bits of the first byte of a length.
const BITS_6: u8 = 0;
const BITS_14: u8 = 1;
const WIDE: u8 = 2;
const LENGTH_32: u8 = 0x80;
const LENGTH_64: u8 = 0x81;

const SPECIAL_8: u8 = 0;
const SPECIAL_16: u8 = 1;
const SPECIAL_32: u8 = 2;
const SPECIAL_COMPRESSED: u8 = 3;

impl<'a> Reader<'a> {
    /// A walk from the front of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader::within(bytes, 0)
    }

    /// A walk over a part of an input that begins at `base`; errors tell their place in the whole.
    pub fn within(bytes: &'a [u8], base: usize) -> Reader<'a> {
        Reader { bytes, at: 0, base }
    }

    /// Where the walk stands in the whole input.
    pub fn offset(&self) -> usize {
        self.base + self.at
    }

    /// Bytes that are left.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// True at the end.
    pub fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// What is left, without going on.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// An error at this place.
    #[cold]
    pub fn error(&self, problem: Problem) -> Error {
        Error { offset: self.offset(), problem }
    }

    /// The next `count` bytes.
    #[inline]
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else { return Err(self.error(Problem::Truncated)) };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// The next byte.
    #[inline]
    pub fn byte(&mut self) -> Result<u8, Error> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Two bytes, lowest first.
    pub fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes, lowest first.
    pub fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes, lowest first.
    pub fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_le_bytes)
    }

    /// Eight bytes, highest first: the halves of stream ids.
    pub fn u64_be(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_be_bytes)
    }

    /// A double of eight bytes.
    pub fn f64(&mut self) -> Result<f64, Error> {
        self.array().map(f64::from_le_bytes)
    }

    /// A double as text: a byte of length, or a byte that stands for a value that has no digits.
    pub fn f64_text(&mut self) -> Result<f64, Error> {
        match self.byte()? {
            253 => Ok(f64::NAN),
            254 => Ok(f64::INFINITY),
            255 => Ok(f64::NEG_INFINITY),
            len => {
                let text = self.take(len.into())?;
                number::parse_f64(text).ok_or(self.error(Problem::Number))
            }
        }
    }

    /// A length or a special encoding.
    #[inline]
    pub fn length_or_special(&mut self) -> Result<Length, Error> {
        let first = self.byte()?;
        let low = first & 0x3f;
        match first >> 6 {
            BITS_6 => Ok(Length::Plain(low.into())),
            BITS_14 => Ok(Length::Plain(u64::from(low) << 8 | u64::from(self.byte()?))),
            WIDE if first == LENGTH_32 => Ok(Length::Plain(u32::from_be_bytes(self.array()?).into())),
            WIDE if first == LENGTH_64 => Ok(Length::Plain(self.u64_be()?)),
            WIDE => Err(self.error(Problem::Unknown(first))),
            _ => Ok(Length::Special(low)),
        }
    }

    /// A length.
    #[inline]
    pub fn length(&mut self) -> Result<u64, Error> {
        match self.length_or_special()? {
            Length::Plain(length) => Ok(length),
            Length::Special(special) => Err(self.error(Problem::Unknown(special))),
        }
    }

    /// A number of things that take at least `least` bytes each; it is not more than the rest can hold.
    pub fn count(&mut self, least: usize) -> Result<usize, Error> {
        let count = self.length()?;
        let fits = usize::try_from(count).ok().filter(|count| *count <= self.remaining() / least.max(1));
        fits.ok_or(self.error(Problem::Truncated))
    }

    /// A string, in any encoding.
    #[inline]
    pub fn text(&mut self) -> Result<Text<'a>, Error> {
        match self.length_or_special()? {
            Length::Plain(len) => {
                let len = usize::try_from(len).map_err(|_| self.error(Problem::Truncated))?;
                self.take(len).map(|bytes| Text::Bytes(Cow::Borrowed(bytes)))
            }
            Length::Special(SPECIAL_8) => Ok(Text::Integer(i8::from_le_bytes(self.array()?).into())),
            Length::Special(SPECIAL_16) => Ok(Text::Integer(i16::from_le_bytes(self.array()?).into())),
            Length::Special(SPECIAL_32) => Ok(Text::Integer(i32::from_le_bytes(self.array()?).into())),
            Length::Special(SPECIAL_COMPRESSED) => self.compressed(),
            Length::Special(special) => Err(self.error(Problem::Unknown(special))),
        }
    }

    /// A string's bytes.
    #[inline]
    pub fn string(&mut self) -> Result<Cow<'a, [u8]>, Error> {
        self.text().map(Text::into_bytes)
    }

    fn compressed(&mut self) -> Result<Text<'a>, Error> {
        let packed = self.length()?;
        let len = self.length()?;
        let packed = usize::try_from(packed).map_err(|_| self.error(Problem::Truncated))?;
        let packed = self.take(packed)?;
        let unfolded = usize::try_from(len).ok().and_then(|len| lzf::unfold(packed, len));
        let unfolded = unfolded.ok_or(self.error(Problem::Compressed))?;
        Ok(Text::Bytes(Cow::Owned(unfolded)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_strings() {
        let mut reader = Reader::new(b"\x05\x41\x00\x80\x00\x01\x00\x00\x81\x00\x00\x00\x01\x00\x00\x00\x00");
        let lengths: Vec<u64> = std::iter::from_fn(|| reader.length().ok()).collect();
        assert_eq!(lengths, [5, 256, 65_536, 1 << 32]);
        let text = |bytes: &[u8]| Reader::new(bytes).string().map(Cow::into_owned);
        assert_eq!(text(b"\x03abc"), Ok(b"abc".to_vec()));
        assert_eq!(text(b"\xc0\x80"), Ok(b"-128".to_vec()));
        assert_eq!(text(b"\xc2\xff\xff\xff\x7f"), Ok(b"2147483647".to_vec()));
        assert_eq!(text(b"\x04abc"), Err(Error { offset: 1, problem: Problem::Truncated }));
        assert_eq!(text(b"\xc4"), Err(Error { offset: 1, problem: Problem::Unknown(4) }));
        assert_eq!(text(b"\x82"), Err(Error { offset: 1, problem: Problem::Unknown(0x82) }));
        let huge = b"\x81\xff\xff\xff\xff\xff\xff\xff\xff";
        assert_eq!(text(huge), Err(Error { offset: 9, problem: Problem::Truncated }));
        assert!(Reader::new(huge).count(1).is_err());
    }

    #[test]
    fn doubles() {
        assert_eq!(Reader::new(b"\x031.5").f64_text(), Ok(1.5));
        assert_eq!(Reader::new(b"\xfe").f64_text(), Ok(f64::INFINITY));
        assert_eq!(Reader::new(b"\xff").f64_text(), Ok(f64::NEG_INFINITY));
        assert!(Reader::new(b"\xfd").f64_text().is_ok_and(f64::is_nan));
        assert!(Reader::new(b"\x02xy").f64_text().is_err());
    }
}
