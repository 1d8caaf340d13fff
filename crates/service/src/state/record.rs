//! What a record is, and the interface of whatever stores records.

use tokio::sync::watch;

use super::body::Body;

/// Longest id of a record, in bytes. ElastiCache's longest names have 255 characters; an id may join three.
pub(super) const ID_BYTES_MAX: usize = 1024;
/// Largest body of one record, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 1 << 20;

/// A stored document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What sort of thing it is ("cluster", "event", ...).
    pub kind: String,
    /// Its name, unique within the kind. Lists are ordered by the bytes of this.
    pub id: String,
    /// Rises with every change of anything in the store; never used twice.
    pub revision: u64,
    /// JSON text.
    pub body: Body,
}

/// What must be true of a record for a change to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// There is no such record.
    Absent,
    /// The record is there and nobody changed it since this revision was read.
    Revision(u64),
    /// Whatever is there is replaced.
    Anything,
}

/// One change of one record; `body: None` deletes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Kind of the record.
    pub kind: String,
    /// Id of the record.
    pub id: String,
    /// Condition.
    pub expect: Expect,
    /// New JSON text, or none to delete.
    pub body: Option<Vec<u8>>,
}

/// Which part of a kind to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct Page<'a> {
    /// Only ids that begin so.
    pub prefix: &'a str,
    /// Only ids greater than this one (the last of the page before).
    pub after: Option<&'a str>,
    /// At most this many; zero means no bound.
    pub limit: usize,
}

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The condition of a change did not hold; nothing was changed. Read again and decide anew.
    #[error("{kind} {id} was changed by somebody else")]
    Conflict {
        /// Kind of the record.
        kind: String,
        /// Id of the record.
        id: String,
    },
    /// The data folder belongs to a running service.
    #[error("the data folder {folder} is in use by another service (pid {pid}); stop that one first")]
    InUse {
        /// The folder.
        folder: String,
        /// Process id of who has it, or "unknown".
        pid: String,
    },
    /// The file was written by a later version.
    #[error(
        "the records in {path} have schema {found}, this program knows up to {known}: use a newer larder"
    )]
    TooNew {
        /// The file.
        path: String,
        /// Its schema.
        found: u64,
        /// The newest we know.
        known: u64,
    },
    /// A record or the file does not say what it must.
    #[error("{what} cannot be understood: {why}")]
    Corrupt {
        /// Which thing.
        what: String,
        /// What was wrong with it.
        why: String,
    },
    /// An id or body is beyond the bounds of the store.
    #[error("the record {kind} {id} is too large")]
    TooLarge {
        /// Kind of the record.
        kind: String,
        /// Beginning of its id.
        id: String,
    },
    /// The disk failed. From then on every call answers so: memory and disk may disagree, only a restart is safe.
    #[error("the record file failed: {0}")]
    Failed(String),
}

/// A store of records. All calls block (a few disk writes at most): call them off the async threads.
pub trait Records: Send + Sync {
    /// The record, if there is one. O(log n).
    fn get(&self, kind: &str, id: &str) -> Result<Option<Record>, StateError>;

    /// Records of a kind in the order of their ids. O(log n + answers).
    fn list(&self, kind: &str, page: Page<'_>) -> Result<Vec<Record>, StateError>;

    /// Makes all changes, or none of them if one condition does not hold. When it returns, they are on disk.
    /// Answers the revision that the changed records now have.
    fn apply(&self, changes: &[Change]) -> Result<u64, StateError>;

    /// Tells of changes: the value is the newest revision of that kind. Missed values are merged, never lost.
    fn watch(&self, kind: &str) -> watch::Receiver<u64>;
}
