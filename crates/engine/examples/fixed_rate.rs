//! GETs at a fixed rate over many connections, and how long their replies take, whatever the server does.
//!
//! A request is sent when it is due, on the next connection, and its latency counts from the moment at which it was due: a
//! server that pauses is not spared the requests that it kept from being sent. The times between two requests are random
//! (a Poisson process), as those of many clients are. The load wants a core nearly for itself, which a
//! real-time priority (`chrt -f 10`) gives it.
//!
//!     cargo run --release -p larder-engine --example fixed_rate -- PORT RATE SECONDS [CONNECTIONS] [KEYS]
#![allow(clippy::print_stdout, reason = "a tool for people at a terminal")]

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::time::Timespec;
use std::collections::VecDeque;
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Connections, unless the command line says it.
const CONNECTIONS: u64 = 50;
/// Different keys, unless the command line says it.
const KEYS: u64 = 1_000_000;
/// How long the last replies are waited for.
const LAST: Duration = Duration::from_secs(10);
/// Sleep between two looks: real-time threads may not run all the time.
const NAP: Duration = Duration::from_micros(10);
/// Requests at the beginning that are not counted: connections and caches are cold.
const WARM_UP: Duration = Duration::from_millis(200);

struct Connection {
    stream: TcpStream,
    /// When the requests were due whose replies have not come, in order.
    due: VecDeque<Instant>,
    /// Part of a reply.
    unread: Vec<u8>,
}

impl Connection {
    fn open(port: u16) -> std::io::Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Connection { stream, due: VecDeque::new(), unread: Vec::new() })
    }

    fn ask(&mut self, key: u64, due: Instant) -> std::io::Result<()> {
        let request = format!("*2\r\n$3\r\nGET\r\n$16\r\nkey:{key:012}\r\n");
        if self.stream.write(request.as_bytes())? < request.len() {
            return Err(std::io::Error::new(ErrorKind::WriteZero, "the server does not read"));
        }
        self.due.push_back(due);
        Ok(())
    }

    /// Reads what there is; adds the latency of each reply that is complete.
    fn hear(&mut self, latencies: &mut Vec<(Instant, Duration)>) -> std::io::Result<()> {
        let mut room = [0; 16 * 1024];
        match self.stream.read(&mut room) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(len) => self.unread.extend_from_slice(&room[..len]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        let (now, mut at) = (Instant::now(), 0);
        while let Some(len) = reply_len(&self.unread[at..]) {
            at += len;
            if let Some(due) = self.due.pop_front() {
                latencies.push((due, now - due));
            }
        }
        self.unread.drain(..at);
        Ok(())
    }
}

/// Bytes of the reply to a GET at the front, if it is complete.
fn reply_len(bytes: &[u8]) -> Option<usize> {
    let line = bytes.iter().position(|&byte| byte == b'\n')? + 1;
    let len: i64 = match bytes[0] {
        b'$' => str::from_utf8(&bytes[1..line - 2]).ok()?.parse().ok()?,
        _ => -1,
    };
    let whole = usize::try_from(len).map_or(line, |len| line + len + 2);
    (bytes.len() >= whole).then_some(whole)
}

/// A stream of random numbers (xorshift64*).
fn dice() -> impl FnMut() -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let numbers: Vec<u64> = std::env::args().skip(1).map(|word| word.parse()).collect::<Result<_, _>>()?;
    let &[port, rate, seconds, ref rest @ ..] = numbers.as_slice() else {
        return Err("wants PORT RATE SECONDS [CONNECTIONS] [KEYS]".into());
    };
    let count = rest.first().copied().unwrap_or(CONNECTIONS).max(1) as usize;
    let keys = rest.get(1).copied().unwrap_or(KEYS).max(1);
    let ready = epoll::create(CreateFlags::CLOEXEC)?;
    let mut connections = Vec::new();
    for number in 0..count {
        let connection = Connection::open(port.try_into()?)?;
        epoll::add(&ready, &connection.stream, EventData::new_u64(number as u64), EventFlags::IN)?;
        connections.push(connection);
    }
    let (mut random, mut latencies) = (dice(), Vec::new());
    let mut gap = || {
        // Uniform above 0 and at most 1.
        let uniform = (random() % (1 << 32) + 1) as f64 / (1u64 << 32) as f64;
        (Duration::from_secs_f64(-uniform.ln() / rate.max(1) as f64), random() % keys)
    };
    let began = Instant::now();
    let end = began + Duration::from_secs(seconds);
    let (mut due, mut key) = (began, 0);
    let mut events = [MaybeUninit::<Event>::uninit(); 64];
    let mut next = 0;
    loop {
        let now = Instant::now();
        if due <= now && due < end {
            connections[next % count].ask(key, due)?;
            next += 1;
            let (wait, random) = gap();
            (due, key) = (due + wait, random);
        }
        let (some, _) = epoll::wait(&ready, &mut events, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        if some.is_empty() {
            std::thread::sleep(due.saturating_duration_since(Instant::now()).min(NAP));
        }
        for event in some {
            connections[event.data.u64() as usize].hear(&mut latencies)?;
        }
        let waits = || connections.iter().any(|connection| !connection.due.is_empty());
        if due >= end && (!waits() || now > end + LAST) {
            break;
        }
    }
    let mut counted: Vec<Duration> =
        latencies.into_iter().filter(|(due, _)| *due > began + WARM_UP).map(|(_, latency)| latency).collect();
    counted.sort_unstable();
    let at = |part: f64| counted.get((counted.len() as f64 * part) as usize).map_or(0, Duration::as_micros);
    println!(
        "requests {}, microseconds: half {}, 99 % {}, 99.9 % {}, all {}",
        counted.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        counted.last().map_or(0, Duration::as_micros)
    );
    Ok(())
}
