//! The table of directives: one row reads, writes and checks one of them.
//!
//! A directive of Redis whose feature does not exist yet may only say that it is off; anything else is refused by
//! name, so that nobody believes in a setting that does nothing.

use super::{
    Allowed, Config, OutputLimit, Sanitize, append_only, iam, memcached, replication, shutdown, tls,
};
use crate::journal::LogLevel;
use crate::notify::Classes;
use crate::run::Supervised;
use crate::session::eviction::ClientsMax;
use crate::snapshot::save::{parse_points, show_points};
use crate::socket::Engine;
use crate::socket::admit::Ranges;
use larder_store::evict::Policy;
use std::path::PathBuf;

/// When a directive may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At the start only.
    Start,
    /// Also by CONFIG SET.
    Always,
}

/// A row of the table.
pub struct Directive {
    /// Name in lower case.
    pub name: &'static str,
    /// Older names.
    pub aliases: &'static [&'static str],
    /// When it may be given.
    pub when: When,
    /// The value as text.
    pub get: fn(&Config) -> String,
    /// Takes a value; the error says what is wrong with it.
    pub set: fn(&mut Config, &str) -> Result<(), String>,
}

/// All directives.
pub fn all() -> impl Iterator<Item = &'static Directive> {
    let families =
        [memcached::TABLE, append_only::TABLE, replication::TABLE, shutdown::TABLE, tls::TABLE, iam::TABLE];
    TABLE.iter().chain(families.into_iter().flatten())
}

/// The row of this name or alias, in any case.
pub fn find(name: &str) -> Option<&'static Directive> {
    let name = name.to_ascii_lowercase();
    all().find(|row| row.name == name || row.aliases.contains(&name.as_str()))
}

/// Reads bytes: digits and a unit (`k` = 1000, `kb` = 1024, and so on).
pub fn bytes(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &lower[digits.len()..] {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return Err("argument must be a memory value".into()),
    };
    let number: u64 = digits.parse().map_err(|_| "argument must be a memory value".to_owned())?;
    number.checked_mul(unit).ok_or("argument must be a memory value".into())
}

pub(super) fn integer<T>(text: &str, low: i64, high: i64) -> Result<T, String>
where
    T: TryFrom<i64>,
{
    let error = || format!("argument must be between {low} and {high} inclusive");
    let number: i64 = text.parse().map_err(|_| "argument couldn't be parsed into an integer".to_owned())?;
    if !(low..=high).contains(&number) {
        return Err(error());
    }
    T::try_from(number).map_err(|_| error())
}

pub(super) fn yes_no(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("argument must be 'yes' or 'no'".into()),
    }
}

pub(super) fn quoted_path(path: &Option<PathBuf>) -> String {
    path.as_ref().map_or(String::new(), |path| path.display().to_string())
}

pub(super) fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

/// A number of the settings.
macro_rules! number {
    ($name:literal, $aliases:expr, $when:ident, $($field:ident).+, $low:expr, $high:expr) => {
        Directive {
            name: $name,
            aliases: $aliases,
            when: When::$when,
            get: |config| config.$($field).+.to_string(),
            set: |config, text| {
                config.$($field).+ = integer(text, $low, $high)?;
                Ok(())
            },
        }
    };
}

/// An amount of memory of the settings.
macro_rules! memory {
    ($name:literal, $when:ident, $($field:ident).+, $low:expr) => {
        Directive {
            name: $name,
            aliases: &[],
            when: When::$when,
            get: |config| config.$($field).+.to_string(),
            set: |config, text| {
                let value = bytes(text)?;
                if value < u64::from($low as u32) && $low > 0 {
                    return Err(format!("argument must be between {} and {} inclusive", $low, i64::MAX));
                }
                config.$($field).+ = value.try_into().map_err(|_| "argument must be a memory value".to_owned())?;
                Ok(())
            },
        }
    };
}

/// A text of the settings.
macro_rules! words {
    ($name:literal, $when:ident, $($field:ident).+) => {
        Directive {
            name: $name,
            aliases: &[],
            when: When::$when,
            get: |config| config.$($field).+.clone(),
            set: |config, text| {
                config.$($field).+ = text.to_owned();
                Ok(())
            },
        }
    };
}

/// A yes or no of the settings.
macro_rules! switch {
    ($name:literal, $when:ident, $($field:ident).+) => {
        Directive {
            name: $name,
            aliases: &[],
            when: When::$when,
            get: |config| if config.$($field).+ { "yes" } else { "no" }.to_owned(),
            set: |config, text| {
                config.$($field).+ = yes_no(text)?;
                Ok(())
            },
        }
    };
}

/// A directive that opens something to everybody, to nobody, or to sessions of this machine.
macro_rules! allowed {
    ($name:literal, $($field:ident).+) => {
        Directive {
            name: $name,
            aliases: &[],
            when: When::Start,
            get: |config| {
                let now = config.$($field).+;
                Allowed::NAMES.iter().find(|(_, one)| *one == now).map_or("no", |(name, _)| name).to_owned()
            },
            set: |config, text| {
                config.$($field).+ = one_of(&Allowed::NAMES, text)?;
                Ok(())
            },
        }
    };
}

const DELAY_MIN: i64 = i32::MIN as i64 + 1;

const SUPERVISED: [(&str, Supervised); 4] = [
    ("upstart", Supervised::Upstart),
    ("systemd", Supervised::Systemd),
    ("auto", Supervised::Auto),
    ("no", Supervised::No),
];

pub(super) fn one_of<T: Copy>(names: &[(&'static str, T)], text: &str) -> Result<T, String> {
    let found = names.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    let all: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
    let error = || format!("argument(s) must be one of the following: {}", all.join(", "));
    found.map(|(_, value)| *value).ok_or_else(error)
}

pub(super) use {memory, number, switch, words};

/// Addresses that `bind` may name.
const BIND_MAX: usize = 16;

/// All directives but those of [`append_only`] and [`replication`].
pub const TABLE: &[Directive] = &[
    number!("port", &[], Always, settings.port, 0, 65535),
    Directive {
        name: "bind",
        aliases: &[],
        when: When::Always,
        get: |config| config.settings.bind.join(" "),
        set: |config, text| {
            let addresses: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            if addresses.len() > BIND_MAX {
                return Err("Too many bind addresses specified.".into());
            }
            config.settings.bind = addresses;
            Ok(())
        },
    },
    Directive {
        name: "unixsocket",
        aliases: &[],
        when: When::Start,
        get: |config| quoted_path(&config.startup.unix_socket),
        set: |config, text| {
            config.startup.unix_socket = path(text);
            Ok(())
        },
    },
    Directive {
        name: "unixsocketperm",
        aliases: &[],
        when: When::Start,
        get: |config| config.startup.unix_socket_mode.map_or("0".into(), |mode| format!("{mode:o}")),
        set: |config, text| {
            let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
            config.startup.unix_socket_mode = Some(mode.ok_or("argument must be an octal mode up to 777")?);
            Ok(())
        },
    },
    number!("threads", &["io-threads"], Start, startup.threads, 0, 1024),
    Directive {
        name: "io-engine",
        aliases: &[],
        when: When::Start,
        get: |config| {
            match config.startup.engine {
                Engine::Auto => "auto",
                Engine::Uring => "uring",
                Engine::Epoll => "epoll",
            }
            .into()
        },
        set: |config, text| {
            config.startup.engine = match text {
                "auto" => Engine::Auto,
                "uring" => Engine::Uring,
                "epoll" => Engine::Epoll,
                _ => return Err("argument must be one of: auto, uring, epoll".into()),
            };
            Ok(())
        },
    },
    number!("databases", &[], Start, startup.databases, 1, 16384),
    number!("tcp-backlog", &[], Start, startup.backlog, 0, 65535),
    Directive {
        name: "pidfile",
        aliases: &[],
        when: When::Start,
        get: |config| quoted_path(&config.startup.pidfile),
        set: |config, text| {
            config.startup.pidfile = path(text);
            Ok(())
        },
    },
    Directive {
        name: "logfile",
        aliases: &[],
        when: When::Start,
        get: |config| quoted_path(&config.startup.logfile),
        set: |config, text| {
            config.startup.logfile = path(text);
            Ok(())
        },
    },
    Directive {
        name: "loglevel",
        aliases: &[],
        when: When::Always,
        get: |config| {
            let now = config.settings.loglevel;
            LogLevel::NAMES.iter().find(|(_, one)| *one == now).map_or("notice", |(name, _)| name).to_owned()
        },
        set: |config, text| {
            config.settings.loglevel = one_of(&LogLevel::NAMES, text)?;
            Ok(())
        },
    },
    Directive {
        name: "dir",
        aliases: &[],
        when: When::Always,
        get: |_| std::env::current_dir().map_or(String::new(), |dir| dir.display().to_string()),
        set: |_, text| {
            std::env::set_current_dir(text).map_err(|error| format!("can't chdir to '{text}': {error}"))
        },
    },
    Directive {
        name: "save",
        aliases: &[],
        when: When::Always,
        get: |config| show_points(&config.settings.persistence.save_points),
        set: |config, text| {
            config.settings.persistence.save_points = parse_points(text)?;
            Ok(())
        },
    },
    Directive {
        name: "dbfilename",
        aliases: &[],
        when: When::Always,
        get: |config| config.settings.persistence.dbfilename.clone(),
        set: |config, text| {
            if text.is_empty() || text.contains('/') {
                return Err("dbfilename can't be a path, just a filename".into());
            }
            config.settings.persistence.dbfilename = text.to_owned();
            Ok(())
        },
    },
    number!("rdb-key-save-delay", &[], Always, settings.persistence.save_delay, DELAY_MIN, -DELAY_MIN),
    number!("key-load-delay", &[], Always, settings.persistence.load_delay, DELAY_MIN, -DELAY_MIN),
    switch!("rdbcompression", Always, settings.persistence.compress),
    switch!("rdbchecksum", Start, settings.persistence.checksum),
    switch!("rdb-save-incremental-fsync", Always, settings.persistence.incremental_fsync),
    switch!("stop-writes-on-bgsave-error", Always, settings.persistence.stop_writes),
    Directive {
        name: "rdb-version-check",
        aliases: &[],
        when: When::Always,
        get: |config| if config.settings.persistence.any_version { "relaxed" } else { "strict" }.to_owned(),
        set: |config, text| {
            config.settings.persistence.any_version = one_of(&[("strict", false), ("relaxed", true)], text)?;
            Ok(())
        },
    },
    memory!("maxmemory", Always, settings.maxmemory, 0),
    Directive {
        name: "maxmemory-clients",
        aliases: &[],
        when: When::Always,
        get: |config| config.settings.maxmemory_clients.to_string(),
        set: |config, text| {
            config.settings.maxmemory_clients = ClientsMax::parse(text)?;
            Ok(())
        },
    },
    Directive {
        name: "maxmemory-policy",
        aliases: &[],
        when: When::Always,
        get: |config| {
            let policy = config.settings.maxmemory_policy;
            Policy::NAMES.iter().find(|(_, p)| *p == policy).map_or("", |(name, _)| name).to_owned()
        },
        set: |config, text| {
            let text = text.to_ascii_lowercase();
            let found = Policy::NAMES.iter().find(|(name, _)| *name == text);
            let names: Vec<&str> = Policy::NAMES.iter().map(|(name, _)| *name).collect();
            let error = || format!("argument(s) must be one of the following: {}", names.join(", "));
            config.settings.maxmemory_policy = found.ok_or_else(error)?.1;
            Ok(())
        },
    },
    number!("maxmemory-samples", &[], Always, settings.maxmemory_samples, 1, 64),
    Directive {
        name: "miss-prefix-delimiter",
        aliases: &[],
        when: When::Always,
        get: |config| match config.settings.miss_prefix_delimiter {
            0 => String::new(),
            end => char::from(end).to_string(),
        },
        set: |config, text| {
            config.settings.miss_prefix_delimiter = match *text.as_bytes() {
                [] => 0,
                [end] if end.is_ascii_graphic() => end,
                _ => return Err("argument must be one character, or empty".into()),
            };
            Ok(())
        },
    },
    number!("miss-history-keys", &[], Always, settings.miss_history_keys, 0, 1 << 30),
    number!("lfu-log-factor", &[], Always, settings.lfu_log_factor, 0, i32::MAX as i64),
    number!("lfu-decay-time", &[], Always, settings.lfu_decay_time, 0, i32::MAX as i64),
    number!("maxclients", &[], Always, settings.maxclients, 1, u32::MAX as i64),
    number!("timeout", &[], Always, settings.timeout, 0, i32::MAX as i64),
    number!("tcp-keepalive", &[], Always, settings.tcp_keepalive, 0, i32::MAX as i64),
    words!("requirepass", Always, settings.requirepass),
    Directive {
        name: "sanitize-dump-payload",
        aliases: &[],
        when: When::Always,
        get: |config| {
            let mode = config.settings.sanitize_dump_payload;
            Sanitize::NAMES.iter().find(|(_, m)| *m == mode).map_or("", |(name, _)| name).to_owned()
        },
        set: |config, text| {
            let found = Sanitize::NAMES.iter().find(|(name, _)| text.eq_ignore_ascii_case(name));
            let names = Sanitize::NAMES.map(|(name, _)| name).join(", ");
            let error = || format!("argument(s) must be one of the following: {names}");
            config.settings.sanitize_dump_payload = found.ok_or_else(error)?.1;
            Ok(())
        },
    },
    Directive {
        name: "acl-pubsub-default",
        aliases: &[],
        when: When::Always,
        get: |config| if config.settings.acl_all_channels { "allchannels" } else { "resetchannels" }.into(),
        set: |config, text| {
            config.settings.acl_all_channels = match text.to_ascii_lowercase().as_str() {
                "allchannels" => true,
                "resetchannels" => false,
                _ => {
                    let names = "allchannels, resetchannels";
                    return Err(format!("argument(s) must be one of the following: {names}"));
                }
            };
            Ok(())
        },
    },
    number!("acllog-max-len", &[], Always, settings.acl_log_max, 0, i64::MAX),
    Directive {
        name: "aclfile",
        aliases: &[],
        when: When::Start,
        get: |config| quoted_path(&config.startup.acl_file),
        set: |config, text| {
            config.startup.acl_file = path(text);
            Ok(())
        },
    },
    number!("tracking-table-max-keys", &[], Always, settings.tracking_keys_max, 0, i64::MAX),
    Directive {
        name: "notify-keyspace-events",
        aliases: &[],
        when: When::Always,
        get: |config| config.settings.notify.to_string(),
        set: |config, text| {
            config.settings.notify = Classes::parse(text)?;
            Ok(())
        },
    },
    memory!("proto-max-bulk-len", Always, settings.proto_max_bulk_len, 1024 * 1024),
    memory!("hll-sparse-max-bytes", Always, settings.hll_sparse_max_bytes, 0),
    memory!("client-query-buffer-limit", Always, settings.client_query_buffer_limit, 1024 * 1024),
    Directive {
        name: "client-output-buffer-limit",
        aliases: &[],
        when: When::Always,
        get: output_limits,
        set: set_output_limit,
    },
    number!(
        "hash-max-listpack-entries",
        &["hash-max-ziplist-entries"],
        Always,
        settings.limits.hash_max_listpack_entries,
        0,
        i32::MAX as i64
    ),
    number!(
        "hash-max-listpack-value",
        &["hash-max-ziplist-value"],
        Always,
        settings.limits.hash_max_listpack_value,
        0,
        i32::MAX as i64
    ),
    number!(
        "list-max-listpack-size",
        &["list-max-ziplist-size"],
        Always,
        settings.limits.list_max_listpack_size,
        -5,
        i32::MAX as i64
    ),
    number!(
        "set-max-intset-entries",
        &[],
        Always,
        settings.limits.set_max_intset_entries,
        0,
        i32::MAX as i64
    ),
    number!(
        "set-max-listpack-entries",
        &[],
        Always,
        settings.limits.set_max_listpack_entries,
        0,
        i32::MAX as i64
    ),
    number!(
        "set-max-listpack-value",
        &[],
        Always,
        settings.limits.set_max_listpack_value,
        0,
        i32::MAX as i64
    ),
    number!("stream-node-max-bytes", &[], Always, settings.limits.stream_node_max_bytes, 0, i32::MAX as i64),
    number!(
        "stream-node-max-entries",
        &[],
        Always,
        settings.limits.stream_node_max_entries,
        0,
        i32::MAX as i64
    ),
    number!(
        "zset-max-listpack-entries",
        &["zset-max-ziplist-entries"],
        Always,
        settings.limits.zset_max_listpack_entries,
        0,
        i32::MAX as i64
    ),
    number!(
        "zset-max-listpack-value",
        &["zset-max-ziplist-value"],
        Always,
        settings.limits.zset_max_listpack_value,
        0,
        i32::MAX as i64
    ),
    number!(
        "slowlog-log-slower-than",
        &["commandlog-execution-slower-than"],
        Always,
        settings.observation.slower_than_us,
        -1,
        i64::MAX
    ),
    number!(
        "slowlog-max-len",
        &["commandlog-slow-execution-max-len"],
        Always,
        settings.observation.slow_max,
        0,
        i64::MAX
    ),
    number!(
        "commandlog-request-larger-than",
        &[],
        Always,
        settings.observation.request_larger_than,
        -1,
        i64::MAX
    ),
    number!(
        "commandlog-large-request-max-len",
        &[],
        Always,
        settings.observation.large_request_max,
        0,
        i64::MAX
    ),
    number!(
        "commandlog-reply-larger-than",
        &[],
        Always,
        settings.observation.reply_larger_than,
        -1,
        i64::MAX
    ),
    number!("commandlog-large-reply-max-len", &[], Always, settings.observation.large_reply_max, 0, i64::MAX),
    switch!("latency-tracking", Always, settings.observation.latency_tracking),
    Directive {
        name: "latency-tracking-info-percentiles",
        aliases: &[],
        when: When::Always,
        get: |config| {
            let percentiles = config.settings.observation.percentiles.iter();
            percentiles.map(f64::to_string).collect::<Vec<_>>().join(" ")
        },
        set: set_percentiles,
    },
    number!(
        "latency-monitor-threshold",
        &[],
        Always,
        settings.observation.latency_monitor_threshold,
        0,
        i64::MAX
    ),
    Directive {
        name: "allowed-sources",
        aliases: &[],
        when: When::Always,
        get: |config| config.settings.allowed_sources.as_ref().map_or(String::new(), Ranges::to_string),
        set: |config, text| {
            config.settings.allowed_sources = Ranges::parse(text)?;
            Ok(())
        },
    },
    Directive {
        name: "restricted-commands",
        aliases: &[],
        when: When::Always,
        get: |config| config.settings.restricted_commands.join(" "),
        set: |config, text| {
            config.settings.restricted_commands = text.split_whitespace().map(str::to_lowercase).collect();
            Ok(())
        },
    },
    Directive {
        name: "engine",
        aliases: &[],
        when: When::Always,
        get: |config| config.settings.engine.clone(),
        set: |config, text| match text {
            "redis" | "valkey" | "memcached" => {
                config.settings.engine = text.to_owned();
                Ok(())
            }
            _ => Err("argument must be one of: redis, valkey, memcached".into()),
        },
    },
    words!("engine-version", Always, settings.engine_version),
    memory!("node-memory-bytes", Always, settings.node_memory_bytes, 0),
    switch!("protected-mode", Always, settings.protected_mode),
    switch!("daemonize", Start, startup.daemonize),
    switch!("lock-memory", Start, startup.lock_memory),
    allowed!("enable-debug-command", settings.debug_commands),
    allowed!("enable-module-command", settings.module_commands),
    allowed!("enable-protected-configs", settings.protected_configs),
    Directive {
        name: "supervised",
        aliases: &[],
        when: When::Start,
        get: |config| {
            let now = config.startup.supervised;
            SUPERVISED.iter().find(|(_, one)| *one == now).map_or("no", |(name, _)| name).to_owned()
        },
        set: |config, text| {
            config.startup.supervised = one_of(&SUPERVISED, text)?;
            Ok(())
        },
    },
];

fn set_percentiles(config: &mut Config, text: &str) -> Result<(), String> {
    const NAME: &str = "latency-tracking-info-percentiles";
    let mut percentiles = Vec::new();
    for word in text.split_whitespace() {
        let number = larder_protocol::number::parse_f64(word.as_bytes());
        let number = number.ok_or_else(|| format!("Invalid {NAME} parameters"))?;
        if !(0.0..=100.0).contains(&number) {
            return Err(format!("{NAME} parameters should sit between [0.0,100.0]"));
        }
        percentiles.push(number);
    }
    config.settings.observation.percentiles = percentiles;
    Ok(())
}

/// `client-output-buffer-limit <class> <hard> <soft> <seconds> ...`; nothing changes nothing.
fn output_limits(config: &Config) -> String {
    let limits = &config.settings.output_limits;
    let classes = [("normal", limits.normal), ("slave", limits.replica), ("pubsub", limits.pubsub)];
    let shown = |(name, limit): (&str, OutputLimit)| {
        format!("{name} {} {} {}", limit.hard, limit.soft, limit.soft_seconds)
    };
    classes.map(shown).join(" ")
}

fn set_output_limit(config: &mut Config, text: &str) -> Result<(), String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    if !words.len().is_multiple_of(4) {
        return Err("Wrong number of arguments in buffer limit configuration.".into());
    }
    let mut limits = config.settings.output_limits;
    for class in words.chunks(4) {
        let class_limit = match class[0].to_ascii_lowercase().as_str() {
            "normal" => &mut limits.normal,
            "pubsub" => &mut limits.pubsub,
            "slave" | "replica" => &mut limits.replica,
            _ => return Err("Invalid client class specified in buffer limit configuration.".into()),
        };
        let wrong = "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
        let amount = |word| bytes(word).ok().and_then(|bytes| usize::try_from(bytes).ok()).ok_or(wrong);
        let soft_seconds = class[3].parse().map_err(|_| wrong)?;
        *class_limit = OutputLimit { hard: amount(class[1])?, soft: amount(class[2])?, soft_seconds };
    }
    config.settings.output_limits = limits;
    Ok(())
}
