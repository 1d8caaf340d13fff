//! `larder memcached`: the engine started by memcached's command line, in memcached's place.
//!
//! Options become directives of the engine. What memcached has and Larder has not is refused by name; what asks for a
//! saving or an effort that has no counterpart here (slab classes, LRU segments, crawlers) is taken, and said to have no
//! effect.

use larder_engine::config::parse;

use crate::arguments::Memcached;
use crate::failure::{Code, Failure};

/// What memcached of this version does is what the engine follows.
const VERSION: &str = "1.6.45";
const HELP: &str = "\
Usage: larder memcached [OPTIONS of memcached]

-p, --port=<num>             TCP port (default: 11211; 0 = none)
-U, --udp-port=<num>         UDP port (default: 0 = none)
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
-R, --max-reqs-per-event     requests of a connection before others have their turn (default: 20; most: 64)
-b, --listen-backlog=<num>   backlog of the listeners (default: 1024)
-B, --protocol=<name>        ascii, binary or auto (default)
-I, --max-item-size=<num>    largest item (default: 1m)
-D <char>                    count by prefix for \"stats detail\"; what ends a prefix
-F, --disable-flush-all      disable flush_all
-X, --disable-dumping        disable stats cachedump and lru_crawler metadump
-Y, --auth-file=<file>       users: a line NAME:PASSWORD each
-S, --enable-sasl            binary protocol with SASL PLAIN; users from -Y or from the file that
                             MEMCACHED_SASL_PWDB names
-e, --memory-file=<file>     keep the keys across a restart (end with SIGUSR1 or SIGTERM)
-Z, --enable-ssl             TLS, with these of -o: ssl_chain_cert=<file>, ssl_key=<file>, ssl_ca_cert=<file>,
                             ssl_verify_mode=<0 to 3>, ssl_min_version=<2 or 3>, ssl_ciphers=<list>,
                             ssl_session_cache
-o, --extended=<list>        idle_timeout=<seconds>, maxconns_fast
-V, --version   -h, --help

Taken without effect, as there is nothing they would change: -f -n -L -C -W -r, and of -o what tunes slabs,
LRU segments, the crawler and hash tables. Refused: -k, -u to another user, -o with ext_ or proxy_.

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
    "no_lru_maintainer",
    "lru_maintainer",
    "hot_lru_pct",
    "warm_lru_pct",
    "hot_max_factor",
    "warm_max_factor",
    "temporary_ttl",
    "slab_chunk_max",
    "watcher_logbuf_size",
    "worker_logbuf_size",
    "track_sizes",
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
];

/// What a command line comes to.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    /// Start with these words of the engine's configuration; the second list is to be told.
    Start(Vec<String>, Vec<String>),
    Version,
    Help,
}

pub(crate) fn memcached(arguments: Memcached) -> Result<(), Failure> {
    let words: Vec<String> =
        arguments.rest.into_iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let wrong = |message: String| {
        Failure::new(Code::WrongUse, message).hint("See the options: larder memcached --help")
    };
    match read(&words).map_err(wrong)? {
        Wish::Help => crate::terminal::print(&format!("{HELP}\n")),
        Wish::Version => {
            crate::terminal::print(&format!("memcached {VERSION} (Larder {})\n", env!("CARGO_PKG_VERSION")))
        }
        Wish::Start(words, notes) => {
            for note in notes {
                eprintln!("larder memcached: {note}");
            }
            let config = parse::arguments(&words).map_err(|error| Failure::failed(error.to_string()))?;
            crate::node::prepare(&config)?;
            larder_engine::run::run(config).map_err(|error| Failure::failed(error.to_string()))?;
        }
    }
    Ok(())
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
        _ => return None,
    })
}

/// True for an option that takes a value.
fn takes_value(option: char) -> bool {
    "pUsalumcPfnDtRbBIYeo".contains(option)
}

/// Takes a command line apart, as getopt does: letters with their values.
fn options(words: &[String]) -> Result<Vec<(char, String)>, String> {
    let mut found = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let value = |option: char, words: &mut std::slice::Iter<'_, String>| {
            words.next().cloned().ok_or_else(|| format!("option requires an argument -- '{option}'"))
        };
        if let Some(long) = word.strip_prefix("--") {
            let (name, given) = match long.split_once('=') {
                Some((name, given)) => (name, Some(given.to_owned())),
                None => (long, None),
            };
            let option = letter(name).ok_or_else(|| format!("unrecognized option '--{name}'"))?;
            let text = match (takes_value(option), given) {
                (true, Some(given)) => given,
                (true, None) => value(option, &mut words)?,
                (false, None) => String::new(),
                (false, Some(_)) => return Err(format!("option '--{name}' doesn't allow an argument")),
            };
            found.push((option, text));
            continue;
        }
        let letters = word.strip_prefix('-').filter(|letters| !letters.is_empty());
        let letters = letters.ok_or_else(|| format!("unexpected argument '{word}'"))?;
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

fn number(option: char, text: &str, low: u64, high: u64) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (low..=high).contains(number));
    number.ok_or_else(|| format!("-{option} '{text}' is not a number from {low} to {high}"))
}

fn read(words: &[String]) -> Result<Wish, String> {
    let mut directives = vec![
        "--port 0".to_owned(),
        "--engine memcached".to_owned(),
        format!("--engine-version {VERSION}"),
        "--protected-mode no".to_owned(),
        "--save".to_owned(),
    ];
    let mut notes = Vec::new();
    let (mut port, mut socket, mut mask, mut addresses) = (11211, None, "700".to_owned(), Vec::new());
    let (mut memory, mut evicts, mut connections, mut threads) = (64, true, 1024, 4);
    let (mut per_event, mut backlog, mut verbosity) = (20, 1024, 0);
    let (mut users, mut sasl, mut udp_port) = (None, false, 0);
    let (mut tls, mut secrets) = (false, Secrets::default());
    for (option, text) in options(words)? {
        let mut set = |directive: &str, value: &str| directives.push(format!("--{directive} {value}"));
        let mut note = |why: &str| notes.push(format!("-{option} has no effect: {why}"));
        match option {
            'h' => return Ok(Wish::Help),
            'V' => return Ok(Wish::Version),
            'i' => return Err("-i: see the file LICENSE of Larder".into()),
            'p' => port = number(option, &text, 0, 65535)?,
            'U' => udp_port = number(option, &text, 0, 65535)?,
            's' => socket = Some(text),
            'a' => mask = text,
            'l' => addresses.extend(text.split(',').map(str::to_owned)),
            'A' => set("memcached-shutdown", "yes"),
            'd' => set("daemonize", "yes"),
            'u' => {
                let me = std::env::var("USER").unwrap_or_else(|_| "root".into());
                if text != me {
                    return Err(format!("-u: start it as '{text}': Larder does not change its user"));
                }
            }
            'm' => memory = number(option, &text, 1, 1 << 30)?,
            'M' => evicts = false,
            'c' => connections = number(option, &text, 1, 1_000_000)?,
            'k' => return Err("-k: memory is not locked; use the limits of the service manager".into()),
            'v' => verbosity += 1,
            'P' => set("pidfile", &text),
            'f' | 'n' | 'L' => note("there are no slab classes"),
            'r' => note("core dumps are left as the system limits them"),
            'W' => note("there is no watch command"),
            'C' => note("items have a CAS unique only once a client asked for one"),
            'D' if text.len() == 1 => {
                set("memcached-stats-prefix", &text);
                set("memcached-stats-detail", "yes");
            }
            'D' => return Err("-D takes one character".into()),
            't' => threads = number(option, &text, 1, 1024)?,
            'R' => per_event = number(option, &text, 1, 1 << 31)?,
            'b' => backlog = number(option, &text, 1, 65535)?,
            'B' => match text.as_str() {
                "auto" | "ascii" | "binary" => set("memcached-protocol", &text),
                _ => return Err(format!("Invalid value for binding protocol: {text}")),
            },
            'I' => set("memcached-max-item-size", &item_size(&text)?),
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
            other => return Err(format!("invalid option -- '{other}'")),
        }
    }
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
    match socket {
        Some(path) => {
            directives.push(format!("--memcached-unixsocket {path}"));
            directives.push(format!("--memcached-unixsocketperm {mask}"));
        }
        None => {
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
    Ok(Wish::Start(words.collect(), notes))
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
    fn take(&mut self, part: &str) -> Result<bool, String> {
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
            _ if name.starts_with("ssl_") => return Err(format!("-o {part} is not available")),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn directives(self, on: bool) -> Result<Vec<String>, String> {
        if !on {
            return Ok(Vec::new()); // as memcached: without -Z they say nothing
        }
        let certificate = self.certificate.ok_or("-Z needs -o ssl_chain_cert=<file>,ssl_key=<file>")?;
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
fn listen(addresses: &[String], port: &mut u64) -> Result<Vec<String>, String> {
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
fn item_size(text: &str) -> Result<String, String> {
    let unit = match text.chars().last() {
        Some('k' | 'K') => 1 << 10,
        Some('m' | 'M') => 1 << 20,
        _ => 1,
    };
    let digits = text.trim_end_matches(['k', 'K', 'm', 'M']);
    match digits.parse::<u64>().ok().and_then(|size| size.checked_mul(unit)) {
        Some(size @ 1024..=0x4000_0000) => Ok(size.to_string()),
        Some(0..1024) => Err("Item max size cannot be less than 1024 bytes.".into()),
        Some(_) => Err("Cannot set item size limit higher than a gigabyte.".into()),
        None => Err(format!("-I '{text}' is not a size")),
    }
}

fn extended(part: &str, directives: &mut Vec<String>, notes: &mut Vec<String>) -> Result<(), String> {
    let (name, value) = part.split_once('=').unwrap_or((part, ""));
    match name {
        "idle_timeout" => directives.push(format!("--timeout {}", number('o', value, 0, 1 << 31)?)),
        "maxconns_fast" => {} // connections beyond the limit are always told so and closed
        "no_maxconns_fast" => return Err("-o no_maxconns_fast: connections do not wait here".into()),
        _ if WITHOUT_EFFECT.contains(&name) => {
            notes.push(format!("-o {name} has no effect: there is nothing here that it tunes"));
        }
        _ if ["ext_", "proxy_"].iter().any(|kind| name.starts_with(kind)) => {
            return Err(format!("-o {name} is not available yet"));
        }
        _ => return Err(format!("Illegal suboption \"{name}\"")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Wish, String> {
        read(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    fn started(line: &str) -> String {
        match of(line) {
            Ok(Wish::Start(words, _)) => words.join(" "),
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
        assert!(started("-s /tmp/x -a 770").contains("--memcached-unixsocketperm 770"));
    }

    #[test]
    fn what_is_not_there_is_refused_by_name() {
        for line in [
            "-U x",
            "-Z",
            "-k",
            "-Z -o ssl_key=x",
            "-o ssl_wbuf_size=1",
            "-o ext_path=x",
            "-o nonsense",
            "-q",
            "-p",
            "-p x",
            "x",
        ] {
            assert!(of(line).is_err(), "{line}");
        }
        assert!(of("-I 10").unwrap_err().contains("less than 1024"));
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
        let Ok(Wish::Start(_, notes)) = of("-f 1.25 -n 48 -o modern,slab_automove=1 -R 500") else {
            panic!()
        };
        assert_eq!(notes.len(), 5, "{notes:?}");
    }
}
