//! The commands for operators of the text protocol.
//!
//! There are no slab classes and no segments of an LRU here: what moves memory between them is refused in the words that
//! memcached has for it, rather than accepted without effect.

use super::dump::{Dump, Kind, Sizes};
use super::{DB, Turn};
use larder_protocol::memcache::request::{Admin, Words};
use std::borrow::Cow;

/// Least memory that `cache_memlimit` takes, MiB.
const MEMORY_MIN_MIB: u64 = 8;
/// Dead keys reclaimed per partition before it is let go.
const RECLAIM_PER_VISIT: usize = 1024;

/// Words of a command that are looked at.
const WORDS_MAX: usize = 23;

/// What is to be done with a command.
pub(super) enum Act {
    /// This is the answer.
    Answer(Cow<'static, [u8]>),
    /// Nothing is answered.
    Silence,
    /// Items are to be listed.
    Dump(Dump),
    /// The session is told of events of these classes.
    Watch(u32),
    /// The session ends, and the node with it.
    Stop,
}

const ERROR: Act = answer(b"ERROR\r\n");
pub(super) const NO_WATCH: &[u8] = b"CLIENT_ERROR watch commands not allowed\r\n";
const OK: Act = answer(b"OK\r\n");
const BAD_FORMAT: Act = answer(b"CLIENT_ERROR bad command line format\r\n");

const fn answer(text: &'static [u8]) -> Act {
    Act::Answer(Cow::Borrowed(text))
}

/// Carries out a command for operators. `line_bytes` is the length of its line.
pub(super) fn execute(turn: &mut Turn<'_>, command: Admin, words: Words<'_>, line_bytes: usize) -> Act {
    let mut list: Vec<&[u8]> = words.take(WORDS_MAX).collect();
    let silent = match command {
        Admin::CacheMemlimit | Admin::Lru => true,
        Admin::LruCrawler | Admin::Slabs | Admin::Shutdown => turn.shared.strict,
        Admin::Watch | Admin::RefreshCerts => false,
    };
    let noreply = silent && list.last() == Some(&&b"noreply"[..]);
    if noreply {
        list.pop();
    }
    let act = match command {
        Admin::CacheMemlimit => cache_memlimit(turn, &list),
        Admin::Lru => lru(&list),
        Admin::LruCrawler => lru_crawler(turn, &list, line_bytes),
        Admin::Slabs => slabs(&list),
        Admin::Watch if turn.shared.rules().watch_disabled => answer(NO_WATCH),
        Admin::Watch => super::watch::classes(&list).map_or(ERROR, Act::Watch),
        Admin::Shutdown => shutdown(turn, &list),
        Admin::RefreshCerts => match turn.host.refresh_certificates() {
            None => answer(b"Error TLS not enabled\r\n"),
            Some(Ok(())) => OK,
            Some(Err(why)) => Act::Answer(Cow::Owned(format!("Error {}\r\n", one_line(&why)).into_bytes())),
        },
    };
    match act {
        Act::Answer(_) | Act::Dump(_) if noreply => Act::Silence,
        act => act,
    }
}

/// A reason as a part of a line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `stats sizes`, where it was asked for at the start: memcached keeps the counts, here the items are counted when they
/// are asked for, over as many turns as it takes.
pub(super) fn sizes(turn: &Turn<'_>, words: Words<'_>, line_bytes: usize) -> Option<Act> {
    let asked = turn.shared.rules().sizes && words.take(1).eq([&b"sizes"[..]]);
    asked.then(|| Act::Dump(Dump::new(Kind::Sizes(Sizes::default()), line_bytes)))
}

fn number(word: &[u8]) -> Option<u64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn cache_memlimit(turn: &Turn<'_>, words: &[&[u8]]) -> Act {
    let [mib, ..] = words else { return ERROR };
    match number(mib).and_then(|mib| mib.checked_mul(1024 * 1024)) {
        None => ERROR,
        Some(bytes) if bytes < MEMORY_MIN_MIB * 1024 * 1024 => {
            answer(b"MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n")
        }
        Some(bytes) => {
            turn.host.set_memory_max(bytes);
            OK
        }
    }
}

/// The LRU is one, without segments.
fn lru(words: &[&[u8]]) -> Act {
    if words == [&b"mode"[..], b"flat"] { OK } else { ERROR }
}

fn lru_crawler(turn: &mut Turn<'_>, words: &[&[u8]], line_bytes: usize) -> Act {
    let dump = |kind| Act::Dump(Dump::new(kind, line_bytes));
    match words {
        [b"metadump" | b"mgdump", ..] if !turn.shared.dumps() => answer(b"ERROR metadump not allowed\r\n"),
        [kind @ (b"metadump" | b"mgdump"), class] => match *class {
            b"all" | b"hash" | b"1" => dump(if *kind == b"mgdump" { Kind::Requests } else { Kind::Facts }),
            _ => answer(b"BADCLASS invalid class id\r\n"),
        },
        // Dead keys are always reclaimed in the background.
        [b"enable"] => OK,
        [b"crawl", b"all" | b"1"] => {
            for id in turn.store.partitions() {
                while turn.store.lock(id).expire_due(turn.now, RECLAIM_PER_VISIT) == RECLAIM_PER_VISIT {}
            }
            OK
        }
        [b"crawl", _] => answer(b"BADCLASS invalid class id\r\n"),
        _ => ERROR,
    }
}

fn slabs(words: &[&[u8]]) -> Act {
    match words {
        [b"reassign", from, to] => {
            let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse::<i32>().ok();
            match (number(from), number(to)) {
                (Some(_), Some(_)) => answer(b"CLIENT_ERROR slab reassignment disabled\r\n"),
                _ => BAD_FORMAT,
            }
        }
        // Memory is not bound to classes, so that nothing has to move.
        [b"automove", b"0"] => OK,
        [b"automove", word] if number(word).is_none() => BAD_FORMAT,
        [b"automove", _] => answer(b"CLIENT_ERROR slab reassignment disabled\r\n"),
        _ => ERROR,
    }
}

fn shutdown(turn: &Turn<'_>, words: &[&[u8]]) -> Act {
    if !turn.shared.may_shut_down() {
        return answer(if turn.shared.strict {
            b"SERVER_ERROR: shutdown not enabled\r\n"
        } else {
            b"ERROR: shutdown not enabled\r\n"
        });
    }
    match words {
        [] | [b"graceful"] => Act::Stop,
        _ => answer(b"CLIENT_ERROR invalid shutdown mode\r\n"),
    }
}

/// `stats cachedump`: as many keys of the only class as were asked for, and at most what memcached gives.
pub(super) fn cachedump(turn: &Turn<'_>, words: &[&[u8]], out: &mut Vec<u8>) -> &'static [u8] {
    const BYTES_MAX: usize = 2 * 1024 * 1024;
    let &[class, limit, ..] = words else { return b"CLIENT_ERROR bad command line\r\n" };
    let (Some(class), Some(limit)) = (number(class), number(limit)) else {
        return b"CLIENT_ERROR bad command line format\r\n";
    };
    if class > 63 {
        return b"CLIENT_ERROR Illegal slab id\r\n";
    }
    let limit = if limit == 0 { u64::MAX } else { limit };
    let mut count = 0;
    let end = out.len() + BYTES_MAX;
    for id in turn.store.partitions().take(if class == 1 { usize::MAX } else { 0 }) {
        let partition = turn.store.lock(id);
        let mut position = Some(0);
        while let Some(at) = position.filter(|_| count < limit && out.len() < end) {
            position = partition.scan(DB, at, turn.now, |item| {
                if count < limit {
                    count += u64::from(super::stats::cached(&item, out));
                }
            });
        }
    }
    b"END\r\n"
}
