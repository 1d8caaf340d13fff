//! Cached queries: results until one of their tables is written.

use std::sync::Arc;

use anyhow::Result;
use larder_client::{Cache, Query, QueryCache};
use larder_examples::{Database, PRODUCTS, Product, cache_server, load, namespace, popular, say};

/// How many different queries there are.
const QUERIES: u64 = 2_000;

#[tokio::main]
async fn main() -> Result<()> {
    let (database, server) = (Database::open().await?, cache_server().await?);
    let queries: Arc<QueryCache<Product>> =
        Arc::new(QueryCache::new(Cache::builder(server, namespace("queries"))));
    say(&format!("source: {}, {PRODUCTS} products, {QUERIES} queries", database.kind()));

    let source = database.clone();
    load("without the cache", move || {
        let source = source.clone();
        async move { source.product(popular(QUERIES)).await.map(drop) }
    })
    .await?;

    for (title, one_write_in) in [("with the cache", u32::MAX), ("a write in a thousand", 1000)] {
        let (cache, source) = (Arc::clone(&queries), database.clone());
        let before = queries.counts().requests_and_hits();
        load(title, move || {
            let (cache, source) = (Arc::clone(&cache), source.clone());
            async move {
                let id = popular(QUERIES);
                if fastrand::u32(..one_write_in) == 0 {
                    // Every result depends on the table, so every result goes: invalidation by table is coarse.
                    cache.write(&["product"], source.set_price(id, fastrand::i64(1..10_000))).await?;
                    return Ok(());
                }
                let query = Query::new("a product with its place in its group", &[id], &["product"])?;
                let run = move || {
                    let source = source.clone();
                    async move { source.product(id).await.map(|product| product.into_iter().collect()) }
                };
                Ok(cache.rows(&query, run).await.map(drop)?)
            }
        })
        .await?;
        let after = queries.counts().requests_and_hits();
        let ratio = (after.1 - before.1) as f64 / (after.0 - before.0).max(1) as f64;
        say(&format!("{:<22} hit ratio {:.1} %", "", ratio * 100.0));
    }
    Ok(())
}
