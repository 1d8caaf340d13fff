//! A shop's requests: a rate limit, a session, a product from the cache, and views that reach the database later.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use larder_client::{Cache, Change, Limit, RateLimiter, Sessions, WriteBehind, WriteBehindSettings};
use larder_examples::{Database, PRODUCTS, cache_server, load, namespace, popular, say};

/// How many visitors there are.
const VISITORS: usize = 200;

#[tokio::main]
async fn main() -> Result<()> {
    let (database, server) = (Database::open().await?, cache_server().await?);
    let sessions: Arc<Sessions<Vec<u64>>> =
        Arc::new(Sessions::new(server.clone(), namespace("session"), Duration::from_secs(600)));
    let limit = Limit::TokenBucket { burst: 20, every: Duration::from_millis(50) };
    let limiter = Arc::new(RateLimiter::new(server.clone(), namespace("limit"), limit)?);
    let products = Cache::builder(server.clone(), namespace("products")).build();
    let prices: Cache<i64> = Cache::builder(server, namespace("price")).build();
    let sink = database.clone();
    let sink = move |batch: Vec<Change<i64>>| {
        let database = sink.clone();
        async move {
            for change in batch {
                database.set_price(change.key.parse()?, change.value).await?;
            }
            Ok::<(), anyhow::Error>(())
        }
    };
    let behind = WriteBehind::start(prices, sink, WriteBehindSettings::default());

    let mut visitors = Vec::new();
    for visitor in 0..VISITORS {
        visitors.push(sessions.create(&format!("visitor:{visitor}"), &Vec::new()).await?);
    }
    let visitors = Arc::new(visitors);
    let refused = Arc::new(std::sync::atomic::AtomicU64::new(0));
    say(&format!("source: {}, {VISITORS} visitors", database.kind()));
    let source = database.clone();
    load("without the cache", move || {
        let database = source.clone();
        async move { database.product(popular(PRODUCTS)).await.map(drop) }
    })
    .await?;
    let (cache, counted, carts, ids) =
        (products.clone(), Arc::clone(&refused), Arc::clone(&sessions), Arc::clone(&visitors));
    load("requests of a shop", move || {
        let (cache, database, refused) = (cache.clone(), database.clone(), Arc::clone(&counted));
        let (sessions, limiter, visitors) = (Arc::clone(&carts), Arc::clone(&limiter), Arc::clone(&ids));
        async move {
            let visitor = popular(VISITORS as u64) as usize;
            if !limiter.admit(&visitor.to_string()).await?.admitted {
                refused.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                return Ok(());
            }
            let id = popular(PRODUCTS);
            cache.fetch(id.to_string(), database).await?;
            // The last ten that somebody looked at.
            let seen = |cart: &mut Vec<u64>| {
                cart.push(id);
                cart.drain(..cart.len().saturating_sub(10));
            };
            sessions.update(&visitors[visitor], seen).await?;
            Ok(())
        }
    })
    .await?;
    let cart = sessions.load(&visitors[0]).await?;
    say(&format!(
        "hit ratio {:.1} %, refused by the rate limit: {}",
        products.counts().hit_ratio() * 100.0,
        refused.load(std::sync::atomic::Ordering::Relaxed)
    ));
    say(&format!("the first visitor saw {:?}", cart.unwrap_or_default()));

    for id in 0..1000 {
        behind.put(id.to_string(), 1).await?;
    }
    let queued = behind.queued().await?;
    let left = behind.drain(Duration::from_secs(20)).await?;
    say(&format!("1000 prices written behind: {queued} still queued at once, {left} after draining"));
    Ok(())
}
