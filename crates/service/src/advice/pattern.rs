//! Which caching pattern fits the keys of a prefix, by how they are read, written and missed.

use serde::Serialize;

use super::evidence::{Evidence, Use};
use super::{Answer, Verdict, share, shown};

/// Uses of a prefix below which no pattern is named.
const USES_MIN: u64 = 50;
/// A reason that makes up so much of the reads decides.
const MUCH: f64 = 0.1;

/// What fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// As it is: read through, stored on a miss.
    CacheAside,
    /// Absences should be remembered.
    Negative,
    /// Refreshed before their end, or served stale meanwhile.
    Refresh,
    /// Replaced by their writers instead of removed.
    WriteThrough,
    /// Gathered before they go to the source, or not cached.
    WriteBehind,
    /// They do not fit.
    MoreMemory,
}

impl Pattern {
    /// What to do.
    pub fn advice(self) -> &'static str {
        match self {
            Pattern::CacheAside => "cache-aside with a time to live: as it is",
            Pattern::Negative => {
                "remember absences (negative caching): most misses are of what is never stored"
            }
            Pattern::Refresh => {
                "longer times to live, or early refresh and stale-while-revalidate: readers meet expired keys"
            }
            Pattern::WriteThrough => "write-through: writers remove what readers want again",
            Pattern::WriteBehind => "write-behind, or no caching: it is written more than read",
            Pattern::MoreMemory => "more memory, or allkeys-lhd: readers want what was evicted",
        }
    }
}

/// A prefix and what fits it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prefix {
    /// The prefix; empty for keys without one.
    pub prefix: String,
    /// Reads.
    pub reads: u64,
    /// The share of hits.
    pub hit_ratio: Option<f64>,
    /// Writes.
    pub writes: u64,
    /// Mean size of the values that were seen.
    pub mean_bytes: u64,
    /// Share of the values with a time to live.
    pub with_ttl: Option<f64>,
    /// What fits, where enough was seen.
    pub pattern: Option<Pattern>,
    /// The same in words.
    pub advice: Option<&'static str>,
}

/// What fits uses like these.
pub fn of(prefix: &Use) -> Option<Pattern> {
    if prefix.reads + prefix.writes < USES_MIN {
        return None;
    }
    let missed = |reason: &str| share(prefix.misses.get(reason).copied().unwrap_or(0), prefix.reads);
    let patterns =
        [("evicted", Pattern::MoreMemory), ("expired", Pattern::Refresh), ("deleted", Pattern::WriteThrough)];
    if prefix.writes > prefix.reads {
        return Some(Pattern::WriteBehind);
    }
    // What is missed and stored afterwards is a first visit; what is not stored is absent at the source, too.
    let unknown = prefix.misses.get("unknown").copied().unwrap_or(0);
    if missed("unknown") > 2.0 * MUCH && unknown > prefix.writes * 2 {
        return Some(Pattern::Negative);
    }
    let most = patterns.iter().max_by(|a, b| missed(a.0).total_cmp(&missed(b.0)));
    Some(
        most.filter(|(reason, _)| missed(reason) > MUCH).map_or(Pattern::CacheAside, |(_, pattern)| *pattern),
    )
}

/// All prefixes, with what fits them.
pub(super) fn prefixes(evidence: &Evidence) -> Vec<Prefix> {
    let row = |prefix: &Use| {
        let pattern = of(prefix);
        Prefix {
            prefix: prefix.name.clone(),
            reads: prefix.reads,
            hit_ratio: (prefix.reads > 0).then(|| share(prefix.hits, prefix.reads)),
            writes: prefix.writes,
            mean_bytes: prefix.mean_bytes,
            with_ttl: (prefix.values > 0).then(|| share(prefix.volatile, prefix.values)),
            pattern,
            advice: pattern.map(Pattern::advice),
        }
    };
    evidence.prefixes.iter().filter(|prefix| prefix.reads + prefix.writes > 0).map(row).collect()
}

pub(super) fn answer(evidence: &Evidence) -> Answer {
    let question = "Which pattern fits?";
    let found: Vec<(&Use, Pattern)> =
        evidence.prefixes.iter().filter_map(|prefix| Some((prefix, of(prefix)?))).collect();
    let others: Vec<&(&Use, Pattern)> =
        found.iter().filter(|(_, fits)| *fits != Pattern::CacheAside).collect();
    let told =
        others.iter().map(|(prefix, fits)| format!("{}: {}.", shown(&prefix.name), fits.advice())).collect();
    let (verdict, answer) = match (found.len(), others.len()) {
        (0, _) => (Verdict::Unknown, "Too little was read and written to tell.".to_owned()),
        (_, 0) => {
            (Verdict::Good, "Cache-aside with a time to live fits all prefixes that were in use.".to_owned())
        }
        (all, some) => {
            (Verdict::Look, format!("For {some} of the {all} prefixes in use another pattern fits better."))
        }
    };
    Answer { question, verdict, answer, evidence: told }
}
