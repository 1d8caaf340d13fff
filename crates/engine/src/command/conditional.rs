//! Strings that are set or removed on a condition, as Valkey 9 has them: DELIFEQ, MSETEX, and the comparison of SET with
//! IFEQ.

use super::collection::{Answer, is, text};
use super::expire::{Term, propagate_string};
use super::keyspace::string_value;
use super::string::{element, timed};
use super::table::{Keys, ONE_KEY, flag};
use super::{Call, Command, CommandError, Keyspace};
use crate::notify::Classes;
use larder_protocol::number::parse_i64;
use larder_store::Extras;
use larder_store::object::Digits;

/// The conditional commands of strings.
pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "delifeq",
        summary: "Removes a key if its string is as expected.",
        syntax: "key value",
        since: "9.0.0",
        group: "string",
        arity: 3,
        flags: flag::WRITE | flag::FAST,
        keys: ONE_KEY,
        handler: delifeq,
        ..Command::DEFAULT
    },
    Command {
        name: "msetex",
        summary: "Sets several keys to strings at once, with a condition and a deadline if wanted.",
        syntax: "numkeys key value [key value ...] [NX | XX] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]",
        since: "9.1.0",
        group: "string",
        complexity: "O(N), N = keys given",
        arity: -4,
        flags: flag::WRITE | flag::DENYOOM,
        keys: Keys::CountedPairs { count_at: 1 },
        handler: msetex,
        ..Command::DEFAULT
    },
];

/// True if the key holds this string. Errors: it holds another type.
pub(super) fn equals(keys: &Keyspace<'_>, key: &[u8], wanted: &[u8]) -> Result<bool, CommandError> {
    match keys.peek_value(key) {
        None => Ok(false),
        Some(value) => Ok(element(value)?.bytes(&mut Digits::new()) == wanted),
    }
}

fn delifeq(call: &mut Call<'_>) -> Answer {
    let key = call.args.get(1);
    let equal = equals(&call.keys, key, call.args.get(2))?;
    if equal {
        call.keys.remove(key);
        call.keys.notify(Classes::GENERIC, "del", key);
        call.propagate(&[b"DEL", key]);
    }
    call.out.integer(i64::from(equal));
    Ok(())
}

/// Index behind the pairs.
fn pairs_end(call: &Call<'_>) -> Result<usize, CommandError> {
    let count = parse_i64(call.args.get(1)).filter(|count| (1..=i64::from(i32::MAX)).contains(count));
    let count = count.ok_or(text("ERR invalid numkeys value or out of range"))?;
    let end = 2 + 2 * count as usize;
    if end > call.args.len() { Err(CommandError::Syntax) } else { Ok(end) }
}

fn msetex(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let end = pairs_end(call)?;
    let (mut nx, mut xx, mut keep, mut term) = (false, false, false, None);
    let mut at = end;
    while at < args.len() {
        match args.get(at) {
            word if is(word, "NX") && !xx => nx = true,
            word if is(word, "XX") && !nx => xx = true,
            word if is(word, "KEEPTTL") && term.is_none() => keep = true,
            word => {
                let read = if keep { None } else { timed(*args, at, word, term) };
                term = Some(read.ok_or(CommandError::Syntax)?);
                at += 1;
            }
        }
        at += 1;
    }
    let now = call.keys.now_ms();
    let deadline = term.map(|(term, amount): (Term, _)| term.parse(amount, now, "msetex")).transpose()?;
    let refused = (2..end).step_by(2).any(|at| {
        let exists = call.keys.exists(args.get(at));
        nx && exists || xx && !exists
    });
    if !refused {
        for at in (2..end).step_by(2) {
            let key = args.get(at);
            let kept = if keep { call.keys.peek(key).and_then(|item| item.deadline()) } else { None };
            let extras = Extras { deadline: deadline.or(kept), ..Extras::default() };
            call.keys.set(key, string_value(args.get(at + 1)), extras);
            propagate_string(&mut call.keys, key, args.get(at + 1), extras.deadline);
            call.keys.notify(Classes::STRING, "set", key);
            if deadline.is_some() {
                call.keys.notify(Classes::GENERIC, "expire", key);
            }
        }
    }
    call.out.integer(i64::from(!refused));
    Ok(())
}
