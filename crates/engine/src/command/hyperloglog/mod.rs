//! HyperLogLog commands: estimates of how many different elements were added. A sketch is an ordinary string; its format
//! is in [`sketch`] and [`sparse`], the arithmetic in [`hash`] and [`estimate`], PFDEBUG in [`debug`].

mod debug;
mod estimate;
mod hash;
mod sketch;
mod sparse;

use super::collection::{Answer, text};
use super::patch::patch;
use super::table::{ALL_KEYS, Keys, ONE_KEY, flag};
use super::{Call, Command, CommandError};
use crate::notify::Classes;
use estimate::estimate;
use hash::Place;
use larder_store::{Extras, Value, ValueRef};
use sketch::{Corrupt, Form, REGISTERS, Registers};

/// The HyperLogLog commands.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "pfadd",
        summary: "Adds elements to a HyperLogLog, which is made if there is none.",
        syntax: "key [element [element ...]]",
        since: "2.8.9",
        group: "hyperloglog",
        complexity: "O(1) for each element",
        arity: -2,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        keys: ONE_KEY,
        handler: pfadd,
        ..Command::DEFAULT
    },
    Command {
        name: "pfcount",
        summary: "Estimates how many different elements were added to HyperLogLogs taken together.",
        syntax: "key [key ...]",
        since: "2.8.9",
        group: "hyperloglog",
        complexity: "O(1) where the estimate of a single key is remembered, else O(N), N = keys given",
        arity: -2,
        flags: flag::READONLY,
        keys: ALL_KEYS,
        handler: pfcount,
        ..Command::DEFAULT
    },
    Command {
        name: "pfmerge",
        summary: "Merges HyperLogLogs into one.",
        syntax: "destkey [sourcekey [sourcekey ...]]",
        since: "2.8.9",
        group: "hyperloglog",
        complexity: "O(N), N = keys given",
        arity: -2,
        flags: flag::WRITE | flag::DENYOOM,
        keys: ALL_KEYS,
        handler: pfmerge,
        ..Command::DEFAULT
    },
    Command {
        name: "pfdebug",
        summary: "Looks into a HyperLogLog.",
        syntax: "<GETREG | DECODE | ENCODING | TODENSE> key",
        since: "2.8.9",
        group: "hyperloglog",
        complexity: "O(N), N = registers",
        arity: 3,
        flags: flag::WRITE | flag::DENYOOM | flag::ADMIN,
        keys: Keys::Range { first: 2, last: 2, step: 1 },
        handler: debug::pfdebug,
        ..Command::DEFAULT
    },
    Command {
        name: "pfselftest",
        summary: "Tests HyperLogLogs: registers keep what they are given, and estimates are near.",
        since: "2.8.9",
        group: "hyperloglog",
        complexity: "O(1), but slow",
        arity: 1,
        flags: flag::ADMIN,
        handler: debug::pfselftest,
        ..Command::DEFAULT
    },
];

fn corrupt(_: Corrupt) -> CommandError {
    text("INVALIDOBJ Corrupted HLL object detected")
}

/// The sketch that a value is, with its form.
fn sketch_of(value: ValueRef<'_>) -> Result<(&[u8], Form), CommandError> {
    let bytes = match value {
        ValueRef::String(bytes) => bytes,
        ValueRef::Integer(_) => &[],
        _ => return Err(CommandError::WrongType),
    };
    let form = sketch::form(bytes);
    form.map(|form| (bytes, form)).ok_or(text("WRONGTYPE Key is not a valid HyperLogLog string value."))
}

/// A copy of the sketch at a key with what else the key carries; `None` if there is no such key.
fn copy(call: &Call<'_>, key: &[u8]) -> Result<Option<(Vec<u8>, Extras)>, CommandError> {
    let Some(item) = call.keys.peek(key) else { return Ok(None) };
    let (bytes, _) = sketch_of(item.value())?;
    Ok(Some((bytes.to_vec(), Extras { cas: 0, ..item.extras() })))
}

fn pfadd(call: &mut Call<'_>) -> Answer {
    let key = call.args.get(1);
    let changed = match call.keys.peek_value(key).map(sketch_of).transpose()? {
        Some((_, Form::Dense)) => add_dense(call, key)?,
        _ => add_sparse(call, key)?,
    };
    if changed {
        call.keys.notify(Classes::STRING, "pfadd", key);
    }
    call.out.integer(changed.into());
    Ok(())
}

/// Adds where the bytes are: a dense sketch keeps its length.
fn add_dense(call: &mut Call<'_>, key: &[u8]) -> Result<bool, CommandError> {
    let elements = call.args.from(2);
    patch(&mut call.keys, key, 0, |bytes| {
        let mut changed = false;
        for element in elements.iter() {
            changed |= sketch::insert_dense(bytes, Place::of(element));
        }
        if changed {
            sketch::forget_cached(bytes);
        }
        (changed, changed)
    })
}

/// Adds to a sparse sketch, or makes one. It is only copied when an element raises a register.
fn add_sparse(call: &mut Call<'_>, key: &[u8]) -> Result<bool, CommandError> {
    let limit = call.node.settings().hll_sparse_max_bytes;
    let places: Vec<Place> = call.args.from(2).iter().map(Place::of).collect();
    let known = match call.keys.peek_value(key).map(sketch_of).transpose()? {
        Some((bytes, _)) => match known_in_sparse(bytes, &places)? {
            all if all == places.len() => return Ok(false),
            some => some,
        },
        None => 0,
    };
    let (mut bytes, extras) = copy(call, key)?.unwrap_or_else(|| (sketch::empty(), Extras::default()));
    for place in &places[known..] {
        sketch::insert(&mut bytes, *place, limit).map_err(corrupt)?;
    }
    sketch::forget_cached(&mut bytes);
    call.keys.set(key, Value::Long(bytes), Extras { raw: true, ..extras });
    Ok(true)
}

/// How many places at the front change nothing.
fn known_in_sparse(bytes: &[u8], places: &[Place]) -> Result<usize, CommandError> {
    for (index, place) in places.iter().enumerate() {
        if sparse::rank(bytes, place.register).map_err(corrupt)? < place.rank {
            return Ok(index);
        }
    }
    Ok(places.len())
}

fn pfcount(call: &mut Call<'_>) -> Answer {
    let count = if call.args.len() == 2 { count_one(call)? } else { count_many(call)? };
    call.out.integer(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(())
}

/// The estimate of one sketch, which remembers it.
fn count_one(call: &mut Call<'_>) -> Result<u64, CommandError> {
    let key = call.args.get(1);
    let Some(item) = call.keys.read(key) else { return Ok(0) };
    let (bytes, _) = sketch_of(item.value())?;
    if let Some(count) = sketch::cached(bytes) {
        return Ok(count);
    }
    let count = estimate(&sketch::histogram(bytes).map_err(corrupt)?);
    patch(&mut call.keys, key, 0, |bytes| {
        sketch::set_cached(bytes, count);
        (true, count)
    })
}

fn count_many(call: &mut Call<'_>) -> Result<u64, CommandError> {
    let mut registers: Registers = [0; REGISTERS];
    for key in call.args.from(1).iter() {
        if let Some(item) = call.keys.read(key) {
            sketch::merge(&mut registers, sketch_of(item.value())?.0).map_err(corrupt)?;
        }
    }
    Ok(estimate(&sketch::histogram_of(&registers)))
}

fn pfmerge(call: &mut Call<'_>) -> Answer {
    let target = call.args.get(1);
    let limit = call.node.settings().hll_sparse_max_bytes;
    let mut registers: Registers = [0; REGISTERS];
    let mut dense = false;
    for key in call.args.from(1).iter() {
        if let Some(item) = call.keys.read(key) {
            let (bytes, form) = sketch_of(item.value())?;
            sketch::merge(&mut registers, bytes).map_err(corrupt)?;
            dense |= form == Form::Dense;
        }
    }
    let (mut bytes, extras) = copy(call, target)?.unwrap_or_else(|| (sketch::empty(), Extras::default()));
    if dense {
        sketch::set_registers(&mut bytes, &registers);
    } else {
        sketch::raise(&mut bytes, &registers, limit).map_err(corrupt)?;
    }
    sketch::forget_cached(&mut bytes);
    call.keys.set(target, Value::Long(bytes), Extras { raw: true, ..extras });
    call.keys.notify(Classes::STRING, "pfadd", target);
    call.out.ok();
    Ok(())
}
