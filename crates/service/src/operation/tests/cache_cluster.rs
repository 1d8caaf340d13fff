//! The operations on cache clusters. What the driver would observe is written by hand.

use super::*;
use crate::resource::cluster::tests::settled;
use crate::resource::network::{DEFAULT_NETWORK_ID, DEFAULT_VPC_BASE};
use crate::resource::node::Observed;

const REDIS: &str = "Action=CreateCacheCluster&CacheClusterId=Sessions&Engine=redis&CacheNodeType=cache.t2.micro\
    &NumCacheNodes=1&SnapshotRetentionLimit=0&PreferredMaintenanceWindow=Sun:05:00-Sun:06:00\
    &SnapshotWindow=07:00-08:00";
const MEMCACHED: &str = "Action=CreateCacheCluster&CacheClusterId=pages&Engine=memcached\
    &CacheNodeType=cache.t3.small&NumCacheNodes=3&PreferredMaintenanceWindow=sun:05:00-sun:06:00";

impl Service {
    fn desired(&self, id: &str) -> Cluster {
        state::find(self.app.records.as_ref(), id).unwrap().unwrap().value
    }

    /// As if the driver had done all that is desired.
    fn settle(&self, id: &str) {
        let cluster = self.desired(id);
        let mut observed = settled(&cluster);
        if cluster.engine == Engine::Memcached {
            observed.membership.version = 1;
            observed.membership.node_ids = cluster.nodes.keys().cloned().collect();
        }
        let change = match state::find::<Observed>(self.app.records.as_ref(), id).unwrap() {
            Some(old) => state::replace(&observed, old.revision),
            None => state::create(&observed),
        };
        self.app.records.apply(&[change.unwrap()]).unwrap();
    }

    #[track_caller]
    fn status(&self, id: &str) -> String {
        let xml = self.ok(&format!("Action=DescribeCacheClusters&CacheClusterId={id}"));
        texts(&xml, "CacheClusterStatus").remove(0)
    }
}

#[test]
fn a_redis_cluster_from_creation_to_deletion() {
    let service = Service::new();
    let created = service.ok(REDIS);
    insta::assert_snapshot!("created_redis", created);
    service.refused(REDIS, "CacheClusterAlreadyExists");
    service.refused(
        "Action=ModifyCacheCluster&CacheClusterId=sessions&NumCacheNodes=1",
        "InvalidCacheClusterState",
    );
    service.settle("sessions");
    let shown = service.ok("Action=DescribeCacheClusters&CacheClusterId=SESSIONS&ShowCacheNodeInfo=true");
    insta::assert_snapshot!("available_redis", shown);
    let reboot = "Action=RebootCacheCluster&CacheClusterId=sessions&CacheNodeIdsToReboot.CacheNodeId.1=0001";
    assert_eq!(texts(&service.ok(reboot), "CacheClusterStatus"), ["rebooting cluster nodes"]);
    service.refused(reboot, "InvalidCacheClusterState");
    service.refused("Action=RebootCacheCluster&CacheClusterId=sessions", "MissingParameter");
    service.settle("sessions");
    let delete = "Action=DeleteCacheCluster&CacheClusterId=sessions";
    service.refused(&format!("{delete}&FinalSnapshotIdentifier=1st"), "InvalidParameterValue");
    let deleted = service.ok(delete);
    assert_eq!(texts(&deleted, "CacheClusterStatus"), ["deleting"]);
    service.refused(delete, "InvalidCacheClusterState");
    assert!(!service.ok("Action=DescribeCacheClusters&ShowCacheNodeInfo=true").contains("<CacheNodes>"));
}

#[test]
fn a_memcached_cluster_shows_its_configuration_endpoint_and_nodes() {
    let service = Service::new();
    let created = service.ok(MEMCACHED);
    assert!(!created.contains("ConfigurationEndpoint") && !created.contains("SnapshotWindow"), "{created}");
    service.settle("pages");
    let show = "Action=DescribeCacheClusters&CacheClusterId=pages&ShowCacheNodeInfo=true";
    insta::assert_snapshot!("available_memcached", service.ok(show));
    service.app.names.set_resolves(true);
    let named = texts(&service.ok(show), "Address");
    assert_eq!(named[0], "pages.abc123.cfg.use1.cache.amazonaws.com");
    assert_eq!(named[3], "pages.abc123.0003.use1.cache.amazonaws.com");
    assert!(!service.ok("Action=DescribeCacheClusters&CacheClusterId=pages").contains("<CacheNodes>"));
}

#[test]
fn a_memcached_cluster_grows_and_shrinks() {
    let service = Service::new();
    service.ok(MEMCACHED);
    service.settle("pages");
    let modify = "Action=ModifyCacheCluster&CacheClusterId=pages";
    let pending = service.ok(&format!("{modify}&NumCacheNodes=5"));
    assert_eq!(texts(&pending, "CacheClusterStatus"), ["available"]);
    assert_eq!(texts(&pending, "NumCacheNodes"), ["3", "5"], "now and pending");
    let pending = service.ok(&format!("{modify}&NumCacheNodes=2&CacheNodeIdsToRemove.CacheNodeId.1=0002"));
    assert_eq!(texts(&pending, "CacheNodeId"), ["0002"]);
    let now = service.ok(&format!("{modify}&NumCacheNodes=4&ApplyImmediately=true"));
    assert_eq!(texts(&now, "CacheClusterStatus"), ["modifying"]);
    assert_eq!(texts(&now, "NumCacheNodes"), ["4"]);
    service.settle("pages");
    let spread =
        "&NumCacheNodes=5&ApplyImmediately=true&NewAvailabilityZones.PreferredAvailabilityZone.1=us-east-1b";
    let now = service.ok(&format!("{modify}{spread}"));
    assert_eq!(texts(&now, "PreferredAvailabilityZone"), ["Multiple"]);
    service.settle("pages");
    service
        .refused(&format!("{modify}&NumCacheNodes=61&ApplyImmediately=true"), "NodeQuotaForClusterExceeded");
    service.refused(&format!("{modify}&NumCacheNodes=four"), "InvalidParameterValue");
    assert_eq!(service.desired("pages").nodes.len(), 5);
}

#[test]
fn a_memcached_cluster_changes_its_node_type_in_stages() {
    let service = Service::new();
    service.ok(MEMCACHED);
    service.settle("pages");
    let modify = "Action=ModifyCacheCluster&CacheClusterId=pages";
    let (share, interval) = ("ScaleConfig.ScalePercentage", "ScaleConfig.ScaleIntervalMinutes");
    let to = "CacheNodeType=cache.m5.large";
    for (parameters, code) in [
        (format!("{to}&{share}=9&ApplyImmediately=true"), "InvalidParameterValue"),
        (format!("{to}&{share}=101&ApplyImmediately=true"), "InvalidParameterValue"),
        (format!("{to}&{interval}=1&ApplyImmediately=true"), "InvalidParameterValue"),
        (format!("{to}&{interval}=31&ApplyImmediately=true"), "InvalidParameterValue"),
        (format!("{to}&{share}=half&ApplyImmediately=true"), "InvalidParameterValue"),
        (format!("{to}&{share}=50"), "InvalidParameterCombination"),
        (format!("{share}=50&ApplyImmediately=true"), "InvalidParameterCombination"),
        (format!("CacheNodeType=cache.x9.huge&{share}=50&ApplyImmediately=true"), "InvalidParameterValue"),
    ] {
        service.refused(&format!("{modify}&{parameters}"), code);
    }
    let shown = |xml: &str| {
        ["CacheNodeType", "ScalePercentage", "ScaleIntervalMinutes"].map(|name| texts(xml, name).join(" "))
    };
    // Without ScaleConfig, ElastiCache's own stages, also in the window.
    let waits = service.ok(&format!("{modify}&{to}"));
    assert_eq!(shown(&waits), ["cache.t3.small cache.m5.large", "20", "5"]);
    assert_eq!(texts(&waits, "CacheClusterStatus"), ["available"]);
    let back = service.ok(&format!("{modify}&CacheNodeType=cache.t3.small"));
    assert_eq!(shown(&back), ["cache.t3.small", "", ""], "the type that is there cancels it");
    let now = service.ok(&format!("{modify}&{to}&{share}=50&ApplyImmediately=true"));
    assert_eq!(shown(&now), ["cache.t3.small cache.m5.large", "50", "5"], "until all nodes are replaced");
    assert_eq!(texts(&now, "CacheClusterStatus"), ["modifying"]);
    service.refused(&format!("{modify}&{to}&{share}=100&ApplyImmediately=true"), "InvalidCacheClusterState");
    service.settle("pages");
    let done = service.ok("Action=DescribeCacheClusters&CacheClusterId=pages");
    assert_eq!(shown(&done), ["cache.m5.large", "", ""]);
    let allowed = service.ok("Action=ListAllowedNodeTypeModifications&CacheClusterId=pages");
    assert!(allowed.contains("cache.t3.small"), "{allowed}");

    service.ok(REDIS);
    service.settle("sessions");
    service.refused(
        &format!("Action=ModifyCacheCluster&CacheClusterId=sessions&{to}&{share}=50&ApplyImmediately=true"),
        "InvalidParameterCombination",
    );
}

#[test]
fn a_cache_has_a_topic_where_events_are_published() {
    let mut service = Service::new();
    let arn = "arn:aws:sns:us-east-1:000000000000:caches";
    let refused =
        service.refused(&format!("{REDIS}&NotificationTopicArn={arn}"), "InvalidParameterCombination");
    assert!(refused.contains("--sns-endpoint"), "{refused}");
    service.app.notifications = Some(Default::default());
    service.refused(&format!("{REDIS}&NotificationTopicArn=caches"), "InvalidParameterValue");
    let shown = |xml: &str| (texts(xml, "TopicArn").join(" "), texts(xml, "TopicStatus").join(" "));
    let created = service.ok(&format!("{REDIS}&NotificationTopicArn={arn}"));
    assert_eq!(shown(&created), (arn.to_owned(), "active".to_owned()));
    service.settle("sessions");
    let modify = "Action=ModifyCacheCluster&CacheClusterId=sessions";
    service.refused(&format!("{modify}&NotificationTopicStatus=off"), "InvalidParameterValue");
    let silent = service.ok(&format!("{modify}&NotificationTopicStatus=inactive"));
    assert_eq!(shown(&silent), (arn.to_owned(), "inactive".to_owned()));
    assert_eq!(texts(&silent, "CacheClusterStatus"), ["available"], "no node follows it");
    let other = service.ok(&format!("{modify}&NotificationTopicArn={arn}-2"));
    assert_eq!(shown(&other), (format!("{arn}-2"), "active".to_owned()));
    service.ok(MEMCACHED);
    service.settle("pages");
    let modify = "Action=ModifyCacheCluster&CacheClusterId=pages";
    service.refused(&format!("{modify}&NotificationTopicStatus=active"), "InvalidParameterCombination");
}

#[test]
fn versions_and_parameter_groups_go_together() {
    let service = Service::new();
    service.ok(&REDIS.replace("Engine=redis", "Engine=redis&EngineVersion=6.2"));
    service.settle("sessions");
    service.ok(
        "Action=CreateCacheParameterGroup&CacheParameterGroupName=mine&CacheParameterGroupFamily=redis6.x\
        &Description=d",
    );
    let modify = "Action=ModifyCacheCluster&CacheClusterId=sessions";
    service.refused(&format!("{modify}&CacheParameterGroupName=none"), "CacheParameterGroupNotFound");
    service
        .refused(&format!("{modify}&CacheParameterGroupName=default.redis7"), "InvalidParameterCombination");
    service.refused(
        &format!("{modify}&CacheParameterGroupName=default.redis6.x.cluster.on"),
        "InvalidParameterCombination",
    );
    service.ok(&format!("{modify}&CacheParameterGroupName=Mine"));
    assert_eq!(service.desired("sessions").parameter_group, "mine");
    service.refused(
        "Action=DeleteCacheParameterGroup&CacheParameterGroupName=mine",
        "InvalidCacheParameterGroupState",
    );
    service.settle("sessions");
    let upgrade = format!("{modify}&EngineVersion=7.1&ApplyImmediately=true");
    service.refused(&upgrade, "InvalidParameterCombination");
    let upgraded = service.ok(&format!("{upgrade}&CacheParameterGroupName=default.redis7"));
    assert_eq!(texts(&upgraded, "EngineVersion"), ["7.1.0"]);
    service.settle("sessions");
    let valkey = service.ok(&format!("{modify}&Engine=valkey&EngineVersion=8.0"));
    assert_eq!(texts(&valkey, "EngineVersion"), ["7.1.0", "8.0.1"], "now and pending");
    service.refused(&format!("{modify}&EngineVersion=7.0"), "InvalidParameterCombination");
    service.refused(&format!("{modify}&Engine=valkey"), "InvalidParameterCombination");
}

#[test]
fn what_is_not_built_is_refused_and_nothing_is_made() {
    let service = Service::new();
    for (parameters, code) in [
        ("ReplicationGroupId=g", "ReplicationGroupNotFoundFault"),
        ("SnapshotName=s", "SnapshotNotFoundFault"),
        ("SnapshotArns.SnapshotArn.1=arn:aws:s3:::bucket/f.rdb", "InvalidParameterValue"),
        ("AuthToken=abcdefghijklmnopqrst", "InvalidParameterCombination"),
        ("CacheSecurityGroupNames.CacheSecurityGroupName.1=g", "InvalidParameterCombination"),
        ("OutpostMode=single-outpost", "InvalidParameterCombination"),
        ("NetworkType=ipv6", "InvalidParameterCombination"),
        ("IpDiscovery=ipv9", "InvalidParameterValue"),
        (
            "LogDeliveryConfigurations.LogDeliveryConfigurationRequest.1.LogType=slow-log",
            "InvalidParameterValue",
        ),
        ("SecurityGroupIds.SecurityGroupId.1=sg-0", "InvalidParameterValue"),
        ("CacheSubnetGroupName=none", "CacheSubnetGroupNotFoundFault"),
        ("CacheParameterGroupName=none", "CacheParameterGroupNotFound"),
        ("EngineVersion=1.0", "InvalidParameterCombination"),
        ("Port=99999", "InvalidParameterValue"),
        ("PreferredAvailabilityZone=mars-1a", "InvalidParameterValue"),
        ("Tags.Tag.1.Key=aws:x", "InvalidParameterValue"),
    ] {
        service.refused(&format!("{REDIS}&{parameters}"), code);
    }
    for (from, to, code) in [
        ("Engine=redis", "Engine=oracle", "InvalidParameterValue"),
        ("cache.t2.micro", "cache.x9.huge", "InvalidParameterValue"),
        ("&CacheNodeType=cache.t2.micro", "", "InvalidParameterValue"),
        ("CacheClusterId=Sessions&", "", "MissingParameter"),
        ("CacheClusterId=Sessions", "CacheClusterId=", "InvalidParameterValue"),
        ("NumCacheNodes=1", "NumCacheNodes=2", "InvalidParameterValue"),
    ] {
        service.refused(&REDIS.replace(from, to), code);
    }
    let long = "x".repeat(1 << 20);
    service.refused(&REDIS.replace("Sessions", &long), "InvalidParameterValue");
    let long = "x".repeat(60_000);
    let answer = service
        .refused(&format!("Action=DescribeCacheClusters&CacheClusterId={long}"), "CacheClusterNotFound");
    assert!(answer.len() < 1_000);
    assert_eq!(texts(&service.ok("Action=DescribeCacheClusters"), "CacheClusterId"), [""; 0]);
    service.ok(&format!("{REDIS}&TransitEncryptionEnabled=false&NetworkType=ipv4&SecurityGroupIds="));
}

#[test]
fn an_account_has_a_bound_of_nodes() {
    let service = Service::new();
    for n in 0..5 {
        service.ok(&MEMCACHED.replace("pages", &format!("pages-{n}")).replace("Nodes=3", "Nodes=60"));
    }
    service.refused(REDIS, "NodeQuotaForCustomerExceeded");
}

#[test]
fn clusters_are_listed_in_pages() {
    let service = Service::new();
    for n in 0..25 {
        service.ok(&REDIS.replace("Sessions", &format!("c{n:02}")));
    }
    let first = service.ok("Action=DescribeCacheClusters&MaxRecords=20");
    assert_eq!(texts(&first, "CacheClusterId").len(), 20);
    let marker = texts(&first, "Marker").remove(0);
    let second = service.ok(&format!("Action=DescribeCacheClusters&MaxRecords=20&Marker={marker}"));
    assert_eq!(texts(&second, "CacheClusterId"), ["c20", "c21", "c22", "c23", "c24"]);
    assert!(texts(&second, "Marker").is_empty());
    service.refused("Action=DescribeCacheClusters&MaxRecords=5", "InvalidParameterValue");
    service.refused("Action=DescribeCacheClusters&ShowCacheNodeInfo=maybe", "InvalidParameterValue");
    service.refused("Action=DescribeCacheClusters&CacheClusterId=none", "CacheClusterNotFound");
    assert_eq!(service.status("c07"), "creating");
}

/// The answer of an operation of EC2.
fn ec2(service: &Service, form: &str) -> String {
    let request = crate::front::Request {
        method: "POST".into(),
        path: "/".into(),
        body: format!("{form}&Version=2016-11-15").into_bytes(),
        ..Default::default()
    };
    let answer = crate::api::Api::Ec2.answer(&service.app, &service.caller, &request, "id").unwrap();
    String::from_utf8(answer.body).unwrap().replace("><", ">\n<")
}

#[test]
fn a_cache_that_names_no_security_group_has_the_default_one_of_its_own_vpc() {
    let service = Service::new();
    let found = state::find::<Network>(service.app.records.as_ref(), DEFAULT_NETWORK_ID).unwrap().unwrap();
    let mut network = found.value;
    network.split = true;
    service.app.records.apply(&[state::replace(&network, found.revision).unwrap()]).unwrap();
    let mut count = 100;
    let defaults = crate::api::ec2::default_records(&network, DEFAULT_VPC_BASE, || {
        count += 1;
        format!("{count:017x}")
    });
    let defaults = defaults.unwrap();
    service.app.records.apply(&defaults).unwrap();
    let made = ec2(&service, "Action=CreateVpc&CidrBlock=10.0.0.0/16");
    let vpc = texts(&made, "vpcId").remove(0);
    let made = ec2(&service, &format!("Action=CreateSubnet&VpcId={vpc}&CidrBlock=10.0.1.0/24"));
    let subnet = texts(&made, "subnetId").remove(0);
    let groups =
        ec2(&service, &format!("Action=DescribeSecurityGroups&Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}"));
    let group = texts(&groups, "groupId").remove(0);
    assert_ne!(group, network.default_security_group_id);
    service.ok(&format!(
        "Action=CreateCacheSubnetGroup&CacheSubnetGroupName=far&CacheSubnetGroupDescription=d\
         &SubnetIds.SubnetIdentifier.1={subnet}"
    ));
    const REDIS: &str = "Engine=redis&CacheNodeType=cache.t3.micro";
    for (subnet_group, expected) in [("far", &group), ("default", &network.default_security_group_id)] {
        let cluster = service.ok(&format!(
            "Action=CreateCacheCluster&CacheClusterId={subnet_group}-c&{REDIS}&NumCacheNodes=1\
             &CacheSubnetGroupName={subnet_group}"
        ));
        assert_eq!(texts(&cluster, "SecurityGroupId"), [expected.as_str()]);
        service.ok(&format!(
            "Action=CreateReplicationGroup&ReplicationGroupId={subnet_group}-g&ReplicationGroupDescription=d&{REDIS}\
             &NumCacheClusters=1&CacheSubnetGroupName={subnet_group}"
        ));
        let member = service.ok(&format!("Action=DescribeCacheClusters&CacheClusterId={subnet_group}-g-001"));
        assert_eq!(texts(&member, "SecurityGroupId"), [expected.as_str()]);
    }
    // A version before had given all of them that of the default VPC.
    let earlier = |id: &str| {
        let found = state::find::<Cluster>(service.app.records.as_ref(), id).unwrap().unwrap();
        let security_group_ids = vec![network.default_security_group_id.clone()];
        let cluster = Cluster { security_group_ids, ..found.value };
        service.app.records.apply(&[state::replace(&cluster, found.revision).unwrap()]).unwrap();
    };
    let ids = ["far-c", "far-g-001", "default-c", "default-g-001"];
    ids.iter().for_each(|id| earlier(id));
    for _ in 0..2 {
        crate::operation::mend_security_groups(service.app.records.as_ref()).unwrap();
        let now = ids.map(|id| service.desired(id).security_group_ids.join(" "));
        let default = network.default_security_group_id.clone();
        assert_eq!(now, [group.clone(), group.clone(), default.clone(), default]);
    }
    // The default group of another VPC is one of another VPC.
    service.refused(
        &format!(
            "Action=CreateCacheCluster&CacheClusterId=other&{REDIS}&NumCacheNodes=1&CacheSubnetGroupName=far\
             &SecurityGroupIds.SecurityGroupId.1={}",
            network.default_security_group_id
        ),
        "InvalidParameterCombination",
    );
}
