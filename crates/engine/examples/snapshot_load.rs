//! A steady load of writes against a server that takes a snapshot, and what the clients and the memory feel of it.
//!
//! Fills the server, sets random keys at a fixed rate, sends BGSAVE after ten seconds, and prints a line of CSV per tenth
//! of a second: `ms,p50_us,p99_us,max_us,rss_kb,saving`. A latency counts from the moment at which the request was due, so
//! that a pause is felt by every request that it kept waiting. `bench/snapshot.py` starts the servers and draws the plot.
//!
//!     cargo run --release -p larder-engine --example snapshot_load -- PORT PID MEGABYTES VALUE_BYTES RATE SECONDS
#![allow(clippy::print_stdout, reason = "a tool for people at a terminal")]

use std::error::Error;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When the snapshot is asked for, after the beginning of the load.
const QUIET: Duration = Duration::from_secs(10);
/// How long a line of the output is.
const WINDOW: Duration = Duration::from_millis(100);
/// Lines for which one look at the memory does: it holds the server's map of memory for some milliseconds.
const WINDOWS_PER_LOOK: usize = 10;
/// The reply to SET.
const OK: &[u8] = b"+OK\r\n";

struct Load {
    port: u16,
    pid: u32,
    keys: u64,
    value: Vec<u8>,
    /// Between two requests.
    interval: Duration,
    time: Duration,
}

fn main() -> Result<(), Box<dyn Error>> {
    let numbers: Vec<u64> = std::env::args().skip(1).map(|word| word.parse()).collect::<Result<_, _>>()?;
    let &[port, pid, megabytes, bytes, rate, seconds] = numbers.as_slice() else {
        return Err("wants PORT PID MEGABYTES VALUE_BYTES RATE SECONDS".into());
    };
    let load = Load {
        port: port.try_into()?,
        pid: pid.try_into()?,
        keys: ((megabytes << 20) / bytes.max(1)).max(1),
        // Not to be compressed by whoever compresses.
        value: dice().take(bytes as usize).map(|random| random as u8 | 1).collect(),
        interval: Duration::from_secs(1) / rate.max(1).try_into()?,
        time: Duration::from_secs(seconds),
    };
    load.fill()?;
    println!("ms,p50_us,p99_us,max_us,rss_kb,saving");
    load.run()
}

/// A stream of random numbers (xorshift64*).
fn dice() -> impl Iterator<Item = u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    })
}

impl Load {
    fn connect(&self) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn request(&self, key: u64, to: &mut Vec<u8>) {
        let _ = write!(to, "*3\r\n$3\r\nSET\r\n$16\r\nkey:{key:012}\r\n${}\r\n", self.value.len());
        to.extend_from_slice(&self.value);
        to.extend_from_slice(b"\r\n");
    }

    fn fill(&self) -> std::io::Result<()> {
        let mut stream = self.connect()?;
        let (mut out, mut replies) = (Vec::new(), Vec::new());
        for key in 0..self.keys {
            self.request(key, &mut out);
            replies.extend_from_slice(OK);
            if out.len() > 1 << 20 || key + 1 == self.keys {
                stream.write_all(&out)?;
                let mut got = vec![0; replies.len()];
                stream.read_exact(&mut got)?;
                assert_eq!(got, replies, "SET was refused");
                out.clear();
                replies.clear();
            }
        }
        Ok(())
    }

    fn run(&self) -> Result<(), Box<dyn Error>> {
        let mut sender = self.connect()?;
        let mut receiver = sender.try_clone()?;
        receiver.set_read_timeout(Some(WINDOW))?;
        let (over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
        let began = Instant::now();
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| -> std::io::Result<()> {
                let (mut random, mut out, mut count) = (dice(), Vec::new(), 0u32);
                while began.elapsed() < self.time {
                    while self.interval * count <= began.elapsed() && out.len() < 1 << 16 {
                        self.request(random.next().unwrap_or_default() % self.keys, &mut out);
                        count += 1;
                    }
                    sent.store(count.into(), Ordering::Release);
                    sender.write_all(&out)?;
                    out.clear();
                    std::thread::sleep(
                        (began + self.interval * count).saturating_duration_since(Instant::now()),
                    );
                }
                over.store(true, Ordering::Release);
                Ok(())
            });
            let snapshot = scope.spawn(|| self.snapshot(began));
            let mut window = (began, Vec::<u64>::new());
            let (mut resident_kb, mut windows) = (0, 0);
            let (mut buffer, mut bytes, mut done) = (vec![0; 1 << 16], 0usize, 0u32);
            while !over.load(Ordering::Acquire) || u64::from(done) < sent.load(Ordering::Acquire) {
                bytes += match receiver.read(&mut buffer) {
                    Ok(0) => return Err("the server closed the connection".into()),
                    Ok(count) => count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                    Err(error) => return Err(error.into()),
                };
                let now = Instant::now();
                while bytes >= OK.len() {
                    bytes -= OK.len();
                    window.1.push((now - (began + self.interval * done)).as_micros() as u64);
                    done += 1;
                }
                if now - window.0 >= WINDOW && !window.1.is_empty() {
                    let (_, mut latencies) = std::mem::replace(&mut window, (now, Vec::new()));
                    latencies.sort_unstable();
                    if windows % WINDOWS_PER_LOOK == 0 {
                        resident_kb = self.resident_kb();
                    }
                    windows += 1;
                    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
                    println!(
                        "{},{},{},{},{},{}",
                        (now - began).as_millis(),
                        at(0.5),
                        at(0.99),
                        at(1.0),
                        resident_kb,
                        u8::from(!snapshot.is_finished() && now - began > QUIET)
                    );
                }
            }
            sending.join().map_err(|_| "the sender failed")??;
            snapshot.join().map_err(|_| "the asker failed")??;
            Ok(())
        })
    }

    /// Asks for the snapshot, and returns when it is over.
    fn snapshot(&self, began: Instant) -> std::io::Result<()> {
        let stream = self.connect()?;
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let mut stream = stream;
        std::thread::sleep(QUIET.saturating_sub(began.elapsed()));
        stream.write_all(b"BGSAVE\r\n")?;
        while began.elapsed() < self.time {
            std::thread::sleep(WINDOW);
            stream.write_all(b"INFO persistence\r\nPING\r\n")?;
            let mut saving = false;
            for line in lines.by_ref() {
                let line = line?;
                saving |= line == "rdb_bgsave_in_progress:1";
                if line == "+PONG" {
                    break;
                }
            }
            if !saving {
                break;
            }
        }
        Ok(())
    }

    /// Resident size of the server and, where it has forked, of its child: what both have for themselves and half of what
    /// they share (Pss).
    fn resident_kb(&self) -> u64 {
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid));
        let children = children.unwrap_or_default();
        let pids =
            std::iter::once(self.pid).chain(children.split_whitespace().filter_map(|pid| pid.parse().ok()));
        let rollups =
            pids.filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok());
        rollups
            .filter_map(|text| {
                let line = text.lines().find(|line| line.starts_with("Pss:"))?;
                line.split_whitespace().nth(1)?.parse::<u64>().ok()
            })
            .sum()
    }
}
