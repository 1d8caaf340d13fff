//! Set commands.

use super::collection::{
    Answer, Draw, Scan, at_least, bulk, cursor, dice, distinct, is, keys_end, note_reads, positive, scanned,
    text,
};
use super::long::{self, Combination, Gathering, Stored, Watched};
use super::table::{ALL_KEYS, ONE_KEY, TWO_KEYS, flag};
use super::{Call, Command, CommandError, Keys};
use crate::background;
use crate::notify::Classes;
use larder_protocol::resp::reply::Reply;
use larder_store::object::{Element, Set};

/// The set commands.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "sadd",
        summary: "Adds members to a set.",
        syntax: "key member [member ...]",
        since: "1.0.0",
        group: "set",
        complexity: "O(N), N = members given",
        arity: -3,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        keys: ONE_KEY,
        handler: sadd,
        ..Command::DEFAULT
    },
    Command {
        name: "srem",
        summary: "Removes members from a set, and the set with its last member.",
        syntax: "key member [member ...]",
        since: "1.0.0",
        group: "set",
        complexity: "O(N), N = members given",
        arity: -3,
        flags: flag::WRITE | flag::FAST,
        keys: ONE_KEY,
        handler: srem,
        ..Command::DEFAULT
    },
    Command {
        name: "sismember",
        summary: "Tells whether a set has a member.",
        syntax: "key member",
        since: "1.0.0",
        group: "set",
        arity: 3,
        flags: flag::READONLY | flag::FAST,
        keys: ONE_KEY,
        handler: sismember,
        ..Command::DEFAULT
    },
    Command {
        name: "smismember",
        summary: "Tells for each of several members whether a set has it.",
        syntax: "key member [member ...]",
        since: "6.2.0",
        group: "set",
        complexity: "O(N), N = members given",
        arity: -3,
        flags: flag::READONLY | flag::FAST,
        keys: ONE_KEY,
        handler: smismember,
        ..Command::DEFAULT
    },
    Command {
        name: "smembers",
        summary: "Returns all members of a set.",
        syntax: "key",
        since: "1.0.0",
        group: "set",
        complexity: "O(N), N = members of the set",
        arity: 2,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: smembers,
        ..Command::DEFAULT
    },
    Command {
        name: "scard",
        summary: "Returns the number of members of a set.",
        syntax: "key",
        since: "1.0.0",
        group: "set",
        arity: 2,
        flags: flag::READONLY | flag::FAST,
        keys: ONE_KEY,
        handler: scard,
        ..Command::DEFAULT
    },
    Command {
        name: "spop",
        summary: "Takes random members out of a set.",
        syntax: "key [count]",
        since: "1.0.0",
        group: "set",
        complexity: "O(N), N = members returned",
        arity: -2,
        flags: flag::WRITE | flag::FAST,
        keys: ONE_KEY,
        handler: spop,
        ..Command::DEFAULT
    },
    Command {
        name: "srandmember",
        summary: "Returns random members of a set.",
        syntax: "key [count]",
        since: "1.0.0",
        group: "set",
        complexity: "O(N), N = members returned",
        arity: -2,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: srandmember,
        ..Command::DEFAULT
    },
    Command {
        name: "smove",
        summary: "Moves a member from one set to another.",
        syntax: "source destination member",
        since: "1.0.0",
        group: "set",
        arity: 4,
        flags: flag::WRITE | flag::FAST,
        keys: TWO_KEYS,
        handler: smove,
        ..Command::DEFAULT
    },
    Command {
        name: "sinter",
        summary: "Returns the members that all the sets have.",
        syntax: "key [key ...]",
        since: "1.0.0",
        group: "set",
        complexity: "O(N*K), N = members of the smallest set, K = sets",
        arity: -2,
        flags: flag::READONLY,
        keys: ALL_KEYS,
        handler: sinter,
        ..Command::DEFAULT
    },
    Command {
        name: "sintercard",
        summary: "Returns how many members all the sets have.",
        syntax: "numkeys key [key ...] [LIMIT limit]",
        since: "7.0.0",
        group: "set",
        complexity: "O(N*K), N = members of the smallest set, K = sets",
        arity: -3,
        flags: flag::READONLY | flag::MOVABLEKEYS,
        keys: Keys::Counted { count_at: 1, target: false },
        handler: sintercard,
        ..Command::DEFAULT
    },
    Command {
        name: "sinterstore",
        summary: "Stores the members that all the sets have.",
        syntax: "destination key [key ...]",
        since: "1.0.0",
        group: "set",
        complexity: "O(N*K), N = members of the smallest set, K = sets",
        arity: -3,
        flags: flag::WRITE | flag::DENYOOM,
        keys: ALL_KEYS,
        handler: sinterstore,
        ..Command::DEFAULT
    },
    Command {
        name: "sunion",
        summary: "Returns the members that any of the sets has.",
        syntax: "key [key ...]",
        since: "1.0.0",
        group: "set",
        complexity: "O(N), N = members of all the sets",
        arity: -2,
        flags: flag::READONLY,
        keys: ALL_KEYS,
        handler: sunion,
        ..Command::DEFAULT
    },
    Command {
        name: "sunionstore",
        summary: "Stores the members that any of the sets has.",
        syntax: "destination key [key ...]",
        since: "1.0.0",
        group: "set",
        complexity: "O(N), N = members of all the sets",
        arity: -3,
        flags: flag::WRITE | flag::DENYOOM,
        keys: ALL_KEYS,
        handler: sunionstore,
        ..Command::DEFAULT
    },
    Command {
        name: "sdiff",
        summary: "Returns the members of the first set that no other set has.",
        syntax: "key [key ...]",
        since: "1.0.0",
        group: "set",
        complexity: "O(N*K), N = members of the first set, K = sets",
        arity: -2,
        flags: flag::READONLY,
        keys: ALL_KEYS,
        handler: sdiff,
        ..Command::DEFAULT
    },
    Command {
        name: "sdiffstore",
        summary: "Stores the members of the first set that no other set has.",
        syntax: "destination key [key ...]",
        since: "1.0.0",
        group: "set",
        complexity: "O(N*K), N = members of the first set, K = sets",
        arity: -3,
        flags: flag::WRITE | flag::DENYOOM,
        keys: ALL_KEYS,
        handler: sdiffstore,
        ..Command::DEFAULT
    },
    Command {
        name: "sscan",
        summary: "Walks the members of a set step by step.",
        syntax: "key cursor [MATCH pattern] [COUNT count]",
        since: "2.8.0",
        group: "set",
        complexity: "O(1) a call, O(N) for the whole walk, N = members of the set",
        arity: -3,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: sscan,
        ..Command::DEFAULT
    },
];

fn sadd(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let limits = call.node.limits();
    let set = call.keys.write_set_or_create(args.get(1))?;
    let added = (2..args.len()).filter(|&at| set.insert(args.get(at), &limits)).count();
    if added > 0 {
        call.keys.changed(args.get(1));
        call.keys.notify(Classes::SET, "sadd", args.get(1));
    }
    call.out.integer(added as i64);
    Ok(())
}

fn srem(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let mut removed = 0;
    if let Some(set) = call.keys.write_set(args.get(1))? {
        removed = (2..args.len()).filter(|&at| set.remove(args.get(at))).count();
    }
    if removed > 0 {
        call.keys.changed(args.get(1));
        call.keys.notify(Classes::SET, "srem", args.get(1));
        call.keys.drop_if_empty(args.get(1));
    }
    call.out.integer(removed as i64);
    Ok(())
}

fn smove(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let (source, target, member) = (args.get(1), args.get(2), args.get(3));
    let Some(set) = call.keys.write_set(source)? else {
        call.out.integer(0);
        return Ok(());
    };
    let present = set.contains(member);
    call.keys.write_set(target)?;
    if present && source != target {
        let limits = call.node.limits();
        call.keys.write_set(source)?.map(|set| set.remove(member));
        call.keys.changed(source);
        call.keys.notify(Classes::SET, "srem", source);
        call.keys.drop_if_empty(source);
        if call.keys.write_set_or_create(target)?.insert(member, &limits) {
            call.keys.changed(target);
            call.keys.notify(Classes::SET, "sadd", target);
        }
    }
    call.out.integer(i64::from(present));
    Ok(())
}

fn sismember(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let found = call.keys.read_set(args.get(1))?.is_some_and(|set| set.contains(args.get(2)));
    call.out.integer(i64::from(found));
    Ok(())
}

fn smismember(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let set = call.keys.read_set(args.get(1))?;
    call.out.array(args.len() - 2);
    for at in 2..args.len() {
        call.out.integer(i64::from(set.is_some_and(|set| set.contains(args.get(at)))));
    }
    Ok(())
}

fn scard(call: &mut Call<'_>) -> Answer {
    let len = call.keys.read_set(call.args.get(1))?.map_or(0, Set::len);
    call.out.integer(len as i64);
    Ok(())
}

fn smembers(call: &mut Call<'_>) -> Answer {
    let set = call.keys.read_set(call.args.get(1))?;
    call.out.set(set.map_or(0, Set::len));
    if let Some(set) = set.filter(|set| long::is_long(call.session, set.len(), set.len())) {
        let members = long::Members::new(set.clone());
        return long::begin(call, members);
    }
    set.into_iter().flat_map(Set::iter).for_each(|member| bulk(call.out, member));
    Ok(())
}

fn spop(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    if args.len() > 3 {
        return Err(CommandError::Syntax);
    }
    let count = if args.len() == 3 { Some(positive(args.get(2))?) } else { None };
    let Some(set) = call.keys.write_set(args.get(1))? else {
        match count {
            Some(_) => call.out.set(0),
            None => call.out.null(),
        }
        return Ok(());
    };
    let taken = count.unwrap_or(1).min(set.len());
    if long::is_large(taken, set.len()) && (call.session.prepared.is_some() || long::may_begin(call.session))
    {
        return take_many(call, count);
    }
    let taken = take_out(set, count, call.out);
    tell_taken(call, taken)
}

/// What was taken out of a set at once.
enum Taken {
    Nothing,
    Some(Vec<Vec<u8>>),
    All,
}

/// Takes members out and writes them.
fn take_out(set: &mut Set, count: Option<usize>, out: &mut Reply) -> Taken {
    let taken = count.unwrap_or(1).min(set.len());
    if count.is_some() {
        out.set(taken);
    }
    if taken == 0 {
        return Taken::Nothing;
    }
    if taken == set.len() {
        set.iter().for_each(|member| bulk(out, member));
        *set = Set::new();
        return Taken::All;
    }
    let mut random = dice();
    let gone = (0..taken).filter_map(|_| set.pop(&mut random));
    Taken::Some(gone.inspect(|member| out.bulk(member)).collect())
}

fn tell_taken(call: &mut Call<'_>, taken: Taken) -> Answer {
    let key = call.args.get(1);
    match taken {
        Taken::Nothing => return Ok(()),
        Taken::All => call.propagate(&[b"UNLINK", key]),
        Taken::Some(gone) => {
            let head = [&b"SREM"[..], key].into_iter();
            let command: Vec<&[u8]> = head.chain(gone.iter().map(Vec::as_slice)).collect();
            call.propagate(&command);
        }
    }
    popped(call);
    call.keys.drop_if_empty(key);
    Ok(())
}

/// Takes many members out in slices, or puts what is left where that was done.
#[cold]
fn take_many(call: &mut Call<'_>, count: Option<usize>) -> Answer {
    match long::prepared(call) {
        // If the log was turned on meanwhile, it has to be told which ones they are.
        Some(Stored::Popped(popped)) if popped.effect.is_some() || !call.keys.is_logged() => {
            return put_popped(call, *popped);
        }
        other => background::drop_later(other),
    }
    if long::may_begin(call.session) {
        return pop_many(call, count.unwrap_or(1));
    }
    // The set has changed meanwhile.
    let Some(set) = call.keys.write_set(call.args.get(1))? else { return Ok(()) };
    let taken = take_out(set, count, call.out);
    tell_taken(call, taken)
}

/// Takes many members out. All of them are handed over as they are; of fewer the set is gathered that is left.
#[cold]
fn pop_many(call: &mut Call<'_>, count: usize) -> Answer {
    let key = call.args.get(1);
    let logged = call.keys.is_logged();
    let Some(set) = call.keys.write_set(key)? else { return Ok(()) };
    let taken = count.min(set.len());
    if taken < set.len() {
        let pops = long::Pops::new(set.clone(), taken, logged.then_some(key), call.out.version());
        let watched = Watched::of(&mut call.keys, std::iter::once(key));
        return long::begin_storing(call, Gathering::stored(pops, watched));
    }
    let all = std::mem::take(set);
    call.out.set(taken);
    call.propagate(&[b"UNLINK", key]);
    popped(call);
    call.keys.drop_if_empty(key);
    long::begin(call, long::Members::new(all))
}

/// What is left of the set takes its place.
#[cold]
fn put_popped(call: &mut Call<'_>, mut gathered: long::Popped) -> Answer {
    let key = call.args.get(1);
    let Some(set) = call.keys.write_set(key)? else { return Ok(()) };
    let whole = std::mem::replace(set, std::mem::take(&mut gathered.rest));
    background::drop_later(whole);
    call.out.set(gathered.count);
    if let Some(effect) = gathered.effect.take() {
        call.keys.propagate_encoded(effect);
    }
    popped(call);
    long::begin(call, gathered)
}

fn popped(call: &mut Call<'_>) {
    call.keys.changed(call.args.get(1));
    call.keys.notify(Classes::SET, "spop", call.args.get(1));
}

fn srandmember(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    if args.len() > 3 {
        return Err(CommandError::Syntax);
    }
    if args.len() == 2 {
        match call.keys.read_set(args.get(1))?.and_then(|set| set.random(&mut dice())) {
            Some(member) => bulk(call.out, member),
            None => call.out.null(),
        }
        return Ok(());
    }
    let draw = Draw::parse(args.get(2))?;
    let Some(set) = call.keys.read_set(args.get(1))? else {
        call.out.array(0);
        return Ok(());
    };
    if long::is_long(call.session, draw.answered(set.len()), set.len()) {
        call.out.array(draw.answered(set.len()));
        let draws = long::Draws::new(long::Drawn::Set(set.clone()), draw);
        return long::begin(call, draws);
    }
    let mut random = dice();
    let members: Vec<Element<'_>> = match draw.repeated {
        true => (0..draw.count).filter_map(|_| set.random(&mut random)).collect(),
        false => distinct(draw.count, set.len(), set.iter(), |random| set.random(random)),
    };
    call.out.array(members.len());
    members.into_iter().for_each(|member| bulk(call.out, member));
    Ok(())
}

fn sscan(call: &mut Call<'_>) -> Answer {
    let cursor = cursor(call.args.get(2))?;
    if call.keys.read_set(call.args.get(1))?.is_none() {
        scanned(call.out, 0, &[]);
        return Ok(());
    }
    let scan = Scan::parse(call, cursor, "")?;
    let Some(set) = call.keys.read_set(call.args.get(1))? else { return Ok(()) };
    let mut found = Vec::new();
    let next = set.scan(scan.cursor, scan.count, &mut |member| {
        let member = member.to_vec();
        if scan.wants(&member) {
            found.push(member);
        }
    });
    scanned(call.out, next, &found);
    Ok(())
}

/// The sets named by arguments `from..to`; `None` for a missing key.
fn sources<'k>(call: &'k Call<'_>, from: usize, to: usize) -> Result<Vec<Option<&'k Set>>, CommandError> {
    (from..to).map(|at| call.keys.peek_set(call.args.get(at))).collect()
}

/// What is made of several sets.
#[derive(Clone, Copy)]
pub enum Algebra {
    /// What all have.
    Intersection,
    /// What any has.
    Union,
    /// What the first has and no other.
    Difference,
}

/// Members of the result of a set operation.
fn combine(algebra: Algebra, sets: &[Option<&Set>]) -> Vec<Vec<u8>> {
    match algebra {
        Algebra::Intersection => intersection(sets, usize::MAX),
        Algebra::Union => union(sets),
        Algebra::Difference => difference(sets),
    }
}

/// Walks the smallest set and asks the others. Stops at `limit` members.
fn intersection(sets: &[Option<&Set>], limit: usize) -> Vec<Vec<u8>> {
    let Some(mut sets) = sets.iter().copied().collect::<Option<Vec<&Set>>>() else { return Vec::new() };
    sets.sort_by_key(|set| set.len());
    let Some((smallest, others)) = sets.split_first() else { return Vec::new() };
    let members = smallest.iter().map(|member| member.to_vec());
    members.filter(|member| others.iter().all(|set| set.contains(member))).take(limit).collect()
}

fn union(sets: &[Option<&Set>]) -> Vec<Vec<u8>> {
    let mut seen = Set::new();
    let limits = larder_store::object::Limits::default();
    let members = sets.iter().flatten().flat_map(|set| set.iter()).map(|member| member.to_vec());
    members.filter(|member| seen.insert(member, &limits)).collect()
}

fn difference(sets: &[Option<&Set>]) -> Vec<Vec<u8>> {
    let Some((Some(first), others)) = sets.split_first() else { return Vec::new() };
    let members = first.iter().map(|member| member.to_vec());
    members.filter(|member| !others.iter().flatten().any(|set| set.contains(member))).collect()
}

fn answer(call: &mut Call<'_>, algebra: Algebra) -> Answer {
    note_reads(call, 1, call.args.len());
    if let Some(work) = Combination::of(call, algebra, call.args.from(1).iter()) {
        if long::may_begin(call.session) {
            return long::begin(call, Gathering::answered(work));
        }
        let set = work.at_once();
        call.out.set(set.len());
        set.iter().for_each(|member| bulk(call.out, member));
        return Ok(());
    }
    let members = combine(algebra, &sources(call, 1, call.args.len())?);
    call.out.set(members.len());
    members.iter().for_each(|member| call.out.bulk(member));
    Ok(())
}

fn store(call: &mut Call<'_>, algebra: Algebra, event: &'static str) -> Answer {
    let (args, limits) = (call.args, call.node.limits());
    let prepared = long::prepared(call);
    if long::may_begin(call.session)
        && let Some(work) = Combination::of(call, algebra, args.from(2).iter())
    {
        let watched = Watched::of(&mut call.keys, args.from(2).iter());
        return long::begin_storing(call, Gathering::stored(work, watched));
    }
    note_reads(call, 2, args.len());
    let set = match prepared {
        Some(Stored::Set(set)) => set,
        _ => match Combination::of(call, algebra, args.from(2).iter()) {
            Some(work) => work.at_once(),
            None => {
                let mut set = Set::new();
                combine(algebra, &sources(call, 2, args.len())?).iter().for_each(|member| {
                    set.insert(member, &limits);
                });
                set
            }
        },
    };
    let target = args.get(1);
    let len = set.len();
    if len > 0 {
        call.keys.put_set(target, set);
        call.keys.changed(target);
        call.keys.notify(Classes::SET, event, target);
    } else {
        call.keys.remove_and_notify(target);
    }
    call.out.integer(len as i64);
    Ok(())
}

fn sinter(call: &mut Call<'_>) -> Answer {
    answer(call, Algebra::Intersection)
}

fn sunion(call: &mut Call<'_>) -> Answer {
    answer(call, Algebra::Union)
}

fn sdiff(call: &mut Call<'_>) -> Answer {
    answer(call, Algebra::Difference)
}

fn sinterstore(call: &mut Call<'_>) -> Answer {
    store(call, Algebra::Intersection, "sinterstore")
}

fn sunionstore(call: &mut Call<'_>) -> Answer {
    store(call, Algebra::Union, "sunionstore")
}

fn sdiffstore(call: &mut Call<'_>) -> Answer {
    store(call, Algebra::Difference, "sdiffstore")
}

fn sintercard(call: &mut Call<'_>) -> Answer {
    let end = card_keys_end(call)?;
    let limit = card_limit(call, end)?;
    note_reads(call, 2, end);
    if long::may_begin(call.session)
        && let Some(work) = Combination::of(call, Algebra::Intersection, (2..end).map(|at| call.args.get(at)))
    {
        return long::begin(call, Gathering::answered(work.counted(limit)));
    }
    let len = intersection(&sources(call, 2, end)?, limit).len();
    call.out.integer(len as i64);
    Ok(())
}

fn card_keys_end(call: &Call<'_>) -> Result<usize, CommandError> {
    let too_few = "ERR numkeys should be greater than 0";
    at_least(call.args.get(1), 1, too_few)?;
    keys_end(call, 1, too_few).map_err(|_| text("ERR Number of keys can't be greater than number of args"))
}

/// `[LIMIT limit]` at the end of a request for a cardinality; 0 is no limit.
pub(super) fn card_limit(call: &Call<'_>, mut at: usize) -> Result<usize, CommandError> {
    let mut limit = 0;
    while at < call.args.len() {
        if !is(call.args.get(at), "LIMIT") || at + 1 >= call.args.len() {
            return Err(CommandError::Syntax);
        }
        limit = at_least(call.args.get(at + 1), 0, "ERR LIMIT can't be negative")?;
        at += 2;
    }
    Ok(if limit == 0 { usize::MAX } else { limit })
}
