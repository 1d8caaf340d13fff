//! What can be configured.

use larder_store::evict::Policy;
use larder_store::object::Limits;

/// The settings that commands and workers read, in the form that they use.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `maxmemory`, bytes; 0 = no bound.
    pub maxmemory: u64,
    /// `maxmemory-policy`.
    pub maxmemory_policy: Policy,
    /// `maxmemory-samples`.
    pub maxmemory_samples: usize,
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
    /// `proto-max-bulk-len`, bytes.
    pub proto_max_bulk_len: i64,
    /// `client-query-buffer-limit`, bytes.
    pub client_query_buffer_limit: usize,
    /// `client-output-buffer-limit normal`: hard limit in bytes; 0 = none.
    pub output_hard_limit: usize,
    /// `restricted-commands`.
    pub restricted_commands: Vec<String>,
    /// `port`; 0 = no Redis over TCP.
    pub port: u16,
    /// `memcached-port`; 0 = no Memcached over TCP.
    pub memcached_port: u16,
    /// `bind`.
    pub bind: Vec<String>,
    /// What `version` of Memcached answers.
    pub memcached_version: String,
    /// `node-memory-bytes`: the memory of the node's type; 0 = the machine's.
    pub node_memory_bytes: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            maxmemory: 0,
            maxmemory_policy: Policy::NoEviction,
            maxmemory_samples: 5,
            lfu_log_factor: 10,
            lfu_decay_time: 1,
            limits: Limits::default(),
            maxclients: 10_000,
            timeout: 0,
            tcp_keepalive: 300,
            requirepass: String::new(),
            proto_max_bulk_len: 512 * 1024 * 1024,
            client_query_buffer_limit: 1024 * 1024 * 1024,
            output_hard_limit: 0,
            restricted_commands: Vec::new(),
            port: 6379,
            memcached_port: 0,
            bind: vec!["127.0.0.1".into()],
            memcached_version: "1.6.22".into(),
            node_memory_bytes: 0,
        }
    }
}
