//! Deliveries of both logs, killed at every instant: nothing is left out, and nothing comes more than once for each kill.

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::*;
use crate::resource::cluster::tests::{redis, settled};
use crate::resource::log_delivery::{Destination, Format, LogDelivery, LogType};
use crate::state::mortal::{Fuse, MortalRecords};
use crate::state::{FileRecords, create, find, replace};

/// Entries of the slow log, and lines of the other one.
const ENTRIES: u64 = 3;
const LINES: [&str; 3] = [
    "1:M 30 Nov 2026 00:00:00.000 * one",
    "1:M 30 Nov 2026 00:00:01.000 * two",
    "1:M 30 Nov 2026 00:00:02.000 * three",
];

/// A node that has one more entry and one more line each time it is asked, and outlives the service.
struct Logs {
    fuse: Arc<Fuse>,
    asked: Mutex<(usize, usize)>,
}

impl Logs {
    fn one_more(&self, which: impl FnOnce(&mut (usize, usize)) -> &mut usize) -> Result<usize, HostError> {
        if self.fuse.burnt() {
            return Err(HostError::io("asking a node")(std::io::Error::other("killed")));
        }
        let mut asked = self.asked.lock().unwrap();
        let asked = which(&mut asked);
        *asked = (*asked + 1).min(LINES.len());
        Ok(*asked)
    }
}

impl Source for Logs {
    async fn slow_log(&self, _key: &NodeKey) -> Result<Vec<SlowEntry>, HostError> {
        let there = self.one_more(|asked| &mut asked.0)?;
        let entry = |id: u64| SlowEntry {
            id,
            at_s: 1_000,
            duration_us: 1,
            command: vec!["GET".into()],
            client: "c".into(),
            client_name: String::new(),
        };
        Ok((0..ENTRIES).take(there).map(entry).collect())
    }

    async fn log_since(&self, _key: &NodeKey, from: LogFrom) -> Result<LogPiece, HostError> {
        let there = self.one_more(|asked| &mut asked.1)?;
        let from = match from {
            LogFrom::At { offset, .. } => usize::try_from(offset).unwrap(),
            LogFrom::Beginning | LogFrom::End => 0,
        };
        let lines: Vec<String> =
            LINES[from.min(there)..there].iter().map(|line| (*line).to_owned()).collect();
        Ok(LogPiece { file: 1, offset: there as u64, lines })
    }
}

struct World {
    records: Arc<FileRecords>,
    source: Arc<Logs>,
    folder: tempfile::TempDir,
}

impl World {
    /// A cache with deliveries of both logs, of which nothing was delivered yet.
    fn new() -> World {
        let records = Arc::new(FileRecords::with_backend(redb::backends::InMemoryBackend::new()).unwrap());
        let mut cluster = redis();
        for (log, stream) in [(LogType::SlowLog, "slow"), (LogType::EngineLog, "engine")] {
            let destination = Destination::Firehose { stream: stream.into() };
            cluster.log_delivery.insert(log, LogDelivery { destination, format: Format::Text, since_ms: 0 });
        }
        records.apply(&[create(&cluster).unwrap(), create(&settled(&cluster)).unwrap()]).unwrap();
        let source = Arc::new(Logs { fuse: Arc::default(), asked: Mutex::default() });
        World { records, source, folder: tempfile::tempdir().unwrap() }
    }

    /// Some rounds of one life of the service.
    async fn rounds(&self) -> Result<(), StateError> {
        let records = MortalRecords::new(Arc::clone(&self.records), Arc::clone(&self.source.fuse));
        let (host, logs) = (Arc::clone(&self.source), self.folder.path().to_owned());
        let delivery = Delivery { records, host, logs };
        for _ in 0..LINES.len() + 1 {
            let (clusters, _) = delivery.with_records(with_deliveries).await?;
            delivery.round(clusters).await?;
        }
        Ok(())
    }

    /// Everything that was written to a stream, the part that was put aside first.
    fn written(&self, stream: &str) -> Vec<String> {
        let read = |name: String| {
            std::fs::read_to_string(self.folder.path().join("kinesis-firehose").join(name))
                .unwrap_or_default()
        };
        let text = read(format!("{stream}.1")) + &read(stream.to_owned());
        text.lines().map(str::to_owned).collect()
    }

    fn known(&self) -> Option<ObservedDeliveries> {
        find::<ObservedDeliveries>(&*self.records, &redis().id).unwrap().map(|stored| stored.value)
    }
}

#[tokio::test]
async fn deliveries_survive_a_kill_at_every_instant() {
    for instant in 0.. {
        let world = World::new();
        world.source.fuse.left.store(instant, Ordering::SeqCst);
        let outcome = world.rounds().await;
        let was_killed = world.source.fuse.is_spent();
        if was_killed {
            world.source.fuse.mend();
            world.rounds().await.unwrap();
        } else {
            outcome.unwrap();
        }
        let number = |line: &String| line.split(',').nth(2).unwrap().parse::<u64>().unwrap();
        let mut slow: Vec<u64> = world.written("slow").iter().map(number).collect();
        let mut engine = world.written("engine");
        assert!(slow.is_sorted(), "killed at {instant}: {slow:?} {engine:?}");
        assert!(slow.len() >= 3 && engine.len() >= 3, "killed at {instant}: {slow:?} {engine:?}");
        let twice = (slow.len() - 3, engine.len() - LINES.len());
        assert!(
            twice.0 <= 1 && twice.1 <= 1 && (was_killed || twice == (0, 0)),
            "killed at {instant}: {twice:?}"
        );
        slow.dedup();
        engine.dedup();
        assert_eq!(slow, [0, 1, 2], "killed at {instant}");
        let ends: Vec<&str> = engine.iter().filter_map(|line| line.rsplit(' ').next()).collect();
        assert_eq!(ends, ["one", "two", "three"], "killed at {instant}");
        let known = world.known().unwrap();
        assert!(known.logs.values().all(|in_force| in_force.failure.is_none()) && known.logs.len() == 2);
        if !was_killed {
            assert!(instant > 8, "the fuse was never in the way");
            return;
        }
    }
}

#[tokio::test]
async fn an_end_of_deliveries_survives_a_kill_at_every_instant() {
    for instant in 0.. {
        let world = World::new();
        world.rounds().await.unwrap();
        let stored = find::<Cluster>(&*world.records, &redis().id).unwrap().unwrap();
        let ended = Cluster { log_delivery: Default::default(), ..stored.value };
        world.records.apply(&[replace(&ended, stored.revision).unwrap()]).unwrap();
        world.source.fuse.left.store(instant, Ordering::SeqCst);
        let outcome = world.rounds().await;
        let was_killed = world.source.fuse.is_spent();
        if was_killed {
            world.source.fuse.mend();
            world.rounds().await.unwrap();
        } else {
            outcome.unwrap();
        }
        assert_eq!(world.known(), None, "what nobody asks for any more is forgotten");
        assert_eq!(world.written("engine").len(), LINES.len());
        if !was_killed {
            assert!(instant >= 2, "the fuse was never in the way");
            return;
        }
    }
}
