//! Reading a file: its head, then batches of whole records, in bounded memory.
//!
//! Nothing of a value is built here, so that one thread can cut a file as fast as it comes and others build. A batch
//! holds [`BATCH_BYTES`] of records, or one record that is larger. A record claims nothing: bytes are kept as they come,
//! and a length that the rest of the file cannot hold is an error at once.

use super::opcode;
use super::record::{Batch, Spares};
use super::shape::{Progress, Walk, is_value};
use crate::checksum::Checksum;
use crate::error::{Error, Problem};
use crate::kind;
use crate::read::Reader;
use std::io::{self, Read};

/// Bytes of records in a batch.
pub const BATCH_BYTES: usize = 256 * 1024;
/// Bytes by which the buffer grows, and room below which it does.
const READ_BYTES: usize = 256 * 1024;
const ROOM_BYTES_MIN: usize = 32 * 1024;
/// Bytes of the head: magic and version.
const HEAD_BYTES: usize = 9;
/// The first version with a checksum at the end.
const CHECKSUM_SINCE: u16 = 5;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is no such file.
    #[error("Wrong signature trying to load DB from file")]
    Signature,
    /// A version that is not known.
    #[error("Can't handle RDB format version {0}")]
    Version(u16),
    /// What stands in it is wrong.
    #[error(transparent)]
    Bad(#[from] Error),
    /// Its checksum is another.
    #[error("Wrong RDB checksum: the file says {claimed:016x}, its bytes say {computed:016x}")]
    Checksum {
        /// What the file says.
        claimed: u64,
        /// What its bytes say.
        computed: u64,
    },
    /// It cannot be read.
    #[error(transparent)]
    Input(#[from] io::Error),
}

/// What comes next in a file.
#[derive(Debug)]
pub enum Part {
    /// A fact about the file.
    Aux {
        /// Its name.
        name: Vec<u8>,
        /// Its value.
        value: Vec<u8>,
    },
    /// How much of a database follows.
    Resize {
        /// The database.
        db: u64,
        /// Keys.
        keys: u64,
        /// Keys with deadlines.
        volatile: u64,
    },
    /// The source of a library of functions.
    Function(Vec<u8>),
    /// What a module keeps beside keys: skipped.
    ModuleAux,
    /// Keys with their values.
    Keys(Batch),
    /// The end, where the checksum was right, or is none.
    End {
        /// True if there was a checksum to compare.
        checked: bool,
    },
}

/// How a file is read.
#[derive(Clone, Copy, Debug)]
pub struct Wishes {
    /// Compare the checksum (`rdbchecksum`).
    pub checksum: bool,
    /// Try files of versions that are not known (`rdb-version-check relaxed`).
    pub any_version: bool,
    /// Bytes from here to the end of the input, if that is known.
    pub size: Option<u64>,
}

/// A file under way.
#[derive(Debug)]
pub struct FileReader<R> {
    input: R,
    /// Bytes that were read and not yet given away, and room for more.
    bytes: Vec<u8>,
    /// How many of them were read.
    filled: usize,
    /// How many of them are whole records of the batch under way.
    batch: usize,
    /// How many of them the checksum knows.
    summed: usize,
    /// Where `bytes` begin in the file.
    offset: u64,
    wishes: Wishes,
    walk: Walk,
    sum: Checksum,
    version: u16,
    db: u64,
    /// What must stay together with the record that follows: a key's deadline, its use.
    prefix: bool,
    finished: bool,
    spares: Spares,
}

impl<R: Read> FileReader<R> {
    /// Reads the head.
    pub fn open(input: R, wishes: Wishes) -> Result<FileReader<R>, FileError> {
        let mut reader = FileReader {
            input,
            bytes: Vec::new(),
            filled: 0,
            batch: 0,
            summed: 0,
            offset: 0,
            wishes,
            walk: Walk::default(),
            sum: Checksum::default(),
            version: 0,
            db: 0,
            prefix: false,
            finished: false,
            spares: Spares::default(),
        };
        while reader.filled < HEAD_BYTES {
            if reader.fill()? == 0 {
                return Err(FileError::Signature);
            }
        }
        let (magic, digits) = match reader.bytes.strip_prefix(b"VALKEY") {
            Some(_) => ("valkey", &reader.bytes[6..9]),
            None if reader.bytes.starts_with(b"REDIS") => ("redis", &reader.bytes[5..9]),
            None => return Err(FileError::Signature),
        };
        let version = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        reader.version = version.ok_or(FileError::Signature)?;
        let fits = (reader.version >= kind::VERSION_VALKEY_9) == (magic == "valkey");
        let known = kind::is_known_version(reader.version) && fits;
        if !wishes.any_version && !known {
            return Err(FileError::Version(reader.version));
        }
        reader.give_away(HEAD_BYTES);
        Ok(reader)
    }

    /// The version of the format.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// How many bytes of the file were given away.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Goes on to what comes next. After [`Part::End`] there is nothing more to ask for.
    pub fn next_part(&mut self) -> Result<Part, FileError> {
        loop {
            let start = self.batch;
            let record = &self.bytes[start..self.filled];
            let offset = self.offset + start as u64;
            let left = self.wishes.size.map_or(u64::MAX, |size| size.saturating_sub(offset));
            let length = match self.walk.advance(record, offset, left)? {
                Progress::Complete(length) => length as usize,
                Progress::More => {
                    // A batch that is large enough goes out before more is read.
                    if start >= BATCH_BYTES && !self.prefix {
                        return Ok(self.batch());
                    }
                    if self.fill()? == 0 {
                        let end = self.offset + self.filled as u64;
                        let offset = usize::try_from(end).unwrap_or(usize::MAX);
                        return Err(Error { offset, problem: Problem::Truncated }.into());
                    }
                    continue;
                }
            };
            let first = record[0];
            if is_value(first)
                || matches!(first, opcode::DEADLINE | opcode::DEADLINE_MS | opcode::IDLE | opcode::FREQUENCY)
            {
                self.prefix = !is_value(first);
                self.batch += length;
                if self.batch >= BATCH_BYTES && !self.prefix {
                    return Ok(self.batch());
                }
                continue;
            }
            if self.batch > 0 {
                // The record is walked over again after the batch went out: it is short.
                return Ok(self.batch());
            }
            if let Some(part) = self.note(first, length, offset)? {
                return Ok(part);
            }
        }
    }

    /// The input, and what was read of it beyond the end of the file: for what follows in a stream.
    pub fn into_rest(mut self) -> (R, Vec<u8>) {
        self.bytes.truncate(self.filled);
        (self.input, self.bytes)
    }

    /// Takes a record that is no key.
    fn note(&mut self, first: u8, length: usize, offset: u64) -> Result<Option<Part>, FileError> {
        let base = usize::try_from(offset).unwrap_or(usize::MAX);
        let record = self.bytes[..length].to_vec();
        let mut reader = Reader::within(&record, base);
        reader.byte()?;
        let part = match first {
            opcode::AUX => {
                let (name, value) = (reader.string()?.into_owned(), reader.string()?.into_owned());
                Some(Part::Aux { name, value })
            }
            opcode::SELECT => {
                self.db = reader.length()?;
                None
            }
            opcode::RESIZE => {
                let (keys, volatile) = (reader.length()?, reader.length()?);
                Some(Part::Resize { db: self.db, keys, volatile })
            }
            opcode::FUNCTION => Some(Part::Function(reader.string()?.into_owned())),
            opcode::MODULE_AUX => Some(Part::ModuleAux),
            opcode::END => {
                self.give_away(length);
                return self.end().map(Some);
            }
            _ => None,
        };
        self.give_away(length);
        Ok(part)
    }

    fn end(&mut self) -> Result<Part, FileError> {
        let computed = self.sum.sum();
        self.finished = true;
        if self.version < CHECKSUM_SINCE {
            return Ok(Part::End { checked: false });
        }
        while self.filled < 8 {
            if self.fill()? == 0 {
                let offset = usize::try_from(self.offset).unwrap_or(usize::MAX);
                return Err(Error { offset, problem: Problem::Truncated }.into());
            }
        }
        let mut claimed = [0; 8];
        claimed.copy_from_slice(&self.bytes[..8]);
        self.give_away(8);
        let claimed = u64::from_le_bytes(claimed);
        let checked = self.wishes.checksum && claimed != 0;
        if checked && claimed != computed {
            return Err(FileError::Checksum { claimed, computed });
        }
        Ok(Part::End { checked })
    }

    /// Gives the whole records away.
    fn batch(&mut self) -> Part {
        let (offset, length) = (self.offset, std::mem::take(&mut self.batch));
        self.add_to_sum(length);
        // The batch takes the buffer; what was read beyond it, less than a piece or a record under way, is copied.
        let rest = &self.bytes[length..self.filled];
        let mut next = self.spares.take();
        if next.len() < rest.len() {
            next.resize(rest.len(), 0);
        }
        next[..rest.len()].copy_from_slice(rest);
        let bytes = std::mem::replace(&mut self.bytes, next);
        self.filled -= length;
        self.summed -= length;
        self.offset += length as u64;
        Part::Keys(Batch { db: self.db, offset, bytes, length, spares: self.spares.clone() })
    }

    fn give_away(&mut self, length: usize) {
        self.add_to_sum(length);
        self.bytes.drain(..length);
        self.filled -= length;
        self.summed -= length;
        self.offset += length as u64;
    }

    /// Makes sure that the checksum knows so many of the bytes.
    fn add_to_sum(&mut self, length: usize) {
        if self.summed < length {
            if self.wishes.checksum && !self.finished {
                self.sum.update(&self.bytes[self.summed..length]);
            }
            self.summed = length;
        }
    }

    /// Reads another piece; 0 at the end of the input.
    fn fill(&mut self) -> Result<usize, FileError> {
        if self.bytes.len() - self.filled < ROOM_BYTES_MIN {
            // A long value grows its buffer by halves of itself, never by what it claims.
            let piece = READ_BYTES.max(self.filled / 2);
            self.bytes.reserve_exact(piece);
            self.bytes.resize(self.filled + piece, 0);
        }
        let read = loop {
            match self.input.read(&mut self.bytes[self.filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.filled += read.as_ref().map_or(0, |read| *read);
        Ok(read?)
    }
}
