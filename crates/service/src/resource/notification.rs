//! Notifications: the topic of a cache, and what ElastiCache calls the events that it publishes there.

use serde::{Deserialize, Serialize};

use super::arn::{is_account, partition};
use super::event::{Event, SourceType};
use super::refusal::Refusal;

/// Longest name of a topic.
const NAME_BYTES_MAX: usize = 256;
/// Words for the status of a topic.
const STATUSES: [&str; 2] = ["active", "inactive"];

/// Where the events of a cache are published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topic {
    /// `arn:aws:sns:{region}:{account}:{name}`.
    pub arn: String,
    /// Whether they are not, for the time being.
    #[serde(default)]
    pub inactive: bool,
}

impl Topic {
    /// `TopicStatus`.
    pub fn status(&self) -> &'static str {
        STATUSES[usize::from(self.inactive)]
    }

    /// The topic, if something is to be published there.
    pub fn active(&self) -> Option<&str> {
        (!self.inactive).then_some(self.arn.as_str())
    }
}

/// Another topic, or another status of the one that is there. A topic lies in the region and account of its cache.
///
/// # Errors
/// `InvalidParameterValue`, `InvalidParameterCombination`.
pub fn change(
    topic: &mut Option<Topic>,
    arn: Option<&str>,
    status: Option<&str>,
    region: &str,
    account: &str,
) -> Result<(), Refusal> {
    if let Some(arn) = arn {
        check_arn(arn, region, account)?;
        *topic = Some(Topic { arn: arn.to_owned(), inactive: false });
    }
    let Some(status) = status else { return Ok(()) };
    let found = STATUSES.iter().position(|word| word.eq_ignore_ascii_case(status)).ok_or_else(|| {
        let shown: String = status.chars().take(32).collect();
        Refusal::value(format!(
            "Invalid NotificationTopicStatus: {shown}. Valid values are active and inactive."
        ))
    })?;
    let Some(topic) = topic else {
        return Err(Refusal::combination(
            "NotificationTopicStatus needs a NotificationTopicArn: the cache has no topic.",
        ));
    };
    topic.inactive = found == 1;
    Ok(())
}

fn check_arn(arn: &str, region: &str, account: &str) -> Result<(), Refusal> {
    let shown: String = arn.chars().take(128).collect();
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", named_partition, "sns", named_region, named_account, name] = parts.as_slice() else {
        return Err(Refusal::value(format!(
            "Invalid NotificationTopicArn: {shown} is not the ARN of a topic."
        )));
    };
    let is_name = (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if !is_name || *named_partition != partition(named_region) || !is_account(named_account) {
        return Err(Refusal::value(format!(
            "Invalid NotificationTopicArn: {shown} is not the ARN of a topic."
        )));
    }
    if *named_region != region || *named_account != account {
        return Err(Refusal::value(format!(
            "Invalid NotificationTopicArn: the topic {shown} is not in region {region} of account {account}."
        )));
    }
    Ok(())
}

/// Beginnings of messages and what ElastiCache calls the notification of such an event. Events that are not here it
/// does not publish either.
const NAMES: [(SourceType, &str, &str); 17] = {
    use SourceType::{CacheCluster as Cluster, ReplicationGroup as Group};
    [
        (Cluster, "Cache cluster created", "CacheClusterProvisioningComplete"),
        (Cluster, "Cache cluster deleted", "DeleteCacheClusterComplete"),
        (Cluster, "Added cache node ", "AddCacheNodeComplete"),
        (Cluster, "Failed to add cache node ", "AddCacheNodeFailed"),
        (Cluster, "Removed cache node ", "RemoveCacheNodeComplete"),
        (Cluster, "Cache node ", "CacheNodesRebooted"),
        (Cluster, "Recovering cache nodes ", "CacheNodeReplaceStarted"),
        (Cluster, "Finished recovery for cache nodes ", "CacheNodeReplaceComplete"),
        (Cluster, "Succeeded applying modification to cache node type ", "CacheClusterScalingComplete"),
        (Cluster, "Updated to use a CacheParameterGroup ", "CacheClusterParametersChanged"),
        (Cluster, "Security groups changed to ", "CacheClusterSecurityGroupModified"),
        (Cluster, "Service update ", "ServiceUpdateAvailableForNode"),
        (Cluster, "Failover from primary node ", "FailoverComplete"),
        (Cluster, "Snapshot succeeded ", "SnapshotComplete"),
        (Cluster, "Snapshot failed ", "SnapshotFailed"),
        (Group, "Snapshot succeeded ", "SnapshotComplete"),
        (Group, "Snapshot failed ", "SnapshotFailed"),
    ]
};

/// What ElastiCache calls the notification of an event, if it publishes such events.
pub fn name_of(event: &Event) -> Option<&'static str> {
    if event.source_type == SourceType::ReplicationGroup && event.message.ends_with(" created") {
        return Some("CreateReplicationGroupComplete");
    }
    let is_reboot = |message: &str| message.ends_with(" shutdown") || message.ends_with(" restarted");
    NAMES
        .iter()
        .find(|(sort, beginning, _)| *sort == event.source_type && event.message.starts_with(beginning))
        .filter(|(_, beginning, _)| *beginning != "Cache node " || is_reboot(&event.message))
        .map(|(_, _, name)| *name)
}

/// The message of a notification, as ElastiCache publishes it: `{"ElastiCache:SnapshotComplete":"sessions"}`.
pub fn message_of(event: &Event) -> Option<String> {
    let name = format!("ElastiCache:{}", name_of(event)?);
    let fields: serde_json::Map<String, serde_json::Value> =
        std::iter::once((name, event.source_id.clone().into())).collect();
    Some(serde_json::Value::Object(fields).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:sns:us-east-1:000000000000:caches";

    fn changed(topic: &Option<Topic>, arn: Option<&str>, status: Option<&str>) -> Result<Topic, Refusal> {
        let mut topic = topic.clone();
        change(&mut topic, arn, status, "us-east-1", "000000000000")?;
        Ok(topic.expect("a topic"))
    }

    #[test]
    fn a_topic_is_named_by_its_arn_and_can_be_silenced() {
        let topic = Some(changed(&None, Some(ARN), None).unwrap());
        assert_eq!(topic.as_ref().unwrap().active(), Some(ARN));
        let silent = changed(&topic, None, Some("inactive")).unwrap();
        assert_eq!((silent.status(), silent.active()), ("inactive", None));
        let other = changed(&Some(silent), Some(&ARN.replace("caches", "others")), None).unwrap();
        assert_eq!(other.status(), "active", "another topic begins active");
    }

    #[test]
    fn what_is_no_topic_of_the_cache_is_refused() {
        for arn in [
            "",
            "caches",
            "arn:aws:sqs:us-east-1:000000000000:caches",
            "arn:aws-cn:sns:us-east-1:000000000000:caches",
            "arn:aws:sns:us-east-1:1:caches",
            "arn:aws:sns:us-east-1:000000000000:",
            "arn:aws:sns:us-east-1:000000000000:caches.fifo",
            "arn:aws:sns:us-east-1:000000000000:caches:6f2b1a40-0000-0000-0000-000000000000",
            "arn:aws:sns:eu-west-1:000000000000:caches",
            "arn:aws:sns:us-east-1:111111111111:caches",
        ] {
            assert_eq!(changed(&None, Some(arn), None).unwrap_err().code, "InvalidParameterValue", "{arn}");
        }
        let refused = |arn, status| changed(&None, arn, Some(status)).unwrap_err().code;
        assert_eq!(refused(Some(ARN), "on"), "InvalidParameterValue");
        assert_eq!(refused(None, "active"), "InvalidParameterCombination");
    }

    #[test]
    fn events_have_the_names_of_elasticache() {
        let of = |source_type, message: &str| {
            let message = message.to_owned();
            message_of(&Event {
                date_ms: 1,
                sequence: 1,
                source_id: "a".into(),
                source_type,
                message,
                topic: None,
            })
        };
        let cluster = |message| of(SourceType::CacheCluster, message);
        let snapshot = "Snapshot succeeded for snapshot with ID 's' of cache cluster with ID 'a'";
        assert_eq!(cluster(snapshot).as_deref(), Some(r#"{"ElastiCache:SnapshotComplete":"a"}"#));
        let reboot = Some(r#"{"ElastiCache:CacheNodesRebooted":"a"}"#);
        assert_eq!(cluster("Cache node 0001 restarted").as_deref(), reboot);
        assert_eq!(cluster("Cache node 0001 refused the access string of the user ann"), None);
        assert_eq!(
            of(SourceType::ReplicationGroup, "Replication group a created").as_deref(),
            Some(r#"{"ElastiCache:CreateReplicationGroupComplete":"a"}"#)
        );
        assert_eq!(of(SourceType::User, "User modified"), None);
    }
}
