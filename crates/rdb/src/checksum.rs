//! CRC-64 with the polynomial of Jones, which ends a file and a payload.

use crc::{CRC_64_REDIS, Crc, Digest, Table};

static TABLE: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

/// A checksum under way.
#[derive(Clone)]
pub struct Checksum(Digest<'static, u64, Table<16>>);

impl std::fmt::Debug for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Checksum({:016x})", self.sum())
    }
}

impl Default for Checksum {
    fn default() -> Self {
        Checksum(TABLE.digest())
    }
}

impl Checksum {
    /// The checksum of some bytes.
    pub fn of(bytes: &[u8]) -> u64 {
        TABLE.checksum(bytes)
    }

    /// Takes more bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all bytes so far.
    pub fn sum(&self) -> u64 {
        self.0.clone().finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::Checksum;

    #[test]
    fn the_sum_is_that_of_redis() {
        assert_eq!(Checksum::of(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        let mut parts = Checksum::default();
        parts.update(b"1234");
        parts.update(b"56789");
        assert_eq!(parts.sum(), 0xe9c6_d914_c4b8_d9ca);
    }
}
