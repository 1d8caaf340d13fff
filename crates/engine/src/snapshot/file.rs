//! Writing a snapshot to a file: a temporary one, made durable, then renamed. A crash leaves the old file or the new one.

use super::take::{Snapshot, State};
use crate::priority::giving_way;
use larder_rdb::file::write;
use larder_rdb::{Checksum, Writer};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Bytes after which the kernel is asked to write them, so that the last fsync does not take long. Few, as a kernel may run
/// nothing else on this processor while it hands them to the disk.
const SYNC_BYTES: u64 = 1024 * 1024;
/// Bytes that are written at once: no burst, even if a value is large.
const PORTION_BYTES: usize = 256 * 1024;

/// How a file is written.
#[derive(Clone, Debug)]
pub struct FileWishes {
    /// Where.
    pub path: PathBuf,
    /// Compute the checksum (`rdbchecksum`).
    pub checksum: bool,
    /// Make it durable little by little (`rdb-save-incremental-fsync`).
    pub incremental: bool,
    /// Give way to threads that serve requests, as long as these do not need it done.
    pub gives_way: bool,
}

/// Takes what comes out of a snapshot and writes it to a file that appears when it is whole and durable. Answers its size.
///
/// # Errors
/// The system refuses, or the snapshot failed or was cancelled; the temporary file is removed. If it was the system, the
/// snapshot is told.
pub fn write(snapshot: &Snapshot, wishes: &FileWishes) -> io::Result<u64> {
    place(&wishes.path, |temporary| write_temporary(snapshot, wishes, temporary)).inspect_err(|error| {
        if matches!(snapshot.state(), State::Walking | State::Complete) {
            snapshot.fail(error.to_string());
        }
    })
}

/// Has a temporary file written and renames it, or removes it.
///
/// # Errors
/// As `write` says, or the file system.
pub fn place(path: &Path, write: impl FnOnce(&Path) -> io::Result<u64>) -> io::Result<u64> {
    let temporary = temporary(path);
    let result = write(&temporary).and_then(|size| {
        std::fs::rename(&temporary, path)?;
        sync_folder(path)?;
        Ok(size)
    });
    if result.is_err() {
        let _ = std::fs::remove_file(&temporary); // it may never have been made
    }
    result
}

/// `temp-<pid>.rdb` in the folder of the file.
fn temporary(path: &Path) -> PathBuf {
    path.with_file_name(format!("temp-{}.rdb", std::process::id()))
}

/// Removes temporary files that processes left which are no more.
pub fn remove_left_over(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("temp-")?.strip_suffix(".rdb"));
        let Some(pid) = pid.and_then(|pid| pid.parse::<u32>().ok()) else { continue };
        if !Path::new(&format!("/proc/{pid}")).exists() {
            tracing::info!("Removing {}, which an interrupted save left", entry.path().display());
            let _ = std::fs::remove_file(entry.path()); // it does no harm
        }
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn write_temporary(snapshot: &Snapshot, wishes: &FileWishes, temporary: &Path) -> io::Result<u64> {
    let mut out = Output::create(temporary, wishes.checksum, wishes.incremental)?;
    let mut writer = if snapshot.compresses() { Writer::new() } else { Writer::uncompressed() };
    snapshot.queue().prepare();
    if wishes.gives_way {
        let part = || take(snapshot, &mut writer, &mut out, || !snapshot.queue().is_pressing());
        giving_way("save-low", part).unwrap_or(Ok(()))?;
    }
    take(snapshot, &mut writer, &mut out, || true)?;
    match snapshot.state() {
        State::Complete => {}
        State::Failed(why) => return Err(io::Error::other(why)),
        State::Walking | State::Cancelled => return Err(io::Error::other("cancelled")),
    }
    write::end(&mut writer);
    out.put(writer.as_bytes())?;
    let sum = write::checksum(out.sum.as_ref());
    out.put(&sum)?;
    out.finish()
}

/// Writes pieces until there are no more, or `goes_on` says that it is enough.
fn take(
    snapshot: &Snapshot,
    writer: &mut Writer,
    out: &mut Output,
    goes_on: impl Fn() -> bool,
) -> io::Result<()> {
    while goes_on()
        && let Some(piece) = snapshot.queue().pop()
    {
        piece.each_part(snapshot.queue(), writer, &mut |part| out.put(part))?;
        snapshot.rest();
    }
    Ok(())
}

/// A file that is being written, with its checksum.
pub struct Output {
    file: File,
    size: u64,
    synced: u64,
    sum: Option<Checksum>,
    incremental: bool,
}

impl Output {
    /// An empty file.
    ///
    /// # Errors
    /// As the file system says.
    pub fn create(path: &Path, checksum: bool, incremental: bool) -> io::Result<Output> {
        let sum = checksum.then(Checksum::default);
        Ok(Output { file: File::create(path)?, size: 0, synced: 0, sum, incremental })
    }

    /// Makes it durable; its size.
    ///
    /// # Errors
    /// As the file system says.
    pub fn finish(self) -> io::Result<u64> {
        self.file.sync_all()?;
        Ok(self.size)
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// As the file system says.
    pub fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        for portion in bytes.chunks(PORTION_BYTES) {
            self.file.write_all(portion)?;
            self.size += portion.len() as u64;
            if let Some(sum) = &mut self.sum {
                sum.update(portion);
            }
            if self.incremental && self.size - self.synced >= SYNC_BYTES {
                self.file.sync_data()?;
                // What was written will not be read again soon: the page cache is for others.
                let _ = rustix::fs::fadvise(
                    &self.file,
                    self.synced,
                    std::num::NonZeroU64::new(self.size - self.synced),
                    rustix::fs::Advice::DontNeed,
                ); // a hint
                self.synced = self.size;
            }
        }
        Ok(())
    }
}
