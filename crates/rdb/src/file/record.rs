//! The keys of a batch.

use super::opcode;
use crate::error::Error;
use crate::load::{self, Options};
use crate::read::Reader;
use larder_store::Value;
use std::borrow::Cow;

/// Whole records of one database.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The database.
    pub db: u64,
    /// Where the batch begins in the file.
    pub offset: u64,
    pub(super) bytes: Vec<u8>,
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
        self.bytes.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Builds the values, one after another. After an error there is nothing more.
    pub fn records<'a>(&'a self, options: &Options<'a>) -> impl Iterator<Item = Result<Record<'a>, Error>> {
        let base = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let mut reader = Reader::within(&self.bytes, base);
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
