//! Hosts: where nodes run. A host starts and stops node processes, finds running ones again, and talks to them.
//!
//! [`local::LocalHost`] is the machine that the service itself runs on. The driver knows only the trait, so that its
//! tests can run a simulated host, and other machines can come later. Knows nothing of clusters, records or plans.

mod control;
mod folder;
pub mod local;
mod process;

#[cfg(test)]
pub(crate) mod tests;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};

use crate::resource::node::{Process, Replication, Settings};
use crate::resource::service_update::Runs;

/// A node, by the cluster that it belongs to and its number there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeKey {
    /// Id of the cluster.
    pub cluster: String,
    /// Id of the node, `0001` and so on.
    pub node: String,
}

impl NodeKey {
    /// Name of the node's folder. The last four digits are the node's, so no two nodes share a name.
    pub fn folder_name(&self) -> String {
        format!("{}-{}", self.cluster, self.node)
    }
}

/// What a node is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// Whether clients speak memcached to it.
    pub is_memcached: bool,
    /// Its own address.
    pub address: Ipv4Addr,
    /// Its port.
    pub port: u16,
    /// Whether it begins as a replica of nobody, which refuses writes until it is told what it is.
    pub as_replica: bool,
    /// Its settings.
    pub settings: Settings,
    /// An RDB file with its first data; without one it begins empty.
    pub seed: Option<PathBuf>,
}

/// A node that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The process.
    pub process: Process,
    /// The settings that it was started with; not those asked for if it was found running.
    pub settings: Settings,
    /// What it runs.
    pub runs: Runs,
}

/// Where a replica of nobody looks for its primary: nothing listens there. A node that was started with it, or told
/// to follow it, refuses writes until it is told otherwise.
pub const NOBODY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 255, 255, 254), 1);

/// What a host could not do.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A file, a socket or a process; the text says what was tried.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system answered.
        source: std::io::Error,
    },
    /// The node ended instead of answering.
    #[error("the node ended while starting{}", .log.as_ref().map(|l| format!("; its log ends with: {l}")).unwrap_or_default())]
    Died {
        /// The end of its log.
        log: Option<String>,
    },
    /// The node did not answer in time, or not as it must.
    #[error("the node {what}")]
    Unanswered {
        /// What was expected.
        what: String,
    },
}

impl HostError {
    /// Gives an error of the system the words for what was tried.
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> HostError {
        let what = what.into();
        move |source| HostError::Io { what, source }
    }
}

/// A machine that runs nodes. Every act may be repeated: what is already so is success.
pub trait Host: Send + Sync + 'static {
    /// Whether the recorded process runs the node and is well. A process that does not answer for long is ended.
    fn is_alive(
        &self,
        key: &NodeKey,
        recorded: &Process,
    ) -> impl Future<Output = Result<bool, HostError>> + Send;

    /// Whether a node could listen there.
    fn is_free(&self, address: Ipv4Addr, port: u16) -> bool;

    /// Makes the node run and answers when it does. If a process of the node runs already, it is taken over.
    fn start(
        &self,
        key: &NodeKey,
        launch: &Launch,
    ) -> impl Future<Output = Result<Started, HostError>> + Send;

    /// Stops whatever process runs the node, in order if possible.
    fn stop(&self, key: &NodeKey) -> impl Future<Output = Result<(), HostError>> + Send;

    /// Changes a setting of the running node; answers whether the node took it over.
    fn set(
        &self,
        key: &NodeKey,
        name: &str,
        value: &str,
    ) -> impl Future<Output = Result<bool, HostError>> + Send;

    /// Tells a memcached node who belongs to its cluster.
    fn tell(&self, key: &NodeKey, payload: &str) -> impl Future<Output = Result<(), HostError>> + Send;

    /// Stops the node and takes away all that it left.
    fn remove(&self, key: &NodeKey) -> impl Future<Output = Result<(), HostError>> + Send;

    /// Asks a node of a replication group how it is, within a short time: whether the recorded process runs, answers
    /// itself, and can be reached where clients look for it. None if no such process runs.
    fn replication(
        &self,
        key: &NodeKey,
        recorded: &Process,
        address: SocketAddrV4,
    ) -> impl Future<Output = Result<Option<Replication>, HostError>> + Send;

    /// Makes the recorded process a replica of that address, or a primary if there is none. Fails if it is not that
    /// process any more.
    fn follow(
        &self,
        key: &NodeKey,
        recorded: &Process,
        primary: Option<SocketAddrV4>,
    ) -> impl Future<Output = Result<(), HostError>> + Send;

    /// Holds back all writes of clients for a time; none ends the holding.
    fn hold_writes(
        &self,
        key: &NodeKey,
        time: Option<std::time::Duration>,
    ) -> impl Future<Output = Result<(), HostError>> + Send;

    /// Lets the recorded process write all its data into an RDB file, while it goes on serving, and moves the file to
    /// that place. Fails if it is not that process any more.
    fn save(
        &self,
        key: &NodeKey,
        recorded: &Process,
        to: &Path,
    ) -> impl Future<Output = Result<(), HostError>> + Send;

    /// Ends the recorded process at once, whatever condition it is in, and answers when it is gone.
    fn kill(&self, key: &NodeKey, recorded: &Process) -> impl Future<Output = Result<(), HostError>> + Send;

    /// Waits until the process has ended; at once if it is not there any more.
    fn exited(&self, process: &Process) -> impl Future<Output = ()> + Send;
}
