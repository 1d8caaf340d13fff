//! Answers to `stats`: what exporters and clients read, as far as it is true of this engine.

use super::counters::{Counter, NAMES};
use super::{Binding, DB, Turn};
use crate::advise::{SECONDS_DEFAULT, SECONDS_MAX};
use crate::command::why::Known;
use crate::prefixes::{MISSES, REPORTED};
use larder_protocol::memcache::text::unsigned;
use larder_protocol::slot::slot_of;
use larder_store::partition::access::Access;
use larder_store::{ItemRef, ValueRef};
use std::fmt::Display;
use std::io::Write;
use std::sync::atomic::Ordering;

/// What the rest of the node knows, for `stats`.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Sessions now.
    pub connections: u64,
    /// Sessions ever accepted.
    pub total_connections: u64,
    /// Sessions refused for `maxclients`.
    pub rejected_connections: u64,
    /// Connections refused because of their address.
    pub refused_sources: u64,
    /// `maxclients`.
    pub connections_max: u64,
    /// Bytes received.
    pub input_bytes: u64,
    /// Bytes sent.
    pub output_bytes: u64,
    /// Memory in use, in bytes.
    pub used_bytes: u64,
    /// `maxmemory` in bytes; 0 = no limit.
    pub memory_max_bytes: u64,
    /// Number of workers.
    pub threads: usize,
    /// Port of the Memcached listener.
    pub port: u16,
    /// Addresses it listens on.
    pub interface: String,
    /// True when keys are evicted to make room.
    pub evicts: bool,
    /// Port of UDP; 0 = none.
    pub udp_port: u16,
    /// Path of the Unix socket.
    pub socket: Option<String>,
    /// Seconds after which an idle session is closed; 0 = never.
    pub idle_timeout_seconds: u64,
    /// Whether TLS is spoken.
    pub tls: bool,
    /// `ssl_verify_mode`: 0 asks clients for no certificate, 1 asks for one, 2 insists.
    pub tls_verify: u8,
    /// Whether TLS sessions are resumed.
    pub tls_caches: bool,
    /// The least version of TLS that is spoken.
    pub tls_version: &'static str,
    /// Permissions of the Unix socket.
    pub socket_mode: Option<u32>,
    /// What keeps the keys across a planned restart.
    pub memory_file: Option<String>,
    /// `tcp-backlog`.
    pub backlog: i32,
    /// Sessions beyond the limit wait instead of being refused.
    pub connections_wait: bool,
}

/// A session, for `stats conns`.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Counts from 1, never used again.
    pub id: u64,
    /// Where it comes from.
    pub address: String,
    /// Where it came to.
    pub local_address: String,
    /// Seconds since its last command.
    pub idle_seconds: u64,
    /// True on a Unix socket.
    pub unix: bool,
}

fn line(out: &mut Vec<u8>, name: &str, value: impl Display) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "STAT {name} {value}\r\n");
}

#[derive(Default)]
struct Keys {
    count: usize,
    evicted: u64,
    expired: u64,
    evicted_unread: u64,
    expired_unread: u64,
}

fn keys(turn: &Turn<'_>) -> Keys {
    let mut keys = Keys::default();
    for id in turn.store.partitions() {
        let partition = turn.store.lock(id);
        keys.count += partition.len(DB);
        keys.evicted += partition.counters().evicted;
        keys.expired += partition.counters().expired;
        keys.evicted_unread += partition.counters().evicted_unread;
        keys.expired_unread += partition.counters().expired_unread;
    }
    keys
}

/// `stats`.
pub(super) fn general(turn: &Turn<'_>, out: &mut Vec<u8>) {
    let (figures, keys) = (turn.host.figures(), keys(turn));
    line(out, "pid", std::process::id());
    line(out, "uptime", figures.uptime_seconds);
    line(out, "time", turn.now.ms / 1000);
    line(out, "version", &turn.shared.version);
    line(out, "pointer_size", usize::BITS);
    processor_time(out);
    line(out, "max_connections", figures.connections_max);
    line(out, "curr_connections", figures.connections);
    line(out, "connection_structures", figures.connections);
    line(out, "total_connections", figures.total_connections);
    line(out, "rejected_connections", figures.rejected_connections);
    line(out, "refused_sources", figures.refused_sources);
    for (name, sum) in NAMES.iter().zip(turn.shared.counters.sums()) {
        line(out, name, sum);
    }
    for (name, value) in turn.shared.watchers.figures() {
        line(out, name, value);
    }
    line(out, "bytes_read", figures.input_bytes);
    line(out, "bytes_written", figures.output_bytes);
    line(out, "limit_maxbytes", figures.memory_max_bytes);
    // The listeners never pause: who comes beyond the limit is told so, or waits for room.
    line(out, "accepting_conns", 1);
    line(out, "time_in_listen_disabled_us", 0);
    line(out, "threads", figures.threads);
    line(out, "hash_is_expanding", 0);
    line(out, "bytes", figures.used_bytes);
    line(out, "curr_items", keys.count);
    line(out, "evictions", keys.evicted);
    line(out, "reclaimed", keys.expired);
    unread(turn, &keys, "", out);
    // `flush_all` leaves nothing to be found, and what cannot be allocated ends the process.
    line(out, "get_flushed", 0);
    line(out, "malloc_fails", 0);
}

/// `stats misses`: reads of keys that were not there, by why they were not; and hits that were stale or negative.
pub(super) fn misses(turn: &Turn<'_>, out: &mut Vec<u8>) {
    let (mut all, mut known) = (0, [0; 4]);
    for id in turn.store.partitions() {
        let partition = turn.store.lock(id);
        all += partition.counters().misses;
        known.iter_mut().zip(partition.counters().missed).for_each(|(sum, count)| *sum += count);
    }
    for (name, count) in ["evicted", "expired", "deleted", "flushed"].iter().zip(known) {
        line(out, &format!("misses:{name}"), count);
    }
    line(out, "misses:unknown", all.saturating_sub(known.iter().sum()));
    for (name, count) in REPORTED.iter().zip(turn.shared.prefixes.reported()) {
        line(out, &format!("hits:{name}"), count);
    }
}

/// `stats prefixes`: gets by what their keys begin with, the most used first.
pub(super) fn prefixes(turn: &Turn<'_>, out: &mut Vec<u8>) {
    for (name, counts) in turn.shared.prefixes.all() {
        let name = String::from_utf8_lossy(&name);
        line(out, &format!("{name}:hits"), counts.hits);
        for (kind, count) in REPORTED.iter().zip(counts.reported) {
            line(out, &format!("{name}:{kind}"), count);
        }
        for (kind, count) in MISSES.iter().zip(counts.misses) {
            line(out, &format!("{name}:{kind}"), count);
        }
    }
}

/// `stats why KEY`: what is known of a key.
pub(super) fn why(turn: &Turn<'_>, key: &[u8], out: &mut Vec<u8>) {
    let key = turn.store.key(key, slot_of(key));
    let partition = turn.store.lock(turn.store.partition_of(key.slot));
    let known = match partition.peek(DB, &key, turn.now) {
        Some(item) => Known::of(&item, turn.access, turn.now.ms),
        None => partition.reason(DB, &key, turn.now).map_or(Known::Unknown, Known::Left),
    };
    line(out, "state", known.state());
    known.facts().into_iter().for_each(|(name, value)| line(out, name, value));
}

/// `stats advise [start [seconds] | stop]`: watches the traffic for a while, and tells what it was like, as JSON.
pub(super) fn advise(turn: &Turn<'_>, words: &[&[u8]], out: &mut Vec<u8>) -> &'static [u8] {
    const USAGE: &[u8] = b"CLIENT_ERROR usage: stats advise [start [seconds] | stop]\r\n";
    let seconds = match words {
        [] => {
            if let Some(report) = turn.host.advice() {
                line(out, "advice", report);
            }
            return b"END\r\n";
        }
        [b"stop"] => None,
        [b"start"] => Some(SECONDS_DEFAULT),
        [b"start", seconds] => {
            match unsigned(seconds).filter(|seconds| (1..=SECONDS_MAX).contains(seconds)) {
                Some(seconds) => Some(seconds),
                None => return USAGE,
            }
        }
        _ => return USAGE,
    };
    turn.host.watch_traffic(seconds);
    b"OK\r\n"
}

/// What left without ever having been read; under LFU policies nobody knows.
fn unread(turn: &Turn<'_>, keys: &Keys, class: &str, out: &mut Vec<u8>) {
    if !matches!(turn.access, Access::Lfu { .. }) {
        line(out, &format!("{class}expired_unfetched"), keys.expired_unread);
        line(out, &format!("{class}evicted_unfetched"), keys.evicted_unread);
    }
}

fn processor_time(out: &mut Vec<u8>) {
    // Fields 14 and 15 of the line, counted in ticks; the program's name in field 2 may hold blanks.
    let Ok(text) = std::fs::read_to_string("/proc/self/stat") else { return };
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1) as f64;
    let fields = text.rsplit(')').next().unwrap_or_default();
    let mut fields = fields.split_whitespace().skip(11).map(|field| field.parse::<f64>());
    for name in ["rusage_user", "rusage_system"] {
        if let Some(Ok(ticks)) = fields.next() {
            line(out, name, format_args!("{:.6}", ticks / ticks_per_second));
        }
    }
}

/// `stats settings`.
pub(super) fn settings(turn: &Turn<'_>, out: &mut Vec<u8>) {
    let (figures, rules) = (turn.host.figures(), turn.shared.rules());
    let yes_no = |yes| if yes { "yes" } else { "no" };
    line(out, "maxbytes", figures.memory_max_bytes);
    line(out, "maxconns", figures.connections_max);
    line(out, "tcpport", figures.port);
    line(out, "udpport", figures.udp_port);
    line(out, "inter", figures.interface);
    line(out, "verbosity", turn.shared.verbosity.load(Ordering::Relaxed));
    line(out, "evictions", if figures.evicts { "on" } else { "off" });
    line(out, "domain_socket", figures.socket.as_deref().unwrap_or("NULL"));
    if let Some(mode) = figures.socket_mode {
        line(out, "umask", format_args!("{mode:o}"));
    }
    line(out, "shutdown_command", yes_no(rules.shutdown));
    line(out, "num_threads", figures.threads);
    line(out, "stat_key_prefix", char::from(rules.prefix_end));
    line(out, "detail_enabled", yes_no(turn.shared.detail.is_on()));
    line(out, "reqs_per_event", turn.shared.requests_per_turn());
    line(out, "cas_enabled", yes_no(!rules.cas_disabled));
    line(out, "tcp_backlog", figures.backlog);
    let binding = match rules.binding {
        Binding::Auto => "auto-negotiate",
        Binding::Ascii => "ascii",
        Binding::Binary => "binary",
    };
    line(out, "binding_protocol", binding);
    line(out, "auth_enabled_sasl", yes_no(turn.shared.auth().sasl()));
    line(out, "auth_enabled_ascii", if turn.shared.auth().ascii() { "yes" } else { "no" });
    line(out, "item_size_max", turn.shared.item_size_max());
    line(out, "maxconns_fast", yes_no(!figures.connections_wait));
    line(out, "slab_reassign", "no");
    line(out, "slab_automove", 0);
    line(out, "lru_crawler", "yes");
    line(out, "flush_enabled", yes_no(!rules.flush_disabled));
    line(out, "dump_enabled", yes_no(!rules.dump_disabled));
    line(out, "lru_segmented", "no");
    line(out, "idle_timeout", figures.idle_timeout_seconds);
    line(out, "watch_enabled", yes_no(!rules.watch_disabled));
    line(out, "watcher_logbuf_size", rules.watcher_bytes);
    line(out, "worker_logbuf_size", rules.worker_bytes);
    line(out, "track_sizes", yes_no(rules.sizes));
    line(out, "ssl_enabled", yes_no(figures.tls));
    if figures.tls {
        line(out, "ssl_verify_mode", figures.tls_verify);
        line(out, "ssl_session_cache", yes_no(figures.tls_caches));
        line(out, "ssl_min_version", figures.tls_version);
    }
    line(out, "proxy_enabled", "no");
    line(out, "memory_file", figures.memory_file.as_deref().unwrap_or("(null)"));
    line(out, "client_flags_size", size_of::<u32>());
}

/// `stats conns`.
pub(super) fn conns(turn: &Turn<'_>, out: &mut Vec<u8>) {
    for Connection { id, address, local_address, idle_seconds, unix } in turn.host.connections() {
        let kind = if unix { "unix" } else { "tcp" };
        line(out, &format!("{id}:addr"), format_args!("{kind}:{address}"));
        line(out, &format!("{id}:listen_addr"), format_args!("{kind}:{local_address}"));
        line(out, &format!("{id}:state"), if idle_seconds == 0 { "conn_parse_cmd" } else { "conn_read" });
        line(out, &format!("{id}:secs_since_last_cmd"), idle_seconds);
    }
}

/// A line of `stats cachedump`; false for what is no string.
pub(super) fn cached(item: &ItemRef<'_>, out: &mut Vec<u8>) -> bool {
    let len = match item.value() {
        ValueRef::String(bytes) => bytes.len(),
        ValueRef::Integer(n) => itoa::Buffer::new().format(n).len(),
        _ => return false,
    };
    out.extend_from_slice(b"ITEM ");
    out.extend_from_slice(item.key());
    // Writing to a Vec cannot fail.
    let _ = write!(out, " [{len} b; {} s]\r\n", item.deadline().map_or(0, |at| at / 1000));
    true
}

/// `stats items`. There are no slabs: all items are one class.
pub(super) fn items(turn: &Turn<'_>, out: &mut Vec<u8>) {
    let keys = keys(turn);
    if keys.count > 0 {
        line(out, "items:1:number", keys.count);
        line(out, "items:1:evicted", keys.evicted);
        line(out, "items:1:outofmemory", turn.shared.counters.sums()[Counter::StoreNoMemory as usize]);
        line(out, "items:1:reclaimed", keys.expired);
        unread(turn, &keys, "items:1:", out);
    }
}

/// What memcached counts by class: here all of it belongs to the one class.
const OF_CLASS: [Counter; 8] = [
    Counter::GetHits,
    Counter::CmdSet,
    Counter::DeleteHits,
    Counter::IncrHits,
    Counter::DecrHits,
    Counter::CasHits,
    Counter::CasBadval,
    Counter::TouchHits,
];

/// `stats slabs`.
pub(super) fn slabs(turn: &Turn<'_>, out: &mut Vec<u8>) {
    let keys = keys(turn);
    if keys.count > 0 {
        line(out, "1:used_chunks", keys.count);
        let sums = turn.shared.counters.sums();
        for counter in OF_CLASS {
            line(out, &format!("1:{}", NAMES[counter as usize]), sums[counter as usize]);
        }
    }
    line(out, "active_slabs", u8::from(keys.count > 0));
    line(out, "total_malloced", turn.host.figures().used_bytes);
}

/// `stats sizes` where it was not asked for at the start.
pub(super) fn sizes(out: &mut Vec<u8>) {
    line(out, "sizes_status", "disabled");
}
