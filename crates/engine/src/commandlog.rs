//! What was slow or large: the logs of SLOWLOG and COMMANDLOG, and what they do not show.

use crate::command::Command;
use larder_protocol::resp::args::Args;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Arguments of an entry.
const ARGUMENTS_MAX: usize = 32;
/// Bytes of an argument.
const ARGUMENT_BYTES_MAX: usize = 128;
/// What stands for a secret.
const REDACTED: &[u8] = b"(redacted)";

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command took long; the value is microseconds.
    Slow,
    /// The request was large; the value is bytes.
    LargeRequest,
    /// The reply was large; the value is bytes.
    LargeReply,
}

impl Kind {
    /// By the name that COMMANDLOG takes, in any case.
    pub fn find(name: &[u8]) -> Option<Kind> {
        match name.to_ascii_lowercase().as_slice() {
            b"slow" => Some(Kind::Slow),
            b"large-request" => Some(Kind::LargeRequest),
            b"large-reply" => Some(Kind::LargeReply),
            _ => None,
        }
    }
}

/// A command that was logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Counts from 0, and goes on after a reset.
    pub id: u64,
    /// Unix seconds.
    pub time: u64,
    /// Microseconds or bytes.
    pub value: u64,
    /// The arguments, shortened.
    pub args: Vec<Vec<u8>>,
    /// The session's address.
    pub address: String,
    /// The session's name.
    pub name: String,
}

#[derive(Debug, Default)]
struct Log {
    entries: VecDeque<Entry>,
    next: u64,
}

/// The three logs of a node.
#[derive(Debug, Default)]
pub struct CommandLog {
    logs: [Mutex<Log>; 3],
}

impl CommandLog {
    fn lock(&self, kind: Kind) -> std::sync::MutexGuard<'_, Log> {
        self.logs[kind as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs a command; the oldest entries beyond `most` go.
    pub fn add(&self, kind: Kind, value: u64, args: Vec<Vec<u8>>, from: (&str, String), most: usize) {
        let mut log = self.lock(kind);
        let id = log.next;
        log.next += 1;
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
        log.entries.push_front(Entry { id, time, value, args, address: from.0.to_owned(), name: from.1 });
        log.entries.truncate(most);
    }

    /// The newest entries, the newest first.
    pub fn newest(&self, kind: Kind, count: usize) -> Vec<Entry> {
        self.lock(kind).entries.iter().take(count).cloned().collect()
    }

    /// Number of entries.
    pub fn len(&self, kind: Kind) -> usize {
        self.lock(kind).entries.len()
    }

    /// Forgets all entries.
    pub fn reset(&self, kind: Kind) {
        self.lock(kind).entries.clear();
    }
}

/// The arguments as an entry holds them: not too many, not too long, no secrets.
pub fn shortened(command: &Command, args: &Args<'_>) -> Vec<Vec<u8>> {
    let kept = if args.len() > ARGUMENTS_MAX { ARGUMENTS_MAX - 1 } else { args.len() };
    let secrets = Secrets::of(command, args);
    let mut shown: Vec<Vec<u8>> = (0..kept)
        .map(|at| {
            let arg = secrets.shown(args, at);
            if arg.len() <= ARGUMENT_BYTES_MAX {
                return arg.into_owned();
            }
            let more = format!("... ({} more bytes)", arg.len() - ARGUMENT_BYTES_MAX);
            [&arg[..ARGUMENT_BYTES_MAX], more.as_bytes()].concat()
        })
        .collect();
    if kept < args.len() {
        shown.push(format!("... ({} more arguments)", args.len() - kept).into_bytes());
    }
    shown
}

/// Which arguments of a command are secret.
pub struct Secrets {
    hidden: Vec<usize>,
}

impl Secrets {
    /// `command` may be the subcommand: what is asked for is found in the arguments.
    pub fn of(command: &Command, args: &Args<'_>) -> Secrets {
        let is =
            |at: usize, word: &str| at < args.len() && args.get(at).eq_ignore_ascii_case(word.as_bytes());
        let after = |word: &str, count: usize| -> Vec<usize> {
            let found = (1..args.len()).find(|at| is(*at, word));
            found.map_or(Vec::new(), |at| (at + 1..(at + 1 + count).min(args.len())).collect())
        };
        let hidden = match command.name {
            "auth" => (1..args.len()).collect(),
            "hello" => after("auth", 2),
            "migrate" => [after("auth", 1), after("auth2", 2)].concat(),
            "setuser" if is(0, "acl") => (2..args.len()).collect(),
            "set" if is(0, "config") => {
                let names = (2..args.len()).step_by(2);
                names.filter(|at| is_secret_directive(args.get(*at))).map(|at| at + 1).collect()
            }
            _ => Vec::new(),
        };
        Secrets { hidden }
    }

    /// An argument, or what stands for it.
    pub fn shown<'a>(&self, args: &Args<'a>, at: usize) -> Cow<'a, [u8]> {
        Cow::Borrowed(if self.hidden.contains(&at) { REDACTED } else { args.get(at) })
    }
}

fn is_secret_directive(name: &[u8]) -> bool {
    const SECRET: [&str; 7] = [
        "requirepass",
        "masterauth",
        "primaryauth",
        "masteruser",
        "primaryuser",
        "tls-key-file-pass",
        "tls-client-key-file-pass",
    ];
    SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Table, families};
    use larder_protocol::resp::args::OwnedArgs;

    fn shown(line: &str) -> String {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let owned = OwnedArgs::copy(words.iter().copied());
        let table = Table::new(families());
        let container = table.get(words[0]).unwrap();
        let sub =
            words.get(1).and_then(|word| container.subcommands.iter().find(|c| c.name.as_bytes() == *word));
        let shown = shortened(sub.unwrap_or(container), &owned.view());
        String::from_utf8(shown.join(&b' ')).unwrap()
    }

    #[test]
    fn long_requests_are_shortened() {
        let many = format!("mset {}", ["x"; 40].join(" "));
        assert_eq!(shown(&many), format!("mset {}... (10 more arguments)", "x ".repeat(30)));
        let exact = format!("mset {}", ["x"; 31].join(" "));
        assert_eq!(shown(&exact), exact);
        let long = format!("set big {}", "x".repeat(200));
        assert_eq!(shown(&long), format!("set big {}... (72 more bytes)", "x".repeat(128)));
    }

    #[test]
    fn secrets_are_hidden() {
        for (line, expected) in [
            ("auth me pw", "auth (redacted) (redacted)"),
            ("hello 3 auth me pw setname x", "hello 3 auth (redacted) (redacted) setname x"),
            ("config set maxmemory 1 requirepass pw", "config set maxmemory 1 requirepass (redacted)"),
            ("set auth pw", "set auth pw"),
            ("config get requirepass", "config get requirepass"),
        ] {
            assert_eq!(shown(line), expected);
        }
    }

    #[test]
    fn old_entries_go_and_ids_go_on() {
        let log = CommandLog::default();
        for value in 0..5 {
            log.add(Kind::Slow, value, vec![], ("a:1", String::new()), 3);
        }
        let ids: Vec<u64> = log.newest(Kind::Slow, 2).iter().map(|entry| entry.id).collect();
        assert_eq!((ids, log.len(Kind::Slow), log.len(Kind::LargeReply)), (vec![4, 3], 3, 0));
        log.reset(Kind::Slow);
        log.add(Kind::Slow, 1, vec![], ("a:1", String::new()), 3);
        assert_eq!(log.newest(Kind::Slow, usize::MAX)[0].id, 5);
    }
}
