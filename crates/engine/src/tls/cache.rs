//! TLS sessions that clients may resume: so many, and so long.
//!
//! What a ticket stands for is kept here and not in the ticket, so that the three directives mean what they say, a
//! ticket is good for one use, and new certificates forget the sessions of the old ones.

use rustls::server::{ServerSessionMemoryCache, StoresServerSessions};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// See the module.
#[derive(Debug)]
pub(super) struct SessionCache {
    sessions: Arc<ServerSessionMemoryCache>,
    lifetime: Duration,
    start: Instant,
}

impl SessionCache {
    pub(super) fn new(size: usize, lifetime: Duration) -> SessionCache {
        SessionCache { sessions: ServerSessionMemoryCache::new(size), lifetime, start: Instant::now() }
    }

    /// A kept session without the time that it was kept at, unless that was too long ago.
    fn fresh(&self, mut value: Vec<u8>) -> Option<Vec<u8>> {
        let (rest, at) = value.split_last_chunk()?;
        let kept = Duration::from_millis(u64::from_le_bytes(*at));
        let rest = rest.len();
        if self.start.elapsed().saturating_sub(kept) > self.lifetime {
            return None;
        }
        value.truncate(rest);
        Some(value)
    }
}

impl StoresServerSessions for SessionCache {
    fn put(&self, key: Vec<u8>, mut value: Vec<u8>) -> bool {
        value.extend_from_slice(&(self.start.elapsed().as_millis() as u64).to_le_bytes());
        self.sessions.put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.sessions.get(key).and_then(|value| self.fresh(value))
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.sessions.take(key).and_then(|value| self.fresh(value))
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_end_and_are_taken_once() {
        let cache = SessionCache::new(10, Duration::from_secs(100));
        assert!(cache.put(b"a".into(), b"secret".into()));
        assert_eq!(cache.get(b"a").as_deref(), Some(&b"secret"[..]));
        assert_eq!(cache.take(b"a").as_deref(), Some(&b"secret"[..]));
        assert_eq!(cache.take(b"a"), None);
        let brief = SessionCache::new(10, Duration::ZERO);
        brief.put(b"a".into(), b"secret".into());
        while brief.start.elapsed() < Duration::from_millis(3) {
            std::thread::yield_now();
        }
        assert_eq!(brief.get(b"a"), None);
    }
}
