//! Writing through a cache, and a cache that is down or slow.

mod running;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use larder_client::{
    BreakerPolicy, Cache, Error, Event, Fault, Key, Limits, Load, Loader, Miss, Outcome, Server, Written,
};
use running::{TestServer, eventually};
use tokio::sync::Mutex;

type Source = Arc<Mutex<String>>;

async fn set(source: Source, value: &'static str) -> Result<(), std::io::Error> {
    *source.lock().await = value.to_owned();
    Ok(())
}

async fn refuse() -> Result<(), std::io::Error> {
    Err(std::io::Error::other("refused"))
}

/// Reads the source.
#[derive(Clone)]
struct Reads(Source);

impl Loader<String> for Reads {
    type Error = std::io::Error;

    async fn load(&self, _: &str) -> Result<Option<String>, std::io::Error> {
        Ok(Some(self.0.lock().await.clone()))
    }
}

fn loader(source: &Source) -> Reads {
    Reads(Arc::clone(source))
}

/// Gives up soon, so that a test of a server that is down or slow takes little time.
fn hasty(running: &TestServer) -> Server {
    let limits = Limits {
        connect: Duration::from_millis(200),
        answer: Duration::from_millis(200),
        breaker: BreakerPolicy { failures: 3, rest: Duration::from_millis(200) },
        ..Limits::default()
    };
    Server::with_limits(&running.url(), limits).unwrap()
}

#[tokio::test]
async fn after_a_write_nobody_reads_the_old_value() {
    let Some(running) = TestServer::start().await else { return };
    let source: Source = Arc::default();
    let cache: Cache<String> = Cache::builder(running.patient(), "w").build();
    let other: Cache<String> = Cache::builder(running.patient(), "w").build();
    let key = Key::new("k").tag("t");
    let read = async || other.fetch(key.clone(), loader(&source)).await.unwrap();
    read().await;
    let written = cache.write_through(key.clone(), "a".into(), set(source.clone(), "a")).await.unwrap();
    assert_eq!(written, Written::Stored);
    let fetched = read().await;
    assert_eq!((fetched.value.as_deref(), fetched.outcome.is_hit()), (Some("a"), true));
    let (written, ()) = cache.write_invalidating(key.clone(), set(source.clone(), "b")).await.unwrap();
    assert_eq!(written, Written::Invalidated);
    assert_eq!(read().await.value.as_deref(), Some("b"));
    cache.write_around(key.clone(), set(source.clone(), "c")).await.unwrap();
    assert_eq!(read().await.value.as_deref(), Some("c"));
    assert!(read().await.outcome.is_hit());

    // A write that fails may have come any way: what the cache has is dropped.
    let refused = cache.write_through(key.clone(), "d".into(), refuse()).await;
    assert!(matches!(refused, Err(Error::Source(_))));
    assert_eq!(other.peek(key.clone()).await.unwrap().outcome, Outcome::Miss(Miss::Unknown));
    assert_eq!(read().await.value.as_deref(), Some("c"));
    let counts = cache.counts();
    assert_eq!((counts.of(Event::Written), counts.of(Event::WriteFailed)), (3, 1));
    let leases: Vec<String> =
        redis::cmd("KEYS").arg("w:l:*").query_async(&mut running.raw().await).await.unwrap();
    assert!(leases.is_empty(), "nothing is left behind: {leases:?}");
}

#[tokio::test]
async fn a_write_runs_to_its_end_when_its_caller_goes_and_is_owed_when_it_panics() {
    let Some(running) = TestServer::start().await else { return };
    let source: Source = Arc::default();
    let cache: Cache<String> = Cache::builder(running.patient(), "w").build();
    cache.fetch("k", loader(&source)).await.unwrap();
    let held = source.clone().lock_owned().await;
    let (clone, target) = (cache.clone(), source.clone());
    let caller = tokio::spawn(async move { clone.write_around("k", set(target, "new")).await });
    tokio::task::yield_now().await;
    caller.abort();
    let begun = !caller.await.unwrap_err().is_panic();
    drop(held);
    assert!(begun);
    let was_spawned = async || cache.counts().of(Event::Written) == 1;
    eventually("the write ended", was_spawned).await;
    assert_eq!(cache.fetch("k", loader(&source)).await.unwrap().value.as_deref(), Some("new"));

    let broken = cache.write_around("k", async { panic_now() }).await;
    assert!(matches!(broken, Err(Error::BrokenOff)));
    let invalidated = async || cache.counts().of(Event::Invalidated) >= 1;
    eventually("the invalidation was owed, and paid", invalidated).await;
    assert_eq!(cache.peek("k").await.unwrap().outcome, Outcome::Miss(Miss::Unknown));
}

fn panic_now() -> Result<(), std::io::Error> {
    panic!("a writer with a fault (this message belongs to the test)")
}

#[tokio::test]
async fn a_cache_that_is_down_costs_hits_and_nothing_else() {
    let Some(mut running) = TestServer::start().await else { return };
    let source: Source = Arc::new(Mutex::new("old".into()));
    let server = hasty(&running);
    let cache: Cache<String> = Cache::builder(server.clone(), "w").build();
    cache.fetch("k", loader(&source)).await.unwrap();
    running.stop();
    for _ in 0..20 {
        let fetched = cache.fetch("k", loader(&source)).await.unwrap();
        let expected = Outcome::Load { after: Miss::Unreachable, by: Load::Own };
        assert_eq!((fetched.value.as_deref(), fetched.outcome), (Some("old"), expected));
    }
    let batch = cache.fetch_many(["k", "l"], loader(&source)).await.unwrap();
    assert_eq!(batch["l"].value.as_deref(), Some("old"));
    assert!(matches!(server.ping().await, Err(Fault::CircuitOpen | Fault::Connection(_))));
    assert!(matches!(cache.invalidate_tag("t").await, Err(Error::Cache(_))));

    // Back again: found by a probe.
    assert!(running.resume().await);
    eventually("a connection", async || server.ping().await.is_ok()).await;
    cache.fetch("k", loader(&source)).await.unwrap();
    assert!(cache.fetch("k", loader(&source)).await.unwrap().outcome.is_hit());
}

#[tokio::test]
async fn a_write_while_the_cache_hangs_is_owed_and_never_read_old_here() {
    let Some(running) = TestServer::start().await else { return };
    let source: Source = Arc::new(Mutex::new("old".into()));
    let cache: Cache<String> = Cache::builder(hasty(&running), "w").build();
    let other: Cache<String> = Cache::builder(running.patient(), "w").build();
    cache.fetch("k", loader(&source)).await.unwrap();
    running.signal("STOP");
    let fetched = cache.fetch("k", loader(&source)).await.unwrap();
    assert!(matches!(fetched.outcome, Outcome::Load { after: Miss::Unreachable, .. }));
    let written = cache.write_through("k", "new".into(), set(source.clone(), "new")).await.unwrap();
    assert_eq!(written, Written::Owed);
    assert!(matches!(cache.invalidate("j").await, Err(Error::Cache(_))));
    let fetched = cache.fetch("k", loader(&source)).await.unwrap();
    let expected = Outcome::Load { after: Miss::Owed, by: Load::Own };
    assert_eq!((fetched.value.as_deref(), fetched.outcome), (Some("new"), expected));
    running.signal("CONT");
    // The debt is paid: this process believes the cache again, and another one finds no old value.
    let paid = async || matches!(cache.peek("k").await.unwrap().outcome, Outcome::Miss(Miss::Unknown));
    eventually("the invalidation was paid", paid).await;
    assert_eq!(other.fetch("k", loader(&source)).await.unwrap().value.as_deref(), Some("new"));
    assert_eq!(cache.counts().of(Event::WriteOwed), 1);
}

#[tokio::test]
async fn more_than_the_bound_of_requests_fails_at_once() {
    let Some(running) = TestServer::start().await else { return };
    let limits = Limits { in_flight: 2, answer: Duration::from_secs(30), ..Limits::default() };
    let server = Server::with_limits(&running.url(), limits).unwrap();
    server.ping().await.unwrap();
    running.signal("STOP");
    let requests: Vec<_> = (0..3)
        .map(|_| {
            let server = server.clone();
            tokio::spawn(async move { server.ping().await })
        })
        .collect();
    eventually("a refusal", async || requests.iter().any(tokio::task::JoinHandle::is_finished)).await;
    running.signal("CONT");
    let mut refused = 0;
    for request in requests {
        match request.await.unwrap() {
            Ok(()) => {}
            Err(Fault::Saturated) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(refused, 1);
}

#[tokio::test]
async fn loads_at_a_time_are_bounded_and_so_is_their_length() {
    let Some(running) = TestServer::start().await else { return };
    let short = Duration::from_millis(50);
    let cache: Cache<String> = Cache::builder(running.patient(), "w").max_loads(1).load_limit(short).build();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let never = move |_: String| {
        counted.fetch_add(1, Ordering::SeqCst);
        std::future::pending::<Result<Option<String>, std::io::Error>>()
    };
    let (one, two) = tokio::join!(cache.fetch("a", never.clone()), cache.fetch("b", never.clone()));
    let ends = [one.unwrap_err(), two.unwrap_err()];
    assert!(ends.iter().all(|end| matches!(end, Error::SourceTimedOut | Error::Overloaded)), "{ends:?}");
    assert!(ends.iter().any(|end| matches!(end, Error::SourceTimedOut)));
    let quick = |_: String| async { Ok::<_, std::io::Error>(Some("v".to_owned())) };
    assert!(cache.fetch("a", quick).await.unwrap().value.is_some(), "the lease was given back");
}
