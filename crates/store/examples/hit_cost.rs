//! What a hit costs under a policy, to be counted in instructions: reads keys that are there.
//!
//!     cargo build --profile bench-fast -p larder-store --example hit_cost
//!     valgrind --tool=callgrind target/bench-fast/examples/hit_cost allkeys-lhd 65536 1000000
//!
//! Arguments: the policy, how many departed keys are remembered, and how many reads. Two runs with different numbers of reads
//! differ by the reads alone. Before the reads half of the keys leave, so that there is something to be remembered; with
//! `allkeys-lhd` they are evicted, so that hits are counted as in a full cache.
#![allow(clippy::print_stdout, reason = "a program whose output is the result")]

use larder_store::evict::{Policy, Pool, Round};
use larder_store::partition::access::Access;
use larder_store::{Config, Extras, Now, Store, Value};

const KEYS: u64 = 20_000;
const START_MS: u64 = 1_700_000_000_000;
/// Requests that share a look at the clock, as those of a pipeline do.
const BATCH: u64 = 16;

fn name(number: u64) -> String {
    format!("key:{number:016}")
}

fn slot(number: u64) -> u16 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 50) as u16
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [policy, remembered, reads] = arguments.as_slice() else {
        panic!("a policy, a number of departed keys, a number of reads")
    };
    let (_, policy) = *Policy::NAMES.iter().find(|(known, _)| known == policy).expect("a policy");
    let (remembered, reads): (usize, u64) =
        (remembered.parse().expect("keys"), reads.parse().expect("reads"));
    let config = Config { partitions: 64, databases: 1, exclusive: true, ..Config::new(7, START_MS) };
    let store = Store::new(&config);
    store.remember(remembered);
    let access = |at: u64| {
        let (now, random) = (START_MS + at / 1000, at as u32);
        match policy {
            _ if policy.is_lfu() => Access::lfu(now, random, 10, 1),
            _ if policy.is_lhd() => store.lhd_access(now, random),
            _ => Access::lru(now),
        }
    };
    let now = Now { ms: START_MS };
    for number in 0..KEYS {
        let name = name(number);
        let key = store.key(name.as_bytes(), slot(number));
        store.lock(store.partition_of(key.slot)).set(
            0,
            &key,
            Value::String(&[b'v'; 100]),
            Extras::default(),
            access(0),
        );
    }
    let round = Round {
        policy: if policy == Policy::NoEviction { Policy::AllKeysRandom } else { policy },
        samples: 5,
        decay_minutes: 1,
        now,
    };
    let (mut pool, mut dice) = (Pool::default(), 1u64);
    for _ in 0..KEYS / 2 {
        let mut random = || {
            dice = dice.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            dice ^ dice >> 32
        };
        store.evict_one(&round, &mut pool, &mut random, &mut |_, _| ()).expect("a key to evict");
    }
    let names: Vec<(String, u16)> = (0..KEYS).map(|number| (name(number), slot(number))).collect();
    let there: Vec<&(String, u16)> = names
        .iter()
        .filter(|(name, slot)| {
            let key = store.key(name.as_bytes(), *slot);
            store.lock(store.partition_of(*slot)).peek(0, &key, now).is_some()
        })
        .collect();
    let (mut hits, mut noted) = (0, access(0));
    for at in 0..reads {
        if at % BATCH == 0 {
            noted = access(at);
        }
        let (name, slot) = there[(at.wrapping_mul(0x9e37_79b9) >> 8) as usize % there.len()];
        let key = store.key(name.as_bytes(), *slot);
        let mut partition = store.lock(store.partition_of(*slot));
        hits += u64::from(partition.read(0, &key, now, noted).is_some());
    }
    println!("{hits} hits of {reads} reads, {} keys", there.len());
}
