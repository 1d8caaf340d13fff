//! Executing commands of a log: a file's at the start of a node, or a primary's on its replica.

use crate::command::dispatch::{Turn, apply};
use crate::node::{Node, now_ms};
use crate::session::Client;
use crate::session::registry::Origin;
use larder_protocol::resp::args::Args;
use larder_protocol::resp::reply::{Reply, Version};
use larder_store::Now;

/// A session that nobody is connected to, in whose name the commands of a log are executed: it may do everything, and
/// keys die only when the log says so.
pub struct Applier {
    client: Client,
    out: Reply,
}

impl Applier {
    /// One that works on this worker's thread.
    pub fn new(node: &Node, worker: usize) -> Applier {
        let origin = Origin {
            address: "log:0".into(),
            local_address: "log:0".into(),
            worker,
            index: 0,
            memcached: false,
            unix: true,
        };
        let mut client = Client::new(node.sessions.unlisted(origin, now_ms()), true, true);
        client.may_wait = false;
        Applier { client, out: Reply::new(Vec::new(), Version::default()) }
    }

    /// Executes a command; its reply is dropped. Answers how many keys changed.
    ///
    /// # Errors
    /// There is no such command.
    pub fn apply(&mut self, node: &Node, now: Now, args: Args<'_>) -> Result<u64, String> {
        let turn = Turn {
            now,
            access: node.access(&node.settings(), now.ms, now.ms as u32),
            out_of_memory: false,
            restrained: false,
            restricted: false,
        };
        self.out.truncate(0);
        apply(node, &turn, &mut self.client, args, &mut self.out)
    }

    /// True between MULTI and EXEC: what came since is not executed yet.
    pub fn is_in_transaction(&self) -> bool {
        self.client.transaction.is_some()
    }

    /// The database in use.
    pub fn db(&self) -> u16 {
        self.client.db
    }

    /// Uses another database, as the history that is gone on with did.
    pub fn select(&mut self, db: u16) {
        self.client.db = db;
    }

    /// Forgets a transaction that did not come to its end.
    pub fn discard(&mut self) {
        self.client.transaction = None;
    }
}

impl std::fmt::Debug for Applier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Applier").field("db", &self.client.db).finish_non_exhaustive()
    }
}
