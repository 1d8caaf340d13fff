//! Every operation that changes something, among five hundred caches: what each call reads, and how long it takes, as in
//! [`super::many`]. The calls stand in an order in which each finds what it needs; drivers are played in between.

use super::many::{CACHES, SNAPSHOTS, TURNS, USER_GROUPS, USERS, many, measured_for};
use super::*;
use crate::resource::cluster::tests::settled;
use crate::resource::group::{Acting, Group, ObservedGroup, ObservedMember, ObservedShard};
use crate::resource::reserved::offerings;
use crate::state::{list_all, put_any};

/// Tests of a failover that the service grants in a day.
const FAILOVERS: usize = 15;

/// As if the drivers had done all that is desired.
fn settle(service: &Service) {
    let records = service.app.records.as_ref();
    let mut changes = Vec::new();
    for stored in list_all::<Cluster>(records).unwrap() {
        changes.push(put_any(&settled(&stored.value)).unwrap());
    }
    for stored in list_all::<Group>(records).unwrap() {
        let group = stored.value;
        let mut shard = ObservedShard::default();
        for (turn, member) in group.members().enumerate() {
            if turn == 0 {
                let acting = Acting {
                    cluster: member.clone(),
                    run_id: String::new(),
                    process: None,
                    history: String::new(),
                    reboots: 0,
                };
                shard.primary = Some(acting);
            } else {
                let in_sync = ObservedMember { online: true, ..ObservedMember::default() };
                shard.members.insert(member.clone(), in_sync);
            }
        }
        let observed = ObservedGroup {
            id: group.id.clone(),
            applied_generation: group.generation,
            automatic_failover: group.automatic_failover,
            user_group: group.user_group.clone(),
            snapshots: group.snapshots,
            shards: [("0001".to_owned(), shard)].into(),
            ..ObservedGroup::default()
        };
        changes.push(put_any(&observed).unwrap());
    }
    records.apply(&changes).unwrap();
}

#[test]
fn changes_read_no_more_than_they_must() {
    let (service, counted) = many();
    let all = CACHES + 4 * TURNS + 20;
    // Which groups of users are attached to which caches.
    let attached = USER_GROUPS + 2 * (CACHES / 5 + TURNS) + 20;
    let arn = |turn: usize| format!("arn:aws:elasticache:us-east-1:000000000000:cluster:cache-{turn:03}");
    const MINE: &str = "ParameterNameValues.ParameterNameValue.1.ParameterName=timeout";
    let offering = &offerings()[0].id;
    let subnet = SUBNETS[0];
    let of_group = |action: &str, turn: usize| format!("{action}&ReplicationGroupId=group-{turn:03}");
    // The name of each call, what it needs to have been settled before it, its form, and the most that it may read.
    type Call<'a> = (&'a str, bool, &'a dyn Fn(usize) -> String, usize);
    let calls: &[Call<'_>] = &[
        (
            "AddTagsToResource",
            false,
            &|n| format!("&ResourceName={}&Tags.Tag.1.Key=team&Tags.Tag.1.Value=x", arn(n)),
            8,
        ),
        ("RemoveTagsFromResource", false, &|n| format!("&ResourceName={}&TagKeys.member.1=team", arn(n)), 8),
        (
            "CreateCacheParameterGroup",
            false,
            &|n| format!("&CacheParameterGroupName=pg-{n}&CacheParameterGroupFamily=redis7&Description=d"),
            TURNS + 8,
        ),
        (
            "ModifyCacheParameterGroup",
            false,
            &|n| {
                format!(
                    "&CacheParameterGroupName=pg-{n}&{MINE}&ParameterNameValues.ParameterNameValue.1.ParameterValue=60"
                )
            },
            all + TURNS,
        ),
        (
            "ResetCacheParameterGroup",
            false,
            &|n| format!("&CacheParameterGroupName=pg-{n}&ResetAllParameters=true"),
            all + TURNS,
        ),
        ("DeleteCacheParameterGroup", false, &|n| format!("&CacheParameterGroupName=pg-{n}"), all),
        (
            "CreateCacheSubnetGroup",
            false,
            &|n| {
                format!(
                    "&CacheSubnetGroupName=net-{n}&CacheSubnetGroupDescription=d&SubnetIds.SubnetIdentifier.1={subnet}"
                )
            },
            TURNS + 8,
        ),
        (
            "ModifyCacheSubnetGroup",
            false,
            &|n| format!("&CacheSubnetGroupName=net-{n}&CacheSubnetGroupDescription=e"),
            all,
        ),
        ("DeleteCacheSubnetGroup", false, &|n| format!("&CacheSubnetGroupName=net-{n}"), all),
        (
            "CreateUser",
            false,
            &|n| {
                format!(
                    "&UserId=new-{n}&UserName=new-{n}&Engine=redis&AccessString=on&NoPasswordRequired=true"
                )
            },
            USERS + TURNS + attached,
        ),
        (
            "CreateUserGroup",
            false,
            &|n| format!("&UserGroupId=crew-{n}&Engine=redis&UserIds.member.1=default"),
            USER_GROUPS + 2 * TURNS + attached,
        ),
        (
            "ModifyUserGroup",
            false,
            &|n| format!("&UserGroupId=crew-{n}&UserIdsToAdd.member.1=new-{n}"),
            2 * (USER_GROUPS + TURNS) + 3 * attached,
        ),
        (
            "DeleteUserGroup",
            false,
            &|n| format!("&UserGroupId=crew-{n}"),
            2 * (USER_GROUPS + TURNS) + 3 * attached,
        ),
        (
            "DeleteUser",
            false,
            &|n| format!("&UserId=new-{n}"),
            USERS + USER_GROUPS + 2 * TURNS + 3 * attached,
        ),
        (
            "CopySnapshot",
            false,
            &|n| format!("&SourceSnapshotName=snapshot-{n:03}&TargetSnapshotName=copy-{n}"),
            2 * SNAPSHOTS + CACHES + 2 * TURNS,
        ),
        (
            "DeleteSnapshot",
            false,
            &|n| format!("&SnapshotName=snapshot-{:03}", 100 + n),
            2 * SNAPSHOTS + CACHES + 2 * TURNS,
        ),
        (
            "PurchaseReservedCacheNodesOffering",
            false,
            &|n| {
                format!("&ReservedCacheNodesOfferingId={offering}&ReservedCacheNodeId=r-{n}&CacheNodeCount=1")
            },
            TURNS + 8,
        ),
        (
            "CreateReplicationGroup",
            false,
            &|n| {
                format!(
                    "&ReplicationGroupId=new-{n}&ReplicationGroupDescription=d&Engine=redis\
                     &CacheNodeType=cache.t3.micro&NumCacheClusters=2&AutomaticFailoverEnabled=true"
                )
            },
            all,
        ),
        ("TestFailover", true, &|n| format!("&ReplicationGroupId=new-{n}&NodeGroupId=0001"), 16),
        (
            "IncreaseReplicaCount",
            true,
            &|n| of_group("", n) + "&NewReplicaCount=1&ApplyImmediately=true",
            all,
        ),
        ("DecreaseReplicaCount", true, &|n| of_group("", n) + "&NewReplicaCount=0&ApplyImmediately=true", 16),
        (
            "RebootCacheCluster",
            true,
            &|n| format!("&CacheClusterId=cache-{:03}&CacheNodeIdsToReboot.CacheNodeId.1=0001", 100 + n),
            8,
        ),
        (
            "BatchApplyUpdateAction",
            true,
            &|n| format!("&ServiceUpdateName=larder-0.2.0&CacheClusterIds.member.1=cache-{:03}", 200 + n),
            16,
        ),
        (
            "BatchStopUpdateAction",
            false,
            &|n| format!("&ServiceUpdateName=larder-0.2.0&CacheClusterIds.member.1=cache-{:03}", 200 + n),
            16,
        ),
        ("DeleteReplicationGroup", true, &|n| of_group("", n), 16),
    ];
    for (name, needs_settled, form, most) in calls {
        if *needs_settled {
            settle(&service);
        }
        let turns = if *name == "TestFailover" { TURNS.min(FAILOVERS) } else { TURNS };
        let read = measured_for(turns, name, &counted, |turn| {
            service.call(&format!("Action={name}{}", form(turn))).unwrap();
        });
        assert!(read <= *most, "{name} reads {read} records");
    }
    let measured: Vec<&str> = calls.iter().map(|(name, ..)| *name).collect();
    // These stand in `many`, or are refused whatever they say.
    let elsewhere = |name: &str| {
        ["Describe", "List"].iter().any(|verb| name.starts_with(verb))
            || name.contains("CacheSecurityGroup")
            || ["CreateCacheCluster", "ModifyCacheCluster", "DeleteCacheCluster"].contains(&name)
            || ["CreateSnapshot", "ModifyReplicationGroup", "ModifyUser"].contains(&name)
    };
    let built = super::super::table::OPERATIONS.iter().filter(|operation| operation.run.is_some());
    let missing: Vec<&str> = built
        .map(|operation| operation.name)
        .filter(|name| !elsewhere(name) && !measured.contains(name))
        .collect();
    assert!(missing.is_empty(), "nobody measures {missing:?}");
}
