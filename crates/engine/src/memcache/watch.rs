//! `watch`: a session that is told what happens, a line for each event, in memcached's forms.
//!
//! While nobody watches this costs a request one load. What a turn has to tell is gathered in [`Lines`] and goes to the
//! watchers at its end, by mail. Telling never waits: what finds a watcher's worker behind with its mail is dropped, and
//! a watcher that does not read misses what comes meanwhile; `stats` counts both.

use super::dump::escape;
use super::item::string;
use super::{DB, Turn};
use crate::mailbox::{Form, Mail, Place};
use crate::node::{Node, now_ms};
use larder_store::{Key, Partition, Removed, ValueRef};
use std::fmt::Arguments;
use std::io::Write;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Default of `memcached-watcher-buffer`: bytes that may wait for a watcher to read them.
pub const WATCHER_BYTES: u64 = 256 * 1024;
/// Default of `memcached-worker-buffer`: bytes of lines that a turn gathers; what more it has to tell is dropped.
pub const WORKER_BYTES: u64 = 64 * 1024;
/// Bytes of lines that may be on their way to the watchers of one worker.
const MAIL_BYTES_MAX: usize = 256 * 1024;
/// Pieces of mail that may be on their way to one worker.
const MAIL_MAX: usize = 4096;
/// Most watchers of a node.
const WATCHERS_MAX: usize = 20;

/// What can be watched: bits of a set.
pub(super) mod class {
    /// Look-ups of keys.
    pub(in super::super) const FETCHERS: u32 = 1;
    /// Values that are stored, or are not.
    pub(in super::super) const MUTATIONS: u32 = 2;
    /// Items that make room.
    pub(in super::super) const EVICTIONS: u32 = 4;
    /// Connections that come and go.
    pub(in super::super) const CONNEVENTS: u32 = 8;
    /// Items that are deleted.
    pub(in super::super) const DELETIONS: u32 = 16;
}

/// The set that the words of `watch` ask for. Without words it is that of look-ups.
pub(super) fn classes(words: &[&[u8]]) -> Option<u32> {
    if words.is_empty() {
        return Some(class::FETCHERS);
    }
    words.iter().try_fold(0, |set, word| {
        let class = match *word {
            b"fetchers" => class::FETCHERS,
            b"mutations" => class::MUTATIONS,
            b"evictions" => class::EVICTIONS,
            b"connevents" => class::CONNEVENTS,
            b"deletions" => class::DELETIONS,
            _ => return None,
        };
        Some(set | class)
    })
}

/// Who watches what, and how telling them went.
#[derive(Debug)]
pub struct Watchers {
    /// What somebody watches.
    wanted: AtomicU32,
    list: Mutex<Vec<(Place, u32)>>,
    /// Number of the last event.
    last: AtomicU64,
    /// How much a watcher may leave unread.
    pub(crate) watcher_bytes: AtomicU64,
    /// How much a turn gathers.
    pub(super) worker_bytes: AtomicU64,
    written: AtomicU64,
    dropped: AtomicU64,
    sent: AtomicU64,
    skipped: AtomicU64,
}

impl Default for Watchers {
    fn default() -> Watchers {
        Watchers {
            wanted: AtomicU32::new(0),
            list: Mutex::default(),
            last: AtomicU64::new(0),
            watcher_bytes: AtomicU64::new(WATCHER_BYTES),
            worker_bytes: AtomicU64::new(WORKER_BYTES),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
        }
    }
}

/// Lines that a turn has to tell, and what they are.
#[derive(Debug, Default)]
pub struct Lines {
    text: Vec<u8>,
    /// The class of each line, and where it ends.
    ends: Vec<(u32, usize)>,
}

impl Watchers {
    /// True if somebody watches any of these classes.
    #[inline]
    fn any(&self, classes: u32) -> bool {
        self.wanted.load(Ordering::Relaxed) & classes != 0
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Vec<(Place, u32)>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find_wanted(&self, list: &[(Place, u32)]) {
        self.wanted.store(list.iter().fold(0, |set, (_, classes)| set | classes), Ordering::Relaxed);
    }

    /// A session begins to watch; false if there are too many already.
    pub(super) fn add(&self, place: Place, classes: u32) -> bool {
        let mut list = self.list();
        let room = list.len() < WATCHERS_MAX;
        if room {
            list.push((place, classes));
            self.find_wanted(&list);
        }
        room
    }

    /// A session is gone.
    fn remove(&self, place: Place) {
        let mut list = self.list();
        list.retain(|(other, _)| *other != place);
        self.find_wanted(&list);
    }

    /// Counts lines that came to a watcher, or found it too slow to take more.
    pub(crate) fn count(&self, bytes: &[u8], taken: bool) {
        let lines = memchr::memchr_iter(b'\n', bytes).count() as u64;
        let counter = if taken { &self.sent } else { &self.skipped };
        counter.fetch_add(lines, Ordering::Relaxed);
    }

    /// What `stats` says of it, by name.
    pub(super) fn figures(&self) -> [(&'static str, u64); 5] {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("log_worker_dropped", get(&self.dropped)),
            ("log_worker_written", get(&self.written)),
            ("log_watcher_skipped", get(&self.skipped)),
            ("log_watcher_sent", get(&self.sent)),
            ("log_watchers", self.list().len() as u64),
        ]
    }

    /// Adds a line: its time and number, its type, what it is about.
    fn write(&self, to: &mut Lines, class: u32, kind: &str, key: Option<&[u8]>, rest: Arguments<'_>) {
        if to.text.len() as u64 > self.worker_bytes.load(Ordering::Relaxed) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.written.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let text = &mut to.text;
        // Writing to a Vec cannot fail.
        let _ = write!(text, "ts={}.{:06} gid={number} type={kind}", now.as_secs(), now.subsec_micros());
        if let Some(key) = key {
            text.extend_from_slice(b" key=");
            escape(key, text);
        }
        let _ = writeln!(text, " {rest}");
        to.ends.push((class, text.len()));
    }

    /// Gives lines to those who watch for them.
    #[cold]
    fn tell(&self, lines: &Lines, mut send: impl FnMut(Place, Arc<[u8]>) -> bool) {
        let watchers = self.list().clone();
        for (place, classes) in watchers {
            let (mut text, mut from, mut count) = (Vec::new(), 0, 0);
            for &(class, end) in &lines.ends {
                if classes & class != 0 {
                    text.extend_from_slice(&lines.text[from..end]);
                    count += 1;
                }
                from = end;
            }
            if count > 0 && !send(place, text.into()) {
                self.dropped.fetch_add(count, Ordering::Relaxed);
            }
        }
    }

    fn tell_one(&self, node: &Node, class: u32, kind: &str, key: Option<&[u8]>, rest: Arguments<'_>) {
        let mut lines = Lines::default();
        self.write(&mut lines, class, kind, key, rest);
        self.tell(&lines, |place, bytes| send(node, place, bytes));
    }
}

/// Mails lines to a watcher; false if its worker has too many to give out already.
pub(super) fn send(node: &Node, place: Place, bytes: Arc<[u8]>) -> bool {
    let mailbox = &node.mailboxes[place.worker as usize];
    let room = mailbox.bytes() < MAIL_BYTES_MAX && mailbox.len() < MAIL_MAX;
    if room {
        mailbox.send(Mail::Deliver { to: [place].into(), bytes, form: Form::Watched });
    }
    room
}

/// Seconds that an item has left, as lines show them.
fn ttl(deadline: Option<u64>, now_ms: u64) -> Option<u64> {
    deadline.map(|at| at.saturating_sub(now_ms).div_ceil(1000))
}

/// Tells of an item that made room.
#[inline]
pub fn evicted(node: &Node, db: u16, key: &[u8], removed: &Removed) {
    if db == DB && node.memcached.watchers.any(class::EVICTIONS) {
        tell_evicted(node, key, removed);
    }
}

#[cold]
fn tell_evicted(node: &Node, key: &[u8], removed: &Removed) {
    let (now, mut digits) = (now_ms(), itoa::Buffer::new());
    let access = node.access(&node.settings(), now, 0);
    let fetched = if access.is_fetched(removed.access()) { "yes" } else { "no" };
    let idle = access.idle_seconds(removed.access(), now);
    let ttl = ttl(removed.extras().deadline, now).map_or(-1, |left| left as i64);
    let size = string(&removed.value(), &mut digits).map_or(0, <[u8]>::len);
    let rest = format_args!("fetch={fetched} ttl={ttl} la={idle} clsid=1 size={size}");
    node.memcached.watchers.tell_one(node, class::EVICTIONS, "eviction", Some(key), rest);
}

/// A session as lines about connections name it.
fn connection(shared: &crate::session::registry::Shared) -> String {
    if shared.unix {
        return "rip=unix rport=0 transport=local".into();
    }
    let (ip, port) = shared.address.rsplit_once(':').unwrap_or((&shared.address, "0"));
    format!("rip={} rport={port} transport=tcp", ip.trim_matches(['[', ']']))
}

/// Tells that a Memcached session has come.
pub fn came(node: &Node, shared: &crate::session::registry::Shared) {
    let watchers = &node.memcached.watchers;
    if shared.memcached && watchers.any(class::CONNEVENTS) {
        let rest = format_args!("{} cfd={}", connection(shared), shared.id);
        watchers.tell_one(node, class::CONNEVENTS, "conn_new", None, rest);
    }
}

/// A Memcached session is gone, for this reason: it watches no more, and those who do are told.
pub fn gone(node: &Node, shared: &crate::session::registry::Shared, reason: &str) {
    let watchers = &node.memcached.watchers;
    if watchers.any(u32::MAX) {
        watchers.remove(shared.place);
    }
    if watchers.any(class::CONNEVENTS) {
        let rest = format_args!("{} reason={reason} cfd={}", connection(shared), shared.id);
        watchers.tell_one(node, class::CONNEVENTS, "conn_close", None, rest);
    }
}

/// What came of storing, in a line.
pub(super) struct Stored {
    pub(super) status: &'static str,
    pub(super) command: &'static str,
    pub(super) deadline: Option<u64>,
    /// Length of the value that was to be stored.
    pub(super) bytes: usize,
}

impl Turn<'_> {
    /// Tells that a key is looked up. Its partition is held.
    #[inline]
    pub(super) fn watch_fetch(&mut self, partition: &Partition, key: &Key<'_>) {
        if self.shared.watchers.any(class::FETCHERS) {
            self.tell_fetch(partition, key);
        }
    }

    #[cold]
    fn tell_fetch(&mut self, partition: &Partition, key: &Key<'_>) {
        let size = partition.peek(DB, key, self.now).and_then(|item| string_bytes(&item.value()));
        let (status, class) = if size.is_some() { ("found", 1) } else { ("not_found", 0) };
        let (id, size) = (self.client, size.unwrap_or(0));
        let rest = format_args!("status={status} clsid={class} cfd={id} size={size}");
        self.watch(class::FETCHERS, "item_get", key.bytes, rest);
    }

    /// Tells what came of storing a value. Its partition is held.
    #[inline]
    pub(super) fn watch_store(&mut self, partition: &Partition, key: &Key<'_>, stored: &Stored) {
        if self.shared.watchers.any(class::MUTATIONS) {
            self.tell_store(partition, key, stored);
        }
    }

    #[cold]
    fn tell_store(&mut self, partition: &Partition, key: &Key<'_>, stored: &Stored) {
        let (mut size, mut deadline) = (stored.bytes, stored.deadline);
        if stored.status == "stored"
            && let Some(item) = partition.peek(DB, key, self.now)
        {
            size = string_bytes(&item.value()).unwrap_or(0);
            deadline = item.deadline();
        }
        let (id, ttl) = (self.client, ttl(deadline, self.now.ms).unwrap_or(0));
        let Stored { status, command, .. } = stored;
        let rest = format_args!("status={status} cmd={command} ttl={ttl} clsid=1 cfd={id} size={size}");
        self.watch(class::MUTATIONS, "item_store", key.bytes, rest);
    }

    /// Tells that a value was too large to be stored.
    #[cold]
    pub(super) fn watch_oversized(&mut self, key: &[u8], command: &'static str) {
        if self.shared.watchers.any(class::MUTATIONS) {
            let id = self.client;
            let rest = format_args!("status=too_large cmd={command} ttl=0 clsid=1 cfd={id} size=0");
            self.watch(class::MUTATIONS, "item_store", key, rest);
        }
    }

    /// Tells that an item is about to be deleted. Its partition is held.
    #[inline]
    pub(super) fn watch_delete(&mut self, partition: &Partition, key: &Key<'_>, command: &'static str) {
        if self.shared.watchers.any(class::DELETIONS)
            && let Some(item) = partition.peek(DB, key, self.now)
        {
            let size = string_bytes(&item.value()).unwrap_or(0);
            let rest = format_args!("cmd={command} clsid=1 size={size}");
            self.watch(class::DELETIONS, "deleted", key.bytes, rest);
        }
    }

    fn watch(&mut self, class: u32, kind: &str, key: &[u8], rest: Arguments<'_>) {
        let lines = self.lines.get_or_insert_default();
        self.shared.watchers.write(lines, class, kind, Some(key), rest);
    }

    /// Gives what this turn has to tell to those who watch.
    #[inline]
    pub(super) fn tell_watchers(&mut self) {
        if let Some(lines) = self.lines.take() {
            self.shared.watchers.tell(&lines, |place, bytes| self.host.send_lines(place, bytes));
        }
    }
}

fn string_bytes(value: &ValueRef<'_>) -> Option<usize> {
    string(value, &mut itoa::Buffer::new()).map(<[u8]>::len)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Bench;
    use super::*;

    const PLACE: Place = Place { worker: 0, index: 3, id: 9 };

    /// The lines of these classes that requests bring forth, without time and number.
    fn told(bench: &mut Bench, classes: u32, input: &str) -> Vec<String> {
        bench.with_turn(|turn| turn.shared.watchers.add(PLACE, classes));
        let lines = bench.tells(input);
        bench.with_turn(|turn| turn.shared.watchers.remove(PLACE));
        lines.iter().map(|line| line.split_once(" type=").map_or("", |(_, rest)| rest).to_owned()).collect()
    }

    #[test]
    fn words_name_classes() {
        assert_eq!(classes(&[]), Some(class::FETCHERS));
        assert_eq!(classes(&[b"evictions", b"deletions"]), Some(class::EVICTIONS | class::DELETIONS));
        assert_eq!(classes(&[b"fetchers", b"nonsense"]), None);
    }

    #[test]
    fn look_ups_are_told_of_with_what_they_found() {
        let mut bench = Bench::new(false);
        bench.says("set a%b 5 0 3\r\nabc\r\n", "STORED\r\n");
        let lines = told(&mut bench, class::FETCHERS, "get a%b none\r\nmg a%b v\r\ntouch none 5\r\n");
        let found = "item_get key=a%25b status=found clsid=1 cfd=7 size=3";
        let missed = "item_get key=none status=not_found clsid=0 cfd=7 size=0";
        assert_eq!(lines, [found, missed, found, missed]);
        assert!(bench.tells("get a%b\r\n").is_empty(), "nobody watches");
    }

    #[test]
    fn changes_are_told_of_with_what_came_of_them() {
        let mut bench = Bench::new(false);
        let input = "set k 0 0 2\r\nab\r\nadd k 0 0 1\r\nx\r\nreplace n 0 0 1\r\nx\r\nappend k 0 0 1\r\nc\r\n\
                     cas k 0 0 1 99\r\nx\r\ncas n 0 0 1 99\r\nx\r\nms k 2 T30\r\nab\r\nms k 2 MP\r\nab\r\n\
                     ma c N60 J5\r\nincr c 1\r\n";
        let store = |key: &str, status: &str, cmd: &str, ttl: u32, size: u32| {
            format!("item_store key={key} status={status} cmd={cmd} ttl={ttl} clsid=1 cfd=7 size={size}")
        };
        let expected = [
            store("k", "stored", "set", 0, 2),
            store("k", "not_stored", "add", 0, 1),
            store("n", "not_stored", "replace", 0, 1),
            store("k", "stored", "append", 0, 3),
            store("k", "exists", "cas", 0, 1),
            store("n", "not_found", "cas", 0, 1),
            store("k", "stored", "set", 30, 2),
            store("k", "stored", "prepend", 30, 4),
            store("c", "stored", "add", 60, 1),
        ];
        assert_eq!(told(&mut bench, class::MUTATIONS, input), expected);
        let deleted = told(&mut bench, class::DELETIONS, "delete k\r\ndelete k\r\nmd c\r\n");
        let expected = ["deleted key=k cmd=delete clsid=1 size=4", "deleted key=c cmd=md clsid=1 size=1"];
        assert_eq!(deleted, expected);
        let large = format!("set big 0 0 2000000\r\n{}\r\n", "x".repeat(2_000_000));
        let line = "item_store key=big status=too_large cmd=set ttl=0 clsid=1 cfd=7 size=0";
        assert_eq!(told(&mut bench, class::MUTATIONS, &large), [line]);
    }

    #[test]
    fn what_a_turn_gathers_is_bounded_and_the_rest_is_counted() {
        let mut bench = Bench::new(false);
        let get = format!("get {}\r\n", "k ".repeat(1000));
        let input = get.repeat(20);
        let lines = told(&mut bench, class::FETCHERS, &input);
        let dropped = bench.with_turn(|turn| turn.shared.watchers.figures()[0].1);
        assert_eq!(lines.len() as u64 + dropped, 20_000);
        assert!(dropped > 0 && !lines.is_empty());
    }
}
