//! Is it worth caching? From what a node found while it watched its traffic ([`evidence`]) to answers, in words and with
//! the figures that they rest on. Pure: who asks nodes, and who shows the answers, is elsewhere (`larder advise`, the page
//! of the console).
//!
//! In reading order: [`evidence`], this file (the answers), [`pattern`] (prefix by prefix), [`size`] (what other sizes
//! would bring and cost).

pub mod evidence;
pub mod pattern;
pub mod size;
mod words;

use serde::Serialize;

use evidence::Evidence;
pub use words::bytes;
use words::{duration, percent};

/// Reads below which nothing is concluded.
const READS_MIN: u64 = 200;
/// Values of this size and more are large for a cache.
const LARGE_BYTES: u64 = 100 << 10;
/// Keys up to this size are tiny.
const TINY_BYTES: u64 = 64;
/// Hit ratios from which a cache does well, and below which it does badly.
const GOOD_RATIO: f64 = 0.8;
const BAD_RATIO: f64 = 0.5;
/// A difference of hit ratios that is worth a remark.
const REMARKABLE: f64 = 0.01;
/// A key with so large a share of all uses is hot.
const HOT_SHARE: f64 = 0.1;

/// How an answer is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All is well.
    Good,
    /// Somebody should look.
    Look,
    /// Something should be done.
    Bad,
    /// Not enough was seen.
    Unknown,
}

impl Verdict {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Good => "good",
            Verdict::Look => "look",
            Verdict::Bad => "bad",
            Verdict::Unknown => "unknown",
        }
    }
}

/// An answer to a question that people should ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The question.
    pub question: &'static str,
    /// How it is meant.
    pub verdict: Verdict,
    /// The answer.
    pub answer: String,
    /// What it rests on.
    pub evidence: Vec<String>,
}

/// What is known of the cache beside the evidence.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// `redis`, `valkey` or `memcached`.
    pub engine: &'a str,
    /// Its node type, where the service runs it.
    pub node_type: Option<&'a str>,
    /// How many nodes it has.
    pub nodes: u64,
}

/// All answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Advice {
    /// How long the traffic was watched.
    pub seconds: f64,
    /// Reads meanwhile.
    pub reads: u64,
    /// The share that found their key; none without reads.
    pub hit_ratio: Option<f64>,
    /// Misses by reason.
    pub misses: std::collections::BTreeMap<String, u64>,
    /// Answers, in the order of the questions.
    pub answers: Vec<Answer>,
    /// Prefix by prefix, the most used first.
    pub prefixes: Vec<pattern::Prefix>,
    /// Bytes of items, and the share of hits in a cache of that size.
    pub curve: Vec<(u64, f64)>,
    /// The same for sizes that can be had, with what they cost.
    pub sizes: Vec<size::Size>,
    /// Without nodes.
    pub serverless: Option<size::Serverless>,
}

/// The answers to what was found.
pub fn advise(evidence: &Evidence, subject: Subject<'_>) -> Advice {
    let reads = evidence.reads();
    let enough = reads >= READS_MIN;
    Advice {
        seconds: evidence.seconds(),
        reads,
        hit_ratio: (reads > 0).then(|| evidence.hits as f64 / reads as f64),
        misses: evidence.misses.clone(),
        answers: vec![
            safe(evidence),
            if enough { effective(evidence) } else { too_few("Is it effective?", reads) },
            keys(evidence),
            structure(evidence),
            pattern::answer(evidence),
        ],
        prefixes: pattern::prefixes(evidence),
        curve: if enough { evidence.curve.points.clone() } else { Vec::new() },
        sizes: if enough { size::sizes(evidence, subject) } else { Vec::new() },
        serverless: size::serverless(evidence, subject.engine),
    }
}

fn too_few(question: &'static str, reads: u64) -> Answer {
    Answer {
        question,
        verdict: Verdict::Unknown,
        answer: format!(
            "There were {reads} reads, and {READS_MIN} are the least to conclude anything. Watch longer, or while it is used."
        ),
        evidence: Vec::new(),
    }
}

/// A part of a whole, 0 of nothing.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn safe(evidence: &Evidence) -> Answer {
    let question = "Is it safe?";
    let (ages, rewrites, keyspace) = (&evidence.age_at_read, &evidence.rewritten_after, &evidence.keyspace);
    let lasting = share(keyspace.lasting, keyspace.keys);
    let mut told = Vec::new();
    if let (Some(half), Some(most)) = (ages.p50_ms, ages.p90_ms) {
        told.push(format!(
            "Values were read at an age of {} (half of them) and {} (nine of ten); seen of {} reads.",
            duration(half),
            duration(most),
            ages.seen
        ));
    }
    match rewrites.p50_ms {
        Some(half) => told.push(format!(
            "Sources wrote keys anew after {} (half of {} rewrites that were seen).",
            duration(half),
            rewrites.seen
        )),
        None => told.push("No key was written twice while this was watched.".to_owned()),
    }
    if keyspace.keys > 0 {
        told.push(format!("{} of the keys have no time to live.", percent(lasting)));
    }
    let (verdict, answer) = match (ages.p90_ms, rewrites.p50_ms) {
        _ if keyspace.keys > 0 && lasting > 0.5 => (
            Verdict::Look,
            "Most keys have no time to live: a change at the source that nobody tells the cache of is never seen. Give \
             each key the longest time that its value may be old.".to_owned(),
        ),
        (None, _) => (
            Verdict::Unknown,
            "No value was read after its writing was seen. Watch longer than values live.".to_owned(),
        ),
        (Some(age), Some(rewritten)) if age > rewritten => (
            Verdict::Look,
            "Values are read at ages at which sources often have written them anew. Where writers invalidate or replace \
             them that is fine; where only the time to live does, old values are served.".to_owned(),
        ),
        (Some(_), _) => (Verdict::Good, "Values are read younger than sources write them anew.".to_owned()),
    };
    Answer { question, verdict, answer, evidence: told }
}

fn effective(evidence: &Evidence) -> Answer {
    let reads = evidence.reads();
    let ratio = share(evidence.hits, reads);
    let now = evidence.curve.items_bytes;
    let at = |bytes: u64| evidence.curve.at(bytes).unwrap_or(ratio);
    let (half, same, double) = (at(now / 2), at(now), at(now.saturating_mul(2)));
    let mut told = vec![format!("{} of {reads} reads were hits.", percent(ratio))];
    let reasons: Vec<String> = evidence
        .misses
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(reason, count)| format!("{reason} {}", percent(share(*count, reads))))
        .collect();
    if !reasons.is_empty() {
        told.push(format!("Misses, of all reads: {}.", reasons.join(", ")));
    }
    told.push(format!(
        "With LRU: {} at half the memory ({}), {} at this, {} at double; from {} keys followed ({} of all).",
        percent(half),
        bytes(now / 2),
        percent(same),
        percent(double),
        evidence.curve.followed_keys,
        percent(evidence.curve.followed_share)
    ));
    if evidence.curve.carried_share > 0.2 {
        told.push(format!(
            "{} of the reads were of keys that were there before: where below the present size they would have been hits is \
             a guess. A longer watch knows better.", percent(evidence.curve.carried_share)
        ));
    }
    let evicted = share(evidence.missed("evicted"), reads);
    let unknown = share(evidence.missed("unknown"), reads);
    let verdict = match ratio {
        ratio if ratio >= GOOD_RATIO => Verdict::Good,
        ratio if ratio >= BAD_RATIO => Verdict::Look,
        _ => Verdict::Bad,
    };
    let answer = if double - same >= REMARKABLE && evicted > REMARKABLE {
        format!(
            "More memory helps: double would turn about {} of all reads from misses into hits.",
            percent(double - same)
        )
    } else if same - half < REMARKABLE {
        "Half the memory would bring nearly the same.".to_owned()
    } else if unknown > 0.3 {
        "Most misses are of keys that were never there: memory does not help. Are they stored after the miss, and do \
         absences get remembered?".to_owned()
    } else if verdict == Verdict::Good {
        "Most reads are answered, and memory is about right.".to_owned()
    } else {
        "More memory would not help: see the reasons of the misses, and the patterns below.".to_owned()
    };
    Answer { question: "Is it effective?", verdict, answer, evidence: told }
}

fn keys(evidence: &Evidence) -> Answer {
    let question = "Which keys need care?";
    let uses: u64 =
        evidence.prefixes.iter().map(|prefix| prefix.reads + prefix.writes + prefix.removals).sum();
    let mut told = Vec::new();
    let mut verdict = Verdict::Good;
    let mut note = |worse: bool, text: String| {
        if worse {
            verdict = Verdict::Look;
        }
        told.push(text);
    };
    for key in evidence.keys.iter().take(5).filter(|key| key.reads + key.writes > 0) {
        let part = share(key.reads + key.writes + key.removals, uses);
        let hot = part >= HOT_SHARE;
        if hot || told_of(evidence, part) {
            note(
                hot,
                format!(
                    "In use: {} with {} of all uses, {} reads for each write.",
                    shown(&key.name),
                    percent(part),
                    ratio(key.reads, key.writes)
                ),
            );
        }
    }
    for large in evidence.keyspace.large.iter().take(3).filter(|large| large.bytes >= LARGE_BYTES) {
        note(true, format!("Large: {} ({}, {}).", shown(&large.key), bytes(large.bytes), large.kind));
    }
    let keyspace = &evidence.keyspace;
    if let Some(unread) = keyspace.unread.filter(|unread| *unread > 0) {
        let part = share(unread, keyspace.keys);
        note(
            part > 0.5,
            format!(
                "Never read since they were stored: {} of {} keys that were looked at.",
                percent(part),
                keyspace.keys
            ),
        );
        for prefix in worst(keyspace, |prefix| prefix.unread.unwrap_or(0)) {
            told.push(format!(
                "  {}: {} never read.",
                shown(&prefix.prefix),
                percent(share(prefix.unread.unwrap_or(0), prefix.keys))
            ));
        }
    }
    if keyspace.idle_hour > 0 {
        told.push(format!(
            "Not used for an hour: {} of the keys.",
            percent(share(keyspace.idle_hour, keyspace.keys))
        ));
    }
    for prefix in worst(keyspace, |prefix| prefix.lasting) {
        told.push(format!(
            "Without a time to live: {} of the keys of {}.",
            percent(share(prefix.lasting, prefix.keys)),
            shown(&prefix.prefix)
        ));
    }
    for prefix in evidence.prefixes.iter().filter(|prefix| prefix.writes > prefix.reads.max(10)).take(3) {
        verdict = Verdict::Look;
        told.push(format!(
            "Written more than read: {} ({} writes, {} reads).",
            shown(&prefix.name),
            prefix.writes,
            prefix.reads
        ));
    }
    let rewrites = evidence.rewritten_after.seen;
    if rewrites > 0 && evidence.rewritten_unread * 2 > rewrites {
        verdict = Verdict::Look;
        told.push(format!(
            "{} of the rewrites replaced a value that nobody had read.",
            percent(share(evidence.rewritten_unread, rewrites))
        ));
    }
    let answer = match (verdict, told.is_empty()) {
        (_, true) => {
            return Answer {
                question,
                verdict: Verdict::Unknown,
                answer: "No key was used, and none is there.".to_owned(),
                evidence: told,
            };
        }
        (Verdict::Look, _) => "Some stand out.",
        _ => "None stands out.",
    };
    Answer { question, verdict, answer: answer.to_owned(), evidence: told }
}

/// Whether a key is worth a line: with few keys in use even the first is nothing special.
fn told_of(evidence: &Evidence, part: f64) -> bool {
    evidence.keys.len() > 5 && part >= 0.01
}

fn ratio(reads: u64, writes: u64) -> String {
    match writes {
        0 => format!("{reads} to 0"),
        _ => format!("{:.1}", reads as f64 / writes as f64),
    }
}

/// The prefixes of which more than half are so, with at least ten keys.
fn worst(keyspace: &evidence::Keyspace, of: impl Fn(&evidence::Share) -> u64) -> Vec<&evidence::Share> {
    let is_so = |prefix: &&evidence::Share| prefix.keys >= 10 && of(prefix) * 2 > prefix.keys;
    keyspace.prefixes.iter().filter(is_so).take(3).collect()
}

fn structure(evidence: &Evidence) -> Answer {
    let question = "Is the data well structured?";
    let keyspace = &evidence.keyspace;
    if keyspace.keys == 0 {
        return Answer {
            question,
            verdict: Verdict::Unknown,
            answer: "No key is there.".to_owned(),
            evidence: Vec::new(),
        };
    }
    let class = |is: &dyn Fn(u64) -> bool| {
        let of = |class: &&evidence::SizeClass| is(class.most.unwrap_or(u64::MAX));
        keyspace.sizes.iter().filter(of).map(|class| class.keys).sum::<u64>()
    };
    let tiny = share(class(&|most| most <= TINY_BYTES), keyspace.keys);
    let large: u64 =
        keyspace.large.iter().filter(|large| large.bytes >= LARGE_BYTES).map(|large| large.bytes).sum();
    let mean = keyspace.bytes / keyspace.keys.max(1);
    let told = vec![
        format!(
            "A key takes {} on average, with its value; {} keys are there.",
            bytes(mean),
            keyspace.keys_total
        ),
        format!(
            "{} take no more than {}; {} more than {}.",
            percent(tiny),
            bytes(TINY_BYTES),
            percent(share(class(&|most| most > 128 << 10), keyspace.keys)),
            bytes(128 << 10)
        ),
    ];
    let (verdict, answer) = if share(large, keyspace.bytes) > 0.2 {
        (
            Verdict::Look,
            "A few large values take much of the memory: each costs milliseconds to send, and is fetched whole for \
                         any part of it. Split them, compress them, or keep them elsewhere.",
        )
    } else if tiny > 0.6 && keyspace.keys_total > 10_000 {
        (
            Verdict::Look,
            "Many tiny keys: what is kept for each of them takes as much as they do. Fields of a hash (one for each \
                         object or group of objects) take less, if they may expire together.",
        )
    } else {
        (Verdict::Good, "Neither large blobs nor crowds of tiny keys.")
    };
    Answer { question, verdict, answer: answer.to_owned(), evidence: told }
}

/// A key or prefix as answers name it.
fn shown(name: &str) -> String {
    if name.is_empty() { "keys without a prefix".to_owned() } else { format!("`{name}`") }
}

#[cfg(test)]
mod tests;
