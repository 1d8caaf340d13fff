//! What the log thread hands to the thread that writes the file.
//!
//! The log thread never waits for a disk: while a write or an fsync takes its time, replicas are sent the stream and
//! commands run on, until [`crate::log::WAITING_BYTES_MAX`] are waiting. What comes meanwhile is one batch: so the slower
//! the disk, the more commands share an fsync.

use super::write::Writer;
use crate::log::merge::Sink;
use crate::node::{Node, now_ms};
use crate::replication::wait;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes of an item after which the next one begins.
const ITEM_BYTES: usize = 1024 * 1024;
/// Buffers of items that are kept to be used again, and the largest of them: fresh memory costs more than copying to it.
const SPARES_MAX: usize = 4;
const SPARE_BYTES_MAX: usize = 2 * ITEM_BYTES;
/// How long the writer sleeps at most: while there is a file, time brings it work.
const SLEEP: Duration = Duration::from_millis(100);
/// The same while there is none.
const SLEEP_OFF: Duration = Duration::from_secs(1);

#[derive(Debug)]
enum Item {
    /// Whole records, the last of which has this number.
    Bytes(Vec<u8>, u64),
    /// Everything up to this number has come: the next goes to another increment.
    Rotate(u64),
}

#[derive(Debug, Default)]
struct Inner {
    items: VecDeque<Item>,
    /// Empty buffers, until nothing has come for a while.
    spares: Vec<Vec<u8>>,
    closed: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Feed {
    inner: Mutex<Inner>,
    changed: Condvar,
}

impl Feed {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a buffer for another item.
    fn keep(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut inner = self.lock();
        if inner.spares.len() < SPARES_MAX && (1..=SPARE_BYTES_MAX).contains(&buffer.capacity()) {
            inner.spares.push(buffer);
        }
    }

    /// Nothing comes any more: the log thread has ended.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// The work of the writing thread, until [`Feed::close`] and until everything is written.
    pub fn run(&self, node: &Arc<Node>) {
        let mut writer = Writer::new(node.clone());
        loop {
            let sleep = if writer.is_open() || node.log.is_filed() { SLEEP } else { SLEEP_OFF };
            let mut inner = self.lock();
            if inner.items.is_empty() && !inner.closed {
                inner = self.changed.wait_timeout(inner, sleep).unwrap_or_else(PoisonError::into_inner).0;
                if inner.items.is_empty() {
                    inner.spares = Vec::new();
                }
            }
            let (items, closed) = (std::mem::take(&mut inner.items), inner.closed);
            drop(inner);
            for item in items {
                match item {
                    Item::Bytes(bytes, number) => self.keep(writer.add(bytes, number)),
                    Item::Rotate(number) => writer.rotate(number),
                }
            }
            writer.settle();
            if closed && self.lock().items.is_empty() {
                return;
            }
        }
    }
}

/// The log thread's end of it.
pub struct Feeder<'a>(pub &'a Node);

impl Sink for Feeder<'_> {
    fn streamed(&mut self) {
        self.0.replication.replicas.wake(self.0);
        wait::look(self.0, now_ms());
        self.0.wake_who_waits_for_replicas();
    }

    fn write(&mut self, bytes: &[u8], number: u64) {
        self.0.log.aof.unwritten.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let mut inner = self.0.log.aof.feed.lock();
        match inner.items.back_mut() {
            Some(Item::Bytes(before, last)) if before.len() + bytes.len() <= ITEM_BYTES => {
                before.extend_from_slice(bytes);
                *last = number;
            }
            _ => {
                let mut buffer = inner.spares.pop().unwrap_or_default();
                buffer.extend_from_slice(bytes);
                inner.items.push_back(Item::Bytes(buffer, number));
            }
        }
        self.0.log.aof.feed.changed.notify_all();
    }

    fn rotate(&mut self, number: u64) {
        self.0.log.aof.feed.lock().items.push_back(Item::Rotate(number));
        self.0.log.aof.feed.changed.notify_all();
    }

    fn tick(&mut self) {}
}
