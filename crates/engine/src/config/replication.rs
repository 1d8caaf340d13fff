//! The directives of replication.

use super::directive::{Directive, When, bytes, integer, memory, number, one_of, switch, words, yes_no};
use crate::socket::admit::Ranges;
use std::net::IpAddr;

/// `repl-diskless-load`: what a replica does with a snapshot that comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Receive {
    /// It is received whole, in memory and beyond that in a file, before the old keys go. Where there are none, it is loaded
    /// as it comes.
    #[default]
    Whole,
    /// The same: said by who knows it from Redis.
    WhenEmpty,
    /// It is loaded as it comes, beside the old keys, which go when it is whole, and are served until then if they are of the
    /// same history.
    Beside,
    /// It is loaded as it comes; the old keys go before.
    AsItComes,
}

impl Receive {
    const NAMES: [(&'static str, Receive); 4] = [
        ("disabled", Receive::Whole),
        ("on-empty-db", Receive::WhenEmpty),
        ("swapdb", Receive::Beside),
        ("flush-before-load", Receive::AsItComes),
    ];
}

/// `propagation-error-behavior`: what follows when a command of the primary, or of the append-only file, fails here though
/// it worked where it was first executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Diverging {
    /// It is counted, and the node goes on.
    #[default]
    GoOn,
    /// The node ends: what it would go on with is not what its primary, or its file, has.
    End,
    /// It ends if the command is one of its primary.
    EndReplica,
}

impl Diverging {
    const NAMES: [(&'static str, Diverging); 3] = [
        ("ignore", Diverging::GoOn),
        ("panic", Diverging::End),
        ("panic-on-replicas", Diverging::EndReplica),
    ];
}

/// Settings of replication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replication {
    /// `replicaof`: host and port of the primary.
    pub primary: Option<(String, u16)>,
    /// `primaryauth`; empty = none.
    pub password: String,
    /// `primaryuser`; empty = the default user.
    pub user: String,
    /// `replica-read-only`.
    pub read_only: bool,
    /// `replica-serve-stale-data`.
    pub serves_stale: bool,
    /// `replica-ignore-maxmemory`.
    pub ignores_maxmemory: bool,
    /// `replica-lazy-flush`: the keys of before are freed in the background.
    pub lazy_flush: bool,
    /// `replica-priority`.
    pub priority: u32,
    /// `replica-announce-ip`; empty = the address of the connection.
    pub announced_ip: String,
    /// `replica-announce-port`; 0 = the port that it listens on.
    pub announced_port: u16,
    /// `replica-announced`.
    pub announced: bool,
    /// `repl-timeout`, seconds.
    pub timeout: u64,
    /// `repl-ping-replica-period`, seconds.
    pub ping_period: u64,
    /// `repl-diskless-sync`: a snapshot is sent as it is made, not after it is whole.
    pub diskless_sync: bool,
    /// `repl-diskless-sync-delay`, seconds.
    pub diskless_delay: u64,
    /// `repl-diskless-sync-max-replicas`: with so many waiting the delay is over; 0 = no such number.
    pub diskless_replicas_max: usize,
    /// `repl-diskless-load`.
    pub receive: Receive,
    /// `repl-backlog-size`, bytes.
    pub backlog_bytes: usize,
    /// `repl-backlog-ttl`, seconds; 0 = for ever.
    pub backlog_ttl: u64,
    /// `min-replicas-to-write`.
    pub replicas_min: usize,
    /// `min-replicas-max-lag`, seconds.
    pub lag_max: u64,
    /// `repl-disable-tcp-nodelay`.
    pub delays_packets: bool,
    /// `replication-sources`: who may follow this node although `restricted-commands` hides that from others.
    pub sources: Option<Ranges>,
    /// `import-mode`: a primary lets no key die or make room, and who imports sees those whose time is over.
    pub imports: bool,
    /// `propagation-error-behavior`.
    pub diverging: Diverging,
    /// `bind-source-addr`: the address from which the primary is connected; none = as the system chooses.
    pub source: Option<IpAddr>,
}

impl Default for Replication {
    fn default() -> Replication {
        Replication {
            primary: None,
            password: String::new(),
            user: String::new(),
            read_only: true,
            serves_stale: true,
            ignores_maxmemory: true,
            lazy_flush: true,
            priority: 100,
            announced_ip: String::new(),
            announced_port: 0,
            announced: true,
            timeout: 60,
            ping_period: 10,
            diskless_sync: true,
            diskless_delay: 5,
            diskless_replicas_max: 0,
            receive: Receive::default(),
            backlog_bytes: 10 << 20,
            backlog_ttl: 3600,
            replicas_min: 0,
            lag_max: 10,
            delays_packets: false,
            sources: None,
            imports: false,
            diverging: Diverging::default(),
            source: None,
        }
    }
}

/// What CONFIG GET calls a value.
fn name<T: PartialEq>(names: &[(&'static str, T)], value: T) -> String {
    names.iter().find(|(_, one)| *one == value).map_or("", |(name, _)| name).to_owned()
}

/// Reads `host port`, or `no one`.
pub fn parse_primary(text: &str) -> Result<Option<(String, u16)>, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        [] => Ok(None),
        [no, one] if no.eq_ignore_ascii_case("no") && one.eq_ignore_ascii_case("one") => Ok(None),
        // Port 0, where nobody listens, is one, too: a replica that should have no link for now.
        [host, port] => match port.parse() {
            Ok(port) => Ok(Some((host.to_owned(), port))),
            Err(_) => Err("Invalid master port".into()),
        },
        _ => Err("wrong number of arguments".into()),
    }
}

const MAX: i64 = i32::MAX as i64;

/// The rows.
pub const TABLE: &[Directive] = &[
    Directive {
        name: "replicaof",
        aliases: &["slaveof"],
        when: When::Start,
        get: |config| {
            let primary = config.settings.replication.primary.as_ref();
            primary.map_or(String::new(), |(host, port)| format!("{host} {port}"))
        },
        set: |config, text| {
            config.settings.replication.primary = parse_primary(text)?;
            Ok(())
        },
    },
    Directive { aliases: &["primaryauth"], ..words!("masterauth", Always, settings.replication.password) },
    Directive { aliases: &["primaryuser"], ..words!("masteruser", Always, settings.replication.user) },
    Directive {
        aliases: &["slave-read-only"],
        ..switch!("replica-read-only", Always, settings.replication.read_only)
    },
    Directive {
        aliases: &["slave-serve-stale-data"],
        ..switch!("replica-serve-stale-data", Always, settings.replication.serves_stale)
    },
    Directive {
        aliases: &["slave-ignore-maxmemory"],
        ..switch!("replica-ignore-maxmemory", Always, settings.replication.ignores_maxmemory)
    },
    Directive {
        aliases: &["slave-lazy-flush"],
        ..switch!("replica-lazy-flush", Always, settings.replication.lazy_flush)
    },
    number!("replica-priority", &["slave-priority"], Always, settings.replication.priority, 0, MAX),
    Directive {
        aliases: &["slave-announce-ip"],
        ..words!("replica-announce-ip", Always, settings.replication.announced_ip)
    },
    number!(
        "replica-announce-port",
        &["slave-announce-port"],
        Always,
        settings.replication.announced_port,
        0,
        65535
    ),
    switch!("replica-announced", Always, settings.replication.announced),
    number!("repl-timeout", &[], Always, settings.replication.timeout, 1, MAX),
    number!(
        "repl-ping-replica-period",
        &["repl-ping-slave-period"],
        Always,
        settings.replication.ping_period,
        1,
        MAX
    ),
    switch!("repl-diskless-sync", Always, settings.replication.diskless_sync),
    number!("repl-diskless-sync-delay", &[], Always, settings.replication.diskless_delay, 0, MAX),
    number!(
        "repl-diskless-sync-max-replicas",
        &[],
        Always,
        settings.replication.diskless_replicas_max,
        0,
        MAX
    ),
    Directive {
        name: "repl-diskless-load",
        aliases: &[],
        when: When::Always,
        get: |config| name(&Receive::NAMES, config.settings.replication.receive),
        set: |config, text| {
            config.settings.replication.receive = one_of(&Receive::NAMES, text)?;
            Ok(())
        },
    },
    memory!("repl-backlog-size", Always, settings.replication.backlog_bytes, 1),
    number!("repl-backlog-ttl", &[], Always, settings.replication.backlog_ttl, 0, i64::MAX),
    number!(
        "min-replicas-to-write",
        &["min-slaves-to-write"],
        Always,
        settings.replication.replicas_min,
        0,
        MAX
    ),
    number!("min-replicas-max-lag", &["min-slaves-max-lag"], Always, settings.replication.lag_max, 0, MAX),
    switch!("import-mode", Always, settings.replication.imports),
    switch!("repl-disable-tcp-nodelay", Always, settings.replication.delays_packets),
    Directive {
        name: "replication-sources",
        aliases: &[],
        when: When::Always,
        get: |config| config.settings.replication.sources.as_ref().map_or(String::new(), Ranges::to_string),
        set: |config, text| {
            config.settings.replication.sources = Ranges::parse(text)?;
            Ok(())
        },
    },
    Directive {
        name: "propagation-error-behavior",
        aliases: &[],
        when: When::Always,
        get: |config| name(&Diverging::NAMES, config.settings.replication.diverging),
        set: |config, text| {
            config.settings.replication.diverging = one_of(&Diverging::NAMES, text)?;
            Ok(())
        },
    },
    Directive {
        name: "bind-source-addr",
        aliases: &[],
        when: When::Always,
        get: |config| config.settings.replication.source.map_or(String::new(), |source| source.to_string()),
        set: |config, text| {
            let parsed = text.parse().map_err(|_| "Invalid bind source address".to_owned());
            config.settings.replication.source = if text.is_empty() { None } else { Some(parsed?) };
            Ok(())
        },
    },
];

#[cfg(test)]
mod tests {
    use super::parse_primary;

    #[test]
    fn primaries_are_read() {
        assert_eq!(parse_primary("host 6379"), Ok(Some(("host".into(), 6379))));
        assert_eq!(parse_primary("host 0"), Ok(Some(("host".into(), 0))));
        assert_eq!((parse_primary(""), parse_primary("NO one")), (Ok(None), Ok(None)));
        for port in ["-1", "65536", "x"] {
            assert_eq!(parse_primary(&format!("host {port}")), Err("Invalid master port".into()));
        }
    }
}
