//! What a Larder server adds: why keys are not there, and who hears of stale and negative hits. And TLS.

mod running;

use std::time::Duration;

use larder_client::{Cache, Limits, Load, Miss, Outcome, Server, Ttl};
use running::{GENEROUS, TestServer, eventually};

async fn found(id: String) -> Result<Option<String>, std::io::Error> {
    Ok((id != "nobody").then(|| format!("value of {id}")))
}

#[tokio::test]
async fn a_miss_says_why_and_the_server_hears_of_stale_and_negative_hits() {
    if std::env::var_os("LARDER_BIN").is_none() {
        eprintln!("LARDER_BIN is not set, and other servers do not say why: passed over");
        return;
    }
    let Some(server) = TestServer::start().await else { return };
    let mut raw = server.raw().await;
    let ttl = Ttl {
        negative: Some(Duration::from_secs(60)),
        stale_while_revalidate: Duration::from_secs(600),
        jitter: 0.0,
        ..Ttl::new(Duration::from_millis(1))
    };
    let cache: Cache<String> = Cache::builder(server.patient(), "names").ttl(ttl).reasons(true).build();
    let first = cache.fetch("a", found).await.unwrap();
    assert_eq!(first.outcome, Outcome::Load { after: Miss::NeverStored, by: Load::Own });
    let _: i64 = redis::cmd("DEL").arg("names:v1:a").query_async(&mut raw).await.unwrap();
    assert_eq!(cache.peek("a").await.unwrap().outcome, Outcome::Miss(Miss::Deleted));
    let many = cache.fetch_many(["a", "b"], found).await.unwrap();
    assert_eq!(many["a"].outcome, Outcome::Load { after: Miss::Deleted, by: Load::Own });
    assert_eq!(many["b"].outcome, Outcome::Load { after: Miss::NeverStored, by: Load::Own });
    let _: () = redis::cmd("FLUSHALL").query_async(&mut raw).await.unwrap();
    assert_eq!(cache.peek("b").await.unwrap().outcome, Outcome::Miss(Miss::Flushed));
    cache.fetch("nobody", found).await.unwrap();
    cache.fetch("a", found).await.unwrap();
    eventually("the server hears of stale and of negative hits", async || {
        cache.fetch("nobody", found).await.unwrap();
        cache.fetch("a", found).await.unwrap();
        let info: String =
            redis::cmd("INFO").arg("stats").query_async(&mut server.raw().await).await.unwrap();
        let some = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.is_some_and(|count| count.trim() != "0")
        };
        some("keyspace_hits_stale") && some("keyspace_hits_negative")
    })
    .await;
}

#[tokio::test]
async fn other_servers_are_asked_for_no_reasons() {
    let Some(server) = TestServer::start().await else { return };
    let plain: Cache<String> = Cache::builder(server.patient(), "plain").build();
    let fetched = plain.fetch("a", found).await.unwrap();
    assert_eq!(fetched.outcome, Outcome::Load { after: Miss::Unknown, by: Load::Own });
    let curious: Cache<String> = Cache::builder(server.patient(), "curious").reasons(true).build();
    let fetched = curious.fetch("a", found).await.unwrap();
    assert!(matches!(
        fetched.outcome,
        Outcome::Load { after: Miss::Unknown | Miss::NeverStored, by: Load::Own }
    ));
    assert!(matches!(curious.fetch("a", found).await.unwrap().outcome, Outcome::Hit { .. }));
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_server_with_tls_is_trusted_by_its_authority_only() {
    let Some(server) = TestServer::start_tls().await else { return };
    let limits = || Limits { connect: GENEROUS, answer: GENEROUS, ..Limits::default() };
    let trusting = Server::with_authority(&server.tls_url(), limits(), &server.authority()).unwrap();
    let cache: Cache<String> = Cache::builder(trusting, "secret").build();
    cache.fetch("a", found).await.unwrap();
    assert!(matches!(cache.fetch("a", found).await.unwrap().outcome, Outcome::Hit { .. }));
    // Writes take exclusive connections, which are encrypted, too.
    cache.write_invalidating("a", async { Ok::<_, std::io::Error>(()) }).await.unwrap();
    assert!(matches!(cache.fetch("a", found).await.unwrap().outcome, Outcome::Load { by: Load::Own, .. }));
    let strict = Server::with_limits(&server.tls_url(), limits()).unwrap();
    assert!(strict.ping().await.is_err(), "nobody vouches for this certificate");
    assert!(Server::with_authority(&server.tls_url(), limits(), b"no certificate").is_err());
    assert!(Server::with_authority(&server.url(), limits(), &server.authority()).is_err(), "that is no TLS");
}
