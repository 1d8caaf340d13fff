//! Metrics on disk: a row per node and minute, joined to rows of five minutes after a day, gone after fifteen days.
//!
//! A row holds all metrics of its node. A commit is one transaction of the file, so a crash leaves whole rows. Per node
//! there are at most 1440 rows of a minute and 4320 of five, a few hundred bytes each.

use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::state::StateError;

/// (node, resolution in minutes, minute) to the row.
const ROWS: TableDefinition<(&str, u8, u64), &[u8]> = TableDefinition::new("rows");
/// Memory that the file may use to keep pages.
const CACHE_BYTES: usize = 8 << 20;
/// How long rows of one minute are kept, in minutes.
pub(super) const FINE_MINUTES: u64 = 24 * 60;
/// Minutes in a joined row.
const COARSE: u8 = 5;
/// How long joined rows are kept, in minutes.
const KEPT_MINUTES: u64 = 15 * 24 * 60;
/// Rows that one sweep joins or drops: the next sweep goes on.
const SWEPT_MAX: usize = 20_000;

/// What is known of a metric for some time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Samples.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Point {
    /// One sample.
    pub fn of(value: f64) -> Point {
        Point { count: 1.0, sum: value, min: value, max: value }
    }

    /// Both together.
    pub fn join(self, other: Point) -> Point {
        Point {
            count: self.count + other.count,
            sum: self.sum + other.sum,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }
}

/// The file.
#[derive(Debug)]
pub struct MetricStore {
    database: Database,
}

fn failed(error: impl Into<redb::Error>) -> StateError {
    StateError::Failed(format!("the file of metrics: {}", error.into()))
}

impl MetricStore {
    /// Opens or makes `metrics.redb` in the folder.
    ///
    /// # Errors
    /// If the disk fails or the file is none.
    pub fn open(folder: &Path) -> Result<MetricStore, StateError> {
        let path = folder.join("metrics.redb");
        let made = Database::builder().set_cache_size(CACHE_BYTES).create(path);
        MetricStore::prepare(made.map_err(|error| match error {
            // The service before lets go of the folder a moment before its last round of samples ends.
            redb::DatabaseError::DatabaseAlreadyOpen => {
                StateError::InUse { folder: folder.display().to_string(), pid: "unknown".to_owned() }
            }
            other => failed(other),
        })?)
    }

    /// A store in memory, for tests.
    ///
    /// # Errors
    /// None, in fact.
    pub fn in_memory() -> Result<MetricStore, StateError> {
        let backend = redb::backends::InMemoryBackend::new();
        MetricStore::prepare(Database::builder().create_with_backend(backend).map_err(failed)?)
    }

    fn prepare(database: Database) -> Result<MetricStore, StateError> {
        let write = database.begin_write().map_err(failed)?;
        write.open_table(ROWS).map_err(failed)?;
        write.commit().map_err(failed)?;
        Ok(MetricStore { database })
    }

    /// Adds the metrics of nodes in a minute, all in one transaction.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn add(&self, minute: u64, nodes: &[(String, Vec<(u8, f64)>)]) -> Result<(), StateError> {
        let write = self.database.begin_write().map_err(failed)?;
        {
            let mut rows = write.open_table(ROWS).map_err(failed)?;
            for (node, metrics) in nodes {
                let points: Vec<(u8, Point)> = metrics.iter().map(|(at, v)| (*at, Point::of(*v))).collect();
                rows.insert((node.as_str(), 1, minute), encode(&points).as_slice()).map_err(failed)?;
            }
        }
        write.commit().map_err(failed)
    }

    /// The points of a metric of a node from a minute until before another, in order: (minute, point).
    ///
    /// # Errors
    /// If the disk fails.
    pub fn points(
        &self,
        node: &str,
        metric: u8,
        from: u64,
        to: u64,
    ) -> Result<Vec<(u64, Point)>, StateError> {
        let read = self.database.begin_read().map_err(failed)?;
        let rows = read.open_table(ROWS).map_err(failed)?;
        let mut found = Vec::new();
        for resolution in [COARSE, 1] {
            for row in
                rows.range((node, resolution, from)..(node, resolution, to.max(from))).map_err(failed)?
            {
                let (key, value) = row.map_err(failed)?;
                let point = Row(value.value()).find(|(at, _)| *at == metric);
                found.extend(point.map(|(_, point)| (key.value().2, point)));
            }
        }
        found.sort_by_key(|(minute, _)| *minute);
        Ok(found)
    }

    /// The newest row of a node that is not older than a minute.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn newest(&self, node: &str, from: u64) -> Result<Vec<(u8, f64)>, StateError> {
        let read = self.database.begin_read().map_err(failed)?;
        let rows = read.open_table(ROWS).map_err(failed)?;
        let newest = rows.range((node, 1, from)..=(node, 1, u64::MAX)).map_err(failed)?.next_back();
        let Some(row) = newest else { return Ok(Vec::new()) };
        let (_, value) = row.map_err(failed)?;
        Ok(decode(value.value()).into_iter().map(|(at, point)| (at, point.sum / point.count)).collect())
    }

    /// Joins rows that are older than a day, and drops those that are older than fifteen.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn sweep(&self, now: u64) -> Result<(), StateError> {
        let write = self.database.begin_write().map_err(failed)?;
        {
            let mut rows = write.open_table(ROWS).map_err(failed)?;
            // Whole groups of five only: a row that is joined is complete.
            let fine_from = now.saturating_sub(FINE_MINUTES) / u64::from(COARSE) * u64::from(COARSE);
            let kept_from = now.saturating_sub(KEPT_MINUTES);
            let mut old = Vec::new();
            for row in rows.iter().map_err(failed)? {
                let (key, value) = row.map_err(failed)?;
                let (node, resolution, minute) = key.value();
                let is_old = if resolution == 1 { minute < fine_from } else { minute < kept_from };
                if is_old {
                    old.push((node.to_owned(), resolution, minute, decode(value.value())));
                }
                if old.len() == SWEPT_MAX {
                    break;
                }
            }
            for (node, resolution, minute, points) in old {
                rows.remove((node.as_str(), resolution, minute)).map_err(failed)?;
                if resolution == COARSE || minute < kept_from {
                    continue;
                }
                let key = (node.as_str(), COARSE, minute / u64::from(COARSE) * u64::from(COARSE));
                let mut joined =
                    rows.get(key).map_err(failed)?.map(|row| decode(row.value())).unwrap_or_default();
                for (at, point) in points {
                    match joined.iter_mut().find(|(metric, _)| *metric == at) {
                        Some((_, present)) => *present = present.join(point),
                        None => joined.push((at, point)),
                    }
                }
                rows.insert(key, encode(&joined).as_slice()).map_err(failed)?;
            }
        }
        write.commit().map_err(failed)
    }
}

/// Marks one sample that is zero, which needs no further bytes: most are.
const ZERO: u8 = 0x80;

/// A row: per metric its number, then the count and, if it was more than one sample, three numbers, else one.
fn encode(points: &[(u8, Point)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (metric, point) in points {
        if *point == Point::of(0.0) {
            bytes.push(metric | ZERO);
            continue;
        }
        bytes.extend([*metric, point.count as u8]);
        bytes.extend(point.sum.to_le_bytes());
        if point.count as u8 != 1 {
            bytes.extend(point.min.to_le_bytes());
            bytes.extend(point.max.to_le_bytes());
        }
    }
    bytes
}

/// The opposite; a row that ends too soon gives what stands before. Who wants one metric reads no further than that.
struct Row<'a>(&'a [u8]);

impl Row<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn float(&mut self) -> Option<f64> {
        let (first, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(f64::from_le_bytes(*first))
    }
}

impl Iterator for Row<'_> {
    type Item = (u8, Point);

    fn next(&mut self) -> Option<(u8, Point)> {
        let metric = self.byte()?;
        if metric & ZERO != 0 {
            return Some((metric & !ZERO, Point::of(0.0)));
        }
        let count = self.byte()?;
        let sum = self.float()?;
        if count == 1 {
            return Some((metric, Point::of(sum)));
        }
        let (min, max) = (self.float()?, self.float()?);
        Some((metric, Point { count: f64::from(count), sum, min, max }))
    }
}

fn decode(bytes: &[u8]) -> Vec<(u8, Point)> {
    Row(bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_and_are_joined_after_a_day() {
        let store = MetricStore::in_memory().unwrap();
        let start = 30_000_000;
        for minute in 0..10 {
            let metrics = vec![(0, minute as f64), (1, 0.0)];
            store.add(start + minute, &[("a/0001".to_owned(), metrics)]).unwrap();
        }
        let points = store.points("a/0001", 0, start, start + 10).unwrap();
        assert_eq!(points.len(), 10);
        assert_eq!(points[3], (start + 3, Point::of(3.0)));
        store.sweep(start + FINE_MINUTES + 5).unwrap();
        let points = store.points("a/0001", 0, start, start + 10).unwrap();
        assert_eq!(points.len(), 6, "five were joined to one");
        assert_eq!(points[0], (start, Point { count: 5.0, sum: 10.0, min: 0.0, max: 4.0 }));
        assert_eq!(store.points("b/0001", 0, start, start + 10).unwrap(), []);
        store.sweep(start + KEPT_MINUTES + 60).unwrap();
        assert_eq!(store.points("a/0001", 0, 0, u64::MAX).unwrap(), []);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            let _ = decode(&bytes);
        }
    }
}
