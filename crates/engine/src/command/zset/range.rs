//! Ranges: by rank, by score, by name; reading, counting, storing and removing them.
//!
//! Every range is first turned into a range of ranks, which costs O(log n); the rest is walking.

use super::super::collection::{Answer, integer, is, note_reads, text, window};
use super::super::long::{self, Gathering, Stored, Watched};
use super::super::{Call, CommandError};
use super::slices::Part;
use super::{put, scored};
use crate::notify::Classes;
use larder_protocol::number;
use larder_store::ValueRef;
use larder_store::object::{Element, SortedSet};
use std::cmp::Ordering;

#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Name,
}

/// What is asked for, between inclusive or exclusive ends.
enum Span<'a> {
    Ranks(i64, i64),
    Scores(Bound<f64>, Bound<f64>),
    Names(Name<'a>, Name<'a>),
}

#[derive(Clone, Copy)]
struct Bound<T> {
    value: T,
    exclusive: bool,
}

#[derive(Clone, Copy)]
enum Name<'a> {
    Lowest,
    Highest,
    Here(Bound<&'a [u8]>),
}

fn score_bound(bytes: &[u8]) -> Result<Bound<f64>, CommandError> {
    let (exclusive, digits) = match bytes {
        [b'(', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    // As the original reads bounds: spaces in front are skipped, and no digits at all are a 0.
    let digits = digits.trim_ascii_start();
    let value = if digits.is_empty() { Some(0.0) } else { number::parse_f64(digits) };
    Ok(Bound { value: value.ok_or(text("ERR min or max is not a float"))?, exclusive })
}

fn name_bound(bytes: &[u8]) -> Result<Name<'_>, CommandError> {
    match bytes {
        b"-" => Ok(Name::Lowest),
        b"+" => Ok(Name::Highest),
        [b'[', value @ ..] => Ok(Name::Here(Bound { value, exclusive: false })),
        [b'(', value @ ..] => Ok(Name::Here(Bound { value, exclusive: true })),
        _ => Err(text("ERR min or max not valid string range item")),
    }
}

/// True if the member lies in front of the place `bound` names; `upper` = the bound ends a range.
fn in_front(member: &Element<'_>, bound: &Name<'_>, upper: bool) -> bool {
    match bound {
        Name::Lowest => false,
        Name::Highest => true,
        Name::Here(bound) => match member.order(&Element::Bytes(bound.value)) {
            Ordering::Less => true,
            Ordering::Equal => bound.exclusive != upper,
            Ordering::Greater => false,
        },
    }
}

fn score_in_front(score: f64, bound: &Bound<f64>, upper: bool) -> bool {
    score < bound.value || (score == bound.value && bound.exclusive != upper)
}

impl<'a> Span<'a> {
    fn parse(by: By, low: &'a [u8], high: &'a [u8]) -> Result<Span<'a>, CommandError> {
        Ok(match by {
            By::Rank => Span::Ranks(integer(low)?, integer(high)?),
            By::Score => Span::Scores(score_bound(low)?, score_bound(high)?),
            By::Name => Span::Names(name_bound(low)?, name_bound(high)?),
        })
    }

    /// The ranks, ascending: first, and how many. `reverse` counts ranks (not scores or names) from the top.
    fn find(&self, zset: &SortedSet, reverse: bool) -> (usize, usize) {
        let (start, end) = match self {
            Span::Ranks(start, stop) => {
                let (first, count) = window(*start, *stop, zset.len());
                let first = if reverse { zset.len() - first - count } else { first };
                return (first, count);
            }
            Span::Scores(low, high) => (
                zset.partition_point(|score, _| score_in_front(score, low, false)),
                zset.partition_point(|score, _| score_in_front(score, high, true)),
            ),
            Span::Names(low, high) => (
                zset.partition_point(|_, member| in_front(&member, low, false)),
                zset.partition_point(|_, member| in_front(&member, high, true)),
            ),
        };
        (start, end.saturating_sub(start))
    }
}

/// A parsed range request.
struct Request<'a> {
    span: Span<'a>,
    reverse: bool,
    offset: i64,
    limit: i64,
    with_scores: bool,
}

/// How a command fixes what ZRANGE leaves to options.
#[derive(Clone, Copy)]
struct Form {
    /// Index of the first bound.
    bounds: usize,
    by: Option<By>,
    reverse: Option<bool>,
    stores: bool,
}

impl<'a> Request<'a> {
    fn parse(call: &Call<'a>, form: Form) -> Result<Request<'a>, CommandError> {
        let args = call.args;
        let (mut by, mut reverse) = (form.by.unwrap_or(By::Rank), form.reverse.unwrap_or(false));
        let (mut limits, mut with_scores) = (None, false);
        let mut at = form.bounds + 2;
        while at < args.len() {
            match args.get(at) {
                word if !form.stores && is(word, "WITHSCORES") => with_scores = true,
                word if is(word, "LIMIT") && at + 2 < args.len() => {
                    limits = Some((integer(args.get(at + 1))?, integer(args.get(at + 2))?));
                    at += 2;
                }
                word if form.reverse.is_none() && is(word, "REV") => reverse = true,
                word if form.by.is_none() && is(word, "BYLEX") => by = By::Name,
                word if form.by.is_none() && is(word, "BYSCORE") => by = By::Score,
                _ => return Err(CommandError::Syntax),
            }
            at += 1;
        }
        check(by, limits.is_some_and(|(_, limit)| limit != -1), with_scores)?;
        // A range of ranks passes with a limit of -1, and then ignores the offset.
        let (offset, limit) = limits.filter(|_| by != By::Rank).unwrap_or((0, -1));
        let swapped = usize::from(reverse && by != By::Rank);
        let (low, high) = (args.get(form.bounds + swapped), args.get(form.bounds + 1 - swapped));
        Ok(Request { span: Span::parse(by, low, high)?, reverse, offset, limit, with_scores })
    }

    /// Rank to start at and number of members, in the direction of the request.
    fn find(&self, zset: &SortedSet) -> (usize, usize) {
        let (first, count) = self.span.find(zset, self.reverse);
        let skipped = usize::try_from(self.offset).unwrap_or(usize::MAX).min(count);
        let left = count - skipped;
        let taken = usize::try_from(self.limit).map_or(left, |limit| limit.min(left));
        let start = if self.reverse { (first + count).saturating_sub(1 + skipped) } else { first + skipped };
        (start, taken)
    }
}

fn check(by: By, limited: bool, with_scores: bool) -> Answer {
    if limited && by == By::Rank {
        return Err(text(
            "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
        ));
    }
    if with_scores && by == By::Name {
        return Err(text("ERR syntax error, WITHSCORES not supported in combination with BYLEX"));
    }
    Ok(())
}

fn range(call: &mut Call<'_>, by: Option<By>, reverse: Option<bool>) -> Answer {
    let request = Request::parse(call, Form { bounds: 2, by, reverse, stores: false })?;
    let Some(zset) = call.keys.read_sorted_set(call.args.get(1))? else {
        call.out.array(0);
        return Ok(());
    };
    let (start, count) = request.find(zset);
    if long::is_long(call.session, count, zset.len()) {
        scored(call.out, count, request.with_scores, std::iter::empty());
        let ranked = long::Ranked::new(zset.clone(), (start, count), request.reverse, request.with_scores);
        return long::begin(call, ranked);
    }
    scored(call.out, count, request.with_scores, zset.iter_from(start, request.reverse).take(count));
    Ok(())
}

pub(super) fn zrange(call: &mut Call<'_>) -> Answer {
    range(call, None, None)
}

pub(super) fn zrevrange(call: &mut Call<'_>) -> Answer {
    range(call, Some(By::Rank), Some(true))
}

pub(super) fn zrangebyscore(call: &mut Call<'_>) -> Answer {
    range(call, Some(By::Score), Some(false))
}

pub(super) fn zrevrangebyscore(call: &mut Call<'_>) -> Answer {
    range(call, Some(By::Score), Some(true))
}

pub(super) fn zrangebylex(call: &mut Call<'_>) -> Answer {
    range(call, Some(By::Name), Some(false))
}

pub(super) fn zrevrangebylex(call: &mut Call<'_>) -> Answer {
    range(call, Some(By::Name), Some(true))
}

pub(super) fn zrangestore(call: &mut Call<'_>) -> Answer {
    let request = Request::parse(call, Form { bounds: 3, by: None, reverse: None, stores: true })?;
    let (source, limits) = (call.args.get(2), call.node.limits());
    if long::may_begin(call.session)
        && let Some(ValueRef::SortedSet(zset)) = call.keys.peek_value(source)
        && let (start, count) = request.find(zset)
        && long::is_large(count, zset.len())
    {
        let part = Part::new(zset.clone(), (start, count), request.reverse, limits);
        let watched = Watched::of(&mut call.keys, std::iter::once(source));
        return long::begin_storing(call, Gathering::stored(part, watched));
    }
    if let Some(Stored::Sorted(result)) = long::prepared(call) {
        note_reads(call, 2, 3);
        put(call, result, "zrangestore");
        return Ok(());
    }
    let mut result = SortedSet::new();
    if let Some(zset) = call.keys.read_sorted_set(call.args.get(2))? {
        let (start, count) = request.find(zset);
        for (member, score) in zset.iter_from(start, request.reverse).take(count) {
            result.insert(&member.to_vec(), score, &limits);
        }
    }
    put(call, result, "zrangestore");
    Ok(())
}

fn count(call: &mut Call<'_>, by: By) -> Answer {
    let args = call.args;
    let span = Span::parse(by, args.get(2), args.get(3))?;
    let count = call.keys.read_sorted_set(args.get(1))?.map_or(0, |zset| span.find(zset, false).1);
    call.out.integer(count as i64);
    Ok(())
}

pub(super) fn zcount(call: &mut Call<'_>) -> Answer {
    count(call, By::Score)
}

pub(super) fn zlexcount(call: &mut Call<'_>) -> Answer {
    count(call, By::Name)
}

fn remove(call: &mut Call<'_>, by: By) -> Answer {
    let args = call.args;
    let span = Span::parse(by, args.get(2), args.get(3))?;
    let removed = call.keys.write_sorted_set(args.get(1))?.map_or(0, |zset| {
        let (first, count) = span.find(zset, false);
        zset.remove_range(first, count)
    });
    if removed > 0 {
        let event = match by {
            By::Rank => "zremrangebyrank",
            By::Score => "zremrangebyscore",
            By::Name => "zremrangebylex",
        };
        call.keys.changed(args.get(1));
        call.keys.notify(Classes::ZSET, event, args.get(1));
        call.keys.drop_if_empty(args.get(1));
    }
    call.out.integer(removed as i64);
    Ok(())
}

pub(super) fn zremrangebyrank(call: &mut Call<'_>) -> Answer {
    remove(call, By::Rank)
}

pub(super) fn zremrangebyscore(call: &mut Call<'_>) -> Answer {
    remove(call, By::Score)
}

pub(super) fn zremrangebylex(call: &mut Call<'_>) -> Answer {
    remove(call, By::Name)
}
