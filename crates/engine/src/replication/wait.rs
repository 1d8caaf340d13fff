//! WAIT: sessions that wait until replicas have come as far as this node had when the session last wrote.

use crate::command::wake;
use crate::node::Node;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

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
        const REPLY: &[u8] = b"-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n";
        for waiting in self.lock().drain(..) {
            if let Some(waiter) = node.blocked.of_session(waiting.session) {
                wake::end(node, &waiter, REPLY.to_vec(), 0);
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
        self.target = Some(node.log.offset());
        true
    }

    /// What it is answered now, and whether that is what was waited for.
    pub fn answer(&self, node: &Node) -> (Vec<u8>, bool) {
        let acked = self.target.map_or(0, |target| node.replication.replicas.count_acked(target).0);
        (format!(":{acked}\r\n").into_bytes(), self.target.is_some() && acked >= self.replicas)
    }
}

fn is_on_disk(node: &Node, number: u64) -> bool {
    node.log.aof.durable.load(Ordering::Acquire) >= number
}

/// How far the file of a node has come in the stream, if it has one: known when all of it is on disk.
pub fn offset_on_disk(node: &Node) -> Option<u64> {
    if !node.log.is_filed() {
        return None;
    }
    let offset = node.log.offset();
    is_on_disk(node, node.log.number()).then_some(offset)
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
