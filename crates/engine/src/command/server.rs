//! Commands about the server: INFO, TIME, ROLE.

use super::memory::{Figures, human, ratio_of};
use super::statistics;
use super::table::{Command, Scope, flag};
use super::{Call, CommandError};
use crate::acl::Reason;
use crate::memory::{self, bound};
use crate::pause::Held;
use crate::pubsub::Kind;
use crate::replication::show;
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
];

fn time(call: &mut Call<'_>) -> Result<(), CommandError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    call.out.array(2);
    call.out.bulk_integer(now.as_secs() as i64);
    call.out.bulk_integer(now.subsec_micros().into());
    Ok(())
}

/// A section of INFO: its name and what writes it.
type Section = (&'static str, fn(&mut Call<'_>, &mut String));

const SECTIONS: &[Section] = &[
    ("server", server),
    ("tls", tls),
    ("clients", clients),
    ("memory", memory_section),
    ("persistence", super::persistence::section),
    ("stats", stats),
    ("replication", replication),
    ("cpu", cpu),
    ("modules", |_, _| {}),
    ("commandstats", statistics::commands),
    ("errorstats", statistics::errors),
    ("latencystats", statistics::latencies),
    ("cluster", |_, text| text.push_str("cluster_enabled:0\r\n")),
    ("scriptingengines", |_, text| {
        lines!(text, "engines_count": 0, "engines_total_used_memory": 0, "engines_total_memory_overhead": 0);
    }),
    ("keyspace", keyspace),
];

/// Sections that are long: only for those who ask.
const NOT_BY_DEFAULT: [&str; 2] = ["commandstats", "latencystats"];

fn info(call: &mut Call<'_>) -> Result<(), CommandError> {
    let wanted: Vec<String> =
        call.args.from(1).iter().map(|name| String::from_utf8_lossy(name).to_lowercase()).collect();
    let names = |list: &[&str]| wanted.iter().any(|word| list.contains(&word.as_str()));
    let (all, default) = (names(&["all", "everything"]), wanted.is_empty() || names(&["default"]));
    let mut text = String::new();
    for (name, write) in SECTIONS.iter().filter(|(name, _)| {
        all && *name != "modules" || default && !NOT_BY_DEFAULT.contains(name) || names(&[name, "everything"])
    }) {
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        let mut title = name.to_string();
        title[..1].make_ascii_uppercase();
        let title = match *name {
            "cpu" => "CPU",
            "tls" => "TLS",
            "scriptingengines" => "Scripting Engines",
            _ => &title,
        };
        line(&mut text, format_args!("# {title}"));
        write(call, &mut text);
    }
    call.out.verbatim("txt", &text);
    Ok(())
}

pub(super) fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
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
pub(super) use lines;

fn server(call: &mut Call<'_>, text: &mut String) {
    let node = call.node;
    let settings = node.settings();
    let uptime = call.keys.now_ms().saturating_sub(node.started_ms) / 1000;
    let system = rustix::system::uname();
    let (release, machine) = (system.release().to_string_lossy(), system.machine().to_string_lossy());
    if settings.engine == "valkey" {
        lines!(text, "redis_version": crate::config::REDIS_VERSION, "server_name": "valkey", "valkey_version": settings.engine_version, "valkey_release_stage": "ga");
    } else {
        lines!(text, "redis_version": settings.engine_version);
    }
    lines!(text,
        // Read as it stands in the program: tests put another release there.
        "larder_version": std::hint::black_box(env!("CARGO_PKG_VERSION")),
        "redis_git_sha1": "00000000",
        "redis_git_dirty": 0,
        "redis_build_id": env!("CARGO_PKG_VERSION"),
        "redis_mode": "standalone",
        "server_mode": "standalone",
        "os": format_args!("{} {release} {machine}", system.sysname().to_string_lossy()),
        "arch_bits": usize::BITS,
        "monotonic_clock": "POSIX clock_gettime",
        "multiplexing_api": node.socket_engine(),
        "gcc_version": "0.0.0", // what Valkey says that another compiler made
        "process_id": std::process::id(),
        "process_supervised": node.startup.supervision(),
        "run_id": node.run_id,
        "tcp_port": if settings.port > 0 { settings.port } else { settings.tls.port },
        "memcached_port": settings.memcached_port,
        "server_time_usec": SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_micros()),
        "uptime_in_seconds": uptime,
        "uptime_in_days": uptime / 86_400,
        "hz": 50,
        "configured_hz": 50,
        "clients_hz": 50,
        "lru_clock": (call.keys.now_ms() / 1000) & 0xff_ffff,
        "io_threads_active": u8::from(node.mailboxes.len() > 1),
        "availability_zone": "",
        "threads": node.mailboxes.len(),
        "executable": std::env::current_exe().map_or(String::new(), |path| path.display().to_string()),
        "config_file": settings.file.as_ref().map_or(String::new(), |path| path.display().to_string()),
    );
    if let Some(left) = node.exit.left_ms() {
        lines!(text, "shutdown_in_milliseconds": left);
    }
    for (number, listener) in listeners(node).iter().enumerate() {
        line(text, format_args!("listener{number}:{listener}"));
    }
}

fn tls(call: &mut Call<'_>, text: &mut String) {
    let (shown, now_s) = (call.node.tls.shown(), (call.keys.now_ms() / 1000) as i64);
    for (name, certificate) in
        [("server", &shown.server), ("client", &shown.client), ("ca", &shown.authority)]
    {
        let (serial, left) = match certificate {
            None => ("none", 0),
            Some(certificate) => (certificate.serial.as_str(), (certificate.expires_s - now_s).max(0)),
        };
        line(text, format_args!("tls_{name}_cert_serial:{serial}"));
        line(text, format_args!("tls_{name}_cert_expires_in_seconds:{left}"));
    }
}

/// `name=tcp,bind=127.0.0.1,port=6379`
fn listeners(node: &crate::node::Node) -> Vec<String> {
    let settings = node.settings();
    let binds: String = settings.bind.iter().map(|bind| format!("bind={bind},")).collect();
    let mut all = Vec::new();
    all.extend((settings.port > 0).then(|| format!("name=tcp,{binds}port={}", settings.port)));
    let tls = settings.tls.port;
    all.extend((tls > 0).then(|| format!("name=tls,{binds}port={tls}")));
    let unix = node.startup.unix_socket.as_ref();
    all.extend(unix.map(|path| format!("name=unix,bind={}", path.display())));
    let memcached = settings.memcached_port;
    all.extend((memcached > 0).then(|| format!("name=memcached,{binds}port={memcached}")));
    all
}

fn clients(call: &mut Call<'_>, text: &mut String) {
    let sessions = call.node.sessions.all();
    let largest = |value: fn(&crate::session::registry::Shared) -> &AtomicU64| {
        sessions.iter().map(|shared| value(shared).load(Ordering::Relaxed)).max().unwrap_or(0)
    };
    let (blocked, pause) = (call.node.blocked.figures(), &call.node.pause);
    let (reason, actions) = match pause.held(call.keys.now_ms()) {
        None => ("none", "none"),
        Some(Held::Writes) => ("client_pause", "write"),
        Some(Held::All) => ("client_pause", "all"),
    };
    let watched = |s: &crate::session::registry::Shared| u64::from(s.watched.load(Ordering::Relaxed));
    lines!(text,
        "connected_clients": sessions.len(),
        "cluster_connections": 0,
        "maxclients": call.node.settings().maxclients,
        "client_recent_max_input_buffer": largest(|s| &s.input_bytes),
        "client_recent_max_output_buffer": largest(|s| &s.output_bytes),
        "blocked_clients": blocked.sessions + sessions.iter().filter(|s| s.waits_beside_keys()).count(),
        "tracking_clients": call.node.tracking.counts()[0],
        "pubsub_clients": sessions.iter().filter(|s| s.listens()).count(),
        "watching_clients": sessions.iter().filter(|s| watched(s) > 0).count(),
        "clients_in_timeout_table": blocked.with_deadline,
        "total_watched_keys": sessions.iter().map(|s| watched(s)).sum::<u64>(),
        "total_blocking_keys": blocked.keys,
        "total_blocking_keys_on_nokey": blocked.keys_of_groups,
        "paused_reason": reason,
        "paused_actions": actions,
        "paused_timeout_milliseconds": pause.left_ms(call.keys.now_ms()),
    );
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
    let figures = Figures::of(call);
    let [waiting, freed] = crate::background::freed();
    let policy = crate::config::directive::find("maxmemory-policy")
        .map_or(String::new(), |row| (row.get)(&call.node.config()));
    let (stream_bytes, backlog_bytes) =
        call.node.log.with_backlog(|backlog| (backlog.memory_bytes(), backlog.capacity()));
    lines!(text,
        "used_memory": used,
        "used_memory_human": human(used),
        "used_memory_rss": resident,
        "used_memory_rss_human": human(resident),
        "used_memory_peak": peak,
        "used_memory_peak_human": human(peak),
        "used_memory_peak_perc": format_args!("{:.2}%", used as f64 * 100.0 / peak.max(1) as f64),
        "used_memory_overhead": figures.overhead,
        "used_memory_startup": figures.startup,
        "used_memory_dataset": figures.dataset,
        "used_memory_dataset_perc": format_args!("{:.2}%", figures.dataset_percent),
        "allocator_allocated": figures.allocator.allocated,
        "allocator_active": figures.allocator.active,
        "allocator_resident": figures.allocator.resident,
        "allocator_muzzy": 0,
        "total_system_memory": total,
        "total_system_memory_human": human(total),
        "maxmemory": settings.maxmemory,
        "maxmemory_human": human(settings.maxmemory),
        "maxmemory_policy": policy,
        "allocator_frag_ratio": format_args!("{:.2}", ratio_of(figures.allocator.active, figures.allocator.allocated)),
        "allocator_frag_bytes": figures.allocator.active as i64 - figures.allocator.allocated as i64,
        "allocator_rss_ratio": format_args!("{:.2}", ratio_of(figures.allocator.resident, figures.allocator.active)),
        "allocator_rss_bytes": figures.allocator.resident as i64 - figures.allocator.active as i64,
        "rss_overhead_ratio": format_args!("{:.2}", ratio_of(resident, figures.allocator.resident)),
        "rss_overhead_bytes": resident as i64 - figures.allocator.resident as i64,
        "mem_fragmentation_ratio": format_args!("{:.2}", ratio_of(resident, used)),
        "mem_fragmentation_bytes": resident as i64 - used as i64,
        "mem_not_counted_for_evict": 0,
        "mem_replication_backlog": stream_bytes.min(backlog_bytes),
        "mem_total_replication_buffers": stream_bytes,
        "mem_clients_slaves": figures.replicas,
        "mem_clients_normal": figures.clients,
        "mem_cluster_links": 0,
        "mem_cluster_slot_import": 0,
        "mem_cluster_slot_export": 0,
        // What is kept beyond the backlog, because a replica has still to take it.
        "mem_replicas_repl_buffer": stream_bytes.saturating_sub(backlog_bytes),
        // Tables grow a bucket at a time: none is ever rehashed.
        "mem_overhead_db_hashtable_rehashing": 0,
        // There are no scripts.
        "used_memory_lua": 0,
        "used_memory_lua_human": human(0),
        "used_memory_vm_eval": 0,
        "used_memory_vm_functions": 0,
        "used_memory_vm_total": 0,
        "used_memory_vm_total_human": human(0),
        "used_memory_scripts_eval": 0,
        "used_memory_functions": 0,
        "used_memory_scripts": 0,
        "used_memory_scripts_human": human(0),
        "number_of_cached_scripts": 0,
        "number_of_functions": 0,
        "number_of_libraries": 0,
        "mem_aof_buffer": call.node.log.aof.unwritten.load(Ordering::Relaxed),
        "mem_allocator": "jemalloc",
        "active_defrag_running": u8::from(bound::is_sparse()),
        "lazyfree_pending_objects": waiting,
        "lazyfreed_objects": freed,
    );
}

fn stats(call: &mut Call<'_>, text: &mut String) {
    let mut counters = larder_store::partition::Counters::default();
    let (databases, mut living) = (call.keys.databases(), [0usize; 2]);
    call.keys.each_partition(|_, partition| {
        counters.add(partition.counters());
        living[0] += (0..databases).map(|db| partition.volatile_len(db)).sum::<usize>();
        living[1] += (0..databases).map(|db| partition.timed_len(db)).sum::<usize>();
    });
    let (stats, denials, hub) = (&call.node.stats, &call.node.users.log, &call.node.hub);
    let (tracked, replicated) = (call.node.tracking.counts(), &call.node.replication.stats);
    let [evicted, expired, deleted, flushed] = counters.missed;
    let [stale, negative] = call.node.prefixes.reported();
    let traffic = call.node.traffic.total();
    let [lag_p50, lag_p99, lag_max] = crate::meter::expire_lag_ms(&call.node.meters);
    let get = |value: &AtomicU64| value.load(Ordering::Relaxed);
    let still_there = |what: usize| {
        format!("{:.2}", crate::meter::stale_percent(get(&stats.late_ms_per_second[what]), living[what]))
    };
    let moved = bound::moved();
    let moving = match get(&stats.moving_since_ms) {
        0 => 0,
        since => call.keys.now_ms().saturating_sub(since),
    };
    let kilobytes = |value: &AtomicU64| format!("{:.2}", get(value) as f64 / 1024.0);
    let exceeding = match get(&stats.exceeded_since_ms) {
        0 => 0,
        since => call.keys.now_ms().saturating_sub(since),
    };
    let meters = &call.node.meters;
    let in_commands: u64 =
        (0..call.node.table.count()).map(|number| crate::meter::total(meters, number).nanos).sum();
    lines!(text,
        "total_connections_received": get(&stats.connections),
        "total_commands_processed": traffic.commands,
        "instantaneous_ops_per_sec": get(&stats.commands_per_second),
        "total_net_input_bytes": traffic.input_bytes,
        "total_net_output_bytes": traffic.output_bytes,
        "total_net_repl_input_bytes": get(&replicated.input_bytes),
        "total_net_repl_output_bytes": get(&replicated.output_bytes),
        "total_net_cluster_slot_import_bytes": 0,
        "total_net_cluster_slot_export_bytes": 0,
        "instantaneous_input_kbps": kilobytes(&stats.input_per_second),
        "instantaneous_output_kbps": kilobytes(&stats.output_per_second),
        "instantaneous_input_repl_kbps": kilobytes(&stats.replication_per_second[0]),
        "instantaneous_output_repl_kbps": kilobytes(&stats.replication_per_second[1]),
        "rejected_connections": get(&stats.rejected_connections),
        "refused_sources": get(&stats.refused_sources),
        "sync_full": get(&replicated.full),
        "sync_partial_ok": get(&replicated.partial),
        "sync_partial_err": get(&replicated.partial_refused),
        "expired_subkeys": counters.expired_fields, // the name in Redis
        "expired_fields": counters.expired_fields,  // the name in Valkey
        "expired_keys": counters.expired,
        "expired_stale_perc": still_there(0),
        "expired_keys_with_volatile_items_stale_perc": still_there(1),
        "expired_time_cap_reached_count": get(&stats.expire_stopped),
        "expire_cycle_cpu_milliseconds": get(&stats.expire_micros) / 1000,
        "expire_lag_p50_ms": lag_p50,
        "expire_lag_p99_ms": lag_p99,
        "expire_lag_max_ms": lag_max,
        "evicted_keys": counters.evicted,
        "evicted_clients": get(&call.node.charge.evicted),
        "evicted_scripts": 0,
        "total_eviction_exceeded_time": get(&stats.exceeded_ms) + exceeding,
        "current_eviction_exceeded_time": exceeding,
        "active_defrag_hits": moved.blocks[0],
        "active_defrag_misses": moved.blocks[1],
        "active_defrag_key_hits": moved.keys[0],
        "active_defrag_key_misses": moved.keys[1],
        "total_active_defrag_time": moving + get(&stats.moving_ms),
        "current_active_defrag_time": moving,
        "keyspace_hits": counters.hits,
        "keyspace_hits_stale": stale,
        "keyspace_hits_negative": negative,
        "keyspace_misses": counters.misses,
        "keyspace_misses_evicted": evicted,
        "keyspace_misses_expired": expired,
        "keyspace_misses_deleted": deleted,
        "keyspace_misses_flushed": flushed,
        "keyspace_misses_unknown": counters.misses.saturating_sub(evicted + expired + deleted + flushed),
        "pubsub_channels": hub.count(Kind::Channel),
        "pubsub_patterns": hub.count(Kind::Pattern),
        "pubsubshard_channels": hub.count(Kind::Shard),
        "latest_fork_usec": 0,
        "total_forks": 0,
        "dump_payload_sanitizations": get(&stats.sanitized),
        "migrate_cached_sockets": 0,
        "slave_expires_tracked_keys": call.node.replication.own.count(),
        "tracking_total_keys": tracked[1],
        "tracking_total_items": tracked[2],
        "tracking_total_prefixes": tracked[3],
        "unexpected_error_replies": get(&stats.diverged),
        "total_error_replies": get(&stats.errors),
        "total_reads_processed": traffic.reads,
        "total_writes_processed": traffic.writes,
        "io_threaded_reads_processed": 0,
        "io_threaded_writes_processed": 0,
        // Workers do all themselves: there are no threads for input and output alone.
        "io_threaded_freed_objects": 0,
        "io_threaded_accept_processed": 0,
        "io_threaded_poll_processed": 0,
        "io_threaded_total_prefetch_batches": 0,
        "io_threaded_total_prefetch_entries": 0,
        // Reply buffers have no fixed part that would change its size.
        "reply_buffer_shrinks": 0,
        "reply_buffer_expands": 0,
        "client_query_buffer_limit_disconnections": get(&stats.query_limit_closed),
        "client_output_buffer_limit_disconnections": get(&stats.output_limit_closed),
        "eventloop_cycles": traffic.turns,
        // Commands are timed by the clock, which goes on while a worker is not given a core.
        "eventloop_duration_sum": crate::process::processor_micros().max(in_commands / 1000),
        "eventloop_duration_cmd_sum": in_commands / 1000,
        "instantaneous_eventloop_cycles_per_sec": get(&stats.turns_per_second),
        "instantaneous_eventloop_duration_usec": get(&stats.turn_micros),
        "acl_access_denied_tls_cert": 0,
        "acl_access_denied_auth": denials.denied(Reason::Auth),
        "acl_access_denied_cmd": denials.denied(Reason::Command),
        "acl_access_denied_key": denials.denied(Reason::Key),
        "acl_access_denied_db": denials.denied(Reason::Database),
        "acl_access_denied_channel": denials.denied(Reason::Channel),
    );
}

fn replication(call: &mut Call<'_>, text: &mut String) {
    show::info(call.node, text);
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
        "used_cpu_sys_children": format_args!("{:.6}", seconds(14)),
        "used_cpu_user_children": format_args!("{:.6}", seconds(13)),
        // All threads do the same work here: there is no main one.
        "used_cpu_sys_main_thread": format_args!("{:.6}", seconds(12)),
        "used_cpu_user_main_thread": format_args!("{:.6}", seconds(11)),
        "used_active_time_main_thread": format_args!("{:.6}", seconds(11) + seconds(12)),
    );
}

fn keyspace(call: &mut Call<'_>, text: &mut String) {
    let databases = call.keys.databases();
    let mut counts = vec![(0usize, 0usize, 0usize); databases.into()];
    // A key of each partition says how long they live on average.
    let (mut lives, now_ms) = (vec![(0u64, 0u64); databases.into()], call.keys.now_ms());
    call.keys.each_partition(|id, partition| {
        for (db, (sum, seen)) in lives.iter_mut().enumerate() {
            partition.sample_volatile(db as u16, now_ms as usize ^ id.index(), 1, |item| {
                *sum += item.deadline().map_or(0, |at| at.saturating_sub(now_ms));
                *seen += 1;
                true
            });
        }
        for (db, count) in counts.iter_mut().enumerate() {
            count.0 += partition.len(db as u16);
            count.1 += partition.volatile_len(db as u16);
            count.2 += partition.timed_len(db as u16);
        }
    });
    for (db, (keys, expires, timed)) in counts.iter().enumerate().filter(|(_, (keys, ..))| *keys > 0) {
        // Hashes with field deadlines. Redis 7.2 does not know them, and who reads its lines expects three figures.
        let timed = match (call.node.settings().engine == "valkey", timed) {
            (true, timed) => format!(",keys_with_volatile_items={timed}"),
            (false, 0) => String::new(),
            (false, timed) => format!(",subexpiry={timed}"), // the name in later ones
        };
        let (sum, seen) = lives[db];
        let average = sum.checked_div(seen).unwrap_or(0);
        line(text, format_args!("db{db}:keys={keys},expires={expires},avg_ttl={average}{timed}"));
    }
}
