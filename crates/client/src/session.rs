//! Sessions: typed data under an unguessable id, which ends when it is not used, or when its owner is logged out.
//!
//! A session has no source behind it: when the cache is down, its operations fail and say so. A change is a
//! compare-and-set, so two requests of one browser do not overwrite each other's.

use std::time::Duration;

use redis::{Pipeline, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Fault};
use crate::keys::{hex, plain};
use crate::policy::millis;
use crate::server::{Server, Step};

/// The most sessions of one owner that are remembered, to end them together; the oldest are forgotten first, and end
/// by themselves.
pub const MAX_SESSIONS_OF_OWNER: usize = 1000;

/// A store of sessions with data of type `S`.
///
/// ```no_run
/// use larder_client::{Server, Sessions};
/// use std::time::Duration;
///
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Cart { items: Vec<u64> }
/// # async fn run() -> Result<(), larder_client::Error> {
/// let server = Server::new("redis://127.0.0.1:6379")?;
/// let sessions: Sessions<Cart> = Sessions::new(server, "shop", Duration::from_secs(1800));
/// let id = sessions.create("user:42", &Cart { items: vec![] }).await?; // a cookie's value
/// sessions.update(&id, |cart| cart.items.push(7)).await?;
/// let cart = sessions.load(&id).await?; // and lives half an hour longer
/// sessions.destroy_all("user:42").await?; // logged out everywhere
/// # Ok(()) }
/// ```
pub struct Sessions<S> {
    server: Server,
    namespace: String,
    idle: Duration,
    data: std::marker::PhantomData<fn() -> S>,
}

/// What lies under a session's key.
#[derive(serde::Serialize, serde::Deserialize)]
struct Record<S> {
    owner: String,
    data: S,
}

impl<S: Serialize + DeserializeOwned> Sessions<S> {
    /// Sessions under `namespace` that end after `idle` without use.
    pub fn new(server: Server, namespace: impl Into<String>, idle: Duration) -> Self {
        Self { server, namespace: namespace.into(), idle, data: std::marker::PhantomData }
    }

    /// A new session of `owner`; gives its id, which has 192 random bits.
    ///
    /// # Errors
    /// When the cache does not take it, or the system gives no random bits.
    pub async fn create(&self, owner: &str, data: &S) -> Result<String, Error> {
        let id = new_id()?;
        let record = encode(&Record { owner: owner.to_owned(), data })?;
        let mut pipe = Pipeline::new();
        pipe.atomic();
        self.put(&mut pipe, &id, owner, &record);
        self.server.ask::<()>(&pipe).await?;
        Ok(id)
    }

    /// The data of a session, which lives on from now; `None` when there is none, or its data is of another form.
    ///
    /// # Errors
    /// When the cache does not answer.
    pub async fn load(&self, id: &str) -> Result<Option<S>, Error> {
        let mut pipe = Pipeline::new();
        pipe.cmd("GETEX").arg(self.key(id)).arg("PX").arg(millis(self.idle).max(1));
        let (bytes,): (Option<Vec<u8>>,) = self.server.ask(&pipe).await?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice::<Record<S>>(&bytes).ok()).map(|record| record.data))
    }

    /// Changes the data of a session; says whether there was one. `change` runs again when another request changed the
    /// session meanwhile.
    ///
    /// # Errors
    /// When the cache does not answer, or others keep changing the session.
    pub async fn update(&self, id: &str, mut change: impl FnMut(&mut S)) -> Result<bool, Error> {
        let key = self.key(id);
        let mut read = Pipeline::new();
        read.cmd("GET").arg(&key);
        let changed = self.server.transact(std::slice::from_ref(&key), &read, |answers| {
            let Some(mut record) = record_of::<S>(answers.first()) else { return Ok(Step::Leave(Ok(false))) };
            change(&mut record.data);
            let bytes = match encode(&record) {
                Ok(bytes) => bytes,
                Err(error) => return Ok(Step::Leave(Err(error))),
            };
            let mut pipe = Pipeline::new();
            pipe.cmd("SET").arg(&key).arg(bytes).arg("PX").arg(millis(self.idle).max(1));
            Ok(Step::Commit(pipe, Ok(true)))
        });
        changed.await?
    }

    /// Gives a session a new id, and ends the old one: what to do whenever somebody logs in, so that an id that was
    /// planted before is worth nothing. `None` when there is no such session.
    ///
    /// # Errors
    /// When the cache does not answer.
    pub async fn renew(&self, id: &str) -> Result<Option<String>, Error> {
        let (key, new) = (self.key(id), new_id()?);
        let mut read = Pipeline::new();
        read.cmd("GET").arg(&key);
        let renewed = self.server.transact(std::slice::from_ref(&key), &read, |answers| {
            let Some(record) = record_of::<S>(answers.first()) else { return Ok(Step::Leave(false)) };
            let bytes = encode(&record).map_err(|error| Fault::Unexpected(error.to_string()))?;
            let mut pipe = Pipeline::new();
            pipe.cmd("DEL").arg(&key);
            pipe.cmd("ZREM").arg(self.owner_key(&record.owner)).arg(id);
            self.put(&mut pipe, &new, &record.owner, &bytes);
            Ok(Step::Commit(pipe, true))
        });
        Ok(renewed.await?.then_some(new))
    }

    /// Ends a session. It is no error if there is none.
    ///
    /// # Errors
    /// When the cache does not answer.
    pub async fn destroy(&self, id: &str) -> Result<(), Error> {
        let mut pipe = Pipeline::new();
        pipe.cmd("DEL").arg(self.key(id)).ignore();
        Ok(self.server.ask(&pipe).await?)
    }

    /// Ends every session of `owner`; says how many there were.
    ///
    /// # Errors
    /// When the cache does not answer.
    pub async fn destroy_all(&self, owner: &str) -> Result<usize, Error> {
        let owners = self.owner_key(owner);
        let mut read = Pipeline::new();
        read.cmd("ZRANGE").arg(&owners).arg(0).arg(-1);
        let ended = self.server.transact(std::slice::from_ref(&owners), &read, |answers| {
            let ids: Vec<String> = answers
                .first()
                .and_then(|ids| redis::from_redis_value(ids.clone()).ok())
                .ok_or_else(|| Fault::Unexpected("ZRANGE without a list".into()))?;
            let mut pipe = Pipeline::new();
            pipe.cmd("DEL").arg(&owners);
            ids.iter().for_each(|id| {
                pipe.arg(self.key(id));
            });
            Ok(Step::Commit(pipe, ids.len()))
        });
        Ok(ended.await?)
    }

    fn put(&self, pipe: &mut Pipeline, id: &str, owner: &str, record: &[u8]) {
        let (idle, owners) = (millis(self.idle).max(1), self.owner_key(owner));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, millis);
        pipe.cmd("SET").arg(self.key(id)).arg(record).arg("PX").arg(idle).ignore();
        pipe.cmd("ZADD").arg(&owners).arg(now).arg(id).ignore();
        let oldest = -(MAX_SESSIONS_OF_OWNER as i64) - 1;
        pipe.cmd("ZREMRANGEBYRANK").arg(&owners).arg(0).arg(oldest).ignore();
        // The list outlives a session that is used each day for a month; one that is older ends by itself only.
        let listed = idle.saturating_add(30 * 24 * 3600 * 1000);
        pipe.cmd("PEXPIRE").arg(&owners).arg(listed).ignore();
    }

    fn key(&self, id: &str) -> String {
        format!("{}:s:{}", self.namespace, plain(id))
    }

    fn owner_key(&self, owner: &str) -> String {
        format!("{}:o:{}", self.namespace, plain(owner))
    }
}

fn record_of<S: DeserializeOwned>(answer: Option<&Value>) -> Option<Record<S>> {
    match answer {
        Some(Value::BulkString(bytes)) => serde_json::from_slice(bytes).ok(),
        _ => None,
    }
}

fn encode<S: Serialize>(record: &Record<S>) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(record).map_err(|error| Error::Encode(error.to_string()))
}

fn new_id() -> Result<String, Error> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).map_err(|error| Error::Invalid(format!("no random bits: {error}")))?;
    Ok(hex(&bytes))
}
