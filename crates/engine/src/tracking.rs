//! Client-side caching: which sessions may have cached which keys, and how they are told that these changed.
//!
//! A session that tracks is remembered with every key that it reads, while the key's partition is still held: whoever
//! changes the key afterwards finds the session here. A session that *broadcasts* is remembered with prefixes instead,
//! and told of all keys that begin with one. Keys are known by their name alone, whatever their database.
//!
//! The table of keys is bounded: beyond `tracking-table-max-keys`, keys that happen to be found first leave it, and who
//! may have cached them is told that they changed.

use crate::mailbox::{Form, Mail, Place};
use crate::node::Node;
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// Parts that the table is spread over.
const SHARDS: usize = 256;
/// What a message about invalid keys begins with in RESP3.
const HEAD: &[u8] = b">2\r\n$10\r\ninvalidate\r\n";
/// What it begins with in RESP2, where it goes to a session that listens.
const HEAD_RESP2: &[u8] = b"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n";
/// Keys that leave the table at most in one go, so that nobody waits long.
const EVICTIONS_MAX: usize = 1024;

/// A session that tracks, as others see it.
#[derive(Debug)]
pub struct Tracker {
    /// The session.
    pub place: Place,
    /// It is told of all keys with its prefixes, whether it read them or not.
    pub broadcasts: bool,
    /// The session that is told instead; 0 = none.
    redirect: AtomicU64,
    /// It is not told of its own changes.
    no_loop: AtomicBool,
    /// False once it has ended.
    on: AtomicBool,
    /// The session that is to be told instead is gone.
    broken: AtomicBool,
}

impl Tracker {
    /// A session that begins to track.
    pub fn new(place: Place, broadcasts: bool) -> Arc<Tracker> {
        let off = || AtomicBool::new(false);
        let (redirect, on) = (AtomicU64::new(0), AtomicBool::new(true));
        Arc::new(Tracker { place, broadcasts, redirect, no_loop: off(), on, broken: off() })
    }

    /// Says who is told instead, 0 for nobody, and whether its own changes are not told.
    pub fn set(&self, redirect: u64, no_loop: bool) {
        self.redirect.store(redirect, Ordering::Relaxed);
        self.no_loop.store(no_loop, Ordering::Relaxed);
        self.broken.store(false, Ordering::Relaxed);
    }

    /// The session that is told instead; 0 = none.
    pub fn redirect(&self) -> u64 {
        self.redirect.load(Ordering::Relaxed)
    }

    /// True if it is not told of its own changes.
    pub fn is_no_loop(&self) -> bool {
        self.no_loop.load(Ordering::Relaxed)
    }

    /// True when the session that is to be told instead was found to be gone.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Tells the session, or the one that is told instead, of invalid keys.
    fn send(&self, node: &Node, bytes: &Arc<[u8]>) {
        if !self.on.load(Ordering::Relaxed) {
            return;
        }
        let id = self.redirect();
        if id == 0 {
            return post(node, self.place, bytes.clone(), Form::Invalid { redirected: false });
        }
        match node.sessions.get(id) {
            Some(other) => post(node, other.place, bytes.clone(), Form::Invalid { redirected: true }),
            None => {
                self.broken.store(true, Ordering::Relaxed);
                let text = format!(">2\r\n$21\r\ntracking-redir-broken\r\n:{id}\r\n");
                post(node, self.place, text.into_bytes().into(), Form::OnlyResp3);
            }
        }
    }
}

fn post(node: &Node, to: Place, bytes: Arc<[u8]>, form: Form) {
    node.mailboxes[to.worker as usize].send(Mail::Deliver { to: Arc::new([to]), bytes, form });
}

/// The message about some keys, or about all of them.
fn message<'k>(count: usize, keys: impl Iterator<Item = &'k [u8]>) -> Arc<[u8]> {
    let mut out = HEAD.to_vec();
    let _ = write!(out, "*{count}\r\n"); // a vector takes everything
    for key in keys {
        let _ = write!(out, "${}\r\n", key.len());
        out.extend_from_slice(key);
        out.extend_from_slice(b"\r\n");
    }
    out.into()
}

fn message_of_all() -> Arc<[u8]> {
    [HEAD, b"_\r\n"].concat().into()
}

/// The message as RESP2 has it; `bytes` is the message of RESP3.
pub fn in_resp2(bytes: &[u8], out: &mut Vec<u8>) {
    let body = bytes.get(HEAD.len()..).unwrap_or_default();
    out.extend_from_slice(HEAD_RESP2);
    out.extend_from_slice(if body == b"_\r\n" { b"$-1\r\n" } else { body });
}

/// Sessions by their id, in ascending order.
type Readers = Vec<Arc<Tracker>>;

type Shard = HashMap<Box<[u8]>, Readers>;

/// Keys that changed on a worker since it last told those who broadcast, with the session that changed each.
type Changed = BTreeMap<Box<[u8]>, u64>;

/// Who may have cached what. See the module.
#[derive(Debug)]
pub struct Tracking {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    keys: AtomicUsize,
    items: AtomicUsize,
    sessions: AtomicUsize,
    prefixes: RwLock<BTreeMap<Box<[u8]>, Readers>>,
    prefix_count: AtomicUsize,
    changed: Vec<Mutex<Changed>>,
    /// True while keys are above the bound, or changes wait to be told to those who broadcast.
    busy: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tracking {
    /// For this number of workers.
    pub fn new(workers: usize) -> Tracking {
        Tracking {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            keys: AtomicUsize::new(0),
            items: AtomicUsize::new(0),
            sessions: AtomicUsize::new(0),
            prefixes: RwLock::default(),
            prefix_count: AtomicUsize::new(0),
            changed: (0..workers).map(|_| Mutex::default()).collect(),
            busy: AtomicBool::new(false),
        }
    }

    /// Sessions that track; keys, pairs of keys and sessions, and prefixes that are remembered.
    pub fn counts(&self) -> [usize; 4] {
        [&self.sessions, &self.keys, &self.items, &self.prefix_count]
            .map(|count| count.load(Ordering::Relaxed))
    }

    /// True when somebody tracks.
    pub fn any(&self) -> bool {
        self.sessions.load(Ordering::Relaxed) > 0
    }

    /// A session begins to track.
    pub fn begin(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
    }

    /// A session that broadcasts is told of the keys with this prefix from now on.
    pub fn add_prefix(&self, tracker: &Arc<Tracker>, prefix: &[u8]) {
        let mut all = self.prefixes.write().unwrap_or_else(PoisonError::into_inner);
        add(all.entry(prefix.into()).or_default(), tracker);
        self.prefix_count.store(all.len(), Ordering::Relaxed);
    }

    /// A session tracks no more. The keys that it read are forgotten when they change.
    pub fn end(&self, tracker: &Arc<Tracker>, prefixes: &[Box<[u8]>]) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
        tracker.on.store(false, Ordering::Relaxed);
        if prefixes.is_empty() {
            return;
        }
        let mut all = self.prefixes.write().unwrap_or_else(PoisonError::into_inner);
        for prefix in prefixes {
            if let Some(readers) = all.get_mut(prefix) {
                readers.retain(|other| !Arc::ptr_eq(other, tracker));
            }
        }
        all.retain(|_, readers| !readers.is_empty());
        self.prefix_count.store(all.len(), Ordering::Relaxed);
    }

    fn shard(&self, key: &[u8]) -> MutexGuard<'_, Shard> {
        lock(&self.shards[self.hasher.hash_one(key) as usize % SHARDS])
    }

    /// Remembers that a session read a key, whose partition is still held.
    pub fn remember(&self, key: &[u8], tracker: &Arc<Tracker>, keys_max: usize) {
        let mut shard = self.shard(key);
        if !shard.contains_key(key) {
            let keys = self.keys.fetch_add(1, Ordering::Relaxed) + 1;
            if keys_max > 0 && keys > keys_max {
                self.busy.store(true, Ordering::Relaxed);
            }
        }
        let readers = shard.entry(key.into()).or_default();
        self.items.fetch_add(usize::from(add(readers, tracker)), Ordering::Relaxed);
    }

    /// A key changed; its partition is still held. `by` is the session that changed it, 0 if none did.
    pub fn changed(&self, node: &Node, worker: usize, key: &[u8], by: u64) {
        if self.prefix_count.load(Ordering::Relaxed) > 0 {
            lock(&self.changed[worker]).insert(key.into(), by);
            self.busy.store(true, Ordering::Relaxed);
        }
        if self.keys.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut shard = self.shard(key);
        if let Some(readers) = shard.remove(key) {
            self.invalidate(node, key, &readers, by);
        }
    }

    fn invalidate(&self, node: &Node, key: &[u8], readers: &Readers, by: u64) {
        self.keys.fetch_sub(1, Ordering::Relaxed);
        self.items.fetch_sub(readers.len(), Ordering::Relaxed);
        let bytes = message(1, std::iter::once(key));
        for reader in readers.iter().filter(|reader| !(reader.is_no_loop() && reader.place.id == by)) {
            reader.send(node, &bytes);
        }
    }

    /// All keys are gone.
    pub fn flushed(&self, node: &Node) {
        if !self.any() {
            return;
        }
        let mut told: BTreeMap<u64, Arc<Tracker>> = BTreeMap::new();
        for shard in &self.shards {
            for readers in std::mem::take(&mut *lock(shard)).into_values() {
                self.keys.fetch_sub(1, Ordering::Relaxed);
                self.items.fetch_sub(readers.len(), Ordering::Relaxed);
                drop(readers);
            }
        }
        let bytes = message_of_all();
        for shared in node.sessions.all() {
            if let Some(tracker) = shared.tracker() {
                told.insert(shared.id, tracker);
            }
        }
        told.values().for_each(|tracker| tracker.send(node, &bytes));
    }

    /// True when there is something to do for [`Tracking::settle`].
    #[inline]
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }

    /// Tells those who broadcast what changed on a worker, and makes the table as small as it may be. Called when a
    /// batch of requests has been executed, before its replies are sent.
    #[cold]
    pub fn settle(&self, node: &Node, random: u64) {
        self.busy.store(false, Ordering::Relaxed);
        for changed in &self.changed {
            let changed = std::mem::take(&mut *lock(changed));
            if !changed.is_empty() {
                self.broadcast(node, &changed);
            }
        }
        let keys_max = node.settings().tracking_keys_max;
        for step in 0..EVICTIONS_MAX {
            if keys_max == 0 || self.keys.load(Ordering::Relaxed) <= keys_max {
                return;
            }
            let mut shard = lock(&self.shards[(random as usize).wrapping_add(step) % SHARDS]);
            let Some(key) = shard.keys().next().cloned() else { continue };
            if let Some(readers) = shard.remove(&key) {
                self.invalidate(node, &key, &readers, 0);
            }
        }
        self.busy.store(true, Ordering::Relaxed); // the rest goes next time
    }

    fn broadcast(&self, node: &Node, changed: &Changed) {
        let prefixes = self.prefixes.read().unwrap_or_else(PoisonError::into_inner);
        for (prefix, readers) in prefixes.iter() {
            let from =
                changed.range::<[u8], _>((std::ops::Bound::Included(&**prefix), std::ops::Bound::Unbounded));
            let keys: Vec<(&[u8], u64)> =
                from.map(|(key, by)| (&**key, *by)).take_while(|(key, _)| key.starts_with(prefix)).collect();
            if keys.is_empty() {
                continue;
            }
            let bytes = message(keys.len(), keys.iter().map(|(key, _)| *key));
            for reader in readers {
                if !reader.is_no_loop() {
                    reader.send(node, &bytes);
                    continue;
                }
                let others: Vec<&[u8]> =
                    keys.iter().filter(|(_, by)| *by != reader.place.id).map(|(key, _)| *key).collect();
                if !others.is_empty() {
                    reader.send(node, &message(others.len(), others.into_iter()));
                }
            }
        }
    }
}

/// Adds a session to those who read a key; false if it is among them.
fn add(readers: &mut Readers, tracker: &Arc<Tracker>) -> bool {
    match readers.binary_search_by_key(&tracker.place.id, |other| other.place.id) {
        Ok(at) => {
            // The same session may track in another way now.
            readers[at] = tracker.clone();
            false
        }
        Err(at) => {
            readers.insert(at, tracker.clone());
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(id: u64) -> Place {
        Place { worker: 0, index: id as u32, id }
    }

    #[test]
    fn keys_and_readers_are_counted_once() {
        let tracking = Tracking::new(1);
        let (one, two) = (Tracker::new(place(1), false), Tracker::new(place(2), false));
        tracking.begin();
        tracking.begin();
        for tracker in [&two, &one, &one] {
            tracking.remember(b"a", tracker, 0);
            tracking.remember(b"b", tracker, 0);
        }
        assert_eq!(tracking.counts(), [2, 2, 4, 0]);
        assert!(tracking.any() && !tracking.is_busy());
        // Beyond the bound, there is something to do.
        tracking.remember(b"c", &one, 2);
        assert!(tracking.is_busy());
    }

    #[test]
    fn prefixes_go_with_their_last_session() {
        let tracking = Tracking::new(1);
        let (one, two) = (Tracker::new(place(1), true), Tracker::new(place(2), true));
        tracking.begin();
        tracking.begin();
        tracking.add_prefix(&one, b"a");
        tracking.add_prefix(&two, b"a");
        tracking.add_prefix(&two, b"b");
        assert_eq!(tracking.counts(), [2, 0, 0, 2]);
        tracking.end(&two, &[(*b"a").into(), (*b"b").into()]);
        assert_eq!(tracking.counts(), [1, 0, 0, 1]);
        tracking.end(&one, &[(*b"a").into()]);
        assert_eq!(tracking.counts(), [0; 4]);
    }

    #[test]
    fn messages_have_a_form_for_resp2() {
        let mut out = Vec::new();
        in_resp2(&message(1, std::iter::once(&b"k"[..])), &mut out);
        assert_eq!(out, b"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\nk\r\n");
        out.clear();
        in_resp2(&message_of_all(), &mut out);
        assert!(out.ends_with(b"__redis__:invalidate\r\n$-1\r\n"));
    }
}
