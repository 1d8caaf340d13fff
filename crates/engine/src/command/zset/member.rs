//! Single members: adding, changing, removing, asking for scores and ranks, random members, ZSCAN.

use super::super::collection::{Answer, Draw, Scan, bulk, cursor, dice, distinct, float, is, scanned, text};
use super::super::{Call, CommandError, long};
use super::scored;
use crate::notify::Classes;
use larder_protocol::number;
use larder_store::object::{Limits, SortedSet};

/// The options of ZADD.
#[derive(Clone, Copy, Default)]
struct Add {
    only_new: bool,
    only_existing: bool,
    only_greater: bool,
    only_less: bool,
    count_changed: bool,
    increment: bool,
}

/// What ZADD did with one pair.
enum Added {
    Nothing,
    Same(f64),
    Changed(f64),
    New(f64),
}

impl Add {
    /// Reads the options; gives the index of the first score too.
    fn parse(call: &Call<'_>) -> Result<(Add, usize), CommandError> {
        let mut add = Add::default();
        let mut at = 2;
        while at < call.args.len() {
            match call.args.get(at) {
                word if is(word, "NX") => add.only_new = true,
                word if is(word, "XX") => add.only_existing = true,
                word if is(word, "GT") => add.only_greater = true,
                word if is(word, "LT") => add.only_less = true,
                word if is(word, "CH") => add.count_changed = true,
                word if is(word, "INCR") => add.increment = true,
                _ => break,
            }
            at += 1;
        }
        add.check(call.args.len() - at)?;
        Ok((add, at))
    }

    fn check(&self, left: usize) -> Answer {
        if left == 0 || !left.is_multiple_of(2) {
            return Err(CommandError::Syntax);
        }
        if self.only_new && self.only_existing {
            return Err(text("ERR XX and NX options at the same time are not compatible"));
        }
        if [self.only_greater, self.only_less, self.only_new].iter().filter(|given| **given).count() > 1 {
            return Err(text("ERR GT, LT, and/or NX options at the same time are not compatible"));
        }
        if self.increment && left > 2 {
            return Err(text("ERR INCR option supports a single increment-element pair"));
        }
        Ok(())
    }

    fn apply(
        &self,
        zset: &mut SortedSet,
        member: &[u8],
        score: f64,
        limits: &Limits,
    ) -> Result<Added, CommandError> {
        let Some(old) = zset.score(member) else {
            if self.only_existing {
                return Ok(Added::Nothing);
            }
            zset.insert(member, score, limits);
            return Ok(Added::New(score));
        };
        let new = if self.increment { old + score } else { score };
        if new.is_nan() {
            return Err(text("ERR resulting score is not a number (NaN)"));
        }
        if self.only_new || (self.only_greater && new <= old) || (self.only_less && new >= old) {
            return Ok(Added::Nothing);
        }
        zset.insert(member, new, limits);
        Ok(if new == old { Added::Same(new) } else { Added::Changed(new) })
    }
}

pub(super) fn zadd(call: &mut Call<'_>) -> Answer {
    let (add, first) = Add::parse(call)?;
    run(call, add, first)
}

pub(super) fn zincrby(call: &mut Call<'_>) -> Answer {
    run(call, Add { increment: true, ..Add::default() }, 2)
}

fn run(call: &mut Call<'_>, add: Add, first: usize) -> Answer {
    let args = call.args;
    let scores: Result<Vec<f64>, _> = (first..args.len()).step_by(2).map(|at| float(args.get(at))).collect();
    let scores = scores?;
    let (key, limits) = (args.get(1), call.node.limits());
    if add.only_existing && call.keys.write_sorted_set(key)?.is_none() {
        reply(call, add, Added::Nothing, 0);
        return Ok(());
    }
    let zset = call.keys.write_sorted_set_or_create(key)?;
    let (mut new, mut changed, mut last) = (0, 0, Added::Nothing);
    for (index, score) in scores.into_iter().enumerate() {
        last = add.apply(zset, args.get(first + index * 2 + 1), score, &limits)?;
        new += i64::from(matches!(last, Added::New(_)));
        changed += i64::from(matches!(last, Added::Changed(_)));
    }
    if new + changed > 0 {
        call.keys.changed(key);
        let event = if add.increment { "zincr" } else { "zadd" };
        call.keys.notify(Classes::ZSET, event, key);
    }
    reply(call, add, last, if add.count_changed { new + changed } else { new });
    Ok(())
}

fn reply(call: &mut Call<'_>, add: Add, last: Added, count: i64) {
    match last {
        _ if !add.increment => call.out.integer(count),
        Added::Nothing => call.out.null(),
        Added::Same(score) | Added::Changed(score) | Added::New(score) => call.out.double(score),
    }
}

pub(super) fn zrem(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let mut removed = 0;
    if let Some(zset) = call.keys.write_sorted_set(args.get(1))? {
        removed = (2..args.len()).filter(|&at| zset.remove(args.get(at)).is_some()).count();
    }
    if removed > 0 {
        call.keys.changed(args.get(1));
        call.keys.notify(Classes::ZSET, "zrem", args.get(1));
        call.keys.drop_if_empty(args.get(1));
    }
    call.out.integer(removed as i64);
    Ok(())
}

pub(super) fn zcard(call: &mut Call<'_>) -> Answer {
    let len = call.keys.read_sorted_set(call.args.get(1))?.map_or(0, SortedSet::len);
    call.out.integer(len as i64);
    Ok(())
}

pub(super) fn zscore(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    match call.keys.read_sorted_set(args.get(1))?.and_then(|zset| zset.score(args.get(2))) {
        Some(score) => call.out.double(score),
        None => call.out.null(),
    }
    Ok(())
}

pub(super) fn zmscore(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let zset = call.keys.read_sorted_set(args.get(1))?;
    call.out.array(args.len() - 2);
    for at in 2..args.len() {
        match zset.and_then(|zset| zset.score(args.get(at))) {
            Some(score) => call.out.double(score),
            None => call.out.null(),
        }
    }
    Ok(())
}

fn rank(call: &mut Call<'_>, reverse: bool) -> Answer {
    let args = call.args;
    let with_score = args.len() == 4;
    match args.len() {
        3 => {}
        4 if is(args.get(3), "WITHSCORE") => {}
        4 => return Err(CommandError::Syntax),
        _ => return Err(CommandError::WrongArity),
    }
    let zset = call.keys.read_sorted_set(args.get(1))?;
    let found = zset.and_then(|zset| {
        let rank = zset.rank(args.get(2))?;
        let rank = if reverse { zset.len() - 1 - rank } else { rank };
        Some((rank, if with_score { zset.score(args.get(2))? } else { 0.0 }))
    });
    match found {
        Some((rank, score)) if with_score => {
            call.out.array(2);
            call.out.integer(rank as i64);
            call.out.double(score);
        }
        Some((rank, _)) => call.out.integer(rank as i64),
        None if with_score => call.out.null_array(),
        None => call.out.null(),
    }
    Ok(())
}

pub(super) fn zrank(call: &mut Call<'_>) -> Answer {
    rank(call, false)
}

pub(super) fn zrevrank(call: &mut Call<'_>) -> Answer {
    rank(call, true)
}

pub(super) fn zrandmember(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    if args.len() == 2 {
        match call.keys.read_sorted_set(args.get(1))?.and_then(|zset| zset.random(&mut dice())) {
            Some((member, _)) => bulk(call.out, member),
            None => call.out.null(),
        }
        return Ok(());
    }
    let draw = Draw::parse(args.get(2))?;
    let with_scores = args.len() == 4 && is(args.get(3), "WITHSCORES");
    if args.len() > 4 || (args.len() == 4 && !with_scores) {
        return Err(CommandError::Syntax);
    }
    if with_scores && draw.count > (i64::MAX / 2) as usize {
        return Err(text("ERR value is out of range"));
    }
    let Some(zset) = call.keys.read_sorted_set(args.get(1))? else {
        call.out.array(0);
        return Ok(());
    };
    if long::is_long(call.session, draw.answered(zset.len()), zset.len()) {
        scored(call.out, draw.answered(zset.len()), with_scores, std::iter::empty());
        let draws = long::Draws::new(long::Drawn::Sorted(zset.clone(), with_scores), draw);
        return long::begin(call, draws);
    }
    let mut random = dice();
    let ranks: Vec<usize> = match draw.repeated {
        true => (0..draw.count).map(|_| below(&mut random, zset.len())).collect(),
        false => distinct(draw.count, zset.len(), 0..zset.len(), |random| Some(below(random, zset.len()))),
    };
    let members: Vec<_> = ranks.into_iter().filter_map(|rank| zset.select(rank)).collect();
    scored(call.out, members.len(), with_scores, members.into_iter());
    Ok(())
}

fn below(random: &mut dyn FnMut() -> u64, bound: usize) -> usize {
    ((u128::from(random()) * bound as u128) >> 64) as usize
}

pub(super) fn zscan(call: &mut Call<'_>) -> Answer {
    let cursor = cursor(call.args.get(2))?;
    if call.keys.read_sorted_set(call.args.get(1))?.is_none() {
        scanned(call.out, 0, &[]);
        return Ok(());
    }
    let scan = Scan::parse(call, cursor, "NOSCORES")?;
    let Some(zset) = call.keys.read_sorted_set(call.args.get(1))? else { return Ok(()) };
    let mut found = Vec::new();
    let next = zset.scan(scan.cursor, scan.count, &mut |member, score| {
        let member = member.to_vec();
        if scan.wants(&member) {
            found.push(member);
            if !scan.halves {
                found.push(number::Buffer::new().format_f64(score).to_vec());
            }
        }
    });
    scanned(call.out, next, &found);
    Ok(())
}
