//! Snapshots: taken, restored and scheduled, killed at every instant.

use super::*;
use crate::act::snapshot::{Turn, schedule};
use crate::resource::snapshot::{Object, ObservedSnapshot, Origin, Phase, Seed, Snapshot};

/// What the node of the tests holds.
const DATA: u64 = 7;
const HOUR_MS: u64 = 3_600_000;

impl World {
    fn asked(&self, snapshot: &Snapshot) {
        self.records.apply(&[create(snapshot).unwrap()]).unwrap();
    }

    fn observed_snapshot(&self, name: &str) -> Option<ObservedSnapshot> {
        find::<ObservedSnapshot>(&*self.records, name).unwrap().map(|stored| stored.value)
    }

    /// Works on a snapshot until nothing is left to be done for it.
    async fn finish(&self, name: &str) -> Result<(), StateError> {
        let tools = self.tools();
        for _ in 0..100 {
            if tools.snapshot_turn(name, false).await? == Turn::Settled {
                return Ok(());
            }
        }
        panic!("no end of turns: {:?}", self.observed_snapshot(name));
    }

    /// A running cache that holds something, of which a snapshot was asked for.
    async fn with_snapshot(&self) -> Cluster {
        let cluster = redis();
        self.desire(&cluster);
        self.run(&cluster.id).await.unwrap();
        self.host.nodes.lock().unwrap().values_mut().for_each(|node| node.data = DATA);
        let taken = Cluster { snapshots: 1, ..cluster };
        self.desire(&taken);
        self.asked(&Snapshot::of("s", &taken, None, clock()));
        taken
    }

    fn file(&self, name: &str) -> String {
        let seed = Seed::Snapshot { name: name.to_owned() };
        std::fs::read_to_string(self.tools().vault.seed(&seed, "x").unwrap()).unwrap()
    }
}

#[tokio::test]
async fn taking_one_survives_a_kill_at_every_instant() {
    for instant in 0.. {
        let world = World::new();
        let cluster = world.with_snapshot().await;
        assert_eq!(cluster.status(world.observed(&cluster.id).as_ref()), Status::Snapshotting);
        world.host.fuse.left.store(instant, Ordering::SeqCst);
        let outcome = world.finish("s").await;
        let was_killed = world.host.fuse.is_spent();
        if was_killed {
            world.host.fuse.mend();
            world.finish("s").await.unwrap();
        } else {
            outcome.unwrap();
        }
        let observed = world.observed_snapshot("s").unwrap();
        assert_eq!((observed.phase, observed.bytes), (Phase::Done, 1));
        assert_eq!(world.file("s"), DATA.to_string());
        assert_eq!(cluster.status(world.observed(&cluster.id).as_ref()), Status::Available);
        let said = world.events().into_iter().filter(|text| text.starts_with("Snapshot succeeded"));
        assert_eq!(said.count(), 1);
        if !was_killed {
            assert!(instant > 2, "the fuse was never in the way");
            return;
        }
    }
}

/// A snapshot that is there, something that is done with it, and a kill at each instant of that.
async fn killed_everywhere(happens: impl Fn(&World), name: &str, check: impl Fn(&World)) {
    for instant in 0.. {
        let world = World::new();
        world.with_snapshot().await;
        world.finish("s").await.unwrap();
        happens(&world);
        world.host.fuse.left.store(instant, Ordering::SeqCst);
        let outcome = world.finish(name).await;
        let was_killed = world.host.fuse.is_spent();
        if was_killed {
            world.host.fuse.mend();
            world.finish(name).await.unwrap();
        } else {
            outcome.unwrap();
        }
        check(&world);
        if !was_killed {
            assert!(instant > 0, "the fuse was never in the way");
            return;
        }
    }
}

#[tokio::test]
async fn exporting_survives_a_kill_at_every_instant() {
    let bucket = |world: &World| world.folder.path().join("buckets/backups");
    let happens = |world: &World| {
        std::fs::create_dir_all(bucket(world)).unwrap();
        let stored = find::<Snapshot>(&*world.records, "s").unwrap().unwrap();
        let object = Object { bucket: "backups".into(), key: "out-0001.rdb".into() };
        let exported = Snapshot { exports: 1, export: Some(object), ..stored.value };
        world.records.apply(&[replace(&exported, stored.revision).unwrap()]).unwrap();
    };
    killed_everywhere(happens, "s", |world| {
        let observed = world.observed_snapshot("s").unwrap();
        assert_eq!((observed.exports, observed.failure), (1, None));
        let names: Vec<_> =
            std::fs::read_dir(bucket(world)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(names, [bucket(world).join("out-0001.rdb")], "nothing half-written is left");
        assert_eq!(std::fs::read_to_string(&names[0]).unwrap(), DATA.to_string());
    })
    .await;
}

#[tokio::test]
async fn copying_and_deleting_survive_a_kill_at_every_instant() {
    let copies = |world: &World| {
        let source = find::<Snapshot>(&*world.records, "s").unwrap().unwrap().value;
        world.asked(&Snapshot { name: "t".into(), origin: Origin::Copy { of: "s".into() }, ..source });
    };
    killed_everywhere(copies, "t", |world| {
        assert_eq!(world.observed_snapshot("t").unwrap().phase, Phase::Done);
        assert_eq!((world.file("s"), world.file("t")), (DATA.to_string(), DATA.to_string()));
    })
    .await;
    let deletes = |world: &World| {
        let stored = find::<Snapshot>(&*world.records, "s").unwrap().unwrap();
        let deleting = Snapshot { deleting: true, ..stored.value };
        world.records.apply(&[replace(&deleting, stored.revision).unwrap()]).unwrap();
    };
    killed_everywhere(deletes, "s", |world| {
        assert!(
            find::<Snapshot>(&*world.records, "s").unwrap().is_none()
                && world.observed_snapshot("s").is_none()
        );
        assert!(!world.folder.path().join("snapshots/s").exists());
    })
    .await;
}

#[tokio::test]
async fn restoring_survives_a_kill_at_every_instant_and_happens_once() {
    for instant in 0.. {
        let world = World::new();
        let vault = world.tools().vault;
        std::fs::write(vault.incoming("s").unwrap(), DATA.to_string()).unwrap();
        vault.seal("s").unwrap();
        let cluster = Cluster { seed: Some(Seed::Snapshot { name: "s".into() }), ..redis() };
        world.desire(&cluster);
        world.host.fuse.left.store(instant, Ordering::SeqCst);
        let outcome = world.run(&cluster.id).await;
        let was_killed = world.host.fuse.is_spent();
        world.host.fuse.mend();
        if was_killed {
            world.run(&cluster.id).await.unwrap();
        } else {
            outcome.unwrap();
        }
        let data = || world.host.snapshot().values().map(|node| node.data).collect::<Vec<_>>();
        assert_eq!(data(), [DATA]);
        world.host.kill(&cluster.id, "0001");
        advance_to(clock() + 60_000);
        world.run(&cluster.id).await.unwrap();
        assert_eq!(data(), [0], "a node that starts anew is empty");
        if !was_killed {
            assert!(instant > 4, "the fuse was never in the way");
            return;
        }
    }
}

#[tokio::test]
async fn a_deleted_cache_stays_until_its_final_snapshot_is_there() {
    let world = World::new();
    let mut cluster = world.with_snapshot().await;
    cluster.final_snapshot = Some("s".into());
    cluster.delete();
    world.desire(&cluster);
    assert!(matches!(world.tools().turn(&cluster.id).await.unwrap(), Outcome::Until(_)));
    assert_eq!(world.host.snapshot().len(), 1);
    world.finish("s").await.unwrap();
    world.run(&cluster.id).await.unwrap();
    assert!(world.host.snapshot().is_empty() && world.observed(&cluster.id).is_none());
    assert_eq!(world.file("s"), DATA.to_string());
}

#[tokio::test]
async fn what_keeps_failing_is_given_up_and_the_cache_is_available_again() {
    let world = World::new();
    let cluster = world.with_snapshot().await;
    world.host.nodes.lock().unwrap().values_mut().for_each(|node| node.hangs = true);
    assert_eq!(world.tools().snapshot_turn("s", false).await.unwrap(), Turn::Failed);
    assert_eq!(cluster.status(world.observed(&cluster.id).as_ref()), Status::Snapshotting);
    assert_eq!(world.tools().snapshot_turn("s", true).await.unwrap(), Turn::Failed);
    assert_eq!(world.observed_snapshot("s").unwrap().phase, Phase::Failed);
    assert_eq!(cluster.status(world.observed(&cluster.id).as_ref()), Status::Available);
    world.finish("s").await.unwrap();
}

#[tokio::test]
async fn automatic_ones_are_taken_once_in_a_window_and_kept_for_their_days() {
    let world = World::new();
    let mut cluster = redis();
    cluster.snapshot_window = Some("05:00-06:00".into());
    cluster.snapshot_retention_days = 1;
    world.desire(&cluster);
    world.run(&cluster.id).await.unwrap();
    let names = || -> Vec<String> {
        let all = list_all::<Snapshot>(&*world.records).unwrap().into_iter().map(|stored| stored.value);
        all.filter(|snapshot| !snapshot.deleting).map(|snapshot| snapshot.name).collect()
    };
    let day = 24 * HOUR_MS;
    let look = |at_ms: u64| schedule(&*world.records, 20_000 * day + at_ms).unwrap();
    look(4 * HOUR_MS);
    look(6 * HOUR_MS);
    assert!(names().is_empty(), "the window is closed");
    look(5 * HOUR_MS);
    look(5 * HOUR_MS + 60_000);
    let first = format!("automatic.{}-2024-10-04-05-00", cluster.id);
    assert_eq!(names(), std::slice::from_ref(&first));
    look(day + 5 * HOUR_MS);
    assert_eq!(names().len(), 1, "the cache is still giving its data");
    world.finish(&first).await.unwrap();
    look(day + 5 * HOUR_MS + 60_000);
    assert_eq!(names().len(), 1, "the first is over, the second is there");
    assert_ne!(names()[0], first);
}
