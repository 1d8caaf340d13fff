use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use crate::resource::cluster::tests::redis;
use crate::state::{FileRecords, create, replace};

const NOW_MS: u64 = 100 * AGE_MS_MAX;
const ARN: &str = "arn:aws:sns:us-east-1:000000000000:caches";

/// A server that fails as often as it is told to, and then takes everything.
#[derive(Default)]
struct Server {
    taken: Mutex<Vec<String>>,
    failures: Mutex<VecDeque<Failure>>,
}

impl Topics for &Server {
    async fn publish(&self, arn: &str, message: &str) -> Result<(), Failure> {
        if let Some(failure) = self.failures.lock().unwrap().pop_front() {
            return Err(failure);
        }
        self.taken.lock().unwrap().push(format!("{arn} {message}"));
        Ok(())
    }
}

struct World {
    records: Arc<dyn Records>,
    server: Server,
    counts: Counts,
}

impl World {
    async fn new() -> World {
        let records = FileRecords::with_backend(redb::backends::InMemoryBackend::new()).unwrap();
        let topic = Topic { arn: ARN.to_owned(), inactive: false };
        let cluster = Cluster { topic: Some(topic), ..redis() };
        records.apply(&[create(&cluster).unwrap()]).unwrap();
        let world =
            World { records: Arc::new(records), server: Server::default(), counts: Counts::default() };
        world.happens(0, "Cache cluster created", NOW_MS);
        world.round().await;
        world
    }

    fn happens(&self, sequence: u64, message: &str, date_ms: u64) {
        let (source_id, message) = (redis().id, message.to_owned());
        let event = Event {
            date_ms,
            sequence,
            source_id,
            source_type: SourceType::CacheCluster,
            message,
            topic: None,
        };
        self.records.apply(&[create(&event).unwrap()]).unwrap();
    }

    async fn round(&self) {
        round(&self.records, &&self.server, &self.counts, || NOW_MS).await.unwrap();
    }

    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut self.server.taken.lock().unwrap())
    }

    fn counted(&self) -> (u64, u64) {
        (self.counts.published.load(Ordering::Relaxed), self.counts.failed.load(Ordering::Relaxed))
    }
}

#[tokio::test]
async fn each_event_is_published_once_and_in_order() {
    let world = World::new().await;
    assert!(world.taken().is_empty(), "what happened before is no news");
    world.happens(9, "Cache node 0001 shutdown", NOW_MS);
    world.happens(1, "Cache node 0001 restarted", NOW_MS);
    world.happens(2, "Something that ElastiCache does not publish", NOW_MS);
    world.round().await;
    let reboot = format!(r#"{ARN} {{"ElastiCache:CacheNodesRebooted":"pages"}}"#);
    assert_eq!(world.taken(), [reboot.clone(), reboot]);
    world.round().await;
    assert!(world.taken().is_empty());
    assert_eq!(world.counted(), (2, 0));
}

#[tokio::test]
async fn what_fails_is_tried_again_then_counted_and_holds_nobody_up() {
    let world = World::new().await;
    let failed = || Failure::Failed("down".to_owned());
    world.happens(1, "Cache node 0001 shutdown", NOW_MS);
    world.server.failures.lock().unwrap().extend((1..TRIES_MAX).map(|_| failed()));
    world.round().await;
    assert_eq!((world.taken().len(), world.counted()), (1, (1, 0)), "the last try was taken");

    world.happens(2, "Cache node 0001 shutdown", NOW_MS);
    world.happens(3, "Removed cache node 0001", NOW_MS);
    world.server.failures.lock().unwrap().extend((0..TRIES_MAX).map(|_| failed()));
    world.round().await;
    assert_eq!(world.counted(), (2, 1), "given up, and the next one followed");
    world.taken();

    world.happens(4, "Cache node 0001 shutdown", NOW_MS);
    world.server.failures.lock().unwrap().push_back(Failure::Refused("no such topic".to_owned()));
    world.round().await;
    assert_eq!((world.taken().len(), world.counted()), (0, (2, 2)), "refused once is refused");

    world.happens(5, "Cache node 0001 shutdown", NOW_MS - AGE_MS_MAX - 1);
    world.round().await;
    assert_eq!((world.taken().len(), world.counted()), (0, (2, 3)), "an old one is no news");
}

#[tokio::test]
async fn a_silent_topic_hears_nothing_and_a_deleted_cache_is_told_of() {
    let world = World::new().await;
    let stored = find::<Cluster>(&*world.records, &redis().id).unwrap().unwrap();
    let mut cluster = stored.value;
    cluster.topic.as_mut().unwrap().inactive = true;
    world.records.apply(&[replace(&cluster, stored.revision).unwrap()]).unwrap();
    world.happens(1, "Cache node 0001 shutdown", NOW_MS);
    world.round().await;
    assert!(world.taken().is_empty());

    let event = Event {
        date_ms: NOW_MS,
        sequence: 2,
        source_id: "gone".into(),
        source_type: SourceType::CacheCluster,
        message: "Cache cluster deleted".into(),
        topic: Some(ARN.into()),
    };
    world.records.apply(&[create(&event).unwrap()]).unwrap();
    world.round().await;
    assert_eq!(world.taken(), [format!(r#"{ARN} {{"ElastiCache:DeleteCacheClusterComplete":"gone"}}"#)]);
}
