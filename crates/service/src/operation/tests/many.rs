//! Five hundred caches: what each call reads, and how long it takes. The times are printed
//! (`cargo nextest run -p larder-service many --no-capture`); what is asserted is how much is read.

use std::time::{Duration, Instant};

use super::*;
use crate::api::Api;
use crate::front::Request;
use crate::metric::catalogue;
use crate::resource::cluster::tests::{redis, settled};
use crate::resource::group::{Group, ObservedGroup, Shard};
use crate::resource::service_update::{ServiceUpdate, Severity};
use crate::resource::snapshot::{ObservedSnapshot, Phase, Snapshot};
use crate::resource::user::{User, UserGroup};
use crate::state::counted::Counted;
use crate::state::{Change, Records, create};

/// Caches; a fifth of them are members of groups.
pub(super) const CACHES: usize = 500;
pub(super) const SNAPSHOTS: usize = 200;
pub(super) const USERS: usize = 100;
pub(super) const USER_GROUPS: usize = 10;
const EVENTS: u64 = 1000;
const DAY_MS: u64 = 24 * 3600 * 1000;
/// How often each call is made.
pub(super) const TURNS: usize = if cfg!(debug_assertions) { 10 } else { 100 };

pub(super) fn many() -> (Service, Arc<Counted>) {
    let mut service = Service::new();
    service.app.nodes_max = 2 * CACHES;
    let (mut rows, mut changes) = (Vec::new(), Vec::new());
    for n in 0..CACHES {
        let group = (n < CACHES / 5).then(|| format!("group-{n:03}"));
        let cluster = Cluster { id: format!("cache-{n:03}"), group: group.clone(), ..redis() };
        changes.extend([create(&cluster).unwrap(), create(&settled(&cluster)).unwrap()]);
        if let Some(id) = group {
            let shard = Shard { members: vec![cluster.id.clone()], ..Shard::default() };
            let group = Group {
                id,
                description: "many".into(),
                generation: 1,
                deleting: false,
                created_ms: 1,
                shards: [("0001".to_owned(), shard)].into(),
                automatic_failover: false,
                multi_az: false,
                at_rest_encryption: false,
                kms_key: None,
                snapshotting_cluster: None,
                user_group: Some(format!("team-{}", n % USER_GROUPS)),
                snapshots: 0,
                auth_generation: 0,
                replication_password: String::new(),
            };
            let observed = ObservedGroup {
                id: group.id.clone(),
                applied_generation: 1,
                user_group: group.user_group.clone(),
                ..ObservedGroup::default()
            };
            changes.extend([create(&group).unwrap(), create(&observed).unwrap()]);
        }
        let metrics = (0..catalogue::METRICS.len()).map(|metric| (u8::try_from(metric).unwrap(), 1.5));
        rows.push((format!("{}/0001", cluster.id), metrics.collect()));
    }
    changes.extend(others());
    service.app.records.apply(&changes).unwrap();
    for minute in 0..5 {
        service.app.metrics.add(NOW_MS / 60_000 - minute, &rows).unwrap();
    }
    let counted = Counted::new(Arc::clone(&service.app.records));
    service.app.records = Arc::clone(&counted) as Arc<dyn Records>;
    (service, counted)
}

/// What there is beside caches: snapshots, users and their groups, parameter groups, events, and an update for all caches.
fn others() -> Vec<Change> {
    let mut changes = Vec::new();
    for n in 0..SNAPSHOTS {
        let cluster = Cluster { id: format!("cache-{:03}", n % CACHES), ..redis() };
        let snapshot = Snapshot::of(&format!("snapshot-{n:03}"), &cluster, None, NOW_MS - DAY_MS);
        let observed = ObservedSnapshot {
            name: snapshot.name.clone(),
            phase: Phase::Done,
            taken_ms: NOW_MS - DAY_MS,
            bytes: 1,
            sha256: String::new(),
            exports: 0,
            failure: None,
        };
        changes.extend([create(&snapshot).unwrap(), create(&observed).unwrap()]);
    }
    let mut teams = vec![vec!["default".to_owned()]; USER_GROUPS];
    for n in 0..USERS {
        let user = User { id: format!("user-{n:03}"), name: format!("name-{n:03}"), ..User::default_user() };
        teams[n % USER_GROUPS].push(user.id.clone());
        changes.push(create(&user).unwrap());
    }
    for (n, users) in teams.into_iter().enumerate() {
        let team = UserGroup {
            id: format!("team-{n}"),
            engine: "redis".into(),
            users: users.into_iter().collect(),
            last: None,
        };
        changes.push(create(&team).unwrap());
    }
    for n in 0..EVENTS {
        let event = Event {
            date_ms: NOW_MS - n,
            sequence: n,
            source_id: format!("cache-{:03}", n % 500),
            source_type: SourceType::CacheCluster,
            message: "Cache cluster created".into(),
            topic: None,
        };
        changes.push(create(&event).unwrap());
    }
    let update = ServiceUpdate {
        release: Release::parse("0.2.0").unwrap(),
        released_ms: NOW_MS - DAY_MS,
        is_first: false,
        severity: Severity::Medium,
    };
    changes.push(create(&update).unwrap());
    changes
}

/// Makes a call again and again; answers the most records that one of them read.
fn measured(name: &str, counted: &Counted, call: impl FnMut(usize)) -> usize {
    measured_for(TURNS, name, counted, call)
}

/// The same, so many times.
pub(super) fn measured_for(
    turns: usize,
    name: &str,
    counted: &Counted,
    mut call: impl FnMut(usize),
) -> usize {
    let (mut most, mut times) = (0, Vec::new());
    for turn in 0..turns {
        counted.take();
        let began = Instant::now();
        call(turn);
        times.push(began.elapsed());
        most = most.max(counted.take());
    }
    times.sort();
    let at = |per_cent: usize| times.get(turns * per_cent / 100).copied().unwrap_or(Duration::ZERO);
    eprintln!("{name:<46} p50 {:>10.1?}  p99 {:>10.1?}  {most:>5} records", at(50), at(99));
    most
}

#[test]
fn calls_read_no_more_than_they_must() {
    let (service, counted) = many();
    let ok = |form: &str| drop(service.call(form).unwrap());
    // The name of the call, its form, and the most that it may read.
    let page = 320;
    for (form, most) in [
        ("Action=DescribeCacheClusters", page),
        ("Action=DescribeCacheClusters&ShowCacheNodeInfo=true&MaxRecords=100", page),
        ("Action=DescribeCacheClusters&ShowCacheClustersNotInReplicationGroups=true", CACHES + 220),
        ("Action=DescribeCacheClusters&CacheClusterId=cache-321&ShowCacheNodeInfo=true", 8),
        ("Action=DescribeReplicationGroups", CACHES / 5 + 500),
        ("Action=DescribeReplicationGroups&ReplicationGroupId=group-042", 8),
        (
            "Action=ListTagsForResource&ResourceName=arn:aws:elasticache:us-east-1:000000000000:cluster:cache-007",
            8,
        ),
        ("Action=ListAllowedNodeTypeModifications&CacheClusterId=cache-321", 8),
        ("Action=ListAllowedNodeTypeModifications&ReplicationGroupId=group-042", 8),
        ("Action=DescribeServiceUpdates", 4),
        ("Action=DescribeUpdateActions", 2 * CACHES + 220),
        ("Action=DescribeUpdateActions&ShowNodeLevelUpdateStatus=true&MaxRecords=100", 2 * CACHES + 220),
        ("Action=DescribeSnapshots", 2 * SNAPSHOTS + CACHES + 220),
        ("Action=DescribeSnapshots&SnapshotName=snapshot-042", SNAPSHOTS + CACHES + 8),
        ("Action=DescribeEvents&MaxRecords=100", 1008),
        ("Action=DescribeEvents&SourceType=cache-cluster&SourceIdentifier=cache-007", 1008),
        ("Action=DescribeUsers", USERS + USER_GROUPS + 220),
        ("Action=DescribeUsers&UserId=user-042", USER_GROUPS + 220),
        ("Action=DescribeUserGroups", 2 * USER_GROUPS + 220),
        ("Action=DescribeCacheParameterGroups", 16),
        ("Action=DescribeCacheEngineVersions", 8),
        ("Action=DescribeEngineDefaultParameters&CacheParameterGroupFamily=redis7", 8),
        ("Action=DescribeReservedCacheNodesOfferings", 8),
        ("Action=DescribeReservedCacheNodes", 8),
        ("Action=DescribeCacheSubnetGroups", 16),
        ("Action=DescribeCacheParameters&CacheParameterGroupName=default.redis7", 8),
    ] {
        let read = measured(&form.chars().skip(7).take(46).collect::<String>(), &counted, |_| ok(form));
        assert!(read <= most, "{form} reads {read} records");
    }
    let read = measured("CreateCacheCluster", &counted, |turn| {
        ok(&format!(
            "Action=CreateCacheCluster&CacheClusterId=new-{turn}&Engine=redis&CacheNodeType=cache.t3.micro\
             &NumCacheNodes=1"
        ));
    });
    assert!(read <= CACHES + TURNS + 20, "CreateCacheCluster reads {read} records");
    let read = measured("ModifyCacheCluster", &counted, |turn| {
        ok(&format!(
            "Action=ModifyCacheCluster&CacheClusterId=cache-{:03}&AutoMinorVersionUpgrade=false",
            200 + turn
        ));
    });
    assert!(read <= CACHES + TURNS + 20, "ModifyCacheCluster reads {read} records");
    let read = measured("CreateSnapshot", &counted, |turn| {
        ok(&format!(
            "Action=CreateSnapshot&CacheClusterId=cache-{:03}&SnapshotName=taken-{turn}",
            100 + turn
        ));
    });
    assert!(read <= 2 * SNAPSHOTS + 2 * TURNS, "CreateSnapshot reads {read} records");
    let read = measured("ModifyReplicationGroup", &counted, |turn| {
        ok(&format!(
            "Action=ModifyReplicationGroup&ReplicationGroupId=group-{turn:03}&ReplicationGroupDescription=other"
        ));
    });
    assert!(read <= 20, "ModifyReplicationGroup reads {read} records");
    let read = measured("ModifyUser", &counted, |turn| {
        ok(&format!("Action=ModifyUser&UserId=user-{turn:03}&AccessString=on%20~{turn}*%20%2B@all"));
    });
    assert!(read <= 3 * CACHES, "ModifyUser reads {read} records");
    let read = measured("DeleteCacheCluster", &counted, |turn| {
        ok(&format!("Action=DeleteCacheCluster&CacheClusterId=cache-{:03}", 300 + turn));
    });
    assert!(read <= 16, "DeleteCacheCluster reads {read} records");
}

#[test]
fn metrics_of_many_are_listed_page_by_page() {
    let (service, counted) = many();
    let ask = |action: &str, body: serde_json::Value| {
        let headers = vec![("x-amz-target".to_owned(), format!("GraniteServiceVersion20100801.{action}"))];
        let body = body.to_string().into_bytes();
        let request =
            Request { method: "POST".into(), path: "/".into(), headers, body, ..Request::default() };
        let answer = Api::Monitoring.answer(&service.app, &service.caller, &request, "id").unwrap();
        serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap()
    };
    let (mut token, mut all, mut pages) = (None::<String>, std::collections::BTreeSet::new(), 0);
    loop {
        let mut body = serde_json::json!({ "Namespace": "AWS/ElastiCache" });
        if let Some(token) = &token {
            body["NextToken"] = token.as_str().into();
        }
        let answer = ask("ListMetrics", body);
        for metric in answer["Metrics"].as_array().unwrap() {
            assert!(all.insert(metric.to_string()), "twice: {metric}");
        }
        pages += 1;
        token = answer["NextToken"].as_str().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    // Of each cluster and each node all metrics, and of each group those of groups, in four sets of dimensions.
    let of_groups = crate::metric::values::OF_GROUPS.len() * 4;
    assert_eq!(all.len(), CACHES * 2 * catalogue::METRICS.len() + CACHES / 5 * of_groups, "on {pages} pages");

    measured("ListMetrics", &counted, |_| drop(ask("ListMetrics", serde_json::json!({}))));
    let read = measured("ListMetrics of a cluster", &counted, |_| {
        let dimensions = serde_json::json!([{ "Name": "CacheClusterId", "Value": "cache-400" }]);
        let answer = ask("ListMetrics", serde_json::json!({ "Dimensions": dimensions }));
        assert_eq!(answer["Metrics"].as_array().unwrap().len(), 2 * catalogue::METRICS.len());
    });
    assert!(read <= 2, "ListMetrics of a cluster reads {read} records");
    let read = measured("ListMetrics of a group", &counted, |_| {
        let dimensions = serde_json::json!([{ "Name": "ReplicationGroupId", "Value": "group-042" }]);
        let answer = ask("ListMetrics", serde_json::json!({ "Dimensions": dimensions }));
        assert_eq!(answer["Metrics"].as_array().unwrap().len(), of_groups);
    });
    assert!(read <= 10, "ListMetrics of a group reads {read} records");
    let read = measured("GetMetricData of 100 metrics", &counted, |_| {
        let query = |n: usize| {
            let dimensions =
                serde_json::json!([{ "Name": "CacheClusterId", "Value": format!("cache-{n:03}") }]);
            let metric = serde_json::json!({ "Namespace": "AWS/ElastiCache", "MetricName": "CurrItems",
                                             "Dimensions": dimensions });
            serde_json::json!({ "Id": format!("q{n}"),
                                "MetricStat": { "Metric": metric, "Period": 60, "Stat": "Average" } })
        };
        let answer = ask(
            "GetMetricData",
            serde_json::json!({ "MetricDataQueries": (0..100).map(query).collect::<Vec<_>>(),
                                "StartTime": NOW_MS / 1000 - 3600, "EndTime": NOW_MS / 1000 + 60 }),
        );
        assert_eq!(answer["MetricDataResults"][99]["Values"].as_array().unwrap().len(), 5);
    });
    assert!(read <= 110, "GetMetricData reads {read} records");
}
