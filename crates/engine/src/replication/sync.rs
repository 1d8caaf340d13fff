//! Snapshots for replicas: one thread takes them, and whoever waits for one at that time shares it.
//!
//! What the slowest replica has not taken yet lies in a [`Spool`], in memory up to a bound. Then the thread waits for it, but
//! only as long as it keeps a pace and nobody's writes are in need; beyond that the rest goes to a file. So a snapshot is over
//! in time, and none fails because somebody reads slowly.

use super::history::new_id;
use super::replicas::Replica;
use super::{MARK_BYTES, role};
use crate::command::locked::Locked;
use crate::log::Cut;
use crate::log::spool::{Block, Spool};
use crate::node::{Node, now_ms};
use crate::snapshot::{self, Purpose, Snapshot, State};
use larder_rdb::file::write;
use larder_rdb::{Checksum, Writer};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Bytes of a snapshot that wait in memory for the slowest replica.
const MEMORY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes a second which replicas have to take for the snapshot to wait for them. For slower ones it goes to a file, so that it is
/// over in time: meanwhile there is no other one, and what is written costs memory.
const PACE_BYTES: u64 = 32 * 1024 * 1024;
/// For so long it waits, however slow they are.
const PACE_GRACE: Duration = Duration::from_secs(1);
/// How long it sleeps at a time while it waits.
const PACE_SLEEP: Duration = Duration::from_micros(500);
/// Bytes of a block.
const BLOCK_BYTES: usize = 256 * 1024;
/// How long the thread waits for something to do before it looks whether the node stops.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long it waits before it tries again to begin a snapshot.
const RETRY: Duration = Duration::from_millis(50);
/// How long the log thread may take to come to the point of the cut.
const CUT_PATIENCE: Duration = Duration::from_secs(30);
/// The first version that reads the newer forms.
const NEW_FORMS_SINCE: (u32, u32) = (7, 2);

/// What a reader gets.
#[derive(Debug)]
pub enum Read {
    /// Bytes.
    Blocks(Vec<Block>),
    /// Nothing for now.
    Nothing,
    /// That was all.
    End,
    /// It came to nothing.
    Failed,
}

#[derive(Debug)]
struct Inner {
    spool: Spool,
    /// How it ended, once it has.
    end: Option<bool>,
}

/// A snapshot on its way to replicas.
#[derive(Debug)]
pub struct Transfer {
    /// The history that it belongs to.
    pub id: String,
    /// The offset of the stream that follows it.
    pub offset: u64,
    /// What stands behind it where its length was not told.
    pub mark: String,
    /// It is sent as it is made.
    pub streams: bool,
    readers: Vec<Weak<Replica>>,
    inner: Mutex<Inner>,
}

impl Transfer {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stands before it; `None` while that is not known.
    pub fn head(&self, whole: bool, plain: bool) -> Option<Vec<u8>> {
        let mut head = match plain {
            true => String::new(),
            false => format!("+FULLRESYNC {} {}\r\n", self.id, self.offset),
        };
        match whole {
            false => head += &format!("$EOF:{}\r\n", self.mark),
            true => {
                let inner = self.lock();
                if inner.end != Some(true) {
                    return None;
                }
                head += &format!("${}\r\n", inner.spool.end());
            }
        }
        Some(head.into_bytes())
    }

    /// True if it came to nothing.
    pub fn is_failed(&self) -> bool {
        self.lock().end == Some(false)
    }

    /// The bytes from a position on.
    pub fn read(&self, at: u64) -> Read {
        let inner = self.lock();
        match inner.spool.read(at) {
            None => Read::Failed,
            Some(blocks) if !blocks.is_empty() => Read::Blocks(blocks),
            Some(_) => match inner.end {
                None => Read::Nothing,
                Some(true) => Read::End,
                Some(false) => Read::Failed,
            },
        }
    }

    /// Adds bytes for the readers. As long as the spool is full it waits for them within `pace`.
    fn push(&self, node: &Node, bytes: &[u8], pace: &mut Pace<'_>) -> io::Result<()> {
        let readers: Vec<Arc<Replica>> = self.readers.iter().filter_map(Weak::upgrade).collect();
        let mut inner = self.lock();
        bytes.chunks(BLOCK_BYTES).for_each(|block| inner.spool.push(block.to_vec()));
        drop(inner);
        wake(node, &readers);
        // Who has to know how long it is before it begins takes nothing yet.
        let streams = self.streams && readers.iter().all(|reader| reader.facts.takes_mark);
        loop {
            let here = readers.iter().filter(|reader| !reader.is_over());
            let slowest = here.map(|reader| reader.sent.load(Ordering::Acquire)).min();
            let mut inner = self.lock();
            inner.spool.drop_before(slowest.unwrap_or(u64::MAX));
            let is_full = inner.spool.memory_bytes() > MEMORY_BYTES_MAX;
            let waits = is_full && streams && !node.stopping.load(Ordering::Acquire);
            if !waits || !pace.allows(inner.spool.end()) {
                return inner.spool.spill(MEMORY_BYTES_MAX);
            }
            drop(inner);
            pace.wait();
        }
    }

    fn end(&self, node: &Node, worked: bool) {
        self.lock().end = Some(worked);
        wake(node, &self.readers.iter().filter_map(Weak::upgrade).collect::<Vec<_>>());
    }
}

/// How long a snapshot has waited for its readers, and may.
struct Pace<'s> {
    snapshot: &'s Snapshot,
    waited: Duration,
}

impl Pace<'_> {
    /// True if it may wait, after so many bytes.
    fn allows(&self, passed: u64) -> bool {
        let most = PACE_GRACE + Duration::from_millis(passed * 1000 / PACE_BYTES);
        self.waited < most && !self.snapshot.queue().is_pressing()
    }

    fn wait(&mut self) {
        let began = Instant::now();
        std::thread::sleep(PACE_SLEEP);
        self.waited += began.elapsed();
    }
}

fn wake(node: &Node, replicas: &[Arc<Replica>]) {
    replicas.iter().for_each(|replica| node.mailboxes[replica.shared.place.worker as usize].wake());
}

/// The work of the thread, until the node stops.
pub fn run(node: &Node) {
    while !node.stopping.load(Ordering::Acquire) {
        let waiting = node.replication.replicas.waiting(LOOK_EVERY);
        if waiting.is_empty() {
            continue;
        }
        if !is_due(node, &waiting) || !serve(node, &waiting) {
            std::thread::sleep(RETRY);
        }
    }
}

/// Others may come: for a while they are waited for, so that one snapshot is enough.
fn is_due(node: &Node, waiting: &[Arc<Replica>]) -> bool {
    let settings = node.settings();
    let wishes = &settings.replication;
    let since = waiting.iter().filter_map(|replica| replica.waits_since()).min().unwrap_or(0);
    let delay_ms = if wishes.diskless_sync { wishes.diskless_delay * 1000 } else { 0 };
    let enough = wishes.diskless_replicas_max > 0 && waiting.len() >= wishes.diskless_replicas_max;
    enough || now_ms().saturating_sub(since) >= delay_ms
}

/// A snapshot, and where in the stream it is.
struct Begun {
    snapshot: Arc<Snapshot>,
    offset: u64,
    id: String,
}

/// Takes a snapshot and hands it to these replicas; false if it could not begin.
fn serve(node: &Node, replicas: &[Arc<Replica>]) -> bool {
    let is_old =
        |replica: &Arc<Replica>| replica.facts.version.is_none_or(|version| version < NEW_FORMS_SINCE);
    let old = replicas.iter().any(is_old);
    let Some(Some(begun)) = node.ask(move |node| begin(node, old)) else {
        node.replication.replicas.snapshot_is_handed_over(&node.log);
        return false;
    };
    let mark = new_id();
    debug_assert_eq!(mark.len(), MARK_BYTES);
    let transfer = Arc::new(Transfer {
        id: begun.id,
        offset: begun.offset,
        mark,
        streams: node.settings().replication.diskless_sync,
        readers: replicas.iter().map(Arc::downgrade).collect(),
        inner: Mutex::new(Inner { spool: Spool::new(0), end: None }),
    });
    replicas.iter().for_each(|replica| replica.receive(transfer.clone()));
    node.replication.replicas.snapshot_is_handed_over(&node.log);
    tracing::info!("Synchronizing {} replicas from offset {}", replicas.len(), begun.offset);
    let result = pump(node, &begun.snapshot, &transfer, old);
    if let Err(error) = &result {
        tracing::warn!("The snapshot for replicas failed: {error}");
        if matches!(begun.snapshot.state(), State::Walking | State::Complete) {
            begun.snapshot.fail(error.to_string());
        }
    }
    transfer.end(node, result.is_ok());
    true
}

/// A worker's part: the cut. Nothing if another snapshot is being taken, or there is nothing to be followed.
fn begin(node: &Node, old: bool) -> Option<Begun> {
    let gate = node.replication.gate();
    let mut held = Locked::all(&node.store);
    if node.loading.is_on() {
        return None;
    }
    role::keep_history(node);
    let (aux, following) = (super::aux(node), node.replication.is_following());
    let purpose = if old { Purpose::OldReplica } else { Purpose::Replica };
    let mut number = None;
    let mut cut = || number = (!following).then(|| node.log.cut(Cut::Replica));
    // The backlog is kept from here on: the point is not before this.
    node.replication.replicas.snapshot_begins(&node.log);
    let snapshot = snapshot::begin(node, purpose, &aux, &mut held, &mut cut)?;
    let (id, here) = (node.replication.state().history.id.clone(), node.log.offset());
    drop(held);
    drop(gate);
    let offset = match number {
        Some(number) => node.log.wait_for_point(number, CUT_PATIENCE),
        None => Some(here),
    };
    let Some(offset) = offset else {
        snapshot.fail("the log is too far behind".into());
        return None;
    };
    Some(Begun { snapshot, offset, id })
}

/// Brings what comes out of a snapshot to its readers.
fn pump(node: &Node, snapshot: &Snapshot, transfer: &Transfer, old: bool) -> io::Result<()> {
    let mut sum = node.settings().persistence.checksum.then(Checksum::default);
    let mut writer = if snapshot.compresses() { Writer::new() } else { Writer::uncompressed() };
    writer.use_old_forms(old);
    let mut pace = Pace { snapshot, waited: Duration::ZERO };
    let mut put = |bytes: &[u8], pace: &mut Pace<'_>| {
        if transfer.readers.iter().all(|reader| reader.strong_count() == 0) {
            return Err(io::Error::other("all replicas are gone"));
        }
        if let Some(sum) = &mut sum {
            sum.update(bytes);
        }
        transfer.push(node, bytes, pace)
    };
    snapshot.queue().prepare();
    while let Some(piece) = snapshot.queue().pop() {
        piece.each_part(snapshot.queue(), &mut writer, &mut |bytes| put(bytes, &mut pace))?;
        snapshot.rest();
    }
    match snapshot.state() {
        State::Complete => {}
        State::Failed(why) => return Err(io::Error::other(why)),
        State::Walking | State::Cancelled => return Err(io::Error::other("cancelled")),
    }
    write::end(&mut writer);
    put(writer.as_bytes(), &mut pace)?;
    let sum = write::checksum(sum.as_ref());
    transfer.push(node, &sum, &mut pace)
}
