//! A session: one connected client, from its first byte to its last.
//!
//! [`Client`] is what commands may know of it; [`registry`] is what other threads may know of it; the buffers and the
//! parser belong to the worker.

pub mod caching;
pub mod eviction;
pub mod registry;
pub mod subscriptions;
pub mod transaction;

use crate::acl::identity::Identity;
use crate::blocked::{Wait, Waiter};
use crate::command::Command;
use crate::command::long::{Long, Prepared};
use crate::command::waitaof::DiskWait;
use crate::iam::Verdict;
use crate::node::Node;
use crate::pubsub::Hub;
use crate::replication::greeting::Facts;
use crate::replication::replicas::Replica;
use caching::Caching;
use larder_protocol::resp::args::OwnedArgs;
use registry::Shared;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use subscriptions::Subscriptions;
use transaction::{Transaction, Watching};

/// Whether replies are sent (CLIENT REPLY).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyMode {
    /// They are.
    #[default]
    On,
    /// They are not.
    Off,
    /// The reply of this command is not.
    SkipThis,
    /// The reply of the next command is not.
    SkipNext,
}

/// A session that executes nothing for now: it waits for a key, or CLIENT PAUSE holds it.
#[derive(Debug, Default)]
pub struct Pending {
    /// What it waits for; nothing if it is only held.
    pub waiter: Option<Arc<Waiter>>,
    /// It waits for the disk.
    pub disk: Option<DiskWait>,
    /// The reply that comes at the end is not sent (CLIENT REPLY).
    pub silent: bool,
    /// Its last command is carried out in slices.
    pub long: Option<Box<Long>>,
    /// It waits for the verdict on a token of IAM.
    pub asks: bool,
    /// It waits until replies are sent.
    pub sends: bool,
    /// Requests that were read already, to be executed afterwards.
    pub held_back: VecDeque<OwnedArgs>,
}

impl Pending {
    /// True if it goes on without anything from elsewhere: a command in slices, or a pipeline whose replies are sent.
    pub fn is_busy(&self) -> bool {
        self.long.is_some() || self.sends
    }
}

/// What commands know of who calls them.
pub struct Client {
    /// What other threads see: id, name, addresses, times.
    pub shared: Arc<Shared>,
    /// The database in use.
    pub db: u16,
    /// True when it said who it is, or need not.
    pub authenticated: bool,
    /// Its user.
    pub identity: Identity,
    /// True for a session on the Unix socket: `restricted-commands` do not bind it.
    pub local: bool,
    /// MULTI, while it is open.
    pub transaction: Option<Transaction>,
    /// Keys under WATCH.
    pub watching: Watching,
    /// Whether replies are sent.
    pub reply_mode: ReplyMode,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// CLIENT NO-EVICT.
    pub no_evict: bool,
    /// CLIENT IMPORT-SOURCE.
    pub imports: bool,
    /// Set by QUIT and by protocol errors: closed once the replies are gone.
    pub closing: bool,
    /// What it listens to, if to anything.
    pub subscriptions: Option<Box<Subscriptions>>,
    /// How it tracks what it reads, if it does.
    pub caching: Option<Box<Caching>>,
    /// It listens, caches, or has just ceased to: one look for the path that all commands take.
    listens: bool,
    /// It has just ceased to listen to something: what was sent to it before comes before the reply.
    pub left: bool,
    /// The command that runs, for errors and the slow log.
    pub command: Option<&'static Command>,
    /// What the command that runs asked to wait for.
    pub wait: Option<Box<Wait>>,
    /// False within EXEC: there, who would have to wait is told at once that nothing came.
    pub may_wait: bool,
    /// Changes of the commands before this one in its transaction, which are counted when all of it is over.
    pub uncounted: u64,
    /// Set while it waits.
    pub pending: Option<Box<Pending>>,
    /// What was gathered for the command that it executes.
    pub prepared: Option<Box<Prepared>>,
    /// Sequence number of the last of its commands that was logged.
    pub logged: u64,
    /// How many commands of a log have failed, in whose name it executes them.
    pub failed: u64,
    /// Nobody on the way can read what it says: it came over TLS or on the Unix socket.
    pub sealed: bool,
    /// The verdict on the token of IAM that it has shown.
    pub verdict: Option<Verdict>,
    /// When it ends, if it logged in with a token of IAM and shows no other until then.
    pub ends: Option<Instant>,
    /// What it told of itself, if it is about to become a replica.
    pub greeting: Option<Box<Facts>>,
    /// It is a replica: its worker feeds it, and its commands are not answered.
    pub replica: Option<Arc<Replica>>,
}

impl Client {
    /// A session that has just connected.
    pub fn new(shared: Arc<Shared>, authenticated: bool, local: bool) -> Client {
        Client {
            shared,
            db: 0,
            authenticated,
            identity: Identity::new(local),
            local,
            transaction: None,
            watching: Watching::default(),
            reply_mode: ReplyMode::On,
            no_touch: false,
            no_evict: false,
            imports: false,
            closing: false,
            subscriptions: None,
            caching: None,
            listens: false,
            left: false,
            command: None,
            wait: None,
            may_wait: true,
            pending: None,
            prepared: None,
            uncounted: 0,
            logged: 0,
            failed: 0,
            sealed: false,
            verdict: None,
            ends: None,
            greeting: None,
            replica: None,
        }
    }

    /// True if messages of others may come for it, so that its worker looks for them after each of its commands.
    #[inline]
    pub fn listens(&self) -> bool {
        self.listens
    }

    /// Its command that is carried out in slices, if there is one.
    #[inline]
    pub fn long(&self) -> Option<&Long> {
        self.pending.as_ref()?.long.as_deref()
    }

    /// Finds out again whether messages of others may come for it. Said after each change of what it listens to.
    pub fn find_listens(&mut self) {
        self.listens = self.subscriptions.is_some() || self.left || self.caching.is_some();
    }

    /// Ends to listen to anything.
    pub fn listen_no_more(&mut self, hub: &Hub) {
        if let Some(mut subscriptions) = self.subscriptions.take() {
            subscriptions.clear(hub, self.shared.place);
            self.shared.subscriptions.iter().for_each(|shown| shown.store(0, Ordering::Relaxed));
            self.left = true;
            self.find_listens();
        }
    }

    /// Tracks what it reads no more.
    pub fn cache_no_more(&mut self, node: &Node) {
        if let Some(caching) = self.caching.take() {
            caching.end(node);
            self.shared.set_tracker(None);
            self.find_listens();
        }
    }

    /// Forgets what CLIENT CACHING said, which is for the next command or transaction only. `name` is the command's
    /// that is over.
    pub fn forget_exception(&mut self, name: &str) {
        if let Some(caching) = &mut self.caching
            && self.transaction.is_none()
            && name != "client"
        {
            caching.exception = false;
        }
    }

    /// True for a session of this machine: on a Unix socket or the loopback interface.
    pub fn is_of_this_machine(&self) -> bool {
        self.shared.unix || registry::is_loopback(&self.shared.address)
    }

    /// Ids count from 1 and are never used again.
    pub fn id(&self) -> u64 {
        self.shared.id
    }
}
