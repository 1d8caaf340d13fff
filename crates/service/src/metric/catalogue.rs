//! The metrics of ElastiCache, and how each follows from what a node tells of itself.

use std::collections::BTreeMap;

/// What a node told: fields of INFO, or of memcached's `stats`.
pub type Sample = BTreeMap<String, String>;

/// Names and units. Rows in the file know a metric by its place, so new ones only go to the end; at most 128.
pub const METRICS: &[(&str, &str)] = &[
    ("CPUUtilization", "Percent"),
    ("EngineCPUUtilization", "Percent"),
    ("FreeableMemory", "Bytes"),
    ("SwapUsage", "Bytes"),
    ("NetworkBytesIn", "Bytes"),
    ("NetworkBytesOut", "Bytes"),
    ("BytesUsedForCache", "Bytes"),
    ("CacheHits", "Count"),
    ("CacheMisses", "Count"),
    ("CacheHitRate", "Percent"),
    ("CurrConnections", "Count"),
    ("NewConnections", "Count"),
    ("CurrItems", "Count"),
    ("CurrVolatileItems", "Count"),
    ("DatabaseMemoryUsagePercentage", "Percent"),
    ("DatabaseMemoryUsageCountedForEvictPercentage", "Percent"),
    ("DatabaseCapacityUsagePercentage", "Percent"),
    ("DB0AverageTTL", "Milliseconds"),
    ("Evictions", "Count"),
    ("Reclaimed", "Count"),
    ("IsMaster", "Count"),
    ("IsPrimary", "Count"),
    ("MasterLinkHealthStatus", "Count"),
    ("PrimaryLinkHealthStatus", "Count"),
    ("ReplicationLag", "Seconds"),
    ("ReplicationBytes", "Bytes"),
    ("MemoryFragmentationRatio", "None"),
    ("SaveInProgress", "Count"),
    ("KeysTracked", "Count"),
    ("ActiveDefragHits", "Count"),
    ("AuthenticationFailures", "Count"),
    ("CommandAuthorizationFailures", "Count"),
    ("KeyAuthorizationFailures", "Count"),
    ("ChannelAuthorizationFailures", "Count"),
    ("ErrorCount", "Count"),
    ("ClusterBasedCmds", "Count"),
    ("ClusterBasedCmdsLatency", "Microseconds"),
    ("EvalBasedCmds", "Count"),
    ("EvalBasedCmdsLatency", "Microseconds"),
    ("GeoSpatialBasedCmds", "Count"),
    ("GeoSpatialBasedCmdsLatency", "Microseconds"),
    ("GetTypeCmds", "Count"),
    ("GetTypeCmdsLatency", "Microseconds"),
    ("HashBasedCmds", "Count"),
    ("HashBasedCmdsLatency", "Microseconds"),
    ("HyperLogLogBasedCmds", "Count"),
    ("HyperLogLogBasedCmdsLatency", "Microseconds"),
    ("KeyBasedCmds", "Count"),
    ("KeyBasedCmdsLatency", "Microseconds"),
    ("ListBasedCmds", "Count"),
    ("ListBasedCmdsLatency", "Microseconds"),
    ("NonKeyTypeCmds", "Count"),
    ("NonKeyTypeCmdsLatency", "Microseconds"),
    ("PubSubBasedCmds", "Count"),
    ("PubSubBasedCmdsLatency", "Microseconds"),
    ("SetBasedCmds", "Count"),
    ("SetBasedCmdsLatency", "Microseconds"),
    ("SetTypeCmds", "Count"),
    ("SetTypeCmdsLatency", "Microseconds"),
    ("SortedSetBasedCmds", "Count"),
    ("SortedSetBasedCmdsLatency", "Microseconds"),
    ("StreamBasedCmds", "Count"),
    ("StreamBasedCmdsLatency", "Microseconds"),
    ("StringBasedCmds", "Count"),
    ("StringBasedCmdsLatency", "Microseconds"),
    ("BytesReadIntoMemcached", "Bytes"),
    ("BytesWrittenOutFromMemcached", "Bytes"),
    ("BytesUsedForCacheItems", "Bytes"),
    ("UnusedMemory", "Bytes"),
    ("NewItems", "Count"),
    ("CasBadval", "Count"),
    ("CasHits", "Count"),
    ("CasMisses", "Count"),
    ("CmdFlush", "Count"),
    ("CmdGets", "Count"),
    ("CmdSet", "Count"),
    ("CmdTouch", "Count"),
    ("DecrHits", "Count"),
    ("DecrMisses", "Count"),
    ("DeleteHits", "Count"),
    ("DeleteMisses", "Count"),
    ("GetHits", "Count"),
    ("GetMisses", "Count"),
    ("IncrHits", "Count"),
    ("IncrMisses", "Count"),
    ("TouchHits", "Count"),
    ("TouchMisses", "Count"),
    // Not of ElastiCache: why reads missed, and hits of which their readers know more.
    ("CacheMissesEvicted", "Count"),
    ("CacheMissesExpired", "Count"),
    ("CacheMissesDeleted", "Count"),
    ("CacheMissesFlushed", "Count"),
    ("CacheMissesUnknown", "Count"),
    ("CacheHitsStale", "Count"),
    ("CacheHitsNegative", "Count"),
];

/// Those that are not of ElastiCache, and what nodes call them: in INFO and in `stats misses`.
const REASONS: [(&str, &str, &str); 7] = [
    ("CacheMissesEvicted", "keyspace_misses_evicted", "misses:evicted"),
    ("CacheMissesExpired", "keyspace_misses_expired", "misses:expired"),
    ("CacheMissesDeleted", "keyspace_misses_deleted", "misses:deleted"),
    ("CacheMissesFlushed", "keyspace_misses_flushed", "misses:flushed"),
    ("CacheMissesUnknown", "keyspace_misses_unknown", "misses:unknown"),
    ("CacheHitsStale", "keyspace_hits_stale", "hits:stale"),
    ("CacheHitsNegative", "keyspace_hits_negative", "hits:negative"),
];

/// The place and the unit of a metric.
pub fn find(name: &str) -> Option<(u8, &'static str)> {
    let at = METRICS.iter().position(|(metric, _)| *metric == name)?;
    Some((u8::try_from(at).ok()?, METRICS[at].1))
}

/// Reads what a node told: `name:value` lines of INFO, or `STAT name value` lines.
pub fn parse(text: &str) -> Sample {
    let line = |line: &str| {
        let line = line.trim_end();
        let pair = match line.strip_prefix("STAT ") {
            Some(rest) => rest.split_once(' '),
            None => line.split_once(':'),
        };
        pair.map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

/// Two samples of one process, and what is known of its node.
struct Pair<'a> {
    before: &'a Sample,
    now: &'a Sample,
    seconds: f64,
}

impl Pair<'_> {
    fn get(&self, name: &str) -> Option<f64> {
        number(self.now, name)
    }

    /// How much a counter rose. One that was set back rose from nothing.
    fn rise(&self, name: &str) -> Option<f64> {
        let now = number(self.now, name)?;
        let before = number(self.before, name).unwrap_or(0.0);
        Some(if now < before { now } else { now - before })
    }
}

fn number(sample: &Sample, name: &str) -> Option<f64> {
    sample.get(name)?.trim_end_matches('%').parse().ok()
}

/// A field of a value such as `keys=1,expires=0`.
fn part(value: &str, name: &str) -> Option<f64> {
    value.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?.parse().ok()
}

/// The metrics of a redis or valkey node between two samples.
pub fn redis(before: &Sample, now: &Sample, seconds: f64, memory_bytes: u64) -> Vec<(u8, f64)> {
    let pair = Pair { before, now, seconds };
    let mut found = Found::default();
    processor(&pair, &mut found, "used_cpu_user", "used_cpu_sys");
    let used = pair.get("used_memory").unwrap_or(0.0);
    found.add("FreeableMemory", Some((memory_bytes as f64 - used).max(0.0)));
    found.add("SwapUsage", Some(0.0)); // nodes lock nothing and are given no swap of their own
    found.add("NetworkBytesIn", pair.rise("total_net_input_bytes"));
    found.add("NetworkBytesOut", pair.rise("total_net_output_bytes"));
    found.add("BytesUsedForCache", Some(used));
    let (hits, misses) = (pair.rise("keyspace_hits"), pair.rise("keyspace_misses"));
    found.add("CacheHits", hits);
    found.add("CacheMisses", misses);
    if let (Some(hits), Some(misses)) = (hits, misses)
        && hits + misses > 0.0
    {
        found.add("CacheHitRate", Some(hits * 100.0 / (hits + misses)));
    }
    for (name, counter, _) in REASONS {
        found.add(name, pair.rise(counter));
    }
    found.add("CurrConnections", pair.get("connected_clients"));
    found.add("NewConnections", pair.rise("total_connections_received"));
    keys(now, &mut found);
    if let Some(most) = pair.get("maxmemory").filter(|most| *most > 0.0) {
        let percent = Some(used * 100.0 / most);
        found.add("DatabaseMemoryUsagePercentage", percent);
        found.add("DatabaseMemoryUsageCountedForEvictPercentage", percent);
        found.add("DatabaseCapacityUsagePercentage", percent);
    }
    found.add("Evictions", pair.rise("evicted_keys"));
    found.add("Reclaimed", pair.rise("expired_keys"));
    let is_primary = now.get("role").is_some_and(|role| role.trim() == "master");
    let flag = |value: bool| Some(f64::from(u8::from(value)));
    for name in ["IsMaster", "IsPrimary"] {
        found.add(name, flag(is_primary));
    }
    let is_linked = is_primary || now.get("master_link_status").is_some_and(|status| status.trim() == "up");
    for name in ["MasterLinkHealthStatus", "PrimaryLinkHealthStatus"] {
        found.add(name, flag(is_linked));
    }
    if !is_primary {
        found.add("ReplicationLag", pair.get("master_last_io_seconds_ago").map(|lag| lag.max(0.0)));
    }
    found.add("ReplicationBytes", pair.rise("master_repl_offset"));
    found.add("MemoryFragmentationRatio", pair.get("mem_fragmentation_ratio"));
    found.add("SaveInProgress", pair.get("rdb_bgsave_in_progress"));
    found.add("KeysTracked", pair.get("tracking_total_keys"));
    found.add("ActiveDefragHits", pair.rise("active_defrag_hits"));
    found.add("AuthenticationFailures", pair.rise("acl_access_denied_auth"));
    found.add("CommandAuthorizationFailures", pair.rise("acl_access_denied_cmd"));
    found.add("KeyAuthorizationFailures", pair.rise("acl_access_denied_key"));
    found.add("ChannelAuthorizationFailures", pair.rise("acl_access_denied_channel"));
    found.add("ErrorCount", pair.rise("total_error_replies"));
    commands(&pair, &mut found);
    found.0
}

/// The metrics of a memcached node between two samples.
pub fn memcached(before: &Sample, now: &Sample, seconds: f64, memory_bytes: u64) -> Vec<(u8, f64)> {
    let pair = Pair { before, now, seconds };
    let mut found = Found::default();
    processor(&pair, &mut found, "rusage_user", "rusage_system");
    let used = pair.get("bytes").unwrap_or(0.0);
    found.add("FreeableMemory", Some((memory_bytes as f64 - used).max(0.0)));
    found.add("SwapUsage", Some(0.0));
    for name in ["NetworkBytesIn", "BytesReadIntoMemcached"] {
        found.add(name, pair.rise("bytes_read"));
    }
    for name in ["NetworkBytesOut", "BytesWrittenOutFromMemcached"] {
        found.add(name, pair.rise("bytes_written"));
    }
    found.add("BytesUsedForCacheItems", Some(used));
    found.add("UnusedMemory", pair.get("limit_maxbytes").map(|most| (most - used).max(0.0)));
    found.add("CurrConnections", pair.get("curr_connections"));
    found.add("CurrItems", pair.get("curr_items"));
    for (name, counter) in [
        ("NewConnections", "total_connections"),
        ("NewItems", "total_items"),
        ("Evictions", "evictions"),
        ("Reclaimed", "reclaimed"),
        ("CasBadval", "cas_badval"),
        ("CasHits", "cas_hits"),
        ("CasMisses", "cas_misses"),
        ("CmdFlush", "cmd_flush"),
        ("CmdGets", "cmd_get"),
        ("CmdSet", "cmd_set"),
        ("CmdTouch", "cmd_touch"),
        ("DecrHits", "decr_hits"),
        ("DecrMisses", "decr_misses"),
        ("DeleteHits", "delete_hits"),
        ("DeleteMisses", "delete_misses"),
        ("GetHits", "get_hits"),
        ("GetMisses", "get_misses"),
        ("IncrHits", "incr_hits"),
        ("IncrMisses", "incr_misses"),
        ("TouchHits", "touch_hits"),
        ("TouchMisses", "touch_misses"),
    ] {
        found.add(name, pair.rise(counter));
    }
    for (name, _, counter) in REASONS {
        found.add(name, pair.rise(counter));
    }
    found.0
}

#[derive(Default)]
struct Found(Vec<(u8, f64)>);

impl Found {
    fn add(&mut self, name: &str, value: Option<f64>) {
        if let (Some((at, _)), Some(value)) = (find(name), value.filter(|value| value.is_finite())) {
            self.0.push((at, value));
        }
    }
}

fn processor(pair: &Pair<'_>, found: &mut Found, user: &str, system: &str) {
    if let (Some(user), Some(system)) = (pair.rise(user), pair.rise(system)) {
        let percent = Some((user + system) * 100.0 / pair.seconds.max(0.001));
        // A node is the only thing on its machine, as far as its user can see.
        found.add("CPUUtilization", percent.map(|p| p.min(100.0)));
        found.add("EngineCPUUtilization", percent.map(|p| p.min(100.0)));
    }
}

fn keys(now: &Sample, found: &mut Found) {
    let databases = now.iter().filter(|(name, value)| {
        name.strip_prefix("db").is_some_and(|n| n.parse::<u32>().is_ok()) && value.contains("keys=")
    });
    let (mut keys, mut volatile) = (0.0, 0.0);
    for (_, value) in databases {
        keys += part(value, "keys").unwrap_or(0.0);
        volatile += part(value, "expires").unwrap_or(0.0);
    }
    found.add("CurrItems", Some(keys));
    found.add("CurrVolatileItems", Some(volatile));
    found.add("DB0AverageTTL", Some(now.get("db0").and_then(|value| part(value, "avg_ttl")).unwrap_or(0.0)));
}

/// Calls and mean time by family, from `cmdstat_` lines.
fn commands(pair: &Pair<'_>, found: &mut Found) {
    let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for (name, value) in pair.now {
        let Some(command) = name.strip_prefix("cmdstat_") else { continue };
        let before = pair.before.get(name);
        let rise = |field: &str| {
            let now = part(value, field).unwrap_or(0.0);
            let before = before.and_then(|value| part(value, field)).unwrap_or(0.0);
            if now < before { now } else { now - before }
        };
        let (calls, micros) = (rise("calls"), rise("usec"));
        for family in families(command) {
            let sum = sums.entry(family).or_default();
            *sum = (sum.0 + calls, sum.1 + micros);
        }
    }
    for (family, (calls, micros)) in sums {
        found.add(&format!("{family}Cmds"), Some(calls));
        if calls > 0.0 {
            found.add(&format!("{family}CmdsLatency"), Some(micros / calls));
        }
    }
}

/// The families that ElastiCache counts a command in: by what it works on, and whether it reads or writes.
fn families(command: &str) -> Vec<&'static str> {
    let name = command.split('|').next().unwrap_or_default().to_ascii_lowercase();
    let name = name.as_str();
    const READS: [&str; 40] = [
        "get",
        "mget",
        "getrange",
        "substr",
        "strlen",
        "getbit",
        "bitcount",
        "bitpos",
        "lcs",
        "hget",
        "hmget",
        "hgetall",
        "hlen",
        "hkeys",
        "hvals",
        "hexists",
        "hscan",
        "hstrlen",
        "hrandfield",
        "llen",
        "lrange",
        "lindex",
        "lpos",
        "scard",
        "sismember",
        "smismember",
        "smembers",
        "srandmember",
        "sscan",
        "zcard",
        "zcount",
        "zrange",
        "zrangebyscore",
        "zrank",
        "zrevrange",
        "zrevrank",
        "zscore",
        "zmscore",
        "xrange",
        "xlen",
    ];
    let by_subject = match name {
        "eval" | "evalsha" | "eval_ro" | "evalsha_ro" | "fcall" | "fcall_ro" | "script" | "function" => {
            "EvalBased"
        }
        "publish" | "subscribe" | "unsubscribe" | "psubscribe" | "punsubscribe" | "pubsub" | "spublish"
        | "ssubscribe" | "sunsubscribe" => "PubSubBased",
        "cluster" | "asking" | "readonly" | "readwrite" => "ClusterBased",
        "copy" | "del" | "dump" | "exists" | "expire" | "expireat" | "expiretime" | "keys" | "move"
        | "object" | "persist" | "pexpire" | "pexpireat" | "pexpiretime" | "pttl" | "randomkey"
        | "rename" | "renamenx" | "restore" | "scan" | "sort" | "sort_ro" | "touch" | "ttl" | "type"
        | "unlink" => "KeyBased",
        "append" | "decr" | "decrby" | "get" | "getdel" | "getex" | "getrange" | "getset" | "incr"
        | "incrby" | "incrbyfloat" | "lcs" | "mget" | "mset" | "msetnx" | "psetex" | "set" | "setex"
        | "setnx" | "setrange" | "strlen" | "substr" | "getbit" | "setbit" | "bitcount" | "bitfield"
        | "bitfield_ro" | "bitop" | "bitpos" => "StringBased",
        name if name.starts_with("geo") => "GeoSpatialBased",
        name if name.starts_with("pf") => "HyperLogLogBased",
        "hello" | "ping" | "echo" | "auth" | "client" | "command" | "config" | "info" | "select" | "quit"
        | "reset" | "multi" | "exec" | "discard" | "watch" | "unwatch" | "dbsize" | "flushall"
        | "flushdb" | "acl" | "time" | "wait" | "role" | "slowlog" | "latency" | "memory" | "monitor"
        | "swapdb" | "lolwut" | "module" | "debug" | "shutdown" => return vec!["NonKeyType"],
        name if name.starts_with('h') => "HashBased",
        name if name.starts_with('z') || name.starts_with("bz") => "SortedSetBased",
        name if name.starts_with('x') => "StreamBased",
        name if name.starts_with('l')
            || name.starts_with("rp")
            || name.starts_with("bl")
            || name.starts_with("br") =>
        {
            "ListBased"
        }
        name if name.starts_with('s') => "SetBased",
        _ => return vec!["NonKeyType"],
    };
    let kind = if READS.contains(&name) { "GetType" } else { "SetType" };
    match by_subject {
        "EvalBased" | "PubSubBased" | "ClusterBased" | "KeyBased" => vec![by_subject],
        _ => vec![by_subject, kind],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(found: &[(u8, f64)], name: &str) -> Option<f64> {
        let (at, _) = find(name).unwrap();
        found.iter().find(|(metric, _)| *metric == at).map(|(_, value)| *value)
    }

    #[test]
    fn the_table_fits_into_rows() {
        assert!(METRICS.len() <= 128);
        let mut names: Vec<_> = METRICS.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn counters_become_rises_and_families() {
        let before = parse(
            "keyspace_hits:10\r\nkeyspace_misses:0\r\nkeyspace_misses_evicted:1\r\nused_cpu_user:1.0\r\nused_cpu_sys:0.5\r\ncmdstat_get:calls=10,usec=100\r\n",
        );
        let now = parse(
            "# Stats\r\nkeyspace_hits:40\r\nkeyspace_misses:10\r\nkeyspace_misses_evicted:8\r\nkeyspace_hits_stale:3\r\nused_cpu_user:7.0\r\nused_cpu_sys:0.5\r\n\
             used_memory:500\r\nmaxmemory:1000\r\nrole:master\r\ndb0:keys=7,expires=2,avg_ttl=900\r\n\
             db1:keys=1,expires=0,avg_ttl=0\r\ncmdstat_get:calls=30,usec=300\r\ncmdstat_hset:calls=5,usec=50\r\n\
             connected_clients:3\r\n",
        );
        let found = redis(&before, &now, 60.0, 2000);
        for (name, expected) in [
            ("CacheHits", 30.0),
            ("CacheMisses", 10.0),
            ("CacheHitRate", 75.0),
            ("CacheMissesEvicted", 7.0),
            ("CacheHitsStale", 3.0),
            ("CPUUtilization", 10.0),
            ("BytesUsedForCache", 500.0),
            ("FreeableMemory", 1500.0),
            ("DatabaseMemoryUsagePercentage", 50.0),
            ("CurrItems", 8.0),
            ("CurrVolatileItems", 2.0),
            ("DB0AverageTTL", 900.0),
            ("StringBasedCmds", 20.0),
            ("StringBasedCmdsLatency", 10.0),
            ("GetTypeCmds", 20.0),
            ("SetTypeCmds", 5.0),
            ("HashBasedCmds", 5.0),
            ("IsPrimary", 1.0),
        ] {
            assert_eq!(value(&found, name), Some(expected), "{name}");
        }
        assert_eq!(value(&found, "ReplicationLag"), None);
        // A process that began anew counts from nothing.
        assert_eq!(value(&redis(&now, &before, 60.0, 2000), "CacheHits"), Some(10.0));
    }

    #[test]
    fn memcached_tells_by_stat_lines() {
        let before = parse("STAT get_hits 1\r\nSTAT bytes 10\r\n");
        let now = parse(
            "STAT get_hits 5\r\nSTAT bytes 30\r\nSTAT limit_maxbytes 100\r\nEND\r\nSTAT misses:expired 4\r\nEND\r\n",
        );
        let found = memcached(&before, &now, 60.0, 200);
        assert_eq!(value(&found, "GetHits"), Some(4.0));
        assert_eq!(value(&found, "UnusedMemory"), Some(70.0));
        assert_eq!(value(&found, "CacheMissesExpired"), Some(4.0));
        assert_eq!(value(&found, "BytesUsedForCacheItems"), Some(30.0));
    }
}
