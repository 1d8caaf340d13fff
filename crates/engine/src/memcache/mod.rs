//! The Memcached front door: the same keyspace (database 0), spoken to in the protocols of memcached.
//!
//! A worker hands the received bytes of a session to [`Session::serve`] and sends what that writes. Here is what the
//! requests mean; how they are read is `larder_protocol::memcache`. This module owns the counters of `stats`, the
//! pending `flush_all` and the Auto Discovery setting ([`Shared`], one per node); it touches neither sockets nor the
//! clock. Keys set here are strings to Redis clients and the other way round; keys of other types are not there.
//!
//! In reading order: this file (a turn of a session), `run` (plain requests one behind the other), `item` (requests about keys), `keep` (storing with CAS uniques),
//! `meta` (the meta commands), `binary` (the binary protocol), `auth`, `discovery` (Auto Discovery), `admin` and `dump`
//! (commands for operators), `watch`, `udp`, `memory_file` (a restart that keeps the keys), `stats`, `detail`, `counters`.

mod admin;
mod alone;
mod auth;
mod binary;
mod counters;
mod detail;
mod discovery;
mod dump;
mod host;
mod item;
mod keep;
pub mod memory_file;
mod meta;
mod run;
mod stats;
pub mod udp;
pub mod watch;

pub use alone::Alone;
pub use auth::{Auth, AuthError};
pub use run::Run;
pub use stats::{Connection, Figures};

use admin::Act;
use auth::Verdict;
use binary::Binary;

use crate::advise::{self, Advisor};
use crate::log::{Effects, Log};
use crate::mailbox::Place;
use crate::prefixes::{self, Prefixes};
use arc_swap::{ArcSwap, Guard};
use counters::{Counter, Counters};
use detail::{Detail, Event};
use discovery::Discovery;
use dump::Dump;
use larder_protocol::memcache::binary::REQUEST;
use larder_protocol::memcache::meta::Verb as MetaVerb;
use larder_protocol::memcache::request::{Reject, Request, Verb, Words};
use larder_protocol::memcache::text::{Limits, LineTooLong, Parser, Step};
use larder_protocol::slot::slot_of;
use larder_store::partition::access::Access;
use larder_store::{ItemRef, Key, Now, Partition, Removed, Store, ValueRef};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use watch::{Lines, Watchers};

/// Requests that one turn carries out before other sessions have theirs, at most.
pub const REQUESTS_PER_TURN_MAX: usize = 64;

/// Said of a value that cannot be credentials.
const NO_CREDENTIALS: &[u8] = b"CLIENT_ERROR bad authentication token format\r\n";
/// Longest value that shows credentials.
const CREDENTIALS_BYTES_MAX: usize = 2048;

/// Bytes of answers after which a turn ends, so that a pipeline of large reads neither fills the memory nor keeps others
/// waiting: little enough that a session behind several such readers waits for about one value of each.
pub const OUTPUT_PER_TURN_BYTES_MAX: usize = 512 * 1024;

/// Default of the directive `memcached-max-item-size`, as memcached's `-I`.
pub const ITEM_SIZE_MAX_BYTES: usize = 1024 * 1024;

/// Members from which a collection is freed in the background.
const LARGE_MEMBERS: usize = 4096;

/// Words behind `stats` that are looked at.
const STATS_WORDS_MAX: usize = 4;

/// The database that Memcached clients see.
const DB: u16 = 0;

/// No flush is pending.
const NEVER: u64 = u64::MAX;

/// What all Memcached sessions of a node share.
#[derive(Debug)]
pub struct Shared {
    counters: Counters,
    discovery: Discovery,
    /// The last CAS unique that was given out.
    last_cas: AtomicU64,
    /// When a delayed `flush_all` falls due, Unix milliseconds.
    flush_at_ms: AtomicU64,
    item_size_max: AtomicU64,
    verbosity: AtomicU32,
    version: String,
    /// Lines are read as by memcached from 1.6.32 on.
    strict: bool,
    detail: Detail,
    /// Hits and misses by what keys begin with, over all doors of the node.
    pub prefixes: Arc<Prefixes>,
    /// A watch over the traffic, over all doors of the node.
    pub advisor: Arc<Advisor>,
    /// Who watches what.
    pub watchers: Watchers,
    rules: OnceLock<Rules>,
    auth: ArcSwap<Auth>,
}

/// Which of memcached's protocols a node speaks (`-B`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Binding {
    /// What the first byte of a connection says.
    #[default]
    Auto,
    /// Text.
    Ascii,
    /// Binary.
    Binary,
}

/// What is fixed for Memcached sessions when a node starts.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Which protocols are spoken.
    pub binding: Binding,
    /// Clients may end the node (`-A`).
    pub shutdown: bool,
    /// `flush_all` is not to be had (`-F`).
    pub flush_disabled: bool,
    /// Keys are not listed (`-X`).
    pub dump_disabled: bool,
    /// Nobody watches (`-W`).
    pub watch_disabled: bool,
    /// Connections beyond the limit wait until there is room (`-o no_maxconns_fast`).
    pub patient: bool,
    /// Bytes that a watcher may leave unread (`-o watcher_logbuf_size`).
    pub watcher_bytes: u64,
    /// Bytes of lines that a turn gathers for watchers (`-o worker_logbuf_size`).
    pub worker_bytes: u64,
    /// Requests per session and turn (`-R`).
    pub requests_per_turn: usize,
    /// What ends a key's prefix in `stats detail` (`-D`).
    pub prefix_end: u8,
    /// Uses of keys are counted for `stats detail` from the start.
    pub detail: bool,
    /// Items have no CAS unique (`-C`).
    pub cas_disabled: bool,
    /// `stats sizes` counts items by their sizes (`-o track_sizes`).
    pub sizes: bool,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            binding: Binding::Auto,
            shutdown: false,
            flush_disabled: false,
            dump_disabled: false,
            watch_disabled: false,
            patient: false,
            watcher_bytes: watch::WATCHER_BYTES,
            worker_bytes: watch::WORKER_BYTES,
            requests_per_turn: REQUESTS_PER_TURN_MAX,
            prefix_end: b':',
            detail: false,
            cas_disabled: false,
            sizes: false,
        }
    }
}

/// What a session may ask of the node around it.
pub trait Host {
    /// What the rest of the node knows, for `stats`.
    fn figures(&self) -> Figures;
    /// All sessions of the node, for `stats conns`.
    fn connections(&self) -> Vec<Connection>;
    /// Changes how much memory may be used.
    fn set_memory_max(&self, bytes: u64);
    /// Ends the node.
    fn stop(&self);
    /// True if the node's keys are those of another one, which it follows.
    fn follows(&self) -> bool;
    /// Reads the files of TLS anew, for the sessions to come; none where TLS is not spoken.
    fn refresh_certificates(&self) -> Option<Result<(), String>>;
    /// Begins a watch over the traffic; ends it without seconds.
    fn watch_traffic(&self, seconds: Option<u64>);
    /// What the watch has found, as JSON. No partition may be held.
    fn advice(&self) -> Option<String>;
    /// Sends lines to a session that watches; false if it cannot be.
    fn send_lines(&self, place: Place, lines: Arc<[u8]>) -> bool;
}

impl Shared {
    /// For a node with this many workers, which answers `version` with this text.
    pub fn new(workers: usize, version: &str) -> Shared {
        Shared {
            counters: Counters::new(workers),
            discovery: Discovery::default(),
            last_cas: AtomicU64::new(0),
            flush_at_ms: AtomicU64::new(NEVER),
            item_size_max: AtomicU64::new(ITEM_SIZE_MAX_BYTES as u64),
            verbosity: AtomicU32::new(0),
            version: version.to_owned(),
            strict: is_strict(version),
            detail: Detail::default(),
            prefixes: Arc::default(),
            advisor: Arc::default(),
            watchers: Watchers::default(),
            rules: OnceLock::new(),
            auth: ArcSwap::default(),
        }
    }

    /// Says what is fixed from now on; only the first call counts.
    pub fn set_rules(&self, rules: Rules) {
        self.detail.set(rules.detail);
        self.watchers.watcher_bytes.store(rules.watcher_bytes, Ordering::Relaxed);
        self.watchers.worker_bytes.store(rules.worker_bytes, Ordering::Relaxed);
        let _ = self.rules.set(rules);
    }

    fn rules(&self) -> &Rules {
        self.rules.get_or_init(Rules::default)
    }

    /// Says who may come in from now on. Sessions that came in before stay.
    pub fn set_auth(&self, auth: Auth) {
        self.auth.store(Arc::new(auth));
    }

    fn auth(&self) -> Guard<Arc<Auth>> {
        self.auth.load()
    }

    /// True if connections beyond the limit wait until there is room.
    pub fn is_patient(&self) -> bool {
        self.rules().patient
    }

    /// Counts a connection that has to wait for room.
    pub fn count_waiting(&self, worker: usize) {
        self.counters.add(worker, Counter::ListenDisabled, 1);
    }

    fn dumps(&self) -> bool {
        !self.rules().dump_disabled
    }

    fn may_shut_down(&self) -> bool {
        self.rules().shutdown
    }

    fn requests_per_turn(&self) -> usize {
        self.rules().requests_per_turn.clamp(1, REQUESTS_PER_TURN_MAX)
    }

    /// The last CAS unique that was given out.
    pub fn last_cas(&self) -> u64 {
        self.last_cas.load(Ordering::Relaxed)
    }

    /// Goes on with CAS uniques behind those that an earlier process gave out.
    pub fn resume_cas(&self, last: u64) {
        self.last_cas.fetch_max(last, Ordering::Relaxed);
    }

    /// Counts a session that was closed because nothing came from it.
    pub fn count_idle_kick(&self, worker: usize) {
        self.counters.add(worker, Counter::IdleKicks, 1);
    }

    /// Largest item in bytes, counted as memcached counts (`memcached-max-item-size`).
    pub fn item_size_max(&self) -> usize {
        self.item_size_max.load(Ordering::Relaxed) as usize
    }

    /// Changes the largest item; sessions go by it from their next turn on.
    pub fn set_item_size_max(&self, bytes: usize) {
        self.item_size_max.store(bytes as u64, Ordering::Relaxed);
    }

    /// A CAS unique that was never given out before. Items get one only when somebody asks for it, and none where CAS is
    /// disabled.
    fn next_cas(&self) -> u64 {
        if self.rules().cas_disabled {
            return 0;
        }
        self.last_cas.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Carries out a delayed `flush_all` that has fallen due. Sessions do this on each of their turns; a worker that
    /// serves Redis clients too calls it from its timer. One load when nothing is due. A node that follows another one
    /// by then has that one's keys, which are not its own to take away: there it comes to nothing.
    #[inline]
    pub fn flush_if_due(
        &self,
        store: &Store,
        now: Now,
        log: Option<(&Log, usize)>,
        follows: impl FnOnce() -> bool,
    ) {
        let at = self.flush_at_ms.load(Ordering::Relaxed);
        if at <= now.ms
            && self.flush_at_ms.compare_exchange(at, NEVER, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            && !follows()
        {
            flush(store, log);
        }
    }
}

/// True if memcached of this version, or of a later one, reads lines strictly.
fn is_strict(version: &str) -> bool {
    const FIRST: [u32; 3] = [1, 6, 32];
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    FIRST.map(|_| numbers.next().unwrap_or(0)) >= FIRST
}

/// Takes everything out of the database; it is freed in the background. O(partitions).
fn flush(store: &Store, log: Option<(&Log, usize)>) {
    let mut cleared = Vec::new();
    // For the log it is one step: so nothing else may happen meanwhile.
    let mut held = store.lock_all();
    if let Some((log, worker)) = log.filter(|(log, _)| log.is_on()) {
        let mut effects = Effects::default();
        effects.add(DB, [&b"FLUSHDB"[..]].into_iter());
        log.append(worker, &effects);
    }
    held.iter_mut().filter(|partition| partition.len(DB) > 0).for_each(|partition| {
        let keys = partition.clear(DB);
        partition.note_flushed(DB, &keys);
        cleared.push(keys);
    });
    drop(held);
    crate::command::keyspace::free_all(cleared);
}

/// Frees a value: a large one where no session waits for it.
fn free(removed: Option<Removed>) {
    if let Some(removed) = removed
        && removed.is_large(LARGE_MEMBERS)
    {
        crate::background::free_later(removed, 1);
    }
}

/// What a session is served with.
pub struct Turn<'a> {
    /// The keyspace.
    pub store: &'a Store,
    /// What the node's Memcached sessions share.
    pub shared: &'a Shared,
    /// Number of the worker, for its counters.
    pub worker: usize,
    /// The time.
    pub now: Now,
    /// How a use of a key is noted.
    pub access: Access,
    /// True when memory is at its limit and nothing can be evicted: values are refused.
    pub memory_full: bool,
    /// Why writes are refused: the node follows another one, or too few follow it.
    pub refusal: Option<&'static str>,
    /// The node around the session.
    pub host: &'a dyn Host,
    /// Room to read requests into.
    pub run: &'a mut Run,
    /// Requests carried out; the turn adds to it.
    pub requests: u64,
    /// Id of the session that is served.
    pub client: u64,
    /// What the turn has to tell to those who watch.
    pub lines: Option<Box<Lines>>,
    /// Changes made to keys; the turn adds to it.
    pub changes: u64,
    /// The log; none in tests.
    pub log: Option<&'a Log>,
    /// Sequence number of the last change that was logged.
    pub logged: u64,
}

impl Turn<'_> {
    #[inline]
    fn flush_if_due(&self) {
        let log = self.log.map(|log| (log, self.worker));
        self.shared.flush_if_due(self.store, self.now, log, || self.host.follows());
    }

    #[inline]
    fn count(&self, counter: Counter) {
        self.shared.counters.add(self.worker, counter, 1);
    }

    /// Counts a miss. The partition had counted this many expired keys before it was asked.
    #[inline]
    fn count_miss(&self, partition: &Partition, expired_before: u64) {
        self.count(Counter::GetMisses);
        if partition.counters().expired != expired_before {
            self.count(Counter::GetExpired);
        }
    }

    #[inline]
    fn key<'k>(&self, bytes: &'k [u8]) -> Key<'k> {
        self.store.key(bytes, slot_of(bytes))
    }

    /// Lets the processor load the items of these keys, whose buckets it has been told to load.
    fn prefetch_items<'k>(&self, keys: impl Iterator<Item = &'k Key<'k>> + Clone) {
        let mut late = 0u64;
        for (at, key) in keys.clone().enumerate() {
            late |= u64::from(self.store.prefetch_item(DB, key)).checked_shl(at as u32).unwrap_or(0);
        }
        for key in keys.enumerate().filter(|(at, _)| late.checked_shr(*at as u32).unwrap_or(0) & 1 != 0) {
            self.store.prefetch_overflow(DB, key.1);
        }
    }

    /// When something with this expiration time dies: `None` = never. Up to 30 days it counts from now.
    fn deadline(&self, exptime: i32) -> Option<u64> {
        const RELATIVE_SECONDS_MAX: i32 = 60 * 60 * 24 * 30;
        match exptime {
            0 => None,
            ..0 => Some(self.now.ms),
            1..=RELATIVE_SECONDS_MAX => Some(self.now.ms + exptime as u64 * 1000),
            _ => Some(exptime as u64 * 1000),
        }
    }

    /// The same for the binary protocol, where it is not negative.
    fn deadline_unsigned(&self, exptime: u32) -> Option<u64> {
        match i32::try_from(exptime) {
            Ok(exptime) => self.deadline(exptime),
            Err(_) => Some(u64::from(exptime) * 1000),
        }
    }

    /// Notes that a key is about to be read, for who wants to hear of it. The partition is held.
    #[inline]
    fn note_read(&self, partition: &Partition, key: &Key<'_>) {
        if self.shared.prefixes.is_on() || self.shared.advisor.is_on() {
            self.note_wanted(partition, key, true);
        }
    }

    /// Notes that a key got another value, or none any more. The partition is held.
    #[inline]
    fn note_change(&self, partition: &Partition, key: &Key<'_>) {
        if self.shared.advisor.is_on() {
            self.note_wanted(partition, key, false);
        }
    }

    #[cold]
    #[inline(never)]
    fn note_wanted(&self, partition: &Partition, key: &Key<'_>, read: bool) {
        let strings = |item: &ItemRef<'_>| matches!(item.value(), ValueRef::String(_) | ValueRef::Integer(_));
        let there = partition.peek(DB, key, self.now).filter(strings);
        let reason = || partition.reason(DB, key, self.now);
        if read && self.shared.prefixes.is_on() {
            let outcome = match there {
                Some(_) => prefixes::Outcome::Hit,
                None => prefixes::Outcome::Miss(reason()),
            };
            self.shared.prefixes.note(key.bytes, outcome);
        }
        let advisor = &self.shared.advisor;
        let look = advisor.is_on().then(|| advisor.look(key, DB, self.now.ms)).flatten();
        if let Some(look) = look {
            let event = match (read, there.as_ref().map(advise::Value::of)) {
                (true, Some(value)) => advise::Event::Hit(value),
                (true, None) => advise::Event::Miss(reason()),
                (false, Some(value)) => advise::Event::Written(value),
                (false, None) => advise::Event::Removed,
            };
            advisor.note(look, key.bytes, event, self.shared.prefixes.delimiter(), self.now.ms);
        }
    }

    /// Counts a use of a key for `stats detail`, if that is asked for.
    #[inline]
    fn detail(&self, key: &[u8], event: Event) {
        if self.shared.detail.is_on() {
            self.shared.detail.note(key, self.shared.rules().prefix_end, event);
        }
    }

    /// Logs a change as the command of Redis that does the same. Flags and the CAS unique have no such command: after a
    /// restart, and on replicas, flags are 0 and an item gets another CAS unique. The partition is held.
    fn log(&mut self, args: &[&[u8]]) {
        if let Some(log) = self.log.filter(|log| log.is_on()) {
            let mut effects = Effects::default();
            effects.add(DB, args.iter().copied());
            self.logged = log.append(self.worker, &effects);
        }
    }

    /// Logs the keys whose time was over. The partition is still held.
    fn log_gone(&mut self, partition: &mut Partition) {
        let Some(log) = self.log.filter(|log| log.is_on()) else { return };
        for gone in partition.take_gone() {
            let mut effects = Effects::default();
            effects.add_gone(&gone);
            self.logged = log.append(self.worker, &effects);
        }
    }

    fn is_over(&self, deadline: Option<u64>) -> bool {
        deadline.is_some_and(|deadline| deadline <= self.now.ms)
    }
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Bytes of input that are done with.
    pub consumed: usize,
    /// Bytes that surely have to come before there is more to do; 0 when the turn ended for another reason and the
    /// session wants another one with the input that is left.
    pub need: usize,
    /// True when the session ends after its answers are sent.
    pub close: bool,
}

/// One Memcached client.
#[derive(Debug)]
pub struct Session {
    speech: Speech,
    local: bool,
    /// Where it is; UDP has no place.
    place: Option<Place>,
    /// It ends because nothing came from it.
    idle: bool,
}

#[derive(Debug)]
enum Speech {
    /// Nothing came yet.
    Unknown,
    Text(Text),
    Binary(Binary),
}

#[derive(Debug)]
struct Text {
    parser: Parser,
    authenticated: bool,
    dump: Option<Dump>,
    /// It watches, and nothing that it says is listened to any more.
    watches: bool,
    /// Why it ends, if not for an error.
    reason: Option<&'static str>,
}

impl Session {
    /// A session that has just connected. A `local` one, on the Unix socket, may write the Auto Discovery setting.
    pub fn new(local: bool, place: Option<Place>) -> Session {
        Session { speech: Speech::Unknown, local, place, idle: false }
    }

    /// True if it watches: then it may be silent as long as it likes.
    pub fn watches(&self) -> bool {
        matches!(&self.speech, Speech::Text(text) if text.watches)
    }

    /// Says that it ends because nothing came from it.
    pub fn end_idle(&mut self) {
        self.idle = true;
    }

    /// Why it ends, in the words of `watch`. `hung_up` says that its client did.
    pub fn reason(&self, hung_up: bool) -> &'static str {
        let told = match &self.speech {
            _ if self.idle => Some("idle_timeout"),
            Speech::Text(text) => text.reason,
            Speech::Binary(binary) => binary.reason,
            Speech::Unknown => None,
        };
        told.unwrap_or(if hung_up { "normal" } else { "error" })
    }

    /// Carries out what is complete in `input`, up to the limits of a turn, and appends the answers to `out`.
    pub fn serve(&mut self, turn: &mut Turn<'_>, input: &[u8], out: &mut Vec<u8>) -> Outcome {
        turn.client = self.place.map_or(0, |place| place.id);
        let outcome = self.serve_turn(turn, input, out);
        turn.tell_watchers();
        outcome
    }

    fn serve_turn(&mut self, turn: &mut Turn<'_>, input: &[u8], out: &mut Vec<u8>) -> Outcome {
        turn.flush_if_due();
        if let Speech::Unknown = self.speech {
            let Some(&first) = input.first() else { return Outcome { need: 1, ..Outcome::default() } };
            self.speech = match (turn.shared.rules().binding, first == REQUEST) {
                (Binding::Auto, true) if turn.shared.auth().ascii() => {
                    return Outcome { close: true, ..Outcome::default() };
                }
                (Binding::Auto | Binding::Binary, true) => Speech::Binary(Binary::default()),
                (Binding::Binary, false) => return Outcome { close: true, ..Outcome::default() },
                (Binding::Auto | Binding::Ascii, _) if turn.shared.auth().sasl() => {
                    return Outcome { close: true, ..Outcome::default() };
                }
                (Binding::Auto | Binding::Ascii, _) => {
                    let authenticated = !turn.shared.auth().ascii();
                    Speech::Text(Text {
                        parser: Parser::new(),
                        authenticated,
                        dump: None,
                        watches: false,
                        reason: None,
                    })
                }
            };
        }
        match &mut self.speech {
            Speech::Text(text) => text.serve(turn, (self.local, self.place), input, out),
            Speech::Binary(binary) => binary.serve(turn, input, out),
            Speech::Unknown => Outcome::default(),
        }
    }
}

impl Text {
    fn serve(
        &mut self,
        turn: &mut Turn<'_>,
        (local, place): (bool, Option<Place>),
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        if self.watches {
            return Outcome { consumed: input.len(), need: 1, close: false };
        }
        if let Some(dump) = &mut self.dump {
            if !dump.go_on(turn, out) {
                return outcome;
            }
            outcome.consumed = dump.line_bytes;
            self.dump = None;
        }
        let limits = Limits {
            item_bytes_max: turn.shared.item_size_max(),
            config_writable: local,
            strict: turn.shared.strict,
        };
        if !self.authenticated {
            return self.authenticate(turn, input, out);
        }
        let output_max = out.len() + OUTPUT_PER_TURN_BYTES_MAX;
        let mut most = turn.shared.requests_per_turn();
        if self.parser.is_idle() && outcome.consumed == 0 && turn.refusal.is_none() {
            let mut run = std::mem::take(turn.run);
            let done = run.serve(turn, input, (most, output_max), out);
            *turn.run = run;
            outcome.consumed = done.consumed;
            turn.requests += done.count as u64;
            most -= done.count;
            if done.full || done.consumed == input.len() {
                outcome.need = usize::from(done.consumed == input.len());
                return outcome;
            }
        }
        let mut begin = outcome.consumed;
        let mut batch = Vec::new();
        let too_long = self.read(input, &limits, most, &mut batch, &mut outcome);
        if outcome.need == 0 && !too_long && outcome.consumed < input.len() {
            turn.count(Counter::ConnYields);
        }
        prefetch(turn, &batch);
        for (request, end) in batch {
            turn.requests += 1;
            let act = match &request {
                Request::Admin { command, words } => {
                    Some(admin::execute(turn, *command, words.clone(), end - begin))
                }
                Request::Stats(words) => admin::sizes(turn, words.clone(), end - begin),
                _ => None,
            };
            if let Some(act) = act {
                match act {
                    Act::Answer(answer) => out.extend_from_slice(&answer),
                    Act::Silence => {}
                    Act::Dump(dump) => {
                        // The line stays in the input until the last of its items is written.
                        (self.dump, self.parser) = (Some(dump), Parser::new());
                        return Outcome { consumed: begin, need: 0, close: false };
                    }
                    Act::Watch(classes) => {
                        self.watches = place.is_some_and(|place| turn.shared.watchers.add(place, classes));
                        if self.watches {
                            out.extend_from_slice(b"OK\r\n");
                            return Outcome { consumed: input.len(), need: 1, close: false };
                        }
                        out.extend_from_slice(admin::NO_WATCH);
                    }
                    Act::Stop => {
                        turn.host.stop();
                        self.reason = Some("shutdown");
                        outcome.close = true;
                    }
                }
            } else {
                outcome.close = execute(turn, request, out);
                if outcome.close {
                    self.reason = Some("normal");
                }
            }
            if outcome.close {
                return outcome;
            }
            begin = end;
            // What was read beyond this is read again by the next turn. That is never the rest of a value being
            // skipped: announcing one writes nothing, so no turn ends between the line and the value.
            if out.len() > output_max && end < outcome.consumed {
                self.parser = Parser::new();
                return Outcome { consumed: end, need: 0, close: false };
            }
        }
        if too_long {
            out.extend_from_slice(LineTooLong::LINE);
            outcome.close = true;
        }
        outcome
    }

    /// Waits for credentials: a stranger is answered one request at a time, and only `set` is looked at.
    #[cold]
    fn authenticate(&mut self, turn: &mut Turn<'_>, input: &[u8], out: &mut Vec<u8>) -> Outcome {
        let mut outcome = Outcome::default();
        let limits = Limits {
            item_bytes_max: CREDENTIALS_BYTES_MAX,
            config_writable: false,
            strict: turn.shared.strict,
        };
        match self.parser.step(input, &limits) {
            Ok(Step::Request { request, consumed }) => {
                outcome.consumed = consumed;
                turn.requests += 1;
                let (verdict, refusal): (_, &[u8]) = match request {
                    Request::Store { verb: Verb::Set, data, .. } => match turn.shared.auth().text(data) {
                        Verdict::Malformed => (Verdict::Malformed, NO_CREDENTIALS),
                        verdict => (verdict, b"CLIENT_ERROR authentication failure\r\n"),
                    },
                    Request::Oversized { .. } => return outcome,
                    Request::Reject(Reject::TooLarge) => (Verdict::Malformed, NO_CREDENTIALS),
                    Request::Reject(Reject::BadChunk) => {
                        (Verdict::Malformed, b"CLIENT_ERROR bad command line termination\r\n")
                    }
                    Request::Quit if turn.shared.strict => {
                        self.reason = Some("normal");
                        return Outcome { close: true, ..outcome };
                    }
                    _ => (Verdict::Refused, b"CLIENT_ERROR unauthenticated\r\n"),
                };
                turn.count(Counter::AuthCmds);
                self.authenticated = verdict == Verdict::Admitted;
                if self.authenticated {
                    out.extend_from_slice(b"STORED\r\n");
                } else {
                    turn.count(Counter::AuthErrors);
                    out.extend_from_slice(refusal);
                }
            }
            Ok(Step::Nothing { consumed }) => outcome.consumed = consumed,
            Ok(Step::Incomplete { need }) => outcome.need = need,
            Err(LineTooLong) => {
                out.extend_from_slice(LineTooLong::LINE);
                outcome.close = true;
            }
        }
        outcome
    }

    /// Reads requests with the offsets where they end; true when a line is too long.
    fn read<'i>(
        &mut self,
        input: &'i [u8],
        limits: &Limits,
        most: usize,
        batch: &mut Vec<(Request<'i>, usize)>,
        outcome: &mut Outcome,
    ) -> bool {
        while batch.len() < most {
            match self.parser.step(&input[outcome.consumed..], limits) {
                Ok(Step::Request { request, consumed }) => {
                    outcome.consumed += consumed;
                    batch.push((request, outcome.consumed));
                }
                Ok(Step::Nothing { consumed }) => outcome.consumed += consumed,
                Ok(Step::Incomplete { need }) => {
                    outcome.need = need;
                    return false;
                }
                Err(LineTooLong) => return true,
            }
        }
        false
    }
}

/// Has the processor load what a pipeline is about to touch.
fn prefetch(turn: &Turn<'_>, batch: &[(Request<'_>, usize)]) {
    if batch.len() < 2 {
        return;
    }
    let mut keys: [Option<Key<'_>>; REQUESTS_PER_TURN_MAX] = [None; REQUESTS_PER_TURN_MAX];
    for (slot, (request, _)) in keys.iter_mut().zip(batch) {
        let bytes = match request {
            Request::Get { keys, .. } => keys.clone().next(),
            Request::Store { key, .. } | Request::Arithmetic { key, .. } => Some(*key),
            Request::Meta(meta) if !meta.has(b'b') => Some(meta.sent_key),
            _ => None,
        };
        *slot = bytes.map(|bytes| turn.key(bytes));
    }
    let keys = keys.iter().flatten();
    keys.clone().for_each(|key| turn.store.prefetch_bucket(key));
    turn.prefetch_items(keys);
}

/// Carries out a request; true when the session is to end.
fn execute(turn: &mut Turn<'_>, request: Request<'_>, out: &mut Vec<u8>) -> bool {
    if let Some(why) = turn.refusal
        && let Some(noreply) = writes(&request)
    {
        if !noreply {
            [b"SERVER_ERROR ", why.as_bytes(), b"\r\n"].iter().for_each(|part| out.extend_from_slice(part));
        }
        return false;
    }
    let (answer, noreply): (&[u8], bool) = match request {
        Request::Get { keys, cas, touch } => {
            item::get(turn, keys, cas, touch, out);
            return false;
        }
        Request::Store { verb, key, flags, exptime, data, noreply } => {
            let key = turn.key(key);
            (item::store(turn, verb, &key, flags, exptime, data), noreply)
        }
        Request::Oversized { verb, key } => {
            item::oversized(turn, verb, key);
            return false;
        }
        Request::Delete { key, noreply } => (item::delete(turn, key), noreply),
        Request::Arithmetic { key, delta, up, noreply } => {
            let from = out.len();
            item::arithmetic(turn, key, delta, up, out);
            if noreply {
                out.truncate(from);
            }
            return false;
        }
        Request::Touch { key, exptime, noreply } => (item::touch(turn, key, exptime), noreply),
        Request::Meta(request) => {
            meta::execute(turn, &request, out);
            return false;
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
    if !noreply {
        out.extend_from_slice(answer);
    }
    false
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
        Request::Meta(meta) => {
            let only_reads = meta.verb == MetaVerb::Get && !meta.has(b'T') && !meta.has(b'N');
            (!only_reads).then_some(false)
        }
        _ => None,
    }
}

/// False where it is not to be had.
fn flush_all(turn: &mut Turn<'_>, delay: i32) -> bool {
    turn.count(Counter::CmdFlush);
    if turn.shared.rules().flush_disabled {
        return false;
    }
    let at = turn.deadline(delay).unwrap_or(turn.now.ms);
    turn.shared.flush_at_ms.store(at, Ordering::Release);
    turn.flush_if_due();
    turn.changes += 1;
    true
}

fn statistics(turn: &Turn<'_>, words: Words<'_>, out: &mut Vec<u8>) -> &'static [u8] {
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
        [b"extstore" | b"proxy", ..] => {} // neither is there, and there is nothing to tell of it
        [b"reset", ..] => {
            turn.shared.counters.reset();
            turn.shared.prefixes.reset_reported();
            turn.store.partitions().for_each(|id| turn.store.lock(id).reset_counters());
            return b"RESET\r\n";
        }
        [_, ..] => return b"ERROR\r\n",
    }
    b"END\r\n"
}

#[cfg(test)]
mod tests;
