//! Packed sequences out of bytes that somebody else wrote.
//!
//! What is taken over must be just what we would have written, because nothing checks it afterwards: every entry lies
//! within the bytes, its trailing length is right, and no string is the canonical form of an integer.

use super::{Element, INT_16, INT_24, INT_32, INT_64, Packed, STRING_32, decode, parse_canonical, tail_of};

/// A sequence that was taken over.
#[derive(Clone, Debug)]
pub struct Adopted {
    /// The sequence.
    pub packed: Packed,
    /// Bytes of its longest element.
    pub longest: usize,
}

/// Length of head and data of the entry at the front, if all of it and its trailing length are there and right.
fn body(bytes: &[u8]) -> Option<usize> {
    let body = match *bytes.first()? {
        0..=0x7f => 1,
        short @ 0x80..=0xbf => 1 + usize::from(short & 0x3f),
        0xc0..=0xdf => 2,
        high @ 0xe0..=0xef => 2 + (usize::from(high & 0x0f) << 8 | usize::from(*bytes.get(1)?)),
        STRING_32 => {
            let len: [u8; 4] = bytes.get(1..5)?.try_into().ok()?;
            5usize.checked_add(u32::from_le_bytes(len) as usize)?
        }
        INT_16 => 3,
        INT_24 => 4,
        INT_32 => 5,
        INT_64 => 9,
        _ => return None,
    };
    let tail = tail_of(body);
    let there = bytes.get(body..)?.get(..tail.len)?;
    (there == tail.as_slice()).then_some(body + tail.len)
}

impl Packed {
    /// Takes over the entries of a listpack, without its header and end; `None` if they are not well formed.
    /// One walk and one copy; integers that were written as strings are packed anew.
    pub fn adopt(bytes: &[u8]) -> Option<Adopted> {
        let (mut at, mut count, mut longest, mut canonical) = (0, 0u32, 0, true);
        while at < bytes.len() {
            let len = body(&bytes[at..])?;
            let element = decode(&bytes[at..]).0;
            longest = longest.max(element.len());
            canonical &= !matches!(element, Element::Bytes(text) if parse_canonical(text).is_some());
            count = count.checked_add(1)?;
            at += len;
        }
        let taken = Packed { bytes: bytes.to_vec(), free: 0, count };
        let packed = if canonical { taken } else { taken.packed_anew() };
        Some(Adopted { packed, longest })
    }

    fn packed_anew(&self) -> Packed {
        let mut anew = Packed::new();
        for element in self.iter() {
            anew.push(element.bytes(&mut super::Digits::new()));
        }
        anew
    }

    /// The entries, as a listpack has them between its header and its end.
    pub fn as_bytes(&self) -> &[u8] {
        self.entries()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packed(members: &[Vec<u8>]) -> Packed {
        let mut packed = Packed::new();
        members.iter().for_each(|member| packed.push(member));
        packed
    }

    proptest! {
        #[test]
        fn our_own_entries_are_taken_over(members in prop::collection::vec(prop_oneof![
            any::<i64>().prop_map(|n| n.to_string().into_bytes()),
            (-5000i64..5000).prop_map(|n| n.to_string().into_bytes()),
            (0usize..200).prop_map(|n| vec![b'x'; n]),
            (4000usize..20_000).prop_map(|n| vec![b'y'; n]),
        ], 0..20), cut in any::<prop::sample::Index>()) {
            let ours = packed(&members);
            let adopted = Packed::adopt(ours.as_bytes());
            let bytes = adopted.as_ref().map(|adopted| adopted.packed.as_bytes());
            prop_assert_eq!(bytes, Some(ours.as_bytes()));
            prop_assert_eq!(adopted.map(|adopted| (adopted.packed.len(), adopted.longest)),
                            Some((members.len(), members.iter().map(Vec::len).max().unwrap_or(0))));
            if !members.is_empty() {
                let cut = cut.index(ours.byte_len());
                let part = Packed::adopt(&ours.as_bytes()[..cut]);
                prop_assert!(part.is_none_or(|part| part.packed.len() < members.len()));
            }
        }

        #[test]
        fn junk_is_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(adopted) = Packed::adopt(&bytes) {
                prop_assert_eq!(adopted.packed.iter().count(), adopted.packed.len());
                prop_assert_eq!(adopted.packed.iter().rev().count(), adopted.packed.len());
            }
        }
    }

    #[test]
    fn integers_in_disguise_are_packed_anew() {
        let adopted = Packed::adopt(b"\x8212\x03\xf1\x05\x00\x03");
        let elements: Option<Vec<_>> = adopted.as_ref().map(|adopted| adopted.packed.iter().collect());
        assert_eq!(elements, Some(vec![Element::Int(12), Element::Int(5)]));
    }
}
