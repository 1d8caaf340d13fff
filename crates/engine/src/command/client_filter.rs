//! What CLIENT LIST and CLIENT KILL choose sessions by: pairs of a name and a value, each also with `NOT-` before it.

use super::client::flags_of;
use super::{Call, CommandError};
use crate::session::registry::Shared;
use larder_protocol::number::parse_i64;
use std::sync::atomic::{AtomicBool, Ordering};

/// Letters that CLIENT LIST may show as flags here and in the others.
const FLAGS: &str = "NOSMPxtRBbucdAUreTIEi";
/// Letters of what a client may be capable of.
const CAPABILITIES: &str = "r";

/// Whether a session is meant.
pub(super) type Filter = Box<dyn Fn(&Shared) -> bool>;

/// What was asked for.
pub(super) struct Wanted {
    filters: Vec<Filter>,
    /// SKIPME, if it was given.
    pub skip_me: Option<bool>,
}

impl Wanted {
    /// True if the session is meant by all filters.
    pub(super) fn includes(&self, shared: &Shared) -> bool {
        self.filters.iter().all(|filter| filter(shared))
    }
}

fn text(message: &'static str) -> CommandError {
    CommandError::Text(message.into())
}

/// Reads the filters from argument 2 on. `strict_ids`: ids have to be above 0 (CLIENT KILL).
pub(super) fn read(call: &Call<'_>, strict_ids: bool) -> Result<Wanted, CommandError> {
    let args = call.args;
    let mut wanted = Wanted { filters: Vec::new(), skip_me: None };
    let mut at = 2;
    while at < args.len() {
        let word = args.get(at).to_ascii_lowercase();
        let (name, without) = match word.strip_prefix(b"not-") {
            Some(name) => (name, true),
            None => (word.as_slice(), false),
        };
        if at + 1 == args.len() {
            return Err(CommandError::Syntax);
        }
        let value = args.get(at + 1);
        at += 2;
        let filter = match name {
            b"id" => {
                let mut ids = vec![client_id(value, strict_ids)?];
                // More ids may follow; the first word that is no number is the next filter.
                while at < args.len() && parse_i64(args.get(at)).is_some() {
                    ids.push(client_id(args.get(at), strict_ids)?);
                    at += 1;
                }
                Box::new(move |shared: &Shared| ids.contains(&shared.id))
            }
            b"skipme" if !without => {
                wanted.skip_me = Some(yes_or_no(value)?);
                continue;
            }
            b"maxage" | b"idle" if !without => at_least(call, name == b"idle", value)?,
            _ => by(call, name, value)?,
        };
        wanted.filters.push(if without { Box::new(move |shared| !filter(shared)) } else { filter });
    }
    Ok(wanted)
}

/// A number that nobody has, like 0, is none to complain about in a list.
fn client_id(word: &[u8], strict: bool) -> Result<u64, CommandError> {
    let id = parse_i64(word);
    if strict {
        let id = id.filter(|id| *id > 0).ok_or(text("ERR client-id should be greater than 0"))?;
        return Ok(id as u64);
    }
    Ok(u64::try_from(id.ok_or(text("ERR Invalid client ID"))?).unwrap_or(0))
}

/// Sessions that are as old, or as idle, as this many seconds.
fn at_least(call: &Call<'_>, idle: bool, value: &[u8]) -> Result<Filter, CommandError> {
    let name = if idle { "idle" } else { "maxage" };
    let error = |what| CommandError::new(format!("ERR {name} {what}"));
    let seconds = parse_i64(value).ok_or_else(|| error("is not an integer or out of range"))?;
    let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
    let seconds = seconds.ok_or_else(|| error("should be greater than 0"))?;
    let now_ms = call.keys.now_ms();
    Ok(Box::new(move |shared| {
        let since_ms = if idle { shared.last_ms.load(Ordering::Relaxed) } else { shared.created_ms };
        now_ms.saturating_sub(since_ms) / 1000 >= seconds
    }))
}

/// Sessions by one of the properties that may also be excluded.
fn by(call: &Call<'_>, name: &[u8], value: &[u8]) -> Result<Filter, CommandError> {
    let word = String::from_utf8_lossy(value).into_owned();
    Ok(match name {
        b"type" => return of_type(value),
        b"addr" => Box::new(move |shared| shared.address == word),
        b"laddr" => Box::new(move |shared| shared.local_address == word),
        b"ip" => Box::new(move |shared| {
            shared.address.rsplit_once(':').is_some_and(|(ip, _)| ip.trim_matches(['[', ']']) == word)
        }),
        b"name" => Box::new(move |shared| !word.is_empty() && shared.names().name == word),
        b"lib-name" => Box::new(move |shared| !word.is_empty() && shared.names().library == word),
        b"lib-ver" => Box::new(move |shared| !word.is_empty() && shared.names().library_version == word),
        b"user" => {
            if call.node.users.get(value).is_none() {
                return Err(CommandError::new(format!("ERR No such user '{word}'")));
            }
            let name = value.to_vec();
            Box::new(move |shared| *shared.user() == *name)
        }
        b"db" => {
            let db = parse_i64(value).ok_or(text("ERR DB is not an integer or out of range"))?;
            let last = call.node.store.databases() - 1;
            let db = u16::try_from(db).ok().filter(|db| *db <= last);
            let db =
                db.ok_or_else(|| CommandError::new(format!("ERR DB number should be between 0 and {last}")))?;
            Box::new(move |shared| shared.db.load(Ordering::Relaxed) == db)
        }
        b"flags" => {
            known("flags", &word, FLAGS)?;
            Box::new(move |shared| {
                let flags = flags_of(shared);
                word.chars().all(|letter| flags.contains(letter))
            })
        }
        b"capa" => {
            known("capa", &word, CAPABILITIES)?;
            Box::new(move |shared| shared.redirects.load(Ordering::Relaxed) || word.is_empty())
        }
        _ => return Err(CommandError::Syntax),
    })
}

fn known(what: &str, word: &str, letters: &str) -> Result<(), CommandError> {
    let unknown: String = word.chars().filter(|letter| !letters.contains(*letter)).collect();
    match unknown.is_empty() {
        true => Ok(()),
        false => {
            Err(CommandError::new(format!("ERR Unknown {what} found in the provided filter: {unknown}")))
        }
    }
}

/// Sessions of a type.
fn of_type(word: &[u8]) -> Result<Filter, CommandError> {
    let is = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
    match word.to_ascii_lowercase().as_slice() {
        b"normal" => Ok(Box::new(move |shared| {
            !shared.listens() && !is(&shared.is_replica) && !is(&shared.is_primary)
        })),
        b"pubsub" => Ok(Box::new(Shared::listens)),
        b"replica" | b"slave" => Ok(Box::new(move |shared| is(&shared.is_replica))),
        b"master" | b"primary" => Ok(Box::new(move |shared| is(&shared.is_primary))),
        _ => {
            let word = String::from_utf8_lossy(word);
            Err(CommandError::new(format!("ERR Unknown client type '{word}'")))
        }
    }
}

fn yes_or_no(word: &[u8]) -> Result<bool, CommandError> {
    match word.to_ascii_lowercase().as_slice() {
        b"yes" => Ok(true),
        b"no" => Ok(false),
        _ => Err(CommandError::Syntax),
    }
}
