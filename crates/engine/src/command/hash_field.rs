//! Deadlines of hash fields: HEXPIRE, HTTL and their kin, HPERSIST, HGETEX, HSETEX, and HGETDEL, which shares their
//! form.
//!
//! Redis 8 and Valkey 9 have the same commands with the same replies but other errors. Clients know those of Redis
//! longer, so it is Redis in errors, in the order in which arguments are looked at, in the latest deadline (2^46 ms) and
//! in taking at most one of NX, XX, GT and LT. From Valkey come the conditions NX and XX of HSETEX (on the key), which
//! Redis refuses.

use super::collection::{Answer, integer, is, text};
use super::expire::Term;
use super::table::{ONE_KEY, flag};
use super::{Call, Command, CommandError};
use crate::notify::Classes;
use larder_protocol::number;
use larder_protocol::resp::args::Args;
use larder_store::object::{FIELD_DEADLINE_MAX_MS, Hash, Limits};

const CHANGES: u32 = flag::WRITE | flag::FAST;
const TELLS: u32 = flag::READONLY | flag::FAST;
const PER_FIELD: &str = "O(N), N = fields given";

/// The commands about deadlines of fields.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "hexpire",
        summary: "Gives fields of a hash a time to live in seconds.",
        syntax: "key seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
        since: "7.4.0",
        group: "hash",
        complexity: PER_FIELD,
        arity: -6,
        flags: CHANGES,
        keys: ONE_KEY,
        handler: |call| expire(call, Term::EX, "hexpire"),
        ..Command::DEFAULT
    },
    Command {
        name: "hpexpire",
        summary: "Gives fields of a hash a time to live in milliseconds.",
        syntax: "key milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
        since: "7.4.0",
        group: "hash",
        complexity: PER_FIELD,
        arity: -6,
        flags: CHANGES,
        keys: ONE_KEY,
        handler: |call| expire(call, Term::PX, "hpexpire"),
        ..Command::DEFAULT
    },
    Command {
        name: "hexpireat",
        summary: "Lets fields of a hash die at a Unix time in seconds.",
        syntax: "key unix-time-seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
        since: "7.4.0",
        group: "hash",
        complexity: PER_FIELD,
        arity: -6,
        flags: CHANGES,
        keys: ONE_KEY,
        handler: |call| expire(call, Term::EXAT, "hexpireat"),
        ..Command::DEFAULT
    },
    Command {
        name: "hpexpireat",
        summary: "Lets fields of a hash die at a Unix time in milliseconds.",
        syntax: "key unix-time-milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
        since: "7.4.0",
        group: "hash",
        complexity: PER_FIELD,
        arity: -6,
        flags: CHANGES,
        keys: ONE_KEY,
        handler: |call| expire(call, Term::PXAT, "hpexpireat"),
        ..Command::DEFAULT
    },
    Command {
        name: "httl",
        summary: "Tells how many seconds fields of a hash have left.",
        syntax: "key FIELDS numfields field [field ...]",
        since: "7.4.0",
        group: "hash",
        complexity: PER_FIELD,
        arity: -5,
        flags: TELLS,
        keys: ONE_KEY,
        handler: |call| tell(call, |deadline, now| deadline.saturating_sub(now).div_ceil(1000)),
        ..Command::DEFAULT
    },
    Command {
        name: "hpttl",
        summary: "Tells how many milliseconds fields of a hash have left.",
        syntax: "key FIELDS numfields field [field ...]",
        since: "7.4.0",
        group: "hash",
        complexity: PER_FIELD,
        arity: -5,
        flags: TELLS,
        keys: ONE_KEY,
        handler: |call| tell(call, |deadline, now| deadline.saturating_sub(now)),
        ..Command::DEFAULT
    },
    Command {
        name: "hexpiretime",
        summary: "Tells at which Unix time in seconds fields of a hash die.",
        syntax: "key FIELDS numfields field [field ...]",
        since: "7.4.0",
        group: "hash",
        complexity: PER_FIELD,
        arity: -5,
        flags: TELLS,
        keys: ONE_KEY,
        handler: |call| tell(call, |deadline, _| deadline.div_ceil(1000)),
        ..Command::DEFAULT
    },
    Command {
        name: "hpexpiretime",
        summary: "Tells at which Unix time in milliseconds fields of a hash die.",
        syntax: "key FIELDS numfields field [field ...]",
        since: "7.4.0",
        group: "hash",
        complexity: PER_FIELD,
        arity: -5,
        flags: TELLS,
        keys: ONE_KEY,
        handler: |call| tell(call, |deadline, _| deadline),
        ..Command::DEFAULT
    },
    Command {
        name: "hpersist",
        summary: "Takes the deadlines of fields of a hash away.",
        syntax: "key FIELDS numfields field [field ...]",
        since: "7.4.0",
        group: "hash",
        complexity: PER_FIELD,
        arity: -5,
        flags: CHANGES,
        keys: ONE_KEY,
        handler: persist,
        ..Command::DEFAULT
    },
    Command {
        name: "hgetex",
        summary: "Returns the values of fields of a hash, and sets or takes away their deadlines.",
        syntax: "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST] \
                 FIELDS numfields field [field ...]",
        since: "8.0.0",
        group: "hash",
        complexity: PER_FIELD,
        arity: -5,
        flags: CHANGES,
        keys: ONE_KEY,
        handler: getex,
        ..Command::DEFAULT
    },
    Command {
        name: "hsetex",
        summary: "Sets fields of a hash to values, with a deadline and on conditions.",
        syntax: "key [NX | XX] [FNX | FXX] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT \
                 unix-time-milliseconds | KEEPTTL] FIELDS numfields field value [field value ...]",
        since: "8.0.0",
        group: "hash",
        complexity: PER_FIELD,
        arity: -6,
        flags: CHANGES | flag::DENYOOM,
        keys: ONE_KEY,
        handler: setex,
        ..Command::DEFAULT
    },
    Command {
        name: "hgetdel",
        summary: "Returns the values of fields of a hash and removes them, and the hash with its last field.",
        syntax: "key FIELDS numfields field [field ...]",
        since: "8.0.0",
        group: "hash",
        complexity: PER_FIELD,
        arity: -5,
        flags: CHANGES,
        keys: ONE_KEY,
        handler: getdel,
        ..Command::DEFAULT
    },
];

/// What the commands answer for a field.
const NO_FIELD: i64 = -2;
const NO_DEADLINE: i64 = -1;
const NOT_DONE: i64 = 0;
const DONE: i64 = 1;
const DELETED: i64 = 2;

const NOT_POSITIVE: &str = "ERR Number of fields must be a positive integer";

/// The fields of `FIELDS numfields field [field ...]` at argument `at`; `not_positive` is the error for `numfields`.
fn fields<'a>(args: &Args<'a>, at: usize, not_positive: &'static str) -> Result<Args<'a>, CommandError> {
    if !is(args.get(at), "FIELDS") {
        return Err(text("ERR Mandatory argument FIELDS is missing or not at the right position"));
    }
    let count = number::parse_i64(args.get(at + 1)).filter(|&count| count > 0).ok_or(text(not_positive))?;
    let fields = args.from(at + 2);
    if usize::try_from(count) != Ok(fields.len()) {
        return Err(text("ERR The `numfields` parameter must match the number of arguments"));
    }
    Ok(fields)
}

/// The deadline that an amount of time means, in Unix milliseconds: it may have passed.
fn deadline(term: Term, amount: &[u8], now_ms: u64, command: &str) -> Result<u64, CommandError> {
    let amount = integer(amount)?;
    if amount < 0 {
        return Err(text("ERR invalid expire time, must be >= 0"));
    }
    let deadline = term.deadline(amount, now_ms).and_then(|deadline| u64::try_from(deadline).ok());
    deadline
        .filter(|deadline| *deadline <= FIELD_DEADLINE_MAX_MS)
        .ok_or_else(|| CommandError::new(format!("ERR invalid expire time in '{command}' command")))
}

/// A hash that is being changed, and what has happened to it.
struct Change<'a> {
    hash: &'a mut Hash,
    now_ms: u64,
    limits: Limits,
    effect: Effect,
}

#[derive(Clone, Copy, Default)]
struct Effect {
    changed: bool,
    /// Fields that went because their new deadline had passed.
    expired: u64,
    /// The event of what was done to others.
    event: Option<&'static str>,
}

impl<'a> Change<'a> {
    fn of(call: &'a mut Call<'_>) -> Result<Option<Change<'a>>, CommandError> {
        // In import mode no field dies.
        let now_ms = if call.keys.imports() { 0 } else { call.keys.now().ms };
        let limits = call.node.limits();
        let hash = call.keys.write_hash(call.args.get(1))?;
        Ok(hash.map(|hash| Change { hash, now_ms, limits, effect: Effect::default() }))
    }

    /// Gives an existing field a deadline, or removes it if that has passed.
    fn set_deadline(&mut self, field: &[u8], deadline: u64) -> i64 {
        self.effect.changed = true;
        if deadline <= self.now_ms {
            self.hash.remove(field);
            self.effect.expired += 1;
            return DELETED;
        }
        self.hash.set_deadline(field, Some(deadline), &self.limits);
        self.effect.event = Some("hexpire");
        DONE
    }

    /// Takes the deadline of a field away.
    fn persist(&mut self, field: &[u8]) -> i64 {
        if self.hash.deadline(field).is_none() {
            return if self.hash.contains(field) { NO_DEADLINE } else { NO_FIELD };
        }
        self.hash.set_deadline(field, None, &self.limits);
        self.effect.changed = true;
        self.effect.event = Some("hpersist");
        DONE
    }

    fn remove(&mut self, field: &[u8]) {
        if self.hash.remove(field) {
            self.effect.changed = true;
            self.effect.event = Some("hdel");
        }
    }
}

/// Ends a change: the hash is noted as changed, and goes with its last field.
fn settle(call: &mut Call<'_>, effect: Effect) {
    let key = call.args.get(1);
    if effect.changed {
        call.keys.fields_changed(key, effect.expired);
        if let Some(event) = effect.event {
            call.keys.notify(Classes::HASH, event, key);
        }
        if effect.expired > 0 {
            call.keys.notify(Classes::HASH, "hexpired", key);
        }
        call.keys.drop_if_empty(key);
    }
}

/// When HEXPIRE does something with a field. No deadline counts as one that never comes.
#[derive(Clone, Copy)]
enum Condition {
    Always,
    Nx,
    Xx,
    Gt,
    Lt,
}

impl Condition {
    fn named(word: &[u8]) -> Option<Condition> {
        use Condition::{Gt, Lt, Nx, Xx};
        let names = [("NX", Nx), ("XX", Xx), ("GT", Gt), ("LT", Lt)];
        names.into_iter().find(|(name, _)| is(word, name)).map(|(_, condition)| condition)
    }

    fn allows(self, old: Option<u64>, new: u64) -> bool {
        match self {
            Condition::Always => true,
            Condition::Nx => old.is_none(),
            Condition::Xx => old.is_some(),
            Condition::Gt => old.is_some_and(|old| new > old),
            Condition::Lt => old.is_none_or(|old| new < old),
        }
    }
}

fn expire(call: &mut Call<'_>, term: Term, command: &str) -> Answer {
    let args = call.args;
    call.keys.peek_hash(args.get(1))?;
    let deadline = deadline(term, args.get(2), call.keys.now_ms(), command)?;
    let condition = Condition::named(args.get(3));
    let at = 3 + usize::from(condition.is_some());
    let condition = condition.unwrap_or(Condition::Always);
    let fields = fields(args, at, "ERR Parameter `numFields` should be greater than 0")?;
    let mut done = Vec::new();
    each_field(call, fields, |change, field| {
        if !change.hash.contains(field) {
            return NO_FIELD;
        }
        let allowed = condition.allows(change.hash.deadline(field), deadline);
        if !allowed {
            return NOT_DONE;
        }
        done.push(field.to_vec());
        change.set_deadline(field, deadline)
    })?;
    propagate_deadline(call, deadline, &done);
    Ok(())
}

/// Logs the deadline that fields were given, or their end if it had passed.
fn propagate_deadline(call: &mut Call<'_>, deadline: u64, fields: &[Vec<u8>]) {
    if !call.keys.is_logged() || fields.is_empty() {
        return;
    }
    let (key, mut time, mut count) = (call.args.get(1), itoa::Buffer::new(), itoa::Buffer::new());
    let (time, count) = (time.format(deadline).as_bytes(), count.format(fields.len()).as_bytes());
    let head: &[&[u8]] = match call.keys.has_passed(deadline) {
        true => &[b"HDEL", key],
        false => &[b"HPEXPIREAT", key, time, b"FIELDS", count],
    };
    let command: Vec<&[u8]> = head.iter().copied().chain(fields.iter().map(Vec::as_slice)).collect();
    call.keys.propagate(&command);
}

/// Answers a number for each field: what `act` does to it, or that there is none.
fn each_field(
    call: &mut Call<'_>,
    fields: Args<'_>,
    mut act: impl FnMut(&mut Change<'_>, &[u8]) -> i64,
) -> Answer {
    let mut change = Change::of(call)?;
    let answers: Vec<i64> =
        fields.iter().map(|field| change.as_mut().map_or(NO_FIELD, |change| act(change, field))).collect();
    let effect = change.map_or(Effect::default(), |change| change.effect);
    settle(call, effect);
    call.out.array(answers.len());
    answers.iter().for_each(|answer| call.out.integer(*answer));
    Ok(())
}

/// Answers for each field what `tell` makes of its deadline and the time.
fn tell(call: &mut Call<'_>, tell: fn(u64, u64) -> u64) -> Answer {
    let (args, now) = (call.args, call.keys.now_ms());
    let hash = call.keys.read_hash(args.get(1))?;
    let fields = fields(args, 2, NOT_POSITIVE)?;
    call.out.array(fields.len());
    for field in fields.iter() {
        call.out.integer(match hash.map(|hash| (hash.deadline(field), hash)) {
            Some((Some(deadline), _)) => i64::try_from(tell(deadline, now)).unwrap_or(i64::MAX),
            Some((None, hash)) if hash.contains(field) => NO_DEADLINE,
            _ => NO_FIELD,
        });
    }
    Ok(())
}

fn persist(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    call.keys.peek_hash(args.get(1))?;
    let fields = fields(args, 2, NOT_POSITIVE)?;
    each_field(call, fields, |change, field| change.persist(field))
}

/// Answers the value of each field, and lets `act` change it afterwards.
fn each_value(call: &mut Call<'_>, fields: Args<'_>, mut act: impl FnMut(&mut Change<'_>, &[u8])) -> Answer {
    let mut change = Change::of(call)?;
    let mut values = Vec::with_capacity(fields.len());
    for field in fields.iter() {
        let value = change.as_ref().and_then(|change| change.hash.get(field)).map(|value| value.to_vec());
        if let (Some(change), Some(_)) = (&mut change, &value) {
            act(change, field);
        }
        values.push(value);
    }
    let effect = change.map_or(Effect::default(), |change| change.effect);
    settle(call, effect);
    call.out.array(values.len());
    for value in values {
        match value {
            Some(value) => call.out.bulk(&value),
            None => call.out.null(),
        }
    }
    Ok(())
}

/// What HGETEX does to the fields that it reads.
enum Then {
    Nothing,
    Persist,
    Expire(u64),
}

fn getex(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    call.keys.peek_hash(args.get(1))?;
    let (then, at) = match args.get(2) {
        word if is(word, "PERSIST") => (Then::Persist, 3),
        word => match Term::named(word) {
            Some(term) => (Then::Expire(deadline(term, args.get(3), call.keys.now_ms(), "hgetex")?), 4),
            None => (Then::Nothing, 2),
        },
    };
    if at + 1 >= args.len() {
        return Err(CommandError::WrongArity);
    }
    let fields = fields(args, at, NOT_POSITIVE)?;
    call.keys.read_hash(args.get(1))?; // a hit or a miss
    let mut done = Vec::new();
    each_value(call, fields, |change, field| match then {
        Then::Nothing => {}
        Then::Persist => {
            if change.persist(field) == DONE {
                done.push(field.to_vec());
            }
        }
        Then::Expire(deadline) => {
            change.set_deadline(field, deadline);
            done.push(field.to_vec());
        }
    })?;
    match then {
        Then::Expire(deadline) => propagate_deadline(call, deadline, &done),
        _ if done.is_empty() || !call.keys.is_logged() => {}
        _ => {
            let (key, mut count) = (args.get(1), itoa::Buffer::new());
            let head = [&b"HPERSIST"[..], key, b"FIELDS", count.format(done.len()).as_bytes()];
            let command: Vec<&[u8]> = head.into_iter().chain(done.iter().map(Vec::as_slice)).collect();
            call.propagate(&command);
        }
    }
    Ok(())
}

fn getdel(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    call.keys.peek_hash(args.get(1))?;
    let fields = fields(args, 2, NOT_POSITIVE)?;
    each_value(call, fields, |change, field| change.remove(field))
}

/// The deadline of the fields that HSETEX sets.
#[derive(Clone, Copy, PartialEq)]
enum Life {
    Endless,
    Kept,
    Until(u64),
}

/// What HSETEX is asked to do. A condition is whether the thing must be there.
struct Setting<'a> {
    key: Option<bool>,
    fields: Option<bool>,
    life: Life,
    pairs: Args<'a>,
}

const ONE_CONDITION: &str = "ERR Only one of FXX or FNX arguments can be specified";
const ONE_LIFE: &str = "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified";

impl<'a> Setting<'a> {
    fn parse(call: &Call<'a>) -> Result<Setting<'a>, CommandError> {
        let args = call.args;
        let mut set = Setting { key: None, fields: None, life: Life::Endless, pairs: *args };
        let mut at = 2;
        while at < args.len() {
            let word = args.get(at);
            at += 1;
            match word {
                word if is(word, "FIELDS") => {
                    set.pairs = pairs(args, at)?;
                    return Ok(set);
                }
                word if is(word, "NX") => once(&mut set.key, false, "ERR syntax error")?,
                word if is(word, "XX") => once(&mut set.key, true, "ERR syntax error")?,
                word if is(word, "FNX") => once(&mut set.fields, false, ONE_CONDITION)?,
                word if is(word, "FXX") => once(&mut set.fields, true, ONE_CONDITION)?,
                word => at += set.read_life(call, word, at)?,
            }
        }
        Err(CommandError::WrongArity)
    }

    /// An option about the deadline: how many arguments at `at` belong to it.
    fn read_life(&mut self, call: &Call<'_>, word: &[u8], at: usize) -> Result<usize, CommandError> {
        let term = Term::named(word);
        if term.is_none() && !is(word, "KEEPTTL") {
            let word = String::from_utf8_lossy(word);
            return Err(CommandError::new(format!("ERR unknown argument: {word}")));
        }
        if self.life != Life::Endless {
            return Err(text(ONE_LIFE));
        }
        let Some(term) = term else {
            self.life = Life::Kept;
            return Ok(0);
        };
        if at >= call.args.len() {
            return Err(CommandError::WrongArity);
        }
        self.life = Life::Until(deadline(term, call.args.get(at), call.keys.now_ms(), "hsetex")?);
        Ok(1)
    }

    /// True if key and fields are there or not, as they must be.
    fn holds(&self, call: &mut Call<'_>) -> Result<bool, CommandError> {
        let hash = call.keys.write_hash(call.args.get(1))?.map(|hash| &*hash);
        let there = |field: &[u8]| hash.is_some_and(|hash| hash.contains(field));
        let key = self.key.is_none_or(|wanted| wanted == hash.is_some());
        Ok(key && self.fields.is_none_or(|wanted| self.names().all(|field| there(field) == wanted)))
    }

    fn names(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.pairs.iter().step_by(2)
    }
}

fn once(condition: &mut Option<bool>, wanted: bool, twice: &'static str) -> Answer {
    match condition.replace(wanted) {
        Some(_) => Err(text(twice)),
        None => Ok(()),
    }
}

/// `numfields field value [field value ...]` at argument `at`.
fn pairs<'a>(args: &Args<'a>, at: usize) -> Result<Args<'a>, CommandError> {
    let pairs = args.from(at + 1);
    if pairs.len() < 2 {
        return Err(CommandError::WrongArity);
    }
    let count = number::parse_i64(args.get(at)).and_then(|count| i32::try_from(count).ok());
    match count.filter(|&count| count > 0) {
        None => Err(text("ERR invalid number of fields")),
        Some(count) if count as usize * 2 != pairs.len() => Err(CommandError::WrongArity),
        Some(_) => Ok(pairs),
    }
}

fn setex(call: &mut Call<'_>) -> Answer {
    let set = Setting::parse(call)?;
    let holds = set.holds(call)?;
    if holds {
        let key = call.args.get(1);
        call.keys.write_hash_or_create(key)?;
        let change = Change::of(call)?;
        let effect = change.map_or(Effect::default(), |mut change| {
            set.apply(&mut change);
            change.effect
        });
        call.keys.notify(Classes::HASH, "hset", key);
        if matches!(set.life, Life::Until(_)) {
            call.keys.notify(Classes::HASH, "hexpire", key);
        }
        propagate_set(call, &set);
        settle(call, Effect { event: None, ..effect });
    }
    call.out.integer(i64::from(holds));
    Ok(())
}

/// Logs what HSETEX did, without its conditions.
fn propagate_set(call: &mut Call<'_>, set: &Setting<'_>) {
    if !call.keys.is_logged() {
        return;
    }
    let (key, mut time, mut count) = (call.args.get(1), itoa::Buffer::new(), itoa::Buffer::new());
    let mut command: Vec<&[u8]> = vec![b"HSETEX", key];
    match set.life {
        Life::Until(deadline) if call.keys.has_passed(deadline) => {
            let names = [&b"HDEL"[..], key].into_iter().chain(set.names());
            return call.keys.propagate(&names.collect::<Vec<_>>());
        }
        Life::Until(deadline) => command.extend([&b"PXAT"[..], time.format(deadline).as_bytes()]),
        Life::Kept => command.push(b"KEEPTTL"),
        Life::Endless => {}
    }
    command.extend([&b"FIELDS"[..], count.format(set.pairs.len() / 2).as_bytes()]);
    command.extend(set.pairs.iter());
    call.keys.propagate(&command);
}

impl Setting<'_> {
    fn apply(&self, change: &mut Change<'_>) {
        change.effect.changed = true;
        for (field, value) in self.names().zip(self.pairs.iter().skip(1).step_by(2)) {
            match self.life {
                Life::Kept => change.hash.update(field, value, &change.limits),
                _ => change.hash.insert(field, value, &change.limits),
            };
        }
        if let Life::Until(deadline) = self.life {
            for field in self.names() {
                // One that stands there twice may be gone already.
                if change.hash.contains(field) {
                    change.set_deadline(field, deadline);
                }
            }
        }
    }
}
