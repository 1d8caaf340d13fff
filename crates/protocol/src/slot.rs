//! Hash slots: CRC16 (XMODEM) of the key or of its hash tag, modulo 16384.
//!
//! Source: Redis Cluster specification, "Key distribution model" and "Hash tags".

use memchr::memchr;

/// Number of hash slots.
pub const SLOT_COUNT: u16 = 16384;

/// Eight tables, so that eight bytes cost eight independent look-ups instead of a chain ("slicing by 8").
static TABLES: [[u16; 256]; 8] = tables();

const fn tables() -> [[u16; 256]; 8] {
    let mut tables = [[0u16; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let crc = tables[table - 1][byte];
            tables[table][byte] = (crc << 8) ^ tables[0][(crc >> 8) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

/// What four bytes at the end contribute.
#[inline]
fn four(c: &[u8; 4]) -> u16 {
    TABLES[3][c[0] as usize] ^ TABLES[2][c[1] as usize] ^ TABLES[1][c[2] as usize] ^ TABLES[0][c[3] as usize]
}

/// CRC16/XMODEM: polynomial 0x1021, start 0, not reflected. O(bytes).
#[inline]
pub fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = 0u16;
    let (words, rest) = bytes.as_chunks::<8>();
    for c in words {
        crc = TABLES[7][(c[0] ^ (crc >> 8) as u8) as usize]
            ^ TABLES[6][(c[1] ^ crc as u8) as usize]
            ^ TABLES[5][c[2] as usize]
            ^ TABLES[4][c[3] as usize]
            ^ four(&[c[4], c[5], c[6], c[7]]);
    }
    let (halves, rest) = rest.as_chunks::<4>();
    for c in halves {
        crc = four(&[c[0] ^ (crc >> 8) as u8, c[1] ^ crc as u8, c[2], c[3]]);
    }
    for &byte in rest {
        crc = (crc << 8) ^ TABLES[0][((crc >> 8) as u8 ^ byte) as usize];
    }
    crc
}

/// The slot of a key. Only what stands between the first `{` and the next `}` counts, if that is not empty.
#[inline]
pub fn slot_of(key: &[u8]) -> u16 {
    crc16(hash_tag(key)) & (SLOT_COUNT - 1)
}

#[inline]
fn hash_tag(key: &[u8]) -> &[u8] {
    if may_have_tag(key) { find_hash_tag(key) } else { key }
}

/// False for keys without `{`, if they are short: for these a call costs more than looking at some bytes twice.
#[inline]
fn may_have_tag(key: &[u8]) -> bool {
    const WORD: usize = 8;
    const BYTES: u64 = u64::MAX / 0xff;
    let (Some(last), ..=32) = (key.last_chunk::<WORD>(), key.len()) else {
        return key.len() > 32 || key.contains(&b'{');
    };
    // A byte of the exclusive or is zero where the key has a brace; other bytes may raise false alarms.
    let zeros = |word: &[u8; WORD]| {
        let word = u64::from_le_bytes(*word) ^ (BYTES * u64::from(b'{'));
        word.wrapping_sub(BYTES) & !word & BYTES << 7
    };
    let (words, _) = key.as_chunks::<WORD>();
    words.iter().fold(zeros(last), |found, word| found | zeros(word)) != 0
}

fn find_hash_tag(key: &[u8]) -> &[u8] {
    let Some(open) = memchr(b'{', key) else { return key };
    match memchr(b'}', &key[open + 1..]) {
        Some(len) if len > 0 => &key[open + 1..open + 1 + len],
        _ => key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn check_value_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }

    #[test]
    fn hash_tags_follow_the_specification() {
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"{user1000}.followers"));
        assert_eq!(slot_of(b"foo{}{bar}"), crc16(b"foo{}{bar}") % SLOT_COUNT);
        assert_eq!(slot_of(b"foo{{bar}}zap"), crc16(b"{bar") % SLOT_COUNT);
        assert_eq!(slot_of(b"foo{bar}{zap}"), crc16(b"bar") % SLOT_COUNT);
    }

    proptest! {
        #[test]
        fn short_keys_are_looked_at_like_long_ones(key in "[a-z{}]{0,40}") {
            prop_assert_eq!(hash_tag(key.as_bytes()), find_hash_tag(key.as_bytes()));
        }

        #[test]
        fn equals_another_implementation(bytes: Vec<u8>) {
            let other = crc::Crc::<u16>::new(&crc::CRC_16_XMODEM).checksum(&bytes);
            prop_assert_eq!(crc16(&bytes), other);
        }
    }
}
