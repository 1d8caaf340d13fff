//! The hot path of the protocol: parsing a pipeline of 16 requests, and writing as many answers.
#![allow(missing_docs, reason = "criterion's macros make functions without")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use larder_protocol::memcache::text;
use larder_protocol::resp::reply::{Reply, Version};
use larder_protocol::resp::request::{Limits, Parser, Step};
use std::hint::black_box;

const PIPELINE: u64 = 16;

fn parse(bench: &mut Criterion) {
    let mut input = Vec::new();
    for i in 0..PIPELINE {
        larder_protocol::resp::command(&mut input, &["SET", &format!("key:{i:012}"), &"v".repeat(32)]);
    }
    let limits = Limits { bulk_bytes_max: 512 * 1024 * 1024, unauthenticated: false };
    let mut group = bench.benchmark_group("parse");
    group.throughput(Throughput::Elements(PIPELINE));
    let mut args = Vec::with_capacity(64);
    group.bench_function("resp: 16 SET", |b| {
        b.iter(|| {
            let (mut parser, mut at) = (Parser::new(), 0);
            args.clear();
            while let Ok(Step::Command { consumed }) = parser.step(&mut input[at..], &mut args, &limits) {
                at += consumed;
            }
            black_box(args.len())
        });
    });
    let requests: String =
        (0..PIPELINE).map(|i| format!("set key:{i:012} 0 0 32\r\n{}\r\n", "v".repeat(32))).collect();
    let limits = text::Limits { item_bytes_max: 1024 * 1024, config_writable: false, strict: true };
    group.bench_function("memcached: 16 set", |b| {
        b.iter(|| {
            let (mut parser, mut at) = (text::Parser::new(), 0);
            while let Ok(text::Step::Request { consumed, request }) =
                parser.step(&requests.as_bytes()[at..], &limits)
            {
                black_box(&request);
                at += consumed;
            }
            black_box(at)
        });
    });
}

fn write(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("write");
    group.throughput(Throughput::Elements(PIPELINE));
    let mut reply = Reply::new(Vec::with_capacity(4096), Version::Resp2);
    group.bench_function("resp: 16 bulk strings", |b| {
        b.iter(|| {
            reply.truncate(0);
            (0..PIPELINE).for_each(|_| reply.bulk(black_box(&[b'v'; 32])));
            black_box(reply.len())
        });
    });
}

criterion_group!(benches, parse, write);
criterion_main!(benches);
