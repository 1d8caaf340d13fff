//! The tree of minima against a plain list of ticks, and deadlines of many keys through the partition.

use super::super::access::Access;
use super::super::value::ValueRef;
use super::super::*;
use super::*;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 256 }, ..ProptestConfig::default() })]
    /// Leaves come out in the order of their ticks, each once, however many buckets there are.
    #[test]
    fn the_earliest_leaf_comes_first(ticks in proptest::collection::vec(proptest::option::of(1u32..1000), 1..3000)) {
        let mut deadlines = Deadlines::new(0);
        let mut expected = vec![NEVER; ticks.len().div_ceil(LEAF_BUCKETS)];
        for (bucket, tick) in ticks.iter().enumerate() {
            let Some(tick) = *tick else { continue };
            deadlines.note(bucket, ticks.len(), tick);
            expected[bucket / LEAF_BUCKETS] = expected[bucket / LEAF_BUCKETS].min(tick);
        }
        let mut order: Vec<_> = expected.iter().copied().filter(|tick| *tick != NEVER).collect();
        order.sort_unstable();
        for tick in order {
            prop_assert_eq!(deadlines.next(), Some(u64::from(tick) * TICK_MS));
            prop_assert_eq!(deadlines.due(u64::from(tick) * TICK_MS - 1), None);
            let leaf = deadlines.due(u64::from(tick) * TICK_MS).unwrap();
            prop_assert_eq!(expected[leaf], tick);
            deadlines.looked(leaf, NEVER);
        }
        prop_assert_eq!((deadlines.next(), deadlines.memory_bytes()), (None, 0));
    }
}

/// Every deadline is kept while the table grows, shrinks and grows, and comes when it should.
#[test]
fn many_deadlines_are_kept_while_the_table_changes_its_size() {
    let seed = Seed::new(5);
    let start = 1_800_000_000_000;
    let count = if cfg!(miri) { 300 } else { 30_000u64 };
    let mut part = Partition::new(seed, start, Default::default(), crate::partition::Common::new(4096));
    let names: Vec<_> = (0..count).map(|n| format!("k{n}")).collect();
    let key = |n: u64| {
        let bytes = names[n as usize].as_bytes();
        Key { bytes, slot: 0, hash: seed.hash(bytes) }
    };
    let deadline = |n: u64| start + 1 + n * 7919 % 100_000;
    for round in 0..2 {
        for n in 0..count {
            // Every third key has no deadline and goes at once in the first round: the table shrinks.
            let extras = Extras { deadline: (n % 3 > 0).then(|| deadline(n)), ..Extras::default() };
            part.set(0, &key(n), Value::String(b"v"), extras, Access::lru(start));
        }
        if round == 0 {
            (0..count).filter(|n| n % 16 > 0).for_each(|n| _ = part.remove(0, &key(n), Now { ms: start }));
        }
    }
    for now in (start..start + 101_000).step_by(500) {
        while part.next_deadline().is_some_and(|due| due <= now) {
            part.expire_due(Now { ms: now }, 32);
        }
        let late = (0..count).filter(|n| n % 3 > 0 && deadline(*n) + TICK_MS <= now).count();
        let early = (0..count).filter(|n| n % 3 > 0 && deadline(*n) <= now).count();
        let expired = part.counters().expired as usize;
        assert!(late <= expired && expired <= early, "{late} to {early} at {now}: {expired}");
    }
    assert_eq!(part.len(0), count.div_ceil(3) as usize);
    assert_eq!(part.next_deadline(), None);
}

/// A deadline comes back as it was given, wherever it lies.
#[test]
fn deadlines_of_all_sizes_are_exact() {
    let seed = Seed::new(5);
    let mut part = Partition::new(seed, 0, Default::default(), crate::partition::Common::new(4096));
    let key = Key { bytes: b"k", slot: 0, hash: seed.hash(b"k") };
    let epoch = 1_577_836_800_000u64;
    let far = epoch + (1 << 40);
    let times = [1, epoch - 1, epoch, epoch + 1, far - 2, far - 1, far, i64::MAX as u64, epoch + 5, 7];
    for (at, deadline) in times.into_iter().enumerate() {
        let extras =
            Extras { deadline: Some(deadline), flags: 7, cas: 9, raw: at % 2 == 0, ..Extras::default() };
        part.set(0, &key, Value::String(b"value"), extras, Access::lru(0));
        assert_eq!(part.peek(0, &key, Now { ms: 0 }).unwrap().extras(), extras);
        for deadline in times {
            let extras = Extras { deadline: Some(deadline), ..extras };
            assert!(part.set_extras(0, &key, extras, Now { ms: 0 }));
            let item = part.peek(0, &key, Now { ms: 0 }).unwrap();
            assert_eq!((item.extras(), item.deadline()), (extras, Some(deadline)));
            assert!(matches!(item.value(), ValueRef::String(b"value")));
        }
    }
}
