//! Saving to the file of the configuration: SAVE, BGSAVE, save points, and how it went.

use super::file::{self, FileWishes};
use super::take::{Purpose, Snapshot, State};
use crate::command::keyspace::{Held, Locked};
use crate::node::{Node, now_ms};
use crate::replication;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How long a save that failed is not tried again by a save point or a schedule.
const RETRY_MS: u64 = 5000;
/// How long a node that ends waits for a save that it has cancelled.
const CANCEL_WAIT: Duration = Duration::from_secs(10);

/// After so many seconds and changes it is time to save (`save`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePoint {
    /// Seconds since the last save.
    pub seconds: u64,
    /// Changes since the last save.
    pub changes: u64,
}

/// Reads `save`: pairs of seconds and changes.
///
/// # Errors
/// What CONFIG SET and the start of a node show.
pub fn parse_points(text: &str) -> Result<Vec<SavePoint>, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let number = |word: &str| word.parse::<u64>().ok();
    let points = words.chunks(2).map(|pair| match *pair {
        [seconds, changes] => {
            let seconds = number(seconds).filter(|seconds| *seconds > 0)?;
            Some(SavePoint { seconds, changes: number(changes)? })
        }
        _ => None,
    });
    points.collect::<Option<_>>().ok_or("Invalid save parameters".into())
}

/// `save` as text.
pub fn show_points(points: &[SavePoint]) -> String {
    let points = points.iter().map(|point| format!("{} {}", point.seconds, point.changes));
    points.collect::<Vec<_>>().join(" ")
}

/// How saving went, and what is to be done.
#[derive(Debug)]
pub struct Saves {
    /// Unix seconds of the last save that worked out.
    pub last_save: AtomicU64,
    /// `stats.changes` at the cut of it.
    pub changes: AtomicU64,
    /// True unless the last BGSAVE failed.
    pub last_worked: AtomicBool,
    /// Seconds that the last BGSAVE took, -1 before the first.
    pub last_seconds: AtomicI64,
    /// Saves that worked out.
    pub count: AtomicU64,
    /// The most bytes that waited to be written in the last BGSAVE: what a snapshot costs instead of copied pages.
    pub last_buffer_bytes: AtomicU64,
    /// BGSAVE SCHEDULE waits for another snapshot to end.
    scheduled: AtomicBool,
    last_try_ms: AtomicU64,
    /// The BGSAVE that is going on, until its file is there.
    running: Mutex<Option<Arc<Snapshot>>>,
    ended: Condvar,
}

impl Default for Saves {
    fn default() -> Saves {
        Saves {
            last_save: AtomicU64::new(now_ms() / 1000),
            changes: AtomicU64::new(0),
            last_worked: AtomicBool::new(true),
            last_seconds: AtomicI64::new(-1),
            count: AtomicU64::new(0),
            last_buffer_bytes: AtomicU64::new(0),
            scheduled: AtomicBool::new(false),
            last_try_ms: AtomicU64::new(0),
            running: Mutex::default(),
            ended: Condvar::new(),
        }
    }
}

/// Why a BGSAVE did not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Another one is going on.
    Saving,
    /// A snapshot for something else is being taken.
    Busy,
}

impl Saves {
    /// The BGSAVE that is going on.
    pub fn running(&self) -> Option<Arc<Snapshot>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets a BGSAVE begin as soon as it can.
    pub fn schedule(&self) {
        self.scheduled.store(true, Ordering::Relaxed);
    }

    /// True if a BGSAVE is to begin as soon as it can.
    pub fn is_scheduled(&self) -> bool {
        self.scheduled.load(Ordering::Relaxed)
    }

    /// Takes back that a BGSAVE is to begin; true if it was.
    pub fn unschedule(&self) -> bool {
        self.scheduled.swap(false, Ordering::Relaxed)
    }

    /// Changes since the last save.
    pub fn changes_since(&self, node: &Node) -> u64 {
        let changes = node.stats.changes.load(Ordering::Relaxed);
        changes.saturating_sub(self.changes.load(Ordering::Relaxed))
    }

    /// Cancels the BGSAVE that is going on and waits until its temporary file is gone: for a node that ends.
    pub fn end(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(snapshot) = &*running {
            snapshot.cancel();
            let none_left = |running: &mut Option<Arc<Snapshot>>| running.is_some();
            let _ = self.ended.wait_timeout_while(running, CANCEL_WAIT, none_left); // it is only a file
        }
    }

    fn note(&self, snapshot: &Snapshot, worked: bool, background: bool) {
        if worked {
            self.last_save.store(now_ms() / 1000, Ordering::Relaxed);
            self.changes.store(snapshot.changes, Ordering::Relaxed);
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        if background {
            self.last_seconds.store(snapshot.elapsed().as_secs() as i64, Ordering::Relaxed);
            self.last_buffer_bytes.store(snapshot.queue().peak_bytes() as u64, Ordering::Relaxed);
        }
        // A save that somebody cancelled says nothing about the disk.
        if worked || snapshot.state() != State::Cancelled {
            self.last_worked.store(worked, Ordering::Relaxed);
        }
    }
}

fn wishes(node: &Node, gives_way: bool) -> FileWishes {
    let settings = node.settings();
    FileWishes {
        path: PathBuf::from(&settings.persistence.dbfilename),
        checksum: settings.persistence.checksum,
        incremental: settings.persistence.incremental_fsync,
        gives_way,
    }
}

/// BGSAVE: begins, with the gate and all partitions held; a thread of its own writes the file.
pub fn begin(node: &Node, held: &mut dyn Held) -> Result<(), Refused> {
    let saves = &node.snapshots.saves;
    let mut running = saves.running.lock().unwrap_or_else(PoisonError::into_inner);
    if running.is_some() {
        return Err(Refused::Saving);
    }
    saves.last_try_ms.store(now_ms(), Ordering::Relaxed);
    let snapshot =
        super::begin(node, Purpose::Save, &replication::aux(node), held, &mut || {}).ok_or(Refused::Busy)?;
    saves.unschedule();
    tracing::info!("Background saving started: {} keys", snapshot.keys);
    let (shared, wishes, snapshots) = (snapshot.clone(), wishes(node, true), node.snapshots.clone());
    let work = move || {
        let result = file::write(&shared, &wishes);
        let saves = &snapshots.saves;
        match &result {
            Ok(size) => {
                let (seconds, buffered) = (shared.elapsed().as_secs_f64(), shared.queue().peak_bytes());
                tracing::info!(
                    "Background saving terminated with success: {size} bytes in {seconds:.1} s, at most {buffered} bytes \
                     of them in memory, the cut {} us of processor time, {}",
                    shared.cut_busy_us(),
                    shared.slices()
                );
            }
            Err(error) if shared.state() == State::Cancelled => tracing::warn!("Background saving {error}"),
            Err(error) => tracing::warn!("Background saving error: {error}"),
        }
        saves.note(&shared, result.is_ok(), true);
        *saves.running.lock().unwrap_or_else(PoisonError::into_inner) = None;
        saves.ended.notify_all();
    };
    match std::thread::Builder::new().name("save".into()).spawn(work) {
        Ok(_) => *running = Some(snapshot),
        Err(error) => snapshot.fail(error.to_string()),
    }
    Ok(())
}

/// SAVE: writes the file now, with all partitions held.
///
/// # Errors
/// What went wrong; the old file is still there.
pub fn now(node: &Node, held: &mut dyn Held) -> Result<(), String> {
    let saves = &node.snapshots.saves;
    if saves.running().is_some() {
        return Err("Background save already in progress".into());
    }
    let busy = "another snapshot is being taken";
    let snapshot =
        super::begin(node, Purpose::Save, &replication::aux(node), held, &mut || {}).ok_or(busy)?;
    let wishes = wishes(node, false);
    let result = std::thread::scope(|scope| {
        let writer = std::thread::Builder::new().name("save".into());
        let writer = writer.spawn_scoped(scope, || file::write(&snapshot, &wishes));
        if let Err(error) = &writer {
            snapshot.fail(error.to_string());
        }
        snapshot.run_through(held);
        match writer?.join() {
            Ok(result) => result,
            Err(_) => Err(std::io::Error::other("panicked")),
        }
    });
    node.snapshots.walked(&snapshot);
    saves.note(&snapshot, result.is_ok(), false);
    match result {
        Ok(size) => {
            tracing::info!("DB saved on disk: {} keys, {size} bytes", snapshot.keys);
            Ok(())
        }
        Err(error) => {
            tracing::warn!("Error saving DB on disk: {error}");
            Err(error.to_string())
        }
    }
}

/// FLUSHALL has removed all keys, and all partitions are held: a BGSAVE of what was is given up, and where there are save
/// points the file is made anew at once. Otherwise a crash before the next save would bring the keys back. `removed` changes
/// will be counted for it.
pub fn flushed(node: &Node, held: &mut dyn Held, removed: u64) {
    let saves = &node.snapshots.saves;
    if let Some(save) = saves.running() {
        // Its walk may be over already, and that of another one may go on.
        match node.snapshots.current().is_some_and(|current| Arc::ptr_eq(&current, &save)) {
            true => node.snapshots.abort(held),
            false => saves.end(),
        }
    }
    if node.settings().persistence.save_points.is_empty() {
        return;
    }
    match now(node, held) {
        // What was removed is not in the file, although it is counted only when the command is over.
        Ok(()) => drop(saves.changes.fetch_add(removed, Ordering::Relaxed)),
        // While another snapshot is being taken, it has to wait.
        Err(_) => saves.schedule(),
    }
}

/// Begins a BGSAVE if a save point or a schedule wants one. Called now and then by one worker.
pub fn look(node: &Node) {
    let saves = &node.snapshots.saves;
    if node.loading.is_on() || node.snapshots.is_active() || saves.running().is_some() {
        return;
    }
    let failed_now = !saves.last_worked.load(Ordering::Relaxed)
        && now_ms().saturating_sub(saves.last_try_ms.load(Ordering::Relaxed)) < RETRY_MS;
    if failed_now {
        return;
    }
    let changes = saves.changes_since(node);
    let elapsed = (now_ms() / 1000).saturating_sub(saves.last_save.load(Ordering::Relaxed));
    let settings = node.settings();
    let mut points = settings.persistence.save_points.iter().filter(|_| changes > 0);
    let due = points.find(|point| changes >= point.changes && elapsed > point.seconds);
    if let Some(point) = due {
        tracing::info!("{} changes in {} seconds. Saving...", point.changes, point.seconds);
    }
    if due.is_some() || saves.is_scheduled() {
        let _gate = node.replication.gate();
        // Whoever is in between tries again with the next look.
        let _ = begin(node, &mut Locked::all(&node.store));
    }
}
