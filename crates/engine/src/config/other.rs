//! Directives of Redis and Valkey that change nothing here: hints, and parts of features that do not exist yet.
//!
//! A *hint* asks for an effort that is always made here, or for a saving that there is nothing to save on: its value is
//! checked, kept and shown. A directive of an *absent* feature may say what is so anyway; any other value is refused by
//! name, so that nobody believes in a setting that does nothing. When a feature comes, its directives move to
//! [`directive::TABLE`](super::directive::TABLE), which is looked at first.

use super::Config;

/// What values a hint takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `yes` or `no`.
    YesNo,
    /// A number within bounds.
    Number(i64, i64),
    /// An amount of memory.
    Memory,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Any text.
    Text,
}

/// Why a directive changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It may have any value of the kind.
    Hint(Kind),
    /// The feature it belongs to does not exist yet; these values say so, and the default does.
    Absent(&'static str, &'static [&'static str]),
}

/// A row.
pub struct Other {
    /// Name in lower case.
    pub name: &'static str,
    /// Older names.
    pub aliases: &'static [&'static str],
    /// Its value, as long as nobody says otherwise.
    pub default: &'static str,
    /// Why it changes nothing.
    pub why: Why,
}

impl Other {
    /// Its value.
    pub fn get(&self, config: &Config) -> String {
        config.settings.hints.get(self.name).cloned().unwrap_or_else(|| self.default.to_owned())
    }

    /// Takes a value; the error says what is wrong with it.
    ///
    /// # Errors
    /// The text that CONFIG SET and the start of a node show.
    pub fn set(&self, config: &mut Config, text: &str) -> Result<(), String> {
        match self.why {
            Why::Hint(kind) => {
                check(kind, text)?;
                config.settings.hints.insert(self.name, text.to_owned());
                Ok(())
            }
            Why::Absent(feature, off) => {
                let same = |value: &&str| value.eq_ignore_ascii_case(text);
                if off.iter().any(same) || same(&self.default) {
                    return Ok(());
                }
                Err(format!("{feature} not available yet; the only value is '{}'", self.default))
            }
        }
    }
}

fn check(kind: Kind, text: &str) -> Result<(), String> {
    let lower = text.to_ascii_lowercase();
    match kind {
        Kind::YesNo if lower == "yes" || lower == "no" => Ok(()),
        Kind::YesNo => Err("argument must be 'yes' or 'no'".into()),
        Kind::Number(low, high) => match text.parse::<i64>() {
            Ok(number) if (low..=high).contains(&number) => Ok(()),
            Ok(_) => Err(format!("argument must be between {low} and {high} inclusive")),
            Err(_) => Err("argument couldn't be parsed into an integer".into()),
        },
        Kind::Memory => super::directive::bytes(text).map(drop),
        Kind::OneOf(words) if words.contains(&lower.as_str()) => Ok(()),
        Kind::OneOf(words) => Err(format!("argument(s) must be one of the following: {}", words.join(", "))),
        Kind::Text => Ok(()),
    }
}

/// The row of this name or alias, in lower case.
pub fn find(name: &str) -> Option<&'static Other> {
    TABLE.iter().find(|row| row.name == name || row.aliases.contains(&name))
}

const MAX: i64 = i64::MAX;

const fn hint(name: &'static str, default: &'static str, kind: Kind) -> Other {
    Other { name, aliases: &[], default, why: Why::Hint(kind) }
}

const fn absent(name: &'static str, default: &'static str, feature: &'static str) -> Other {
    Other { name, aliases: &[], default, why: Why::Absent(feature, &[]) }
}

const fn renamed(
    name: &'static str,
    aliases: &'static [&'static str],
    default: &'static str,
    feature: &'static str,
) -> Other {
    Other { name, aliases, default, why: Why::Absent(feature, &[]) }
}

const AOF: &str = "the append-only file is";
const REPLICATION: &str = "replication is";
const CLUSTER: &str = "cluster mode is";
const KEY_PASSWORD: &str = "a password of a key file is";
const SCRIPTS: &str = "bounding scripts is";
const USERS: &str = "users are";
const PINNING: &str = "pinning threads to processors is";
const SYSLOG: &str = "logging to syslog is";
const MODULES: &str = "modules are";
const RDMA: &str = "RDMA is";

/// All such directives, by name.
pub const TABLE: &[Other] = &[
    absent("acl-pubsub-default", "resetchannels", USERS),
    absent("aclfile", "", USERS),
    absent("acllog-max-len", "128", USERS),
    hint("active-defrag-cycle-max", "25", Kind::Number(1, 99)),
    hint("active-defrag-cycle-min", "1", Kind::Number(1, 99)),
    hint("active-defrag-cycle-us", "500", Kind::Number(0, 100_000)),
    hint("active-defrag-ignore-bytes", "104857600", Kind::Memory),
    hint("active-defrag-max-scan-fields", "1000", Kind::Number(1, MAX)),
    hint("active-defrag-threshold-lower", "10", Kind::Number(0, 1000)),
    hint("active-defrag-threshold-upper", "100", Kind::Number(0, 1000)),
    hint("active-expire-effort", "1", Kind::Number(1, 10)),
    absent("activedefrag", "no", "moving values to other memory is"),
    hint("activerehashing", "yes", Kind::YesNo),
    hint("always-show-logo", "no", Kind::YesNo),
    absent("aof-disable-auto-gc", "no", AOF),
    renamed("aof-rewrite-cpulist", &["aof_rewrite_cpulist"], "", PINNING),
    hint("aof-rewrite-incremental-fsync", "yes", Kind::YesNo),
    hint("availability-zone", "", Kind::Text),
    renamed("bgsave-cpulist", &["bgsave_cpulist"], "", PINNING),
    renamed("bio-cpulist", &["bio_cpulist"], "", PINNING),
    renamed("busy-reply-threshold", &["lua-time-limit"], "5000", SCRIPTS),
    absent("cluster-allow-pubsubshard-when-down", "yes", CLUSTER),
    absent("cluster-allow-reads-when-down", "no", CLUSTER),
    absent("cluster-allow-replica-migration", "yes", CLUSTER),
    absent("cluster-announce-bus-port", "0", CLUSTER),
    absent("cluster-announce-client-ipv4", "", CLUSTER),
    absent("cluster-announce-client-ipv6", "", CLUSTER),
    absent("cluster-announce-client-port", "0", CLUSTER),
    absent("cluster-announce-client-tls-port", "0", CLUSTER),
    absent("cluster-announce-hostname", "", CLUSTER),
    absent("cluster-announce-human-nodename", "", CLUSTER),
    absent("cluster-announce-ip", "", CLUSTER),
    absent("cluster-announce-port", "0", CLUSTER),
    absent("cluster-announce-tls-port", "0", CLUSTER),
    absent("cluster-blacklist-ttl", "60", CLUSTER),
    absent("cluster-config-file", "nodes.conf", CLUSTER),
    absent("cluster-config-save-behavior", "sync", CLUSTER),
    absent("cluster-databases", "1", CLUSTER),
    absent("cluster-enabled", "no", CLUSTER),
    absent("cluster-link-sendbuf-limit", "0", CLUSTER),
    absent("cluster-manual-failover-timeout", "5000", CLUSTER),
    absent("cluster-migration-barrier", "1", CLUSTER),
    absent("cluster-node-timeout", "15000", CLUSTER),
    absent("cluster-port", "0", CLUSTER),
    absent("cluster-preferred-endpoint-type", "ip", CLUSTER),
    renamed("cluster-replica-no-failover", &["cluster-slave-no-failover"], "no", CLUSTER),
    renamed("cluster-replica-validity-factor", &["cluster-slave-validity-factor"], "10", CLUSTER),
    absent("cluster-require-full-coverage", "yes", CLUSTER),
    absent("cluster-slot-migration-log-max-len", "1000", CLUSTER),
    absent("cluster-slot-stats-enabled", "no", CLUSTER),
    hint("crash-log-enabled", "yes", Kind::YesNo),
    hint("crash-memcheck-enabled", "yes", Kind::YesNo),
    hint("disable-thp", "yes", Kind::YesNo),
    absent("dual-channel-replication-enabled", "no", REPLICATION),
    hint("dynamic-hz", "yes", Kind::YesNo),
    hint("extended-redis-compatibility", "no", Kind::YesNo),
    absent("hash-seed", "", "a fixed hash seed is"),
    hint("hide-user-data-from-log", "yes", Kind::YesNo),
    hint("hz", "10", Kind::Number(1, 500)),
    hint("ignore-warnings", "", Kind::Text),
    hint("io-threads-do-reads", "no", Kind::YesNo),
    hint("jemalloc-bg-thread", "yes", Kind::YesNo),
    hint("lazyfree-lazy-eviction", "yes", Kind::YesNo),
    hint("lazyfree-lazy-expire", "yes", Kind::YesNo),
    hint("lazyfree-lazy-server-del", "yes", Kind::YesNo),
    hint("lazyfree-lazy-user-del", "yes", Kind::YesNo),
    hint("lazyfree-lazy-user-flush", "yes", Kind::YesNo),
    hint("list-compress-depth", "0", Kind::Number(0, i32::MAX as i64)),
    absent("loadmodule", "", MODULES),
    hint("locale-collate", "", Kind::Text),
    absent("log-format", "legacy", "another log format is"),
    absent("log-timestamp-format", "legacy", "another log format is"),
    hint("max-new-connections-per-cycle", "10", Kind::Number(1, 1000)),
    hint("max-new-tls-connections-per-cycle", "1", Kind::Number(1, 1000)),
    hint("maxmemory-eviction-tenacity", "10", Kind::Number(0, 100)),
    absent("mptcp", "no", "multipath TCP is"),
    absent("oom-score-adj", "no", "adjusting the score of the kernel's killer is"),
    hint("oom-score-adj-values", "0 200 800", Kind::Text),
    hint("prefetch-batch-max-size", "16", Kind::Number(0, 128)),
    hint("proc-title-template", "{title} {listen-addr} {server-mode}", Kind::Text),
    hint("rdb-del-sync-files", "no", Kind::YesNo), // no such file is ever kept
    absent("rdma-bind", "", RDMA),
    absent("rdma-completion-vector", "-1", RDMA),
    absent("rdma-port", "0", RDMA),
    absent("rdma-rx-size", "1048576", RDMA),
    absent("rename-command", "", "another name for a command is"),
    absent("repl-mptcp", "no", "multipath TCP is"),
    hint("replica-ignore-disk-write-errors", "no", Kind::YesNo),
    renamed("server-cpulist", &["server_cpulist"], "", PINNING),
    hint("set-proc-title", "yes", Kind::YesNo),
    absent("slot-migration-max-failover-repl-bytes", "0", CLUSTER),
    absent("socket-mark-id", "0", "marking sockets is"),
    absent("syslog-enabled", "no", SYSLOG),
    absent("syslog-facility", "local0", SYSLOG),
    Other { name: "syslog-ident", aliases: &[], default: "redis", why: Why::Absent(SYSLOG, &["valkey"]) },
    absent("tls-auth-clients-user", "off", "naming users by certificates is"),
    absent("tls-auto-reload-interval", "0", "looking for new certificates without being asked is"),
    absent("tls-client-key-file-pass", "", KEY_PASSWORD),
    absent("tls-cluster", "no", CLUSTER),
    absent("tls-dh-params-file", "", "key exchange over finite fields is"),
    absent("tls-key-file-pass", "", KEY_PASSWORD),
    absent("unixsocketgroup", "", "another group for the Unix socket is"),
    absent("user", "", USERS),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_and_defaults_are_accepted() {
        assert!(
            TABLE.windows(2).all(|pair| pair[0].name < pair[1].name || pair[0].name.starts_with("aof-load"))
        );
        let mut config = Config::default();
        for row in TABLE {
            row.set(&mut config, row.default).unwrap_or_else(|error| panic!("{}: {error}", row.name));
            assert_eq!(row.get(&config), row.default);
        }
    }

    #[test]
    fn hints_are_checked_and_kept() {
        let mut config = Config::default();
        let row = find("maxmemory-eviction-tenacity").unwrap();
        assert!(row.set(&mut config, "x").is_err() && row.set(&mut config, "-1").is_err());
        row.set(&mut config, "7").unwrap();
        assert_eq!(row.get(&config), "7");
    }

    #[test]
    fn absent_features_are_refused_by_name() {
        let mut config = Config::default();
        let refused = find("rdma-port").unwrap().set(&mut config, "6380").unwrap_err();
        assert_eq!(refused, "RDMA is not available yet; the only value is '0'");
    }
}
