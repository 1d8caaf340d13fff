//! Files go round; what is cut, bent or claimed too large is refused with its place, and never with a panic.

use super::read::{FileError, FileReader, Part, Wishes};
use super::write::{self, Use};
use crate::load::Options;
use crate::{Checksum, Error, Problem, Writer, kind, save};
use larder_store::object::stream::{Id, Stream};
use larder_store::object::{End, Hash, Limits, List, Set, SortedSet};
use larder_store::{Value, ValueRef};
use proptest::prelude::*;
use std::io::{self, Read};

/// Gives its bytes in pieces of a few.
struct Pieces<'a> {
    bytes: &'a [u8],
    most: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.most.min(buffer.len()).min(self.bytes.len());
        buffer[..count].copy_from_slice(&self.bytes[..count]);
        self.bytes = &self.bytes[count..];
        Ok(count)
    }
}

fn wishes(bytes: &[u8]) -> Wishes {
    Wishes { checksum: true, any_version: false, size: Some(bytes.len() as u64) }
}

/// All that is in a file, as text.
fn read(bytes: &[u8], most: usize) -> Result<Vec<String>, FileError> {
    let limits = Limits::default();
    let options = Options { limits: &limits, thorough: true };
    let mut reader = FileReader::open(Pieces { bytes, most }, wishes(bytes))?;
    let mut seen = Vec::new();
    loop {
        match reader.next_part()? {
            Part::Keys(batch) => {
                for record in batch.records(&options) {
                    let record = record?;
                    let value = match &record.value {
                        Value::String(bytes) => format!("{bytes:?}"),
                        Value::Long(bytes) => format!("{bytes:?}"),
                        Value::Hash(hash) => format!("{:?}", hash.iter().collect::<Vec<_>>()),
                        Value::List(list) => format!("{:?}", list.iter().collect::<Vec<_>>()),
                        Value::Set(set) => format!("{:?}", set.iter().collect::<Vec<_>>()),
                        Value::SortedSet(set) => format!("{:?}", set.iter().collect::<Vec<_>>()),
                        other => format!("{other:?}"),
                    };
                    seen.push(format!(
                        "{} {:?} {value} {:?} {:?} {:?}",
                        batch.db, record.key, record.deadline, record.idle_seconds, record.frequency
                    ));
                }
            }
            Part::End { checked } => {
                seen.push(format!("end {checked}"));
                return Ok(seen);
            }
            other => seen.push(format!("{other:?}")),
        }
    }
}

fn finish(mut writer: Writer, checksum: bool) -> Vec<u8> {
    write::end(&mut writer);
    let mut sum = Checksum::default();
    sum.update(writer.as_bytes());
    writer.raw(&write::checksum(checksum.then_some(&sum)));
    writer.take()
}

/// A file with something of everything.
fn example() -> Vec<u8> {
    let limits = Limits::default();
    let mut writer = Writer::new();
    write::head(kind::VERSION, &mut writer);
    write::aux("redis-ver", b"7.2.4", &mut writer);
    write::aux("ctime", b"1700000000", &mut writer);
    write::select(0, &mut writer);
    write::resize(4, 1, &mut writer);
    write::key(b"plain", &ValueRef::String(b"value"), &mut writer);
    write::prefix(Some(1_700_000_000_123), Use::Idle(77), &mut writer);
    write::key(b"number", &ValueRef::Integer(-70_000), &mut writer);
    write::prefix(None, Use::Frequency(200), &mut writer);
    write::key_before(b"long", &ValueRef::String(b""), &mut writer);
    writer.string(&b"ab".repeat(9000));
    let mut hash = Hash::new();
    (0..700).for_each(|n| {
        hash.insert(format!("field {n}").as_bytes(), b"v", &limits);
    });
    write::key(b"hash", &ValueRef::Hash(&hash), &mut writer);
    write::select(3, &mut writer);
    let (mut list, mut set, mut zset) = (List::new(), Set::new(), SortedSet::new());
    for n in 0..300u32 {
        list.push(End::Right, &n.to_le_bytes(), &limits);
        set.insert(format!("m{n}").as_bytes(), &limits);
        zset.insert(&n.to_be_bytes(), f64::from(n) / 3.0, &limits);
    }
    write::key(b"list", &ValueRef::List(&list), &mut writer);
    write::key(b"set", &ValueRef::Set(&set), &mut writer);
    write::key(b"zset", &ValueRef::SortedSet(&zset), &mut writer);
    finish(writer, true)
}

#[test]
fn a_large_value_in_parts_is_the_same_and_no_part_is_large() {
    let limits = Limits::default();
    let (mut list, mut set, mut zset, mut hash) = (List::new(), Set::new(), SortedSet::new(), Hash::new());
    let mut stream = Stream::default();
    for n in 0..20_000u32 {
        let name = format!("member {n}");
        list.push(End::Right, name.as_bytes(), &limits);
        set.insert(name.as_bytes(), &limits);
        zset.insert(name.as_bytes(), f64::from(n % 77), &limits);
        hash.insert(name.as_bytes(), b"value", &limits);
        stream.add(Id { ms: n.into(), seq: 1 }, &[b"field", name.as_bytes()], 4096, 100);
    }
    hash.set_deadline(b"member 7", Some(1_700_000_000_000), &limits);
    let values = [
        ValueRef::List(&list),
        ValueRef::Set(&set),
        ValueRef::SortedSet(&zset),
        ValueRef::Hash(&hash),
        ValueRef::Stream(&stream),
    ];
    for value in values {
        let (mut whole, mut writer, mut parts) = (Writer::new(), Writer::new(), Vec::new());
        save::value(&value, &mut whole);
        let mut count = 0;
        save::value_in_parts(&value, &mut writer, &mut |part| {
            assert!(part.len() < 2 * save::PART_BYTES);
            parts.extend_from_slice(part);
            count += 1;
        });
        assert!(writer.len() < 2 * save::PART_BYTES && count > 0, "{count} parts of {}", whole.len());
        parts.extend_from_slice(writer.as_bytes());
        assert!(parts == whole.as_bytes());
    }
}

#[test]
fn a_file_goes_round_whatever_the_pieces_it_comes_in() {
    let file = example();
    let whole = read(&file, usize::MAX).unwrap();
    assert_eq!(whole.len(), 2 + 1 + 4 + 3 + 1);
    assert!(whole[3].starts_with("0 [112, 108, 97, 105, 110] [118,"), "{}", whole[3]);
    assert!(whole[4].ends_with("Integer(-70000) Some(1700000000123) Some(77) None"), "{}", whole[4]);
    assert!(whole[5].ends_with("None None Some(200)"));
    assert!(whole[7].starts_with("3 "));
    assert_eq!(whole.last().unwrap(), "end true");
    for most in [1, 2, 7, 100, 4096] {
        assert_eq!(read(&file, most).unwrap(), whole);
    }
}

#[test]
fn a_file_that_ends_early_is_refused_wherever_it_ends() {
    let file = example();
    for end in (0..200).chain((200..file.len()).step_by(37)).chain(file.len() - 20..file.len()) {
        let error = read(&file[..end], 1 << 20).unwrap_err();
        match error {
            FileError::Signature => assert!(end < 9),
            FileError::Bad(Error { problem: Problem::Truncated, offset }) => assert!(offset <= end),
            other => panic!("cut at {end}: {other}"),
        }
    }
}

#[test]
fn checksums_are_compared_if_there_are_any() {
    let mut file = example();
    let middle = file.len() / 2;
    let end = file.len();
    // A letter of a member: the form stays right.
    let at = (middle..end).find(|at| file[*at..].starts_with(b"m1")).unwrap();
    file[at] = b'n';
    assert!(matches!(read(&file, 4096), Err(FileError::Checksum { .. })));
    file[end - 8..].fill(0);
    assert_eq!(read(&file, 4096).unwrap().last().unwrap(), "end false");
}

#[test]
fn a_claim_beyond_the_file_is_refused_before_it_is_waited_for() {
    let mut writer = Writer::new();
    write::head(kind::VERSION, &mut writer);
    write::key_before(b"k", &ValueRef::String(b""), &mut writer);
    writer.length(1 << 40);
    let mut file = writer.take();
    file.resize(100_000, 0);
    let error = read(&file, 64).unwrap_err();
    assert!(matches!(error, FileError::Bad(Error { problem: Problem::Truncated, offset: 21 })), "{error}");
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    for (head, expected) in [
        (&b"REDIS0099"[..], "Can't handle RDB format version 99"),
        (b"VALKEY011", "Can't handle RDB format version 11"),
        (b"REDIS0080", "Can't handle RDB format version 80"),
        (b"NOTHING00", "Wrong signature trying to load DB from file"),
        (b"REDIS0011\x07\x01k", "a value of a module, which cannot be read without it at byte 9"),
        (b"REDIS0011\xc8\x01k", "unknown encoding 200 at byte 9"),
    ] {
        assert_eq!(read(head, 64).unwrap_err().to_string(), expected);
    }
}

#[test]
fn modules_functions_and_slots_are_passed_over() {
    let mut writer = Writer::new();
    write::head(kind::VERSION, &mut writer);
    // A module's data: its id, when it comes, then values after their kinds.
    writer.raw(&[247, 0x81, 1, 2, 3, 4, 5, 6, 7, 8, 2, 1, 1, 5, 4, 1, 2, 3, 4, 5, 6, 7, 8, 3, 1, 2, 3, 4]);
    writer.raw(&[5, 2, b'h', b'i', 0]);
    writer.raw(&[245, 4, b'c', b'o', b'd', b'e']);
    write::select(0, &mut writer);
    writer.raw(&[244, 5, 1, 0]);
    writer.raw(&[253, 1, 0, 0, 0]);
    write::key(b"k", &ValueRef::Integer(1), &mut writer);
    let file = finish(writer, false);
    for most in [1, 9, 1000] {
        let seen = read(&file, most).unwrap();
        assert_eq!(seen[0], "ModuleAux");
        assert_eq!(seen[1], "Function([99, 111, 100, 101])");
        assert_eq!(seen[2], "0 [107] Integer(1) Some(1000) None None");
        assert_eq!(seen.len(), 4);
    }
}

#[test]
fn old_files_have_no_checksum_and_rest_is_left() {
    let file = b"REDIS0004\xfe\x00\x00\x01k\x01v\xff*1\r\n$4\r\nPING\r\n";
    let mut reader = FileReader::open(&file[..], wishes(file)).unwrap();
    assert!(matches!(reader.next_part(), Ok(Part::Keys(batch)) if batch.len() == 5));
    assert!(matches!(reader.next_part(), Ok(Part::End { checked: false })));
    assert_eq!(reader.into_rest().1, b"*1\r\n$4\r\nPING\r\n");
}

proptest! {
    #[test]
    fn bent_files_never_harm(at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
                             most in 1usize..5000) {
        let mut file = example();
        at.into_iter().for_each(|(at, byte)| *at.get_mut(&mut file) = byte);
        let _ = read(&file, most);
    }

    #[test]
    fn noise_never_harms(noise in prop::collection::vec(any::<u8>(), 0..300), most in 1usize..50) {
        let mut file = b"REDIS0011".to_vec();
        file.extend(noise);
        let _ = read(&file, most);
    }
}
