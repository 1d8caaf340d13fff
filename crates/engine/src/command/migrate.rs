//! MIGRATE: keys go to another server, and go here once that has acknowledged them.
//!
//! The partitions of the keys are held all the while, so nobody sees a key on both sides or changes it here after it was
//! sent. Therefore the worker, and who needs these partitions, wait for the other server: for as long as the command says at
//! each step, as they do in Redis.

use super::collection::{Answer, integer, is, text};
use super::table::{Keys, MIGRATE_OPTIONS, flag};
use super::{Call, Command, CommandError};
use crate::log::effects::encode;
use crate::replication::wire::{Manner, Wire};
use larder_rdb::dump;
use std::io::{self, BufRead, BufReader, Write};
use std::time::{Duration, Instant};

/// The command that moves keys to another server.
pub const COMMANDS: &[Command] = &[Command {
    name: "migrate",
    summary: "Moves keys to another server.",
    syntax: "host port key|\"\" destination-db timeout [COPY] [REPLACE] [AUTH password | AUTH2 username password] \
             [KEYS key [key ...]]",
    since: "2.6.0",
    complexity: "That of DUMP and DEL here and of RESTORE there, and O(N) for the way, N = bytes",
    arity: -6,
    flags: flag::WRITE,
    categories: &["dangerous"],
    keys: Keys::Migrated,
    handler: migrate,
    ..Command::DEFAULT
}];

/// How long each step may take where the command does not say.
const TIMEOUT_DEFAULT_MS: u64 = 1000;
/// Bytes that are gathered before they are sent.
const CHUNK_BYTES: usize = 64 * 1024;
/// Longest reply that is read: a status, or an error.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// What is wanted.
struct Order<'a> {
    host: String,
    port: u16,
    db: i64,
    timeout: Duration,
    copies: bool,
    replaces: bool,
    /// Name and password.
    login: Option<(Option<&'a [u8]>, &'a [u8])>,
    keys: Vec<&'a [u8]>,
}

impl<'a> Order<'a> {
    fn parse(call: &Call<'a>) -> Result<Order<'a>, CommandError> {
        let args = call.args;
        let (mut copies, mut replaces, mut login) = (false, false, None);
        let mut keys = vec![args.get(3)];
        let mut at = MIGRATE_OPTIONS;
        while at < args.len() {
            let left = args.len() - at - 1;
            match args.get(at) {
                word if is(word, "COPY") => copies = true,
                word if is(word, "REPLACE") => replaces = true,
                word if is(word, "AUTH") && left >= 1 => {
                    login = Some((None, args.get(at + 1)));
                    at += 1;
                }
                word if is(word, "AUTH2") && left >= 2 => {
                    login = Some((Some(args.get(at + 1)), args.get(at + 2)));
                    at += 2;
                }
                word if is(word, "KEYS") => {
                    if !args.get(3).is_empty() {
                        return Err(text(
                            "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
                        ));
                    }
                    keys = args.from(at + 1).iter().collect();
                    break;
                }
                _ => return Err(CommandError::Syntax),
            }
            at += 1;
        }
        let timeout = u64::try_from(integer(args.get(5))?).unwrap_or(0);
        let db = integer(args.get(4))?;
        let port = larder_protocol::number::parse_i64(args.get(2)).and_then(|port| u16::try_from(port).ok());
        Ok(Order {
            host: String::from_utf8_lossy(args.get(1)).into_owned(),
            port: port.unwrap_or(0),
            db,
            timeout: Duration::from_millis(if timeout == 0 { TIMEOUT_DEFAULT_MS } else { timeout }),
            copies,
            replaces,
            login,
            keys,
        })
    }
}

/// The other server.
struct Target {
    stream: BufReader<Wire>,
    unsent: Vec<u8>,
    timeout: Duration,
}

/// What the other server said of a command: nothing against it, or an error.
type Verdict = Result<(), String>;

impl Target {
    fn call(call: &Call<'_>, order: &Order<'_>) -> io::Result<Target> {
        let timeout = order.timeout;
        let manner =
            Manner { patience: timeout, glance: timeout, at_once: true, source: None, secret: false };
        let wire = Wire::connect(call.node, &order.host, order.port, &manner)?;
        Ok(Target { stream: BufReader::new(wire), unsent: Vec::new(), timeout })
    }

    fn send(&mut self, words: &[&[u8]]) -> io::Result<()> {
        encode(&mut self.unsent, words.iter().copied());
        if self.unsent.len() >= CHUNK_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.get_mut().write_all(&self.unsent)?;
        self.unsent.clear();
        Ok(())
    }

    /// The next reply, which has to be a line and to come in time.
    fn verdict(&mut self) -> io::Result<Verdict> {
        let until = Instant::now() + self.timeout;
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            let more = self.stream.fill_buf()?;
            if more.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let end = memchr::memchr(b'\n', more).map_or(more.len(), |at| at + 1);
            line.extend_from_slice(&more[..end]);
            self.stream.consume(end);
            if line.len() > LINE_BYTES_MAX || Instant::now() > until {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        match line.trim_ascii_end() {
            [b'+', ..] => Ok(Ok(())),
            [b'-', error @ ..] => Ok(Err(String::from_utf8_lossy(error).into_owned())),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

const WRITING: &str = "writing to target instance";
/// In the words of Redis.
const READING: &str = "reading to target instance";

/// The other server wants nothing of it.
fn refused(said: &str) -> CommandError {
    CommandError::new(format!("ERR Target instance replied with error: {said}"))
}

/// What went wrong on the way.
fn broken(step: &str, order: &Order<'_>, error: &io::Error) -> CommandError {
    tracing::info!("MIGRATE to {}:{}: {step}: {error}", order.host, order.port);
    CommandError::new(format!("IOERR error or timeout {step}"))
}

fn migrate(call: &mut Call<'_>) -> Answer {
    let mut order = Order::parse(call)?;
    order.keys.retain(|key| call.keys.read(key).is_some());
    if order.keys.is_empty() {
        call.out.simple("NOKEY");
        return Ok(());
    }
    let mut target = Target::call(call, &order).map_err(|error| match error.kind() {
        // Who dials without waiting finds out when it writes.
        io::ErrorKind::ConnectionRefused => broken(WRITING, &order, &error),
        _ => broken("connecting to the client", &order, &error),
    })?;
    introduce(&order, &mut target)?;
    send(call, &order, &mut target).map_err(|error| broken(WRITING, &order, &error))?;
    let (stored, failure) = receive(&order, &mut target);
    if !order.copies {
        remove(call, &stored);
    }
    if let Some(error) = failure {
        return Err(error);
    }
    call.out.ok();
    Ok(())
}

/// Says who we are and which database is meant. Nothing is sent before that is accepted: it would go to another one.
fn introduce(order: &Order<'_>, target: &mut Target) -> Answer {
    let mut words: Vec<Vec<&[u8]>> = Vec::new();
    if let Some((name, password)) = order.login {
        words.push([&b"AUTH"[..]].into_iter().chain(name).chain([password]).collect());
    }
    let mut digits = itoa::Buffer::new();
    words.push(vec![b"SELECT", digits.format(order.db).as_bytes()]);
    for command in &words {
        let sent = target.send(command).and_then(|()| target.flush());
        sent.map_err(|error| broken(WRITING, order, &error))?;
        target.verdict().map_err(|error| broken(READING, order, &error))?.map_err(|said| refused(&said))?;
    }
    Ok(())
}

/// Sends the keys.
fn send(call: &Call<'_>, order: &Order<'_>, target: &mut Target) -> io::Result<()> {
    for key in &order.keys {
        let Some(item) = call.keys.peek(key) else { continue };
        // A key that is to die lives a moment there, too: without a time it would live for ever.
        let left = item.deadline().map_or(0, |at| at.saturating_sub(call.keys.now_ms()).max(1));
        let (mut digits, payload) = (itoa::Buffer::new(), dump::write(&item.value()));
        let words: [&[u8]; 5] = [b"RESTORE", key, digits.format(left).as_bytes(), &payload, b"REPLACE"];
        target.send(if order.replaces { &words } else { &words[..4] })?;
    }
    target.flush()
}

/// The keys that are there now, and the first thing that went wrong.
fn receive<'a>(order: &Order<'a>, target: &mut Target) -> (Vec<&'a [u8]>, Option<CommandError>) {
    let (mut stored, mut failure) = (Vec::new(), None);
    for key in &order.keys {
        match target.verdict() {
            Ok(Ok(())) => stored.push(*key),
            Ok(Err(said)) => {
                failure.get_or_insert_with(|| refused(&said));
            }
            Err(error) => {
                failure.get_or_insert_with(|| broken(READING, order, &error));
                break;
            }
        }
    }
    (stored, failure)
}

/// Removes what is at the other server now.
fn remove(call: &mut Call<'_>, stored: &[&[u8]]) {
    if stored.is_empty() {
        return;
    }
    for key in stored {
        call.keys.remove_and_notify(key);
    }
    let words: Vec<&[u8]> = [&b"DEL"[..]].into_iter().chain(stored.iter().copied()).collect();
    call.propagate(&words);
}
