//! Sockets by io_uring: one system call per turn for everything that was given and everything that happened.
//!
//! Receiving is multishot into a ring of shared buffers, so an idle connection holds no buffer; accepting is multishot
//! too. Time comes as a multishot timeout that was set once: to arm a timer for each wait costs as much as a request.
//! A connection's slot is used again only when every operation on it has completed, so a completion can never be
//! taken for another connection's: the kernel holds the file until then.
//!
//! Invariant of the unsafe code: memory that the kernel was given the address of (the buffers of the ring, and the
//! send buffer of a connection) is neither moved nor freed until the completion that gives it back was seen. Send
//! buffers live in their connection's slot, which is kept until then; when a driver is dropped, the ring is closed
//! before the memory goes.

use super::gather::Gather;
use super::{Sink, TICK, Token};
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use rustix::net::{Shutdown, shutdown, sockopt};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// Most receive buffers of a worker, a power of two.
const BUFFERS: u16 = 256;
/// How many there are at first. The kernel takes them in turn, so that with many of them each is out of the cache when its
/// turn comes again.
const BUFFERS_FIRST: u16 = 32;
/// The fewest that there are where little may be received at a time.
const BUFFERS_MIN: u16 = 4;
/// Bytes of a receive buffer.
const BUFFER_BYTES: usize = 16 * 1024;
/// Bytes of the ring's entries, which stand before the buffers.
const ENTRY_BYTES: usize = BUFFERS as usize * size_of::<types::BufRingEntry>();
/// Entries of the submission queue.
const ENTRIES: u32 = 1024;

/// Completions that a wait asks for at most.
const WANT_MAX: usize = 1024;
/// The period of the ticks, at an address that stays.
static PERIOD: types::Timespec = types::Timespec::new().nsec(TICK.subsec_nanos());

/// What a completion belongs to, in the upper byte of its user data.
mod kind {
    pub(super) const ACCEPT: u64 = 1 << 56;
    pub(super) const WAKE: u64 = 2 << 56;
    pub(super) const RECEIVE: u64 = 3 << 56;
    pub(super) const SEND: u64 = 4 << 56;
    pub(super) const CANCEL: u64 = 5 << 56;
    pub(super) const TICK: u64 = 6 << 56;
    pub(super) const MASK: u64 = 0xff << 56;
}

struct Connection {
    fd: OwnedFd,
    generation: u32,
    /// What is on its way, and how much of it is gone. Not touched while `send_pending`.
    sending: Vec<u8>,
    gone: usize,
    send_pending: bool,
    receive_pending: bool,
    /// Whether the worker wants to receive.
    wanted: bool,
    closing: bool,
    /// The peer is gone, or sending failed: nothing more can be said.
    broken: bool,
    /// Something that came after the end was thrown away.
    discarded: bool,
    /// When it was counted as active (see [`Gather`]).
    counted: u32,
}

struct Listening {
    fd: OwnedFd,
    /// It is closed as soon as the kernel is done with it.
    ended: bool,
}

/// See the module.
pub struct Uring {
    ring: IoUring,
    buffers: Buffers,
    wake: OwnedFd,
    wake_armed: bool,
    listeners: Vec<Option<Listening>>,
    connections: Vec<Option<Connection>>,
    free: Vec<u32>,
    generation: u32,
    backlog: Vec<squeue::Entry>,
    completions: Vec<(u64, i32, u32)>,
    /// Sends queued since the last submission that complete as soon as they are submitted.
    prompt_sends: usize,
    /// How many sessions to wait for; none where the kernel cannot bound such a wait (Linux before 6.12).
    gather: Option<Gather>,
    /// Completions of this turn that brought bytes.
    receipts: usize,
    ticks: Ticks,
    /// Connections whose receive has to be armed again.
    rearm: Vec<Token>,
    /// Listeners to arm again, after accepting failed (too many files): not at once, or it would spin.
    accept_later: Vec<usize>,
}

/// Whether time comes by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ticks {
    Unarmed,
    Armed,
    /// Linux before 6.4: each wait has a timer of its own.
    Unknown,
}

/// The ring of receive buffers that is shared with the kernel.
struct Buffers {
    /// The entries, and behind them the buffers, in a mapping of their own: they belong to the sockets as the kernel's buffers
    /// do, and pages of it that were never used are nobody's, so that they are no part of what `maxmemory` bounds.
    entries: *mut types::BufRingEntry,
    bytes: usize,
    tail: u16,
    /// How many buffers there are so far.
    count: u16,
    /// How many there may be.
    most: u16,
    /// They were not enough in this turn.
    lacking: bool,
}

impl Buffers {
    fn new(ring: &IoUring, most: u16) -> io::Result<Buffers> {
        let bytes = ENTRY_BYTES + usize::from(BUFFERS) * BUFFER_BYTES;
        // SAFETY: an anonymous mapping of our own; checked below.
        let entries = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                bytes,
                rustix::mm::ProtFlags::READ | rustix::mm::ProtFlags::WRITE,
                rustix::mm::MapFlags::PRIVATE,
            )?
        };
        let mut buffers = Buffers { entries: entries.cast(), bytes, tail: 0, count: 0, most, lacking: false };
        // SAFETY: the mapping is page-aligned, large enough for the entries, and unmapped only after the ring closed.
        unsafe { ring.submitter().register_buf_ring_with_flags(entries as u64, BUFFERS, 0, 0)? };
        buffers.grow(BUFFERS_FIRST);
        buffers.publish();
        Ok(buffers)
    }

    /// Makes more buffers, as far as there may be more.
    fn grow(&mut self, count: u16) {
        let count = count.min(self.most);
        (self.count..count).for_each(|id| self.put(id));
        self.count = count;
    }

    /// Where a buffer begins.
    fn start(&self, id: u16) -> *mut u8 {
        assert!(id < BUFFERS);
        // SAFETY: the mapping has room for so many buffers behind the entries.
        unsafe { self.entries.cast::<u8>().add(ENTRY_BYTES + usize::from(id) * BUFFER_BYTES) }
    }

    fn get(&self, id: u16, len: usize) -> &[u8] {
        let len = len.min(BUFFER_BYTES);
        // SAFETY: within the mapping, whose pages are zero until they are written; the kernel writes into a buffer only
        // after `put`, for which the slice has to be gone.
        unsafe { std::slice::from_raw_parts(self.start(id), len) }
    }

    /// Gives a buffer back; the kernel sees it after `publish`.
    fn put(&mut self, id: u16) {
        let start = self.start(id);
        // SAFETY: the index is below the number of entries; the kernel does not read an entry before `publish`.
        let entry = unsafe { &mut *self.entries.add(usize::from(self.tail & (BUFFERS - 1))) };
        entry.set_addr(start as u64);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&self) {
        // SAFETY: the tail lies within the first entry of the mapping, and is shared with the kernel as an atomic.
        let tail = unsafe { &*types::BufRingEntry::tail(self.entries).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: mapped in `new` with this length; the ring is closed before (field order in `Uring`).
        let _ = unsafe { rustix::mm::munmap(self.entries.cast(), self.bytes) };
    }
}

impl Uring {
    pub(super) fn new(wake: BorrowedFd<'_>, received_max: usize) -> io::Result<Uring> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_coop_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(4 * ENTRIES)
            .build(ENTRIES)?;
        let most = u16::try_from(received_max / BUFFER_BYTES).unwrap_or(BUFFERS);
        let buffers = Buffers::new(&ring, most.clamp(BUFFERS_MIN, BUFFERS))?;
        let gather = ring.params().is_feature_min_timeout().then(Gather::new);
        Ok(Uring {
            ring,
            buffers,
            wake: wake.try_clone_to_owned()?,
            wake_armed: false,
            listeners: Vec::new(),
            connections: Vec::new(),
            free: Vec::new(),
            generation: 0,
            backlog: Vec::new(),
            completions: Vec::new(),
            prompt_sends: 0,
            gather,
            receipts: 0,
            ticks: Ticks::Unarmed,
            rearm: Vec::new(),
            accept_later: Vec::new(),
        })
    }

    /// Queues an operation; what does not fit goes with a later submission.
    fn push(&mut self, entry: squeue::Entry) {
        if self.backlog.is_empty() {
            // SAFETY: every entry names a descriptor that is open until its completion, and memory as the head says.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return;
            }
        }
        self.backlog.push(entry);
    }

    fn push_backlog(&mut self) -> io::Result<()> {
        while !self.backlog.is_empty() {
            let room = {
                let queue = self.ring.submission();
                queue.capacity() - queue.len()
            };
            if room == 0 {
                self.ring.submit()?;
                continue;
            }
            for entry in self.backlog.drain(..room.min(self.backlog.len())) {
                // SAFETY: as in `push`; there is room.
                let _ = unsafe { self.ring.submission().push(&entry) };
            }
        }
        Ok(())
    }

    pub(super) fn listen(&mut self, number: usize, listener: OwnedFd) -> io::Result<()> {
        if number >= self.listeners.len() {
            self.listeners.resize_with(number + 1, || None);
        }
        self.listeners[number] = Some(Listening { fd: listener, ended: false });
        self.accept_later.push(number);
        Ok(())
    }

    pub(super) fn end_listener(&mut self, number: usize) {
        if let Some(Some(listener)) = self.listeners.get_mut(number) {
            listener.ended = true;
            let _ = shutdown(&listener.fd, Shutdown::Both); // ends the multishot accept; its completion closes the socket
        }
    }

    pub(super) fn stop_listening(&mut self) {
        for listener in std::mem::take(&mut self.listeners).into_iter().flatten() {
            let _ = shutdown(&listener.fd, Shutdown::Both); // ends the multishot accept
        }
    }

    pub(super) fn add(&mut self, fd: OwnedFd) -> io::Result<Token> {
        let index = self.free.pop().unwrap_or(self.connections.len() as u32);
        self.generation = self.generation.wrapping_add(1) & 0xff_ffff;
        let token = Token { index, generation: self.generation };
        if index as usize == self.connections.len() {
            self.connections.push(None);
        }
        self.connections[index as usize] = Some(Connection {
            fd,
            generation: token.generation,
            sending: Vec::new(),
            gone: 0,
            send_pending: false,
            receive_pending: false,
            wanted: true,
            closing: false,
            broken: false,
            discarded: false,
            counted: 0,
        });
        self.arm(token);
        Ok(token)
    }

    fn get(&mut self, token: Token) -> Option<&mut Connection> {
        let connection = self.connections.get_mut(token.index as usize)?.as_mut()?;
        (connection.generation == token.generation).then_some(connection)
    }

    fn arm(&mut self, token: Token) {
        let Some(connection) = self.get(token) else { return };
        if connection.receive_pending || connection.broken || connection.closing {
            return;
        }
        connection.receive_pending = true;
        let fd = types::Fd(connection.fd.as_raw_fd());
        self.push(opcode::RecvMulti::new(fd, 0).build().user_data(pack(kind::RECEIVE, token)));
    }

    pub(super) fn receive(&mut self, token: Token, on: bool) {
        let Some(connection) = self.get(token) else { return };
        connection.wanted = on;
        if on {
            self.arm(token);
        } else if connection.receive_pending {
            self.cancel_receive(token);
        }
    }

    fn cancel_receive(&mut self, token: Token) {
        let cancel = opcode::AsyncCancel::new(pack(kind::RECEIVE, token)).build();
        self.push(cancel.user_data(kind::CANCEL));
    }

    pub(super) fn send(&mut self, token: Token, buffer: Vec<u8>) {
        self.begin_to_send(token, buffer, true);
    }

    /// It completes once everything is taken, and as that is not expected at once, a wait ends with it.
    pub(super) fn send_followed(&mut self, token: Token, buffer: Vec<u8>) {
        self.begin_to_send(token, buffer, false);
    }

    fn begin_to_send(&mut self, token: Token, buffer: Vec<u8>, promptly: bool) {
        let Some(connection) = self.get(token) else { return };
        if connection.send_pending || connection.broken {
            return; // broken: `closed` is on its way; one at a time is the caller's promise
        }
        (connection.sending, connection.gone) = (buffer, 0);
        self.push_send(token, promptly);
    }

    /// Sends what is not gone yet: promptly, which completes at once with what the socket takes, or else when it takes
    /// everything.
    fn push_send(&mut self, token: Token, promptly: bool) {
        let Some(connection) = self.get(token) else { return };
        connection.send_pending = true;
        let rest = &connection.sending[connection.gone..];
        let len = u32::try_from(rest.len()).unwrap_or(1 << 30);
        let entry = opcode::Send::new(types::Fd(connection.fd.as_raw_fd()), rest.as_ptr(), len)
            .flags(libc::MSG_NOSIGNAL | if promptly { libc::MSG_DONTWAIT } else { libc::MSG_WAITALL })
            .build();
        self.push(entry.user_data(pack(kind::SEND, token)));
        self.prompt_sends += usize::from(promptly);
    }

    pub(super) fn close(&mut self, token: Token, now: bool) {
        let Some(connection) = self.get(token) else { return };
        connection.closing = true;
        if now || !connection.send_pending {
            let _ = shutdown(&connection.fd, Shutdown::Both); // it may be shut down already
        }
        if !connection.receive_pending && !connection.send_pending {
            self.rearm.push(token); // nothing will complete: looked at in the next turn
        }
    }

    /// So many requests were served since the last call.
    pub(super) fn served(&mut self, requests: u64) {
        if let Some(gather) = &mut self.gather {
            gather.served(requests);
        }
    }

    /// True if the kernel has something to complete with the next call.
    pub(super) fn has_more(&mut self) -> bool {
        self.ring.submission().taskrun()
    }

    pub(super) fn wait(&mut self, timeout: Duration, sink: &mut impl Sink) -> io::Result<()> {
        self.arm_all(sink);
        self.push_backlog()?;
        let waits = timeout == TICK && self.ticks == Ticks::Armed;
        match self.submit(timeout) {
            Ok(_) => {}
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => {}
                _ => return Err(error),
            },
        }
        self.receipts = 0;
        let mut completions = std::mem::take(&mut self.completions);
        completions.extend(self.ring.completion().map(|c| (c.user_data(), c.result(), c.flags())));
        for (data, result, flags) in completions.drain(..) {
            self.complete(data, result, flags, sink);
        }
        self.completions = completions;
        if std::mem::take(&mut self.buffers.lacking) {
            self.buffers.grow(2 * self.buffers.count);
        }
        self.buffers.publish();
        if let Some(gather) = &mut self.gather {
            if waits {
                gather.came(self.receipts);
            }
            gather.turn();
        }
        Ok(())
    }

    /// Submits and waits. Prompt sends complete in the call that submits them; were they not counted, it would return
    /// for them alone, and every turn would need a second call for the next request.
    fn submit(&mut self, timeout: Duration) -> io::Result<usize> {
        let sends = std::mem::take(&mut self.prompt_sends);
        let want = (sends + 1).min(WANT_MAX);
        let several = self.gather.as_ref().map_or(1, Gather::want);
        let submitter = self.ring.submitter();
        if timeout.is_zero() {
            submitter.submit_with_args(0, &types::SubmitArgs::new())
        } else if timeout == TICK && self.ticks == Ticks::Armed && several == 1 {
            submitter.submit_and_wait(want)
        } else if timeout == TICK && self.ticks == Ticks::Armed {
            let wait = self.gather.as_ref().map_or(Duration::ZERO, Gather::wait);
            let bounds = types::SubmitArgs::new().timespec(&PERIOD).min_wait_usec(wait.as_micros() as u32);
            submitter.submit_with_args((sends + several).min(WANT_MAX), &bounds)
        } else {
            let timeout = types::Timespec::from(timeout);
            submitter.submit_with_args(want, &types::SubmitArgs::new().timespec(&timeout))
        }
    }

    fn arm_all(&mut self, sink: &mut impl Sink) {
        if !self.wake_armed {
            self.wake_armed = true;
            let poll = opcode::PollAdd::new(types::Fd(self.wake.as_raw_fd()), libc::POLLIN as u32);
            self.push(poll.multi(true).build().user_data(kind::WAKE));
        }
        if self.ticks == Ticks::Unarmed {
            self.ticks = Ticks::Armed;
            let ticks = opcode::Timeout::new(&raw const PERIOD).flags(types::TimeoutFlags::MULTISHOT);
            self.push(ticks.build().user_data(kind::TICK));
        }
        for index in std::mem::take(&mut self.accept_later) {
            let Some(slot) = self.listeners.get_mut(index) else { continue };
            if let Some(listener) = slot.take_if(|listener| listener.ended) {
                drop(listener);
            } else if let Some(listener) = slot {
                let accept = opcode::AcceptMulti::new(types::Fd(listener.fd.as_raw_fd()))
                    .flags(libc::SOCK_CLOEXEC)
                    .build();
                self.push(accept.user_data(kind::ACCEPT | index as u64));
            }
        }
        for token in std::mem::take(&mut self.rearm) {
            if self.get(token).is_some_and(|c| c.wanted) {
                self.arm(token);
            }
            self.finish(token, sink);
        }
    }

    fn complete(&mut self, data: u64, result: i32, flags: u32, sink: &mut impl Sink) {
        match data & kind::MASK {
            kind::RECEIVE => self.received(unpack(data), result, flags, sink),
            kind::SEND => self.sent(unpack(data), result, sink),
            kind::ACCEPT => self.accepted(data & !kind::MASK, result, flags, sink),
            kind::WAKE => {
                let _ = rustix::io::read(&self.wake, &mut [0; 8]); // non-blocking: nothing there is fine
                self.wake_armed = cqueue::more(flags);
            }
            kind::TICK if !cqueue::more(flags) => {
                self.ticks = if result == -libc::EINVAL { Ticks::Unknown } else { Ticks::Unarmed };
            }
            _ => {}
        }
    }

    fn accepted(&mut self, listener: u64, result: i32, flags: u32, sink: &mut impl Sink) {
        if result >= 0 {
            // SAFETY: a descriptor that the kernel has just made for us.
            let fd = unsafe { OwnedFd::from_raw_fd(result as RawFd) };
            sink.accepted(listener as usize, fd);
        }
        if !cqueue::more(flags) {
            self.accept_later.push(listener as usize);
        }
    }

    fn received(&mut self, token: Token, result: i32, flags: u32, sink: &mut impl Sink) {
        if let Some(id) = cqueue::buffer_select(flags) {
            let wanted = self.get(token).is_some_and(|c| !c.closing);
            if wanted && let Ok(len @ 1..) = usize::try_from(result) {
                self.count(token);
                sink.received(token, self.buffers.get(id, len));
            }
            self.buffers.put(id);
        }
        let Some(connection) = self.get(token) else { return };
        connection.discarded |= connection.closing && result > 0;
        if cqueue::more(flags) {
            return;
        }
        connection.receive_pending = false;
        match result {
            1.. => self.rearm.push(token),
            // Out of buffers, or told to stop: armed again when it is wanted.
            _ if result == -libc::ENOBUFS => {
                self.buffers.lacking = true;
                self.rearm.push(token);
            }
            _ if result == -libc::ECANCELED => self.rearm.push(token),
            0 if !connection.closing => {
                connection.wanted = false;
                sink.ended(token);
            }
            _ => connection.broken = true,
        }
        self.finish(token, sink);
    }

    /// Counts bytes that came.
    fn count(&mut self, token: Token) {
        self.receipts += 1;
        if let (Some(gather), Some(Some(connection))) =
            (&mut self.gather, self.connections.get_mut(token.index as usize))
        {
            gather.count(&mut connection.counted);
        }
    }

    fn sent(&mut self, token: Token, result: i32, sink: &mut impl Sink) {
        let Some(connection) = self.get(token) else { return };
        connection.send_pending = false;
        match usize::try_from(result) {
            Ok(sent) if sent > 0 => connection.gone += sent,
            _ if result == -libc::EAGAIN => {} // it was to be prompt, and the socket is full
            _ => {
                connection.broken = true;
                let _ = shutdown(&connection.fd, Shutdown::Both); // ends the receive too
            }
        }
        if connection.gone < connection.sending.len() && !connection.broken {
            return self.push_send(token, false);
        }
        let buffer = std::mem::take(&mut connection.sending);
        if connection.closing {
            let _ = shutdown(&connection.fd, Shutdown::Both);
        }
        sink.sent(token, buffer);
        self.finish(token, sink);
    }

    /// Lets a connection go when it is over and nothing of it is with the kernel.
    fn finish(&mut self, token: Token, sink: &mut impl Sink) {
        let Some(connection) = self.get(token) else { return };
        let over = connection.broken || connection.closing;
        if over && !connection.receive_pending && !connection.send_pending {
            if connection.discarded {
                // The kernel resets a connection that is closed with something unread, but here all was read. Without
                // a reset the peer would go on trying to send, for a minute.
                let _ = sockopt::set_socket_linger(&connection.fd, Some(Duration::ZERO));
            }
            self.connections[token.index as usize] = None;
            self.free.push(token.index);
            sink.closed(token);
        }
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        // Whatever is with the kernel still has its memory: the ring is closed first, by leaking nothing but order.
        let mut open = 0;
        for connection in self.connections.iter().flatten() {
            let _ = shutdown(&connection.fd, Shutdown::Both);
            open += usize::from(connection.send_pending);
        }
        let timeout = types::Timespec::from(Duration::from_millis(100));
        for _ in 0..open {
            let wait = types::SubmitArgs::new().timespec(&timeout);
            if self.ring.submitter().submit_with_args(1, &wait).is_err() {
                break;
            }
            self.ring.completion().for_each(drop);
        }
    }
}

fn pack(kind: u64, token: Token) -> u64 {
    kind | u64::from(token.generation) << 32 | u64::from(token.index)
}

fn unpack(data: u64) -> Token {
    Token { index: data as u32, generation: (data >> 32) as u32 & 0xff_ffff }
}
