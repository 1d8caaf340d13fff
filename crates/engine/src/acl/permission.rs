//! The check: may this user run this command with these arguments?
//!
//! A user may if one of its selectors allows all of it: the command, each key as it is used, each channel. Otherwise the
//! refusal tells how far the most promising selector went.

use super::catalog::{Catalog, Entry, category};
use super::selector::Selector;
use super::user::User;
use crate::command::Command;
use crate::command::table::flag;
use larder_protocol::resp::args::Args;

/// What a user lacks; a later one is closer to what would have been allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A database.
    Database,
    /// The command.
    Command,
    /// A key.
    Key,
    /// Not a permission but a password: AUTH failed.
    Auth,
    /// A channel.
    Channel,
}

impl Reason {
    /// As ACL LOG calls it.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Database => "database",
            Reason::Command => "command",
            Reason::Key => "key",
            Reason::Auth => "auth",
            Reason::Channel => "channel",
        }
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denied {
    /// What is lacking.
    pub reason: Reason,
    /// The argument that is the key, the channel or the database; 0 for a command, and for the database in use.
    pub at: usize,
}

const COMMAND: Denied = Denied { reason: Reason::Command, at: 0 };

impl Denied {
    /// What the caller of a refused command is told.
    pub fn message(&self, user: &User, command: &str) -> String {
        match self.reason {
            Reason::Database => "NOPERM No permissions to access database".into(),
            Reason::Key => "NOPERM No permissions to access a key".into(),
            Reason::Channel => "NOPERM No permissions to access a channel".into(),
            Reason::Command | Reason::Auth => {
                format!("NOPERM User {} has no permissions to run the '{command}' command", user.name_text())
            }
        }
    }

    /// What ACL DRYRUN says.
    pub fn explanation(&self, user: &User, command: &str, args: &Args<'_>) -> String {
        let object = || String::from_utf8_lossy(args.get(self.at)).into_owned();
        let lack = match self.reason {
            Reason::Database => format!("access database {}", object()),
            Reason::Key => format!("access the '{}' key", object()),
            Reason::Channel => format!("access the '{}' channel", object()),
            Reason::Command | Reason::Auth => format!("run the '{command}' command"),
        };
        format!("User {} has no permissions to {lack}", user.name_text())
    }

    /// What EXEC says about a command that was allowed when it was queued.
    pub fn change(&self) -> String {
        let lack = match self.reason {
            Reason::Command | Reason::Auth => "no permission to execute the command or subcommand",
            Reason::Database => "no permission to access the database",
            Reason::Key => "no permission to touch the specified keys",
            Reason::Channel => "no permission to access one of the channels used as arguments to the command",
        };
        format!(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason: {lack}"
        )
    }
}

/// True if the user may use the channel, or subscribe to the pattern.
pub fn may_channel(user: &User, channel: &[u8], is_pattern: bool) -> bool {
    user.selectors().any(|selector| selector.allows_channel(channel, is_pattern))
}

/// True if the user may run the command on keys that nobody can name beforehand: it may read all of them.
pub fn may_read_all(user: &User, catalog: &Catalog, command: &Command, args: &Args<'_>) -> bool {
    let Some(id) = catalog.id(command) else { return false };
    user.selectors().any(|selector| selector.allows_command(id, args.get(1)) && selector.reads_all_keys())
}

/// What of a command may not be done, if any. O(selectors * (keys * patterns)).
pub fn check(
    user: &User,
    catalog: &Catalog,
    command: &Command,
    args: &Args<'_>,
    db: u16,
) -> Result<(), Denied> {
    let id = catalog.id(command).ok_or(COMMAND)?;
    let entry = catalog.entry(id).ok_or(COMMAND)?;
    let mut denied = Denied { reason: Reason::Database, at: 0 };
    for selector in user.selectors() {
        if let Some(at) = forbidden_database(selector, entry, args, db) {
            denied = denied.max(Denied { reason: Reason::Database, at });
            continue;
        }
        denied = denied.max(COMMAND);
        if !command.is(flag::NO_AUTH) && !selector.allows_command(id, args.get(1)) {
            continue;
        }
        match refused(selector, entry, args) {
            None => return Ok(()),
            Some(other) => denied = denied.max(other),
        }
    }
    Err(denied)
}

/// The argument that names a database which the selector does not allow; 0 if it is the one in use. A command needs the
/// database in use if it has keys or is about the keyspace. Those that name others are few.
fn forbidden_database(selector: &Selector, entry: &Entry, args: &Args<'_>, db: u16) -> Option<usize> {
    if selector.allows_all_databases() {
        return None;
    }
    let forbids = |at: &usize| {
        let number = std::str::from_utf8(args.get(*at)).ok().and_then(|word| word.parse::<u32>().ok());
        number.is_some_and(|number| !selector.allows_database(number))
    };
    let named = match entry.name.as_str() {
        "select" => return Some(1).filter(forbids),
        "swapdb" => return [1, 2].into_iter().find(forbids),
        "flushall" => return Some(0),
        "move" => Some(2).filter(forbids),
        "copy" => (3..args.len()).find(|at| args.get(*at - 1).eq_ignore_ascii_case(b"DB")).filter(forbids),
        _ => None,
    };
    if named.is_some() {
        return named;
    }
    let mut keys = category(b"keyspace").is_some_and(|bit| entry.categories & bit != 0);
    if !keys {
        entry.command.each_key(args, |_| keys = true);
    }
    (keys && !selector.allows_database(u32::from(db))).then_some(0)
}

/// The key or channel of an allowed command that the selector does not allow.
fn refused(selector: &Selector, entry: &Entry, args: &Args<'_>) -> Option<Denied> {
    let (first, others) = entry.access.with(args);
    let (mut refused, mut nth) = (None, 0);
    entry.command.each_key(args, |at| {
        let access = if nth == 0 { first } else { others };
        nth += 1;
        if refused.is_none() && !selector.allows_key(args.get(at), access.read, access.write) {
            refused = Some(Denied { reason: Reason::Key, at });
        }
    });
    if refused.is_some() {
        return refused;
    }
    let channels = entry.channels?;
    let last = if channels.one { 2 } else { args.len() };
    let at = (1..last).find(|at| !selector.allows_channel(args.get(*at), channels.patterns))?;
    Some(Denied { reason: Reason::Channel, at })
}

#[cfg(test)]
mod tests;
