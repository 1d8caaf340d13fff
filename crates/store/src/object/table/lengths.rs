//! The lengths in front of an entry of a table.
//!
//! Two short lengths are one byte, two longer ones most often two; where all payloads have the same length only that of the
//! name is there.

pub(super) fn read_varint(bytes: &[u8], at: &mut usize) -> usize {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        value |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return value;
        }
    }
}

/// The least first byte of lengths that are not one byte: its upper half is no length of a name.
const WIDE: u8 = 0xf0;
/// Bits of each of two lengths that are 12 bits after [`WIDE`], and what stands for the name's when they are longer.
const MEDIUM_BITS: usize = 6;
const LONG: usize = (1 << MEDIUM_BITS) - 1;

/// Lengths in front of an entry.
pub(super) struct Lengths {
    bytes: [u8; 22],
    len: usize,
}

impl Lengths {
    pub(super) fn new() -> Lengths {
        Lengths { bytes: [0; 22], len: 0 }
    }

    /// The lengths of a name and a payload.
    pub(super) fn of(name: usize, payload: usize) -> Lengths {
        let mut lengths = Lengths::new();
        match (name, payload) {
            (0..=14, 0..=15) => lengths.push_byte((name << 4 | payload) as u8),
            (0..LONG, 0..=LONG) => lengths.push_medium(name << MEDIUM_BITS | payload),
            _ => {
                lengths.push_medium(LONG << MEDIUM_BITS);
                lengths.push(name);
                lengths.push(payload);
            }
        }
        lengths
    }

    fn push_byte(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    fn push_medium(&mut self, both: usize) {
        self.push_byte(WIDE | (both >> 8) as u8);
        self.push_byte(both as u8);
    }

    pub(super) fn push(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.push_byte(value as u8 | 0x80);
            value >>= 7;
        }
        self.push_byte(value as u8);
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Reads what [`Lengths::of`] made.
#[inline]
pub(super) fn read_lengths(bytes: &[u8], at: &mut usize) -> (usize, usize) {
    let first = bytes[0];
    if first < WIDE {
        *at = 1;
        return (usize::from(first >> 4), usize::from(first & 0x0f));
    }
    let both = usize::from(first & !WIDE) << 8 | usize::from(bytes[1]);
    *at = 2;
    match both >> MEDIUM_BITS {
        LONG => (read_varint(bytes, at), read_varint(bytes, at)),
        name => (name, both & LONG),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_every_form_are_read_as_they_were_written() {
        let some = [0, 1, 13, 14, 15, 16, 61, 62, 63, 64, 127, 128, 300, 70_000, 1 << 29];
        for (name, payload) in some.iter().flat_map(|&name| some.map(|payload| (name, payload))) {
            let (lengths, mut at) = (Lengths::of(name, payload), 0);
            assert_eq!(read_lengths(lengths.as_slice(), &mut at), (name, payload));
            assert_eq!(at, lengths.as_slice().len(), "{name} {payload}");
        }
        assert_eq!(Lengths::of(12, 12).len, 1);
        assert_eq!(Lengths::of(20, 60).len, 2);
    }
}
