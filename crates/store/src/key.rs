//! Keys on their way to the store, and their hash.

use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};

/// The secret of the hash function: random per process, so that nobody can choose colliding keys.
#[derive(Clone, Copy, Debug)]
pub struct Seed(RapidSecrets);

impl Seed {
    /// A seed from a random number.
    pub fn new(random: u64) -> Seed {
        Seed(RapidSecrets::seed(random))
    }

    /// The hash of a key. O(bytes).
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u32 {
        (rapidhash_v3_seeded(key, &self.0) >> 32) as u32
    }
}

/// A key with what is known about it: computed once per command.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The key.
    pub bytes: &'a [u8],
    /// Its hash slot, 0 to 16383.
    pub slot: u16,
    /// Its seeded hash.
    pub hash: u32,
}
