//! What can be configured: directives as data, the files they come from, and CONFIG.
//!
//! In reading order: this file ([`Settings`], in the form in which the rest of the engine uses them), [`directive`]
//! (the table of names, ranges and defaults), [`other`] (names that change nothing here), [`row`] (both), [`parse`] (redis.conf and the command line).

pub mod append_only;
pub mod directive;
pub mod iam;
pub mod memcached;
pub mod other;
pub mod parse;
pub mod replication;
pub mod row;
pub mod shutdown;
pub mod tls;

pub use append_only::{AppendOnly, Fsync};
pub use replication::Replication;
pub use shutdown::{Ending, Shutdown};

use crate::iam::Iam;
use crate::journal::LogLevel;
use crate::notify::Classes;
use crate::run::Startup;
use crate::session::eviction::ClientsMax;
use crate::snapshot::save::SavePoint;
use larder_store::evict::Policy;
use larder_store::object::Limits;
use std::collections::BTreeMap;
use tls::TlsSettings;

/// Everything that a configuration file or the command line can say.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// What is fixed when the node starts.
    pub startup: Startup,
    /// What commands and workers read; CONFIG SET may change it.
    pub settings: Settings,
}

/// When a payload of RESTORE is looked through for what is valid byte for byte and makes no sense all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sanitize {
    /// Never.
    No,
    /// Always.
    Yes,
    /// When a client sent it whose user has no `skip-sanitize-payload`.
    Clients,
}

impl Sanitize {
    /// The words of the directive.
    pub const NAMES: [(&'static str, Sanitize); 3] =
        [("no", Sanitize::No), ("yes", Sanitize::Yes), ("clients", Sanitize::Clients)];
}

/// The settings that commands and workers read, in the form that they use.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `maxmemory`, bytes; 0 = no bound.
    pub maxmemory: u64,
    /// `maxmemory-clients`.
    pub maxmemory_clients: ClientsMax,
    /// `maxmemory-policy`.
    pub maxmemory_policy: Policy,
    /// `maxmemory-samples`.
    pub maxmemory_samples: usize,
    /// `miss-history-keys`: of how many keys it is remembered why they left, at most.
    pub miss_history_keys: usize,
    /// `miss-prefix-delimiter`: what ends the prefix of a key by which hits and misses are counted; 0 = they are not.
    pub miss_prefix_delimiter: u8,
    /// `lfu-log-factor`.
    pub lfu_log_factor: u32,
    /// `lfu-decay-time`, minutes.
    pub lfu_decay_time: u32,
    /// Thresholds of packed values.
    pub limits: Limits,
    /// `maxclients`.
    pub maxclients: usize,
    /// `timeout`, seconds of idleness after which a session is closed; 0 = never.
    pub timeout: u64,
    /// `tcp-keepalive`, seconds; 0 = off.
    pub tcp_keepalive: u64,
    /// `requirepass`; empty = no password.
    pub requirepass: String,
    /// `acl-pubsub-default allchannels`: users and selectors may use all channels until told otherwise.
    pub acl_all_channels: bool,
    /// `sanitize-dump-payload`.
    pub sanitize_dump_payload: Sanitize,
    /// `acllog-max-len`: entries of the log of refusals.
    pub acl_log_max: usize,
    /// `proto-max-bulk-len`, bytes.
    pub proto_max_bulk_len: i64,
    /// `hll-sparse-max-bytes`: bytes of the longest HyperLogLog that is kept sparse.
    pub hll_sparse_max_bytes: usize,
    /// `client-query-buffer-limit`, bytes.
    pub client_query_buffer_limit: usize,
    /// `client-output-buffer-limit`.
    pub output_limits: OutputLimits,
    /// `tracking-table-max-keys`; 0 = no bound.
    pub tracking_keys_max: usize,
    /// `notify-keyspace-events`: which events are published.
    pub notify: Classes,
    /// `restricted-commands`: `name` or `container|name`, in lower case.
    pub restricted_commands: Vec<String>,
    /// `allowed-sources`: who may connect; everybody if there is no list.
    pub allowed_sources: Option<crate::socket::admit::Ranges>,
    /// `port`; 0 = no Redis over TCP.
    pub port: u16,
    /// `memcached-port`; 0 = no Memcached over TCP.
    pub memcached_port: u16,
    /// `memcached-max-item-size`, bytes.
    pub memcached_item_size_max: usize,
    /// `bind`.
    pub bind: Vec<String>,
    /// `engine`: `redis`, `valkey` or `memcached`, as what the node presents itself.
    pub engine: String,
    /// `engine-version`: what INFO, HELLO and Memcached's `version` say.
    pub engine_version: String,
    /// `node-memory-bytes`: the memory of the node's type; 0 = the machine's.
    pub node_memory_bytes: u64,
    /// The configuration file, if one was given.
    pub file: Option<std::path::PathBuf>,
    /// What is logged and measured.
    pub observation: Observation,
    /// What is saved, when, and how.
    pub persistence: Persistence,
    /// `loglevel`.
    pub loglevel: LogLevel,
    /// `protected-mode`: without a password, only sessions of this machine are served.
    pub protected_mode: bool,
    /// `enable-debug-command`.
    pub debug_commands: Allowed,
    /// `enable-module-command`.
    pub module_commands: Allowed,
    /// `enable-protected-configs`.
    pub protected_configs: Allowed,
    /// The append-only file.
    pub append_only: AppendOnly,
    /// Replication.
    pub replication: Replication,
    /// How it ends.
    pub shutdown: Shutdown,
    /// TLS.
    pub tls: TlsSettings,
    /// Logging in with tokens of IAM.
    pub iam: Iam,
    /// Values of directives that change nothing here.
    pub hints: BTreeMap<&'static str, String>,
}

/// How much may wait to be sent to a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// Bytes beyond which it is closed at once; 0 = none.
    pub hard: usize,
    /// Bytes beyond which it is closed after a time; 0 = none.
    pub soft: usize,
    /// That time, seconds.
    pub soft_seconds: u64,
}

impl OutputLimit {
    /// True if this is too much at any time.
    #[inline]
    pub fn is_hard_exceeded(&self, bytes: usize) -> bool {
        self.hard > 0 && bytes > self.hard
    }
}

/// `client-output-buffer-limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimits {
    /// Of sessions that get replies only.
    pub normal: OutputLimit,
    /// Of replicas: how far they may fall behind in the stream.
    pub replica: OutputLimit,
    /// Of sessions that listen to channels.
    pub pubsub: OutputLimit,
}

impl OutputLimits {
    /// The limit of a session.
    #[inline]
    pub fn of(&self, client: &crate::session::Client) -> &OutputLimit {
        const NONE: OutputLimit = OutputLimit { hard: 0, soft: 0, soft_seconds: 0 };
        match (&client.subscriptions, &client.replica) {
            (Some(_), _) => &self.pubsub,
            // What is on its way to a replica is bounded; how far it is behind is looked at elsewhere.
            (None, Some(_)) => &NONE,
            (None, None) => &self.normal,
        }
    }
}

impl Default for OutputLimits {
    fn default() -> OutputLimits {
        OutputLimits {
            normal: OutputLimit::default(),
            replica: OutputLimit { hard: 256 << 20, soft: 64 << 20, soft_seconds: 60 },
            pubsub: OutputLimit { hard: 32 << 20, soft: 8 << 20, soft_seconds: 60 },
        }
    }
}

/// Who may use something dangerous.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allowed {
    /// Nobody.
    #[default]
    No,
    /// Everybody.
    Yes,
    /// Sessions of this machine.
    Local,
}

impl Allowed {
    /// The names in configuration files.
    pub const NAMES: [(&'static str, Allowed); 3] =
        [("no", Allowed::No), ("yes", Allowed::Yes), ("local", Allowed::Local)];

    /// True if a session may; `local` says whether it is of this machine.
    pub fn admits(self, local: bool) -> bool {
        self == Allowed::Yes || self == Allowed::Local && local
    }
}

/// What is saved, when, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persistence {
    /// `save`. None by default: a cache is not saved unless somebody asks for it.
    pub save_points: Vec<SavePoint>,
    /// `dbfilename`, in `dir`.
    pub dbfilename: String,
    /// `rdbcompression`.
    pub compress: bool,
    /// `rdbchecksum`.
    pub checksum: bool,
    /// `rdb-save-incremental-fsync`.
    pub incremental_fsync: bool,
    /// `stop-writes-on-bgsave-error`.
    pub stop_writes: bool,
    /// `rdb-version-check relaxed`.
    pub any_version: bool,
    /// `rdb-key-save-delay`, microseconds; negative: keys to a microsecond.
    pub save_delay: i64,
    /// `key-load-delay`, in the same way.
    pub load_delay: i64,
}

impl Default for Persistence {
    fn default() -> Persistence {
        Persistence {
            save_points: Vec::new(),
            dbfilename: "dump.rdb".into(),
            compress: true,
            checksum: true,
            incremental_fsync: true,
            stop_writes: true,
            any_version: false,
            save_delay: 0,
            load_delay: 0,
        }
    }
}

/// What is logged and measured while commands run.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// `slowlog-log-slower-than`, microseconds; 0 logs everything, -1 nothing.
    pub slower_than_us: i64,
    /// `slowlog-max-len`.
    pub slow_max: usize,
    /// `commandlog-request-larger-than`, bytes; -1 logs nothing.
    pub request_larger_than: i64,
    /// `commandlog-large-request-max-len`.
    pub large_request_max: usize,
    /// `commandlog-reply-larger-than`, bytes; -1 logs nothing.
    pub reply_larger_than: i64,
    /// `commandlog-large-reply-max-len`.
    pub large_reply_max: usize,
    /// `latency-tracking`.
    pub latency_tracking: bool,
    /// `latency-tracking-info-percentiles`.
    pub percentiles: Vec<f64>,
    /// `latency-monitor-threshold`, milliseconds; 0 = off.
    pub latency_monitor_threshold: u64,
}

impl Default for Observation {
    fn default() -> Observation {
        Observation {
            slower_than_us: 10_000,
            slow_max: 128,
            request_larger_than: 1 << 20,
            large_request_max: 128,
            reply_larger_than: 1 << 20,
            large_reply_max: 128,
            latency_tracking: true,
            percentiles: vec![50.0, 99.0, 99.9],
            latency_monitor_threshold: 0,
        }
    }
}

impl Settings {
    /// `server` in HELLO.
    pub fn server_name(&self) -> &'static str {
        if self.engine == "valkey" { "valkey" } else { "redis" }
    }

    /// The port that a primary and clients are told of, when this node is a replica.
    pub fn announced_port(&self) -> u16 {
        let own = if self.port == 0 || (self.tls.replication && self.tls.port > 0) {
            self.tls.port
        } else {
            self.port
        };
        if self.replication.announced_port > 0 { self.replication.announced_port } else { own }
    }
}

/// Version of Redis that the commands follow, and that is told where nothing else is configured.
pub const REDIS_VERSION: &str = "7.2.4";

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            maxmemory: 0,
            maxmemory_clients: ClientsMax::Bytes(0),
            maxmemory_policy: Policy::NoEviction,
            maxmemory_samples: 5,
            miss_prefix_delimiter: 0,
            miss_history_keys: larder_store::REMEMBERED_DEFAULT,
            lfu_log_factor: 10,
            lfu_decay_time: 1,
            limits: Limits::default(),
            maxclients: 10_000,
            timeout: 0,
            tcp_keepalive: 300,
            requirepass: String::new(),
            acl_all_channels: false,
            sanitize_dump_payload: Sanitize::No,
            acl_log_max: 128,
            proto_max_bulk_len: 512 * 1024 * 1024,
            hll_sparse_max_bytes: 3000,
            client_query_buffer_limit: 1024 * 1024 * 1024,
            output_limits: OutputLimits::default(),
            tracking_keys_max: 1_000_000,
            notify: Classes::NONE,
            restricted_commands: Vec::new(),
            allowed_sources: None,
            port: 6379,
            memcached_port: 0,
            memcached_item_size_max: crate::memcache::ITEM_SIZE_MAX_BYTES,
            bind: vec!["127.0.0.1".into(), "-::1".into()],
            engine: "redis".into(),
            engine_version: REDIS_VERSION.into(),
            node_memory_bytes: 0,
            file: None,
            observation: Observation::default(),
            persistence: Persistence::default(),
            loglevel: LogLevel::Notice,
            protected_mode: true,
            debug_commands: Allowed::No,
            module_commands: Allowed::No,
            protected_configs: Allowed::No,
            append_only: AppendOnly::default(),
            replication: Replication::default(),
            shutdown: Shutdown::default(),
            tls: TlsSettings::default(),
            iam: Iam::default(),
            hints: BTreeMap::new(),
        }
    }
}
