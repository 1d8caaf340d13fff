//! Sockets: how bytes come and go.
//!
//! A worker drives one [`Driver`]: io_uring ([`uring`]), or epoll ([`epoll`]) where the kernel forbids it. Both look
//! the same from outside: connections are named by [`Token`]s, received bytes are handed to a [`Sink`] while waiting,
//! and a reply buffer is given away to be sent and comes back when it was. Nothing here knows a protocol.

pub mod admit;
mod epoll;
mod gather;
pub mod listen;
mod uring;

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

/// A connection of a worker. Numbers are used again; the generation tells an old connection from a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Index, dense and small.
    pub index: u32,
    generation: u32,
}

/// What a worker hears while it waits.
pub trait Sink {
    /// A connection arrived at a listener (an index in the order they were added).
    fn accepted(&mut self, listener: usize, fd: OwnedFd);
    /// Bytes arrived.
    fn received(&mut self, token: Token, bytes: &[u8]);
    /// A buffer was sent completely; it is given back for use again.
    fn sent(&mut self, token: Token, buffer: Vec<u8>);
    /// The peer will send nothing more; replies can still be sent. The worker closes when it has said everything.
    fn ended(&mut self, token: Token);
    /// The connection is gone; its token is never heard of again.
    fn closed(&mut self, token: Token);
}

/// Which way of talking to the kernel to use (`io-engine`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// io_uring, or epoll if the kernel does not allow it.
    #[default]
    Auto,
    /// io_uring or nothing.
    Uring,
    /// epoll.
    Epoll,
}

/// One worker's sockets.
pub enum Driver {
    /// io_uring.
    Uring(Box<uring::Uring>),
    /// epoll.
    Epoll(Box<epoll::Epoll>),
}

/// Calls the same method of either driver.
macro_rules! either {
    ($self:ident, $driver:ident => $call:expr) => {
        match $self {
            Driver::Uring($driver) => $call,
            Driver::Epoll($driver) => $call,
        }
    };
}

/// The usual timeout of a wait, which a driver may prepare for.
pub const TICK: Duration = Duration::from_millis(20);

impl Driver {
    /// A driver that `wake` (an eventfd) can wake up, and that hands over not much more than `received_max` bytes at a time
    /// of all connections together. (epoll takes little from each in turn anyway.)
    pub fn new(engine: Engine, wake: BorrowedFd<'_>, received_max: usize) -> io::Result<Driver> {
        let uring = || Ok(Driver::Uring(Box::new(uring::Uring::new(wake, received_max)?)));
        let epoll = || Ok(Driver::Epoll(Box::new(epoll::Epoll::new(wake)?)));
        match engine {
            Engine::Uring => uring(),
            Engine::Epoll => epoll(),
            Engine::Auto => uring().or_else(|_: io::Error| epoll()),
        }
    }

    /// `io_uring` or `epoll`, as INFO names it.
    pub fn name(&self) -> &'static str {
        match self {
            Driver::Uring(_) => "io_uring",
            Driver::Epoll(_) => "epoll",
        }
    }

    /// Accepts connections of a listening socket, which is told of by this number. Numbers are small, and used once.
    pub fn listen(&mut self, number: usize, listener: OwnedFd) -> io::Result<()> {
        either!(self, driver => driver.listen(number, listener))
    }

    /// Stops accepting of one.
    pub fn end_listener(&mut self, number: usize) {
        either!(self, driver => driver.end_listener(number));
    }

    /// Stops accepting.
    pub fn stop_listening(&mut self) {
        either!(self, driver => driver.stop_listening())
    }

    /// Takes over a connection and starts to receive from it.
    pub fn add(&mut self, connection: OwnedFd) -> io::Result<Token> {
        either!(self, driver => driver.add(connection))
    }

    /// Sends a buffer. One may be on its way per connection; the next is given after `sent`.
    pub fn send(&mut self, token: Token, buffer: Vec<u8>) {
        either!(self, driver => driver.send(token, buffer));
    }

    /// The same where more follows: a wait ends as soon as this was sent.
    pub fn send_followed(&mut self, token: Token, buffer: Vec<u8>) {
        either!(self, driver => driver.send_followed(token, buffer));
    }

    /// Closes a connection, after what is on its way was sent unless `now`. `closed` follows.
    pub fn close(&mut self, token: Token, now: bool) {
        either!(self, driver => driver.close(token, now));
    }

    /// Stops or resumes receiving.
    pub fn receive(&mut self, token: Token, on: bool) {
        either!(self, driver => driver.receive(token, on));
    }

    /// Tells how many requests were served since the last call: who sends many at a time can be waited for longer.
    pub fn served(&mut self, requests: u64) {
        match self {
            Driver::Uring(uring) => uring.served(requests),
            Driver::Epoll(_) => {} // waits for nobody
        }
    }

    /// True if something has happened since the last wait, as far as that is known without asking the kernel.
    pub fn has_more(&mut self) -> bool {
        match self {
            Driver::Uring(uring) => uring.has_more(),
            Driver::Epoll(_) => false, // would have to ask
        }
    }

    /// Hands over everything given since the last call, and waits at most `timeout` for something to happen.
    pub fn wait(&mut self, timeout: Duration, sink: &mut impl Sink) -> io::Result<()> {
        either!(self, driver => driver.wait(timeout, sink))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[derive(Default)]
    struct Sent(usize);

    impl Sink for Sent {
        fn accepted(&mut self, _: usize, _: OwnedFd) {}
        fn received(&mut self, _: Token, _: &[u8]) {}
        fn sent(&mut self, _: Token, _: Vec<u8>) {
            self.0 += 1;
        }
        fn ended(&mut self, _: Token) {}
        fn closed(&mut self, _: Token) {}
    }

    #[test]
    fn who_has_more_to_send_is_not_kept_waiting() {
        // Nothing else ever happens: a wait that did not end with what it sends would last for a day.
        const DAY: Duration = Duration::from_secs(86_400);
        for engine in [Engine::Auto, Engine::Epoll] {
            let wake = rustix::event::eventfd(0, rustix::event::EventfdFlags::NONBLOCK).unwrap();
            let mut driver = Driver::new(engine, wake.as_fd(), 1 << 20).unwrap();
            let (here, _there) = UnixStream::pair().unwrap();
            let token = driver.add(here.into()).unwrap();
            let mut sink = Sent::default();
            for count in 1..=3 {
                driver.send_followed(token, vec![0; 1000]);
                while sink.0 < count {
                    driver.wait(DAY, &mut sink).unwrap();
                }
            }
        }
    }
}
