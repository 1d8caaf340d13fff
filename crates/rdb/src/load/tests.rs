//! Every form that was ever written, broken input, and values there and back.

use super::*;
use crate::{dump, kind};
use larder_store::ValueRef;
use proptest::prelude::*;

fn small() -> Limits {
    Limits {
        hash_max_listpack_entries: 3,
        set_max_listpack_entries: 3,
        set_max_intset_entries: 3,
        zset_max_listpack_entries: 3,
        ..Limits::default()
    }
}

fn load<'a>(bytes: &'a [u8], limits: &Limits, thorough: bool) -> Result<Value<'a>, Error> {
    dump::read(bytes, &Options { limits, thorough })
}

/// A value as text: its members in order, sorted where it has none.
fn show(value: &Value<'_>) -> String {
    let text = |element: Element<'_>| String::from_utf8_lossy(&element.to_vec()).into_owned();
    let mut members: Vec<String> = match value {
        Value::String(bytes) => return format!("string {}", String::from_utf8_lossy(bytes)),
        Value::Long(bytes) => return format!("string {}", String::from_utf8_lossy(bytes)),
        Value::Integer(n) => return format!("integer {n}"),
        Value::List(list) => list.iter().map(text).collect(),
        Value::Set(set) => set.iter().map(text).collect(),
        Value::Hash(hash) => {
            hash.iter().map(|(field, value)| format!("{}={}", text(field), text(value))).collect()
        }
        Value::Stream(stream) => return format!("{stream:?}"),
        Value::SortedSet(set) => set.iter().map(|(name, score)| format!("{}:{score}", text(name))).collect(),
    };
    let (name, encoding) = match value {
        Value::List(list) => ("list", list.encoding()),
        Value::Set(set) => ("set", set.encoding()),
        Value::Hash(hash) => ("hash", hash.encoding()),
        Value::SortedSet(set) => ("zset", set.encoding()),
        _ => ("", ""),
    };
    if matches!(value, Value::Set(_) | Value::Hash(_)) {
        members.sort();
    }
    format!("{name} {encoding} {}", members.join(" "))
}

fn borrowed<'a>(value: &'a Value<'_>) -> ValueRef<'a> {
    match value {
        Value::String(bytes) => ValueRef::String(bytes),
        Value::Long(bytes) => ValueRef::String(bytes),
        Value::Integer(n) => ValueRef::Integer(*n),
        Value::Hash(hash) => ValueRef::Hash(hash),
        Value::List(list) => ValueRef::List(list),
        Value::Set(set) => ValueRef::Set(set),
        Value::SortedSet(set) => ValueRef::SortedSet(set),
        Value::Stream(stream) => ValueRef::Stream(stream),
    }
}

#[test]
fn every_form_is_read() {
    let forms: &[(&[u8], &str)] = &[
        (b"\x00\x05hello", "string hello"),
        (b"\x00\xc1\x7f\xff", "integer -129"),
        (b"\x00\x0212", "integer 12"),
        (b"\x01\x03\x01a\xc0\x05\x01b", "list listpack a 5 b"),
        (b"\x02\x02\x01a\xc0\x05", "set listpack 5 a"),
        (b"\x02\x04\x01a\x01b\x01c\x01d", "set hashtable a b c d"),
        (b"\x03\x03\x01b\x031.5\x01a\xff\x01c\xfe", "zset listpack a:-inf b:1.5 c:inf"),
        (b"\x04\x02\x01a\xc0\x01\x01b\x01x", "hash listpack a=1 b=x"),
        (b"\x05\x01\x01b\x00\x00\x00\x00\x00\x00\xf8?", "zset listpack b:1.5"),
        (b"\x09\x0f\x02\x01a\x01\x00b\x02cc\x01\x02dxx\xff", "hash listpack a=b cc=d"),
        (b"\x0a\x0e\x0e\0\0\0\x0a\0\0\0\x01\0\0\x01a\xff", "list listpack a"),
        (
            b"\x0a\x19\x19\0\0\0\x0a\0\0\0\x04\0\0\xf1\x02\xfe\xff\x03\xc0\x2c\x01\x04\xf0\xff\xff\xff\xff",
            "list listpack 0 -1 300 -1",
        ),
        (b"\x0b\x0c\x02\0\0\0\x02\0\0\0\xff\xff\x01\0", "set intset -1 1"),
        (b"\x0c\x14\x14\0\0\0\x0a\0\0\0\x02\0\0\x01a\x03\x041.25\xff", "zset listpack a:1.25"),
        (b"\x0d\x11\x11\0\0\0\x0a\0\0\0\x02\0\0\x01a\x03\xfe\x07\xff", "hash listpack a=7"),
        (
            b"\x0e\x02\x0e\x0e\0\0\0\x0a\0\0\0\x01\0\0\x01a\xff\x0e\x0e\0\0\0\x0a\0\0\0\x01\0\0\x01b\xff",
            "list listpack a b",
        ),
        (
            b"\x10\x12\x12\x00\x00\x00\x04\x00\x81a\x02\x01\x01\x82bb\x03\x02\x01\xff",
            "hash listpack a=1 bb=2",
        ),
        (
            b"\x11\x1c\x1c\x00\x00\x00\x06\x00\x81a\x02\x01\x01\x81b\x02\x831.5\x04\x81c\x02\x83inf\x04\xff",
            "zset listpack a:1 b:1.5 c:inf",
        ),
        (b"\x12\x01\x02\x0f\x0f\x00\x00\x00\x03\x00\x81a\x02\x01\x01\x81b\x02\xff", "list listpack a 1 b"),
        (b"\x12\x02\x01\x03big\x02\x0a\x0a\x00\x00\x00\x01\x00\x81y\x02\xff", "list quicklist big y"),
        (b"\x14\x0f\x0f\x00\x00\x00\x03\x00\x81a\x02\x01\x01\x81b\x02\xff", "set listpack 1 a b"),
    ];
    let default = Limits { set_max_listpack_entries: 3, ..Limits::default() };
    for (bytes, expected) in forms {
        let value = load(bytes, &default, true);
        assert_eq!(value.as_ref().map(show).as_deref(), Ok(*expected), "{bytes:?}");
        for end in 0..bytes.len() {
            assert!(load(&bytes[..end], &default, true).is_err(), "a part of {bytes:?}");
        }
    }
}

#[test]
fn what_is_wrong_is_told() {
    let forms: &[(&[u8], Problem)] = &[
        (b"", Problem::Truncated),
        (b"\x06\x01a", Problem::Unknown(6)),
        (b"\x02\x00", Problem::Empty),
        (b"\x10\x07\x07\0\0\0\0\0\xff", Problem::Empty),
        (b"\x02\x02\x01a\x01a", Problem::Repeated),
        (b"\x04\x02\x01a\x01b\x01a\x01c", Problem::Repeated),
        (b"\x05\x02\x01b\0\0\0\0\0\0\xf8?\x01b\0\0\0\0\0\0\xf8?", Problem::Repeated),
        (b"\x03\x01\x01a\xfd", Problem::Number),
        (b"\x11\x0f\x0f\0\0\0\x02\0\x81a\x02\x83nan\x04\xff", Problem::Packed("sorted set")),
        (b"\x11\x0a\x0a\0\0\0\x01\0\x81a\x02\xff", Problem::Packed("sorted set")),
        (b"\x10\x0a\x0a\0\0\0\x01\0\x81a\x02\xff", Problem::Packed("hash")),
        (b"\x10\x0a\x0b\0\0\0\x01\0\x81a\x02\xff", Problem::Packed("listpack")),
        (b"\x10\x0a\x0a\0\0\0\x02\0\x81a\x02\xff", Problem::Packed("listpack")),
        (b"\x10\x0a\x0a\0\0\0\x01\0\x85a\x02\xff", Problem::Packed("listpack")),
        (b"\x0b\x0c\x02\0\0\0\x02\0\0\0\x01\0\x01\0", Problem::Packed("intset")),
        (b"\x0b\x0c\x03\0\0\0\x02\0\0\0\x01\0\x02\0", Problem::Packed("intset")),
        (b"\x12\x01\x03\x01a", Problem::Packed("node of a list")),
        (b"\x00\xc3\x02\x05\x00a", Problem::Compressed),
        (b"\x01\x81\xff\xff\xff\xff\xff\xff\xff\xff", Problem::Truncated),
        (b"\x0a\x0e\x0e\0\0\0\x0a\0\0\0\x02\0\0\x01a\xff", Problem::Packed("ziplist")),
        (b"\x09\x07\x02\x01a\x01\x00b\xff", Problem::Packed("zipmap")),
        (b"\x14\x0d\x0d\0\0\0\x02\0\x81a\x02\x81a\x02\xff", Problem::Repeated),
    ];
    for (bytes, expected) in forms {
        let problem = load(bytes, &Limits::default(), true).map(|value| show(&value)).map_err(|e| e.problem);
        assert_eq!(problem, Err(*expected), "{bytes:?}");
    }
    // A packed value is not looked through for repetitions unless asked for, or when it grows.
    let twice = b"\x14\x0d\x0d\0\0\0\x02\0\x81a\x02\x81a\x02\xff";
    assert!(load(twice, &Limits::default(), false).is_ok());
    let tight = Limits { set_max_listpack_entries: 1, ..Limits::default() };
    assert_eq!(load(twice, &tight, false).map(|_| ()).map_err(|e| e.problem), Err(Problem::Repeated));
}

#[test]
fn a_payload_is_framed() {
    let real = b"\x00\x05hello\n\x00cr\xdfve4 \n"; // of redis-server 7.0
    assert_eq!(dump::verified(real), Some(b"\x00\x05hello".as_slice()));
    assert_eq!(dump::verified(&dump::write(&ValueRef::String(b"hello"))), dump::verified(real));
    assert_eq!(dump::verified(b"\x00\x05hello\n\x00cr\xdfve4 \x0b"), None);
    assert_eq!(dump::verified(b"short"), None);
}

#[test]
fn deadlines_of_fields_come_in_three_forms() {
    let forms: [&[u8]; 3] = [
        b"\x16\x02\x01a\xc0\x01{ J\xa9\xd1\x01\x00\x00\x02bb\xc0\x02\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x18{ J\xa9\xd1\x01\x00\x00\x02\x01\x01a\xc0\x01\x00\x02bb\xc0\x02",
        b"\x19{ J\xa9\xd1\x01\x00\x00\x1e\x1e\x00\x00\x00\x06\x00\x81a\x02\x01\x01\xf4{ J\xa9\xd1\x01\x00\x00\t\x82bb\x03\x02\x01\x00\x01\xff",
    ];
    for bytes in forms {
        let value = load(bytes, &Limits::default(), true);
        let Ok(Value::Hash(hash)) = &value else { panic!("{value:?}") };
        assert_eq!((hash.deadline(b"a"), hash.deadline(b"bb")), (Some(2_000_000_000_123), None));
        assert_eq!((hash.len(), hash.timed_len()), (2, 1));
        assert_eq!(dump::verified(&dump::write(&ValueRef::Hash(hash))), Some(forms[0]));
        for end in 0..bytes.len() {
            assert!(load(&bytes[..end], &Limits::default(), true).is_err());
        }
    }
    let late = b"\x16\x01\x01a\xc0\x01\xff\xff\xff\xff\xff\xff\xff\x7f";
    assert!(load(late, &Limits::default(), false).is_err());
}

/// As redis-server 5.0 to 6.2 write it: [`STREAM`] without what is counted since 7.0.
fn old_stream() -> Vec<u8> {
    // Behind the node: length, last id, [first id, greatest deleted id, entries added], groups; of a group: name, id,
    // [entries read], what is pending, consumers.
    let node_end = STREAM.iter().position(|byte| *byte == 0xff).unwrap() + 1;
    let (node, rest) = STREAM.split_at(node_end);
    let mut old = node.to_vec();
    old[0] = 15;
    old.extend(&rest[..3]);
    old.extend(&rest[8..13]); // one group, its name and its id
    old.extend(&rest[14..]);
    old
}

#[test]
fn what_old_streams_do_not_count_is_told_by_their_entries() {
    let bytes = old_stream();
    let value = load(&bytes, &Limits::default(), true);
    let Ok(Value::Stream(stream)) = &value else { panic!("{value:?}") };
    let Some(group) = stream.groups.get(b"g".as_slice()) else { panic!("{:?}", stream.groups) };
    assert_eq!((stream.entries_added, group.entries_read, stream.lag(group)), (1, Some(1), Some(0)));
    assert_eq!(group.pending.len(), 1);
}

/// Of redis-server 7.0: one entry, pending for a consumer of a group.
const STREAM: &[u8] = b"\x13\x01\x10\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\x1d\x1d\0\0\0\x0a\0\x01\x01\0\x01\x01\x01\x81f\x02\0\x01\x02\x01\0\x01\0\x01\x81v\x02\x04\x01\xff\x01\x01\x01\x01\x01\0\0\x01\x01\x01g\x01\x01\x01\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\x1cQ\xdb\t\xa2\x01\0\0\x01\x01\x02me\x1cQ\xdb\t\xa2\x01\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01";

#[test]
fn streams_are_read_and_written() {
    let value = load(STREAM, &Limits::default(), true);
    let Ok(Value::Stream(stream)) = &value else { panic!("{value:?}") };
    assert_eq!((stream.len(), stream.entries_added, stream.last_id.to_string()), (1, 1, "1-1".to_owned()));
    let Some(group) = stream.groups.get(b"g".as_slice()) else { panic!("{:?}", stream.groups) };
    assert_eq!((group.pending.len(), group.consumers.len(), group.entries_read), (1, 1, Some(1)));
    let payload = dump::write(&ValueRef::Stream(stream));
    let again = load(dump::verified(&payload).unwrap_or_default(), &Limits::default(), true);
    assert_eq!(again.as_ref().map(show), value.as_ref().map(show));
    for end in 0..STREAM.len() {
        assert!(load(&STREAM[..end], &Limits::default(), true).is_err());
    }
    for at in 1..STREAM.len() {
        for byte in [0, 1, 2, 0x7f, 0x80, 0xff] {
            let mut broken = STREAM.to_vec();
            broken[at] = byte;
            if let Ok(value) = load(&broken, &Limits::default(), true) {
                dump::write(&borrowed(&value));
            }
        }
    }
}

fn members() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let member = prop_oneof![
        (-300i64..300).prop_map(|n| n.to_string().into_bytes()),
        any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..12),
        (1usize..5000).prop_map(|n| vec![b'x'; n]),
    ];
    prop::collection::vec(member, 1..12)
}

fn build(kind: u8, members: &[Vec<u8>], scores: &[f64], limits: &Limits) -> Value<'static> {
    match kind {
        0 => Value::Long(members.concat()),
        1 => {
            let mut list = List::new();
            members.iter().for_each(|member| list.push(End::Right, member, limits));
            Value::List(Box::new(list))
        }
        2 => {
            let mut set = Set::new();
            members.iter().for_each(|member| _ = set.insert(member, limits));
            Value::Set(Box::new(set))
        }
        3 => {
            let mut set = SortedSet::new();
            members.iter().zip(scores.iter().cycle()).for_each(|(m, s)| _ = set.insert(m, *s, limits));
            Value::SortedSet(Box::new(set))
        }
        _ => {
            let mut hash = Hash::new();
            members.iter().zip(members.iter().rev()).for_each(|(f, v)| _ = hash.insert(f, v, limits));
            Value::Hash(Box::new(hash))
        }
    }
}

proptest! {
    #[test]
    fn there_and_back(kind in 0u8..5, members in members(),
                      scores in prop::collection::vec(prop_oneof![-9f64..9.0, Just(f64::INFINITY), Just(-0.0), Just(3.0)], 3),
                      few in any::<bool>()) {
        let limits = if few { small() } else { Limits::default() };
        let value = build(kind, &members, &scores, &limits);
        let payload = dump::write(&borrowed(&value));
        let body = dump::verified(&payload);
        prop_assert!(body.is_some());
        let back = load(body.unwrap_or_default(), &limits, true);
        if kind == 0 {
            let bytes = |value: &Value<'_>| show(value).split_once(' ').map(|(_, bytes)| bytes.to_owned());
            prop_assert_eq!(back.as_ref().map(bytes), Ok(bytes(&value)));
        } else {
            prop_assert_eq!(back.as_ref().map(show), Ok(show(&value)));
        }
    }

    #[test]
    fn no_input_does_harm(kind in prop::sample::select(vec![0u8, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14, 16, 17, 18, 20]),
                          members in members(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
                          junk in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut bytes = vec![kind];
        bytes.extend(&junk);
        for thorough in [false, true] {
            if let Ok(value) = load(&bytes, &small(), thorough) {
                dump::write(&borrowed(&value));
            }
        }
        let value = build(kind % 5, &members, &[1.0, 2.5], &Limits::default());
        let payload = dump::write(&borrowed(&value));
        let mut body = payload[..payload.len() - 10].to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        for thorough in [false, true] {
            if let Ok(value) = load(&body, &small(), thorough) {
                dump::write(&borrowed(&value));
            }
        }
    }
}

#[test]
fn versions_are_as_old_as_can_be() {
    assert_eq!(kind::version_of(kind::STRING), 9);
    assert!(kind::is_known_version(80) && kind::is_known_version(11) && !kind::is_known_version(79));
}
