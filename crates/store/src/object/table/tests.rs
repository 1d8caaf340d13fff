//! Tables that lose most of their members: they are moved together little by little, and nobody notices.

use super::super::{Limits, SortedSet};
use super::*;
use std::collections::{BTreeMap, HashSet};

const MEMBERS: usize = 30_000;

fn name(n: u64) -> Vec<u8> {
    format!("member:{n:06}:{}", "x".repeat(n as usize % 7)).into_bytes()
}

fn payload(n: u64) -> Vec<u8> {
    // Some have an allocation of their own.
    vec![n as u8; if n.is_multiple_of(500) { 2_000 } else { n as usize % 40 }]
}

fn dice(mut state: u64) -> impl FnMut(u64) -> u64 {
    move |bound| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    }
}

fn contents(table: &Table) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let all: BTreeMap<_, _> =
        table.iter().map(|entry| (entry.name.to_vec(), entry.payload.to_vec())).collect();
    assert_eq!(table.iter().count(), all.len(), "each member once");
    assert_eq!(table.len(), all.len());
    all
}

#[test]
fn a_table_is_compacted_a_few_members_at_a_time() {
    let (mut table, mut model, mut random) = (Table::new(7, None), BTreeMap::new(), dice(1));
    for n in 0..MEMBERS as u64 {
        table.insert_new(&name(n), &payload(n));
        model.insert(name(n), payload(n));
    }
    let full = table.memory_bytes();
    let (mut order, mut images) = ((0..MEMBERS as u64).collect::<Vec<_>>(), Vec::new());
    (1..order.len()).rev().for_each(|last| order.swap(last, random(last as u64 + 1) as usize));
    let (mut walks, mut on, mut moved) = (0, false, 0);
    for (round, n) in order[..MEMBERS - 1_000].iter().enumerate() {
        if random(10) == 0 {
            // Some are changed, and some come back.
            let other = order[random(MEMBERS as u64) as usize];
            let fresh = table.insert(&name(other), &payload(n + other));
            assert_eq!(fresh, model.insert(name(other), payload(n + other)).is_none());
            moved += table.compact().len();
        }
        assert_eq!(table.remove(&name(*n)), model.remove(&name(*n)).is_some());
        let now = table.compact().len();
        assert!(now <= SLOTS + table.chain_max * SPILL_SLOTS, "{now} at one edit");
        moved += now;
        walks += usize::from(table.walk.is_some() && !on);
        on = table.walk.is_some();
        if round % 1_500 == 0 || (on && round % 100 == 0) {
            images.push((table.clone(), model.clone()));
        }
    }
    assert!(walks >= 1, "never compacted");
    assert!(moved < MEMBERS, "{moved} moved");
    assert_eq!(contents(&table), model);
    model.iter().for_each(|(name, payload)| assert_eq!(table.get(name), Some(payload.as_slice())));
    assert!(table.memory_bytes() < full / 3, "{} of {full}", table.memory_bytes());
    let was_on = images.iter().filter(|(image, _)| image.walk.is_some()).count();
    assert!(was_on >= 5, "{was_on} images while it was compacted");
    images.iter().for_each(|(image, model)| assert_eq!(contents(image), *model));
}

#[test]
fn what_is_left_costs_what_it_would_in_a_table_of_its_own() {
    let mut table = Table::new(7, Some(0));
    let mut fresh = Table::new(7, Some(0));
    (0..MEMBERS as u64).for_each(|n| {
        table.insert_new(&name(n), &[]);
    });
    for n in 0..MEMBERS as u64 {
        if n.is_multiple_of(8) {
            fresh.insert_new(&name(n), &[]);
        } else {
            table.remove(&name(n));
            table.compact();
        }
    }
    // Adding goes on with what removing began.
    while table.walk.is_some() {
        let len = table.len() as u64;
        table.insert_new(&name(MEMBERS as u64 + len), &[]);
        table.compact();
        fresh.insert_new(&name(MEMBERS as u64 + len), &[]);
    }
    let (compact, least) = (table.memory_bytes(), fresh.memory_bytes());
    assert!(compact < least * 3 / 2 + CHUNK_SLACK_BYTES, "{compact} bytes, and {least} in a new table");
    assert_eq!(contents(&table), contents(&fresh));
}

/// A chunk that has just begun.
const CHUNK_SLACK_BYTES: usize = 64 << 10;

#[test]
fn a_scan_meets_who_stays_while_the_table_is_compacted() {
    let mut table = Table::new(9, None);
    let stays = |n: u64| n.is_multiple_of(10);
    (0..MEMBERS as u64).for_each(|n| {
        table.insert_new(&name(n), &payload(n));
    });
    let (mut seen, mut cursor, mut gone, mut during) = (HashSet::new(), 0, 0, 0);
    loop {
        cursor = table.scan(cursor, 10, &mut |entry| {
            seen.insert(entry.name.to_vec());
        });
        for n in (gone..MEMBERS as u64).take(60) {
            gone = n + 1;
            if !stays(n) {
                assert!(table.remove(&name(n)));
                table.compact();
            }
        }
        during += usize::from(table.walk.is_some());
        if cursor == 0 {
            break;
        }
    }
    assert!(during > 10, "{during} steps of the scan while it was compacted");
    (0..MEMBERS as u64).filter(|&n| stays(n)).for_each(|n| assert!(seen.contains(&name(n)), "{n}"));
}

#[test]
fn the_order_of_a_sorted_set_survives() {
    let limits = Limits { zset_max_listpack_entries: 8, ..Limits::default() };
    let mut zset = SortedSet::new();
    let score = |n: u64| (n * 7_919 % MEMBERS as u64) as f64;
    for n in 0..MEMBERS as u64 {
        assert_eq!(zset.insert(&name(n), score(n), &limits), None);
    }
    let full = zset.memory_bytes();
    let image = zset.clone();
    for n in (0..MEMBERS as u64).filter(|n| !n.is_multiple_of(10)) {
        assert_eq!(zset.remove(&name(n)), Some(score(n)));
        if n.is_multiple_of(13) {
            // Scores change while members move.
            let other = n / 10 * 10;
            assert_eq!(zset.insert(&name(other), score(other), &limits), Some(score(other)));
        }
    }
    assert_eq!(zset.remove_range(0, 100), 100);
    assert!(zset.memory_bytes() < full / 4, "{} of {full}", zset.memory_bytes());
    let expected = |kept: &dyn Fn(u64) -> bool| {
        let mut all: Vec<_> = (0..MEMBERS as u64).filter(|&n| kept(n)).map(|n| (score(n), name(n))).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
        all
    };
    let owned = |zset: &SortedSet| -> Vec<_> {
        zset.iter().map(|(member, score)| (score, member.to_vec())).collect()
    };
    assert_eq!(owned(&zset), expected(&|n| n.is_multiple_of(10))[100..]);
    assert_eq!(owned(&image), expected(&|_| true));
    for (rank, (score, member)) in owned(&zset).into_iter().enumerate() {
        assert_eq!((zset.rank(&member), zset.score(&member)), (Some(rank), Some(score)));
    }
}
