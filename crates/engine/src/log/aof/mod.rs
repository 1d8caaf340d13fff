//! The append-only file: the log on disk, in the multi-part form of Redis 7.
//!
//! A folder holds a *manifest* that names the files which make up the state: a *base* (what was there when the file
//! was last written anew) and *increments* (what was written since). One thread writes the increments ([`write`]); the log
//! thread hands it what is to be written ([`feed`]). Which files there are changes by renaming a new manifest into place
//! ([`file`]), so a crash at any instant leaves one that is whole.

mod commands;
pub mod feed;
pub mod file;
pub mod load;
pub mod manifest;
pub mod read;
pub mod rewrite;
pub mod write;

pub use load::{Loads, load};

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

/// What is known of the file.
#[derive(Debug, Default)]
pub struct Aof {
    /// The last sequence number that is on disk, as far as the kernel tells.
    pub durable: AtomicU64,
    /// Writing failed, and is tried again.
    pub failing: AtomicBool,
    /// What the system said when it failed last.
    pub failure: Mutex<String>,
    /// Sessions that wait for the disk (WAITAOF).
    pub awaited: AtomicUsize,
    /// Replies wait for the disk (`appendfsync always`).
    pub strict: AtomicBool,
    /// Bytes of all files.
    pub size: AtomicU64,
    /// Bytes of them after the start or the last rewrite.
    pub base_size: AtomicU64,
    /// Bytes that were logged and are not written yet.
    pub unwritten: AtomicU64,
    /// What is to be written.
    pub feed: feed::Feed,
    /// What is loaded at the start.
    pub loads: Loads,
    /// Writing it anew.
    pub rewrites: rewrite::Rewrites,
}

/// The line that says when what follows was written (`aof-timestamp-enabled`).
fn stamp(second: u64) -> String {
    format!("#TS:{second}\r\n")
}
