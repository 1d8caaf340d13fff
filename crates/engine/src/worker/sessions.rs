//! The sessions of a worker, with their buffers: what the sockets talk to.

use super::parcel::Parcel;
use crate::command::long::Long;
use crate::config::OutputLimits;
use crate::replication::replicas;
use crate::session::Client;
use crate::session::eviction::Charge;
use crate::session::registry::Shared;
use crate::socket::{Sink, Token};
use crate::tls;
use crate::traffic::Figures;
use larder_protocol::resp::reply::Reply;
use larder_protocol::resp::request::Parser;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A buffer of an idle session that is larger than this is given back.
const KEPT_BYTES_MAX: usize = 16 * 1024;

/// Most bytes of requests that a session keeps, whatever `client-query-buffer-limit` says: offsets in them have 32 bits, and
/// what comes within one turn is beyond it.
const INPUT_BYTES_MAX: usize = 3 << 30;

/// The part of what stops receiving that may be left when it goes on.
const INPUT_RESUME_SHARE: usize = 4;

/// Replies waiting at a session beyond which it executes nothing more until they are sent.
pub(super) const OUTPUT_PAUSE_BYTES: usize = 32 * 1024 * 1024;
/// The same for a Memcached session, which can stop between any two requests: once a turn's worth waits for the socket, what
/// it has answered more would only take memory, and time from other sessions.
const MEMCACHED_OUTPUT_PAUSE_BYTES: usize = crate::memcache::OUTPUT_PER_TURN_BYTES_MAX;

/// Which protocol a session speaks.
pub(super) enum Protocol {
    /// Redis.
    Resp(Parser),
    /// Memcached text.
    Memcached(Box<crate::memcache::Session>),
}

/// A session with its buffers.
pub(super) struct Session {
    pub(super) token: Token,
    pub(super) client: Client,
    pub(super) protocol: Protocol,
    /// Received bytes; what lies before `start` was executed.
    pub(super) input: Vec<u8>,
    pub(super) start: usize,
    /// A large value that is received elsewhere.
    pub(super) parcel: Option<Parcel>,
    pub(super) out: Reply,
    /// Since when more waits to be sent than the soft limit.
    much_since: Option<Instant>,
    /// Bytes that are with the socket.
    pub(super) sending_bytes: usize,
    /// The buffer that was sent last, for use again.
    spare: Vec<u8>,
    /// Nothing is received, as more has come than it can execute at once.
    pub(super) paused: bool,
    /// Listed among the ready ones.
    pub(super) ready: bool,
    /// Its last turn wrote so much that it comes behind the others (see [`Heavy`](super::heavy::Heavy)).
    pub(super) heavy: bool,
    /// The peer sends nothing more.
    pub(super) ended: bool,
    /// The socket was told to close.
    pub(super) closed: bool,
    /// Bytes of it that count in [`Charge`].
    charged: u64,
    /// Its replies wait for the disk, and it executes nothing meanwhile.
    pub(super) held: bool,
    /// It is a replica, and listed among those that are fed.
    pub(super) fed: bool,
    /// Between the socket and the buffers, unless the session is plain.
    pub(super) tls: Option<Box<tls::Session>>,
}

impl Session {
    /// Bytes received and not yet executed, but for a parcel's.
    pub(super) fn unread(&self) -> usize {
        self.input.len() - self.start
    }

    /// Bytes received and not yet executed.
    pub(super) fn received(&self) -> usize {
        self.unread() + self.parcel.as_ref().map_or(0, Parcel::len)
    }

    /// True if more was received than may be: of what is not parsed, as in the original, or of one request.
    #[inline]
    pub(super) fn is_input_exceeded(&self, limit: usize) -> bool {
        let unread = self.received();
        if unread <= limit {
            return false;
        }
        let settled = match &self.protocol {
            Protocol::Resp(parser) => parser.settled(),
            Protocol::Memcached(_) => 0,
        };
        unread - settled > limit || unread > INPUT_BYTES_MAX
    }

    /// True if it watches what happens to Memcached.
    pub(super) fn watches(&self) -> bool {
        matches!(&self.protocol, Protocol::Memcached(memcached) if memcached.watches())
    }

    /// Drops what was executed, and gives a large empty buffer back.
    pub(super) fn compact(&mut self) {
        if self.start == self.input.len() {
            self.input.clear();
            if self.input.capacity() > KEPT_BYTES_MAX {
                self.input = Vec::new();
            }
            self.start = 0;
        } else if self.start > self.input.len() / 2 {
            self.input.drain(..self.start);
            self.start = 0;
        }
    }

    /// True if [`Session::take_out`] would have something. `last` is for a session that is to be closed.
    #[inline]
    pub(super) fn has_out(&self, last: bool) -> bool {
        match &self.tls {
            None => !self.out.is_empty(),
            Some(tls) => {
                tls.is_open() && !self.out.is_empty() || tls.has_output() || last && tls.owes_goodbye()
            }
        }
    }

    /// Takes the replies to be sent, leaving a buffer for the next ones.
    pub(super) fn take_out(&mut self, last: bool) -> Vec<u8> {
        let mut buffer = std::mem::take(&mut self.spare);
        match &mut self.tls {
            None => std::mem::swap(self.out.buffer(), &mut buffer),
            Some(tls) => {
                tls.seal(self.out.buffer(), last, &mut buffer);
                if self.out.buffer().capacity() > KEPT_BYTES_MAX {
                    *self.out.buffer() = Vec::new();
                }
            }
        }
        self.sending_bytes = buffer.len();
        buffer
    }

    /// True if more waits to be sent than may, or has done so for too long.
    #[inline]
    pub(super) fn is_output_exceeded(&mut self, limits: &OutputLimits) -> bool {
        let (limit, bytes) = (limits.of(&self.client), self.output_bytes() + self.gathered_bytes());
        if limit.is_hard_exceeded(bytes) {
            return true;
        }
        if limit.soft == 0 || bytes <= limit.soft {
            self.much_since = None;
            return false;
        }
        let since = *self.much_since.get_or_insert_with(Instant::now);
        since.elapsed() > Duration::from_secs(limit.soft_seconds)
    }

    pub(super) fn output_bytes(&self) -> usize {
        self.out.len() + self.sending_bytes
    }

    /// Bytes that are kept for a reply which is not complete.
    #[inline]
    pub(super) fn gathered_bytes(&self) -> usize {
        self.client.long().map_or(0, Long::memory_bytes)
    }

    /// True if there is more to execute or to send, though nothing has to come for it.
    #[inline]
    pub(super) fn is_busy(&self) -> bool {
        self.is_output_paused() || self.client.pending.as_ref().is_some_and(|pending| pending.is_busy())
    }

    /// True if so much waits to be sent that nothing more is executed until it is.
    #[inline]
    pub(super) fn is_output_paused(&self) -> bool {
        let most = match self.protocol {
            Protocol::Resp(_) => OUTPUT_PAUSE_BYTES,
            Protocol::Memcached(_) => MEMCACHED_OUTPUT_PAUSE_BYTES,
        };
        self.output_bytes() > most
    }

    /// True if nothing more should be received for now: so much of what came is still to be executed. One that waits, for
    /// its replies to be sent or for something else, is received from all the same: its client may not read before it has
    /// said everything.
    #[inline]
    pub(super) fn is_behind(&self, limit: usize) -> bool {
        let unread = self.unread();
        let most = if self.paused { limit / INPUT_RESUME_SHARE } else { limit };
        unread > most && self.ready && !self.ended && !self.is_output_paused()
    }

    /// Bytes that it takes: buffers, a parcel, queued commands, what it watches and listens to, itself.
    pub(super) fn memory_bytes(&self) -> u64 {
        let client = &self.client;
        let queued = client.transaction.as_ref().map_or(0, |queue| queue.memory_bytes());
        let named = client.watching.memory_bytes()
            + client.subscriptions.as_ref().map_or(0, |names| names.memory_bytes());
        let parcel = self.parcel.as_ref().map_or(0, Parcel::memory_bytes);
        let buffers =
            self.input.capacity() + self.out.capacity() + self.sending_bytes + self.spare.capacity();
        (size_of::<Session>() + buffers + parcel + queued + named + self.gathered_bytes()) as u64
    }

    /// Brings what counts of it up to date.
    #[inline]
    pub(super) fn charge(&mut self, charge: &Charge) {
        let bytes = self.memory_bytes();
        if bytes != self.charged {
            self.client.shared.total_bytes.store(bytes, Ordering::Relaxed);
            charge.add(bytes as i64 - self.charged as i64);
            self.charged = bytes;
        }
    }

    /// Takes it out of what counts.
    pub(super) fn discharge(&mut self, charge: &Charge) {
        charge.add(-(std::mem::take(&mut self.charged) as i64));
    }

    /// Tells the public side what changed.
    pub(super) fn publish(&self) {
        let shared: &Arc<Shared> = &self.client.shared;
        shared.input_bytes.store(self.received() as u64, Ordering::Relaxed);
        shared.output_bytes.store(self.output_bytes() as u64, Ordering::Relaxed);
        shared.total_bytes.store(self.memory_bytes(), Ordering::Relaxed);
        shared.db.store(self.client.db, Ordering::Relaxed);
        let queued = self.client.transaction.as_ref().map_or(-1, |t| t.queued.len() as i64);
        shared.queued.store(queued, Ordering::Relaxed);
        shared.watched.store(self.client.watching.len() as u32, Ordering::Relaxed);
        shared.resp.store(if self.out.is_resp3() { 3 } else { 2 }, Ordering::Relaxed);
    }
}

/// All sessions of a worker.
#[derive(Default)]
pub(super) struct Sessions {
    slots: Vec<Option<Box<Session>>>,
    /// Sessions with input to look at, in the order in which it came.
    pub(super) ready: Vec<u32>,
    /// Sessions whose handshakes want time, in the order in which they asked.
    pub(super) handshakes: VecDeque<u32>,
    /// Sessions whose replies were sent, which they waited for.
    pub(super) drained: Vec<u32>,
    /// Connections that a listener accepted.
    pub(super) accepted: Vec<(usize, OwnedFd)>,
    /// Sessions that are gone.
    #[expect(clippy::vec_box, reason = "a session is moved here by its pointer")]
    pub(super) gone: Vec<Box<Session>>,
    /// What passed since the worker looked.
    pub(super) traffic: Figures,
}

impl Sessions {
    pub(super) fn insert(
        &mut self,
        token: Token,
        client: Client,
        protocol: Protocol,
        tls: Option<Box<tls::Session>>,
    ) {
        let index = token.index as usize;
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, || None);
        }
        self.slots[index] = Some(Box::new(Session {
            token,
            client,
            protocol,
            input: Vec::new(),
            start: 0,
            parcel: None,
            out: Reply::default(),
            much_since: None,
            sending_bytes: 0,
            spare: Vec::new(),
            paused: false,
            ready: false,
            heavy: false,
            ended: false,
            closed: false,
            charged: 0,
            held: false,
            fed: false,
            tls,
        }));
    }

    #[inline]
    pub(super) fn get(&mut self, index: u32) -> Option<&mut Session> {
        self.slots.get_mut(index as usize)?.as_deref_mut()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.slots.iter_mut().flatten().map(|session| &mut **session)
    }

    #[inline]
    fn of(&mut self, token: Token) -> Option<&mut Session> {
        self.get(token.index).filter(|session| session.token == token)
    }

    /// Lists a session as ready, once.
    #[inline]
    pub(super) fn make_ready(&mut self, index: u32) {
        if let Some(session) = self.get(index)
            && !std::mem::replace(&mut session.ready, true)
        {
            self.ready.push(index);
        }
    }
}

impl Sink for Sessions {
    fn accepted(&mut self, listener: usize, fd: OwnedFd) {
        self.accepted.push((listener, fd));
    }

    #[inline]
    fn received(&mut self, token: Token, bytes: &[u8]) {
        self.traffic.input_bytes += bytes.len() as u64;
        self.traffic.reads += 1;
        if let Some(session) = self.of(token) {
            if session.tls.is_some() {
                return self.received_sealed(token.index, bytes);
            }
            session.receive(bytes);
            self.make_ready(token.index);
        }
    }

    #[inline]
    fn sent(&mut self, token: Token, mut buffer: Vec<u8>) {
        let Some(session) = self.of(token) else { return };
        session.sending_bytes = 0;
        // A replica is sent much, and without end: fresh memory for it would cost more than the copy.
        let kept_max = if session.fed { replicas::KEPT_BYTES_MAX } else { KEPT_BYTES_MAX };
        if buffer.capacity() <= kept_max {
            buffer.clear();
            session.spare = buffer;
        }
        let waits = session.client.pending.as_ref().is_some_and(|pending| pending.sends);
        // More may wait to be sent, or to be executed, or to be closed.
        if session.has_out(false) || session.unread() > 0 || session.ended || session.client.closing {
            self.make_ready(token.index);
        }
        if waits {
            self.drained.push(token.index);
        }
    }

    fn ended(&mut self, token: Token) {
        if let Some(session) = self.of(token) {
            session.ended = true;
            if session.tls.as_ref().is_some_and(|tls| !tls.is_open()) {
                session.out.buffer().clear(); // it will never be possible to send it
            }
            self.make_ready(token.index);
        }
    }

    fn closed(&mut self, token: Token) {
        if self.of(token).is_some() {
            self.gone.extend(self.slots[token.index as usize].take());
        }
    }
}
