//! Operations against a real record file, through the frame: forms in, XML out.

use std::sync::Arc;

use super::{App, Caller, perform};
use crate::front::query::Form;
use crate::front::{ApiError, Xml};
use crate::identity::Principal;
use crate::metric::MetricStore;
use crate::name::Names;
use crate::name::endpoint::Zone;
use crate::resource::cluster::{Changing, Cluster, Engine, Pending, REGION_NODES_MAX, WantedNode};
use crate::resource::event::{Event, SourceType};
use crate::resource::network::Network;
use crate::resource::service_update::Release;
use crate::state::{self, FileRecords};
use crate::vault::Vault;

/// 2026-11-23T14:00:00Z.
const NOW_MS: u64 = 1_795_442_400_000;
const SUBNETS: [&str; 3] =
    ["subnet-00000000000000003", "subnet-00000000000000004", "subnet-00000000000000005"];

struct Service {
    app: App,
    caller: Caller,
    _folder: tempfile::TempDir,
}

impl Service {
    fn new() -> Service {
        let folder = tempfile::tempdir().unwrap();
        let records = Arc::new(FileRecords::open(folder.path()).unwrap());
        let app = App {
            records,
            region: "us-east-1".to_owned(),
            clock: || NOW_MS,
            names: Arc::new(Names::new(Zone { suffix: "abc123".to_owned(), region_code: "use1".to_owned() })),
            vault: Vault::new(folder.path(), folder.path().join("buckets")),
            metrics: Arc::new(MetricStore::in_memory().unwrap()),
            release: Release::parse("0.2.0"),
            nodes_max: REGION_NODES_MAX,
            notifications: None,
        };
        let caller = Caller {
            access_key_id: "AKIAEXAMPLE".to_owned(),
            account: "000000000000".to_owned(),
            user_arn: "arn:aws:iam::000000000000:root".to_owned(),
            region: "us-east-1".to_owned(),
            principal: Principal::Root,
            source: None,
        };
        let mut count = 0;
        let network = Network::default_of("us-east-1", crate::resource::network::DEFAULT_VPC_BASE, || {
            count += 1;
            format!("{count:017x}")
        });
        app.records.apply(&[state::create(&network).unwrap()]).unwrap();
        Service { app, caller, _folder: folder }
    }

    fn call(&self, form: &str) -> Result<String, ApiError> {
        perform(&self.app, &self.caller, &Form::parse(&[form.as_bytes()])?, "id")
    }

    #[track_caller]
    fn ok(&self, form: &str) -> String {
        let xml = self.call(form).unwrap();
        xml.replace("><", ">\n<")
    }

    #[track_caller]
    fn refused(&self, form: &str, code: &str) -> String {
        let error = self.call(form).unwrap_err();
        assert_eq!(error.code, code, "{error}");
        Xml::error_response(&error, "id").replace("><", ">\n<")
    }

    /// A cache in a subnet, of a subnet group and a parameter group.
    fn cluster(&self, id: &str, subnet_id: &str, subnet_group: &str, parameter_group: &str) {
        let node = WantedNode { zone: "us-east-1a".to_owned(), subnet_id: subnet_id.to_owned(), reboots: 0 };
        let cluster = Cluster {
            id: id.to_owned(),
            generation: 1,
            changing: Changing::Create,
            deleting: false,
            created_ms: NOW_MS,
            engine: Engine::Redis,
            engine_version: "7.1.0".to_owned(),
            node_type: "cache.t3.micro".to_owned(),
            port: 6379,
            nodes: [("0001".to_owned(), node)].into(),
            parameter_group: parameter_group.to_owned(),
            subnet_group: subnet_group.to_owned(),
            security_group_ids: vec![],
            maintenance_window: "sun:01:00-sun:02:00".to_owned(),
            snapshot_window: None,
            snapshot_retention_days: 0,
            auto_minor_version_upgrade: true,
            pending: Pending::default(),
            group: None,
            seed: None,
            snapshots: 0,
            final_snapshot: None,
            transit: Default::default(),
            auth: Default::default(),
            auth_generation: 0,
            log_delivery: Default::default(),
            scale: None,
            topic: None,
        };
        self.app.records.apply(&[state::create(&cluster).unwrap()]).unwrap();
    }

    fn event(&self, date_ms: u64, sequence: u64, source_id: &str) {
        let event = Event {
            date_ms,
            sequence,
            source_id: source_id.to_owned(),
            source_type: SourceType::CacheCluster,
            message: format!("event {sequence}"),
            topic: None,
        };
        self.app.records.apply(&[state::create(&event).unwrap()]).unwrap();
    }
}

/// What stands between the tags of that name.
fn texts(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let parts = xml.split(&open).skip(1).filter_map(|part| part.split(&close).next());
    parts.map(|text| text.trim().to_owned()).collect()
}

fn create_subnet_group(name: &str) -> String {
    format!(
        "Action=CreateCacheSubnetGroup&CacheSubnetGroupName={name}&CacheSubnetGroupDescription=d\
         &SubnetIds.SubnetIdentifier.1={}&Tags.Tag.1.Key=env&Tags.Tag.1.Value=dev",
        SUBNETS[0]
    )
}

fn create_parameter_group(name: &str) -> String {
    format!(
        "Action=CreateCacheParameterGroup&CacheParameterGroupName={name}&CacheParameterGroupFamily=redis7\
         &Description=d"
    )
}

fn modify(name: &str, values: &[(&str, &str)]) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("Action", "ModifyCacheParameterGroup").append_pair("CacheParameterGroupName", name);
    for (at, (name, value)) in values.iter().enumerate() {
        let prefix = format!("ParameterNameValues.ParameterNameValue.{}", at + 1);
        form.append_pair(&format!("{prefix}.ParameterName"), name);
        form.append_pair(&format!("{prefix}.ParameterValue"), value);
    }
    form.finish()
}

#[test]
fn subnet_groups_live_and_die() {
    let service = Service::new();
    insta::assert_snapshot!("create_subnet_group", service.ok(&create_subnet_group("App")));
    service.refused(&create_subnet_group("app"), "CacheSubnetGroupAlreadyExists");
    service.refused(&create_subnet_group("DEFAULT"), "CacheSubnetGroupAlreadyExists");
    let modified = service.ok(&format!(
        "Action=ModifyCacheSubnetGroup&CacheSubnetGroupName=APP&SubnetIds.SubnetIdentifier.1={}\
         &SubnetIds.SubnetIdentifier.2={}&CacheSubnetGroupDescription=%3Cnew%3E",
        SUBNETS[2], SUBNETS[1]
    ));
    assert_eq!(texts(&modified, "SubnetIdentifier"), [SUBNETS[2], SUBNETS[1]]);
    assert_eq!(texts(&modified, "CacheSubnetGroupDescription"), ["&lt;new&gt;"]);
    insta::assert_snapshot!("describe_subnet_groups", service.ok("Action=DescribeCacheSubnetGroups"));
    let delete = "Action=DeleteCacheSubnetGroup&CacheSubnetGroupName=app";
    insta::assert_snapshot!("delete_subnet_group", service.ok(delete));
    let gone = service.refused(delete, "CacheSubnetGroupNotFoundFault");
    insta::assert_snapshot!("subnet_group_not_found", gone);
    service.refused(
        "Action=DescribeCacheSubnetGroups&CacheSubnetGroupName=app",
        "CacheSubnetGroupNotFoundFault",
    );
    let again = service.ok(&create_subnet_group("app"));
    assert_eq!(texts(&again, "SubnetIdentifier"), [SUBNETS[0]]);
}

#[test]
fn subnet_groups_in_use_stay() {
    let service = Service::new();
    service.ok(&create_subnet_group("app"));
    service.cluster("sessions", SUBNETS[0], "app", "default.redis7");
    service.refused("Action=DeleteCacheSubnetGroup&CacheSubnetGroupName=app", "CacheSubnetGroupInUse");
    service.refused("Action=DeleteCacheSubnetGroup&CacheSubnetGroupName=default", "CacheSubnetGroupInUse");
    let move_to = |subnets: &str| {
        format!("Action=ModifyCacheSubnetGroup&CacheSubnetGroupName=app&SubnetIds.member.1={subnets}")
    };
    service.refused(&move_to(SUBNETS[1]), "SubnetInUse");
    service.ok(&move_to(&format!("{}&SubnetIds.member.2={}", SUBNETS[1], SUBNETS[0])));
}

#[test]
fn subnet_group_mistakes() {
    let service = Service::new();
    let with = |from: &str, to: &str| create_subnet_group("app").replace(from, to);
    for (form, code) in [
        ("Action=CreateCacheSubnetGroup".to_owned(), "MissingParameter"),
        (with(SUBNETS[0], "subnet-1"), "InvalidSubnet"),
        (with("app", ""), "InvalidParameterValue"),
        (with("app", "a%2Fb"), "InvalidParameterValue"),
        (with("Description=d", "Description="), "InvalidParameterValue"),
        (with("env", "aws:env"), "InvalidParameterValue"),
        (with("SubnetIds.SubnetIdentifier.1", "SubnetIds"), "InvalidQueryParameter"),
        (with(&format!(".SubnetIdentifier.1={}", SUBNETS[0]), "="), "InvalidParameterValue"),
        ("Action=DescribeCacheSubnetGroups&MaxRecords=19".to_owned(), "InvalidParameterValue"),
        ("Action=DescribeCacheSubnetGroups&Marker=x".to_owned(), "InvalidParameterValue"),
        (
            "Action=ModifyCacheSubnetGroup&CacheSubnetGroupName=default&SubnetIds=".to_owned(),
            "InvalidParameterValue",
        ),
    ] {
        service.refused(&form, code);
    }
    let groups = service.ok("Action=DescribeCacheSubnetGroups");
    assert_eq!(texts(&groups, "CacheSubnetGroupName"), ["default"]);
}

#[test]
fn an_identifier_of_a_megabyte_is_refused_in_few_words() {
    let service = Service::new();
    let long = "x".repeat(60_000);
    for action in [
        "DescribeCacheSubnetGroups&CacheSubnetGroupName=",
        "DeleteCacheSubnetGroup&CacheSubnetGroupName=",
        "DescribeCacheParameterGroups&CacheParameterGroupName=",
        "DescribeCacheParameters&CacheParameterGroupName=default.",
        "DescribeEngineDefaultParameters&CacheParameterGroupFamily=",
        "ListTagsForResource&ResourceName=arn:aws:elasticache:us-east-1:000000000000:cluster:",
        "",
    ] {
        let error = service.call(&format!("Action={action}{long}")).unwrap_err();
        assert!(error.message.len() < 1000, "{action}: {}", error.message.len());
        assert!(error.status < 500, "{error}");
        let huge = "x".repeat(1_000_000);
        let error = service.call(&format!("Action={action}{huge}")).unwrap_err();
        assert_eq!((error.code, error.message.len() < 200), ("InvalidParameterValue", true));
    }
}

#[test]
fn parameter_groups_live_and_die() {
    let service = Service::new();
    insta::assert_snapshot!("create_parameter_group", service.ok(&create_parameter_group("Mine")));
    service.refused(&create_parameter_group("mine"), "CacheParameterGroupAlreadyExists");
    let changes = [("maxmemory-policy", "allkeys-lru"), ("notify-keyspace-events", "KEA"), ("timeout", "20")];
    insta::assert_snapshot!("modify_parameter_group", service.ok(&modify("MINE", &changes)));
    let user = "Action=DescribeCacheParameters&CacheParameterGroupName=mine&Source=user";
    insta::assert_snapshot!("user_parameters", service.ok(user));
    service.ok("Action=ResetCacheParameterGroup&CacheParameterGroupName=mine\
         &ParameterNameValues.ParameterNameValue.1.ParameterName=timeout");
    assert_eq!(texts(&service.ok(user), "ParameterName"), ["maxmemory-policy", "notify-keyspace-events"]);
    service.ok("Action=ResetCacheParameterGroup&CacheParameterGroupName=mine&ResetAllParameters=true");
    assert_eq!(texts(&service.ok(user), "ParameterName"), Vec::<String>::new());
    let events = service.ok("Action=DescribeEvents&SourceType=cache-parameter-group");
    assert_eq!(texts(&events, "SourceIdentifier"), ["mine"; 6]);
    let messages = texts(&events, "Message");
    assert!(messages.contains(&"Updated parameter timeout to 20".to_owned()), "{messages:?}");
    service.ok("Action=DeleteCacheParameterGroup&CacheParameterGroupName=mine");
    service.refused(user, "CacheParameterGroupNotFound");
    service.ok(&create_parameter_group("mine"));
}

#[test]
fn parameter_groups_in_use_and_default_ones_stay() {
    let service = Service::new();
    service.ok(&create_parameter_group("mine"));
    service.cluster("sessions", SUBNETS[0], "default", "mine");
    let state = "InvalidCacheParameterGroupState";
    service.refused("Action=DeleteCacheParameterGroup&CacheParameterGroupName=mine", state);
    service.refused(&modify("mine", &[("databases", "4")]), state);
    service.ok(&modify("mine", &[("timeout", "20")]));
    for form in [
        "Action=DeleteCacheParameterGroup&CacheParameterGroupName=default.redis7".to_owned(),
        "Action=ResetCacheParameterGroup&CacheParameterGroupName=default.redis7&ResetAllParameters=true"
            .to_owned(),
        modify("default.redis7", &[("timeout", "20")]),
    ] {
        service.refused(&form, state);
    }
}

#[test]
fn parameter_group_mistakes() {
    let service = Service::new();
    service.ok(&create_parameter_group("mine"));
    let many: Vec<(&str, &str)> = vec![("timeout", "20"); 21];
    for (form, code) in [
        (create_parameter_group("default.mine"), "InvalidParameterValue"),
        (create_parameter_group("a").replace("redis7", "redis9"), "InvalidParameterValue"),
        (modify("mine", &[]), "MissingParameter"),
        (modify("mine", &many), "InvalidParameterValue"),
        (modify("mine", &[("nope", "1")]), "InvalidParameterValue"),
        (modify("mine", &[("appendonly", "yes")]), "InvalidParameterValue"),
        (modify("mine", &[("timeout", "x")]), "InvalidParameterValue"),
        (modify("other", &[("timeout", "20")]), "CacheParameterGroupNotFound"),
        (modify("default.redis9", &[("timeout", "20")]), "CacheParameterGroupNotFound"),
        (
            modify("mine", &[("timeout", "20")]).replace("ParameterValue=20", "Other=20"),
            "InvalidParameterValue",
        ),
        (
            "Action=ResetCacheParameterGroup&CacheParameterGroupName=mine".to_owned(),
            "InvalidParameterCombination",
        ),
        (
            "Action=DescribeCacheParameters&CacheParameterGroupName=mine&Source=all".to_owned(),
            "InvalidParameterValue",
        ),
        (
            "Action=DescribeEngineDefaultParameters&CacheParameterGroupFamily=redis".to_owned(),
            "InvalidParameterValue",
        ),
    ] {
        service.refused(&form, code);
    }
}

#[test]
fn parameters_come_page_by_page_and_those_of_node_types_once() {
    let service = Service::new();
    let first =
        service.ok("Action=DescribeEngineDefaultParameters&CacheParameterGroupFamily=redis7&MaxRecords=50");
    let specific = |xml: &str| xml.matches("<CacheNodeTypeSpecificParameter>").count();
    let plain = |xml: &str| xml.matches("<Parameter>").count();
    assert_eq!((plain(&first), specific(&first)), (50, 3));
    let marker = texts(&first, "Marker").remove(0);
    let second = service.ok(&format!(
        "Action=DescribeEngineDefaultParameters&CacheParameterGroupFamily=redis7&MaxRecords=50&Marker={marker}"
    ));
    assert_eq!((plain(&second), specific(&second)), (66 - 3 - 1 - 50, 0));
    assert!(texts(&second, "Marker").is_empty());
    let memcached = service.ok("Action=DescribeCacheParameters&CacheParameterGroupName=default.memcached1.6");
    let head: Vec<&str> = memcached.lines().take(40).collect();
    insta::assert_snapshot!("memcached_parameters_head", head.join("\n"));
    let clustered =
        service.ok("Action=DescribeCacheParameters&CacheParameterGroupName=default.redis7.cluster.on");
    let at = clustered.find("<ParameterName>cluster-enabled").unwrap();
    assert!(
        clustered[at..].starts_with("<ParameterName>cluster-enabled</ParameterName>\n<ParameterValue>yes")
    );
}

#[test]
fn engine_versions() {
    let service = Service::new();
    let versions = |query: &str| {
        texts(&service.ok(&format!("Action=DescribeCacheEngineVersions{query}")), "EngineVersion")
    };
    insta::assert_snapshot!(
        "redis7_versions",
        service.ok("Action=DescribeCacheEngineVersions&CacheParameterGroupFamily=redis7")
    );
    assert_eq!(versions("&DefaultOnly=true"), ["1.6.22", "7.1", "9.0"]);
    assert_eq!(versions("&DefaultOnly=True&CacheParameterGroupFamily=redis6.x"), ["6.2"]);
    assert_eq!(versions("&Engine=valkey&EngineVersion=8.1"), ["8.1"]);
    assert_eq!(versions("&Engine=mongo"), Vec::<String>::new());
    assert_eq!(versions("").len(), 33);
    assert_eq!(versions("&MaxRecords=20").len(), 20);
}

#[test]
fn tags() {
    let service = Service::new();
    service.ok(&create_subnet_group("app"));
    service.cluster("sessions", SUBNETS[0], "app", "default.redis7");
    let tagged = |action: &str, name: &str, more: &str| {
        format!("Action={action}&ResourceName=arn:aws:elasticache:us-east-1:000000000000:{name}{more}")
    };
    insta::assert_snapshot!("list_tags", service.ok(&tagged("ListTagsForResource", "subnetgroup:App", "")));
    let add = "&Tags.Tag.1.Key=a&Tags.Tag.1.Value=1&Tags.Tag.2.Key=env";
    let all = service.ok(&tagged("AddTagsToResource", "subnetgroup:app", add));
    assert_eq!(texts(&all, "Key"), ["a", "env"]);
    assert_eq!(texts(&all, "Value"), ["1", ""]);
    service.ok(&tagged("AddTagsToResource", "cluster:sessions", add));
    let left = service.ok(&tagged(
        "RemoveTagsFromResource",
        "cluster:sessions",
        "&TagKeys.member.1=a&TagKeys.member.2=b",
    ));
    assert_eq!(texts(&left, "Key"), ["env"]);
    service.refused(&tagged("ListTagsForResource", "cluster:other", ""), "CacheClusterNotFound");
    service
        .refused(&tagged("ListTagsForResource", "replicationgroup:x", ""), "ReplicationGroupNotFoundFault");
    service.refused(&tagged("ListTagsForResource", "subnetgroup:x", ""), "CacheSubnetGroupNotFoundFault");
    service.refused(&tagged("ListTagsForResource", "what:x", ""), "InvalidARN");
    service.refused(&tagged("AddTagsToResource", "subnetgroup:default", add), "InvalidParameterValue");
    service.ok(&tagged("ListTagsForResource", "parametergroup:default.redis7", ""));
    service.refused("Action=ListTagsForResource&ResourceName=app", "InvalidARN");
    let other_region = tagged("ListTagsForResource", "subnetgroup:app", "").replace("us-east-1", "eu-west-1");
    service.refused(&other_region, "InvalidARN");
    let other_account = tagged("ListTagsForResource", "subnetgroup:app", "").replace("0000:s", "0001:s");
    insta::assert_snapshot!("access_denied", service.refused(&other_account, "AccessDenied"));
    let many: String = (0..51).map(|n| format!("&Tags.member.{}.Key=k{n}", n + 1)).collect();
    service.refused(&tagged("AddTagsToResource", "cluster:sessions", &many), "TagQuotaPerResourceExceeded");
}

#[test]
fn tags_go_with_their_resource() {
    let service = Service::new();
    service.ok(&create_subnet_group("app"));
    service.ok("Action=DeleteCacheSubnetGroup&CacheSubnetGroupName=app");
    service.ok(&create_subnet_group("app").replace("Tags.Tag.1", "Unknown.Tag.1"));
    let list =
        "Action=ListTagsForResource&ResourceName=arn:aws:elasticache:us-east-1:000000000000:subnetgroup:app";
    assert_eq!(texts(&service.ok(list), "Key"), Vec::<String>::new());
}

#[test]
fn events() {
    let service = Service::new();
    for n in 0..30 {
        service.event(NOW_MS - n * 60_000, n, if n % 2 == 0 { "even" } else { "odd" });
    }
    service.event(NOW_MS - 2 * 3_600_000, 100, "even");
    let messages = |query: &str| texts(&service.ok(&format!("Action=DescribeEvents{query}")), "Message");
    assert_eq!(messages("").len(), 30);
    assert_eq!(messages("&Duration=2"), ["event 0", "event 1", "event 2"]);
    assert_eq!(
        messages("&SourceIdentifier=EVEN&SourceType=cache-cluster&Duration=5"),
        ["event 0", "event 2", "event 4"]
    );
    assert_eq!(messages("&SourceType=user"), Vec::<String>::new());
    assert_eq!(messages("&StartTime=2026-11-23T11:59:00Z&EndTime=2026-11-23T12:01:00Z"), ["event 100"]);
    assert_eq!(messages("&StartTime=2026-11-23T11:59:00Z&Duration=3"), ["event 100"]);
    assert_eq!(messages("&EndTime=2026-11-23T13:31:30Z&Duration=1"), ["event 29"]);
    let page = service.ok("Action=DescribeEvents&MaxRecords=20");
    assert_eq!(texts(&page, "Message").last().unwrap(), "event 19");
    let marker = texts(&page, "Marker").remove(0);
    service.event(NOW_MS, 1000, "new");
    let next = messages(&format!("&MaxRecords=20&Marker={marker}"));
    assert_eq!((next.len(), next[0].as_str()), (10, "event 20"));
    for (query, code) in [
        ("&SourceIdentifier=x", "InvalidParameterCombination"),
        ("&SourceType=cache", "InvalidParameterValue"),
        ("&Duration=0", "InvalidParameterValue"),
        ("&Duration=-1", "InvalidParameterValue"),
        ("&Duration=99999999999999999999", "InvalidParameterValue"),
        ("&StartTime=2026-11-23T12:00:00Z&EndTime=2026-11-23T11:00:00Z", "InvalidParameterCombination"),
        (
            "&StartTime=2026-11-23T12:00:00Z&EndTime=2026-11-23T13:00:00Z&Duration=1",
            "InvalidParameterCombination",
        ),
        ("&StartTime=now", "InvalidParameterValue"),
    ] {
        service.refused(&format!("Action=DescribeEvents{query}"), code);
    }
}

#[test]
fn actions_that_are_none_or_not_built() {
    let service = Service::new();
    service.refused("", "MissingAction");
    service.refused("Action=", "MissingAction");
    service.refused("Action.X=1", "MissingAction");
    insta::assert_snapshot!(
        "invalid_action",
        service.refused("Action=CreateServerlessCache", "InvalidAction")
    );
    let error = service.call("Action=createcachecluster%3C").unwrap_err();
    assert_eq!(error.message, "The action createcachecluster< is not valid for this web service.");
}

#[test]
fn reservations_of_one_moment_have_names_of_their_own() {
    let service = Service::new();
    let offering = &crate::resource::reserved::offerings()[0].id;
    let buy = format!("Action=PurchaseReservedCacheNodesOffering&ReservedCacheNodesOfferingId={offering}");
    let names: Vec<String> = (0..3).flat_map(|_| texts(&service.ok(&buy), "ReservedCacheNodeId")).collect();
    assert_eq!(names, [0, 1, 2].map(|n| format!("ri-2026-11-23-14-00-00-00{n}")));
    service.refused(&format!("{buy}&ReservedCacheNodeId={}", names[0]), "ReservedCacheNodeAlreadyExists");
}

#[test]
fn two_at_once_make_one_group() {
    let service = Service::new();
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| service.call(&create_subnet_group("app")))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    let refused = results.iter().filter_map(|result| result.as_ref().err());
    assert!(refused.clone().all(|error| error.code == "CacheSubnetGroupAlreadyExists"));
}

#[test]
fn changes_from_many_sides_all_arrive() {
    let service = Service::new();
    service.ok(&create_subnet_group("app"));
    let add = |n: usize| {
        service.call(&format!(
            "Action=AddTagsToResource&ResourceName=arn:aws:elasticache:us-east-1:000000000000:subnetgroup:app\
             &Tags.Tag.1.Key=k{n}"
        ))
    };
    std::thread::scope(|scope| {
        for n in 0..4 {
            scope.spawn(move || while add(n).is_err_and(|error| error.is_conflict()) {});
        }
    });
    let all = service.ok(
        "Action=ListTagsForResource&ResourceName=arn:aws:elasticache:us-east-1:000000000000:subnetgroup:app",
    );
    assert_eq!(texts(&all, "Key"), ["env", "k0", "k1", "k2", "k3"]);
}

mod access;
mod answers;
mod cache_cluster;
mod group;
mod many;
mod many_changes;

/// Parameters of the API that some operation reads.
const NAMES: &[&str] = &[
    "AZMode",
    "ApplyImmediately",
    "CacheClusterId",
    "CacheNodeIdsToReboot",
    "CacheNodeIdsToRemove",
    "CacheNodeType",
    "CacheParameterGroupFamily",
    "CacheParameterGroupName",
    "CacheSubnetGroupDescription",
    "CacheSubnetGroupName",
    "Description",
    "Duration",
    "EndTime",
    "Engine",
    "EngineVersion",
    "Marker",
    "MaxRecords",
    "NumCacheNodes",
    "ParameterNameValues",
    "Port",
    "PreferredAvailabilityZones",
    "PreferredMaintenanceWindow",
    "ResetAllParameters",
    "ResourceName",
    "SecurityGroupIds",
    "SnapshotRetentionLimit",
    "SnapshotWindow",
    "Source",
    "SourceIdentifier",
    "SourceType",
    "StartTime",
    "SubnetIds",
    "TagKeys",
    "Tags",
];

#[test]
fn no_operation_fails_on_whatever_it_is_given() {
    let service = Service::new();
    let long = "é".repeat(30_000);
    let values = [
        "",
        "x",
        "-1",
        "0",
        "9999999999999999999",
        "true",
        "%00",
        "%22%3C%26",
        "arn:aws:elasticache:::",
        &long,
    ];
    for operation in super::table::OPERATIONS.iter().filter(|operation| operation.run.is_some()) {
        for value in values {
            for shape in ["", ".member.1", ".X", ".member.1.Key"] {
                let parameters = NAMES.iter().map(|name| format!("&{name}{shape}={value}"));
                let all: String = parameters.clone().collect();
                for form in parameters.chain([all, String::new()]).filter(|form| form.len() < 1 << 18) {
                    if let Err(error) = service.call(&format!("Action={}{form}", operation.name)) {
                        assert!(error.status < 500, "{} {form}: {error}", operation.name);
                        assert!(error.message.len() < 2000, "{} {form}", operation.name);
                    }
                }
            }
        }
    }
}
