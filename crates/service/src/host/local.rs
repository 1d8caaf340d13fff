//! The machine that the service runs on: a node is a detached process with a folder.
//!
//! A node is its own session, reads its lock file as standard input and writes to its log, so it lives on when the
//! service ends in whatever way. A new service finds it by that lock and takes it over.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use larder_protocol::resp::value::Value;
use rustix::process::Signal;

use super::folder::Folder;
pub use super::folder::{LogFrom, LogPiece};
use super::process::{Held, reap, start_ticks, with_input};
use super::{Host, HostError, Launch, NodeKey, Started, control};
use crate::resource::log_delivery::SlowEntry;
use crate::resource::node::{Process, Replication};
use crate::resource::service_update::Runs;

/// How long a node may take from its start to its first answer.
const START_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a node may take to load its first data.
const LOAD_TIMEOUT: Duration = Duration::from_secs(1800);
/// Pause between two looks at a node that loads.
const LOAD_POLL: Duration = Duration::from_millis(50);
/// Pause between two looks at a node that starts.
const START_POLL: Duration = Duration::from_millis(10);
/// How long a node may take to end after it was asked to, before it gets the next stronger hint.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a process may take to be gone after SIGKILL.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a node is asked whether it is well.
const ASK_EVERY: Duration = if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(4) };
/// A node that has not answered for so long is ended and started again.
const SILENCE_MAX: Duration = if cfg!(test) { Duration::from_secs(1) } else { Duration::from_secs(30) };

/// Runs nodes as processes of this machine.
#[derive(Debug)]
pub struct LocalHost {
    nodes: PathBuf,
    program: Vec<OsString>,
    health: Mutex<HashMap<NodeKey, Health>>,
}

/// When a process was last asked, and when it last answered.
#[derive(Debug, Clone)]
struct Health {
    process: Process,
    asked: Instant,
    answered: Instant,
}

impl LocalHost {
    /// Sends a command of Redis to a node over its own socket, which no user's rules bind.
    ///
    /// # Errors
    /// If it does not answer in time.
    pub async fn command(&self, key: &NodeKey, words: &[&[u8]]) -> Result<Value, HostError> {
        control::command(self.folder(key).path(), words).await
    }

    /// Sends a request in the text protocol of memcached to a node over its own socket.
    ///
    /// # Errors
    /// If it does not answer in time.
    pub async fn memcached(&self, key: &NodeKey, request: &[u8]) -> Result<Vec<u8>, HostError> {
        control::memcached(self.folder(key).path(), request).await
    }

    /// The newest entries of a node's slow log.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn slow_log(&self, key: &NodeKey) -> Result<Vec<SlowEntry>, HostError> {
        control::slow_log(self.folder(key).path()).await
    }

    /// Lines of a node's log from there on.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn log_since(&self, key: &NodeKey, from: LogFrom) -> Result<LogPiece, HostError> {
        let folder = self.folder(key);
        let what = format!("reading the log of {}", key.folder_name());
        let read = tokio::task::spawn_blocking(move || folder.log_since(from)).await;
        read.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(HostError::io(what))
    }

    /// What a node tells of itself, for metrics: lines of INFO, or of memcached's `stats`.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn sample(&self, key: &NodeKey, is_memcached: bool) -> Result<String, HostError> {
        let folder = self.folder(key);
        if is_memcached { control::stats(folder.path()).await } else { control::info(folder.path()).await }
    }
}

impl LocalHost {
    /// A host that keeps the nodes' folders in `nodes`, and starts a node with `program` and the name of its
    /// configuration file.
    ///
    /// # Errors
    /// If the program is empty.
    pub fn new(nodes: PathBuf, program: Vec<OsString>) -> Result<LocalHost, HostError> {
        if program.is_empty() {
            return Err(HostError::Unanswered { what: "has no program".to_owned() });
        }
        Ok(LocalHost { nodes, program, health: Mutex::new(HashMap::new()) })
    }

    fn folder(&self, key: &NodeKey) -> Folder {
        Folder::of(&self.nodes, key)
    }

    /// The process that holds the node's lock; none if nobody does.
    fn holder(&self, folder: &Folder) -> Result<Option<Held>, HostError> {
        if !folder.exists() || !folder.is_locked()? {
            return Ok(None);
        }
        let likely: Vec<u32> = folder.written_pid().into_iter().collect();
        match with_input(&folder.lock_file()?, &likely) {
            Some(held) => Ok(Some(held)),
            // It may have ended between the two looks.
            None if !folder.is_locked()? => Ok(None),
            None => Err(HostError::Unanswered {
                what: format!(
                    "is held by a process that cannot be found; its folder is {}",
                    folder.path().display()
                ),
            }),
        }
    }

    /// Starts a process in the folder; the lock goes to it. Answers the process, and where its log begins.
    fn spawn(&self, folder: &Folder, lock: File, launch: &Launch) -> Result<(Held, u64), HostError> {
        folder.clear()?;
        folder.write_configuration(launch)?;
        if let Some(seed) = &launch.seed {
            folder.place_data(seed)?;
        }
        let log = folder.open_log()?;
        let log_from = folder.log_bytes();
        let errors = log.try_clone().map_err(HostError::io("sharing the log"))?;
        let mut command = detached(&self.program);
        command
            .arg("node.conf")
            .current_dir(folder.path())
            .stdin(Stdio::from(lock))
            .stdout(log)
            .stderr(errors);
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_secret(name)) {
            command.env_remove(name);
        }
        let started = command.spawn();
        let child = started.map_err(HostError::io(format!("starting {}", self.program[0].display())))?;
        let Some(held) = Held::open(child.id()).map_err(HostError::io("watching a new process"))? else {
            reap(child.id());
            return Err(HostError::Died { log: folder.log_tail(log_from) });
        };
        Ok((held, log_from))
    }

    /// Waits until the process answers as the node.
    /// `log_from` is where the log of this process begins.
    async fn answers(
        &self,
        folder: &Folder,
        held: &Held,
        log_from: u64,
    ) -> Result<(Process, Runs), HostError> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let last = match control::identity(folder.path()).await {
                Ok(identity) if identity.pid == held.pid() => {
                    let (pid, start_ticks) = (held.pid(), held.start_ticks());
                    return Ok((Process { pid, start_ticks, run_id: identity.run_id }, identity.runs));
                }
                Ok(_) => {
                    HostError::Unanswered { what: "answers with the number of another process".to_owned() }
                }
                Err(error) => error,
            };
            if held.ended_within(START_POLL).await {
                return Err(HostError::Died { log: folder.log_tail(log_from) });
            }
            if Instant::now() >= deadline {
                return Err(last);
            }
        }
    }

    async fn end(&self, folder: &Folder, held: &Held) -> Result<(), HostError> {
        match control::shut_down(folder.path()).await {
            Ok(()) if held.ended_within(STOP_TIMEOUT).await => return Ok(()),
            Ok(()) => tracing::warn!(pid = held.pid(), "a node did not end after SHUTDOWN"),
            Err(error) => tracing::debug!(pid = held.pid(), "SHUTDOWN: {error}"),
        }
        held.signal(Signal::TERM);
        if held.ended_within(STOP_TIMEOUT).await {
            return Ok(());
        }
        held.signal(Signal::KILL);
        if held.ended_within(KILL_TIMEOUT).await {
            return Ok(());
        }
        Err(HostError::Unanswered {
            what: format!("does not end, not even after SIGKILL (pid {})", held.pid()),
        })
    }

    fn health_of(&self, key: &NodeKey, process: &Process) -> Option<Health> {
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.get(key).filter(|health| health.process == *process).cloned()
    }

    fn note_health(&self, key: &NodeKey, health: Health) {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), health);
    }

    fn note_answer(&self, key: &NodeKey, process: &Process) {
        let now = Instant::now();
        self.note_health(key, Health { process: process.clone(), asked: now, answered: now });
    }
}

/// Whether the recorded process runs. What cannot be looked up, for want of file descriptors, is not taken for an end.
fn runs(recorded: &Process) -> Result<bool, HostError> {
    let found = start_ticks(recorded.pid).map_err(HostError::io("looking for the process of a node"))?;
    Ok(found == Some(recorded.start_ticks))
}

/// The recorded process, if it runs.
fn held(recorded: &Process) -> Result<Option<Held>, HostError> {
    let found = Held::open(recorded.pid).map_err(HostError::io("looking for the process of a node"))?;
    Ok(found.filter(|held| held.start_ticks() == recorded.start_ticks))
}

/// Waits until a node that answers has loaded its first data.
async fn loaded(folder: &Folder, held: &Held, log_from: u64) -> Result<(), HostError> {
    let deadline = Instant::now() + LOAD_TIMEOUT;
    loop {
        let last = match control::is_loading(folder.path()).await {
            Ok(false) => return Ok(()),
            Ok(true) => HostError::Unanswered { what: "does not come to the end of its data".to_owned() },
            Err(error) => error,
        };
        if held.ended_within(LOAD_POLL).await {
            return Err(HostError::Died { log: folder.log_tail(log_from) });
        }
        if Instant::now() >= deadline {
            return Err(last);
        }
    }
}

impl Host for LocalHost {
    async fn is_alive(&self, key: &NodeKey, recorded: &Process) -> Result<bool, HostError> {
        if !runs(recorded)? {
            return Ok(false);
        }
        let now = Instant::now();
        let known = self.health_of(key, recorded);
        if known.as_ref().is_some_and(|health| now - health.asked < ASK_EVERY) {
            return Ok(true);
        }
        match control::identity(self.folder(key).path()).await {
            Ok(identity) if identity.run_id == recorded.run_id => {
                self.note_answer(key, recorded);
                return Ok(true);
            }
            // Something else answers on the node's socket: the node is found anew by its lock.
            Ok(_) => return Ok(false),
            Err(error) => tracing::warn!(node = key.folder_name(), "a node does not answer: {error}"),
        }
        let answered = known.map_or(now, |health| health.answered);
        if now - answered < SILENCE_MAX {
            self.note_health(key, Health { process: recorded.clone(), asked: now, answered });
            return Ok(true);
        }
        tracing::error!(node = key.folder_name(), "a node has been silent for too long and is ended");
        if let Some(held) = held(recorded)? {
            held.signal(Signal::KILL);
            held.ended_within(KILL_TIMEOUT).await;
        }
        Ok(false)
    }

    fn is_free(&self, address: Ipv4Addr, port: u16) -> bool {
        TcpListener::bind((address, port)).is_ok()
    }

    async fn start(&self, key: &NodeKey, launch: &Launch) -> Result<Started, HostError> {
        let folder = self.folder(key);
        folder.make()?;
        if let Some(held) = self.holder(&folder)? {
            tracing::info!(node = key.folder_name(), pid = held.pid(), "a running node is taken over");
            let answered = match self.answers(&folder, &held, folder.log_bytes()).await {
                Ok(found) => loaded(&folder, &held, folder.log_bytes()).await.map(|()| found),
                Err(error) => Err(error),
            };
            let (process, runs) = match answered {
                Ok(found) => found,
                Err(error) => {
                    self.end(&folder, &held).await?;
                    return Err(error);
                }
            };
            self.note_answer(key, &process);
            return Ok(Started { process, settings: folder.written_settings()?, runs });
        }
        let locked = folder.try_lock()?;
        let lock = locked
            .ok_or_else(|| HostError::Unanswered { what: "was started by somebody else".to_owned() })?;
        let (held, log_from) = self.spawn(&folder, lock, launch)?;
        let answered = match self.answers(&folder, &held, log_from).await {
            Ok(found) if launch.seed.is_some() => loaded(&folder, &held, log_from).await.map(|()| found),
            answered => answered,
        };
        match answered {
            Ok((process, runs)) => {
                self.note_answer(key, &process);
                Ok(Started { process, settings: launch.settings.clone(), runs })
            }
            Err(error) => {
                // A node that does not answer is not left behind: its next start would only find it in the way.
                held.signal(Signal::KILL);
                held.ended_within(KILL_TIMEOUT).await;
                Err(error)
            }
        }
    }

    async fn stop(&self, key: &NodeKey) -> Result<(), HostError> {
        let folder = self.folder(key);
        match self.holder(&folder)? {
            Some(held) => self.end(&folder, &held).await,
            None => Ok(()),
        }
    }

    async fn set(&self, key: &NodeKey, name: &str, value: &str) -> Result<bool, HostError> {
        control::set(self.folder(key).path(), name, value).await
    }

    async fn tell(&self, key: &NodeKey, payload: &str) -> Result<(), HostError> {
        control::tell(self.folder(key).path(), payload).await
    }

    async fn remove(&self, key: &NodeKey) -> Result<(), HostError> {
        self.stop(key).await?;
        self.health.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        self.folder(key).remove()
    }

    async fn replication(
        &self,
        key: &NodeKey,
        recorded: &Process,
        address: SocketAddrV4,
    ) -> Result<Option<Replication>, HostError> {
        if !runs(recorded)? {
            return Ok(None);
        }
        let answer = control::replication(self.folder(key).path(), &recorded.run_id, address).await;
        // A process that ends while it is asked is gone, and not silent.
        if runs(recorded)? { answer } else { Ok(None) }
    }

    async fn follow(
        &self,
        key: &NodeKey,
        recorded: &Process,
        primary: Option<SocketAddrV4>,
    ) -> Result<(), HostError> {
        let (host, port) = match primary {
            Some(address) => (address.ip().to_string(), address.port().to_string()),
            None => ("NO".to_owned(), "ONE".to_owned()),
        };
        let command: [&[u8]; 3] = [b"REPLICAOF", host.as_bytes(), port.as_bytes()];
        // A later process of the node has not the data, and must not hear what was meant for this one.
        if control::order_process(self.folder(key).path(), &recorded.run_id, &command).await? {
            return Ok(());
        }
        Err(HostError::Unanswered { what: "is run by another process now".to_owned() })
    }

    async fn hold_writes(&self, key: &NodeKey, time: Option<Duration>) -> Result<(), HostError> {
        let folder = self.folder(key);
        match time {
            Some(time) => {
                let ms = time.as_millis().to_string();
                control::order(folder.path(), &[b"CLIENT", b"PAUSE", ms.as_bytes(), b"WRITE"]).await
            }
            None => control::order(folder.path(), &[b"CLIENT", b"UNPAUSE"]).await,
        }
    }

    async fn save(&self, key: &NodeKey, recorded: &Process, to: &Path) -> Result<(), HostError> {
        let folder = self.folder(key);
        let gone = || HostError::Unanswered { what: "is run by another process now".to_owned() };
        if !runs(recorded)? {
            return Err(gone());
        }
        control::save(&folder).await?;
        if !runs(recorded)? {
            return Err(gone());
        }
        std::fs::rename(folder.data(), to).map_err(HostError::io(format!("moving to {}", to.display())))
    }

    async fn kill(&self, key: &NodeKey, recorded: &Process) -> Result<(), HostError> {
        let Some(held) = held(recorded)? else { return Ok(()) };
        tracing::warn!(
            node = key.folder_name(),
            pid = recorded.pid,
            "a node is ended, so that it accepts no writes"
        );
        held.signal(Signal::KILL);
        if held.ended_within(KILL_TIMEOUT).await {
            return Ok(());
        }
        Err(HostError::Unanswered { what: format!("does not end after SIGKILL (pid {})", recorded.pid) })
    }

    async fn exited(&self, process: &Process) {
        let watched = match held(process) {
            Ok(None) => return,
            Ok(Some(held)) => held.ended().await.map_err(HostError::io("waiting for its end")),
            Err(error) => Err(error),
        };
        if let Err(error) = watched {
            // Without the watch there is still the timer of the driver.
            tracing::warn!(pid = process.pid, "cannot watch a process: {error}");
            std::future::pending::<()>().await;
        }
    }
}

/// Whether a variable is for the service alone: the keys of its buckets.
fn is_secret(variable: &std::ffi::OsStr) -> bool {
    variable.to_str().is_some_and(|name| name.starts_with("LARDER_S3_"))
}

/// A command that runs the program as a session of its own, so that no terminal's signals reach it. `setsid` (of
/// util-linux or busybox) replaces itself with the program and keeps its process number; where it is missing, a
/// process group of its own keeps at least the terminal's Ctrl-C away.
fn detached(program: &[OsString]) -> Command {
    use std::os::unix::process::CommandExt;
    let setsid = ["/usr/bin/setsid", "/bin/setsid"].iter().map(Path::new).find(|path| path.exists());
    match setsid {
        Some(setsid) => {
            let mut command = Command::new(setsid);
            command.args(program);
            command
        }
        None => {
            let mut command = Command::new(&program[0]);
            command.args(&program[1..]).process_group(0);
            command
        }
    }
}
