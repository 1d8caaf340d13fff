//! Hit ratios of the eviction policies, in seconds: replays traces against a store in this process.
//!
//!     zstd -d trace.hrt.zst; cargo run --profile bench-fast -p larder-store --example hitratio -- trace.hrt zipf scan
//!
//! A request reads its key, and where that misses it stores a value of the trace's size. Memory is what the store asked
//! the allocator for, each piece rounded up to jemalloc's size, less what the empty store had; a budget is a share of the
//! bytes of all keys and values once. Names without a dot are made-up traffic: `zipf`, `shift` (the hot keys change at
//! times), `drift` (they change all the time), `scan` (a fifth of the time nothing but keys that come once), `loop` (half
//! of the requests go round a circle), `once` (two of five keys never come back).
#![allow(clippy::print_stdout, reason = "a program whose output is the result")]

mod trace;

use larder_store::evict::{Policy, Pool, Round};
use larder_store::partition::access::Access;
use larder_store::{Config, Extras, Now, Store, Value};
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use trace::{Trace, load};

/// Counts what is in use, as jemalloc would round it.
struct Counting;

static USED: AtomicUsize = AtomicUsize::new(0);

/// Four sizes for each doubling, and none finer than 16 bytes.
fn rounded(size: usize) -> usize {
    let step = (size.next_power_of_two() / 8).max(16);
    if size <= 8 { 8 } else { size.next_multiple_of(step) }
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        USED.fetch_add(rounded(layout.size()), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        USED.fetch_sub(rounded(layout.size()), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn mixed(mut n: u64) -> u64 {
    n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn made_up(name: &str, requests: usize) -> Trace {
    const KEYS: usize = 100_000;
    let mut dice = Dice(1);
    let mut sum = 0.0;
    let shares: Vec<f64> = (1..=KEYS)
        .map(|rank| {
            sum += (rank as f64).powf(-0.9);
            sum
        })
        .collect();
    let mut ids = HashMap::new();
    let requests = (0..requests as u64)
        .map(|at| {
            let share = dice.unit() * sum;
            let popular = shares.partition_point(|below| *below < share) as u64;
            let once = 1 << 40 | at;
            let key = match name {
                "zipf" => popular,
                "shift" if popular < 2000 => popular + (at / 100_000) * 1_000_000,
                "shift" => popular,
                "drift" => popular + at / 50,
                "scan" => {
                    if at / 20_000 % 5 == 4 {
                        once
                    } else {
                        popular
                    }
                }
                "loop" => {
                    if dice.next().is_multiple_of(2) {
                        (1 << 41) | (at / 2 % 30_000)
                    } else {
                        popular
                    }
                }
                "once" => {
                    if dice.next() % 5 < 2 {
                        once
                    } else {
                        popular
                    }
                }
                _ => panic!("{name}: no file and no traffic that is known here"),
            };
            let bell = (0..6u64).map(|n| Dice(key * 77 + n).unit()).sum::<f64>() - 3.0;
            let size = (150.0 * (bell * 1.2).exp()) as u32 + 25;
            let new = ids.len() as u32;
            (*ids.entry(key).or_insert(new), size)
        })
        .collect();
    Trace { name: name.to_owned(), requests, per_ms: 1.0 }
}

fn key_of(id: u32) -> [u8; 20] {
    let mut key = *b"user:0000000000000:1";
    let mut rest = mixed(u64::from(id) ^ 0xc0ffee);
    for digit in &mut key[5..18] {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

/// Hit ratio, keys at the end, and the rest of what they took beside themselves.
fn replay(trace: &Trace, policy: Policy, budget: usize) -> (f64, usize, f64) {
    const START_MS: u64 = 1_700_000_000_000;
    let config = Config { partitions: 128, exclusive: true, ..Config::new(7, START_MS) };
    let store = Store::new(&Config { databases: 1, ..config });
    let empty = USED.load(Relaxed);
    let value = vec![b'x'; trace.requests.iter().map(|r| r.1).max().unwrap_or(0) as usize];
    let empty = empty + (USED.load(Relaxed) - empty);
    let (mut dice, mut hits, mut pool) = (Dice(3), 0, Pool::default());
    for (at, (id, size)) in trace.requests.iter().enumerate() {
        let now = Now { ms: START_MS + (at as f64 / trace.per_ms) as u64 };
        let random = dice.next() as u32;
        let access = match policy {
            _ if policy.is_lfu() => Access::lfu(now.ms, random, 10, 1),
            _ if policy.is_lhd() => store.lhd_access(now.ms, random),
            _ => Access::lru(now.ms),
        };
        let name = key_of(*id);
        let key = store.key(&name, (mixed(u64::from(*id)) % 16384) as u16);
        let mut partition = store.lock(store.partition_of(key.slot));
        if partition.read(0, &key, now, access).is_some() {
            hits += 1;
            continue;
        }
        let bytes = (*size as usize).saturating_sub(name.len()).max(1);
        partition.set(0, &key, Value::String(&value[..bytes]), Extras::default(), access);
        drop(partition);
        let round = Round { policy, samples: 5, decay_minutes: 1, now };
        while USED.load(Relaxed) - empty > budget {
            store.evict_one(&round, &mut pool, &mut || dice.next(), &mut |_, _| ()).expect("a key to evict");
        }
    }
    let used = USED.load(Relaxed) - empty;
    let keys: usize = store.partitions().map(|id| store.lock(id).len(0)).sum();
    (hits as f64 / trace.requests.len() as f64, keys, used as f64 / keys as f64)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let most = std::env::var("HITRATIO_REQUESTS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_500_000);
    let policies = std::env::var("HITRATIO_POLICIES").unwrap_or("allkeys-lru,allkeys-lfu,allkeys-lhd".into());
    println!("trace\tpolicy\tbudget %\thit ratio\tkeys\tbytes a key");
    for name in &arguments {
        let trace = if name.contains('.') { load(name, most) } else { made_up(name, most.min(1_000_000)) };
        let footprint: usize = trace
            .requests
            .iter()
            .copied()
            .collect::<HashMap<u32, u32>>()
            .values()
            .map(|size| *size as usize)
            .sum();
        for (text, policy) in
            Policy::NAMES.iter().filter(|(text, _)| policies.split(',').any(|wanted| wanted == *text))
        {
            for percent in [5, 10, 20] {
                let (ratio, keys, bytes) = replay(&trace, *policy, footprint * percent / 100);
                println!("{}\t{text}\t{percent}\t{ratio:.4}\t{keys}\t{bytes:.0}", trace.name);
            }
        }
    }
}
