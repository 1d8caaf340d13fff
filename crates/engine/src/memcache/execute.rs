//! What the requests of the text protocol mean: each goes to the module of its kind.

use super::counters::Counter;
use super::{Turn, admin, item, meta, stats};
use larder_protocol::memcache::meta::Verb as MetaVerb;
use larder_protocol::memcache::request::{Request, Words};
use std::sync::atomic::Ordering;

/// Words behind `stats` that are looked at.
const STATS_WORDS_MAX: usize = 4;

/// Carries out a request; true when the session is to end.
pub(super) fn execute(turn: &mut Turn<'_>, request: Request<'_>, out: &mut Vec<u8>) -> bool {
    if let Some(why) = turn.refusal
        && let Some(noreply) = writes(&request)
    {
        if !noreply {
            refuse(why, out);
        }
        return false;
    }
    let (from, refused) = (out.len(), turn.refusal.is_some());
    let (answer, noreply): (&[u8], bool) = match request {
        Request::Get { keys, cas, touch } => {
            item::get(turn, keys, cas, touch, out);
            (b"", false)
        }
        Request::Store { verb, key, flags, exptime, data, noreply } => {
            let (key, data) = (turn.key(key), turn.take_value(data));
            (item::store(turn, verb, &key, flags, exptime, data), noreply)
        }
        Request::Oversized { verb, key } => {
            item::oversized(turn, verb, key);
            return false;
        }
        Request::Delete { key, noreply } => (item::delete(turn, key), noreply),
        Request::Arithmetic { key, delta, up, noreply } => {
            item::arithmetic(turn, key, delta, up, out);
            if noreply {
                out.truncate(from);
            }
            (b"", noreply)
        }
        Request::Touch { key, exptime, noreply } => (item::touch(turn, key, exptime), noreply),
        Request::Meta(request) => {
            meta::execute(turn, &request, out);
            (b"", request.oversized)
        }
        Request::MetaNoOp => (b"MN\r\n", false),
        Request::MetaDebug { key, base64 } => {
            meta::debug(turn, key, base64, out);
            return false;
        }
        Request::Admin { .. } => (b"ERROR\r\n", false), // carried out by the session
        Request::FlushAll { delay, noreply } => {
            let done = flush_all(turn, delay);
            (if done { b"OK\r\n" } else { b"CLIENT_ERROR flush_all not allowed\r\n" }, noreply)
        }
        Request::Version => {
            out.extend_from_slice(b"VERSION ");
            out.extend_from_slice(turn.shared.version.as_bytes());
            (b"\r\n", false)
        }
        Request::Verbosity { level, noreply } => {
            turn.shared.verbosity.store(level, Ordering::Relaxed);
            (b"OK\r\n", noreply)
        }
        Request::Stats(words) => (statistics(turn, words, out), false),
        Request::Quit => return true,
        Request::ConfigGet { name } => (turn.shared.discovery.get(name, out), false),
        Request::ConfigSet { name, flags, data } => (turn.shared.discovery.set(name, flags, data), false),
        Request::ConfigDelete { name } => (turn.shared.discovery.delete(name), false),
        Request::Reject(reject) => (reject.line(), false),
    };
    match turn.refusal {
        Some(why) if !refused => {
            // It has become a replica since.
            out.truncate(from);
            if !noreply {
                refuse(why, out);
            }
        }
        _ if noreply => {}
        _ => out.extend_from_slice(answer),
    }
    false
}

/// Says why a write is refused.
pub(super) fn refuse(why: &str, out: &mut Vec<u8>) {
    [b"SERVER_ERROR ", why.as_bytes(), b"\r\n"].iter().for_each(|part| out.extend_from_slice(part));
}

/// For a request that changes keys: whether it wants no answer.
#[cold]
fn writes(request: &Request<'_>) -> Option<bool> {
    match request {
        Request::Store { noreply, .. }
        | Request::Delete { noreply, .. }
        | Request::Arithmetic { noreply, .. }
        | Request::Touch { noreply, .. }
        | Request::FlushAll { noreply, .. } => Some(*noreply),
        Request::Get { touch: Some(_), .. } => Some(false),
        // Its answer comes when the value has been passed over.
        Request::Oversized { .. } => Some(true),
        Request::Meta(meta) if meta.oversized => Some(true),
        Request::Meta(meta) => {
            let only_reads = meta.verb == MetaVerb::Get && !meta.has(b'T') && !meta.has(b'N');
            (!only_reads).then_some(false)
        }
        _ => None,
    }
}

/// False where it is not to be had.
pub(super) fn flush_all(turn: &mut Turn<'_>, delay: i32) -> bool {
    turn.count(Counter::CmdFlush);
    if turn.shared.rules().flush_disabled {
        return false;
    }
    let at = turn.deadline(delay).unwrap_or(turn.now.ms);
    turn.shared.flush_at_ms.store(at, Ordering::Release);
    turn.flush_if_due();
    turn.refusal = turn.host.refusal_by_now();
    turn.changes += 1;
    true
}

pub(super) fn statistics(turn: &Turn<'_>, words: Words<'_>, out: &mut Vec<u8>) -> &'static [u8] {
    let words: Vec<&[u8]> = words.take(STATS_WORDS_MAX).collect();
    match words[..] {
        [] => stats::general(turn, out),
        [b"settings", ..] => stats::settings(turn, out),
        [b"items", ..] => stats::items(turn, out),
        [b"slabs", ..] => stats::slabs(turn, out),
        // Counting them takes more than a turn; the sessions that wait for it are those of the text protocol.
        [b"sizes", ..] if turn.shared.rules().sizes => return b"ERROR\r\n",
        [b"sizes", ..] => stats::sizes(out),
        [b"conns", ..] => stats::conns(turn, out),
        [b"misses", ..] => stats::misses(turn, out),
        [b"prefixes", ..] => stats::prefixes(turn, out),
        [b"why", key, ..] => stats::why(turn, key, out),
        [b"advise", ref words @ ..] => return stats::advise(turn, words, out),
        [b"detail", ref rest @ ..] => return turn.shared.detail.command(rest, out),
        [b"cachedump", ref rest @ ..] if turn.shared.dumps() => return admin::cachedump(turn, rest, out),
        [b"extstore" | b"proxy" | b"proxyfuncs" | b"proxybe", ..] => {} // neither is there, and there is nothing to tell of it
        [b"reset", ..] => {
            turn.shared.counters.reset();
            turn.shared.detail.reset();
            turn.shared.prefixes.reset_reported();
            turn.store.partitions().for_each(|id| turn.store.lock(id).reset_counters());
            return b"RESET\r\n";
        }
        [_, ..] => return b"ERROR\r\n",
    }
    b"END\r\n"
}
