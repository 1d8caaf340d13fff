//! Writing the atoms of the format: lengths, strings, numbers.

use crate::lzf::Folder;

/// Strings longer than this are compressed if that makes them shorter.
const COMPRESSED_BYTES_MIN: usize = 21;
/// What compressing must save at least.
const SAVED_BYTES_MIN: usize = 4;
/// No integer of four bytes has more digits.
const INTEGER_DIGITS_MAX: usize = 11;

/// Appends to a buffer. Keep it for many values: its table for compressing is costly to make.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    folder: Option<Folder>,
    /// Forms that came with Redis 7.2 are not used.
    old: bool,
}

impl Writer {
    /// A writer that compresses long strings, as `rdbcompression` is set by default.
    pub fn new() -> Writer {
        Writer { bytes: Vec::new(), folder: Some(Folder::default()), old: false }
    }

    /// From now on only forms are used that Redis 7.0 knows ([`kind::VERSION_REDIS_7_0`](crate::kind::VERSION_REDIS_7_0)),
    /// where there is one.
    pub fn use_old_forms(&mut self, old: bool) {
        self.old = old;
    }

    /// True if forms that came with Redis 7.2 are not used.
    pub fn uses_old_forms(&self) -> bool {
        self.old
    }

    /// A writer that leaves strings as they are.
    pub fn uncompressed() -> Writer {
        Writer::default()
    }

    /// What was written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What was written, taken out.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Gives an empty writer whose buffer was taken another one, which is empty too, with room for so many bytes.
    pub fn refill(&mut self, buffer: impl FnOnce() -> Vec<u8>, room: usize) {
        if self.bytes.capacity() == 0 {
            self.bytes = buffer();
        }
        self.bytes.reserve(room);
    }

    /// Bytes written.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// True if nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forgets what was written, for the next value.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// One byte.
    pub fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// A length, in the fewest bytes.
    pub fn length(&mut self, length: u64) {
        match length {
            0..=0x3f => self.byte(length as u8),
            0x40..=0x3fff => self.raw(&(0x4000 | length as u16).to_be_bytes()),
            0x4000..=0xffff_ffff => {
                self.byte(0x80);
                self.raw(&(length as u32).to_be_bytes());
            }
            _ => {
                self.byte(0x81);
                self.raw(&length.to_be_bytes());
            }
        }
    }

    /// A string: as an integer if it is the canonical form of a small one, compressed if it is long and that helps.
    pub fn string(&mut self, bytes: &[u8]) {
        if bytes.len() <= INTEGER_DIGITS_MAX
            && let Some(n) = larder_store::object::packed::parse_canonical(bytes)
            && self.small_integer(n)
        {
            return;
        }
        self.plain_string(bytes);
    }

    /// An integer as a string.
    pub fn integer(&mut self, n: i64) {
        if !self.small_integer(n) {
            self.plain_string(n.to_string().as_bytes());
        }
    }

    fn small_integer(&mut self, n: i64) -> bool {
        if let Ok(n) = i8::try_from(n) {
            self.raw(&[0xc0, n as u8]);
        } else if let Ok(n) = i16::try_from(n) {
            self.byte(0xc1);
            self.raw(&n.to_le_bytes());
        } else if let Ok(n) = i32::try_from(n) {
            self.byte(0xc2);
            self.raw(&n.to_le_bytes());
        } else {
            return false;
        }
        true
    }

    fn plain_string(&mut self, bytes: &[u8]) {
        if bytes.len() >= COMPRESSED_BYTES_MIN
            && let Some(mut folder) = self.folder.take()
        {
            let folded = folder.fold(bytes, bytes.len() - SAVED_BYTES_MIN);
            if let Some(packed) = folded {
                self.byte(0xc3);
                self.length(packed.len() as u64);
                self.length(bytes.len() as u64);
                self.raw(packed);
            }
            let done = folded.is_some();
            self.folder = Some(folder);
            if done {
                return;
            }
        }
        self.length(bytes.len() as u64);
        self.raw(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reader;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(lengths in prop::collection::vec(any::<u64>(), 0..9), shift in 0u32..64,
                                   strings in prop::collection::vec(prop::collection::vec(0u8..4, 0..90), 0..9),
                                   numbers in prop::collection::vec(any::<i64>(), 0..9)) {
            let mut writer = Writer::new();
            lengths.iter().for_each(|length| writer.length(length >> shift));
            strings.iter().for_each(|bytes| writer.string(bytes));
            numbers.iter().for_each(|n| writer.integer(n >> shift));
            let mut reader = Reader::new(writer.as_bytes());
            for length in lengths {
                prop_assert_eq!(reader.length(), Ok(length >> shift));
            }
            for bytes in strings {
                prop_assert_eq!(reader.string().map(|read| read.into_owned()), Ok(bytes));
            }
            for n in numbers {
                prop_assert_eq!(reader.string().map(|b| b.into_owned()), Ok((n >> shift).to_string().into_bytes()));
            }
            prop_assert!(reader.is_empty());
        }
    }
}
