//! The command table: facts about commands as data.
//!
//! One row feeds dispatch, arity checks, the finding of keys (and so the locking of partitions), COMMAND INFO, DOCS
//! and GETKEYS, ACL categories, and the hints of `larder connect`.

use super::call::Handler;
use larder_protocol::resp::args::Args;

/// What a command does; the names are those of COMMAND INFO.
pub mod flag {
    /// May change keys.
    pub const WRITE: u32 = 1 << 0;
    /// Only reads keys.
    pub const READONLY: u32 = 1 << 1;
    /// May need memory: refused when there is none.
    pub const DENYOOM: u32 = 1 << 2;
    /// For administrators.
    pub const ADMIN: u32 = 1 << 3;
    /// Publish and subscribe.
    pub const PUBSUB: u32 = 1 << 4;
    /// Not from scripts.
    pub const NOSCRIPT: u32 = 1 << 5;
    /// May block the session.
    pub const BLOCKING: u32 = 1 << 6;
    /// Allowed while loading.
    pub const LOADING: u32 = 1 << 7;
    /// Allowed on a replica without its primary.
    pub const STALE: u32 = 1 << 8;
    /// Constant or logarithmic time.
    pub const FAST: u32 = 1 << 9;
    /// Allowed before authentication.
    pub const NO_AUTH: u32 = 1 << 10;
    /// Not within MULTI.
    pub const NO_MULTI: u32 = 1 << 11;
    /// Where the keys are cannot be told from the first, last and step alone.
    pub const MOVABLEKEYS: u32 = 1 << 12;
    /// Runs at once even within MULTI (EXEC, DISCARD, ...).
    pub const NOT_QUEUED: u32 = 1 << 13;
    /// Never shown in the slow log (EXEC, whose parts are).
    pub const SKIP_SLOWLOG: u32 = 1 << 14;
    /// Allowed while a script has been running for too long.
    pub const ALLOW_BUSY: u32 = 1 << 15;
    /// Not allowed while a replica loads beside its old data.
    pub const NO_ASYNC_LOADING: u32 = 1 << 16;

    /// May make the session wait although it does not say so (SHUTDOWN).
    pub const WAITS: u32 = 1 << 17;

    /// Names in COMMAND INFO.
    pub const NAMES: [(u32, &str); 16] = [
        (WRITE, "write"),
        (READONLY, "readonly"),
        (DENYOOM, "denyoom"),
        (ADMIN, "admin"),
        (PUBSUB, "pubsub"),
        (NOSCRIPT, "noscript"),
        (BLOCKING, "blocking"),
        (LOADING, "loading"),
        (STALE, "stale"),
        (SKIP_SLOWLOG, "skip_slowlog"),
        (FAST, "fast"),
        (NO_AUTH, "no_auth"),
        (NO_MULTI, "no_multi"),
        (MOVABLEKEYS, "movablekeys"),
        (ALLOW_BUSY, "allow_busy"),
        (NO_ASYNC_LOADING, "no_async_loading"),
    ];
}

/// Where a command's keys are.
#[derive(Clone, Copy)]
pub enum Keys {
    /// It has none.
    None,
    /// From argument `first` to `last` (negative: from the end), every `step`-th.
    Range {
        /// Index of the first key.
        first: i8,
        /// Index of the last key; -1 is the last argument.
        last: i8,
        /// Distance between keys.
        step: u8,
    },
    /// Argument `count_at` says how many keys follow it; with `target`, argument 1 is a key too.
    Counted {
        /// Index of the number of keys.
        count_at: u8,
        /// True when argument 1 is the destination key.
        target: bool,
    },
    /// Argument `count_at` says how many pairs of a key and a value follow it.
    CountedPairs {
        /// Index of the number of pairs.
        count_at: u8,
    },
    /// Argument 1 is a key, and so is what follows each of these words, in any case, from argument `from` on.
    Named {
        /// Index of the first argument that may be such a word.
        from: u8,
        /// The words: `STORE`.
        words: &'static [&'static str],
    },
    /// The first half of what follows the word STREAMS, which is looked for from argument `from` on.
    Streams {
        /// Index of the first argument that may be the word.
        from: u8,
    },
    /// Argument 3 is a key; if it is empty, all that follow the word KEYS are (MIGRATE).
    Migrated,
    /// Argument 1 is a key, and with `store` so is what follows the last STORE among the options of SORT. What its
    /// patterns lead to is not among the keys.
    Sort {
        /// True if there may be a STORE.
        store: bool,
    },
}

/// Options of SORT with the number of arguments that belong to each.
const SORT_OPTIONS: [(&str, usize); 4] = [("limit", 2), ("get", 1), ("by", 1), ("store", 1)];

/// Visits the options of SORT that have arguments: the place of each.
fn each_sort_option(args: &Args<'_>, mut visit: impl FnMut(&'static str, usize)) {
    let mut at = 2;
    while at < args.len() {
        let word = args.get(at);
        let option = SORT_OPTIONS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
        if let Some((name, count)) = option {
            visit(name, at);
            at += count;
        }
        at += 1;
    }
}

/// Where the options of MIGRATE begin.
pub const MIGRATE_OPTIONS: usize = 6;

/// The keys of MIGRATE. What follows AUTH and AUTH2 is no option, whatever it is.
fn migrated(args: &Args<'_>) -> std::ops::Range<usize> {
    if args.len() < MIGRATE_OPTIONS || !args.get(3).is_empty() {
        return 3..args.len().min(4);
    }
    let mut at = MIGRATE_OPTIONS;
    while at < args.len() {
        let is = |word: &str| args.get(at).eq_ignore_ascii_case(word.as_bytes());
        if is("keys") {
            return at + 1..args.len();
        }
        at += 1 + if is("auth2") { 2 } else { usize::from(is("auth")) };
    }
    3..4
}

/// One key at argument 1: most commands.
pub const ONE_KEY: Keys = Keys::Range { first: 1, last: 1, step: 1 };

/// Keys from argument 1 to the end: DEL and the like.
pub const ALL_KEYS: Keys = Keys::Range { first: 1, last: -1, step: 1 };

/// Two keys at arguments 1 and 2: RENAME and the like.
pub const TWO_KEYS: Keys = Keys::Range { first: 1, last: 2, step: 1 };

/// Which part of the keyspace a command holds while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The partitions of its keys.
    Keys,
    /// One partition after another (KEYS, SCAN, DBSIZE); all within MULTI.
    Each,
    /// All partitions (FLUSHALL, SWAPDB).
    All,
    /// All partitions, and nothing of a primary's stream is half applied meanwhile (REPLICAOF, SAVE).
    Still,
    /// The partitions of its keys, or all if its BY and GET lead to keys that cannot be told beforehand (SORT).
    Patterns,
}

/// A row of the table.
pub struct Command {
    /// Name in lower case.
    pub name: &'static str,
    /// One sentence, as COMMAND DOCS shows it.
    pub summary: &'static str,
    /// Arguments as a reader writes them: `key value [NX | XX]`.
    pub syntax: &'static str,
    /// First version of Redis that had it.
    pub since: &'static str,
    /// Group: `string`, `generic`, `hash`, ...
    pub group: &'static str,
    /// Complexity, as COMMAND DOCS shows it.
    pub complexity: &'static str,
    /// Number of arguments, the name included; negative: at least so many.
    pub arity: i8,
    /// See [`flag`].
    pub flags: u32,
    /// ACL categories beyond those that follow from flags and group.
    pub categories: &'static [&'static str],
    /// Where its keys are.
    pub keys: Keys,
    /// What it holds while it runs.
    pub scope: Scope,
    /// What it does. A container (CONFIG, CLIENT) runs it for a subcommand that is not in its list.
    pub handler: Handler,
    /// Its subcommands; their arity counts the container's name too.
    pub subcommands: &'static [Command],
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Command").field(&self.name).finish()
    }
}

impl Command {
    /// A row to complete with `..Command::DEFAULT`.
    pub const DEFAULT: Command = Command {
        name: "",
        summary: "",
        syntax: "",
        since: "1.0.0",
        group: "generic",
        complexity: "O(1)",
        arity: 1,
        flags: 0,
        categories: &[],
        keys: Keys::None,
        scope: Scope::Keys,
        handler: super::call::nothing,
        subcommands: &[],
    };

    /// True if a call with `len` arguments has the right number.
    #[inline]
    pub fn accepts(&self, len: usize) -> bool {
        let arity = i64::from(self.arity);
        let len = len as i64;
        if arity >= 0 { len == arity } else { len >= -arity }
    }

    /// True if any of these flags is set.
    #[inline]
    pub fn is(&self, flags: u32) -> bool {
        self.flags & flags != 0
    }

    /// Calls `visit` with the index of each key among `args`. Arguments that cannot be right name no keys; the handler
    /// says what is wrong with them.
    #[inline]
    pub fn each_key(&self, args: &Args<'_>, mut visit: impl FnMut(usize)) {
        let len = args.len();
        match self.keys {
            Keys::None => {}
            Keys::Range { first, last, step } => {
                let last = if last < 0 { len as i64 + i64::from(last) } else { i64::from(last) };
                let mut at = first as usize;
                while (at as i64) <= last && at < len {
                    visit(at);
                    at += step as usize;
                }
            }
            Keys::Counted { count_at, target } => {
                if target && len > 1 {
                    visit(1);
                }
                let first = count_at as usize + 1;
                let count = larder_protocol::number::parse_i64(args.get(count_at as usize)).unwrap_or(0);
                let end = first.saturating_add(usize::try_from(count).unwrap_or(0)).min(len);
                (first..end).for_each(visit);
            }
            Keys::CountedPairs { count_at } => {
                let first = count_at as usize + 1;
                let count = larder_protocol::number::parse_i64(args.get(count_at as usize)).unwrap_or(0);
                let pairs = usize::try_from(count).unwrap_or(0).min(len);
                (first..(first + 2 * pairs).min(len)).step_by(2).for_each(visit);
            }
            Keys::Named { from, words } => {
                if len > 1 {
                    visit(1);
                }
                let mut at = from as usize;
                while at + 1 < len {
                    let named = words.iter().any(|word| args.get(at).eq_ignore_ascii_case(word.as_bytes()));
                    if named {
                        visit(at + 1);
                    }
                    at += 1 + usize::from(named);
                }
            }
            Keys::Streams { from } => {
                let word = (from as usize..len).find(|&at| args.get(at).eq_ignore_ascii_case(b"streams"));
                if let Some(word) = word {
                    (word + 1..word + 1 + (len - word - 1) / 2).for_each(visit);
                }
            }
            Keys::Migrated => migrated(args).for_each(visit),
            Keys::Sort { store } => {
                if len > 1 {
                    visit(1);
                }
                let mut target = None;
                each_sort_option(args, |name, at| {
                    if store && name == "store" && at + 1 < len {
                        target = Some(at + 1);
                    }
                });
                target.into_iter().for_each(visit);
            }
        }
    }

    /// True if BY or GET lead to other keys.
    pub fn uses_patterns(&self, args: &Args<'_>) -> bool {
        let mut found = false;
        each_sort_option(args, |name, at| {
            found |= matches!(name, "by" | "get") && at + 1 < args.len() && args.get(at + 1).contains(&b'*');
        });
        self.scope == Scope::Patterns && found
    }

    /// All ACL categories: those of the group and flags, and the extra ones.
    pub fn acl_categories(&self) -> Vec<&'static str> {
        let mut all: Vec<&'static str> = Vec::new();
        let by_flag = [
            (flag::WRITE, "write"),
            (flag::READONLY, "read"),
            (flag::ADMIN, "admin"),
            (flag::PUBSUB, "pubsub"),
            (flag::BLOCKING, "blocking"),
        ];
        all.extend(by_flag.iter().filter(|(bit, _)| self.is(*bit)).map(|(_, name)| *name));
        if self.is(flag::ADMIN) {
            all.push("dangerous");
        }
        // A container is in none of these: its subcommands are.
        let group = if self.subcommands.is_empty() { self.group } else { "" };
        all.extend(match group {
            "string" | "bitmap" | "hash" | "list" | "set" | "geo" | "stream" | "hyperloglog"
            | "connection" => Some(group),
            "sorted-set" => Some("sortedset"),
            // SORT is about what is behind keys, and stands with the types that it sorts; WAITAOF is about a connection.
            "generic" if matches!(self.keys, Keys::Sort { .. }) || self.is(flag::BLOCKING) => None,
            "generic" => Some("keyspace"),
            "transactions" => Some("transaction"),
            "scripting" => Some("scripting"),
            _ => None,
        });
        all.push(if self.is(flag::FAST) { "fast" } else { "slow" });
        all.extend(self.categories.iter().copied().filter(|c| !all.contains(c)).collect::<Vec<_>>());
        all
    }
}

const NAME_MAX: usize = 24;

/// A command name in lower case, padded with zeros: comparing it is three words.
type Name = [u8; NAME_MAX];

#[inline]
fn folded(name: &[u8]) -> Option<Name> {
    let mut folded = [0; NAME_MAX];
    if name.len() > NAME_MAX {
        return None;
    }
    for (to, from) in folded.iter_mut().zip(name) {
        *to = from.to_ascii_lowercase();
    }
    Some(folded)
}

#[inline]
fn place(name: &Name, mask: usize) -> usize {
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| name[at + i]));
    let mixed =
        (word(0) ^ word(8).rotate_left(23) ^ word(16).rotate_left(41)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 40) as usize & mask
}

/// All commands by name.
pub struct Table {
    rows: Vec<&'static Command>,
    slots: Vec<Option<(Name, &'static Command)>>,
    /// All rows, subcommands too, by number.
    numbered: Vec<(&'static Command, &'static Command)>,
    /// Numbers by the address of a row.
    numbers: Vec<Option<(usize, u32)>>,
    quick: Vec<bool>,
}

/// Where a row's address is looked for first.
#[inline]
fn place_of(address: usize, mask: usize) -> usize {
    ((address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize & mask
}

impl Table {
    /// A table of these families. A name that stands twice is a mistake of ours, found by a test.
    pub fn new(families: &[&'static [Command]]) -> Table {
        let rows: Vec<&'static Command> = families.iter().flat_map(|family| family.iter()).collect();
        let mut slots = vec![None; (rows.len() * 4).next_power_of_two()];
        let mask = slots.len() - 1;
        for &row in &rows {
            let Some(name) = folded(row.name.as_bytes()) else { continue };
            let mut at = place(&name, mask);
            while slots[at].is_some() {
                at = (at + 1) & mask;
            }
            slots[at] = Some((name, row));
        }
        let mut numbered = Vec::new();
        for &row in &rows {
            numbered.push((row, row));
            numbered.extend(row.subcommands.iter().map(|sub| (row, sub)));
        }
        let mut numbers = vec![None; (numbered.len() * 4).next_power_of_two()];
        let mask = numbers.len() - 1;
        let mut container_number = 0;
        for (number, (container, row)) in numbered.iter().enumerate() {
            if std::ptr::eq(*container, *row) {
                container_number = number;
            }
            // What tests do with DEBUG is counted as one command, as it is in the original.
            let number = if container.name == "debug" { container_number } else { number };
            let address = std::ptr::from_ref(*row).addr();
            let mut at = place_of(address, mask);
            while numbers[at].is_some() {
                at = (at + 1) & mask;
            }
            numbers[at] = Some((address, number as u32));
        }
        let quick = numbered.iter().map(|(_, row)| crate::meter::is_quick(row)).collect();
        Table { rows, slots, numbered, numbers, quick }
    }

    /// How many rows there are, subcommands too.
    pub fn count(&self) -> usize {
        self.numbered.len()
    }

    /// The number of a row of this table, below [`Table::count`].
    ///
    /// # Panics
    /// If the row is of another table.
    #[inline]
    pub fn number(&self, command: &'static Command) -> usize {
        let address = std::ptr::from_ref(command).addr();
        let mask = self.numbers.len() - 1;
        let mut at = place_of(address, mask);
        loop {
            match self.numbers[at] {
                Some((other, number)) if other == address => return number as usize,
                Some(_) => at = (at + 1) & mask,
                None => unreachable!("a command of another table"),
            }
        }
    }

    /// True if a run of this command is timed as one (see [`crate::meter`]).
    #[inline]
    pub fn is_quick(&self, command: &'static Command) -> bool {
        self.quick[self.number(command)]
    }

    /// All rows by number: the container (or the row itself) and the row.
    pub fn numbered(&self) -> &[(&'static Command, &'static Command)] {
        &self.numbered
    }

    /// The command of this name, in any case.
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<&'static Command> {
        let name = folded(name)?;
        let mask = self.slots.len() - 1;
        let mut at = place(&name, mask);
        while let Some((other, command)) = &self.slots[at] {
            if *other == name {
                return Some(command);
            }
            at = (at + 1) & mask;
        }
        None
    }

    /// All commands in the order of their families.
    pub fn rows(&self) -> &[&'static Command] {
        &self.rows
    }
}
