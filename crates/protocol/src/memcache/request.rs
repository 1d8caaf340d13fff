//! What a Memcached client can ask for in the text protocol.

use super::meta::Meta;

/// Longest key in bytes.
pub const KEY_BYTES_MAX: usize = 250;

/// Bytes that an item is charged for beside its key and value when its size is held against the limit: what
/// memcached 1.6 takes for its header with CAS, the end of the key and the line end of the value.
const ITEM_OVERHEAD_BYTES: usize = 48 + 8 + 1 + 2;

/// Bytes that client flags other than zero add to an item.
const FLAGS_BYTES: usize = 4;

/// Bytes of an item as memcached counts them for its limit on the size of an item.
pub fn item_bytes(key_bytes: usize, value_bytes: usize, flags: u32) -> usize {
    ITEM_OVERHEAD_BYTES + if flags == 0 { 0 } else { FLAGS_BYTES } + key_bytes + value_bytes
}

/// How a value is to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Whatever was there.
    Set,
    /// Only a key that is not there.
    Add,
    /// Only a key that is there.
    Replace,
    /// Behind the value that is there.
    Append,
    /// Before the value that is there.
    Prepend,
    /// Only while the key still has this CAS unique.
    Cas(u64),
}

/// One request. Expiration times are as sent: 0 = never, negative = at once, up to 30 days = seconds from now,
/// more = Unix seconds.
#[derive(Clone, Debug, PartialEq)]
pub enum Request<'a> {
    /// Values of keys, each of a valid length.
    Get {
        /// The keys in order.
        keys: Words<'a>,
        /// True if the CAS unique is wanted too.
        cas: bool,
        /// New expiration time of the keys.
        touch: Option<i32>,
    },
    /// Store a value.
    Store {
        /// How.
        verb: Verb,
        /// The key.
        key: &'a [u8],
        /// Opaque to the server.
        flags: u32,
        /// Expiration time.
        exptime: i32,
        /// The value.
        data: &'a [u8],
        /// True if no answer is wanted.
        noreply: bool,
    },
    /// A value that exceeds the limit was announced. Nothing is to be answered: the parser rejects the request when
    /// it has skipped the value.
    Oversized {
        /// How it was to be stored.
        verb: Verb,
        /// The key.
        key: &'a [u8],
    },
    /// Remove a key.
    Delete {
        /// The key.
        key: &'a [u8],
        /// True if no answer is wanted.
        noreply: bool,
    },
    /// Add to or subtract from a number.
    Arithmetic {
        /// The key.
        key: &'a [u8],
        /// By how much.
        delta: u64,
        /// True to add.
        up: bool,
        /// True if no answer is wanted.
        noreply: bool,
    },
    /// Change the expiration time.
    Touch {
        /// The key.
        key: &'a [u8],
        /// The new expiration time.
        exptime: i32,
        /// True if no answer is wanted.
        noreply: bool,
    },
    /// Invalidate everything.
    FlushAll {
        /// When, by the rules of expiration times; 0 = now.
        delay: i32,
        /// True if no answer is wanted.
        noreply: bool,
    },
    /// Name the version.
    Version,
    /// Change how much is logged.
    Verbosity {
        /// The level.
        level: u32,
        /// True if no answer is wanted.
        noreply: bool,
    },
    /// Statistics: all, or the sort that the words name.
    Stats(Words<'a>),
    /// Close the session.
    Quit,
    /// Read a setting of Auto Discovery (ElastiCache).
    ConfigGet {
        /// Its name; clients ask for `cluster`.
        name: &'a [u8],
    },
    /// Change such a setting.
    ConfigSet {
        /// Its name.
        name: &'a [u8],
        /// Opaque to the server.
        flags: u32,
        /// The value.
        data: &'a [u8],
    },
    /// Remove such a setting.
    ConfigDelete {
        /// Its name.
        name: &'a [u8],
    },
    /// A meta command.
    Meta(Meta<'a>),
    /// `mn`: answered, so that the answers to quiet meta commands before it are known to be all there.
    MetaNoOp,
    /// `me`: what is known of an item.
    MetaDebug {
        /// The key, in base64 if so said.
        key: &'a [u8],
        /// The key is in base64.
        base64: bool,
    },
    /// A command for operators.
    Admin {
        /// Which.
        command: Admin,
        /// What stands behind it.
        words: Words<'a>,
    },
    /// A request that cannot be carried out; this is the answer.
    Reject(Reject),
}

/// A value that is still to come and could be received elsewhere than in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Apart {
    /// Where it begins, counted from the start of its request.
    pub at: usize,
    /// Its length.
    pub bytes: usize,
}

/// Commands for operators, which are read where they are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admin {
    /// `cache_memlimit`.
    CacheMemlimit,
    /// `lru`.
    Lru,
    /// `lru_crawler`.
    LruCrawler,
    /// `slabs`.
    Slabs,
    /// `watch`.
    Watch,
    /// `shutdown`.
    Shutdown,
    /// `refresh_certs`.
    RefreshCerts,
}

/// Why a request is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// No such command, or a wrong number of words.
    Unknown,
    /// A key that is too long, a number that is none.
    BadFormat,
    /// A wrong form of `delete`.
    DeleteUsage,
    /// A key of a `get` that is too long, and a blank line, as memcached has it from 1.6.32 on.
    KeyOfGet,
    /// The amount of `incr` or `decr` is no number.
    BadDelta,
    /// An expiration time is no number.
    BadExptime,
    /// A value is not followed by a line end.
    BadChunk,
    /// A value is larger than the server takes.
    TooLarge,
    /// Meta: a flag twice.
    DuplicateFlag,
    /// Meta: no such flag.
    InvalidFlag,
    /// `ma`: one of the two.
    InvalidOrDuplicate,
    /// Meta: what stands behind a flag is no number.
    BadToken,
    /// Meta: the amount is none.
    DeltaOfMeta,
    /// Meta: the initial value is none.
    InitialOfMeta,
    /// Meta: an opaque token that is too long.
    OpaqueTooLong,
    /// Meta: too many flags.
    TooManyFlags,
    /// Meta: a key that is not base64.
    KeyEncoding,
    /// A mode that `ms` has not.
    ModeOfMs,
    /// A mode that `ma` has not.
    ModeOfMa,
}

impl Reject {
    /// The answer with its line end, as memcached 1.6 gives it.
    pub const fn line(self) -> &'static [u8] {
        match self {
            Reject::Unknown => b"ERROR\r\n",
            Reject::BadFormat => b"CLIENT_ERROR bad command line format\r\n",
            Reject::KeyOfGet => b"CLIENT_ERROR bad command line format\r\n\r\n",
            Reject::DeleteUsage => {
                b"CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"
            }
            Reject::BadDelta => b"CLIENT_ERROR invalid numeric delta argument\r\n",
            Reject::BadExptime => b"CLIENT_ERROR invalid exptime argument\r\n",
            Reject::BadChunk => b"CLIENT_ERROR bad data chunk\r\n",
            Reject::TooLarge => b"SERVER_ERROR object too large for cache\r\n",
            Reject::DuplicateFlag => b"CLIENT_ERROR duplicate flag\r\n",
            Reject::InvalidFlag => b"CLIENT_ERROR invalid flag\r\n",
            Reject::InvalidOrDuplicate => b"CLIENT_ERROR invalid or duplicate flag\r\n",
            Reject::BadToken => b"CLIENT_ERROR bad token in command line format\r\n",
            Reject::DeltaOfMeta => b"CLIENT_ERROR invalid numeric delta value\r\n",
            Reject::InitialOfMeta => b"CLIENT_ERROR invalid numeric initial value\r\n",
            Reject::OpaqueTooLong => b"CLIENT_ERROR opaque token too long\r\n",
            Reject::TooManyFlags => b"CLIENT_ERROR options flags are too long\r\n",
            Reject::KeyEncoding => b"CLIENT_ERROR error decoding key\r\n",
            Reject::ModeOfMs => b"CLIENT_ERROR invalid mode for ms M token\r\n",
            Reject::ModeOfMa => b"CLIENT_ERROR invalid mode for ma M token\r\n",
        }
    }
}

/// The words of a line, separated by blanks.
#[derive(Clone, Debug, PartialEq)]
pub struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Words<'a> {
    /// The words of `line`. A NUL ends the line, as in memcached before 1.6.32.
    pub fn new(line: &'a [u8]) -> Words<'a> {
        Words { rest: memchr::memchr(0, line).map_or(line, |end| &line[..end]) }
    }

    /// The words of `line`, in which a NUL is a byte like others.
    pub fn whole(line: &'a [u8]) -> Words<'a> {
        Words { rest: line }
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.rest.iter().position(|&byte| byte != b' ')?;
        let rest = &self.rest[start..];
        let len = memchr::memchr(b' ', rest).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(len);
        self.rest = rest;
        Some(word)
    }
}
