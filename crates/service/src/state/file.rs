//! Records in one redb file beside the nodes' folders.
//!
//! A commit is synced before [`Records::apply`] returns. After the first failure of the disk nothing is answered
//! any more: what memory believes and what the disk holds may differ from then on, and only reading the file again
//! (a restart) brings them together.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};
use tokio::sync::watch;

use super::body::Bodies;
use super::record::{BODY_BYTES_MAX, Change, Expect, ID_BYTES_MAX, Page, Record, Records, StateError};

/// Schema of the file: rises when tables change their meaning.
const SCHEMA: u64 = 1;
/// Memory that redb may use to keep pages. The whole state of a busy service is a few megabytes.
const CACHE_BYTES: usize = 16 << 20;

/// (kind, id) to (revision, JSON).
const RECORDS: TableDefinition<(&str, &str), (u64, &[u8])> = TableDefinition::new("records");
/// "schema" and "revision".
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// Records in a file.
#[derive(Debug)]
pub struct FileRecords {
    database: Database,
    failed: AtomicBool,
    watchers: Mutex<HashMap<String, watch::Sender<u64>>>,
    bodies: Bodies,
    /// Held for life, and let go of after the file is closed (fields end in order): whoever has it owns the folder.
    /// The kernel takes it away however the process ends.
    _lock: Option<FolderLock>,
}

impl FileRecords {
    /// Opens (or makes) `state.redb` in the folder, after making sure that no other service uses the folder.
    pub fn open(folder: &Path) -> Result<FileRecords, StateError> {
        let lock = lock_folder(folder)?;
        let path = folder.join("state.redb");
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(&path).map_err(failed)?;
        Self::prepare(database, &path.display().to_string(), Some(lock))
    }

    /// Records over any storage; for tests that make the disk fail.
    pub fn with_backend(backend: impl StorageBackend) -> Result<FileRecords, StateError> {
        let database =
            Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(backend).map_err(failed)?;
        Self::prepare(database, "memory", None)
    }

    fn prepare(database: Database, path: &str, lock: Option<FolderLock>) -> Result<FileRecords, StateError> {
        let write = database.begin_write().map_err(failed)?;
        {
            write.open_table(RECORDS).map_err(failed)?;
            let mut meta = write.open_table(META).map_err(failed)?;
            let found = meta.get("schema").map_err(failed)?.map(|v| v.value());
            match found {
                Some(found) if found > SCHEMA => {
                    return Err(StateError::TooNew { path: path.to_owned(), found, known: SCHEMA });
                }
                Some(_) => {}
                None => drop(meta.insert("schema", SCHEMA).map_err(failed)?),
            }
        }
        write.commit().map_err(failed)?;
        Ok(FileRecords {
            database,
            failed: AtomicBool::new(false),
            watchers: Mutex::new(HashMap::new()),
            bodies: Bodies::default(),
            _lock: lock,
        })
    }

    /// Runs one access; a failure of the disk closes the store for good.
    fn guarded<T>(&self, access: impl FnOnce() -> Result<T, StateError>) -> Result<T, StateError> {
        if self.failed.load(Ordering::Acquire) {
            return Err(StateError::Failed("an earlier write failed; restart the service".to_owned()));
        }
        let answer = access();
        if let Err(StateError::Failed(why)) = &answer {
            self.failed.store(true, Ordering::Release);
            tracing::error!("the record file failed, nothing is written any more: {why}");
        }
        answer
    }

    fn commit(&self, changes: &[Change]) -> Result<u64, StateError> {
        let write = self.database.begin_write().map_err(failed)?;
        let revision = {
            let mut meta = write.open_table(META).map_err(failed)?;
            let before = meta.get("revision").map_err(failed)?.map_or(0, |v| v.value());
            meta.insert("revision", before + 1).map_err(failed)?;
            before + 1
        };
        {
            let mut records = write.open_table(RECORDS).map_err(failed)?;
            for change in changes {
                let key = (change.kind.as_str(), change.id.as_str());
                let found = records.get(key).map_err(failed)?.map(|v| v.value().0);
                // Dropping the transaction without a commit undoes what the changes before this one did.
                check(change, found)?;
                match &change.body {
                    Some(body) => drop(records.insert(key, (revision, body.as_slice())).map_err(failed)?),
                    None => drop(records.remove(key).map_err(failed)?),
                }
            }
        }
        write.commit().map_err(failed)?;
        Ok(revision)
    }

    fn record(&self, kind: &str, id: &str, (revision, text): (u64, &[u8])) -> Record {
        let body = self.bodies.body(kind, id, revision, text);
        Record { kind: kind.to_owned(), id: id.to_owned(), revision, body }
    }

    fn tell(&self, changes: &[Change], revision: u64) {
        let watchers = self.watchers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for change in changes {
            if let Some(watcher) = watchers.get(&change.kind) {
                watcher.send_replace(revision);
            }
        }
    }
}

/// The lock on a data folder.
#[derive(Debug)]
struct FolderLock(File);

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Closing alone would not do: a child that is being started at this moment still has a copy.
        if let Err(error) = self.0.unlock() {
            tracing::warn!("the data folder was not let go: {error}");
        }
    }
}

impl Records for FileRecords {
    fn get(&self, kind: &str, id: &str) -> Result<Option<Record>, StateError> {
        self.guarded(|| {
            let read = self.database.begin_read().map_err(failed)?;
            let records = read.open_table(RECORDS).map_err(failed)?;
            let found = records.get((kind, id)).map_err(failed)?;
            Ok(found.map(|v| self.record(kind, id, v.value())))
        })
    }

    fn list(&self, kind: &str, page: Page<'_>) -> Result<Vec<Record>, StateError> {
        self.guarded(|| {
            let read = self.database.begin_read().map_err(failed)?;
            let records = read.open_table(RECORDS).map_err(failed)?;
            let from = page.after.unwrap_or("").max(page.prefix);
            let mut answer = Vec::new();
            for entry in records.range((kind, from)..).map_err(failed)? {
                let (key, value) = entry.map_err(failed)?;
                let (found_kind, id) = key.value();
                if found_kind != kind || !id.starts_with(page.prefix) {
                    break;
                }
                if page.after.is_some_and(|after| id <= after) {
                    continue;
                }
                answer.push(self.record(kind, id, value.value()));
                if answer.len() == page.limit {
                    break;
                }
            }
            Ok(answer)
        })
    }

    fn apply(&self, changes: &[Change]) -> Result<u64, StateError> {
        for change in changes {
            within_bounds(change)?;
        }
        let revision = self.guarded(|| self.commit(changes))?;
        for change in changes {
            self.bodies.forget(&change.kind, &change.id);
        }
        self.tell(changes, revision);
        Ok(revision)
    }

    fn watch(&self, kind: &str) -> watch::Receiver<u64> {
        let mut watchers = self.watchers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        watchers.entry(kind.to_owned()).or_insert_with(|| watch::channel(0).0).subscribe()
    }
}

fn check(change: &Change, found: Option<u64>) -> Result<(), StateError> {
    let holds = match change.expect {
        Expect::Absent => found.is_none(),
        Expect::Revision(revision) => found == Some(revision),
        Expect::Anything => true,
    };
    if holds {
        return Ok(());
    }
    Err(StateError::Conflict { kind: change.kind.clone(), id: change.id.clone() })
}

fn within_bounds(change: &Change) -> Result<(), StateError> {
    let body_bytes = change.body.as_ref().map_or(0, Vec::len);
    if change.id.len() <= ID_BYTES_MAX && body_bytes <= BODY_BYTES_MAX {
        return Ok(());
    }
    Err(StateError::TooLarge { kind: change.kind.clone(), id: change.id.chars().take(64).collect() })
}

fn failed(error: impl Into<redb::Error>) -> StateError {
    StateError::Failed(error.into().to_string())
}

/// Takes the folder for this process, and writes the pid for whoever comes second.
fn lock_folder(folder: &Path) -> Result<FolderLock, StateError> {
    let io = |e: std::io::Error| StateError::Failed(format!("{}: {e}", folder.display()));
    let path = folder.join("service.lock");
    let mut lock =
        File::options().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::Error(e)) => return Err(io(e)),
        Err(std::fs::TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Only words for a message: whatever can be read of it will do.
            let _ = (&lock).take(20).read_to_string(&mut pid);
            let pid = if pid.trim().is_empty() { "unknown".to_owned() } else { pid.trim().to_owned() };
            return Err(StateError::InUse { folder: folder.display().to_string(), pid });
        }
    }
    lock.set_len(0).map_err(io)?;
    lock.seek(SeekFrom::Start(0)).map_err(io)?;
    writeln!(lock, "{}", std::process::id()).map_err(io)?;
    Ok(FolderLock(lock))
}
