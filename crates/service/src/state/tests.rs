//! The record store: conditions, pages, watches, and what is left after the disk lost what was not synced.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use redb::StorageBackend;
use std::io::Error as BackendIoError;

use super::record::{BODY_BYTES_MAX, ID_BYTES_MAX};
use super::*;

/// A disk that can lose power: what was not synced is then gone in part, and nothing works any more.
#[derive(Debug, Clone, Default)]
struct Disk {
    inner: Arc<Mutex<Content>>,
    /// Writes and syncs that still work.
    left: Arc<AtomicUsize>,
    dead: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Writes since the last sync.
    unsynced: Vec<(u64, Vec<u8>)>,
}

impl Disk {
    fn new() -> Disk {
        Disk { left: Arc::new(AtomicUsize::new(usize::MAX)), ..Disk::default() }
    }

    fn fail_after(&self, writes: usize) {
        self.left.store(writes, Ordering::SeqCst);
    }

    fn spend(&self) -> Result<(), BackendIoError> {
        let spent = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if spent.is_err() || self.dead.load(Ordering::SeqCst) {
            self.dead.store(true, Ordering::SeqCst);
            return Err(std::io::Error::other("the disk lost power"));
        }
        Ok(())
    }

    /// The disk after power came back: of the unsynced writes those survive whose bit is set.
    fn after_power_loss(&self, survivors: u64) -> Disk {
        let content = self.inner.lock().unwrap();
        let mut bytes = content.synced.clone();
        for (n, (at, data)) in content.unsynced.iter().enumerate() {
            if survivors >> (n % 64) & 1 == 1 {
                let end = *at as usize + data.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*at as usize..end].copy_from_slice(data);
            }
        }
        // A file keeps the length that it had: redb sets it before it writes.
        bytes.resize(bytes.len().max(content.now.len()), 0);
        let disk = Disk::new();
        *disk.inner.lock().unwrap() = Content { now: bytes.clone(), synced: bytes, unsynced: vec![] };
        disk
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, BackendIoError> {
        Ok(self.inner.lock().unwrap().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), BackendIoError> {
        let content = self.inner.lock().unwrap();
        let at = offset as usize;
        let bytes =
            content.now.get(at..at + out.len()).ok_or_else(|| std::io::Error::other("beyond the end"))?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), BackendIoError> {
        self.spend()?;
        let mut content = self.inner.lock().unwrap();
        content.now.resize(len as usize, 0);
        content.synced.resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), BackendIoError> {
        self.spend()?;
        let mut content = self.inner.lock().unwrap();
        content.synced = content.now.clone();
        content.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), BackendIoError> {
        self.spend()?;
        let mut content = self.inner.lock().unwrap();
        let at = offset as usize;
        content.now[at..at + data.len()].copy_from_slice(data);
        content.unsynced.push((offset, data.to_vec()));
        Ok(())
    }
}

fn change(kind: &str, id: &str, expect: Expect, body: Option<&str>) -> Change {
    Change { kind: kind.into(), id: id.into(), expect, body: body.map(|b| b.as_bytes().to_vec()) }
}

fn memory() -> FileRecords {
    FileRecords::with_backend(Disk::new()).unwrap()
}

fn ids(records: &FileRecords, kind: &str, page: Page<'_>) -> Vec<String> {
    records.list(kind, page).unwrap().into_iter().map(|record| record.id).collect()
}

#[test]
fn conditions_guard_all_changes_of_a_call() {
    let records = memory();
    let first = records.apply(&[change("a", "x", Expect::Absent, Some("1"))]).unwrap();
    let conflict = records
        .apply(&[change("a", "y", Expect::Absent, Some("2")), change("a", "x", Expect::Absent, Some("2"))]);
    assert!(matches!(conflict, Err(StateError::Conflict { id, .. }) if id == "x"));
    assert_eq!(records.get("a", "y").unwrap(), None, "nothing of it was done");
    let second = records.apply(&[change("a", "x", Expect::Revision(first), Some("3"))]).unwrap();
    assert!(second > first);
    assert!(records.apply(&[change("a", "x", Expect::Revision(first), None)]).is_err());
    records.apply(&[change("a", "x", Expect::Revision(second), None)]).unwrap();
    assert_eq!(records.get("a", "x").unwrap(), None);
    assert!(records.apply(&[change("a", "x", Expect::Revision(second), Some("4"))]).is_err());
}

#[test]
fn pages_stay_within_their_kind_and_prefix() {
    let records = memory();
    for (kind, id) in
        [("a", "1"), ("b", "0"), ("b", "1/x"), ("b", "1/y"), ("b", "1/z"), ("b", "2"), ("bb", "1/x")]
    {
        records.apply(&[change(kind, id, Expect::Absent, Some("{}"))]).unwrap();
    }
    let all = Page::default();
    assert_eq!(ids(&records, "b", all), ["0", "1/x", "1/y", "1/z", "2"]);
    assert_eq!(ids(&records, "b", Page { prefix: "1/", ..all }), ["1/x", "1/y", "1/z"]);
    assert_eq!(ids(&records, "b", Page { prefix: "1/", after: Some("1/x"), limit: 1 }), ["1/y"]);
    assert_eq!(ids(&records, "b", Page { prefix: "1/", after: Some("0"), limit: 2 }), ["1/x", "1/y"]);
    assert_eq!(ids(&records, "b", Page { after: Some("2"), ..all }), [""; 0]);
    assert_eq!(ids(&records, "c", all), [""; 0]);
}

#[tokio::test]
async fn a_watch_tells_of_its_kind_only() {
    let records = memory();
    let mut watch = records.watch("a");
    records.apply(&[change("b", "x", Expect::Absent, Some("1"))]).unwrap();
    assert!(!watch.has_changed().unwrap());
    let revision = records.apply(&[change("a", "x", Expect::Absent, Some("1"))]).unwrap();
    watch.changed().await.unwrap();
    assert_eq!(*watch.borrow(), revision);
}

#[test]
fn what_is_too_large_is_refused() {
    let records = memory();
    let (id, body) = ("x".repeat(ID_BYTES_MAX + 1), "x".repeat(BODY_BYTES_MAX + 1));
    for bad in [change("a", &id, Expect::Absent, Some("1")), change("a", "x", Expect::Absent, Some(&body))] {
        assert!(matches!(records.apply(&[bad]), Err(StateError::TooLarge { .. })));
    }
}

#[test]
fn a_file_of_a_later_version_and_a_broken_one_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    {
        let database = redb::Database::create(&path).unwrap();
        let write = database.begin_write().unwrap();
        write
            .open_table(redb::TableDefinition::<&str, u64>::new("meta"))
            .unwrap()
            .insert("schema", 99)
            .unwrap();
        write.commit().unwrap();
    }
    assert!(matches!(FileRecords::open(folder.path()), Err(StateError::TooNew { found: 99, .. })));
    std::fs::write(&path, vec![7; 8_192]).unwrap();
    assert!(FileRecords::open(folder.path()).is_err());
}

#[test]
fn after_a_failure_of_the_disk_nothing_is_answered() {
    let disk = Disk::new();
    let records = FileRecords::with_backend(disk.clone()).unwrap();
    records.apply(&[change("a", "x", Expect::Absent, Some("1"))]).unwrap();
    disk.fail_after(0);
    assert!(matches!(
        records.apply(&[change("a", "y", Expect::Absent, Some("1"))]),
        Err(StateError::Failed(_))
    ));
    disk.fail_after(usize::MAX);
    assert!(matches!(records.get("a", "x"), Err(StateError::Failed(_))));
    assert!(matches!(records.list("a", Page::default()), Err(StateError::Failed(_))));
}

/// Ten pairs of records, written one pair at a time until the disk dies. Whatever survives of the unsynced writes:
/// what was acknowledged is there, and no pair is there by half.
fn survives_power_loss(writes: usize, survivors: u64) {
    let disk = Disk::new();
    let records = FileRecords::with_backend(disk.clone()).unwrap();
    disk.fail_after(writes);
    let mut acknowledged = 0;
    for n in 0..10 {
        let id = format!("{n}");
        let pair = ["left", "right"].map(|kind| change(kind, &id, Expect::Absent, Some("{}")));
        if records.apply(&pair).is_err() {
            break;
        }
        acknowledged += 1;
    }
    let after = disk.after_power_loss(survivors);
    drop(records);
    let records = FileRecords::with_backend(after).unwrap();
    let (left, right) = (ids(&records, "left", Page::default()), ids(&records, "right", Page::default()));
    assert_eq!(left, right);
    let expected: Vec<String> = (0..left.len()).map(|n| n.to_string()).collect();
    assert_eq!(left, expected);
    assert!(
        (acknowledged..=acknowledged + 1).contains(&left.len()),
        "{acknowledged} acknowledged, {} there",
        left.len()
    );
    records.apply(&[change("left", "more", Expect::Absent, Some("{}"))]).unwrap();
}

#[test]
fn acknowledged_changes_survive_power_loss_at_every_write() {
    for writes in 0..120 {
        for survivors in [0, u64::MAX, 0x5555_5555_5555_5555] {
            survives_power_loss(writes, survivors);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn acknowledged_changes_survive_any_power_loss(writes in 0usize..120, survivors: u64) {
        survives_power_loss(writes, survivors);
    }
}
