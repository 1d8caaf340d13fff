//! The driver: makes what is observed follow what is desired.
//!
//! One task per cluster, woken by changes of records, by the end of a process and by a timer. It is given no input:
//! each pass reads all that is desired and observed, asks [`crate::plan`] for steps, and does them. A step that
//! touches the world is recorded before it is begun and after it was done, and may be repeated: a service that is
//! killed between the two simply does it again. Only this module writes what is observed.

mod driver;
mod group;
pub mod journal;
mod place;
pub mod settings;
mod snapshot;
mod step;
mod sweep;
mod update;

#[cfg(test)]
mod tests;

pub use driver::Driver;
pub use step::note_all_stopped;
pub use update::announce;

use std::sync::Arc;

use crate::host::{Host, HostError};
use crate::name::Names;
use crate::plan::WantedSettings;
use crate::resource::cluster::Cluster;
use crate::resource::service_update::Release;
use crate::state::{Records, StateError};
use crate::vault::Vault;

/// Where the settings of a cluster's nodes come from: node type, version and parameter group.
pub type SettingsSource = dyn Fn(&dyn Records, &Cluster) -> Result<WantedSettings, ActError> + Send + Sync;

/// Why a step could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The record file.
    #[error(transparent)]
    State(#[from] StateError),
    /// The host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// No address is free.
    #[error("no free address in {subnet_id} for port {port}{why}")]
    NoAddress {
        /// The subnet.
        subnet_id: String,
        /// The port.
        port: u16,
        /// More about it.
        why: &'static str,
    },
    /// What a step needs is not there.
    #[error("{0}")]
    Missing(String),
}

/// What steps are done with.
pub struct Tools<H> {
    /// Records.
    pub records: Arc<dyn Records>,
    /// The host of all nodes.
    pub host: Arc<H>,
    /// Settings of nodes.
    pub settings: Arc<SettingsSource>,
    /// Files of snapshots.
    pub vault: Vault,
    /// Names of nodes.
    pub names: Arc<Names>,
    /// Unix milliseconds.
    pub clock: fn() -> u64,
    /// The release of Larder that nodes are started with; none if they run another program.
    pub release: Option<Release>,
}

impl<H> Clone for Tools<H> {
    fn clone(&self) -> Self {
        Tools {
            records: Arc::clone(&self.records),
            host: Arc::clone(&self.host),
            settings: Arc::clone(&self.settings),
            vault: self.vault.clone(),
            names: Arc::clone(&self.names),
            clock: self.clock,
            release: self.release.clone(),
        }
    }
}

impl<H: Host> Tools<H> {
    /// The settings that nodes of the cluster should have.
    async fn wanted_settings(&self, cluster: &Cluster) -> Result<WantedSettings, ActError> {
        let (records, source, cluster) =
            (Arc::clone(&self.records), Arc::clone(&self.settings), cluster.clone());
        let task = tokio::task::spawn_blocking(move || source(&*records, &cluster));
        task.await.unwrap_or_else(|e| Err(ActError::Missing(format!("the settings were not read: {e}"))))
    }

    /// Reads or writes records on a thread that may block.
    async fn with_records<T: Send + 'static>(
        &self,
        access: impl FnOnce(&dyn Records) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        let records = Arc::clone(&self.records);
        let task = tokio::task::spawn_blocking(move || access(&*records));
        task.await.unwrap_or_else(|e| Err(StateError::Failed(format!("the access did not end: {e}"))))
    }
}
