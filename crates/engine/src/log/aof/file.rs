//! Writing the append-only file: the log thread's side.

use super::manifest::{Kind, Manifest, Part};
use super::rewrite;
use crate::config::Fsync;
use crate::log::merge::Sink;
use crate::node::{Node, now_ms};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often what was written is forced to the disk with `appendfsync everysec`, and how often a write that failed is
/// tried again.
const SECOND: Duration = Duration::from_secs(1);

/// The folder of the append-only file.
pub fn folder(node: &Node) -> PathBuf {
    PathBuf::from(&node.settings().append_only.folder)
}

/// Where the manifest lies within the folder.
pub fn manifest_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.manifest"))
}

/// Reads the manifest; `None` if there is none.
///
/// # Errors
/// It cannot be read, or makes no sense.
pub fn read_manifest(folder: &Path, name: &str) -> io::Result<Option<Manifest>> {
    match std::fs::read_to_string(manifest_path(folder, name)) {
        Ok(text) => Manifest::parse(&text).map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts a manifest in place of the old one: after a crash there is either.
///
/// # Errors
/// As the file system says.
pub fn write_manifest(folder: &Path, name: &str, manifest: &Manifest) -> io::Result<()> {
    let path = manifest_path(folder, name);
    let temporary = folder.join(format!("temp-{name}.manifest"));
    let mut file = File::create(&temporary)?;
    file.write_all(manifest.print().as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, &path)?;
    sync_folder(folder)
}

/// Makes names in a folder outlive the machine's death.
///
/// # Errors
/// As the file system says.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes folder and manifest of a node that has none, and brings a file of older versions, which was a single one, into
/// the folder.
///
/// # Errors
/// As the file system says, or the manifest makes no sense.
pub fn prepare(node: &Node) -> io::Result<()> {
    let (folder, name) = (folder(node), node.settings().append_only.file.clone());
    std::fs::create_dir_all(&folder)?;
    crate::snapshot::file::remove_left_over(&folder);
    if let Some(mut manifest) = read_manifest(&folder, &name)? {
        rewrite::remove_history(&folder, &name, &mut manifest)?;
        return Ok(());
    }
    let (old, new) = (Path::new(&name), folder.join(&name));
    if old.is_file() && !new.exists() {
        tracing::info!("Upgrading the append-only file {name} to the multi-part form");
        std::fs::rename(old, &new)?;
        sync_folder(&folder)?;
    }
    let mut manifest = Manifest::default();
    if new.is_file() {
        manifest.base = Some(Part { name: name.clone(), number: 1, kind: Kind::Base });
    }
    let part = Part { name: format!("{name}.1.incr.aof"), number: 1, kind: Kind::Increment };
    File::create(folder.join(&part.name))?.sync_all()?;
    manifest.increments.push(part);
    write_manifest(&folder, &name, &manifest)
}

/// An increment that is being written.
struct Increment {
    file: File,
    len: u64,
}

/// See the module.
pub struct Writer {
    node: Arc<Node>,
    increment: Option<Increment>,
    /// What could not be written yet, whole records.
    kept: Vec<u8>,
    /// The last sequence number in the file.
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
        let fresh = self.node.log.aof.rewrites.files().fresh;
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
            files.manifest = read_manifest(&folder, &name).ok().flatten().unwrap_or_default();
        }
        let (_, number) = files.manifest.next_numbers();
        let part = Part { name: format!("{name}.{number}.incr.aof"), number, kind: Kind::Increment };
        let file = File::create(folder.join(&part.name))?;
        file.sync_all()?;
        let mut manifest = files.manifest.clone();
        manifest.increments.push(part);
        if !fresh {
            write_manifest(&folder, &name, &manifest)?;
        }
        files.manifest = manifest;
        self.increment = Some(Increment { file, len: 0 });
        Ok(number)
    }

    /// The file was turned off: what is written is forced to the disk.
    fn close(&mut self) {
        self.flush();
        if self.unsynced {
            self.sync();
        }
        if self.increment.take().is_some() {
            let aof = &self.node.log.aof;
            self.kept = Vec::new();
            aof.unwritten.store(0, Ordering::Relaxed);
            aof.failing.store(false, Ordering::Relaxed);
            (aof.rewrites.files().fresh, self.stamped) = (false, 0);
        }
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
            && !self.node.log.aof.rewrites.files().fresh
            && let Err(error) = self.open()
        {
            return self.fail("opening", &error);
        }
        let Some(increment) = &mut self.increment else { return };
        let aof = &self.node.log.aof;
        match increment.file.write_all_at(&self.kept, increment.len) {
            Ok(()) => {
                increment.len += self.kept.len() as u64;
                aof.size.fetch_add(self.kept.len() as u64, Ordering::Relaxed);
                self.kept.clear();
                if self.kept.capacity() > 4 << 20 {
                    self.kept = Vec::new();
                }
                self.unsynced = true;
                if aof.failing.swap(false, Ordering::Relaxed) {
                    tracing::warn!("AOF write error looks solved. The server can write again.");
                }
            }
            Err(error) => {
                self.fail("writing", &error);
                // Part of it may have come to the file: it is written again from the same place.
                if let Some(increment) = &self.increment
                    && let Err(error) = increment.file.set_len(increment.len)
                {
                    tracing::warn!("Could not remove a short write from the append-only file: {error}");
                }
            }
        }
        self.node.log.aof.unwritten.store(self.kept.len() as u64, Ordering::Relaxed);
    }

    fn fail(&mut self, doing: &str, error: &io::Error) {
        if self.fsync() == Fsync::Always {
            tracing::error!(
                "Can't recover from AOF write error when the AOF fsync policy is 'always' ({doing}: {error}). Exiting..."
            );
            std::process::exit(1);
        }
        if !self.node.log.aof.failing.swap(true, Ordering::Relaxed) {
            tracing::warn!("Error {doing} to the AOF file: {error}");
        }
    }

    fn sync(&mut self) {
        let Some(increment) = &self.increment else { return };
        self.synced_at = Instant::now();
        match increment.file.sync_data() {
            Ok(()) => {
                self.unsynced = false;
                if self.kept.is_empty() {
                    self.tell_durable();
                }
            }
            Err(error) => self.fail("syncing", &error),
        }
    }

    /// Lets the replies go that waited for the disk.
    fn tell_durable(&self) {
        let log = &self.node.log;
        log.aof.durable.store(self.written, Ordering::Release);
        if log.aof.strict.load(Ordering::Acquire) {
            self.node.mailboxes.iter().for_each(crate::mailbox::Mailbox::wake);
        }
    }
}

impl Sink for Writer {
    fn write(&mut self, bytes: &[u8], number: u64) {
        // What came before the cut from which on there is a file will be in its base.
        if self.increment.is_none() && self.node.log.aof.rewrites.files().fresh {
            return;
        }
        let second = now_ms() / 1000;
        if self.node.settings().append_only.timestamps && second > self.stamped {
            self.stamped = second;
            self.kept.extend_from_slice(format!("#TS:{second}\r\n").as_bytes());
        }
        self.kept.extend_from_slice(bytes);
        self.written = number;
        // While the disk is full it is not asked for every record.
        if !self.node.log.aof.failing.load(Ordering::Relaxed) {
            self.flush();
        }
        if self.fsync() == Fsync::Always {
            self.sync();
        }
    }

    fn rotate(&mut self, number: u64) {
        self.flush();
        if self.unsynced {
            self.sync();
        }
        let made = self.begin_increment();
        let mut files = self.node.log.aof.rewrites.files();
        files.reached = Some((number, made.as_ref().ok().copied()));
        drop(files);
        match made {
            Ok(_) => {
                self.written = self.written.max(number);
                self.tell_durable();
            }
            Err(error) => self.fail("opening another increment", &error),
        }
    }

    fn tick(&mut self) {
        if !self.node.log.is_filed() && !self.node.loading.is_on() {
            return self.close();
        }
        if !self.kept.is_empty() && self.tried_at.elapsed() >= SECOND {
            self.flush();
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
}

impl Drop for Writer {
    /// The node ends: what is written is forced to the disk whatever the setting.
    fn drop(&mut self) {
        self.flush();
        if self.unsynced {
            self.sync();
        }
    }
}
