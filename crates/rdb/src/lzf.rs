//! The LZF compression of strings.
//!
//! A compressed string is a series of runs. A control byte below 32 says that so many bytes and one more follow as they
//! are. A higher one is a copy: its upper three bits are the length less two (seven: another byte is added), its lower
//! five and the next byte are how far back, less one. The copy may overlap what it makes.

/// No three bytes unfold to more than 264.
const RATIO_MAX: usize = 88;
const LITERALS_MAX: usize = 32;
const BACK_MAX: usize = 1 << 13;
const COPY_MIN: usize = 3;
const COPY_MAX: usize = 264;
const TABLE_BITS: u32 = 13;
/// After so many bytes (two to this power) in which nothing was found, each step is longer by one: what does not compress is
/// not looked at byte by byte.
const STEPS_BITS: u32 = 5;
const STEP_MAX: usize = 64;

/// True if so many compressed bytes could unfold to `len`.
pub(crate) fn could_unfold(packed: usize, len: usize) -> bool {
    len <= packed.saturating_mul(RATIO_MAX)
}

/// Unfolds to exactly `len` bytes; `None` if that is not what comes out.
pub(crate) fn unfold(packed: &[u8], len: usize) -> Option<Vec<u8>> {
    if !could_unfold(packed.len(), len) {
        return None;
    }
    let mut out = Vec::with_capacity(len);
    let mut rest = packed;
    while let Some((&control, after)) = rest.split_first() {
        rest = after;
        if usize::from(control) < LITERALS_MAX {
            let (run, after) = rest.split_at_checked(usize::from(control) + 1)?;
            out.extend_from_slice(run);
            rest = after;
        } else {
            let mut count = usize::from(control >> 5);
            if count == 7 {
                let (&more, after) = rest.split_first()?;
                count += usize::from(more);
                rest = after;
            }
            let (&low, after) = rest.split_first()?;
            rest = after;
            let back = (usize::from(control & 0x1f) << 8 | usize::from(low)) + 1;
            copy(&mut out, back, count + 2)?;
        }
        if out.len() > len {
            return None;
        }
    }
    (out.len() == len).then_some(out)
}

/// Repeats `count` bytes from `back` bytes ago; they may overlap what they make.
fn copy(out: &mut Vec<u8>, back: usize, count: usize) -> Option<()> {
    let mut from = out.len().checked_sub(back)?;
    let mut left = count;
    while left > 0 {
        let piece = left.min(out.len() - from);
        out.extend_from_within(from..from + piece);
        from += piece;
        left -= piece;
    }
    Some(())
}

/// Compresses. It is kept, because its table is too large to be cleared for each short string.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    /// Where three bytes with this hash stood last, counted from the first string on.
    seen: Box<[u32]>,
    /// Count of bytes before the present string; what is below is of other strings.
    base: u32,
    out: Vec<u8>,
}

impl Default for Folder {
    fn default() -> Self {
        Folder { seen: vec![0; 1 << TABLE_BITS].into_boxed_slice(), base: 1, out: Vec::new() }
    }
}

/// The three bytes at a place, but for the last place, where a copy would save nothing.
#[inline]
fn three(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*four) << 8)
}

fn hash(word: u32) -> usize {
    (word.wrapping_mul(0x9e37_79b1) >> (32 - TABLE_BITS)) as usize
}

/// What so many bytes take that are written as they are.
fn literals_bytes(count: usize) -> usize {
    count + count.div_ceil(LITERALS_MAX)
}

impl Folder {
    /// Compresses to fewer than `most` bytes, or answers `None`.
    pub(crate) fn fold(&mut self, bytes: &[u8], most: usize) -> Option<&[u8]> {
        let len = u32::try_from(bytes.len()).ok().filter(|len| *len < u32::MAX / 2)?;
        if self.base > u32::MAX / 2 {
            *self = Folder::default();
        }
        let base = self.base;
        self.base += len;
        self.out.clear();
        let (mut at, mut literal) = (0, 0);
        while let Some(word) = three(bytes, at) {
            let slot = &mut self.seen[hash(word)];
            let before = std::mem::replace(slot, base + at as u32);
            let found = before.checked_sub(base).map(|from| from as usize);
            let Some(from) = found.filter(|from| at - from <= BACK_MAX && three(bytes, *from) == Some(word))
            else {
                at += 1 + ((at - literal) >> STEPS_BITS).min(STEP_MAX);
                continue;
            };
            if self.out.len() + literals_bytes(at - literal) >= most {
                return None;
            }
            self.literals(&bytes[literal..at]);
            let longest = COPY_MAX.min(bytes.len() - at);
            let same =
                (COPY_MIN..longest).take_while(|n| bytes[from + n] == bytes[at + n]).count() + COPY_MIN;
            self.back(at - from - 1, same);
            at += same;
            literal = at;
        }
        if self.out.len() + literals_bytes(bytes.len() - literal) >= most {
            return None;
        }
        self.literals(&bytes[literal..]);
        Some(&self.out)
    }

    fn literals(&mut self, bytes: &[u8]) {
        for run in bytes.chunks(LITERALS_MAX) {
            self.out.push(run.len() as u8 - 1);
            self.out.extend_from_slice(run);
        }
    }

    fn back(&mut self, distance: usize, count: usize) {
        let count = count - 2;
        self.out.push((count.min(7) as u8) << 5 | (distance >> 8) as u8);
        if count >= 7 {
            self.out.push((count - 7) as u8);
        }
        self.out.push(distance as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_folded_unfolds(parts in prop::collection::vec((any::<u8>(), 1usize..600), 0..40)) {
            let bytes: Vec<u8> = parts.iter().flat_map(|(byte, n)| (0..*n).map(move |i| byte ^ (i % 7) as u8)).collect();
            let mut folder = Folder::default();
            for _ in 0..2 {
                if let Some(packed) = folder.fold(&bytes, bytes.len()) {
                    let packed = packed.to_vec();
                    let unfolded = unfold(&packed, bytes.len());
                    prop_assert_eq!(unfolded.as_deref(), Some(bytes.as_slice()));
                    prop_assert_eq!(unfold(&packed, bytes.len() + 1), None);
                }
            }
        }

        #[test]
        fn junk_does_no_harm(packed in prop::collection::vec(any::<u8>(), 0..64), len in 0usize..10_000) {
            let unfolded = unfold(&packed, len);
            prop_assert!(unfolded.is_none_or(|bytes| bytes.len() == len));
        }
    }

    #[test]
    fn repetition_shrinks_and_promises_are_bounded() {
        let mut folder = Folder::default();
        assert!(folder.fold(&[b'x'; 10_000], 10_000).is_some_and(|packed| packed.len() < 200));
        assert_eq!(folder.fold(b"abcdefghijklmnopqrstuvwxyz", 22), None);
        assert_eq!(unfold(b"\x00a", usize::MAX), None);
        // A payload of redis-server.
        assert_eq!(unfold(b"\x01xx\xe0\x39\x00\x01xx", 70), Some(vec![b'x'; 70]));
    }
}
