//! Bits of byte strings: counting, finding, combining. Pure functions; bit 0 is the highest bit of the first byte.
//! Eight bytes are looked at in one step where it matters.

use std::ops::Range;

/// Bytes of a result that are made from all sources before the next ones are: they stay in the nearest cache.
const BLOCK_BYTES: usize = 16 * 1024;

/// The bit at an offset; beyond the end it is 0.
pub(super) fn get(bytes: &[u8], offset: usize) -> bool {
    bytes.get(offset / 8).is_some_and(|byte| byte & mask(offset) != 0)
}

/// Sets a bit, which must lie within the bytes; answers what it was.
pub(super) fn set(bytes: &mut [u8], offset: usize, bit: bool) -> bool {
    let byte = &mut bytes[offset / 8];
    let old = *byte & mask(offset) != 0;
    if bit != old {
        *byte ^= mask(offset);
    }
    old
}

fn mask(offset: usize) -> u8 {
    0x80 >> (offset % 8)
}

/// Number of ones.
pub(super) fn ones(bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("popcnt") {
        // SAFETY: the processor has both features.
        return unsafe { ones_wide(bytes) };
    }
    ones_plain(bytes)
}

/// The same loop, compiled for processors that count the ones of several words at once.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn ones_wide(bytes: &[u8]) -> u64 {
    ones_plain(bytes)
}

#[inline(always)]
fn ones_plain(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let whole: u64 = words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
    whole + rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

/// The parts of a range of bits within `bytes`: the rest of a first byte, whole bytes, the beginning of a last one.
/// Bits outside the range are 0.
struct Parts<'a> {
    head: u8,
    body: &'a [u8],
    tail: u8,
}

/// `range` lies within the bytes.
fn parts<'a>(bytes: &'a [u8], range: &Range<usize>) -> Parts<'a> {
    let (first, last) = (range.start / 8, range.end / 8);
    let from_start = 0xff >> (range.start % 8);
    let to_end = !(0xff >> (range.end % 8));
    if first == last {
        let byte = bytes.get(first).copied().unwrap_or(0);
        return Parts { head: byte & from_start & to_end, body: &[], tail: 0 };
    }
    let body_start = range.start.div_ceil(8);
    let head = if body_start > first { bytes[first] & from_start } else { 0 };
    let tail = if range.end.is_multiple_of(8) { 0 } else { bytes[last] & to_end };
    Parts { head, body: &bytes[body_start..last], tail }
}

/// Number of ones in a range of bits, which must lie within the bytes.
pub(super) fn count(bytes: &[u8], range: Range<usize>) -> u64 {
    if range.is_empty() {
        return 0;
    }
    let parts = parts(bytes, &range);
    u64::from(parts.head.count_ones()) + ones(parts.body) + u64::from(parts.tail.count_ones())
}

/// Offset of the first `bit` in a range of bits, which must lie within the bytes.
pub(super) fn position(bytes: &[u8], bit: bool, range: Range<usize>) -> Option<usize> {
    if range.is_empty() {
        return None;
    }
    let mut at = range.start;
    while at < range.end && !at.is_multiple_of(8) {
        if get(bytes, at) == bit {
            return Some(at);
        }
        at += 1;
    }
    let first = at / 8;
    let skipped = skip(&bytes[first..range.end / 8], if bit { 0x00 } else { 0xff });
    at += skipped * 8;
    (at..range.end.min(at + 8)).find(|&at| get(bytes, at) == bit)
}

/// How many bytes at the front are all `byte`.
fn skip(bytes: &[u8], byte: u8) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    let whole = words.iter().position(|word| *word != [byte; 8]).unwrap_or(words.len()) * 8;
    whole + bytes[whole..].iter().position(|&other| other != byte).unwrap_or(bytes.len() - whole)
}

/// What BITOP does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Bits that all sources have.
    And,
    /// Bits that any source has.
    Or,
    /// Bits that an odd number of sources have.
    Xor,
    /// Bits that the only source does not have.
    Not,
    /// Bits that the first source has and no other.
    Diff,
    /// Bits that another source has and the first has not.
    Diff1,
    /// Bits that the first source has and any other.
    AndOr,
    /// Bits that exactly one source has.
    One,
}

/// Combines strings; the result is as long as the longest, and shorter ones count as if zeros followed.
pub(super) fn combine(operation: Operation, sources: &[&[u8]]) -> Vec<u8> {
    let len = sources.iter().map(|source| source.len()).max().unwrap_or(0);
    let mut result = vec![0; len];
    let mut scratch = vec![0; BLOCK_BYTES.min(len)];
    for (index, block) in result.chunks_mut(BLOCK_BYTES).enumerate() {
        let start = index * BLOCK_BYTES;
        let part = |source: &[u8]| {
            let end = source.len().min(start + block.len());
            start.min(end)..end
        };
        let parts: Vec<&[u8]> = sources.iter().map(|source| &source[part(source)]).collect();
        combine_block(operation, block, &mut scratch, &parts);
    }
    result
}

/// Combines one block. No source is longer than the block, and `scratch` is as long as any block.
fn combine_block(operation: Operation, block: &mut [u8], scratch: &mut [u8], sources: &[&[u8]]) {
    let Some((first, others)) = sources.split_first() else { return };
    match operation {
        Operation::And => {
            block[..first.len()].copy_from_slice(first);
            for other in others {
                merge(block, other, |a, b| a & b);
                block[other.len()..].fill(0);
            }
        }
        Operation::Or => union(block, sources),
        Operation::Xor => sources.iter().for_each(|source| merge(block, source, |a, b| a ^ b)),
        Operation::Not => merge(block, first, |_, byte| !byte),
        Operation::Diff => {
            union(block, others);
            merge(block, first, |a, b| !a & b);
            block[first.len()..].fill(0);
        }
        Operation::Diff1 => {
            union(block, others);
            merge(block, first, |a, b| a & !b);
        }
        Operation::AndOr => {
            union(block, others);
            merge(block, first, |a, b| a & b);
            block[first.len()..].fill(0);
        }
        Operation::One => exactly_one(block, scratch, sources),
    }
}

fn union(block: &mut [u8], sources: &[&[u8]]) {
    sources.iter().for_each(|source| merge(block, source, |a, b| a | b));
}

/// `twice` notes what more than one source has.
fn exactly_one(block: &mut [u8], twice: &mut [u8], sources: &[&[u8]]) {
    twice.fill(0);
    for source in sources {
        for ((once, twice), byte) in block.iter_mut().zip(&mut *twice).zip(*source) {
            *twice |= *once & byte;
            *once |= byte;
        }
    }
    merge(block, twice, |once, twice| once & !twice);
}

/// A plain loop over bytes, which the compiler turns into one over vectors.
fn merge(block: &mut [u8], source: &[u8], with: impl Fn(u8, u8) -> u8) {
    block.iter_mut().zip(source).for_each(|(a, b)| *a = with(*a, *b));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(len: usize, seed: u64) -> Vec<u8> {
        let mut word = seed | 1;
        let mut next = || {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (word >> 56) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn counts_and_positions_are_those_of_single_bits() {
        for len in [0, 1, 2, 3, 9, 40] {
            let mut bytes = sample(len, len as u64);
            bytes[len / 4..len / 2].fill(0);
            bytes[len / 2..len].fill(0xff);
            for start in 0..=len * 8 {
                for end in start..=len * 8 {
                    let slow = (start..end).filter(|&at| get(&bytes, at)).count() as u64;
                    assert_eq!(count(&bytes, start..end), slow, "{len} {start} {end}");
                    for bit in [false, true] {
                        let slow = (start..end).find(|&at| get(&bytes, at) == bit);
                        assert_eq!(position(&bytes, bit, start..end), slow, "{len} {bit} {start} {end}");
                    }
                }
            }
        }
    }

    #[test]
    fn both_ways_of_counting_agree() {
        let bytes = sample(100_003, 7);
        assert_eq!(ones(&bytes), ones_plain(&bytes));
        assert_eq!(ones(&bytes), bytes.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>());
    }

    #[test]
    fn set_tells_the_old_bit() {
        let mut bytes = vec![0; 2];
        assert!(!set(&mut bytes, 9, true));
        assert_eq!(bytes, [0, 0x40]);
        assert!(set(&mut bytes, 9, false));
        assert!(!set(&mut bytes, 0, false));
        assert_eq!(bytes, [0, 0]);
        assert!(!get(&bytes, 16));
    }

    /// One bit of a result, from the bits of the sources.
    fn bit(operation: Operation, bits: &[bool]) -> bool {
        let others = bits[1..].contains(&true);
        match operation {
            Operation::And => !bits.contains(&false),
            Operation::Or => bits.contains(&true),
            Operation::Xor => bits.iter().filter(|bit| **bit).count() % 2 == 1,
            Operation::Not => !bits[0],
            Operation::Diff => bits[0] && !others,
            Operation::Diff1 => others && !bits[0],
            Operation::AndOr => bits[0] && others,
            Operation::One => bits.iter().filter(|bit| **bit).count() == 1,
        }
    }

    #[test]
    fn combining_is_done_bit_by_bit_across_blocks_and_lengths() {
        use Operation::*;
        let lengths = [BLOCK_BYTES * 2 + 5, 3, 0, BLOCK_BYTES, BLOCK_BYTES + 1];
        let all: Vec<Vec<u8>> =
            lengths.iter().enumerate().map(|(seed, &len)| sample(len, seed as u64)).collect();
        for operation in [And, Or, Xor, Not, Diff, Diff1, AndOr, One] {
            for (from, to) in [(0, 1), (0, 5), (1, 3), (2, 3), (3, 5), (1, 5), (2, 5)] {
                let to = if operation == Not { from + 1 } else { to };
                let sources: Vec<&[u8]> = all[from..to].iter().map(Vec::as_slice).collect();
                let result = combine(operation, &sources);
                assert_eq!(result.len(), sources.iter().map(|source| source.len()).max().unwrap_or(0));
                for at in (0..result.len() * 8).step_by(3) {
                    let bits: Vec<bool> = sources.iter().map(|source| get(source, at)).collect();
                    assert_eq!(get(&result, at), bit(operation, &bits), "{operation:?} {from} {to} {at}");
                }
            }
        }
    }
}
