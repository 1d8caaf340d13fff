//! Who may store what, and when: the protocol by which loaders and writers of one key keep old values out of the cache.
//!
//! Each key has a lease beside it, a string that is absent, or one of:
//!
//! ```text
//! l:TOKEN   a loader reads the source and will store what it finds
//! w:TOKEN   one writer changes the source
//! x         several writers overlap, or did a moment ago
//! ```
//! 1. A loader takes the lease before it reads the source (SET NX), and stores only in a transaction that sees its own
//!    token still there.
//! 2. A writer puts its token over whatever is there before it changes the source, and deletes the entry in the same
//!    step. From here on no loader that may have read the old value can store it (its token is gone), and none can
//!    begin. If another writer is there, the lease becomes `x`: their order at the source is not known here.
//! 3. After the source has changed, a writer that finds its own token may store its value: nobody else wrote meanwhile.
//!    Any other deletes the entry and voids every token it meets.
//! 4. A bare invalidation (of something written elsewhere) deletes the entry and the lease.
//!
//! So an entry is always one that was read, or written, with no write beginning or ending in between. A writer that dies
//! midway has deleted the entry already, and its token keeps loaders out until the guard is over. What remains is a
//! write that takes longer than the guard *and* whose writer dies, or a cache that cannot be reached for step 3: then
//! the entry's time to live is the bound. A lease that is lost (evicted, or with a node) only keeps values from being
//! stored.
//!
//! `tests` runs all interleavings of these steps against a server.

use std::time::Duration;

use redis::{Pipeline, Value};

use crate::entry::Version;
use crate::error::Fault;
use crate::keys::{Key, Names, hex};
use crate::policy::millis;
use crate::server::{Server, Step};

const LOADER: &str = "l:";
const WRITER: &str = "w:";
const CONTENDED: &str = "x";

/// What came of asking for a key's lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Granted {
    Yes,
    /// Another loader has it: its value comes soon.
    Loading,
    /// A writer has it: nobody may store.
    Writing,
}

/// A key's state at the moment when its lease was asked for.
pub(crate) struct Attempt {
    pub(crate) granted: Granted,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) versions: Vec<Option<Version>>,
}

/// What a loader wants to store.
pub(crate) struct Fill {
    pub(crate) key: Key,
    pub(crate) token: String,
    /// `None` stores nothing and deletes what is there: the source has no such value.
    pub(crate) bytes: Option<Vec<u8>>,
    pub(crate) kept_ms: u64,
}

pub(crate) fn loader_token() -> String {
    format!("{LOADER}{}", random_hex())
}

pub(crate) fn writer_token() -> String {
    format!("{WRITER}{}", random_hex())
}

fn random_hex() -> String {
    let mut bytes = [0; 12];
    if getrandom::fill(&mut bytes).is_err() {
        fastrand::fill(&mut bytes);
    }
    hex(&bytes)
}

/// A version that was never used: random rather than counted, so that one that was evicted does not come again.
pub(crate) fn new_version() -> Version {
    let mut bytes = [0; 8];
    if getrandom::fill(&mut bytes).is_err() {
        fastrand::fill(&mut bytes);
    }
    Version::from_be_bytes(bytes)
}

/// Asks for the leases of `keys`, each for its token, and reads entries and versions at the same moment.
pub(crate) async fn attempt(
    server: &Server,
    names: &Names,
    keys: &[(&Key, &str)],
    lease: Duration,
    versions_kept_ms: u64,
) -> Result<Vec<Attempt>, Fault> {
    let mut pipe = Pipeline::new();
    for (key, token) in keys {
        let versions = names.versions(key);
        for version in &versions {
            pipe.cmd("SET")
                .arg(version)
                .arg(new_version())
                .arg("NX")
                .arg("PX")
                .arg(versions_kept_ms)
                .ignore();
        }
        let lease_name = names.lease(&key.name);
        let ms = millis(lease).max(1);
        pipe.cmd("SET").arg(&lease_name).arg(token).arg("NX").arg("PX").arg(ms).ignore();
        pipe.cmd("GET").arg(&lease_name);
        pipe.cmd("MGET").arg(names.value(&key.name)).arg(versions);
    }
    let answers: Vec<Value> = server.ask(&pipe).await?;
    let pairs = answers.chunks_exact(2).zip(keys);
    pairs
        .map(|(pair, (_, token))| {
            let holder = text(&pair[0]);
            let granted = match holder {
                Some(holder) if holder == *token => Granted::Yes,
                // Gone between SET and GET: as good as taken by somebody.
                None => Granted::Loading,
                Some(holder) if holder.starts_with(LOADER) => Granted::Loading,
                Some(_) => Granted::Writing,
            };
            let (value, versions) = value_and_versions(&pair[1])?;
            Ok(Attempt { granted, value, versions })
        })
        .collect()
}

/// Stores what loaders found, each only if it still has its lease, and gives the leases back. Says which were stored.
pub(crate) async fn fill(
    server: &Server,
    names: &Names,
    fills: &[Fill],
    versions_kept_ms: u64,
) -> Result<Vec<bool>, Fault> {
    let leases: Vec<String> = fills.iter().map(|fill| names.lease(&fill.key.name)).collect();
    let mut read = Pipeline::new();
    read.cmd("MGET").arg(&leases);
    server
        .transact(&leases, &read, |answers| {
            let holders = list(answers.first())?;
            let still: Vec<bool> =
                fills.iter().zip(holders).map(|(fill, holder)| text(holder) == Some(&fill.token)).collect();
            let mut pipe = Pipeline::new();
            let kept = fills.iter().zip(&leases).zip(&still).filter(|(_, still)| **still);
            for ((fill, lease), _) in kept {
                let value = names.value(&fill.key.name);
                match &fill.bytes {
                    Some(bytes) => {
                        pipe.cmd("SET").arg(value).arg(bytes).arg("PX").arg(fill.kept_ms.max(1));
                        for version in names.versions(&fill.key) {
                            pipe.cmd("PEXPIRE").arg(version).arg(versions_kept_ms);
                        }
                    }
                    None => {
                        pipe.cmd("DEL").arg(value);
                    }
                }
                pipe.cmd("DEL").arg(lease);
            }
            Ok(if pipe.is_empty() { Step::Leave(still) } else { Step::Commit(pipe, still) })
        })
        .await
}

/// Gives leases back without storing anything, so that others need not wait for their end.
pub(crate) async fn release(server: &Server, names: &Names, held: &[(&Key, &str)]) -> Result<(), Fault> {
    if held.is_empty() {
        return Ok(());
    }
    let leases: Vec<String> = held.iter().map(|(key, _)| names.lease(&key.name)).collect();
    let mut read = Pipeline::new();
    read.cmd("MGET").arg(&leases);
    server
        .transact(&leases, &read, |answers| {
            let holders = list(answers.first())?;
            let mine = held.iter().zip(holders).zip(&leases);
            let mine = mine.filter(|(((_, token), holder), _)| text(holder) == Some(token));
            let mine: Vec<&String> = mine.map(|(_, lease)| lease).collect();
            if mine.is_empty() {
                return Ok(Step::Leave(()));
            }
            let mut pipe = Pipeline::new();
            pipe.cmd("DEL").arg(mine);
            Ok(Step::Commit(pipe, ()))
        })
        .await
}

/// Step 2: before the source is changed. Says whether this is the only writer, as far as is known.
pub(crate) async fn begin_write(
    server: &Server,
    names: &Names,
    key: &str,
    token: &str,
    guard: Duration,
) -> Result<bool, Fault> {
    let lease = names.lease(key);
    let mut read = Pipeline::new();
    read.cmd("GET").arg(&lease);
    let entered = server.transact(std::slice::from_ref(&lease), &read, |answers| {
        let sole =
            text(answers.first().unwrap_or(&Value::Nil)).is_none_or(|holder| holder.starts_with(LOADER));
        let mut pipe = Pipeline::new();
        pipe.cmd("SET").arg(&lease).arg(if sole { token } else { CONTENDED });
        pipe.arg("PX").arg(millis(guard).max(1));
        pipe.cmd("DEL").arg(names.values(key));
        Ok(Step::Commit(pipe, sole))
    });
    match entered.await {
        Err(Fault::Contended) => contend(server, names, key, guard).await.map(|()| false),
        entered => entered,
    }
}

/// Step 3: after the source was changed, or may have been. Says whether `entry` was stored.
pub(crate) async fn end_write(
    server: &Server,
    names: &Names,
    key: &str,
    token: &str,
    guard: Duration,
    entry: Option<(&[u8], u64)>,
) -> Result<bool, Fault> {
    let lease = names.lease(key);
    let mut read = Pipeline::new();
    read.cmd("GET").arg(&lease);
    let left = server.transact(std::slice::from_ref(&lease), &read, |answers| {
        let holder = text(answers.first().unwrap_or(&Value::Nil));
        let mut pipe = Pipeline::new();
        pipe.cmd("DEL").arg(names.values(key));
        let mut stored = false;
        match holder {
            Some(holder) if holder == token => {
                if let Some((bytes, kept_ms)) = entry {
                    pipe.cmd("SET").arg(names.value(key)).arg(bytes).arg("PX").arg(kept_ms.max(1));
                    stored = true;
                }
                pipe.cmd("DEL").arg(&lease);
            }
            // Others write too: leave their mark, or make it one that lets none of them store.
            Some(CONTENDED) => {}
            Some(holder) if holder.starts_with(WRITER) => {
                pipe.cmd("SET").arg(&lease).arg(CONTENDED).arg("PX").arg(millis(guard).max(1));
            }
            // A loader came after our guard was over, and may have read before we wrote; or nobody is there.
            _ => {
                pipe.cmd("DEL").arg(&lease);
            }
        }
        Ok(Step::Commit(pipe, stored))
    });
    match left.await {
        Err(Fault::Contended) => contend(server, names, key, guard).await.map(|()| false),
        left => left,
    }
}

/// Steps 2 and 3 without looking: always safe, and lets nobody store until the guard is over.
async fn contend(server: &Server, names: &Names, key: &str, guard: Duration) -> Result<(), Fault> {
    let mut pipe = Pipeline::new();
    pipe.atomic();
    mark(&mut pipe, names, key, guard);
    pipe.cmd("DEL").arg(names.values(key)).ignore();
    server.ask(&pipe).await
}

/// Step 4, for any number of keys in one step.
pub(crate) async fn invalidate(server: &Server, names: &Names, keys: &[&str]) -> Result<(), Fault> {
    if keys.is_empty() {
        return Ok(());
    }
    let mut pipe = Pipeline::new();
    pipe.cmd("DEL");
    for key in keys {
        pipe.arg(names.values(key)).arg(names.lease(key));
    }
    pipe.ignore();
    server.ask(&pipe).await
}

/// Adds to a transaction that changes `key` elsewhere: nobody may store until the guard is over.
pub(crate) fn mark(pipe: &mut Pipeline, names: &Names, key: &str, guard: Duration) {
    pipe.cmd("SET").arg(names.lease(key)).arg(CONTENDED).arg("PX").arg(millis(guard).max(1)).ignore();
}

/// Invalidates those of `keys` whose mark is over: a loader may have stored what the source had before.
pub(crate) async fn invalidate_unmarked(
    server: &Server,
    names: &Names,
    keys: &[String],
) -> Result<(), Fault> {
    if keys.is_empty() {
        return Ok(());
    }
    let mut pipe = Pipeline::new();
    pipe.cmd("MGET").arg(keys.iter().map(|key| names.lease(key)).collect::<Vec<_>>());
    let (holders,): (Vec<Option<String>>,) = server.ask(&pipe).await?;
    let unmarked = keys.iter().zip(holders).filter(|(_, holder)| holder.as_deref() != Some(CONTENDED));
    let unmarked: Vec<&str> = unmarked.map(|(key, _)| key.as_str()).collect();
    invalidate(server, names, &unmarked).await
}

/// An entry's bytes and the versions of its tags and prefixes, as they are now.
pub(crate) type Read = (Option<Vec<u8>>, Vec<Option<Version>>);

/// What MGET of an entry and its versions answers.
pub(crate) fn value_and_versions(answer: &Value) -> Result<Read, Fault> {
    let [value, versions @ ..] = list(Some(answer))? else {
        return Err(Fault::Unexpected("MGET without an element".into()));
    };
    let value = match value {
        Value::BulkString(bytes) => Some(bytes.clone()),
        _ => None,
    };
    let versions = versions.iter().map(|version| text(version).and_then(|text| text.parse().ok())).collect();
    Ok((value, versions))
}

fn list(answer: Option<&Value>) -> Result<&[Value], Fault> {
    match answer {
        Some(Value::Array(items)) => Ok(items),
        other => Err(Fault::Unexpected(format!("not a list: {other:?}"))),
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
