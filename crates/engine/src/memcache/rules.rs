//! What is fixed for Memcached sessions when a node starts.

use super::REQUESTS_PER_TURN_MAX;
use super::watch;

/// Which of memcached's protocols a node speaks (`-B`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Binding {
    /// What the first byte of a connection says.
    #[default]
    Auto,
    /// Text.
    Ascii,
    /// Binary.
    Binary,
}

/// What is fixed for Memcached sessions when a node starts.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Which protocols are spoken.
    pub binding: Binding,
    /// Clients may end the node (`-A`).
    pub shutdown: bool,
    /// `flush_all` is not to be had (`-F`).
    pub flush_disabled: bool,
    /// Keys are not listed (`-X`).
    pub dump_disabled: bool,
    /// Nobody watches (`-W`).
    pub watch_disabled: bool,
    /// Connections beyond the limit wait until there is room (`-o no_maxconns_fast`).
    pub patient: bool,
    /// Bytes that a watcher may leave unread (`-o watcher_logbuf_size`).
    pub watcher_bytes: u64,
    /// Bytes of lines that a turn gathers for watchers (`-o worker_logbuf_size`).
    pub worker_bytes: u64,
    /// Requests per session and turn (`-R`).
    pub requests_per_turn: usize,
    /// What ends a key's prefix in `stats detail` (`-D`).
    pub prefix_end: u8,
    /// Uses of keys are counted for `stats detail` from the start.
    pub detail: bool,
    /// Items have no CAS unique (`-C`).
    pub cas_disabled: bool,
    /// `stats sizes` counts items by their sizes (`-o track_sizes`).
    pub sizes: bool,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            binding: Binding::Auto,
            shutdown: false,
            flush_disabled: false,
            dump_disabled: false,
            watch_disabled: false,
            patient: false,
            watcher_bytes: watch::WATCHER_BYTES,
            worker_bytes: watch::WORKER_BYTES,
            requests_per_turn: REQUESTS_PER_TURN_MAX,
            prefix_end: b':',
            detail: false,
            cas_disabled: false,
            sizes: false,
        }
    }
}
