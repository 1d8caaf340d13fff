//! A stream against a map that does the same.

use super::{Id, Stream, Trim};
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
