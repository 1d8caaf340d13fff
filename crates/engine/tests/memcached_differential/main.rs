//! The same requests to memcached itself and to our front door must be answered with the same bytes.
//!
//! memcached is started on a free port (`MEMCACHED` names another program than the one on the path); without it the
//! test says so and ends. `LARDER_SEED` repeats a run, `LARDER_ROUNDS` makes it longer. CAS uniques are compared by
//! what they do, not by their value: each side is sent its own.

#![expect(clippy::print_stdout, reason = "the seed of a run, to repeat it")]

mod binary;
mod meta;

use larder_engine::memcache::{Alone, Outcome, Run, Session, Shared, Turn};
use larder_store::partition::access::Access;
use larder_store::{Config, Now, Store};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Closes every conversation: its answer shows that both sides are done. The blank lines, which are answered too, are
/// for a value that takes more bytes than were sent for it.
const END: &[u8] = b"\r\n\r\n\r\n\r\n\r\nversion\r\n";
const VERSION: &str = "VERSION ";
/// Patch version of 1.6 from which on `delete` passes over further words. Ours refuses them, as `memcapable` wants it.
const ANY_DELETE: u32 = 32;
/// Ours is spoken to in pieces of up to so many bytes, too.
const PIECE_BYTES_MAX: usize = 100;
const PORTS: Range<u16> = 10_000..32_000;
/// Ports that are tried before it is given up to start memcached.
const ATTEMPTS: usize = 5;

struct Original {
    process: Child,
    port: u16,
}

impl Original {
    /// None if there is no memcached. One that is there and does not start fails the test.
    fn start() -> Option<Original> {
        for _ in 0..ATTEMPTS {
            let port = free_port();
            let program = std::env::var("MEMCACHED").unwrap_or_else(|_| "memcached".into());
            let mut command = Command::new(program);
            command
                .args(["-l", "127.0.0.1", "-U", "0", "-m", "64", "-u", "root", "-p"])
                .arg(port.to_string());
            let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
            for _ in 0..1000 {
                if process.try_wait().unwrap().is_some() {
                    break; // the port was taken after all
                }
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Some(Original { process, port });
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = process.kill();
            let _ = process.wait();
        }
        panic!("memcached did not start");
    }

    fn ask(&self, input: &[u8]) -> Vec<u8> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        socket.write_all(input).unwrap();
        let mut answer = Vec::new();
        let mut piece = [0; 65536];
        while !done(&answer) {
            match socket.read(&mut piece) {
                Ok(0) => break,
                Ok(len) => answer.extend_from_slice(&piece[..len]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&answer)),
            }
        }
        answer
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that is free now, below those that the kernel gives to outgoing connections: one of these could be taken before
/// memcached listens, by a test beside this one. Each process begins its walk at a place of its own.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = Random(now_ms() << 32 | u64::from(std::process::id())).next() as u16;
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + start.wrapping_add(step) % (PORTS.end - PORTS.start);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// True when the answer to [`END`] has come.
fn done(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(&answer[answer.len().saturating_sub(40)..]);
    text.ends_with("\r\n") && text.rfind(VERSION).is_some_and(|at| text[at..].matches("\r\n").count() == 1)
}

struct Ours {
    store: Store,
    shared: Shared,
}

impl Ours {
    fn new(version: &str) -> Ours {
        Ours {
            store: Store::new(&Config { partitions: 16, ..Config::new(7, now_ms()) }),
            shared: Shared::new(1, version),
        }
    }

    fn ask(&self, input: &[u8]) -> Vec<u8> {
        let mut session = Session::new(false, None);
        let (mut out, mut at) = (Vec::new(), 0);
        loop {
            let outcome = self.serve(&mut session, &input[at..], &mut None, &mut out);
            at += outcome.consumed;
            if outcome.close || outcome.need > 0 {
                return out;
            }
        }
    }

    /// The same in pieces of some bytes, with all values received apart from the input that can be.
    fn ask_apart(&self, input: &[u8], piece_bytes: usize) -> Vec<u8> {
        let mut session = Session::new(false, None);
        let (mut out, mut here) = (Vec::new(), Vec::new());
        let mut parcel: Option<Vec<u8>> = None;
        let mut missing = 0;
        for piece in input.chunks(piece_bytes) {
            let (value, rest) = piece.split_at(missing.min(piece.len()));
            parcel.iter_mut().for_each(|parcel| parcel.extend_from_slice(value));
            missing -= value.len();
            here.extend_from_slice(rest);
            while missing == 0 {
                let outcome = self.serve(&mut session, &here, &mut parcel, &mut out);
                here.drain(..outcome.consumed);
                if outcome.close {
                    return out;
                }
                if outcome.consumed > 0 {
                    parcel = None;
                }
                if let Some(apart) = outcome.apart {
                    session.keep_apart();
                    let come = apart.bytes.min(here.len() - apart.at);
                    parcel = Some(here.drain(apart.at..apart.at + come).collect());
                    missing = apart.bytes - come;
                }
                if outcome.need > 0 {
                    break;
                }
            }
        }
        out
    }

    fn serve(
        &self,
        session: &mut Session,
        input: &[u8],
        parcel: &mut Option<Vec<u8>>,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let now = Now { ms: now_ms() };
        let mut turn = Turn {
            store: &self.store,
            shared: &self.shared,
            worker: 0,
            now,
            access: Access::lru(now.ms),
            memory_full: false,
            refusal: None,
            host: &Alone::default(),
            run: &mut Run::default(),
            parcel: parcel.take(),
            requests: 0,
            client: 0,
            lines: None,
            changes: 0,
            log: None,
            logged: 0,
        };
        let outcome = session.serve(&mut turn, input, out);
        *parcel = turn.parcel.take();
        outcome
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// SplitMix64: enough for tests, and a seed repeats it.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.next() as usize % from.len()]
    }
}

struct Both {
    original: Original,
    ours: Ours,
    /// Ours too, spoken to in pieces.
    apart: Ours,
    seed: String,
    /// The last part of the version: 18 for 1.6.18.
    patch: u32,
}

impl Both {
    fn start(seed: String) -> Option<Both> {
        let Some(original) = Original::start() else {
            println!("no memcached here: nothing compared");
            return None;
        };
        let answer = original.ask(b"version\r\n");
        let version = String::from_utf8(answer).unwrap().trim_start_matches(VERSION).trim().to_owned();
        let patch = version.rsplit('.').next().and_then(|patch| patch.parse().ok()).unwrap_or(0);
        Some(Both { original, ours: Ours::new(&version), apart: Ours::new(&version), seed, patch })
    }

    #[track_caller]
    fn same(&self, input: &[u8]) {
        let whole = [input, END].concat();
        let (theirs, ours) = (self.original.ask(&whole), self.ours.ask(&whole));
        assert!(
            unpadded(&theirs) == unpadded(&ours),
            "{}\nrequest   {}\nmemcached {}\nours      {}",
            self.seed,
            shown(&whole),
            shown(&theirs),
            shown(&ours)
        );
        let piece_bytes = 1 + whole.len() % PIECE_BYTES_MAX;
        let apart = self.apart.ask_apart(&whole, piece_bytes);
        assert!(
            unpadded(&theirs) == unpadded(&apart),
            "{}\nrequest   {} in pieces of {piece_bytes}\nmemcached {}\nours      {}",
            self.seed,
            shown(&whole),
            shown(&theirs),
            shown(&apart)
        );
    }

    /// Both CAS uniques of a key.
    fn uniques(&self, key: &str) -> Option<(String, String)> {
        let unique = |answer: Vec<u8>| {
            let text = String::from_utf8_lossy(&answer).into_owned();
            text.lines().next()?.split(' ').nth(4).map(str::to_owned)
        };
        let ask = format!("gets {key}\r\nversion\r\n").into_bytes();
        unique(self.original.ask(&ask)).zip(unique(self.ours.ask(&ask)))
    }

    #[track_caller]
    fn same_cas(&self, key: &str, unique: &(String, String), rest: &str) {
        let line = |unique: &str| {
            format!("cas {key} 3 0 2 {unique}\r\n{rest}\r\nget {key}\r\nversion\r\n").into_bytes()
        };
        let (theirs, ours) = (self.original.ask(&line(&unique.0)), self.ours.ask(&line(&unique.1)));
        assert_eq!(shown(&theirs), shown(&ours), "{}", self.seed);
    }
}

/// An answer with the blanks taken off numbers. Whether memcached pads a number that has become shorter depends on
/// whether another of its threads happens to hold the item (protocol.txt: "there is no guarantee").
fn unpadded(answer: &[u8]) -> Vec<u8> {
    let (mut rest, mut plain) = (answer, Vec::new());
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let line = &rest[..end];
        rest = &rest[end + 2..];
        let len = std::str::from_utf8(line).ok().filter(|line| line.starts_with("VALUE "));
        let len = len.and_then(|line| line.split(' ').nth(3)?.parse::<usize>().ok());
        let Some(value) = len.and_then(|len| rest.get(..len)) else {
            plain.extend_from_slice(&rounded(line));
            plain.extend_from_slice(b"\r\n");
            continue;
        };
        rest = &rest[value.len()..];
        let digits = value.trim_ascii_end();
        let number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        let value = if number { digits } else { value };
        let header = line.rsplitn(2, |&byte| byte == b' ').last().unwrap_or_default();
        plain.extend_from_slice(header);
        plain.extend_from_slice(format!(" {} bytes: ", value.len()).as_bytes());
        plain.extend_from_slice(value);
    }
    plain.extend_from_slice(rest);
    plain
}

/// An answer's line with the seconds to live (`t`) rounded up to tens: memcached's clock has steps of one second.
fn rounded(line: &[u8]) -> Vec<u8> {
    let told = line.starts_with(b"HD ") || line.starts_with(b"VA ");
    let Some(text) = std::str::from_utf8(line).ok().filter(|_| told) else { return line.to_vec() };
    let word = |word: &str| match word.strip_prefix('t').and_then(|digits| digits.parse::<u64>().ok()) {
        Some(seconds) => format!("t{}", seconds.next_multiple_of(10)),
        None => word.to_owned(),
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ").into_bytes()
}

fn shown(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    if text.len() > 3000 { format!("{} ... {}", &text[..1500], &text[text.len() - 1500..]) } else { text }
}

#[test]
fn edge_cases_are_answered_alike() {
    let Some(both) = Both::start("edge cases".into()) else { return };
    let key = "k".repeat(250);
    let long = format!("{key}x");
    let lines = "get|get |gets|get  a  b |get K|get L|get a L|gets L|set|set a|set a 0 0|set a 0 0 x|set a 0 0 -1|\
        set a 0 0 1 noreply x|set a 0 0 2147483647|cas a 0 0 1|cas a 0 0 x 5|delete|delete a|delete a 0|delete a 1|\
        delete a noreply|delete a 0 noreply|delete a foo|delete a b c|delete a 0 noreply x|delete L|delete L 1|\
        delete L noreply|delete noreply|incr|incr n|incr n x|incr n -1|incr L 1|incr L x|incr n 1 2 3|decr zz 1|\
        incr noreply 1|touch|touch n|touch n x|touch zz 0|touch L x|touch n 0 noreply x|gat|gat 0|gat x n|gat 0 L|\
        gat 0 n zz n|flush_all x|flush_all 0 2 3|flush_all noreply|flush_all 0 noreply|flush_all x noreply|version x|\
        verbosity|verbosity x|verbosity noreply|verbosity 0 noreply|verbosity 0 2|verbosity 0 2 3|verbosity -1|\
        stats foo|stats sizes|stats reset|config|config get cluster x|GET a|foo| |incr n +1|incr n 0x1|\
        incr n 18446744073709551616|incr n -18446744073709551615|incr n 1\t|incr n \t1|incr n 1\tx|get a\t b";
    for line in lines.split('|') {
        let deletes = ["delete a 1", "delete a foo", "delete a b c", "delete a 0 noreply x", "delete L 1"];
        if both.patch >= ANY_DELETE && deletes.contains(&line) {
            continue;
        }
        let line = line.replace('K', &key).replace('L', &long);
        // Apart from the line: memcached 1.6.18 loses the answers before a `get` whose key is too long.
        both.same(b"set a 1 0 1\r\n5\r\nset n 0 0 1\r\n7\r\n");
        both.same(format!("{line}\r\nget a n\r\n").as_bytes());
        both.same(format!("{line}\n").as_bytes());
    }
    for (flags, exptime, len) in
        [("4294967296", "0", "1"), ("-1", "0", "1"), ("+1", "0", "1"), ("1x", "0", "1")]
            .into_iter()
            .chain([("0", "-1", "1"), ("0", "x", "1"), ("0", "4294967396", "1"), ("0", "2592001", "1")])
            .chain([("0", "-2147483649", "1"), ("0", "9223372036854775808", "1"), ("0", "2147483648", "1")])
            .chain([
                ("01", "00", "01"),
                ("0", "0", "0"),
                ("0", "0", "2"),
                ("0", "0", "4294967297"),
                ("-0", "0", "1"),
            ])
    {
        for verb in ["set", "add", "replace", "append", "prepend"] {
            for noreply in ["", " noreply"] {
                both.same(format!("{verb} e {flags} {exptime} {len}{noreply}\r\n1\r\nget e\r\n").as_bytes());
            }
        }
    }
    for value in
        ["", "0", "007", "-1", "-0", "+1", " 1", "1 ", "1 2", "1\t2", "1a", "a", "18446744073709551615"]
            .into_iter()
            .chain(["18446744073709551616", "018446744073709551615", "9223372036854775807", "1\0x", "1\r"])
    {
        for change in
            ["incr v 1", "decr v 1", "incr v 18446744073709551615", "decr v 1000000", "incr v 999999"]
        {
            let stored = format!("set v 9 0 {}\r\n{value}\r\n", value.len());
            both.same(
                format!("{stored}{change}\r\nget v\r\n{change}\r\nget v\r\ndecr v 5\r\nget v\r\n").as_bytes(),
            );
        }
    }
}

#[test]
fn large_values_are_answered_alike() {
    let Some(both) = Both::start("large values".into()) else { return };
    for verb in ["set", "add", "replace", "append", "prepend"] {
        for len in [1_048_515, 1_048_516, 1_048_517, 1_048_576, 2_000_000] {
            let before = "set a 0 0 1\r\n1\r\n";
            let value = "x".repeat(len);
            if matches!(verb, "append" | "prepend") && len < 1_048_517 {
                continue; // memcached needs a second chunk of memory there, and says it has none
            }
            both.same(format!("{before}{verb} a 0 0 {len}\r\n{value}\r\nget a\r\n").as_bytes());
            both.same(format!("{before}{verb} a 0 0 {len} noreply\r\n{value}\r\nget a\r\n").as_bytes());
        }
    }
    let keys = "get ".to_owned() + &"a ".repeat(3000);
    both.same(format!("set a 0 0 1\r\n1\r\n{keys}\r\n").as_bytes());
}

#[test]
fn a_cas_unique_means_the_same() {
    let Some(both) = Both::start("cas".into()) else { return };
    for change in
        ["", "touch c 100", "set c 1 0 1\r\n2", "incr c 1", "append c 0 0 1\r\n3", "gat 100 c", "delete c"]
            .into_iter()
            .chain([
                "prepend c 0 0 0\r\n",
                "replace c 0 0 1\r\n2",
                "flush_all",
                "decr c 0",
                "add c 0 0 1\r\n4",
            ])
    {
        both.same(b"set c 4 0 1\r\n1\r\n");
        let unique = both.uniques("c").unwrap();
        both.same(format!("{change}\r\n").as_bytes());
        both.same_cas("c", &unique, "ab");
        both.same_cas("c", &unique, "cd");
    }
}

#[test]
fn random_conversations_are_answered_alike() {
    let seed = match std::env::var("LARDER_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => now_ms(),
    };
    let rounds = std::env::var("LARDER_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(400);
    println!("LARDER_SEED={seed} LARDER_ROUNDS={rounds}");
    let Some(both) = Both::start(format!("LARDER_SEED={seed}")) else { return };
    let mut random = Random(seed);
    for _ in 0..rounds {
        let mut input = Vec::new();
        for _ in 0..1 + random.next() % 12 {
            request(&mut random, &mut input);
        }
        both.same(&input);
    }
}

/// Appends a request that is right or nearly right; a value may stand behind a line that is wrong, or tells a wrong length.
fn request(random: &mut Random, input: &mut Vec<u8>) {
    const KEYS: [&str; 4] = ["a", "b", "key:1", "{tag}x"];
    const NUMBERS: [&str; 9] =
        ["0", "1", "7", "10", "99999", "4294967295", "18446744073709551615", "-1", "x"];
    const TIMES: [&str; 6] = ["0", "0", "100", "-1", "2592000", "nope"];
    const VALUES: [&str; 8] =
        ["", "1", "99", "18446744073709551610", "text", "line\r\nline", "100000", "0005"];
    // What is counted with is not appended to: a padding that one side did not make would show. Nor is it blanks, behind
    // which memcached reads on into what lay there before.
    const COUNTERS: [&str; 2] = ["counter", "{tag}n"];
    let counts = random.next().is_multiple_of(3);
    if random.next().is_multiple_of(6) {
        return words(random, input);
    }
    let key = random.pick(if counts { &COUNTERS } else { &KEYS });
    let noreply = random.pick(&["", "", "", " noreply"]);
    let line = match random.next() % 12 {
        0..4 => {
            let verbs = ["set", "set", "add", "replace", "append", "prepend"];
            let verb = random.pick(if counts { &verbs[..4] } else { &verbs });
            let (flags, time) = (random.pick(&NUMBERS), random.pick(&TIMES));
            let value = random.pick(&VALUES);
            let len = if !counts && random.next().is_multiple_of(20) {
                random.next() as usize % 9
            } else {
                value.len()
            };
            format!("{verb} {key} {flags} {time} {len}{noreply}\r\n{value}")
        }
        4 | 5 => format!("get {key} {}", random.pick(&KEYS)),
        6 if counts => format!("incr {key} {}{noreply}", random.pick(&NUMBERS)),
        7 if counts => format!("decr {key} {}{noreply}", random.pick(&NUMBERS)),
        6..=8 => format!("delete {key}{noreply}"),
        9 => format!("touch {key} {}{noreply}", random.pick(&TIMES)),
        10 => format!("gat {} {key} {}", random.pick(&TIMES), random.pick(&KEYS)),
        _ => random
            .pick(&["flush_all", "verbosity 0", "", "nonsense", "cas a 0 0 1 0\r\nz", "stats reset"])
            .to_owned(),
    };
    input.extend_from_slice(line.as_bytes());
    input.extend_from_slice(b"\r\n");
}

/// Appends a line of words that belong to some request, and may make one or not.
fn words(random: &mut Random, input: &mut Vec<u8>) {
    const VERBS: [&str; 21] = [
        "get",
        "gat",
        "set",
        "add",
        "replace",
        "append",
        "prepend",
        "cas",
        "delete",
        "incr",
        "decr",
        "touch",
        "flush_all",
        "verbosity",
        "noreply",
        "mx",
        "foo",
        "x",
        "",
        "mn",
        "stats reset",
    ];
    const WORDS: [&str; 12] = ["a", "b", "noreply", "0", "0", "100", "-1", "+0", "x", "00", "", "LONG"];
    let verb = random.pick(&VERBS);
    let mut line = vec![verb];
    for _ in 0..random.next() % 8 {
        line.push(random.pick(&WORDS));
    }
    if matches!(verb, "set" | "add" | "replace" | "append" | "prepend" | "cas" | "flush_all") {
        // As the length of a value it would be more than comes, and a flush in a while comes while others are at it.
        let (from, to) = if verb == "flush_all" { (1, "0") } else { (4, "2") };
        line.iter_mut().skip(from).filter(|word| **word == "100").for_each(|word| *word = to);
    }
    if verb == "delete" {
        line.truncate(2);
    }
    if matches!(verb, "incr" | "decr") && line.len() > 1 {
        line[1] = "counter"; // what is counted with is not appended to, as above
    }
    // memcached 1.6.18 loses the answers before a `get` whose key is too long.
    let long = if matches!(verb, "get" | "gat") { "k".repeat(250) } else { "k".repeat(251) };
    let line = line.join(" ").replace("LONG", &long);
    input.extend_from_slice(line.as_bytes());
    input.extend_from_slice(random.pick(&["\r\n", "\n", "\r\nab\r\n", "\r\nabc\r\n"]).as_bytes());
}
