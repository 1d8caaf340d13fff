//! Where nodes ask whether a token of IAM is good: a Unix socket in the data folder.
//!
//! A token is a presigned URL without its scheme: `CACHE/?Action=connect&User=USER&X-Amz-...`. It is good if its signature
//! is that of an access key, it is not older than it may be, and the policies of the key's owner allow
//! `elasticache:Connect` to the cache and to the user. So nodes never see a secret, and a change of a policy counts for
//! the next who logs in.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::front::ApiError;
use crate::identity::{SignedRequest, authorise_plain, verify};
use crate::operation::{App, Caller};

/// Name of the socket.
pub(crate) const SOCKET: &str = "iam.sock";
/// Questions that are answered at a time.
const QUESTIONS_MAX: usize = 64;
/// Longest question.
const QUESTION_BYTES_MAX: u64 = 16 * 1024;
/// How long a question may take to be asked and answered.
const QUESTION_TIME_MAX: Duration = Duration::from_secs(2);
/// Longest life of a token.
const TOKEN_SECONDS_MAX: u64 = 15 * 60;

/// Opens the socket, in the place of one that an earlier service left.
///
/// # Errors
/// What the system says.
pub fn listen(data_dir: &Path) -> io::Result<UnixListener> {
    // The address of a socket must be short, and the data folder may lie anywhere.
    let folder = std::fs::File::open(data_dir)?;
    let path = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers questions.
pub async fn serve(listener: UnixListener, app: Arc<App>) {
    let places = Arc::new(Semaphore::new(QUESTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("nodes cannot ask about tokens: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let app = Arc::clone(&app);
        tokio::spawn(async move {
            let answered = tokio::time::timeout(QUESTION_TIME_MAX, answer(stream, app)).await;
            if !matches!(answered, Ok(Ok(()))) {
                tracing::debug!("a question about a token was not answered");
            }
            drop(place);
        });
    }
}

async fn answer(mut stream: UnixStream, app: Arc<App>) -> io::Result<()> {
    let mut line = String::new();
    BufReader::new((&mut stream).take(QUESTION_BYTES_MAX)).read_line(&mut line).await?;
    let judged = tokio::task::spawn_blocking(move || {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["connect", cache, user, token] => judge(&app, cache, user, token),
            _ => Err(ApiError::new("InvalidParameterValue", "that is no question")),
        }
    });
    let text = match judged.await {
        Ok(Ok(())) => "OK\n".to_owned(),
        Ok(Err(error)) => format!("NO {}\n", first_line(&error.to_string())),
        Err(_) => "NO the service failed\n".to_owned(),
    };
    stream.write_all(text.as_bytes()).await
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

/// Whether the token lets `user` into `cache`.
///
/// # Errors
/// Why not.
pub fn judge(app: &App, cache: &str, user: &str, token: &str) -> Result<(), ApiError> {
    let refused = |why: &str| ApiError::new("AccessDenied", why);
    let (host, query) = token.split_once("/?").ok_or_else(|| refused("the token is no presigned URL"))?;
    if host != cache {
        return Err(refused("the token is for another cache"));
    }
    let query: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let value = |name: &str| query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    if value("Action") != Some("connect") || value("User") != Some(user) {
        return Err(refused("the token is for another user"));
    }
    let life = value("X-Amz-Expires").and_then(|seconds| seconds.parse::<u64>().ok());
    if life.is_none_or(|seconds| seconds > TOKEN_SECONDS_MAX) {
        return Err(refused("the token lives too long"));
    }
    let headers = [("host".to_owned(), host.to_owned())];
    let request = SignedRequest { method: "GET", path: "/", query: &query, headers: &headers, body: b"" };
    let verified =
        verify(request, &app.region, app.now_ms(), |id| app.access_key(id).map_err(ApiError::from))?;
    if verified.service != "elasticache" {
        return Err(refused("the token is for another service"));
    }
    let caller = Caller::of(verified, None);
    let resources = [caller.arn("replicationgroup", cache).to_string(), caller.arn("user", user).to_string()];
    authorise_plain(app, &caller, "elasticache:Connect", &resources)
}
