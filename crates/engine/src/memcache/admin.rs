//! The commands for operators of the text protocol.
//!
//! There are no slab classes and no segments of an LRU here: what moves memory between them is refused in the words that
//! memcached has for it, rather than accepted without effect.

use super::dump::Dump;
use super::{DB, Turn};
use larder_protocol::memcache::request::{Admin, Words};

/// Least memory that `cache_memlimit` takes, MiB.
const MEMORY_MIN_MIB: u64 = 8;
/// Dead keys reclaimed per partition before it is let go.
const RECLAIM_PER_VISIT: usize = 1024;

/// What is to be done with a command.
pub(super) enum Act {
    /// This is the answer.
    Answer(&'static [u8]),
    /// Nothing is answered.
    Silence,
    /// Items are to be listed.
    Dump(Dump),
    /// The session is told of events of these classes.
    Watch(u32),
    /// The session ends, and the node with it.
    Stop,
}

const ERROR: Act = Act::Answer(b"ERROR\r\n");
pub(super) const NO_WATCH: &[u8] = b"CLIENT_ERROR watch commands not allowed\r\n";
const OK: Act = Act::Answer(b"OK\r\n");
const BAD_FORMAT: Act = Act::Answer(b"CLIENT_ERROR bad command line format\r\n");

/// Carries out a command for operators. `line_bytes` is the length of its line; `first` says that no request that came
/// with it is before it.
pub(super) fn execute(turn: &mut Turn<'_>, command: Admin, words: Words<'_>, line_bytes: usize) -> Act {
    let mut list: Vec<&[u8]> = words.take(6).collect();
    let noreply = list.last() == Some(&&b"noreply"[..]) && command != Admin::Watch;
    if noreply {
        list.pop();
    }
    let act = match command {
        Admin::CacheMemlimit => cache_memlimit(turn, &list),
        Admin::Lru => lru(&list),
        Admin::LruCrawler => lru_crawler(turn, &list, line_bytes),
        Admin::Slabs => slabs(&list),
        Admin::Watch if turn.shared.rules().watch_disabled => Act::Answer(NO_WATCH),
        Admin::Watch => super::watch::classes(&list).map_or(ERROR, Act::Watch),
        Admin::Shutdown => shutdown(turn, &list),
        Admin::RefreshCerts => Act::Answer(b"Error TLS not enabled\r\n"),
    };
    match act {
        Act::Answer(_) | Act::Dump(_) if noreply => Act::Silence,
        act => act,
    }
}

fn number(word: &[u8]) -> Option<u64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn cache_memlimit(turn: &Turn<'_>, words: &[&[u8]]) -> Act {
    let &[mib] = words else { return ERROR };
    match number(mib).and_then(|mib| mib.checked_mul(1024 * 1024)) {
        None => ERROR,
        Some(bytes) if bytes < MEMORY_MIN_MIB * 1024 * 1024 => {
            Act::Answer(b"MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n")
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
    let dump = |requests| Act::Dump(Dump::new(requests, line_bytes));
    match words {
        [b"metadump" | b"mgdump", ..] if !turn.shared.dumps() => {
            Act::Answer(b"ERROR metadump not allowed\r\n")
        }
        [kind @ (b"metadump" | b"mgdump"), class] => match *class {
            b"all" | b"hash" | b"1" => dump(*kind == b"mgdump"),
            _ => Act::Answer(b"BADCLASS invalid class id\r\n"),
        },
        // Dead keys are always reclaimed in the background.
        [b"enable"] => OK,
        [b"crawl", b"all" | b"1"] => {
            for id in turn.store.partitions() {
                while turn.store.lock(id).expire_due(turn.now, RECLAIM_PER_VISIT) == RECLAIM_PER_VISIT {}
            }
            OK
        }
        [b"crawl", _] => Act::Answer(b"BADCLASS invalid class id\r\n"),
        _ => ERROR,
    }
}

fn slabs(words: &[&[u8]]) -> Act {
    match words {
        [b"reassign", from, to] => {
            let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse::<i32>().ok();
            match (number(from), number(to)) {
                (Some(_), Some(_)) => Act::Answer(b"CLIENT_ERROR slab reassignment disabled\r\n"),
                _ => BAD_FORMAT,
            }
        }
        // Memory is not bound to classes, so that nothing has to move.
        [b"automove", b"0"] => OK,
        [b"automove", word] if number(word).is_none() => BAD_FORMAT,
        [b"automove", _] => Act::Answer(b"CLIENT_ERROR slab reassignment disabled\r\n"),
        _ => ERROR,
    }
}

fn shutdown(turn: &Turn<'_>, words: &[&[u8]]) -> Act {
    if !turn.shared.may_shut_down() {
        return Act::Answer(b"ERROR: shutdown not enabled\r\n");
    }
    match words {
        [] | [b"graceful"] => Act::Stop,
        _ => Act::Answer(b"CLIENT_ERROR invalid shutdown mode\r\n"),
    }
}

/// `stats cachedump`: as many keys of the only class as were asked for, and at most what memcached gives.
pub(super) fn cachedump(turn: &Turn<'_>, words: &[&[u8]], out: &mut Vec<u8>) -> &'static [u8] {
    const BYTES_MAX: usize = 2 * 1024 * 1024;
    let &[class, limit] = words else { return b"CLIENT_ERROR bad command line\r\n" };
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
