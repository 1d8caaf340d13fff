//! Products through a cache: with and without, then with writes that invalidate, then without the cache answering.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use larder_client::{Cache, Event, Server, Ttl};
use larder_examples::{Database, PRODUCTS, cache_server, load, namespace, popular, say};

#[tokio::main]
async fn main() -> Result<()> {
    let (database, server) = (Database::open().await?, cache_server().await?);
    let ttl = Ttl {
        negative: Some(Duration::from_secs(5)),
        stale_while_revalidate: Duration::from_secs(10),
        stale_if_error: Duration::from_secs(600),
        early_refresh: 1.0,
        ..Ttl::new(Duration::from_secs(60))
    };
    let cache = Cache::builder(server, namespace("products")).ttl(ttl).build();
    say(&format!("source: {}, {PRODUCTS} products", database.kind()));

    let source = database.clone();
    load("without the cache", move || {
        let source = source.clone();
        async move { source.product(popular(PRODUCTS)).await.map(drop) }
    })
    .await?;

    for title in ["with a cold cache", "with the same, warmer"] {
        let (reads, source) = (cache.clone(), database.clone());
        load(title, move || {
            let (cache, source) = (reads.clone(), source.clone());
            async move { Ok(cache.fetch(popular(PRODUCTS).to_string(), source).await.map(drop)?) }
        })
        .await?;
        report(&cache);
    }

    let (mixed, source) = (cache.clone(), database.clone());
    load("and one write in fifty", move || {
        let (cache, source) = (mixed.clone(), source.clone());
        async move {
            let id = popular(PRODUCTS);
            if fastrand::u32(..50) == 0 {
                let write = async move { source.set_price(id, fastrand::i64(1..10_000)).await };
                cache.write_invalidating(id.to_string(), write).await?;
            } else {
                cache.fetch(id.to_string(), source).await?;
            }
            Ok(())
        }
    })
    .await?;
    report(&cache);

    // Nothing listens there: requests go to the source, and do not wait for the cache.
    let nowhere = Server::new("redis://127.0.0.1:1")?;
    let lost = Arc::new(Cache::builder(nowhere, namespace("lost")).build());
    load("with a dead cache", move || {
        let (cache, source) = (Arc::clone(&lost), database.clone());
        async move { Ok(cache.fetch(popular(PRODUCTS).to_string(), source).await.map(drop)?) }
    })
    .await
}

fn report<V>(cache: &Cache<V>) {
    let counts = cache.counts();
    say(&format!("{:<22} hit ratio {:.1} % so far", "", counts.hit_ratio() * 100.0));
    for event in Event::ALL.iter().filter(|event| counts.of(**event) > 0) {
        let (metric, _, value) = event.metric();
        say(&format!("{:<22} {metric} {value}: {}", "", counts.of(*event)));
    }
}
