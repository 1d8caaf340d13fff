//! Executing commands of a log: a file's at the start of a node, or a primary's on its replica.

use crate::command::dispatch::{Turn, apply};
use crate::config::replication::Diverging;
use crate::node::{Node, now_ms};
use crate::session::Client;
use crate::session::registry::Origin;
use larder_protocol::resp::args::Args;
use larder_protocol::resp::reply::{Reply, Version};
use larder_store::Now;
use std::sync::atomic::Ordering;

/// A session that nobody is connected to, in whose name the commands of a log are executed: it may do everything, and
/// keys die only when the log says so.
pub struct Applier {
    client: Client,
    out: Reply,
    source: Source,
}

/// Whose log it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file's.
    File,
    /// A primary's.
    Primary,
}

impl Applier {
    /// One that works on this worker's thread.
    pub fn new(node: &Node, worker: usize, source: Source) -> Applier {
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
        Applier { client, out: Reply::new(Vec::new(), Version::default()), source }
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
        let before = self.client.failed;
        let result = apply(node, &turn, &mut self.client, args, &mut self.out);
        // A file with a command that there is not is not loaded at all, and who loads it says so.
        let unknown = result.is_err() && self.source == Source::Primary;
        let failed = self.client.failed - before + u64::from(unknown);
        if failed > 0 {
            self.diverge(node, args, failed);
        }
        result
    }

    /// What is here is not what is there, where the command worked: counts that, and ends the node if it is to be so.
    #[cold]
    fn diverge(&self, node: &Node, args: Args<'_>, failed: u64) {
        node.stats.diverged.fetch_add(failed, Ordering::Relaxed);
        let ends = match node.settings().replication.diverging {
            Diverging::GoOn => false,
            Diverging::End => true,
            Diverging::EndReplica => self.source == Source::Primary,
        };
        if ends {
            let name = String::from_utf8_lossy(args.get(0)).into_owned();
            tracing::error!(
                "The command '{name}' of {} failed, and 'propagation-error-behavior' says to go on no further. \
                 Exiting...",
                match self.source {
                    Source::File => "the append-only file",
                    Source::Primary => "the primary",
                }
            );
            std::process::exit(1);
        }
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
