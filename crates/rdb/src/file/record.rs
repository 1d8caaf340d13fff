//! The keys of a batch.

use super::opcode;
use crate::error::Error;
use crate::load::{self, Options};
use crate::read::Reader;
use larder_store::Value;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

/// Buffers that are kept to be used again.
const SPARES_MAX: usize = 32;
/// A buffer that grew beyond this, for a long value, is not kept.
const SPARE_BYTES_MAX: usize = 1024 * 1024;

/// Buffers of batches that are done with, for the next ones: fresh memory costs more than reading the file into it.
#[derive(Clone, Debug, Default)]
pub(super) struct Spares(Arc<Mutex<Vec<Vec<u8>>>>);

impl Spares {
    /// A buffer with whatever bytes are in it, or an empty one.
    pub(super) fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn give(&self, buffer: Vec<u8>) {
        let mut spares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spares.len() < SPARES_MAX && buffer.capacity() <= SPARE_BYTES_MAX {
            spares.push(buffer);
        }
    }
}

/// Whole records of one database.
#[derive(Debug)]
pub struct Batch {
    /// The database.
    pub db: u64,
    /// Where the batch begins in the file.
    pub offset: u64,
    /// The records, and behind them what the buffer held before.
    pub(super) bytes: Vec<u8>,
    /// Bytes of the records.
    pub(super) length: usize,
    /// Where the buffer goes in the end.
    pub(super) spares: Spares,
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.spares.give(std::mem::take(&mut self.bytes));
    }
}

/// A key with its value.
#[derive(Debug)]
pub struct Record<'a> {
    /// The key.
    pub key: Cow<'a, [u8]>,
    /// Its type as it was written, see [`crate::kind`].
    pub kind: u8,
    /// The value.
    pub value: Value<'a>,
    /// When the key dies, Unix milliseconds.
    pub deadline: Option<u64>,
    /// Seconds since it was used.
    pub idle_seconds: Option<u64>,
    /// How often it is used.
    pub frequency: Option<u8>,
    /// Where it begins in the file.
    pub offset: usize,
    /// Bytes that it takes there, its deadline and use included.
    pub bytes: usize,
}

impl Batch {
    /// Bytes of the records.
    pub fn len(&self) -> usize {
        self.length
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Builds the values, one after another. After an error there is nothing more.
    pub fn records<'a>(&'a self, options: &Options<'a>) -> impl Iterator<Item = Result<Record<'a>, Error>> {
        let base = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let mut reader = Reader::within(&self.bytes[..self.length], base);
        let (options, mut failed) = (*options, false);
        std::iter::from_fn(move || {
            if failed || reader.is_empty() {
                return None;
            }
            let record = record(&mut reader, &options);
            failed = record.is_err();
            Some(record)
        })
    }
}

fn record<'a>(reader: &mut Reader<'a>, options: &Options<'_>) -> Result<Record<'a>, Error> {
    let offset = reader.offset();
    let (mut deadline, mut idle_seconds, mut frequency) = (None, None, None);
    loop {
        match reader.byte()? {
            // A deadline before 1970 is long over.
            opcode::DEADLINE => {
                let seconds = reader.u32()?.cast_signed();
                deadline = Some(u64::try_from(seconds).unwrap_or(0) * 1000);
            }
            opcode::DEADLINE_MS => {
                let ms = reader.u64()?.cast_signed();
                deadline = Some(u64::try_from(ms).unwrap_or(0));
            }
            opcode::IDLE => idle_seconds = Some(reader.length()?),
            opcode::FREQUENCY => frequency = Some(reader.byte()?),
            kind => {
                let key = reader.string()?;
                let value = load::value(kind, reader, options)?;
                let bytes = reader.offset() - offset;
                return Ok(Record { key, kind, value, deadline, idle_seconds, frequency, offset, bytes });
            }
        }
    }
}
