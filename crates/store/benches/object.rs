//! Cost of single operations on small (packed) and grown values.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use larder_store::object::{End, Hash, Limits, List, Set, SortedSet};
use std::hint::black_box;

/// Members of a packed value and of grown ones.
const SIZES: [u64; 3] = [64, 10_000, 1_000_000];

fn member(n: u64) -> Vec<u8> {
    format!("member:{n:09}").into_bytes()
}

/// A fixed walk over 0..size that jumps about.
fn stride(step: &mut u64, size: u64) -> u64 {
    *step = step.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*step >> 33) % size
}

fn sorted_set(criterion: &mut Criterion) {
    let limits = Limits::default();
    let mut group = criterion.benchmark_group("sorted_set");
    for size in SIZES {
        let (mut zset, mut step) = (SortedSet::new(), 1);
        for n in 0..size {
            zset.insert(&member(n), stride(&mut step, size) as f64, &limits);
        }
        group.bench_function(BenchmarkId::new("score", size), |bench| {
            bench.iter(|| black_box(zset.score(&member(stride(&mut step, size)))));
        });
        group.bench_function(BenchmarkId::new("rank", size), |bench| {
            bench.iter(|| black_box(zset.rank(&member(stride(&mut step, size)))));
        });
        group.bench_function(BenchmarkId::new("range of 10", size), |bench| {
            bench.iter(|| {
                let start = stride(&mut step, size) as usize;
                zset.iter_from(start, false).take(10).map(|(_, score)| score).sum::<f64>()
            });
        });
        group.bench_function(BenchmarkId::new("change score", size), |bench| {
            bench.iter(|| {
                zset.insert(&member(stride(&mut step, size)), stride(&mut step, size) as f64, &limits)
            });
        });
    }
    group.finish();
}

fn hash_and_set(criterion: &mut Criterion) {
    let limits = Limits::default();
    let mut group = criterion.benchmark_group("hash_and_set");
    for size in SIZES {
        let (mut hash, mut set, mut step) = (Hash::new(), Set::new(), 1);
        for n in 0..size {
            hash.insert(&member(n), b"value", &limits);
            set.insert(&member(n), &limits);
        }
        group.bench_function(BenchmarkId::new("hash get", size), |bench| {
            bench.iter(|| black_box(hash.get(&member(stride(&mut step, size))).map(|value| value.len())));
        });
        group.bench_function(BenchmarkId::new("set contains", size), |bench| {
            bench.iter(|| black_box(set.contains(&member(stride(&mut step, size)))));
        });
        group.bench_function(BenchmarkId::new("set remove and insert", size), |bench| {
            bench.iter(|| {
                let member = member(stride(&mut step, size));
                set.remove(&member) && set.insert(&member, &limits)
            });
        });
    }
    group.finish();
}

fn list(criterion: &mut Criterion) {
    let limits = Limits::default();
    let mut list = List::new();
    for n in 0..100_000 {
        list.push(End::Right, &member(n), &limits);
    }
    let mut step = 1;
    criterion.bench_function("list/push and pop", |bench| {
        bench.iter(|| {
            list.push(End::Right, b"value", &limits);
            list.pop(End::Left)
        });
    });
    criterion.bench_function("list/index of 100000", |bench| {
        bench.iter(|| black_box(list.get(stride(&mut step, 100_000) as usize).map(|value| value.len())));
    });
}

criterion_group!(benches, sorted_set, hash_and_set, list);
criterion_main!(benches);
