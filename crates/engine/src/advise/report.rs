//! What a watch found, as JSON: one form for both protocols.

use super::census::{Census, KINDS, SIZES};
use super::{Advisor, Counted, Use, Watch};
use crate::prefixes::MISSES;
use serde_json::{Map, Value as Json, json};
use std::sync::PoisonError;

/// Points of the curve: from a 64th of the cache to 16 times its size, four for each doubling.
const POINTS: std::ops::RangeInclusive<i32> = -24..=16;
const POINTS_PER_DOUBLING: i32 = 4;
/// Keys and prefixes that are told.
const KEYS_TOLD: usize = 24;
const PREFIXES_TOLD: usize = 24;

/// What else is known of the node.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Unix time, milliseconds.
    pub now_ms: u64,
    /// What was counted so far.
    pub counted: Counted,
    /// Bytes in use.
    pub used_bytes: u64,
    /// `maxmemory`; 0 = no bound.
    pub memory_max_bytes: u64,
    /// `maxmemory-policy`.
    pub policy: &'static str,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn misses(counts: [u64; 5]) -> Json {
    MISSES
        .iter()
        .zip(counts)
        .map(|(name, count)| ((*name).to_owned(), json!(count)))
        .collect::<Map<_, _>>()
        .into()
}

fn used(name: &[u8], label: &str, counts: &Use, before: u64) -> Json {
    let mean = counts.bytes.checked_div(counts.values).unwrap_or(0);
    json!({
        label: text(name),
        "reads": counts.reads,
        "hits": counts.hits,
        "misses": misses(counts.misses),
        "writes": counts.writes,
        "removals": counts.removals,
        "mean_bytes": mean,
        "largest_bytes": counts.largest,
        "values": counts.values,
        "volatile": counts.volatile,
        "before": before,
    })
}

impl Advisor {
    /// The report of the watch that is on, or was. `None` if there was none.
    pub fn report(&self, about: About, census: &Census) -> Option<String> {
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let watch = watch.as_ref()?;
        let mut report = json!({
            "watching": watch.ended_ms.is_none(),
            "milliseconds": watch.ended_ms.unwrap_or(about.now_ms).saturating_sub(watch.began_ms),
            "policy": about.policy,
            "used_bytes": about.used_bytes,
            "memory_max_bytes": about.memory_max_bytes,
            "keyspace": keyspace(census),
        });
        if let Some(report) = report.as_object_mut() {
            watch.add_to(report, &about, census);
        }
        Some(report.to_string())
    }
}

impl Watch {
    fn add_to(&self, report: &mut Map<String, Json>, about: &About, census: &Census) {
        let after = self.after.unwrap_or(about.counted);
        let (now, before) = (after.keys, self.before.keys);
        let rise = |now: u64, before: u64| now.checked_sub(before).unwrap_or(now); // they were reset meanwhile
        let (hits, missed) = (rise(now.hits, before.hits), rise(now.misses, before.misses));
        let mut reasons = [0; 5];
        for (at, reason) in reasons.iter_mut().take(4).enumerate() {
            *reason = rise(now.missed[at], before.missed[at]);
        }
        reasons[4] = missed.saturating_sub(reasons.iter().sum());
        report.insert("hits".into(), json!(hits));
        report.insert("misses".into(), misses(reasons));
        report.insert("evicted_keys".into(), json!(rise(now.evicted, before.evicted)));
        report.insert("commands".into(), json!(rise(after.commands, self.before.commands)));
        report.insert("traffic_bytes".into(), json!(rise(after.traffic_bytes, self.before.traffic_bytes)));
        report.insert("curve".into(), self.curve_json(hits + missed, census));
        let spread = |spread: &super::Spread| {
            json!({
                "seen": spread.total(),
                "p10_ms": spread.percentile(10),
                "p50_ms": spread.percentile(50),
                "p90_ms": spread.percentile(90),
                "p99_ms": spread.percentile(99),
            })
        };
        report.insert("age_at_read".into(), spread(&self.ages));
        report.insert("rewritten_after".into(), spread(&self.rewrites));
        report.insert("rewritten_unread".into(), json!(self.rewritten_unread));
        let keys = self.keys.all();
        report.insert(
            "keys".into(),
            keys.iter()
                .take(KEYS_TOLD)
                .map(|(name, counts, before)| used(name, "key", counts, *before))
                .collect(),
        );
        let prefixes = self.prefixes.all();
        let told = prefixes.iter().take(PREFIXES_TOLD);
        report.insert(
            "prefixes".into(),
            told.map(|(name, counts, before)| used(name, "prefix", counts, *before)).collect(),
        );
    }

    /// The curve over sizes of the items. What the items take now follows from the census.
    fn curve_json(&self, reads: u64, census: &Census) -> Json {
        let mean = census.all.bytes as f64 / census.all.keys.max(1) as f64;
        let items_bytes = (mean * census.keys_total as f64) as u64;
        let points: Vec<Json> = POINTS
            .filter_map(|step| {
                let factor = (f64::from(step) / f64::from(POINTS_PER_DOUBLING)).exp2();
                let bytes = (items_bytes as f64 * factor) as u64;
                Some(json!([bytes, self.curve.hit_ratio(bytes, items_bytes, reads)?]))
            })
            .collect();
        json!({
            "items_bytes": items_bytes,
            "followed_keys": self.curve.samples(),
            "followed_share": self.curve.rate(),
            "followed_reads": self.curve.reads().round(),
            "carried_share": self.curve.carried_share(),
            "used_bytes": self.curve.used_bytes().round(),
            "points": points,
        })
    }
}

fn keyspace(census: &Census) -> Json {
    let sizes = SIZES.iter().map(|most| json!(most)).chain([Json::Null]).zip(census.sizes);
    let kinds: Map<String, Json> =
        KINDS.iter().zip(census.kinds).map(|(name, keys)| ((*name).to_owned(), json!(keys))).collect();
    let unread = |keys: u64| if census.knows_reads { json!(keys) } else { Json::Null };
    let prefixes: Vec<Json> = census
        .prefixes
        .all()
        .iter()
        .take(PREFIXES_TOLD)
        .map(|(name, share, _)| {
            json!({
                "prefix": text(name),
                "keys": share.keys,
                "bytes": share.bytes,
                "lasting": share.lasting,
                "unread": unread(share.unread),
            })
        })
        .collect();
    let large: Vec<Json> = census
        .large
        .iter()
        .map(|(bytes, kind, key)| json!({ "key": text(key), "bytes": bytes, "kind": kind }))
        .collect();
    json!({
        "keys_total": census.keys_total,
        "keys": census.all.keys,
        "bytes": census.all.bytes,
        "lasting": census.all.lasting,
        "unread": unread(census.all.unread),
        "idle_hour": census.idle_hour,
        "sizes": sizes.map(|(most, keys)| json!({ "most": most, "keys": keys })).collect::<Vec<_>>(),
        "kinds": kinds,
        "prefixes": prefixes,
        "large": large,
    })
}
