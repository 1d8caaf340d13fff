//! Talking to a node over its own sockets: RESP for everything, the memcached text protocol for Auto Discovery.
//!
//! Each call opens a connection of its own, asks, and closes: a service that is restarted, a node that is restarted
//! and a node that hangs are then all the same case. Everything has a time limit and a size limit.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

use larder_protocol::resp;
use larder_protocol::resp::value::{Value, decode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::HostError;
use super::folder::{Folder, MEMCACHED_SOCKET, SOCKET};
use crate::resource::log_delivery::SlowEntry;
use crate::resource::node::Replication;
use crate::resource::service_update::Runs;

/// How long a node may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a node of a replication group may take to answer before it is doubted.
const HEALTH_TIMEOUT: Duration = Duration::from_millis(300);
/// How long a node may take to write all its data into a file.
const SAVE_TIMEOUT: Duration = Duration::from_secs(3600);
/// Pause between two looks at a node that does.
const SAVE_POLL: Duration = Duration::from_millis(50);
/// Entries of a slow log that are asked for: as many as it has, if nobody changed that.
const SLOW_ENTRIES_MAX: &[u8] = b"128";
/// Largest answer that is taken.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Longest path that fits into the address of a Unix socket.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// What a node says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// `run_id` of INFO.
    pub(super) run_id: String,
    /// `process_id` of INFO.
    pub(super) pid: u32,
    /// What it runs, by the `larder_version` of INFO.
    pub(super) runs: Runs,
}

/// Asks a node who it is. Also shows that it is well: the answer comes from its command loop.
pub(super) async fn identity(folder: &Path) -> Result<Identity, HostError> {
    let text = match ask(folder, &[b"INFO", b"server"]).await? {
        Value::Bulk(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        other => return Err(unexpected("INFO", &other)),
    };
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim).filter(|value| !value.is_empty())
    };
    let missing = |name: &str| HostError::Unanswered { what: format!("has no {name} in its INFO") };
    Ok(Identity {
        run_id: field("run_id").ok_or_else(|| missing("run_id"))?.to_owned(),
        pid: field("process_id").and_then(|pid| pid.parse().ok()).ok_or_else(|| missing("process_id"))?,
        runs: Runs::of(field("larder_version")),
    })
}

/// Everything that a redis or valkey node tells of itself.
pub(super) async fn info(folder: &Path) -> Result<String, HostError> {
    match ask(folder, &[b"INFO", b"everything"]).await? {
        Value::Bulk(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        other => Err(unexpected("INFO", &other)),
    }
}

/// Sends a command of somebody, whatever its answer.
pub(super) async fn command(folder: &Path, words: &[&[u8]]) -> Result<Value, HostError> {
    if words.is_empty() {
        return Err(HostError::Unanswered { what: "was asked nothing".to_owned() });
    }
    ask(folder, words).await
}

/// Sends one request in the text protocol of memcached, and answers what comes until the node has answered a `mn` that
/// follows it.
pub(super) async fn memcached(folder: &Path, request: &[u8]) -> Result<Vec<u8>, HostError> {
    const END: &[u8] = b"MN\r\n";
    let asked = async {
        let mut stream = connect(folder, MEMCACHED_SOCKET).await?;
        stream.write_all(request).await?;
        stream.write_all(b"mn\r\n").await?;
        let mut answer = Vec::new();
        while !answer.ends_with(END) {
            if answer.len() >= ANSWER_BYTES_MAX {
                return Err(io::Error::other("the answer is too long"));
            }
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        answer.truncate(answer.len() - END.len());
        Ok(answer)
    };
    within_time("asking a node", asked).await
}

/// What a memcached node counts, as `stats` tells it.
pub(super) async fn stats(folder: &Path) -> Result<String, HostError> {
    let asked = async {
        let mut stream = connect(folder, MEMCACHED_SOCKET).await?;
        stream.write_all(b"stats\r\nstats misses\r\n").await?;
        let mut answer = Vec::new();
        while !has_both(&answer) {
            if answer.len() >= ANSWER_BYTES_MAX {
                return Err(io::Error::other("the answer is too long"));
            }
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    within_time("asking a node for its counters", asked).await
}

/// Whether both answers are there. A node of another program may refuse the second question.
fn has_both(answer: &[u8]) -> bool {
    let ends =
        answer.split(|byte| *byte == b'\n').filter(|line| *line == b"END\r" || line.starts_with(b"ERROR"));
    answer.ends_with(b"\r\n") && ends.count() >= 2
}

/// The newest entries of a node's slow log.
pub(super) async fn slow_log(folder: &Path) -> Result<Vec<SlowEntry>, HostError> {
    match ask(folder, &[b"SLOWLOG", b"GET", SLOW_ENTRIES_MAX]).await? {
        Value::Array(entries) => Ok(entries.iter().filter_map(slow_entry).collect()),
        other => Err(unexpected("SLOWLOG", &other)),
    }
}

fn slow_entry(value: &Value) -> Option<SlowEntry> {
    let text = |value: &Value| match value {
        Value::Bulk(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    };
    let Value::Array(fields) = value else { return None };
    let [
        Value::Integer(id),
        Value::Integer(at_s),
        Value::Integer(duration_us),
        Value::Array(command),
        rest @ ..,
    ] = fields.as_slice()
    else {
        return None;
    };
    Some(SlowEntry {
        id: u64::try_from(*id).ok()?,
        at_s: *at_s,
        duration_us: *duration_us,
        command: command.iter().filter_map(text).collect(),
        client: rest.first().and_then(text).unwrap_or_default(),
        client_name: rest.get(1).and_then(text).unwrap_or_default(),
    })
}

/// Changes a setting; answers whether the node took it over.
pub(super) async fn set(folder: &Path, name: &str, value: &str) -> Result<bool, HostError> {
    if let Some(user) = name.strip_prefix("user ") {
        return set_user(folder, user, value).await;
    }
    // What stands in quotes in the file is the value without them here.
    let bare = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
    match ask(folder, &[b"CONFIG", b"SET", name.as_bytes(), bare.as_bytes()]).await? {
        Value::Simple(_) => Ok(true),
        Value::Error(why) => {
            tracing::info!(name, "a running node refused a setting: {}", why);
            Ok(false)
        }
        other => Err(unexpected("CONFIG SET", &other)),
    }
}

/// Asks a node to end without saving. It answers by closing the connection.
pub(super) async fn shut_down(folder: &Path) -> Result<(), HostError> {
    match ask(folder, &[b"SHUTDOWN", b"NOSAVE", b"NOW"]).await {
        Ok(Value::Error(why)) => Err(HostError::Unanswered { what: format!("refused SHUTDOWN: {}", why) }),
        Err(HostError::Io { source, .. }) if source.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
        other => other.map(drop),
    }
}

/// Gives a user of the node these rules and no others; without rules it is deleted. The default user, which cannot be
/// deleted, is then as it is in a new node.
async fn set_user(folder: &Path, user: &str, rules: &str) -> Result<bool, HostError> {
    let rules = match rules {
        "" if user == "default" => "on nopass ~* &* +@all",
        "" => return order(folder, &[b"ACL", b"DELUSER", user.as_bytes()]).await.map(|()| true),
        rules => rules,
    };
    let mut command: Vec<&[u8]> = vec![b"ACL", b"SETUSER", user.as_bytes(), b"reset"];
    let words = words_of(rules);
    command.extend(words.iter().map(|word| word.as_bytes()));
    match ask(folder, &command).await? {
        Value::Simple(_) => Ok(true),
        Value::Error(why) => {
            tracing::warn!(user, "a running node refused the rules of a user: {}", why);
            Ok(false)
        }
        other => Err(unexpected("ACL SETUSER", &other)),
    }
}

/// The words of rules; a selector in parentheses is one.
fn words_of(rules: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for part in rules.split(' ').filter(|part| !part.is_empty()) {
        match words.last_mut().filter(|last| last.starts_with('(') && !last.ends_with(')')) {
            Some(open) => {
                open.push(' ');
                open.push_str(part);
            }
            None => words.push(part.to_owned()),
        }
    }
    words
}

/// Asks the process with that `run_id` about its replication, and whether it can be reached at its own address. None if
/// another process answers.
pub(super) async fn replication(
    folder: &Path,
    run_id: &str,
    address: SocketAddrV4,
) -> Result<Option<Replication>, HostError> {
    let what = "asking a node for its replication";
    let asked = async {
        let mut talk = Talk::begin(folder).await?;
        if talk.run_id().await? != run_id {
            return Ok(None);
        }
        let text = talk.info(b"replication").await?;
        TcpStream::connect(address).await?;
        let found = parse_replication(&text);
        found.map(Some).ok_or_else(|| io::Error::other("INFO tells nothing of replication"))
    };
    match tokio::time::timeout(HEALTH_TIMEOUT, asked).await {
        Ok(answer) => answer.map_err(HostError::io(what)),
        Err(_) => Err(HostError::io(what)(io::ErrorKind::TimedOut.into())),
    }
}

/// Sends a command whose answer must be OK to the process with that `run_id`, and to no other: a connection belongs to
/// one process, so who said its name on it is who gets the command. Answers whether it was that process.
pub(super) async fn order_process(folder: &Path, run_id: &str, command: &[&[u8]]) -> Result<bool, HostError> {
    let name = String::from_utf8_lossy(command[0]).into_owned();
    let asked = async {
        let mut talk = Talk::begin(folder).await?;
        if talk.run_id().await? != run_id {
            return Ok(None);
        }
        talk.ask(command).await.map(Some)
    };
    match within_time(&format!("asking a node for {name}"), asked).await? {
        None => Ok(false),
        Some(Value::Simple(_) | Value::Integer(_)) => Ok(true),
        Some(other) => Err(unexpected(&name, &other)),
    }
}

fn parse_replication(text: &str) -> Option<Replication> {
    let field =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let number = |name: &str| field(name).and_then(|value| value.parse::<u64>().ok());
    let is_primary = field("role")? == "master";
    let host = field("master_host").and_then(|host| host.parse::<Ipv4Addr>().ok());
    let port = field("master_port").and_then(|port| port.parse::<u16>().ok());
    let offset = if is_primary { number("master_repl_offset") } else { number("slave_repl_offset") };
    Some(Replication {
        is_primary,
        primary: host.zip(port).filter(|_| !is_primary),
        link_up: field("master_link_status") == Some("up"),
        syncing: field("master_sync_in_progress") == Some("1"),
        offset: offset.unwrap_or(0),
        history: field("master_replid").unwrap_or_default().to_owned(),
    })
}

/// Whether a node is still loading its first data.
pub(super) async fn is_loading(folder: &Path) -> Result<bool, HostError> {
    Ok(persistence(folder).await?.lines().any(|line| line == "loading:1"))
}

async fn persistence(folder: &Path) -> Result<String, HostError> {
    match ask(folder, &[b"INFO", b"persistence"]).await? {
        Value::Bulk(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        other => Err(unexpected("INFO", &other)),
    }
}

/// Lets a node write all its data into the file in its folder, and answers when it is there. A save that somebody else
/// asked for is waited for, and does not count: it may be older than what this one is to hold.
pub(super) async fn save(folder: &Folder) -> Result<(), HostError> {
    let deadline = Instant::now() + SAVE_TIMEOUT;
    let late = || HostError::Unanswered { what: "does not come to the end of its snapshot".to_owned() };
    loop {
        idle(folder, deadline).await?;
        folder.remove_data()?;
        match ask(folder.path(), &[b"BGSAVE"]).await? {
            Value::Simple(_) => break,
            // Another one was faster, such as one for a replica that joins.
            Value::Error(why) if why.contains("in progress") || why.contains("child process") => {}
            other => return Err(unexpected("BGSAVE", &other)),
        }
        if Instant::now() >= deadline {
            return Err(late());
        }
        tokio::time::sleep(SAVE_POLL).await;
    }
    let text = idle(folder, deadline).await?;
    let worked = text.lines().any(|line| line == "rdb_last_bgsave_status:ok");
    if worked && folder.data().exists() {
        return Ok(());
    }
    Err(HostError::Unanswered { what: "could not write its snapshot; see its log".to_owned() })
}

/// Waits until no snapshot is being written, and answers what the node said then.
async fn idle(folder: &Folder, deadline: Instant) -> Result<String, HostError> {
    loop {
        let text = persistence(folder.path()).await?;
        if text.lines().any(|line| line == "rdb_bgsave_in_progress:0") {
            return Ok(text);
        }
        if Instant::now() >= deadline {
            return Err(HostError::Unanswered { what: "writes a snapshot for too long".to_owned() });
        }
        tokio::time::sleep(SAVE_POLL).await;
    }
}

/// Sends a command whose answer must be OK.
pub(super) async fn order(folder: &Path, command: &[&[u8]]) -> Result<(), HostError> {
    let name = String::from_utf8_lossy(command[0]).into_owned();
    match ask(folder, command).await? {
        Value::Simple(_) | Value::Integer(_) => Ok(()),
        other => Err(unexpected(&name, &other)),
    }
}

/// Tells a memcached node the members of its cluster.
pub(super) async fn tell(folder: &Path, payload: &str) -> Result<(), HostError> {
    let what = "telling a node the members";
    let asked = async {
        let mut stream = connect(folder, MEMCACHED_SOCKET).await?;
        let request = format!("config set cluster 0 {}\r\n{payload}\r\n", payload.len());
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n") && answer.len() < 512 {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(answer)
    };
    let answer = within_time(what, asked).await?;
    if answer == b"STORED\r\n" {
        return Ok(());
    }
    let shown = String::from_utf8_lossy(&answer).trim().to_owned();
    Err(HostError::Unanswered { what: format!("answered {shown:?} to config set cluster") })
}

/// Sends one command and reads its answer.
async fn ask(folder: &Path, command: &[&[u8]]) -> Result<Value, HostError> {
    let what = format!("asking a node for {}", String::from_utf8_lossy(command[0]));
    within_time(&what, exchange(folder, command)).await
}

/// One command and its answer, without a limit of time.
async fn exchange(folder: &Path, command: &[&[u8]]) -> io::Result<Value> {
    Talk::begin(folder).await?.ask(command).await
}

/// A connection to one process of a node: command after command, each with its answer.
struct Talk {
    stream: UnixStream,
}

impl Talk {
    async fn begin(folder: &Path) -> io::Result<Talk> {
        Ok(Talk { stream: connect(folder, SOCKET).await? })
    }

    async fn ask(&mut self, command: &[&[u8]]) -> io::Result<Value> {
        let mut request = Vec::new();
        resp::command(&mut request, command);
        self.stream.write_all(&request).await?;
        let mut answer = Vec::new();
        loop {
            if let Some((value, _)) = decode(&answer).map_err(io::Error::other)? {
                return Ok(value);
            }
            if answer.len() >= ANSWER_BYTES_MAX {
                return Err(io::Error::other("the answer is too long"));
            }
            if self.stream.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn info(&mut self, section: &[u8]) -> io::Result<String> {
        match self.ask(&[b"INFO", section]).await? {
            Value::Bulk(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            other => Err(io::Error::other(format!("{other:?}"))),
        }
    }

    async fn run_id(&mut self) -> io::Result<String> {
        let text = self.info(b"server").await?;
        let found = text.lines().find_map(|line| line.strip_prefix("run_id:"));
        Ok(found.ok_or_else(|| io::Error::other("INFO tells no run_id"))?.trim().to_owned())
    }
}

async fn within_time<T>(what: &str, asked: impl Future<Output = io::Result<T>>) -> Result<T, HostError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, asked).await {
        Ok(answer) => answer.map_err(HostError::io(what)),
        Err(_) => Err(HostError::io(what)(io::ErrorKind::TimedOut.into())),
    }
}

/// Connects to a socket of a folder, also where the path is longer than the address of a socket may be.
async fn connect(folder: &Path, name: &str) -> io::Result<UnixStream> {
    let path = folder.join(name);
    if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        return UnixStream::connect(path).await;
    }
    let held = std::fs::File::open(folder)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{name}", held.as_raw_fd())).await
}

fn unexpected(command: &str, value: &Value) -> HostError {
    let shown: String = format!("{value:?}").chars().take(200).collect();
    HostError::Unanswered { what: format!("answered {shown} to {command}") }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    /// A node that reads until it has seen `until`, then says `answer` and closes.
    fn node(
        folder: &Path,
        name: &str,
        until: &'static [u8],
        answer: &'static [u8],
    ) -> tokio::task::JoinHandle<Vec<u8>> {
        let listener = UnixListener::bind(folder.join(name)).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut seen = Vec::new();
            while !seen.ends_with(until) && stream.read_buf(&mut seen).await.unwrap() > 0 {}
            for byte in answer {
                stream.write_all(&[*byte]).await.unwrap();
            }
            seen
        })
    }

    #[tokio::test]
    async fn members_are_told_byte_for_byte() {
        let folder = tempfile::tempdir().unwrap();
        let payload = "12\na|127.64.0.4|11211 b|127.64.0.5|11211\n";
        let asked = node(folder.path(), MEMCACHED_SOCKET, b"\n\r\n", b"STORED\r\n");
        tell(folder.path(), payload).await.unwrap();
        let seen = String::from_utf8(asked.await.unwrap()).unwrap();
        assert_eq!(seen, format!("config set cluster 0 {}\r\n{payload}\r\n", payload.len()));
    }

    #[tokio::test]
    async fn a_node_that_refuses_or_closes_is_an_error() {
        for answer in [&b"ERROR\r\n"[..], b"", b"STOR"] {
            let folder = tempfile::tempdir().unwrap();
            node(folder.path(), MEMCACHED_SOCKET, b"\n\r\n", answer);
            assert!(tell(folder.path(), "1\n\n").await.is_err(), "{answer:?}");
        }
        for answer in [&b"$5\r\nhello\r\n"[..], b"+OK\r\n", b"rubbish\r\n", b"$-1\r\n", b""] {
            let folder = tempfile::tempdir().unwrap();
            node(folder.path(), SOCKET, b"server\r\n", answer);
            assert!(identity(folder.path()).await.is_err(), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn a_node_is_reached_below_a_long_path() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("x".repeat(120));
        std::fs::create_dir(&folder).unwrap();
        let held = std::fs::File::open(&folder).unwrap();
        let short = format!("/proc/self/fd/{}", held.as_raw_fd());
        node(Path::new(&short), SOCKET, b"server\r\n", b"$29\r\nrun_id:abc\r\nprocess_id:12\r\n\r\n\r\n");
        let identity = identity(&folder).await.unwrap();
        assert_eq!(identity, Identity { run_id: "abc".into(), pid: 12, runs: Runs::Another });
    }
}
