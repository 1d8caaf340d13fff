//! Hash commands. What they open has no dead fields (see [`super::keyspace`]), so only writing one cares for deadlines.

use super::collection::{
    Answer, Draw, REPEATED_MEMBERS_MAX, Scan, bulk, cursor, dice, distinct, integer, is, scanned, text,
};
use super::extended::{Extended, Trouble};
use super::table::{ONE_KEY, flag};
use super::{Call, Command, CommandError, long};
use crate::notify::Classes;
use larder_protocol::number;

/// The hash commands.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "hset",
        summary: "Sets fields of a hash to values.",
        syntax: "key field value [field value ...]",
        since: "2.0.0",
        group: "hash",
        complexity: "O(N), N = fields given",
        arity: -4,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        keys: ONE_KEY,
        handler: hset,
        ..Command::DEFAULT
    },
    Command {
        name: "hsetnx",
        summary: "Sets a field of a hash only if it has no such field.",
        syntax: "key field value",
        since: "2.0.0",
        group: "hash",
        arity: 4,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        keys: ONE_KEY,
        handler: hsetnx,
        ..Command::DEFAULT
    },
    Command {
        name: "hmset",
        summary: "Sets fields of a hash to values; HSET does the same.",
        syntax: "key field value [field value ...]",
        since: "2.0.0",
        group: "hash",
        complexity: "O(N), N = fields given",
        arity: -4,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        keys: ONE_KEY,
        handler: hmset,
        ..Command::DEFAULT
    },
    Command {
        name: "hget",
        summary: "Returns the value of a field of a hash.",
        syntax: "key field",
        since: "2.0.0",
        group: "hash",
        arity: 3,
        flags: flag::READONLY | flag::FAST,
        keys: ONE_KEY,
        handler: hget,
        ..Command::DEFAULT
    },
    Command {
        name: "hmget",
        summary: "Returns the values of several fields of a hash.",
        syntax: "key field [field ...]",
        since: "2.0.0",
        group: "hash",
        complexity: "O(N), N = fields given",
        arity: -3,
        flags: flag::READONLY | flag::FAST,
        keys: ONE_KEY,
        handler: hmget,
        ..Command::DEFAULT
    },
    Command {
        name: "hgetall",
        summary: "Returns every field of a hash with its value.",
        syntax: "key",
        since: "2.0.0",
        group: "hash",
        complexity: "O(N), N = fields of the hash",
        arity: 2,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: hgetall,
        ..Command::DEFAULT
    },
    Command {
        name: "hdel",
        summary: "Removes fields from a hash, and the hash with its last field.",
        syntax: "key field [field ...]",
        since: "2.0.0",
        group: "hash",
        complexity: "O(N), N = fields given",
        arity: -3,
        flags: flag::WRITE | flag::FAST,
        keys: ONE_KEY,
        handler: hdel,
        ..Command::DEFAULT
    },
    Command {
        name: "hexists",
        summary: "Tells whether a hash has a field.",
        syntax: "key field",
        since: "2.0.0",
        group: "hash",
        arity: 3,
        flags: flag::READONLY | flag::FAST,
        keys: ONE_KEY,
        handler: hexists,
        ..Command::DEFAULT
    },
    Command {
        name: "hlen",
        summary: "Returns the number of fields of a hash.",
        syntax: "key",
        since: "2.0.0",
        group: "hash",
        arity: 2,
        flags: flag::READONLY | flag::FAST,
        keys: ONE_KEY,
        handler: hlen,
        ..Command::DEFAULT
    },
    Command {
        name: "hkeys",
        summary: "Returns every field of a hash.",
        syntax: "key",
        since: "2.0.0",
        group: "hash",
        complexity: "O(N), N = fields of the hash",
        arity: 2,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: hkeys,
        ..Command::DEFAULT
    },
    Command {
        name: "hvals",
        summary: "Returns every value of a hash.",
        syntax: "key",
        since: "2.0.0",
        group: "hash",
        complexity: "O(N), N = fields of the hash",
        arity: 2,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: hvals,
        ..Command::DEFAULT
    },
    Command {
        name: "hstrlen",
        summary: "Returns the length of a field's value.",
        syntax: "key field",
        since: "3.2.0",
        group: "hash",
        arity: 3,
        flags: flag::READONLY | flag::FAST,
        keys: ONE_KEY,
        handler: hstrlen,
        ..Command::DEFAULT
    },
    Command {
        name: "hincrby",
        summary: "Adds an integer to a field of a hash; a missing field counts as 0.",
        syntax: "key field increment",
        since: "2.0.0",
        group: "hash",
        arity: 4,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        keys: ONE_KEY,
        handler: hincrby,
        ..Command::DEFAULT
    },
    Command {
        name: "hincrbyfloat",
        summary: "Adds a floating point number to a field of a hash; a missing field counts as 0.",
        syntax: "key field increment",
        since: "2.6.0",
        group: "hash",
        arity: 4,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        keys: ONE_KEY,
        handler: hincrbyfloat,
        ..Command::DEFAULT
    },
    Command {
        name: "hrandfield",
        summary: "Returns random fields of a hash.",
        syntax: "key [count [WITHVALUES]]",
        since: "6.2.0",
        group: "hash",
        complexity: "O(N), N = fields returned",
        arity: -2,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: hrandfield,
        ..Command::DEFAULT
    },
    Command {
        name: "hscan",
        summary: "Walks the fields of a hash step by step.",
        syntax: "key cursor [MATCH pattern] [COUNT count] [NOVALUES]",
        since: "2.8.0",
        group: "hash",
        complexity: "O(1) a call, O(N) for the whole walk, N = fields of the hash",
        arity: -3,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: hscan,
        ..Command::DEFAULT
    },
];

/// Says that a hash was changed.
fn changed(call: &mut Call<'_>, key: &[u8], timed: bool) {
    if timed { call.keys.fields_changed(key, 0) } else { call.keys.changed(key) }
}

fn set_pairs(call: &mut Call<'_>) -> Result<usize, CommandError> {
    let args = call.args;
    if !args.len().is_multiple_of(2) {
        return Err(CommandError::WrongArity);
    }
    let limits = call.node.limits();
    let hash = call.keys.write_hash_or_create(args.get(1))?;
    let mut fresh = 0;
    for at in (2..args.len()).step_by(2) {
        fresh += usize::from(hash.insert(args.get(at), args.get(at + 1), &limits));
    }
    let timed = hash.is_timed();
    changed(call, args.get(1), timed);
    call.keys.notify(Classes::HASH, "hset", args.get(1));
    Ok(fresh)
}

fn hset(call: &mut Call<'_>) -> Answer {
    let fresh = set_pairs(call)?;
    call.out.integer(fresh as i64);
    Ok(())
}

fn hmset(call: &mut Call<'_>) -> Answer {
    set_pairs(call)?;
    call.out.simple("OK");
    Ok(())
}

fn hsetnx(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let present = call.keys.write_hash(args.get(1))?.is_some_and(|hash| hash.contains(args.get(2)));
    if !present {
        let limits = call.node.limits();
        call.keys.write_hash_or_create(args.get(1))?.insert(args.get(2), args.get(3), &limits);
        call.keys.changed(args.get(1));
        call.keys.notify(Classes::HASH, "hset", args.get(1));
    }
    call.out.integer(i64::from(!present));
    Ok(())
}

fn hget(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    match call.keys.read_hash(args.get(1))?.and_then(|hash| hash.get(args.get(2))) {
        Some(value) => bulk(call.out, value),
        None => call.out.null(),
    }
    Ok(())
}

fn hmget(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let hash = call.keys.read_hash(args.get(1))?;
    call.out.array(args.len() - 2);
    for at in 2..args.len() {
        match hash.and_then(|hash| hash.get(args.get(at))) {
            Some(value) => bulk(call.out, value),
            None => call.out.null(),
        }
    }
    Ok(())
}

fn hgetall(call: &mut Call<'_>) -> Answer {
    let hash = call.keys.read_hash(call.args.get(1))?;
    call.out.map(hash.map_or(0, |hash| hash.len()));
    if let Some(hash) = hash.filter(|hash| long::is_long(call.session, hash.len(), hash.len())) {
        let fields = long::Fields::new(hash.clone(), true, true);
        return long::begin(call, fields);
    }
    for (field, value) in hash.into_iter().flat_map(|hash| hash.iter()) {
        bulk(call.out, field);
        bulk(call.out, value);
    }
    Ok(())
}

fn hkeys(call: &mut Call<'_>) -> Answer {
    let hash = call.keys.read_hash(call.args.get(1))?;
    call.out.array(hash.map_or(0, |hash| hash.len()));
    if let Some(hash) = hash.filter(|hash| long::is_long(call.session, hash.len(), hash.len())) {
        let fields = long::Fields::new(hash.clone(), true, false);
        return long::begin(call, fields);
    }
    hash.into_iter().flat_map(|hash| hash.iter()).for_each(|(field, _)| bulk(call.out, field));
    Ok(())
}

fn hvals(call: &mut Call<'_>) -> Answer {
    let hash = call.keys.read_hash(call.args.get(1))?;
    call.out.array(hash.map_or(0, |hash| hash.len()));
    if let Some(hash) = hash.filter(|hash| long::is_long(call.session, hash.len(), hash.len())) {
        let fields = long::Fields::new(hash.clone(), false, true);
        return long::begin(call, fields);
    }
    hash.into_iter().flat_map(|hash| hash.iter()).for_each(|(_, value)| bulk(call.out, value));
    Ok(())
}

fn hdel(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let (mut removed, mut timed) = (0, false);
    if let Some(hash) = call.keys.write_hash(args.get(1))? {
        removed = (2..args.len()).filter(|&at| hash.remove(args.get(at))).count();
        timed = hash.is_timed();
    }
    if removed > 0 {
        changed(call, args.get(1), timed);
        call.keys.notify(Classes::HASH, "hdel", args.get(1));
        call.keys.drop_if_empty(args.get(1));
    }
    call.out.integer(removed as i64);
    Ok(())
}

fn hexists(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let found = call.keys.read_hash(args.get(1))?.is_some_and(|hash| hash.contains(args.get(2)));
    call.out.integer(i64::from(found));
    Ok(())
}

fn hlen(call: &mut Call<'_>) -> Answer {
    let len = call.keys.read_hash(call.args.get(1))?.map_or(0, |hash| hash.len());
    call.out.integer(len as i64);
    Ok(())
}

fn hstrlen(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let value = call.keys.read_hash(args.get(1))?.and_then(|hash| hash.get(args.get(2)));
    call.out.integer(value.map_or(0, |value| value.len() as i64));
    Ok(())
}

fn hincrby(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let by = integer(args.get(3))?;
    let old = match call.keys.write_hash(args.get(1))?.and_then(|hash| hash.get(args.get(2))) {
        Some(value) => number::parse_i64(&value.to_vec()).ok_or(text("ERR hash value is not an integer"))?,
        None => 0,
    };
    let new = old.checked_add(by).ok_or(text("ERR increment or decrement would overflow"))?;
    let limits = call.node.limits();
    let hash = call.keys.write_hash_or_create(args.get(1))?;
    hash.update(args.get(2), new.to_string().as_bytes(), &limits);
    call.keys.changed(args.get(1));
    call.keys.notify(Classes::HASH, "hincrby", args.get(1));
    call.out.integer(new);
    Ok(())
}

fn hincrbyfloat(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let by = Extended::parse(args.get(3)).map_err(|trouble| match trouble {
        Trouble::NotFloat => CommandError::NotFloat,
        Trouble::Infinite => text("ERR value is NaN or Infinity"),
    })?;
    let old = match call.keys.write_hash(args.get(1))?.and_then(|hash| hash.get(args.get(2))) {
        Some(value) => Extended::parse(&value.to_vec()),
        None => Ok(Extended::ZERO),
    };
    let digits = match old.and_then(|old| old.plus(by)) {
        Ok(sum) => sum.print(),
        Err(Trouble::NotFloat) => return Err(text("ERR hash value is not a float")),
        Err(Trouble::Infinite) => return Err(text("ERR increment would produce NaN or Infinity")),
    };
    let limits = call.node.limits();
    call.keys.write_hash_or_create(args.get(1))?.update(args.get(2), digits.as_bytes(), &limits);
    call.keys.changed(args.get(1));
    // The deadline of the field stays, which HSET would take away.
    let timed = call.keys.peek_hash(args.get(1))?.is_some_and(|hash| hash.deadline(args.get(2)).is_some());
    let (key, field) = (args.get(1), args.get(2));
    match timed {
        false => call.propagate(&[b"HSET", key, field, digits.as_bytes()]),
        true => call.propagate(&[b"HSETEX", key, b"KEEPTTL", b"FIELDS", b"1", field, digits.as_bytes()]),
    }
    call.keys.notify(Classes::HASH, "hincrbyfloat", args.get(1));
    call.out.bulk(digits.as_bytes());
    Ok(())
}

fn hrandfield(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    if args.len() == 2 {
        match call.keys.read_hash(args.get(1))?.and_then(|hash| hash.random(&mut dice())) {
            Some((field, _)) => bulk(call.out, field),
            None => call.out.null(),
        }
        return Ok(());
    }
    let draw = Draw::parse(args.get(2))?;
    let with_values = args.len() == 4 && is(args.get(3), "WITHVALUES");
    if args.len() > 4 || (args.len() == 4 && !with_values) {
        return Err(CommandError::Syntax);
    }
    if with_values && draw.count > (i64::MAX / 2) as usize {
        return Err(text("ERR value is out of range"));
    }
    many_fields(call, draw, with_values)
}

fn many_fields(call: &mut Call<'_>, draw: Draw, with_values: bool) -> Answer {
    let Some(hash) = call.keys.read_hash(call.args.get(1))? else {
        call.out.array(0);
        return Ok(());
    };
    if long::is_long(call.session, draw.answered(hash.len()), hash.len()) {
        let count = draw.answered(hash.len());
        call.out.array(if with_values && !call.out.is_resp3() { count * 2 } else { count });
        let draws = long::Draws::new(long::Drawn::Hash(hash.clone(), with_values), draw);
        return long::begin(call, draws);
    }
    let mut random = dice();
    let fields = if draw.repeated {
        debug_assert!(draw.count as u64 <= REPEATED_MEMBERS_MAX);
        (0..draw.count).filter_map(|_| hash.random(&mut random)).collect()
    } else {
        distinct(draw.count, hash.len(), hash.iter(), |random| hash.random(random))
    };
    let nested = call.out.is_resp3();
    call.out.array(if with_values && !nested { fields.len() * 2 } else { fields.len() });
    for (field, value) in fields {
        if with_values && nested {
            call.out.array(2);
        }
        bulk(call.out, field);
        if with_values {
            bulk(call.out, value);
        }
    }
    Ok(())
}

fn hscan(call: &mut Call<'_>) -> Answer {
    let cursor = cursor(call.args.get(2))?;
    if call.keys.read_hash(call.args.get(1))?.is_none() {
        scanned(call.out, 0, &[]);
        return Ok(());
    }
    let scan = Scan::parse(call, cursor, "NOVALUES")?;
    let Some(hash) = call.keys.read_hash(call.args.get(1))? else { return Ok(()) };
    let mut found = Vec::new();
    let next = hash.scan(scan.cursor, scan.count, &mut |field, value| {
        let field = field.to_vec();
        if scan.wants(&field) {
            found.push(field);
            if !scan.halves {
                found.push(value.to_vec());
            }
        }
    });
    scanned(call.out, next, &found);
    Ok(())
}
