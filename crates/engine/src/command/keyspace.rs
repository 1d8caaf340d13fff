//! The one door to the keys of a command.
//!
//! The dispatcher locks the partitions of a command's keys and hands them over as a [`Keyspace`]. Expiry, access
//! times, hits and misses, watches and the count of changes happen behind this door, so no command can forget them.
//! A key that was not declared in the command table is not there.

use super::locked::{Held, Locked};
use super::table::flag;
use super::{Command, CommandError, Known};
use crate::advise::{self, Value as Seen};
use crate::log::Effects;
use crate::node::Node;
use crate::notify::{Classes, Event};
use crate::prefixes::Outcome;
use larder_protocol::resp::args::Args;
use larder_protocol::slot::slot_of;
use larder_store::object::{Hash, Limits, List, Set, SortedSet, Stream};
use larder_store::partition::access::Access;
use larder_store::{
    Cleared, Extras, IntegerMut, ItemRef, Key, Now, Owned, Partition, PartitionId, Reason, Removed, Store,
    Value, ValueMut, ValueRef, Watcher,
};
use std::cell::Cell;

/// Values larger than this many members or bytes are dropped by the background, not by who removed them.
const LARGE: usize = 4096;

/// What a key holds for commands that count.
pub enum Counter<'a> {
    /// There is no such key.
    Missing,
    /// A string that is an integer, to be changed in place.
    Integer(IntegerMut<'a>),
    /// Anything else, or an integer with the CAS unique of Memcached, which a change has to take away.
    Other,
}

/// The keys of a command.
pub struct Keyspace<'a> {
    store: &'a Store,
    locked: Locked<'a>,
    db: u16,
    now: Now,
    /// What handlers take for the time: that of `now`, but for commands of a log.
    clock_ms: u64,
    access: Access,
    known: &'a Known<'a>,
    /// Which of the known keys is probably the next.
    next: Cell<u32>,
    dirty: u64,
    /// Which events somebody wants to hear of.
    wanted: Classes,
    node: &'a Node,
    /// What is to be told when the command is over; made when there is anything.
    notes: Option<Box<Notes>>,
}

/// What a command has to tell.
#[derive(Default)]
struct Notes {
    /// The events that somebody wants to hear of.
    events: Vec<Event>,
    /// What goes to the log before, or instead of, the command itself.
    effects: Effects,
    /// What a reader of a hash sees where dead fields must stay until the primary removes them.
    living: Option<Hash>,
}

impl<'a> Keyspace<'a> {
    /// A door to locked partitions.
    #[inline(always)]
    pub fn new(
        node: &'a Node,
        locked: Locked<'a>,
        known: &'a Known<'a>,
        db: u16,
        now: Now,
        access: Access,
    ) -> Keyspace<'a> {
        // Of partitions that are lent; who locks some asks again.
        let (store, wanted) = (&node.store, node.wanted());
        let (clock_ms, next) = (now.ms, Cell::new(0));
        Keyspace {
            store,
            locked,
            db,
            now,
            clock_ms,
            access,
            known,
            next,
            dirty: 0,
            wanted,
            node,
            notes: None,
        }
    }

    /// The time of the command: Unix milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.clock_ms
    }

    /// True if a deadline has passed. Within a log nothing has, until the log says so, and in import mode until that is over.
    pub fn has_passed(&self, deadline: u64) -> bool {
        deadline <= self.now.ms && !self.imports()
    }

    /// True on a primary in import mode.
    pub fn imports(&self) -> bool {
        self.wanted.meets(Classes::IMPORT)
    }

    /// The command comes from a log, or from who imports: nothing dies before these say so.
    pub fn without_expiry(&mut self) {
        self.now = Now { ms: 0 };
    }

    /// True if [`Keyspace::without_expiry`] was said.
    pub fn is_without_expiry(&self) -> bool {
        self.now.ms != self.clock_ms
    }

    /// The database in use.
    pub fn db(&self) -> u16 {
        self.db
    }

    /// Number of databases.
    pub fn databases(&self) -> u16 {
        self.store.databases()
    }

    /// The same door to another database (MOVE, COPY DB, SELECT within MULTI).
    pub fn select(&mut self, db: u16) {
        self.db = db;
    }

    /// Locks what the command needs, and then asks what is wanted: who begins to want something holds all partitions, so
    /// an answer from before the locks were taken may be too old, and what the command does would never be told.
    /// Partitions are locked where they stand: to move a lock costs more than to take it.
    #[inline(always)]
    pub(super) fn lock(&mut self, take: impl FnOnce(&mut Locked<'a>) -> bool) -> bool {
        let wakes = take(&mut self.locked);
        self.wanted = self.node.wanted();
        wakes
    }

    /// The partitions that are held, for who goes on with them.
    pub fn locked(&mut self) -> &mut (dyn Held + 'a) {
        &mut self.locked
    }

    /// How a use of a key is noted.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Changes made so far: what `rdb_changes_since_last_save` and, later, the log count.
    pub fn dirty(&self) -> u64 {
        self.dirty
    }

    #[inline(always)]
    fn key<'k>(&self, bytes: &'k [u8]) -> Key<'k> {
        let mut next = self.next.get();
        let known = self.known.get(bytes, &mut next);
        self.next.set(next);
        // In pieces that fit in registers: a key that was put together in memory is slow to be moved.
        let (hash, slot) = match known {
            Some(found) => found,
            None => self.unknown_key(bytes),
        };
        Key { bytes, slot, hash }
    }

    #[inline(never)]
    fn unknown_key(&self, bytes: &[u8]) -> (u32, u16) {
        let key = self.store.key(bytes, slot_of(bytes));
        (key.hash, key.slot)
    }

    #[inline(always)]
    fn open<'k>(&mut self, bytes: &'k [u8]) -> Option<(Key<'k>, &mut Partition)> {
        let key = self.key(bytes);
        let partition = self.locked.get(self.store.partition_of(key.slot));
        debug_assert!(partition.is_some(), "the table does not declare this key");
        Some((key, partition?))
    }

    /// Reads a key: counts a hit or a miss and notes the access. O(1).
    #[inline]
    pub fn read(&mut self, key: &[u8]) -> Option<ItemRef<'_>> {
        let (db, now, access) = (self.db, self.now, self.access);
        if self.wanted.meets(Classes::KEYMISS | Classes::DOOR) {
            self.note_read(key);
        }
        let (key, partition) = self.open(key)?;
        partition.read(db, &key, now, access)
    }

    /// Reads a key without noting the access, but counts a hit or a miss (TTL, EXISTS, TYPE). O(1).
    pub fn read_untouched(&mut self, key: &[u8]) -> Option<ItemRef<'_>> {
        let silent = self.access.silent();
        let access = std::mem::replace(&mut self.access, silent);
        let found = self.read(key).is_some();
        self.access = access;
        if found { self.peek(key) } else { None }
    }

    /// Looks at a key without leaving a trace. O(1).
    pub fn peek(&self, key: &[u8]) -> Option<ItemRef<'_>> {
        let key = self.key(key);
        self.locked.peek(self.store.partition_of(key.slot))?.peek(self.db, &key, self.now)
    }

    /// Hints the processor to load what reading these keys will touch, so that the waits for memory overlap. Few keys, which
    /// are read at once.
    pub fn ask_for(&self, keys: &[Vec<u8>]) {
        let keys: Vec<Key<'_>> = keys.iter().map(|bytes| self.key(bytes)).collect();
        keys.iter().for_each(|key| self.store.prefetch_bucket(key));
        let partition = |key: &Key<'_>| self.locked.peek(self.store.partition_of(key.slot));
        let late = |key: &&Key<'_>| partition(key).is_some_and(|held| held.prefetch_item(self.db, key));
        for key in keys.iter().filter(late).collect::<Vec<_>>() {
            partition(key).into_iter().for_each(|held| held.prefetch_overflow(self.db, key));
        }
    }

    /// Why a key is not there, as far as that is known. One whose time is over has expired, reclaimed or not.
    pub fn reason(&self, key: &[u8]) -> Option<Reason> {
        let key = self.key(key);
        let partition = self.locked.peek(self.store.partition_of(key.slot))?;
        partition.reason(self.db, &key, self.now)
    }

    /// The value of a key, without leaving a trace.
    pub fn peek_value(&self, key: &[u8]) -> Option<ValueRef<'_>> {
        self.peek(key).map(|item| item.value())
    }

    /// True if the key exists; leaves no trace.
    pub fn exists(&self, key: &[u8]) -> bool {
        self.peek(key).is_some()
    }

    /// A value to be changed in place; say [`Keyspace::changed`] afterwards. O(1).
    #[inline]
    pub fn write(&mut self, key: &[u8]) -> Option<ValueMut<'_>> {
        let (db, now, access) = (self.db, self.now, self.access);
        let (key, partition) = self.open(key)?;
        partition.write(db, &key, now, access).map(|item| item.into_value())
    }

    /// What stands where a counter is wanted; say [`Keyspace::changed`] after changing it. O(1).
    #[inline]
    pub fn counter(&mut self, key: &[u8]) -> Counter<'_> {
        let (db, now, access) = (self.db, self.now, self.access);
        let Some((key, partition)) = self.open(key) else { return Counter::Missing };
        let Some(mut item) = partition.write(db, &key, now, access) else { return Counter::Missing };
        if item.item().has_cas() {
            return Counter::Other;
        }
        match item.into_value() {
            ValueMut::Integer(integer) => Counter::Integer(integer),
            _ => Counter::Other,
        }
    }

    /// Sets a key to a value, whatever was there; counts as a change. O(1) and the copy of the value.
    #[inline]
    pub fn set(&mut self, key: &[u8], value: Value<'_>, extras: Extras) {
        let (db, access) = (self.db, self.access);
        self.dirty += 1;
        self.notify_new(key);
        // One that is kept by a change of the value is not set.
        if self.wanted.meets(Classes::OWN) && self.deadline(key) != Some(extras.deadline) {
            self.note_deadline(key, extras.deadline);
        }
        if let Some((key, partition)) = self.open(key) {
            free(partition.set(db, &key, value, extras, access));
        }
        self.note_written(key);
    }

    /// Stores the same value in another form, as clients see it by OBJECT ENCODING: no change. Nothing if there is no key.
    pub fn recode(&mut self, key: &[u8], value: Value<'_>, extras: Extras) {
        let db = self.db;
        if let Some((key, partition)) = self.open(key) {
            free(partition.recode(db, &key, value, extras));
        }
    }

    /// Puts a value at a key that does not exist, as used when `access` says (RESTORE); counts as a change.
    pub fn restore(&mut self, key: &[u8], value: Value<'_>, extras: Extras, access: Access) {
        let own = std::mem::replace(&mut self.access, access);
        self.set(key, value, extras);
        self.access = own;
    }

    /// Sets a key to a string and forgets its deadline.
    pub fn set_string(&mut self, key: &[u8], bytes: &[u8]) {
        self.set(key, string_value(bytes), Extras::default());
    }

    /// Gives an existing key another deadline; false if there is none. A deadline that has passed removes the key.
    pub fn set_deadline(&mut self, key: &[u8], deadline: Option<u64>) -> bool {
        let (db, now) = (self.db, self.now);
        if deadline.is_some_and(|deadline| self.has_passed(deadline)) {
            return self.remove(key);
        }
        let bytes = key;
        let Some((key, partition)) = self.open(key) else { return false };
        let Some(item) = partition.peek(db, &key, now) else { return false };
        let extras = Extras { deadline, ..item.extras() };
        let done = partition.set_extras(db, &key, extras, now);
        if done {
            self.dirty += 1;
            self.notify(Classes::CHANGES, "", bytes);
            self.note_deadline(bytes, deadline);
        }
        done
    }

    /// The deadline of a key that is there, or is kept although its time is over, as in import mode.
    pub fn deadline(&self, key: &[u8]) -> Option<Option<u64>> {
        let now = if self.imports() { Now { ms: 0 } } else { self.now };
        let key = self.key(key);
        let partition = self.locked.peek(self.store.partition_of(key.slot))?;
        partition.peek(self.db, &key, now).map(|item| item.deadline())
    }

    /// Removes a key; true if it was there. Counts as a change. A large value is freed in the background.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        self.take(key).map(|removed| free(Some(removed))).is_some()
    }

    /// Removes a key that a command had nothing to store at, and tells so; true if it was there.
    pub fn remove_and_notify(&mut self, key: &[u8]) -> bool {
        let removed = self.remove(key);
        if removed {
            self.notify(Classes::GENERIC, "del", key);
        }
        removed
    }

    /// Takes a key out with its value. Counts as a change.
    pub fn take(&mut self, bytes: &[u8]) -> Option<Removed> {
        let (db, now) = (self.db, self.now);
        let (key, partition) = self.open(bytes)?;
        let removed = partition.remove(db, &key, now)?;
        self.dirty += 1;
        self.note_deadline(bytes, None);
        self.note_written(bytes);
        Some(removed)
    }

    /// Says that a value was changed in place: watchers are told.
    pub fn changed(&mut self, key: &[u8]) {
        let db = self.db;
        self.dirty += 1;
        self.note_written(key);
        if let Some((key, partition)) = self.open(key) {
            partition.changed(db, &key);
        }
    }

    /// The same for a hash whose fields have, or had, deadlines: it is also noted when to look at it again, and how
    /// many fields went because their new deadline had passed already.
    pub fn fields_changed(&mut self, key: &[u8], expired: u64) {
        let db = self.db;
        self.dirty += 1;
        self.note_written(key);
        if let Some((key, partition)) = self.open(key) {
            partition.changed(db, &key);
            partition.fields_changed(db, &key);
            partition.count_expired_fields(expired);
        }
    }

    /// Marks a watcher when a key changes, until that is ended at its partition.
    pub fn watch(&mut self, key: &[u8], watcher: &Watcher) {
        let (db, now) = (self.db, self.now());
        if let Some((key, partition)) = self.open(key) {
            partition.watch(db, &key, watcher, now);
        }
    }

    /// Says that something about a value changed that is no change to those who watch the key (a group of a stream),
    /// but may be one to those who wait for it.
    pub fn touched(&mut self, key: &[u8]) {
        self.dirty += 1;
        self.notify(Classes::CHANGES, "", key);
    }

    /// Removes a collection that has become empty, and tells so.
    pub fn drop_if_empty(&mut self, key: &[u8]) {
        let empty = match self.peek_value(key) {
            Some(ValueRef::Hash(hash)) => hash.is_empty(),
            Some(ValueRef::List(list)) => list.is_empty(),
            Some(ValueRef::Set(set)) => set.is_empty(),
            Some(ValueRef::SortedSet(set)) => set.is_empty(),
            _ => false,
        };
        if empty {
            self.take(key);
            self.notify(Classes::GENERIC, "del", key);
        }
    }

    /// A value to be changed in place, made by `make` if the key does not exist.
    #[inline]
    fn write_or_create(&mut self, key: &[u8], make: fn() -> Value<'static>) -> Option<ValueMut<'_>> {
        let (db, now, access) = (self.db, self.now, self.access);
        self.notify_new(key);
        let (key, partition) = self.open(key)?;
        partition.write_or_create(db, &key, now, access, make).map(|item| item.into_value())
    }

    fn create(&mut self, key: &[u8], value: Value<'_>) {
        let (db, access) = (self.db, self.access);
        self.notify_new(key);
        if let Some((key, partition)) = self.open(key) {
            free(partition.set(db, &key, value, Extras::default(), access));
        }
    }

    /// Says what happened to a key, after it happened. The event goes out when the command is over. One branch while
    /// nobody wants to hear of it.
    #[inline]
    pub fn notify(&mut self, class: Classes, event: &'static str, key: &[u8]) {
        if self.wanted.meets(class) {
            self.note_event(class, event, key);
        }
    }

    /// Tells that a key is about to be made, if it is.
    #[inline]
    fn notify_new(&mut self, key: &[u8]) {
        if self.wanted.meets(Classes::NEW) {
            self.note_if_missing(Classes::NEW, "new", key);
        }
    }

    /// A key is about to be read, and somebody wants to hear of it.
    #[cold]
    #[inline(never)]
    fn note_read(&mut self, key: &[u8]) {
        if self.wanted.meets(Classes::KEYMISS) {
            self.note_if_missing(Classes::KEYMISS, "keymiss", key);
        }
        if self.wanted.meets(Classes::PREFIXES) {
            let outcome = if self.exists(key) { Outcome::Hit } else { Outcome::Miss(self.reason(key)) };
            self.node.prefixes.note(key, outcome);
        }
        if self.wanted.meets(Classes::ADVICE) {
            self.note_advice(key, |keys| match keys.peek(key) {
                Some(item) => advise::Event::Hit(Seen::of(&item)),
                None => advise::Event::Miss(keys.reason(key)),
            });
        }
    }

    /// A value is there now, another one than before.
    #[inline]
    fn note_written(&mut self, key: &[u8]) {
        if self.wanted.meets(Classes::CHANGES | Classes::ADVICE) {
            self.note_change(key);
        }
    }

    #[cold]
    #[inline(never)]
    fn note_change(&mut self, key: &[u8]) {
        if self.wanted.meets(Classes::CHANGES) {
            self.note_event(Classes::CHANGES, "", key);
        }
        if self.wanted.meets(Classes::ADVICE) {
            self.note_advice(key, |keys| match keys.peek(key) {
                Some(item) => advise::Event::Written(Seen::of(&item)),
                None => advise::Event::Removed,
            });
        }
    }

    /// A replica that takes writes of its own has to end itself what these gave a deadline: its primary knows nothing of it.
    #[inline]
    fn note_deadline(&self, key: &[u8], deadline: Option<u64>) {
        // What comes without expiry is the primary's.
        if self.wanted.meets(Classes::OWN) && !self.is_without_expiry() {
            self.node.replication.own.note(self.db, key, deadline);
        }
    }

    fn note_advice(&self, key: &[u8], event: impl FnOnce(&Self) -> advise::Event) {
        let advisor = &self.node.advisor;
        if let Some(look) = advisor.look(&self.key(key), self.db, self.clock_ms) {
            let delimiter = self.node.settings().miss_prefix_delimiter;
            advisor.note(look, key, event(self), delimiter, self.clock_ms);
        }
    }

    #[cold]
    #[inline(never)]
    fn note_if_missing(&mut self, class: Classes, name: &'static str, key: &[u8]) {
        if !self.exists(key) {
            self.note_event(class, name, key);
        }
    }

    #[cold]
    #[inline(never)]
    fn note_event(&mut self, class: Classes, name: &'static str, key: &[u8]) {
        let event = Event { class, name, db: self.db, key: key.into() };
        self.notes.get_or_insert_default().events.push(event);
    }

    /// Notes which keys change from now on, because somebody waits for some of them.
    #[cold]
    pub fn note_changes(&mut self) {
        self.wanted = self.wanted | Classes::CHANGES;
    }

    /// True while somebody wants to hear of anything.
    #[inline]
    pub fn is_listened_to(&self) -> bool {
        !self.wanted.without(Classes::DOOR).is_empty()
    }

    /// Removes the keys of a command whose time is over, so that this is told before what the command does.
    #[cold]
    #[inline(never)]
    pub fn bury(&mut self, command: &Command, args: &Args<'_>) {
        let (db, now) = (self.db, self.now);
        // In import mode, and while writes are held back, only who writes to a key that is not there any more removes it.
        let imports = self.imports();
        if !command.is(flag::WRITE) && (imports || self.store.keeps_dead_from_reads()) {
            return self.note_gone();
        }
        if let Locked::One(_, guard) = &self.locked
            && !guard.has_deadlines(db)
        {
            return self.note_gone(); // where nothing has a deadline, nothing is looked up
        }
        command.each_key(args, |at| {
            let key = self.key(args.get(at));
            if let Some(partition) = self.locked.get(self.store.partition_of(key.slot)) {
                match imports {
                    true => partition.bury_kept(db, &key, now),
                    false => partition.bury(db, &key, now),
                }
            }
        });
        self.note_gone();
    }

    /// Notes the keys whose time was over in the partitions that are held.
    #[inline]
    fn note_gone(&mut self) {
        // Nearly always one partition is held, and nothing in it is over: each write asks twice while there is a log.
        match &self.locked {
            Locked::One(_, guard) if !guard.has_gone() => {}
            _ => self.note_all_gone(),
        }
    }

    #[cold]
    #[inline(never)]
    fn note_all_gone(&mut self) {
        let (notes, wanted) = (&mut self.notes, self.wanted);
        self.locked.visit(&mut |partition| {
            if !partition.has_gone() {
                return;
            }
            partition.take_gone().into_iter().for_each(|gone| {
                let notes = notes.get_or_insert_default();
                if wanted.meets(Classes::LOG) {
                    notes.effects.add_gone(&gone);
                }
                notes.events.extend(Event::of_gone(gone).filter(|event| wanted.meets(event.class)));
            });
        });
    }

    /// True while the log is on: then a handler whose effect is not that of its arguments says what it is.
    #[inline]
    pub fn is_logged(&self) -> bool {
        self.wanted.meets(Classes::LOG)
    }

    /// True if somebody wants to hear of events or changes, beside the log.
    #[inline]
    pub fn is_heard(&self) -> bool {
        !self.wanted.without(Classes::DOOR | Classes::LOG | Classes::IMPORT).is_empty()
    }

    /// Logs this instead of the command; said several times, all of it in one step. Nothing while the log is off.
    pub fn propagate(&mut self, args: &[&[u8]]) {
        self.propagate_in(self.db, args);
    }

    /// The same for another database than the one in use.
    pub fn propagate_in(&mut self, db: u16, args: &[&[u8]]) {
        if self.is_logged() {
            let effects = &mut self.notes.get_or_insert_default().effects;
            effects.decide();
            effects.add(db, args.iter().copied());
        }
    }

    /// The same with a command that was encoded already.
    pub fn propagate_encoded(&mut self, command: Vec<u8>) {
        if self.is_logged() {
            let (db, effects) = (self.db, &mut self.notes.get_or_insert_default().effects);
            effects.decide();
            effects.add_encoded(db, command);
        }
    }

    /// The command changed nothing that the log has to know of, unless [`Keyspace::propagate`] says what.
    pub fn propagate_nothing(&mut self) {
        if self.is_logged() {
            self.notes.get_or_insert_default().effects.decide();
        }
    }

    /// Takes what is to be logged of a command that ran in a database, in order.
    pub fn take_effects(&mut self, command: &Command, db: u16, args: &Args<'_>) -> Option<Effects> {
        self.note_gone();
        let changed = self.dirty > 0 && command.is(flag::WRITE);
        if !changed && self.notes.is_none() {
            return None;
        }
        let mut effects =
            self.notes.as_mut().map_or_else(Effects::default, |notes| std::mem::take(&mut notes.effects));
        if changed {
            effects.add_unless_decided(db, args);
        }
        (!effects.is_empty()).then_some(effects)
    }

    /// Logs what a command did in a database: most often the command itself. The partitions are still held. Answers
    /// the sequence number, if there was anything.
    pub fn log(
        &mut self,
        node: &Node,
        worker: usize,
        command: &Command,
        db: u16,
        args: &Args<'_>,
    ) -> Option<u64> {
        self.note_gone();
        if self.notes.is_none() {
            let changed = self.dirty > 0 && command.is(flag::WRITE);
            return changed.then(|| node.log.append_command(worker, db, args));
        }
        let effects = self.take_effects(command, db, args)?;
        Some(node.log.append_owned(worker, effects))
    }

    /// Takes the events that happened so far, in order.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.note_gone();
        self.notes.as_mut().map_or_else(Vec::new, |notes| std::mem::take(&mut notes.events))
    }

    /// Visits partitions one after another: the held ones, or all, locking each for the visit.
    pub fn each_partition(&mut self, mut visit: impl FnMut(PartitionId, &mut Partition)) {
        if !self.locked.each(&mut visit) {
            self.store.partitions().for_each(|id| visit(id, &mut self.store.lock(id)));
        }
    }

    /// Visits one partition, held or not.
    pub fn partition<T>(&mut self, id: PartitionId, visit: impl FnOnce(&mut Partition) -> T) -> T {
        match self.locked.get(id) {
            Some(guard) => visit(guard),
            None => visit(&mut self.store.lock(id)),
        }
    }

    /// The keyspace behind the door, for commands over all of it (SCAN, RANDOMKEY).
    pub fn store(&self) -> &'a Store {
        self.store
    }

    /// The time as the store takes it.
    pub fn now(&self) -> Now {
        self.now
    }

    /// Counts changes that were made through [`Keyspace::each_partition`].
    pub fn count_changes(&mut self, changes: u64) {
        self.dirty += changes;
    }
}

/// A string as it is stored: as an integer where it is the canonical form of one.
#[inline]
pub fn string_value(bytes: &[u8]) -> Value<'_> {
    match bytes.first() {
        Some(b'0'..=b'9' | b'-') if bytes.len() <= 20 => {
            larder_protocol::number::parse_i64(bytes).map_or(Value::String(bytes), Value::Integer)
        }
        _ => Value::String(bytes),
    }
}

/// Frees a value: a large one on a thread of its own, so that no session waits for it.
pub fn free(removed: Option<Removed>) {
    let Some(removed) = removed else { return };
    if removed.is_large(LARGE) {
        let bytes = removed.memory_bytes() as u64;
        crate::background::free_later(removed, 1, bytes);
    }
}

/// Frees what a database held.
pub fn free_all(cleared: Vec<Cleared>) {
    let keys: usize = cleared.iter().map(Cleared::len).sum();
    crate::background::free_later(cleared, keys as u64, 0);
}

impl Keyspace<'_> {
    /// Reads a hash: counts a hit or a miss. Errors: the key holds another type.
    pub fn read_hash(&mut self, key: &[u8]) -> Result<Option<&Hash>, CommandError> {
        if self.store.keeps_dead_from_reads() && self.hides_fields(key) {
            self.read(key);
            return Ok(self.notes.as_ref().and_then(|notes| notes.living.as_ref()));
        }
        self.read_any_hash(key)
    }

    /// True if a hash has dead fields, which a replica, a primary in import mode, and one whose writes are held back must keep.
    /// Makes a copy without them for who reads it: the primary removes them soon, so this is seldom.
    #[cold]
    fn hides_fields(&mut self, key: &[u8]) -> bool {
        let now = self.now.ms;
        let living = match self.peek_value(key) {
            Some(ValueRef::Hash(hash)) if hash.is_due(now) => {
                let mut living = hash.clone();
                living.purge(now, usize::MAX, |_| {});
                living
            }
            _ => return false,
        };
        self.notes.get_or_insert_default().living = Some(living);
        true
    }
}

macro_rules! collection {
    ($kind:ident, $read:ident, $peek:ident, $write:ident, $create:ident, $put:ident) => {
        impl Keyspace<'_> {
            /// Reads a collection of this type: counts a hit or a miss. Errors: the key holds another type.
            pub fn $read(&mut self, key: &[u8]) -> Result<Option<&$kind>, CommandError> {
                match self.read(key).map(|item| item.value()) {
                    None => Ok(None),
                    Some(ValueRef::$kind(value)) => Ok(Some(value)),
                    Some(_) => Err(CommandError::WrongType),
                }
            }

            /// Looks at a collection of this type without leaving a trace.
            pub fn $peek(&self, key: &[u8]) -> Result<Option<&$kind>, CommandError> {
                match self.peek_value(key) {
                    None => Ok(None),
                    Some(ValueRef::$kind(value)) => Ok(Some(value)),
                    Some(_) => Err(CommandError::WrongType),
                }
            }

            /// A collection of this type to be changed in place; say `changed` afterwards.
            pub fn $write(&mut self, key: &[u8]) -> Result<Option<&mut $kind>, CommandError> {
                match self.write(key) {
                    None => Ok(None),
                    Some(ValueMut::$kind(value)) => Ok(Some(value)),
                    Some(_) => Err(CommandError::WrongType),
                }
            }

            /// The same, made empty if the key does not exist.
            pub fn $create(&mut self, key: &[u8]) -> Result<&mut $kind, CommandError> {
                match self.write_or_create(key, || Value::$kind(Box::default())) {
                    Some(ValueMut::$kind(value)) => Ok(value),
                    Some(_) => Err(CommandError::WrongType),
                    None => Err(CommandError::NoSuchKey),
                }
            }

            /// Sets a key to a collection, whatever was there, without a deadline.
            pub fn $put(&mut self, key: &[u8], value: $kind) {
                self.create(key, Value::$kind(Box::new(value)));
            }
        }
    };
}

collection!(Hash, read_any_hash, peek_hash, write_hash, write_hash_or_create, put_hash);
collection!(List, read_list, peek_list, write_list, write_list_or_create, put_list);
collection!(Stream, read_stream, peek_stream, write_stream, write_stream_or_create, put_stream);
collection!(Set, read_set, peek_set, write_set, write_set_or_create, put_set);
collection!(
    SortedSet,
    read_sorted_set,
    peek_sorted_set,
    write_sorted_set,
    write_sorted_set_or_create,
    put_sorted_set
);

/// The limits of packed values, as the structures take them.
pub type ValueLimits = Limits;

/// A value that was taken out, on its way to another key.
pub type Moved = Owned;
