//! Storing a value by the rules of the meta and the binary protocol: with a CAS unique to compare, one to give the item,
//! one to tell the client, and what to do about a key that is not there.

use super::counters::Counter;
use super::detail::Event;
use super::item::{admit_value, join_values, put, string, value_of};
use super::watch::Stored;
use super::{DB, Turn};
use larder_protocol::memcache::request::item_bytes;
use larder_store::{Extras, Key, Partition, State};
use std::borrow::Cow;

/// Which keys a value is stored under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Any.
    Set,
    /// One that is not there.
    Add,
    /// One that is there.
    Replace,
    /// Behind what is there.
    Append,
    /// Before what is there.
    Prepend,
}

/// What is to be stored, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keep {
    pub(super) mode: Mode,
    pub(super) flags: u32,
    pub(super) deadline: Option<u64>,
    /// The item must have this CAS unique.
    pub(super) compare: Option<u64>,
    /// The item gets this CAS unique; 0 = a new one.
    pub(super) new_cas: u64,
    /// The client is told the CAS unique.
    pub(super) tell_cas: bool,
    /// Append and prepend make an item with this deadline where there is none.
    pub(super) vivify: Option<Option<u64>>,
    /// An item that has changed since is replaced all the same, and marked as out of date.
    pub(super) invalidate: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// Stored.
    Stored {
        /// The CAS unique, if it was to be told.
        cas: u64,
        /// Length of the whole value.
        size: usize,
    },
    /// The mode forbids it.
    NotStored,
    /// Another CAS unique.
    Exists,
    /// To be compared, and not there.
    NotFound,
    /// No memory.
    NoMemory,
    /// Together with what is there it would be too large.
    TooLarge,
}

impl Kept {
    /// What it is in the lines of `watch`.
    fn status(self) -> &'static str {
        match self {
            Kept::Stored { .. } => "stored",
            Kept::NotStored => "not_stored",
            Kept::Exists => "exists",
            Kept::NotFound => "not_found",
            Kept::NoMemory => "no_memory",
            Kept::TooLarge => "too_large",
        }
    }
}

impl Keep {
    /// What it is in the lines of `watch`.
    fn command(&self) -> &'static str {
        match self.mode {
            Mode::Set if self.compare.is_some() => "cas",
            Mode::Set => "set",
            Mode::Add => "add",
            Mode::Replace => "replace",
            Mode::Append => "append",
            Mode::Prepend => "prepend",
        }
    }
}

impl Turn<'_> {
    /// The CAS unique of an item as clients are to see it: one that never got any is newer than all that were told.
    pub(super) fn seen_cas(&self, extras: &Extras) -> u64 {
        match extras.cas {
            0 => self.shared.last_cas().saturating_add(1),
            cas => cas,
        }
    }

    /// True if this is the CAS unique of the item. No item has 0, which clients may compare with all the same, unless none
    /// gets a CAS unique.
    pub(super) fn is_same_cas(&self, extras: &Extras, compare: u64) -> bool {
        extras.cas == compare && (compare != 0 || self.shared.rules().cas_disabled)
    }

    /// The CAS unique that a changed item gets.
    pub(super) fn cas_for(&self, new_cas: u64, told: bool) -> u64 {
        match (new_cas, told) {
            _ if self.shared.rules().cas_disabled => 0,
            (0, true) => self.shared.next_cas(),
            (cas, _) => cas,
        }
    }
}

/// Stores a value.
pub(super) fn keep(
    turn: &mut Turn<'_>,
    partition: &mut Partition,
    key: &Key<'_>,
    wish: &Keep,
    data: Cow<'_, [u8]>,
) -> Kept {
    turn.watch_fetch(partition, key);
    let bytes = data.len();
    let kept = keep_held(turn, partition, key, wish, data);
    let stored = Stored { status: kept.status(), command: wish.command(), deadline: wish.deadline, bytes };
    turn.watch_store(partition, key, &stored);
    kept
}

fn keep_held(
    turn: &mut Turn<'_>,
    partition: &mut Partition,
    key: &Key<'_>,
    wish: &Keep,
    data: Cow<'_, [u8]>,
) -> Kept {
    let sent = data.len();
    turn.count(Counter::CmdSet);
    turn.detail(key.bytes, Event::Set);
    if turn.memory_full {
        turn.count(Counter::StoreNoMemory);
        if wish.mode == Mode::Set {
            super::item::remove(turn, partition, key);
        }
        return Kept::NoMemory;
    }
    let there = partition.peek(DB, key, turn.now);
    let old = there.as_ref().map(larder_store::ItemRef::extras);
    let mut stale = false;
    if let Some(compare) = wish.compare {
        match old {
            None if matches!(wish.mode, Mode::Add | Mode::Append | Mode::Prepend) => {} // has an answer of its own
            None => {
                turn.count(Counter::CasMisses);
                return Kept::NotFound;
            }
            Some(_) if wish.mode == Mode::Add => return Kept::NotStored,
            Some(old) if turn.is_same_cas(&old, compare) => turn.count(Counter::CasHits),
            Some(old) => {
                let replaces = matches!(wish.mode, Mode::Set | Mode::Replace);
                stale = wish.invalidate && replaces && compare != 0 && compare < turn.seen_cas(&old);
                if !stale {
                    turn.count(Counter::CasBadval);
                    return Kept::Exists;
                }
            }
        }
    }
    let cas = |turn: &Turn<'_>| turn.cas_for(wish.new_cas, wish.tell_cas);
    // What is out of date already lives no longer than what it replaces, and whoever is to fetch it anew still is.
    let inherited = old.filter(|_| stale);
    let extras = Extras {
        deadline: inherited.map_or(wish.deadline, |old| old.deadline),
        flags: wish.flags,
        state: State { stale, won: inherited.is_some_and(|old| old.state.won) },
        ..Extras::default()
    };
    match (wish.mode, old) {
        (Mode::Add, Some(_)) => return Kept::NotStored,
        (Mode::Replace, None) => return Kept::NotStored,
        (Mode::Append | Mode::Prepend, None) => {
            let Some(deadline) = wish.vivify else { return Kept::NotStored };
            let cas = cas(turn);
            put(turn, partition, key, value_of(data), Extras { deadline, cas, ..extras });
            turn.count(Counter::TotalItems);
            return Kept::Stored { cas, size: sent };
        }
        (Mode::Append | Mode::Prepend, Some(old)) => {
            let mut digits = itoa::Buffer::new();
            let Some(item) = there else { return Kept::NotStored };
            let now = item.value();
            let Some(bytes) = string(&now, &mut digits) else { return Kept::NotStored };
            let size = item_bytes(key.bytes.len(), bytes.len() + sent, old.flags);
            if size > turn.shared.item_size_max() {
                return Kept::TooLarge;
            }
            let size = bytes.len() + sent;
            let cas = cas(turn);
            let extras = Extras { cas, state: State::default(), ..old };
            join_values(turn, partition, key, &data, wish.mode == Mode::Prepend, extras);
            turn.count(Counter::TotalItems);
            return Kept::Stored { cas, size };
        }
        _ => {}
    }
    if !admit_value(turn, key, sent, wish.flags) {
        if wish.mode == Mode::Set {
            super::item::remove(turn, partition, key); // what was to be replaced must not be read any more
        }
        return Kept::TooLarge;
    }
    let cas = cas(turn);
    put(turn, partition, key, value_of(data), Extras { cas, ..extras });
    turn.count(Counter::TotalItems);
    Kept::Stored { cas, size: sent }
}
