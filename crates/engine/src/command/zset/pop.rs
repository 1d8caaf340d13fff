//! Taking members from either end: ZPOPMIN, ZPOPMAX, ZMPOP.

use super::super::collection::{Answer, at_least, bulk, is, keys_end, positive};
use super::super::{Call, CommandError};
use crate::notify::Classes;
use larder_protocol::resp::reply::Reply;
use larder_store::object::SortedSet;
use std::ops::Range;

/// Rank of the first member to go, and how the walk goes on.
fn members(zset: &SortedSet, count: usize, highest: bool) -> Vec<(Vec<u8>, f64)> {
    let start = if highest { zset.len() - 1 } else { 0 };
    zset.iter_from(start, highest).take(count).map(|(member, score)| (member.to_vec(), score)).collect()
}

fn take(zset: &mut SortedSet, count: usize, highest: bool) -> Vec<(Vec<u8>, f64)> {
    let taken = members(zset, count, highest);
    let first = if highest { zset.len() - taken.len() } else { 0 };
    zset.remove_range(first, taken.len());
    taken
}

fn write(out: &mut Reply, taken: &[(Vec<u8>, f64)], nested: bool) {
    out.array(if nested { taken.len() } else { taken.len() * 2 });
    for (member, score) in taken {
        if nested {
            out.array(2);
        }
        out.bulk(member);
        out.double(*score);
    }
}

/// The event of members that were taken from an end.
pub(in super::super) fn popped(highest: bool) -> &'static str {
    if highest { "zpopmax" } else { "zpopmin" }
}

/// The command that takes members from an end.
fn pop_name(highest: bool) -> &'static [u8] {
    if highest { b"ZPOPMAX" } else { b"ZPOPMIN" }
}

fn pop(call: &mut Call<'_>, highest: bool) -> Answer {
    let args = call.args;
    if args.len() > 3 {
        return Err(CommandError::Syntax);
    }
    let count = if args.len() == 3 { Some(positive(args.get(2))?) } else { None };
    let Some(zset) = call.keys.write_sorted_set(args.get(1))? else {
        call.out.array(0);
        return Ok(());
    };
    let taken = take(zset, count.unwrap_or(1), highest);
    let nested = count.is_some() && call.out.is_resp3();
    write(call.out, &taken, nested);
    if !taken.is_empty() {
        call.keys.changed(args.get(1));
        call.keys.notify(Classes::ZSET, popped(highest), args.get(1));
        call.keys.drop_if_empty(args.get(1));
    }
    Ok(())
}

pub(super) fn zpopmin(call: &mut Call<'_>) -> Answer {
    pop(call, false)
}

pub(super) fn zpopmax(call: &mut Call<'_>) -> Answer {
    pop(call, true)
}

/// Pops one member with its key and score; false, and nothing written, if there is none.
pub(in crate::command) fn pop_one(
    call: &mut Call<'_>,
    key: &[u8],
    highest: bool,
) -> Result<bool, CommandError> {
    let Some(zset) = call.keys.write_sorted_set(key)? else { return Ok(false) };
    let taken = take(zset, 1, highest);
    call.out.array(3);
    call.out.bulk(key);
    for (member, score) in taken {
        call.out.bulk(&member);
        call.out.double(score);
    }
    call.keys.changed(key);
    call.propagate(&[pop_name(highest), key]);
    call.keys.notify(Classes::ZSET, popped(highest), key);
    call.keys.drop_if_empty(key);
    Ok(true)
}

pub(super) fn zmpop(call: &mut Call<'_>) -> Answer {
    if pop_from_first(call, 1)?.is_some() {
        call.out.null_array();
    }
    Ok(())
}

/// `numkeys key [key ...] MIN|MAX [COUNT count]` from an argument on: pops from the first sorted set that has any. If
/// none has, nothing is written, and the answer is which arguments are the keys.
pub(in crate::command) fn pop_from_first(
    call: &mut Call<'_>,
    at: usize,
) -> Result<Option<Range<usize>>, CommandError> {
    let args = call.args;
    let first = at + 1;
    let keys_end = keys_end(call, at, "ERR numkeys should be greater than 0")?;
    if keys_end >= args.len() {
        return Err(CommandError::Syntax);
    }
    let highest = match args.get(keys_end) {
        word if is(word, "MIN") => false,
        word if is(word, "MAX") => true,
        _ => return Err(CommandError::Syntax),
    };
    let count = match args.len() - keys_end {
        1 => 1,
        3 if is(args.get(keys_end + 1), "COUNT") => {
            at_least(args.get(keys_end + 2), 1, "ERR count should be greater than 0")?
        }
        _ => return Err(CommandError::Syntax),
    };
    for at in first..keys_end {
        let Some(zset) = call.keys.write_sorted_set(args.get(at))? else { continue };
        let taken = take(zset, count, highest);
        call.out.array(2);
        bulk(call.out, larder_store::object::Element::Bytes(args.get(at)));
        write(call.out, &taken, true);
        call.keys.changed(args.get(at));
        call.propagate(&[
            pop_name(highest),
            args.get(at),
            itoa::Buffer::new().format(taken.len()).as_bytes(),
        ]);
        call.keys.notify(Classes::ZSET, popped(highest), args.get(at));
        call.keys.drop_if_empty(args.get(at));
        return Ok(None);
    }
    Ok(Some(first..keys_end))
}
