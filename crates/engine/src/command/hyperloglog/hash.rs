//! Where an element goes in a sketch: MurmurHash64A (Austin Appleby, public domain), with the seed that everybody who
//! reads the format must use. Pure functions.

use super::sketch::REGISTERS;

const SEED: u64 = 0xadc8_3b19;
const FACTOR: u64 = 0xc6a4_a793_5bd1_e995;
const SHIFT: u32 = 47;

/// A register, and the rank that an element has there: 1 to 51.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) register: usize,
    pub(super) rank: u8,
}

impl Place {
    /// The low 14 bits of the hash choose the register; the zeros below the lowest one of the other 50, and that one,
    /// are the rank.
    pub(super) fn of(element: &[u8]) -> Place {
        let hash = hash(element);
        let rest = (hash >> REGISTERS.trailing_zeros()) | 1 << (u64::BITS - REGISTERS.trailing_zeros());
        Place { register: hash as usize % REGISTERS, rank: rest.trailing_zeros() as u8 + 1 }
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hash = SEED ^ (bytes.len() as u64).wrapping_mul(FACTOR);
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(FACTOR);
        word ^= word >> SHIFT;
        hash = (hash ^ word.wrapping_mul(FACTOR)).wrapping_mul(FACTOR);
    }
    if !tail.is_empty() {
        let mut last = [0; 8];
        last[..tail.len()].copy_from_slice(tail);
        hash = (hash ^ u64::from_le_bytes(last)).wrapping_mul(FACTOR);
    }
    hash ^= hash >> SHIFT;
    hash = hash.wrapping_mul(FACTOR);
    hash ^ (hash >> SHIFT)
}
