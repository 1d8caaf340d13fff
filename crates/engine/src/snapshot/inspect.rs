//! Looking into a file for people: what is in it, and whether it is sound (`larder rdb`).

use larder_rdb::file::read::{FileError, FileReader, Part, Wishes};
use larder_rdb::file::record::Record;
use larder_rdb::load::Options;
use larder_store::Value;
use larder_store::object::Limits;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

/// A key of a file.
#[derive(Debug)]
pub struct Key<'a> {
    /// Its database.
    pub db: u64,
    /// Its name.
    pub key: &'a [u8],
    /// `string`, `list`, ...
    pub kind: &'static str,
    /// Members, or bytes of a string.
    pub members: usize,
    /// Bytes in the file.
    pub bytes: usize,
    /// When it dies, Unix milliseconds.
    pub deadline: Option<u64>,
}

/// What a database has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Database {
    /// Keys by type.
    pub kinds: BTreeMap<&'static str, u64>,
    /// Keys with deadlines.
    pub volatile: u64,
    /// Bytes in the file.
    pub bytes: u64,
}

impl Database {
    /// All keys.
    pub fn keys(&self) -> u64 {
        self.kinds.values().sum()
    }
}

/// What is in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Version of the format.
    pub version: u16,
    /// Bytes of the file.
    pub size: u64,
    /// Facts that it tells about itself.
    pub aux: Vec<(String, String)>,
    /// Databases by number.
    pub databases: BTreeMap<u64, Database>,
    /// Libraries of functions.
    pub functions: u64,
    /// True if there was a checksum, and it was right.
    pub checked: bool,
    /// Bytes behind the end.
    pub rest: u64,
}

/// Reads a whole file, building every value and dropping it again. `key` is told of each key, `progress` of the bytes
/// that were read and of those that there are.
///
/// # Errors
/// What is wrong, and where; what was found before that is in the report.
pub fn inspect(
    path: &Path,
    report: &mut Report,
    key: &mut dyn FnMut(&Key<'_>),
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), FileError> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    report.size = size;
    let limits = Limits::default();
    let options = Options { limits: &limits, thorough: true };
    let mut reader = FileReader::open(file, Wishes { checksum: true, any_version: false, size: Some(size) })?;
    report.version = reader.version();
    loop {
        match reader.next_part()? {
            Part::Aux { name, value } => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                report.aux.push((text(&name), text(&value)));
            }
            Part::Function(_) => report.functions += 1,
            Part::Resize { .. } | Part::ModuleAux => {}
            Part::Keys(batch) => {
                for record in batch.records(&options) {
                    let found = describe(batch.db, &record?, key);
                    let database = report.databases.entry(batch.db).or_default();
                    *database.kinds.entry(found.kind).or_default() += 1;
                    database.volatile += u64::from(found.volatile);
                    database.bytes += found.bytes as u64;
                }
            }
            Part::End { checked } => {
                report.checked = checked;
                report.rest = size.saturating_sub(reader.offset());
                progress(size, size);
                return Ok(());
            }
        }
        progress(reader.offset(), size);
    }
}

struct Found {
    kind: &'static str,
    volatile: bool,
    bytes: usize,
}

fn describe(db: u64, record: &Record<'_>, tell: &mut dyn FnMut(&Key<'_>)) -> Found {
    let (kind, members) = match &record.value {
        Value::String(bytes) => ("string", bytes.len()),
        Value::Long(bytes) => ("string", bytes.len()),
        Value::Integer(n) => ("string", n.to_string().len()),
        Value::List(list) => ("list", list.len()),
        Value::Set(set) => ("set", set.len()),
        Value::SortedSet(set) => ("zset", set.len()),
        Value::Hash(hash) => ("hash", hash.len()),
        Value::Stream(stream) => ("stream", stream.len()),
    };
    let deadline = record.deadline;
    tell(&Key { db, key: &record.key, kind, members, bytes: record.bytes, deadline });
    Found { kind, volatile: deadline.is_some(), bytes: record.bytes }
}
