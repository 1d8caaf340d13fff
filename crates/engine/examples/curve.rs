//! How far the curve of `larder advise` is from the exact one:
//!
//!     zstd -d trace.hrt.zst; cargo run --profile bench-fast -p larder-engine --example curve -- trace.hrt
//!
//! The exact curve is that of an LRU cache of every size, from the distances of all reads in bytes; the other follows at most
//! [`SAMPLES_MAX`](larder_engine::advise::curve::SAMPLES_MAX) keys. Sizes are those of keys and values alone.
#![allow(clippy::print_stdout, reason = "a program whose output is the result")]

#[path = "../../store/examples/trace/mod.rs"]
mod trace;

use larder_engine::advise::curve::{Curve, Found};
use std::time::Instant;

/// Sizes that are compared, over the doublings of the largest distance.
const SIZES: i32 = 200;

/// Sums over places, as a Fenwick tree.
struct Sums(Vec<i64>);

impl Sums {
    fn add(&mut self, at: usize, bytes: i64) {
        let mut at = at + 1;
        while at < self.0.len() {
            self.0[at] += bytes;
            at += at & at.wrapping_neg();
        }
    }

    fn up_to(&self, at: usize) -> i64 {
        let (mut at, mut sum) = (at + 1, 0);
        while at > 0 {
            sum += self.0[at];
            at &= at - 1;
        }
        sum
    }
}

/// The distances of all reads but the first of each key, in order of size.
fn exact(requests: &[(u32, u32)]) -> Vec<u64> {
    let keys = requests.iter().map(|(key, _)| *key as usize + 1).max().unwrap_or(0);
    let (mut last, mut sums, mut total) =
        (vec![None::<(usize, i64)>; keys], Sums(vec![0; requests.len() + 1]), 0);
    let mut distances = Vec::new();
    for (at, (key, bytes)) in requests.iter().enumerate() {
        let bytes = i64::from(*bytes);
        match last[*key as usize] {
            // A hit changes nothing: the value keeps the size with which it was stored.
            Some((before, stored)) => {
                distances.push((total - sums.up_to(before) + stored) as u64);
                sums.add(before, -stored);
                sums.add(at, stored);
                last[*key as usize] = Some((at, stored));
            }
            None => {
                sums.add(at, bytes);
                total += bytes;
                last[*key as usize] = Some((at, bytes));
            }
        }
    }
    distances.sort_unstable();
    distances
}

fn mixed(n: u32) -> u64 {
    let mut n = u64::from(n).wrapping_add(0x9e37_79b9_7f4a_7c15);
    n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

fn main() {
    println!(
        "| trace | hours | requests | keys followed | of all | mean error, points | largest error, points | ns a followed use |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for path in std::env::args().skip(1) {
        let trace = trace::load(&path, usize::MAX);
        let distances = exact(&trace.requests);
        let mut curve = Curve::default();
        let mut stored = std::collections::HashMap::new();
        let (mut uses, began) = (0u64, Instant::now());
        for (key, bytes) in &trace.requests {
            let id = mixed(*key);
            if id >> 32 >= curve.below() {
                continue;
            }
            uses += 1;
            // An infinite cache behind it: the first read of a key misses, and stores.
            match stored.get(key) {
                Some(bytes) => {
                    curve.read(id, Found::Hit(*bytes), 1);
                }
                None => {
                    let bytes = u64::from(*bytes).max(1);
                    stored.insert(*key, bytes);
                    curve.read(id, Found::Miss, 1);
                    curve.write(id, bytes, 1);
                }
            }
        }
        let took = began.elapsed().as_nanos() as f64 / uses.max(1) as f64;
        let (reads, most) = (trace.requests.len(), distances.last().copied().unwrap_or(1));
        let errors: Vec<f64> = (0..=SIZES)
            .map(|step| {
                let bytes = (most as f64 * (f64::from(step - SIZES) / f64::from(SIZES) * 12.0).exp2()) as u64;
                let exact = distances.partition_point(|distance| *distance <= bytes) as f64 / reads as f64;
                let found = curve.hit_ratio(bytes, most, reads as u64).unwrap_or(0.0);
                (exact - found).abs() * 100.0
            })
            .collect();
        println!(
            "| {} | {:.1} | {reads} | {} | {:.3} | {:.2} | {:.2} | {took:.0} |",
            trace.name,
            reads as f64 / trace.per_ms / 3.6e6,
            curve.samples(),
            curve.rate(),
            errors.iter().sum::<f64>() / errors.len() as f64,
            errors.iter().copied().fold(0.0, f64::max)
        );
    }
}
