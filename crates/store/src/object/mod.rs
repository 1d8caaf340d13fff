//! The values that have members: hashes, lists, sets and sorted sets.
//!
//! Each starts packed in one allocation and becomes a real structure when it outgrows its [`Limits`]; it never knows
//! its key, its expiry or a protocol. Nothing here does I/O, reads a clock or rolls dice: who needs a random member
//! hands a source of random numbers in.
//!
//! Read in this order: [`packed`] (the small form of everything), `arena` (memory of grown members), `table` (their
//! index by name), `tree` (their order by score), then [`Hash`] (and `timetable`), [`Set`], [`SortedSet`] and [`List`].
//! Members are named by 4-byte handles into an arena, not by pointers. The large parts are [`shared`]: a clone of a grown
//! value shares them with it until one of the two changes.

mod arena;
mod hash;
mod intset;
mod list;
pub mod packed;
mod set;
mod shared;
pub mod stream;
mod table;
mod timetable;
mod tree;
mod zset;

pub use hash::Hash;
pub use list::{End, List};
pub use packed::{Adopted, Digits, Element};
pub use set::Set;
pub use stream::Stream;
pub use timetable::FIELD_DEADLINE_MAX_MS;
pub use zset::SortedSet;

/// A source of uniformly random 64-bit numbers, handed in by who may roll dice.
pub type Random<'a> = &'a mut dyn FnMut() -> u64;

/// When a packed value becomes a real structure. Each field is the Redis directive of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `hash-max-listpack-entries`: fields of a packed hash. Default 512.
    pub hash_max_listpack_entries: usize,
    /// `hash-max-listpack-value`: bytes of a field or value of a packed hash. Default 64.
    pub hash_max_listpack_value: usize,
    /// `list-max-listpack-size`: of a list's node: -1 to -5 = 4, 8, 16, 32, 64 KB; positive = elements. Default -2.
    pub list_max_listpack_size: i32,
    /// `set-max-intset-entries`: members of a set of integers only. Default 512.
    pub set_max_intset_entries: usize,
    /// `set-max-listpack-entries`: members of a packed set. Default 128.
    pub set_max_listpack_entries: usize,
    /// `set-max-listpack-value`: bytes of a member of a packed set. Default 64.
    pub set_max_listpack_value: usize,
    /// `zset-max-listpack-entries`: members of a packed sorted set. Default 128.
    pub zset_max_listpack_entries: usize,
    /// `zset-max-listpack-value`: bytes of a member of a packed sorted set. Default 64.
    pub zset_max_listpack_value: usize,
    /// `stream-node-max-bytes`: bytes of a stream's node; 0 is no limit. Default 4096.
    pub stream_node_max_bytes: usize,
    /// `stream-node-max-entries`: entries of a stream's node; 0 is no limit. Default 100.
    pub stream_node_max_entries: usize,
    /// Seed of the hash function of grown values: random per process, so that nobody can choose colliding members.
    pub hash_seed: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            hash_max_listpack_entries: 512,
            hash_max_listpack_value: 64,
            list_max_listpack_size: -2,
            set_max_intset_entries: 512,
            set_max_listpack_entries: 128,
            set_max_listpack_value: 64,
            zset_max_listpack_entries: 128,
            zset_max_listpack_value: 64,
            stream_node_max_bytes: 4096,
            stream_node_max_entries: 100,
            hash_seed: 0,
        }
    }
}

/// A random number below `bound` (which is not 0), without bias worth noting: the error is below bound / 2^64.
fn below(random: Random<'_>, bound: usize) -> usize {
    ((u128::from(random()) * bound as u128) >> 64) as usize
}

#[cfg(test)]
mod tests;
