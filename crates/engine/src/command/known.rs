//! The keys of a request as they were found and hashed while it was read, so that nobody has to do it again.

use super::Command;
use larder_protocol::resp::args::Args;
use larder_protocol::resp::request::ArgRange;
use larder_protocol::slot::slot_of;
use larder_store::{Key, PartitionId, Store};

/// Where a key lies among the bytes of its request, and what was computed of it.
#[derive(Clone, Copy, Debug)]
pub struct KeyAt {
    range: ArgRange,
    hash: u32,
    slot: u16,
}

impl KeyAt {
    /// The key that these bytes of `input` are.
    #[inline]
    pub fn new(store: &Store, input: &[u8], range: std::ops::Range<usize>) -> KeyAt {
        let bytes = &input[range.clone()];
        let slot = slot_of(bytes);
        let hash = store.key(bytes, slot).hash;
        KeyAt { range: ArgRange::new(range.start as u32, bytes.len() as u32), hash, slot }
    }

    /// The key, whose bytes are in `input`.
    #[inline]
    pub fn key<'k>(&self, input: &'k [u8]) -> Key<'k> {
        let start = self.range.start();
        Key { bytes: &input[start..start + self.range.len()], slot: self.slot, hash: self.hash }
    }

    /// Finds the keys of a request and appends them to `keys`. O(arguments).
    #[inline]
    pub fn find(store: &Store, command: &Command, args: &Args<'_>, keys: &mut Vec<KeyAt>) {
        command.each_key(args, |at| {
            let Some(range) = args.range(at) else { return };
            let key = args.get(at);
            let slot = slot_of(key);
            keys.push(KeyAt { range, hash: store.key(key, slot).hash, slot });
        });
    }

    /// The key as the store takes it where it needs no bytes: to look ahead.
    #[inline]
    pub fn hashed(&self) -> Key<'static> {
        Key { bytes: &[], slot: self.slot, hash: self.hash }
    }
}

/// What is known of the keys of one request: all of them in the order of the command table, or nothing.
#[derive(Debug, Default)]
pub struct Known<'a> {
    bytes: &'a [u8],
    keys: &'a [KeyAt],
}

impl<'a> Known<'a> {
    /// Nothing is known.
    pub const NOTHING: Known<'static> = Known { bytes: &[], keys: &[] };

    /// `keys` were found in a request with these arguments.
    #[inline]
    pub fn new(args: &Args<'a>, keys: &'a [KeyAt]) -> Known<'a> {
        Known { bytes: args.bytes(), keys }
    }

    /// How many keys are known.
    #[inline]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// True if nothing is known.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The partitions of the keys.
    #[inline]
    pub fn partitions(&self, store: &Store) -> impl ExactSizeIterator<Item = PartitionId> {
        self.keys.iter().map(|key| store.partition_of(key.slot))
    }

    /// Hash and slot of the key that these bytes are: the very bytes of the request, not equal ones elsewhere. `next` says where to look
    /// first, and is moved on: most commands go through their keys in order.
    #[inline(always)]
    pub fn get(&self, bytes: &[u8], next: &mut u32) -> Option<(u32, u16)> {
        let key = match self.keys.get(*next as usize) {
            Some(key) if self.is(key, bytes) => key,
            _ => self.look_around(bytes, next)?,
        };
        Some((key.hash, key.slot))
    }

    #[inline(always)]
    fn is(&self, key: &KeyAt, bytes: &[u8]) -> bool {
        let offset = bytes.as_ptr().addr().wrapping_sub(self.bytes.as_ptr().addr());
        key.range.start() == offset && key.range.len() == bytes.len()
    }

    #[inline(never)]
    fn look_around(&self, bytes: &[u8], next: &mut u32) -> Option<&'a KeyAt> {
        let is = |at: &u32| self.keys.get(*at as usize).is_some_and(|key| self.is(key, bytes));
        *next = [*next + 1, 0].into_iter().find(is)?;
        self.keys.get(*next as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Table, families};
    use larder_protocol::resp::args::OwnedArgs;

    #[test]
    fn keys_are_known_by_where_they_are() {
        let store = Store::new(&larder_store::Config::new(7, 0));
        let table = Table::new(families());
        let owned = OwnedArgs::copy([&b"mset"[..], b"a", b"1", b"{a}b", b"2", b"a", b"a"]);
        let (args, mut keys) = (owned.view(), Vec::new());
        KeyAt::find(&store, table.get(b"mset").unwrap(), &args, &mut keys);
        let (known, mut next) = (Known::new(&args, &keys), 0);
        assert_eq!(known.len(), 3);
        for at in [1, 3, 3, 5, 1] {
            let found = known.get(args.get(at), &mut next);
            let expected = store.key(args.get(at), slot_of(args.get(at)));
            assert_eq!(found, Some((expected.hash, expected.slot)));
        }
        assert!(
            known.get(args.get(6), &mut next).is_none(),
            "a value is no key, though it has the same bytes"
        );
        assert!(known.get(b"a", &mut next).is_none());
        assert!(Known::NOTHING.get(b"", &mut next).is_none());
    }
}
