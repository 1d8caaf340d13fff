//! A sorted sequence of integers, all stored in the smallest of 2, 4 or 8 bytes that holds the widest of them.

use crate::compact::Mover;

#[derive(Clone, Debug)]
pub(super) struct IntSet {
    bytes: Vec<u8>,
    width: usize,
}

fn width_of(value: i64) -> usize {
    match value {
        -0x8000..=0x7fff => 2,
        -0x8000_0000..=0x7fff_ffff => 4,
        _ => 8,
    }
}

impl IntSet {
    pub(super) const fn new() -> Self {
        IntSet { bytes: Vec::new(), width: 2 }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() / self.width
    }

    /// Takes another block of memory if this one lies badly.
    pub(super) fn compact(&mut self, mover: &mut Mover<'_>) {
        mover.renew(&mut self.bytes);
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    pub(super) fn get(&self, index: usize) -> i64 {
        let at = index * self.width;
        let mut wide = [0; 8];
        wide[..self.width].copy_from_slice(&self.bytes[at..at + self.width]);
        let unused = 64 - 8 * self.width as u32;
        (i64::from_le_bytes(wide) << unused) >> unused
    }

    pub(super) fn contains(&self, value: i64) -> bool {
        self.search(value).is_ok()
    }

    /// Adds a value; false if it was there.
    pub(super) fn insert(&mut self, value: i64) -> bool {
        let Err(index) = self.search(value) else { return false };
        if width_of(value) > self.width {
            self.widen(width_of(value));
        }
        let at = index * self.width;
        if self.bytes.len() + self.width > self.bytes.capacity() {
            self.bytes.reserve_exact((self.width + self.bytes.len() / 8).next_multiple_of(8));
        }
        let (end, width) = (self.bytes.len(), self.width);
        self.bytes.resize(end + width, 0);
        self.bytes.copy_within(at..end, at + width);
        self.bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
        true
    }

    /// Removes a value; false if it was not there.
    pub(super) fn remove(&mut self, value: i64) -> bool {
        let Ok(index) = self.search(value) else { return false };
        self.bytes.drain(index * self.width..(index + 1) * self.width);
        true
    }

    /// All values, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = i64> + Clone {
        (0..self.len()).map(|index| self.get(index))
    }

    fn search(&self, value: i64) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.get(middle).cmp(&value) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    fn widen(&mut self, width: usize) {
        let bytes = self.iter().flat_map(|value| value.to_le_bytes().into_iter().take(width)).collect();
        *self = IntSet { bytes, width };
    }
}
