//! `maxmemory-clients`: when the buffers of all sessions together take more than they may, those that take most are closed.

use super::registry::Shared;
use crate::mailbox::Mail;
use crate::node::Node;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// How much all sessions may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientsMax {
    /// Bytes; 0 for no bound.
    Bytes(u64),
    /// A share of `maxmemory`.
    Percent(u8),
}

impl ClientsMax {
    /// Reads the directive's value.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<ClientsMax, String> {
        let Some(percent) = text.strip_suffix('%') else {
            return crate::config::directive::bytes(text)
                .map(ClientsMax::Bytes)
                .map_err(|_| "argument must be a memory or percent value".into());
        };
        let percent: u8 = percent.parse().map_err(|_| "argument must be a memory or percent value")?;
        match percent {
            0..=100 => Ok(ClientsMax::Percent(percent)),
            _ => Err("percentage argument must be less or equal to 100".into()),
        }
    }

    /// Bytes that may be taken; `None` where there is no bound.
    #[inline]
    pub fn bytes(self, maxmemory: u64) -> Option<u64> {
        let bytes = match self {
            ClientsMax::Bytes(bytes) => bytes,
            ClientsMax::Percent(percent) => (u128::from(maxmemory) * u128::from(percent) / 100) as u64,
        };
        (bytes > 0).then_some(bytes)
    }
}

impl fmt::Display for ClientsMax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientsMax::Bytes(bytes) => write!(f, "{bytes}"),
            ClientsMax::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// What sessions take together.
#[derive(Debug, Default)]
pub struct Charge {
    bytes: AtomicI64,
    /// Sessions closed for it.
    pub evicted: AtomicU64,
    /// One worker at a time looks for the largest.
    looking: Mutex<()>,
}

impl Charge {
    /// Notes that a session takes more or less than before.
    #[inline]
    pub fn add(&self, bytes: i64) {
        if bytes != 0 {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Bytes of all sessions that were charged.
    pub fn bytes(&self) -> u64 {
        u64::try_from(self.bytes.load(Ordering::Relaxed)).unwrap_or(0)
    }
}

/// Closes the largest sessions until the others take no more than `limit`. They end with their workers' next turns.
#[cold]
pub fn evict(node: &Node, limit: u64) {
    let Ok(_looking) = node.charge.looking.try_lock() else { return };
    for shared in choose(node.sessions.all(), limit) {
        shared.killed.store(true, Ordering::Relaxed);
        node.charge.evicted.fetch_add(1, Ordering::Relaxed);
        node.mailboxes[shared.place.worker as usize].send(Mail::Kill);
    }
}

/// The sessions that have to go: the largest first, none that are protected or are going already.
fn choose(all: Vec<Arc<Shared>>, limit: u64) -> Vec<Arc<Shared>> {
    let size = |shared: &Shared| shared.total_bytes.load(Ordering::Relaxed);
    let mut staying: Vec<_> = all
        .into_iter()
        .filter(|shared| !shared.killed.load(Ordering::Relaxed))
        .map(|s| (size(&s), s))
        .collect();
    let mut total: u64 = staying.iter().map(|(bytes, _)| bytes).sum();
    staying.retain(|(_, shared)| !shared.no_evict.load(Ordering::Relaxed));
    staying.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    let going = staying.into_iter().take_while(|(bytes, _)| {
        let over = total > limit;
        total -= bytes;
        over
    });
    going.map(|(_, shared)| shared).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::registry::{Origin, Registry};

    #[test]
    fn values_of_the_directive() {
        for (text, value) in
            [("0", ClientsMax::Bytes(0)), ("1mb", ClientsMax::Bytes(1 << 20)), ("5%", ClientsMax::Percent(5))]
        {
            assert_eq!(ClientsMax::parse(text), Ok(value), "{text}");
        }
        for text in ["", "%", "101%", "-1", "5%%", "x"] {
            assert!(ClientsMax::parse(text).is_err(), "{text}");
        }
        assert_eq!(ClientsMax::Percent(5).to_string(), "5%");
        assert_eq!(ClientsMax::Percent(5).bytes(1000), Some(50));
        assert_eq!(ClientsMax::Percent(5).bytes(0), None);
        assert_eq!(ClientsMax::Bytes(0).bytes(1000), None);
    }

    #[test]
    fn the_largest_go_until_the_others_fit() {
        let registry = Registry::default();
        let origin = Origin {
            address: String::new(),
            local_address: String::new(),
            worker: 0,
            index: 0,
            memcached: false,
            unix: false,
        };
        let sessions: Vec<_> = [10, 500, 300, 400, 20]
            .into_iter()
            .map(|bytes: u64| {
                let shared = registry.add(origin.clone(), 0);
                shared.total_bytes.store(bytes, Ordering::Relaxed);
                shared
            })
            .collect();
        let chosen = |limit| choose(registry.all(), limit).iter().map(|s| s.id).collect::<Vec<_>>();
        assert_eq!(chosen(1230), [0_u64; 0]);
        assert_eq!(chosen(1229), [2]);
        assert_eq!(chosen(729), [2, 4]);
        assert_eq!(chosen(0), [2, 4, 3, 5, 1]);
        sessions[1].no_evict.store(true, Ordering::Relaxed);
        assert_eq!(chosen(900), [4], "what the protected one takes counts all the same");
        sessions[3].killed.store(true, Ordering::Relaxed);
        assert_eq!(chosen(900), [0_u64; 0], "it is on its way");
    }
}
