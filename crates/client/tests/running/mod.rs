//! A cache server for a test: the program that `LARDER_BIN` names, or else `redis-server`, on a free loopback port,
//! stopped by its process id at the end. Without either program the tests say so and pass over.

#![allow(dead_code)] // each test binary uses its own part

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use larder_client::{Limits, Server};

/// How long anything may take before a test gives up on it.
pub(crate) const GENEROUS: Duration = Duration::from_secs(30);

pub(crate) struct TestServer {
    child: Option<Child>,
    port: u16,
    /// 0 without TLS.
    tls_port: u16,
    folder: tempfile::TempDir,
}

impl TestServer {
    /// A running server, or `None` when there is no program to run.
    pub(crate) async fn start() -> Option<Self> {
        Self::begin(false).await
    }

    /// The same with another port that speaks TLS.
    pub(crate) async fn start_tls() -> Option<Self> {
        Self::begin(true).await
    }

    async fn begin(tls: bool) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let tls_port = if tls { free_port() } else { 0 };
        let mut server = Self { child: None, port: free_port(), tls_port, folder };
        if tls {
            server.certify();
        }
        for _ in 0..5 {
            if !server.resume().await {
                eprintln!("neither LARDER_BIN nor redis-server: passed over");
                return None;
            }
            if server.child.is_some() {
                return Some(server);
            }
            server.port = free_port();
        }
        panic!("no server could be started");
    }

    /// Starts it (again) on its port. Says whether there is a program.
    pub(crate) async fn resume(&mut self) -> bool {
        let port = self.port.to_string();
        let mut command = match std::env::var_os("LARDER_BIN") {
            Some(program) => {
                let mut command = Command::new(std::path::absolute(root().join(program)).expect("a path"));
                command.args(["node", "--threads", "1"]);
                command
            }
            None => Command::new("redis-server"),
        };
        command
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", ""])
            .arg("--dir")
            .arg(self.folder.path());
        if self.tls_port != 0 {
            let file = |name: &str| self.folder.path().join(name);
            command
                .args(["--tls-port", &self.tls_port.to_string(), "--tls-auth-clients", "no"])
                .arg("--tls-cert-file")
                .arg(file("node.pem"))
                .arg("--tls-key-file")
                .arg(file("node.key"))
                .arg("--tls-ca-cert-file")
                .arg(file("ca.pem"));
        }
        let Ok(child) = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else { return false };
        self.child = Some(child);
        let until = Instant::now() + GENEROUS;
        while Instant::now() < until {
            if self.patient().ping().await.is_ok() {
                return true;
            }
            let ended =
                self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|end| end.is_some()));
            if ended {
                self.child = None;
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the server does not answer");
    }

    /// An authority, and a certificate of it for the loopback address.
    fn certify(&self) {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
        let mut parameters = CertificateParams::new(Vec::new()).expect("no names");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = parameters.self_signed(&key).expect("an authority");
        let issuer = Issuer::new(parameters, key);
        let own_key = KeyPair::generate().expect("a key");
        let own = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
        let own = own.signed_by(&own_key, &issuer).expect("a certificate");
        let write =
            |name: &str, text: String| std::fs::write(self.folder.path().join(name), text).expect("a file");
        write("ca.pem", authority.pem());
        write("node.pem", own.pem());
        write("node.key", own_key.serialize_pem());
    }

    pub(crate) fn tls_url(&self) -> String {
        format!("rediss://127.0.0.1:{}", self.tls_port)
    }

    /// The certificate of the authority, as PEM.
    pub(crate) fn authority(&self) -> Vec<u8> {
        std::fs::read(self.folder.path().join("ca.pem")).expect("the authority")
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A client that waits long: the machine may be busy.
    pub(crate) fn patient(&self) -> Server {
        let limits = Limits { connect: GENEROUS, answer: GENEROUS, ..Limits::default() };
        Server::with_limits(&self.url(), limits).expect("a URL")
    }

    pub(crate) async fn raw(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url()).expect("a URL");
        client.get_multiplexed_async_connection().await.expect("a connection")
    }

    /// Kills it.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Makes it hang (SIGSTOP), or go on (SIGCONT).
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("running").id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().expect("kill").success());
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn root() -> std::path::PathBuf {
    let own = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().find(|folder| folder.join("Cargo.lock").is_file()).expect("a workspace").to_owned()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port()
}

/// Waits until `what` holds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + GENEROUS;
    while !holds().await {
        assert!(Instant::now() < until, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
