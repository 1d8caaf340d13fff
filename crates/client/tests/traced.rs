//! What the library tells through `tracing`, as a subscriber of the application gets it.

mod running;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use larder_client::{Cache, Event, Server, Ttl};
use running::TestServer;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Metadata, Subscriber};

/// Something that was told: how loud, from where, and its fields.
#[derive(Debug, Clone)]
struct Told {
    level: Level,
    target: String,
    fields: BTreeMap<String, String>,
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name().to_owned(), value.to_owned());
    }
}

#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<Told>>>);

impl Journal {
    fn all(&self) -> Vec<Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was counted for a cache, in order.
    fn counted(&self, cache: &str) -> Vec<String> {
        let of_cache = |told: &Told| {
            told.target == "larder_client" && told.fields.get("cache").is_some_and(|name| name == cache)
        };
        self.all()
            .iter()
            .filter(|told| of_cache(told))
            .filter_map(|told| told.fields.get("what").cloned())
            .collect()
    }
}

impl Subscriber for Journal {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("larder_client")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let metadata = event.metadata();
        let mut told =
            Told { level: *metadata.level(), target: metadata.target().to_owned(), fields: BTreeMap::new() };
        event.record(&mut told);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(told);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

async fn load(key: String) -> Result<Option<String>, std::io::Error> {
    Ok(Some(key))
}

// One thread, whose subscriber then hears all tasks.
#[tokio::test]
async fn every_outcome_is_told_with_the_name_of_its_counter() {
    let Some(running) = TestServer::start().await else { return };
    let journal = Journal::default();
    let _told = tracing::subscriber::set_default(journal.clone());
    let cache: Cache<String> =
        Cache::builder(running.patient(), "traced").ttl(Ttl::new(Duration::from_secs(600))).build();
    cache.fetch("a", load).await.unwrap();
    cache.fetch("a", load).await.unwrap();
    let told = journal.counted("traced");
    for event in [Event::Loaded, Event::Stored, Event::Hit] {
        let (_, _, name) = event.metric();
        let times = told.iter().filter(|what| *what == name).count() as u64;
        assert_eq!(times, cache.counts().of(event), "{name} of {told:?}");
        assert_eq!(times, 1, "{name} of {told:?}");
    }
    let sum: u64 = Event::ALL.iter().map(|event| cache.counts().of(*event)).sum();
    assert_eq!(told.len() as u64, sum, "nothing is counted and not told: {told:?}");
}

#[tokio::test]
async fn a_cache_that_does_not_answer_is_told_with_what_was_wrong() {
    let journal = Journal::default();
    let _told = tracing::subscriber::set_default(journal.clone());
    // A port that nobody listens at: it was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Server::new(&format!("redis://127.0.0.1:{port}")).unwrap();
    let cache: Cache<String> = Cache::builder(server, "gone").build();
    assert_eq!(cache.fetch("a", load).await.unwrap().value.as_deref(), Some("a"));
    let told = journal.all();
    let said = |text: &str| told.iter().find(|told| told.fields.get("message").is_some_and(|m| m == text));
    let asked = said("the cache could not be asked").unwrap_or_else(|| panic!("{told:?}"));
    assert_eq!((asked.level, asked.fields["key"].as_str()), (Level::DEBUG, "a"));
    assert!(!asked.fields["fault"].is_empty());
    assert!(journal.counted("gone").contains(&Event::MissUnreachable.metric().2.to_owned()), "{told:?}");
}
