//! The API over a real socket: proper calls, and everything else that may arrive on a port.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::console::{Nodes, Question, Reply};
use crate::identity::{AccessKey, Credentials, Scope, Unsigned, sign};
use crate::name::Names;
use crate::name::endpoint::Zone;
use crate::operation::{App, system_clock};
use crate::resource::network::{DEFAULT_VPC_BASE, Network};
use crate::state::{self, FileRecords};

/// No test waits longer than this for what must happen.
const SOON: Duration = Duration::from_secs(20);

/// The API asks no node.
struct NoNodes;

impl Nodes for NoNodes {
    fn ask(&self, _: &str, _: &str, _: Question<'_>) -> Result<Reply, String> {
        Err("there are no nodes".to_owned())
    }
}

struct Server {
    address: std::net::SocketAddr,
    key: AccessKey,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Server {
    async fn start(limits: Limits) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let records = Arc::new(FileRecords::open(folder.path()).unwrap());
        let names =
            Arc::new(Names::new(Zone { suffix: "abc123".to_owned(), region_code: "use1".to_owned() }));
        let metrics = Arc::new(crate::metric::MetricStore::in_memory().unwrap());
        let vault = crate::vault::Vault::new(folder.path(), folder.path().join("buckets"));
        let region = "us-east-1".to_owned();
        let app = Arc::new(App {
            records,
            region,
            clock: system_clock,
            names,
            vault,
            metrics,
            release: None,
            nodes_max: 300,
            notifications: None,
        });
        let key = AccessKey::generate("000000000000", "root").unwrap();
        let network = Network::default_of("us-east-1", DEFAULT_VPC_BASE, || "0".repeat(17));
        app.records.apply(&[state::create(&key).unwrap(), state::create(&network).unwrap()]).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let console = Arc::new(Console::new(app, Arc::new(NoNodes)));
        let task = tokio::spawn(serve_within(limits, listener, console, stopped));
        Server { address, key, stop, task, _folder: folder }
    }

    async fn usual() -> Server {
        Server::start(Limits::default()).await
    }

    /// Sends bytes and answers all that comes until the server closes.
    async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // The server may close while we still send.
        let _ = stream.write_all(bytes).await;
        read_to_end(&mut stream).await
    }

    fn call(&self, service: &str, body: &str) -> Vec<u8> {
        let host = self.address.to_string();
        let credentials =
            Credentials { access_key_id: self.key.id.clone(), secret_access_key: self.key.secret.clone() };
        let unsigned = Unsigned {
            method: "POST",
            host: &host,
            path: "/",
            query: &[],
            content_type: Some("application/x-www-form-urlencoded"),
            body: body.as_bytes(),
        };
        let headers = sign(&credentials, Scope { region: "us-east-1", service }, unsigned, system_clock());
        let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        format!("POST / HTTP/1.1\r\n{lines}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
            .into_bytes()
    }
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(SOON, stream.read_to_end(&mut bytes)).await;
    // A reset after the answer is an end, too.
    let _ = read.expect("the server must answer and close");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn a_signed_call_is_answered() {
    let server = Server::usual().await;
    let answer = server
        .exchange(&server.call("elasticache", "Action=DescribeCacheSubnetGroups&Version=2015-02-02"))
        .await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("content-type: text/xml"), "{head}");
    let id = head.lines().find_map(|line| line.strip_prefix("x-amzn-requestid: ")).unwrap();
    assert!(body.contains(&format!("<RequestId>{id}</RequestId>")), "{body}");
    assert!(body.contains("<CacheSubnetGroupName>default<"), "{body}");
}

#[tokio::test]
async fn other_calls_are_refused() {
    let server = Server::usual().await;
    let unsigned = b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let forged = String::from_utf8(server.call("elasticache", "Action=DescribeEvents")).unwrap();
    for (bytes, status, code) in [
        (unsigned.to_vec(), "403", "MissingAuthenticationToken"),
        (
            b"GET /?Action=DescribeEvents HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_vec(),
            "403",
            "MissingAuthenticationToken",
        ),
        (b"DELETE / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_vec(), "405", "MethodNotAllowed"),
        (
            b"GET /?a=%zz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_vec(),
            "404",
            "MalformedQueryString",
        ),
        (
            b"GET / HTTP/1.1\r\nhost: a\r\nx: \xff\r\nconnection: close\r\n\r\n".to_vec(),
            "400",
            "IncompleteSignature",
        ),
        (forged.replace("DescribeEvents", "DescribeEventz").into_bytes(), "403", "SignatureDoesNotMatch"),
        (server.call("s3", "Action=ListBuckets"), "403", "SignatureDoesNotMatch"),
        (server.call("elasticache", "Action=No"), "400", "InvalidAction"),
        (
            server.call("elasticache", "Action=DescribeEvents&Action=DescribeEvents"),
            "404",
            "MalformedQueryString",
        ),
        (server.call("elasticache", "Action=%ff"), "404", "MalformedQueryString"),
        (server.call("elasticache", "{}"), "400", "MissingAction"),
    ] {
        let answer = server.exchange(&bytes).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{code}: {answer}");
        assert!(answer.contains(&format!("<Code>{code}</Code>")), "{code}: {answer}");
    }
}

#[tokio::test]
async fn large_requests_are_refused_before_they_are_read() {
    let server = Server::usual().await;
    let head = |rest: &str| format!("POST / HTTP/1.1\r\nhost: a\r\n{rest}\r\n\r\n");
    let declared = server.exchange(head("content-length: 99999999999").as_bytes()).await;
    assert!(declared.starts_with("HTTP/1.1 413 "), "{declared}");
    let mut chunked = head("transfer-encoding: chunked").into_bytes();
    chunked.extend_from_slice(b"200000\r\n");
    chunked.extend(std::iter::repeat_n(b'x', 0x20_0000));
    let answer = server.exchange(&chunked).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let long_header = format!("POST / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
    let answer = server.exchange(long_header.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let many_headers: String = (0..1000).map(|n| format!("x{n}: y\r\n")).collect();
    let answer = server.exchange(format!("GET / HTTP/1.1\r\n{many_headers}\r\n").as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    // A megabyte that fits the body is refused by what it says.
    let body = format!("Action=DescribeEvents&SourceIdentifier={}", "x".repeat(1_000_000));
    let answer = server.exchange(&server.call("elasticache", &body)).await;
    assert!(answer.contains("<Code>InvalidParameterValue</Code>") && answer.len() < 1000, "{answer}");
}

#[tokio::test]
async fn garbage_and_half_requests_end_the_connection() {
    let limits = Limits {
        head_timeout: Duration::from_millis(200),
        body_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = Server::start(limits).await;
    let garbage: Vec<u8> = (0..4096u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for (bytes, answer_starts) in [
        (garbage.as_slice(), "HTTP/1.1 400 "),
        (b"*1\r\n$4\r\nPING\r\n", "HTTP/1.1 400 "),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "HTTP/1.1 400 "),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf", "HTTP/1.1 408 "),
        (b"POST / HT", ""),
        (b"", ""),
    ] {
        let answer = server.exchange(bytes).await;
        assert!(answer.starts_with(answer_starts) || answer.is_empty(), "{answer}");
    }
    let good = server.exchange(&server.call("elasticache", "Action=DescribeEvents")).await;
    assert!(good.starts_with("HTTP/1.1 200 "), "{good}");
}

#[tokio::test]
async fn connections_above_the_limit_wait() {
    let server = Server::start(Limits { connections_max: 1, ..Limits::default() }).await;
    let first = TcpStream::connect(server.address).await.unwrap();
    let call = server.call("elasticache", "Action=DescribeEvents");
    let second = server.exchange(&call);
    tokio::pin!(second);
    let early = tokio::time::timeout(Duration::from_millis(300), second.as_mut()).await;
    assert!(early.is_err(), "one connection at a time");
    drop(first);
    assert!(second.await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_connection_does_not_last_for_ever() {
    let limits = Limits { connection_lifetime: Duration::from_millis(200), ..Limits::default() };
    let server = Server::start(limits).await;
    assert_eq!(server.exchange(b"").await, "");
}

#[tokio::test]
async fn it_ends_when_told_to() {
    let server = Server::usual().await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    let answer = server.exchange(&server.call("elasticache", "Action=DescribeEvents")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    server.stop.send(true).unwrap();
    tokio::time::timeout(SOON, server.task).await.expect("it must end").unwrap();
    assert_eq!(read_to_end(&mut idle).await, "");
    assert!(TcpStream::connect(server.address).await.is_err());
}
