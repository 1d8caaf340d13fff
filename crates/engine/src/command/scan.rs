//! Commands over all keys of a database: KEYS, SCAN, DBSIZE, RANDOMKEY, FLUSHDB, FLUSHALL, SWAPDB.
//!
//! A SCAN cursor has the number of a partition in its low bits and a position in that partition above them. Growing
//! and shrinking of a partition do not disturb its positions, so the guarantee of SCAN holds: a key that is there all
//! the time is answered.

use super::collection::{Answer, cursor, dice, integer, is};
use super::keys::type_name;
use super::keyspace::free_all;
use super::table::{Scope, flag};
use super::{Call, Command, CommandError, long};
use crate::mailbox::{Job, Mail};
use crate::node::Node;
use crate::snapshot::save;
use larder_protocol::resp::reply::Reply;
use larder_protocol::{glob, number};
use larder_store::{Cleared, Now, Partition, PartitionId};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Keys that a SCAN call looks at unless told.
const COUNT_DEFAULT: usize = 10;
/// Empty buckets that a SCAN call passes per key it was asked for.
const BUCKETS_PER_KEY_MAX: usize = 10;
/// Keys up to which RANDOMKEY looks through all of a partition.
const SMALL_PARTITION_KEYS: usize = 128;
/// Buckets of a larger one that it looks at together.
const RANDOM_BUCKETS: usize = 8;
/// Keys in so many buckets, and more than there usually are.
const WINDOW_KEYS_MAX: u64 = 128;
/// How often it looks at some before it looks at all.
const RANDOM_WINDOWS_MAX: usize = 64;
/// Partitions that it draws before it looks at all of them.
const RANDOM_PARTITIONS_MAX: usize = 64;
/// How often it chooses another partition, because all of the keys of one were dead.
const RANDOM_ROUNDS_MAX: usize = 8;

/// How long a worker notes in one turn which keys a FLUSHALL took away.
const NOTING_SLICE: Duration = Duration::from_micros(500);

/// The commands over all keys.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "keys",
        summary: "Lists all keys that match a pattern.",
        syntax: "pattern",
        complexity: "O(N), N = keys of the database",
        arity: 2,
        flags: flag::READONLY,
        categories: &["dangerous"],
        scope: Scope::Each,
        handler: keys,
        ..Command::DEFAULT
    },
    Command {
        name: "scan",
        summary: "Lists keys a few at a time.",
        syntax: "cursor [MATCH pattern] [COUNT count] [TYPE type]",
        since: "2.8.0",
        complexity: "O(1) for every call, O(N) for all keys",
        arity: -2,
        flags: flag::READONLY,
        scope: Scope::Each,
        handler: scan,
        ..Command::DEFAULT
    },
    Command {
        name: "dbsize",
        summary: "Counts the keys of the database.",
        arity: 1,
        group: "server",
        categories: &["keyspace"],
        flags: flag::READONLY | flag::FAST,
        scope: Scope::Each,
        handler: dbsize,
        ..Command::DEFAULT
    },
    Command {
        name: "randomkey",
        summary: "Answers some key of the database.",
        arity: 1,
        flags: flag::READONLY,
        scope: Scope::Each,
        handler: randomkey,
        ..Command::DEFAULT
    },
    Command {
        name: "flushdb",
        summary: "Removes all keys of the database.",
        syntax: "[ASYNC | SYNC]",
        complexity: "O(N), N = keys of the database",
        arity: -1,
        group: "server",
        flags: flag::WRITE,
        categories: &["keyspace", "dangerous"],
        scope: Scope::All,
        handler: flushdb,
        ..Command::DEFAULT
    },
    Command {
        name: "flushall",
        summary: "Removes all keys of all databases.",
        syntax: "[ASYNC | SYNC]",
        complexity: "O(N), N = keys of all databases",
        arity: -1,
        group: "server",
        flags: flag::WRITE,
        categories: &["keyspace", "dangerous"],
        scope: Scope::All,
        handler: flushall,
        ..Command::DEFAULT
    },
    Command {
        name: "swapdb",
        summary: "Exchanges two databases.",
        syntax: "index1 index2",
        since: "4.0.0",
        arity: 3,
        group: "server",
        flags: flag::WRITE | flag::FAST,
        categories: &["keyspace", "dangerous"],
        scope: Scope::All,
        handler: swapdb,
        ..Command::DEFAULT
    },
];

/// A reply of bulk strings whose number is known only at the end.
struct Listing {
    bulks: Reply,
    count: usize,
}

impl Listing {
    fn new() -> Listing {
        Listing { bulks: Reply::default(), count: 0 }
    }

    fn add(&mut self, key: &[u8]) {
        self.bulks.bulk(key);
        self.count += 1;
    }

    fn write(&self, out: &mut Reply) {
        out.array(self.count);
        out.raw(self.bulks.as_bytes());
    }
}

fn keys(call: &mut Call<'_>) -> Answer {
    let (db, now, pattern) = (call.keys.db(), call.keys.now(), call.args.get(1));
    if long::may_begin(call.session) && is_large(call, db) {
        let listing = long::Listing::new(&call.node.store, pattern, db, now);
        return long::begin(call, listing);
    }
    let mut listing = Listing::new();
    call.keys.each_partition(|_, partition| {
        let mut position = Some(0);
        while let Some(at) = position {
            position = partition.scan(db, at, now, |item| {
                if glob::matches(pattern, item.key(), false) {
                    listing.add(item.key());
                }
            });
        }
    });
    listing.write(call.out);
    Ok(())
}

/// True if a database has so many keys that listing them takes long.
fn is_large(call: &mut Call<'_>, db: u16) -> bool {
    let (mut ids, mut total) = (call.keys.store().partitions(), 0);
    ids.any(|id| {
        total += call.keys.partition(id, |partition| partition.len(db));
        total > long::MEMBERS_MIN
    })
}

/// The options of SCAN.
struct Options<'a> {
    pattern: Option<&'a [u8]>,
    count: usize,
    kind: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(call: &Call<'a>) -> Result<Options<'a>, CommandError> {
        let mut options = Options { pattern: None, count: COUNT_DEFAULT, kind: None };
        for at in (2..call.args.len()).step_by(2) {
            if at + 1 >= call.args.len() {
                return Err(CommandError::Syntax);
            }
            let value = call.args.get(at + 1);
            match call.args.get(at) {
                word if is(word, "COUNT") => {
                    let count = usize::try_from(integer(value)?).ok().filter(|count| *count > 0);
                    options.count = count.ok_or(CommandError::Syntax)?;
                }
                word if is(word, "MATCH") => options.pattern = Some(value).filter(|pattern| *pattern != b"*"),
                word if is(word, "TYPE") => options.kind = Some(value),
                _ => return Err(CommandError::Syntax),
            }
        }
        Ok(options)
    }
}

/// One SCAN call: what it has found and how far it may still go.
struct Sweep<'a> {
    options: Options<'a>,
    db: u16,
    now: Now,
    listing: Listing,
    keys: usize,
    buckets: usize,
}

impl Sweep<'_> {
    fn is_over(&self) -> bool {
        self.keys >= self.options.count
            || self.buckets >= self.options.count.saturating_mul(BUCKETS_PER_KEY_MAX)
    }

    /// Goes through a partition from a position; answers where to go on, `None` at its end.
    fn partition(&mut self, partition: &Partition, position: u32) -> Option<u32> {
        if partition.len(self.db) == 0 {
            return None;
        }
        let mut position = Some(position);
        while let Some(at) = position
            && !self.is_over()
        {
            let Sweep { options, listing, keys, .. } = self;
            position = partition.scan(self.db, at, self.now, |item| {
                *keys += 1;
                let wanted = options.pattern.is_none_or(|pattern| glob::matches(pattern, item.key(), false))
                    && options.kind.is_none_or(|kind| is(kind, type_name(&item.value())));
                if wanted {
                    listing.add(item.key());
                }
            });
            self.buckets += 1;
        }
        position
    }
}

fn scan(call: &mut Call<'_>) -> Answer {
    let start = cursor(call.args.get(1))?;
    let options = Options::parse(call)?;
    let (db, now) = (call.keys.db(), call.keys.now());
    let mut sweep = Sweep { options, db, now, listing: Listing::new(), keys: 0, buckets: 0 };
    let next = sweep_all(call, &mut sweep, start);
    call.out.array(2);
    call.out.bulk(next.to_string().as_bytes());
    sweep.listing.write(call.out);
    Ok(())
}

/// Goes on at a cursor, partition by partition; answers the next cursor.
fn sweep_all(call: &mut Call<'_>, sweep: &mut Sweep<'_>, start: u64) -> u64 {
    let store = call.keys.store();
    let count = store.partition_count(); // a power of two
    let bits = count.trailing_zeros();
    let mut index = start as usize & (count - 1);
    let Ok(mut position) = u32::try_from(start >> bits) else { return 0 };
    while index < count {
        let next = call.keys.partition(store.partition_at(index), |held| sweep.partition(held, position));
        position = next.unwrap_or(0);
        index += usize::from(next.is_none());
        if sweep.is_over() {
            break;
        }
    }
    if index >= count { 0 } else { u64::from(position) << bits | index as u64 }
}

fn dbsize(call: &mut Call<'_>) -> Answer {
    let db = call.keys.db();
    let mut total = 0;
    call.keys.each_partition(|_, partition| total += partition.len(db));
    call.out.integer(total as i64);
    Ok(())
}

/// Some living key of a partition, each as likely as any other, or nearly so. A small partition is looked through. In a
/// large one a few buckets that follow one another are: together they cover about as much of the hash space wherever they
/// begin, and are taken with a likelihood in proportion to their keys.
fn some_key(partition: &Partition, db: u16, now: Now, random: &mut dyn FnMut() -> u64) -> Option<Vec<u8>> {
    if partition.len(db) > SMALL_PARTITION_KEYS {
        for _ in 0..RANDOM_WINDOWS_MAX {
            let (key, count) = pick(partition, db, now, Some((random() as u32, RANDOM_BUCKETS)), random);
            if random() % WINDOW_KEYS_MAX < count {
                return key;
            }
        }
    }
    pick(partition, db, now, None, random).0
}

/// One of the living keys of some buckets from a position on, or of all, each as likely as any other, and how many they are.
fn pick(
    partition: &Partition,
    db: u16,
    now: Now,
    window: Option<(u32, usize)>,
    random: &mut dyn FnMut() -> u64,
) -> (Option<Vec<u8>>, u64) {
    let (from, buckets) = window.unwrap_or((0, usize::MAX));
    let (mut key, mut count, mut position) = (None, 0, Some(from));
    for _ in 0..buckets {
        let at = match position {
            Some(at) => at,
            None if window.is_some() => 0,
            None => break,
        };
        position = partition.scan(db, at, now, |item| {
            count += 1;
            if random().is_multiple_of(count) {
                key = Some(item.key().to_vec());
            }
        });
    }
    (key, count)
}

/// Partitions hold different numbers of keys: one that is drawn is taken with a likelihood in proportion to them. What the
/// largest holds is remembered; where most draws are in vain (few keys, or most of them in few slots), all are looked at.
fn randomkey(call: &mut Call<'_>) -> Answer {
    let (db, now, store) = (call.keys.db(), call.keys.now(), call.keys.store());
    let largest = &call.node.stats.largest_partition;
    let mut random = dice();
    for _ in 0..RANDOM_PARTITIONS_MAX {
        let most = largest.load(Ordering::Relaxed);
        if most == 0 {
            break;
        }
        let id = store.partition_at(random() as usize & (store.partition_count() - 1));
        let key = call.keys.partition(id, |partition| {
            let len = partition.len(db) as u64;
            largest.fetch_max(len, Ordering::Relaxed);
            let taken = random() % most.max(len).max(1) < len;
            taken.then(|| some_key(partition, db, now, &mut random)).flatten()
        });
        if let Some(key) = key {
            call.out.bulk(&key);
            return Ok(());
        }
    }
    let mut key = None;
    for _ in 0..RANDOM_ROUNDS_MAX {
        let (mut total, mut most) = (0, 0);
        call.keys.each_partition(|_, partition| {
            let len = partition.len(db) as u64;
            (total, most) = (total + len, most.max(len));
        });
        largest.store(most, Ordering::Relaxed);
        if total == 0 {
            break;
        }
        let mut left = random() % total;
        call.keys.each_partition(|_, partition| {
            let len = partition.len(db) as u64;
            if key.is_none() && left < len {
                key = some_key(partition, db, now, &mut random);
            }
            left = left.saturating_sub(len);
        });
        if key.is_some() {
            break;
        }
    }
    match key {
        Some(key) => call.out.bulk(&key),
        None => call.out.null(),
    }
    Ok(())
}

/// `[ASYNC | SYNC]`: true when the caller wants to wait until the memory is free.
fn is_sync(call: &Call<'_>) -> Result<bool, CommandError> {
    match call.args.len() {
        1 => Ok(false),
        2 if is(call.args.get(1), "SYNC") => Ok(true),
        2 if is(call.args.get(1), "ASYNC") => Ok(false),
        _ => Err(CommandError::Syntax),
    }
}

/// Removes all keys of some databases.
fn flush(call: &mut Call<'_>, databases: std::ops::Range<u16>) -> Answer {
    let sync = is_sync(call)?;
    let (mut emptied, mut keys): (Vec<Emptied>, usize) = (Vec::new(), 0);
    let now = call.keys.now();
    call.keys.each_partition(|partition_id, partition| {
        for db in databases.clone().filter(|db| partition.len(*db) > 0).collect::<Vec<_>>() {
            keys += partition.len(db);
            let cleared = partition.clear(db, now);
            if sync {
                partition.note_flushed(db, &cleared);
            }
            emptied.push(Emptied { partition: partition_id, db, cleared });
        }
    });
    call.keys.count_changes(keys as u64);
    // As in the original, also where there was nothing: who reads the log may have more.
    let command: Vec<&[u8]> = call.args.iter().collect();
    call.propagate(&command);
    call.node.tracking.flushed(call.node);
    if sync {
        drop(emptied);
    } else if !emptied.is_empty() {
        let worker = call.session.shared.place.worker as usize;
        note_later(call.node, worker, emptied, 0);
    }
    call.out.ok();
    Ok(())
}

/// What a database held in one partition.
#[derive(Debug)]
struct Emptied {
    partition: PartitionId,
    db: u16,
    cleared: Cleared,
}

/// Has the worker note, from a place on, which keys have gone, and free them then.
fn note_later(node: &Node, worker: usize, emptied: Vec<Emptied>, from: usize) {
    let job = Job(Box::new(move |node| note_flushed(node, worker, emptied, from)));
    node.mailboxes[worker].send(Mail::Run(job));
}

/// Notes which keys have gone, a slice per turn, so that neither sessions nor partitions wait for it.
fn note_flushed(node: &Node, worker: usize, emptied: Vec<Emptied>, from: usize) {
    let began = Instant::now();
    for (at, Emptied { partition, db, cleared }) in emptied.iter().enumerate().skip(from) {
        if began.elapsed() > NOTING_SLICE {
            return note_later(node, worker, emptied, at);
        }
        node.store.lock(*partition).note_flushed(*db, cleared);
    }
    free_all(emptied.into_iter().map(|emptied| emptied.cleared).collect());
}

fn flushdb(call: &mut Call<'_>) -> Answer {
    let db = call.keys.db();
    flush(call, db..db + 1)
}

fn flushall(call: &mut Call<'_>) -> Answer {
    flush(call, 0..call.keys.databases())?;
    let removed = call.keys.dirty();
    save::flushed(call.node, call.keys.locked(), removed);
    Ok(())
}

fn swapdb(call: &mut Call<'_>) -> Answer {
    let index = |at, trouble: &'static str| {
        let number = number::parse_i64(call.args.get(at)).and_then(|number| i32::try_from(number).ok());
        number.ok_or(CommandError::Text(trouble.into()))
    };
    let first = index(1, "ERR invalid first DB index")?;
    let second = index(2, "ERR invalid second DB index")?;
    let known = |number: i32| {
        let known = u16::try_from(number).ok().filter(|db| *db < call.keys.databases());
        known.ok_or(CommandError::Text("ERR DB index is out of range".into()))
    };
    let (first, second) = (known(first)?, known(second)?);
    let now = call.keys.now();
    call.keys.each_partition(|_, partition| partition.swap(first, second, now));
    call.keys.count_changes(1);
    call.out.ok();
    Ok(())
}
