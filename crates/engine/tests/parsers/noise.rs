//! Inputs for parsers: sound ones with damage, and noise, from a seed that repeats them.

use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of an input of noise.
const NOISE_BYTES_MAX: usize = 200;
/// Places of an input that are damaged.
const DAMAGES_MAX: usize = 4;

/// SplitMix64, and how many inputs are asked of it.
pub(crate) struct Noise {
    state: u64,
    pub(crate) seed: u64,
    pub(crate) rounds: u64,
}

impl Noise {
    /// For a target of this name: with the same seed each has inputs of its own.
    pub(crate) fn new(name: &str, rounds: u64) -> Noise {
        let told = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
        let seed = told("LARDER_SEED").unwrap_or_else(now);
        let state = name.bytes().fold(seed, |state, byte| state.wrapping_mul(31).wrapping_add(byte.into()));
        Noise { state, seed, rounds: told("LARDER_ROUNDS").unwrap_or(rounds) }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// Some bytes.
    pub(crate) fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most + 1)).map(|_| self.next() as u8).collect()
    }

    /// An input: noise now and then, or a sound one with bytes changed, cut, doubled, or words put in.
    pub(crate) fn input(&mut self, sound: &[&[u8]], words: &[&[u8]]) -> Vec<u8> {
        if self.next().is_multiple_of(16) {
            return self.bytes(NOISE_BYTES_MAX);
        }
        let mut input = sound[self.below(sound.len())].to_vec();
        for _ in 0..self.below(DAMAGES_MAX + 1) {
            let at = self.below(input.len() + 1);
            match self.next() % 6 {
                0 => input.truncate(at),
                1 if at < input.len() => input[at] = self.next() as u8,
                2 if at < input.len() => input[at] ^= 1 << (self.next() % 8),
                3 => drop(input.splice(at..at, words[self.below(words.len())].iter().copied())),
                4 => {
                    let end = (at + self.below(20)).min(input.len());
                    let piece = input[at..end].to_vec();
                    drop(input.splice(at..at, piece));
                }
                _ => {
                    let other = sound[self.below(sound.len())];
                    let from = self.below(other.len() + 1);
                    input.truncate(at);
                    input.extend_from_slice(&other[from..]);
                }
            }
        }
        input
    }
}
