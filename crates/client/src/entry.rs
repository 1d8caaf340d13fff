//! An entry as it lies in the cache: a header with its times and versions, then the value's bytes, perhaps compressed.
//! Pure: bytes to entry and back, with every length checked before it is believed.
//!
//! ```text
//! 'L' form flags | stored u64 | fresh until u64 | cost u32 | tags u8 [names u64, version u64 × tags] | [length u32] bytes
//! ```
//! Numbers are big-endian, times are milliseconds since 1970.

use crate::error::BoxError;

/// The largest value, before compression. A longer length in a header is garbage.
pub const MAX_VALUE_BYTES: usize = 64 << 20;

const MARK: u8 = b'L';
const FORM: u8 = 1;
const NEGATIVE: u8 = 1;
const COMPRESSED: u8 = 2;

/// The version of a tag: random, so that one is never used twice.
pub(crate) type Version = u64;

/// The versions under which an entry was loaded.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Tagged {
    /// A digest of the tags' names, so that versions are compared with those of the same tags.
    pub(crate) names: u64,
    pub(crate) versions: Vec<Version>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) stored_ms: u64,
    pub(crate) fresh_until_ms: u64,
    /// What loading took: the early refresh weighs it.
    pub(crate) cost_ms: u32,
    pub(crate) tagged: Tagged,
    /// `None` says that the source has no such value.
    pub(crate) payload: Option<Vec<u8>>,
}

impl Entry {
    /// The bytes, with the payload compressed when it has `threshold` bytes or more and gets smaller by it.
    pub(crate) fn encode(&self, threshold: usize) -> Vec<u8> {
        let mut flags = 0;
        let mut body = Vec::new();
        match &self.payload {
            None => flags |= NEGATIVE,
            Some(bytes) => {
                let packed = (bytes.len() >= threshold).then(|| lz4_flex::block::compress(bytes));
                match packed.filter(|packed| packed.len() + 4 < bytes.len()) {
                    Some(packed) => {
                        flags |= COMPRESSED;
                        body.extend((bytes.len() as u32).to_be_bytes());
                        body.extend(packed);
                    }
                    None => body.extend_from_slice(bytes),
                }
            }
        }
        let mut out = Vec::with_capacity(32 + 8 * self.tagged.versions.len() + body.len());
        out.extend([MARK, FORM, flags]);
        out.extend(self.stored_ms.to_be_bytes());
        out.extend(self.fresh_until_ms.to_be_bytes());
        out.extend(self.cost_ms.to_be_bytes());
        out.push(self.tagged.versions.len() as u8);
        if !self.tagged.versions.is_empty() {
            out.extend(self.tagged.names.to_be_bytes());
            self.tagged.versions.iter().for_each(|version| out.extend(version.to_be_bytes()));
        }
        out.extend(body);
        out
    }

    /// # Errors
    /// When the bytes are no entry.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BoxError> {
        let mut rest = bytes;
        let [mark, form, flags] = take(&mut rest)?;
        if mark != MARK || form != FORM || flags > (NEGATIVE | COMPRESSED) {
            return Err("not an entry of this form".into());
        }
        let stored_ms = u64::from_be_bytes(take(&mut rest)?);
        let fresh_until_ms = u64::from_be_bytes(take(&mut rest)?);
        let cost_ms = u32::from_be_bytes(take(&mut rest)?);
        let [count] = take(&mut rest)?;
        let mut tagged = Tagged::default();
        if count > 0 {
            tagged.names = u64::from_be_bytes(take(&mut rest)?);
            for _ in 0..count {
                tagged.versions.push(u64::from_be_bytes(take(&mut rest)?));
            }
        }
        let payload = match flags {
            0 => Some(rest.to_vec()),
            NEGATIVE if rest.is_empty() => None,
            COMPRESSED => {
                let length = u32::from_be_bytes(take(&mut rest)?) as usize;
                if length > MAX_VALUE_BYTES {
                    return Err("a length beyond the largest value".into());
                }
                let unpacked = lz4_flex::block::decompress(rest, length)?;
                if unpacked.len() != length {
                    return Err("a length that the bytes do not have".into());
                }
                Some(unpacked)
            }
            _ => return Err("flags that exclude each other".into()),
        };
        Ok(Self { stored_ms, fresh_until_ms, cost_ms, tagged, payload })
    }
}

/// The next `N` bytes.
fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], BoxError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or("an entry that ends early")?;
    *rest = tail;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(payload: Option<Vec<u8>>, versions: Vec<u64>) -> Entry {
        let names = if versions.is_empty() { 0 } else { 7 };
        Entry { stored_ms: 5, fresh_until_ms: 9, cost_ms: 3, tagged: Tagged { names, versions }, payload }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            payload in proptest::option::of(proptest::collection::vec(0u8..4, 0..3000)),
            versions in proptest::collection::vec(any::<u64>(), 0..5),
            threshold in 0usize..4000,
        ) {
            let entry = entry(payload, versions);
            prop_assert_eq!(Entry::decode(&entry.encode(threshold)).unwrap(), entry);
        }

        #[test]
        fn garbage_is_refused_and_never_panics(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
            marked in any::<bool>(),
        ) {
            if marked && bytes.len() > 2 {
                bytes[..2].copy_from_slice(&[MARK, FORM]);
                bytes[2] &= 3;
            }
            let _ = Entry::decode(&bytes);
        }
    }

    #[test]
    fn a_cut_or_inflated_entry_is_refused() {
        let whole = entry(Some(vec![1; 1000]), vec![4]).encode(100);
        assert!(whole.len() < 200, "a run of one byte shrinks");
        for end in 0..whole.len() - 1 {
            assert!(Entry::decode(&whole[..end]).is_err(), "cut at {end}");
        }
        let mut inflated = whole;
        inflated[40..44].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(Entry::decode(&inflated).is_err());
    }
}
