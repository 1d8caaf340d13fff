//! A stream against a map that does the same.

use super::{Group, Id, Stream, Trim};
use std::collections::BTreeMap;

type Model = BTreeMap<Id, Vec<Vec<u8>>>;

fn check(stream: &Stream, model: &Model, low: Id, high: Id) {
    let (mut there, mut back) = (Vec::new(), Vec::new());
    stream.range(low, high, &mut |e| {
        there.push((e.id, e.parts.iter().map(|p| p.to_vec()).collect::<Vec<_>>()));
        true
    });
    stream.range_back(low, high, &mut |e| {
        back.push(e.id);
        true
    });
    let wanted: Vec<_> = model.range(low..=high).map(|(id, parts)| (*id, parts.clone())).collect();
    assert_eq!(there, wanted);
    back.reverse();
    assert_eq!(back, wanted.iter().map(|(id, _)| *id).collect::<Vec<_>>());
    assert_eq!(stream.len(), model.len());
}

#[test]
fn does_what_a_map_does() {
    let mut state = 7_u64;
    let mut roll = move |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let (mut stream, mut model) = (Stream::default(), Model::new());
    for step in 0..5000 {
        let last = stream.last_id;
        match roll(10) {
            0..6 => {
                let id = if roll(2) == 0 {
                    Id { ms: last.ms + roll(3) + 1, seq: roll(3) }
                } else {
                    Id { seq: last.seq + 1, ..last }
                };
                let name = if roll(4) == 0 { b"other".to_vec() } else { b"f".to_vec() };
                let parts = vec![name, step.to_string().into_bytes()];
                let borrowed: Vec<&[u8]> = parts.iter().map(|p| &p[..]).collect();
                assert!(stream.add(id, &borrowed, 200, 8));
                assert!(!stream.add(id, &borrowed, 200, 8));
                model.insert(id, parts);
            }
            6..8 => {
                let id = Id { ms: roll(last.ms + 2), seq: roll(3) };
                assert_eq!(stream.remove(id), model.remove(&id).is_some());
            }
            8 if roll(10) == 0 => {
                let most = roll(200);
                stream.trim(Trim::Length(most), false, 0);
                while model.len() as u64 > most {
                    model.pop_first();
                }
            }
            _ if roll(10) == 0 => {
                let lowest = Id { ms: roll(last.ms + 2), seq: 1 };
                stream.trim(Trim::Lowest(lowest), false, 0);
                model.retain(|id, _| *id >= lowest);
            }
            _ => {}
        }
        let low = Id { ms: roll(last.ms + 2), seq: roll(3) };
        check(&stream, &model, low, Id { ms: low.ms + 1 + roll(50), seq: roll(3) });
    }
    check(&stream, &model, Id::MIN, Id::MAX);
}

#[test]
fn approximate_trims_take_whole_nodes() {
    let mut stream = Stream::default();
    (1..=25).for_each(|ms| assert!(stream.add(Id { ms, seq: 0 }, &[b"f", b"v"], 0, 10)));
    assert_eq!(stream.trim(Trim::Length(12), true, 0), 10);
    assert_eq!(stream.trim(Trim::Length(12), true, 0), 0);
    assert_eq!(stream.trim(Trim::Lowest(Id { ms: 21, seq: 0 }), true, 9), 0);
    assert_eq!(stream.trim(Trim::Lowest(Id { ms: 21, seq: 0 }), true, 0), 10);
    assert_eq!((stream.len(), stream.first_id()), (5, Some(Id { ms: 21, seq: 0 })));
}

#[test]
fn deleted_entries_give_their_room_back() {
    let mut stream = Stream::default();
    let value = [7; 100];
    (1..=100).for_each(|ms| assert!(stream.add(Id { ms, seq: 0 }, &[b"f", &value], 0, 100)));
    let full = stream.memory_bytes();
    let kept = |ms: &u64| ms.is_multiple_of(10);
    (1..=100).filter(|ms| !kept(ms)).for_each(|ms| assert!(stream.remove(Id { ms, seq: 0 })));
    assert!(stream.memory_bytes() < full / 4, "{} of {full}", stream.memory_bytes());
    assert!(!stream.remove(Id { ms: 1, seq: 0 }) && stream.contains(Id { ms: 100, seq: 0 }));
    let mut found = Vec::new();
    stream.range(Id::MIN, Id::MAX, &mut |entry| {
        assert_eq!(entry.parts, [b"f", &value[..]]);
        found.push(entry.id.ms);
        true
    });
    assert_eq!(found, (1..=100).filter(kept).collect::<Vec<_>>());
    // The node was given its hundred: what comes next has another one.
    assert!(stream.add(Id { ms: 101, seq: 0 }, &[b"f", b"v"], 0, 100));
    assert_eq!(stream.node_count(), 2);
}

#[test]
fn entries_of_other_fields_read_back() {
    let mut stream = Stream::default();
    let entries: [&[&[u8]]; 5] = [
        &[b"a", b"1", b"b", b"2"],
        &[b"b", b"2", b"a", b"1"],
        &[b"a", b""],
        &[b"", b""],
        &[b"a", b"3", b"b", b"4"],
    ];
    for (at, parts) in (1..).zip(entries) {
        assert!(stream.add(Id { ms: at, seq: u64::MAX }, parts, 4096, 100));
    }
    let mut at = 0;
    stream.range(Id::MIN, Id::MAX, &mut |entry| {
        assert_eq!(entry.parts, entries[at]);
        at += 1;
        true
    });
    assert_eq!((at, stream.node_count()), (5, 1));
}

fn read(stream: &mut Stream, most: usize) -> Group {
    let mut group = Group { entries_read: Some(0), ..Group::default() };
    let mut left = most;
    stream.range(Id::MIN, Id::MAX, &mut |entry| {
        group.advance(stream, entry.id);
        left -= 1;
        left > 0
    });
    group
}

#[test]
fn lag_is_told_only_if_it_is_known() {
    let mut stream = Stream::default();
    (1..=10).for_each(|ms| assert!(stream.add(Id { ms, seq: 0 }, &[b"f", b"v"], 0, 0)));
    let mut group = read(&mut stream, 4);
    assert_eq!((group.entries_read, stream.lag(&group)), (Some(4), Some(6)));
    // What was deleted before is no gap, what was deleted behind is one, and at the end all is known again.
    stream.remove(Id { ms: 2, seq: 0 });
    assert_eq!(stream.lag(&group), Some(6));
    stream.remove(Id { ms: 8, seq: 0 });
    assert_eq!(stream.lag(&group), None);
    for ms in [5, 6, 7, 9] {
        group.advance(&stream, Id { ms, seq: 0 });
    }
    group.advance(&stream, Id { ms: 10, seq: 0 });
    assert_eq!((group.entries_read, stream.lag(&group)), (Some(10), Some(0)));
    // A group that has read nothing of what is there.
    stream.trim(Trim::Length(0), false, 0);
    let late = Group { last_id: Id { ms: 3, seq: 0 }, ..Group::default() };
    assert_eq!(stream.lag(&late), Some(0));
    let early = Group { entries_read: Some(3), ..late };
    assert_eq!(stream.lag(&early), Some(7));
    let ahead = Group { last_id: Id { ms: 11, seq: 0 }, entries_read: Some(12), ..Group::default() };
    assert_eq!(stream.lag(&ahead), Some(-2));
}

#[test]
fn groups_count_as_their_consumers_do() {
    let mut state = 3_u64;
    let mut roll = move |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let (mut group, mut model) = (Group::default(), BTreeMap::<Id, (u8, u64)>::new());
    for step in 0..5000 {
        let (id, who) = (Id { ms: roll(40), seq: 0 }, b'a' + roll(4) as u8);
        match roll(5) {
            0 => assert_eq!(group.acknowledge(id), model.remove(&id).is_some()),
            1 if roll(20) == 0 => {
                let had = model.values().filter(|(owner, _)| *owner == who).count();
                let removed = group.remove_consumer(&[who]);
                assert!(removed == Some(had) || (removed.is_none() && had == 0));
                model.retain(|_, (owner, _)| *owner != who);
            }
            2 => {
                group.assign(id, b"nobody", 0, 1);
                model.remove(&id);
            }
            _ => {
                group.add_consumer(&[who], step);
                group.assign(id, &[who], step, 1);
                model.insert(id, (who, step));
            }
        }
        assert!(group.pending.iter().map(|(id, p)| (id, (p.consumer[0], p.delivered_ms))).eq(model.clone()));
        for consumer in group.consumers.values() {
            let own = model.iter().filter(|(_, (owner, _))| *owner == consumer.name[0]).map(|(id, _)| *id);
            assert!(consumer.pending.iter().map(|(id, ())| id).eq(own));
        }
    }
}

#[test]
fn what_was_trimmed_counts_as_read() {
    let mut stream = Stream::default();
    (1..=10).for_each(|ms| assert!(stream.add(Id { ms, seq: 0 }, &[b"f", b"v"], 0, 4)));
    let mut group = read(&mut stream, 2);
    assert!(!stream.begins_after(group.last_id));
    stream.trim(Trim::Length(4), false, 0);
    assert!(stream.begins_after(group.last_id));
    group.advance(&stream, Id { ms: 7, seq: 0 });
    assert_eq!((group.entries_read, stream.lag(&group)), (Some(7), Some(3)));
}
