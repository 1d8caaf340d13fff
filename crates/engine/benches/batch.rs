//! A batch of requests from bytes to bytes: reading, finding keys, locking, executing, writing replies. All that a
//! worker does for a pipeline but the sockets.
#![allow(missing_docs, reason = "criterion's macros make functions without")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use larder_engine::command::dispatch::{Request, Turn, execute};
use larder_engine::command::families;
use larder_engine::command::known::{KeyAt, Known};
use larder_engine::config::Settings;
use larder_engine::mailbox::Mailbox;
use larder_engine::node::Node;
use larder_engine::run::Startup;
use larder_engine::session::Client;
use larder_engine::session::registry::Origin;
use larder_protocol::resp::args::Args;
use larder_protocol::resp::reply::Reply;
use larder_protocol::resp::request::{Limits, Parser, Step};
use larder_store::Now;
use larder_store::partition::access::Access;
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: larder_engine::memory::Counting<tikv_jemallocator::Jemalloc> =
    larder_engine::memory::Counting(tikv_jemallocator::Jemalloc);

/// Requests of a batch.
const PIPELINE: u64 = 16;
/// Keys that there are: few enough to stay near, so that the figures are those of the code and not of the memory.
const KEYS: u64 = 1000;

/// Makes the arguments of a request.
type Arguments<'a> = Box<dyn Fn(u64) -> Vec<String> + 'a>;

/// A node with one session, and room for a batch.
struct Bench {
    node: Node,
    client: Client,
    out: Reply,
    keys: Vec<KeyAt>,
}

impl Bench {
    fn new() -> Bench {
        let mailboxes = vec![Mailbox::new().expect("an eventfd")];
        let node = Node::new(Settings::default(), &Startup::default(), 7, mailboxes, families());
        let origin = Origin {
            address: "127.0.0.1:1".into(),
            local_address: "127.0.0.1:2".into(),
            worker: 0,
            index: 0,
            memcached: false,
            unix: false,
        };
        let client = Client::new(node.sessions.add(origin, 0), true, false);
        Bench { node, client, out: Reply::default(), keys: Vec::new() }
    }

    /// [`Bench::run`], under a name by which a profiler tells what is measured from what was prepared.
    #[inline(never)]
    fn measured(&mut self, input: &mut [u8]) -> usize {
        self.run(input)
    }

    /// Executes the requests of an input, and answers how many bytes their replies have.
    fn run(&mut self, input: &mut [u8]) -> usize {
        let now = Now { ms: 1_700_000_000_000 };
        let turn = Turn {
            now,
            access: Access::lru(now.ms),
            out_of_memory: false,
            restricted: false,
            restrained: false,
        };
        let limits = Limits { bulk_bytes_max: 512 * 1024 * 1024, unauthenticated: false };
        let (mut parser, mut ranges, mut at) = (Parser::new(), Vec::new(), 0);
        self.out.truncate(0);
        while let Ok(Step::Command { consumed }) = parser.step(&mut input[at..], &mut ranges, &limits) {
            let args = Args::new(&input[at..], &ranges);
            let command = self.node.table.get(args.get(0));
            self.keys.clear();
            if let Some(command) = command {
                KeyAt::find(&self.node.store, command, &args, &mut self.keys);
            }
            let known = Known::new(&args, &self.keys);
            let request = Request { args: &args, command, keys: &known };
            execute(&self.node, &turn, &mut self.client, &request, &mut self.out);
            ranges.clear();
            at += consumed;
        }
        self.out.len()
    }
}

/// A pipeline of requests that `make` gives the arguments of.
fn pipeline(make: impl Fn(u64) -> Vec<String>) -> Vec<u8> {
    let mut input = Vec::new();
    for i in 0..PIPELINE {
        let args = make(i * (KEYS / PIPELINE));
        larder_protocol::resp::command(&mut input, &args.iter().map(String::as_str).collect::<Vec<_>>());
    }
    input
}

fn key(n: u64) -> String {
    format!("key:{:012}", n % KEYS)
}

fn batch(criterion: &mut Criterion) {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let value = "v".repeat(64);
    let mut bench = Bench::new();
    for n in 0..KEYS {
        bench.run(&mut pipeline(|_| words(&["SET", &key(n), &value])));
    }
    let elements: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    bench.run(&mut pipeline(|_| [words(&["RPUSH", "list"]), elements.clone()].concat()));
    let loads: [(&str, Arguments<'_>); 7] = [
        ("GET", Box::new(|n| words(&["GET", &key(n)]))),
        ("SET", Box::new(|n| words(&["SET", &key(n), &value]))),
        ("INCR", Box::new(|n| words(&["INCR", &format!("counter:{n}")]))),
        ("MSET of 10", {
            let pairs = |n: u64| (0..10).flat_map(move |i| [key(n + 97 * i), "v".repeat(64)]).collect();
            Box::new(move |n| [words(&["MSET"]), pairs(n)].concat())
        }),
        ("HSET", Box::new(|n| words(&["HSET", "hash", &format!("field:{n}"), &value]))),
        ("LPUSH and LPOP", {
            let verb = |n: u64| {
                if (n / (KEYS / PIPELINE)).is_multiple_of(2) {
                    vec!["LPUSH", "queue", "abc"]
                } else {
                    vec!["LPOP", "queue"]
                }
            };
            Box::new(move |n| words(&verb(n)))
        }),
        ("LRANGE of 100", Box::new(|_| words(&["LRANGE", "list", "0", "99"]))),
    ];
    let mut group = criterion.benchmark_group("batch of 16");
    group.throughput(Throughput::Elements(PIPELINE));
    for (name, make) in loads {
        let mut input = pipeline(make);
        group.bench_function(name, |b| b.iter(|| black_box(bench.measured(&mut input))));
    }
}

criterion_group!(benches, batch);
criterion_main!(benches);
