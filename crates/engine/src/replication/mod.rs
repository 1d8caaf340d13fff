//! Replication: a node that follows another, and nodes that follow this one.
//!
//! Both sides live on the stream that the log makes ([`crate::log`]): a primary's replicas are fed from the backlog by
//! the workers that serve their sessions ([`replicas`]), after a snapshot if they are too far behind ([`sync`]); a
//! replica's link ([`link`]) receives that, has a worker apply it ([`apply`]), and adds it to its own backlog with the
//! same offsets, for replicas of its own. [`role`] changes what a node is; [`wait`] is WAIT; [`failover`] hands over.
//!
//! *The gate* orders the two that must not overlap: applying a step of the primary's stream with what is noted about
//! it, and looking at, or changing, all of that. It is taken before partitions.

pub mod apply;
pub mod failover;
pub mod greeting;
pub mod handshake;
pub mod history;
pub mod link;
pub mod own;
pub mod replicas;
pub mod role;
pub mod show;
pub mod sync;
pub mod wait;
pub mod wire;

use crate::config::Settings;
use crate::log::Applier;
use crate::node::{Node, now_ms};
use crate::session::Client;
use failover::Failover;
use history::History;
use own::Own;
use replicas::Replicas;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use wait::{Disk, Waits};

/// Bytes of the mark behind a snapshot whose length was not known.
pub const MARK_BYTES: usize = 40;

/// How the link to the primary stands; the names are those of ROLE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It is to be made.
    Connect,
    /// It is being made.
    Connecting,
    /// The primary sends all data.
    Sync,
    /// The stream comes.
    Connected,
}

impl Link {
    /// The name in ROLE.
    pub fn name(self) -> &'static str {
        match self {
            Link::Connect => "connect",
            Link::Connecting => "connecting",
            Link::Sync => "sync",
            Link::Connected => "connected",
        }
    }
}

/// What a node is to others.
#[derive(Debug)]
pub struct State {
    /// The history that it is in.
    pub history: History,
    /// Whom it follows.
    pub primary: Option<(String, u16)>,
    /// How that stands.
    pub link: Link,
    /// Unix milliseconds since when the link is down.
    pub down_since_ms: u64,
    /// The keys are those of the history at the log's offset: so it can go on from there.
    pub resumable: bool,
    /// The next link asks the primary to take over.
    pub hands_over: bool,
}

/// What is held while a step of the primary's stream is applied.
#[derive(Debug, Default)]
pub struct Gate {
    /// In whose name the primary's commands are executed.
    pub applier: Option<Applier>,
    /// The database that the stream is in.
    pub db: u16,
    /// How far the file has come in the stream.
    pub disk: Disk,
}

/// Counters, as INFO shows them.
#[derive(Debug, Default)]
pub struct Stats {
    /// Full synchronisations of replicas.
    pub full: AtomicU64,
    /// Replicas that went on where they were.
    pub partial: AtomicU64,
    /// Replicas that wanted to and could not.
    pub partial_refused: AtomicU64,
    /// Bytes received from the primary.
    pub input_bytes: AtomicU64,
    /// Bytes sent to replicas.
    pub output_bytes: AtomicU64,
    /// Bytes of the snapshot that comes, if they are known, and how many came.
    pub sync_bytes: [AtomicU64; 2],
    /// Unix milliseconds of the last bytes from the primary.
    pub heard_ms: AtomicU64,
}

/// See the module.
#[derive(Debug)]
pub struct Replication {
    state: Mutex<State>,
    changed: Condvar,
    gate: Mutex<Gate>,
    epoch: AtomicU64,
    following: AtomicBool,
    restrained: AtomicBool,
    finding: Mutex<()>,
    /// The nodes that follow this one.
    pub replicas: Replicas,
    /// Sessions in WAIT.
    pub waits: Waits,
    /// FAILOVER.
    pub failover: Failover,
    /// Keys with a deadline that were written here, and not on the primary.
    pub own: Own,
    /// Counters.
    pub stats: Stats,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Replication {
    /// A primary without replicas, on a node with so many workers.
    pub fn new(workers: usize) -> Replication {
        Replication {
            state: Mutex::new(State {
                history: History::begin(),
                primary: None,
                link: Link::Connect,
                down_since_ms: now_ms(),
                resumable: false,
                hands_over: false,
            }),
            changed: Condvar::new(),
            gate: Mutex::default(),
            epoch: AtomicU64::new(0),
            following: AtomicBool::new(false),
            restrained: AtomicBool::new(false),
            finding: Mutex::new(()),
            replicas: Replicas::new(workers),
            waits: Waits::default(),
            failover: Failover::default(),
            own: Own::default(),
            stats: Stats::default(),
        }
    }

    /// The state. Taken after partitions and the gate, and only for a look or a change.
    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Nothing of the primary's stream is half done while this is held. To be taken before partitions.
    pub fn gate(&self) -> MutexGuard<'_, Gate> {
        lock(&self.gate)
    }

    /// True if the node is a replica.
    #[inline]
    pub fn is_following(&self) -> bool {
        self.following.load(Ordering::Acquire)
    }

    /// Which change of role was the last: whatever belongs to an earlier one is over. Changes with the gate held.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// True if some commands are refused because of what the node is, see [`refusal`].
    #[inline]
    pub fn is_restrained(&self) -> bool {
        self.restrained.load(Ordering::Relaxed)
    }
}

/// Finds out again whether some commands are refused.
pub fn find_restrained(node: &Node) {
    let replication = &node.replication;
    // What was found last must not be overwritten by what was found before.
    let _finding = replication.finding.lock().unwrap_or_else(PoisonError::into_inner);
    let settings = node.settings();
    let refuses = match replication.is_following() {
        true => settings.replication.read_only || !settings.replication.serves_stale,
        false => {
            let wishes = &settings.replication;
            wishes.replicas_min > 0 && wishes.lag_max > 0
        }
    };
    replication.restrained.store(refuses, Ordering::Relaxed);
}

/// Why a command is refused: a replica takes no writes from clients, a primary without enough replicas takes none
/// either, and one without its primary may not tell what it has.
pub fn refusal(node: &Node, writes: bool, may_be_stale: bool) -> Option<&'static str> {
    let replication = &node.replication;
    let settings = node.settings();
    let wishes = &settings.replication;
    if !replication.is_following() {
        let wants = writes && wishes.replicas_min > 0 && wishes.lag_max > 0;
        let enough = || replication.replicas.count_good(wishes.lag_max) >= wishes.replicas_min;
        return (wants && !enough()).then_some("NOREPLICAS Not enough good replicas to write.");
    }
    if writes && wishes.read_only {
        return Some("READONLY You can't write against a read only replica.");
    }
    let stale = !wishes.serves_stale && !may_be_stale && replication.state().link != Link::Connected;
    stale.then_some("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.")
}

/// True for a session that comes from where replicas are: what is hidden from others it may do.
pub fn may_follow(settings: &Settings, client: &Client) -> bool {
    let address = client.shared.address.parse::<SocketAddr>();
    let sources = settings.replication.sources.as_ref();
    sources.is_some_and(|sources| address.is_ok_and(|address| sources.admit(address.ip())))
}

/// What time brings; called by one worker, about every 20 milliseconds.
pub fn tick(node: &Node, now_ms: u64) {
    wait::look(node, now_ms);
    failover::look(node, now_ms);
    replicas::tick(node, now_ms);
}

/// What a snapshot tells of the place in the history, with all partitions and the gate held: nothing while nobody keeps
/// a history.
pub fn aux(node: &Node) -> Vec<(&'static str, Vec<u8>)> {
    let replication = &node.replication;
    if !node.log.is_replicated() {
        return Vec::new();
    }
    let (db, offset) = match replication.is_following() {
        true => (replication.replicas.stream_db(), Some(node.log.offset())),
        false => (0, role::settle(node)),
    };
    let Some(offset) = offset else { return Vec::new() };
    let state = replication.state();
    if replication.is_following() && !state.resumable {
        return Vec::new();
    }
    vec![
        ("repl-stream-db", db.to_string().into_bytes()),
        ("repl-id", state.history.id.clone().into_bytes()),
        ("repl-offset", offset.to_string().into_bytes()),
    ]
}
