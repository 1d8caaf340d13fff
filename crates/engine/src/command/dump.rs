//! DUMP and RESTORE: a value as a payload, and back. The format is `larder-rdb`'s; here are the words around it.

use super::collection::{Answer, integer, is, text};
use super::table::{ONE_KEY, flag};
use super::{Call, Command, CommandError};
use crate::config::Sanitize;
use crate::notify::Classes;
use larder_rdb::dump;
use larder_rdb::load::Options;
use larder_store::Extras;
use larder_store::partition::access::Access;
use std::sync::atomic::Ordering;

/// The commands about payloads.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "dump",
        summary: "Gives the value of a key as a payload for RESTORE.",
        syntax: "key",
        since: "2.6.0",
        complexity: "O(N), N = bytes or members of the value",
        arity: 2,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: dump_value,
        ..Command::DEFAULT
    },
    Command {
        name: "restore",
        summary: "Makes a key of a payload of DUMP.",
        syntax: "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",
        since: "2.6.0",
        complexity: "O(N), N = bytes or members of the value",
        arity: -4,
        flags: flag::WRITE | flag::DENYOOM,
        categories: &["dangerous"],
        keys: ONE_KEY,
        handler: restore,
        ..Command::DEFAULT
    },
];

/// Largest count of uses.
const FREQUENCY_MAX: i64 = 255;

fn dump_value(call: &mut Call<'_>) -> Answer {
    match call.keys.read(call.args.get(1)) {
        None => call.out.null(),
        Some(item) => call.out.bulk(&dump::write(&item.value())),
    }
    Ok(())
}

/// What stands behind the payload.
#[derive(Default)]
struct Wishes {
    replace: bool,
    absolute: bool,
    idle_seconds: Option<u64>,
    frequency: Option<u32>,
}

impl Wishes {
    fn parse(call: &Call<'_>) -> Result<Wishes, CommandError> {
        let (args, mut wishes) = (call.args, Wishes::default());
        let mut at = 4;
        while at < args.len() {
            let more = at + 1 < args.len();
            match args.get(at) {
                word if is(word, "REPLACE") => wishes.replace = true,
                word if is(word, "ABSTTL") => wishes.absolute = true,
                word if is(word, "IDLETIME") && more && wishes.frequency.is_none() => {
                    at += 1;
                    let seconds = u64::try_from(integer(args.get(at))?);
                    wishes.idle_seconds =
                        Some(seconds.map_err(|_| text("ERR Invalid IDLETIME value, must be >= 0"))?);
                }
                word if is(word, "FREQ") && more && wishes.idle_seconds.is_none() => {
                    at += 1;
                    let count = integer(args.get(at))?;
                    if !(0..=FREQUENCY_MAX).contains(&count) {
                        return Err(text("ERR Invalid FREQ value, must be >= 0 and <= 255"));
                    }
                    wishes.frequency = Some(count as u32);
                }
                _ => return Err(CommandError::Syntax),
            }
            at += 1;
        }
        Ok(wishes)
    }

    /// The access word of the new key: what suits the policy counts, the rest is as for any new key.
    fn access(&self, call: &Call<'_>) -> Access {
        let now = call.keys.now_ms();
        let lfu = call.node.settings().maxmemory_policy.is_lfu();
        let word = match (lfu, self.frequency, self.idle_seconds) {
            (true, Some(count), _) => Some(((now / 60_000) as u32 & 0xffff) << 8 | count),
            (false, _, Some(idle)) => {
                let used = now.saturating_sub(idle.saturating_mul(1000));
                Some(call.node.word_of_idle(&call.node.settings(), used))
            }
            _ => None,
        };
        word.map_or(call.keys.access(), |created| Access::None { created })
    }
}

fn is_thorough(call: &Call<'_>) -> bool {
    match call.node.settings().sanitize_dump_payload {
        Sanitize::No => false,
        Sanitize::Yes => true,
        Sanitize::Clients => !call.session.identity.skips_sanitizing(),
    }
}

/// Logs the command with its deadline as a time.
fn propagate(call: &mut Call<'_>, wishes: &Wishes, deadline: Option<u64>) {
    if !call.keys.is_logged() || wishes.absolute || deadline.is_none() {
        return;
    }
    let (args, mut digits) = (call.args, itoa::Buffer::new());
    let mut command: Vec<&[u8]> = args.iter().collect();
    command[2] = digits.format(deadline.unwrap_or(0)).as_bytes();
    command.push(b"ABSTTL");
    call.keys.propagate(&command);
}

fn restore(call: &mut Call<'_>) -> Answer {
    let wishes = Wishes::parse(call)?;
    let (key, payload) = (call.args.get(1), call.args.get(3));
    if !wishes.replace && call.keys.exists(key) {
        return Err(text("BUSYKEY Target key name already exists."));
    }
    let ttl = integer(call.args.get(2))?;
    let ttl = u64::try_from(ttl).map_err(|_| text("ERR Invalid TTL value, must be >= 0"))?;
    let body = dump::verified(payload).ok_or(text("ERR DUMP payload version or checksum are wrong"))?;
    let settings = call.node.settings();
    let options = Options { limits: &settings.limits, thorough: is_thorough(call) };
    if options.thorough {
        call.node.stats.sanitized.fetch_add(1, Ordering::Relaxed);
    }
    let value = dump::read(body, &options).map_err(|_| text("ERR Bad data format"))?;
    let replaced = call.keys.remove(key);
    let now = call.keys.now_ms();
    let start = if wishes.absolute { 0 } else { now };
    let deadline = (ttl > 0).then(|| ttl.saturating_add(start).min(i64::MAX as u64));
    if deadline.is_none_or(|deadline| !call.keys.has_passed(deadline)) {
        let access = wishes.access(call);
        call.keys.restore(key, value, Extras { deadline, ..Extras::default() }, access);
        propagate(call, &wishes, deadline);
        call.keys.notify(Classes::GENERIC, "restore", key);
    } else if replaced {
        call.propagate(&[b"UNLINK", key]);
        call.keys.notify(Classes::GENERIC, "del", key);
    }
    call.out.ok();
    Ok(())
}
