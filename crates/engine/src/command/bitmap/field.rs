//! Integers of 1 to 64 bits at any bit offset of a byte string, and what happens when they overflow. Pure functions.

/// The type of a field: `i8`, `u63`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// Two's complement.
    pub(super) signed: bool,
    /// 1 to 64, without a sign 1 to 63.
    pub(super) bits: u32,
}

/// What to do with a result that does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Overflow {
    /// Keep the low bits.
    #[default]
    Wrap,
    /// Take the nearest that fits.
    Saturate,
    /// Change nothing.
    Fail,
}

impl Field {
    /// Reads `i16` or `u8`.
    pub(super) fn parse(bytes: &[u8]) -> Option<Field> {
        let (signed, digits) = match bytes {
            [b'i', digits @ ..] => (true, digits),
            [b'u', digits @ ..] => (false, digits),
            _ => return None,
        };
        let most = if signed { 64 } else { 63 };
        let bits = larder_protocol::number::parse_i64(digits).filter(|bits| (1..=most).contains(bits))?;
        Some(Field { signed, bits: bits as u32 })
    }

    /// The field at a bit offset; bits beyond the end are 0.
    pub(super) fn get(self, bytes: &[u8], offset: usize) -> i64 {
        let raw = load(bytes, offset / 8) << (offset % 8 + 56); // the field's first bit is the highest
        let raw = (raw >> (128 - self.bits)) as u64;
        self.extended(raw)
    }

    fn extended(self, raw: u64) -> i64 {
        let unused = 64 - self.bits;
        if self.signed { ((raw << unused) as i64) >> unused } else { ((raw << unused) >> unused) as i64 }
    }

    /// Writes the low bits of `value` at a bit offset; the field must lie within the bytes.
    pub(super) fn set(self, bytes: &mut [u8], offset: usize, value: i64) {
        let room = 72 - self.bits as usize - offset % 8;
        let mask = u128::from(u64::MAX >> (64 - self.bits)) << room;
        let word = load(bytes, offset / 8) & !mask | ((value as u64 as u128) << room) & mask;
        let from = offset / 8;
        let to = bytes.len().min(from + 9);
        let all = word.to_be_bytes();
        bytes[from..to].copy_from_slice(&all[7..7 + to - from]);
    }

    /// `value + by` as the field holds it; `None` if it does not fit and should not be stored.
    pub(super) fn add(self, value: i64, by: i64, overflow: Overflow) -> Option<i64> {
        self.fit(i128::from(value) + i128::from(by), overflow)
    }

    /// A value to be stored as the field holds it. Without a sign, a negative value is a very large one.
    pub(super) fn store(self, value: i64, overflow: Overflow) -> Option<i64> {
        let value = if self.signed { i128::from(value) } else { i128::from(value as u64) };
        self.fit(value, overflow)
    }

    fn fit(self, value: i128, overflow: Overflow) -> Option<i64> {
        let (low, high) = match self.signed {
            true => (-(1_i128 << (self.bits - 1)), (1_i128 << (self.bits - 1)) - 1),
            false => (0, (1_i128 << self.bits) - 1),
        };
        if (low..=high).contains(&value) {
            return Some(value as i64);
        }
        match overflow {
            Overflow::Wrap => Some(self.extended(value as u64)),
            Overflow::Saturate => Some(value.clamp(low, high) as i64),
            Overflow::Fail => None,
        }
    }
}

/// The nine bytes from `at` on as a number; bytes beyond the end are 0. A field of 64 bits lies in nine bytes.
fn load(bytes: &[u8], at: usize) -> u128 {
    let mut nine = [0; 16];
    let there = bytes.get(at..).unwrap_or(&[]);
    let len = there.len().min(9);
    nine[7..7 + len].copy_from_slice(&there[..len]);
    u128::from_be_bytes(nine)
}

#[cfg(test)]
mod tests {
    use super::super::bits;
    use super::*;

    #[test]
    fn types() {
        assert_eq!(Field::parse(b"i64"), Some(Field { signed: true, bits: 64 }));
        assert_eq!(Field::parse(b"u63"), Some(Field { signed: false, bits: 63 }));
        for bad in [&b""[..], b"i", b"u0", b"u64", b"i65", b"i-1", b"x8", b"I8", b"i08", b"i+8"] {
            assert_eq!(Field::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn every_width_at_every_offset_reads_what_was_written_and_touches_nothing_else() {
        for width in 1..=64 {
            for offset in 0..17 {
                for value in [0, -1, 1, i64::MIN, i64::MAX, 0x5a5a_5a5a_5a5a_5a5a] {
                    let field = Field { signed: true, bits: width };
                    let mut bytes = [0xa5; 11];
                    let before = bytes;
                    field.set(&mut bytes, offset, value);
                    assert_eq!(field.get(&bytes, offset), field.extended(value as u64));
                    for at in (0..88).filter(|at| !(offset..offset + width as usize).contains(at)) {
                        assert_eq!(bits::get(&bytes, at), bits::get(&before, at), "{width} {offset} {at}");
                    }
                }
            }
        }
    }

    #[test]
    fn beyond_the_end_are_zeros() {
        let field = Field { signed: false, bits: 16 };
        assert_eq!(field.get(&[0xff], 4), 0xf000);
        assert_eq!(field.get(&[0xff], usize::MAX / 16), 0);
        let mut bytes = [0; 2];
        field.set(&mut bytes, 0, -1);
        assert_eq!(bytes, [0xff, 0xff]);
    }

    #[test]
    fn overflow() {
        let (i8, u8) = (Field { signed: true, bits: 8 }, Field { signed: false, bits: 8 });
        assert_eq!(i8.add(127, 1, Overflow::Wrap), Some(-128));
        assert_eq!(i8.add(127, 1, Overflow::Saturate), Some(127));
        assert_eq!(i8.add(-128, i64::MIN, Overflow::Saturate), Some(-128));
        assert_eq!(i8.add(127, 1, Overflow::Fail), None);
        assert_eq!(u8.add(1, -2, Overflow::Wrap), Some(255));
        assert_eq!(u8.add(1, -2, Overflow::Saturate), Some(0));
        assert_eq!(u8.store(-257, Overflow::Wrap), Some(255));
        assert_eq!(u8.store(-257, Overflow::Saturate), Some(255));
        let widest = Field { signed: true, bits: 64 };
        assert_eq!(widest.add(i64::MIN, -1, Overflow::Wrap), Some(i64::MAX));
        assert_eq!(widest.add(i64::MAX, i64::MAX, Overflow::Saturate), Some(i64::MAX));
        let unsigned = Field { signed: false, bits: 63 };
        assert_eq!(unsigned.add(i64::MAX, i64::MAX, Overflow::Wrap), Some(i64::MAX - 1));
        assert_eq!(unsigned.store(-1, Overflow::Fail), None);
    }
}
