//! Payloads of RESTORE: never a panic, and a value that was read is written and read again as the same.

use larder_rdb::dump;
use larder_rdb::load::Options;
use larder_store::object::Limits;
use larder_store::{Value, ValueRef};

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

/// Reads the input and asserts what must hold of it.
pub fn run(input: &[u8]) {
    dump::verified(input);
    let limits = Limits { hash_max_listpack_entries: 4, zset_max_listpack_entries: 4, ..Limits::default() };
    for thorough in [false, true] {
        let options = Options { limits: &limits, thorough };
        let Ok(value) = dump::read(input, &options) else { continue };
        let payload = dump::write(&borrowed(&value));
        let body = dump::verified(&payload).expect("our own payload is right");
        let again = dump::read(body, &options).expect("our own value can be read");
        // A value that was not looked through may hold a member twice, until it grows.
        if thorough {
            assert_eq!(members(&borrowed(&again)), members(&borrowed(&value)));
        }
    }
}

fn members(value: &ValueRef<'_>) -> usize {
    match value {
        ValueRef::String(bytes) => bytes.len(),
        ValueRef::Integer(_) => 0,
        ValueRef::Hash(hash) => hash.len(),
        ValueRef::List(list) => list.len(),
        ValueRef::Set(set) => set.len(),
        ValueRef::SortedSet(set) => set.len(),
        ValueRef::Stream(stream) => stream.len(),
    }
}
