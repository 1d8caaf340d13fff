//! Loading files: one thread reads and cuts, the workers build and insert, a batch at a time between their turns.
//!
//! So sessions are answered while a node loads (most commands with `LOADING`), also on a node with one worker, whose
//! keyspace nobody else may touch; and several workers load several times as fast.

use super::delay::{Delay, Rested};
use crate::command::locked::Held;
use crate::node::{Node, now_ms};
use crate::replication::history::{is_id, position};
use larder_protocol::slot::slot_of;
use larder_rdb::file::read::{FileError, FileReader, Part, Wishes};
use larder_rdb::file::record::{Batch, Record};
use larder_rdb::load::Options;
use larder_store::partition::access::Access;
use larder_store::{Extras, Key, Partition, PartitionId};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Batches that wait for a worker, for each of them.
const BATCHES_PER_WORKER: usize = 2;
/// How long a worker waits for a batch before it looks at its sockets.
const PATIENCE: Duration = Duration::from_millis(1);
/// Keys whose places in the index are asked for before they are filed: the waits for memory overlap.
const GROUP: usize = 16;
/// The least that a key takes of a file: its type, and a byte of length and one of text for key and value.
const RECORD_BYTES_MIN: u64 = 4;
/// Bytes of the index for each key, about.
const INDEX_BYTES: u64 = 11;
/// Bytes of the index that are made in advance at most where nothing is sure of the size of what comes.
const INDEX_UNSURE_BYTES: u64 = 64 << 20;
/// How often the log tells how far a long load has come.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Why a file was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read, or something in it is wrong.
    #[error(transparent)]
    File(#[from] FileError),
    /// A key of a database that this node does not have.
    #[error("the file has keys of database {0}, and this node has only {1}: see 'databases'")]
    Database(u64, u16),
    /// A key that stands twice.
    #[error("RDB has duplicated key '{0}' in DB {1}")]
    Duplicate(String, u64),
    /// The node stops.
    #[error("the node was told to stop")]
    Stopped,
}

/// What is known of the bytes that an input has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// They are there.
    Sure(u64),
    /// So many are to come, says who sends them.
    Told(u64),
    /// Nothing.
    Unknown,
}

impl Size {
    fn bytes(self) -> Option<u64> {
        match self {
            Size::Sure(bytes) | Size::Told(bytes) => Some(bytes),
            Size::Unknown => None,
        }
    }

    /// For how many keys the index may be made in advance.
    fn reservable(self) -> u64 {
        match self {
            Size::Sure(bytes) => bytes / INDEX_BYTES,
            Size::Told(bytes) => bytes.min(INDEX_UNSURE_BYTES) / INDEX_BYTES,
            Size::Unknown => INDEX_UNSURE_BYTES / INDEX_BYTES,
        }
    }
}

/// Where a database is filed while it is loaded beside the one that commands see: behind all of those.
pub fn beside(node: &Node, db: u16) -> u16 {
    node.store.databases() + db // there are at most 16384
}

/// What was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Keys that are there now.
    pub keys: u64,
    /// Keys whose time was over.
    pub expired: u64,
}

/// Something for a worker to do.
#[derive(Debug)]
enum Task {
    /// Keys to build and insert.
    Keys(Batch),
    /// Room in the index for so many keys of a database.
    Reserve { db: u64, keys: u64 },
    /// The end: room in the index that was not needed.
    Fit,
}

#[derive(Debug, Default)]
struct Work {
    tasks: VecDeque<Task>,
    /// Tasks that workers are at.
    in_hand: usize,
    error: Option<LoadError>,
}

/// Where in a history of replication a file says that it is.
#[derive(Debug, Default)]
pub struct Origin {
    /// The id of the history.
    pub id: Option<String>,
    /// The position in it.
    pub offset: Option<u64>,
    /// The database in which the stream is there.
    pub db: Option<u16>,
}

impl Origin {
    /// Id and position, if it tells both.
    pub fn position(&self) -> Option<(String, u64)> {
        self.id.clone().filter(|id| is_id(id)).zip(self.offset)
    }
}

/// A load, and the figures of the last one.
#[derive(Debug, Default)]
pub struct Loading {
    /// `key-load-delay`.
    pub delay: Delay,
    on: AtomicBool,
    work: Mutex<Work>,
    changed: Condvar,
    origin: Mutex<Origin>,
    /// What is loaded is filed behind the databases that commands see, see [`beside`].
    beside: AtomicBool,
    /// Commands see what was there before.
    serves: AtomicBool,
    /// Keys whose time is over are kept: a log follows, which says when they die.
    pub keeps_dead: AtomicBool,
    /// Unix seconds of its start.
    pub started: AtomicU64,
    /// Bytes of the file.
    pub total_bytes: AtomicU64,
    /// Bytes of it that were loaded.
    pub loaded_bytes: AtomicU64,
    /// `used-mem` of the file.
    pub used_memory: AtomicU64,
    /// Keys loaded.
    pub keys: AtomicU64,
    /// Keys whose time was over.
    pub expired: AtomicU64,
    /// Libraries of functions that were passed over.
    pub functions: AtomicU64,
}

impl Loading {
    /// True while a file is loaded.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    /// True while a file is loaded and nobody is served meanwhile.
    pub fn is_shut(&self) -> bool {
        self.is_on() && !self.serves.load(Ordering::Relaxed)
    }

    /// True while what is loaded is filed beside what was there before.
    pub fn is_beside(&self) -> bool {
        self.is_on() && self.beside.load(Ordering::Relaxed)
    }

    /// The same as [`Loading::set`] with `true`, beside what is there; `serves`: sessions go on to be served with that.
    pub fn set_beside(&self, serves: bool) {
        self.begin((true, serves));
    }

    /// From now on sessions are told that the node is loading, or are not.
    pub fn set(&self, on: bool) {
        match on {
            true => self.begin((false, false)),
            false => self.on.store(false, Ordering::Release),
        }
    }

    fn begin(&self, (beside, serves): (bool, bool)) {
        self.beside.store(beside, Ordering::Relaxed);
        self.serves.store(serves, Ordering::Relaxed);
        self.started.store(now_ms() / 1000, Ordering::Relaxed);
        for figure in [
            &self.total_bytes,
            &self.loaded_bytes,
            &self.used_memory,
            &self.keys,
            &self.expired,
            &self.functions,
        ] {
            figure.store(0, Ordering::Relaxed);
        }
        self.on.store(true, Ordering::Release);
    }

    /// What the last file told of its place in a history.
    pub fn take_origin(&self) -> Origin {
        std::mem::take(&mut *self.origin.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker's part: builds and inserts one batch, or waits a moment for one.
    #[cold]
    #[inline(never)]
    pub fn help(&self, node: &Node) {
        let mut work = self.lock();
        if work.tasks.is_empty() {
            let waited = self.changed.wait_timeout(work, PATIENCE);
            work = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let Some(task) = work.tasks.pop_front() else { return };
        work.in_hand += 1;
        drop(work);
        self.changed.notify_all();
        let result = self.perform(node, &task);
        let mut work = self.lock();
        work.in_hand -= 1;
        if let Err(error) = result {
            work.error.get_or_insert(error);
            work.tasks.clear();
        }
        drop(work);
        self.changed.notify_all();
    }

    fn perform(&self, node: &Node, task: &Task) -> Result<(), LoadError> {
        match task {
            Task::Keys(batch) => {
                let mut door = |id: PartitionId, visit: &mut dyn FnMut(&mut Partition)| {
                    visit(&mut node.store.lock(id));
                };
                let loaded = insert(node, batch, &mut door)?;
                self.note(batch, loaded);
            }
            Task::Reserve { db, keys } => {
                let each = keys / node.store.partition_count() as u64;
                // A database that this node does not have is refused with its first key.
                if let Ok(db) = u16::try_from(*db)
                    && db < node.store.databases()
                {
                    let db = if self.is_beside() { beside(node, db) } else { db };
                    node.store.partitions().for_each(|id| node.store.lock(id).reserve(db, each as usize));
                }
            }
            Task::Fit => node.store.partitions().for_each(|id| node.store.lock(id).fit()),
        }
        Ok(())
    }

    fn note(&self, batch: &Batch, loaded: Loaded) {
        self.keys.fetch_add(loaded.keys, Ordering::Relaxed);
        self.expired.fetch_add(loaded.expired, Ordering::Relaxed);
        self.loaded_bytes.fetch_add(batch.len() as u64, Ordering::Relaxed);
    }

    /// Gives something to the workers; waits while they have enough.
    fn give(&self, node: &Node, task: Task) -> Result<(), LoadError> {
        let most = BATCHES_PER_WORKER * node.mailboxes.len();
        self.wait(node, |work| work.tasks.len() >= most)?.tasks.push_back(task);
        self.changed.notify_all();
        Ok(())
    }

    /// Waits as long as `go_on` says; an error of a worker ends it.
    fn wait(&self, node: &Node, go_on: impl Fn(&Work) -> bool) -> Result<MutexGuard<'_, Work>, LoadError> {
        let mut work = self.lock();
        loop {
            if let Some(error) = work.error.take() {
                return Err(error);
            }
            if node.stopping.load(Ordering::Acquire) {
                return Err(LoadError::Stopped);
            }
            if !go_on(&work) {
                return Ok(work);
            }
            let waited = self.changed.wait_timeout(work, Duration::from_millis(100));
            work = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn wishes(node: &Node, size: Option<u64>) -> Wishes {
    let settings = node.settings();
    Wishes { checksum: settings.persistence.checksum, any_version: settings.persistence.any_version, size }
}

/// Bytes of a file, if it is one that tells: a pipe does not.
fn size_of(file: &File) -> Result<Option<u64>, FileError> {
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then_some(metadata.len()))
}

/// Loads a file into the keyspace; the workers must run, and this thread must be none of them. Sessions should be told
/// before, see [`Loading::set`].
///
/// # Errors
/// What is wrong with the file, and where. Part of it may have been loaded.
pub fn load_file(node: &Node, path: &Path) -> Result<Loaded, LoadError> {
    let file = File::open(path).map_err(FileError::from)?;
    let size = size_of(&file)?.map_or(Size::Unknown, Size::Sure);
    load_stream(node, file, size).map(|(loaded, ..)| loaded)
}

/// The same for any input, and with what was read beyond the end of the RDB: the preamble of an append-only file, or what
/// a primary sends.
///
/// # Errors
/// As [`load_file`].
pub fn load_stream<R: io::Read>(
    node: &Node,
    input: R,
    size: Size,
) -> Result<(Loaded, R, Vec<u8>), LoadError> {
    let loading = &node.loading;
    let mut reservable = size.reservable();
    let (reserved, size) = (reservable, size.bytes());
    loading.total_bytes.store(size.unwrap_or(0), Ordering::Relaxed);
    let mut reader = FileReader::open(input, wishes(node, size))?;
    let (keys, expired) = (loading.keys.load(Ordering::Relaxed), loading.expired.load(Ordering::Relaxed));
    let (mut told, rested, epoch) = (Instant::now(), Rested::from(keys), node.replication.epoch());
    let is_over = || node.stopping.load(Ordering::Acquire) || node.replication.epoch() != epoch;
    loop {
        match reader.next_part() {
            Ok(Part::Keys(batch)) => {
                loading.give(node, Task::Keys(batch))?;
                if loading.delay.is_on() {
                    drop(loading.wait(node, |work| work.in_hand > 0 || !work.tasks.is_empty())?);
                    loading.delay.rest(loading.keys.load(Ordering::Relaxed), &rested, is_over);
                }
            }
            Ok(Part::Resize { db, keys, .. }) => {
                // What is said of the keys counts as far as the size bears it out.
                let left = size.map_or(u64::MAX, |size| size.saturating_sub(reader.offset()));
                let keys = keys.min(left / RECORD_BYTES_MIN).min(reservable);
                reservable -= keys;
                loading.give(node, Task::Reserve { db, keys })?;
            }
            Ok(Part::End { .. }) => break,
            Ok(other) => note(node, other),
            Err(error) => {
                loading.lock().tasks.clear();
                drop(loading.wait(node, |work| work.in_hand > 0)?);
                return Err(error.into());
            }
        }
        if told.elapsed() > TELL_EVERY {
            told = Instant::now();
            let done = loading.loaded_bytes.load(Ordering::Relaxed);
            let share = size.map_or(String::new(), |size| format!(", {} %", done * 100 / size.max(1)));
            tracing::info!("Loading: {} keys{share}", loading.keys.load(Ordering::Relaxed));
        }
    }
    if reservable < reserved {
        loading.give(node, Task::Fit)?;
    }
    drop(loading.wait(node, |work| work.in_hand > 0 || !work.tasks.is_empty())?);
    match loading.functions.load(Ordering::Relaxed) {
        0 => {}
        count => tracing::warn!("{count} libraries of functions in the file were passed over"),
    }
    let loaded = Loaded {
        keys: loading.keys.load(Ordering::Relaxed) - keys,
        expired: loading.expired.load(Ordering::Relaxed) - expired,
    };
    let (input, rest) = reader.into_rest();
    Ok((loaded, input, rest))
}

/// Loads a file with all partitions held, on this very thread: DEBUG RELOAD.
///
/// # Errors
/// As [`load_file`].
pub fn load_held(node: &Node, path: &Path, held: &mut dyn Held, merge: bool) -> Result<Loaded, LoadError> {
    let file = File::open(path).map_err(FileError::from)?;
    let mut reader = FileReader::open(&file, wishes(node, size_of(&file)?))?;
    let mut all = Loaded::default();
    let mut door = |id: PartitionId, visit: &mut dyn FnMut(&mut Partition)| {
        held.get(id).into_iter().for_each(&mut *visit);
    };
    loop {
        match reader.next_part()? {
            Part::Keys(batch) => {
                let loaded = insert_all(node, &batch, &mut door, merge)?;
                all.keys += loaded.keys;
                all.expired += loaded.expired;
            }
            Part::End { .. } => return Ok(all),
            other => note(node, other),
        }
    }
}

/// Tells the log of what is no key.
fn note(node: &Node, part: Part) {
    match part {
        Part::Aux { name, value } => {
            let value = String::from_utf8_lossy(&value);
            match name.as_slice() {
                b"redis-ver" | b"valkey-ver" => tracing::info!("Loading RDB produced by version {value}"),
                b"ctime" => {
                    let age = value.parse().map_or(0, |made| (now_ms() / 1000).saturating_sub(made));
                    tracing::info!("RDB age {age} seconds");
                }
                b"repl-id" | b"repl-offset" | b"repl-stream-db" => {
                    let mut origin = node.loading.origin.lock().unwrap_or_else(PoisonError::into_inner);
                    match name.as_slice() {
                        b"repl-id" => origin.id = Some(value.into_owned()),
                        b"repl-offset" => origin.offset = position(&value),
                        _ => origin.db = value.parse().ok(),
                    }
                }
                b"used-mem" => {
                    node.loading.used_memory.store(value.parse().unwrap_or(0), Ordering::Relaxed);
                }
                _ => tracing::debug!("{}: {value}", String::from_utf8_lossy(&name)),
            }
        }
        Part::Function(_) => {
            node.loading.functions.fetch_add(1, Ordering::Relaxed);
        }
        Part::ModuleAux => tracing::warn!("What a module kept in the file is passed over"),
        Part::Resize { .. } | Part::Keys(_) | Part::End { .. } => {}
    }
}

type Door<'d> = dyn FnMut(PartitionId, &mut dyn FnMut(&mut Partition)) + 'd;

fn insert(node: &Node, batch: &Batch, door: &mut Door<'_>) -> Result<Loaded, LoadError> {
    insert_all(node, batch, door, false)
}

/// Builds and inserts the keys of a batch. With `merge` a key may be there already, and is replaced.
fn insert_all(node: &Node, batch: &Batch, door: &mut Door<'_>, merge: bool) -> Result<Loaded, LoadError> {
    let databases = node.store.databases();
    let db = u16::try_from(batch.db).ok().filter(|db| *db < databases);
    let db = db.ok_or(LoadError::Database(batch.db, databases))?;
    let db = if node.loading.is_beside() { beside(node, db) } else { db };
    let settings = node.settings();
    let options = Options { limits: &settings.limits, thorough: false };
    let (now, lfu) = (now_ms(), settings.maxmemory_policy.is_lfu());
    let usual = node.access(&settings, now, 0).of_new();
    let keeps_dead = node.loading.keeps_dead.load(Ordering::Relaxed);
    let mut loaded = Loaded::default();
    let mut records = batch.records(&options);
    let mut group = Vec::with_capacity(GROUP);
    let mut more = true;
    while more {
        more = false;
        for record in records.by_ref().take(GROUP) {
            more = true;
            let record = record.map_err(FileError::from)?;
            if record.deadline.is_some_and(|deadline| deadline <= now) && !keeps_dead {
                loaded.expired += 1;
                continue;
            }
            let slot = slot_of(&record.key);
            let hashed = node.store.key(&record.key, slot);
            node.store.prefetch_bucket(&hashed);
            let hash = hashed.hash;
            group.push((record, slot, hash));
        }
        for (record, slot, hash) in group.drain(..) {
            let Record { key, value, deadline, idle_seconds, frequency, .. } = record;
            let created = match (lfu, frequency, idle_seconds) {
                (true, Some(count), _) => ((now / 60_000) as u32 & 0xffff) << 8 | u32::from(count),
                (false, _, Some(idle)) => {
                    node.word_of_idle(&settings, now.saturating_sub(idle.saturating_mul(1000)))
                }
                _ => usual,
            };
            let hashed = Key { bytes: &key, slot, hash };
            let (mut value, mut fresh) = (Some(value), true);
            door(node.store.partition_of(slot), &mut |partition| {
                let Some(value) = value.take() else { return };
                let before = partition.len(db);
                let extras = Extras { deadline, ..Extras::default() };
                drop(partition.set(db, &hashed, value, extras, Access::None { created }));
                fresh = partition.len(db) > before;
            });
            if !fresh && !merge {
                return Err(LoadError::Duplicate(String::from_utf8_lossy(&key).into_owned(), batch.db));
            }
            loaded.keys += 1;
        }
    }
    Ok(loaded)
}
