//! Writing the append-only file: the side of the thread that owns its increments.
//!
//! What is to be written comes in batches of the [`super::feed`]. A batch is one write and, with `appendfsync always`, one
//! fsync, whoever wrote what is in it.

use super::file::{folder, is_kept, read_manifest, write_manifest};
use super::manifest::{Kind, Part};
use super::rewrite;
use crate::config::Fsync;
use crate::node::{Node, now_ms};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often what was written is forced to the disk with `appendfsync everysec`, and how often a write that failed is
/// tried again.
const SECOND: Duration = Duration::from_secs(1);
/// Bytes that could not be written beyond which they are given up: the file is written anew once there is room.
const KEPT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// A buffer that grew beyond this is given back once it is empty.
const SPARE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// An increment that is being written.
struct Increment {
    file: File,
    len: u64,
}

/// See the module.
pub struct Writer {
    node: Arc<Node>,
    increment: Option<Increment>,
    /// What is not written yet, whole records.
    kept: Vec<u8>,
    /// The last sequence number that is in the file or kept for it.
    written: u64,
    unsynced: bool,
    synced_at: Instant,
    tried_at: Instant,
    /// The second of the last timestamp.
    stamped: u64,
}

impl Writer {
    /// A writer that has no file yet.
    pub fn new(node: Arc<Node>) -> Writer {
        let now = Instant::now();
        Writer {
            node,
            increment: None,
            kept: Vec::new(),
            written: 0,
            unsynced: false,
            synced_at: now,
            tried_at: now,
            stamped: 0,
        }
    }

    /// True while there is a file that time may bring work for.
    pub fn is_open(&self) -> bool {
        self.increment.is_some() || !self.kept.is_empty()
    }

    /// True if what comes is not for a file: it is in the base that comes first.
    fn waits_for_base(&self) -> bool {
        self.increment.is_none() && self.node.log.aof.rewrites.fresh.load(Ordering::Acquire)
    }

    /// Takes whole records, the last of which has this number. Answers a buffer that is not needed any more.
    pub fn add(&mut self, mut bytes: Vec<u8>, number: u64) -> Vec<u8> {
        let aof = &self.node.log.aof;
        if self.waits_for_base() {
            aof.unwritten.fetch_sub(bytes.len() as u64, Ordering::Relaxed);
            return bytes;
        }
        let second = now_ms() / 1000;
        if self.node.settings().append_only.timestamps && second > self.stamped {
            self.stamped = second;
            let stamp = super::stamp(second);
            aof.unwritten.fetch_add(stamp.len() as u64, Ordering::Relaxed);
            self.kept.extend_from_slice(stamp.as_bytes());
        }
        match self.kept.is_empty() {
            true => std::mem::swap(&mut self.kept, &mut bytes),
            false => self.kept.append(&mut bytes),
        }
        self.written = number;
        if aof.failing.load(Ordering::Relaxed) {
            // While the disk is full it is not asked for every record.
            if self.kept.len() > KEPT_BYTES_MAX {
                self.give_up();
            }
        } else if self.kept.len() >= SPARE_BYTES_MAX {
            self.flush();
        }
        bytes
    }

    /// Nothing more has come for now: writes, and does what time and the settings ask for.
    pub fn settle(&mut self) {
        let log = &self.node.log;
        if !log.is_filed() && !self.node.loading.is_on() {
            return self.close();
        }
        if !self.kept.is_empty()
            && (!log.aof.failing.load(Ordering::Relaxed) || self.tried_at.elapsed() >= SECOND)
        {
            self.flush();
        }
        // It may be a single command that is too much, and while the disk is full no other comes.
        if self.kept.len() > KEPT_BYTES_MAX && self.node.log.aof.failing.load(Ordering::Relaxed) {
            self.give_up();
        }
        let due = match self.fsync() {
            Fsync::Always => true,
            Fsync::EverySecond => self.synced_at.elapsed() >= SECOND,
            Fsync::No => false,
        };
        if self.unsynced && due {
            self.sync();
        }
    }

    /// Everything up to a cut has come: goes on in another increment.
    pub fn rotate(&mut self, number: u64) {
        self.finish();
        let made = self.begin_increment();
        let aof = &self.node.log.aof;
        aof.rewrites.files().reached = Some((number, made.as_ref().ok().copied()));
        match made {
            Ok(_) => {
                self.written = self.written.max(number);
                self.tell_durable();
            }
            Err(error) if self.increment.is_none() => self.fail("opening", &error),
            // The last increment goes on, and only the rewrite has failed.
            Err(error) => tracing::warn!("Error opening another increment of the AOF file: {error}"),
        }
    }

    /// Opens the last increment, making one if there is none.
    fn open(&mut self) -> io::Result<()> {
        let settings = self.node.settings().append_only.clone();
        let folder = folder(&self.node);
        let mut manifest = read_manifest(&folder, &settings.file)?.unwrap_or_default();
        if manifest.increments.is_empty() {
            let (_, number) = manifest.next_numbers();
            let name = format!("{}.{number}.incr.aof", settings.file);
            File::create(folder.join(&name))?.sync_all()?;
            manifest.increments.push(Part { name, number, kind: Kind::Increment });
            write_manifest(&folder, &settings.file, &manifest)?;
        }
        let total = rewrite::sizes(&folder, &manifest);
        if let Some(last) = manifest.increments.last() {
            let file =
                OpenOptions::new().write(true).create(true).truncate(false).open(folder.join(&last.name))?;
            let len = file.metadata()?.len();
            self.increment = Some(Increment { file, len });
        }
        let aof = &self.node.log.aof;
        aof.size.store(total, Ordering::Relaxed);
        aof.base_size.store(total, Ordering::Relaxed);
        aof.rewrites.files().manifest = manifest;
        Ok(())
    }

    /// Goes on in another increment; its number.
    fn begin_increment(&mut self) -> io::Result<u64> {
        let fresh = self.node.log.aof.rewrites.fresh.load(Ordering::Acquire);
        if self.increment.is_none() && !fresh {
            self.open()?;
        }
        if !self.kept.is_empty() {
            return Err(io::Error::other("what was logged before is not written yet"));
        }
        let (folder, name) = (folder(&self.node), self.node.settings().append_only.file.clone());
        std::fs::create_dir_all(&folder)?;
        let mut files = self.node.log.aof.rewrites.files();
        if self.increment.is_none() {
            // The file was off: what an older manifest names is replaced once there is a base.
            files.manifest = read_manifest(&folder, &name)?.unwrap_or_default();
        }
        let (_, number) = files.manifest.next_numbers();
        let part = Part { name: format!("{name}.{number}.incr.aof"), number, kind: Kind::Increment };
        let mut manifest = files.manifest.clone();
        manifest.increments.push(part.clone());
        let file = File::create(folder.join(&part.name)).and_then(|file| {
            file.sync_all()?;
            if !fresh {
                write_manifest(&folder, &name, &manifest)?;
            }
            Ok(file)
        });
        let file = file.inspect_err(|_| {
            is_kept(&folder, &name, &part.name); // its number, and so its name, is that of the next one
        })?;
        files.manifest = manifest;
        self.increment = Some(Increment { file, len: 0 });
        Ok(number)
    }

    /// Writes what is kept and forces it to the disk.
    fn finish(&mut self) {
        self.flush();
        if self.unsynced {
            self.sync();
        }
    }

    /// The file was turned off: what is written is forced to the disk. It may have been turned on again meanwhile, so what that
    /// set stays as it is.
    fn close(&mut self) {
        if !self.is_open() {
            return;
        }
        self.finish();
        self.increment = None;
        self.forget_kept();
        let aof = &self.node.log.aof;
        aof.failing.store(false, Ordering::Relaxed);
        self.stamped = 0;
    }

    fn forget_kept(&mut self) {
        let kept = std::mem::take(&mut self.kept);
        self.node.log.aof.unwritten.fetch_sub(kept.len() as u64, Ordering::Relaxed);
    }

    /// More waits for a disk that takes nothing than may, or an fsync has failed: what is in memory is to become a base, as
    /// soon as that can be written. Until then the manifest names what was written before, and writes are refused.
    fn give_up(&mut self) {
        tracing::warn!("The AOF file could not be made durable: it will be written anew");
        self.forget_kept();
        (self.increment, self.unsynced) = (None, false);
        let rewrites = &self.node.log.aof.rewrites;
        // A base that is being written does not have what was given up.
        rewrites.files().reached = None;
        rewrites.fresh.store(true, Ordering::Release);
    }

    fn fsync(&self) -> Fsync {
        self.node.settings().append_only.fsync
    }

    /// Writes what is kept. With `always` there is no way on after a failure: what was answered is on disk, and what
    /// is not on disk was not answered.
    fn flush(&mut self) {
        if self.kept.is_empty() {
            return;
        }
        self.tried_at = Instant::now();
        if self.increment.is_none()
            && !self.waits_for_base()
            && let Err(error) = self.open()
        {
            return self.fail("opening", &error);
        }
        let Some(increment) = &mut self.increment else { return };
        let aof = &self.node.log.aof;
        match increment.file.write_all_at(&self.kept, increment.len) {
            Ok(()) => {
                let len = self.kept.len() as u64;
                increment.len += len;
                aof.size.fetch_add(len, Ordering::Relaxed);
                aof.unwritten.fetch_sub(len, Ordering::Relaxed);
                self.kept.clear();
                if self.kept.capacity() > SPARE_BYTES_MAX {
                    self.kept = Vec::new();
                }
                self.unsynced = true;
                self.recover();
                if self.fsync() == Fsync::No {
                    self.tell_durable(); // that is all that was asked for
                }
            }
            Err(error) => {
                self.fail("writing to", &error);
                // Part of it may have come to the file: it is written again from the same place.
                if let Some(increment) = &self.increment
                    && let Err(error) = increment.file.set_len(increment.len)
                {
                    tracing::warn!("Could not remove a short write from the append-only file: {error}");
                }
            }
        }
    }

    /// Writing works (again); a file without a base does not count yet.
    fn recover(&self) {
        let aof = &self.node.log.aof;
        if aof.failing.load(Ordering::Relaxed) && !aof.rewrites.fresh.load(Ordering::Acquire) {
            aof.failing.store(false, Ordering::Relaxed);
            tracing::warn!("AOF write error looks solved. The server can write again.");
        }
    }

    fn fail(&mut self, doing: &str, error: &io::Error) {
        if self.fsync() == Fsync::Always {
            tracing::error!(
                "Can't recover from AOF write error when the AOF fsync policy is 'always' ({doing} the file: {error}). \
                 Exiting..."
            );
            std::process::exit(1);
        }
        let aof = &self.node.log.aof;
        *aof.failure.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
        if !aof.failing.swap(true, Ordering::Relaxed) {
            tracing::warn!("Error {doing} the AOF file: {error}");
        }
    }

    fn sync(&mut self) {
        let Some(increment) = &self.increment else { return };
        self.synced_at = Instant::now();
        let (settings, log) = (self.node.settings(), &self.node.log);
        let saves = self.node.snapshots.saves.running().is_some() || log.aof.rewrites.running().is_some();
        if settings.append_only.no_fsync_on_rewrite && saves {
            // Nobody waits for the disk while something else is written; it is forced afterwards.
            return self.tell_durable();
        }
        match increment.file.sync_data() {
            Ok(()) => {
                self.unsynced = false;
                if self.kept.is_empty() {
                    self.recover();
                    self.tell_durable();
                }
            }
            Err(error) => {
                self.fail("syncing", &error);
                // The kernel may have forgotten what it could not write, and says so only once: an fsync that works later
                // says nothing of it.
                self.give_up();
            }
        }
    }

    /// Lets the replies go that waited for the disk.
    fn tell_durable(&self) {
        self.node.log.aof.durable.store(self.written, Ordering::SeqCst);
        self.node.wake_who_waits_for_disk();
    }
}

impl Drop for Writer {
    /// The node ends: what is written is forced to the disk whatever the setting.
    fn drop(&mut self) {
        self.finish();
    }
}
