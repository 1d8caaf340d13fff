//! Deadlines of keys: EXPIRE and its kin, TTL and its kin, PERSIST; and how a command reads a time argument.

use super::collection::{Answer, integer, is, text};
use super::table::{ONE_KEY, flag};
use super::{Call, Command, CommandError, Keyspace};
use crate::notify::Classes;

const CHANGES: u32 = flag::WRITE | flag::FAST;
const TELLS: u32 = flag::READONLY | flag::FAST;

/// The commands about deadlines.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "expire",
        summary: "Gives a key a time to live in seconds.",
        syntax: "key seconds [NX | XX | GT | LT]",
        arity: -3,
        flags: CHANGES,
        keys: ONE_KEY,
        handler: expire,
        ..Command::DEFAULT
    },
    Command {
        name: "pexpire",
        summary: "Gives a key a time to live in milliseconds.",
        syntax: "key milliseconds [NX | XX | GT | LT]",
        since: "2.6.0",
        arity: -3,
        flags: CHANGES,
        keys: ONE_KEY,
        handler: pexpire,
        ..Command::DEFAULT
    },
    Command {
        name: "expireat",
        summary: "Lets a key die at a Unix time in seconds.",
        syntax: "key unix-time-seconds [NX | XX | GT | LT]",
        since: "1.2.0",
        arity: -3,
        flags: CHANGES,
        keys: ONE_KEY,
        handler: expireat,
        ..Command::DEFAULT
    },
    Command {
        name: "pexpireat",
        summary: "Lets a key die at a Unix time in milliseconds.",
        syntax: "key unix-time-milliseconds [NX | XX | GT | LT]",
        since: "2.6.0",
        arity: -3,
        flags: CHANGES,
        keys: ONE_KEY,
        handler: pexpireat,
        ..Command::DEFAULT
    },
    Command {
        name: "ttl",
        summary: "Tells how many seconds a key has left.",
        syntax: "key",
        arity: 2,
        flags: TELLS,
        keys: ONE_KEY,
        handler: ttl,
        ..Command::DEFAULT
    },
    Command {
        name: "pttl",
        summary: "Tells how many milliseconds a key has left.",
        syntax: "key",
        since: "2.6.0",
        arity: 2,
        flags: TELLS,
        keys: ONE_KEY,
        handler: pttl,
        ..Command::DEFAULT
    },
    Command {
        name: "expiretime",
        summary: "Tells at which Unix time in seconds a key dies.",
        syntax: "key",
        since: "7.0.0",
        arity: 2,
        flags: TELLS,
        keys: ONE_KEY,
        handler: expiretime,
        ..Command::DEFAULT
    },
    Command {
        name: "pexpiretime",
        summary: "Tells at which Unix time in milliseconds a key dies.",
        syntax: "key",
        since: "7.0.0",
        arity: 2,
        flags: TELLS,
        keys: ONE_KEY,
        handler: pexpiretime,
        ..Command::DEFAULT
    },
    Command {
        name: "persist",
        summary: "Takes the deadline of a key away.",
        syntax: "key",
        since: "2.2.0",
        arity: 2,
        flags: CHANGES,
        keys: ONE_KEY,
        handler: persist,
        ..Command::DEFAULT
    },
];

/// How a time argument is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term {
    seconds: bool,
    absolute: bool,
}

impl Term {
    /// Seconds from now.
    pub(super) const EX: Term = Term { seconds: true, absolute: false };
    /// Milliseconds from now.
    pub(super) const PX: Term = Term { seconds: false, absolute: false };
    /// Unix time in seconds.
    pub(super) const EXAT: Term = Term { seconds: true, absolute: true };
    /// Unix time in milliseconds.
    pub(super) const PXAT: Term = Term { seconds: false, absolute: true };

    /// The term that an option of SET and GETEX names.
    pub(super) fn named(word: &[u8]) -> Option<Term> {
        let names = [("EX", Term::EX), ("PX", Term::PX), ("EXAT", Term::EXAT), ("PXAT", Term::PXAT)];
        names.into_iter().find(|(name, _)| is(word, name)).map(|(_, term)| term)
    }

    /// The deadline in Unix milliseconds, possibly in the past; `None` when it cannot be represented.
    pub(super) fn deadline(self, amount: i64, now_ms: u64) -> Option<i64> {
        let ms = if self.seconds { amount.checked_mul(1000)? } else { amount };
        if self.absolute { Some(ms) } else { ms.checked_add(now_ms as i64) }
    }

    /// The deadline of SET, GETEX and SETEX: an amount of at least 1. `command` is for the error.
    pub(super) fn parse(self, amount: &[u8], now_ms: u64, command: &str) -> Result<u64, CommandError> {
        let amount = integer(amount)?;
        let deadline = if amount > 0 { self.deadline(amount, now_ms) } else { None };
        deadline.map(|deadline| deadline as u64).ok_or_else(|| invalid(command))
    }
}

#[cold]
fn invalid(command: &str) -> CommandError {
    CommandError::new(format!("ERR invalid expire time in '{command}' command"))
}

/// When EXPIRE does something.
#[derive(Clone, Copy, Default)]
struct Conditions {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Conditions {
    fn parse(call: &Call<'_>) -> Result<Conditions, CommandError> {
        let mut on = Conditions::default();
        for word in call.args.from(3).iter() {
            match word {
                word if is(word, "NX") => on.nx = true,
                word if is(word, "XX") => on.xx = true,
                word if is(word, "GT") => on.gt = true,
                word if is(word, "LT") => on.lt = true,
                word => {
                    let word = String::from_utf8_lossy(word);
                    return Err(CommandError::new(format!("ERR Unsupported option {word}")));
                }
            }
        }
        if on.nx && (on.xx || on.gt || on.lt) {
            return Err(text("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if on.gt && on.lt {
            return Err(text("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(on)
    }

    /// No deadline counts as one that never comes.
    fn allow(self, old: Option<u64>, new: i64) -> bool {
        let old = old.map(|old| i64::try_from(old).unwrap_or(i64::MAX));
        !(self.nx && old.is_some()
            || self.xx && old.is_none()
            || self.gt && old.is_none_or(|old| new <= old)
            || self.lt && old.is_some_and(|old| new >= old))
    }
}

fn set_term(call: &mut Call<'_>, term: Term, command: &str) -> Answer {
    let on = Conditions::parse(call)?;
    let amount = integer(call.args.get(2))?;
    let deadline = term.deadline(amount, call.keys.now_ms()).ok_or_else(|| invalid(command))?;
    let key = call.args.get(1);
    let allowed = call.keys.peek(key).is_some_and(|item| on.allow(item.deadline(), deadline));
    let done = allowed && call.keys.set_deadline(key, Some(u64::try_from(deadline).unwrap_or(0)));
    if done {
        propagate_deadline(&mut call.keys, key);
        notify_deadline(&mut call.keys, key);
    }
    call.out.integer(i64::from(done));
    Ok(())
}

/// Logs the deadline that a key was given, or its end if the deadline had passed.
pub(super) fn propagate_deadline(keys: &mut Keyspace<'_>, key: &[u8]) {
    if !keys.is_logged() {
        return;
    }
    match keys.deadline(key) {
        None => keys.propagate(&[b"UNLINK", key]),
        Some(None) => keys.propagate(&[b"PERSIST", key]),
        Some(Some(deadline)) => {
            keys.propagate(&[b"PEXPIREAT", key, itoa::Buffer::new().format(deadline).as_bytes()]);
        }
    }
}

/// Logs a string that was set, with its deadline.
pub(super) fn propagate_string(keys: &mut Keyspace<'_>, key: &[u8], value: &[u8], deadline: Option<u64>) {
    if !keys.is_logged() {
        return;
    }
    match deadline {
        None => keys.propagate(&[b"SET", key, value]),
        Some(deadline) => {
            let mut digits = itoa::Buffer::new();
            keys.propagate(&[b"SET", key, value, b"PXAT", digits.format(deadline).as_bytes()]);
        }
    }
}

/// Tells that a key was given a deadline, which it may not have survived.
pub(super) fn notify_deadline(keys: &mut Keyspace<'_>, key: &[u8]) {
    let event = if keys.deadline(key).is_some() { "expire" } else { "del" };
    keys.notify(Classes::GENERIC, event, key);
}

fn expire(call: &mut Call<'_>) -> Answer {
    set_term(call, Term::EX, "expire")
}

fn pexpire(call: &mut Call<'_>) -> Answer {
    set_term(call, Term::PX, "pexpire")
}

fn expireat(call: &mut Call<'_>) -> Answer {
    set_term(call, Term::EXAT, "expireat")
}

fn pexpireat(call: &mut Call<'_>) -> Answer {
    set_term(call, Term::PXAT, "pexpireat")
}

/// -2 for no key, -1 for no deadline, else what `tell` makes of the deadline.
fn tell(call: &mut Call<'_>, tell: impl FnOnce(u64, u64) -> u64) -> Answer {
    let now = call.keys.now_ms();
    let answer = match call.keys.read_untouched(call.args.get(1)).map(|item| item.deadline()) {
        None => -2,
        Some(None) => -1,
        Some(Some(deadline)) => i64::try_from(tell(deadline, now)).unwrap_or(i64::MAX),
    };
    call.out.integer(answer);
    Ok(())
}

/// The nearest second.
fn rounded(ms: u64) -> u64 {
    ms.saturating_add(500) / 1000
}

fn ttl(call: &mut Call<'_>) -> Answer {
    tell(call, |deadline, now| rounded(deadline.saturating_sub(now)))
}

fn pttl(call: &mut Call<'_>) -> Answer {
    tell(call, |deadline, now| deadline.saturating_sub(now))
}

fn expiretime(call: &mut Call<'_>) -> Answer {
    tell(call, |deadline, _| rounded(deadline))
}

fn pexpiretime(call: &mut Call<'_>) -> Answer {
    tell(call, |deadline, _| deadline)
}

fn persist(call: &mut Call<'_>) -> Answer {
    let key = call.args.get(1);
    let volatile = call.keys.peek(key).is_some_and(|item| item.deadline().is_some());
    let done = volatile && call.keys.set_deadline(key, None);
    if done {
        call.keys.notify(Classes::GENERIC, "persist", key);
    }
    call.out.integer(i64::from(done));
    Ok(())
}
