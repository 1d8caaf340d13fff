//! A node from start to end: listeners, workers, signals.

use crate::acl::file;
use crate::command::families;
use crate::command::locked::Locked;
use crate::config::memcached::Memcached;
use crate::config::{Config, Ending};
use crate::listeners::{Listeners, address_of};
use crate::log::aof;
use crate::mailbox::Mailbox;
use crate::memcache::{Auth, AuthError, Binding, Rules, udp};
use crate::memcache::{memory_file, port_file};
use crate::memory::{self, bound};
use crate::node::Node;
use crate::signal::{self, Stop};
use crate::snapshot::load::{LoadError, Loaded, load_file};
use crate::socket::Engine;
use crate::tls::TlsError;
use crate::worker::Worker;
use crate::{process, replication, snapshot};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What is fixed when a node starts.
#[derive(Clone, Debug)]
pub struct Startup {
    /// Number of workers (`threads`); 0 = one per core.
    pub threads: usize,
    /// `databases`.
    pub databases: u16,
    /// `io-engine`.
    pub engine: Engine,
    /// `tcp-backlog`.
    pub backlog: i32,
    /// `unixsocket`.
    pub unix_socket: Option<PathBuf>,
    /// `memcached-unixsocket`.
    pub memcached_unix_socket: Option<PathBuf>,
    /// `unixsocketperm`.
    pub unix_socket_mode: Option<u32>,
    /// `pidfile`.
    pub pidfile: Option<PathBuf>,
    /// `logfile`; the standard output if there is none.
    pub logfile: Option<PathBuf>,
    /// `aclfile`.
    pub acl_file: Option<PathBuf>,
    /// `user`: the words of each, the name first.
    pub users: Vec<Vec<String>>,
    /// `supervised`.
    pub supervised: Supervised,
    /// `daemonize`.
    pub daemonize: bool,
    /// `lock-memory`.
    pub lock_memory: bool,
    /// What begins with `memcached-`.
    pub memcached: Memcached,
}

/// Who is told that the node is ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Supervised {
    /// Nobody.
    #[default]
    No,
    /// systemd, through `NOTIFY_SOCKET`.
    Systemd,
    /// upstart, by stopping: no init of today wants it, so it is the same as nobody.
    Upstart,
    /// systemd if `NOTIFY_SOCKET` is set.
    Auto,
}

impl Startup {
    /// `process_supervised` in INFO.
    pub fn supervision(&self) -> &'static str {
        let told = std::env::var_os("NOTIFY_SOCKET").is_some();
        match self.supervised {
            Supervised::Systemd | Supervised::Auto if told => "systemd",
            _ => "no",
        }
    }
}

impl Default for Startup {
    fn default() -> Startup {
        Startup {
            threads: 0,
            databases: 16,
            engine: Engine::Auto,
            backlog: 511,
            unix_socket: None,
            memcached_unix_socket: None,
            unix_socket_mode: None,
            pidfile: None,
            logfile: None,
            acl_file: None,
            users: Vec::new(),
            supervised: Supervised::No,
            daemonize: false,
            lock_memory: false,
            memcached: Memcached::default(),
        }
    }
}

/// Why a node did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A listener could not be opened.
    #[error(
        "could not listen on {address}: {source}. Is another server using it? Choose another with --port or --bind"
    )]
    Listen {
        /// The address or path.
        address: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The address in `bind` is none.
    #[error("bind: '{0}' is not an IP address")]
    BadAddress(String),
    /// A worker failed.
    #[error("worker: {0}")]
    Worker(io::Error),
    /// The pid file could not be written.
    #[error("could not write the pid file {0}: {1}")]
    PidFile(PathBuf, io::Error),
    /// The memory file could not be written at the end.
    #[error("failed to open file for mmap: {1}: {0}")]
    MemoryFile(PathBuf, io::Error),
    /// The users of the configuration are wrong.
    #[error("Aborting startup because of ACL errors: {0}")]
    Users(String),
    /// The users of the Memcached doors.
    #[error("memcached-auth-file: {0}")]
    MemcachedUsers(#[from] AuthError),
    /// Over UDP nobody shows who they are.
    #[error("memcached-udp-port cannot be used together with a memcached-auth-file")]
    UdpWithUsers,
    /// SASL without users.
    #[error("memcached-sasl needs a memcached-auth-file")]
    NoUsers,
    /// The append-only file cannot be read or written.
    #[error("the append-only file: {0}")]
    AppendOnly(io::Error),
    /// The append-only file could not be loaded.
    #[error("{0}")]
    LoadLog(aof::load::LoadError),
    /// The file of the configuration could not be loaded.
    #[error("Fatal error loading the DB {0}: {1}. Exiting.")]
    Load(PathBuf, LoadError),
    /// TLS cannot be configured.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// Nothing to listen on.
    #[error("nothing to listen on: give --port, --tls-port, --memcached-port or --unixsocket")]
    NoDoor,
}

/// How long a node that ends waits for a rewrite that it has cancelled.
const CANCEL_WAIT: Duration = Duration::from_secs(10);

/// A running node.
pub struct Running {
    node: Arc<Node>,
    workers: Vec<JoinHandle<io::Result<()>>>,
    /// The threads that order all writes, and that write the append-only file.
    log: Option<(JoinHandle<()>, JoinHandle<()>)>,
    udp: Vec<JoinHandle<()>>,
    /// The threads of replication.
    helpers: Vec<JoinHandle<()>>,
    files: Vec<PathBuf>,
}

impl Running {
    /// What the node's workers share.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Starts the threads of replication: the link to a primary, and the snapshots for replicas.
    fn spawn_helpers(&mut self) -> io::Result<()> {
        let thread = |name: &str| std::thread::Builder::new().name(name.into());
        let node = self.node.clone();
        self.helpers.push(thread("link").spawn(move || replication::link::run(&node))?);
        let node = self.node.clone();
        self.helpers.push(thread("sync").spawn(move || replication::sync::run(&node))?);
        Ok(())
    }

    /// Ends the node: sessions are told what was still unsent, files are removed.
    pub fn stop(mut self) -> Result<(), RunError> {
        self.node.snapshots.saves.end();
        aof::rewrite::end(&self.node, CANCEL_WAIT);
        self.node.stop();
        let mut result = Ok(());
        let alone = self.workers.len() == 1;
        for worker in self.workers {
            match worker.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => result = Err(RunError::Worker(error)),
                Err(_) => result = Err(RunError::Worker(io::Error::other("panicked"))),
            }
        }
        for thread in self.udp {
            if thread.join().is_err() {
                result = Err(RunError::Worker(io::Error::other("a thread of UDP panicked")));
            }
        }
        for helper in self.helpers {
            let _ = helper.join(); // what it was at is over with the process
        }
        // A worker that is alone has its partitions to itself, and did this at its end.
        if !alone {
            save_memory(&self.node);
        }
        // What the workers logged is written before the node is gone.
        self.node.log.close();
        if let Some((log, file)) = self.log.take() {
            let ordered = log.join();
            self.node.log.aof.feed.close();
            if ordered.and(file.join()).is_err() {
                result = Err(RunError::Worker(io::Error::other("the log panicked")));
            }
        }
        for file in self.files {
            let _ = std::fs::remove_file(file); // somebody may have removed it
        }
        result
    }
}

/// Starts a node and serves until SIGTERM, SIGINT or SHUTDOWN.
pub fn run(config: Config) -> Result<(), RunError> {
    signal::block().map_err(RunError::Worker)?;
    let startup = config.startup.clone();
    greet(&config);
    if startup.lock_memory {
        lock_memory();
    }
    // Who looks for the reason looks into the log: nobody may see what else the process says.
    let running = start(config).inspect_err(|error| tracing::error!("{error}"))?;
    announce(&running.node);
    if let Some(path) = &startup.memcached.port_file
        && let Err(error) = port_file::write(&running.node, path)
    {
        tracing::warn!("memcached-port-file {}: {error}", path.display());
    }
    process::notify(startup.supervised, "STATUS=Ready to accept connections\nREADY=1\n");
    loop {
        let stop = signal::wait(|| reload(&running.node));
        tracing::warn!("Received {}, shutting down...", stop.name());
        let ways = running.node.settings().shutdown.clone();
        let ending = match stop {
            Stop::Terminate => ways.on_sigterm,
            Stop::Interrupt => ways.on_sigint,
            Stop::User => Ending::default(),
        };
        match running.node.exit.prepare(&running.node, ending) {
            Ok(()) => break,
            Err(error) => tracing::warn!("Error trying to save the DB, can't exit: {error}"),
        }
    }
    process::notify(startup.supervised, "STOPPING=1\n");
    tracing::warn!("User requested shutdown...");
    if startup.pidfile.is_some() {
        tracing::info!("Removing the pid file.");
    }
    if startup.unix_socket.is_some() {
        tracing::info!("Removing the unix socket file.");
    }
    let result = running.stop();
    tracing::warn!("Larder is now ready to exit, bye bye...");
    result
}

/// Keeps all memory of the process from being swapped, now and later. A limit that it would run into later is no lock, but
/// a crash in waiting: then it is not locked at all.
fn lock_memory() {
    use rustix::mm::{MlockAllFlags, mlockall};
    use rustix::process::{Resource, geteuid, getrlimit};
    if !geteuid().is_root() && getrlimit(Resource::Memlock).current.is_some() {
        tracing::warn!("lock-memory: the memory is not locked: the limit (ulimit -l) is not 'unlimited'");
    } else if let Err(error) =
        mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
    {
        tracing::warn!("lock-memory: the memory is not locked: {error}");
    } else {
        tracing::info!("All memory is locked");
    }
}

/// The first words of the log; tools look for the process id.
fn greet(config: &Config) {
    let pid = std::process::id();
    let version = env!("CARGO_PKG_VERSION");
    tracing::warn!("Larder is starting");
    tracing::warn!("Larder version={version}, bits={}, pid={pid}, just started", usize::BITS);
    match &config.settings.file {
        Some(_) => tracing::warn!("Configuration loaded"),
        None => tracing::warn!("No config file given: the defaults and the command line are in force"),
    }
    tracing::info!("Running mode=standalone, port={}.", config.settings.port);
    tracing::info!("PID: {pid}");
}

/// Says where clients may come: what tools wait for.
fn announce(node: &Node) {
    let settings = node.settings();
    if settings.port > 0 {
        tracing::info!("Ready to accept connections tcp");
    }
    if settings.tls.port > 0 {
        tracing::info!("Ready to accept connections tls");
    }
    if let Some(path) = &node.startup.unix_socket {
        tracing::info!("The server is now ready to accept connections at {}", path.display());
        tracing::info!("Ready to accept connections unix");
    }
    if settings.memcached_port > 0 || node.startup.memcached_unix_socket.is_some() {
        tracing::info!("Ready to accept connections memcached");
    }
}

/// Starts a node; it serves on threads of its own.
pub fn start(config: Config) -> Result<Running, RunError> {
    let Config { startup, settings } = config;
    let startup = &startup;
    let threads = match startup.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    if let Some(path) = &startup.memcached.memory_file {
        memory_file::check(path).map_err(|error| RunError::MemoryFile(path.clone(), error))?;
    }
    let doors = Listeners::default();
    let listeners = doors.begin(startup, &settings)?;
    let mailboxes = (0..threads).map(|_| Mailbox::new()).collect::<io::Result<Vec<_>>>();
    let mailboxes = mailboxes.map_err(RunError::Worker)?;
    let seed = RandomState::new().build_hasher().finish();
    bound::prepare(settings.maxmemory);
    let mut node = Node::new(settings, startup, seed, mailboxes, families());
    node.listeners = doors;
    let node = Arc::new(node);
    node.tls.apply(&node.settings().tls)?;
    load_users(&node).map_err(RunError::Users)?;
    node.memcached.set_auth(memcached_users(&startup.memcached)?);
    node.memcached.set_rules(memcached_rules(&startup.memcached));
    let mut files: Vec<PathBuf> =
        startup.unix_socket.iter().chain(&startup.memcached_unix_socket).cloned().collect();
    if let Some(path) = &startup.pidfile {
        let text = format!("{}\n", std::process::id());
        std::fs::write(path, text).map_err(|error| RunError::PidFile(path.clone(), error))?;
        files.push(path.clone());
    }
    if node.settings().replication.primary.is_some() {
        replication::role::prepare(&node);
    }
    let log = spawn_log(&node).map_err(RunError::Worker)?;
    spawn_iam(&node).map_err(RunError::Worker)?;
    let mut running =
        Running { node, workers: Vec::new(), log: Some(log), udp: Vec::new(), helpers: Vec::new(), files };
    let data = PathBuf::from(&running.node.settings().persistence.dbfilename);
    snapshot::file::remove_left_over(
        data.parent().filter(|dir| *dir != Path::new("")).unwrap_or(Path::new(".")),
    );
    let logs = running.node.settings().append_only.on;
    if logs {
        aof::file::prepare(&running.node).map_err(RunError::AppendOnly)?;
    }
    // Who keeps a log has everything in it.
    let loads = !logs && data.exists();
    running.node.loading.set(loads || logs);
    let (told, started) = channel();
    let mut listeners = Some(listeners);
    for id in 0..threads {
        let (node, engine) = (running.node.clone(), startup.engine);
        let (told, listeners) = (told.clone(), listeners.take().unwrap_or_default());
        let work = move || {
            memory::allocator::share_arena(threads); // refused, it costs memory and nothing else
            let shared = node.clone();
            let worker = Worker::new(node, id, engine).and_then(|mut worker| {
                listeners.into_iter().try_for_each(|listener| worker.listen(listener))?;
                Ok(worker)
            });
            match worker {
                Ok(mut worker) => {
                    // Nobody is served before: the first worker has all listeners.
                    if id == 0
                        && let Some(path) = &shared.startup.memcached.memory_file
                        && let Err(error) = memory_file::load(&shared, path)
                    {
                        tracing::warn!("Starting empty: {error}");
                    }
                    shared.set_socket_engine(worker.engine());
                    let _ = told.send(Ok(worker.engine())); // the starter waits for it
                    // Sessions of a worker that failed would hang: whoever watches the node starts it again.
                    // Nothing is saved: nobody may be left to do it.
                    let at_once = Ending { saves: Some(false), now: true, forced: true };
                    let ended = worker.run().inspect_err(|_| shared.exit.ask(at_once));
                    if ended.is_ok() && threads == 1 {
                        save_memory(&shared);
                    }
                    ended
                }
                Err(error) => {
                    let _ = told.send(Err(error));
                    Ok(())
                }
            }
        };
        let thread = std::thread::Builder::new().name(format!("worker-{id}"));
        running.workers.push(thread.spawn(work).map_err(RunError::Worker)?);
    }
    match await_start(&started, threads) {
        Ok(engine) => {
            running.node.startup_bytes.store(memory::used_bytes(), Ordering::Relaxed);
            tracing::info!(threads, engine, "Server initialized");
            if logs && let Err(error) = aof::load(&running.node) {
                running.stop()?;
                return Err(RunError::LoadLog(error));
            }
            if let Err(error) = listen_udp(&mut running) {
                running.stop()?;
                return Err(error);
            }
            running.node.loading.set(loads);
            if let Err(error) = running.spawn_helpers() {
                running.stop()?;
                return Err(RunError::Worker(error));
            }
            if loads && let Err(error) = load(&running.node, &data) {
                running.stop()?;
                return Err(RunError::Load(data, error));
            }
            begin_replication(&running.node, loads);
            Ok(running)
        }
        Err(error) => {
            running.stop()?;
            Err(RunError::Worker(error))
        }
    }
}

/// Goes on in the history that the file told of, and follows whom the configuration names.
fn begin_replication(node: &Node, loaded: bool) {
    let origin = node.loading.take_origin();
    // What died while a primary was away would never be told to whoever goes on with it.
    let lost = node.loading.expired.load(Ordering::Relaxed) > 0;
    node.ask(move |node| {
        let mut gate = node.replication.gate();
        let mut held = Locked::all(&node.store);
        // Somebody may have decided otherwise while the file was loaded.
        let primary = node.settings().replication.primary.clone();
        if let (true, Some((id, offset)), Some(db)) = (loaded, origin.position(), origin.db)
            && (primary.is_some() || !lost)
        {
            replication::role::resume(node, &mut gate, &id, offset, db);
        }
        if let Some(primary) = primary {
            replication::role::follow(node, &mut held, primary, false);
        }
        node.loading.keeps_dead.store(false, Ordering::Relaxed);
    });
}

/// Writes the memory file, if one is configured, for the next run.
fn save_memory(node: &Node) {
    let Some(path) = &node.startup.memcached.memory_file else { return };
    match memory_file::save(node, path) {
        Ok(keys) => tracing::info!("Memory file written, keys: {keys}"),
        Err(error) => tracing::warn!("The memory file was not written: {error}"),
    }
}

/// Takes datagrams at all addresses, if a port is given for them.
fn listen_udp(running: &mut Running) -> Result<(), RunError> {
    let (settings, port) = (running.node.settings(), running.node.startup.memcached.udp_port);
    for bind in settings.bind.iter().filter(|_| port > 0) {
        let address = SocketAddr::new(address_of(bind)?, port);
        match udp::listen(&running.node, address) {
            Ok(thread) => running.udp.push(thread),
            Err(_) if bind.starts_with('-') => tracing::warn!("{bind}: not listening there for UDP"),
            Err(source) => return Err(RunError::Listen { address: format!("{address} (UDP)"), source }),
        }
    }
    Ok(())
}

/// Who may use the Memcached doors.
fn memcached_users(memcached: &Memcached) -> Result<Auth, RunError> {
    match &memcached.auth_file {
        Some(_) if memcached.udp_port > 0 => Err(RunError::UdpWithUsers),
        Some(path) => Ok(Auth::read(path, memcached.sasl)?),
        None if memcached.sasl => Err(RunError::NoUsers),
        None => Ok(Auth::default()),
    }
}

/// SIGHUP: reads the file of users again. A file that cannot be taken changes nothing.
fn reload(node: &Node) {
    match memcached_users(&node.startup.memcached) {
        Ok(_) if node.startup.memcached.auth_file.is_none() => {
            tracing::info!("SIGHUP: nothing to read again")
        }
        Ok(auth) => {
            node.memcached.set_auth(auth);
            tracing::info!("SIGHUP: the users of the Memcached doors were read again");
        }
        Err(error) => tracing::warn!("SIGHUP: the users stay as they were: {error}"),
    }
}

/// What is fixed for Memcached sessions.
fn memcached_rules(memcached: &Memcached) -> Rules {
    Rules {
        binding: if memcached.sasl { Binding::Binary } else { memcached.binding },
        shutdown: memcached.shutdown,
        flush_disabled: !memcached.flush,
        dump_disabled: !memcached.dump,
        watch_disabled: !memcached.watch,
        watcher_bytes: memcached.watcher_bytes,
        worker_bytes: memcached.worker_bytes,
        patient: !memcached.maxconns_fast,
        requests_per_turn: memcached.requests_per_turn,
        prefix_end: memcached.prefix_end,
        detail: memcached.detail,
        cas_disabled: !memcached.cas,
        sizes: memcached.track_sizes,
    }
}

/// The thread that brings all writes into one order, and the one that writes the append-only file.
fn spawn_log(node: &Arc<Node>) -> io::Result<(JoinHandle<()>, JoinHandle<()>)> {
    let (ordering, writing) = (node.clone(), node.clone());
    let log = std::thread::Builder::new().name("log".into());
    let log = log.spawn(move || ordering.log.run(&mut aof::feed::Feeder(&ordering)))?;
    let file = std::thread::Builder::new().name("aof".into());
    let file = file.spawn(move || writing.log.aof.feed.run(&writing)).inspect_err(|_| node.log.close())?;
    Ok((log, file))
}

/// The thread that asks about tokens of IAM. Nobody waits for its end: it may be in the midst of a question.
fn spawn_iam(node: &Arc<Node>) -> io::Result<()> {
    let node = node.clone();
    std::thread::Builder::new().name("iam".into()).spawn(move || node.iam.run(&node)).map(drop)
}

/// Loads the file of the configuration.
fn load(node: &Node, path: &Path) -> Result<(), LoadError> {
    let began = Instant::now();
    let Loaded { keys, expired } = load_file(node, path)?;
    node.loading.set(false);
    tracing::info!("Done loading RDB, keys loaded: {keys}, keys expired: {expired}.");
    tracing::info!("DB loaded from disk: {:.3} seconds", began.elapsed().as_secs_f64());
    Ok(())
}

/// Makes the users that the configuration defines, in a file of their own or among its lines.
fn load_users(node: &Node) -> Result<(), String> {
    let all_channels = node.settings().acl_all_channels;
    match (&node.startup.acl_file, &node.startup.users[..]) {
        (None, users) => node.users.define(users, all_channels),
        (Some(path), []) => file::load(&node.users, path, all_channels).map(drop),
        (Some(_), _) => Err(
            "users are defined both in the configuration and in an aclfile: define them in one of the two"
                .into(),
        ),
    }
}

fn await_start(started: &Receiver<io::Result<&'static str>>, threads: usize) -> io::Result<&'static str> {
    let mut engine = "";
    for _ in 0..threads {
        engine = started.recv().map_err(|_| io::Error::other("a worker ended at once"))??;
    }
    Ok(engine)
}
