//! Sockets by epoll, level-triggered: for kernels that forbid io_uring.

use super::{Sink, Token};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown, SocketFlags, accept_with, send, shutdown};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Bytes read from one connection before others have their turn.
const READ_BYTES: usize = 64 * 1024;
/// Events taken at a time.
const EVENTS: usize = 256;
/// Connections accepted in a row.
const ACCEPT_MAX: usize = 64;

const WAKE: u64 = u64::MAX;
const LISTENER: u64 = 1 << 63;

struct Connection {
    fd: OwnedFd,
    generation: u32,
    /// What is on its way, and how much of it is gone.
    sending: Option<(Vec<u8>, usize)>,
    /// More follows that.
    followed: bool,
    reading: bool,
    closing: bool,
    /// What epoll was told to watch.
    interest: EventFlags,
}

/// See the module.
pub struct Epoll {
    epoll: OwnedFd,
    wake: OwnedFd,
    listeners: Vec<Option<OwnedFd>>,
    connections: Vec<Option<Connection>>,
    free: Vec<u32>,
    generation: u32,
    /// Connections with something to be reported without an event.
    pending: Vec<Token>,
    /// Something was sent that more follows: no time to sleep.
    hurries: bool,
    buffer: Vec<u8>,
    events: Vec<Event>,
}

impl Epoll {
    pub(super) fn new(wake: BorrowedFd<'_>) -> io::Result<Epoll> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let wake = wake.try_clone_to_owned()?;
        epoll::add(&epoll, &wake, EventData::new_u64(WAKE), EventFlags::IN)?;
        Ok(Epoll {
            epoll,
            wake,
            listeners: Vec::new(),
            connections: Vec::new(),
            free: Vec::new(),
            generation: 0,
            pending: Vec::new(),
            hurries: false,
            buffer: Vec::with_capacity(READ_BYTES),
            events: Vec::with_capacity(EVENTS),
        })
    }

    pub(super) fn listen(&mut self, number: usize, listener: OwnedFd) -> io::Result<()> {
        let data = EventData::new_u64(LISTENER | number as u64);
        epoll::add(&self.epoll, &listener, data, EventFlags::IN)?;
        if number >= self.listeners.len() {
            self.listeners.resize_with(number + 1, || None);
        }
        self.listeners[number] = Some(listener);
        Ok(())
    }

    pub(super) fn end_listener(&mut self, number: usize) {
        if let Some(listener) = self.listeners.get_mut(number).and_then(Option::take) {
            // Somebody else may have another handle of the socket, and then closing this one is not enough.
            let _ = epoll::delete(&self.epoll, &listener);
        }
    }

    pub(super) fn stop_listening(&mut self) {
        self.listeners.clear();
    }

    pub(super) fn add(&mut self, fd: OwnedFd) -> io::Result<Token> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        let index = self.free.pop().unwrap_or(self.connections.len() as u32);
        self.generation = self.generation.wrapping_add(1) & 0x3fff_ffff;
        let token = Token { index, generation: self.generation };
        epoll::add(&self.epoll, &fd, EventData::new_u64(pack(token)), EventFlags::IN)?;
        let connection = Connection {
            fd,
            generation: token.generation,
            sending: None,
            followed: false,
            reading: true,
            closing: false,
            interest: EventFlags::IN,
        };
        if index as usize == self.connections.len() {
            self.connections.push(None);
        }
        self.connections[index as usize] = Some(connection);
        Ok(token)
    }

    fn get(&mut self, token: Token) -> Option<&mut Connection> {
        let connection = self.connections.get_mut(token.index as usize)?.as_mut()?;
        (connection.generation == token.generation).then_some(connection)
    }

    pub(super) fn send(&mut self, token: Token, buffer: Vec<u8>) {
        if let Some(connection) = self.get(token) {
            (connection.sending, connection.followed) = (Some((buffer, 0)), false);
            self.pending.push(token);
        }
    }

    pub(super) fn send_followed(&mut self, token: Token, buffer: Vec<u8>) {
        self.send(token, buffer);
        if let Some(connection) = self.get(token) {
            connection.followed = true;
        }
    }

    pub(super) fn close(&mut self, token: Token, now: bool) {
        let Some(connection) = self.get(token) else { return };
        connection.closing = true;
        if now {
            connection.sending = None;
        }
        self.pending.push(token);
    }

    pub(super) fn receive(&mut self, token: Token, on: bool) {
        if let Some(connection) = self.get(token) {
            connection.reading = on;
        }
        self.watch(token);
    }

    /// Tells epoll what matters of a connection now.
    fn watch(&mut self, token: Token) {
        let Some(connection) = self.get(token) else { return };
        let mut interest = EventFlags::empty();
        interest.set(EventFlags::IN, connection.reading && !connection.closing);
        interest.set(EventFlags::OUT, connection.sending.is_some());
        if interest == connection.interest {
            return;
        }
        connection.interest = interest;
        let Some(Some(connection)) = self.connections.get(token.index as usize) else { return };
        // It can only fail for a descriptor that epoll does not know, and this one was added.
        let _ = epoll::modify(&self.epoll, &connection.fd, EventData::new_u64(pack(token)), interest);
    }

    pub(super) fn wait(&mut self, timeout: Duration, sink: &mut impl Sink) -> io::Result<()> {
        for token in std::mem::take(&mut self.pending) {
            self.flush(token, sink);
        }
        self.events.clear();
        let timeout = if std::mem::take(&mut self.hurries) { Duration::ZERO } else { timeout };
        let timeout = rustix::time::Timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Err(Errno::INTR) => return Ok(()),
            other => other?,
        };
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            match event.data.u64() {
                WAKE => drain(&self.wake),
                data if data & LISTENER != 0 => self.accept((data & !LISTENER) as usize, sink),
                data => self.ready(unpack(data), event.flags, sink),
            }
        }
        self.events = events; // its room is needed: epoll refuses to tell of no event
        Ok(())
    }

    fn ready(&mut self, token: Token, flags: EventFlags, sink: &mut impl Sink) {
        if flags.intersects(EventFlags::OUT) {
            self.flush(token, sink);
        }
        let broken = flags.intersects(EventFlags::HUP | EventFlags::ERR);
        if self.get(token).is_some_and(|connection| connection.reading && !connection.closing) {
            self.read(token, sink);
        } else if broken {
            self.drop_connection(token, sink);
        }
    }

    fn read(&mut self, token: Token, sink: &mut impl Sink) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let Some(connection) = self.get(token) else {
            self.buffer = buffer;
            return;
        };
        match rustix::io::read(&connection.fd, spare_capacity(&mut buffer)) {
            Ok(0) => {
                self.receive(token, false);
                sink.ended(token);
            }
            Ok(_) => sink.received(token, &buffer),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.drop_connection(token, sink),
        }
        self.buffer = buffer;
    }

    fn flush(&mut self, token: Token, sink: &mut impl Sink) {
        let Some(connection) = self.get(token) else { return };
        if let Some((buffer, gone)) = &mut connection.sending {
            match send(&connection.fd, &buffer[*gone..], SendFlags::NOSIGNAL) {
                Ok(sent) => *gone += sent,
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => return self.drop_connection(token, sink),
            }
            if *gone == buffer.len()
                && let Some((buffer, _)) = connection.sending.take()
            {
                let followed = connection.followed;
                self.hurries |= followed;
                sink.sent(token, buffer);
            }
        }
        match self.get(token) {
            Some(connection) if connection.closing && connection.sending.is_none() => {
                self.drop_connection(token, sink);
            }
            _ => self.watch(token),
        }
    }

    fn drop_connection(&mut self, token: Token, sink: &mut impl Sink) {
        if self.get(token).is_none() {
            return;
        }
        if let Some(connection) = self.connections[token.index as usize].take() {
            let _ = shutdown(&connection.fd, Shutdown::Both); // it may be shut down already
            self.free.push(token.index);
            sink.closed(token);
        }
    }

    fn accept(&mut self, index: usize, sink: &mut impl Sink) {
        let Some(Some(listener)) = self.listeners.get(index) else { return };
        for _ in 0..ACCEPT_MAX {
            match accept_with(listener.as_fd(), SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(fd) => sink.accepted(index, fd),
                Err(_) => return, // none left, or one that is gone already
            }
        }
    }
}

fn pack(token: Token) -> u64 {
    u64::from(token.generation) << 32 | u64::from(token.index)
}

fn unpack(data: u64) -> Token {
    Token { index: data as u32, generation: (data >> 32) as u32 }
}

/// Empties an eventfd.
fn drain(wake: &OwnedFd) {
    let _ = rustix::io::read(wake, &mut [0; 8]); // non-blocking: nothing there is fine
}
