//! Answers of calls that change something, where the driver is done with the change before the answer is written: they
//! tell of the change, as if nothing had come of it yet.

use tokio::sync::watch;

use super::*;
use crate::resource::cluster::tests::settled;
use crate::resource::group::{Acting, Group, ObservedGroup, ObservedMember, ObservedShard};
use crate::resource::log_delivery::{InForce, LogDelivery, ObservedDeliveries};
use crate::resource::node::Observed;
use crate::resource::snapshot::{ObservedSnapshot, Phase, Snapshot};
use crate::state::{Change, Expect, Page, Record, Records, Resource, StateError, find, put_any, remove};

/// Records in which all that is desired is there as soon as it was asked for.
struct Hasty(Arc<dyn Records>);

impl Records for Hasty {
    fn get(&self, kind: &str, id: &str) -> Result<Option<Record>, StateError> {
        self.0.get(kind, id)
    }

    fn list(&self, kind: &str, page: Page<'_>) -> Result<Vec<Record>, StateError> {
        self.0.list(kind, page)
    }

    fn apply(&self, changes: &[Change]) -> Result<u64, StateError> {
        let revision = self.0.apply(changes)?;
        for change in changes {
            match change.kind.as_str() {
                Cluster::KIND => self.cluster(&change.id)?,
                Group::KIND => self.group(&change.id)?,
                Snapshot::KIND => self.snapshot(&change.id)?,
                _ => {}
            }
        }
        Ok(revision)
    }

    fn watch(&self, kind: &str) -> watch::Receiver<u64> {
        self.0.watch(kind)
    }
}

impl Hasty {
    fn cluster(&self, id: &str) -> Result<(), StateError> {
        let Some(cluster) = find::<Cluster>(self.0.as_ref(), id)?.map(|stored| stored.value) else {
            return Ok(());
        };
        if cluster.deleting {
            self.0.apply(&[
                remove::<Cluster>(id, Expect::Anything),
                remove::<Observed>(id, Expect::Anything),
            ])?;
            return Ok(());
        }
        let in_force = |delivery: &LogDelivery| InForce { delivery: delivery.clone(), failure: None };
        let logs = cluster.log_delivery.iter().map(|(log, delivery)| (*log, in_force(delivery))).collect();
        let deliveries = ObservedDeliveries { cluster: id.to_owned(), logs, ..Default::default() };
        let observed = Observed { snapshots: cluster.snapshots, ..settled(&cluster) };
        self.0.apply(&[put_any(&observed)?, put_any(&deliveries)?]).map(drop)
    }

    fn group(&self, id: &str) -> Result<(), StateError> {
        let Some(group) = find::<Group>(self.0.as_ref(), id)?.map(|stored| stored.value) else {
            return Ok(());
        };
        if group.deleting {
            return self.0.apply(&[remove::<Group>(id, Expect::Anything)]).map(drop);
        }
        let shard = |(id, shard): (&String, &crate::resource::group::Shard)| {
            let acting = |cluster: &String| Acting {
                cluster: cluster.clone(),
                run_id: "r".into(),
                process: None,
                history: String::new(),
                reboots: 0,
            };
            let observed = ObservedShard {
                primary: shard.members.first().map(acting),
                members: shard.members.iter().skip(1).map(|id| (id.clone(), in_sync())).collect(),
                promotions: shard.promotions,
                failovers: shard.failovers,
                ..Default::default()
            };
            (id.clone(), observed)
        };
        let observed = ObservedGroup {
            id: id.to_owned(),
            applied_generation: group.generation,
            automatic_failover: group.automatic_failover,
            members: group.members().count(),
            user_group: group.user_group.clone(),
            shards: group.shards.iter().map(shard).collect(),
            snapshots: group.snapshots,
            step: None,
        };
        self.0.apply(&[put_any(&observed)?]).map(drop)
    }

    fn snapshot(&self, id: &str) -> Result<(), StateError> {
        let Some(snapshot) = find::<Snapshot>(self.0.as_ref(), id)?.map(|stored| stored.value) else {
            return Ok(());
        };
        if snapshot.deleting {
            return self.0.apply(&[remove::<Snapshot>(id, Expect::Anything)]).map(drop);
        }
        let observed = ObservedSnapshot {
            name: id.to_owned(),
            phase: Phase::Done,
            taken_ms: NOW_MS,
            bytes: 1,
            sha256: String::new(),
            exports: snapshot.exports,
            failure: None,
        };
        self.0.apply(&[put_any(&observed)?]).map(drop)
    }
}

fn in_sync() -> ObservedMember {
    ObservedMember { synced_run_id: Some("r".into()), online: true, ..ObservedMember::default() }
}

fn hasty() -> Service {
    let mut service = Service::new();
    service.app.records = Arc::new(Hasty(Arc::clone(&service.app.records)));
    service
}

#[track_caller]
fn told(xml: &str, element: &str, expected: &str) {
    assert_eq!(texts(xml, element).first().map(String::as_str), Some(expected), "{xml}");
}

#[test]
fn of_a_cluster() {
    let service = hasty();
    let logs = |log: &str| format!("&LogDeliveryConfigurations.LogDeliveryConfigurationRequest.1.{log}");
    let to = [
        "LogType=slow-log",
        "DestinationType=kinesis-firehose",
        "DestinationDetails.KinesisFirehoseDetails.DeliveryStream=s",
        "LogFormat=json",
    ];
    let wanted: String = to.iter().map(|part| logs(part)).collect();
    let made = service.ok(&format!(
        "Action=CreateCacheCluster&CacheClusterId=a&Engine=redis&CacheNodeType=cache.t3.micro&NumCacheNodes=1{wanted}"
    ));
    told(&made, "CacheClusterStatus", "creating");
    let delivery =
        |xml: &str| texts(xml, "Status").into_iter().filter(|word| word != "active").collect::<Vec<_>>();
    assert_eq!(delivery(&made), ["enabling"]);
    let change = "Action=ModifyCacheCluster&CacheClusterId=a&ApplyImmediately=true";
    let text = wanted.replace("json", "text");
    assert_eq!(delivery(&service.ok(&format!("{change}{text}"))), ["modifying"]);
    let off = format!("{}{}", logs("LogType=slow-log"), logs("Enabled=false"));
    assert_eq!(delivery(&service.ok(&format!("{change}{off}"))), ["disabling"]);
    assert_eq!(delivery(&service.ok(change)), Vec::<String>::new());
    told(&service.ok(&format!("{change}&CacheNodeType=cache.t3.small")), "CacheClusterStatus", "modifying");
    let reboot = "Action=RebootCacheCluster&CacheClusterId=a&CacheNodeIdsToReboot.CacheNodeId.1=0001";
    told(&service.ok(reboot), "CacheClusterStatus", "rebooting cluster nodes");
    told(&service.ok("Action=DeleteCacheCluster&CacheClusterId=a"), "CacheClusterStatus", "deleting");
    service.refused("Action=DescribeCacheClusters&CacheClusterId=a", "CacheClusterNotFound");
}

#[test]
fn of_a_group() {
    let service = hasty();
    let made = service.ok(
        "Action=CreateReplicationGroup&ReplicationGroupId=g&ReplicationGroupDescription=d&NumCacheClusters=2\
         &AutomaticFailoverEnabled=true&CacheNodeType=cache.t3.micro&Engine=redis",
    );
    told(&made, "Status", "creating");
    told(&made, "AutomaticFailover", "enabling");
    assert_eq!(texts(&made, "ClusterId"), ["g-001", "g-002"]);
    let change = "Action=ModifyReplicationGroup&ReplicationGroupId=g&ApplyImmediately=true";
    for more in ["&CacheNodeType=cache.t3.small", "&MultiAZEnabled=true"] {
        told(&service.ok(&format!("{change}{more}")), "Status", "modifying");
    }
    let more = service
        .ok("Action=IncreaseReplicaCount&ReplicationGroupId=g&NewReplicaCount=3&ApplyImmediately=true");
    told(&more, "Status", "modifying");
    assert_eq!(texts(&more, "ClusterId"), ["g-001", "g-002", "g-003", "g-004"]);
    assert_eq!(texts(&more, "PreferredAvailabilityZone").len(), 4, "{more}");
    let joined = service.ok("Action=CreateCacheCluster&CacheClusterId=h&ReplicationGroupId=g");
    told(&joined, "CacheClusterId", "h");
    told(&joined, "CacheClusterStatus", "creating");
    told(&service.ok("Action=TestFailover&ReplicationGroupId=g&NodeGroupId=0001"), "Status", "modifying");
    let fewer = service
        .ok("Action=DecreaseReplicaCount&ReplicationGroupId=g&NewReplicaCount=1&ApplyImmediately=true");
    told(&fewer, "Status", "modifying");
    assert_eq!(texts(&fewer, "ClusterId").len(), 2);
    told(&service.ok("Action=DeleteReplicationGroup&ReplicationGroupId=g"), "Status", "deleting");
    service.refused("Action=DescribeReplicationGroups&ReplicationGroupId=g", "ReplicationGroupNotFoundFault");
}

#[test]
fn of_a_snapshot() {
    let service = hasty();
    service.ok(
        "Action=CreateCacheCluster&CacheClusterId=a&Engine=redis&CacheNodeType=cache.t3.micro&NumCacheNodes=1",
    );
    let status = |form: &str, expected: &str| told(&service.ok(form), "SnapshotStatus", expected);
    status("Action=CreateSnapshot&CacheClusterId=a&SnapshotName=s1", "creating");
    status("Action=CopySnapshot&SourceSnapshotName=s1&TargetSnapshotName=s2", "copying");
    status("Action=DeleteSnapshot&SnapshotName=s2", "deleting");
    service.refused("Action=DescribeSnapshots&SnapshotName=s2", "SnapshotNotFoundFault");
    service.ok(
        "Action=CreateReplicationGroup&ReplicationGroupId=g&ReplicationGroupDescription=d&NumCacheClusters=2\
         &CacheNodeType=cache.t3.micro&Engine=redis",
    );
    status("Action=CreateSnapshot&ReplicationGroupId=g&SnapshotName=s3", "creating");
    told(
        &service.ok("Action=DeleteCacheCluster&CacheClusterId=a&FinalSnapshotIdentifier=s4"),
        "CacheClusterStatus",
        "deleting",
    );
    told(
        &service.ok("Action=DeleteReplicationGroup&ReplicationGroupId=g&FinalSnapshotIdentifier=s5"),
        "Status",
        "deleting",
    );
}

#[test]
fn of_a_user() {
    let service = hasty();
    let user =
        "Action=CreateUser&UserId=ann&UserName=ann&Engine=redis&AccessString=on&NoPasswordRequired=true";
    told(&service.ok(user), "Status", "active");
    let change = "Action=ModifyUser&UserId=ann&AppendAccessString=";
    told(&service.ok(&format!("{change}%2Bget")), "Status", "active");
    let group =
        "Action=CreateUserGroup&UserGroupId=team&Engine=redis&UserIds.member.1=default&UserIds.member.2=ann";
    told(&service.ok(group), "Status", "creating");
    service.ok(
        "Action=CreateReplicationGroup&ReplicationGroupId=g&ReplicationGroupDescription=d&NumCacheClusters=1\
         &CacheNodeType=cache.t3.micro&Engine=redis&TransitEncryptionEnabled=true&UserGroupIds.member.1=team",
    );
    told(&service.ok(&format!("{change}%2Bset")), "Status", "modifying");
    let leave = "Action=ModifyUserGroup&UserGroupId=team&UserIdsToRemove.member.1=ann";
    told(&service.ok(leave), "Status", "modifying");
    told(&service.ok("Action=DescribeUserGroups&UserGroupId=team"), "Status", "active");
    told(&service.ok("Action=DeleteUser&UserId=ann"), "Status", "deleting");
}
