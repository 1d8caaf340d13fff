//! The lines of the README about this library are these, and they run.

mod running;

use std::time::Duration;

use larder_client::{BoxError, Cache, Server, Ttl};
use running::TestServer;

const README: &str = include_str!("../../../README.md");
const THIS: &str = include_str!("readme.rs");

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct User {
    name: String,
}

async fn load_user(id: String) -> Result<Option<User>, std::io::Error> {
    Ok(Some(User { name: format!("user {id}") }))
}

async fn rename_user(id: u64, name: &str) -> Result<(), std::io::Error> {
    assert_eq!((id, name), (42, "Ann"));
    Ok(())
}

#[rustfmt::skip]
async fn as_in_the_readme() -> Result<larder_client::Fetched<User>, BoxError> {
    // begin
let server = Server::new("redis://127.0.0.1:6379")?;
let users: Cache<User> = Cache::builder(server, "users").ttl(Ttl::new(Duration::from_secs(300))).build();

let user = users.fetch("42", load_user).await?;                        // from the cache, or loaded once for all who ask
users.write_invalidating("42", rename_user(42, "Ann")).await?;         // and nobody reads the old name afterwards
    // end
    Ok(user)
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let from = text.split_once(begin).expect("it begins").1;
    from.split_once(end).expect("it ends").0.trim()
}

#[test]
fn the_readme_says_what_runs_here() {
    assert_eq!(between(README, "```rust\n", "```"), between(THIS, "// begin\n", "// end\n"));
}

#[tokio::test]
async fn without_a_cache_the_source_answers() {
    // Whatever listens at that port, or nothing: a read has its source.
    let user = as_in_the_readme().await.expect("the source answers");
    assert_eq!(user.value, Some(User { name: "user 42".into() }));
    let Some(server) = TestServer::start().await else { return };
    let users: Cache<User> = Cache::builder(server.patient(), "users").build();
    users.fetch("42", load_user).await.expect("loaded");
    assert!(users.fetch("42", load_user).await.expect("found").outcome.is_hit());
}
