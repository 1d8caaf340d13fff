//! Replication groups: what a request says counts, or is refused.

use super::*;
use crate::metric::catalogue;
use crate::resource::cluster::tests::settled;
use crate::resource::group::{Group, ObservedGroup, ObservedShard};

const GROUP: &str = "Action=CreateReplicationGroup&ReplicationGroupId=g&ReplicationGroupDescription=d";

impl Service {
    fn of(&self, id: &str) -> Cluster {
        state::find(self.app.records.as_ref(), id).unwrap().unwrap().value
    }

    /// A cluster alone that runs in us-east-1a.
    fn alone(&self, id: &str) {
        self.ok(&format!(
            "Action=CreateCacheCluster&CacheClusterId={id}&Engine=redis&CacheNodeType=cache.t3.small&NumCacheNodes=1\
             &PreferredAvailabilityZone=us-east-1a&PreferredMaintenanceWindow=sun:05:00-sun:06:00\
             &SnapshotWindow=07:00-08:00&Tags.Tag.1.Key=own&Tags.Tag.1.Value=1"
        ));
        self.app.records.apply(&[state::create(&settled(&self.of(id))).unwrap()]).unwrap();
    }

    /// As if the driver had done all that is desired of a group of new members.
    fn settle_group(&self, id: &str) {
        let group: Group = state::find(self.app.records.as_ref(), id).unwrap().unwrap().value;
        let mut changes = Vec::new();
        for member in group.members() {
            changes.push(state::put_any(&settled(&self.of(member))).unwrap());
        }
        let shard = ObservedShard { primary: None, ..ObservedShard::default() };
        let observed = ObservedGroup {
            id: group.id.clone(),
            applied_generation: group.generation,
            automatic_failover: group.automatic_failover,
            shards: [("0001".to_owned(), shard)].into(),
            ..ObservedGroup::default()
        };
        changes.push(state::put_any(&observed).unwrap());
        self.app.records.apply(&changes).unwrap();
    }
}

#[test]
fn a_group_around_a_cluster_takes_over_what_the_request_says() {
    let service = Service::new();
    service.alone("one");
    service.ok(
        "Action=CreateCacheParameterGroup&CacheParameterGroupName=mine&CacheParameterGroupFamily=redis7&Description=d",
    );
    let around = format!("{GROUP}&PrimaryClusterId=ONE");
    for (parameters, code) in [
        ("Engine=valkey", "InvalidParameterCombination"),
        ("TransitEncryptionMode=preferred", "InvalidParameterCombination"),
        ("TransitEncryptionEnabled=true", "InvalidParameterCombination"),
        ("PreferredCacheClusterAZs.AvailabilityZone.1=us-east-1b", "InvalidParameterCombination"),
        (
            "NumCacheClusters=3&PreferredCacheClusterAZs.AvailabilityZone.1=us-east-1a",
            "InvalidParameterCombination",
        ),
        ("SecurityGroupIds.SecurityGroupId.1=sg-0", "InvalidParameterValue"),
        ("CacheParameterGroupName=default.redis6.x", "InvalidParameterCombination"),
        ("CacheParameterGroupName=none", "CacheParameterGroupNotFound"),
        (
            "SnapshotWindow=05:00-06:00&PreferredMaintenanceWindow=mon:05:00-mon:06:00",
            "InvalidParameterValue",
        ),
        ("SnapshotRetentionLimit=36", "InvalidParameterValue"),
        ("ReplicasPerNodeGroup=6", "InvalidParameterValue"),
    ] {
        service.refused(&format!("{around}&{parameters}"), code);
        assert_eq!(service.of("one").group, None, "{parameters}");
    }
    service.ok(&format!(
        "{around}&Engine=Redis&ReplicasPerNodeGroup=1&CacheParameterGroupName=mine&SnapshotRetentionLimit=5\
         &PreferredMaintenanceWindow=mon:05:00-mon:06:00&SnapshotWindow=09:00-10:00&AutoMinorVersionUpgrade=false\
         &PreferredCacheClusterAZs.AvailabilityZone.1=us-east-1a\
         &PreferredCacheClusterAZs.AvailabilityZone.2=us-east-1c&Tags.Tag.1.Key=team&Tags.Tag.1.Value=2"
    ));
    for id in ["one", "g-001"] {
        let member = service.of(id);
        let says = (
            member.parameter_group.as_str(),
            member.maintenance_window.as_str(),
            member.snapshot_retention_days,
        );
        assert_eq!(says, ("mine", "mon:05:00-mon:06:00", 5), "{id}");
        let says =
            (member.snapshot_window.as_deref(), member.auto_minor_version_upgrade, member.group.as_deref());
        assert_eq!(says, (Some("09:00-10:00"), false, Some("g")), "{id}");
    }
    assert_eq!(service.of("g-001").preferred_zone(), "us-east-1c");
    let tags = |id: &str| {
        let arn = format!("arn:aws:elasticache:us-east-1:000000000000:cluster:{id}");
        texts(&service.ok(&format!("Action=ListTagsForResource&ResourceName={arn}")), "Key")
    };
    assert_eq!((tags("one"), tags("g-001")), (vec!["own".to_owned()], vec!["team".to_owned()]));
}

#[test]
fn what_is_not_built_is_refused() {
    let service = Service::new();
    let new = format!("{GROUP}&NumCacheClusters=2");
    service.refused(&format!("{new}&CacheNodeType=cache.r6gd.xlarge"), "InvalidParameterCombination");
    service.ok(&format!("{new}&CacheNodeType=cache.t3.micro"));
    service.settle_group("g");
    let modify = "Action=ModifyReplicationGroup&ReplicationGroupId=g";
    service.refused(&format!("{modify}&CacheNodeType=cache.r6gd.xlarge"), "InvalidParameterCombination");
    service.refused(
        &format!("{modify}&ReplicationGroupDescription=x&NodeGroupId=0002"),
        "NodeGroupNotFoundFault",
    );
    service.ok(&format!("{modify}&ReplicationGroupDescription=x&NodeGroupId=0001"));
    service.refused(
        "Action=IncreaseReplicaCount&ReplicationGroupId=g&ApplyImmediately=true\
         &ReplicaConfiguration.ConfigureShard.1.NodeGroupId=0001&ReplicaConfiguration.ConfigureShard.1.NewReplicaCount=2\
         &ReplicaConfiguration.ConfigureShard.1.PreferredOutpostArns.PreferredOutpostArn.1=arn:aws:outposts:x",
        "InvalidParameterCombination",
    );
    assert_eq!(texts(&service.ok("Action=DescribeCacheClusters"), "CacheClusterId"), ["g-001", "g-002"]);
}

#[test]
fn a_node_type_must_have_room_for_what_nobody_may_evict() {
    let service = Service::new();
    service.ok(&format!("{GROUP}&NumCacheClusters=2&CacheNodeType=cache.t3.medium"));
    service.settle_group("g");
    let (number, _) = catalogue::find("BytesUsedForCache").unwrap();
    let gigabyte = vec![("g-002/0001".to_owned(), vec![(number, 1e9)])];
    service.app.metrics.add(NOW_MS / 60_000 - 1, &gigabyte).unwrap();
    let modify = "Action=ModifyReplicationGroup&ReplicationGroupId=g&CacheNodeType";
    let refused = service.refused(&format!("{modify}=cache.t3.micro"), "InvalidParameterCombination");
    assert!(refused.contains("1000000000 bytes"), "{refused}");
    let allowed = service.ok("Action=ListAllowedNodeTypeModifications&CacheClusterId=g-002");
    let allowed = texts(&allowed, "member");
    assert!(
        !allowed.contains(&"cache.t3.micro".to_owned()) && allowed.contains(&"cache.t3.small".to_owned())
    );
    service.ok(&format!("{modify}=cache.t3.small"));
    // A cache in which every key may go becomes smaller by letting some go.
    service.ok(
        "Action=CreateCacheParameterGroup&CacheParameterGroupName=lru&CacheParameterGroupFamily=redis7&Description=d",
    );
    service.ok("Action=ModifyCacheParameterGroup&CacheParameterGroupName=lru\
         &ParameterNameValues.ParameterNameValue.1.ParameterName=maxmemory-policy\
         &ParameterNameValues.ParameterNameValue.1.ParameterValue=allkeys-lru");
    service.ok("Action=ModifyReplicationGroup&ReplicationGroupId=g&CacheParameterGroupName=lru");
    service.settle_group("g");
    service.ok(&format!("{modify}=cache.t3.micro"));
}

#[test]
fn a_primary_that_stays_is_not_opened_to_everybody() {
    let service = Service::new();
    let default =
        "Action=CreateUser&UserId=d1&UserName=default&Engine=redis&AccessString=off&NoPasswordRequired=true";
    service.ok(default);
    service.ok("Action=CreateUserGroup&UserGroupId=team&Engine=redis&UserIds.member.1=d1");
    service.ok(&format!(
        "{GROUP}&NumCacheClusters=2&CacheNodeType=cache.t3.micro&TransitEncryptionEnabled=true&UserGroupIds.member.1=team"
    ));
    service.settle_group("g");
    let delete = "Action=DeleteReplicationGroup&ReplicationGroupId=g";
    service.refused(&format!("{delete}&RetainPrimaryCluster=true"), "InvalidParameterCombination");
    service.ok(delete);
}

#[test]
fn whatever_is_made_changed_or_deleted_is_told_in_an_event() {
    let service = Service::new();
    for call in [
        "CreateUser&UserId=ann&UserName=ann&Engine=valkey&AccessString=on&NoPasswordRequired=true",
        "ModifyUser&UserId=ann&AccessString=off",
        "CreateUserGroup&UserGroupId=team&Engine=valkey",
        "ModifyUserGroup&UserGroupId=team&UserIdsToAdd.member.1=ann",
        "DeleteUserGroup&UserGroupId=team",
        "DeleteUser&UserId=ann",
        "CreateCacheParameterGroup&CacheParameterGroupName=mine&CacheParameterGroupFamily=redis7&Description=d",
        "DeleteCacheParameterGroup&CacheParameterGroupName=mine",
        &format!(
            "CreateCacheSubnetGroup&CacheSubnetGroupName=net&CacheSubnetGroupDescription=d\
             &SubnetIds.SubnetIdentifier.1={}",
            SUBNETS[0]
        ),
        "ModifyCacheSubnetGroup&CacheSubnetGroupName=net&CacheSubnetGroupDescription=e",
        "DeleteCacheSubnetGroup&CacheSubnetGroupName=net",
    ] {
        service.ok(&format!("Action={call}"));
    }
    for (sort, id, what, count) in [
        ("user", "ann", "User", 3),
        ("user-group", "team", "User group", 3),
        ("cache-parameter-group", "mine", "Cache parameter group", 2),
        ("cache-subnet-group", "net", "Cache subnet group", 3),
    ] {
        let events = service.ok(&format!("Action=DescribeEvents&SourceType={sort}&SourceIdentifier={id}"));
        let mut said = texts(&events, "Message");
        said.sort();
        let words = ["created", "deleted", "modified"];
        let expected: Vec<String> = words.iter().take(count).map(|word| format!("{what} {word}")).collect();
        assert_eq!(said, expected, "{sort}");
    }
}

#[test]
fn a_user_group_shows_what_its_caches_still_follow() {
    let service = Service::new();
    for id in ["default", "ann", "bob"] {
        let (id, name) = if id == "default" { ("d1", "default") } else { (id, id) };
        service.ok(&format!(
            "Action=CreateUser&UserId={id}&UserName={name}&Engine=redis&AccessString=off&NoPasswordRequired=true"
        ));
    }
    service
        .ok("Action=CreateUserGroup&UserGroupId=team&Engine=redis&UserIds.member.1=d1&UserIds.member.2=ann");
    let modify =
        "Action=ModifyUserGroup&UserGroupId=team&UserIdsToAdd.member.1=Bob&UserIdsToRemove.member.1=ann";
    let describe = "Action=DescribeUserGroups&UserGroupId=team";
    let back =
        "Action=ModifyUserGroup&UserGroupId=team&UserIdsToAdd.member.1=ann&UserIdsToRemove.member.1=bob";
    let element = |xml: &str, name: &str| {
        let begin = xml.find(&format!("<{name}>"))?;
        let end = xml.find(&format!("</{name}>"))?;
        Some(texts(&xml[begin..end], "member"))
    };
    // Nothing follows it: it is as it should be at once.
    let answer = service.ok(modify);
    assert_eq!(
        (element(&answer, "PendingChanges"), texts(&answer, "Status")),
        (None, vec!["active".to_owned()])
    );
    service.ok(back);

    service.ok(&format!(
        "{GROUP}&NumCacheClusters=2&CacheNodeType=cache.t3.micro&TransitEncryptionEnabled=true&UserGroupIds.member.1=team"
    ));
    service.settle_group("g");
    for xml in [service.ok(modify), service.ok(describe)] {
        assert_eq!(texts(&xml, "Status"), ["modifying"]);
        assert_eq!(element(&xml, "UserIds").unwrap(), ["ann", "d1"]);
        assert_eq!(element(&xml, "UserIdsToAdd").unwrap(), ["bob"]);
        assert_eq!(element(&xml, "UserIdsToRemove").unwrap(), ["ann"]);
    }
    assert_eq!(texts(&service.ok("Action=DescribeUsers&UserId=bob"), "Status"), ["modifying"]);
    service.refused(back, "InvalidUserGroupState");
    service.settle_group("g");
    let now = service.ok(describe);
    assert_eq!(
        (element(&now, "PendingChanges"), element(&now, "UserIds").unwrap()),
        (None, vec!["bob".to_owned(), "d1".to_owned()])
    );
    // Another change of the cache is none of its users.
    service.ok("Action=IncreaseReplicaCount&ReplicationGroupId=g&NewReplicaCount=2&ApplyImmediately=true");
    let busy = service.ok(describe);
    assert_eq!(
        (element(&busy, "PendingChanges"), element(&busy, "UserIds").unwrap()),
        (None, vec!["bob".to_owned(), "d1".to_owned()])
    );
}

#[test]
fn the_key_for_encryption_at_rest_is_kept_and_shown() {
    let service = Service::new();
    const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let new = format!("{GROUP}&NumCacheClusters=2&CacheNodeType=cache.t3.small&KmsKeyId={KEY}");
    service.refused(&new, "InvalidParameterCombination");
    service.refused(&format!("{new}0&AtRestEncryptionEnabled=true"), "InvalidKMSKeyFault");
    let made = service.ok(&format!("{new}&AtRestEncryptionEnabled=true"));
    assert_eq!(
        (texts(&made, "KmsKeyId"), texts(&made, "StorageEncryptionType")),
        (vec![KEY.to_owned()], vec!["sse-kms".to_owned()])
    );
    service.settle_group("g");
    let snapshot = "Action=CreateSnapshot&ReplicationGroupId=g&SnapshotName";
    service.refused(&format!("{snapshot}=s&KmsKeyId=mine"), "InvalidKMSKeyFault");
    assert_eq!(texts(&service.ok(&format!("{snapshot}=s")), "KmsKeyId"), [KEY]);
    let plain = "Action=CreateReplicationGroup&ReplicationGroupId=h&ReplicationGroupDescription=d&CacheNodeType=cache.t3.small";
    for (parameters, kind) in [("Engine=redis", "none"), ("Engine=valkey", "sse-elasticache")] {
        let made = service.ok(&format!("{}&{parameters}", plain.replace("=h&", &format!("=h-{kind}&"))));
        assert_eq!(texts(&made, "StorageEncryptionType"), [kind]);
        assert!(texts(&made, "KmsKeyId").is_empty());
    }
    service.settle_group("h-none");
    let named =
        service.ok("Action=CreateSnapshot&ReplicationGroupId=h-none&SnapshotName=t&KmsKeyId=alias/backups");
    assert_eq!(texts(&named, "KmsKeyId"), ["alias/backups"]);
}

#[test]
fn the_topic_of_a_group_is_that_of_its_members() {
    let mut service = Service::new();
    service.app.notifications = Some(Default::default());
    let arn = "arn:aws:sns:us-east-1:000000000000:caches";
    let topics = |service: &Service| {
        let mut all = Vec::new();
        for member in
            state::find::<Group>(service.app.records.as_ref(), "g").unwrap().unwrap().value.members()
        {
            all.push(service.of(member).topic.map(|topic| (topic.arn.clone(), topic.status())));
        }
        all
    };
    service
        .ok(&format!("{GROUP}&CacheNodeType=cache.t3.small&NumCacheClusters=2&NotificationTopicArn={arn}"));
    assert_eq!(topics(&service), vec![Some((arn.to_owned(), "active")); 2]);
    service.settle_group("g");
    service.ok("Action=IncreaseReplicaCount&ReplicationGroupId=g&NewReplicaCount=2&ApplyImmediately=true");
    assert_eq!(topics(&service), vec![Some((arn.to_owned(), "active")); 3], "a new replica has it, too");
    service.settle_group("g");
    let modify = "Action=ModifyReplicationGroup&ReplicationGroupId=g";
    service.refused(&format!("{modify}&NotificationTopicArn={arn}:x"), "InvalidParameterValue");
    service.ok(&format!("{modify}&NotificationTopicStatus=inactive"));
    assert_eq!(topics(&service), vec![Some((arn.to_owned(), "inactive")); 3]);
    service.app.notifications = None;
    service.refused(&format!("{modify}&NotificationTopicStatus=active"), "InvalidParameterCombination");
}
