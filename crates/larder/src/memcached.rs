//! `larder memcached`: the engine started by memcached's command line, in memcached's place.
//!
//! Options become directives of the engine. What memcached has and Larder has not is refused by name; what asks for a
//! saving or an effort that has no counterpart here (slab classes, LRU segments, crawlers) is taken, and said to have no
//! effect.

use larder_engine::config::parse;

use crate::arguments::Memcached;
use crate::failure::Failure;
use larder_engine::run::RunError;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;

/// What memcached of this version does is what the engine follows.
const VERSION: &str = "1.6.45";
const HELP: &str = "\
Usage: larder memcached [OPTIONS of memcached]

-p, --port=<num>             TCP port (default: 11211; 0 = none, -1 = one that is free)
-U, --udp-port=<num>         UDP port (default: 0 or off = none, -1 = one that is free);
                             without -p also the TCP port
-s, --unix-socket=<file>     Unix socket to listen on (disables TCP)
-a, --unix-mask=<mask>       its permissions, in octal (default: 700)
-l, --listen=<addr>          addresses to listen on, separated by commas
-A, --enable-shutdown        enable the \"shutdown\" command
-d, --daemon                 go to the background
-P, --pidfile=<file>         write the process id
-m, --memory-limit=<num>     memory in megabytes (default: 64)
-M, --disable-evictions      refuse values when memory is full
-c, --conn-limit=<num>       most connections (default: 1024)
-v, -vv, -vvv                log more
-t, --threads=<num>          worker threads (default: 4)
-k, --lock-memory            keep all memory from being swapped
-R, --max-reqs-per-event     requests of a connection before others have their turn (default: 20; most: 64)
-b, --listen-backlog=<num>   backlog of the listeners (default: 1024)
-B, --protocol=<name>        ascii, binary or auto (default)
-I, --max-item-size=<num>    largest item (default: 1m)
-C, --disable-cas            items have no CAS unique
-D <char>                    count by prefix for \"stats detail\"; what ends a prefix
-F, --disable-flush-all      disable flush_all
-X, --disable-dumping        disable stats cachedump and lru_crawler metadump
-W, --disable-watch          disable watch
-Y, --auth-file=<file>       users: a line NAME:PASSWORD each
-S, --enable-sasl            binary protocol with SASL PLAIN; users from -Y or from the file that
                             MEMCACHED_SASL_PWDB names
-e, --memory-file=<file>     keep the keys across a restart (end with SIGUSR1 or SIGTERM)
-Z, --enable-ssl             TLS, with these of -o: ssl_chain_cert=<file>, ssl_key=<file>, ssl_ca_cert=<file>,
                             ssl_verify_mode=<0 to 3>, ssl_min_version=<2 or 3>, ssl_ciphers=<list>,
                             ssl_session_cache
-o, --extended=<list>        idle_timeout=<seconds>, no_maxconns_fast (connections beyond -c wait),
                             watcher_logbuf_size=<KiB>, worker_logbuf_size=<KiB>,
                             track_sizes (for \"stats sizes\")
-u, --user=<name>            run as this user (only root can)
-V, --version   -h, --help

Taken without effect, as there is nothing they would change: -f -n -L -r, and of -o what tunes slabs,
LRU segments, the crawler and hash tables. Refused: -o with ext_ or proxy_.
The file that MEMCACHED_PORT_FILENAME names tells the ports as soon as clients may come.
Exit codes are those of memcached: 64 for options that cannot be used, 71 for what cannot be listened on.

Examples:
  larder memcached -m 1024 -p 11211 -l 127.0.0.1
  larder memcached -s /run/cache.sock -a 770 -t 2";

/// Options of `-o` that tune what is not there.
const WITHOUT_EFFECT: [&str; 31] = [
    "hashpower",
    "tail_repair_time",
    "hash_algorithm",
    "no_lru_crawler",
    "lru_crawler",
    "lru_crawler_sleep",
    "lru_crawler_tocrawl",
    "read_buf_mem_limit",
    "resp_obj_mem_limit",
    "no_lru_maintainer",
    "lru_maintainer",
    "hot_lru_pct",
    "warm_lru_pct",
    "hot_max_factor",
    "warm_max_factor",
    "temporary_ttl",
    "slab_chunk_max",
    "no_hashexpand",
    "hashexpand",
    "modern",
    "no_modern",
    "slab_reassign",
    "no_slab_reassign",
    "slab_automove",
    "no_slab_automove",
    "slab_automove_ratio",
    "slab_automove_window",
    "slab_automove_freeratio",
    "inline_ascii_resp",
    "no_inline_ascii_resp",
    "no_drop_privileges",
];

/// What a command line comes to.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    /// Start with these words of the engine's configuration; the notes are to be told.
    Start {
        words: Vec<String>,
        notes: Vec<String>,
        /// Who is to run it.
        user: Option<String>,
    },
    License,
    Version,
    Help,
}

/// Exit codes of memcached: those of sysexits.h, and 1.
mod exit {
    pub(super) const FAILED: u8 = 1;
    /// The command line cannot be used.
    pub(super) const USAGE: u8 = 64;
    /// There is no such user.
    pub(super) const NO_USER: u8 = 67;
    /// The system refused something.
    pub(super) const SYSTEM: u8 = 71;
}

/// Why it does not start: the exit code, and what is said.
#[derive(Debug, PartialEq, Eq)]
struct Refusal(u8, String);

impl From<String> for Refusal {
    fn from(text: String) -> Refusal {
        Refusal(exit::FAILED, text)
    }
}

impl From<&str> for Refusal {
    fn from(text: &str) -> Refusal {
        Refusal(exit::FAILED, text.to_owned())
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        Refusal(exit::FAILED, failure.to_string())
    }
}

impl From<RunError> for Refusal {
    fn from(error: RunError) -> Refusal {
        match error {
            RunError::Listen { address, source } if address.starts_with('/') => {
                Refusal(exit::SYSTEM, format!("failed to listen on UNIX socket: {address}: {source}"))
            }
            RunError::Listen { address, source } => {
                Refusal(exit::SYSTEM, format!("failed to listen on one of interface(s) {address}: {source}"))
            }
            RunError::BadAddress(address) => Refusal(
                exit::SYSTEM,
                format!("failed to listen on one of interface(s) {address}: no address"),
            ),
            RunError::UdpWithUsers => {
                usage("Cannot use UDP with ascii authentication enabled (-U 0 to disable)")
            }
            other => other.to_string().into(),
        }
    }
}

fn usage(text: impl Into<String>) -> Refusal {
    Refusal(exit::USAGE, text.into())
}

pub(crate) fn memcached(arguments: Memcached) -> ExitCode {
    let words: Vec<String> =
        arguments.rest.into_iter().map(|word| word.to_string_lossy().into_owned()).collect();
    match start(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Refusal(code, text)) => {
            eprintln!("{text}");
            ExitCode::from(code)
        }
    }
}

fn start(words: &[String]) -> Result<(), Refusal> {
    match read(words)? {
        Wish::Help => crate::terminal::print(&format!("{HELP}\n")),
        Wish::Version => {
            crate::terminal::print(&format!("memcached {VERSION} (Larder {})\n", env!("CARGO_PKG_VERSION")));
        }
        Wish::License => crate::terminal::print(include_str!("../../../LICENSE")),
        Wish::Start { words: directives, notes, user } => {
            if let Some(user) = user {
                become_user(&user, words)?;
            }
            for note in notes {
                eprintln!("larder memcached: {note}");
            }
            let config = parse::arguments(&directives).map_err(|error| error.to_string())?;
            crate::node::prepare(&config)?;
            larder_engine::run::run(config)?;
        }
    }
    Ok(())
}

/// Goes on as another user, in this process's place, if it is root that runs it: others stay who they are.
fn become_user(name: &str, words: &[String]) -> Result<(), Refusal> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let users = std::fs::read_to_string("/etc/passwd").map_err(|error| format!("/etc/passwd: {error}"))?;
    let found = users.lines().find_map(|line| user(line, name));
    let unknown = || Refusal(exit::NO_USER, format!("can't find the user {name} to switch to"));
    let (uid, gid) = found.ok_or_else(unknown)?;
    if uid == 0 {
        return Ok(());
    }
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let error = std::process::Command::new(program).arg("memcached").args(words).gid(gid).uid(uid).exec();
    Err(Refusal(exit::SYSTEM, format!("failed to assume identity of user {name}: {error}")))
}

/// User and group of a line of `/etc/passwd`, if it is about this user.
fn user(line: &str, name: &str) -> Option<(u32, u32)> {
    let mut fields = line.split(':');
    let (found, uid, gid) = (fields.next()?, fields.nth(1)?, fields.next()?);
    (found == name).then_some((uid.parse().ok()?, gid.parse().ok()?))
}

/// The letter of a long option.
fn letter(long: &str) -> Option<char> {
    Some(match long {
        "port" => 'p',
        "udp-port" => 'U',
        "unix-socket" => 's',
        "unix-mask" => 'a',
        "enable-shutdown" => 'A',
        "listen" => 'l',
        "daemon" => 'd',
        "enable-coredumps" => 'r',
        "user" => 'u',
        "memory-limit" => 'm',
        "disable-evictions" => 'M',
        "conn-limit" => 'c',
        "lock-memory" => 'k',
        "verbose" => 'v',
        "help" => 'h',
        "license" => 'i',
        "version" => 'V',
        "pidfile" => 'P',
        "slab-growth-factor" => 'f',
        "slab-min-size" => 'n',
        "enable-largepages" => 'L',
        "threads" => 't',
        "max-reqs-per-event" => 'R',
        "disable-cas" => 'C',
        "listen-backlog" => 'b',
        "protocol" => 'B',
        "max-item-size" => 'I',
        "enable-sasl" => 'S',
        "disable-flush-all" => 'F',
        "disable-dumping" => 'X',
        "disable-watch" => 'W',
        "auth-file" => 'Y',
        "memory-file" => 'e',
        "enable-ssl" => 'Z',
        "extended" => 'o',
        "napi-ids" | "napi_ids" => 'N',
        _ => return None,
    })
}

/// True for an option that takes a value.
fn takes_value(option: char) -> bool {
    "pUsalumcPfnDtRbBIYeoN".contains(option)
}

/// What getopt says, and what memcached says behind it.
fn wrong(what: &str) -> Refusal {
    format!("memcached: {what}\nIllegal argument \"?\"").into()
}

/// Takes a command line apart, as getopt does: letters with their values.
fn options(words: &[String]) -> Result<Vec<(char, String)>, Refusal> {
    let mut found = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let value = |option: char, words: &mut std::slice::Iter<'_, String>| {
            words.next().cloned().ok_or_else(|| wrong(&format!("option requires an argument -- '{option}'")))
        };
        if let Some(long) = word.strip_prefix("--") {
            let (name, given) = match long.split_once('=') {
                Some((name, given)) => (name, Some(given.to_owned())),
                None => (long, None),
            };
            let option = letter(name).ok_or_else(|| wrong(&format!("unrecognized option '--{name}'")))?;
            let text = match (takes_value(option), given) {
                (true, Some(given)) => given,
                (true, None) => value(option, &mut words)?,
                (false, None) => String::new(),
                (false, Some(_)) => {
                    return Err(wrong(&format!("option '--{name}' doesn't allow an argument")));
                }
            };
            found.push((option, text));
            continue;
        }
        let letters = word.strip_prefix('-').filter(|letters| !letters.is_empty());
        let letters = letters.ok_or_else(|| wrong(&format!("unexpected argument '{word}'")))?;
        for (at, option) in letters.char_indices() {
            if !takes_value(option) {
                found.push((option, String::new()));
                continue;
            }
            let rest = &letters[at + option.len_utf8()..];
            let text = if rest.is_empty() { value(option, &mut words)? } else { rest.to_owned() };
            found.push((option, text));
            break;
        }
    }
    Ok(found)
}

fn number(option: char, text: &str, low: u64, high: u64) -> Result<u64, Refusal> {
    let number = text.parse().ok().filter(|number| (low..=high).contains(number));
    number.ok_or_else(|| usage(format!("-{option} '{text}' is not a number from {low} to {high}")))
}

/// A port that nobody listens on: `-1` leaves the choice to us, and the file that `MEMCACHED_PORT_FILENAME` names tells it.
fn free_port(udp: bool) -> Result<u64, Refusal> {
    let any = (std::net::Ipv4Addr::UNSPECIFIED, 0);
    let address = if udp {
        std::net::UdpSocket::bind(any).and_then(|socket| socket.local_addr())
    } else {
        std::net::TcpListener::bind(any).and_then(|socket| socket.local_addr())
    };
    let address = address.map_err(|error| Refusal(exit::SYSTEM, format!("no port is free: {error}")))?;
    Ok(address.port().into())
}

fn port_number(text: &str) -> Result<u64, Refusal> {
    text.parse::<u16>().map(u64::from).map_err(|_| usage(format!("ERROR: Invalid port number {text}.")))
}

/// A number of at least one; memcached has a sentence for each of them.
fn positive(text: &str, most: u64, sentence: &str) -> Result<u64, Refusal> {
    text.parse().ok().filter(|number| (1..=most).contains(number)).ok_or_else(|| sentence.into())
}

fn read(words: &[String]) -> Result<Wish, Refusal> {
    let mut directives = vec![
        "--port 0".to_owned(),
        "--engine memcached".to_owned(),
        format!("--engine-version {VERSION}"),
        "--protected-mode no".to_owned(),
        "--save".to_owned(),
    ];
    let mut notes = Vec::new();
    let (mut port, mut socket, mut mask, mut addresses) = (None, None, "700".to_owned(), Vec::new());
    let (mut memory, mut evicts, mut connections, mut threads) = (64, true, 1024, 4);
    let (mut per_event, mut backlog, mut verbosity) = (20, 1024, 0);
    let (mut users, mut sasl, mut udp_port, mut user) = (None, false, 0, None);
    let mut udp_chosen = false;
    let (mut item_bytes, mut binary) = (1 << 20, false);
    let (mut tls, mut secrets) = (false, Secrets::default());
    for (option, text) in options(words)? {
        let mut set = |directive: &str, value: &str| directives.push(format!("--{directive} {value}"));
        let mut note = |why: &str| notes.push(format!("-{option} has no effect: {why}"));
        match option {
            'h' => return Ok(Wish::Help),
            'V' => return Ok(Wish::Version),
            'i' => return Ok(Wish::License),
            'p' if text == "-1" => port = Some(free_port(false)?),
            'p' => port = Some(port_number(&text)?),
            'U' if text == "-1" => {
                udp_port = free_port(true)?;
                udp_chosen = true;
            }
            'U' if text == "off" => udp_port = 0,
            'U' => udp_port = port_number(&text)?,
            's' => socket = Some(text),
            'a' => mask = text,
            'l' => addresses.extend(text.split(',').map(str::to_owned)),
            'A' => set("memcached-shutdown", "yes"),
            'd' => set("daemonize", "yes"),
            'u' => user = Some(text),
            'm' => memory = number(option, text.strip_suffix(['m', 'M']).unwrap_or(&text), 1, 1 << 30)?,
            'M' => evicts = false,
            'c' => connections = positive(&text, 1_000_000, "Maximum connections must be greater than 0")?,
            'k' => set("lock-memory", "yes"),
            'v' => verbosity += 1,
            'P' => set("pidfile", &text),
            'f' if text.parse::<f64>().is_ok_and(|factor| factor <= 1.0) => {
                return Err("Factor must be greater than 1".into());
            }
            'n' if text == "0" => return Err("Chunk size must be greater than 0".into()),
            'f' | 'n' | 'L' => note("there are no slab classes"),
            'r' => note("core dumps are left as the system limits them"),
            'W' => set("memcached-watch", "no"),
            'C' => set("memcached-cas", "no"),
            'D' => {
                // The first counts, as in memcached.
                let first = text.chars().next().ok_or("No delimiter specified")?;
                set("memcached-stats-prefix", first.encode_utf8(&mut [0; 4]));
                set("memcached-stats-detail", "yes");
            }
            't' => threads = positive(&text, 1024, "Number of threads must be greater than 0")?,
            'R' => {
                let sentence = "Number of requests per event must be greater than 0";
                per_event = positive(&text, 1 << 31, sentence)?;
            }
            'b' => backlog = number(option, &text, 1, 65535)?,
            'B' => match text.as_str() {
                "auto" | "ascii" | "binary" => {
                    binary = text == "binary";
                    set("memcached-protocol", &text);
                }
                _ => {
                    return Err(usage(format!(
                        "Invalid value for binding protocol: {text}\n -- should be one of auto, binary, or ascii"
                    )));
                }
            },
            'I' => item_bytes = item_size(&text)?,
            'S' => sasl = true,
            'F' => set("memcached-flush", "no"),
            'X' => set("memcached-dump", "no"),
            'Y' => users = Some(text),
            'e' => set("memcached-memory-file", &text),
            'Z' => tls = true,
            'o' => {
                for part in text.split(',').filter(|part| !part.is_empty()) {
                    if !secrets.take(part)? {
                        extended(part, &mut directives, &mut notes)?;
                    }
                }
            }
            'N' => return Err("-N is not available: threads are not bound to queues of network cards".into()),
            other => return Err(wrong(&format!("invalid option -- '{other}'"))),
        }
    }
    if item_bytes > memory << 19 {
        return Err(usage("Cannot set item size limit higher than 1/2 of memory max."));
    }
    if binary && users.is_some() && !sasl {
        return Err(usage(
            "ERROR: You cannot allow the BINARY protocol while using ascii authentication tokens.",
        ));
    }
    directives.push(format!("--memcached-max-item-size {item_bytes}"));
    if per_event > 64 {
        notes.push("-R is taken as 64, which is the most".into());
        per_event = 64;
    }
    if sasl {
        directives.push("--memcached-sasl yes".into());
        users = users.or_else(|| std::env::var("MEMCACHED_SASL_PWDB").ok());
    }
    directives.extend(users.map(|users| format!("--memcached-auth-file {users}")));
    directives.extend(secrets.directives(tls)?);
    directives.extend(
        std::env::var("MEMCACHED_PORT_FILENAME").ok().map(|path| format!("--memcached-port-file {path}")),
    );
    match socket {
        Some(path) => {
            directives.push(format!("--memcached-unixsocket {path}"));
            directives.push(format!("--memcached-unixsocketperm {mask}"));
        }
        None => {
            // Where only a UDP port is named, TCP has the same; where that one is left to us, both are.
            let mut port = match port {
                Some(port) => port,
                None if udp_chosen => free_port(false)?,
                None if udp_port > 0 => udp_port,
                None => 11211,
            };
            directives.extend(listen(&addresses, &mut port)?);
            directives.push(format!("--memcached-udp-port {udp_port}"));
        }
    }
    directives.extend([
        format!("--maxmemory {memory}mb"),
        format!("--maxmemory-policy {}", if evicts { "allkeys-lhd" } else { "noeviction" }),
        format!("--maxclients {connections}"),
        format!("--threads {threads}"),
        format!("--memcached-requests-per-event {per_event}"),
        format!("--tcp-backlog {backlog}"),
        format!("--loglevel {}", ["notice", "verbose", "debug", "debug"][verbosity.min(3)]),
    ]);
    let words = directives.iter().flat_map(|line| match line.split_once(' ') {
        // Several addresses are several words; a path is one.
        Some(("--bind", hosts)) => {
            std::iter::once("--bind").chain(hosts.split(' ')).map(str::to_owned).collect()
        }
        Some((name, value)) => vec![name.to_owned(), value.to_owned()],
        None => vec![line.clone(), String::new()],
    });
    Ok(Wish::Start { words: words.collect(), notes, user })
}

/// What `-o` says of TLS.
#[derive(Default)]
struct Secrets {
    certificate: Option<String>,
    /// The certificate's file if none is named.
    key: Option<String>,
    authorities: Option<String>,
    /// `ssl_verify_mode`: 1 asks clients for a certificate, 2 and 3 insist on one.
    verify: u64,
    version: u64,
    ciphers: Option<String>,
    caches: bool,
}

impl Secrets {
    /// Takes an option; false if it is not one of TLS.
    fn take(&mut self, part: &str) -> Result<bool, Refusal> {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        match name {
            "ssl_chain_cert" => self.certificate = Some(value.to_owned()),
            "ssl_key" => self.key = Some(value.to_owned()),
            "ssl_ca_cert" => self.authorities = Some(value.to_owned()),
            "ssl_verify_mode" => self.verify = number('o', value, 0, 3)?,
            // 0 and 1 are versions that are not spoken.
            "ssl_min_version" => self.version = number('o', value, 2, 3)?,
            "ssl_ciphers" => self.ciphers = Some(value.to_owned()),
            "ssl_session_cache" => self.caches = true,
            "ssl_keyformat" if value == "1" => {} // PEM
            _ if name.starts_with("ssl_") => return Err(format!("-o {part} is not available").into()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn directives(self, on: bool) -> Result<Vec<String>, Refusal> {
        if !on {
            return Ok(Vec::new()); // as memcached: without -Z they say nothing
        }
        let certificate =
            self.certificate.ok_or_else(|| usage("-Z needs -o ssl_chain_cert=<file>,ssl_key=<file>"))?;
        let mut lines = vec!["--tls-mode required".to_owned()];
        lines.push(format!("--tls-key-file {}", self.key.unwrap_or_else(|| certificate.clone())));
        lines.push(format!("--tls-cert-file {certificate}"));
        lines.extend(self.authorities.map(|path| format!("--tls-ca-cert-file {path}")));
        lines.push(format!("--tls-auth-clients {}", ["no", "optional", "yes", "yes"][self.verify as usize]));
        if self.version == 3 {
            lines.push("--tls-protocols TLSv1.3".into());
        }
        lines.extend(self.ciphers.map(|ciphers| format!("--tls-ciphers {ciphers}")));
        lines.push(format!("--tls-session-caching {}", if self.caches { "yes" } else { "no" }));
        Ok(lines)
    }
}

/// The directives for where to listen. A port behind an address stands for `-p`.
fn listen(addresses: &[String], port: &mut u64) -> Result<Vec<String>, Refusal> {
    let mut hosts = Vec::new();
    for address in addresses {
        let parsed = match address.parse::<std::net::SocketAddr>() {
            Ok(whole) => {
                *port = whole.port().into();
                whole.ip().to_string()
            }
            Err(_) => match address.rsplit_once(':') {
                Some((host, digits)) if !host.contains(':') => {
                    *port = number('l', digits, 1, 65535)?;
                    host.to_owned()
                }
                _ => address.trim_matches(['[', ']']).to_owned(),
            },
        };
        hosts.push(parsed);
    }
    let mut lines = vec![format!("--memcached-port {port}")];
    if !hosts.is_empty() {
        lines.push(format!("--bind {}", hosts.join(" ")));
    }
    Ok(lines)
}

/// `1m`, `512k` or bytes.
fn item_size(text: &str) -> Result<u64, Refusal> {
    let unit = match text.chars().last() {
        Some('k' | 'K') => 1 << 10,
        Some('m' | 'M') => 1 << 20,
        _ => 1,
    };
    let digits = text.trim_end_matches(['k', 'K', 'm', 'M']);
    match digits.parse::<u64>().ok().and_then(|size| size.checked_mul(unit)) {
        Some(size @ 1024..=0x4000_0000) => Ok(size),
        Some(0..1024) => Err(usage("Item max size cannot be less than 1024 bytes.")),
        Some(_) => Err(usage("Cannot set item size limit higher than a gigabyte.")),
        None => Err(usage(format!("-I '{text}' is not a size"))),
    }
}

fn extended(part: &str, directives: &mut Vec<String>, notes: &mut Vec<String>) -> Result<(), Refusal> {
    let (name, value) = part.split_once('=').unwrap_or((part, ""));
    let number = |low, high| match value {
        "" => Err(Refusal::from(format!("Missing numeric argument for {name}"))),
        value => number('o', value, low, high),
    };
    match name {
        "idle_timeout" => directives.push(format!("--timeout {}", number(0, 1 << 31)?)),
        "maxconns_fast" => {} // so it is anyway
        "track_sizes" => directives.push("--memcached-track-sizes yes".into()),
        "no_maxconns_fast" => directives.push("--memcached-maxconns-fast no".into()),
        "watcher_logbuf_size" => {
            directives.push(format!("--memcached-watcher-buffer {}kb", number(1, 1 << 20)?));
        }
        "worker_logbuf_size" => {
            directives.push(format!("--memcached-worker-buffer {}kb", number(1, 1 << 20)?));
        }
        "hashpower" => {
            if number(1, 1 << 31)? > 32 {
                return Err(format!("Initial hashtable multiplier of {value} is too high").into());
            }
            notes.push(format!("-o {name} has no effect: tables grow bucket by bucket"));
        }
        "hash_algorithm" if !["jenkins", "murmur3", "xxh3"].contains(&value) => {
            return Err("Unknown hash_algorithm option (jenkins, murmur3, xxh3)".into());
        }
        _ if WITHOUT_EFFECT.contains(&name) => {
            notes.push(format!("-o {name} has no effect: there is nothing here that it tunes"));
        }
        _ if ["ext_", "proxy_", "drop_privileges"].iter().any(|kind| name.starts_with(kind)) => {
            return Err(format!("-o {name} is not available yet").into());
        }
        _ => return Err(format!("Illegal suboption \"{name}\"").into()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Wish, Refusal> {
        read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    fn started(line: &str) -> String {
        match of(line) {
            Ok(Wish::Start { words, .. }) => words.join(" "),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn options_are_read_as_getopt_reads_them() {
        let all =
            started("-p11300 -m 100 --conn-limit=50 --threads 2 -Mvv -I 2m -l 127.0.0.1 -o idle_timeout=9");
        for part in [
            "--memcached-port 11300",
            "--maxmemory 100mb",
            "--maxclients 50",
            "--threads 2",
            "--maxmemory-policy noeviction",
            "--loglevel debug",
            "--memcached-max-item-size 2097152",
            "--timeout 9",
            "--bind 127.0.0.1",
        ] {
            assert!(all.contains(part), "{part} in {all}");
        }
        assert_eq!(of("-V"), Ok(Wish::Version));
        assert_eq!(of("--help"), Ok(Wish::Help));
        assert!(started("-l 127.0.0.1:11999").contains("--memcached-port 11999"));
        assert!(started("-m 100m -U off").contains("--memcached-udp-port 0 --maxmemory 100mb"));
        assert!(!started("-p -1").contains("--memcached-port 0"));
        assert!(started("-U 11222").contains("--memcached-port 11222 --memcached-udp-port 11222"));
        assert!(started("-U 0").contains("--memcached-port 11211"));
        let chosen = started("-U -1");
        for port in ["--memcached-port 0", "--memcached-udp-port 0", "--memcached-port 11211"] {
            assert!(!chosen.contains(port), "{chosen}");
        }
        assert!(started("-D ::").contains("--memcached-stats-prefix : --memcached-stats-detail yes"));
        assert!(started("-s /tmp/x -a 770").contains("--memcached-unixsocketperm 770"));
    }

    #[test]
    fn what_is_not_there_is_refused_by_name() {
        for line in [
            "-U x",
            "-Z",
            "-Z -o ssl_key=x",
            "-o ssl_wbuf_size=1",
            "-o ext_path=x",
            "-o drop_privileges",
            "-o nonsense",
            "-N 2",
            "-q",
            "-p",
            "-p x",
            "x",
        ] {
            assert!(of(line).is_err(), "{line}");
        }
        for (line, code, text) in [
            ("-I 10", exit::USAGE, "Item max size cannot be less than 1024 bytes."),
            ("-I 33m", exit::USAGE, "Cannot set item size limit higher than 1/2 of memory max."),
            ("-p 99999", exit::USAGE, "ERROR: Invalid port number 99999."),
            ("-t 0", exit::FAILED, "Number of threads must be greater than 0"),
            ("-o idle_timeout", exit::FAILED, "Missing numeric argument for idle_timeout"),
            ("-q", exit::FAILED, "memcached: invalid option -- 'q'\nIllegal argument \"?\""),
        ] {
            assert_eq!(of(line), Err(Refusal(code, text.to_owned())), "{line}");
        }
    }

    #[test]
    fn a_user_is_found_by_name() {
        assert_eq!(user("cache:x:101:102::/nonexistent:/bin/false", "cache"), Some((101, 102)));
        assert_eq!(user("cache:x:101:102::/nonexistent:/bin/false", "cach"), None);
        assert_eq!(user("broken:x", "broken"), None);
    }

    #[test]
    fn what_tunes_watching_and_waiting_takes_effect() {
        let line = started("-k -W -o no_maxconns_fast,watcher_logbuf_size=32,worker_logbuf_size=8 -u cache");
        for part in [
            "--lock-memory yes",
            "--memcached-watch no",
            "--memcached-maxconns-fast no",
            "--memcached-watcher-buffer 32kb",
            "--memcached-worker-buffer 8kb",
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }

    #[test]
    fn tls_is_that_of_a_node() {
        let line = started(
            "-Z -o ssl_chain_cert=a.pem,ssl_key=a.key,ssl_ca_cert=b.pem,ssl_verify_mode=3,ssl_min_version=3",
        );
        for part in [
            "--tls-mode required",
            "--tls-cert-file a.pem",
            "--tls-key-file a.key",
            "--tls-ca-cert-file b.pem",
            "--tls-auth-clients yes",
            "--tls-protocols TLSv1.3",
            "--tls-session-caching no",
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
        assert!(!started("-o ssl_key=x").contains("tls"), "without -Z");
    }

    #[test]
    fn what_has_no_effect_says_so() {
        let Ok(Wish::Start { notes, .. }) = of("-f 1.25 -n 48 -o modern,slab_automove=1 -R 500") else {
            panic!()
        };
        assert_eq!(notes.len(), 5, "{notes:?}");
    }
}
