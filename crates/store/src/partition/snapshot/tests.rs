//! A snapshot holds each key once and as it was at the cut, whatever happens to the keyspace while it is taken.

use super::{Entry, Saver};
use crate::evict::{Policy, Pool, Round};
use crate::object::stream::{Id, Stream};
use crate::object::{End, Hash, Limits};
use crate::partition::access::Access;
use crate::partition::item::INLINE_STRING_BYTES_MAX;
use crate::partition::value::{Extras, Value, ValueMut, ValueRef};
use crate::{Config, Now, Store};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

const START: Now = Now { ms: 1_000_000 };
const DATABASES: u16 = 3;
/// Nothing is dead at this time: a dead key that was not reclaimed may be in a snapshot.
const NEVER: Now = Now { ms: 0 };

type Keys = BTreeMap<(u16, Vec<u8>), String>;

fn image_of(value: &ValueRef<'_>, extras: Extras) -> String {
    let value = match value {
        ValueRef::String(bytes) => format!("{} {:?}", bytes.len(), &bytes[bytes.len().saturating_sub(9)..]),
        ValueRef::Integer(n) => format!("integer {n}"),
        ValueRef::Hash(hash) => {
            let fields: BTreeMap<String, String> =
                hash.iter().map(|(field, value)| (format!("{field:?}"), format!("{value:?}"))).collect();
            format!("{fields:?} {} timed", hash.timed_len())
        }
        ValueRef::List(list) => format!("{:?}", list.iter().map(|e| e.to_vec()).collect::<Vec<_>>()),
        ValueRef::Set(set) => format!("{:?}", set.iter().map(|e| e.to_vec()).collect::<BTreeSet<_>>()),
        ValueRef::SortedSet(set) => {
            format!("{:?}", set.iter().map(|(e, score)| (e.to_vec(), score)).collect::<Vec<_>>())
        }
        ValueRef::Stream(stream) => {
            let mut ids = Vec::new();
            stream.range(Id::MIN, Id::MAX, &mut |entry| {
                ids.push(entry.id);
                true
            });
            format!("{ids:?} {:?} {}", stream.last_id, stream.entries_added)
        }
    };
    format!("{value} {extras:?}")
}

/// Remembers what it is given.
#[derive(Debug, Default)]
struct Collected {
    image: Mutex<Keys>,
    /// Large values, and what they were.
    shared: Mutex<Vec<(crate::Image, Extras, String)>>,
}

impl Drop for Collected {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            for (image, extras, was) in self.shared.get_mut().unwrap() {
                assert_eq!(image_of(&image.value(), *extras), *was, "changed after it was shared");
            }
        }
    }
}

impl Saver for Collected {
    fn save(&self, entry: &Entry<'_>) {
        let id = (entry.db, entry.key().to_vec());
        let was = image_of(&entry.value(), entry.extras());
        let image = entry.share().map(|image| (image, entry.extras(), was.clone()));
        self.shared.lock().unwrap().extend(image);
        let before = self.image.lock().unwrap().insert(id, was);
        assert_eq!(before, None, "{:?} is saved twice", entry.key());
    }
}

#[derive(Clone, Debug)]
enum Act {
    Set { key: u8, db: u16, len: u16, in_ms: Option<u16> },
    SetLong { key: u8, db: u16 },
    SetInteger { key: u8, db: u16, n: i64 },
    Change { key: u8, db: u16, byte: u8, in_ms: u16 },
    Hash { key: u8, db: u16, field: u8, in_ms: u16 },
    Collect { key: u8, db: u16, kind: u8, member: u8, many: bool },
    Expire { key: u8, db: u16, in_ms: Option<u16>, flags: u32 },
    Remove { key: u8, db: u16 },
    Read { key: u8, db: u16 },
    Move { key: u8, db: u16, to_key: u8, to: u16 },
    Clear { db: u16 },
    Swap { a: u16, b: u16 },
    Evict { random: u64 },
    Wait { ms: u16 },
    Reclaim { budget: usize },
    Walk { partition: usize, buckets: usize },
    Many { db: u16, first: u8, remove: bool },
}

fn act() -> impl Strategy<Value = Act> {
    let (key, db, in_ms) = (any::<u8>, || 0..DATABASES, || proptest::option::of(1u16..2000));
    prop_oneof![
        6 => (key(), db(), 0u16..300, in_ms()).prop_map(|(key, db, len, in_ms)| Act::Set { key, db, len, in_ms }),
        2 => (key(), db()).prop_map(|(key, db)| Act::SetLong { key, db }),
        2 => (key(), db(), any::<i64>()).prop_map(|(key, db, n)| Act::SetInteger { key, db, n }),
        6 => (key(), db(), any::<u8>(), 0u16..900)
            .prop_map(|(key, db, byte, in_ms)| Act::Change { key, db, byte, in_ms }),
        3 => (key(), db(), 0u8..5, 0u16..900).prop_map(|(key, db, field, in_ms)| Act::Hash { key, db, field, in_ms }),
        6 => (key(), db(), 0u8..4, any::<u8>(), any::<bool>())
            .prop_map(|(key, db, kind, member, many)| Act::Collect { key, db, kind, member, many }),
        3 => (key(), db(), in_ms(), 0u32..3).prop_map(|(key, db, in_ms, flags)| Act::Expire { key, db, in_ms, flags }),
        4 => (key(), db()).prop_map(|(key, db)| Act::Remove { key, db }),
        2 => (key(), db()).prop_map(|(key, db)| Act::Read { key, db }),
        2 => (key(), db(), key(), db()).prop_map(|(key, db, to_key, to)| Act::Move { key, db, to_key, to }),
        1 => db().prop_map(|db| Act::Clear { db }),
        1 => (db(), db()).prop_map(|(a, b)| Act::Swap { a, b }),
        2 => any::<u64>().prop_map(|random| Act::Evict { random }),
        1 => (0u16..500).prop_map(|ms| Act::Wait { ms }),
        2 => (1usize..9).prop_map(|budget| Act::Reclaim { budget }),
        4 => (0usize..4, 1usize..6).prop_map(|(partition, buckets)| Act::Walk { partition, buckets }),
        1 => (db(), any::<u8>(), any::<bool>()).prop_map(|(db, first, remove)| Act::Many { db, first, remove }),
    ]
}

struct Subject {
    store: Store,
    now: Now,
}

impl Subject {
    fn new() -> Subject {
        let config = Config { partitions: 4, databases: DATABASES, ..Config::new(7, START.ms) };
        Subject { store: Store::new(&config), now: START }
    }

    /// Every key, the slow way.
    fn image(&self) -> Keys {
        let mut image = Keys::new();
        for id in self.store.partitions() {
            let partition = self.store.lock(id);
            for db in 0..DATABASES {
                let mut position = Some(0);
                while let Some(at) = position {
                    position = partition.scan(db, at, NEVER, |item| {
                        image.insert((db, item.key().to_vec()), image_of(&item.value(), item.extras()));
                    });
                }
            }
        }
        image
    }

    fn begin(&self, saver: &Arc<Collected>) -> bool {
        let saver: Arc<dyn Saver> = saver.clone();
        let mut all = self.store.lock_all();
        all.iter_mut().all(|partition| partition.begin_saving(&saver))
    }

    fn walk(&self, partition: usize, buckets: usize) -> bool {
        let mut left = buckets;
        let mut go_on = || {
            left = left.saturating_sub(1);
            left > 0
        };
        self.store.lock(self.store.partition_at(partition)).save_some(&mut go_on, &mut drop)
    }

    fn finish(&self) {
        (0..self.store.partition_count()).for_each(|at| while !self.walk(at, 3) {});
    }

    fn set(&self, key: u8, db: u16, value: Value<'_>, extras: Extras) {
        let bytes = [key];
        let key = self.store.key(&bytes, u16::from(key) * 64);
        let id = self.store.partition_of(key.slot);
        self.store.lock(id).set(db, &key, value, extras, Access::lru(self.now.ms));
    }

    /// Adds a member, or many, to a collection; one is made if there is none of that kind.
    fn collect(&self, key: u8, db: u16, kind: u8, members: impl Iterator<Item = u16>) {
        let limits = Limits::default();
        let (bytes, slot) = ([key], u16::from(key) * 64);
        let id = self.store.key(&bytes, slot);
        let mut partition = self.store.lock(self.store.partition_of(slot));
        let value =
            partition.write(db, &id, self.now, Access::lru(self.now.ms)).map(|item| item.into_value());
        let add_to_stream = |stream: &mut Stream, member: u16| {
            let id = Id { ms: stream.last_id.ms + 1, seq: member.into() };
            stream.add(id, &[b"field", &member.to_le_bytes()], 4096, 100);
        };
        match (kind, value) {
            (0, Some(ValueMut::List(list))) => {
                members.for_each(|m| list.push(End::Right, &m.to_le_bytes(), &limits));
            }
            (1, Some(ValueMut::Set(set))) => members.for_each(|m| {
                set.insert(&m.to_le_bytes(), &limits);
            }),
            (2, Some(ValueMut::SortedSet(set))) => {
                members.for_each(|m| {
                    set.insert(&m.to_le_bytes(), f64::from(m), &limits);
                });
            }
            (3, Some(ValueMut::Stream(stream))) => members.for_each(|m| add_to_stream(stream, m)),
            (kind, _) => {
                drop(partition);
                let value = match kind {
                    0 => Value::List(Box::default()),
                    1 => Value::Set(Box::default()),
                    2 => Value::SortedSet(Box::default()),
                    _ => Value::Stream(Box::default()),
                };
                self.set(key, db, value, Extras::default());
                return self.collect(key, db, kind, members);
            }
        }
        partition.changed(db, &id);
    }

    fn act(&mut self, act: Act) {
        let (now, access) = (self.now, Access::lru(self.now.ms));
        let in_ms = |in_ms: Option<u16>| Extras {
            deadline: in_ms.map(|in_ms| now.ms + u64::from(in_ms)),
            ..Extras::default()
        };
        match act {
            Act::Set { key, db, len, in_ms: ms } => {
                self.set(key, db, Value::String(&vec![key; len.into()]), in_ms(ms));
            }
            Act::SetLong { key, db } => {
                self.set(key, db, Value::Long(vec![key; INLINE_STRING_BYTES_MAX + 1]), Extras::default());
            }
            Act::SetInteger { key, db, n } => self.set(key, db, Value::Integer(n), Extras::default()),
            Act::Change { key, db, byte, in_ms } => {
                let (bytes, slot) = ([key], u16::from(key) * 64);
                let key = self.store.key(&bytes, slot);
                let mut partition = self.store.lock(self.store.partition_of(slot));
                let Some(item) = partition.write(db, &key, now, access) else { return };
                match item.into_value() {
                    ValueMut::Inline(bytes) => bytes.iter_mut().for_each(|b| *b ^= byte),
                    ValueMut::Integer(mut integer) => integer.set(integer.get() ^ i64::from(byte)),
                    ValueMut::Long(bytes) => bytes.push(byte),
                    ValueMut::Hash(hash) => {
                        hash.insert(&[byte % 5], b"changed", &Limits::default());
                        let deadline = (in_ms > 400).then_some(now.ms + u64::from(in_ms));
                        hash.set_deadline(&[byte % 5], deadline, &Limits::default());
                        partition.fields_changed(db, &key);
                    }
                    _ => {}
                }
                partition.changed(db, &key);
            }
            Act::Hash { key, db, field, in_ms } => {
                let mut hash = Hash::new();
                hash.insert(&[field], b"value", &Limits::default());
                hash.insert(b"stays", &[field], &Limits::default());
                let deadline = (in_ms > 400).then_some(now.ms + u64::from(in_ms));
                hash.set_deadline(&[field], deadline, &Limits::default());
                self.set(key, db, Value::Hash(Box::new(hash)), Extras::default());
            }
            Act::Collect { key, db, kind, member, many } => {
                let first = u16::from(member);
                self.collect(key, db, kind, first..first + if many { 300 } else { 1 });
            }
            Act::Expire { key, db, in_ms: ms, flags } => {
                let (bytes, slot) = ([key], u16::from(key) * 64);
                let key = self.store.key(&bytes, slot);
                let extras = Extras { flags, ..in_ms(ms) };
                self.store.lock(self.store.partition_of(slot)).set_extras(db, &key, extras, now);
            }
            Act::Remove { key, db } => {
                let (bytes, slot) = ([key], u16::from(key) * 64);
                let key = self.store.key(&bytes, slot);
                self.store.lock(self.store.partition_of(slot)).remove(db, &key, now);
            }
            Act::Read { key, db } => {
                let (bytes, slot) = ([key], u16::from(key) * 64);
                let key = self.store.key(&bytes, slot);
                self.store.lock(self.store.partition_of(slot)).read(db, &key, now, access);
            }
            Act::Move { key, db, to_key, to } => {
                let (bytes, slot) = ([key], u16::from(key) * 64);
                let key = self.store.key(&bytes, slot);
                let taken = self.store.lock(self.store.partition_of(slot)).remove(db, &key, now);
                if let Some(taken) = taken {
                    let extras = taken.extras();
                    self.set(to_key, to, taken.into_value().into(), extras);
                }
            }
            Act::Clear { db } => self.store.lock_all().iter_mut().for_each(|partition| {
                partition.clear(db, now);
            }),
            Act::Swap { a, b } => {
                self.store.lock_all().iter_mut().for_each(|partition| partition.swap(a, b, now));
            }
            Act::Evict { random } => {
                let round = Round { policy: Policy::AllKeysRandom, samples: 3, decay_minutes: 1, now };
                let mut random = random | 1;
                let mut dice = || {
                    random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                    random >> 32
                };
                self.store.evict_one(&round, &mut Pool::default(), &mut dice, &mut |_, _| {});
            }
            Act::Wait { ms } => self.now.ms += u64::from(ms),
            Act::Reclaim { budget } => self.store.partitions().for_each(|id| {
                self.store.lock(id).expire_due(now, budget);
            }),
            Act::Walk { partition, buckets } => {
                self.walk(partition, buckets);
            }
            Act::Many { db, first, remove } => {
                for key in first..first.saturating_add(90) {
                    self.act(match remove {
                        true => Act::Remove { key, db },
                        false => Act::SetInteger { key, db, n: i64::from(key) },
                    });
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 3 } else { 300 }))]

    #[test]
    fn a_snapshot_is_what_was_at_the_cut(
        before in prop::collection::vec(act(), 0..150),
        during in prop::collection::vec(act(), 0..150),
        after in prop::collection::vec(act(), 0..50),
        gives_up in any::<bool>(),
    ) {
        let mut subject = Subject::new();
        before.into_iter().for_each(|act| subject.act(act));
        let (expected, saver) = (subject.image(), Arc::new(Collected::default()));
        prop_assert!(subject.begin(&saver));
        during.into_iter().for_each(|act| subject.act(act));
        if gives_up {
            for id in subject.store.partitions() {
                subject.store.lock(id).stop_saving(&*saver);
            }
        } else {
            subject.finish();
            prop_assert_eq!(&*saver.image.lock().unwrap(), &expected);
        }
        // Whatever became of it, the next one is right.
        after.into_iter().for_each(|act| subject.act(act));
        let (expected, saver) = (subject.image(), Arc::new(Collected::default()));
        prop_assert!(subject.begin(&saver));
        subject.finish();
        prop_assert_eq!(&*saver.image.lock().unwrap(), &expected);
    }
}

#[test]
fn a_long_string_is_shared_and_stays_as_it_was() {
    let mut subject = Subject::new();
    subject.act(Act::SetLong { key: 1, db: 0 });
    let saver = Arc::new(Collected::default());
    assert!(subject.begin(&saver));
    subject.act(Act::Change { key: 1, db: 0, byte: 9, in_ms: 0 });
    let (image, ..) = saver.shared.lock().unwrap().remove(0);
    let crate::Image::String(shared) = image else { panic!("{image:?}") };
    assert_eq!(*shared, vec![1; INLINE_STRING_BYTES_MAX + 1]);
    subject.act(Act::Remove { key: 1, db: 0 });
    assert_eq!(*shared, vec![1; INLINE_STRING_BYTES_MAX + 1]);
}

#[test]
fn one_snapshot_at_a_time() {
    let mut subject = Subject::new();
    subject.act(Act::SetInteger { key: 1, db: 0, n: 1 });
    let saver = Arc::new(Collected::default());
    assert!(subject.begin(&saver));
    assert!(!subject.begin(&saver));
    subject.finish();
    assert!(subject.begin(&saver));
}

#[test]
fn a_step_of_the_walk_saves_few_bytes_however_full_a_bucket_is() {
    let mut subject = Subject::new();
    for key in 0..200 {
        subject.act(Act::Set { key, db: 0, len: 1500, in_ms: None });
    }
    let (expected, saver) = (subject.image(), Arc::new(Collected::default()));
    assert!(subject.begin(&saver));
    let mut saved = 0;
    for id in subject.store.partitions() {
        loop {
            let done = subject.store.lock(id).save_some(&mut || false, &mut drop);
            let now = saver.image.lock().unwrap().len();
            assert!(now - saved <= 2, "{} keys of 1500 bytes at once", now - saved);
            saved = now;
            if done {
                break;
            }
        }
    }
    assert_eq!(*saver.image.lock().unwrap(), expected);
}
