//! A parcel: a large value that is received straight into the memory that will be stored.
//!
//! When the line or header of a request has told of a large value, what comes of it goes to a buffer of its own instead of
//! the session's input, and that buffer becomes the value: no copy, and no second block of fresh pages. Until then it is
//! the session's: it counts among its bytes, goes with it, and is as long as what has come asks for, whatever was announced.

use super::sessions::Session;
use larder_protocol::memcache::request::Apart;
use std::collections::TryReserveError;

/// Values from this size on come in parcels.
pub(super) const PARCEL_BYTES_MIN: usize = 64 * 1024;
/// Least memory that is reserved for one.
const RESERVE_BYTES_MIN: usize = 64 * 1024;
/// How many times as much is reserved as has come.
const RESERVE_FACTOR: usize = 4;
/// As [`RESERVE_FACTOR`], from [`LARGE_BYTES`] on.
const RESERVE_FACTOR_LARGE: usize = 2;
/// From this size on a block grows without being copied.
const LARGE_BYTES: usize = 2 << 20;

/// See the module.
pub(super) struct Parcel {
    bytes: Vec<u8>,
    wanted: usize,
    /// Where the value would stand in what is not executed of the input.
    at: usize,
}

impl Parcel {
    /// A value that is complete.
    pub(super) fn full(bytes: Vec<u8>) -> Parcel {
        Parcel { wanted: bytes.len(), bytes, at: 0 }
    }

    /// True if the value is complete.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() == self.wanted
    }

    /// Bytes of it that have come.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of memory that it takes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// The value.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Takes what belongs to it from the front of `bytes`, and says how much that was.
    fn take(&mut self, bytes: &[u8]) -> Result<usize, TryReserveError> {
        let count = bytes.len().min(self.wanted - self.bytes.len());
        let len = self.bytes.len() + count;
        if len > self.bytes.capacity() {
            let factor = if len < LARGE_BYTES { RESERVE_FACTOR } else { RESERVE_FACTOR_LARGE };
            let capacity = len.saturating_mul(factor).max(RESERVE_BYTES_MIN).min(self.wanted);
            self.bytes.try_reserve_exact(capacity - self.bytes.len())?;
        }
        self.bytes.extend_from_slice(&bytes[..count]);
        Ok(count)
    }
}

impl Session {
    /// Receives a value apart from now on.
    pub(super) fn begin_parcel(&mut self, apart: Apart) {
        self.parcel = Some(Parcel { bytes: Vec::new(), wanted: apart.bytes, at: apart.at });
        self.fill_parcel();
    }

    /// Takes in what came: into the parcel, if there is one, and into the input.
    #[inline]
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        let rest = if self.parcel.is_some() { self.receive_parcel(bytes) } else { bytes };
        self.input.extend_from_slice(rest);
    }

    #[inline(never)]
    fn receive_parcel<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let Some(parcel) = &mut self.parcel else { return bytes };
        match parcel.take(bytes) {
            Ok(count) => &bytes[count..],
            Err(_) => {
                self.give_up();
                &[]
            }
        }
    }

    /// Moves what belongs to the parcel there from the input.
    pub(super) fn fill_parcel(&mut self) {
        let Some(parcel) = self.parcel.as_mut().filter(|parcel| !parcel.is_full()) else { return };
        let from = self.start + parcel.at;
        match parcel.take(&self.input[from..]) {
            Ok(count) => drop(self.input.drain(from..from + count)),
            Err(_) => self.give_up(),
        }
    }

    /// Ends the session, as there is no memory for what it sends.
    #[cold]
    fn give_up(&mut self) {
        self.parcel = None;
        self.client.closing = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parcel_is_as_large_as_what_has_come_asks_for() {
        let wanted = 40 << 20;
        let mut parcel = Parcel { bytes: Vec::new(), wanted, at: 0 };
        assert_eq!(parcel.take(b"").unwrap(), 0);
        assert_eq!(parcel.memory_bytes(), 0, "what is only announced costs nothing");
        let part = vec![7; 10_000];
        while !parcel.is_full() {
            let count = parcel.take(&part).unwrap();
            assert!(count == part.len() || parcel.is_full());
            let most = (parcel.len() * RESERVE_FACTOR).max(RESERVE_BYTES_MIN);
            assert!(
                parcel.memory_bytes() <= most.min(wanted),
                "{} of {}",
                parcel.memory_bytes(),
                parcel.len()
            );
        }
        assert_eq!(parcel.take(b"more").unwrap(), 0);
        let bytes = parcel.into_bytes();
        assert!(bytes.len() == wanted && bytes.capacity() == wanted && bytes.iter().all(|byte| *byte == 7));
    }
}
