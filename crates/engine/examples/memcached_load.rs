//! A closed load over Memcached's text protocol: each connection sends a pipeline of requests when all answers to the last have come.
//!
//! The keys are `key:` and a number of twelve digits, all of which must be there (`fill` stores them), so that each answer
//! is of a known length: the load spends little on reading, and a miss or an error ends it. `bench/memcached.py` starts the
//! servers, and measures what they spend.
//!
//!     cargo run --release -p larder-engine --example memcached_load -- PORT fill|get|set|multiget REQUESTS [PIPELINE] [CONNECTIONS] [KEYS]
//!
//! A `multiget` asks for 100 keys in one request.
#![allow(clippy::print_stdout, reason = "a tool for people at a terminal")]

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::time::Instant;

/// Bytes of a value.
const VALUE_LEN: usize = 32;
/// Bytes of an answer's block: its line, the value, the end of its line.
const BLOCK_LEN: usize = "VALUE key:000000000000 0 32\r\n".len() + VALUE_LEN + 2;
/// Keys of one `multiget`.
const MULTIGET_KEYS: usize = 100;
/// Connections and different keys, unless the command line says it.
const CONNECTIONS: usize = 50;
const KEYS: u64 = 1_000_000;
/// Requests of a pipeline with which `fill` stores the keys.
const FILL_PIPELINE: usize = 100;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Fill,
    Get,
    Set,
    Multiget,
}

impl Kind {
    fn answer_len(self) -> usize {
        match self {
            Kind::Fill | Kind::Set => "STORED\r\n".len(),
            Kind::Get => BLOCK_LEN + "END\r\n".len(),
            Kind::Multiget => MULTIGET_KEYS * BLOCK_LEN + "END\r\n".len(),
        }
    }

    fn end(self) -> &'static [u8] {
        match self {
            Kind::Fill | Kind::Set => b"STORED\r\n",
            Kind::Get | Kind::Multiget => b"END\r\n",
        }
    }

    fn request(self, key: &mut impl FnMut() -> u64, out: &mut Vec<u8>) {
        match self {
            Kind::Fill | Kind::Set => {
                out.extend_from_slice(format!("set key:{:012} 0 0 {VALUE_LEN}\r\n", key()).as_bytes());
                out.extend_from_slice(&[b'v'; VALUE_LEN]);
            }
            Kind::Get => out.extend_from_slice(format!("get key:{:012}", key()).as_bytes()),
            Kind::Multiget => {
                out.extend_from_slice(b"get");
                for _ in 0..MULTIGET_KEYS {
                    out.extend_from_slice(format!(" key:{:012}", key()).as_bytes());
                }
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

struct Connection {
    stream: TcpStream,
    /// Bytes of answers that have not come.
    awaited: usize,
    /// The last bytes that came.
    tail: Vec<u8>,
}

impl Connection {
    fn open(port: u16) -> std::io::Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Connection { stream, awaited: 0, tail: Vec::new() })
    }

    /// Sends a pipeline; a pipeline that the socket does not take at once is too long for this load.
    fn send(&mut self, kind: Kind, requests: usize, bytes: &[u8]) -> std::io::Result<()> {
        if self.stream.write(bytes)? < bytes.len() {
            return Err(std::io::Error::new(ErrorKind::WriteZero, "the pipeline is too long for the socket"));
        }
        self.awaited = requests * kind.answer_len();
        Ok(())
    }

    /// Reads what there is. True if all answers are there.
    fn hear(&mut self, kind: Kind, room: &mut [u8]) -> std::io::Result<bool> {
        let len = match self.stream.read(room) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        let end = kind.end();
        self.tail.extend_from_slice(&room[len.saturating_sub(end.len())..len]);
        self.tail.drain(..self.tail.len().saturating_sub(end.len()));
        self.awaited =
            self.awaited.checked_sub(len).ok_or_else(|| std::io::Error::other("an answer is too long"))?;
        if self.awaited == 0 && self.tail != end {
            return Err(std::io::Error::other("a key is missing, or a request was refused"));
        }
        Ok(self.awaited == 0)
    }
}

/// Keys in a random order (xorshift64*), or one after the other.
fn keys(kind: Kind, count: u64) -> impl FnMut() -> u64 {
    let (mut state, mut next) = (0x9e37_79b9_7f4a_7c15_u64, 0);
    move || {
        if kind == Kind::Fill {
            next += 1;
            return (next - 1) % count;
        }
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % count
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [port, kind, rest @ ..] = words.as_slice() else {
        return Err("wants PORT fill|get|set|multiget REQUESTS [PIPELINE] [CONNECTIONS] [KEYS]".into());
    };
    let kind = match kind.as_str() {
        "fill" => Kind::Fill,
        "get" => Kind::Get,
        "set" => Kind::Set,
        "multiget" => Kind::Multiget,
        other => return Err(format!("{other}: wants fill, get, set or multiget").into()),
    };
    let numbers: Vec<usize> = rest.iter().map(|word| word.parse()).collect::<Result<_, _>>()?;
    let number = |index: usize, unless: usize| numbers.get(index).copied().unwrap_or(unless).max(1);
    let mut left = number(0, KEYS as usize);
    let pipeline = number(1, if kind == Kind::Fill { FILL_PIPELINE } else { 1 });
    let mut key = keys(kind, number(3, KEYS as usize) as u64);

    let ready = epoll::create(CreateFlags::CLOEXEC)?;
    let mut connections = Vec::new();
    for index in 0..number(2, CONNECTIONS) {
        let connection = Connection::open(port.parse()?)?;
        epoll::add(&ready, &connection.stream, EventData::new_u64(index as u64), EventFlags::IN)?;
        connections.push(connection);
    }
    let (mut bytes, mut room) = (Vec::new(), vec![0; 256 * 1024]);
    let mut send = |connection: &mut Connection, left: &mut usize| {
        let requests = pipeline.min(*left);
        bytes.clear();
        (0..requests).for_each(|_| kind.request(&mut key, &mut bytes));
        *left -= requests;
        connection.send(kind, requests, &bytes)
    };
    let (began, requests, mut busy) = (Instant::now(), left, 0);
    for connection in &mut connections {
        if left > 0 {
            send(connection, &mut left)?;
            busy += 1;
        }
    }
    let mut events = [MaybeUninit::<Event>::uninit(); 64];
    while busy > 0 {
        let (some, _) = epoll::wait(&ready, &mut events, None)?;
        for event in some {
            let connection = &mut connections[event.data.u64() as usize];
            if connection.hear(kind, &mut room)? {
                match left {
                    0 => busy -= 1,
                    _ => send(connection, &mut left)?,
                }
            }
        }
    }
    println!("{requests} requests, {:.0} a second", requests as f64 / began.elapsed().as_secs_f64());
    Ok(())
}
