//! Memcached sessions that read large values come behind the others in a turn, and one of them is enough for a turn: the
//! replies of a turn leave together, so everybody waits until the largest of them is copied.
//!
//! Those that were put off come first among their like in the next turn, which does not wait for anything.

use super::sessions::Sessions;

/// Bytes that a session writes in a turn from which on it is one of them.
const HEAVY_BYTES: usize = 64 * 1024;
/// Turns after one of them in which they are still looked for: what they cost nobody pays for who does not have them.
const WATCHED_TURNS: u32 = 256;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Heavy {
    /// Turns in which they are still looked for.
    watched: u32,
    /// One of them was served in this turn.
    served: bool,
    /// Those that wait for the next turn.
    deferred: Vec<u32>,
}

impl Heavy {
    /// A turn begins: puts these sessions behind the others.
    #[inline]
    pub(super) fn begin(&mut self, ready: &mut [u32], sessions: &mut Sessions) {
        self.served = false;
        if self.watched > 0 {
            self.watched -= 1;
            ready.sort_by_key(|index| sessions.get(*index).is_some_and(|session| session.heavy));
        }
    }

    /// A session wrote so many bytes; true if it is one of them.
    #[inline]
    pub(super) fn note(&mut self, bytes: usize) -> bool {
        if bytes < HEAVY_BYTES {
            return false;
        }
        (self.watched, self.served) = (WATCHED_TURNS, true);
        true
    }

    /// Whether this session, which is one of them, has to wait for the next turn.
    pub(super) fn defers(&mut self, index: u32) -> bool {
        if self.served {
            self.deferred.push(index);
        }
        self.served
    }

    /// A turn ends: those that wait are ready, before those that were served.
    #[inline]
    pub(super) fn end(&mut self, sessions: &mut Sessions) {
        if !self.deferred.is_empty() {
            sessions.ready.splice(0..0, self.deferred.drain(..));
        }
    }
}
