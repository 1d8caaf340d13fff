//! One look at all caches with deliveries: what is to be asked for, what is new in it, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::Source;
use super::file::append;
use crate::host::local::LogFrom;
use crate::host::{HostError, NodeKey};
use crate::resource::cluster::Cluster;
use crate::resource::log_delivery::{
    InForce, LogDelivery, LogType, ObservedDeliveries, Position, SlowEntry, engine_line, slow_line,
};
use crate::resource::node::Observed;
use crate::state::{Change, Expect, Records, StateError, find, list_all, put_any, remove};

/// Longest failure text that is kept.
const FAILURE_CHARS_MAX: usize = 300;

/// A log of a node that is to be delivered.
pub(super) struct Target {
    key: NodeKey,
    log: LogType,
    delivery: LogDelivery,
    path: Vec<String>,
    run_id: String,
    created_ms: u64,
    position: Option<Position>,
}

/// Lines that are new, and how far they go.
pub(super) struct Fetched {
    lines: Vec<String>,
    position: Position,
}

/// What came of a target.
#[derive(Default)]
pub(super) struct Delivered {
    cluster: String,
    node: String,
    log: Option<(LogType, LogDelivery)>,
    /// How far it is now, or why not.
    outcome: Option<Result<Position, String>>,
}

/// What is known of all deliveries, before and after a round.
pub(super) struct Known {
    before: BTreeMap<String, ObservedDeliveries>,
    after: BTreeMap<String, ObservedDeliveries>,
    /// Deliveries of which something was noted in this round.
    noted: BTreeSet<(String, LogType)>,
}

/// What is to be asked for, and what is known.
pub(super) fn targets(
    records: &dyn Records,
    clusters: &[Cluster],
) -> Result<(Vec<Target>, Known), StateError> {
    let all = list_all::<ObservedDeliveries>(records)?.into_iter().map(|stored| stored.value);
    let before: BTreeMap<String, ObservedDeliveries> =
        all.map(|observed| (observed.cluster.clone(), observed)).collect();
    let mut targets = Vec::new();
    let mut after = BTreeMap::new();
    for cluster in clusters {
        let fresh = || ObservedDeliveries { cluster: cluster.id.clone(), ..ObservedDeliveries::default() };
        let mut known = before.get(&cluster.id).cloned().unwrap_or_else(fresh);
        // A log that nobody asks for any more is forgotten, and so is a node that is gone.
        known.logs.retain(|log, _| cluster.log_delivery.contains_key(log));
        let observed = find::<Observed>(records, &cluster.id)?.map(|stored| stored.value);
        let nodes = observed.map(|observed| observed.nodes).unwrap_or_default();
        known.positions.retain(|node, _| nodes.contains_key(node));
        for positions in known.positions.values_mut() {
            positions.retain(|log, _| cluster.log_delivery.contains_key(log));
        }
        for (log, delivery) in &cluster.log_delivery {
            for (node, seen) in &nodes {
                let Some(process) = &seen.process else { continue };
                targets.push(Target {
                    key: NodeKey { cluster: cluster.id.clone(), node: node.clone() },
                    log: *log,
                    delivery: delivery.clone(),
                    path: delivery.destination.path(cluster.engine, &cluster.id, node, *log),
                    run_id: process.run_id.clone(),
                    created_ms: seen.created_ms,
                    position: known.positions.get(node).and_then(|positions| positions.get(log)).cloned(),
                });
            }
        }
        after.insert(cluster.id.clone(), known);
    }
    Ok((targets, Known { before, after, noted: BTreeSet::new() }))
}

impl Target {
    /// Asks the node for what is new.
    pub(super) async fn fetch(&self, host: &impl Source) -> Result<Fetched, HostError> {
        let mut position = self.position.clone().unwrap_or_default();
        match self.log {
            LogType::SlowLog => {
                let entries = host.slow_log(&self.key).await?;
                let lines = self.slow_lines(entries, &mut position);
                Ok(Fetched { lines, position })
            }
            LogType::EngineLog => {
                let from = match &self.position {
                    Some(position) => LogFrom::At { file: position.file, offset: position.offset },
                    None if self.created_ms >= self.delivery.since_ms => LogFrom::Beginning,
                    None => LogFrom::End,
                };
                let piece = host.log_since(&self.key, from).await?;
                (position.file, position.offset) = (piece.file, piece.offset);
                let (cluster, node, format) = (&self.key.cluster, &self.key.node, self.delivery.format);
                let line = |line: &String| engine_line(line, cluster, node, format);
                Ok(Fetched { lines: piece.lines.iter().filter_map(line).collect(), position })
            }
        }
    }

    /// Lines of entries that were not delivered yet, the oldest first.
    fn slow_lines(&self, mut entries: Vec<SlowEntry>, position: &mut Position) -> Vec<String> {
        if position.run_id != self.run_id {
            *position = Position { run_id: self.run_id.clone(), ..Position::default() };
        }
        let since_s = i64::try_from(self.delivery.since_ms / 1000).unwrap_or(i64::MAX);
        entries.retain(|entry| entry.id >= position.slow_next && entry.at_s >= since_s);
        entries.sort_by_key(|entry| entry.id);
        if let Some(last) = entries.last() {
            position.slow_next = last.id + 1;
        }
        let line = |entry| slow_line(entry, &self.key.cluster, &self.key.node, self.delivery.format);
        entries.iter().map(line).collect()
    }

    /// Writes what was fetched. May block.
    pub(super) fn write(self, logs: &Path, fetched: Result<Fetched, HostError>) -> Delivered {
        let mut delivered = Delivered {
            cluster: self.key.cluster.clone(),
            node: self.key.node.clone(),
            log: Some((self.log, self.delivery)),
            outcome: None,
        };
        // A node that does not answer now is asked again; that is no fault of the destination.
        let Ok(fetched) = fetched else { return delivered };
        let path: PathBuf = self.path.iter().fold(logs.to_owned(), |path, part| path.join(part));
        delivered.outcome = Some(match append(&path, &fetched.lines) {
            Ok(()) => Ok(fetched.position),
            Err(error) => {
                let text = format!("The destination cannot be written: {error}");
                Err(text.chars().take(FAILURE_CHARS_MAX).collect())
            }
        });
        delivered
    }
}

impl Known {
    /// Notes what came of a target.
    pub(super) fn note(&mut self, delivered: Delivered) {
        let Delivered { cluster, node, log: Some((log, delivery)), outcome: Some(outcome) } = delivered
        else {
            return;
        };
        let Some(known) = self.after.get_mut(&cluster) else { return };
        let failure = outcome.as_ref().err().cloned();
        // One node of several that fails makes the delivery one that fails.
        if self.noted.insert((cluster, log)) || failure.is_some() {
            known.logs.insert(log, InForce { delivery, failure });
        }
        if let Ok(position) = outcome {
            known.positions.entry(node).or_default().insert(log, position);
        }
    }

    /// Records what changed, in one transaction.
    pub(super) fn store(self, records: &dyn Records) -> Result<(), StateError> {
        let mut changes: Vec<Change> = Vec::new();
        for (cluster, known) in &self.after {
            if self.before.get(cluster) != Some(known) {
                changes.push(put_any(known)?);
            }
        }
        let gone: BTreeSet<&String> = self.before.keys().filter(|id| !self.after.contains_key(*id)).collect();
        changes.extend(gone.into_iter().map(|id| remove::<ObservedDeliveries>(id, Expect::Anything)));
        if changes.is_empty() { Ok(()) } else { records.apply(&changes).map(drop) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::cluster::tests::{redis, settled};
    use crate::resource::log_delivery::{Destination, Format};
    use crate::state::{FileRecords, create};

    fn delivery(stream: &str) -> LogDelivery {
        let destination = Destination::Firehose { stream: stream.into() };
        LogDelivery { destination, format: Format::Text, since_ms: 100_000 }
    }

    fn entry(id: u64, at_s: i64) -> SlowEntry {
        let command = vec!["GET".to_owned()];
        SlowEntry { id, at_s, duration_us: 1, command, client: "c".into(), client_name: String::new() }
    }

    fn one_target(records: &FileRecords, cluster: &Cluster) -> (Target, Known) {
        let (mut targets, known) = targets(records, std::slice::from_ref(cluster)).unwrap();
        assert_eq!(targets.len(), 1);
        (targets.pop().unwrap(), known)
    }

    fn state(records: &FileRecords, cluster: &Cluster) -> Option<ObservedDeliveries> {
        find::<ObservedDeliveries>(records, &cluster.id).unwrap().map(|stored| stored.value)
    }

    #[test]
    fn each_entry_is_delivered_once_and_failures_are_told_until_they_end() {
        let records = FileRecords::with_backend(redb::backends::InMemoryBackend::new()).unwrap();
        let mut cluster = redis();
        cluster.log_delivery.insert(LogType::SlowLog, delivery("s"));
        records.apply(&[create(&settled(&cluster)).unwrap()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let round = |cluster: &Cluster, entries: &[SlowEntry]| {
            let (target, mut known) = one_target(&records, cluster);
            let mut position = target.position.clone().unwrap_or_default();
            let lines = target.slow_lines(entries.to_vec(), &mut position);
            known.note(target.write(folder.path(), Ok(Fetched { lines, position })));
            known.store(&records).unwrap();
        };
        let written = |stream: &str| {
            let text = std::fs::read_to_string(folder.path().join("kinesis-firehose").join(stream)).unwrap();
            text.lines().map(|line| line.split(',').nth(2).unwrap().to_owned()).collect::<Vec<_>>()
        };
        round(&cluster, &[entry(2, 101), entry(1, 100), entry(0, 99)]);
        assert_eq!(written("s"), ["1", "2"], "what was before it was asked for stays where it is");
        round(&cluster, &[entry(3, 101), entry(2, 101)]);
        assert_eq!(written("s"), ["1", "2", "3"]);

        // Killed after the lines were written and before that was recorded: they come once more, and none is left out.
        let (target, _) = one_target(&records, &cluster);
        let mut position = target.position.clone().unwrap_or_default();
        let lines = target.slow_lines(vec![entry(4, 102)], &mut position);
        drop(target.write(folder.path(), Ok(Fetched { lines, position })));
        round(&cluster, &[entry(5, 102), entry(4, 102)]);
        assert_eq!(written("s"), ["1", "2", "3", "4", "4", "5"]);

        // A folder in the place of the file: nothing can be written, and nothing is lost.
        std::fs::create_dir(folder.path().join("kinesis-firehose/t")).unwrap();
        cluster.log_delivery.insert(LogType::SlowLog, delivery("t"));
        round(&cluster, &[entry(6, 102)]);
        let failure = state(&records, &cluster).unwrap().logs[&LogType::SlowLog].failure.clone();
        assert!(failure.unwrap().contains("cannot be written"));
        std::fs::remove_dir(folder.path().join("kinesis-firehose/t")).unwrap();
        round(&cluster, &[entry(6, 102)]);
        assert_eq!(written("t"), ["6"]);
        assert_eq!(state(&records, &cluster).unwrap().logs[&LogType::SlowLog].failure, None);

        let (_, known) = targets(&records, &[]).unwrap();
        known.store(&records).unwrap();
        assert_eq!(state(&records, &cluster), None, "it is forgotten with its cluster");
    }
}
