use super::create::{Chosen, CreateRequest, create, identifier};
use super::modify::{ModifyRequest, delete, modify, reboot};
use super::*;
use crate::resource::network::{Network, Subnet};
use crate::resource::node::{ObservedNode, Process};
use crate::resource::refusal::Refusal;
use crate::resource::service_update::Runs;

fn subnets() -> Vec<Subnet> {
    let mut number = 0;
    Network::default_of("us-east-1", crate::resource::network::DEFAULT_VPC_BASE, || {
        number += 1;
        format!("{number:017x}")
    })
    .subnets
}

fn try_create(engine: Engine, request: CreateRequest) -> Result<Cluster, Refusal> {
    let subnets = subnets();
    let chosen = Chosen {
        region: "us-east-1",
        engine,
        engine_version: if engine == Engine::Memcached { "1.6.22" } else { "7.1.0" },
        node_type: "cache.t3.micro",
        parameter_group: "default.redis7",
        subnet_group: "default",
        subnets: &subnets,
        default_security_group_id: "sg-1",
        now_ms: 1,
    };
    create(&CreateRequest { id: "Pages".into(), ..request }, &chosen, &mut |_| 0)
}

fn code(result: Result<impl std::fmt::Debug, Refusal>) -> &'static str {
    result.expect_err("must be refused").code
}

/// A memcached cluster of that many nodes.
pub(crate) fn memcached(count: i64) -> Cluster {
    try_create(Engine::Memcached, CreateRequest { node_count: Some(count), ..CreateRequest::default() })
        .unwrap()
}

/// A redis cluster.
pub(crate) fn redis() -> Cluster {
    try_create(Engine::Redis, CreateRequest::default()).unwrap()
}

/// What would be observed once everything desired is done.
pub(crate) fn settled(cluster: &Cluster) -> Observed {
    let node = |(id, wanted): (&String, &WantedNode)| {
        let node = ObservedNode {
            address: std::net::Ipv4Addr::new(127, 64, 0, 4 + id.parse::<u8>().unwrap()),
            port: cluster.port,
            zone: wanted.zone.clone(),
            created_ms: 1,
            phase: NodePhase::Running,
            process: Some(Process { pid: 1, start_ticks: 1, run_id: "r".into() }),
            start_count: 1,
            started_ms: 1,
            reboots: wanted.reboots,
            settings: Default::default(),
            refused: Default::default(),
            pending_reboot: false,
            told_version: 0,
            failures: 0,
            not_before_ms: 0,
            runs: Runs::Unrecorded,
            node_type: cluster.node_type.clone(),
        };
        (id.clone(), node)
    };
    Observed {
        id: cluster.id.clone(),
        applied_generation: cluster.generation,
        parameter_group: cluster.parameter_group.clone(),
        node_type: cluster.node_type.clone(),
        version: format!("{} {}", cluster.engine.as_str(), cluster.engine_version),
        nodes: cluster.nodes.iter().map(node).collect(),
        ..Observed::default()
    }
}

#[test]
fn an_identifier_is_stored_in_lower_case_and_must_be_one() {
    assert_eq!(identifier("My-Cache1").unwrap(), "my-cache1");
    let long = "a".repeat(51);
    for bad in ["", "1a", "-a", "a-", "a--b", "a_b", "ä", "a b", &long] {
        assert_eq!(code(identifier(bad)), "InvalidParameterValue", "{bad}");
    }
}

#[test]
fn defaults_of_a_redis_cluster() {
    let cluster = try_create(Engine::Redis, CreateRequest::default()).unwrap();
    assert_eq!((cluster.id.as_str(), cluster.port, cluster.nodes.len()), ("pages", 6379, 1));
    assert_eq!(cluster.maintenance_window, "mon:03:00-mon:04:00");
    assert_eq!(cluster.snapshot_window.as_deref(), Some("04:00-05:00"));
    assert_eq!(cluster.security_group_ids, ["sg-1"]);
    assert_eq!(cluster.preferred_zone(), "us-east-1a");
    assert_eq!(cluster.status(None), Status::Creating);
    assert!(cluster.auto_minor_version_upgrade);
}

#[test]
fn numbers_of_nodes() {
    let count =
        |engine, n| try_create(engine, CreateRequest { node_count: Some(n), ..CreateRequest::default() });
    assert_eq!(code(count(Engine::Redis, 2)), "InvalidParameterValue");
    assert_eq!(code(count(Engine::Valkey, 0)), "InvalidParameterValue");
    assert_eq!(code(count(Engine::Memcached, 0)), "InvalidParameterValue");
    assert_eq!(code(count(Engine::Memcached, i64::MIN)), "InvalidParameterValue");
    assert_eq!(code(count(Engine::Memcached, 61)), "NodeQuotaForClusterExceeded");
    assert_eq!(count(Engine::Memcached, 60).unwrap().nodes.len(), 60);
}

#[test]
fn zones_of_a_memcached_cluster() {
    let zones = |az_mode: Option<&str>, zones: &[&str], count| {
        let request = CreateRequest {
            node_count: Some(count),
            az_mode: az_mode.map(str::to_owned),
            zones: zones.iter().map(|z| (*z).to_owned()).collect(),
            ..CreateRequest::default()
        };
        try_create(Engine::Memcached, request)
    };
    assert_eq!(zones(None, &[], 3).unwrap().preferred_zone(), "us-east-1a");
    let spread = zones(Some("cross-az"), &[], 4).unwrap();
    let names: Vec<_> = spread.nodes.values().map(|n| n.zone.as_str()).collect();
    assert_eq!(names, ["us-east-1a", "us-east-1b", "us-east-1c", "us-east-1a"]);
    assert_eq!(spread.preferred_zone(), "Multiple");
    assert_eq!(zones(None, &["us-east-1c", "us-east-1c"], 2).unwrap().preferred_zone(), "us-east-1c");
    assert_eq!(code(zones(None, &["us-east-1c"], 2)), "InvalidParameterCombination");
    assert_eq!(code(zones(None, &["us-west-1c"], 1)), "InvalidParameterValue");
    assert_eq!(code(zones(Some("cross-az"), &[], 1)), "InvalidParameterCombination");
    assert_eq!(
        code(zones(Some("cross-az"), &["us-east-1a", "us-east-1a"], 2)),
        "InvalidParameterCombination"
    );
    assert_eq!(
        code(zones(Some("single-az"), &["us-east-1a", "us-east-1b"], 2)),
        "InvalidParameterCombination"
    );
    assert_eq!(code(zones(Some("both"), &[], 2)), "InvalidParameterValue");
}

#[test]
fn ports_windows_and_snapshots() {
    let with = |engine, change: fn(&mut CreateRequest)| {
        let mut request = CreateRequest::default();
        change(&mut request);
        try_create(engine, request)
    };
    assert_eq!(code(with(Engine::Redis, |r| r.port = Some(0))), "InvalidParameterValue");
    assert_eq!(code(with(Engine::Redis, |r| r.port = Some(65536))), "InvalidParameterValue");
    assert_eq!(with(Engine::Redis, |r| r.port = Some(7000)).unwrap().port, 7000);
    assert_eq!(
        code(with(Engine::Memcached, |r| r.snapshot_retention_days = Some(1))),
        "InvalidParameterCombination"
    );
    assert_eq!(code(with(Engine::Redis, |r| r.snapshot_retention_days = Some(36))), "InvalidParameterValue");
    let kept = with(Engine::Redis, |r| r.snapshot_retention_days = Some(5)).unwrap();
    assert_eq!(kept.snapshot_retention_days, 5);
    assert_eq!(
        code(with(Engine::Redis, |r| {
            r.maintenance_window = Some("sun:05:00-sun:09:00".into());
            r.snapshot_window = Some("08:00-10:00".into());
        })),
        "InvalidParameterValue"
    );
}

fn resized(cluster: &Cluster, request: ModifyRequest) -> Result<Cluster, Refusal> {
    let mut changed = cluster.clone();
    modify(&mut changed, Some(&settled(cluster)), request, &subnets())?;
    Ok(changed)
}

fn ids(cluster: &Cluster) -> Vec<&str> {
    cluster.nodes.keys().map(String::as_str).collect()
}

#[test]
fn nodes_are_added_and_removed_at_once_when_asked() {
    let three = memcached(3);
    let resize = |n, remove: &[&str]| ModifyRequest {
        node_count: Some(n),
        remove: remove.iter().map(|id| (*id).to_owned()).collect(),
        apply_immediately: true,
        ..ModifyRequest::default()
    };
    let without_first = resized(&three, resize(1, &["0001", "0003"])).unwrap();
    assert_eq!(ids(&without_first), ["0002"]);
    assert_eq!(ids(&resized(&three, resize(2, &[])).unwrap()), ["0001", "0002"], "the highest go first");
    let grown = resized(&without_first, resize(3, &[])).unwrap();
    assert_eq!(ids(&grown), ["0001", "0002", "0003"], "free numbers are used again");
    assert_eq!(grown.status(Some(&settled(&without_first))), Status::Modifying);
    for bad in [resize(2, &["0001", "0002"]), resize(3, &["0001"]), resize(4, &["0001"])] {
        assert_eq!(code(resized(&three, bad)), "InvalidParameterCombination");
    }
    assert_eq!(code(resized(&three, resize(2, &["0009"]))), "InvalidParameterValue");
    assert_eq!(code(resized(&three, resize(61, &[]))), "NodeQuotaForClusterExceeded");
}

#[test]
fn without_apply_immediately_changes_wait() {
    let one = memcached(1);
    let add = |n| ModifyRequest { node_count: Some(n), ..ModifyRequest::default() };
    let waiting = resized(&one, add(3)).unwrap();
    assert_eq!((waiting.nodes.len(), waiting.pending.add.len(), waiting.generation), (1, 2, one.generation));
    assert_eq!(waiting.status(Some(&settled(&one))), Status::Available);
    assert_eq!(code(resized(&waiting, add(2))), "InvalidParameterCombination");
    let cancelled = resized(&waiting, add(1)).unwrap();
    assert!(cancelled.pending.is_empty());
    let mut applied = waiting;
    assert!(applied.apply_pending());
    assert_eq!((applied.nodes.len(), applied.pending.is_empty()), (3, true));
    assert!(applied.generation > one.generation);
}

#[test]
fn versions_go_up_only_and_engines_from_redis_to_valkey() {
    let redis = try_create(Engine::Redis, CreateRequest::default()).unwrap();
    let to = |engine, version: &str| ModifyRequest {
        engine: Some(EngineChange {
            engine,
            version: version.to_owned(),
            parameter_group: "default.redis7".to_owned(),
        }),
        apply_immediately: true,
        ..ModifyRequest::default()
    };
    assert_eq!(resized(&redis, to(Engine::Valkey, "7.2.6")).unwrap().engine, Engine::Valkey);
    assert_eq!(code(resized(&redis, to(Engine::Redis, "7.0.7"))), "InvalidParameterCombination");
    assert_eq!(code(resized(&redis, to(Engine::Memcached, "1.6.22"))), "InvalidParameterCombination");
    let same = resized(&redis, to(Engine::Redis, "7.1.0")).unwrap();
    assert_eq!(same, redis, "nothing to do");
}

#[test]
fn only_an_available_cluster_is_changed() {
    let mut cluster = memcached(2);
    assert_eq!(code(reboot(&mut cluster, None, &["0001".into()])), "InvalidCacheClusterState");
    let observed = settled(&cluster);
    assert_eq!(code(reboot(&mut cluster, Some(&observed), &["0003".into()])), "InvalidParameterValue");
    reboot(&mut cluster, Some(&observed), &["0001".into(), "0001".into()]).unwrap();
    assert_eq!(cluster.nodes["0001"].reboots, 1);
    assert_eq!(cluster.status(Some(&observed)).as_str(), "rebooting cluster nodes");
    delete(&mut cluster, None).unwrap();
    assert_eq!(cluster.status(Some(&observed)), Status::Deleting);
    assert_eq!(code(delete(&mut cluster, None)), "InvalidCacheClusterState");
}
