//! The link of a replica to its primary: one thread that connects, says who it is, receives, and has a worker apply.
//!
//! It gives the worker one piece at a time and waits until that is applied, so what it holds is bounded; the rest waits
//! in the socket, and at the primary.

use super::apply::{Outcome, apply};
use super::handshake::{Answer, Body, Handshake, LINE_BYTES_MAX, Next, Wishes, body};
use super::wire::{Manner, Wire};
use super::{Link, failover, role};
use crate::config::replication::Receive;
use crate::log::effects::encode;
use crate::log::spool::Spool;
use crate::node::{Node, now_ms};
use crate::session::registry::{Origin, Shared};
use crate::snapshot::load::{Size, load_stream};
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long the thread waits for anything before it looks whether it is still wanted.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long an address of the primary may take to answer.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// How long it waits before it tries again to connect.
const RETRY: Duration = Duration::from_millis(500);
/// How often it tells the primary how far it has come, and that it lives.
const SECOND: Duration = Duration::from_secs(1);
/// Bytes that are read at once.
const READ_BYTES: usize = 256 * 1024;
/// Bytes of a snapshot that are kept in memory until it is whole.
const MEMORY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
enum Broken {
    /// The node follows another one, or none, or stops.
    #[error("it is not wanted any more")]
    Unwanted,
    /// The system says so, or the primary was silent for too long.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The primary refuses, or says what makes no sense.
    #[error("{0}")]
    Refused(String),
}

impl From<String> for Broken {
    fn from(text: String) -> Broken {
        Broken::Refused(text)
    }
}

/// The work of the thread, until the node stops.
pub fn run(node: &Node) {
    while !node.stopping.load(Ordering::Acquire) {
        let (epoch, primary) = wanted(node);
        let Some((host, port)) = primary else { continue };
        let result = follow(node, epoch, &host, port);
        role::disconnected(node, epoch);
        match result {
            Err(Broken::Unwanted) => {}
            Err(error) => {
                tracing::warn!("The link to the primary {host}:{port} is down: {error}");
                pause(node, epoch);
            }
            Ok(()) => {}
        }
    }
}

/// Whom to follow; waits a while for somebody.
fn wanted(node: &Node) -> (u64, Option<(String, u16)>) {
    let state = node.replication.state();
    let state = match state.primary {
        Some(_) => state,
        None => {
            let waited = node.replication.changed.wait_timeout(state, LOOK_EVERY);
            waited.unwrap_or_else(std::sync::PoisonError::into_inner).0
        }
    };
    (node.replication.epoch(), state.primary.clone())
}

fn pause(node: &Node, epoch: u64) {
    let until = Instant::now() + RETRY;
    while Instant::now() < until
        && node.replication.epoch() == epoch
        && !node.stopping.load(Ordering::Acquire)
    {
        std::thread::sleep(LOOK_EVERY);
    }
}

fn set_link(node: &Node, epoch: u64, link: Link) {
    let mut state = node.replication.state();
    if node.replication.epoch() == epoch {
        state.link = link;
    }
}

/// A session that stands for the primary, in CLIENT LIST.
struct Listed<'n>(&'n Node, Arc<Shared>);

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.0.sessions.remove(self.1.id);
    }
}

/// Follows a primary until the link breaks.
fn follow(node: &Node, epoch: u64, host: &str, port: u16) -> Result<(), Broken> {
    set_link(node, epoch, Link::Connecting);
    tracing::info!("Connecting to MASTER {host}:{port}");
    let settings = node.settings();
    let timeout = Duration::from_secs(settings.replication.timeout);
    let wishes = &settings.replication;
    let manner = Manner {
        patience: timeout.min(CONNECT_PATIENCE),
        glance: LOOK_EVERY,
        at_once: !wishes.delays_packets,
        source: wishes.source,
        secret: settings.tls.replication,
    };
    let wire = Wire::connect(node, host, port, &manner)?;
    drop(settings);
    let (address, local_address) = wire.addresses();
    let origin = Origin { address, local_address, worker: 0, index: u32::MAX, memcached: false, unix: false };
    let listed = Listed(node, node.sessions.add(origin, now_ms()));
    listed.1.is_primary.store(true, Ordering::Relaxed);
    let now = Instant::now();
    let mut line = Line {
        node,
        epoch,
        wire,
        shared: listed.1.clone(),
        buffer: Vec::new(),
        start: 0,
        heard: now,
        told: now,
        timeout,
        secret: manner.secret,
    };
    match line.shake_hands()? {
        Answer::Full { id, offset } => line.receive_all(&id, offset)?,
        Answer::Continue { id } => {
            tracing::info!("Successful partial resynchronization with master.");
            let work = move |node: &Node| role::go_on(node, epoch, id.as_deref());
            if !node.ask(work).unwrap_or(false) {
                return Err(Broken::Unwanted);
            }
        }
    }
    line.stream()
}

/// The connection with what was read from it.
struct Line<'n> {
    node: &'n Node,
    epoch: u64,
    wire: Wire,
    shared: Arc<Shared>,
    /// What was read; what lies before `start` was used.
    buffer: Vec<u8>,
    start: usize,
    /// When bytes came last, and when the primary was last told anything.
    heard: Instant,
    told: Instant,
    timeout: Duration,
    /// It is TLS.
    secret: bool,
}

impl Line<'_> {
    /// Whether somebody still wants it.
    fn check(&self) -> Result<(), Broken> {
        let node = self.node;
        if node.replication.epoch() != self.epoch || node.stopping.load(Ordering::Acquire) {
            return Err(Broken::Unwanted);
        }
        if self.shared.killed.load(Ordering::Relaxed) {
            return Err(Broken::Refused("somebody closed it".into()));
        }
        if node.settings().tls.replication != self.secret {
            return Err(Broken::Refused("tls-replication was changed".into()));
        }
        Ok(())
    }

    /// Reads what there is, up to a bound; nothing if nothing comes for a moment.
    fn read_some(&mut self) -> Result<usize, Broken> {
        self.check()?;
        self.buffer.drain(..self.start);
        self.start = 0;
        let before = self.buffer.len();
        // As much again as is held, so that a long command is not looked at too often.
        self.buffer.resize(before + READ_BYTES.max(before), 0);
        let read = self.wire.read(&mut self.buffer[before..]);
        let count = *read.as_ref().unwrap_or(&0);
        self.buffer.truncate(before + count);
        match read {
            Ok(0) => Err(Broken::Refused("the primary closed it".into())),
            Ok(count) => {
                self.heard = Instant::now();
                let (stats, now) = (&self.node.replication.stats, now_ms());
                stats.input_bytes.fetch_add(count as u64, Ordering::Relaxed);
                stats.heard_ms.store(now, Ordering::Relaxed);
                self.shared.last_ms.store(now, Ordering::Relaxed);
                Ok(count)
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
                ) =>
            {
                match self.heard.elapsed() > self.timeout {
                    true => Err(Broken::Refused("Timeout: no data nor PING received...".into())),
                    false => Ok(0),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The next line, without its end.
    fn read_line(&mut self) -> Result<Vec<u8>, Broken> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.buffer[self.start..]) {
                let line = &self.buffer[self.start..self.start + end];
                let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
                self.start += end + 1;
                return Ok(line);
            }
            if self.buffer.len() - self.start > LINE_BYTES_MAX {
                return Err(Broken::Refused("a line of the primary is too long".into()));
            }
            self.read_some()?;
        }
    }

    fn shake_hands(&mut self) -> Result<Answer, Broken> {
        let settings = self.node.settings();
        let wishes = &settings.replication;
        let state = self.node.replication.state();
        let resume = state.resumable.then(|| (state.history.id.clone(), self.node.log.offset()));
        let wishes = Wishes {
            user: wishes.user.clone(),
            password: wishes.password.clone(),
            port: settings.announced_port(),
            ip: wishes.announced_ip.clone(),
            resume,
            failover: state.hands_over,
        };
        drop(state);
        drop(settings);
        if let Some((id, offset)) = &wishes.resume {
            tracing::info!("Trying a partial resynchronization (request {id}:{}).", offset + 1);
        }
        let hands_over = wishes.failover;
        let (mut handshake, first) = Handshake::begin(wishes);
        self.wire.write_all(&first)?;
        loop {
            let line = self.read_line()?;
            let next = handshake.line(&line);
            if hands_over && next.is_err() && handshake.is_at_its_end() {
                // It does not want to lead. Writes wait for that, and would for ever.
                self.node.ask(failover::rejected);
            }
            match next? {
                Next::Send(bytes) => self.wire.write_all(&bytes)?,
                Next::Wait => {}
                Next::Done(answer) => {
                    if hands_over {
                        self.node.replication.state().hands_over = false;
                        self.node.replication.failover.done(self.node);
                    }
                    return Ok(answer);
                }
            }
        }
    }

    /// Receives all data of the primary and loads it.
    fn receive_all(&mut self, id: &str, offset: u64) -> Result<(), Broken> {
        set_link(self.node, self.epoch, Link::Sync);
        tracing::info!("Full resync from master: {id}:{offset}");
        let body = loop {
            let line = self.read_line()?;
            if !line.is_empty() {
                break body(&line)?;
            }
        };
        let figures = &self.node.replication.stats.sync_bytes;
        let total = if let Body::Bytes(total) = body { total } else { 0 };
        figures[0].store(total, Ordering::Relaxed);
        figures[1].store(0, Ordering::Relaxed);
        let (node, epoch) = (self.node, self.epoch);
        let wanted = node.settings().replication.receive;
        let receive = match wanted {
            // Who has no keys loses none if it breaks off, and is spared to keep what comes until it is whole.
            Receive::Whole | Receive::WhenEmpty | Receive::Beside if node.ask(is_empty).unwrap_or(false) => {
                Receive::AsItComes
            }
            receive => receive,
        };
        let result = match receive {
            Receive::Whole | Receive::WhenEmpty => self.receive_whole(&body).and_then(|spool| {
                self.begin_loading()?;
                let size = spool.end();
                let input = Stored { spool: &spool, at: 0, line: self };
                load_stream(node, input, Size::Sure(size)).map(drop).map_err(|error| error.to_string().into())
            }),
            Receive::Beside => self.begin_beside(id).and_then(|()| self.load_as_it_comes(&body)),
            Receive::AsItComes => self.begin_loading().and_then(|()| self.load_as_it_comes(&body)),
        };
        if let Err(error) = result {
            node.ask(role::abandon);
            return Err(error);
        }
        let (id, origin) = (id.to_owned(), node.loading.take_origin());
        let db = origin.db.unwrap_or(0);
        let entered = node.ask(move |node| role::enter(node, epoch, &id, offset, db));
        if !entered.unwrap_or(false) {
            node.ask(role::abandon);
            return Err(Broken::Unwanted);
        }
        tracing::info!("MASTER <-> REPLICA sync: Finished with success");
        self.acknowledge()?;
        Ok(())
    }

    fn begin_loading(&mut self) -> Result<(), Broken> {
        let epoch = self.epoch;
        self.node.loading.take_origin();
        tracing::info!("MASTER <-> REPLICA sync: Flushing old data");
        match self.node.ask(move |node| role::empty(node, epoch)) {
            Some(true) => Ok(()),
            _ => Err(Broken::Unwanted),
        }
    }

    fn begin_beside(&mut self, id: &str) -> Result<(), Broken> {
        let (epoch, id) = (self.epoch, id.to_owned());
        self.node.loading.take_origin();
        tracing::info!("MASTER <-> REPLICA sync: Loading beside the old data");
        match self.node.ask(move |node| role::stand_beside(node, epoch, &id)) {
            Some(true) => Ok(()),
            _ => Err(Broken::Unwanted),
        }
    }

    /// Receives a snapshot without loading it.
    fn receive_whole(&mut self, body: &Body) -> Result<Spool, Broken> {
        let mut spool = Spool::new(0);
        let mut last = Vec::new();
        loop {
            let held = &self.buffer[self.start..];
            let (take, over) = match body {
                Body::Bytes(total) => {
                    let left = usize::try_from(total - spool.end()).unwrap_or(usize::MAX);
                    (held.len().min(left), held.len() >= left)
                }
                Body::Mark(mark) => {
                    last.extend_from_slice(&held[held.len().saturating_sub(mark.len())..]);
                    last.drain(..last.len().saturating_sub(mark.len()));
                    (held.len(), last == *mark)
                }
            };
            if take > 0 {
                spool.push(held[..take].into());
                spool.spill(MEMORY_BYTES_MAX)?;
                self.start += take;
                self.node.replication.stats.sync_bytes[1].store(spool.end(), Ordering::Relaxed);
            }
            if over {
                return Ok(spool);
            }
            while self.read_some()? == 0 {
                self.beat()?;
            }
            self.beat()?;
        }
    }

    fn load_as_it_comes(&mut self, body: &Body) -> Result<(), Broken> {
        let node = self.node;
        match body {
            Body::Bytes(total) => {
                let input = Coming { line: self };
                let loaded = load_stream(node, input.take(*total), Size::Told(*total));
                let (_, input, rest) = loaded.map_err(|error| error.to_string())?;
                match input.limit() + rest.len() as u64 {
                    0 => Ok(()),
                    left => {
                        Err(Broken::Refused(format!("{left} bytes are left behind the end of the snapshot")))
                    }
                }
            }
            Body::Mark(mark) => {
                let input = Coming { line: self };
                let (_, input, mut rest) =
                    load_stream(node, input, Size::Unknown).map_err(|error| error.to_string())?;
                let line = input.line;
                while rest.len() < mark.len() {
                    if line.start == line.buffer.len() && line.read_some()? == 0 {
                        continue;
                    }
                    let wanted = (mark.len() - rest.len()).min(line.buffer.len() - line.start);
                    rest.extend_from_slice(&line.buffer[line.start..line.start + wanted]);
                    line.start += wanted;
                }
                if !rest.starts_with(mark) {
                    return Err(Broken::Refused("the snapshot does not end where it should".into()));
                }
                // What was read beyond it is the beginning of the stream.
                let mut buffer = rest.split_off(mark.len());
                buffer.extend_from_slice(&line.buffer[line.start..]);
                (line.buffer, line.start) = (buffer, 0);
                Ok(())
            }
        }
    }

    /// Tells the primary that this node lives, while it is busy with a snapshot.
    fn beat(&mut self) -> io::Result<()> {
        if self.told.elapsed() >= SECOND {
            self.told = Instant::now();
            self.wire.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Tells the primary how far this node has come.
    fn acknowledge(&mut self) -> io::Result<()> {
        self.told = Instant::now();
        let offset = self.node.log.offset().to_string();
        let mut words = vec!["REPLCONF", "ACK", &offset];
        let on_disk;
        if let Some(offset) = self.node.replication.gate().disk.reached(self.node) {
            on_disk = offset.to_string();
            words.extend(["FACK", &on_disk]);
        }
        let mut out = Vec::new();
        encode(&mut out, words.iter().map(|word| word.as_bytes()));
        self.wire.write_all(&out)
    }

    /// Applies what comes until the link breaks.
    fn stream(&mut self) -> Result<(), Broken> {
        let (node, epoch) = (self.node, self.epoch);
        let mut applied = 0;
        self.acknowledge()?;
        loop {
            if self.start > 0 {
                self.buffer.drain(..self.start);
                self.start = 0;
            }
            if self.buffer.len() > applied {
                let bytes = std::mem::take(&mut self.buffer);
                let work = move |node: &Node| {
                    let mut applied = applied;
                    let (outcome, logged) = apply(node, epoch, &bytes, &mut applied);
                    (bytes, outcome, logged, applied)
                };
                let Some((bytes, outcome, logged, so_far)) = node.ask(work) else {
                    return Err(Broken::Unwanted);
                };
                (self.buffer, self.start, applied) = (bytes, logged, so_far - logged);
                match outcome {
                    Outcome::Applied { asked: true } => self.acknowledge()?,
                    Outcome::Applied { asked: false } => {}
                    Outcome::Over => return Err(Broken::Unwanted),
                    Outcome::Corrupt => {
                        // What was applied and what the primary believes may differ: only all data helps.
                        node.replication.state().resumable = false;
                        return Err(Broken::Refused("the stream makes no sense".into()));
                    }
                }
            }
            self.read_some()?;
            if self.told.elapsed() >= SECOND {
                self.acknowledge()?;
            }
        }
    }
}

/// A worker's part: true if there are no keys.
fn is_empty(node: &Node) -> bool {
    let databases = node.store.databases();
    node.store.partitions().all(|id| {
        let partition = node.store.lock(id);
        (0..databases).all(|db| partition.len(db) == 0)
    })
}

/// A snapshot as it comes.
struct Coming<'l, 'n> {
    line: &'l mut Line<'n>,
}

impl Read for Coming<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.line.start == self.line.buffer.len() {
            self.line.beat()?;
            self.line.read_some().map_err(|error| io::Error::other(error.to_string()))?;
        }
        let held = &self.line.buffer[self.line.start..];
        let count = held.len().min(out.len());
        out[..count].copy_from_slice(&held[..count]);
        self.line.start += count;
        self.line.node.replication.stats.sync_bytes[1].fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// A snapshot that is here.
struct Stored<'s, 'l, 'n> {
    spool: &'s Spool,
    at: u64,
    line: &'l mut Line<'n>,
}

impl Read for Stored<'_, '_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.line.beat()?;
        self.line.check().map_err(|error| io::Error::other(error.to_string()))?;
        let blocks = self.spool.read(self.at).ok_or_else(|| io::Error::other("what was received is gone"))?;
        let Some(block) = blocks.first() else { return Ok(0) };
        let count = block.bytes().len().min(out.len());
        out[..count].copy_from_slice(&block.bytes()[..count]);
        self.at += count as u64;
        Ok(count)
    }
}
