//! Reading through a cache, against a server.

mod running;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use larder_client::{
    Cache, CacheBuilder, Error, Event, Key, Load, Loader, Miss, Outcome, Server, Stale, Ttl,
};
use running::{TestServer, eventually};
use tokio::sync::Semaphore;

/// A source that counts, fails and waits as it is told.
#[derive(Clone)]
struct Source(Arc<Inner>);

struct Inner {
    loads: AtomicUsize,
    batches: AtomicUsize,
    fails: AtomicBool,
    absent: AtomicBool,
    gate: Semaphore,
}

impl Source {
    fn new() -> Self {
        let gate = Semaphore::new(1000);
        let (loads, batches) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self(Arc::new(Inner {
            loads,
            batches,
            fails: AtomicBool::new(false),
            absent: AtomicBool::new(false),
            gate,
        }))
    }

    fn shut() -> Self {
        let source = Self::new();
        source.0.gate.forget_permits(1000);
        source
    }

    fn open(&self) {
        self.0.gate.add_permits(1000);
    }

    fn loads(&self) -> usize {
        self.0.loads.load(Ordering::SeqCst)
    }
}

impl Loader<String> for Source {
    type Error = std::io::Error;

    async fn load(&self, key: &str) -> Result<Option<String>, std::io::Error> {
        let number = self.0.loads.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.gate.acquire().await.expect("never closed").forget();
        if self.0.fails.load(Ordering::SeqCst) {
            return Err(std::io::Error::other("down"));
        }
        Ok((!self.0.absent.load(Ordering::SeqCst)).then(|| format!("{key}#{number}")))
    }

    async fn load_many(&self, keys: &[String]) -> Result<HashMap<String, String>, std::io::Error> {
        self.0.batches.fetch_add(1, Ordering::SeqCst);
        let mut found = HashMap::new();
        for key in keys {
            found.extend(self.load(key).await?.map(|value| (key.clone(), value)));
        }
        Ok(found)
    }
}

/// A clock that a test moves.
#[derive(Clone)]
struct Clock(Arc<AtomicU64>);

impl Clock {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_000_000_000)))
    }

    fn pass(&self, time: Duration) {
        self.0.fetch_add(time.as_millis() as u64, Ordering::SeqCst);
    }
}

fn builder(server: Server, clock: &Clock) -> CacheBuilder<String> {
    let clock = clock.clone();
    let ttl = Ttl { jitter: 0.0, ..Ttl::new(Duration::from_secs(100)) };
    Cache::builder(server, "test").ttl(ttl).clock(move || clock.0.load(Ordering::SeqCst))
}

fn loaded(after: Miss, by: Load) -> Outcome {
    Outcome::Load { after, by }
}

#[tokio::test]
async fn a_miss_loads_and_the_next_request_hits() {
    let Some(running) = TestServer::start().await else { return };
    let (clock, source) = (Clock::new(), Source::new());
    let cache = builder(running.patient(), &clock).build();
    let first = cache.fetch("k", source.clone()).await.unwrap();
    assert_eq!((first.value.as_deref(), first.outcome), (Some("k#1"), loaded(Miss::Unknown, Load::Own)));
    clock.pass(Duration::from_secs(7));
    let second = cache.fetch("k", source.clone()).await.unwrap();
    assert_eq!(second.value, first.value);
    assert_eq!(second.outcome, Outcome::Hit { age: Duration::from_secs(7) });
    assert_eq!(cache.peek("other").await.unwrap().outcome, Outcome::Miss(Miss::Unknown));
    let counts = cache.counts();
    assert_eq!((counts.of(Event::Hit), counts.of(Event::MissUnknown), counts.of(Event::Stored)), (1, 2, 1));
    assert_eq!(counts.requests_and_hits(), (3, 1));
}

#[tokio::test]
async fn the_server_forgets_an_entry_when_nobody_may_be_served_it() {
    let Some(running) = TestServer::start().await else { return };
    let (clock, source) = (Clock::new(), Source::new());
    let cache = builder(running.patient(), &clock).build();
    cache.fetch("k", source).await.unwrap();
    let mut raw = running.raw().await;
    let kept: i64 = redis::cmd("PTTL").arg("test:v1:k").query_async(&mut raw).await.unwrap();
    assert!((1..=100_000).contains(&kept), "{kept}");
    let lease: bool = redis::cmd("EXISTS").arg("test:l:k").query_async(&mut raw).await.unwrap();
    assert!(!lease, "the lease was given back");
}

#[tokio::test]
async fn in_one_process_one_loads_and_the_others_join() {
    let Some(running) = TestServer::start().await else { return };
    let (clock, source) = (Clock::new(), Source::shut());
    let cache = builder(running.patient(), &clock).build();
    let requests: Vec<_> = (0..50)
        .map(|_| {
            let (cache, source) = (cache.clone(), source.clone());
            tokio::spawn(async move { cache.fetch("k", source).await.unwrap() })
        })
        .collect();
    eventually("a load", async || source.loads() == 1).await;
    source.open();
    for request in requests {
        assert_eq!(request.await.unwrap().value.as_deref(), Some("k#1"));
    }
    assert_eq!(source.loads(), 1);
}

#[tokio::test]
async fn across_processes_one_loads_and_the_others_wait() {
    let Some(running) = TestServer::start().await else { return };
    let (clock, source) = (Clock::new(), Source::shut());
    let patient = Duration::from_secs(30);
    let processes: Vec<_> =
        (0..8).map(|_| builder(running.patient(), &clock).wait(patient).lease(patient).build()).collect();
    let requests: Vec<_> = processes
        .iter()
        .map(|cache| {
            let (cache, source) = (cache.clone(), source.clone());
            tokio::spawn(async move { cache.fetch("k", source).await.unwrap().outcome })
        })
        .collect();
    eventually("a load", async || source.loads() == 1).await;
    source.open();
    let mut own = 0;
    for request in requests {
        match request.await.unwrap() {
            Outcome::Load { by: Load::Own, .. } => own += 1,
            Outcome::Load { by: Load::Awaited, .. } | Outcome::Hit { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((own, source.loads()), (1, 1));
}

#[tokio::test]
async fn waiting_for_another_process_is_bounded() {
    let Some(running) = TestServer::start().await else { return };
    let (clock, slow, quick) = (Clock::new(), Source::shut(), Source::new());
    let one = builder(running.patient(), &clock).build();
    let other = builder(running.patient(), &clock).wait(Duration::from_millis(30)).build();
    let (cache, source) = (one.clone(), slow.clone());
    let request = tokio::spawn(async move { cache.fetch("k", source).await });
    eventually("a load", async || slow.loads() == 1).await;
    let fetched = other.fetch("k", quick).await.unwrap();
    assert_eq!(fetched.outcome, loaded(Miss::Unknown, Load::Own));
    assert_eq!(other.counts().of(Event::Stored), 0, "without the lease nothing is stored");
    slow.open();
    request.await.unwrap().unwrap();
    assert_eq!(one.counts().of(Event::Stored), 1);
}

#[tokio::test]
async fn a_load_goes_on_when_its_request_is_cancelled_and_a_panic_leaves_nobody_waiting() {
    let Some(running) = TestServer::start().await else { return };
    let (clock, source) = (Clock::new(), Source::shut());
    let cache = builder(running.patient(), &clock).build();
    let (clone, loader) = (cache.clone(), source.clone());
    let request = tokio::spawn(async move { clone.fetch("k", loader).await });
    eventually("a load", async || source.loads() == 1).await;
    request.abort();
    source.open();
    eventually("a stored value", async || cache.peek("k").await.unwrap().value.is_some()).await;
    let broken = cache.fetch("p", |_: String| async { panic_now() }).await;
    assert!(matches!(broken, Err(Error::BrokenOff)), "{broken:?}");
}

fn panic_now() -> Result<Option<String>, std::io::Error> {
    panic!("a loader with a fault (this message belongs to the test)")
}

#[tokio::test]
async fn absences_are_remembered_for_a_time_of_their_own() {
    let Some(running) = TestServer::start().await else { return };
    let (clock, source) = (Clock::new(), Source::new());
    source.0.absent.store(true, Ordering::SeqCst);
    let ttl =
        Ttl { jitter: 0.0, negative: Some(Duration::from_secs(10)), ..Ttl::new(Duration::from_secs(100)) };
    let cache = builder(running.patient(), &clock).ttl(ttl).build();
    assert_eq!(cache.fetch("k", source.clone()).await.unwrap().value, None);
    let again = cache.fetch("k", source.clone()).await.unwrap();
    assert_eq!((again.value, again.outcome), (None, Outcome::NegativeHit { age: Duration::ZERO }));
    clock.pass(Duration::from_secs(11));
    source.0.absent.store(false, Ordering::SeqCst);
    let fetched = cache.fetch("k", source.clone()).await.unwrap();
    assert_eq!(fetched.outcome, loaded(Miss::Expired, Load::Own));
    assert_eq!(fetched.value.as_deref(), Some("k#2"));

    let forgetful = builder(running.patient(), &clock).schema(5).build();
    source.0.absent.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let fetched = forgetful.fetch("k", source.clone()).await.unwrap();
        assert_eq!(fetched.outcome, loaded(Miss::Unknown, Load::Own));
    }
}

#[tokio::test]
async fn a_stale_value_is_served_while_it_is_loaded_anew() {
    let Some(running) = TestServer::start().await else { return };
    let (clock, source) = (Clock::new(), Source::new());
    let ttl = Ttl {
        jitter: 0.0,
        stale_while_revalidate: Duration::from_secs(50),
        stale_if_error: Duration::from_secs(500),
        ..Ttl::new(Duration::from_secs(100))
    };
    let cache = builder(running.patient(), &clock).ttl(ttl).build();
    cache.fetch("k", source.clone()).await.unwrap();
    clock.pass(Duration::from_secs(120));
    let fetched = cache.fetch("k", source.clone()).await.unwrap();
    assert_eq!(fetched.value.as_deref(), Some("k#1"));
    let why = Stale::Revalidating;
    assert_eq!(fetched.outcome, Outcome::StaleHit { age: Duration::from_secs(120), why });
    eventually("a refresh", async || cache.counts().of(Event::Refreshed) == 1).await;
    assert_eq!(cache.fetch("k", source.clone()).await.unwrap().value.as_deref(), Some("k#2"));

    // Past that, it stands in only for a source that fails.
    clock.pass(Duration::from_secs(400));
    source.0.fails.store(true, Ordering::SeqCst);
    let fetched = cache.fetch("k", source.clone()).await.unwrap();
    assert!(matches!(fetched.outcome, Outcome::StaleHit { why: Stale::SourceFailed, .. }), "{fetched:?}");
    assert_eq!(fetched.value.as_deref(), Some("k#2"));
    clock.pass(Duration::from_secs(400));
    assert!(matches!(cache.fetch("k", source.clone()).await, Err(Error::Source(_))));
    assert_eq!(cache.counts().of(Event::Failed), 1);
    source.0.fails.store(false, Ordering::SeqCst);
    assert!(cache.fetch("k", source).await.unwrap().value.is_some(), "a failed load gave its lease back");
}

#[tokio::test]
async fn a_value_that_is_dear_is_refreshed_before_its_end() {
    let Some(running) = TestServer::start().await else { return };
    let (clock, source) = (Clock::new(), Source::new());
    // So eager that each request finds its moment past the end.
    let ttl = Ttl { early_refresh: 1e12, ..Ttl::new(Duration::from_secs(100)) };
    let cache = builder(running.patient(), &clock).ttl(ttl).build();
    cache.fetch("k", source.clone()).await.unwrap();
    let fetched = cache.fetch("k", source.clone()).await.unwrap();
    assert!(matches!(fetched.outcome, Outcome::Hit { .. }), "early, so nobody waits");
    eventually("a refresh", async || cache.counts().of(Event::Refreshed) >= 1).await;
}

#[tokio::test]
async fn a_batch_has_one_load_for_all_that_miss() {
    let Some(running) = TestServer::start().await else { return };
    let (clock, source) = (Clock::new(), Source::new());
    let cache = builder(running.patient(), &clock).build();
    cache.fetch("a", source.clone()).await.unwrap();
    let fetched = cache.fetch_many(["a", "b", "c", "b"], source.clone()).await.unwrap();
    assert_eq!(fetched.len(), 3);
    assert!(matches!(fetched["a"].outcome, Outcome::Hit { .. }));
    assert_eq!(fetched["b"].outcome, loaded(Miss::Unknown, Load::Own));
    assert_eq!(source.0.batches.load(Ordering::SeqCst), 1);
    let again = cache.fetch_many(["a", "b", "c"], source.clone()).await.unwrap();
    assert!(again.values().all(|fetched| matches!(fetched.outcome, Outcome::Hit { .. })));
    assert_eq!(source.0.batches.load(Ordering::SeqCst), 1);
    source.0.fails.store(true, Ordering::SeqCst);
    assert!(matches!(cache.fetch_many(["a", "x"], source).await, Err(Error::Source(_))));
    let mut raw = running.raw().await;
    let leases: Vec<String> = redis::cmd("KEYS").arg("test:l:*").query_async(&mut raw).await.unwrap();
    assert!(leases.is_empty(), "{leases:?}");
}

#[tokio::test]
async fn large_values_are_compressed_and_too_large_ones_are_not_stored() {
    let Some(running) = TestServer::start().await else { return };
    let clock = Clock::new();
    let cache = builder(running.patient(), &clock).compress_from(1000).max_value_bytes(100_000).build();
    let load = |key: String| async move {
        let length = key.parse::<usize>().expect("a length");
        Ok::<_, std::io::Error>(Some("x".repeat(length)))
    };
    let mut raw = running.raw().await;
    for length in ["100", "50000", "200000"] {
        cache.fetch(length, load).await.unwrap();
    }
    for (length, most) in [("100", 200), ("50000", 1000), ("200000", 0)] {
        let stored: usize =
            redis::cmd("STRLEN").arg(format!("test:v1:{length}")).query_async(&mut raw).await.unwrap();
        assert!(stored <= most, "{length}: {stored}");
        assert_eq!(stored > 0, most > 0);
        let value = cache.fetch(length, load).await.unwrap().value.unwrap();
        assert_eq!(value.len().to_string(), length);
    }
    assert_eq!(cache.counts().of(Event::StoreFailed), 2);
}

#[tokio::test]
async fn tags_and_prefixes_invalidate_what_depends_on_them() {
    let Some(running) = TestServer::start().await else { return };
    let (clock, source) = (Clock::new(), Source::new());
    let cache = builder(running.patient(), &clock).prefixes(':').build();
    let keys = [Key::new("u:1:a").tag("t"), Key::new("u:1:b"), Key::new("u:2:a").tag("t"), Key::new("v")];
    let hits = async || {
        let mut hits = Vec::new();
        for key in &keys {
            hits.push(cache.fetch(key.clone(), source.clone()).await.unwrap().outcome.is_hit());
        }
        hits
    };
    assert_eq!(hits().await, [false; 4]);
    assert_eq!(hits().await, [true; 4]);
    cache.invalidate_tag("t").await.unwrap();
    assert_eq!(hits().await, [false, true, false, true]);
    cache.invalidate_prefix("u:1:").await.unwrap();
    assert_eq!(hits().await, [false, false, true, true]);
    cache.invalidate_prefix("").await.unwrap();
    assert_eq!(cache.peek("v").await.unwrap().outcome, Outcome::Miss(Miss::Invalidated));
    assert_eq!(hits().await, [false; 4]);
    assert!(matches!(cache.invalidate_prefix("u:1").await, Err(Error::Invalid(_))), "not up to a separator");
    let other_tags = cache.peek(Key::new("u:1:a").tag("s")).await.unwrap();
    assert_eq!(
        other_tags.outcome,
        Outcome::Miss(Miss::Invalidated),
        "the tags are part of what is asked for"
    );
    // A version that is lost (evicted) makes misses, not old hits.
    assert_eq!(hits().await, [true; 4]);
    let mut raw = running.raw().await;
    let _: () = redis::cmd("DEL").arg("test:t:t").query_async(&mut raw).await.unwrap();
    assert_eq!(hits().await, [false, true, false, true]);
}

#[tokio::test]
async fn a_load_that_began_before_an_invalidation_is_not_believed_after_it() {
    let Some(running) = TestServer::start().await else { return };
    for by_tag in [false, true] {
        let (clock, source) = (Clock::new(), Source::shut());
        let cache = builder(running.patient(), &clock).schema(u32::from(by_tag) * 5).build();
        let key = Key::new("k").tag("t");
        let (clone, loader, asked) = (cache.clone(), source.clone(), key.clone());
        let request = tokio::spawn(async move { clone.fetch(asked, loader).await.unwrap() });
        eventually("a load", async || source.loads() == 1).await;
        if by_tag {
            cache.invalidate_tag("t").await.unwrap();
        } else {
            cache.invalidate("k").await.unwrap();
        }
        source.open();
        request.await.unwrap();
        assert!(cache.peek(key.clone()).await.unwrap().value.is_none());
        assert_eq!(cache.fetch(key, source.clone()).await.unwrap().value.as_deref(), Some("k#2"));
    }
}

#[tokio::test]
async fn schemas_are_apart_and_a_write_reaches_its_neighbours() {
    let Some(running) = TestServer::start().await else { return };
    let (clock, source) = (Clock::new(), Source::new());
    let caches: Vec<_> =
        (1..=4).map(|schema| builder(running.patient(), &clock).schema(schema).build()).collect();
    for cache in &caches {
        assert!(!cache.fetch("k", source.clone()).await.unwrap().outcome.is_hit());
    }
    caches[1].invalidate("k").await.unwrap();
    let mut there = Vec::new();
    for cache in &caches {
        there.push(cache.peek("k").await.unwrap().value.is_some());
    }
    assert_eq!(there, [false, false, false, true]);
}

#[tokio::test]
async fn what_is_no_entry_is_a_miss_and_is_replaced() {
    let Some(running) = TestServer::start().await else { return };
    let (clock, source) = (Clock::new(), Source::new());
    let cache = builder(running.patient(), &clock).build();
    let mut raw = running.raw().await;
    let _: () = redis::cmd("SET").arg("test:v1:k").arg("garbage").query_async(&mut raw).await.unwrap();
    let fetched = cache.fetch("k", source.clone()).await.unwrap();
    assert_eq!(fetched.outcome, loaded(Miss::Unreadable, Load::Own));
    assert!(cache.fetch("k", source).await.unwrap().outcome.is_hit());
    // Bytes of another type.
    let numbers: Cache<Vec<u64>> = Cache::builder(running.patient(), "test").build();
    assert_eq!(numbers.peek("k").await.unwrap().outcome, Outcome::Miss(Miss::Expired), "by its own clock");
}
