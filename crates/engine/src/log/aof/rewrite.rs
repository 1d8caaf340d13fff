//! Writing the append-only file anew: a snapshot becomes the base, and what is logged from its cut on the increment.
//!
//! At the cut the log thread goes on in another increment (`file::Writer::rotate`), and the manifest names it behind the
//! old files. When the base is whole and durable, a manifest that names the base and the increments from the cut on takes
//! the place of the old one. So whenever the node dies, the manifest on disk names files that have everything.

use super::commands;
use super::file::{folder, is_kept, read_manifest, write_manifest};
use super::manifest::{Kind, Manifest, Part};
use crate::command::locked::{Held, Locked};
use crate::log::Cut;
use crate::node::{Node, now_ms};
use crate::snapshot::file::{FileWishes, write};
use crate::snapshot::{self, Purpose, Snapshot, State};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often who writes the base looks whether the log thread has come to the cut.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How long a rewrite that failed is not tried again by itself, milliseconds.
const RETRY_MS: u64 = 5000;

/// The files as they are named now.
#[derive(Debug, Default)]
pub struct Files {
    /// What the manifest says; with [`Rewrites::fresh`], what it will say.
    pub manifest: Manifest,
    /// The last cut that the log thread came to, and the number of the increment that begins there; none if it could not
    /// be made.
    pub reached: Option<(u64, Option<u64>)>,
    /// The number of the last base that was begun. It is not used again: nobody knows whether a manifest that could not be
    /// made durable names it.
    last_base: u64,
}

/// Rewrites: the one that goes on, and how the last one went.
#[derive(Debug)]
pub struct Rewrites {
    files: Mutex<Files>,
    running: Mutex<Option<Arc<Snapshot>>>,
    /// The file has just been turned on: there is no base yet, and the manifest on disk is an older one.
    pub fresh: AtomicBool,
    /// One is to begin as soon as it can.
    pub scheduled: AtomicBool,
    /// A worker is to look at once at what the settings ask for.
    pub wanted: AtomicBool,
    /// False if the last one failed.
    pub last_worked: AtomicBool,
    /// Seconds that the last one took, -1 before the first.
    pub last_seconds: AtomicI64,
    /// How many were made, and how many in a row failed since one worked.
    pub counts: [AtomicU64; 2],
    last_try_ms: AtomicU64,
}

impl Default for Rewrites {
    fn default() -> Rewrites {
        Rewrites {
            files: Mutex::default(),
            running: Mutex::default(),
            fresh: AtomicBool::new(false),
            scheduled: AtomicBool::new(false),
            wanted: AtomicBool::new(false),
            last_worked: AtomicBool::new(true),
            last_seconds: AtomicI64::new(-1),
            counts: Default::default(),
            last_try_ms: AtomicU64::new(0),
        }
    }
}

impl Rewrites {
    /// The files. Nothing is awaited while they are held.
    pub fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rewrite that goes on.
    pub fn running(&self) -> Option<Arc<Snapshot>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Why a rewrite did not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Another one is going on.
    Rewriting,
    /// A snapshot for something else is being taken.
    Busy,
}

/// Begins, with all partitions held. If the file is to be on and is off, it is on from this instant. If it is to be off,
/// there will be a base and nothing else.
///
/// # Errors
/// It cannot begin now.
pub fn begin(node: &Arc<Node>, held: &mut dyn Held) -> Result<(), Refused> {
    let rewrites = &node.log.aof.rewrites;
    let mut running = rewrites.running.lock().unwrap_or_else(PoisonError::into_inner);
    if running.is_some() {
        return Err(Refused::Rewriting);
    }
    rewrites.last_try_ms.store(now_ms(), Ordering::Relaxed);
    let (is_on, mut number) = (node.settings().append_only.on, None);
    let mut cut = || {
        if !is_on {
            return;
        }
        if !node.log.is_filed() {
            rewrites.fresh.store(true, Ordering::Release);
            node.log.set_filed(true);
        }
        number = Some(node.log.cut(Cut::File));
    };
    let snapshot = snapshot::begin(node, Purpose::LogBase, &[], held, &mut cut).ok_or(Refused::Busy)?;
    node.find_wanted();
    rewrites.scheduled.store(false, Ordering::Relaxed);
    tracing::info!("Background append only file rewriting started: {} keys", snapshot.keys);
    let (shared, node) = (snapshot.clone(), node.clone());
    let work = move || {
        let rewrites = &node.log.aof.rewrites;
        let result = write_base(&node, &shared, number);
        let seconds = shared.elapsed().as_secs_f64();
        match &result {
            Ok(size) => tracing::info!(
                "Background AOF rewrite finished successfully: a base of {size} bytes in {seconds:.1} s"
            ),
            Err(error) => tracing::warn!("Background AOF rewrite failed: {error}"),
        }
        // One that somebody gave up says nothing about the disk.
        if result.is_ok() || shared.state() != State::Cancelled {
            rewrites.last_worked.store(result.is_ok(), Ordering::Relaxed);
            let [made, failed] = &rewrites.counts;
            match result.is_ok() {
                true => failed.store(0, Ordering::Relaxed),
                false => {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
            made.fetch_add(u64::from(result.is_ok()), Ordering::Relaxed);
        }
        rewrites.last_seconds.store(seconds as i64, Ordering::Relaxed);
        *rewrites.running.lock().unwrap_or_else(PoisonError::into_inner) = None;
    };
    match std::thread::Builder::new().name("rewrite".into()).spawn(work) {
        Ok(_) => *running = Some(snapshot),
        Err(error) => snapshot.fail(error.to_string()),
    }
    Ok(())
}

fn write_base(node: &Node, snapshot: &Snapshot, number: Option<u64>) -> io::Result<u64> {
    write_base_file(node, snapshot, number).inspect_err(|error| {
        if matches!(snapshot.state(), State::Walking | State::Complete) {
            snapshot.fail(error.to_string());
        }
    })
}

fn write_base_file(node: &Node, snapshot: &Snapshot, number: Option<u64>) -> io::Result<u64> {
    let (settings, folder) = (node.settings().append_only.clone(), folder(node));
    let rewrites = &node.log.aof.rewrites;
    std::fs::create_dir_all(&folder)?;
    // The first increment that the base does not replace. From here on the files are known.
    let first = match number {
        Some(number) => await_increment(node, snapshot, number)?,
        None => {
            rewrites.files().manifest = read_manifest(&folder, &settings.file)?.unwrap_or_default();
            u64::MAX
        }
    };
    let base = {
        let mut files = rewrites.files();
        files.last_base = files.manifest.next_numbers().0.max(files.last_base + 1);
        files.last_base
    };
    let name = format!("{}.{base}.base.{}", settings.file, if settings.rdb_preamble { "rdb" } else { "aof" });
    let persistence = node.settings().persistence.clone();
    let incremental = persistence.incremental_fsync;
    let place = || -> io::Result<u64> {
        let path = folder.join(&name);
        let size = match settings.rdb_preamble {
            true => write(
                snapshot,
                &FileWishes { path, checksum: persistence.checksum, incremental, gives_way: true },
            )?,
            false => {
                let stamp = settings.timestamps.then(|| now_ms() / 1000);
                commands::write(snapshot, &path, incremental, stamp)?
            }
        };
        let mut files = rewrites.files();
        if number.is_some() && files.reached != number.map(|number| (number, Some(first))) {
            return Err(io::Error::other("what was logged meanwhile could not be written"));
        }
        let manifest =
            replace(&files.manifest, Part { name: name.clone(), number: base, kind: Kind::Base }, first);
        write_manifest(&folder, &settings.file, &manifest)?;
        files.manifest = manifest;
        Ok(size)
    };
    let size = place().inspect_err(|_| {
        if is_kept(&folder, &settings.file, &name) {
            // Whatever manifest comes next has another one.
            let part = Part { name: name.clone(), number: base, kind: Kind::History };
            rewrites.files().manifest.history.push(part);
        }
    })?;
    let mut files = rewrites.files();
    if rewrites.fresh.swap(false, Ordering::AcqRel) {
        node.log.aof.failing.store(false, Ordering::Relaxed);
        node.wake_who_waits_for_disk();
    }
    if let Err(error) = remove_history(&folder, &settings.file, &mut files.manifest) {
        tracing::warn!("The manifest goes on naming files that are gone: {error}");
    }
    let total = sizes(&folder, &files.manifest);
    node.log.aof.size.store(total, Ordering::Relaxed);
    node.log.aof.base_size.store(total, Ordering::Relaxed);
    Ok(size)
}

/// A manifest with another base, which has what came before an increment.
fn replace(old: &Manifest, base: Part, first: u64) -> Manifest {
    let (replaced, increments): (Vec<Part>, _) =
        old.increments.iter().cloned().partition(|part| part.number < first);
    let gone = old.base.iter().cloned().chain(replaced).map(|part| Part { kind: Kind::History, ..part });
    let history = old.history.iter().cloned().chain(gone).collect();
    Manifest { base: Some(base), increments, history }
}

/// Bytes of the files that count.
pub fn sizes(folder: &Path, manifest: &Manifest) -> u64 {
    manifest.live().map(|part| std::fs::metadata(folder.join(&part.name)).map_or(0, |data| data.len())).sum()
}

/// Removes what was replaced, and then its names. What a crash leaves is removed at the next start.
///
/// # Errors
/// As the file system says; a file that is gone already is no error.
pub fn remove_history(folder: &Path, name: &str, manifest: &mut Manifest) -> io::Result<()> {
    if manifest.history.is_empty() {
        return Ok(());
    }
    for part in manifest.history.drain(..) {
        match std::fs::remove_file(folder.join(&part.name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!("Could not remove {}: {error}", part.name);
            }
            _ => {}
        }
    }
    write_manifest(folder, name, manifest)
}

/// Waits until the log thread writes to the increment that begins at the cut; its number.
fn await_increment(node: &Node, snapshot: &Snapshot, number: u64) -> io::Result<u64> {
    loop {
        match node.log.aof.rewrites.files().reached {
            Some((reached, Some(first))) if reached == number => return Ok(first),
            Some((reached, _)) if reached >= number => {
                return Err(io::Error::other("the next increment could not be made"));
            }
            _ if snapshot.state() == State::Cancelled => return Err(io::Error::other("cancelled")),
            _ => {}
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Turns the file off at once. Needs no partitions: what is in the file is then the log up to some record, and it is not
/// gone on with; when the file is turned on again, it begins with a base.
pub fn turn_off(node: &Node) {
    node.log.set_filed(false);
    node.find_wanted();
    if let Some(running) = node.log.aof.rewrites.running() {
        running.cancel();
    }
}

/// Does what the settings ask for: turns the file on or off, and rewrites it when it has grown enough. Called now and
/// then by one worker, which holds nothing.
pub fn look(node: &Arc<Node>) {
    let is_on = node.settings().append_only.on;
    let (log, rewrites) = (&node.log, &node.log.aof.rewrites);
    if node.loading.is_on() {
        return;
    }
    if !is_on && log.is_filed() {
        turn_off(node); // a rewrite, or loading, turned it on while it was being turned off
    }
    if rewrites.running().is_some() || node.snapshots.is_active() {
        return;
    }
    let tried = now_ms().saturating_sub(rewrites.last_try_ms.load(Ordering::Relaxed));
    let rests = !rewrites.last_worked.load(Ordering::Relaxed) && tried < RETRY_MS;
    let scheduled = rewrites.scheduled.load(Ordering::Relaxed);
    let due =
        is_on && !rests && (!log.is_filed() || rewrites.fresh.load(Ordering::Acquire) || has_grown(node));
    if scheduled || due {
        // Whoever is in between tries again with the next look.
        let _ = begin(node, &mut Locked::all(&node.store));
    }
}

fn has_grown(node: &Node) -> bool {
    let settings = node.settings();
    let (most, least) = (settings.append_only.rewrite_percentage, settings.append_only.rewrite_min_size);
    let size = node.log.aof.size.load(Ordering::Relaxed);
    let base = node.log.aof.base_size.load(Ordering::Relaxed).max(1);
    most > 0 && size > least && u128::from(size.saturating_sub(base)) * 100 / u128::from(base) >= most.into()
}

/// Ends the rewrite that goes on, and waits a while for its temporary file to be gone: for a node that ends.
pub fn end(node: &Node, patience: Duration) {
    let until = Instant::now() + patience;
    if let Some(running) = node.log.aof.rewrites.running() {
        running.cancel();
    }
    while node.log.aof.rewrites.running().is_some() && Instant::now() < until {
        std::thread::sleep(LOOK_EVERY);
    }
}
