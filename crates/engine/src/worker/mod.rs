//! A worker: one thread, its sockets, its sessions, and the loop that serves them.
//!
//! A *turn* of the loop waits for sockets; reads complete requests of all ready sessions into a batch; lets the
//! processor load the buckets and then the items of their keys; executes them in order; and gives all replies to the
//! sockets, which send them with the system call that waits for the next turn. Batches are bounded per session and
//! in all, so that nobody waits long; a session with more to do stays ready, and then the turn does not wait.
//!
//! In reading order: `doors` (who comes in), `sessions` (buffers), `parcel` (large values), `batch` (requests), `heavy` (who comes last), this file (the turn), `waits` (sessions
//! that execute nothing for now), `slices` (commands that take long), `commit` (replies that wait for the disk, and loading), `feed` (replicas), `timers` and
//! `compactor` (what happens without a request).

mod batch;
mod commit;
mod compactor;
mod delivery;
mod doors;
mod feed;
mod handshake;
mod heavy;
mod parcel;
mod sessions;
mod slices;
mod timers;
mod waits;

use crate::acl::may_channel;
use crate::command::dispatch::{Request, Turn, execute};
use crate::command::table::flag;
use crate::command::{Command, Known};
use crate::config::Settings;
use crate::mailbox::{Job, Mail, Mailbox};
use crate::memcache;
use crate::memcache::udp::Datagram;
use crate::memory::bound;
use crate::meter::stopwatch::{Long, Rules, Stopwatch};
use crate::node::{Node, now_ms};
use crate::session::{Client, eviction};
use crate::snapshot::take::Walker;
use crate::socket::{Driver, Engine};
use crate::{observe, replication};
use batch::{Batch, Entry};
use compactor::Compactor;
use delivery::deliver_all;
pub use doors::Door;
use heavy::Heavy;
use larder_protocol::resp::args::Args;
use larder_protocol::resp::reply::Reply;
use larder_protocol::resp::request::Limits;
use larder_store::Now;
use larder_store::evict::Pool;
use larder_store::partition::access::Access;
use parcel::{PARCEL_BYTES_MIN, Parcel};
use sessions::{Protocol, Session, Sessions};
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use timers::Timers;
use waits::Waits;

/// How long every command is timed on its own after a run of quick ones took long, milliseconds.
const EXACT_MS: u64 = 1000;
/// Ready sessions whose requests are read into one batch.
const BATCH_SESSIONS_MAX: usize = 16;

/// The share of `maxmemory` that all workers together may receive before they look at it. What a pipeline sends at once
/// would put keys out, or be refused, where little memory is.
const RECEIVED_SHARE: u64 = 16;

/// Bytes of requests at a session beyond which nothing more is received from it until some are executed: the least and the
/// most, by the memory that there is.
const INPUT_PAUSE_BYTES: [usize; 2] = [64 * 1024, 256 * 1024];

/// How long a worker waits for another one that is behind with its mail.
const REST: Duration = Duration::from_millis(1);

/// See the module.
pub struct Worker {
    node: Arc<Node>,
    id: usize,
    driver: Driver,
    /// Bytes that wait to be executed beyond which nothing more is received from their session.
    input_pause_bytes: usize,
    sessions: Sessions,
    batch: Batch,
    /// Room for the requests of Memcached sessions.
    run: memcache::Run,
    /// Sessions whose replies are to be sent.
    touched: Vec<u32>,
    /// Mail that came while a batch was executed, and can wait for the next turn.
    later: Vec<Mail>,
    /// Who reads large values.
    heavy: Heavy,
    /// Another worker is behind with its mail: nothing is executed until it has caught up.
    resting: bool,
    /// Sessions whose replies wait for the disk.
    held: Vec<u32>,
    /// Sessions that are replicas.
    feeding: Vec<u32>,
    timers: Timers,
    compactor: Compactor,
    walker: Walker,
    waits: Waits,
    /// What slices took that the other sessions have not had yet.
    sliced: Duration,
    /// What the listeners' connections speak, by number.
    doors: Vec<Option<Door>>,
    /// Memcached connections beyond `maxclients` that wait until there is room.
    patient: VecDeque<(Door, OwnedFd)>,
    /// The worker that gets the next connection.
    next: usize,
    random: u64,
    /// Keys that may leave soon.
    pool: Pool,
    /// Unix milliseconds until which every command is timed on its own.
    exact_until_ms: u64,
}

impl Worker {
    /// A worker of a node. Made on the thread that runs it: a ring belongs to one thread.
    pub fn new(node: Arc<Node>, id: usize, engine: Engine) -> io::Result<Worker> {
        let received_max = match node.settings().maxmemory {
            0 => usize::MAX,
            memory => (memory / RECEIVED_SHARE) as usize / node.mailboxes.len(),
        };
        let [least, most] = INPUT_PAUSE_BYTES;
        let driver = Driver::new(engine, node.mailboxes[id].fd(), received_max)?;
        Ok(Worker {
            timers: Timers::new(id, node.mailboxes.len()),
            compactor: Compactor::default(),
            walker: Walker::default(),
            waits: Waits::default(),
            sliced: Duration::ZERO,
            pool: Pool::default(),
            random: node.started_ms ^ (id as u64) << 32 | 1,
            node,
            id,
            driver,
            input_pause_bytes: received_max.clamp(least, most),
            sessions: Sessions::default(),
            batch: Batch::default(),
            run: memcache::Run::default(),
            touched: Vec::new(),
            later: Vec::new(),
            heavy: Heavy::default(),
            resting: false,
            held: Vec::new(),
            feeding: Vec::new(),
            doors: Vec::new(),
            patient: VecDeque::new(),
            next: 0,
            exact_until_ms: 0,
        })
    }

    /// The socket engine in use.
    pub fn engine(&self) -> &'static str {
        self.driver.name()
    }

    /// Serves until the node stops.
    pub fn run(&mut self) -> io::Result<()> {
        self.node.mailboxes[self.id].claim();

        while !self.node.stopping.load(Ordering::Acquire) {
            self.turn()?;
        }
        self.node.listeners.close();
        self.driver.stop_listening();
        self.say_goodbye()
    }

    fn turn(&mut self) -> io::Result<()> {
        let timeout = self.timeout();
        self.driver.wait(timeout, &mut self.sessions)?;
        self.sessions.traffic.turns += 1;
        let now = Now { ms: now_ms() };
        self.read_mail();
        if !self.held.is_empty() {
            self.release();
        }
        self.welcome(now);
        self.bury();
        if !self.patient.is_empty() {
            self.admit_patient(now);
        }
        self.waits.run(&self.node, now.ms, &mut self.sessions);
        let served = !self.sessions.ready.is_empty();
        self.serve(now);
        if !self.sessions.handshakes.is_empty() {
            self.shake_hands();
        }
        self.timers.run(&self.node, now, &mut self.sessions, &mut self.driver);
        if bound::is_sparse() {
            self.compactor.run(&self.node, self.pool.take_evicted());
        }
        if self.node.snapshots.is_active() || self.walker.waits().is_some() {
            self.walker.run(&self.node, served, &mut || self.driver.has_more());
        }
        if self.node.loading.is_on() && !(self.id == 0 && commit::load(&self.node, now)) {
            self.node.loading.help(&self.node);
        }
        self.settle_tracking();
        self.node.log.hand_over();
        if !self.feeding.is_empty() {
            self.feed();
        }
        self.count_traffic();
        Ok(())
    }

    /// Makes public what passed, before any reply to it goes out.
    fn count_traffic(&mut self) {
        self.driver.served(self.sessions.traffic.commands);
        self.node.traffic.add(self.id, &std::mem::take(&mut self.sessions.traffic));
    }

    /// How long to wait for sockets.
    fn timeout(&self) -> Duration {
        let mail = !self.later.is_empty() || !self.node.mailboxes[self.id].is_empty();
        if mail || !self.sessions.handshakes.is_empty() {
            Duration::ZERO // the mail that a worker leaves for itself does not wake it
        } else if self.resting {
            REST
        } else if self.node.loading.is_on() {
            Duration::ZERO
        } else if self.sessions.ready.is_empty() && self.waits.long.is_empty() {
            let next = self.timers.next();
            self.walker.waits().map_or(next, |wait| wait.min(next))
        } else {
            Duration::ZERO
        }
    }

    fn read_mail(&mut self) {
        self.touched.clear();
        self.deliver();
        for mail in std::mem::take(&mut self.later) {
            match mail {
                Mail::Adopt { door, fd } => self.adopt(door, fd, now_ms()),
                Mail::Listen(listener) => {
                    if let Err(error) = self.listen(listener) {
                        tracing::warn!("a listener cannot be served: {error}");
                    }
                }
                Mail::EndListener(number) => self.end_listener(number),
                Mail::Kill => {
                    for session in self.sessions.iter_mut() {
                        if session.client.shared.killed.load(Ordering::Relaxed) {
                            self.driver.close(session.token, true);
                        }
                    }
                }
                Mail::Run(Job(work)) => work(&self.node),
                Mail::CheckChannels => self.check_channels(),
                Mail::Datagram(datagram) => self.serve_datagram(&datagram),
                Mail::Deliver { .. } => {} // those went to their sessions
                Mail::Verdict { place, verdict } => {
                    let session =
                        self.sessions.get(place.index).filter(|session| session.client.id() == place.id);
                    if let Some(session) = session {
                        session.client.verdict = Some(verdict);
                        if session.client.pending.as_ref().is_some_and(|pending| pending.asks) {
                            self.waits.resumed.push(place.index);
                        }
                    }
                }
                Mail::Unblock { place, ticket, reply, logged } => {
                    let session =
                        self.sessions.get(place.index).filter(|session| session.client.id() == place.id);
                    if let Some(session) = session {
                        session.client.logged = session.client.logged.max(logged);
                        self.waits.unblock(&self.node, place.index, session, (ticket, &reply));
                    }
                }
            }
        }
        if !self.touched.is_empty() {
            self.send_replies(&self.node.settings());
        }
    }

    /// Carries out a Memcached request that came over UDP. While data is loaded nobody is answered: such clients ask again.
    #[cold]
    fn serve_datagram(&mut self, datagram: &Datagram) {
        if self.node.loading.is_shut() {
            return;
        }
        let (settings, now) = (self.node.settings(), Now { ms: now_ms() });
        let memory_full = self.node.make_room(&settings, self.id, now, (&mut self.pool, &mut self.random));
        let access = self.node.access(&settings, now.ms, self.random as u32);
        let mut turn = memcached_turn(&self.node, self.id, &mut self.run, (now, access, memory_full));
        datagram.serve(&mut turn);
        self.sessions.traffic.commands += turn.requests;
        self.node.stats.changes.fetch_add(turn.changes, Ordering::Relaxed);
    }

    /// Tells those who cache what is still to be told.
    #[inline]
    fn settle_tracking(&mut self) {
        if self.node.tracking.is_busy() {
            self.node.tracking.settle(&self.node, self.random);
        }
    }

    /// Appends what is in the mail to what sessions are sent.
    fn deliver(&mut self) {
        let mailbox = &self.node.mailboxes[self.id];
        deliver_all(&self.node, mailbox, &mut self.sessions, &mut self.touched, &mut self.later);
    }

    /// Closes the sessions that listen to channels which their users may not use any more.
    fn check_channels(&mut self) {
        let users = &self.node.users;
        for session in self.sessions.iter_mut() {
            let client = &mut session.client;
            let Some(subscriptions) = &client.subscriptions else { continue };
            let user = match client.identity.refresh(users) {
                Ok(None) => continue,
                Ok(Some(user)) => user,
                Err(_) => continue, // it is told to end
            };
            if !subscriptions.all(|name, is_pattern| may_channel(&user, name, is_pattern)) {
                client.closing = true;
                self.touched.push(session.token.index);
            }
        }
    }

    fn bury(&mut self) {
        for mut session in std::mem::take(&mut self.sessions.gone) {
            session.discharge(&self.node.charge);
            session.client.watching.clear(&self.node.store);
            session.client.listen_no_more(&self.node.hub);
            session.client.cache_no_more(&self.node);
            self.waits.bury(&self.node, &mut session);
            if let Protocol::Memcached(memcached) = &session.protocol {
                memcache::watch::gone(&self.node, &session.client.shared, memcached.reason(session.ended));
            }
            self.node.monitors.remove(session.client.shared.place);
            self.node.sessions.remove(session.client.id());
            if session.client.replica.is_some() {
                self.node.replication.replicas.remove(session.client.id(), &self.node.log);
            }
        }
    }

    fn serve(&mut self, now: Now) {
        if !self.sessions.drained.is_empty() {
            self.waits.drained(&mut self.sessions);
        }
        if self.sessions.ready.is_empty() && self.waits.resumed.is_empty() && self.waits.long.is_empty() {
            return;
        }
        self.resting = delivery::is_anybody_behind(&self.node) || self.node.log.is_behind();
        if self.resting {
            return;
        }
        let settings = self.node.settings();
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let mut turn = Turn {
            now,
            access: self.node.access(&settings, now.ms, self.random as u32),
            out_of_memory: false,
            restrained: self.node.loading.is_on()
                || self.node.cannot_save(&settings)
                || self.node.replication.is_restrained()
                || self.node.log.aof.failing.load(Ordering::Relaxed),
            restricted: !settings.restricted_commands.is_empty(),
        };
        let exact = now.ms < self.exact_until_ms;
        let rules = Rules::new(&settings.observation, exact, self.node.monitors.any());
        let bulk_bytes_max = settings.proto_max_bulk_len;
        if !self.waits.resumed.is_empty() {
            self.resume(&turn, &rules, &settings);
        }
        let mut ready = std::mem::take(&mut self.sessions.ready);
        let began = (!self.waits.long.is_empty() && !ready.is_empty()).then(Instant::now);
        self.heavy.begin(&mut ready, &mut self.sessions);
        for part in ready.chunks(BATCH_SESSIONS_MAX) {
            turn.out_of_memory =
                self.node.make_room(&settings, self.id, now, (&mut self.pool, &mut self.random));
            self.read_batch(part, &turn, bulk_bytes_max);
            self.execute_batch(&turn, &rules);
            self.settle_tracking();
            self.deliver();
            self.send_replies(&settings);
        }
        self.heavy.end(&mut self.sessions);
        if self.sessions.ready.is_empty() {
            ready.clear();
            self.sessions.ready = ready;
        }
        if !self.waits.long.is_empty() {
            self.slice(turn, &rules, &settings, began.map(|began| began.elapsed()));
        }
    }

    /// Lets the sessions go on whose waits are over.
    #[cold]
    fn resume(&mut self, turn: &Turn, rules: &Rules, settings: &Settings) {
        self.touched.clear();
        let mut changes = 0;
        for index in std::mem::take(&mut self.waits.resumed) {
            let Some(session) = self.sessions.get(index) else { continue };
            changes += waits::go_on(&self.node, turn, rules, session);
            self.touched.push(index);
            self.sessions.make_ready(index);
        }
        self.node.stats.changes.fetch_add(changes, Ordering::Relaxed);
        self.settle_tracking();
        self.deliver();
        self.send_replies(settings);
    }

    /// Reads the complete requests of these sessions.
    fn read_batch(&mut self, ready: &[u32], turn: &Turn, bulk_bytes_max: i64) {
        let mut commands = 0;
        self.batch.clear();
        self.touched.clear();
        for &index in ready {
            let Some(session) = self.sessions.get(index) else { continue };
            session.ready = false;
            // Part of a request is a sign of life too, and Memcached sessions note nothing themselves.
            session.client.shared.last_ms.store(turn.now.ms, Ordering::Relaxed);
            self.touched.push(index);
            let waits = session.client.pending.is_some();
            if session.client.closing || waits || session.held || session.is_output_paused() {
                continue;
            }
            match &mut session.protocol {
                Protocol::Resp(_) => {
                    let limits = Limits { bulk_bytes_max, unauthenticated: !session.client.authenticated };
                    if self.batch.read_session(&self.node, index, session, &limits) {
                        self.sessions.make_ready(index);
                    }
                    self.batch.look_ahead(&self.node.store);
                }
                // That protocol has no word for it: its clients wait.
                Protocol::Memcached(_) if turn.restrained && self.node.loading.is_shut() => {
                    self.sessions.make_ready(index);
                }
                Protocol::Memcached(_) if session.heavy && self.heavy.defers(index) => session.ready = true,
                Protocol::Memcached(_) if session.parcel.as_ref().is_some_and(|parcel| !parcel.is_full()) => {
                }
                Protocol::Memcached(memcached) => {
                    let before = session.out.len();
                    let of_turn = (turn.now, turn.access, turn.out_of_memory);
                    let mut turn = memcached_turn(&self.node, self.id, &mut self.run, of_turn);
                    let input = &session.input[session.start..];
                    turn.parcel = session.parcel.take().map(Parcel::into_bytes);
                    let served = memcached.serve(&mut turn, input, session.out.buffer());
                    if served.consumed == 0 && !served.close {
                        session.parcel = turn.parcel.take().map(Parcel::full); // what stands behind it is to come
                    }
                    session.start += served.consumed;
                    if turn.changes > 0 {
                        self.node.stats.changes.fetch_add(turn.changes, Ordering::Relaxed);
                    }
                    commands += turn.requests;
                    session.heavy = self.heavy.note(session.out.len().saturating_sub(before));
                    session.client.logged = session.client.logged.max(turn.logged);
                    session.client.closing |= served.close;
                    if let Some(apart) = served.apart.filter(|apart| apart.bytes >= PARCEL_BYTES_MIN) {
                        memcached.keep_apart();
                        session.begin_parcel(apart);
                    }
                    // Its turn was over before its input was.
                    if served.need == 0 && session.unread() > 0 {
                        self.sessions.make_ready(index);
                    }
                }
            }
        }
        self.sessions.traffic.commands += commands;
    }

    fn execute_batch(&mut self, turn: &Turn, rules: &Rules) {
        let node = &*self.node;
        let mailbox = &node.mailboxes[self.id];
        let mut changes = 0;
        let mut exact = false;
        let mut watch = Stopwatch::start(&node.meters[self.id], &node.table, *rules);
        let mut ahead = std::mem::take(&mut self.batch.ahead);
        let Batch { entries, keys, .. } = &self.batch;
        ahead.begin(&node.store, keys);
        for (at, entry) in entries.iter().enumerate() {
            ahead.step(&node.store, keys, entry.key_count);
            if let Some(run) = watch.before(entry.command) {
                exact |= note_run(node, rules, &self.batch, &mut self.sessions, &run);
            }
            let Some(session) = self.sessions.get(entry.session) else { continue };
            let Session { client, input, out, sending_bytes, .. } = session;
            if client.closing {
                continue;
            }
            if let Some(error) = entry.refusal {
                // What came before it is answered first: it is read again then.
                if client.pending.is_some() {
                    continue;
                }
                out.error(&format!("ERR {error}"));
                client.closing = true;
                continue;
            }
            let args = self.batch.args(entry, input);
            if let Some(pending) = &mut client.pending {
                waits::hold_back(pending, &args);
                session.start = (entry.base + entry.consumed) as usize;
                continue;
            }
            let keys = Known::new(&args, self.batch.keys(entry));
            let request = Request { args: &args, command: entry.command, keys: &keys };
            client.command = None;
            let before = out.len();
            if !(rules.monitored && refuse_monitor(node, client, entry.command, out)) {
                changes += execute(node, turn, client, &request, out);
            }
            session.start = (entry.base + entry.consumed) as usize;
            if let Some(long) = watch.after(client.command, at) {
                observe_long(node, rules, client, &args, &long);
            }
            let bytes = (entry.consumed as usize, out.len().saturating_sub(before));
            if bytes.0 >= rules.request_bytes || bytes.1 >= rules.weighed_bytes {
                observe::large(node, rules, client, &args, bytes);
                waits::weigh(client, out.len() + *sending_bytes);
            }
            if rules.monitored {
                observe::watched(node, client, &args);
            }
            if entries.get(at + 1).is_none_or(|next| next.session != entry.session) {
                client.shared.note(entry.command.map_or("NULL", |row| row.name), turn.now.ms);
            }
            if client.listens() {
                let mail = (mailbox, &mut self.touched, &mut self.later);
                hear(node, &mut self.sessions, entry, before, mail);
            }
        }
        if let Some(run) = watch.stop() {
            exact |= note_run(node, rules, &self.batch, &mut self.sessions, &run);
        }
        if exact {
            self.exact_until_ms = turn.now.ms + EXACT_MS;
        }
        self.sessions.traffic.commands += self.batch.entries.len() as u64;
        if changes > 0 {
            node.stats.changes.fetch_add(changes, Ordering::Relaxed);
        }
    }

    /// Gives the replies to the sockets, and closes what is to be closed.
    fn send_replies(&mut self, settings: &Settings) {
        let limits = &settings.output_limits;
        let strict = self.node.log.is_strict();
        let (mut writes, mut output_bytes) = (0, 0);
        let query_limit = settings.client_query_buffer_limit;
        let bounded = settings.maxmemory_clients.bytes(settings.maxmemory);
        for at in 0..self.touched.len() {
            let index = self.touched[at];
            let Some(session) = self.sessions.get(index) else { continue };
            session.compact();
            let token = session.token;
            if session.is_behind(self.input_pause_bytes) != session.paused {
                session.paused = !session.paused;
                if !session.ended {
                    self.driver.receive(token, !session.paused);
                }
            }
            if bounded.is_some() {
                session.charge(&self.node.charge);
            }
            if session.client.pending.is_some() {
                self.waits.note(index, session);
            }
            if session.client.replica.is_some() && !std::mem::replace(&mut session.fed, true) {
                self.feeding.push(index);
            }
            if strict && commit::hold(&self.node.log, session, &mut self.held) {
                continue;
            }
            if session.is_output_exceeded(limits) {
                self.node.stats.output_limit_closed.fetch_add(1, Ordering::Relaxed);
                session.client.closing = true;
                self.driver.close(token, true);
                continue;
            }
            if session.is_input_exceeded(query_limit) {
                self.node.stats.query_limit_closed.fetch_add(1, Ordering::Relaxed);
                session.client.closing = true;
                self.driver.close(token, true);
                continue;
            }
            // One that waits for its replies to be sent, or complete, has requests left to execute.
            let busy = session.is_busy();
            let done = session.client.closing || session.ended && !session.ready && !busy;
            if session.sending_bytes == 0 && session.has_out(done) {
                let buffer = session.take_out(done);
                output_bytes += buffer.len() as u64;
                writes += 1;
                self.driver.send(token, buffer);
            }
            let done = session.client.closing || session.ended && !session.ready && !busy;
            let silent = session.out.is_empty() && !(session.tls.is_some() && session.has_out(true));
            if done && silent && !std::mem::replace(&mut session.closed, true) {
                self.driver.close(token, false);
            }
        }
        if let Some(limit) = bounded.filter(|limit| self.node.charge.bytes() > *limit) {
            eviction::evict(&self.node, limit);
        }
        self.sessions.traffic.output_bytes += output_bytes;
        self.sessions.traffic.writes += writes;
    }

    /// Sends what is still unsent when the node stops.
    fn say_goodbye(&mut self) -> io::Result<()> {
        self.await_disk();
        for session in self.sessions.iter_mut() {
            let answerable = self.node.log.may_be_answered(session.client.logged);
            if answerable && session.sending_bytes == 0 && session.has_out(true) {
                let buffer = session.take_out(true);
                self.driver.send(session.token, buffer);
            }
            self.driver.close(session.token, false);
        }
        self.driver.wait(Duration::from_millis(10), &mut self.sessions)
    }
}

/// Gives a session that listens, or caches, what came for it while its command ran: behind the reply, but before the
/// reply that says that nothing more will come, which begins at `before`.
#[cold]
#[inline(never)]
fn hear(
    node: &Node,
    sessions: &mut Sessions,
    entry: &Entry,
    before: usize,
    (mailbox, touched, later): (&Mailbox, &mut Vec<u32>, &mut Vec<Mail>),
) {
    let Some(session) = sessions.get(entry.session) else { return };
    let client = &mut session.client;
    client.forget_exception(entry.command.map_or("", |command| command.name));
    // What EXEC did is told behind its reply.
    let in_exec = client.command.is_some_and(|command| command.name == "exec");
    let left = std::mem::take(&mut client.left) && !in_exec;
    client.find_listens();
    let end = session.out.len();
    deliver_all(node, mailbox, sessions, touched, later);
    if left && let Some(session) = sessions.get(entry.session) {
        session.out.buffer()[before..].rotate_left(end - before);
    }
}

/// A run of quick commands took long. If it was a single command, it is noted; if not, nobody knows which it was, and
/// true says to look closer for a while.
#[cold]
fn note_run(node: &Node, rules: &Rules, batch: &Batch, sessions: &mut Sessions, run: &Long) -> bool {
    if run.count > 1 {
        return true;
    }
    let entry = &batch.entries[run.last];
    if let Some(session) = sessions.get(entry.session) {
        let args = batch.args(entry, &session.input);
        observe_long(node, rules, &session.client, &args, run);
    }
    false
}

#[cold]
fn observe_long(node: &Node, rules: &Rules, client: &Client, args: &Args<'_>, long: &Long) {
    if let Some(command) = client.command {
        observe::long(node, rules, client, command, args, long.nanos, &client.shared.address);
    }
}

/// A session that watches the others has no business with keys: nobody would know what is a reply and what is not.
#[cold]
fn refuse_monitor(node: &Node, client: &Client, command: Option<&Command>, out: &mut Reply) -> bool {
    let refused = command.is_some_and(|row| row.is(flag::READONLY | flag::WRITE))
        && node.monitors.contains(client.shared.place);
    if refused {
        out.error("ERR Replica can't interact with the keyspace");
    }
    refused
}

/// What Memcached requests are served with: the time, how uses are noted, and whether memory is full.
fn memcached_turn<'a>(
    node: &'a Node,
    worker: usize,
    run: &'a mut memcache::Run,
    (now, access, memory_full): (Now, Access, bool),
) -> memcache::Turn<'a> {
    memcache::Turn {
        store: &node.store,
        shared: &node.memcached,
        worker,
        now,
        access,
        memory_full,
        refusal: node.replication.is_restrained().then(|| replication::refusal(node, true, true)).flatten(),
        host: node,
        run,
        parcel: None,
        requests: 0,
        client: 0,
        lines: None,
        changes: 0,
        log: Some(&node.log),
        logged: 0,
    }
}
