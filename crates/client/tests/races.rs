//! Loaders and writers of several processes at the same keys, and the counters as an exporter of `metrics` gets them.

mod running;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use larder_client::{Cache, Loader, Server, Ttl, Written};
use metrics::{Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use running::TestServer;

const WRITERS: u64 = 3;
const READERS: u64 = 4;
const WRITES: u64 = 60;
/// In the place of a write's number: there are no more.
const ENDED: u64 = u64::MAX;

/// A source whose value is the number of the write that made it.
#[derive(Clone, Default)]
struct Source(Arc<AtomicU64>);

impl Source {
    /// Takes a moment before and after, so that others come between.
    async fn write(self, pause: u64) -> Result<u64, std::io::Error> {
        tokio::time::sleep(Duration::from_millis(pause % 3)).await;
        let number = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        tokio::time::sleep(Duration::from_millis(pause % 2)).await;
        Ok(number)
    }
}

impl Loader<u64> for Source {
    type Error = std::io::Error;

    async fn load(&self, _: &str) -> Result<Option<u64>, std::io::Error> {
        let number = self.0.load(Ordering::SeqCst);
        // What was read is old by the time that it is stored.
        tokio::time::sleep(Duration::from_millis(number % 4)).await;
        Ok(Some(number))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loader_that_races_with_writers_never_leaves_an_old_value_behind() {
    let Some(running) = TestServer::start().await else { return };
    // Caches of their own have nothing in common but the server, as processes.
    let process = || Cache::<u64>::builder(running.patient(), "r").build();
    let (source, done) = (Source::default(), Arc::new(AtomicU64::new(0)));
    let writer = |id: u64| {
        let (cache, source, done) = (process(), source.clone(), Arc::clone(&done));
        async move {
            for at in 0..WRITES {
                let write = source.clone().write(id + at);
                let (written, number) = match (id + at) % 2 {
                    0 => cache.write_invalidating("k", write).await.unwrap(),
                    _ => cache.write_around("k", write).await.unwrap(),
                };
                assert_eq!(written, Written::Invalidated);
                done.fetch_max(number, Ordering::SeqCst);
            }
        }
    };
    let reader = || {
        let (cache, source, done) = (process(), source.clone(), Arc::clone(&done));
        async move {
            loop {
                // Whoever asks after a write has ended gets what it wrote, or something newer.
                let least = done.load(Ordering::SeqCst);
                if least == ENDED {
                    break;
                }
                let fetched = cache.fetch("k", source.clone()).await.unwrap();
                let found = fetched.value.unwrap();
                assert!(found >= least, "read {found} ({:?}) after {least} was written", fetched.outcome);
                tokio::task::yield_now().await;
            }
        }
    };
    let writers: Vec<_> = (0..WRITERS).map(|id| tokio::spawn(writer(id))).collect();
    let readers: Vec<_> = (0..READERS).map(|_| tokio::spawn(reader())).collect();
    for task in writers {
        task.await.unwrap();
    }
    done.store(ENDED, Ordering::SeqCst);
    for task in readers {
        task.await.unwrap();
    }
    let last = process().fetch("k", source.clone()).await.unwrap();
    assert_eq!(last.value, Some(WRITERS * WRITES), "what is left is the newest");
    let again = process().fetch("k", source).await.unwrap();
    assert!(again.outcome.is_hit() && again.value == Some(WRITERS * WRITES), "and it is left: {again:?}");
}

/// What an exporter would see: counters by name and labels.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>);

impl Seen {
    fn of(&self, name: &str) -> u64 {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(name).map_or(0, |count| count.load(Ordering::SeqCst))
    }
}

struct Count(Arc<AtomicU64>);

impl CounterFn for Count {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Ordering::SeqCst);
    }

    fn absolute(&self, value: u64) {
        self.0.store(value, Ordering::SeqCst);
    }
}

impl Recorder for Seen {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels: Vec<String> = key.labels().map(|label| label.value().to_owned()).collect();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(format!("{} {}", key.name(), labels.join(" "))).or_default();
        Counter::from_arc(Arc::new(Count(Arc::clone(count))))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

async fn absent(_: String) -> Result<Option<u64>, std::io::Error> {
    Ok(None)
}

async fn broken(_: String) -> Result<Option<u64>, std::io::Error> {
    Err(std::io::Error::other("down"))
}

#[tokio::test]
async fn every_outcome_reaches_the_exporter_of_metrics() {
    let Some(running) = TestServer::start().await else { return };
    let seen = Seen::default();
    let clock = Arc::new(AtomicU64::new(1_000_000_000));
    let ttl = Ttl {
        jitter: 0.0,
        negative: Some(Duration::from_secs(50)),
        stale_if_error: Duration::from_secs(1000),
        ..Ttl::new(Duration::from_secs(100))
    };
    let build = |server: Server| {
        let clock = Arc::clone(&clock);
        let clock = move || clock.load(Ordering::SeqCst);
        Cache::<u64>::builder(server, "m").ttl(ttl.clone()).clock(clock).build()
    };
    let cache = metrics::with_local_recorder(&seen, || build(running.patient()));
    let source = Source::default();
    for _ in 0..3 {
        cache.fetch("k", source.clone()).await.unwrap(); // a miss, and two hits
        cache.fetch("none", absent).await.unwrap(); // a miss, and two negative hits
    }
    cache.fetch("fails", broken).await.unwrap_err();
    clock.fetch_add(200_000, Ordering::SeqCst);
    cache.fetch("k", broken).await.unwrap(); // stale, as the source fails
    cache.write_around("k", source.write(0)).await.unwrap();
    let requests = |outcome: &str| seen.of(&format!("larder_cache_requests_total m {outcome}"));
    assert_eq!((requests("hit"), requests("negative_hit"), requests("stale_source_failed")), (2, 2, 1));
    assert_eq!((requests("miss_unknown"), requests("error")), (2, 1));
    let loads = |result: &str| seen.of(&format!("larder_cache_loads_total m {result}"));
    assert_eq!((loads("found"), loads("absent"), loads("error")), (1, 1, 2));
    assert_eq!(seen.of("larder_cache_stores_total m stored"), 2);
    assert_eq!(cache.counts().requests_and_hits(), (8, 5));
}
