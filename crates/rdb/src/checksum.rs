//! CRC-64 with the polynomial of Jones, which ends a file and a payload.

use crc_fast::{CrcAlgorithm, Digest};
use std::fmt;

/// A checksum under way. Where the processor multiplies without carries, sixteen bytes at a time.
#[derive(Clone)]
pub struct Checksum(Digest);

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checksum({:016x})", self.sum())
    }
}

impl Default for Checksum {
    fn default() -> Self {
        Checksum(Digest::new(CrcAlgorithm::Crc64Redis))
    }
}

impl Checksum {
    /// The checksum of some bytes.
    pub fn of(bytes: &[u8]) -> u64 {
        crc_fast::checksum(CrcAlgorithm::Crc64Redis, bytes)
    }

    /// Takes more bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all bytes so far.
    pub fn sum(&self) -> u64 {
        self.0.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::Checksum;
    use crc::{CRC_64_REDIS, Crc};
    use proptest::prelude::*;

    #[test]
    fn the_sum_is_that_of_redis() {
        assert_eq!(Checksum::of(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    }

    proptest! {
        #[test]
        fn parts_have_the_sum_of_the_whole(bytes in prop::collection::vec(any::<u8>(), 0..700),
                                           cuts in prop::collection::vec(0usize..700, 0..4)) {
            let oracle = Crc::<u64>::new(&CRC_64_REDIS).checksum(&bytes);
            prop_assert_eq!(Checksum::of(&bytes), oracle);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut parts = Checksum::default();
            cuts.windows(2).for_each(|cut| parts.update(&bytes[cut[0]..cut[1]]));
            prop_assert_eq!(parts.sum(), oracle);
        }
    }
}
