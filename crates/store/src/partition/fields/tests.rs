//! Hiding and reclaiming fields, against a model with a clock; the deadlines of a partition never miss a hash.

use super::FIELDS_PER_VISIT;
use crate::key::Seed;
use crate::object::{Hash, Limits};
use crate::partition::access::Access;
use crate::partition::expire::TICK_MS;
use crate::partition::value::{Extras, Owned, Value, ValueMut, ValueRef};
use crate::partition::{Key, Now, Partition, Watcher};
use proptest::prelude::*;
use std::collections::BTreeMap;

const START: Now = Now { ms: 1_000_000 };

fn access() -> Access {
    Access::lru(START.ms)
}

fn partition() -> (Partition, Seed) {
    let seed = Seed::new(7);
    (Partition::new(seed, 0, Default::default(), crate::partition::Common::new(4096)), seed)
}

fn key<'k>(seed: &Seed, bytes: &'k [u8]) -> Key<'k> {
    Key { bytes, slot: 0, hash: seed.hash(bytes) }
}

fn edit(part: &mut Partition, key: &Key<'_>, now: Now, edit: impl FnOnce(&mut Hash)) -> bool {
    let Some(ValueMut::Hash(hash)) = part.write(0, key, now, access()).map(|item| item.into_value()) else {
        return false;
    };
    edit(hash);
    let empty = hash.is_empty();
    part.fields_changed(0, key);
    if empty {
        part.remove(0, key, now);
    }
    true
}

#[derive(Clone, Debug)]
enum Act {
    Set { key: u8, field: u8 },
    Expire { key: u8, field: u8, in_ms: u16 },
    Persist { key: u8, field: u8 },
    Remove { key: u8, field: u8 },
    Rename { from: u8, to: u8 },
    Copy { from: u8, to: u8 },
    Deadline { key: u8, in_ms: u16 },
    Wait { ms: u16 },
    Reclaim { budget: usize },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let (key, field) = (|| 0u8..12, || 0u8..6);
    let act = prop_oneof![
        6 => (key(), field()).prop_map(|(key, field)| Act::Set { key, field }),
        6 => (key(), field(), 1u16..900).prop_map(|(key, field, in_ms)| Act::Expire { key, field, in_ms }),
        1 => (key(), field()).prop_map(|(key, field)| Act::Persist { key, field }),
        2 => (key(), field()).prop_map(|(key, field)| Act::Remove { key, field }),
        1 => (key(), key()).prop_map(|(from, to)| Act::Rename { from, to }),
        1 => (key(), key()).prop_map(|(from, to)| Act::Copy { from, to }),
        1 => (key(), 1u16..900).prop_map(|(key, in_ms)| Act::Deadline { key, in_ms }),
        2 => (0u16..300).prop_map(|ms| Act::Wait { ms }),
        2 => (0usize..4).prop_map(|budget| Act::Reclaim { budget }),
        1 => Just(Act::Reclaim { budget: usize::MAX }),
    ];
    prop::collection::vec(act, 1..300)
}

#[derive(Clone, Default)]
struct Known {
    fields: BTreeMap<u8, Option<u64>>,
    deadline: Option<u64>,
}

type Model = BTreeMap<u8, Known>;

/// Forgets what is over.
fn pass(model: &mut Model, now: Now) {
    let alive = |deadline: Option<u64>| deadline.is_none_or(|deadline| deadline > now.ms);
    model.values_mut().for_each(|known| known.fields.retain(|_, deadline| alive(*deadline)));
    model.retain(|_, known| alive(known.deadline) && !known.fields.is_empty());
}

fn apply(part: &mut Partition, seed: &Seed, model: &mut Model, now: &mut Now, act: &Act) {
    let limits = Limits { hash_max_listpack_entries: 3, zset_max_listpack_entries: 2, ..Limits::default() };
    let at = |in_ms: u16| now.ms + u64::from(in_ms);
    match *act {
        Act::Set { key: k, field } => {
            let bytes = [k];
            let key = key(seed, &bytes);
            if part.peek(0, &key, *now).is_none() {
                part.set(0, &key, Value::Hash(Box::default()), Extras::default(), access());
            }
            edit(part, &key, *now, |hash| _ = hash.insert(&[field], b"v", &limits));
            model.entry(k).or_default().fields.insert(field, None);
        }
        Act::Expire { key: k, field, in_ms } => {
            edit(part, &key(seed, &[k]), *now, |hash| {
                _ = hash.set_deadline(&[field], Some(at(in_ms)), &limits);
            });
            let known = model.get_mut(&k).and_then(|known| known.fields.get_mut(&field));
            known.into_iter().for_each(|deadline| *deadline = Some(at(in_ms)));
        }
        Act::Persist { key: k, field } => {
            edit(part, &key(seed, &[k]), *now, |hash| _ = hash.set_deadline(&[field], None, &limits));
            let known = model.get_mut(&k).and_then(|known| known.fields.get_mut(&field));
            known.into_iter().for_each(|deadline| *deadline = None);
        }
        Act::Remove { key: k, field } => {
            edit(part, &key(seed, &[k]), *now, |hash| _ = hash.remove(&[field]));
            model.get_mut(&k).map(|known| known.fields.remove(&field));
            pass(model, *now);
        }
        Act::Rename { from, to } if from != to => {
            if let Some(removed) = part.remove(0, &key(seed, &[from]), *now) {
                let extras = removed.extras();
                part.set(0, &key(seed, &[to]), Value::from(removed.into_value()), extras, access());
            }
            model.remove(&from).map(|known| model.insert(to, known));
        }
        Act::Copy { from, to } if from != to => {
            let copied = part.read(0, &key(seed, &[from]), *now, access()).map(|item| match item.value() {
                ValueRef::Hash(hash) => (Owned::Hash(Box::new(hash.clone())), item.extras()),
                _ => unreachable!("only hashes are stored"),
            });
            if let Some((value, extras)) = copied {
                part.set(0, &key(seed, &[to]), Value::from(value), extras, access());
            }
            model.get(&from).cloned().map(|known| model.insert(to, known));
        }
        Act::Rename { .. } | Act::Copy { .. } => {}
        Act::Deadline { key: k, in_ms } => {
            let extras = Extras { deadline: Some(at(in_ms)), ..Extras::default() };
            part.set_extras(0, &key(seed, &[k]), extras, *now);
            model.get_mut(&k).into_iter().for_each(|known| known.deadline = extras.deadline);
        }
        Act::Wait { ms } => {
            now.ms += u64::from(ms);
            pass(model, *now);
        }
        Act::Reclaim { budget } => {
            part.expire_due(*now, budget);
        }
    }
}

fn check(part: &mut Partition, seed: &Seed, model: &Model, now: Now) {
    for k in 0..12u8 {
        let (bytes, known) = ([k], model.get(&k));
        let key = key(seed, &bytes);
        assert_eq!(part.peek(0, &key, now).is_some(), known.is_some(), "key {k}");
        let read = part.read(0, &key, now, access()).map(|item| item.value());
        let Some(ValueRef::Hash(hash)) = read else {
            assert!(read.is_none());
            continue;
        };
        let mut fields: Vec<_> = hash.iter().map(|(field, _)| field.to_vec()).collect();
        fields.sort();
        let Some(known) = known else { continue };
        assert_eq!(fields, known.fields.keys().map(|field| vec![*field]).collect::<Vec<_>>());
        for (field, deadline) in &known.fields {
            assert_eq!(hash.deadline(&[*field]), *deadline);
        }
    }
}

/// After everything due was reclaimed, nothing dead is left, and each hash with deadlines is going to be visited.
fn check_reclaimed(part: &mut Partition, now: Now) {
    while part.next_deadline().is_some_and(|due| due <= now.ms) {
        part.expire_due(now, usize::MAX);
    }
    let next = part.next_deadline();
    let mut timed = 0;
    part.first.each(|item| {
        let ValueRef::Hash(hash) = item.value() else { return };
        let Some(earliest) = hash.earliest_deadline() else { return };
        timed += 1;
        assert!(earliest + TICK_MS > now.ms, "a field has been dead since {earliest}");
        assert!(next.is_some_and(|next| next < earliest + TICK_MS));
    });
    assert!(part.timed_len(0) >= timed);
}

proptest! {
    #[test]
    fn fields_live_as_long_as_they_may(acts in acts(), look in any::<bool>()) {
        let (mut part, seed) = partition();
        let (mut model, mut now) = (Model::new(), START);
        for act in &acts {
            apply(&mut part, &seed, &mut model, &mut now, act);
            if look {
                check(&mut part, &seed, &model, now);
            }
            if matches!(act, Act::Reclaim { budget: usize::MAX }) {
                check_reclaimed(&mut part, now);
            }
        }
        check(&mut part, &seed, &model, now);
        now.ms += 2 * TICK_MS + 1000;
        check_reclaimed(&mut part, now);
        pass(&mut model, now);
        prop_assert_eq!(part.len(0), model.len());
        prop_assert_eq!(part.timed_len(0), 0);
        prop_assert_eq!(part.next_deadline(), None);
    }
}

fn filled(part: &mut Partition, key: &Key<'_>, fields: usize, deadline: u64) {
    let mut hash = Hash::new();
    for n in 0..fields {
        hash.insert(n.to_string().as_bytes(), b"v", &Limits::default());
        hash.set_deadline(n.to_string().as_bytes(), Some(deadline), &Limits::default());
    }
    part.set(0, key, Value::Hash(Box::new(hash)), Extras::default(), access());
}

#[test]
fn a_large_hash_is_reclaimed_in_portions() {
    let (mut part, seed) = partition();
    let (big, late) = (key(&seed, b"big"), Now { ms: START.ms + 1000 });
    filled(&mut part, &big, 3 * FIELDS_PER_VISIT, START.ms + 100);
    edit(&mut part, &big, START, |hash| _ = hash.insert(b"stays", b"v", &Limits::default()));
    for portion in 1..=3 {
        part.expire_due(late, 1);
        assert_eq!(part.counters().expired_fields, portion * FIELDS_PER_VISIT as u64);
    }
    part.expire_due(late, 10);
    assert_eq!((part.len(0), part.timed_len(0), part.counters().expired), (1, 0, 0));
    assert_eq!(part.next_deadline(), None);
}

#[test]
fn a_hash_that_is_over_goes_as_a_whole() {
    let (mut part, seed) = partition();
    let (big, late) = (key(&seed, b"big"), Now { ms: START.ms + 1000 });
    filled(&mut part, &big, 3 * FIELDS_PER_VISIT, START.ms + 100);
    let watcher = Watcher::default();
    part.watch(0, &big, &watcher, START);
    assert!(part.peek(0, &big, late).is_none() && part.scan(0, 0, late, |_| panic!("it is over")).is_none());
    part.expire_due(late, 1);
    assert_eq!((part.len(0), part.counters().expired_fields), (0, 3 * FIELDS_PER_VISIT as u64));
    assert!(watcher.is_changed());
}

#[test]
fn changing_deadlines_takes_no_memory() {
    let (mut part, seed) = partition();
    let one = key(&seed, b"one");
    filled(&mut part, &one, 1, START.ms + 1_000_000);
    let before = part.index_bytes();
    for n in 0..10_000u64 {
        edit(&mut part, &one, START, |hash| {
            _ = hash.set_deadline(b"0", Some(START.ms + 1_000_000 - n), &Limits::default());
        });
    }
    assert_eq!(part.index_bytes(), before);
    part.expire_due(Now { ms: START.ms + 1_000_000 }, usize::MAX);
    assert_eq!((part.len(0), part.counters().expired_fields), (0, 1));
}

#[test]
fn watchers_hear_of_a_field_that_went() {
    let (mut part, seed) = partition();
    let one = key(&seed, b"one");
    filled(&mut part, &one, 1, START.ms + 100);
    edit(&mut part, &one, START, |hash| _ = hash.insert(b"stays", b"v", &Limits::default()));
    let watcher = Watcher::default();
    part.watch(0, &one, &watcher, START);
    part.read(0, &one, Now { ms: START.ms + 99 }, access());
    assert!(!watcher.is_changed());
    part.read(0, &one, Now { ms: START.ms + 100 }, access());
    assert!(watcher.is_changed());
}
