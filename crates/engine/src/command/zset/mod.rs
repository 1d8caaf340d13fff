//! Sorted set commands, without the blocking forms, split by reader: single members, ranges, pops, set algebra.

mod algebra;
mod member;
mod pop;
mod range;
mod slices;

use super::collection::bulk;
use super::table::{ONE_KEY, TWO_KEYS, flag};
use super::{Call, Command, Keys};
use crate::notify::Classes;
use larder_protocol::resp::reply::Reply;
use larder_store::object::{Element, SortedSet};
pub(super) use pop::{pop_from_first, pop_one};

/// The sorted set commands.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "zadd",
        summary: "Adds members to a sorted set or changes their scores.",
        syntax: "key [NX|XX] [GT|LT] [CH] [INCR] score member [score member ...]",
        since: "1.2.0",
        group: "sorted-set",
        complexity: "O(M*log(N)), M = pairs given, N = members",
        arity: -4,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        keys: ONE_KEY,
        handler: member::zadd,
        ..Command::DEFAULT
    },
    Command {
        name: "zincrby",
        summary: "Adds to the score of a member; a missing one counts as 0.",
        syntax: "key increment member",
        since: "1.2.0",
        group: "sorted-set",
        complexity: "O(log(N)), N = members",
        arity: 4,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        keys: ONE_KEY,
        handler: member::zincrby,
        ..Command::DEFAULT
    },
    Command {
        name: "zrem",
        summary: "Removes members from a sorted set, and the set with its last member.",
        syntax: "key member [member ...]",
        since: "1.2.0",
        group: "sorted-set",
        complexity: "O(M*log(N)), M = members given, N = members",
        arity: -3,
        flags: flag::WRITE | flag::FAST,
        keys: ONE_KEY,
        handler: member::zrem,
        ..Command::DEFAULT
    },
    Command {
        name: "zscore",
        summary: "Returns the score of a member.",
        syntax: "key member",
        since: "1.2.0",
        group: "sorted-set",
        arity: 3,
        flags: flag::READONLY | flag::FAST,
        keys: ONE_KEY,
        handler: member::zscore,
        ..Command::DEFAULT
    },
    Command {
        name: "zmscore",
        summary: "Returns the scores of several members.",
        syntax: "key member [member ...]",
        since: "6.2.0",
        group: "sorted-set",
        complexity: "O(N), N = members given",
        arity: -3,
        flags: flag::READONLY | flag::FAST,
        keys: ONE_KEY,
        handler: member::zmscore,
        ..Command::DEFAULT
    },
    Command {
        name: "zcard",
        summary: "Returns the number of members of a sorted set.",
        syntax: "key",
        since: "1.2.0",
        group: "sorted-set",
        arity: 2,
        flags: flag::READONLY | flag::FAST,
        keys: ONE_KEY,
        handler: member::zcard,
        ..Command::DEFAULT
    },
    Command {
        name: "zcount",
        summary: "Counts the members with scores in a range.",
        syntax: "key min max",
        since: "2.0.0",
        group: "sorted-set",
        complexity: "O(log(N)), N = members",
        arity: 4,
        flags: flag::READONLY | flag::FAST,
        keys: ONE_KEY,
        handler: range::zcount,
        ..Command::DEFAULT
    },
    Command {
        name: "zlexcount",
        summary: "Counts the members with names in a range.",
        syntax: "key min max",
        since: "2.8.9",
        group: "sorted-set",
        complexity: "O(log(N)), N = members",
        arity: 4,
        flags: flag::READONLY | flag::FAST,
        keys: ONE_KEY,
        handler: range::zlexcount,
        ..Command::DEFAULT
    },
    Command {
        name: "zrange",
        summary: "Returns the members in a range of ranks, scores or names.",
        syntax: "key start stop [BYSCORE|BYLEX] [REV] [LIMIT offset count] [WITHSCORES]",
        since: "1.2.0",
        group: "sorted-set",
        complexity: "O(log(N)+M), N = members, M = members returned",
        arity: -4,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: range::zrange,
        ..Command::DEFAULT
    },
    Command {
        name: "zrangestore",
        summary: "Stores the members in a range of another sorted set.",
        syntax: "dst src min max [BYSCORE|BYLEX] [REV] [LIMIT offset count]",
        since: "6.2.0",
        group: "sorted-set",
        complexity: "O(log(N)+M*log(M)), N = members, M = members stored",
        arity: -5,
        flags: flag::WRITE | flag::DENYOOM,
        keys: TWO_KEYS,
        handler: range::zrangestore,
        ..Command::DEFAULT
    },
    Command {
        name: "zrangebyscore",
        summary: "Returns the members with scores in a range, lowest first.",
        syntax: "key min max [WITHSCORES] [LIMIT offset count]",
        since: "1.0.5",
        group: "sorted-set",
        complexity: "O(log(N)+M), N = members, M = members returned",
        arity: -4,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: range::zrangebyscore,
        ..Command::DEFAULT
    },
    Command {
        name: "zrevrange",
        summary: "Returns the members in a range of ranks, highest first.",
        syntax: "key start stop [WITHSCORES]",
        since: "1.2.0",
        group: "sorted-set",
        complexity: "O(log(N)+M), N = members, M = members returned",
        arity: -4,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: range::zrevrange,
        ..Command::DEFAULT
    },
    Command {
        name: "zrevrangebyscore",
        summary: "Returns the members with scores in a range, highest first.",
        syntax: "key max min [WITHSCORES] [LIMIT offset count]",
        since: "2.2.0",
        group: "sorted-set",
        complexity: "O(log(N)+M), N = members, M = members returned",
        arity: -4,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: range::zrevrangebyscore,
        ..Command::DEFAULT
    },
    Command {
        name: "zrangebylex",
        summary: "Returns the members with names in a range, lowest first.",
        syntax: "key min max [LIMIT offset count]",
        since: "2.8.9",
        group: "sorted-set",
        complexity: "O(log(N)+M), N = members, M = members returned",
        arity: -4,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: range::zrangebylex,
        ..Command::DEFAULT
    },
    Command {
        name: "zrevrangebylex",
        summary: "Returns the members with names in a range, highest first.",
        syntax: "key max min [LIMIT offset count]",
        since: "2.8.9",
        group: "sorted-set",
        complexity: "O(log(N)+M), N = members, M = members returned",
        arity: -4,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: range::zrevrangebylex,
        ..Command::DEFAULT
    },
    Command {
        name: "zrank",
        summary: "Returns the rank of a member, counted from the lowest score.",
        syntax: "key member [WITHSCORE]",
        since: "2.0.0",
        group: "sorted-set",
        complexity: "O(log(N)), N = members",
        arity: -3,
        flags: flag::READONLY | flag::FAST,
        keys: ONE_KEY,
        handler: member::zrank,
        ..Command::DEFAULT
    },
    Command {
        name: "zrevrank",
        summary: "Returns the rank of a member, counted from the highest score.",
        syntax: "key member [WITHSCORE]",
        since: "2.0.0",
        group: "sorted-set",
        complexity: "O(log(N)), N = members",
        arity: -3,
        flags: flag::READONLY | flag::FAST,
        keys: ONE_KEY,
        handler: member::zrevrank,
        ..Command::DEFAULT
    },
    Command {
        name: "zpopmin",
        summary: "Takes the members with the lowest scores.",
        syntax: "key [count]",
        since: "5.0.0",
        group: "sorted-set",
        complexity: "O(M*log(N)), M = members returned, N = members",
        arity: -2,
        flags: flag::WRITE | flag::FAST,
        keys: ONE_KEY,
        handler: pop::zpopmin,
        ..Command::DEFAULT
    },
    Command {
        name: "zpopmax",
        summary: "Takes the members with the highest scores.",
        syntax: "key [count]",
        since: "5.0.0",
        group: "sorted-set",
        complexity: "O(M*log(N)), M = members returned, N = members",
        arity: -2,
        flags: flag::WRITE | flag::FAST,
        keys: ONE_KEY,
        handler: pop::zpopmax,
        ..Command::DEFAULT
    },
    Command {
        name: "zmpop",
        summary: "Takes members from the first of several sorted sets that has any.",
        syntax: "numkeys key [key ...] <MIN | MAX> [COUNT count]",
        since: "7.0.0",
        group: "sorted-set",
        complexity: "O(K+M*log(N)), K = keys given, M = members returned, N = members",
        arity: -4,
        flags: flag::WRITE | flag::MOVABLEKEYS,
        keys: Keys::Counted { count_at: 1, target: false },
        handler: pop::zmpop,
        ..Command::DEFAULT
    },
    Command {
        name: "zrandmember",
        summary: "Returns random members of a sorted set.",
        syntax: "key [count [WITHSCORES]]",
        since: "6.2.0",
        group: "sorted-set",
        complexity: "O(M*log(N)), M = members returned, N = members",
        arity: -2,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: member::zrandmember,
        ..Command::DEFAULT
    },
    Command {
        name: "zremrangebyrank",
        summary: "Removes the members in a range of ranks.",
        syntax: "key start stop",
        since: "2.0.0",
        group: "sorted-set",
        complexity: "O(M*log(N)), M = members removed, N = members",
        arity: 4,
        flags: flag::WRITE,
        keys: ONE_KEY,
        handler: range::zremrangebyrank,
        ..Command::DEFAULT
    },
    Command {
        name: "zremrangebyscore",
        summary: "Removes the members with scores in a range.",
        syntax: "key min max",
        since: "1.2.0",
        group: "sorted-set",
        complexity: "O(M*log(N)), M = members removed, N = members",
        arity: 4,
        flags: flag::WRITE,
        keys: ONE_KEY,
        handler: range::zremrangebyscore,
        ..Command::DEFAULT
    },
    Command {
        name: "zremrangebylex",
        summary: "Removes the members with names in a range.",
        syntax: "key min max",
        since: "2.8.9",
        group: "sorted-set",
        complexity: "O(M*log(N)), M = members removed, N = members",
        arity: 4,
        flags: flag::WRITE,
        keys: ONE_KEY,
        handler: range::zremrangebylex,
        ..Command::DEFAULT
    },
    Command {
        name: "zinter",
        summary: "Returns the members that all the sorted sets have.",
        syntax: "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]",
        since: "6.2.0",
        group: "sorted-set",
        complexity: "O(N*K+M*log(M)), N = members of the smallest, K = sets, M = result",
        arity: -3,
        flags: flag::READONLY | flag::MOVABLEKEYS,
        keys: Keys::Counted { count_at: 1, target: false },
        handler: algebra::zinter,
        ..Command::DEFAULT
    },
    Command {
        name: "zintercard",
        summary: "Returns how many members all the sorted sets have.",
        syntax: "numkeys key [key ...] [LIMIT limit]",
        since: "7.0.0",
        group: "sorted-set",
        complexity: "O(N*K), N = members of the smallest, K = sets",
        arity: -3,
        flags: flag::READONLY | flag::MOVABLEKEYS,
        keys: Keys::Counted { count_at: 1, target: false },
        handler: algebra::zintercard,
        ..Command::DEFAULT
    },
    Command {
        name: "zinterstore",
        summary: "Stores the members that all the sorted sets have.",
        syntax: "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>]",
        since: "2.0.0",
        group: "sorted-set",
        complexity: "O(N*K+M*log(M)), N = members of the smallest, K = sets, M = result",
        arity: -4,
        flags: flag::WRITE | flag::DENYOOM | flag::MOVABLEKEYS,
        keys: Keys::Counted { count_at: 2, target: true },
        handler: algebra::zinterstore,
        ..Command::DEFAULT
    },
    Command {
        name: "zunion",
        summary: "Returns the members that any of the sorted sets has.",
        syntax: "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>] [WITHSCORES]",
        since: "6.2.0",
        group: "sorted-set",
        complexity: "O(N*log(M)), N = members of all, M = result",
        arity: -3,
        flags: flag::READONLY | flag::MOVABLEKEYS,
        keys: Keys::Counted { count_at: 1, target: false },
        handler: algebra::zunion,
        ..Command::DEFAULT
    },
    Command {
        name: "zunionstore",
        summary: "Stores the members that any of the sorted sets has.",
        syntax: "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX>]",
        since: "2.0.0",
        group: "sorted-set",
        complexity: "O(N*log(M)), N = members of all, M = result",
        arity: -4,
        flags: flag::WRITE | flag::DENYOOM | flag::MOVABLEKEYS,
        keys: Keys::Counted { count_at: 2, target: true },
        handler: algebra::zunionstore,
        ..Command::DEFAULT
    },
    Command {
        name: "zdiff",
        summary: "Returns the members of the first sorted set that no other has.",
        syntax: "numkeys key [key ...] [WITHSCORES]",
        since: "6.2.0",
        group: "sorted-set",
        complexity: "O(N*K+M*log(M)), N = members of the first, K = sets, M = result",
        arity: -3,
        flags: flag::READONLY | flag::MOVABLEKEYS,
        keys: Keys::Counted { count_at: 1, target: false },
        handler: algebra::zdiff,
        ..Command::DEFAULT
    },
    Command {
        name: "zdiffstore",
        summary: "Stores the members of the first sorted set that no other has.",
        syntax: "destination numkeys key [key ...]",
        since: "6.2.0",
        group: "sorted-set",
        complexity: "O(N*K+M*log(M)), N = members of the first, K = sets, M = result",
        arity: -4,
        flags: flag::WRITE | flag::DENYOOM | flag::MOVABLEKEYS,
        keys: Keys::Counted { count_at: 2, target: true },
        handler: algebra::zdiffstore,
        ..Command::DEFAULT
    },
    Command {
        name: "zscan",
        summary: "Walks the members of a sorted set step by step.",
        syntax: "key cursor [MATCH pattern] [COUNT count] [NOSCORES]",
        since: "2.8.0",
        group: "sorted-set",
        complexity: "O(1) a call, O(N) for the whole walk, N = members",
        arity: -3,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: member::zscan,
        ..Command::DEFAULT
    },
];

/// Writes members, with scores if asked: pairs in RESP3, a flat list in RESP2.
fn scored<'a>(
    out: &mut Reply,
    count: usize,
    with_scores: bool,
    members: impl Iterator<Item = (Element<'a>, f64)>,
) {
    let nested = with_scores && out.is_resp3();
    out.array(if with_scores && !nested { count * 2 } else { count });
    for (member, score) in members {
        if nested {
            out.array(2);
        }
        bulk(out, member);
        if with_scores {
            out.double(score);
        }
    }
}

/// Stores a result at the first key, or removes the key if there is none; replies with the number of members.
fn put(call: &mut Call<'_>, result: SortedSet, event: &'static str) {
    let (target, len) = (call.args.get(1), result.len());
    if len > 0 {
        call.keys.put_sorted_set(target, result);
        call.keys.changed(target);
        call.keys.notify(Classes::ZSET, event, target);
    } else {
        call.keys.remove_and_notify(target);
    }
    call.out.integer(len as i64);
}
