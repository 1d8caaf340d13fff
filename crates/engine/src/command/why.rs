//! LARDER.WHY: what is known of one key: what it is if it is there, and why it is not if it is not. LARDER.PREFIXES: the same
//! of all reads, by what their keys begin with. LARDER.OUTCOME: what readers know of their hits.
//!
//! The names have a dot, as those of modules have, so that no command of Redis or Valkey will ever be called so.

use super::table::{Command, Keys, flag};
use super::{Call, CommandError};
use crate::prefixes::{MISSES, REPORTED, Reported};
use larder_protocol::number::parse_i64;
use larder_store::{ItemRef, Reason};

/// The rows of this family.
pub(crate) const COMMANDS: &[Command] = &[WHY, PREFIXES, OUTCOME];

const PREFIXES: Command = Command {
    name: "larder.prefixes",
    summary: "Returns hits and misses by what keys begin with, the most used first.",
    syntax: "[RESET]",
    complexity: "O(N) where N is the number of prefixes, at most 256",
    since: "7.2.4",
    group: "server",
    arity: -1,
    flags: flag::ADMIN | flag::LOADING | flag::STALE,
    handler: prefixes,
    ..Command::DEFAULT
};

const OUTCOME: Command = Command {
    name: "larder.outcome",
    summary: "Tells of hits what only their reader knows: that values were stale, or said that the source has nothing.",
    syntax: "prefix [STALE count] [NEGATIVE count]", // with the delimiter behind it, or a key
    complexity: "O(1)",
    since: "7.2.4",
    group: "server",
    arity: -4,
    flags: flag::FAST | flag::LOADING | flag::STALE,
    handler: outcome,
    ..Command::DEFAULT
};

const WHY: Command = Command {
    name: "larder.why",
    summary: "Returns what is known of a key: what it takes, or why it is not there.",
    syntax: "key",
    complexity: "O(1)",
    since: "7.2.4",
    group: "generic",
    arity: 2,
    flags: flag::READONLY | flag::FAST,
    keys: Keys::Range { first: 1, last: 1, step: 1 },
    handler: why,
    ..Command::DEFAULT
};

/// What is known of a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It is there.
    Present {
        /// Bytes of the item.
        bytes: usize,
        /// Milliseconds to live; `None` without a deadline.
        left_ms: Option<u64>,
        /// Seconds since its last use.
        idle_seconds: u32,
        /// Whether its value was read since it was set, where that is noted.
        read: bool,
    },
    /// It was there, and left for a reason.
    Left(Reason),
    /// It was never there, or left so long ago that it was forgotten.
    Unknown,
}

impl Known {
    /// Of a key that is there.
    pub(crate) fn of(
        item: &ItemRef<'_>,
        access: larder_store::partition::access::Access,
        now_ms: u64,
    ) -> Known {
        Known::Present {
            bytes: item.memory_bytes(),
            left_ms: item.deadline().map(|at| at.saturating_sub(now_ms)),
            idle_seconds: access.idle_seconds(item.access(), now_ms),
            read: access.is_fetched(item.access()),
        }
    }

    /// The word for it: `present`, `unknown` or the reason.
    pub(crate) fn state(&self) -> &'static str {
        match self {
            Known::Present { .. } => "present",
            Known::Left(Reason::Evicted) => "evicted",
            Known::Left(Reason::Expired) => "expired",
            Known::Left(Reason::Deleted) => "deleted",
            Known::Left(Reason::Flushed) => "flushed",
            Known::Unknown => "unknown",
        }
    }

    /// Everything else that is known, by names; -1 for a key that has no deadline.
    pub(crate) fn facts(&self) -> Vec<(&'static str, i64)> {
        match *self {
            Known::Present { bytes, left_ms, idle_seconds, read } => vec![
                ("bytes", bytes as i64),
                ("ttl_ms", left_ms.map_or(-1, |ms| ms as i64)),
                ("idle_seconds", idle_seconds.into()),
                ("read", read.into()),
            ],
            Known::Left(_) | Known::Unknown => Vec::new(),
        }
    }
}

fn why(call: &mut Call<'_>) -> Result<(), CommandError> {
    let key = call.args.get(1);
    let now_ms = call.keys.now_ms();
    let access = call.node.access(&call.node.settings(), now_ms, 0);
    let known = match call.keys.peek(key) {
        Some(item) => Known::of(&item, access, now_ms),
        None => call.keys.reason(key).map_or(Known::Unknown, Known::Left),
    };
    let facts = known.facts();
    call.out.map(1 + facts.len());
    call.out.bulk(b"state");
    call.out.bulk(known.state().as_bytes());
    for (name, value) in facts {
        call.out.bulk(name.as_bytes());
        call.out.integer(value);
    }
    Ok(())
}

fn outcome(call: &mut Call<'_>) -> Result<(), CommandError> {
    let mut told = Vec::new();
    for at in (2..call.args.len()).step_by(2) {
        let word = call.args.get(at).to_ascii_lowercase();
        let what = match word.as_slice() {
            b"stale" => Reported::Stale,
            b"negative" => Reported::Negative,
            _ => return Err(CommandError::Syntax),
        };
        if at + 1 == call.args.len() {
            return Err(CommandError::Syntax);
        }
        let count = parse_i64(call.args.get(at + 1)).and_then(|count| u64::try_from(count).ok());
        told.push((what, count.ok_or(CommandError::NotInteger)?));
    }
    let prefixes = &call.node.prefixes;
    let prefix = prefixes.prefix(call.args.get(1));
    told.into_iter().for_each(|(what, count)| prefixes.report(prefix, what, count));
    call.out.ok();
    Ok(())
}

fn prefixes(call: &mut Call<'_>) -> Result<(), CommandError> {
    match call.args.len() {
        1 => {}
        2 if call.args.get(1).eq_ignore_ascii_case(b"reset") => {
            call.node.prefixes.reset();
            call.out.simple("OK");
            return Ok(());
        }
        _ => return Err(CommandError::Syntax),
    }
    let all = call.node.prefixes.all();
    call.out.array(all.len());
    for (name, counts) in all {
        call.out.map(3 + REPORTED.len() + MISSES.len());
        call.out.bulk(b"prefix");
        call.out.bulk(&name);
        let reported = REPORTED.into_iter().zip(counts.reported);
        let misses = MISSES.into_iter().zip(counts.misses);
        for (name, count) in [("hits", counts.hits)].into_iter().chain(reported).chain(misses) {
            call.out.bulk(name.as_bytes());
            call.out.integer(count as i64);
        }
        call.out.bulk(b"before");
        call.out.integer(counts.before as i64);
    }
    Ok(())
}
