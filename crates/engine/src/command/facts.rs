//! What COMMAND INFO says of commands beyond their rows in the table: what is done to each key, and the tips for
//! proxies that spread a command over many servers. Found by asking the real servers; `tests/test_command_info.py`
//! compares.
//!
//! A specification is written as a line: `1..-1/2: OW update`. Where the search begins (an argument's index, a keyword
//! and the argument to look for it from (`STORE@6`), or `?` for nowhere that can be told), how it goes on (nothing: one
//! key; `..-1`: up to there, counted from the first if positive; `/2`: every second; `%2`: up to half of the
//! arguments; `#`: the argument is the number of keys that follow), then flags, then after `|` a note. `;` separates
//! several.

use larder_protocol::number::parse_i64;
use larder_protocol::resp::args::Args;
use larder_protocol::resp::reply::Reply;

/// The keys of a command as lines, by its full name.
pub(super) fn specifications(name: &str) -> Option<&'static str> {
    SPECIFICATIONS.iter().find(|(_, names)| names.contains(&name)).map(|(line, _)| *line)
}

/// The tips about a command.
pub(super) fn tips(name: &str) -> impl Iterator<Item = &'static str> + Clone {
    TIPS.iter().filter(move |(_, names)| names.contains(&name)).map(|(tip, _)| *tip)
}

/// One key specification, read from its line.
struct Specification<'a> {
    begin: Begin<'a>,
    find: Find,
    flags: Vec<&'a str>,
    notes: &'a str,
}

#[derive(Debug, PartialEq)]
enum Begin<'a> {
    Unknown,
    Index(i64),
    Keyword(&'a str, i64),
}

#[derive(Debug, PartialEq)]
enum Find {
    Unknown,
    Range { last: i64, step: i64, limit: i64 },
    Counted { step: i64 },
}

/// Takes `mark` and the number behind it off the end.
fn numbered<'a>(text: &'a str, mark: &str) -> (&'a str, Option<i64>) {
    match text.split_once(mark) {
        Some((rest, number)) => (rest, number.parse().ok()),
        None => (text, None),
    }
}

fn read(line: &str) -> Specification<'_> {
    let (place, rest) = line.split_once(": ").unwrap_or((line, ""));
    let (flags, notes) = rest.split_once(" | ").unwrap_or((rest, ""));
    let flags = flags.split(' ').collect();
    if place == "?" {
        return Specification { begin: Begin::Unknown, find: Find::Unknown, flags, notes };
    }
    let (place, limit) = numbered(place, "%");
    let (place, step) = numbered(place, "/");
    let (place, last) = numbered(place, "..");
    let step = step.unwrap_or(1);
    let (place, find) = match place.strip_suffix('#') {
        Some(place) => (place, Find::Counted { step }),
        None => (place, Find::Range { last: last.unwrap_or(0), step, limit: limit.unwrap_or(0) }),
    };
    let begin = match place.split_once('@') {
        Some((word, from)) => Begin::Keyword(word, from.parse().unwrap_or(0)),
        None => Begin::Index(place.parse().unwrap_or(0)),
    };
    Specification { begin, find, flags, notes }
}

/// First, last and step of what a line says is no key but hashed like one: channels of shards.
pub(super) fn range_of_no_keys(line: &str) -> Option<(i64, i64, i64)> {
    match read(line) {
        Specification { begin: Begin::Index(first), find: Find::Range { last, step, .. }, flags, .. }
            if flags == ["not_key"] =>
        {
            Some((first, if last < 0 { last } else { first + last }, step))
        }
        _ => None,
    }
}

/// Writes the key specifications of a line as COMMAND INFO does.
/// What is done to the key at an argument, by the specifications of a line; nothing if none of them leads there.
pub(super) fn flags_at<'a>(line: &'a str, args: &Args<'_>, at: usize) -> Option<Vec<&'a str>> {
    line.split("; ").map(read).find(|key| key.leads_to(args, at as i64)).map(|key| key.flags)
}

impl Specification<'_> {
    /// True if the argument is among its keys in a command with these arguments.
    fn leads_to(&self, args: &Args<'_>, at: i64) -> bool {
        let len = args.len() as i64;
        let is_word = |at: &i64, word: &str| args.get(*at as usize).eq_ignore_ascii_case(word.as_bytes());
        let first = match self.begin {
            Begin::Unknown => return false,
            Begin::Index(index) => index,
            Begin::Keyword(word, from) if from < 0 => {
                let Some(found) = (0..=(len + from).max(0)).rev().find(|at| is_word(at, word)) else {
                    return false;
                };
                found + 1
            }
            Begin::Keyword(word, from) => {
                let Some(found) = (from..len).find(|at| is_word(at, word)) else { return false };
                found + 1
            }
        };
        let (first, last, step) = match self.find {
            Find::Unknown => return false,
            Find::Range { last, step, limit } if last < 0 => {
                let rest = if limit > 1 { (len - first) / limit } else { len - first };
                (first, first + rest + last, step)
            }
            Find::Range { last, step, .. } => (first, first + last, step),
            Find::Counted { step } => {
                let count = args.get(first.clamp(0, len - 1) as usize);
                let last = first.saturating_add(parse_i64(count).unwrap_or(0).saturating_mul(step));
                (first + 1, last, step)
            }
        };
        (first..=last).contains(&at) && (at - first) % step.max(1) == 0
    }
}

pub(super) fn write_specifications(out: &mut Reply, line: &str) {
    let lines: Vec<&str> = line.split("; ").collect();
    out.array(lines.len());
    lines.into_iter().for_each(|line| write(out, &read(line)));
}

fn write(out: &mut Reply, key: &Specification<'_>) {
    out.map(3 + usize::from(!key.notes.is_empty()));
    if !key.notes.is_empty() {
        out.bulk(b"notes");
        out.bulk(key.notes.as_bytes());
    }
    out.bulk(b"flags");
    out.set(key.flags.len());
    key.flags.iter().for_each(|flag| out.simple(flag));
    out.bulk(b"begin_search");
    match key.begin {
        Begin::Unknown => step(out, "unknown", &[]),
        Begin::Index(index) => step(out, "index", &[("index", Fact::Number(index))]),
        Begin::Keyword(word, from) => {
            step(out, "keyword", &[("keyword", Fact::Word(word)), ("startfrom", Fact::Number(from))]);
        }
    }
    out.bulk(b"find_keys");
    let number = Fact::Number;
    match key.find {
        Find::Unknown => step(out, "unknown", &[]),
        Find::Range { last, step: every, limit } => {
            let facts = [("lastkey", number(last)), ("keystep", number(every)), ("limit", number(limit))];
            step(out, "range", &facts);
        }
        Find::Counted { step: every } => {
            let facts = [("keynumidx", number(0)), ("firstkey", number(1)), ("keystep", number(every))];
            step(out, "keynum", &facts);
        }
    }
}

enum Fact<'a> {
    Number(i64),
    Word(&'a str),
}

fn step(out: &mut Reply, kind: &str, facts: &[(&str, Fact<'_>)]) {
    out.map(2);
    out.bulk(b"type");
    out.bulk(kind.as_bytes());
    out.bulk(b"spec");
    out.map(facts.len());
    for (name, fact) in facts {
        out.bulk(name.as_bytes());
        match fact {
            Fact::Number(n) => out.integer(*n),
            Fact::Word(word) => out.bulk(word.as_bytes()),
        }
    }
}

const SPECIFICATIONS: &[(&str, &[&str])] = &[
    ("1#: RO access", &["sintercard", "zdiff", "zinter", "zintercard", "zunion"]),
    ("1#: RW access delete", &["lmpop", "zmpop"]),
    ("1..-1/2: OW insert", &["msetnx"]),
    ("1#/2: OW update", &["msetex"]),
    ("1: RM delete", &["delifeq"]),
    ("1..-1/2: OW update", &["mset"]),
    ("1..-1: RM delete", &["del", "unlink"]),
    ("1..-1: RO", &["exists", "touch", "watch"]),
    ("1..-1: RO access", &["mget", "sdiff", "sinter", "sunion"]),
    ("1..-1: RW access | RW because counting may note its result in the value", &["pfcount"]),
    ("1..-1: not_key", &["ssubscribe", "sunsubscribe"]),
    ("1..-2: RW access delete", &["blpop", "brpop", "bzpopmax", "bzpopmin"]),
    ("1..1: RO access", &["lcs"]),
    ("1: OW insert", &["setnx"]),
    ("1: OW update", &["psetex", "restore", "setex"]),
    ("1: OW update; 2#: RO access", &["zdiffstore", "zinterstore", "zunionstore"]),
    ("1: OW update; 2..-1: RO access", &["sdiffstore", "sunionstore"]),
    ("1: OW update; 2: RO access", &["geosearchstore", "zrangestore"]),
    (
        "1: RO",
        &["hexists", "hlen", "hstrlen", "llen", "scard", "sismember", "strlen", "type", "xlen", "zcard"],
    ),
    (
        "1: RO access",
        &[
            "bitcount",
            "bitfield_ro",
            "bitpos",
            "dump",
            "expiretime",
            "geodist",
            "geohash",
            "geopos",
            "georadius_ro",
            "georadiusbymember_ro",
            "geosearch",
            "get",
            "getbit",
            "getrange",
            "hexpiretime",
            "hget",
            "hgetall",
            "hkeys",
            "hmget",
            "hpexpiretime",
            "hpttl",
            "hrandfield",
            "hscan",
            "httl",
            "hvals",
            "lindex",
            "lpos",
            "lrange",
            "pexpiretime",
            "pttl",
            "smembers",
            "smismember",
            "srandmember",
            "sscan",
            "substr",
            "ttl",
            "xpending",
            "xrange",
            "xrevrange",
            "zcount",
            "zlexcount",
            "zmscore",
            "zrandmember",
            "zrange",
            "zrangebylex",
            "zrangebyscore",
            "zrank",
            "zrevrange",
            "zrevrangebylex",
            "zrevrangebyscore",
            "zrevrank",
            "zscan",
            "zscore",
        ],
    ),
    ("1: RO access; 2: OW update", &["copy"]),
    (
        "1: RO access; ?: RO access | BY and GET: the keys follow from the members that are sorted",
        &["sort_ro"],
    ),
    (
        "1: RO access; ?: RO access | BY and GET: the keys follow from the members that are sorted; ?: OW update | STORE may stand anywhere among the options",
        &["sort"],
    ),
    ("1: RO access; STORE@5: OW update; STOREDIST@5: OW update", &["georadiusbymember"]),
    ("1: RO access; STORE@6: OW update; STOREDIST@6: OW update", &["georadius"]),
    ("1: RW access delete", &["getdel", "hgetdel", "lpop", "rpop", "spop", "zpopmax", "zpopmin"]),
    ("1: RW access delete; 2: OW insert", &["renamenx"]),
    ("1: RW access delete; 2: OW update", &["rename"]),
    ("1: RW access delete; 2: RW insert", &["blmove", "brpoplpush", "lmove", "rpoplpush", "smove"]),
    ("1: RW access insert; 2..-1: RO access", &["pfmerge"]),
    (
        "1: RW access update",
        &[
            "decr",
            "decrby",
            "getset",
            "hgetex",
            "hincrby",
            "hincrbyfloat",
            "incr",
            "incrby",
            "incrbyfloat",
            "move",
            "setbit",
            "zincrby",
        ],
    ),
    ("1: RW access update variable_flags | Its subcommands read and write", &["bitfield"]),
    ("1: RW access update variable_flags | RW and ACCESS because of GET", &["set"]),
    ("1: RW access update | RW and UPDATE because it may change the deadline", &["getex"]),
    (
        "1: RW delete",
        &[
            "hdel",
            "lrem",
            "ltrim",
            "srem",
            "xautoclaim",
            "xdel",
            "xtrim",
            "zrem",
            "zremrangebylex",
            "zremrangebyrank",
            "zremrangebyscore",
        ],
    ),
    (
        "1: RW insert",
        &["append", "hsetex", "hsetnx", "linsert", "lpush", "lpushx", "pfadd", "rpush", "rpushx", "sadd"],
    ),
    (
        "1: RW update",
        &[
            "expire",
            "expireat",
            "geoadd",
            "hexpire",
            "hexpireat",
            "hmset",
            "hpersist",
            "hpexpire",
            "hpexpireat",
            "hset",
            "lset",
            "persist",
            "pexpire",
            "pexpireat",
            "setrange",
            "xack",
            "xclaim",
            "xsetid",
            "zadd",
        ],
    ),
    ("1: RW update | UPDATE because it may trim too", &["xadd"]),
    ("1: RW update; 2..-1: RO access", &["sinterstore"]),
    ("1: not_key", &["spublish"]),
    ("2#: RO access", &["evalsha_ro"]),
    ("2#: RO access | What the script does with keys is not known", &["eval_ro", "fcall_ro"]),
    ("2#: RW access delete", &["blmpop", "bzmpop"]),
    ("2#: RW access update", &["evalsha"]),
    ("2#: RW access update | What the script does with keys is not known", &["eval", "fcall"]),
    ("2: OW update; 3..-1: RO access", &["bitop"]),
    ("2: RO", &["memory|usage", "object|encoding", "object|freq", "object|idletime", "object|refcount"]),
    ("2: RO access", &["xinfo|consumers", "xinfo|groups", "xinfo|stream"]),
    ("2: RW access", &["pfdebug"]),
    ("2: RW delete", &["xgroup|delconsumer", "xgroup|destroy"]),
    ("2: RW insert", &["xgroup|create", "xgroup|createconsumer"]),
    ("2: RW update", &["xgroup|setid"]),
    ("3: RW access delete; KEYS@-2..-1: RW access delete incomplete", &["migrate"]),
    ("STREAMS@1..-1%2: RO access", &["xread"]),
    ("STREAMS@4..-1%2: RO access", &["xreadgroup"]),
];

const TIPS: &[(&str, &[&str])] = &[
    (
        "nondeterministic_output",
        &[
            "client|info",
            "client|list",
            "cluster|bumpepoch",
            "cluster|count-failure-reports",
            "cluster|getkeysinslot",
            "cluster|info",
            "cluster|links",
            "cluster|nodes",
            "cluster|replicas",
            "cluster|shards",
            "cluster|slaves",
            "cluster|slots",
            "commandlog|get",
            "commandlog|len",
            "dump",
            "function|stats",
            "hrandfield",
            "hscan",
            "info",
            "lastsave",
            "latency|doctor",
            "latency|graph",
            "latency|histogram",
            "latency|history",
            "latency|latest",
            "memory|doctor",
            "memory|malloc-stats",
            "memory|stats",
            "migrate",
            "object|encoding",
            "object|freq",
            "object|idletime",
            "object|refcount",
            "pttl",
            "randomkey",
            "scan",
            "slowlog|get",
            "slowlog|len",
            "spop",
            "srandmember",
            "sscan",
            "time",
            "ttl",
            "xadd",
            "xautoclaim",
            "xclaim",
            "xinfo|consumers",
            "xpending",
            "xtrim",
            "zrandmember",
            "zscan",
        ],
    ),
    (
        "nondeterministic_output_order",
        &[
            "command",
            "command|docs",
            "command|info",
            "command|list",
            "function|list",
            "hgetall",
            "hkeys",
            "hvals",
            "keys",
            "module|list",
            "sdiff",
            "sinter",
            "smembers",
            "sunion",
        ],
    ),
    (
        "request_policy:all_nodes",
        &[
            "client|setinfo",
            "commandlog|get",
            "commandlog|len",
            "commandlog|reset",
            "config|set",
            "latency|doctor",
            "latency|graph",
            "latency|histogram",
            "latency|history",
            "latency|latest",
            "latency|reset",
            "script|flush",
            "script|load",
            "slowlog|get",
            "slowlog|len",
            "slowlog|reset",
        ],
    ),
    (
        "request_policy:all_shards",
        &[
            "dbsize",
            "flushall",
            "flushdb",
            "function|delete",
            "function|flush",
            "function|kill",
            "function|load",
            "function|restore",
            "function|stats",
            "info",
            "keys",
            "memory|doctor",
            "memory|malloc-stats",
            "memory|purge",
            "memory|stats",
            "ping",
            "randomkey",
            "script|exists",
            "script|kill",
            "wait",
            "waitaof",
        ],
    ),
    ("request_policy:multi_shard", &["del", "exists", "mget", "mset", "msetex", "msetnx", "touch", "unlink"]),
    ("request_policy:special", &["scan"]),
    ("response_policy:agg_logical_and", &["script|exists"]),
    ("response_policy:agg_min", &["msetnx", "wait", "waitaof"]),
    (
        "response_policy:agg_sum",
        &["commandlog|len", "dbsize", "del", "exists", "slowlog|len", "touch", "unlink"],
    ),
    (
        "response_policy:all_succeeded",
        &[
            "client|setinfo",
            "commandlog|reset",
            "config|set",
            "flushall",
            "flushdb",
            "function|delete",
            "function|flush",
            "function|load",
            "function|restore",
            "latency|reset",
            "memory|purge",
            "mset",
            "msetex",
            "ping",
            "script|flush",
            "script|load",
            "slowlog|reset",
        ],
    ),
    ("response_policy:one_succeeded", &["function|kill", "script|kill"]),
    (
        "response_policy:special",
        &[
            "function|stats",
            "info",
            "latency|doctor",
            "latency|graph",
            "latency|histogram",
            "latency|history",
            "latency|latest",
            "memory|doctor",
            "memory|malloc-stats",
            "memory|stats",
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let key = read("STREAMS@4..-1%2: RO access | a note");
        assert_eq!(
            (key.begin, key.flags, key.notes),
            (Begin::Keyword("STREAMS", 4), vec!["RO", "access"], "a note")
        );
        assert_eq!(key.find, Find::Range { last: -1, step: 1, limit: 2 });
        assert_eq!(read("2#: RO").find, Find::Counted { step: 1 });
        assert_eq!(read("1..-1/2: OW update").find, Find::Range { last: -1, step: 2, limit: 0 });
        assert_eq!(read("?: RO access").begin, Begin::Unknown);
    }

    #[test]
    fn no_command_stands_twice() {
        let mut names: Vec<&str> =
            SPECIFICATIONS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
