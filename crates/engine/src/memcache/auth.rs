//! Who may use the Memcached doors: users of a file of `name:password` lines, as memcached's `-Y` reads it.
//!
//! The text protocol shows its credentials as the value of a first `set` (`name password`); the binary one by SASL PLAIN.
//! Both read the same file.

use std::hint::black_box;
use std::path::Path;

/// Most users of a file.
const USERS_MAX: usize = 64;
/// Longest file in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What became of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Admitted,
    Refused,
    /// These are no credentials.
    Malformed,
}

/// Why a file of users is not taken.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// It cannot be read.
    #[error("could not read the users of {0}: {1}")]
    Read(String, std::io::Error),
    /// A line is none.
    #[error("{0}:{1}: a line is NAME:PASSWORD")]
    Line(String, usize),
    /// Too many users, or too long.
    #[error("{0}: more than {USERS_MAX} users")]
    TooMany(String),
    /// Nobody could come in.
    #[error("{0}: names no user")]
    Empty(String),
}

/// A user.
#[derive(Clone)]
struct User {
    name: Box<[u8]>,
    password: Box<[u8]>,
}

/// The users, and what is asked for.
#[derive(Clone, Default)]
pub struct Auth {
    users: Vec<User>,
    ascii: bool,
    sasl: bool,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Auth {{ users: {}, ascii: {}, sasl: {} }}", self.users.len(), self.ascii, self.sasl)
    }
}

impl Auth {
    /// Reads a file. With `sasl` only the binary protocol is spoken, and shows credentials by SASL.
    ///
    /// # Errors
    /// The file cannot be read, or names no users.
    pub fn read(path: &Path, sasl: bool) -> Result<Auth, AuthError> {
        let name = || path.display().to_string();
        let read = |error| AuthError::Read(name(), error);
        if std::fs::metadata(path).map_err(read)?.len() > FILE_BYTES_MAX {
            return Err(AuthError::TooMany(name()));
        }
        let text = std::fs::read(path).map_err(read)?;
        let mut users = Vec::new();
        for (at, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            let colon = memchr::memchr(b':', line).filter(|&colon| colon > 0);
            let colon = colon.ok_or_else(|| AuthError::Line(name(), at + 1))?;
            users.push(User { name: line[..colon].into(), password: line[colon + 1..].into() });
        }
        match users.len() {
            0 => Err(AuthError::Empty(name())),
            1..=USERS_MAX => Ok(Auth { users, ascii: !sasl, sasl }),
            _ => Err(AuthError::TooMany(name())),
        }
    }

    /// True if the text protocol asks for credentials.
    pub(super) fn ascii(&self) -> bool {
        self.ascii
    }

    /// True if the binary protocol asks for credentials.
    pub(super) fn sasl(&self) -> bool {
        self.sasl
    }

    /// Credentials of the text protocol: name, blank, password.
    pub(super) fn text(&self, data: &[u8]) -> Verdict {
        match memchr::memchr(b' ', data) {
            Some(blank) => self.check(&data[..blank], &data[blank + 1..]),
            None => Verdict::Malformed,
        }
    }

    /// A message of SASL PLAIN (RFC 4616): who to act as, NUL, name, NUL, password. Nobody may act as another one.
    pub(super) fn plain(&self, message: &[u8]) -> Verdict {
        let mut parts = message.splitn(3, |&byte| byte == 0);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(actor), Some(name), Some(password)) if actor.is_empty() || actor == name => {
                self.check(name, password)
            }
            _ => Verdict::Refused,
        }
    }

    fn check(&self, name: &[u8], password: &[u8]) -> Verdict {
        let mut admitted = false;
        for user in &self.users {
            admitted |= same(&user.name, name) & same(&user.password, password);
        }
        if admitted { Verdict::Admitted } else { Verdict::Refused }
    }
}

/// Compares in a time that depends on the lengths only.
fn same(a: &[u8], b: &[u8]) -> bool {
    let differ = a.iter().zip(b).fold(0, |differ, (a, b)| black_box(differ | (a ^ b)));
    differ == 0 && a.len() == b.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Auth, AuthError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Auth::read(file.path(), false)
    }

    #[test]
    fn credentials_are_checked_whole() {
        let auth = read("bob:secret\nann:a:b\r\n").unwrap();
        assert_eq!(auth.text(b"bob secret"), Verdict::Admitted);
        assert_eq!(auth.text(b"ann a:b"), Verdict::Admitted);
        for wrong in [&b"bob secre"[..], b"bob secret ", b"bob  secret", b"ann secret", b" "] {
            assert_eq!(auth.text(wrong), Verdict::Refused);
        }
        assert_eq!((auth.text(b"bob"), auth.text(b"")), (Verdict::Malformed, Verdict::Malformed));
        assert_eq!(auth.plain(b"\0bob\0secret"), Verdict::Admitted);
        assert_eq!(auth.plain(b"bob\0bob\0secret"), Verdict::Admitted);
        assert_eq!(auth.plain(b"ann\0bob\0secret"), Verdict::Refused);
        assert_eq!(auth.plain(b"\0bob"), Verdict::Refused);
        assert_eq!(auth.plain(b"bob\0secret"), Verdict::Refused);
    }

    #[test]
    fn a_file_without_users_is_refused() {
        assert!(matches!(read(""), Err(AuthError::Empty(_))));
        assert!(matches!(read("bob:x\nnobody\n"), Err(AuthError::Line(_, 2))));
        assert!(matches!(read(&"a:b\n".repeat(65)), Err(AuthError::TooMany(_))));
    }
}
