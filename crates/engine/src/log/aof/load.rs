//! Loading the append-only file when a node starts, a piece per turn of the worker that does it.

use super::file::{folder, read_manifest};
use super::read::{Step, step};
use crate::log::Applier;
use crate::node::Node;
use larder_protocol::resp::args::Args;
use larder_protocol::resp::request::ArgRange;
use larder_store::Now;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Bytes that are read at once.
const READ_BYTES: usize = 1024 * 1024;
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
    /// The base is a snapshot.
    #[error("{0} is a snapshot, which cannot be loaded yet")]
    Snapshot(PathBuf),
}

/// See the module.
pub struct Loader {
    files: VecDeque<PathBuf>,
    applier: Applier,
    open: Option<Open>,
    /// Bytes that have been loaded, and of all files.
    done: u64,
    total: u64,
    began: Instant,
    commands: u64,
}

/// The file that is being read.
struct Open {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    start: usize,
    /// Offset in the file behind the last whole step: a transaction is one.
    valid: u64,
    /// Offset of what `start` points to.
    offset: u64,
    ended: bool,
}

impl Loader {
    /// Finds the files.
    ///
    /// # Errors
    /// The manifest or a file cannot be read.
    pub fn new(node: &Node, worker: usize) -> Result<Loader, LoadError> {
        let (folder, name) = (folder(node), node.settings().append_only.file.clone());
        let manifest =
            read_manifest(&folder, &name).map_err(|error| LoadError::Read(folder.clone(), error))?;
        let files: VecDeque<PathBuf> = manifest
            .iter()
            .flat_map(|manifest| manifest.live())
            .map(|part| folder.join(&part.name))
            .collect();
        let mut total = 0;
        for path in &files {
            let data = std::fs::metadata(path).map_err(|error| LoadError::Read(path.clone(), error))?;
            total += data.len();
        }
        let applier = Applier::new(node, worker);
        Ok(Loader { files, applier, open: None, done: 0, total, began: Instant::now(), commands: 0 })
    }

    /// Loads for about so long; true when there is nothing left.
    ///
    /// # Errors
    /// The file cannot be loaded, and the settings do not allow to do with what can be.
    pub fn step(&mut self, node: &Node, now: Now, budget: Duration) -> Result<bool, LoadError> {
        let until = Instant::now() + budget;
        let mut ranges = Vec::new();
        while Instant::now() < until {
            let Some(open) = &mut self.open else {
                match self.files.pop_front() {
                    Some(path) => self.open = Some(Open::new(path)?),
                    None => {
                        self.tell();
                        return Ok(true);
                    }
                }
                continue;
            };
            for _ in 0..COMMANDS_PER_LOOK {
                match open.next(&mut ranges)? {
                    Next::Command(consumed) => {
                        let args = Args::new(&open.buffer[open.start..], &ranges);
                        let changes = self.applier.apply(node, now, args).map_err(|_| {
                            let name = String::from_utf8_lossy(args.get(0)).into_owned();
                            LoadError::Unknown(open.path.clone(), name)
                        })?;
                        node.stats.changes.fetch_add(changes, Ordering::Relaxed);
                        self.commands += 1;
                        open.advance(consumed, !self.applier.is_in_transaction());
                    }
                    Next::Note(consumed) => open.advance(consumed, !self.applier.is_in_transaction()),
                    Next::End { clean } => {
                        let clean = clean && !self.applier.is_in_transaction();
                        self.applier.discard();
                        let is_last = self.files.is_empty();
                        self.done += finish(node, open, clean, is_last)?;
                        self.open = None;
                        break;
                    }
                    Next::Corrupt => {
                        self.applier.discard();
                        let is_last = self.files.is_empty();
                        self.done += cut_corrupt(node, open, is_last)?;
                        self.open = None;
                        break;
                    }
                }
            }
        }
        Ok(false)
    }

    /// Bytes that have been loaded, and of all files.
    pub fn progress(&self) -> (u64, u64) {
        (self.done + self.open.as_ref().map_or(0, |open| open.offset), self.total)
    }

    fn tell(&self) {
        let seconds = self.began.elapsed().as_secs_f64();
        tracing::info!("DB loaded from append only file: {seconds:.3} seconds, {} commands", self.commands);
    }
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
    fn new(path: PathBuf) -> Result<Open, LoadError> {
        let file = File::open(&path).map_err(|error| LoadError::Read(path.clone(), error))?;
        Ok(Open { path, file, buffer: Vec::new(), start: 0, valid: 0, offset: 0, ended: false })
    }

    fn next(&mut self, ranges: &mut Vec<ArgRange>) -> Result<Next, LoadError> {
        loop {
            ranges.clear();
            let rest = &self.buffer[self.start..];
            if self.offset == 0 && (rest.starts_with(b"REDIS") || rest.starts_with(b"VALKEY")) {
                return Err(LoadError::Snapshot(self.path.clone()));
            }
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

    fn cut(&self) -> Result<u64, LoadError> {
        let failed = |error| LoadError::Read(self.path.clone(), error);
        let file = OpenOptions::new().write(true).open(&self.path).map_err(failed)?;
        file.set_len(self.valid).and_then(|()| file.sync_all()).map_err(failed)?;
        Ok(self.valid)
    }
}

/// A file has come to its end.
fn finish(node: &Node, open: &Open, clean: bool, is_last: bool) -> Result<u64, LoadError> {
    if clean {
        return Ok(open.valid);
    }
    if !is_last || !node.settings().append_only.load_truncated {
        return Err(LoadError::Truncated(open.path.clone(), open.valid));
    }
    let path = open.path.display();
    tracing::warn!("!!! Warning: short read while loading the AOF file {path}!!!");
    tracing::warn!("AOF {path} loaded anyway because aof-load-truncated is enabled; cut at {}", open.valid);
    open.cut()
}

/// The rest of a file makes no sense: it is cut off if it is short enough.
fn cut_corrupt(node: &Node, open: &Open, is_last: bool) -> Result<u64, LoadError> {
    let most = node.settings().append_only.corrupt_tail_max;
    let len = open.file.metadata().map_err(|error| LoadError::Read(open.path.clone(), error))?.len();
    if !is_last || most == 0 || len.saturating_sub(open.valid) > most {
        return Err(LoadError::Corrupt(open.path.clone(), open.valid));
    }
    tracing::warn!(
        "The last {} bytes of the AOF file {} make no sense and are cut off, as aof-load-corrupt-tail-max-size says",
        len - open.valid,
        open.path.display()
    );
    open.cut()
}
