//! What a node found while it watched its traffic: the JSON of LARDER.ADVISE REPORT.

use serde::Deserialize;
use std::collections::BTreeMap;

/// A report.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// The watch is still on.
    pub watching: bool,
    /// How long it was, or has been.
    pub milliseconds: u64,
    /// `maxmemory-policy`.
    pub policy: String,
    /// Bytes in use.
    pub used_bytes: u64,
    /// `maxmemory`; 0 = no bound.
    pub memory_max_bytes: u64,
    /// Commands during the watch.
    pub commands: u64,
    /// Bytes received and sent during the watch.
    pub traffic_bytes: u64,
    /// Reads that found their key.
    pub hits: u64,
    /// Reads that did not, by reason.
    pub misses: BTreeMap<String, u64>,
    /// Keys that had to make room.
    pub evicted_keys: u64,
    /// Hit ratios by size.
    pub curve: Curve,
    /// Ages of values when they were read.
    pub age_at_read: Spread,
    /// Times between two writes of a key.
    pub rewritten_after: Spread,
    /// Writes that replaced a value which nobody had read.
    pub rewritten_unread: u64,
    /// The keys in most use.
    pub keys: Vec<Use>,
    /// The prefixes in most use.
    pub prefixes: Vec<Use>,
    /// What is there.
    pub keyspace: Keyspace,
}

/// The miss-ratio curve, as hits.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Curve {
    /// Bytes of the items that are there.
    pub items_bytes: u64,
    /// Keys that were followed.
    pub followed_keys: u64,
    /// Which share of all keys that is.
    pub followed_share: f64,
    /// Reads of them.
    pub followed_reads: f64,
    /// Share of the reads of keys that were there before the watch.
    pub carried_share: f64,
    /// Bytes of items, and the share of hits in a cache of that size.
    pub points: Vec<(u64, f64)>,
}

/// Durations.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Spread {
    /// How many were seen.
    pub seen: u64,
    /// Half were no longer.
    pub p50_ms: Option<u64>,
    /// Nine of ten were no longer.
    pub p90_ms: Option<u64>,
}

/// Uses of a key or of a prefix.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Use {
    /// The key or prefix.
    #[serde(alias = "key", alias = "prefix")]
    pub name: String,
    /// Reads.
    pub reads: u64,
    /// Of these, those that found it.
    pub hits: u64,
    /// Those that did not, by reason.
    pub misses: BTreeMap<String, u64>,
    /// Writes.
    pub writes: u64,
    /// Removals.
    pub removals: u64,
    /// Mean size of the values that were seen.
    pub mean_bytes: u64,
    /// The largest.
    pub largest_bytes: u64,
    /// Values that were seen.
    pub values: u64,
    /// Of these, those with a time to live.
    pub volatile: u64,
}

/// What some keys that are there look like.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Keyspace {
    /// Keys of the database.
    pub keys_total: u64,
    /// Keys that were looked at.
    pub keys: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of them, keys without a time to live.
    pub lasting: u64,
    /// Keys that nobody read since they were stored; not known with every policy.
    pub unread: Option<u64>,
    /// Keys not used for an hour.
    pub idle_hour: u64,
    /// Keys by size.
    pub sizes: Vec<SizeClass>,
    /// By prefix.
    pub prefixes: Vec<Share>,
    /// The largest that were seen.
    pub large: Vec<Large>,
}

/// Keys of about a size.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct SizeClass {
    /// None is larger; the last class has no such bound.
    pub most: Option<u64>,
    /// How many.
    pub keys: u64,
}

/// Keys with a common prefix.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Share {
    /// The prefix.
    pub prefix: String,
    /// Keys that were looked at.
    pub keys: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of them, keys without a time to live.
    pub lasting: u64,
    /// Keys that nobody read.
    pub unread: Option<u64>,
}

/// A large key.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Large {
    /// The key.
    pub key: String,
    /// What it takes.
    pub bytes: u64,
    /// Kind of its value.
    pub kind: String,
}

impl Evidence {
    /// Reads a report.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Evidence, String> {
        // A list would be taken for the fields in their order.
        serde_json::from_str::<serde_json::Map<_, _>>(text)
            .and_then(|report| serde_json::from_value(report.into()))
            .map_err(|error| format!("the report of the node cannot be read: {error}"))
    }

    /// All reads.
    pub fn reads(&self) -> u64 {
        self.hits + self.misses.values().sum::<u64>()
    }

    /// Misses for a reason.
    pub fn missed(&self, reason: &str) -> u64 {
        self.misses.get(reason).copied().unwrap_or(0)
    }

    /// Seconds of the watch.
    pub fn seconds(&self) -> f64 {
        self.milliseconds as f64 / 1000.0
    }
}

impl Curve {
    /// The share of hits with so many bytes for items, by the line between two points.
    pub fn at(&self, bytes: u64) -> Option<f64> {
        let after = self.points.partition_point(|(size, _)| *size < bytes);
        let last = self.points.last()?;
        let Some(&(size, ratio)) = self.points.get(after) else { return Some(last.1) };
        let Some(&(size_before, ratio_before)) = after.checked_sub(1).and_then(|at| self.points.get(at))
        else {
            return Some(ratio * bytes as f64 / size.max(1) as f64);
        };
        let part = (bytes - size_before) as f64 / (size - size_before).max(1) as f64;
        Some(ratio_before + (ratio - ratio_before) * part)
    }
}
