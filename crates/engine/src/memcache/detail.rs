//! `stats detail`: how keys with a common prefix are used, while somebody asks for it.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Most prefixes that are counted; keys with others are not.
const PREFIXES_MAX: usize = 10_000;

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Get { hit: bool },
    Set,
    Delete,
}

#[derive(Clone, Copy, Debug, Default)]
struct Uses {
    get: u64,
    hit: u64,
    set: u64,
    del: u64,
}

/// The counts, and whether counting is on.
#[derive(Debug, Default)]
pub(super) struct Detail {
    on: AtomicBool,
    prefixes: Mutex<BTreeMap<Box<[u8]>, Uses>>,
}

impl Detail {
    /// One load while nobody asked for it.
    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Whether to count.
    pub(super) fn set(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }

    /// Counts what happened to a key.
    #[cold]
    pub(super) fn note(&self, key: &[u8], end: u8, event: Event) {
        let Some(len) = memchr::memchr(end, key) else { return };
        let mut prefixes = self.prefixes.lock().unwrap_or_else(PoisonError::into_inner);
        if prefixes.len() >= PREFIXES_MAX && !prefixes.contains_key(&key[..len]) {
            return;
        }
        let uses = prefixes.entry(key[..len].into()).or_default();
        match event {
            Event::Get { hit } => {
                uses.get += 1;
                uses.hit += u64::from(hit);
            }
            Event::Set => uses.set += 1,
            Event::Delete => uses.del += 1,
        }
    }

    /// Begins anew.
    pub(super) fn reset(&self) {
        self.prefixes.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// `stats detail on|off|dump`.
    pub(super) fn command(&self, words: &[&[u8]], out: &mut Vec<u8>) -> &'static [u8] {
        match words {
            [b"on", ..] => self.set(true),
            [b"off", ..] => self.set(false),
            [b"dump", ..] => {
                for (prefix, uses) in &*self.prefixes.lock().unwrap_or_else(PoisonError::into_inner) {
                    let Uses { get, hit, set, del } = uses;
                    out.extend_from_slice(b"PREFIX ");
                    out.extend_from_slice(prefix);
                    // Writing to a Vec cannot fail.
                    let _ = write!(out, " get {get} hit {hit} set {set} del {del}\r\n");
                }
                return b"END\r\n";
            }
            _ => return b"CLIENT_ERROR usage: stats detail on|off|dump\r\n",
        }
        b"OK\r\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_counted_and_bounded() {
        let detail = Detail::default();
        detail.note(b"a:1", b':', Event::Set);
        detail.note(b"a:2", b':', Event::Get { hit: false });
        detail.note(b"a:1", b':', Event::Get { hit: true });
        detail.note(b"none", b':', Event::Delete);
        let mut out = Vec::new();
        assert_eq!(detail.command(&[b"dump"], &mut out), b"END\r\n");
        assert_eq!(out, b"PREFIX a get 2 hit 1 set 1 del 0\r\n");
        for n in 0..2 * PREFIXES_MAX {
            detail.note(format!("p{n}:x").as_bytes(), b':', Event::Set);
        }
        assert_eq!(detail.prefixes.lock().unwrap().len(), PREFIXES_MAX);
        detail.reset();
        out.clear();
        assert_eq!(detail.command(&[b"dump"], &mut out), b"END\r\n");
        assert!(out.is_empty());
    }
}
