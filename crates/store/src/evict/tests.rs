//! What leaves, and that finding it does not take longer where few keys may.

use super::*;
use crate::partition::access::Access;
use crate::partition::value::{Extras, Value};
use crate::{Config, Store};

const NOW: Now = Now { ms: 1_700_000_000_000 };
const POLICIES: [Policy; 4] =
    [Policy::VolatileLru, Policy::VolatileLfu, Policy::VolatileRandom, Policy::VolatileTtl];

fn store() -> Store {
    Store::new(&Config { partitions: 1, databases: 2, seed: 7, now_ms: NOW.ms, free: drop, exclusive: false })
}

fn set(store: &Store, db: u16, name: &str, deadline: Option<u64>) {
    let key = store.key(name.as_bytes(), 0);
    let extras = Extras { deadline, ..Extras::default() };
    let mut partition = store.lock(store.partition_of(0));
    partition.set(db, &key, Value::String(b"v"), extras, Access::lru(NOW.ms));
    if let Some(at) = deadline {
        assert!(at > NOW.ms);
    }
}

fn evict(store: &Store, policy: Policy, dice: &mut u64) -> Option<String> {
    let round = Round { policy, samples: 5, decay_minutes: 1, now: NOW };
    let mut random = || {
        *dice = dice.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        *dice ^ *dice >> 32
    };
    let (_, key, _) = store.evict_one(&round, &mut Pool::default(), &mut random, &mut |_, _| ())?;
    Some(String::from_utf8(key).unwrap())
}

#[test]
fn the_few_keys_with_a_deadline_leave_and_no_other() {
    const YEAR_MS: u64 = 365 * 86_400_000;
    for policy in POLICIES {
        let (store, mut dice) = (store(), 1);
        for n in 0..20_000 {
            set(&store, n % 2, &format!("stays:{n}"), None);
        }
        for n in 0..10 {
            set(&store, n % 2, &format!("soon:{n}"), Some(NOW.ms + 1000 * u64::from(n + 1)));
            set(&store, n % 2, &format!("in years:{n}"), Some(NOW.ms + 10 * YEAR_MS));
        }
        let mut left: Vec<String> = std::iter::from_fn(|| evict(&store, policy, &mut dice)).collect();
        left.sort();
        left.dedup();
        assert_eq!(left.len(), 20, "{policy:?}: {left:?}");
        assert!(left.iter().all(|key| !key.starts_with("stays")), "{left:?}");
        let partition = store.lock(store.partition_of(0));
        assert_eq!(partition.len(0) + partition.len(1), 20_000);
    }
}

#[test]
fn sampling_looks_at_few_buckets_where_few_keys_have_a_deadline() {
    let store = store();
    for n in 0..50_000 {
        set(&store, 0, &format!("stays:{n}"), None);
    }
    for n in 0..100 {
        set(&store, 0, &format!("leaves:{n}"), Some(NOW.ms + 60_000));
    }
    let mut partition = store.lock(store.partition_of(0));
    for random in 0..1000 {
        let mut seen = 0;
        partition.sample_volatile(0, random * 7919, 32, |_| {
            seen += 1;
            seen >= 5
        });
        assert!(seen >= 5, "of {seen} in 32 looks at two buckets each, where 50,000 keys fill thousands");
    }
}

#[test]
fn buckets_whose_deadlines_are_gone_are_forgotten() {
    let store = store();
    for n in 0..1000 {
        set(&store, 0, &format!("k:{n}"), Some(NOW.ms + 60_000));
    }
    for n in 0..1000 {
        set(&store, 0, &format!("k:{n}"), None);
    }
    let mut dice = 5;
    assert_eq!(evict(&store, Policy::VolatileTtl, &mut dice), None);
    let mut partition = store.lock(store.partition_of(0));
    assert!(partition.next_deadline().is_some());
    for _ in 0..10 {
        partition.sample_volatile(0, 0, 64, |_| true);
    }
    assert_eq!(partition.next_deadline(), None);
}

/// Hits of small and of large keys, 1500 of each, while as many keys come that nobody asks for twice and 2000 have room.
fn hits(policy: Policy) -> [u64; 2] {
    const REQUESTS: u64 = 60_000;
    let store = Store::new(&Config { partitions: 16, ..Config::new(7, NOW.ms) });
    let (mut dice, mut now) = (1u64, NOW);
    let mut random = || {
        dice = dice.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        dice ^ dice >> 32
    };
    let (mut hits, mut keys, mut pool) = ([0; 2], 0, Pool::default());
    for at in 0..REQUESTS {
        now.ms += 1;
        let (name, bytes) = match (at % 4, random() % 1500) {
            (0, n) => (format!("small:{n}"), 20),
            (1, n) => (format!("large:{n}"), 2000),
            _ => (format!("once:{at}"), 20),
        };
        let slot = (crate::Seed::new(1).hash(name.as_bytes()) % crate::SLOTS) as u16;
        let key = store.key(name.as_bytes(), slot);
        let access = match policy.is_lhd() {
            true => store.lhd_access(now.ms, random() as u32),
            false => Access::lru(now.ms),
        };
        let mut partition = store.lock(store.partition_of(slot));
        if partition.read(0, &key, now, access).is_some() {
            hits[usize::from(bytes == 2000)] += u64::from(at > REQUESTS / 2);
            continue;
        }
        partition.set(0, &key, Value::String(&vec![b'v'; bytes]), Extras::default(), access);
        drop(partition);
        keys += 1;
        let round = Round { policy, samples: 5, decay_minutes: 1, now };
        while keys > 2000 {
            assert!(store.evict_one(&round, &mut pool, &mut random, &mut |_, _| ()).is_some());
            keys -= 1;
        }
    }
    hits
}

#[test]
fn what_brings_hits_for_its_bytes_stays() {
    let ([small, large], lru) = (hits(Policy::AllKeysLhd), hits(Policy::AllKeysLru));
    assert!(small > 2 * large && small > 3 * lru[0] / 2, "{small} {large}, least recently used: {lru:?}");
}

/// Three rounds over thirty keys see most of them, so the pool is full of keys that are to leave soon.
#[test]
fn keys_that_are_remembered_to_leave_are_judged_anew() {
    let store = store();
    let name = |n: usize| format!("{}:{n}", "long".repeat(if n == 29 { 100 } else { 1 }));
    let key_of = |n: usize| name(n).into_bytes();
    let mut now = NOW;
    let mut touch = |n: usize, ms: u64, read: bool| {
        now.ms += ms;
        let (bytes, access) = (key_of(n), store.lhd_access(now.ms, 0));
        let key = store.key(&bytes, 0);
        let mut partition = store.lock(store.partition_of(0));
        match read {
            true => assert!(partition.read(0, &key, now, access).is_some()),
            false => {
                assert!(partition.set(0, &key, Value::String(b"v"), Extras::default(), access).is_none())
            }
        };
        now
    };
    (0..30).for_each(|n| {
        touch(n, 1000, false);
    });
    let (mut pool, mut dice) = (Pool::default(), 5u64);
    let mut random = || {
        dice = dice.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        dice ^ dice >> 32
    };
    let mut evict = |now: Now, pool: &mut Pool| {
        let round = Round { policy: Policy::AllKeysLhd, samples: 5, decay_minutes: 1, now };
        store.evict_one(&round, pool, &mut random, &mut |_, _| ()).map(|(_, key, _)| key)
    };
    let mut left = Vec::new();
    left.extend((0..3).filter_map(|_| evict(Now { ms: NOW.ms + 30_000 }, &mut pool)));
    assert!(pool.candidates.len() > 5 && pool.candidates.len() <= POOL_MAX);
    assert!(pool.candidates.iter().all(|kept| kept.key.len() <= POOL_KEY_BYTES_MAX));
    // One that is to leave next is used often meanwhile, the one after it is deleted.
    let next = pool.candidates.pop().unwrap();
    let gone = pool.candidates.last().unwrap().key.clone();
    let used = (0..30).find(|n| key_of(*n) == next.key).unwrap();
    pool.put(next);
    let now = (0..10).map(|_| touch(used, 10, true)).last().unwrap();
    assert!(store.lock(store.partition_of(0)).remove(0, &store.key(&gone, 0), now).is_some());
    left.extend(std::iter::from_fn(|| evict(now, &mut pool)));
    assert_eq!(left.last(), Some(&key_of(used)), "what was used most leaves last");
    left.push(gone);
    left.sort();
    left.dedup();
    assert_eq!(left.len(), 30, "each key left once");
    assert!(pool.candidates.is_empty() && evict(now, &mut pool).is_none());
}
