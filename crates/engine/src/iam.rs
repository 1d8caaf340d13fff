//! Users that prove by a token of IAM who they are.
//!
//! A node knows no secrets, so it cannot judge a token itself. It asks whoever listens on the Unix socket that
//! `iam-authenticator` names: one line with the cache, the user and the token, one line back. A thread of its own does
//! that, because the answer may take long. Meanwhile the session is held back with its AUTH or HELLO, as CLIENT PAUSE
//! does it; the verdict comes by mail, and the command is executed once more and finds it.
//!
//! Who could read a token on its way could log in with it, so a token that comes in the clear is refused without asking.

use crate::command::Command;
use crate::mailbox::{Mail, Place};
use crate::node::Node;
use crate::session::Client;
use aws_lc_rs::digest::{Context, SHA256};
use larder_protocol::resp::args::Args;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Questions that wait. Beyond, logging in fails at once.
const QUESTIONS_MAX: usize = 1024;
/// Longest token that is passed on.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 1024;
/// How long each of connecting, asking and answering may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);
/// A question that has waited for so long is not asked any more.
const QUESTION_AGE_MAX: Duration = Duration::from_secs(5);
/// Longest time that a session lasts without a new token, seconds.
pub const SESSION_SECONDS_MAX: u64 = 12 * 60 * 60;

/// Settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Iam {
    /// `iam-authenticator`: the socket where questions are answered.
    pub authenticator: Option<PathBuf>,
    /// `iam-cache`: the name that tokens are for.
    pub cache: String,
    /// `iam-session-seconds`: a session ends after that time unless it shows a new token.
    pub session_seconds: u64,
}

impl Default for Iam {
    fn default() -> Iam {
        Iam { authenticator: None, cache: String::new(), session_seconds: SESSION_SECONDS_MAX }
    }
}

/// A hash of a user and a token: what a verdict is about.
type Proof = [u8; 32];

fn proof(user: &[u8], token: &[u8]) -> Proof {
    let mut context = Context::new(&SHA256);
    context.update(&(user.len() as u64).to_le_bytes());
    context.update(user);
    context.update(token);
    let mut proof = [0; 32];
    proof.copy_from_slice(context.finish().as_ref());
    proof
}

/// What came of a question.
#[derive(Clone, Debug)]
pub struct Verdict {
    proof: Proof,
    accepted: bool,
}

#[derive(Debug)]
struct Question {
    place: Place,
    user: String,
    token: String,
    proof: Proof,
    since: Instant,
}

/// Where questions wait for the thread that asks them.
#[derive(Debug, Default)]
pub struct Desk {
    questions: Mutex<VecDeque<Question>>,
    bell: Condvar,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Question>> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False if too many wait.
    fn ask(&self, question: Question) -> bool {
        let mut questions = self.lock();
        if questions.len() >= QUESTIONS_MAX {
            return false;
        }
        questions.push_back(question);
        self.bell.notify_one();
        true
    }

    /// Lets the thread see that the node ends.
    pub fn wake(&self) {
        let _questions = self.lock(); // it is not between its look and its sleep
        self.bell.notify_all();
    }

    /// Asks questions until the node ends.
    pub fn run(&self, node: &Node) {
        loop {
            let mut questions = self.lock();
            let question = loop {
                if node.stopping.load(Ordering::Acquire) {
                    return;
                }
                match questions.pop_front() {
                    Some(question) => break question,
                    None => questions = self.bell.wait(questions).unwrap_or_else(PoisonError::into_inner),
                }
            };
            drop(questions);
            let accepted = question.since.elapsed() < QUESTION_AGE_MAX
                && ask(&node.settings().iam, &question).unwrap_or_else(|error| {
                    tracing::warn!("whether a token of IAM is good cannot be asked: {error}");
                    false
                });
            let verdict = Verdict { proof: question.proof, accepted };
            let place = question.place;
            node.mailboxes[place.worker as usize].send(Mail::Verdict { place, verdict });
        }
    }
}

fn ask(iam: &Iam, question: &Question) -> io::Result<bool> {
    let Some(path) = &iam.authenticator else { return Ok(false) };
    let mut stream = open(path)?;
    let line = format!("connect {} {} {}\n", iam.cache, question.user, question.token);
    stream.write_all(line.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_line(&mut answer)?;
    match answer.trim_end() {
        "OK" => Ok(true),
        refused if refused.starts_with("NO") => {
            tracing::info!(user = question.user, "a token of IAM is refused: {}", refused[2..].trim_start());
            Ok(false)
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is none")),
    }
}

/// A connection with time limits, that of connecting too.
fn open(path: &Path) -> io::Result<UnixStream> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&socket, Timeout::Send, Some(ANSWER_TIME_MAX))?;
    set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_TIME_MAX))?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(UnixStream::from(socket))
}

/// The user and the token of AUTH or HELLO, if there is one.
fn credentials<'a>(command: &Command, args: &Args<'a>) -> Option<(&'a [u8], &'a [u8])> {
    match command.name {
        "auth" if args.len() == 3 => Some((args.get(1), args.get(2))),
        "hello" => {
            let at = (2..args.len()).find(|at| args.get(*at).eq_ignore_ascii_case(b"AUTH"))?;
            (at + 2 < args.len()).then(|| (args.get(at + 1), args.get(at + 2)))
        }
        _ => None,
    }
}

/// True if the command has to wait for a verdict, which is being asked for.
#[cold]
pub fn must_ask(node: &Node, client: &mut Client, command: &Command, args: &Args<'_>) -> bool {
    let Some((user, token)) = credentials(command, args) else { return false };
    if !client.sealed || !node.users.get(user).is_some_and(|user| user.is_iam()) {
        return false;
    }
    let proof = proof(user, token);
    if client.verdict.as_ref().is_some_and(|verdict| verdict.proof == proof) {
        return false;
    }
    client.verdict = None;
    let text = |bytes: &[u8]| {
        let plain =
            bytes.len() <= TOKEN_BYTES_MAX && bytes.iter().all(u8::is_ascii_graphic) && !bytes.is_empty();
        plain.then(|| String::from_utf8_lossy(bytes).into_owned())
    };
    let (Some(user), Some(token)) = (text(user), text(token)) else { return false };
    node.iam.ask(Question { place: client.shared.place, user, token, proof, since: Instant::now() })
}

/// Uses up the verdict: true if it says that this token is one of this user.
pub fn accepts(client: &mut Client, user: &[u8], token: &[u8]) -> bool {
    let verdict = client.verdict.take();
    verdict.is_some_and(|verdict| verdict.accepted && verdict.proof == proof(user, token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    fn answered(answer: &'static str) -> io::Result<bool> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("iam.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let answering = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            (&stream).write_all(answer.as_bytes()).unwrap();
            line
        });
        let iam = Iam { authenticator: Some(path), cache: "shop".into(), ..Iam::default() };
        let place = Place { worker: 0, index: 0, id: 1 };
        let (user, token) = ("ann".to_owned(), "shop/?Action=connect".to_owned());
        let since = Instant::now();
        let verdict = ask(&iam, &Question { place, user, token, proof: [0; 32], since });
        assert_eq!(answering.join().unwrap(), "connect shop ann shop/?Action=connect\n");
        verdict
    }

    #[test]
    fn answers_are_read() {
        assert!(answered("OK\n").unwrap());
        assert!(!answered("NO because\n").unwrap());
        assert!(answered("OKAY\n").is_err() && answered("").is_err());
    }

    #[test]
    fn a_proof_is_of_one_user_and_one_token() {
        assert_ne!(proof(b"ab", b"c"), proof(b"a", b"bc"));
    }
}
