//! MONITOR: who watches, and the lines that they are sent.

use crate::command::Command;
use crate::command::table::flag;
use crate::commandlog::Secrets;
use crate::mailbox::Place;
use larder_protocol::resp::args::Args;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The sessions that watch.
#[derive(Debug, Default)]
pub struct Monitors {
    /// How many there are: all that is read when nobody watches.
    count: AtomicUsize,
    places: Mutex<Vec<Place>>,
}

impl Monitors {
    /// True when somebody watches.
    #[inline]
    pub fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// True if this session watches.
    pub fn contains(&self, place: Place) -> bool {
        self.any() && self.lock().contains(&place)
    }

    /// A session begins to watch.
    pub fn add(&self, place: Place) {
        let mut places = self.lock();
        if !places.contains(&place) {
            places.push(place);
        }
        self.count.store(places.len(), Ordering::Relaxed);
    }

    /// A session watches no more.
    pub fn remove(&self, place: Place) {
        if self.any() {
            let mut places = self.lock();
            places.retain(|other| *other != place);
            self.count.store(places.len(), Ordering::Relaxed);
        }
    }

    /// All sessions that watch.
    pub fn places(&self) -> Vec<Place> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// True for commands that are shown: administrators' are not.
pub fn is_shown(command: &Command) -> bool {
    !command.is(flag::ADMIN)
}

/// The line that tells of a command. `from` is an address, or `lua`.
pub fn line(db: u16, from: &str, command: &Command, args: &Args<'_>) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    line_at(now, db, from, command, args)
}

fn line_at(now: Duration, db: u16, from: &str, command: &Command, args: &Args<'_>) -> Vec<u8> {
    let mut line = format!("+{}.{:06} [{db} {from}]", now.as_secs(), now.subsec_micros()).into_bytes();
    let secrets = Secrets::of(command, args);
    for at in 0..args.len() {
        line.extend_from_slice(b" \"");
        secrets.shown(args, at).iter().for_each(|byte| quote(&mut line, *byte));
        line.push(b'"');
    }
    line.extend_from_slice(b"\r\n");
    line
}

fn quote(line: &mut Vec<u8>, byte: u8) {
    match byte {
        b'\\' | b'"' => line.extend_from_slice(&[b'\\', byte]),
        b'\n' => line.extend_from_slice(b"\\n"),
        b'\r' => line.extend_from_slice(b"\\r"),
        b'\t' => line.extend_from_slice(b"\\t"),
        7 => line.extend_from_slice(b"\\a"),
        8 => line.extend_from_slice(b"\\b"),
        b' '..=b'~' => line.push(byte),
        other => line.extend_from_slice(format!("\\x{other:02x}").as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Table, families};
    use larder_protocol::resp::args::OwnedArgs;

    #[test]
    fn lines_are_quoted_and_keep_secrets() {
        let table = Table::new(families());
        let line = |words: &[&[u8]]| {
            let owned = OwnedArgs::copy(words.iter().copied());
            let command = table.get(words[0]).unwrap();
            let now = Duration::from_micros(1_339_518_083_107_412);
            String::from_utf8(line_at(now, 3, "127.0.0.1:60866", command, &owned.view())).unwrap()
        };
        let start = "+1339518083.107412 [3 127.0.0.1:60866]";
        assert_eq!(line(&[b"keys", b"*"]), format!("{start} \"keys\" \"*\"\r\n"));
        let echo = line(&[b"ECHO", b"a\x01\n\"b\\c\xff"]);
        assert_eq!(echo, format!("{start} \"ECHO\" \"a\\x01\\n\\\"b\\\\c\\xff\"\r\n"));
        assert_eq!(line(&[b"AUTH", b"pw"]), format!("{start} \"AUTH\" \"(redacted)\"\r\n"));
    }

    #[test]
    fn watchers_come_and_go() {
        let monitors = Monitors::default();
        let place = Place { worker: 1, index: 2, id: 3 };
        assert!(!monitors.any() && !monitors.contains(place));
        monitors.add(place);
        monitors.add(place);
        assert!(monitors.any() && monitors.contains(place) && monitors.places().len() == 1);
        monitors.remove(place);
        assert!(!monitors.any());
    }
}
