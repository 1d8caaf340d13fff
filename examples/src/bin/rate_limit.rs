//! Requests of callers who ask too much: what reaches the database without a limit, and with each of the three.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use larder_client::{Limit, RateLimiter};
use larder_examples::{Database, PRODUCTS, cache_server, load, namespace, popular, say};

/// How many callers there are; few of them ask most.
const CALLERS: usize = 50;
/// What each may ask in a second.
const PER_SECOND: u64 = 20;

#[tokio::main]
async fn main() -> Result<()> {
    let (database, server) = (Database::open().await?, cache_server().await?);
    let second = Duration::from_secs(1);
    say(&format!("source: {}, {CALLERS} callers, each may ask {PER_SECOND} times a second", database.kind()));
    let source = database.clone();
    load("without a limit", move || {
        let database = source.clone();
        async move { database.product(popular(PRODUCTS)).await.map(drop) }
    })
    .await?;
    let bucket = Limit::TokenBucket { burst: PER_SECOND, every: second / PER_SECOND as u32 };
    for (title, limit) in [
        ("a fixed window", Limit::FixedWindow { limit: PER_SECOND, window: second }),
        ("a sliding window", Limit::SlidingWindow { limit: PER_SECOND, window: second }),
        ("a token bucket", bucket),
    ] {
        let limiter = Arc::new(RateLimiter::new(server.clone(), namespace("limit"), limit)?);
        let admitted: Arc<Vec<AtomicU64>> = Arc::new((0..CALLERS).map(|_| AtomicU64::new(0)).collect());
        let refused = Arc::new(AtomicU64::new(0));
        let (source, counts, counted) = (database.clone(), Arc::clone(&admitted), Arc::clone(&refused));
        let began = Instant::now();
        load(title, move || {
            let (database, limiter) = (source.clone(), Arc::clone(&limiter));
            let (admitted, refused) = (Arc::clone(&counts), Arc::clone(&counted));
            async move {
                let caller = popular(CALLERS as u64) as usize;
                if !limiter.admit(&caller.to_string()).await?.admitted {
                    refused.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                admitted[caller].fetch_add(1, Ordering::Relaxed);
                database.product(popular(PRODUCTS)).await.map(drop)
            }
        })
        .await?;
        let seconds = began.elapsed().as_secs() + 2; // with those at both ends, of which a part is in the load
        let most = admitted.iter().map(|count| count.load(Ordering::Relaxed)).max().unwrap_or(0);
        let bound = PER_SECOND + seconds * PER_SECOND;
        say(&format!(
            "    refused: {}; most admitted for one caller: {most}, of {bound} that the limit allows at most",
            refused.load(Ordering::Relaxed)
        ));
        ensure!(most <= bound, "the limit was exceeded");
    }
    Ok(())
}
