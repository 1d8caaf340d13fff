//! What all threads may know of a session, and the list of all sessions (CLIENT LIST, CLIENT KILL).

use crate::mailbox::Place;
use crate::tracking::Tracker;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// What a client says about itself.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// CLIENT SETNAME.
    pub name: String,
    /// CLIENT SETINFO LIB-NAME.
    pub library: String,
    /// CLIENT SETINFO LIB-VER.
    pub library_version: String,
}

/// The public side of a session. The worker that owns the session writes it, anybody reads it.
#[derive(Debug)]
pub struct Shared {
    /// Counts from 1, never used again.
    pub id: u64,
    /// Remote address, `ip:port`, or `path:0` on a Unix socket.
    pub address: String,
    /// Local address.
    pub local_address: String,
    /// Unix milliseconds of the connection.
    pub created_ms: u64,
    /// Where to reach it.
    pub place: Place,
    /// True for the Memcached protocol.
    pub memcached: bool,
    /// True on a Unix socket.
    pub unix: bool,
    /// Unix milliseconds of the last command.
    pub last_ms: AtomicU64,
    /// The database in use.
    pub db: AtomicU16,
    /// Commands queued by MULTI, or -1.
    pub queued: AtomicI64,
    /// Keys under WATCH.
    pub watched: AtomicU32,
    /// How many channels, patterns and shard channels it listens to.
    pub subscriptions: [AtomicU32; 3],
    /// 2 or 3.
    pub resp: AtomicU16,
    /// Bytes in the input buffer.
    pub input_bytes: AtomicU64,
    /// Bytes waiting to be sent.
    pub output_bytes: AtomicU64,
    /// Bytes that it takes in all.
    pub total_bytes: AtomicU64,
    /// True while it waits for a key.
    pub blocked: AtomicBool,
    /// True while CLIENT PAUSE holds back what it asked for.
    pub paused: AtomicBool,
    /// Its wait for the disk (WAITAOF): one of [`disk_wait`].
    pub disk_wait: AtomicU8,
    /// CLIENT NO-EVICT.
    pub no_evict: AtomicBool,
    /// CLIENT NO-TOUCH.
    pub no_touch: AtomicBool,
    /// CLIENT IMPORT-SOURCE.
    pub imports: AtomicBool,
    /// It is a replica.
    pub is_replica: AtomicBool,
    /// It is the link to the primary.
    pub is_primary: AtomicBool,
    /// CLIENT CAPA REDIRECT.
    pub redirects: AtomicBool,
    /// Asked to go: the worker closes it at its next turn.
    pub killed: AtomicBool,
    names: Mutex<Names>,
    tracker: Mutex<Option<Arc<Tracker>>>,
    user: Mutex<Arc<[u8]>>,
    command: Mutex<&'static str>,
}

/// How a session waits for the disk.
pub mod disk_wait {
    /// It does not.
    pub const NONE: u8 = 0;
    /// It does.
    pub const WAITS: u8 = 1;
    /// CLIENT UNBLOCK says that its time is up.
    pub const TIME_IS_UP: u8 = 2;
    /// CLIENT UNBLOCK says that it is to be told of an error.
    pub const FAILS: u8 = 3;
}

/// Where a session came from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Remote address.
    pub address: String,
    /// Local address.
    pub local_address: String,
    /// The worker that serves it.
    pub worker: usize,
    /// Its index among the worker's sessions.
    pub index: u32,
    /// True for the Memcached protocol.
    pub memcached: bool,
    /// True on a Unix socket.
    pub unix: bool,
}

impl Origin {
    /// True if the peer is on this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.address)
    }
}

/// True for an address of the loopback interface.
pub fn is_loopback(address: &str) -> bool {
    let ip = address.parse::<std::net::SocketAddr>().map(|address| address.ip());
    ip.is_ok_and(|ip| ip.to_canonical().is_loopback())
}

impl Shared {
    /// True while it waits for something else than a key: the disk, or the end of a pause.
    pub fn waits_beside_keys(&self) -> bool {
        self.paused.load(Ordering::Relaxed) || self.disk_wait.load(Ordering::Relaxed) != disk_wait::NONE
    }

    /// True if it listens to anything.
    pub fn listens(&self) -> bool {
        self.subscriptions.iter().any(|count| count.load(Ordering::Relaxed) > 0)
    }

    /// What it says about itself.
    pub fn names(&self) -> Names {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what it says about itself.
    pub fn set_names(&self, change: impl FnOnce(&mut Names)) {
        change(&mut self.names.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// How it tracks, if it does.
    pub fn tracker(&self) -> Option<Arc<Tracker>> {
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes how it tracks now.
    pub fn set_tracker(&self, tracker: Option<Arc<Tracker>>) {
        *self.tracker.lock().unwrap_or_else(PoisonError::into_inner) = tracker;
    }

    /// The name of its user.
    pub fn user(&self) -> Arc<[u8]> {
        self.user.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that it has become another user.
    pub fn set_user(&self, name: &[u8]) {
        let name = if *name == **DEFAULT_NAME { DEFAULT_NAME.clone() } else { name.into() };
        *self.user.lock().unwrap_or_else(PoisonError::into_inner) = name;
    }

    /// The last command's name.
    pub fn command(&self) -> &'static str {
        *self.command.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what runs: called once per batch, for its last command.
    pub fn note(&self, command: &'static str, now_ms: u64) {
        self.last_ms.store(now_ms, Ordering::Relaxed);
        *self.command.lock().unwrap_or_else(PoisonError::into_inner) = command;
    }
}

/// The name of the default user: nearly all sessions share it.
static DEFAULT_NAME: LazyLock<Arc<[u8]>> = LazyLock::new(|| crate::acl::users::DEFAULT.into());

/// All sessions.
#[derive(Debug, Default)]
pub struct Registry {
    sessions: Mutex<BTreeMap<u64, Arc<Shared>>>,
    last_id: AtomicU64,
    count: AtomicU32,
}

impl Registry {
    /// Registers a new session.
    pub fn add(&self, origin: Origin, now_ms: u64) -> Arc<Shared> {
        let shared = self.unlisted(origin, now_ms);
        self.lock().insert(shared.id, shared.clone());
        self.count.fetch_add(1, Ordering::Relaxed);
        shared
    }

    /// What a session shares in whose name commands are executed, but to which nobody is connected.
    pub fn unlisted(&self, origin: Origin, now_ms: u64) -> Arc<Shared> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        Arc::new(Shared {
            id,
            address: origin.address,
            local_address: origin.local_address,
            created_ms: now_ms,
            place: Place { worker: origin.worker as u32, index: origin.index, id },
            memcached: origin.memcached,
            unix: origin.unix,
            last_ms: AtomicU64::new(now_ms),
            db: AtomicU16::new(0),
            queued: AtomicI64::new(-1),
            watched: AtomicU32::new(0),
            subscriptions: Default::default(),
            resp: AtomicU16::new(2),
            input_bytes: AtomicU64::new(0),
            output_bytes: AtomicU64::new(0),
            total_bytes: AtomicU64::new(0),
            blocked: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            disk_wait: AtomicU8::new(disk_wait::NONE),
            no_evict: AtomicBool::new(false),
            imports: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            is_replica: AtomicBool::new(false),
            is_primary: AtomicBool::new(false),
            redirects: AtomicBool::new(false),
            killed: AtomicBool::new(false),
            names: Mutex::default(),
            tracker: Mutex::default(),
            user: Mutex::new(DEFAULT_NAME.clone()),
            command: Mutex::new("NULL"),
        })
    }

    /// Forgets a session that is gone.
    pub fn remove(&self, id: u64) {
        if self.lock().remove(&id).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The session with this id.
    pub fn get(&self, id: u64) -> Option<Arc<Shared>> {
        self.lock().get(&id).cloned()
    }

    /// All sessions, by id.
    pub fn all(&self) -> Vec<Arc<Shared>> {
        self.lock().values().cloned().collect()
    }

    /// Number of sessions. Takes no lock.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed) as usize
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Arc<Shared>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
