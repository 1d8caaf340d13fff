//! What an item holds, as its users see it: values on their way in, in place and taken out, and what a key carries beside its
//! value. How it lies in memory is up to `item`.

use crate::object::{Hash, List, Set, SortedSet, Stream};

/// A value on its way into an item.
#[derive(Debug)]
pub enum Value<'a> {
    /// A string, copied.
    String(&'a [u8]),
    /// A string that is the decimal form of an integer.
    Integer(i64),
    /// A long string, moved.
    Long(Vec<u8>),
    /// A hash.
    Hash(Box<Hash>),
    /// A list.
    List(Box<List>),
    /// A set.
    Set(Box<Set>),
    /// A sorted set.
    SortedSet(Box<SortedSet>),
    /// A stream.
    Stream(Box<Stream>),
}

/// A value in place.
#[derive(Debug)]
pub enum ValueRef<'a> {
    /// A string.
    String(&'a [u8]),
    /// A string that is the decimal form of this integer.
    Integer(i64),
    /// A hash.
    Hash(&'a Hash),
    /// A list.
    List(&'a List),
    /// A set.
    Set(&'a Set),
    /// A sorted set.
    SortedSet(&'a SortedSet),
    /// A stream.
    Stream(&'a Stream),
}

/// A value in place, to be changed. A string that gets another length is replaced, through the partition.
#[derive(Debug)]
pub enum ValueMut<'a> {
    /// A string inside its item: its bytes may change, not their number.
    Inline(&'a mut [u8]),
    /// A string that is the decimal form of an integer.
    Integer(IntegerMut<'a>),
    /// A long string, which can be changed in place.
    Long(&'a mut Vec<u8>),
    /// A hash.
    Hash(&'a mut Hash),
    /// A list.
    List(&'a mut List),
    /// A set.
    Set(&'a mut Set),
    /// A sorted set.
    SortedSet(&'a mut SortedSet),
    /// A stream.
    Stream(&'a mut Stream),
}

/// A string that is the decimal form of an integer, in place.
#[derive(Debug)]
pub struct IntegerMut<'a>(pub(super) &'a mut [u8; 8]);

impl IntegerMut<'_> {
    /// The integer.
    #[inline]
    pub fn get(&self) -> i64 {
        i64::from_le_bytes(*self.0)
    }

    /// Sets it.
    #[inline]
    pub fn set(&mut self, n: i64) {
        *self.0 = n.to_le_bytes();
    }
}

/// A value taken out of its item.
#[derive(Debug)]
pub enum Owned {
    /// A string.
    Bytes(Vec<u8>),
    /// A string that is the decimal form of an integer.
    Integer(i64),
    /// A hash.
    Hash(Box<Hash>),
    /// A list.
    List(Box<List>),
    /// A set.
    Set(Box<Set>),
    /// A sorted set.
    SortedSet(Box<SortedSet>),
    /// A stream.
    Stream(Box<Stream>),
}

impl From<Owned> for Value<'_> {
    fn from(owned: Owned) -> Self {
        match owned {
            Owned::Bytes(bytes) => Value::Long(bytes),
            Owned::Integer(n) => Value::Integer(n),
            Owned::Hash(hash) => Value::Hash(hash),
            Owned::List(list) => Value::List(list),
            Owned::Set(set) => Value::Set(set),
            Owned::SortedSet(set) => Value::SortedSet(set),
            Owned::Stream(stream) => Value::Stream(stream),
        }
    }
}

/// What an item carries beside key and value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// When the key dies, in Unix milliseconds.
    pub deadline: Option<u64>,
    /// Memcached client flags; zero takes no room.
    pub flags: u32,
    /// Memcached CAS unique; zero (never asked for) takes no room.
    pub cas: u64,
    /// A string that was put together in place (APPEND, SETRANGE, SETBIT) instead of set. Takes no room.
    pub raw: bool,
    /// Memcached: what the meta commands remember of an item. Only strings have one; the usual one takes no room.
    pub state: State,
}

/// What Memcached's meta commands remember of an item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Its value is known to be out of date.
    pub stale: bool,
    /// One client has been told to fetch it anew.
    pub won: bool,
}

impl State {
    pub(super) fn is_usual(self) -> bool {
        self == State::default()
    }

    pub(super) fn byte(self) -> u8 {
        u8::from(self.stale) | u8::from(self.won) << 1
    }

    pub(super) fn of(byte: u8) -> State {
        State { stale: byte & 1 != 0, won: byte & 2 != 0 }
    }
}
