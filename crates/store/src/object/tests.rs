//! Every structure against a std model: random edits, all forms, both directions, ranks, scans.

use super::packed::{Element, Packed};
use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Small limits so that short histories cross every form.
fn tight() -> Limits {
    Limits {
        hash_max_listpack_entries: 8,
        hash_max_listpack_value: 16,
        list_max_listpack_size: 4,
        set_max_intset_entries: 8,
        set_max_listpack_entries: 12,
        set_max_listpack_value: 16,
        zset_max_listpack_entries: 8,
        zset_max_listpack_value: 16,
        stream_node_max_bytes: 4096,
        stream_node_max_entries: 100,
        hash_seed: 7,
    }
}

fn dice(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0u32..40).prop_map(|n| format!("m{n}").into_bytes()),
        3 => (-20i64..20).prop_map(|n| n.to_string().into_bytes()),
        1 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..30),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => name(),
        1 => prop::collection::vec(any::<u8>(), 60..70),
        1 => (0usize..20_000).prop_map(|len| vec![b'x'; len]),
    ]
}

fn check_packed(packed: &Packed, model: &[Vec<u8>]) {
    assert_eq!(packed.len(), model.len());
    let forward: Vec<_> = packed.iter().map(|element| element.to_vec()).collect();
    assert_eq!(forward, model);
    let mut backward: Vec<_> = packed.iter().rev().map(|element| element.to_vec()).collect();
    backward.reverse();
    assert_eq!(backward, model);
}

proptest! {
    #[test]
    fn an_integer_is_canonical_exactly_if_it_prints_back(bytes in prop::collection::vec(b'-'..=b'9', 0..21), n in any::<i64>()) {
        let text = std::str::from_utf8(&bytes).unwrap();
        let expected = text.parse::<i64>().ok().filter(|value| value.to_string() == text);
        prop_assert_eq!(packed::parse_canonical(&bytes), expected);
        prop_assert_eq!(packed::parse_canonical(n.to_string().as_bytes()), Some(n));
        prop_assert_eq!(Element::Int(n).len(), n.to_string().len());
    }

    #[test]
    fn packed_is_a_vec(edits in prop::collection::vec((0u8..6, any::<prop::sample::Index>(), value()), 0..60)) {
        let (mut packed, mut model) = (Packed::new(), Vec::<Vec<u8>>::new());
        for (kind, index, value) in edits {
            let element = Element::parse(&value);
            match kind {
                0..=2 => {
                    let index = index.index(model.len() + 1);
                    let at = packed.seek(index).unwrap_or(packed.end());
                    prop_assert_eq!(packed::packed_len(&element) + packed.byte_len(), {
                        packed.insert(at, &element);
                        packed.byte_len()
                    });
                    model.insert(index, value);
                }
                3 if !model.is_empty() => {
                    let index = index.index(model.len());
                    packed.replace(packed.seek(index).unwrap(), &element);
                    model[index] = value;
                }
                4 if !model.is_empty() => {
                    let index = index.index(model.len());
                    packed.remove(packed.seek(index).unwrap());
                    model.remove(index);
                }
                5 if !model.is_empty() => {
                    let index = index.index(model.len());
                    let right = packed.split_off(packed.seek(index).unwrap());
                    check_packed(&right, &model[index..]);
                    check_packed(&packed, &model[..index]);
                    packed.append(&right);
                }
                _ => {}
            }
            check_packed(&packed, &model);
            let found = model.first().and_then(|first| packed.find(0, &Element::parse(first), 1));
            prop_assert_eq!(found, packed.first());
        }
    }

    #[test]
    fn packed_is_a_queue(edits in prop::collection::vec((0u8..5, 0u8..4, name()), 0..300)) {
        let (mut packed, mut model) = (Packed::new(), std::collections::VecDeque::<Vec<u8>>::new());
        for (kind, times, value) in edits {
            let element = Element::parse(&value);
            for _ in 0..=times {
                match kind {
                    0 | 1 => {
                        packed.insert(0, &element);
                        model.push_front(value.clone());
                    }
                    2 => {
                        packed.push(&value);
                        model.push_back(value.clone());
                    }
                    3 => {
                        packed.first().into_iter().for_each(|at| packed.remove(at));
                        model.pop_front();
                    }
                    _ => {
                        packed.last().into_iter().for_each(|at| packed.remove(at));
                        model.pop_back();
                    }
                }
                prop_assert!(packed.memory_bytes() <= 2 * packed.byte_len() + 64);
            }
            check_packed(&packed, model.make_contiguous());
        }
    }

    #[test]
    fn hash_is_a_map(edits in prop::collection::vec((0u8..5, name(), value()), 0..200)) {
        let limits = tight();
        let (mut hash, mut model) = (Hash::new(), HashMap::<Vec<u8>, Vec<u8>>::new());
        for (kind, field, value) in edits {
            if kind < 3 {
                let fresh = hash.insert(&field, &value, &limits);
                prop_assert_eq!(fresh, model.insert(field.clone(), value).is_none());
            } else {
                prop_assert_eq!(hash.remove(&field), model.remove(&field).is_some());
            }
            prop_assert_eq!(hash.get(&field).map(|value| value.to_vec()), model.get(&field).cloned());
            prop_assert_eq!(hash.len(), model.len());
        }
        let all: HashMap<_, _> = hash.iter().map(|(field, value)| (field.to_vec(), value.to_vec())).collect();
        prop_assert_eq!(hash.iter().count(), model.len());
        prop_assert_eq!(&all, &model);
        let picked = hash.random(&mut dice(1)).map(|(field, value)| (field.to_vec(), value.to_vec()));
        prop_assert_eq!(picked.is_some(), !model.is_empty());
        if let Some((field, value)) = picked {
            prop_assert_eq!(model.get(&field), Some(&value));
        }
    }

    #[test]
    fn set_is_a_set(edits in prop::collection::vec((0u8..5, name()), 0..200), ints_first in 0usize..20) {
        let limits = tight();
        let (mut set, mut model) = (Set::new(), BTreeSet::<Vec<u8>>::new());
        let ints = (0..ints_first).map(|n| (0, (n * 70_000).to_string().into_bytes()));
        for (kind, member) in ints.chain(edits) {
            if kind < 3 {
                prop_assert_eq!(set.insert(&member, &limits), model.insert(member.clone()));
            } else {
                prop_assert_eq!(set.remove(&member), model.remove(&member));
            }
            prop_assert_eq!(set.contains(&member), model.contains(&member));
            prop_assert_eq!(set.len(), model.len());
        }
        prop_assert_eq!(set.iter().count(), model.len());
        prop_assert_eq!(set.iter().map(|member| member.to_vec()).collect::<BTreeSet<_>>(), model.clone());
        let mut random = dice(2);
        while let Some(member) = set.pop(&mut random) {
            prop_assert!(model.remove(&member));
        }
        prop_assert!(model.is_empty());
    }

    #[test]
    fn list_is_a_deque(edits in prop::collection::vec((0u8..11, any::<prop::sample::Index>(), value()), 0..120), bytes in any::<bool>()) {
        let mut limits = tight();
        if bytes {
            limits.list_max_listpack_size = -1;
        }
        let (mut list, mut model) = (List::new(), Vec::<Vec<u8>>::new());
        for (kind, index, value) in edits {
            let at = index.index(model.len() + 1);
            match kind {
                0 | 1 => { list.push(End::Left, &value, &limits); model.insert(0, value); }
                2 | 3 => { list.push(End::Right, &value, &limits); model.push(value); }
                4 => { list.insert(at, &value, &limits); model.insert(at, value); }
                5 => prop_assert_eq!(list.pop(End::Left), (!model.is_empty()).then(|| model.remove(0))),
                6 => prop_assert_eq!(list.pop(End::Right), model.pop()),
                7 => {
                    prop_assert_eq!(list.set(at, &value, &limits), at < model.len());
                    if at < model.len() { model[at] = value; }
                }
                8 => {
                    let count = value.len().min(7);
                    list.remove_range(at, count, &limits);
                    model.drain(at..(at + count).min(model.len()));
                }
                _ => {
                    let count = value.len() as i64 % 5 - 2;
                    let mut removed = 0;
                    let mut order: Vec<usize> = (0..model.len()).filter(|&i| model[i] == value).collect();
                    if count < 0 { order.reverse(); }
                    if count != 0 { order.truncate(count.unsigned_abs() as usize); }
                    order.sort_unstable();
                    for index in order.into_iter().rev() { model.remove(index); removed += 1; }
                    prop_assert_eq!(list.remove_equal(count, &value, &limits), removed);
                }
            }
            prop_assert_eq!(list.len(), model.len());
            prop_assert_eq!(list.iter().map(|element| element.to_vec()).collect::<Vec<_>>(), model.clone());
            let at = at.min(model.len());
            let mut seen = Vec::new();
            list.visit(at, usize::MAX, |element| seen.push(element.to_vec()));
            prop_assert_eq!(&seen, &model[at..]);
            seen.clear();
            list.visit(at, 2, |element| seen.push(element.to_vec()));
            prop_assert_eq!(&seen, &model[at..model.len().min(at + 2)]);
            let back: Vec<_> = list.iter_back_from(at).map(|element| element.to_vec()).collect();
            let mut expected = if at < model.len() { model[..=at].to_vec() } else { Vec::new() };
            expected.reverse();
            prop_assert_eq!(back, expected);
            prop_assert_eq!(list.get(at).map(|element| element.to_vec()), model.get(at).cloned());
        }
    }

    #[test]
    fn sorted_set_is_ordered(edits in prop::collection::vec((0u8..8, name(), -9i32..9, any::<bool>()), 0..300)) {
        let limits = tight();
        let (mut zset, mut model) = (SortedSet::new(), HashMap::<Vec<u8>, f64>::new());
        for (kind, member, score, half) in edits {
            let score = f64::from(score) + if half { 0.5 } else { 0.0 };
            match kind {
                0..=4 => prop_assert_eq!(zset.insert(&member, score, &limits), model.insert(member.clone(), score)),
                5 | 6 => prop_assert_eq!(zset.remove(&member), model.remove(&member)),
                _ => {
                    let (start, count) = (member.len(), 3);
                    let doomed: Vec<_> = zset.iter_from(start, false).take(count).map(|(m, _)| m.to_vec()).collect();
                    prop_assert_eq!(zset.remove_range(start, count), doomed.len());
                    for member in doomed { model.remove(&member); }
                }
            }
            prop_assert_eq!(zset.score(&member), model.get(&member).copied());
        }
        check_order(&zset, &model);
    }
}

fn check_order(zset: &SortedSet, model: &HashMap<Vec<u8>, f64>) {
    let mut sorted: Vec<_> = model.iter().map(|(member, score)| (member.clone(), *score)).collect();
    sorted.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
    let owned = |(member, score): (Element<'_>, f64)| (member.to_vec(), score);
    assert_eq!(zset.len(), sorted.len());
    assert_eq!(zset.iter().map(owned).collect::<Vec<_>>(), sorted);
    for (rank, (member, score)) in sorted.iter().enumerate() {
        assert_eq!(zset.rank(member), Some(rank));
        assert_eq!(zset.select(rank).map(owned), Some((member.clone(), *score)));
        let down: Vec<_> = zset.iter_from(rank, true).take(3).map(owned).collect();
        let expected: Vec<_> = sorted[..=rank].iter().rev().take(3).cloned().collect();
        assert_eq!(down, expected);
    }
    let low = zset.partition_point(|score, _| score < 2.0);
    assert_eq!(low, sorted.iter().filter(|(_, score)| *score < 2.0).count());
}

#[test]
fn a_big_sorted_set_keeps_ranks_through_growth_and_removal() {
    let limits = tight();
    let (mut zset, mut model, mut random) = (SortedSet::new(), HashMap::new(), dice(3));
    for round in 0..30_000u64 {
        let member = format!("member:{}", random() % 9_000).into_bytes();
        if round > 20_000 && random() % 4 != 0 {
            assert_eq!(zset.remove(&member), model.remove(&member));
        } else {
            let score = (random() % 1_000) as f64;
            assert_eq!(zset.insert(&member, score, &limits), model.insert(member, score));
        }
    }
    check_order(&zset, &model);
    assert_eq!(zset.remove_range(10, usize::MAX), model.len() - 10);
    assert_eq!(zset.iter().count(), 10);
}

#[test]
fn members_that_stay_are_scanned_while_others_come_and_go() {
    let limits = tight();
    let mut random = dice(4);
    for round in 0..40 {
        let mut set = Set::new();
        let stay: HashSet<Vec<u8>> = (0..200).map(|n| format!("stay{n}").into_bytes()).collect();
        stay.iter().for_each(|member| assert!(set.insert(member, &limits)));
        let (mut seen, mut cursor, mut calls, mut others) = (HashSet::new(), 0, 0, 0u64);
        loop {
            cursor = set.scan(cursor, 10, &mut |member| {
                seen.insert(member.to_vec());
            });
            // Grow far in even rounds, fall back to the bare 200 in odd ones.
            for _ in 0..random() % 300 {
                others += 1;
                set.insert(format!("other{others}").as_bytes(), &limits);
                if round % 2 == 1 || random().is_multiple_of(5) {
                    set.remove(format!("other{}", random() % others + 1).as_bytes());
                }
            }
            calls += 1;
            assert!(calls < 20_000, "a scan ends");
            if cursor == 0 {
                break;
            }
            if calls % 7 == 0 {
                for n in 1..=others {
                    set.remove(format!("other{n}").as_bytes());
                }
                others = 0;
            }
        }
        assert!(stay.is_subset(&seen), "round {round}");
    }
}

#[test]
fn random_members_of_a_table_are_fair() {
    let limits = tight();
    let mut set = Set::new();
    for n in 0..100 {
        set.insert(format!("m{n}").as_bytes(), &limits);
    }
    assert_eq!(set.encoding(), "hashtable");
    let (mut counts, mut random) = (BTreeMap::new(), dice(5));
    for _ in 0..100_000 {
        *counts.entry(set.random(&mut random).unwrap().to_vec()).or_insert(0i64) += 1;
    }
    // 1000 expected each, standard deviation 32: eight of them are out of reach for chance over 100 members.
    assert_eq!(counts.len(), 100);
    assert!(counts.values().all(|count| (count - 1000).abs() < 256), "{counts:?}");
}

#[test]
fn encodings_change_where_the_directives_say() {
    let limits = Limits::default();
    let mut set = Set::new();
    for n in 0..512 {
        set.insert(n.to_string().as_bytes(), &limits);
    }
    assert_eq!(set.encoding(), "intset");
    set.insert(b"512", &limits);
    assert_eq!(set.encoding(), "hashtable");
    let mut set = Set::new();
    set.insert(b"1", &limits);
    set.insert(b"a", &limits);
    assert_eq!(set.encoding(), "listpack");
    set.insert(&[b'a'; 65], &limits);
    assert_eq!(set.encoding(), "hashtable");

    let mut zset = SortedSet::new();
    for n in 0..128 {
        zset.insert(n.to_string().as_bytes(), 0.0, &limits);
    }
    assert_eq!(zset.encoding(), "listpack");
    zset.insert(b"x", 1.0, &limits);
    assert_eq!(zset.encoding(), "skiplist");

    let mut hash = Hash::new();
    for n in 0..512 {
        hash.insert(n.to_string().as_bytes(), b"v", &limits);
    }
    assert_eq!(hash.encoding(), "listpack");
    hash.insert(b"x", b"v", &limits);
    assert_eq!(hash.encoding(), "hashtable");

    let mut list = List::new();
    (0..8).for_each(|_| list.push(End::Right, &[b'x'; 1000], &limits));
    assert_eq!(list.encoding(), "listpack");
    list.push(End::Right, &[b'x'; 1000], &limits);
    assert_eq!(list.encoding(), "quicklist");
}

#[test]
fn a_member_costs_little_more_than_its_bytes() {
    let limits = Limits::default();
    let count = 100_000u32;
    let mut zset = SortedSet::new();
    for n in 0..count {
        zset.insert(
            format!("member:{n:09}").as_bytes(),
            f64::from(n.wrapping_mul(7919) % 1_000_003),
            &limits,
        );
    }
    // 16 bytes of member and 8 of score; names, order and bookkeeping may cost 21 more.
    let each = zset.memory_bytes() / count as usize;
    assert!(each <= 45, "{each} bytes a member");
    for n in 0..count - 1000 {
        zset.remove(format!("member:{n:09}").as_bytes());
    }
    assert!(zset.memory_bytes() < 1 << 20, "{} bytes stay after removal", zset.memory_bytes());
    assert_eq!(zset.len(), 1000);
}

#[test]
fn minus_zero_keeps_its_sign() {
    let limits = tight();
    let mut zset = SortedSet::new();
    for n in 0..20 {
        zset.insert(&[n], -0.0, &limits);
        assert!(zset.iter().all(|(_, score)| score.is_sign_negative()));
    }
}

#[test]
fn a_walk_in_pieces_visits_what_an_iterator_does() {
    let (limits, mut random) = (tight(), dice(3));
    for members in [0, 1, 7, 12, 13, 3000] {
        let (mut set, mut hash) = (Set::new(), Hash::new());
        for n in 0..members {
            set.insert(format!("m{n}").as_bytes(), &limits);
            hash.insert(format!("f{n}").as_bytes(), &n.to_string().into_bytes(), &limits);
        }
        // Holes, and more spills than there would be otherwise.
        for n in (0..members).step_by(3).skip(4) {
            set.remove(format!("m{n}").as_bytes());
            hash.remove(format!("f{n}").as_bytes());
        }
        hash.set_deadline(b"f1", Some(1), &limits);
        let (mut walked, mut place) = (Vec::new(), Some(0));
        while let Some(at) = place {
            let mut left = below(&mut random, 100);
            place = set.walk(at, &mut |member| {
                walked.push(member.to_vec());
                left = left.saturating_sub(1);
                left > 0
            });
        }
        assert_eq!(walked, set.iter().map(|member| member.to_vec()).collect::<Vec<_>>());
        let (mut walked, mut place) = (Vec::new(), Some(0));
        while let Some(at) = place {
            let mut left = below(&mut random, 100);
            place = hash.walk(at, &mut |field, value| {
                walked.push((field.to_vec(), value.to_vec()));
                left = left.saturating_sub(1);
                left > 0
            });
        }
        assert_eq!(walked, hash.iter().map(|(f, v)| (f.to_vec(), v.to_vec())).collect::<Vec<_>>());
    }
}

#[test]
fn a_part_of_a_list_is_shared_and_stays_as_it_was() {
    let (limits, mut random) = (tight(), dice(4));
    let mut list = List::new();
    let value = |n: usize| format!("{n}:{}", "x".repeat(n % 40)).into_bytes();
    (0..500).for_each(|n| list.push(End::Right, &value(n), &limits));
    for round in 0..200 {
        let start = below(&mut random, 500);
        let count = 1 + below(&mut random, 500 - start);
        let (part, skipped) = list.part(start, count);
        assert!(part.nodes().len() <= list.nodes().len() && skipped < 4, "nodes of four elements");
        // What becomes of the list is nothing to it.
        let changed = below(&mut random, 500);
        list.set(changed, b"changed", &limits);
        let (mut found, mut node, mut at) = (Vec::new(), 0, skipped);
        while let Some(visited) = part.visit_node(node, at, 3.min(count - found.len()), |element| {
            found.push(element.to_vec());
        }) {
            (node, at) = if visited == 0 { (node + 1, 0) } else { (node, at + visited) };
            if found.len() == count {
                break;
            }
        }
        assert_eq!(found, (start..start + count).map(value).collect::<Vec<_>>(), "round {round}");
        list.set(changed, &value(changed), &limits);
    }
}
