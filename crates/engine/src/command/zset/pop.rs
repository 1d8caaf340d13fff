//! Taking members from either end: ZPOPMIN, ZPOPMAX, ZMPOP.

use super::super::collection::{Answer, at_least, bulk, is, keys_end, positive};
use super::super::{Call, CommandError};
use crate::notify::Classes;
use larder_protocol::resp::reply::Reply;
use larder_store::object::SortedSet;

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

pub(super) fn zmpop(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let keys_end = keys_end(call, 1, "ERR numkeys should be greater than 0")?;
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
    for at in 2..keys_end {
        let Some(zset) = call.keys.write_sorted_set(args.get(at))? else { continue };
        let taken = take(zset, count, highest);
        call.out.array(2);
        bulk(call.out, larder_store::object::Element::Bytes(args.get(at)));
        write(call.out, &taken, true);
        call.keys.changed(args.get(at));
        call.keys.notify(Classes::ZSET, popped(highest), args.get(at));
        call.keys.drop_if_empty(args.get(at));
        return Ok(());
    }
    call.out.null_array();
    Ok(())
}
