//! Loading the append-only file when a node starts.
//!
//! The thread that starts the node goes through the files. A snapshot among them is loaded as any other is; commands are
//! executed by one worker, a piece per turn ([`Loads::work`]), because on a node with one worker only that may touch
//! the keyspace. Sessions are answered meanwhile.

use super::file::{folder, read_manifest};
use super::read::{Step, step};
use crate::log::{Applier, Source};
use crate::node::Node;
use crate::snapshot;
use larder_protocol::resp::args::Args;
use larder_protocol::resp::request::ArgRange;
use larder_store::Now;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that are read at once.
const READ_BYTES: usize = 1024 * 1024;
/// How often who waits for a worker looks whether the node stops.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Commands between two looks at the clock.
const COMMANDS_PER_LOOK: usize = 64;

/// Why the file cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("{0}: {1}")]
    Read(PathBuf, io::Error),
    /// It ends within a command, and is not the last file, or that is not allowed.
    #[error(
        "Unexpected end of file reading the append only file {0}. You can: 1) Make a backup of it, then cut it at \
         byte {1}. 2) Alternatively set the 'aof-load-truncated' configuration option to yes and start the node again."
    )]
    Truncated(PathBuf, u64),
    /// It makes no sense.
    #[error("Bad file format reading the append only file {0}: make a backup of it, then cut it at byte {1}")]
    Corrupt(PathBuf, u64),
    /// It holds a command that there is not.
    #[error("Unknown command '{1}' reading the append only file {0}")]
    Unknown(PathBuf, String),
    /// The base is a snapshot, and something is wrong with it.
    #[error("{0}: {1}")]
    Snapshot(PathBuf, snapshot::load::LoadError),
    /// The node stops.
    #[error("the node was told to stop")]
    Stopped,
}

/// Commands of a file that a worker is to execute, and how that went.
#[derive(Debug, Default)]
pub struct Loads {
    work: Mutex<Work>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Work {
    open: Option<Box<Open>>,
    outcome: Option<Result<(), LoadError>>,
    /// All was loaded, and the worker has to say that it logs from now on.
    last: bool,
}

impl Loads {
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The worker's part: executes commands for about so long. `None` if there are none; true if these were the last
    /// before the node serves, and the worker has to turn the log on.
    pub fn work(&self, node: &Node, now: Now, budget: Duration) -> Option<bool> {
        let mut work = self.lock();
        if work.last {
            return Some(true);
        }
        let mut open = work.open.take()?;
        drop(work);
        let result = open.step(node, now, budget);
        let mut work = self.lock();
        match result {
            Ok(false) => work.open = Some(open),
            Ok(true) => work.outcome = Some(Ok(())),
            Err(error) => work.outcome = Some(Err(error)),
        }
        drop(work);
        self.changed.notify_all();
        Some(false)
    }

    /// The worker has turned the log on.
    pub fn tell(&self) {
        let mut work = self.lock();
        (work.last, work.outcome) = (false, Some(Ok(())));
        drop(work);
        self.changed.notify_all();
    }

    /// Has a worker do something, and waits for it.
    fn ask(&self, node: &Node, ask: impl FnOnce(&mut Work)) -> Result<(), LoadError> {
        let mut work = self.lock();
        ask(&mut work);
        loop {
            if let Some(outcome) = work.outcome.take() {
                return outcome;
            }
            if node.stopping.load(Ordering::Acquire) {
                return Err(LoadError::Stopped);
            }
            work = self.changed.wait_timeout(work, LOOK_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Loads all files, and lets the node log from then on. The workers run, and this thread is none of them.
///
/// # Errors
/// A file cannot be loaded, and the settings do not allow to do with what can be.
pub fn load(node: &Node) -> Result<(), LoadError> {
    let began = Instant::now();
    let (folder, name) = (folder(node), node.settings().append_only.file.clone());
    let manifest = read_manifest(&folder, &name).map_err(|error| LoadError::Read(folder.clone(), error))?;
    let files: Vec<PathBuf> =
        manifest.iter().flat_map(|manifest| manifest.live()).map(|part| folder.join(&part.name)).collect();
    node.loading.keeps_dead.store(true, Ordering::Relaxed);
    for (at, path) in files.iter().enumerate() {
        let mut open = Box::new(Open::new(path.clone(), at + 1 == files.len())?);
        if open.is_snapshot()? {
            open = Box::new(open.load_snapshot(node)?);
        }
        node.log.aof.loads.ask(node, |work| work.open = Some(open))?;
    }
    node.loading.keeps_dead.store(false, Ordering::Relaxed);
    node.log.aof.loads.ask(node, |work| work.last = true)?;
    if !files.is_empty() {
        tracing::info!("DB loaded from append only file: {:.3} seconds", began.elapsed().as_secs_f64());
    }
    Ok(())
}

/// A file that is being read.
#[derive(Debug)]
struct Open {
    path: PathBuf,
    is_last: bool,
    file: File,
    buffer: Vec<u8>,
    start: usize,
    /// Offset in the file behind the last whole step: a transaction is one.
    valid: u64,
    /// Offset of what `start` points to.
    offset: u64,
    ended: bool,
    /// In whose name commands are executed.
    applier: Option<Applier>,
}

enum Next {
    Command(usize),
    Note(usize),
    /// The file ends; `clean` if it does between two commands.
    End {
        clean: bool,
    },
    Corrupt,
}

impl Open {
    fn new(path: PathBuf, is_last: bool) -> Result<Open, LoadError> {
        let file = File::open(&path).map_err(|error| LoadError::Read(path.clone(), error))?;
        let (buffer, applier) = (Vec::new(), None);
        Ok(Open { path, is_last, file, buffer, start: 0, valid: 0, offset: 0, ended: false, applier })
    }

    fn is_snapshot(&self) -> Result<bool, LoadError> {
        let mut head = [0; 6];
        let read =
            self.file.read_at(&mut head, 0).map_err(|error| LoadError::Read(self.path.clone(), error))?;
        Ok(head[..read].starts_with(b"REDIS") || &head == b"VALKEY")
    }

    /// Loads the snapshot that the file begins with; what is left are the commands behind it.
    fn load_snapshot(self, node: &Node) -> Result<Open, LoadError> {
        let failed = |error| LoadError::Read(self.path.clone(), error);
        let size = self.file.metadata().map_err(failed)?.len();
        let loaded = snapshot::load::load_stream(node, self.file, snapshot::load::Size::Sure(size));
        let (_, mut file, rest) = loaded.map_err(|error| LoadError::Snapshot(self.path.clone(), error))?;
        let failed = |error| LoadError::Read(self.path.clone(), error);
        let offset = file.stream_position().map_err(failed)? - rest.len() as u64;
        Ok(Open { file, buffer: rest, valid: offset, offset, ..Open::new(self.path, self.is_last)? })
    }

    /// Executes commands for about so long; true at the end of the file.
    fn step(&mut self, node: &Node, now: Now, budget: Duration) -> Result<bool, LoadError> {
        let until = Instant::now() + budget;
        let (mut ranges, mut applier) = (
            Vec::new(),
            match self.applier.take() {
                Some(applier) => applier,
                None => Applier::new(node, 0, Source::File),
            },
        );
        while Instant::now() < until {
            for _ in 0..COMMANDS_PER_LOOK {
                let consumed = match self.next(&mut ranges)? {
                    Next::Command(consumed) => {
                        let args = Args::new(&self.buffer[self.start..], &ranges);
                        let changes = applier.apply(node, now, args).map_err(|_| {
                            let name = String::from_utf8_lossy(args.get(0)).into_owned();
                            LoadError::Unknown(self.path.clone(), name)
                        })?;
                        node.stats.changes.fetch_add(changes, Ordering::Relaxed);
                        consumed
                    }
                    Next::Note(consumed) => consumed,
                    Next::End { clean } if clean && !applier.is_in_transaction() => return Ok(true),
                    Next::End { .. } => return self.cut_short(node).map(|()| true),
                    Next::Corrupt => return self.cut_corrupt(node).map(|()| true),
                };
                self.advance(consumed, !applier.is_in_transaction());
                node.loading.loaded_bytes.fetch_add(consumed as u64, Ordering::Relaxed);
            }
        }
        self.applier = Some(applier);
        Ok(false)
    }

    fn next(&mut self, ranges: &mut Vec<ArgRange>) -> Result<Next, LoadError> {
        loop {
            ranges.clear();
            let rest = &self.buffer[self.start..];
            match step(rest, ranges) {
                Ok(Step::Command { consumed }) => return Ok(Next::Command(consumed)),
                Ok(Step::Note { consumed }) => return Ok(Next::Note(consumed)),
                Ok(Step::Incomplete) if self.ended => return Ok(Next::End { clean: rest.is_empty() }),
                Ok(Step::Incomplete) => self.read_more()?,
                Err(_) => return Ok(Next::Corrupt),
            }
        }
    }

    /// Reads as much again as is held, so that a long command is not looked at too often.
    fn read_more(&mut self) -> Result<(), LoadError> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let wanted = READ_BYTES.max(self.buffer.len()) as u64;
        let read = Read::by_ref(&mut self.file).take(wanted).read_to_end(&mut self.buffer);
        match read {
            Ok(read) => self.ended = read == 0,
            Err(error) => return Err(LoadError::Read(self.path.clone(), error)),
        }
        Ok(())
    }

    fn advance(&mut self, consumed: usize, whole: bool) {
        self.start += consumed;
        self.offset += consumed as u64;
        if whole {
            self.valid = self.offset;
        }
    }

    fn cut(&self) -> Result<(), LoadError> {
        let failed = |error| LoadError::Read(self.path.clone(), error);
        let file = OpenOptions::new().write(true).open(&self.path).map_err(failed)?;
        file.set_len(self.valid).and_then(|()| file.sync_all()).map_err(failed)
    }

    /// The file ends within a step.
    fn cut_short(&self, node: &Node) -> Result<(), LoadError> {
        if !self.is_last || !node.settings().append_only.load_truncated {
            return Err(LoadError::Truncated(self.path.clone(), self.valid));
        }
        let path = self.path.display();
        tracing::warn!("!!! Warning: short read while loading the AOF file {path}!!!");
        tracing::warn!(
            "AOF {path} loaded anyway because aof-load-truncated is enabled; cut at {}",
            self.valid
        );
        self.cut()
    }

    /// The rest of the file makes no sense: it is cut off if it is short enough.
    fn cut_corrupt(&self, node: &Node) -> Result<(), LoadError> {
        let most = node.settings().append_only.corrupt_tail_max;
        let len = self.file.metadata().map_err(|error| LoadError::Read(self.path.clone(), error))?.len();
        let tail = len.saturating_sub(self.valid);
        if !self.is_last || most == 0 || tail > most {
            return Err(LoadError::Corrupt(self.path.clone(), self.valid));
        }
        tracing::warn!(
            "The last {tail} bytes of the AOF file {} make no sense and are cut off, as aof-load-corrupt-tail-max-size \
             says",
            self.path.display()
        );
        self.cut()
    }
}
