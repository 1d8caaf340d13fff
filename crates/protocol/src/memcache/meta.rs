//! The meta commands of the text protocol: a verb, a key, and flags of one letter, some with a token behind it.
//!
//! What is accepted and how it is refused follows memcached 1.6.45, found by asking it; the meaning of the flags is in
//! protocol.txt of memcached ("Meta Commands").

use super::request::{KEY_BYTES_MAX, Reject, Words};
use super::text::{decimal, exptime_of};
use data_encoding::BASE64;

/// Longest opaque token in bytes, its letter not counted.
const OPAQUE_BYTES_MAX: usize = 31;

/// Most flags of a request.
const FLAGS_MAX: usize = 18;

/// What a meta command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `mg`: read.
    Get,
    /// `ms`: store.
    Set,
    /// `md`: remove, or mark as out of date.
    Delete,
    /// `ma`: count.
    Arithmetic,
}

/// What `M` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Set, or add to a number.
    #[default]
    Usual,
    /// Only a key that is not there.
    Add,
    /// Behind the value that is there.
    Append,
    /// Before the value that is there.
    Prepend,
    /// Only a key that is there.
    Replace,
    /// Subtract from a number.
    Decrement,
}

/// A meta request that was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Meta<'a> {
    /// What to do.
    pub verb: Verb,
    /// The key as it was sent: in base64 if `b` is among the flags.
    pub sent_key: &'a [u8],
    /// The flags as they were sent, for what is echoed and the order of the answer.
    pub flags: Words<'a>,
    /// Which letters are among the flags.
    pub(super) has: Letters,
    /// `C`: the CAS unique that the client knows.
    pub cas: u64,
    /// `E`: the CAS unique that the item shall get.
    pub new_cas: u64,
    /// `T`: new expiration time.
    pub exptime: i32,
    /// `N`: expiration time of what is made on a miss.
    pub vivify: i32,
    /// `R`: fetch anew if less than this is left of the expiration time.
    pub recache: i32,
    /// `F`: client flags.
    pub client_flags: u32,
    /// `D`: by how much to count.
    pub delta: u64,
    /// `J`: where to start counting.
    pub initial: u64,
    /// `M`.
    pub mode: Mode,
    /// The value of `ms`.
    pub data: &'a [u8],
    /// A value that is too large was announced by `ms`: there is none, and nothing is to be answered.
    pub oversized: bool,
}

/// A set of ASCII letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Letters(u64);

impl Letters {
    fn bit(letter: u8) -> u64 {
        1 << (letter.wrapping_sub(b'A') & 63)
    }

    /// Adds one; false if it was there.
    fn insert(&mut self, letter: u8) -> bool {
        let before = self.0;
        self.0 |= Letters::bit(letter);
        self.0 != before
    }
}

impl<'a> Meta<'a> {
    /// True if the flag was sent.
    #[inline]
    pub fn has(&self, letter: u8) -> bool {
        self.has.0 & Letters::bit(letter) != 0
    }

    /// `q`: what is usual is not answered.
    pub fn is_quiet(&self) -> bool {
        self.has(b'q')
    }

    /// The key, decoded into `buffer` if it came in base64.
    pub fn key<'b>(&self, buffer: &'b mut [u8; KEY_BYTES_MAX]) -> &'b [u8]
    where
        'a: 'b,
    {
        if !self.has(b'b') {
            return self.sent_key;
        }
        decode(self.sent_key, buffer).unwrap_or_default()
    }

    /// Reads the flags of a request; the error says how it is refused.
    pub fn read(verb: Verb, sent_key: &'a [u8], flags: Words<'a>) -> Result<Meta<'a>, Reject> {
        let mut meta = Meta {
            verb,
            sent_key,
            flags: flags.clone(),
            has: Letters::default(),
            cas: 0,
            new_cas: 0,
            exptime: 0,
            vivify: 0,
            recache: 0,
            client_flags: 0,
            delta: 1,
            initial: 0,
            mode: Mode::Usual,
            data: b"",
            oversized: false,
        };
        // `ma` has one answer to nearly everything.
        let as_told = |reject| match (verb, reject) {
            (Verb::Arithmetic, Reject::BadFormat | Reject::ModeOfMa) => reject,
            (Verb::Arithmetic, _) => Reject::InvalidOrDuplicate,
            _ => reject,
        };
        if sent_key.is_empty() {
            return Err(Reject::BadFormat);
        }
        if sent_key.len() > KEY_BYTES_MAX {
            return Err(refuse_key(verb));
        }
        for (at, word) in flags.enumerate() {
            if at == FLAGS_MAX {
                return Err(as_told(Reject::TooManyFlags));
            }
            meta.flag(word).map_err(as_told)?;
        }
        if meta.has(b'b') && decode(sent_key, &mut [0; KEY_BYTES_MAX]).is_none() {
            return Err(as_told(Reject::KeyEncoding));
        }
        Ok(meta)
    }

    fn flag(&mut self, word: &[u8]) -> Result<(), Reject> {
        let bad_token = Reject::BadToken;
        let Some((&letter, token)) = word.split_first() else { return Ok(()) };
        if !(b'A'..=b'z').contains(&letter) {
            return Err(Reject::BadFormat);
        }
        if !self.has.insert(letter) {
            return Err(Reject::DuplicateFlag);
        }
        match letter {
            b'b' | b'c' | b'f' | b'h' | b'k' | b'l' | b'q' | b's' | b't' | b'u' | b'v' | b'x' | b'I' => {}
            b'P' | b'L' => {} // for proxies on the way
            b'C' => self.cas = decimal(token).ok_or(bad_token)?,
            b'E' => self.new_cas = decimal(token).ok_or(bad_token)?,
            b'T' => self.exptime = exptime_of(token).ok_or(bad_token)?,
            b'N' => self.vivify = exptime_of(token).ok_or(bad_token)?,
            b'R' => self.recache = exptime_of(token).ok_or(bad_token)?,
            b'D' => self.delta = decimal(token).ok_or(Reject::DeltaOfMeta)?,
            b'J' => self.initial = decimal(token).ok_or(Reject::InitialOfMeta)?,
            b'F' => {
                let flags = decimal(token).and_then(|flags| u32::try_from(flags).ok());
                self.client_flags = flags.ok_or(Reject::BadFormat)?;
            }
            b'O' if token.len() > OPAQUE_BYTES_MAX => return Err(Reject::OpaqueTooLong),
            b'O' => {}
            b'M' => self.mode = mode(self.verb, token)?,
            _ => return Err(Reject::InvalidFlag),
        }
        Ok(())
    }
}

fn refuse_key(verb: Verb) -> Reject {
    if verb == Verb::Arithmetic { Reject::InvalidOrDuplicate } else { Reject::BadFormat }
}

/// What a mode asks for: its first letter says it, in upper case.
fn mode(verb: Verb, token: &[u8]) -> Result<Mode, Reject> {
    Ok(match (verb, token.first()) {
        (Verb::Set, Some(b'E')) => Mode::Add,
        (Verb::Set, Some(b'A')) => Mode::Append,
        (Verb::Set, Some(b'P')) => Mode::Prepend,
        (Verb::Set, Some(b'R')) => Mode::Replace,
        (Verb::Set, Some(b'S')) | (Verb::Arithmetic, Some(b'I' | b'+')) => Mode::Usual,
        (Verb::Arithmetic, Some(b'D' | b'-')) => Mode::Decrement,
        (Verb::Set, _) => return Err(Reject::ModeOfMs),
        (Verb::Arithmetic, _) => return Err(Reject::ModeOfMa),
        (Verb::Get | Verb::Delete, _) => Mode::Usual,
    })
}

/// Decodes a key; `None` if it is no base64 of a key.
pub fn decode<'b>(sent: &[u8], buffer: &'b mut [u8; KEY_BYTES_MAX]) -> Option<&'b [u8]> {
    let room = BASE64.decode_len(sent.len()).ok().filter(|&room| room <= buffer.len())?;
    let len = BASE64.decode_mut(sent, &mut buffer[..room]).ok()?;
    (len > 0).then_some(&buffer[..len])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(verb: Verb, line: &str) -> Result<Meta<'_>, Reject> {
        let mut words = Words::new(line.as_bytes());
        let key = words.next().unwrap_or_default();
        Meta::read(verb, key, words)
    }

    #[test]
    fn flags_carry_their_tokens() {
        let meta = read(Verb::Set, "a T30 F7 C12 E13 MA N5 R9 q k Oxyz I").unwrap();
        assert_eq!((meta.exptime, meta.client_flags, meta.cas, meta.new_cas), (30, 7, 12, 13));
        assert_eq!((meta.mode, meta.vivify, meta.recache), (Mode::Append, 5, 9));
        assert!(meta.is_quiet() && meta.has(b'k') && meta.has(b'I') && !meta.has(b'i'));
        let meta = read(Verb::Arithmetic, "a D5 J18446744073709551615 M-").unwrap();
        assert_eq!((meta.delta, meta.initial, meta.mode), (5, u64::MAX, Mode::Decrement));
        assert_eq!(read(Verb::Set, "a MAppend").unwrap().mode, Mode::Append);
    }

    #[test]
    fn what_is_wrong_is_told_in_the_originals_words() {
        let refused = |verb, line| String::from_utf8(read(verb, line).unwrap_err().line().to_vec()).unwrap();
        assert_eq!(refused(Verb::Get, "a v v"), "CLIENT_ERROR duplicate flag\r\n");
        assert_eq!(refused(Verb::Get, "a !"), "CLIENT_ERROR bad command line format\r\n");
        assert_eq!(refused(Verb::Get, "a W"), "CLIENT_ERROR invalid flag\r\n");
        assert_eq!(refused(Verb::Get, "a Tx"), "CLIENT_ERROR bad token in command line format\r\n");
        assert_eq!(refused(Verb::Get, "YQ= b"), "CLIENT_ERROR error decoding key\r\n");
        assert_eq!(refused(Verb::Set, "a MX"), "CLIENT_ERROR invalid mode for ms M token\r\n");
        assert_eq!(refused(Verb::Set, "a Ma"), "CLIENT_ERROR invalid mode for ms M token\r\n");
        assert_eq!(refused(Verb::Arithmetic, "a Mi"), "CLIENT_ERROR invalid mode for ma M token\r\n");
        assert_eq!(refused(Verb::Arithmetic, "a M"), "CLIENT_ERROR invalid mode for ma M token\r\n");
        assert_eq!(refused(Verb::Arithmetic, "a Dx"), "CLIENT_ERROR invalid or duplicate flag\r\n");
        let long = format!("a O{}", "x".repeat(32));
        assert_eq!(refused(Verb::Get, &long), "CLIENT_ERROR opaque token too long\r\n");
        let many = "a v f s t h l c k u q O1 T0 N0 R0 C1 E1 I x D1";
        assert_eq!(refused(Verb::Get, many), "CLIENT_ERROR options flags are too long\r\n");
        assert_eq!(refused(Verb::Get, ""), "CLIENT_ERROR bad command line format\r\n");
        let long = "k".repeat(251);
        assert_eq!(refused(Verb::Get, &long), "CLIENT_ERROR bad command line format\r\n");
    }

    #[test]
    fn keys_in_base64_are_decoded() {
        let mut buffer = [0; KEY_BYTES_MAX];
        assert_eq!(read(Verb::Get, "YSBi b").unwrap().key(&mut buffer), b"a b");
        assert_eq!(read(Verb::Get, "YSBi").unwrap().key(&mut buffer), b"YSBi");
    }
}
