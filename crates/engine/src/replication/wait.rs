//! WAIT: sessions that wait until replicas have come as far as this node had when the session last wrote.

use crate::command::wake;
use crate::node::Node;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a session is told that waits while a primary becomes a replica.
pub const ROLE_CHANGED: &str =
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)";
/// Marks of the stream that wait for the disk.
const MARKS_MAX: usize = 1024;

/// What a session waits for.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Its id.
    pub session: u64,
    /// The sequence number of what it wrote last.
    pub number: u64,
    /// Where that is in the stream, once that is known.
    pub target: Option<u64>,
    /// How many replicas have to have come so far.
    pub replicas: usize,
    /// Unix milliseconds when it is answered at the latest.
    pub deadline_ms: Option<u64>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Waits {
    all: Mutex<Vec<Waiting>>,
    count: AtomicUsize,
}

impl Waits {
    fn lock(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a session, which is made to wait by its command.
    pub fn enter(&self, waiting: Waiting) {
        let mut all = self.lock();
        all.retain(|other| other.session != waiting.session);
        all.push(waiting);
        self.count.store(all.len(), Ordering::Release);
    }

    /// True if anybody waits. Takes no lock.
    #[inline]
    pub fn any(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// The role has changed: nobody is waited for any more.
    pub(super) fn end_all(&self, node: &Node) {
        for waiting in self.lock().drain(..) {
            if let Some(waiter) = node.blocked.of_session(waiting.session) {
                wake::end_with_error(node, &waiter, ROLE_CHANGED);
            }
        }
        self.count.store(0, Ordering::Release);
    }
}

impl Waiting {
    /// Finds out where in the stream it is what is waited for, if that has got there; true if it is news.
    pub fn resolve(&mut self, node: &Node) -> bool {
        if self.target.is_some() || node.log.merged() < self.number {
            return false;
        }
        if self.number == 0 {
            self.target = Some(0); // it wrote nothing: every replica has that
            return false;
        }
        self.target = Some(node.log.offset());
        true
    }

    /// How many replicas have it on disk.
    pub fn on_disk(&self, node: &Node) -> usize {
        self.target.map_or(0, |target| node.replication.replicas.count_acked(target).1)
    }

    /// What it is answered now, and whether that is what was waited for.
    pub fn answer(&self, node: &Node) -> (Vec<u8>, bool) {
        let acked = self.target.map_or(0, |target| node.replication.replicas.count_acked(target).0);
        (format!(":{acked}\r\n").into_bytes(), self.target.is_some() && acked >= self.replicas)
    }
}

/// How far the append-only file of a replica has come in the stream of its primary.
#[derive(Debug, Default)]
pub struct Disk {
    /// What was applied and is not on disk yet: a sequence number of this node, and where in the stream that is.
    marks: VecDeque<(u64, u64)>,
    /// Where in the stream the last mark is that was on disk.
    reached: u64,
    /// What was loaded is not in the file as long as this is the number of its base.
    lacks: Option<u64>,
}

impl Disk {
    /// A snapshot was loaded: only the next base of the file has what was in it.
    pub fn begin(&mut self, node: &Node) {
        *self = Disk { lacks: Some(base_number(node)), ..Disk::default() };
    }

    /// All that was applied so far has numbers up to that of now.
    pub fn mark(&mut self, node: &Node) {
        if !node.log.is_filed() {
            return;
        }
        let mark = (node.log.number(), node.log.offset());
        match self.marks.back_mut().filter(|last| last.0 == mark.0) {
            // It changed nothing here.
            Some(last) => *last = mark,
            None => {
                if self.marks.len() == MARKS_MAX {
                    self.marks.pop_back(); // the next one says more
                }
                self.marks.push_back(mark);
            }
        }
    }

    /// Up to where in the stream everything is on disk, if there is a file and it has all.
    pub fn reached(&mut self, node: &Node) -> Option<u64> {
        let whole = || self.lacks.is_none_or(|base| base_number(node) != base);
        if !node.log.is_filed() || node.log.aof.rewrites.fresh.load(Ordering::Acquire) || !whole() {
            return None;
        }
        self.lacks = None;
        let durable = node.log.aof.durable.load(Ordering::Acquire);
        while let Some((_, offset)) = self.marks.pop_front_if(|(number, _)| *number <= durable) {
            self.reached = offset;
        }
        Some(self.reached)
    }
}

fn base_number(node: &Node) -> u64 {
    node.log.aof.rewrites.files().manifest.base.as_ref().map_or(0, |base| base.number)
}

/// Asks the replicas how far they are.
pub fn ask(node: &Node, worker: usize) {
    let words: [&[u8]; 3] = [b"REPLCONF", b"GETACK", b"*"];
    node.log.tell_replicas(worker, words.into_iter());
}

/// More of the stream is there, or a replica has come further, or time has passed: answers those who need not wait any
/// more.
pub fn look(node: &Node, now_ms: u64) {
    let waits = &node.replication.waits;
    if !waits.any() {
        return;
    }
    let mut news = false;
    let mut ended = Vec::new();
    let mut all = waits.lock();
    all.retain_mut(|waiting| {
        news |= waiting.resolve(node);
        let (reply, enough) = waiting.answer(node);
        if !enough && waiting.deadline_ms.is_none_or(|deadline| deadline > now_ms) {
            return node.sessions.get(waiting.session).is_some();
        }
        match node.blocked.of_session(waiting.session) {
            Some(waiter) => {
                // It may wait for something else by now, if somebody ended this wait.
                if waiter.command.name == "wait" {
                    ended.push((waiter, reply));
                }
                false
            }
            // Its command is not over yet.
            None => node.sessions.get(waiting.session).is_some(),
        }
    });
    waits.count.store(all.len(), Ordering::Release);
    drop(all);
    if news {
        ask(node, 0);
    }
    for (waiter, reply) in ended {
        wake::end(node, &waiter, reply, 0);
    }
}
