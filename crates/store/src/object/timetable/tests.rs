//! A hash with deadlines against a model with a clock, in all forms.

use super::super::{Hash, Limits};
use super::FIELD_DEADLINE_MAX_MS;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn tight() -> Limits {
    Limits {
        hash_max_listpack_entries: 8,
        hash_max_listpack_value: 16,
        zset_max_listpack_entries: 5,
        zset_max_listpack_value: 16,
        hash_seed: 7,
        ..Limits::default()
    }
}

#[derive(Clone, Debug)]
enum Act {
    Insert { field: u8, value: u16 },
    Update { field: u8, value: u16 },
    Remove { field: u8 },
    Expire { field: u8, in_ms: u64 },
    Persist { field: u8 },
    Wait { ms: u64 },
    Purge { budget: usize },
    Clone,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let field = || 0u8..24;
    let act = prop_oneof![
        4 => (field(), any::<u16>()).prop_map(|(field, value)| Act::Insert { field, value }),
        2 => (field(), any::<u16>()).prop_map(|(field, value)| Act::Update { field, value }),
        2 => field().prop_map(|field| Act::Remove { field }),
        6 => (field(), 1u64..200).prop_map(|(field, in_ms)| Act::Expire { field, in_ms }),
        1 => field().prop_map(|field| Act::Persist { field }),
        2 => (0u64..60).prop_map(|ms| Act::Wait { ms }),
        2 => (0usize..4).prop_map(|budget| Act::Purge { budget }),
        1 => Just(Act::Purge { budget: usize::MAX }),
        1 => Just(Act::Clone),
    ];
    prop::collection::vec(act, 0..250)
}

/// Some names are integers, some too long to stay packed.
fn name(field: u8) -> Vec<u8> {
    match field {
        0..8 => field.to_string().into_bytes(),
        8..22 => format!("field:{field}").into_bytes(),
        _ => format!("a rather long field:{field}").into_bytes(),
    }
}

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

fn due(model: &Model, now: u64) -> usize {
    model.values().filter(|(_, deadline)| deadline.is_some_and(|deadline| deadline <= now)).count()
}

fn purge(hash: &mut Hash, model: &mut Model, now: u64, budget: usize) {
    let expected = due(model, now).min(budget);
    assert_eq!(hash.purge(now, budget, |_| {}), expected);
    let mut gone: Vec<_> = model.iter().filter(|(field, _)| !hash.contains(field)).collect();
    assert_eq!(gone.len(), expected);
    assert!(gone.iter().all(|(_, (_, deadline))| deadline.is_some_and(|deadline| deadline <= now)));
    // Those that have been dead for longest go first.
    gone.sort_by_key(|(_, (_, deadline))| *deadline);
    let last = gone.last().and_then(|(_, (_, deadline))| *deadline);
    assert!(hash.earliest_deadline().is_none_or(|earliest| Some(earliest) >= last));
    model.retain(|field, _| hash.contains(field));
}

fn apply(hash: &mut Hash, model: &mut Model, now: &mut u64, act: &Act) {
    let limits = tight();
    match act {
        Act::Insert { field, value } => {
            let (field, value) = (name(*field), value.to_string().into_bytes());
            let fresh = hash.insert(&field, &value, &limits);
            assert_eq!(fresh, model.insert(field, (value, None)).is_none());
        }
        Act::Update { field, value } => {
            let (field, value) = (name(*field), value.to_string().into_bytes());
            let old = model.get(&field).cloned();
            assert_eq!(hash.update(&field, &value, &limits), old.is_none());
            model.insert(field, (value, old.and_then(|(_, deadline)| deadline)));
        }
        Act::Remove { field } => {
            assert_eq!(hash.remove(&name(*field)), model.remove(&name(*field)).is_some());
        }
        Act::Expire { field, in_ms } => {
            let known = model.get_mut(&name(*field));
            assert_eq!(hash.set_deadline(&name(*field), Some(*now + in_ms), &limits), known.is_some());
            known.into_iter().for_each(|known| known.1 = Some(*now + in_ms));
        }
        Act::Persist { field } => {
            let known = model.get_mut(&name(*field));
            assert_eq!(hash.set_deadline(&name(*field), None, &limits), known.is_some());
            known.into_iter().for_each(|known| known.1 = None);
        }
        Act::Wait { ms } => *now += ms,
        Act::Purge { budget } => purge(hash, model, *now, *budget),
        Act::Clone => *hash = hash.clone(),
    }
}

proptest! {
    #[test]
    fn a_hash_with_deadlines_is_a_map_with_deadlines(acts in acts()) {
        let (mut hash, mut model, mut now) = (Hash::new(), Model::new(), 4_000_000_000_000);
        for act in &acts {
            apply(&mut hash, &mut model, &mut now, act);
            prop_assert_eq!(hash.len(), model.len());
            prop_assert_eq!(hash.timed_len(), model.values().filter(|(_, deadline)| deadline.is_some()).count());
            prop_assert_eq!(hash.earliest_deadline(), model.values().filter_map(|(_, deadline)| *deadline).min());
            prop_assert_eq!(hash.is_due(now), due(&model, now) > 0);
            prop_assert_eq!(hash.is_over(now), !model.is_empty() && due(&model, now) == model.len());
        }
        for field in (0..24).map(name) {
            let known = model.get(&field);
            prop_assert_eq!(hash.get(&field).map(|value| value.to_vec()), known.map(|known| known.0.clone()));
            prop_assert_eq!(hash.deadline(&field), known.and_then(|known| known.1));
        }
        let mut all: Vec<_> = hash.iter().map(|(field, value)| (field.to_vec(), value.to_vec())).collect();
        all.sort();
        let known: Vec<_> = model.into_iter().map(|(field, (value, _))| (field, value)).collect();
        prop_assert_eq!(&all, &known);
        let (mut scanned, mut cursor) = (Vec::new(), 0);
        loop {
            cursor = hash.scan(cursor, 3, &mut |field, value| scanned.push((field.to_vec(), value.to_vec())));
            if cursor == 0 {
                break;
            }
        }
        scanned.sort();
        prop_assert_eq!(&scanned, &known);
        let mut dice = now;
        let mut random = || {
            dice = dice.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            dice.rotate_right(29)
        };
        let picked = hash.random(&mut random).map(|(field, value)| (field.to_vec(), value.to_vec()));
        prop_assert!(picked.map_or(known.is_empty(), |picked| known.contains(&picked)));
    }
}

#[test]
fn a_hash_without_deadlines_pays_nothing() {
    assert_eq!(size_of::<Hash>(), 32);
    let limits = Limits::default();
    let (mut plain, mut asked) = (Hash::new(), Hash::new());
    for n in 0..1000 {
        plain.insert(format!("f{n}").as_bytes(), b"value", &limits);
        asked.insert(format!("f{n}").as_bytes(), b"value", &limits);
        asked.set_deadline(b"f0", None, &limits);
        asked.set_deadline(b"none", Some(5), &limits);
    }
    assert!(!asked.is_timed());
    assert_eq!(plain.memory_bytes(), asked.memory_bytes());
}

#[test]
fn a_deadline_costs_little_more_than_the_name_of_its_field() {
    let limits = Limits::default();
    let count = 100_000usize;
    let mut hash = Hash::new();
    let field = |n: usize| format!("field:{n:06}").into_bytes();
    (0..count).for_each(|n| _ = hash.insert(&field(n), b"value", &limits));
    let before = hash.memory_bytes();
    (0..count)
        .for_each(|n| _ = hash.set_deadline(&field(n), Some(4_000_000_000_000 + n as u64 * 7919), &limits));
    let each = (hash.memory_bytes() - before) / count;
    // 12 bytes of name and 8 of deadline; order and bookkeeping may cost 21 more.
    assert!(each <= 41, "{each} bytes a deadline");
    assert_eq!(hash.purge(u64::MAX, count, |_| {}), count);
    assert!(hash.memory_bytes() < 1 << 20, "{} bytes stay", hash.memory_bytes());
}

#[test]
fn names_of_forms_and_latest_deadline() {
    let limits = tight();
    let mut hash = Hash::new();
    hash.insert(b"a", b"1", &limits);
    assert_eq!(hash.encoding(), "listpack");
    hash.set_deadline(b"a", Some(u64::MAX), &limits);
    assert_eq!((hash.encoding(), hash.deadline(b"a")), ("listpackex", Some(FIELD_DEADLINE_MAX_MS)));
    assert_eq!(hash.earliest_deadline(), Some(FIELD_DEADLINE_MAX_MS));
    (0..9u8).for_each(|n| _ = hash.insert(&[n], b"1", &limits));
    assert_eq!((hash.encoding(), hash.deadline(b"a")), ("hashtable", Some(FIELD_DEADLINE_MAX_MS)));
    hash.insert(b"a", b"2", &limits);
    assert_eq!((hash.deadline(b"a"), hash.earliest_deadline()), (None, None));
}
