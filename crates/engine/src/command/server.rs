//! Commands about the server: INFO, TIME, ROLE, MEMORY, SHUTDOWN.

use super::introspection::help;
use super::table::{Command, Keys, Scope, flag};
use super::{Call, CommandError};
use crate::{memory, signal};
use larder_protocol::number::parse_i64;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

const FLAGS: u32 = flag::LOADING | flag::STALE;

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "info",
        summary: "Returns information and statistics about the server.",
        syntax: "[section [section ...]]",
        group: "server",
        arity: -1,
        flags: FLAGS,
        categories: &["dangerous"],
        scope: Scope::Each,
        handler: info,
        ..Command::DEFAULT
    },
    Command {
        name: "time",
        summary: "Returns the server's time.",
        since: "2.6.0",
        group: "server",
        flags: FLAGS | flag::FAST,
        handler: time,
        ..Command::DEFAULT
    },
    Command {
        name: "role",
        summary: "Returns the replication role.",
        since: "2.8.12",
        group: "server",
        flags: FLAGS | flag::FAST | flag::NOSCRIPT,
        categories: &["admin", "dangerous"],
        handler: role,
        ..Command::DEFAULT
    },
    Command {
        name: "shutdown",
        summary: "Stops the server.",
        syntax: "[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]",
        group: "server",
        arity: -1,
        flags: FLAGS | flag::ADMIN | flag::NOSCRIPT | flag::NO_MULTI,
        handler: shutdown,
        ..Command::DEFAULT
    },
    Command {
        name: "memory",
        summary: "Commands about memory.",
        since: "4.0.0",
        group: "server",
        complexity: "Depends on subcommand.",
        arity: -2,
        subcommands: MEMORY,
        ..Command::DEFAULT
    },
];

const MEMORY: &[Command] = &[
    Command {
        name: "usage",
        summary: "Estimates the memory of a key.",
        syntax: "key [SAMPLES count]",
        since: "4.0.0",
        group: "server",
        complexity: "O(1): what a value takes is known",
        arity: -3,
        flags: flag::READONLY,
        keys: Keys::Range { first: 2, last: 2, step: 1 },
        handler: memory_usage,
        ..Command::DEFAULT
    },
    Command {
        name: "help",
        summary: "Returns a help text.",
        since: "4.0.0",
        group: "server",
        arity: 2,
        flags: FLAGS,
        handler: memory_help,
        ..Command::DEFAULT
    },
];

fn memory_help(call: &mut Call<'_>) -> Result<(), CommandError> {
    help(call, "MEMORY", MEMORY);
    Ok(())
}

fn memory_usage(call: &mut Call<'_>) -> Result<(), CommandError> {
    match call.args.len() {
        3 => {}
        5 if call.args.get(3).eq_ignore_ascii_case(b"samples") => {
            let samples = parse_i64(call.args.get(4)).ok_or(CommandError::NotInteger)?;
            if samples < 0 {
                return Err(CommandError::Syntax);
            }
        }
        _ => return Err(CommandError::Syntax),
    }
    // A slot of the index takes eight bytes, and a bucket is filled to five sixths.
    const SLOT_BYTES: usize = 11;
    match call.keys.peek(call.args.get(2)).map(|item| item.memory_bytes() + SLOT_BYTES) {
        Some(bytes) => call.out.integer(bytes as i64),
        None => call.out.null(),
    }
    Ok(())
}

fn time(call: &mut Call<'_>) -> Result<(), CommandError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    call.out.array(2);
    call.out.bulk_integer(now.as_secs() as i64);
    call.out.bulk_integer(now.subsec_micros().into());
    Ok(())
}

fn role(call: &mut Call<'_>) -> Result<(), CommandError> {
    call.out.array(3);
    call.out.bulk(b"master");
    call.out.integer(0);
    call.out.array(0);
    Ok(())
}

fn shutdown(call: &mut Call<'_>) -> Result<(), CommandError> {
    for word in call.args.from(1).iter() {
        match word.to_ascii_lowercase().as_slice() {
            b"nosave" | b"now" | b"force" => {}
            b"save" => {
                return Err(CommandError::Text(
                    "ERR persistence is not available yet: use SHUTDOWN NOSAVE".into(),
                ));
            }
            b"abort" => return Err(CommandError::Text("ERR No shutdown in progress.".into())),
            _ => return Err(CommandError::Syntax),
        }
    }
    call.session.closing = true;
    signal::raise();
    Ok(())
}

/// A section of INFO: its name and what writes it.
type Section = (&'static str, fn(&mut Call<'_>, &mut String));

const SECTIONS: &[Section] = &[
    ("server", server),
    ("clients", clients),
    ("memory", memory_section),
    ("persistence", persistence),
    ("stats", stats),
    ("replication", replication),
    ("cpu", cpu),
    ("modules", |_, _| {}),
    ("errorstats", |_, _| {}),
    ("cluster", |_, text| text.push_str("cluster_enabled:0\r\n")),
    ("keyspace", keyspace),
];

fn info(call: &mut Call<'_>) -> Result<(), CommandError> {
    let wanted: Vec<String> =
        call.args.from(1).iter().map(|name| String::from_utf8_lossy(name).to_lowercase()).collect();
    let every =
        wanted.is_empty() || wanted.iter().any(|w| matches!(w.as_str(), "all" | "default" | "everything"));
    let mut text = String::new();
    for (name, write) in SECTIONS.iter().filter(|(name, _)| every || wanted.iter().any(|w| w == name)) {
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        let mut title = name.to_string();
        title[..1].make_ascii_uppercase();
        let title = if *name == "cpu" { "CPU" } else { &title };
        line(&mut text, format_args!("# {title}"));
        write(call, &mut text);
    }
    call.out.verbatim("txt", &text);
    Ok(())
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(what);
    text.push_str("\r\n");
}

/// Writes `name:value` lines.
macro_rules! lines {
    ($text:expr, $($name:literal: $value:expr),+ $(,)?) => {
        $(line($text, format_args!(concat!($name, ":{}"), $value));)+
    };
}

fn server(call: &mut Call<'_>, text: &mut String) {
    let node = call.node;
    let settings = node.settings();
    let uptime = call.keys.now_ms().saturating_sub(node.started_ms) / 1000;
    let system = rustix::system::uname();
    let (release, machine) = (system.release().to_string_lossy(), system.machine().to_string_lossy());
    if settings.engine == "valkey" {
        lines!(text, "redis_version": crate::config::REDIS_VERSION, "server_name": "valkey", "valkey_version": settings.engine_version);
    } else {
        lines!(text, "redis_version": settings.engine_version);
    }
    lines!(text,
        "larder_version": env!("CARGO_PKG_VERSION"),
        "redis_mode": "standalone",
        "os": format_args!("{} {release} {machine}", system.sysname().to_string_lossy()),
        "arch_bits": usize::BITS,
        "multiplexing_api": node.socket_engine(),
        "process_id": std::process::id(),
        "run_id": node.run_id,
        "tcp_port": settings.port,
        "memcached_port": settings.memcached_port,
        "server_time_usec": SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_micros()),
        "uptime_in_seconds": uptime,
        "uptime_in_days": uptime / 86_400,
        "hz": 50,
        "configured_hz": 50,
        "threads": node.mailboxes.len(),
        "executable": std::env::current_exe().map_or(String::new(), |path| path.display().to_string()),
        "config_file": settings.file.as_ref().map_or(String::new(), |path| path.display().to_string()),
    );
}

fn clients(call: &mut Call<'_>, text: &mut String) {
    let sessions = call.node.sessions.all();
    let largest = |value: fn(&crate::session::registry::Shared) -> &AtomicU64| {
        sessions.iter().map(|shared| value(shared).load(Ordering::Relaxed)).max().unwrap_or(0)
    };
    let watched = |s: &crate::session::registry::Shared| u64::from(s.watched.load(Ordering::Relaxed));
    lines!(text,
        "connected_clients": sessions.len(),
        "cluster_connections": 0,
        "maxclients": call.node.settings().maxclients,
        "client_recent_max_input_buffer": largest(|s| &s.input_bytes),
        "client_recent_max_output_buffer": largest(|s| &s.output_bytes),
        "blocked_clients": 0,
        "tracking_clients": 0,
        "pubsub_clients": 0,
        "watching_clients": sessions.iter().filter(|s| watched(s) > 0).count(),
        "clients_in_timeout_table": 0,
        "total_watched_keys": sessions.iter().map(|s| watched(s)).sum::<u64>(),
        "total_blocking_keys": 0,
        "total_blocking_keys_on_nokey": 0,
    );
}

/// `1.50M`, as INFO writes amounts for people.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "K", "M", "G", "T"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes}B") } else { format!("{value:.2}{}", UNITS[unit]) }
}

fn machine_memory() -> u64 {
    std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| text.lines().next()?.split_whitespace().nth(1)?.parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}

fn memory_section(call: &mut Call<'_>, text: &mut String) {
    let settings = call.node.settings();
    let (used, peak) = (memory::used_bytes(), memory::peak_bytes());
    let resident = memory::resident_bytes();
    let total = if settings.node_memory_bytes > 0 { settings.node_memory_bytes } else { machine_memory() };
    let mut index = 0;
    call.keys.each_partition(|_, partition| index += partition.index_bytes() as u64);
    let ratio = resident as f64 / used.max(1) as f64;
    let policy = crate::config::directive::find("maxmemory-policy")
        .map_or(String::new(), |row| (row.get)(&call.node.config()));
    lines!(text,
        "used_memory": used,
        "used_memory_human": human(used),
        "used_memory_rss": resident,
        "used_memory_rss_human": human(resident),
        "used_memory_peak": peak,
        "used_memory_peak_human": human(peak),
        "used_memory_peak_perc": format_args!("{:.2}%", used as f64 * 100.0 / peak.max(1) as f64),
        "used_memory_overhead": index,
        "used_memory_dataset": used.saturating_sub(index),
        "total_system_memory": total,
        "total_system_memory_human": human(total),
        "maxmemory": settings.maxmemory,
        "maxmemory_human": human(settings.maxmemory),
        "maxmemory_policy": policy,
        "mem_fragmentation_ratio": format_args!("{ratio:.2}"),
        "mem_fragmentation_bytes": resident as i64 - used as i64,
        "mem_allocator": "jemalloc",
        "active_defrag_running": 0,
        "lazyfree_pending_objects": 0,
    );
}

fn persistence(call: &mut Call<'_>, text: &mut String) {
    lines!(text,
        "loading": 0,
        "async_loading": 0,
        "rdb_changes_since_last_save": call.node.stats.changes.load(Ordering::Relaxed),
        "rdb_bgsave_in_progress": 0,
        "aof_enabled": 0,
        "aof_rewrite_in_progress": 0,
    );
}

fn stats(call: &mut Call<'_>, text: &mut String) {
    let mut counters = larder_store::partition::Counters::default();
    call.keys.each_partition(|_, partition| {
        let c = partition.counters();
        counters.hits += c.hits;
        counters.misses += c.misses;
        counters.expired += c.expired;
        counters.expired_fields += c.expired_fields;
        counters.evicted += c.evicted;
    });
    let stats = &call.node.stats;
    let get = |value: &AtomicU64| value.load(Ordering::Relaxed);
    lines!(text,
        "total_connections_received": get(&stats.connections),
        "total_commands_processed": get(&stats.commands),
        "instantaneous_ops_per_sec": get(&stats.commands_per_second),
        "total_net_input_bytes": get(&stats.input_bytes),
        "total_net_output_bytes": get(&stats.output_bytes),
        "rejected_connections": get(&stats.rejected_connections),
        "sync_full": 0,
        "sync_partial_ok": 0,
        "sync_partial_err": 0,
        "expired_subkeys": counters.expired_fields, // the name in Redis
        "expired_fields": counters.expired_fields,  // the name in Valkey
        "expired_keys": counters.expired,
        "evicted_keys": counters.evicted,
        "evicted_clients": 0,
        "keyspace_hits": counters.hits,
        "keyspace_misses": counters.misses,
        "pubsub_channels": 0,
        "pubsub_patterns": 0,
        "latest_fork_usec": 0,
        "total_forks": 0,
        "total_error_replies": get(&stats.errors),
    );
}

fn replication(call: &mut Call<'_>, text: &mut String) {
    lines!(text,
        "role": "master",
        "connected_slaves": 0,
        "master_failover_state": "no-failover",
        "master_replid": call.node.run_id,
        "master_replid2": "0000000000000000000000000000000000000000",
        "master_repl_offset": 0,
        "second_repl_offset": -1,
        "repl_backlog_active": 0,
    );
}

fn cpu(_: &mut Call<'_>, text: &mut String) {
    // Fields 14 and 15 of /proc/self/stat: user and system time in ticks of 10 ms.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split_whitespace().collect();
    let seconds =
        |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0) / 100.0;
    lines!(text,
        "used_cpu_sys": format_args!("{:.6}", seconds(12)),
        "used_cpu_user": format_args!("{:.6}", seconds(11)),
    );
}

fn keyspace(call: &mut Call<'_>, text: &mut String) {
    let databases = call.keys.databases();
    let mut counts = vec![(0usize, 0usize, 0usize); databases.into()];
    call.keys.each_partition(|_, partition| {
        for (db, count) in counts.iter_mut().enumerate() {
            count.0 += partition.len(db as u16);
            count.1 += partition.volatile_len(db as u16);
            count.2 += partition.timed_len(db as u16);
        }
    });
    for (db, (keys, expires, timed)) in counts.iter().enumerate().filter(|(_, (keys, ..))| *keys > 0) {
        // Hashes with field deadlines: `subexpiry` in Redis, `keys_with_volatile_items` in Valkey.
        let timed = format_args!("subexpiry={timed},keys_with_volatile_items={timed}");
        line(text, format_args!("db{db}:keys={keys},expires={expires},avg_ttl=0,{timed}"));
    }
}
