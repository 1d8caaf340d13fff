//! Values of a metric: which nodes its dimensions name, and what their rows come to in each period.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::{MetricStore, Point, catalogue};
use crate::resource::cluster::Cluster;
use crate::resource::group::Group;
use crate::resource::node::Observed;
use crate::state::{Records, StateError, find_shared};

/// Metrics that also stand under ReplicationGroupId, alone and with the Role and the NodeGroupId: those that scaling goes
/// by.
pub const OF_GROUPS: &[&str] = &[
    "EngineCPUUtilization",
    "DatabaseMemoryUsagePercentage",
    "DatabaseMemoryUsageCountedForEvictPercentage",
    "DatabaseCapacityUsagePercentage",
    "ReplicationLag",
];

/// A statistic of the values of a period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Statistic {
    /// Their mean.
    Average,
    /// Their sum.
    Sum,
    /// The least.
    Minimum,
    /// The greatest.
    Maximum,
    /// How many they are.
    SampleCount,
    /// The value that so many per cent of them do not exceed.
    Percentile(f64),
}

impl Statistic {
    /// The statistic of CloudWatch's name: a word, or `p99.9`.
    pub fn parse(name: &str) -> Option<Statistic> {
        Some(match name {
            "Average" => Statistic::Average,
            "Sum" => Statistic::Sum,
            "Minimum" => Statistic::Minimum,
            "Maximum" => Statistic::Maximum,
            "SampleCount" => Statistic::SampleCount,
            "Median" => Statistic::Percentile(50.0),
            _ => {
                let digits = name.strip_prefix('p')?;
                let is_number = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
                let per_cent = digits.parse::<f64>().ok().filter(|_| is_number)?;
                return (0.0..=100.0).contains(&per_cent).then_some(Statistic::Percentile(per_cent));
            }
        })
    }
}

/// All that is known of a period.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    point: Point,
    /// Single samples; none if some of them were joined and differ: then there are no percentiles any more.
    samples: Option<Vec<f64>>,
}

impl Bucket {
    fn of(point: Point) -> Bucket {
        Bucket { point, samples: samples(point) }
    }

    fn add(&mut self, point: Point) {
        self.point = self.point.join(point);
        self.samples = self.samples.take().zip(samples(point)).map(|(mut all, more)| {
            all.extend(more);
            all
        });
    }

    /// A statistic, if it is known.
    pub fn statistic(&self, statistic: Statistic) -> Option<f64> {
        let point = self.point;
        match statistic {
            Statistic::Average => Some(point.sum / point.count),
            Statistic::Sum => Some(point.sum),
            Statistic::Minimum => Some(point.min),
            Statistic::Maximum => Some(point.max),
            Statistic::SampleCount => Some(point.count),
            Statistic::Percentile(per_cent) => {
                self.samples.as_ref().and_then(|all| percentile(all, per_cent))
            }
        }
    }
}

fn samples(point: Point) -> Option<Vec<f64>> {
    // One sample, or several that are alike. A row has at most 255.
    (point.min.total_cmp(&point.max).is_eq()).then(|| vec![point.max; (point.count as usize).clamp(1, 255)])
}

/// Between the two nearest samples, in proportion.
fn percentile(samples: &[f64], per_cent: f64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = per_cent / 100.0 * sorted.len().saturating_sub(1) as f64;
    let (below, above) = (sorted.get(place.floor() as usize)?, sorted.get(place.ceil() as usize)?);
    Some(below + (above - below) * place.fract())
}

/// Values of a metric by the beginning of their period, in Unix seconds.
///
/// # Errors
/// If a disk fails.
pub fn values(
    records: &dyn Records,
    store: &MetricStore,
    metric: &str,
    dimensions: &[(String, String)],
    range: Range<u64>,
    period: u64,
) -> Result<BTreeMap<u64, Bucket>, StateError> {
    let mut joined: BTreeMap<u64, Bucket> = BTreeMap::new();
    let Some((number, _)) = catalogue::find(metric) else { return Ok(joined) };
    let (from, to) = (range.start.div_ceil(60), range.end.div_ceil(60));
    let (nodes, role) = nodes(records, metric, dimensions)?;
    for node in nodes {
        let roles = match role {
            Some(role) => role.minutes(store, &node, from, to)?,
            None => BTreeSet::new(),
        };
        for (minute, point) in store.points(&node, number, from, to)? {
            if role.is_some() && !roles.contains(&minute) {
                continue;
            }
            let begin = minute * 60 / period * period;
            joined.entry(begin).and_modify(|bucket| bucket.add(point)).or_insert_with(|| Bucket::of(point));
        }
    }
    Ok(joined)
}

/// What a node of a group was, by its own metric at the same time: roles change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Primary,
    Replica,
}

impl Role {
    /// The rows of the node in which it had the role all the time.
    fn minutes(
        self,
        store: &MetricStore,
        node: &str,
        from: u64,
        to: u64,
    ) -> Result<BTreeSet<u64>, StateError> {
        let Some((number, _)) = catalogue::find("IsPrimary") else { return Ok(BTreeSet::new()) };
        let wanted = if self == Role::Primary { 1.0 } else { 0.0 };
        let rows = store.points(node, number, from, to)?;
        let fits =
            |point: &Point| [point.min, point.max].iter().all(|value| value.total_cmp(&wanted).is_eq());
        Ok(rows.into_iter().filter(|(_, point)| fits(point)).map(|(minute, _)| minute).collect())
    }
}

/// The nodes that dimensions name, also of a cluster that is gone if the node is named, and the role that counts.
/// `CacheClusterId` with `CacheNodeId` is a node, without it all nodes of the cluster together.
fn nodes(
    records: &dyn Records,
    metric: &str,
    dimensions: &[(String, String)],
) -> Result<(Vec<String>, Option<Role>), StateError> {
    let get =
        |wanted: &str| dimensions.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let only = |known: &[&str]| dimensions.iter().all(|(name, _)| known.contains(&name.as_str()));
    if let Some(cluster) = get("CacheClusterId").filter(|_| only(&["CacheClusterId", "CacheNodeId"])) {
        return Ok(match get("CacheNodeId") {
            Some(node) => (vec![format!("{cluster}/{node}")], None),
            None => (nodes_of(records, cluster)?, None),
        });
    }
    let nothing = Ok((Vec::new(), None));
    let known = only(&["ReplicationGroupId", "NodeGroupId", "Role"]) && OF_GROUPS.contains(&metric);
    let Some(group) = get("ReplicationGroupId").filter(|_| known) else { return nothing };
    let role = match get("Role") {
        None => None,
        Some("Primary") => Some(Role::Primary),
        Some("Replica") => Some(Role::Replica),
        Some(_) => return nothing,
    };
    let Some(group) = find_shared::<Group>(records, group)?.map(|stored| stored.value) else {
        return nothing;
    };
    let wanted = get("NodeGroupId");
    let shards = group.shards.iter().filter(|(id, _)| wanted.is_none_or(|wanted| wanted == id.as_str()));
    let mut all = Vec::new();
    for member in shards.flat_map(|(_, shard)| &shard.members) {
        if find_shared::<Cluster>(records, member)?.is_some() {
            all.extend(nodes_of(records, member)?);
        }
    }
    Ok((all, role))
}

fn nodes_of(records: &dyn Records, cluster: &str) -> Result<Vec<String>, StateError> {
    let Some(observed) = find_shared::<Observed>(records, cluster)? else { return Ok(Vec::new()) };
    Ok(observed.value.nodes.keys().map(|node| format!("{cluster}/{node}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_have_names() {
        assert_eq!(Statistic::parse("p99.9"), Some(Statistic::Percentile(99.9)));
        assert_eq!(Statistic::parse("Median"), Some(Statistic::Percentile(50.0)));
        for bad in ["", "p", "p101", "p-1", "pNaN", "p1e1", "average", "tm90", "p1.2.3"] {
            assert_eq!(Statistic::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn percentiles_lie_between_samples_and_end_where_samples_were_joined() {
        let mut bucket = Bucket::of(Point::of(1.0));
        for value in 2..=101 {
            bucket.add(Point::of(f64::from(value)));
        }
        let p = |bucket: &Bucket, per_cent| bucket.statistic(Statistic::Percentile(per_cent));
        assert_eq!(
            (p(&bucket, 0.0), p(&bucket, 50.0), p(&bucket, 100.0)),
            (Some(1.0), Some(51.0), Some(101.0))
        );
        assert_eq!(p(&bucket, 99.5), Some(100.5));
        assert_eq!(bucket.statistic(Statistic::Average), Some(51.0));
        bucket.add(Point { count: 5.0, sum: 10.0, min: 2.0, max: 2.0 });
        assert!(p(&bucket, 50.0).is_some(), "five that are alike are five samples");
        bucket.add(Point { count: 5.0, sum: 10.0, min: 1.0, max: 3.0 });
        assert_eq!(p(&bucket, 50.0), None);
        assert_eq!(bucket.statistic(Statistic::SampleCount), Some(111.0));
    }

    #[test]
    fn roles_count_by_the_minute() {
        use crate::resource::group::Shard;
        use crate::state::{FileRecords, create};
        let records = FileRecords::with_backend(redb::backends::InMemoryBackend::new()).unwrap();
        let store = MetricStore::in_memory().unwrap();
        let (primary, _) = catalogue::find("IsPrimary").unwrap();
        let (cpu, _) = catalogue::find("EngineCPUUtilization").unwrap();
        let mut members = Vec::new();
        for id in ["g-001", "g-002"] {
            let cluster = Cluster { id: id.into(), ..crate::resource::cluster::tests::redis() };
            let observed = crate::resource::cluster::tests::settled(&cluster);
            records.apply(&[create(&cluster).unwrap(), create(&observed).unwrap()]).unwrap();
            members.push(id.to_owned());
        }
        let group = Group {
            id: "g".into(),
            description: String::new(),
            generation: 1,
            deleting: false,
            created_ms: 1,
            shards: [("0001".to_owned(), Shard { members, ..Shard::default() })].into(),
            automatic_failover: true,
            multi_az: false,
            at_rest_encryption: false,
            kms_key: None,
            snapshotting_cluster: None,
            user_group: None,
            snapshots: 0,
            auth_generation: 0,
            replication_password: String::new(),
        };
        records.apply(&[create(&group).unwrap()]).unwrap();
        for (minute, first) in [(100, 1.0), (101, 0.0)] {
            let row =
                |id: &str, is_primary, busy| (format!("{id}/0001"), vec![(primary, is_primary), (cpu, busy)]);
            store.add(minute, &[row("g-001", first, 10.0), row("g-002", 1.0 - first, 20.0)]).unwrap();
        }
        let ask = |metric: &str, dimensions: &[(&str, &str)]| {
            let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let dimensions: Vec<_> = dimensions.iter().map(own).collect();
            let found = values(&records, &store, metric, &dimensions, 0..100_000, 60).unwrap();
            found.values().filter_map(|bucket| bucket.statistic(Statistic::Sum)).collect::<Vec<_>>()
        };
        let group = ("ReplicationGroupId", "g");
        assert_eq!(ask("EngineCPUUtilization", &[group]), [30.0, 30.0]);
        assert_eq!(ask("EngineCPUUtilization", &[group, ("Role", "Primary")]), [10.0, 20.0]);
        assert_eq!(ask("EngineCPUUtilization", &[("Role", "Replica"), group]), [20.0, 10.0]);
        assert_eq!(ask("EngineCPUUtilization", &[group, ("NodeGroupId", "0001")]), [30.0, 30.0]);
        assert!(ask("EngineCPUUtilization", &[group, ("NodeGroupId", "0002")]).is_empty());
        assert!(ask("EngineCPUUtilization", &[group, ("Role", "Other")]).is_empty());
        assert!(ask("IsPrimary", &[group]).is_empty(), "not a metric of groups");
        assert_eq!(ask("EngineCPUUtilization", &[("CacheClusterId", "g-002")]), [20.0, 20.0]);
    }
}
