//! MEMORY: what keys take, and what the process takes for what.

use super::introspection::help;
use super::table::{Command, Keys, Scope, flag};
use super::{Call, CommandError};
use crate::memory;
use crate::memory::allocator::{self, Allocator};
use larder_protocol::number::parse_i64;
use std::sync::atomic::Ordering;

const FLAGS: u32 = flag::LOADING | flag::STALE;
/// Memory in use below which there is nothing to say about it.
const DOCTOR_BYTES_MIN: u64 = 5 * 1024 * 1024;
/// Wasted bytes that are not worth a word.
const WASTE_BYTES_MIN: u64 = 10 << 20;

/// The rows of this family.
pub const COMMANDS: &[Command] = &[Command {
    name: "memory",
    summary: "Commands about memory.",
    since: "4.0.0",
    group: "server",
    complexity: "Depends on subcommand.",
    arity: -2,
    subcommands: SUBCOMMANDS,
    ..Command::DEFAULT
}];

const ROW: Command = Command { since: "4.0.0", group: "server", arity: 2, ..Command::DEFAULT };

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "doctor",
        summary: "Returns a report on memory for people.",
        scope: Scope::Each,
        handler: doctor,
        ..ROW
    },
    Command { name: "help", summary: "Returns a help text.", flags: FLAGS, handler: show_help, ..ROW },
    Command {
        name: "malloc-stats",
        summary: "Returns the allocator's own report.",
        complexity: "Depends on how much memory is allocated, could be slow",
        handler: malloc_stats,
        ..ROW
    },
    Command {
        name: "purge",
        summary: "Asks the allocator to give back what it does not need.",
        complexity: "Depends on how much memory is allocated, could be slow",
        handler: purge,
        ..ROW
    },
    Command {
        name: "stats",
        summary: "Returns what memory is used for.",
        complexity: "O(N) where N is the number of partitions",
        scope: Scope::Each,
        handler: stats,
        ..ROW
    },
    Command {
        name: "usage",
        summary: "Estimates the memory of a key.",
        syntax: "key [SAMPLES count]",
        complexity: "O(1): what a value takes is known",
        arity: -3,
        flags: flag::READONLY,
        keys: Keys::Range { first: 2, last: 2, step: 1 },
        handler: usage,
        ..ROW
    },
];

fn show_help(call: &mut Call<'_>) -> Result<(), CommandError> {
    help(call, "MEMORY", SUBCOMMANDS);
    Ok(())
}

fn usage(call: &mut Call<'_>) -> Result<(), CommandError> {
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

/// What memory is used for, in bytes.
pub(super) struct Figures {
    pub(super) used: u64,
    pub(super) peak: u64,
    pub(super) resident: u64,
    /// In use before the first client came.
    pub(super) startup: u64,
    /// Buffers of sessions.
    pub(super) clients: u64,
    /// Bytes of buffers of replicas.
    pub(super) replicas: u64,
    /// Everything that is neither key nor value.
    pub(super) overhead: u64,
    pub(super) dataset: u64,
    /// Share of the data in what was taken since the start.
    pub(super) dataset_percent: f64,
    pub(super) allocator: Allocator,
    /// Number of keys.
    pub(super) keys: u64,
    /// By database: keys, keys with a time to live.
    pub(super) databases: Vec<(u64, u64)>,
    /// Bytes of the index.
    pub(super) index: u64,
}

impl Figures {
    pub(super) fn of(call: &mut Call<'_>) -> Figures {
        let mut databases = vec![(0, 0); call.keys.databases().into()];
        let mut index = 0;
        call.keys.each_partition(|_, partition| {
            index += partition.index_bytes() as u64;
            for (db, (keys, volatile)) in databases.iter_mut().enumerate() {
                *keys += partition.len(db as u16) as u64;
                *volatile += partition.volatile_len(db as u16) as u64;
            }
        });
        let (used, resident) = (memory::used_bytes(), memory::resident_bytes());
        let startup = call.node.startup_bytes.load(Ordering::Relaxed).min(used);
        let buffers = call.node.sessions.all();
        let [mut clients, mut replicas] = [0, 0];
        for shared in &buffers {
            let sum = if shared.is_replica.load(Ordering::Relaxed) { &mut replicas } else { &mut clients };
            *sum += shared.input_bytes.load(Ordering::Relaxed) + shared.output_bytes.load(Ordering::Relaxed);
        }
        let overhead = (startup + index + clients + replicas).min(used);
        let dataset = used - overhead;
        Figures {
            used,
            peak: memory::peak_bytes().max(used),
            resident,
            startup,
            clients,
            replicas,
            overhead,
            dataset,
            dataset_percent: dataset as f64 * 100.0 / (used - startup).max(1) as f64,
            allocator: allocator::figures(used, resident),
            keys: databases.iter().map(|(keys, _)| keys).sum(),
            databases,
            index,
        }
    }
}

/// `a / b`, 0 for nothing.
pub(super) fn ratio_of(a: u64, b: u64) -> f64 {
    if b == 0 { 0.0 } else { a as f64 / b as f64 }
}

/// `1.50M`, as INFO writes amounts for people.
pub(super) fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "K", "M", "G", "T"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes}B") } else { format!("{value:.2}{}", UNITS[unit]) }
}

fn stats(call: &mut Call<'_>) -> Result<(), CommandError> {
    let figures = Figures::of(call);
    let allocator = &figures.allocator;
    let used: Vec<(usize, (u64, u64))> =
        figures.databases.iter().copied().enumerate().filter(|(_, (keys, _))| *keys > 0).collect();
    let integers = [
        ("peak.allocated", figures.peak),
        ("total.allocated", figures.used),
        ("startup.allocated", figures.startup),
        ("replication.backlog", 0),
        ("clients.slaves", figures.replicas),
        ("clients.normal", figures.clients),
        ("cluster.links", 0),
        ("aof.buffer", call.node.log.aof.unwritten.load(Ordering::Relaxed)),
        ("lua.caches", 0),
        ("functions.caches", 0),
    ];
    let after = [
        ("overhead.db.hashtable.lut", figures.index),
        ("overhead.db.hashtable.rehashing", 0),
        ("overhead.total", figures.overhead),
        ("db.dict.rehashing.count", 0),
        ("keys.count", figures.keys),
        ("keys.bytes-per-key", (figures.used - figures.startup).checked_div(figures.keys).unwrap_or(0)),
        ("dataset.bytes", figures.dataset),
    ];
    let from_allocator = [
        ("allocator.allocated", allocator.allocated),
        ("allocator.active", allocator.active),
        ("allocator.resident", allocator.resident),
        ("allocator.muzzy", 0),
    ];
    let difference = |a: u64, b: u64| a as i64 - b as i64;
    let ratios = [
        ("allocator-fragmentation", allocator.active, allocator.allocated),
        ("allocator-rss", allocator.resident, allocator.active),
        ("rss-overhead", figures.resident, allocator.resident),
    ];
    let out = &mut *call.out;
    let count = integers.len() + used.len() + after.len() + 2 + from_allocator.len() + 2 * ratios.len() + 2;
    out.map(count);
    let integer = |out: &mut larder_protocol::resp::reply::Reply, name: &str, value: i64| {
        out.bulk(name.as_bytes());
        out.integer(value);
    };
    let double = |out: &mut larder_protocol::resp::reply::Reply, name: &str, value: f64| {
        out.bulk(name.as_bytes());
        out.double(value);
    };
    integers.iter().for_each(|(name, value)| integer(out, name, *value as i64));
    for (db, (keys, _)) in used {
        out.bulk(format!("db.{db}").as_bytes());
        out.map(2);
        // One index serves all databases; each has its share by the number of its keys.
        integer(out, "overhead.hashtable.main", (figures.index * keys / figures.keys.max(1)) as i64);
        integer(out, "overhead.hashtable.expires", 0);
    }
    after.iter().for_each(|(name, value)| integer(out, name, *value as i64));
    double(out, "dataset.percentage", figures.dataset_percent);
    double(out, "peak.percentage", ratio_of(figures.used, figures.peak) * 100.0);
    from_allocator.iter().for_each(|(name, value)| integer(out, name, *value as i64));
    for (name, a, b) in ratios {
        double(out, &format!("{name}.ratio"), ratio_of(a, b));
        integer(out, &format!("{name}.bytes"), difference(a, b));
    }
    double(out, "fragmentation", ratio_of(figures.resident, figures.used));
    integer(out, "fragmentation.bytes", difference(figures.resident, figures.used));
    Ok(())
}

fn doctor(call: &mut Call<'_>) -> Result<(), CommandError> {
    let figures = Figures::of(call);
    call.out.verbatim("txt", &diagnosis(&figures));
    Ok(())
}

fn diagnosis(figures: &Figures) -> String {
    if figures.used < DOCTOR_BYTES_MIN {
        return "This node holds next to nothing: there is nothing to say about its memory yet.\n".to_owned();
    }
    let wasted = figures.resident.saturating_sub(figures.used);
    let mut found = Vec::new();
    if figures.peak > figures.used / 2 * 3 {
        found.push(format!(
            "The peak was {}, now {} is in use: the process may hold memory that it needed then. MEMORY PURGE asks \
             the allocator to give it back.",
            human(figures.peak),
            human(figures.used)
        ));
    }
    if ratio_of(figures.resident, figures.used) > 1.4 && wasted > WASTE_BYTES_MIN {
        found.push(format!(
            "The process takes {} more from the machine than it uses: fragmentation, or memory of an earlier peak.",
            human(wasted)
        ));
    }
    if figures.clients > figures.used / 4 {
        found.push(format!(
            "Buffers of clients take {}: see CLIENT LIST for who does not read.",
            human(figures.clients)
        ));
    }
    if found.is_empty() {
        return "There is nothing wrong with this node's memory.\n".to_owned();
    }
    found.iter().map(|sentence| format!("* {sentence}\n")).collect()
}

fn purge(call: &mut Call<'_>) -> Result<(), CommandError> {
    match allocator::purge() {
        true => call.out.ok(),
        false => return Err(CommandError::Text("ERR Error purging dirty pages".into())),
    }
    Ok(())
}

fn malloc_stats(call: &mut Call<'_>) -> Result<(), CommandError> {
    let text = allocator::report();
    call.out.verbatim("txt", &text);
    Ok(())
}
