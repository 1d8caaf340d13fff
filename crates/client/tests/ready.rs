//! What is ready-made on top: write-behind, sessions, rate limits, leaderboards, cached queries, against a server.

mod running;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use larder_client::{
    Cache, Change, Error, Leaderboard, Limit, Limits, Outcome, Place, Put, Query, QueryCache, RateLimiter,
    Sequence, Server, Sessions, Sink, Ties, WriteBehind, WriteBehindSettings, Written,
};
use running::{GENEROUS, TestServer, eventually};
use tokio::sync::Mutex;

/// A source that keeps the newest of each key, and fails as it is told.
#[derive(Clone, Default)]
struct Table(Arc<Inner>);

#[derive(Default)]
struct Inner {
    rows: Mutex<HashMap<String, (u64, Sequence)>>,
    fails: AtomicBool,
    batches: AtomicUsize,
}

impl Sink<u64> for Table {
    type Error = std::io::Error;

    async fn store(&self, batch: Vec<Change<u64>>) -> Result<(), std::io::Error> {
        self.0.batches.fetch_add(1, Ordering::SeqCst);
        if self.0.fails.load(Ordering::SeqCst) {
            return Err(std::io::Error::other("down"));
        }
        let mut rows = self.0.rows.lock().await;
        for change in batch {
            let row = rows.entry(change.key).or_insert((change.value, change.sequence));
            if row.1 <= change.sequence {
                *row = (change.value, change.sequence);
            }
        }
        Ok(())
    }
}

impl Table {
    async fn row(&self, key: &str) -> Option<u64> {
        self.0.rows.lock().await.get(key).map(|row| row.0)
    }
}

fn quick() -> WriteBehindSettings {
    WriteBehindSettings { linger: Duration::from_millis(1), ..WriteBehindSettings::default() }
}

#[tokio::test]
async fn queued_writes_are_read_at_once_and_reach_the_source() {
    let Some(running) = TestServer::start().await else { return };
    let (table, cache) = (Table::default(), Cache::<u64>::builder(running.patient(), "b").build());
    let behind = WriteBehind::start(cache.clone(), table.clone(), quick());
    for value in 0..500 {
        assert_eq!(behind.put(format!("k{}", value % 7), value).await.unwrap(), Put::Queued);
    }
    let read = cache.peek("k3").await.unwrap();
    assert_eq!((read.value, read.outcome.is_hit()), (Some(493), true));
    assert_eq!(behind.drain(GENEROUS).await.unwrap(), 0);
    for key in 0..7 {
        let last = (0..500).rfind(|value| value % 7 == key);
        assert_eq!(table.row(&format!("k{key}")).await, last);
    }
    let batches = table.0.batches.load(Ordering::SeqCst);
    assert!(batches < 500, "{batches}: a batch holds many, and each key once");
}

#[tokio::test]
async fn a_sink_that_fails_loses_nothing_and_the_queue_is_bounded() {
    let Some(running) = TestServer::start().await else { return };
    let (table, cache) = (Table::default(), Cache::<u64>::builder(running.patient(), "b").build());
    table.0.fails.store(true, Ordering::SeqCst);
    let settings = WriteBehindSettings { max_queued: 5, lease: Duration::from_millis(200), ..quick() };
    let behind = WriteBehind::start(cache.clone(), table.clone(), settings.clone());
    for value in 0..5 {
        behind.put(value.to_string(), value).await.unwrap();
    }
    assert!(matches!(behind.put("6", 6).await, Err(Error::Full)));
    eventually("an attempt", async || table.0.batches.load(Ordering::SeqCst) > 1).await;
    // The process ends; another one takes over what is queued, once the lease of the first is over.
    assert_eq!(behind.drain(Duration::from_millis(1)).await.unwrap(), 5);
    table.0.fails.store(false, Ordering::SeqCst);
    let next = WriteBehind::start(cache, table.clone(), settings);
    assert_eq!(next.drain(GENEROUS).await.unwrap(), 0);
    assert_eq!(table.row("4").await, Some(4));
}

#[tokio::test]
async fn what_cannot_be_queued_goes_to_the_sink_at_once() {
    let Some(mut running) = TestServer::start().await else { return };
    let limits = Limits { connect: Duration::from_millis(200), ..Limits::default() };
    let server = Server::with_limits(&running.url(), limits).unwrap();
    let (table, cache) = (Table::default(), Cache::<u64>::builder(server, "b").build());
    let behind = WriteBehind::start(cache, table.clone(), quick());
    running.stop();
    assert_eq!(behind.put("k", 1).await.unwrap(), Put::Direct);
    assert_eq!(table.row("k").await, Some(1));
    table.0.fails.store(true, Ordering::SeqCst);
    assert!(matches!(behind.put("k", 2).await, Err(Error::Source(_))));
}

#[tokio::test]
async fn sessions_live_change_move_and_end() {
    let Some(running) = TestServer::start().await else { return };
    let sessions: Sessions<Vec<u32>> = Sessions::new(running.patient(), "s", Duration::from_secs(600));
    let id = sessions.create("ann", &vec![1]).await.unwrap();
    assert_eq!(id.len(), 48);
    assert_eq!(sessions.load(&id).await.unwrap(), Some(vec![1]));
    assert_eq!(sessions.load("planted").await.unwrap(), None);
    // Requests at the same time do not overwrite each other's change.
    let sessions = Arc::new(sessions);
    let changes: Vec<_> = (0..10)
        .map(|number| {
            let (sessions, id) = (Arc::clone(&sessions), id.clone());
            tokio::spawn(async move {
                while sessions.update(&id, |data| data.push(number)).await.is_err() {
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for change in changes {
        change.await.unwrap();
    }
    assert_eq!(sessions.load(&id).await.unwrap().unwrap().len(), 11);
    let renewed = sessions.renew(&id).await.unwrap().unwrap();
    assert_eq!(sessions.load(&id).await.unwrap(), None);
    assert_eq!(sessions.load(&renewed).await.unwrap().unwrap().len(), 11);
    let other = sessions.create("bob", &vec![]).await.unwrap();
    sessions.create("ann", &vec![]).await.unwrap();
    assert_eq!(sessions.destroy_all("ann").await.unwrap(), 2);
    assert_eq!(sessions.load(&renewed).await.unwrap(), None);
    assert_eq!(sessions.load(&other).await.unwrap(), Some(vec![]));
    sessions.destroy(&other).await.unwrap();
    assert_eq!(sessions.load(&other).await.unwrap(), None);
    assert!(!sessions.update(&other, |_| ()).await.unwrap());
}

#[tokio::test]
async fn no_limit_is_exceeded_by_many_at_once() {
    let Some(running) = TestServer::start().await else { return };
    let hour = Duration::from_secs(3600);
    let limits = [
        Limit::FixedWindow { limit: 10, window: hour },
        Limit::SlidingWindow { limit: 10, window: hour },
        Limit::TokenBucket { burst: 10, every: hour },
    ];
    for (number, limit) in limits.into_iter().enumerate() {
        // Several processes, several requests each.
        let limiters: Vec<_> = (0..3)
            .map(|_| {
                let namespace = format!("r{number}");
                Arc::new(RateLimiter::new(running.patient(), namespace, limit.clone()).unwrap().fail_closed())
            })
            .collect();
        let requests: Vec<_> = (0..30)
            .map(|request| {
                let limiter = Arc::clone(&limiters[request % 3]);
                tokio::spawn(async move { limiter.admit("k").await.is_ok_and(|decision| decision.admitted) })
            })
            .collect();
        let mut admitted = 0;
        for request in requests {
            admitted += usize::from(request.await.unwrap());
        }
        assert!(admitted <= 10, "{limit:?}: {admitted}");
        // Those that were refused took nothing.
        for _ in admitted..10 {
            assert!(limiters[0].admit("k").await.unwrap().admitted, "{limit:?} after {admitted}");
        }
        let refused = limiters[0].admit("k").await.unwrap();
        assert_eq!((refused.admitted, refused.remaining), (false, 0), "{limit:?}");
        assert!(refused.retry_after > Duration::ZERO && refused.retry_after <= hour);
        assert!(limiters[0].admit("other").await.unwrap().admitted);
        assert!(!limiters[0].admit_many("other", 10).await.unwrap().admitted, "all or none");
        assert!(limiters[0].admit_many("other", 9).await.unwrap().admitted, "{limit:?}");
        assert!(limiters[0].admit_many("other", 11).await.is_err());
    }
}

#[tokio::test]
async fn a_limit_comes_back_with_time_and_a_dead_cache_opens_or_closes_it() {
    let Some(mut running) = TestServer::start().await else { return };
    let window = Duration::from_millis(300);
    let limits = [
        Limit::FixedWindow { limit: 1, window },
        Limit::SlidingWindow { limit: 1, window },
        Limit::TokenBucket { burst: 1, every: window },
    ];
    for (number, limit) in limits.into_iter().enumerate() {
        let limiter = RateLimiter::new(running.patient(), format!("t{number}"), limit).unwrap();
        assert!(limiter.admit("k").await.unwrap().admitted);
        eventually("room again", async || limiter.admit("k").await.unwrap().admitted).await;
    }
    let server = Server::new(&running.url()).unwrap();
    let limit = Limit::FixedWindow { limit: 1, window };
    let open = RateLimiter::new(server.clone(), "o", limit.clone()).unwrap();
    let closed = RateLimiter::new(server.clone(), "c", limit).unwrap().fail_closed();
    running.stop();
    assert!(open.admit("k").await.unwrap().admitted);
    assert!(matches!(closed.admit("k").await, Err(Error::Cache(_))));
    assert!(RateLimiter::new(server, "z", Limit::FixedWindow { limit: 0, window }).is_err());
}

fn ranks(places: &[Place]) -> Vec<(u64, &str, i64)> {
    places.iter().map(|place| (place.rank, place.member.as_str(), place.score)).collect()
}

#[tokio::test]
async fn boards_rank_with_ties_around_a_member_and_by_season() {
    let Some(running) = TestServer::start().await else { return };
    let shared = Leaderboard::new(running.patient(), "shared", Ties::Shared);
    for (member, score) in [("a", 50), ("b", 40), ("c", 40), ("d", 40), ("e", 30)] {
        assert!(shared.submit(member, score).await.unwrap());
    }
    assert!(!shared.submit("a", 20).await.unwrap(), "not her best");
    let all = [(1, "a", 50), (2, "d", 40), (2, "c", 40), (2, "b", 40), (5, "e", 30)];
    assert_eq!(ranks(&shared.top(10).await.unwrap()), all);
    assert_eq!(ranks(&shared.page(2, 3).await.unwrap()), all[2..], "a page begins within a tie");
    assert_eq!(ranks(&shared.around("c", 1).await.unwrap()), all[1..4]);
    assert_eq!(ranks(&shared.around("a", 1).await.unwrap()), all[..2]);
    assert_eq!(shared.place("e").await.unwrap().unwrap().rank, 5);
    assert_eq!(shared.place("nobody").await.unwrap(), None);
    assert_eq!(shared.add("e", 25).await.unwrap(), 55);
    assert_eq!(shared.place("a").await.unwrap().unwrap().rank, 2);
    assert!(shared.remove("e").await.unwrap());
    assert_eq!(shared.count().await.unwrap(), 4);

    // In a season of an hour moments are told apart to 1.7 ms.
    let hour = Duration::from_secs(3600);
    let earlier = Leaderboard::new(running.patient(), "earlier", Ties::Earlier).seasons(hour, hour);
    let season = earlier.season(earlier.current_season());
    season.submit("b", 7).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    season.submit("z", 7).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(!season.submit("b", 7).await.unwrap(), "the earlier moment stays");
    assert_eq!(ranks(&season.top(5).await.unwrap()), [(1, "b", 7), (2, "z", 7)]);
    assert!(season.season(1).top(5).await.unwrap().is_empty(), "another season");
}

#[tokio::test]
async fn a_cached_query_follows_the_tables_that_it_reads() {
    let Some(running) = TestServer::start().await else { return };
    let queries: QueryCache<u64> = QueryCache::new(Cache::builder(running.patient(), "q"));
    let runs = Arc::new(AtomicUsize::new(0));
    let users = Query::new("SELECT n FROM users WHERE t = ?1", &[1], &["users"]).unwrap();
    let both = Query::new("SELECT n FROM users, teams", &[0u8; 0], &["users", "teams"]).unwrap();
    let rows = async |query: &Query| {
        let counted = Arc::clone(&runs);
        let run = move || {
            let number = counted.fetch_add(1, Ordering::SeqCst) as u64;
            async move { Ok::<_, std::io::Error>(vec![number]) }
        };
        queries.rows(query, run).await.unwrap()
    };
    for query in [&users, &both, &users, &both] {
        rows(query).await;
    }
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    let write = async { Ok::<_, std::io::Error>(5) };
    assert_eq!(queries.write(&["teams"], write).await.unwrap(), (Written::Invalidated, 5));
    assert!(matches!(rows(&users).await.outcome, Outcome::Hit { .. }));
    assert!(matches!(rows(&both).await.outcome, Outcome::Load { .. }));
    let failing = async { Err::<(), _>(std::io::Error::other("constraint")) };
    assert!(matches!(queries.write(&["users"], failing).await, Err(Error::Source(_))));
    assert!(!rows(&users).await.outcome.is_hit());
}
