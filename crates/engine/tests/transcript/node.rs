//! A node in a process of its own: this test program, started again as one.

use crate::client::Session;
use larder_engine::config::parse;
use larder_engine::mailbox::Mailbox;
use larder_engine::socket::{Driver, Engine};
use larder_engine::{run, signal};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Tells the process that it is a node: its arguments, one per line.
const ARGUMENTS: &str = "LARDER_TRANSCRIPT_NODE";
/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How often a node is started on other ports, because somebody took one in between.
const STARTS_MAX: usize = 10;

/// Waits until something is so.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < until, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Where a test runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct On {
    pub(crate) engine: &'static str,
    pub(crate) workers: usize,
}

impl On {
    /// Runs a test here, unless the kernel does not allow it.
    pub(crate) fn run(self, test: fn(On)) {
        if self.engine == "uring" && !uring_is_allowed() {
            return;
        }
        test(self);
    }

    /// A node with these further arguments, as on the command line.
    pub(crate) fn node(self, arguments: &str) -> Node {
        (0..STARTS_MAX).find_map(|_| Node::start(self, arguments)).expect("a node that starts")
    }
}

/// If it is not, that is said past the test harness: then only half of this suite has run.
fn uring_is_allowed() -> bool {
    static ALLOWED: OnceLock<bool> = OnceLock::new();
    *ALLOWED.get_or_init(|| {
        let ring =
            Mailbox::new().and_then(|mailbox| Driver::new(Engine::Uring, mailbox.fd(), usize::MAX).map(drop));
        if let Err(error) = &ring {
            let text = format!("\n*** THE KERNEL REFUSES io_uring ({error}): only epoll is tested ***\n\n");
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
        ring.is_ok()
    })
}

pub(crate) struct Node {
    process: Child,
    folder: tempfile::TempDir,
    port: u16,
    memcached_port: u16,
    /// If not, its end is no crash.
    started: bool,
}

fn spawn(arguments: &str, log: &Path) -> Child {
    // Its threads inherit what this one blocks; otherwise the harness's would take the signals meant for it.
    signal::block().unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "node::serves", "--nocapture"])
        .env(ARGUMENTS, arguments.split_whitespace().collect::<Vec<_>>().join("\n"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(log).unwrap())
        .spawn()
        .unwrap()
}

/// A Redis session at a port of this machine.
pub(crate) fn connect_to(port: u16) -> Session {
    Session::new(TcpStream::connect(("127.0.0.1", port)).unwrap())
}

/// Below those that the kernel gives to outgoing connections, which could take it at any time.
pub(crate) fn free_port() -> u16 {
    loop {
        let port = 10_000 + (RandomState::new().build_hasher().finish() % 22_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Node {
    /// `None` if one of its ports was taken.
    fn start(on: On, arguments: &str) -> Option<Node> {
        let folder = tempfile::tempdir().unwrap();
        let (port, memcached_port) = (free_port(), free_port());
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut words = format!("--bind 127.0.0.1 --port {port} --memcached-port {memcached_port}");
        words += &format!(" --io-engine {} --threads {}", on.engine, on.workers);
        words += &format!(" --unixsocket {} --memcached-unixsocket {}", path("redis"), path("memcached"));
        let process = spawn(&[&words, arguments].join(" "), &folder.path().join("log"));
        let mut node = Node { process, folder, port, memcached_port, started: false };
        node.started = node.await_ready(on);
        if node.started { Some(node) } else { None }
    }

    fn await_ready(&mut self, on: On) -> bool {
        let (mut alive, mut first) = (true, None);
        wait_until("the node starts", || {
            if self.process.try_wait().unwrap().is_some() {
                let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
                assert!(log.contains("could not listen on"), "the node ended: {log}");
                alive = false;
            }
            first = UnixStream::connect(self.folder.path().join("memcached")).ok();
            !alive || first.is_some()
        });
        if let Some(stream) = first {
            Session::over(stream).exchange("verbosity 1\r\n", "OK\r\n");
            // Sessions are dealt in turn: now each worker has had one, and has all the memory that it starts with.
            (1..on.workers).for_each(|_| self.local().says("PING", "PONG"));
        }
        alive
    }

    /// A Redis session over TCP.
    pub(crate) fn connect(&self) -> Session {
        connect_to(self.port)
    }

    /// The port of Redis that it was started with.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Tries to connect.
    pub(crate) fn knock(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port)).is_ok()
    }

    fn unix(&self, name: &str) -> Session {
        Session::over(UnixStream::connect(self.path(name)).unwrap())
    }

    /// A Redis session on the Unix socket: needs no password, and no command is hidden from it.
    pub(crate) fn local(&self) -> Session {
        self.unix("redis")
    }

    /// A Memcached session over TCP.
    pub(crate) fn memcached(&self) -> Session {
        Session::new(TcpStream::connect(("127.0.0.1", self.memcached_port)).unwrap())
    }

    /// A Memcached session on the Unix socket.
    pub(crate) fn local_memcached(&self) -> Session {
        self.unix("memcached")
    }

    /// A file of the node.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A number of INFO.
    #[track_caller]
    pub(crate) fn info(&self, field: &str) -> u64 {
        let text = self.local().ask("INFO everything");
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {field} in {text}"))
    }

    /// Starts another node on this one's port; what it says before it ends.
    #[track_caller]
    pub(crate) fn start_another_there(&self) -> String {
        let log = self.path("another");
        let mut process = spawn(&format!("--bind 127.0.0.1 --port {}", self.port), &log);
        wait_until("it ends", || process.try_wait().unwrap().is_some());
        assert_eq!(process.wait().unwrap().code(), Some(1));
        std::fs::read_to_string(log).unwrap()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.process), signal).unwrap();
    }

    /// Waits for the process to end.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        wait_until("the process ends", || self.process.try_wait().unwrap().is_some());
        self.process.wait().unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let ended = self.process.try_wait().ok().flatten();
        let crashed = ended.filter(|status| self.started && !status.success());
        let _ = self.process.kill(); // it may have ended already
        let _ = self.process.wait();
        if let Some(status) = crashed.filter(|_| !std::thread::panicking()) {
            panic!(
                "{status}: {}",
                std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
            );
        }
    }
}

/// No test: what the process of a node runs.
#[test]
fn serves() {
    let Ok(words) = std::env::var(ARGUMENTS) else { return };
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).unwrap();
    let words: Vec<String> = words.lines().map(str::to_owned).collect();
    let result = parse::arguments(&words)
        .map_err(|error| error.to_string())
        .and_then(|config| run::run(config).map_err(|error| error.to_string()));
    let code = match result {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    };
    std::process::exit(code);
}
