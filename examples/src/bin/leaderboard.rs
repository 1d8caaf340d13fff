//! A game's board, against counting ranks in the database.

use std::time::Duration;

use anyhow::Result;
use larder_client::{Leaderboard, Ties};
use larder_examples::{Database, PRODUCTS, cache_server, load, namespace, popular, say};

/// How many play.
const PLAYERS: u64 = 5_000;

#[tokio::main]
async fn main() -> Result<()> {
    let (database, server) = (Database::open().await?, cache_server().await?);
    let week = Duration::from_secs(7 * 24 * 3600);
    let board = Leaderboard::new(server, namespace("race"), Ties::Earlier).seasons(week, 4 * week);
    say(&format!("source: {}, {PRODUCTS} rows; {PLAYERS} players", database.kind()));

    load("a rank by counting", move || {
        let database = database.clone();
        async move { database.product(popular(PRODUCTS)).await.map(drop) }
    })
    .await?;
    let scores = board.clone();
    load("a new score", move || {
        let board = scores.clone();
        async move {
            let player = format!("player:{}", fastrand::u64(..PLAYERS));
            Ok(board.submit(&player, fastrand::i64(0..100_000)).await.map(drop)?)
        }
    })
    .await?;
    let ranks = board.clone();
    load("a rank on the board", move || {
        let board = ranks.clone();
        async move { Ok(board.around(&format!("player:{}", popular(PLAYERS)), 2).await.map(drop)?) }
    })
    .await?;
    let season = board.current_season();
    say(&format!("season {season}, {} players on the board; the first:", board.count().await?));
    for place in board.top(5).await? {
        say(&format!("{:>5}. {:<14} {}", place.rank, place.member, place.score));
    }
    if let Some(third) = board.top(3).await?.pop() {
        let around = board.around(&third.member, 1).await?;
        let members: Vec<String> = around.into_iter().map(|place| place.member).collect();
        say(&format!("around {}: {}", third.member, members.join(", ")));
    }
    Ok(())
}
