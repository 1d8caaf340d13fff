//! The whole service with real node processes (redis-server behind a script), asked through its own API.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use tokio::sync::oneshot;

use super::*;
use crate::host::tests::program;
use crate::identity::{Credentials, Scope, Unsigned, sign};

/// Longest that anything may take here.
const PATIENCE: Duration = Duration::from_secs(300);

struct Service {
    running: Option<Running>,
    stop: Option<oneshot::Sender<()>>,
    folder: PathBuf,
}

impl Drop for Service {
    /// A test that failed leaves no nodes behind.
    fn drop(&mut self) {
        if std::thread::panicking() {
            for pid in node_pids(&self.folder) {
                kill(pid);
            }
        }
    }
}

fn kill(pid: u32) {
    use rustix::process::{Pid, Signal, kill_process};
    let _ = kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::KILL);
}

impl Service {
    async fn start(folder: &Path) -> Option<Service> {
        let program = program(folder)?;
        let config = ServiceConfig {
            data_dir: folder.join("data"),
            listen: "127.0.0.1:0".parse().unwrap(),
            node_program: program,
            release: None,
            region: "us-east-1".into(),
            account: "000000000000".into(),
            vpc_base: crate::resource::network::DEFAULT_VPC_BASE,
            dns_listen: Some("127.0.0.1:0".parse().unwrap()),
            buckets: None,
            #[cfg(feature = "s3")]
            s3: None,
            #[cfg(feature = "sns")]
            sns: None,
            nodes_max: 300,
            stop_nodes: true,
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (stop, stopped) = oneshot::channel::<()>();
            let shutdown = async {
                let _ = stopped.await;
            };
            match serve(config.clone(), shutdown).await {
                Ok(running) => {
                    return Some(Service {
                        running: Some(running),
                        stop: Some(stop),
                        folder: folder.to_owned(),
                    });
                }
                // What was killed lives in this process: its last call may still hold the folder for a moment.
                Err(ServeError::State(StateError::InUse { .. })) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn info(&self) -> &ServiceInfo {
        self.running.as_ref().unwrap().info()
    }

    async fn kill(&mut self) {
        let running = self.running.take().unwrap();
        running.kill();
        let _ = running.finished().await;
    }

    async fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
        tokio::time::timeout(PATIENCE, self.running.take().unwrap().finished()).await.unwrap().unwrap();
    }

    /// Calls the API; answers status and body.
    async fn call(&self, action: &str, parameters: &[(&str, &str)]) -> (u16, String) {
        let info = self.info();
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", action).append_pair("Version", "2015-02-02").extend_pairs(parameters);
        let body = form.finish();
        let host = info.endpoint.trim_start_matches("http://").to_owned();
        let request = signed(info, &host, &body);
        let stream = tokio::net::TcpStream::connect(&host).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let answer = sender.send_request(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn describe(&self, id: &str) -> String {
        let (status, body) = self
            .call("DescribeCacheClusters", &[("CacheClusterId", id), ("ShowCacheNodeInfo", "true")])
            .await;
        if status == 200 { body } else { format!("{status} {body}") }
    }

    /// Describes a cluster until it looks so.
    async fn wait(&self, id: &str, looks: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let body = self.describe(id).await;
            if looks(&body) {
                return body;
            }
            assert!(Instant::now() < deadline, "{body}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn wait_available(&self, id: &str) -> String {
        self.wait(id, |body| body.contains("<CacheClusterStatus>available<")).await
    }
}

fn signed(info: &ServiceInfo, host: &str, body: &str) -> hyper::Request<Full<Bytes>> {
    let unsigned = Unsigned {
        method: "POST",
        host,
        path: "/",
        query: &[],
        content_type: Some("application/x-www-form-urlencoded; charset=utf-8"),
        body: body.as_bytes(),
    };
    let credentials = Credentials {
        access_key_id: info.access_key_id.clone(),
        secret_access_key: info.secret_access_key.clone(),
    };
    let scope = Scope { region: "us-east-1", service: "elasticache" };
    let mut request = hyper::Request::builder().method("POST").uri("/");
    for (name, value) in sign(&credentials, scope, unsigned, system_clock()) {
        request = request.header(name, value);
    }
    request.body(Full::new(Bytes::from(body.to_owned()))).unwrap()
}

/// The text of the first element of that name.
fn element<'a>(body: &'a str, name: &str) -> &'a str {
    let begin =
        body.find(&format!("<{name}>")).unwrap_or_else(|| panic!("no {name} in {body}")) + name.len() + 2;
    let end = body[begin..].find("</").unwrap();
    &body[begin..begin + end]
}

/// Where a node listens, as the description of its cluster says.
fn node_address(body: &str) -> SocketAddr {
    let nodes = &body[body.find("<CacheNodes>").unwrap_or_else(|| panic!("no nodes in {body}"))..];
    let address: Ipv4Addr = element(nodes, "Address").parse().unwrap();
    SocketAddr::from((address, element(nodes, "Port").parse::<u16>().unwrap()))
}

/// One command and its answer, over TCP.
async fn ask(address: SocketAddr, command: &str) -> std::io::Result<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(format!("{command}\r\n").as_bytes()).await?;
    let mut answer = vec![0; 4_096];
    let length = stream.read(&mut answer).await?;
    answer.truncate(length);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

async fn create(service: &Service, id: &str) {
    let parameters = [
        ("CacheClusterId", id),
        ("Engine", "redis"),
        ("CacheNodeType", "cache.t2.micro"),
        ("NumCacheNodes", "1"),
        ("SnapshotRetentionLimit", "0"),
    ];
    let (status, body) = service.call("CreateCacheCluster", &parameters).await;
    assert_eq!((status, element(&body, "CacheClusterStatus")), (200, "creating"), "{body}");
}

/// Process ids of all nodes that run below the folder.
fn node_pids(folder: &Path) -> Vec<u32> {
    let nodes = folder.join("data/nodes").canonicalize().unwrap_or_default();
    let all = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut pids: Vec<u32> = all
        .filter(|pid: &u32| {
            let input = std::fs::read_link(format!("/proc/{pid}/fd/0")).unwrap_or_default();
            input.starts_with(&nodes) && *pid != std::process::id()
        })
        .collect();
    pids.sort_unstable();
    pids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cache_is_created_used_killed_healed_rebooted_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut service) = Service::start(folder.path()).await else { return };
    assert!(service.running.as_ref().unwrap().first_start());
    create(&service, "Sessions").await;
    let (status, body) = service
        .call(
            "CreateCacheCluster",
            &[("CacheClusterId", "sessions"), ("Engine", "redis"), ("CacheNodeType", "cache.t2.micro")],
        )
        .await;
    assert_eq!((status, element(&body, "Code")), (400, "CacheClusterAlreadyExists"));
    let body = service.wait_available("sessions").await;
    assert_eq!(element(&body, "EngineVersion"), "7.1.0");
    let address = node_address(&body);
    assert_eq!(address.port(), 6379);
    assert_eq!(ask(address, "SET user:1 ann").await.unwrap(), "+OK\r\n");
    assert!(ask(address, "CONFIG GET maxmemory").await.unwrap().contains("436469760"));

    let [pid] = node_pids(folder.path())[..] else { panic!("one process") };
    kill(pid);
    let killed = Instant::now();
    while ask(address, "PING").await.ok().as_deref() != Some("+PONG\r\n") {
        assert!(killed.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    eprintln!("the node answered again after {:?}", killed.elapsed());

    assert_eq!(ask(address, "SET user:2 bob").await.unwrap(), "+OK\r\n");
    service.wait_available("sessions").await;
    let (status, body) = service
        .call(
            "RebootCacheCluster",
            &[("CacheClusterId", "sessions"), ("CacheNodeIdsToReboot.CacheNodeId.1", "0001")],
        )
        .await;
    assert_eq!((status, element(&body, "CacheClusterStatus")), (200, "rebooting cluster nodes"));
    service.wait_available("sessions").await;
    assert_eq!(ask(address, "GET user:2").await.unwrap(), "$-1\r\n", "a reboot empties the node");

    let (status, body) = service.call("DeleteCacheCluster", &[("CacheClusterId", "sessions")]).await;
    assert_eq!((status, element(&body, "CacheClusterStatus")), (200, "deleting"));
    service.wait("sessions", |body| body.starts_with("404") && body.contains("CacheClusterNotFound")).await;
    assert!(node_pids(folder.path()).is_empty());
    let records = || std::fs::read_dir(folder.path().join("data/nodes")).unwrap().count();
    assert_eq!(records(), 0, "no folder is left");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_caches_are_created_once_although_the_service_is_killed_on_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut service) = Service::start(folder.path()).await else { return };
    let key = service.info().access_key_id.clone();
    for n in 0..5 {
        create(&service, &format!("cache-{n}")).await;
    }
    service.kill().await;
    for pause_ms in [5, 20, 60] {
        let mut again = Service::start(folder.path()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        again.kill().await;
    }
    let mut service = Service::start(folder.path()).await.unwrap();
    assert_eq!(service.info().access_key_id, key);
    let mut addresses = vec![];
    for n in 0..5 {
        addresses.push(node_address(&service.wait_available(&format!("cache-{n}")).await));
    }
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 5, "each has its own address");
    let pids = node_pids(folder.path());
    assert_eq!(pids.len(), 5, "none was started twice");

    // A running cache does not notice that the service goes and comes.
    assert_eq!(ask(addresses[0], "SET kept yes").await.unwrap(), "+OK\r\n");
    service.kill().await;
    assert_eq!(ask(addresses[0], "GET kept").await.unwrap(), "$3\r\nyes\r\n");
    let mut service = Service::start(folder.path()).await.unwrap();
    for n in 0..5 {
        service.wait_available(&format!("cache-{n}")).await;
    }
    assert_eq!(ask(addresses[0], "GET kept").await.unwrap(), "$3\r\nyes\r\n");
    assert_eq!(node_pids(folder.path()), pids, "the same processes");
    service.stop().await;
    assert!(node_pids(folder.path()).is_empty(), "an orderly end stops the nodes");

    let mut service = Service::start(folder.path()).await.unwrap();
    service.wait("cache-0", |body| body.contains("<CacheNodeStatus>available<")).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_service_per_folder_and_only_its_owner_reads_the_key() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let Some(mut service) = Service::start(folder.path()).await else { return };
    let path = folder.path().join("data/service.json");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let written: ServiceInfo = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(written == *service.info());
    assert!(!format!("{written:?}").contains(&written.secret_access_key));
    let config = |region: &str| ServiceConfig {
        data_dir: folder.path().join("data"),
        listen: "127.0.0.1:0".parse().unwrap(),
        node_program: vec!["/bin/true".into()],
        release: None,
        region: region.into(),
        account: "000000000000".into(),
        vpc_base: crate::resource::network::DEFAULT_VPC_BASE,
        dns_listen: None,
        buckets: None,
        #[cfg(feature = "s3")]
        s3: None,
        #[cfg(feature = "sns")]
        sns: None,
        nodes_max: 300,
        stop_nodes: true,
    };
    let error = serve(config("us-east-1"), async {}).await.unwrap_err();
    assert!(error.to_string().contains(&format!("pid {}", std::process::id())), "{error}");
    service.stop().await;
    let error = serve(config("eu-west-1"), async {}).await.unwrap_err();
    assert!(error.to_string().contains("us-east-1a"), "{error}");
    assert!(matches!(serve(config("Nowhere!"), async {}).await, Err(ServeError::Config(_))));
}
