//! What the cache would bring at other sizes, and what each costs in AWS: node types on demand and reserved, and serverless.

use serde::Serialize;

use super::Subject;
use super::evidence::Evidence;
use crate::resource::node_type::{self, NodeType};
use crate::resource::reserved;

/// Hours that a month is counted with.
const MONTH_HOURS: f64 = 730.0;
/// What a node keeps back of its memory by default, in per cent (`reserved-memory-percent`).
const RESERVED_PERCENT: u64 = 25;
/// Sizes of node types that are told.
const TYPES_MAX: usize = 12;
/// Generations that are old: newer ones cost less for the same.
const OLD: [&str; 8] =
    ["cache.t1.", "cache.m1.", "cache.m2.", "cache.m3.", "cache.c1.", "cache.r3.", "cache.t2.", "cache.m4."];
/// Data tiering: part of the memory is a disk.
const TIERED: &str = "gd.";
/// Bytes of a gigabyte, as it is billed.
const GB: f64 = 1e9;
/// What a gigabyte of serverless data costs by the hour, a million ECPU, and how much is billed at least, in USD and GB.
const SERVERLESS: (f64, f64, f64) = (0.125, 0.0034, 1.0);
const SERVERLESS_VALKEY: (f64, f64, f64) = (0.084, 0.0023, 0.1);

/// A size, what it would bring, and what it costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Size {
    /// `half`, `now`, `double`, or a node type.
    pub name: String,
    /// Bytes for items.
    pub bytes: u64,
    /// The share of hits.
    pub hit_ratio: f64,
    /// It is what the cache has.
    pub current: bool,
    /// USD for a month of all nodes, on demand.
    pub month_usd: Option<f64>,
    /// The same, reserved for a year without and for three years with everything paid at once.
    pub month_reserved_1y_usd: Option<f64>,
    /// See above.
    pub month_reserved_3y_usd: Option<f64>,
}

/// A serverless cache with the same traffic.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Serverless {
    /// Gigabytes that would be billed.
    pub gigabytes: f64,
    /// ECPUs for a second of the traffic that was seen.
    pub ecpu_per_second: f64,
    /// USD for a month like that.
    pub month_usd: f64,
}

fn items_of(node_type: &NodeType, engine: &str) -> u64 {
    match (engine, node_type.memcached_mib) {
        ("memcached", Some(mib)) => mib << 20,
        _ => node_type.maxmemory_bytes / 100 * (100 - RESERVED_PERCENT),
    }
}

pub(super) fn sizes(evidence: &Evidence, subject: Subject<'_>) -> Vec<Size> {
    let now = evidence.curve.items_bytes;
    let Some(_) = evidence.curve.at(now) else { return Vec::new() };
    let ratio = |bytes: u64| evidence.curve.at(bytes).unwrap_or(0.0);
    let plain = |name: &str, bytes: u64, current| Size {
        name: name.to_owned(),
        bytes,
        hit_ratio: ratio(bytes),
        current,
        month_usd: None,
        month_reserved_1y_usd: None,
        month_reserved_3y_usd: None,
    };
    let mut sizes = vec![
        plain("half", now / 2, false),
        plain("now", now, true),
        plain("double", now.saturating_mul(2), false),
    ];
    let offerings = reserved::offerings();
    for node_type in types(subject) {
        let bytes = items_of(node_type, subject.engine);
        let price = node_type.price_micro_usd(subject.engine).map(|price| price as f64 / 1e6 * MONTH_HOURS);
        let reserved = |years: u64, payment| {
            let found = offerings.iter().find(|offering| {
                offering.node_type == node_type.name
                    && offering.engine == subject.engine
                    && offering.payment == payment
                    && offering.duration_s == years * 31_536_000
            })?;
            let months = years as f64 * 12.0;
            let usd = found.fixed_price as f64 / months + found.hourly_price as f64 * MONTH_HOURS;
            Some(usd / 1e6 * subject.nodes as f64)
        };
        sizes.push(Size {
            name: node_type.name.to_owned(),
            bytes,
            hit_ratio: ratio(bytes),
            current: subject.node_type == Some(node_type.name),
            month_usd: price.map(|price| price * subject.nodes as f64),
            month_reserved_1y_usd: reserved(1, reserved::Payment::No),
            month_reserved_3y_usd: reserved(3, reserved::Payment::All),
        });
    }
    sizes
}

/// The cheapest node type of each size, and the cache's own.
fn types(subject: Subject<'_>) -> Vec<&'static NodeType> {
    let price = |node_type: &NodeType| node_type.price_micro_usd(subject.engine);
    let mut offered: Vec<&NodeType> = node_type::all()
        .iter()
        .filter(|node_type| node_type.offers(subject.engine) && price(node_type).is_some())
        .filter(|node_type| {
            !OLD.iter().any(|old| node_type.name.starts_with(old)) && !node_type.name.contains(TIERED)
        })
        .collect();
    offered.sort_by_key(|node_type| (price(node_type), std::cmp::Reverse(node_type.memory_bytes)));
    let mut largest = 0;
    offered.retain(|node_type| {
        let larger = node_type.memory_bytes > largest;
        largest = largest.max(node_type.memory_bytes);
        larger
    });
    offered.truncate(TYPES_MAX);
    let own = subject.node_type.and_then(node_type::find);
    if let Some(own) = own.filter(|own| !offered.iter().any(|other| other.name == own.name)) {
        offered.push(own);
        offered.sort_by_key(|node_type| node_type.memory_bytes);
    }
    offered
}

pub(super) fn serverless(evidence: &Evidence, engine: &str) -> Option<Serverless> {
    let seconds = evidence.seconds();
    if seconds <= 0.0 || evidence.commands == 0 {
        return None;
    }
    let (usd_gb_hour, usd_million, gb_min) = if engine == "valkey" { SERVERLESS_VALKEY } else { SERVERLESS };
    let gigabytes = (evidence.curve.items_bytes as f64 / GB).max(gb_min);
    // One for each command, and at least one for each kilobyte that is sent or received.
    let ecpu = (evidence.commands as f64).max(evidence.traffic_bytes as f64 / 1000.0) / seconds;
    let month_usd = gigabytes * usd_gb_hour * MONTH_HOURS + ecpu * 3600.0 * MONTH_HOURS / 1e6 * usd_million;
    Some(Serverless { gigabytes, ecpu_per_second: ecpu, month_usd })
}
