//! Intersections, unions and differences of sorted sets and plain sets (whose members count as score 1).

use super::super::collection::{Answer, float, integer, is, note_reads, text};
use super::super::long::{self, Gathering, Stored, Watched};
use super::super::set::card_limit;
use super::super::{Call, CommandError};
use super::slices::Combination;
use super::{put, scored};
use larder_store::ValueRef;
use larder_store::object::{Limits, Set, SortedSet};

/// One input.
#[derive(Clone, Copy)]
pub(super) enum Source<'k> {
    Missing,
    Plain(&'k Set),
    Sorted(&'k SortedSet),
}

impl<'k> Source<'k> {
    fn of(call: &'k Call<'_>, key: &[u8]) -> Result<Source<'k>, CommandError> {
        match call.keys.peek_value(key) {
            None => Ok(Source::Missing),
            Some(ValueRef::Set(set)) => Ok(Source::Plain(set)),
            Some(ValueRef::SortedSet(zset)) => Ok(Source::Sorted(zset)),
            Some(_) => Err(CommandError::WrongType),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Source::Missing => 0,
            Source::Plain(set) => set.len(),
            Source::Sorted(zset) => zset.len(),
        }
    }

    fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            Source::Missing => None,
            Source::Plain(set) => set.contains(member).then_some(1.0),
            Source::Sorted(zset) => zset.score(member),
        }
    }

    fn members(self) -> impl Iterator<Item = (Vec<u8>, f64)> + 'k {
        let (plain, sorted) = match self {
            Source::Missing => (None, None),
            Source::Plain(set) => (Some(set), None),
            Source::Sorted(zset) => (None, Some(zset)),
        };
        let plain = plain.into_iter().flat_map(Set::iter).map(|member| (member.to_vec(), 1.0));
        plain.chain(
            sorted.into_iter().flat_map(SortedSet::iter).map(|(member, score)| (member.to_vec(), score)),
        )
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Algebra {
    Intersection,
    Union,
    Difference,
}

#[derive(Clone, Copy)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn apply(self, one: f64, two: f64) -> f64 {
        match self {
            Aggregate::Sum => number_or_zero(one + two), // inf - inf counts as 0
            // Of 0 and -0 the first stays, which f64::min and max do not promise.
            Aggregate::Min => {
                if two < one {
                    two
                } else {
                    one
                }
            }
            Aggregate::Max => {
                if two > one {
                    two
                } else {
                    one
                }
            }
        }
    }
}

fn number_or_zero(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// A parsed request over its inputs.
struct Request<'k> {
    inputs: Vec<(Source<'k>, f64)>,
    aggregate: Aggregate,
    with_scores: bool,
}

/// How inputs become a result.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    pub(super) algebra: Algebra,
    aggregate: Aggregate,
}

impl Rule {
    /// How many of the inputs are walked, from the first one on.
    pub(super) fn walked(self, inputs: usize) -> usize {
        if self.algebra == Algebra::Union { inputs } else { inputs.min(1) }
    }

    /// The score of a member of the input `at` in the result, if it belongs there: of a union any, of an intersection one
    /// that all others have, of a difference one that none has.
    pub(super) fn score(
        self,
        (inputs, at): (&[(Source<'_>, f64)], usize),
        (member, score): (&[u8], f64),
        result: &SortedSet,
    ) -> Option<f64> {
        let (score, others) = (number_or_zero(score * inputs[at].1), &inputs[1..]);
        match self.algebra {
            Algebra::Union => {
                Some(result.score(member).map_or(score, |old| self.aggregate.apply(old, score)))
            }
            Algebra::Difference => {
                others.iter().all(|(other, _)| other.score(member).is_none()).then_some(score)
            }
            Algebra::Intersection => others.iter().try_fold(score, |total, (other, weight)| {
                let score = number_or_zero(other.score(member)? * weight);
                Some(self.aggregate.apply(total, score))
            }),
        }
    }
}

impl<'k> Request<'k> {
    /// Reads `numkeys key [key ...] [options]` from argument `at` on.
    fn parse(
        call: &'k Call<'_>,
        at: usize,
        algebra: Algebra,
        name: &'static str,
    ) -> Result<Request<'k>, CommandError> {
        let end = inputs_end(call, at, name)?;
        let inputs: Result<Vec<_>, _> =
            (at + 1..end).map(|at| Ok((Source::of(call, call.args.get(at))?, 1.0))).collect();
        let mut request = Request { inputs: inputs?, aggregate: Aggregate::Sum, with_scores: false };
        request.options(call, end, algebra, at == 2)?;
        Ok(request)
    }

    fn options(&mut self, call: &Call<'_>, mut at: usize, algebra: Algebra, stores: bool) -> Answer {
        let args = call.args;
        let weighs = algebra != Algebra::Difference;
        while at < args.len() {
            let left = args.len() - at - 1;
            match args.get(at) {
                word if weighs && left >= self.inputs.len() && is(word, "WEIGHTS") => {
                    for input in &mut self.inputs {
                        at += 1;
                        input.1 = float(args.get(at)).map_err(|_| text("ERR weight value is not a float"))?;
                    }
                }
                word if weighs && left >= 1 && is(word, "AGGREGATE") => {
                    at += 1;
                    self.aggregate = aggregate(args.get(at))?;
                }
                word if !stores && is(word, "WITHSCORES") => self.with_scores = true,
                _ => return Err(CommandError::Syntax),
            }
            at += 1;
        }
        Ok(())
    }

    /// Small inputs first, as the original does: it is cheaper, and the order decides how sums round.
    fn sort(&mut self, algebra: Algebra) -> Rule {
        if algebra != Algebra::Difference {
            self.inputs.sort_by_key(|(source, _)| source.len());
        }
        Rule { algebra, aggregate: self.aggregate }
    }

    fn result(mut self, algebra: Algebra, limits: &Limits) -> SortedSet {
        let (rule, mut result) = (self.sort(algebra), SortedSet::new());
        for at in 0..rule.walked(self.inputs.len()) {
            for (member, score) in self.inputs[at].0.members() {
                if let Some(score) = rule.score((&self.inputs, at), (&member, score), &result) {
                    result.insert(&member, score, limits);
                }
            }
        }
        result
    }

    /// Gathers it in slices, if there is much to do.
    fn in_slices(mut self, call: &Call<'_>, algebra: Algebra) -> Option<Combination> {
        let rule = self.sort(algebra);
        let total = self.inputs.iter().map(|(source, _)| source.len()).sum();
        let work = match algebra {
            Algebra::Union => total,
            _ => self.inputs.first()?.0.len().saturating_mul(self.inputs.len()),
        };
        let is_long = long::is_long(call.session, work, total);
        is_long.then(|| Combination::new(rule, &self.inputs, self.with_scores, call.node.limits()))
    }
}

/// The index behind the keys of `numkeys key [key ...]` at argument `at`.
fn inputs_end(call: &Call<'_>, at: usize, name: &'static str) -> Result<usize, CommandError> {
    let count = integer(call.args.get(at))?;
    if count < 1 {
        let message = format!("ERR at least 1 input key is needed for '{name}' command");
        return Err(CommandError::Text(message.into()));
    }
    let end = usize::try_from(count).ok().and_then(|count| count.checked_add(at + 1));
    end.filter(|&end| end <= call.args.len()).ok_or(CommandError::Syntax)
}

fn note_inputs(call: &mut Call<'_>, at: usize, name: &'static str) -> Answer {
    let end = inputs_end(call, at, name)?;
    note_reads(call, at + 1, end);
    Ok(())
}

fn aggregate(word: &[u8]) -> Result<Aggregate, CommandError> {
    match word {
        word if is(word, "SUM") => Ok(Aggregate::Sum),
        word if is(word, "MIN") => Ok(Aggregate::Min),
        word if is(word, "MAX") => Ok(Aggregate::Max),
        _ => Err(CommandError::Syntax),
    }
}

fn answer(call: &mut Call<'_>, algebra: Algebra, name: &'static str) -> Answer {
    note_inputs(call, 1, name)?;
    if let Some(work) = Request::parse(call, 1, algebra, name)?.in_slices(call, algebra) {
        return long::begin(call, Gathering::answered(work));
    }
    let request = Request::parse(call, 1, algebra, name)?;
    let with_scores = request.with_scores;
    let result = request.result(algebra, &call.node.limits());
    scored(call.out, result.len(), with_scores, result.iter());
    Ok(())
}

fn store(call: &mut Call<'_>, algebra: Algebra, name: &'static str) -> Answer {
    let end = inputs_end(call, 2, name)?;
    // What is refused is refused below.
    let work =
        Request::parse(call, 2, algebra, name).ok().and_then(|request| request.in_slices(call, algebra));
    if let Some(work) = work {
        let args = call.args;
        let watched = Watched::of(&mut call.keys, (3..end).map(|at| args.get(at)));
        return long::begin_storing(call, Gathering::stored(work, watched));
    }
    note_reads(call, 3, end);
    let prepared = long::prepared(call);
    let request = Request::parse(call, 2, algebra, name)?;
    let result = match prepared {
        Some(Stored::Sorted(result)) => result,
        _ => request.result(algebra, &call.node.limits()),
    };
    put(call, result, name);
    Ok(())
}

pub(super) fn zinter(call: &mut Call<'_>) -> Answer {
    answer(call, Algebra::Intersection, "zinter")
}

pub(super) fn zunion(call: &mut Call<'_>) -> Answer {
    answer(call, Algebra::Union, "zunion")
}

pub(super) fn zdiff(call: &mut Call<'_>) -> Answer {
    answer(call, Algebra::Difference, "zdiff")
}

pub(super) fn zinterstore(call: &mut Call<'_>) -> Answer {
    store(call, Algebra::Intersection, "zinterstore")
}

pub(super) fn zunionstore(call: &mut Call<'_>) -> Answer {
    store(call, Algebra::Union, "zunionstore")
}

pub(super) fn zdiffstore(call: &mut Call<'_>) -> Answer {
    store(call, Algebra::Difference, "zdiffstore")
}

pub(super) fn zintercard(call: &mut Call<'_>) -> Answer {
    let end = inputs_end(call, 1, "zintercard")?;
    note_reads(call, 2, end);
    let sources: Result<Vec<_>, _> = (2..end).map(|at| Source::of(call, call.args.get(at))).collect();
    let mut sources = sources?;
    let limit = card_limit(call, end)?;
    sources.sort_by_key(Source::len);
    let (work, total) =
        (sources[0].len().saturating_mul(sources.len()), sources.iter().map(Source::len).sum());
    if long::is_long(call.session, work, total) {
        let inputs: Vec<_> = sources.into_iter().map(|source| (source, 1.0)).collect();
        let rule = Rule { algebra: Algebra::Intersection, aggregate: Aggregate::Sum };
        let work = Combination::new(rule, &inputs, false, call.node.limits()).counted(limit);
        return long::begin(call, Gathering::answered(work));
    }
    let count = match sources.split_first() {
        Some((first, others)) => {
            let members = first.members();
            let common =
                members.filter(|(member, _)| others.iter().all(|other| other.score(member).is_some()));
            common.take(limit).count()
        }
        None => 0,
    };
    call.out.integer(count as i64);
    Ok(())
}
