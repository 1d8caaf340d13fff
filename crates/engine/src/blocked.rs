//! Sessions that wait for a key: who waits for what, in the order in which they came.
//!
//! A session is entered here while the partitions of its keys are held, and found here, served and taken out under the
//! same locks. So nobody can slip between a look at a key and the wait for it, a change and the wake-ups that follow
//! from it are one atomic step, and no state of a waiter is ever changed by two threads at a time. The mutexes in here
//! are taken after partition locks and only for a look.
//!
//! What a waiter's command does when it is tried again is `command::wake`'s business.

use crate::command::Command;
use crate::session::registry::Shared;
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize, Mutex, MutexGuard, lock};
use larder_protocol::resp::args::OwnedArgs;
use larder_protocol::resp::reply::Version;
use larder_store::PartitionId;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Number of locks that the keys with waiters are spread over.
const SHARDS: usize = if cfg!(feature = "loom") { 2 } else { 64 };

/// What a session waits for its key to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wants {
    /// A list: BLPOP and kin.
    List,
    /// A sorted set: BZPOPMIN and kin.
    SortedSet,
    /// A stream: XREAD.
    Stream,
    /// A stream with a group: XREADGROUP, which is also told when its stream has gone.
    Group,
}

/// What is answered where nobody waits (EXEC). RESP3 has one null for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// A null bulk string.
    Bulk,
    /// A null array.
    Array,
}

/// What a handler asks for that found nothing to do yet.
#[derive(Debug)]
pub struct Wait {
    /// Unix milliseconds after which it gives up; `None`: never.
    pub deadline_ms: Option<u64>,
    /// What it waits for.
    pub wants: Wants,
    /// Which arguments are the keys that it waits for.
    pub keys: Range<usize>,
    /// Which argument is a key that it changes when it is served.
    pub target: Option<usize>,
    /// The answer where nobody waits.
    pub nothing: Nothing,
    /// The arguments with which it is tried again, if they are not those it came with.
    pub args: Option<OwnedArgs>,
}

impl Wait {
    /// A wait whose end comes from elsewhere: for no key, and for as long as it takes.
    pub fn elsewhere() -> Wait {
        Wait {
            deadline_ms: None,
            wants: Wants::List,
            keys: 0..0,
            target: None,
            nothing: Nothing::Array,
            args: None,
        }
    }
}

/// A session that waits.
#[derive(Debug)]
pub struct Waiter {
    /// Whose command it is.
    pub shared: Arc<Shared>,
    /// The command that is tried again.
    pub command: &'static Command,
    /// Its arguments.
    pub args: OwnedArgs,
    /// The database of its keys.
    pub db: u16,
    /// The protocol of its reply.
    pub version: Version,
    /// Unix milliseconds after which it gives up.
    pub deadline_ms: Option<u64>,
    /// The partitions of all its keys, ascending, each once.
    pub partitions: Vec<PartitionId>,
    /// Its place in the order of arrival; no other waiter ever has it.
    pub ticket: u64,
    wants: Wants,
    keys: Range<usize>,
    target: Option<usize>,
    /// Nanoseconds that were spent on it, as far as somebody wants to hear of them.
    took_ns: AtomicU64,
    done: AtomicBool,
}

impl Waiter {
    /// True once it was served, or gave up. Final under the locks of its partitions.
    pub fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    /// So long was spent on it, beside waiting.
    pub fn spend(&self, nanos: u64) {
        self.took_ns.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Nanoseconds that were spent on it.
    pub fn took_ns(&self) -> u64 {
        self.took_ns.load(Ordering::Relaxed)
    }

    /// The answer when the time is up: the null of an array, whatever the command gives otherwise.
    pub fn nothing(&self) -> &'static [u8] {
        match self.version {
            Version::Resp3 => b"_\r\n",
            Version::Resp2 => b"*-1\r\n",
        }
    }

    fn each_key(&self, mut visit: impl FnMut(&[u8])) {
        let args = self.args.view();
        self.keys.clone().for_each(|at| visit(args.get(at)));
    }
}

/// Who waits for one key of one database to become one kind of value.
#[derive(Debug)]
struct Queue {
    db: u16,
    wants: Wants,
    waiters: BTreeMap<u64, Arc<Waiter>>,
    /// How many of them touch each partition when they are served.
    partitions: HashMap<PartitionId, u32>,
    /// How many of them change each key when they are served.
    targets: HashMap<Box<[u8]>, u32>,
}

impl Queue {
    fn add(&mut self, waiter: &Arc<Waiter>) {
        for id in &waiter.partitions {
            *self.partitions.entry(*id).or_default() += 1;
        }
        if let Some(at) = waiter.target {
            *self.targets.entry(waiter.args.view().get(at).into()).or_default() += 1;
        }
        self.waiters.insert(waiter.ticket, waiter.clone());
    }

    fn remove(&mut self, waiter: &Waiter) {
        if self.waiters.remove(&waiter.ticket).is_none() {
            return; // the same key given twice
        }
        for id in &waiter.partitions {
            uncount(&mut self.partitions, id);
        }
        if let Some(at) = waiter.target {
            uncount(&mut self.targets, waiter.args.view().get(at));
        }
    }
}

/// Counts one less, and forgets what has come to none.
fn uncount<K, Q>(counts: &mut HashMap<K, u32>, key: &Q)
where
    K: std::borrow::Borrow<Q> + std::hash::Hash + Eq,
    Q: std::hash::Hash + Eq + ?Sized,
{
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

type Shard = HashMap<Box<[u8]>, Vec<Queue>>;

/// Numbers for INFO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Sessions that wait.
    pub sessions: usize,
    /// Of them, those that will give up one day.
    pub with_deadline: usize,
    /// Keys that are waited for.
    pub keys: usize,
    /// Of them, those whose going is waited for, too.
    pub keys_of_groups: usize,
}

/// All sessions of a node that wait for keys.
#[derive(Debug)]
pub struct Blocked {
    count: AtomicUsize,
    /// Of them, those who are told when their key has gone.
    groups: AtomicUsize,
    tickets: AtomicU64,
    shards: [Mutex<Shard>; SHARDS],
    sessions: Mutex<HashMap<u64, Arc<Waiter>>>,
}

impl Default for Blocked {
    fn default() -> Blocked {
        Blocked {
            count: AtomicUsize::new(0),
            groups: AtomicUsize::new(0),
            tickets: AtomicU64::new(0),
            shards: std::array::from_fn(|_| Mutex::default()),
            sessions: Mutex::default(),
        }
    }
}

impl Blocked {
    /// True if anybody waits. Asked under the lock of a partition, a no is final for its keys as long as it is held.
    #[inline]
    pub fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    fn shard(&self, key: &[u8]) -> MutexGuard<'_, Shard> {
        let slot = larder_protocol::slot::slot_of(key);
        lock(&self.shards[slot as usize % SHARDS])
    }

    /// Enters a session. The partitions of all its keys are held. O(keys).
    pub fn enter(
        &self,
        wait: Wait,
        shared: Arc<Shared>,
        (command, args): (&'static Command, OwnedArgs),
        (db, version): (u16, Version),
        partitions: Vec<PartitionId>,
    ) -> Arc<Waiter> {
        let waiter = Arc::new(Waiter {
            shared,
            command,
            args: wait.args.unwrap_or(args),
            db,
            version,
            deadline_ms: wait.deadline_ms,
            partitions,
            ticket: self.tickets.fetch_add(1, Ordering::Relaxed),
            wants: wait.wants,
            keys: wait.keys,
            target: wait.target,
            took_ns: AtomicU64::new(0),
            done: AtomicBool::new(false),
        });
        waiter.each_key(|key| self.queue(key, &waiter));
        lock(&self.sessions).insert(waiter.shared.id, waiter.clone());
        self.count.fetch_add(1, Ordering::Relaxed);
        self.groups.fetch_add(usize::from(waiter.wants == Wants::Group), Ordering::Relaxed);
        waiter
    }

    fn queue(&self, key: &[u8], waiter: &Arc<Waiter>) {
        let mut shard = self.shard(key);
        let queues = match shard.get_mut(key) {
            Some(queues) => queues,
            None => shard.entry(key.into()).or_default(),
        };
        let wanted = |queue: &&mut Queue| queue.db == waiter.db && queue.wants == waiter.wants;
        match queues.iter_mut().find(wanted) {
            Some(queue) if queue.waiters.contains_key(&waiter.ticket) => {}
            Some(queue) => queue.add(waiter),
            None => {
                let (waiters, partitions, targets) = Default::default();
                let mut queue = Queue { db: waiter.db, wants: waiter.wants, waiters, partitions, targets };
                queue.add(waiter);
                queues.push(queue);
            }
        }
    }

    /// Takes a session out: it was served, gave up, or is gone. False if that was done before. Its partitions are held.
    pub fn leave(&self, waiter: &Waiter) -> bool {
        if waiter.done.swap(true, Ordering::AcqRel) {
            return false;
        }
        waiter.each_key(|key| {
            let mut shard = self.shard(key);
            let Some(queues) = shard.get_mut(key) else { return };
            for queue in queues.iter_mut().filter(|q| q.db == waiter.db && q.wants == waiter.wants) {
                queue.remove(waiter);
            }
            queues.retain(|queue| !queue.waiters.is_empty());
            if queues.is_empty() {
                shard.remove(key);
            }
        });
        lock(&self.sessions).remove(&waiter.shared.id);
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.groups.fetch_sub(usize::from(waiter.wants == Wants::Group), Ordering::Relaxed);
        true
    }

    /// The databases and kinds for which somebody waits at a key.
    pub fn wanted(&self, key: &[u8]) -> Vec<(u16, Wants)> {
        let shard = self.shard(key);
        shard.get(key).map_or(Vec::new(), |queues| queues.iter().map(|q| (q.db, q.wants)).collect())
    }

    /// The first who waits for a key from this ticket on. O(log waiters).
    pub fn first_from(&self, key: &[u8], db: u16, wants: Wants, ticket: u64) -> Option<Arc<Waiter>> {
        let shard = self.shard(key);
        let queue = shard.get(key)?.iter().find(|queue| queue.db == db && queue.wants == wants)?;
        queue.waiters.range(ticket..).next().map(|(_, waiter)| waiter.clone())
    }

    /// The partitions that those who wait for a key touch when they are served, and the keys that they change then.
    pub fn reach(&self, key: &[u8], mut partition: impl FnMut(PartitionId), mut target: impl FnMut(&[u8])) {
        let shard = self.shard(key);
        for queue in shard.get(key).into_iter().flatten() {
            queue.partitions.keys().for_each(|id| partition(*id));
            queue.targets.keys().for_each(|key| target(key));
        }
    }

    /// All keys that are waited for. O(keys).
    pub fn keys(&self) -> Vec<Box<[u8]>> {
        self.shards.iter().flat_map(|shard| lock(shard).keys().cloned().collect::<Vec<_>>()).collect()
    }

    /// The keys, with their databases, whose going somebody is to be told of. O(keys), O(1) if there is nobody.
    pub fn keys_of_groups(&self) -> Vec<(u16, Box<[u8]>)> {
        let mut keys = Vec::new();
        if self.groups.load(Ordering::Relaxed) > 0 {
            for shard in &self.shards {
                for (key, queues) in lock(shard).iter() {
                    let wanted = queues.iter().filter(|queue| queue.wants == Wants::Group);
                    keys.extend(wanted.map(|queue| (queue.db, key.clone())));
                }
            }
        }
        keys
    }

    /// The wait of a session, if it waits.
    pub fn of_session(&self, id: u64) -> Option<Arc<Waiter>> {
        lock(&self.sessions).get(&id).cloned()
    }

    /// All who wait.
    pub fn all(&self) -> Vec<Arc<Waiter>> {
        lock(&self.sessions).values().cloned().collect()
    }

    /// Numbers for INFO. O(waiters).
    pub fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        for waiter in lock(&self.sessions).values() {
            figures.sessions += 1;
            figures.with_deadline += usize::from(waiter.deadline_ms.is_some());
        }
        for shard in &self.shards {
            for queues in lock(shard).values() {
                let mut dbs: Vec<u16> = queues.iter().map(|queue| queue.db).collect();
                dbs.sort_unstable();
                dbs.dedup();
                figures.keys += dbs.len();
                figures.keys_of_groups += queues.iter().filter(|queue| queue.wants == Wants::Group).count();
            }
        }
        figures
    }
}

#[cfg(all(test, feature = "loom"))]
mod model;
