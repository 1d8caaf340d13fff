//! Answers to `stats`: what exporters and clients read, as far as it is true of this engine.

use super::counters::NAMES;
use super::{DB, Turn};
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
}

fn line(out: &mut Vec<u8>, name: &str, value: impl Display) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "STAT {name} {value}\r\n");
}

struct Keys {
    count: usize,
    evicted: u64,
    expired: u64,
}

fn keys(turn: &Turn<'_>) -> Keys {
    let mut keys = Keys { count: 0, evicted: 0, expired: 0 };
    for id in turn.store.partitions() {
        let partition = turn.store.lock(id);
        keys.count += partition.len(DB);
        keys.evicted += partition.counters().evicted;
        keys.expired += partition.counters().expired;
    }
    keys
}

/// `stats`.
pub(super) fn general(turn: &Turn<'_>, out: &mut Vec<u8>) {
    let (figures, keys) = ((turn.figures)(), keys(turn));
    line(out, "pid", std::process::id());
    line(out, "uptime", figures.uptime_seconds);
    line(out, "time", turn.now.ms / 1000);
    line(out, "version", &turn.shared.version);
    line(out, "pointer_size", usize::BITS);
    processor_time(out);
    line(out, "max_connections", figures.connections_max);
    line(out, "curr_connections", figures.connections);
    line(out, "total_connections", figures.total_connections);
    line(out, "rejected_connections", figures.rejected_connections);
    line(out, "refused_sources", figures.refused_sources);
    for (name, sum) in NAMES.iter().zip(turn.shared.counters.sums()) {
        line(out, name, sum);
    }
    line(out, "bytes_read", figures.input_bytes);
    line(out, "bytes_written", figures.output_bytes);
    line(out, "limit_maxbytes", figures.memory_max_bytes);
    line(out, "accepting_conns", 1);
    line(out, "threads", figures.threads);
    line(out, "bytes", figures.used_bytes);
    line(out, "curr_items", keys.count);
    line(out, "evictions", keys.evicted);
    line(out, "reclaimed", keys.expired);
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
    let figures = (turn.figures)();
    line(out, "maxbytes", figures.memory_max_bytes);
    line(out, "maxconns", figures.connections_max);
    line(out, "tcpport", figures.port);
    line(out, "udpport", 0);
    line(out, "inter", figures.interface);
    line(out, "verbosity", turn.shared.verbosity.load(Ordering::Relaxed));
    line(out, "evictions", if figures.evicts { "on" } else { "off" });
    line(out, "num_threads", figures.threads);
    line(out, "cas_enabled", "yes");
    line(out, "binding_protocol", "ascii");
    line(out, "auth_enabled_sasl", "no");
    line(out, "auth_enabled_ascii", "no");
    line(out, "item_size_max", turn.shared.item_size_max());
    line(out, "flush_enabled", "yes");
    line(out, "dump_enabled", "no");
}

/// `stats items`. There are no slabs: all items are one class.
pub(super) fn items(turn: &Turn<'_>, out: &mut Vec<u8>) {
    let keys = keys(turn);
    if keys.count > 0 {
        line(out, "items:1:number", keys.count);
        line(out, "items:1:evicted", keys.evicted);
        line(out, "items:1:reclaimed", keys.expired);
    }
}

/// `stats slabs`.
pub(super) fn slabs(turn: &Turn<'_>, out: &mut Vec<u8>) {
    let keys = keys(turn);
    if keys.count > 0 {
        line(out, "1:used_chunks", keys.count);
    }
    line(out, "active_slabs", u8::from(keys.count > 0));
    line(out, "total_malloced", (turn.figures)().used_bytes);
}

/// `stats sizes`, which memcached too has only where it was asked for at the start.
pub(super) fn sizes(out: &mut Vec<u8>) {
    line(out, "sizes_status", "disabled");
}
