//! What a command did, as commands that do the same wherever and whenever they are executed.
//!
//! Pure bytes: a command is written in RESP, a SELECT before it where the database is another than before, and MULTI
//! and EXEC around several, so that nobody who reads the stream sees half of what was one step.

use larder_protocol::resp::args::Args;
use larder_store::{Gone, Left};

/// No database: the command is the same in all of them.
pub(super) const ANY_DB: u16 = u16::MAX;

/// A step of so many bytes is handed on instead of being copied.
const LARGE_BYTES: usize = 64 * 1024;

const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";

/// Writes a command in RESP.
pub fn encode<'a>(out: &mut Vec<u8>, args: impl ExactSizeIterator<Item = &'a [u8]> + Clone) {
    let bytes: usize = args.clone().map(|arg| arg.len() + 24).sum();
    out.reserve(bytes + 16);
    encode_head(out, args.len());
    for arg in args {
        encode_argument(out, arg);
    }
}

/// Writes the beginning of a command with so many arguments.
#[inline]
pub fn encode_head(out: &mut Vec<u8>, args: usize) {
    head(out, b'*', args);
}

/// Writes the next argument of a command.
#[inline]
pub fn encode_argument(out: &mut Vec<u8>, arg: &[u8]) {
    head(out, b'$', arg.len());
    out.extend_from_slice(arg);
    out.extend_from_slice(b"\r\n");
}

#[inline]
fn head(out: &mut Vec<u8>, kind: u8, number: usize) {
    out.push(kind);
    if number < 10 {
        out.push(b'0' + number as u8);
    } else {
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the SELECT of a database.
pub fn encode_select(out: &mut Vec<u8>, db: u16) {
    let mut digits = itoa::Buffer::new();
    encode(out, [&b"SELECT"[..], digits.format(db).as_bytes()].into_iter());
}

/// Commands with the same effect as one that ran, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    bytes: Vec<u8>,
    count: usize,
    first_db: u16,
    last_db: u16,
    /// The handler said what is propagated: the command itself is not.
    decided: bool,
}

impl Effects {
    /// Adds a command.
    pub fn add<'a>(&mut self, db: u16, args: impl ExactSizeIterator<Item = &'a [u8]> + Clone) {
        self.enter(db);
        self.count += 1;
        encode(&mut self.bytes, args);
    }

    /// Adds a command that was encoded already.
    pub fn add_encoded(&mut self, db: u16, command: Vec<u8>) {
        self.enter(db);
        self.count += 1;
        match self.bytes.is_empty() {
            true => self.bytes = command,
            false => self.bytes.extend_from_slice(&command),
        }
    }

    /// Adds the removal of a key that nobody asked to remove.
    pub fn add_removed(&mut self, db: u16, key: &[u8]) {
        self.add(db, [&b"UNLINK"[..], key].into_iter());
    }

    /// Adds what it means that the time of a key, or of fields of one, was over.
    pub fn add_gone(&mut self, gone: &Gone) {
        match gone.left {
            Left::Key | Left::LastFields => self.add_removed(gone.db, &gone.key),
            Left::Fields => {
                let fields: Vec<&[u8]> = [&b"HDEL"[..], &gone.key]
                    .into_iter()
                    .chain(gone.fields.iter().map(|field| &**field))
                    .collect();
                self.add(gone.db, fields.into_iter());
            }
        }
    }

    /// Adds the commands of another step behind these.
    pub fn append(&mut self, other: &Effects) {
        if other.count > 0 {
            self.enter(other.first_db);
            self.bytes.extend_from_slice(&other.bytes);
            (self.count, self.last_db) = (self.count + other.count, other.last_db);
        }
    }

    /// Adds a command as it came, unless the handler said what is propagated instead.
    pub fn add_unless_decided(&mut self, db: u16, args: &Args<'_>) {
        if !self.decided {
            self.add(db, args.iter());
        }
    }

    /// Notes that the handler says what is propagated.
    pub fn decide(&mut self) {
        self.decided = true;
    }

    /// True when there is nothing to propagate.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The database of the first command and of the last.
    pub(super) fn databases(&self) -> (u16, u16) {
        (self.first_db, self.last_db)
    }

    /// The bytes of the commands if these are many and one step as they stand, so that nobody has to copy them; otherwise
    /// [`Effects::write`] writes them.
    pub(super) fn take_large(&mut self) -> Option<Vec<u8>> {
        (self.count == 1 && self.bytes.len() >= LARGE_BYTES).then(|| std::mem::take(&mut self.bytes))
    }

    /// Writes the commands as one step.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        if self.count > 1 {
            out.extend_from_slice(MULTI);
        }
        out.extend_from_slice(&self.bytes);
        if self.count > 1 {
            out.extend_from_slice(EXEC);
        }
    }

    fn enter(&mut self, db: u16) {
        if self.count == 0 {
            self.first_db = db;
        } else if self.last_db != db {
            encode_select(&mut self.bytes, db);
        }
        self.last_db = db;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        text.split(' ').map(str::as_bytes).collect::<Vec<_>>().into_iter()
    }

    fn shown(effects: &Effects) -> String {
        let mut out = Vec::new();
        effects.write(&mut out);
        let lines: Vec<String> = String::from_utf8(out)
            .unwrap()
            .split("\r\n")
            .map(str::to_owned)
            .filter(|l| !l.is_empty())
            .collect();
        lines.into_iter().filter(|line| !line.starts_with('$')).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn one_command_stands_alone_and_several_in_a_transaction() {
        let mut effects = Effects::default();
        assert!(effects.is_empty());
        effects.add(3, words("SET a 1"));
        assert_eq!(shown(&effects), "*3 SET a 1");
        effects.add(3, words("DEL b"));
        effects.add(4, words("DEL c"));
        assert_eq!(shown(&effects), "*1 MULTI *3 SET a 1 *2 DEL b *2 SELECT 4 *2 DEL c *1 EXEC");
        assert_eq!(effects.databases(), (3, 4));
        let mut outer = Effects::default();
        outer.add(4, words("INCR x"));
        outer.append(&effects);
        assert!(shown(&outer).starts_with("*1 MULTI *2 INCR x *2 SELECT 3 *3 SET a 1"));
        assert_eq!(outer.databases(), (4, 4));
    }

    #[test]
    fn a_command_is_written_as_it_is_parsed() {
        let long = vec![b'x'; 1000];
        let mut out = Vec::new();
        encode(&mut out, [&b"SET"[..], b"", &long].into_iter());
        let mut expected = b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$1000\r\n".to_vec();
        expected.extend_from_slice(&long);
        expected.extend_from_slice(b"\r\n");
        assert_eq!(out, expected);
    }
}
