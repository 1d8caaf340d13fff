//! What a command does to each of its keys: whether it shows their content, and whether it changes them.
//!
//! As the key specifications of Redis have it: a command that only tells about a key (EXISTS, TYPE, STRLEN) does
//! neither, one that overwrites or adds (SET, LPUSH) changes without showing, and one that answers what it removes or
//! computes from what was there (LPOP, INCR) does both.

use crate::command::Command;
use crate::command::table::flag;
use larder_protocol::resp::args::Args;

/// What is done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyAccess {
    /// Its content is shown, or kept elsewhere.
    pub read: bool,
    /// It is changed.
    pub write: bool,
}

const NEITHER: KeyAccess = KeyAccess { read: false, write: false };
const READ: KeyAccess = KeyAccess { read: true, write: false };
const WRITE: KeyAccess = KeyAccess { read: false, write: true };
const BOTH: KeyAccess = KeyAccess { read: true, write: true };

/// Commands whose keys are not all of the kind that their flags say.
const EXCEPTIONS: &[(KeyAccess, KeyAccess, &[&str])] = &[
    (
        NEITHER,
        NEITHER,
        &[
            "exists",
            "hexists",
            "hlen",
            "hstrlen",
            "llen",
            "memory|usage",
            "object|encoding",
            "object|freq",
            "object|idletime",
            "object|refcount",
            "scard",
            "sismember",
            "strlen",
            "touch",
            "type",
            "watch",
            "xlen",
            "zcard",
        ],
    ),
    (READ, READ, &["pfdebug", "xreadgroup"]),
    (READ, WRITE, &["copy", "georadius", "georadiusbymember", "sort"]),
    (
        BOTH,
        BOTH,
        &[
            "blmpop",
            "blpop",
            "brpop",
            "bzmpop",
            "bzpopmax",
            "bzpopmin",
            "decr",
            "decrby",
            "eval",
            "evalsha",
            "fcall",
            "getdel",
            "getex",
            "getset",
            "hgetdel",
            "hgetex",
            "hincrby",
            "hincrbyfloat",
            "incr",
            "incrby",
            "incrbyfloat",
            "lmpop",
            "lpop",
            "migrate",
            "move",
            "rpop",
            "setbit",
            "spop",
            "zincrby",
            "zmpop",
            "zpopmax",
            "zpopmin",
        ],
    ),
    (BOTH, READ, &["pfmerge"]),
    (BOTH, WRITE, &["blmove", "brpoplpush", "lmove", "rename", "renamenx", "rpoplpush", "smove"]),
    (
        WRITE,
        READ,
        &[
            "bitop",
            "geosearchstore",
            "sdiffstore",
            "sinterstore",
            "sunionstore",
            "zdiffstore",
            "zinterstore",
            "zrangestore",
            "zunionstore",
        ],
    ),
];

/// What a command does to its keys: the first, and the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandAccess {
    /// The same for all arguments.
    Always(KeyAccess, KeyAccess),
    /// SET.
    Set,
    /// BITFIELD.
    Bitfield,
}

impl CommandAccess {
    /// Of a command, whose full name is `name`.
    pub fn of(command: &Command, name: &str) -> CommandAccess {
        match name {
            "set" => CommandAccess::Set,
            "bitfield" => CommandAccess::Bitfield,
            _ => match EXCEPTIONS.iter().find(|(_, _, names)| names.contains(&name)) {
                Some((first, others, _)) => CommandAccess::Always(*first, *others),
                None if command.is(flag::WRITE) => CommandAccess::Always(WRITE, WRITE),
                None => CommandAccess::Always(READ, READ),
            },
        }
    }

    /// What is done to the first key, and to the others.
    pub fn with(self, args: &Args<'_>) -> (KeyAccess, KeyAccess) {
        match self {
            CommandAccess::Always(first, others) => (first, others),
            CommandAccess::Set => (set(args), WRITE),
            CommandAccess::Bitfield => (bitfield(args), BOTH),
        }
    }
}

/// Where a command's channels are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channels {
    /// Argument 1 only; otherwise all arguments.
    pub one: bool,
    /// They are patterns.
    pub patterns: bool,
}

impl Channels {
    /// Of a command by its name; `None` if it has none that must be allowed.
    pub fn of(name: &str) -> Option<Channels> {
        match name {
            "publish" | "spublish" => Some(Channels { one: true, patterns: false }),
            "subscribe" | "ssubscribe" => Some(Channels { one: false, patterns: false }),
            "psubscribe" => Some(Channels { one: false, patterns: true }),
            _ => None,
        }
    }
}

/// SET shows the old value if it is asked to.
fn set(args: &Args<'_>) -> KeyAccess {
    let shows = args.from(3).iter().any(|word| word.eq_ignore_ascii_case(b"get"));
    if shows { BOTH } else { WRITE }
}

/// BITFIELD changes nothing if all it does is GET.
fn bitfield(args: &Args<'_>) -> KeyAccess {
    let mut at = 2;
    while at < args.len() {
        let word = args.get(at);
        let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
        at += match () {
            () if is(b"get") && args.len() > at + 2 => 3,
            () if is(b"overflow") && args.len() > at + 1 => 2,
            () => return BOTH,
        };
    }
    READ
}
