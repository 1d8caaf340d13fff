//! The partition against a model, and the promises of scanning and expiry.

use super::access::Access;
use super::value::{State, ValueRef};
use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const NOW: Now = Now { ms: 1_000_000 };

fn access() -> Access {
    Access::lru(NOW.ms)
}

fn key(seed: &Seed, bytes: &'static [u8]) -> Key<'static> {
    Key { bytes, slot: 0, hash: seed.hash(bytes) }
}

fn partition() -> (Partition, Seed) {
    let seed = Seed::new(7);
    (Partition::new(seed, 0, (Arc::new(AtomicBool::new(true)), Arc::default()), Common::new(4096)), seed)
}

fn string(item: Option<ItemRef<'_>>) -> Option<Vec<u8>> {
    match item?.value() {
        value::ValueRef::String(bytes) => Some(bytes.to_vec()),
        value::ValueRef::Integer(n) => Some(n.to_string().into_bytes()),
        _ => None,
    }
}

#[derive(Clone, Debug)]
enum Act {
    Set { key: u8, len: u16, deadline: Option<u16> },
    SetInteger { key: u8, value: i64 },
    Patch { key: u8, at: u16, byte: u8 },
    Expire { key: u8, deadline: Option<u16>, flags: u32 },
    Remove { key: u8 },
    Wait { ms: u16 },
    Reclaim,
    Compact { mask: u8 },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let deadline = || proptest::option::of(0u16..2000);
    let act = prop_oneof![
        4 => (any::<u8>(), 0u16..300, deadline()).prop_map(|(key, len, deadline)| Act::Set { key, len, deadline }),
        1 => (any::<u8>(), any::<i64>()).prop_map(|(key, value)| Act::SetInteger { key, value }),
        1 => (any::<u8>(), 0u16..300, any::<u8>()).prop_map(|(key, at, byte)| Act::Patch { key, at, byte }),
        1 => (any::<u8>(), deadline(), 0u32..3).prop_map(|(key, deadline, flags)| Act::Expire { key, deadline, flags }),
        2 => any::<u8>().prop_map(|key| Act::Remove { key }),
        1 => (0u16..500).prop_map(|ms| Act::Wait { ms }),
        1 => Just(Act::Reclaim),
        1 => any::<u8>().prop_map(|mask| Act::Compact { mask }),
    ];
    proptest::collection::vec(act, 1..400)
}

/// What the model knows of a key: its string and its deadline.
type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

fn alive(model: &Model, key: &[u8], now: Now) -> Option<(Vec<u8>, Option<u64>)> {
    model.get(key).filter(|(_, deadline)| deadline.is_none_or(|deadline| deadline > now.ms)).cloned()
}

fn apply(part: &mut Partition, seed: &Seed, model: &mut Model, now: &mut Now, act: &Act) {
    let name = |k: u8| format!("key:{k}").into_bytes();
    let at = |now: Now, deadline: Option<u16>| deadline.map(|d| now.ms + u64::from(d));
    match act {
        Act::Set { key: k, len, deadline } => {
            let (bytes, value) = (name(*k), vec![*k; usize::from(*len)]);
            let extras = Extras { deadline: at(*now, *deadline), ..Extras::default() };
            let k = Key { bytes: &bytes, slot: 0, hash: seed.hash(&bytes) };
            part.set(0, &k, Value::String(&value), extras, access());
            model.insert(bytes.clone(), (value, extras.deadline));
        }
        Act::SetInteger { key: k, value } => {
            let bytes = name(*k);
            let k = Key { bytes: &bytes, slot: 0, hash: seed.hash(&bytes) };
            part.set(0, &k, Value::Integer(*value), Extras::default(), access());
            model.insert(bytes.clone(), (value.to_string().into_bytes(), None));
        }
        Act::Patch { key: k, at, byte } => {
            let bytes = name(*k);
            let k = Key { bytes: &bytes, slot: 0, hash: seed.hash(&bytes) };
            let value = part.write(0, &k, *now, access()).map(|item| item.into_value());
            if let Some(value::ValueMut::Inline(there)) = value
                && let Some(place) = there.get_mut(usize::from(*at))
            {
                *place = *byte;
                let known = model.get_mut(&bytes).unwrap();
                known.0[usize::from(*at)] = *byte;
            }
        }
        Act::Expire { key: k, deadline, flags } => {
            let bytes = name(*k);
            let extras = Extras { deadline: at(*now, *deadline), flags: *flags, ..Extras::default() };
            let k = Key { bytes: &bytes, slot: 0, hash: seed.hash(&bytes) };
            let there = part.set_extras(0, &k, extras, *now);
            assert_eq!(there, alive(model, &bytes, *now).is_some());
            if let Some((value, _)) = alive(model, &bytes, *now) {
                model.insert(bytes.clone(), (value, extras.deadline));
                assert_eq!(part.peek(0, &k, Now { ms: 0 }).unwrap().extras(), extras);
            }
        }
        Act::Remove { key: k } => {
            let bytes = name(*k);
            let k = Key { bytes: &bytes, slot: 0, hash: seed.hash(&bytes) };
            assert_eq!(part.remove(0, &k, *now).is_some(), alive(model, &bytes, *now).is_some());
            model.remove(&bytes);
        }
        Act::Wait { ms } => now.ms += u64::from(*ms),
        Act::Reclaim => {
            part.expire_due(*now, usize::MAX);
            let late =
                |item: ItemRef<'_>| assert!(item.deadline().is_none_or(|d| d + expire::TICK_MS > now.ms));
            part.first.each(late);
        }
        Act::Compact { mask } => compact(part, &mut |block| block.addr() >> 4 & usize::from(*mask) == 0),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 256 }, ..ProptestConfig::default() })]
    #[test]
    fn behaves_as_the_model(acts in acts()) {
        let (mut part, seed) = partition();
        let (mut model, mut now) = (Model::new(), NOW);
        for act in &acts {
            apply(&mut part, &seed, &mut model, &mut now, act);
            for k in 0..=255u8 {
                let bytes = format!("key:{k}").into_bytes();
                let k = Key { bytes: &bytes, slot: 0, hash: seed.hash(&bytes) };
                let expected = alive(&model, &bytes, now);
                prop_assert_eq!(part.peek(0, &k, now).and_then(|i| i.deadline()), expected.as_ref().and_then(|e| e.1));
                prop_assert_eq!(string(part.read(0, &k, now, access())), expected.map(|e| e.0));
            }
        }
        let volatile = part.first.volatile();
        let mut counted = 0;
        part.first.each(|item| counted += usize::from(item.deadline().is_some()));
        prop_assert_eq!(volatile, counted);
    }

    /// A key that is there throughout is returned, whatever else comes and goes between the calls.
    #[test]
    fn scan_misses_nothing(stay in 1usize..400, churn in proptest::collection::vec((any::<bool>(), 0u16..3000), 0..600)) {
        let (mut part, seed) = partition();
        let put = |part: &mut Partition, name: String, add: bool| {
            let k = Key { bytes: name.as_bytes(), slot: 0, hash: seed.hash(name.as_bytes()) };
            if add {
                part.set(0, &k, Value::String(b"v"), Extras::default(), access());
            } else {
                part.remove(0, &k, NOW);
            }
        };
        (0..stay).for_each(|i| put(&mut part, format!("stay:{i}"), true));
        let mut seen = BTreeSet::new();
        let (mut position, mut churn) = (Some(0), churn.iter());
        while let Some(at) = position {
            position = part.scan(0, at, NOW, |item| { seen.insert(item.key().to_vec()); });
            for (add, from) in churn.by_ref().take(3) {
                (0..40).for_each(|i| put(&mut part, format!("churn:{}", (from + i) % 3000), *add));
            }
        }
        let stayed = seen.iter().filter(|key| key.starts_with(b"stay:")).count();
        prop_assert_eq!(stayed, stay);
    }
}

#[test]
fn a_scan_of_a_quiet_table_returns_each_key_once() {
    let (mut part, seed) = partition();
    for n in 0..5000 {
        let name = format!("k{n}");
        let k = Key { bytes: name.as_bytes(), slot: 0, hash: seed.hash(name.as_bytes()) };
        part.set(0, &k, Value::Integer(n), Extras::default(), access());
        if n % 97 == 0 {
            let mut keys = Vec::new();
            let mut position = Some(0);
            while let Some(at) = position {
                position = part.scan(0, at, NOW, |item| keys.push(item.key().to_vec()));
            }
            let count = keys.len();
            keys.sort();
            keys.dedup();
            assert_eq!((count, keys.len()), (n as usize + 1, n as usize + 1));
        }
    }
}

/// Of 1111 keys some lie in buckets that were split already, which are half as full, and some in overflow buckets.
#[test]
fn samples_come_to_every_key_and_see_none_twice() {
    const KEYS: usize = 1111;
    const ROUNDS: u32 = 20_000;
    let (mut part, seed) = partition();
    part.sample(0, u32::MAX, 5, |_| panic!("there is none"));
    for n in 0..KEYS {
        let name = format!("k{n}");
        let k = Key { bytes: name.as_bytes(), slot: 0, hash: seed.hash(name.as_bytes()) };
        part.set(0, &k, Value::Integer(n as i64), Extras::default(), access());
    }
    let mut seen = BTreeMap::new();
    for round in 0..ROUNDS {
        let mut names = BTreeSet::new();
        part.sample(0, round.wrapping_mul(0x9e37_79b1), 15, |item| {
            assert!(names.insert(item.key().to_vec()));
        });
        assert!((15..60).contains(&names.len()), "{}", names.len());
        names.into_iter().for_each(|name| *seen.entry(name).or_insert(0usize) += 1);
    }
    assert_eq!(seen.len(), KEYS);
    let mean = seen.values().sum::<usize>() / KEYS;
    assert!(seen.values().all(|times| (mean / 6..mean * 3).contains(times)), "{mean} {seen:?}");
    let mut all = 0;
    part.sample(0, 7 << 28, usize::MAX / 16, |_| all += 1);
    assert_eq!(all, KEYS);
}

#[test]
fn the_table_gives_its_memory_back() {
    let (mut part, seed) = partition();
    let names: Vec<String> = (0..20_000).map(|n| format!("k{n}")).collect();
    for name in &names {
        let k = Key { bytes: name.as_bytes(), slot: 0, hash: seed.hash(name.as_bytes()) };
        part.set(0, &k, Value::String(b"v"), Extras::default(), access());
    }
    let full = part.index_bytes();
    assert!(full / names.len() <= 15, "{} bytes per key", full / names.len());
    for name in &names[..19_900] {
        let k = Key { bytes: name.as_bytes(), slot: 0, hash: seed.hash(name.as_bytes()) };
        assert!(part.remove(0, &k, NOW).is_some());
    }
    assert!(part.index_bytes() < full / 50, "{} of {full}", part.index_bytes());
    assert_eq!(part.len(0), 100);
}

#[test]
fn the_index_follows_when_fewer_keys_are_there_and_keeps_its_size_while_they_come_and_go() {
    let (mut part, seed) = partition();
    let names: Vec<String> = (0..20_000).map(|n| format!("k{n}")).collect();
    let key = |n: usize| Key { bytes: names[n].as_bytes(), slot: 0, hash: seed.hash(names[n].as_bytes()) };
    for n in 0..20_000 {
        part.set(0, &key(n), Value::String(b"v"), Extras::default(), access());
    }
    for n in 0..9_000 {
        assert!(part.remove(0, &key(n), NOW).is_some());
        if n % 1000 == 999 {
            let each = part.index_bytes() / part.len(0);
            assert!(each <= 17, "{each} bytes a key with {}", part.len(0));
        }
    }
    // At every number of keys: one that leaves and comes back makes the table neither smaller nor larger.
    for n in 9_000..19_990 {
        assert!(part.remove(0, &key(n), NOW).is_some());
        part.set(0, &key(n), Value::String(b"v"), Extras::default(), access());
        let before = part.table(0).map(Table::bucket_count);
        assert!(part.remove(0, &key(n), NOW).is_some());
        assert_eq!(part.table(0).map(Table::bucket_count), before, "{} keys", part.len(0));
    }
    assert!((19_990..20_000).all(|n| part.peek(0, &key(n), NOW).is_some()));
}

#[test]
fn room_that_was_made_in_advance_is_used_or_given_back() {
    let names: Vec<String> = (0..20_000).map(|n| format!("k{n}")).collect();
    let fill = |reserved: usize| {
        let (mut part, seed) = partition();
        part.reserve(0, reserved);
        for (n, name) in names.iter().enumerate() {
            let k = Key { bytes: name.as_bytes(), slot: 0, hash: seed.hash(name.as_bytes()) };
            let deadline = (n % 7 == 0).then_some(NOW.ms + 1000 + n as u64);
            part.set(0, &k, Value::String(b"v"), Extras { deadline, ..Extras::default() }, access());
        }
        part.reserve(0, 10 * reserved); // it is in use
        part.fit();
        (part, seed)
    };
    let usual = fill(0).0.index_bytes();
    for reserved in [1, 6, 1000, 20_000, 21_000, 2_000_000] {
        let (mut part, seed) = fill(reserved);
        let bytes = part.index_bytes();
        assert!(bytes < usual * 2, "{reserved} reserved: {bytes} of {usual}");
        for name in &names {
            let k = Key { bytes: name.as_bytes(), slot: 0, hash: seed.hash(name.as_bytes()) };
            assert!(part.peek(0, &k, NOW).is_some(), "{name} with {reserved} reserved");
        }
        let (mut seen, mut position) = (BTreeSet::new(), Some(0));
        while let Some(at) = position {
            position = part.scan(0, at, NOW, |item| _ = seen.insert(item.key().to_vec()));
        }
        assert_eq!(seen.len(), names.len());
        part.expire_due(Now { ms: NOW.ms + 100_000 }, usize::MAX);
        assert_eq!((part.len(0), part.volatile_len(0)), (20_000 - 2858, 0), "{reserved} reserved");
    }
}

#[test]
fn refreshing_a_deadline_again_and_again_stays_bounded() {
    let (mut part, seed) = partition();
    let k = key(&seed, b"session");
    let extras = Extras { deadline: Some(NOW.ms + 59_000), ..Extras::default() };
    part.set(0, &k, Value::String(b"v"), extras, access());
    let before = part.index_bytes();
    for n in 0..10_000 {
        let extras = Extras { deadline: Some(NOW.ms + 60_000 + n), ..Extras::default() };
        part.set(0, &k, Value::String(b"v"), extras, access());
    }
    assert_eq!(part.index_bytes(), before);
    part.expire_due(Now { ms: NOW.ms + 60_000 }, usize::MAX);
    assert_eq!(part.counters().expired, 0);
    part.expire_due(Now { ms: NOW.ms + 80_000 }, usize::MAX);
    assert_eq!((part.len(0), part.counters().expired), (0, 1));
}

#[test]
fn watchers_are_told() {
    let (mut part, seed) = partition();
    let (k, other) = (key(&seed, b"k"), key(&seed, b"other"));
    let watcher = Watcher::default();
    part.watch(0, &k, &watcher, NOW);
    part.set(0, &other, Value::String(b"v"), Extras::default(), access());
    part.set(1, &k, Value::String(b"v"), Extras::default(), access());
    assert!(!watcher.is_changed());
    part.set(0, &k, Value::String(b"v"), Extras::default(), access());
    assert!(watcher.is_changed());
}

#[test]
fn that_a_dead_key_goes_is_no_change_for_who_watched_it_dead() {
    let (seed, keeping) = (Seed::new(7), Arc::new(Keeping::default()));
    let flags = (Arc::new(AtomicBool::new(true)), keeping.clone());
    let mut part = Partition::new(seed, 0, flags, Common::new(4096));
    let (dead, alive, none) = (key(&seed, b"dead"), key(&seed, b"alive"), key(&seed, b"none"));
    let soon = Extras { deadline: Some(NOW.ms + 5), ..Extras::default() };
    let later = Now { ms: NOW.ms + 10 };
    let watch = |part: &mut Partition, key: &Key<'_>, lives: bool, now: Now| {
        let watcher = Watcher::default();
        assert_eq!(part.watch(0, key, &watcher, now), lives);
        watcher
    };
    // Reclaimed, cleared, exchanged, with what is dead kept or not.
    for keeps in [false, true] {
        part.set(0, &dead, Value::String(b"v"), soon, access());
        part.set(0, &alive, Value::String(b"v"), soon, access());
        keeping.all.store(keeps, Ordering::Relaxed);
        let early = watch(&mut part, &alive, true, NOW);
        let late = watch(&mut part, &dead, false, later);
        part.bury_kept(0, &dead, later);
        assert!(!late.is_changed());
        part.set(0, &dead, Value::String(b"v"), Extras::default(), access());
        assert!(late.is_changed(), "it came back");
        part.bury_kept(0, &alive, later);
        assert!(early.is_changed(), "it was seen alive");

        part.set(0, &dead, Value::String(b"v"), soon, access());
        let late = watch(&mut part, &dead, false, later);
        part.set(1, &none, Value::String(b"v"), soon, access());
        let absent = watch(&mut part, &none, false, later);
        part.swap(0, 1, later);
        assert!(!late.is_changed() && !absent.is_changed());
        part.swap(0, 1, later);
        part.clear(0, later);
        assert!(!late.is_changed() && !absent.is_changed());
        part.set(1, &none, Value::String(b"v"), Extras::default(), access());
        part.swap(0, 1, later);
        assert!(!late.is_changed() && absent.is_changed());
        part.clear(0, later);
        part.clear(1, later);
    }
}

#[test]
fn databases_are_apart_and_can_be_exchanged() {
    let (mut part, seed) = partition();
    let k = key(&seed, b"k");
    part.set(0, &k, Value::String(b"zero"), Extras::default(), access());
    part.set(3, &k, Value::String(b"three"), Extras::default(), access());
    part.swap(0, 3, NOW);
    assert_eq!(string(part.peek(0, &k, NOW)), Some(b"three".to_vec()));
    assert_eq!(string(part.peek(3, &k, NOW)), Some(b"zero".to_vec()));
    drop(part.clear(3, NOW));
    assert_eq!((part.len(0), part.len(3)), (1, 0));
}

#[test]
fn a_long_string_is_boxed_and_comes_back() {
    let (mut part, seed) = partition();
    let k = key(&seed, b"k");
    let long = vec![b'x'; 5 * item::INLINE_STRING_BYTES_MAX];
    part.set(0, &k, Value::String(&long), Extras::default(), access());
    part.set_extras(
        0,
        &k,
        Extras { deadline: Some(NOW.ms + 5), flags: 9, cas: 4, raw: true, ..Extras::default() },
        NOW,
    );
    assert_eq!(string(part.peek(0, &k, NOW)), Some(long.clone()));
    match part.remove(0, &k, NOW).map(Removed::into_value) {
        Some(Owned::Bytes(bytes)) => assert_eq!(bytes, long),
        other => panic!("{other:?}"),
    }
}

/// Moves what lies badly, in all of the first database.
fn compact(part: &mut Partition, badly: &mut dyn FnMut(*const u8) -> bool) {
    let mut mover = Mover::new(badly);
    let mut position = Some(0);
    while let Some(at) = position {
        position = part.compact(0, at, &mut mover);
    }
}

#[test]
fn values_of_all_kinds_move_and_stay_what_they_are() {
    use crate::object::{End, Hash, Limits, List, Set, SortedSet};
    let (mut part, seed) = partition();
    let limits = Limits::default();
    let name = |n: usize| format!("key:{n}").into_bytes();
    let value = |n: usize| -> Value<'static> {
        let members = (0..n % 300).map(|m| format!("member {m}").into_bytes());
        match n % 5 {
            0 => Value::Long(vec![b'x'; 100 * n]),
            1 => {
                let mut list = Box::new(List::default());
                members.for_each(|member| list.push(End::Right, &member, &limits));
                Value::List(list)
            }
            2 => {
                let mut set = Box::new(Set::default());
                members.for_each(|member| _ = set.insert(&member, &limits));
                Value::Set(set)
            }
            3 => {
                let mut set = Box::new(SortedSet::default());
                members.enumerate().for_each(|(at, member)| _ = set.insert(&member, at as f64, &limits));
                Value::SortedSet(set)
            }
            _ => {
                let mut hash = Box::new(Hash::default());
                members.for_each(|member| _ = hash.insert(&member, b"value", &limits));
                Value::Hash(hash)
            }
        }
    };
    let mut shown = Vec::new();
    for n in 0..1000 {
        let bytes = name(n);
        let key = Key { bytes: &bytes, slot: 0, hash: seed.hash(&bytes) };
        let extras = Extras {
            deadline: (n % 3 == 0).then_some(NOW.ms + 1000),
            flags: n as u32,
            cas: 7,
            ..Extras::default()
        };
        shown.push(format!("{:?}", value(n)));
        part.set(0, &key, value(n), extras, access());
    }
    let mut asked = 0;
    compact(&mut part, &mut |_| {
        asked += 1;
        true
    });
    assert!(asked > 2000, "items, boxes and buffers: {asked}");
    for (n, shown) in shown.iter().enumerate() {
        let bytes = name(n);
        let key = Key { bytes: &bytes, slot: 0, hash: seed.hash(&bytes) };
        let item = part.peek(0, &key, NOW).unwrap();
        assert_eq!((item.extras().flags, item.extras().cas), (n as u32, 7));
        let value = match item.value() {
            value::ValueRef::String(bytes) => format!("Long({bytes:?})"),
            value => format!("{value:?}"),
        };
        assert_eq!(value, *shown);
    }
    assert!(part.expire_due(Now { ms: NOW.ms + 2000 }, usize::MAX) > 0);
    assert_eq!(part.len(0), 666);
}

/// A string with a state keeps it, with and without the other optional fields, and is no hash with timed fields.
#[test]
fn a_state_takes_room_only_where_there_is_one() {
    let key = b"key";
    let plain = Item::new(key, Value::String(b"value"), Extras::default(), 0);
    for (deadline, flags, cas) in
        [(None, 0, 0), (Some(NOW.ms + 5), 7, 0), (Some(NOW.ms + 5), 0, 9), (None, 3, 9)]
    {
        let usual = Extras { deadline, flags, cas, ..Extras::default() };
        let extras = Extras { state: State { stale: true, won: false }, ..usual };
        let mut item = Item::new(key, Value::String(b"value"), extras, 0);
        assert_eq!((item.extras(), item.key()), (extras, &key[..]));
        assert!(!item.has_timed_fields());
        let won = Extras { state: State { stale: true, won: true }, ..extras };
        assert!(item.overwrite_extras(won));
        assert_eq!(item.extras(), won);
        assert!(!item.overwrite_extras(usual));
        let item = item.with_extras(usual);
        assert_eq!(item.extras(), usual);
        let there = item.with_extras(extras);
        assert_eq!(there.extras(), extras);
        assert!(matches!(there.value(), ValueRef::String(b"value")));
    }
    assert_eq!(plain.size_bytes(), 4 + 2 + 3 + 5);
}

#[test]
fn a_read_marks_a_value_as_fetched_until_another_is_set() {
    let (lru, word) = (Access::lru(5_000_000), Access::lru(4_000_000).of_new());
    assert!(!lru.is_fetched(word));
    let read = lru.after_read(word);
    assert!(lru.is_fetched(read) && lru.is_fetched(lru.after_use(read)));
    assert_eq!(lru.idle_seconds(read, 5_007_000), 7);
    assert!(!lru.is_fetched(lru.after_set(read)));
    assert!(!lru.is_fetched(lru.after_use(word)));
}

#[test]
fn a_miss_is_known_by_why_the_key_left() {
    let (mut part, seed) = partition();
    let names: [&'static [u8]; 6] = [b"evicted", b"expired", b"deleted", b"flushed", b"back", b"never"];
    let [evicted, expired, deleted, flushed, back, never] = names.map(|name| key(&seed, name));
    let timed = Extras { deadline: Some(NOW.ms + 5), ..Extras::default() };
    for (key, extras) in [(&evicted, Extras::default()), (&expired, timed), (&deleted, Extras::default())] {
        part.set(0, key, Value::String(b"v"), extras, access());
    }
    part.set(1, &flushed, Value::String(b"v"), Extras::default(), access());
    part.set(0, &back, Value::String(b"v"), Extras::default(), access());
    assert!(part.evict(0, &evicted, access()).is_some() && part.remove(0, &deleted, NOW).is_some());
    assert!(part.remove(0, &back, NOW).is_some());
    part.set(0, &back, Value::String(b"v"), Extras::default(), access());
    let cleared = part.clear(1, NOW);
    part.note_flushed(1, &cleared);
    let later = Now { ms: NOW.ms + 10 };
    for (db, key) in [(0, &evicted), (0, &expired), (0, &deleted), (1, &flushed), (0, &never), (1, &deleted)]
    {
        assert!(part.read(db, key, later, access()).is_none());
    }
    assert!(part.read(0, &back, later, access()).is_some());
    assert_eq!((part.counters().misses, part.counters().missed), (6, [1, 1, 1, 1]));
    assert_eq!(part.reason(0, &expired, later), Some(Reason::Expired));
    assert_eq!((part.reason(0, &never, later), part.reason(0, &flushed, later)), (None, None));
}

#[test]
fn of_a_flushed_database_those_are_noted_that_did_not_come_back() {
    let (mut part, seed) = partition();
    let (gone, back) = (key(&seed, b"gone"), key(&seed, b"back"));
    let set = |part: &mut Partition, key| part.set(0, key, Value::Integer(1), Extras::default(), access());
    for key in [&gone, &back] {
        set(&mut part, key);
    }
    let cleared = part.clear(0, NOW);
    assert_eq!((cleared.len(), part.len(0), part.reason(0, &gone, NOW)), (2, 0, None));
    set(&mut part, &back);
    part.note_flushed(0, &cleared);
    assert_eq!(part.reason(0, &gone, NOW), Some(Reason::Flushed));
    assert!(part.remove(0, &back, NOW).is_some());
    assert_eq!(part.reason(0, &back, NOW), Some(Reason::Deleted));
}

#[test]
fn an_evicted_key_that_comes_back_is_known_to_have_been_used() {
    let (mut part, seed) = partition();
    let (known, new) = (key(&seed, b"known"), key(&seed, b"new"));
    let common = part.common.clone();
    let used = || Access::Lhd(common.densities.moment(NOW.ms, 0));
    part.set(0, &known, Value::String(b"v"), Extras::default(), used());
    for _ in 0..3 {
        assert!(part.read(0, &known, NOW, used()).is_some());
    }
    assert!(part.evict(0, &known, used()).is_some());
    for key in [&known, &new] {
        part.set(0, key, Value::String(b"v"), Extras::default(), used());
    }
    let uses = |part: &Partition, key| part.peek(0, key, NOW).map(|item| density::uses(item.access()));
    assert_eq!((uses(&part, &known), uses(&part, &new)), (Some(4), Some(0)));
}
