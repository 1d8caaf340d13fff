//! What happened, for DescribeEvents: kept 14 days and bounded in number.

use serde::{Deserialize, Serialize};

use crate::state::Resource;

/// How long events are kept: 14 days, as ElastiCache does.
pub const KEPT_MS: u64 = 14 * 24 * 3600 * 1000;
/// How many events are kept at most; the oldest go first.
pub const KEPT_MAX: usize = 10_000;

/// What sort of resource an event is about; the words are ElastiCache's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceType {
    /// A cache cluster or one of its nodes.
    CacheCluster,
    /// A parameter group.
    CacheParameterGroup,
    /// A security group of the time before VPCs.
    CacheSecurityGroup,
    /// A subnet group.
    CacheSubnetGroup,
    /// A replication group.
    ReplicationGroup,
    /// A serverless cache.
    ServerlessCache,
    /// A snapshot of a serverless cache.
    ServerlessCacheSnapshot,
    /// A user.
    User,
    /// A user group.
    UserGroup,
}

impl SourceType {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            SourceType::CacheCluster => "cache-cluster",
            SourceType::CacheParameterGroup => "cache-parameter-group",
            SourceType::CacheSecurityGroup => "cache-security-group",
            SourceType::CacheSubnetGroup => "cache-subnet-group",
            SourceType::ReplicationGroup => "replication-group",
            SourceType::ServerlessCache => "serverless-cache",
            SourceType::ServerlessCacheSnapshot => "serverless-cache-snapshot",
            SourceType::User => "user",
            SourceType::UserGroup => "user-group",
        }
    }
}

/// Something that happened. The id orders events by time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in milliseconds of Unix time.
    pub date_ms: u64,
    /// Tells events of one millisecond apart; any number that is unique there.
    pub sequence: u64,
    /// Name of the resource.
    pub source_id: String,
    /// Sort of the resource.
    pub source_type: SourceType,
    /// English, in ElastiCache's words where they are known.
    pub message: String,
    /// Where it is published, if the resource is no more there to say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
}

impl Resource for Event {
    const KIND: &'static str = "event";

    fn id(&self) -> String {
        format!("{:016x}-{:016x}", self.date_ms, self.sequence)
    }
}

/// The id below which an event of that time and all later ones lie; for reading a range of time.
pub fn first_id_at(date_ms: u64) -> String {
    format!("{date_ms:016x}-")
}
