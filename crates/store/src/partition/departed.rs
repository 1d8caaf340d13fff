//! Which keys left a partition, and why: fingerprints of 4 bytes each, so that a miss can be told from another.
//!
//! A small table of lines of eight entries; a key's line follows from its hash, and the newest entry of a line stands
//! first, so what falls out of a full line left longest ago. An entry holds the low 26 bits of the key's hash, why it
//! left, and how often it had been used. The line's number is part of those 26 bits, so the table can double without
//! seeing a key. There are never more entries than keys in the partition, and never more than the store's bound.
//!
//! A key that was never there is mistaken for one that left if its 26 bits are the same: with `n` entries in a partition
//! that happens to one in 2^26 / n of them.

/// Why a key left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// To make room.
    Evicted = 1,
    /// Its time was over.
    Expired = 2,
    /// Somebody removed it.
    Deleted = 3,
    /// Its database was emptied.
    Flushed = 4,
}

/// What is remembered of a key that left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Departure {
    /// Why it left.
    pub(crate) reason: Reason,
    /// How often it had been used, as a class (see [`super::density`]); 0 where nobody counted.
    pub(crate) uses: u32,
}

const WAYS: usize = 8;
const HASH_BITS: u32 = 26;
const HASH: u32 = (1 << HASH_BITS) - 1;
/// Lines at most: their number must be part of the bits that are kept.
const LINES_MAX: usize = 1 << 20;

type Line = [u32; WAYS];

/// The keys that left a partition.
#[derive(Debug, Default)]
pub(crate) struct Departed {
    lines: Vec<Line>,
}

impl Departure {
    fn pack(self, hash: u32) -> u32 {
        (self.reason as u32) << 29 | self.uses << HASH_BITS | hash & HASH
    }

    fn unpack(entry: u32) -> Option<Departure> {
        let reason = match entry >> 29 {
            1 => Reason::Evicted,
            2 => Reason::Expired,
            3 => Reason::Deleted,
            4 => Reason::Flushed,
            _ => return None,
        };
        Some(Departure { reason, uses: entry >> HASH_BITS & 7 })
    }
}

impl Departed {
    fn line(&self, hash: u32) -> Option<usize> {
        (!self.lines.is_empty()).then(|| hash as usize & (self.lines.len() - 1))
    }

    /// Notes a key that left. There may be `limit` entries.
    pub(crate) fn note(&mut self, hash: u32, departure: Departure, limit: usize) {
        if limit < WAYS {
            self.lines = Vec::new();
            return;
        }
        if self.lines.is_empty() {
            self.lines = vec![[0; WAYS]];
        }
        self.forget(hash);
        let mut at = hash as usize & (self.lines.len() - 1);
        while self.lines[at][WAYS - 1] != 0
            && self.lines.len() * 2 * WAYS <= limit
            && self.lines.len() < LINES_MAX
        {
            self.double();
            at = hash as usize & (self.lines.len() - 1);
        }
        if self.lines.len() / 4 * WAYS > limit {
            self.halve();
            at = hash as usize & (self.lines.len() - 1);
        }
        let line = &mut self.lines[at];
        line.copy_within(..WAYS - 1, 1);
        line[0] = departure.pack(hash);
    }

    /// What is known of a key that is not there. O(1).
    #[inline]
    pub(crate) fn find(&self, hash: u32) -> Option<Departure> {
        let line = &self.lines[self.line(hash)?];
        let entry = line.iter().find(|entry| **entry != 0 && **entry & HASH == hash & HASH)?;
        Departure::unpack(*entry)
    }

    /// Forgets a key, which is there again; says what was known of it.
    #[inline]
    pub(crate) fn forget(&mut self, hash: u32) -> Option<Departure> {
        let at = self.line(hash)?;
        let line = &mut self.lines[at];
        let found = line.iter().position(|entry| *entry != 0 && *entry & HASH == hash & HASH)?;
        let departure = Departure::unpack(line[found]);
        line.copy_within(found + 1.., found);
        line[WAYS - 1] = 0;
        departure
    }

    /// Entries at most, as it is now.
    #[cfg(test)]
    fn capacity(&self) -> usize {
        self.lines.len() * WAYS
    }

    /// Bytes that it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.lines.capacity() * size_of::<Line>()
    }

    /// The entries of each line go to it and to the one that its number gets with one bit more.
    fn double(&mut self) {
        let old = self.lines.len();
        self.lines.reserve_exact(old);
        for at in 0..old {
            let (mut low, mut high) = ([0; WAYS], [0; WAYS]);
            let (mut lows, mut highs) = (0, 0);
            for entry in self.lines[at].into_iter().filter(|entry| *entry != 0) {
                let (line, len) =
                    if entry as usize & old == 0 { (&mut low, &mut lows) } else { (&mut high, &mut highs) };
                line[*len] = entry;
                *len += 1;
            }
            self.lines[at] = low;
            self.lines.push(high);
        }
    }

    /// Half of the lines go, and with them the older half of what two of them held.
    fn halve(&mut self) {
        let new = self.lines.len() / 2;
        for at in 0..new {
            let (low, high) = (self.lines[at], self.lines[at + new]);
            let mut both = low.into_iter().zip(high).flat_map(|(a, b)| [a, b]).filter(|entry| *entry != 0);
            self.lines[at] = std::array::from_fn(|_| both.next().unwrap_or(0));
        }
        self.lines.truncate(new);
        self.lines.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests;
