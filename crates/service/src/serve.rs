//! The whole service: what it needs to start, what it tells about itself, and how it is stopped.
//!
//! Start: folder and lock, records, what the first start makes (network, names, access key), sockets, `service.json`,
//! then the API, the driver and the DNS server as tasks. Stop: the API takes no more calls, the driver ends between
//! two acts, nodes are stopped in order if so configured. A service that is killed instead leaves its nodes running;
//! the next one takes them over.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::act::{Driver, Tools, announce, note_all_stopped, settings};
use crate::api::ec2::default_records;
use crate::certificate::Authority;
use crate::console::{Console, Nodes, Question, Reply};
use crate::delivery;
use crate::front::http;
use crate::host::local::LocalHost;
use crate::host::{Host, HostError, NodeKey};
use crate::identity::AccessKey;
#[cfg(feature = "sns")]
use crate::identity::Credentials;
use crate::login;
use crate::metric::{MetricStore, sampler};
use crate::name::endpoint::{ZONE_ID, Zone};
use crate::name::server::Server;
use crate::name::{Names, probe};
#[cfg(feature = "sns")]
use crate::notify::sns::{Sns, SnsConfig};
use crate::notify::{self, Counts};
use crate::operation::{App, mend_security_groups, system_clock};
use crate::random::{number_below, seventeen_digits};
use crate::resource::cluster::Cluster;
use crate::resource::network::{DEFAULT_NETWORK_ID, Network};
use crate::resource::node::Observed;
use crate::resource::service_update::Release;
use crate::state::{FileRecords, Records, Resource, StateError, create, find, list_all, replace};
use crate::vault::Vault;
#[cfg(feature = "s3")]
use crate::vault::s3::{S3Buckets, S3Config};

/// How long the start waits for this machine's resolver.
const FIRST_PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// Nodes that are stopped at the same time when the service ends.
const STOP_PARALLEL_MAX: usize = 32;

/// What a service needs to know to start.
#[derive(Debug, Clone)]
pub struct ServiceConfig {
    /// Folder of records and nodes; made if missing (mode 0700).
    pub data_dir: PathBuf,
    /// Where the API listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Program and first arguments that start a node; the node's configuration file is added as the last argument.
    pub node_program: Vec<OsString>,
    /// The release of Larder that this program starts; none if it is another server.
    pub release: Option<Release>,
    /// AWS region that the service plays.
    pub region: String,
    /// AWS account of the first access key, 12 digits.
    pub account: String,
    /// First address of the default VPC, a /16 of the loopback range; counts when the data folder is made.
    pub vpc_base: Ipv4Addr,
    /// Where the DNS server listens (UDP and TCP); none switches it off. If the address is taken, the service runs
    /// without names.
    pub dns_listen: Option<SocketAddr>,
    /// Folder of the buckets that snapshots are exported to and caches are seeded from: each folder in it is one. None
    /// takes `buckets` in the data folder.
    pub buckets: Option<PathBuf>,
    /// A server with buckets, in the place of that folder.
    #[cfg(feature = "s3")]
    pub s3: Option<S3Config>,
    /// Where the events of caches are published.
    #[cfg(feature = "sns")]
    pub sns: Option<SnsConfig>,
    /// Most cache nodes of the account, which AWS raises on request.
    pub nodes_max: usize,
    /// Whether nodes are stopped with the service. If not, they run on and the next service takes them over.
    pub stop_nodes: bool,
}

/// What other programs need to know to talk to the service: the content of `service.json` (mode 0600).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceInfo {
    /// URL of the API.
    pub endpoint: String,
    /// URL of the console; absent in files of versions without one.
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
    /// What all endpoint names end with, such as `use1.cache.amazonaws.com`: the domain to send to the DNS server.
    #[serde(default)]
    pub dns_zone: String,
    /// Whether this machine's resolver asks the DNS server, as far as was known at the start.
    #[serde(default)]
    pub dns_resolves: bool,
    /// A name that only this DNS server answers, by which one can find out whether it is asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dns_probe: Option<String>,
    /// File with the certificate of the authority that signs the certificates of nodes: for clients to trust.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub authority: Option<PathBuf>,
    /// Process id of the service.
    pub pid: u32,
}

impl std::fmt::Debug for ServiceInfo {
    /// Never shows the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ServiceInfo { endpoint, access_key_id, pid, .. } = self;
        f.debug_struct("ServiceInfo")
            .field("endpoint", endpoint)
            .field("access_key_id", access_key_id)
            .field("pid", pid)
            .finish_non_exhaustive()
    }
}

/// Why the service could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The record file.
    #[error(transparent)]
    State(#[from] StateError),
    /// A file or a socket; the text says which and what was tried.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system answered.
        source: std::io::Error,
    },
    /// The host of the nodes.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The configuration cannot work.
    #[error("{0}")]
    Config(String),
}

fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> ServeError {
    let what = what.into();
    move |source| ServeError::Io { what, source }
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

    /// Whether this start made the access key.
    pub fn first_start(&self) -> bool {
        self.first_start
    }

    /// Waits until the service has stopped in order, after its shutdown future was ready, or because it failed.
    ///
    /// # Errors
    /// What made it stop, if that was not the shutdown future.
    pub async fn finished(self) -> Result<(), ServeError> {
        self.task.await.unwrap_or_else(|e| Err(ServeError::Config(format!("the service task ended: {e}"))))
    }

    /// Ends the service as a kill would: at once, wherever it is. Nodes run on. For tests.
    #[cfg(test)]
    fn kill(&self) {
        self.task.abort();
    }
}

/// Starts the service and returns when it answers. It runs until `shutdown` is ready: then it takes no more calls,
/// stops the nodes in order (if so configured) and ends.
///
/// # Errors
/// If it cannot start: the folder is in use, an address is taken, the configuration is wrong.
pub async fn serve(
    config: ServiceConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<Running, ServeError> {
    check(&config)?;
    let data_dir = config.data_dir.clone();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&data_dir)
        .map_err(io(format!("making {}", data_dir.display())))?;
    let data_dir = std::path::absolute(&data_dir).map_err(io("finding the data folder"))?;
    let records: Arc<dyn Records> = Arc::new(FileRecords::open(&data_dir)?);
    let metrics = Arc::new(MetricStore::open(&data_dir)?);
    let first = FirstStart::of(&*records, &config)?;
    if let Some(release) = &config.release {
        announce(&*records, release, system_clock())?;
    }
    mend_security_groups(&*records)?;
    let authority = Authority::open(&data_dir, system_clock()).map_err(io("the certificate authority"))?;
    let authority = Arc::new(authority);
    forget_certificates(&authority, &*records)?;
    let names = Arc::new(Names::new(first.zone.clone()));
    let host = Arc::new(LocalHost::new(data_dir.join("nodes"), config.node_program.clone())?);
    let listener =
        TcpListener::bind(config.listen).await.map_err(io(format!("listening on {}", config.listen)))?;
    let address = listener.local_addr().map_err(io("reading the address of the API"))?;
    let dns = dns_server(config.dns_listen).await;
    let dns_address = dns.as_ref().map(Server::address);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(crate::act::journal::follow(Arc::clone(&records), system_clock));
    if let Some(dns) = dns {
        tasks.spawn(dns.run(Arc::clone(&records), Arc::clone(&names)));
        // A slow resolver must not hold up the start: the watch finds out later.
        let first_probe = tokio::time::timeout(FIRST_PROBE_TIMEOUT, probe::resolves(&names)).await;
        names.set_resolves(first_probe == Ok(true));
        tasks.spawn(probe::watch(Arc::clone(&names)));
    }
    let vault = vault(&config, &data_dir)?;
    let mut info = first.info(&config, address, dns_address, names.resolves());
    info.authority = Some(authority.path());
    write_info(&data_dir, &info)?;
    let notifications = notifier(&config, &first.key, &records, &mut tasks)?;
    let app = Arc::new(App {
        records: Arc::clone(&records),
        region: config.region.clone(),
        clock: system_clock,
        names: Arc::clone(&names),
        vault: vault.clone(),
        metrics: Arc::clone(&metrics),
        release: config.release.clone(),
        nodes_max: config.nodes_max,
        notifications,
    });
    let prompt = Prompt { host: Arc::clone(&host), runtime: tokio::runtime::Handle::current() };
    let console = Arc::new(Console::new(Arc::clone(&app), Arc::new(prompt)));
    let questions = login::listen(&data_dir).map_err(io("the socket for questions of nodes"))?;
    tasks.spawn(login::serve(questions, app));
    tasks.spawn(delivery::run(Arc::clone(&records), Arc::clone(&host), data_dir.join("logs")));
    tasks.spawn(sampler::run(Arc::clone(&records), metrics, Arc::clone(&host), system_clock));
    let tools = Tools {
        records: Arc::clone(&records),
        host: Arc::clone(&host),
        settings: Arc::new(settings::source(authority, names.zone().clone(), system_clock)),
        vault,
        names,
        clock: system_clock,
        release: config.release.clone(),
    };
    let stop_nodes = config.stop_nodes;
    let task = tokio::spawn(async move {
        let (end, ended) = watch::channel(false);
        let mut api = tokio::spawn(http::serve(listener, console, ended));
        let driven = Driver::new(tools).run(shutdown).await;
        tasks.shutdown().await;
        end.send_replace(true);
        if (&mut api).await.is_err() {
            tracing::error!("the API ended before it was told to");
        }
        driven?;
        if stop_nodes {
            stop_all(&records, &host).await?;
        }
        Ok(())
    });
    Ok(Running { info, first_start: first.is_new, task })
}

/// The console's way to nodes: it is asked on threads that may block.
struct Prompt {
    host: Arc<LocalHost>,
    runtime: tokio::runtime::Handle,
}

impl Nodes for Prompt {
    fn ask(&self, cluster: &str, node: &str, question: Question<'_>) -> Result<Reply, String> {
        let key = NodeKey { cluster: cluster.to_owned(), node: node.to_owned() };
        let answered = self.runtime.block_on(async {
            match question {
                Question::Redis(words) => self.host.command(&key, words).await.map(Reply::Redis),
                Question::Memcached(request) => {
                    self.host.memcached(&key, request).await.map(Reply::Memcached)
                }
            }
        });
        answered.map_err(|error| error.to_string())
    }
}

fn check(config: &ServiceConfig) -> Result<(), ServeError> {
    let is_region = config.region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if config.region.is_empty() || config.region.len() > 32 || !is_region {
        return Err(ServeError::Config(format!("{:?} is not the name of a region", config.region)));
    }
    if config.account.len() != 12 || !config.account.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ServeError::Config(format!("{:?} is not an account of 12 digits", config.account)));
    }
    let [first, second, third, fourth] = config.vpc_base.octets();
    if first != 127 || second == 0 || third != 0 || fourth != 0 {
        return Err(ServeError::Config(format!(
            "{}/16 is not a range of loopback addresses for a VPC",
            config.vpc_base
        )));
    }
    if !config.listen.ip().is_loopback() {
        tracing::warn!("the API listens on {}, which other machines may reach; it has no TLS", config.listen);
    }
    Ok(())
}

/// What the first start makes and every later one finds.
struct FirstStart {
    network: Network,
    zone: Zone,
    key: AccessKey,
    is_new: bool,
}

impl FirstStart {
    fn of(records: &dyn Records, config: &ServiceConfig) -> Result<FirstStart, ServeError> {
        let network = network(records, config)?;
        let is_region = network.subnets.iter().all(|subnet| subnet.zone.starts_with(&config.region));
        if !is_region {
            let zone = network.subnets.first().map_or("", |subnet| &subnet.zone);
            let message = format!(
                "the data folder belongs to the region of {zone}, not to {}; use another folder or that region",
                config.region
            );
            return Err(ServeError::Config(message));
        }
        let zone = find_or_make(records, ZONE_ID, || Ok(Zone::new(&config.region, &mut number_below)))?;
        let present = list_all::<AccessKey>(records)?.into_iter().map(|stored| stored.value);
        let is_root = |key: &AccessKey| key.session.is_none() && key.user == "root" && !key.inactive;
        let mut of_account = present.filter(|key| key.account == config.account && is_root(key));
        if let Some(key) = of_account.next() {
            return Ok(FirstStart { network, zone, key, is_new: false });
        }
        let key = AccessKey::generate(&config.account, "root")
            .map_err(|_| ServeError::Config("the system has no randomness for an access key".to_owned()))?;
        records.apply(&[create(&key)?])?;
        Ok(FirstStart { network, zone, key, is_new: true })
    }

    fn info(
        &self,
        config: &ServiceConfig,
        address: SocketAddr,
        dns: Option<SocketAddr>,
        dns_resolves: bool,
    ) -> ServiceInfo {
        ServiceInfo {
            endpoint: format!("http://{address}"),
            console: Some(format!("http://{address}{}", Console::path())),
            region: config.region.clone(),
            account: config.account.clone(),
            access_key_id: self.key.id.clone(),
            secret_access_key: self.key.secret.clone(),
            default_subnet_id: self
                .network
                .subnets
                .first()
                .map(|subnet| subnet.id.clone())
                .unwrap_or_default(),
            dns,
            dns_zone: self.zone.ends().trim_start_matches('.').to_owned(),
            dns_resolves,
            dns_probe: dns.map(|_| self.zone.probe()),
            authority: None,
            pid: std::process::id(),
        }
    }
}

/// The default network, whose parts have records of their own: made together, so that a part that is deleted later
/// does not come back.
fn network(records: &dyn Records, config: &ServiceConfig) -> Result<Network, ServeError> {
    let found = find::<Network>(records, DEFAULT_NETWORK_ID)?;
    let (mut network, revision) = match found {
        Some(stored) if stored.value.split => return Ok(stored.value),
        Some(stored) => (stored.value, Some(stored.revision)),
        None => (Network::default_of(&config.region, config.vpc_base, seventeen_digits), None),
    };
    network.split = true;
    // An older folder knows where its default VPC lies.
    let base = network.subnets.first().map_or(config.vpc_base, |subnet| subnet.base);
    let mut changes = default_records(&network, base, seventeen_digits)?;
    changes.push(match revision {
        Some(revision) => replace(&network, revision)?,
        None => create(&network)?,
    });
    records.apply(&changes)?;
    Ok(network)
}

fn find_or_make<T: Resource>(
    records: &dyn Records,
    id: &str,
    make: impl FnOnce() -> Result<T, ServeError>,
) -> Result<T, ServeError> {
    if let Some(stored) = find::<T>(records, id)? {
        return Ok(stored.value);
    }
    let made = make()?;
    records.apply(&[create(&made)?])?;
    Ok(made)
}

/// Snapshots in the data folder, and the buckets that were chosen.
fn vault(config: &ServiceConfig, data_dir: &Path) -> Result<Vault, ServeError> {
    #[cfg(feature = "s3")]
    if let Some(s3) = &config.s3 {
        return Ok(Vault::with_buckets(data_dir, Arc::new(S3Buckets::new(s3.clone())?)));
    }
    Ok(Vault::new(data_dir, config.buckets.clone().unwrap_or_else(|| data_dir.join("buckets"))))
}

/// Begins to publish the events of caches, if there is a server for that.
fn notifier(
    config: &ServiceConfig,
    own: &AccessKey,
    records: &Arc<dyn Records>,
    tasks: &mut tokio::task::JoinSet<()>,
) -> Result<Option<Arc<Counts>>, ServeError> {
    #[cfg(feature = "sns")]
    if let Some(sns) = &config.sns {
        let own = Credentials { access_key_id: own.id.clone(), secret_access_key: own.secret.clone() };
        let topics = Sns::new(sns, &config.region, own).map_err(ServeError::Config)?;
        let counts = Arc::new(Counts::default());
        tasks.spawn(notify::run(Arc::clone(records), topics, Arc::clone(&counts), system_clock));
        return Ok(Some(counts));
    }
    #[cfg(not(feature = "sns"))]
    let _ = (config, own, tasks);
    let silent = notify::topics_without_server(records.as_ref())?;
    if silent > 0 {
        tracing::warn!(
            "{silent} cache clusters have a topic, and nothing is published without --sns-endpoint"
        );
    }
    Ok(None)
}

/// Takes away the certificates of caches that are gone.
fn forget_certificates(authority: &Authority, records: &dyn Records) -> Result<(), ServeError> {
    let present: HashSet<String> =
        list_all::<Cluster>(records)?.into_iter().map(|stored| stored.value.id).collect();
    for cache in authority.caches().into_iter().filter(|cache| !present.contains(cache)) {
        authority.forget(&cache, None);
    }
    Ok(())
}

/// Names are a convenience: without the socket for them the service gives addresses.
async fn dns_server(listen: Option<SocketAddr>) -> Option<Server> {
    let listen = listen?;
    match Server::bind(listen).await {
        Ok(server) => Some(server),
        Err(error) => {
            tracing::warn!("no names are served, because {listen} cannot be used: {error}");
            None
        }
    }
}

/// Writes `service.json`, whole or not at all, readable for nobody else.
fn write_info(data_dir: &Path, info: &ServiceInfo) -> Result<(), ServeError> {
    let (path, fresh) = (data_dir.join("service.json"), data_dir.join("service.json.new"));
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        serde_json::to_writer_pretty(&mut file, info)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&fresh, &path)?;
        File::open(data_dir)?.sync_all()
    };
    write().map_err(io(format!("writing {}", path.display())))
}

/// Stops every node, and notes it: the next service starts them again.
async fn stop_all(records: &Arc<dyn Records>, host: &Arc<LocalHost>) -> Result<(), ServeError> {
    let all = list_all::<Observed>(records.as_ref())?;
    let of = |observed: &Observed| {
        let keys = observed.nodes.keys();
        keys.map(|node| NodeKey { cluster: observed.id.clone(), node: node.clone() }).collect::<Vec<_>>()
    };
    let mut keys: Vec<NodeKey> = all.iter().flat_map(|stored| of(&stored.value)).collect();
    let mut running = tokio::task::JoinSet::new();
    loop {
        while running.len() < STOP_PARALLEL_MAX
            && let Some(key) = keys.pop()
        {
            let host = Arc::clone(host);
            running.spawn(async move {
                if let Err(error) = host.stop(&key).await {
                    tracing::error!(node = key.folder_name(), "not stopped: {error}");
                }
            });
        }
        if running.join_next().await.is_none() {
            break;
        }
    }
    Ok(note_all_stopped(records.as_ref(), system_clock())?)
}

#[cfg(test)]
mod tests;
