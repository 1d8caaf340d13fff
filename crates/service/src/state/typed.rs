//! Records as typed values: JSON with a version, so that a later program can read what an earlier one wrote.

use std::sync::Arc;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::record::{Change, Expect, Page, Record, Records, StateError};

/// A type that is kept as a record.
pub trait Resource: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// Kind of its records.
    const KIND: &'static str;
    /// Version of its JSON form; rises when old readers would misunderstand.
    const VERSION: u32 = 1;

    /// Its name among its kind.
    fn id(&self) -> String;
}

/// A value with the revision at which it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored<T> {
    /// The value.
    pub value: T,
    /// Revision of its record.
    pub revision: u64,
}

/// A value that is only looked at: it may be shared with others who look at it.
pub type Shared<T> = Stored<Arc<T>>;

#[derive(Serialize)]
struct Written<'a, T> {
    version: u32,
    value: &'a T,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Deserialize)]
struct Read<T> {
    version: u32,
    value: T,
}

fn encode<T: Resource>(value: &T) -> Result<Vec<u8>, StateError> {
    serde_json::to_vec(&Written { version: T::VERSION, value }).map_err(|e| corrupt::<T>(&value.id(), &e))
}

fn corrupt<T: Resource>(id: &str, why: &dyn std::fmt::Display) -> StateError {
    StateError::Corrupt { what: format!("the record {} {id}", T::KIND), why: why.to_string() }
}

fn decode<T: Resource>(record: &Record) -> Result<Stored<T>, StateError> {
    let Stored { value, revision } = decode_shared::<T>(record)?;
    Ok(Stored { value: Arc::unwrap_or_clone(value), revision })
}

fn decode_shared<T: Resource>(record: &Record) -> Result<Shared<T>, StateError> {
    let value = record.body.value(|text| read::<T>(&record.id, text))?;
    Ok(Stored { value, revision: record.revision })
}

fn read<T: Resource>(id: &str, text: &[u8]) -> Result<T, StateError> {
    // In one go, as a rule; a record that cannot be read so is looked at again for why.
    if let Ok(Read { version, value }) = serde_json::from_slice(text)
        && version <= T::VERSION
    {
        return Ok(value);
    }
    let fail = |e: serde_json::Error| corrupt::<T>(id, &e);
    let Version { version } = serde_json::from_slice(text).map_err(fail)?;
    if version > T::VERSION {
        return Err(corrupt::<T>(id, &format!("version {version} is newer than this program")));
    }
    let Read { value, .. } = serde_json::from_slice(text).map_err(fail)?;
    Ok(value)
}

/// The change that makes a record that must not exist yet.
pub fn create<T: Resource>(value: &T) -> Result<Change, StateError> {
    put(value, Expect::Absent)
}

/// The change that replaces a record that nobody else has changed since `revision`.
pub fn replace<T: Resource>(value: &T, revision: u64) -> Result<Change, StateError> {
    put(value, Expect::Revision(revision))
}

/// The change that writes a record, whatever was there.
pub fn put_any<T: Resource>(value: &T) -> Result<Change, StateError> {
    put(value, Expect::Anything)
}

fn put<T: Resource>(value: &T, expect: Expect) -> Result<Change, StateError> {
    Ok(Change { kind: T::KIND.to_owned(), id: value.id(), expect, body: Some(encode(value)?) })
}

/// The change that deletes a record.
pub fn remove<T: Resource>(id: &str, expect: Expect) -> Change {
    Change { kind: T::KIND.to_owned(), id: id.to_owned(), expect, body: None }
}

/// The value of that name, if there is one.
pub fn find<T: Resource>(records: &dyn Records, id: &str) -> Result<Option<Stored<T>>, StateError> {
    records.get(T::KIND, id)?.as_ref().map(decode).transpose()
}

/// The value of that name, if there is one, to look at.
pub fn find_shared<T: Resource>(records: &dyn Records, id: &str) -> Result<Option<Shared<T>>, StateError> {
    records.get(T::KIND, id)?.as_ref().map(decode_shared).transpose()
}

/// One page of values in the order of their ids, to look at.
pub fn list_shared<T: Resource>(records: &dyn Records, page: Page<'_>) -> Result<Vec<Shared<T>>, StateError> {
    records.list(T::KIND, page)?.iter().map(decode_shared).collect()
}

/// One page of values in the order of their ids.
pub fn list<T: Resource>(records: &dyn Records, page: Page<'_>) -> Result<Vec<Stored<T>>, StateError> {
    records.list(T::KIND, page)?.iter().map(decode).collect()
}

/// All values of a kind in the order of their ids.
pub fn list_all<T: Resource>(records: &dyn Records) -> Result<Vec<Stored<T>>, StateError> {
    list(records, Page::default())
}
