//! Single members: GEOADD, GEOPOS, GEOHASH, GEODIST.

use super::super::collection::{Answer, is};
use super::super::{Call, CommandError};
use super::hash::Point;
use super::{place, unit, write_distance, write_place};
use crate::notify::Classes;

/// The options of GEOADD.
#[derive(Clone, Copy, Default)]
struct Add {
    only_new: bool,
    only_existing: bool,
    count_changed: bool,
}

impl Add {
    /// Reads the options; gives the index of the first longitude too.
    fn parse(call: &Call<'_>) -> Result<(Add, usize), CommandError> {
        let mut add = Add::default();
        let mut at = 2;
        while at < call.args.len() {
            match call.args.get(at) {
                word if is(word, "NX") => add.only_new = true,
                word if is(word, "XX") => add.only_existing = true,
                word if is(word, "CH") => add.count_changed = true,
                _ => break,
            }
            at += 1;
        }
        let left = call.args.len() - at;
        if left == 0 || !left.is_multiple_of(3) || add.only_new && add.only_existing {
            return Err(CommandError::Syntax);
        }
        Ok((add, at))
    }
}

pub(super) fn geoadd(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let (add, first) = Add::parse(call)?;
    let scores: Vec<f64> = (first..args.len())
        .step_by(3)
        .map(|at| place(args.get(at), args.get(at + 1)).map(|place| place.score()))
        .collect::<Result<_, _>>()?;
    let (key, limits) = (args.get(1), call.node.limits());
    if add.only_existing && call.keys.write_sorted_set(key)?.is_none() {
        call.out.integer(0);
        return Ok(());
    }
    let zset = call.keys.write_sorted_set_or_create(key)?;
    let (mut new, mut changed) = (0, 0);
    for (index, score) in scores.into_iter().enumerate() {
        let member = args.get(first + index * 3 + 2);
        match zset.score(member) {
            None if add.only_existing => {}
            None => {
                zset.insert(member, score, &limits);
                new += 1;
            }
            Some(old) if add.only_new || old == score => {}
            Some(_) => {
                zset.insert(member, score, &limits);
                changed += 1;
            }
        }
    }
    if new + changed > 0 {
        call.keys.changed(key);
        call.keys.notify(Classes::ZSET, "zadd", key);
    }
    call.out.integer(if add.count_changed { new + changed } else { new });
    Ok(())
}

/// Writes something about each member that is there, else a null.
fn answer_each(call: &mut Call<'_>, write: impl Fn(&mut Call<'_>, Option<Point>)) -> Answer {
    let members = call.args.from(2);
    let zset = call.keys.read_sorted_set(call.args.get(1))?;
    let places: Vec<Option<Point>> =
        members.iter().map(|member| zset.and_then(|zset| zset.score(member)).map(Point::of_score)).collect();
    call.out.array(places.len());
    places.into_iter().for_each(|place| write(call, place));
    Ok(())
}

pub(super) fn geopos(call: &mut Call<'_>) -> Answer {
    answer_each(call, |call, place| match place {
        Some(place) => write_place(call.out, &place),
        None => call.out.null_array(),
    })
}

pub(super) fn geohash(call: &mut Call<'_>) -> Answer {
    answer_each(call, |call, place| match place {
        Some(place) => call.out.bulk(&place.geohash()),
        None => call.out.null(),
    })
}

pub(super) fn geodist(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let metres = match args.len() {
        4 => 1.0,
        5 => unit(args.get(4))?,
        _ => return Err(CommandError::Syntax),
    };
    let zset = call.keys.read_sorted_set(args.get(1))?;
    let at = |member: &[u8]| zset.and_then(|zset| zset.score(member)).map(Point::of_score);
    match (at(args.get(2)), at(args.get(3))) {
        (Some(from), Some(to)) => write_distance(call.out, from.distance(&to) / metres),
        _ => call.out.null(),
    }
    Ok(())
}
