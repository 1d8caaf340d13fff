//! Writing a snapshot to a file: a temporary one, made durable, then renamed. A crash leaves the old file or the new one.

use super::output::Output;
use super::queue::Queue;
use super::take::{Snapshot, State};
use crate::priority::giving_way;
use larder_rdb::Writer;
use larder_rdb::file::write;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

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
    let mut take = |goes_on: &dyn Fn() -> bool| take(snapshot, &mut writer, &mut out, goes_on);
    match wishes.gives_way {
        true => take_in_turns(snapshot.queue(), "save-low", &mut take)?,
        false => drop(take(&|| true)?),
    }
    match snapshot.state() {
        State::Complete => {}
        State::Failed(why) => return Err(io::Error::other(why)),
        State::Walking | State::Cancelled => return Err(io::Error::other("cancelled")),
    }
    write::end(&mut writer);
    out.put(writer.as_bytes())?;
    let sum = write::checksum(out.sum());
    out.put(&sum)?;
    out.finish()
}

/// Has pieces taken on a thread that gives way, until writers are in need, and what is left then on the one that calls this.
/// `take` goes on as long as it is told to, and answers whether it has come to the end.
///
/// # Errors
/// Those of `take`.
pub fn take_in_turns(
    queue: &Queue,
    name: &str,
    take: &mut (dyn FnMut(&dyn Fn() -> bool) -> io::Result<bool> + Send),
) -> io::Result<()> {
    let is_over = giving_way(name, || take(&|| !queue.is_pressing())).unwrap_or(Ok(false))?;
    if !is_over {
        take(&|| true)?;
    }
    Ok(())
}

/// Writes pieces until there are no more, which it answers, or `goes_on` says that it is enough.
fn take(
    snapshot: &Snapshot,
    writer: &mut Writer,
    out: &mut Output,
    goes_on: &dyn Fn() -> bool,
) -> io::Result<bool> {
    while goes_on() {
        let Some(piece) = snapshot.queue().pop() else { return Ok(true) };
        piece.each_part(snapshot.queue(), writer, &mut |part| out.put(part))?;
        snapshot.rest();
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::queue::{HARD_BYTES, Piece};
    use rustix::process::getpriority_process;

    #[test]
    fn once_writers_are_in_need_a_thread_of_the_usual_priority_goes_on() {
        let queue = Queue::new(0);
        let piece = || Piece { bytes: vec![0; HARD_BYTES], image: None };
        let mut turns = Vec::new();
        let mut take = |goes_on: &dyn Fn() -> bool| {
            turns.push(getpriority_process(None).unwrap());
            while goes_on() {
                let Some(_) = queue.pop() else { return Ok(true) };
                if turns.len() == 1 {
                    (0..2).for_each(|_| assert!(queue.push(piece())));
                    queue.close(false);
                }
            }
            Ok(false)
        };
        assert!(queue.push(piece()));
        take_in_turns(&queue, "polite", &mut take).unwrap();
        assert!(queue.is_over());
        let usual = getpriority_process(None).unwrap();
        assert_eq!(turns.len(), 2, "the first one was told to stop");
        assert!(turns[0] > usual || usual == 19, "{turns:?}");
        assert_eq!(turns[1], usual);
    }

    #[test]
    fn what_can_all_be_taken_politely_is() {
        let queue = Queue::new(0);
        queue.push(Piece { bytes: vec![0; 10], image: None });
        queue.close(false);
        let mut turns = 0;
        let mut take = |goes_on: &dyn Fn() -> bool| {
            turns += 1;
            while goes_on() && queue.pop().is_some() {}
            Ok(true)
        };
        take_in_turns(&queue, "polite", &mut take).unwrap();
        assert_eq!(turns, 1);
    }
}
