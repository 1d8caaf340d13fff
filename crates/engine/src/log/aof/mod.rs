//! The append-only file: the log on disk, in the multi-part form of Redis 7.
//!
//! A folder holds a *manifest* that names the files which make up the state: a *base* (what was there when the file
//! was last written anew) and *increments* (what was written since). Only the log thread writes ([`file`]). Which files
//! there are changes by renaming a new manifest into place, so a crash at any instant leaves one that is whole.

pub mod file;
pub mod load;
pub mod manifest;
pub mod read;
pub mod rewrite;

pub use file::Writer;
pub use load::{Loads, load};

use std::sync::atomic::{AtomicBool, AtomicU64};

/// What the log thread tells of the file.
#[derive(Debug, Default)]
pub struct Aof {
    /// The last sequence number that is on disk, as far as the kernel tells.
    pub durable: AtomicU64,
    /// Writing failed, and is tried again.
    pub failing: AtomicBool,
    /// Replies wait for the disk (`appendfsync always`).
    pub strict: AtomicBool,
    /// Bytes of all files.
    pub size: AtomicU64,
    /// Bytes of them after the start or the last rewrite.
    pub base_size: AtomicU64,
    /// Bytes that could not be written yet.
    pub unwritten: AtomicU64,
    /// What is loaded at the start.
    pub loads: Loads,
    /// Writing it anew.
    pub rewrites: rewrite::Rewrites,
}
