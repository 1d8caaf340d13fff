//! A snapshot of a cache as it is *desired* and as it is *observed*, with the rules of the operations on snapshots.
//!
//! The file of a snapshot is the business of [`crate::vault`]; here it has a size and a checksum. What the cache
//! was like is kept whole, so that a new one can be made like it when the old one is long gone.

use serde::{Deserialize, Serialize};

use super::cluster::{Cluster, Engine};
use super::group::Group;
use super::refusal::Refusal;
use crate::state::Resource;

/// Sort of resource in ARNs.
pub const SORT: &str = "snapshot";
/// How the names of automatic snapshots begin. No name that a user gives can have the dot.
pub const AUTOMATIC_PREFIX: &str = "automatic.";
/// Snapshots by hand of one node within `MANUAL_WITHIN_MS`.
pub const MANUAL_MAX: usize = 20;
/// The time in which they are counted: a day.
pub const MANUAL_WITHIN_MS: u64 = 24 * 3600 * 1000;
/// Longest name.
const NAME_BYTES_MAX: usize = 255;
/// Longest name of an object in a bucket.
const OBJECT_BYTES_MAX: usize = 1024;

/// The replication group that a snapshot was taken of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupThen {
    /// Its identifier.
    pub id: String,
    /// Its description.
    pub description: String,
    /// Whether it had automatic failover.
    pub automatic_failover: bool,
    /// When it was created, Unix milliseconds: tells it from a later one of the same name.
    pub created_ms: u64,
    /// Which of the snapshots of the group it is.
    pub number: u64,
}

/// Where the data of a snapshot come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// From the running cache.
    Cache,
    /// From another snapshot.
    Copy {
        /// Its name.
        of: String,
    },
}

/// An object in a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// The bucket.
    pub bucket: String,
    /// The object's name there.
    pub key: String,
}

/// A snapshot as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its name, lower case.
    pub name: String,
    /// When it was asked for, Unix milliseconds.
    pub created_ms: u64,
    /// Whether the service made it by itself.
    pub automatic: bool,
    /// Set once; from then on everything of it goes away.
    pub deleting: bool,
    /// Where its data come from.
    pub origin: Origin,
    /// The cluster that it was taken of, as it was then: of a group, the member that was to give the data.
    pub cluster: Cluster,
    /// The group, if it was taken of one.
    pub group: Option<GroupThen>,
    /// VPC of the cache.
    pub vpc_id: Option<String>,
    /// Number of exports that were asked for.
    pub exports: u64,
    /// Where the newest of them goes.
    pub export: Option<Object>,
    /// The key for encryption at rest that was named for it, or that its cache had.
    #[serde(default)]
    pub kms_key: Option<String>,
}

impl Resource for Snapshot {
    const KIND: &'static str = "snapshot";

    fn id(&self) -> String {
        self.name.clone()
    }
}

/// How far a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum Phase {
    /// Its file is being made.
    #[default]
    Working,
    /// Its file is there.
    Done,
    /// There will be no file.
    Failed,
}

/// A snapshot as it is. Written by its driver only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedSnapshot {
    /// Its name.
    pub name: String,
    /// How far it is.
    pub phase: Phase,
    /// When its data were complete, Unix milliseconds.
    pub taken_ms: u64,
    /// Size of its file.
    pub bytes: u64,
    /// SHA-256 of its file, in hexadecimal digits.
    pub sha256: String,
    /// Exports that were made, or given up.
    pub exports: u64,
    /// What went wrong last.
    pub failure: Option<String>,
}

impl Resource for ObservedSnapshot {
    const KIND: &'static str = "snapshot-observed";

    fn id(&self) -> String {
        self.name.clone()
    }
}

/// Where the first data of a cache come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seed {
    /// From a snapshot.
    Snapshot {
        /// Its name.
        name: String,
    },
    /// From an RDB file in a bucket.
    Object(Object),
}

/// Who else has to do with a snapshot at a moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Use {
    /// Whether a copy of it is being made.
    pub copying: bool,
    /// Whether a cache is being made from it.
    pub restoring: bool,
}

impl Snapshot {
    /// A snapshot that is to be taken of the cluster, or of the group whose member it is.
    pub fn of(name: &str, cluster: &Cluster, group: Option<&Group>, now_ms: u64) -> Snapshot {
        let then = |group: &Group| GroupThen {
            id: group.id.clone(),
            description: group.description.clone(),
            automatic_failover: group.automatic_failover,
            created_ms: group.created_ms,
            number: group.snapshots,
        };
        Snapshot {
            name: name.to_owned(),
            created_ms: now_ms,
            automatic: name.starts_with(AUTOMATIC_PREFIX),
            deleting: false,
            origin: Origin::Cache,
            cluster: cluster.clone(),
            group: group.map(then),
            vpc_id: None,
            exports: 0,
            export: None,
            kms_key: group.and_then(|group| group.kms_key.clone()),
        }
    }

    /// The word of the API for its status.
    pub fn status(&self, observed: Option<&ObservedSnapshot>, in_use: Use) -> &'static str {
        let phase = observed.map_or(Phase::Working, |observed| observed.phase);
        match phase {
            _ if self.deleting => "deleting",
            Phase::Failed => "failed",
            Phase::Working if matches!(self.origin, Origin::Copy { .. }) => "copying",
            Phase::Working => "creating",
            Phase::Done if self.exports > observed.map_or(0, |observed| observed.exports) => "exporting",
            Phase::Done if in_use.copying => "copying",
            Phase::Done if in_use.restoring => "restoring",
            Phase::Done => "available",
        }
    }

    /// Whether something is left to be done for it.
    pub fn has_work(&self, observed: Option<&ObservedSnapshot>) -> bool {
        self.deleting
            || match observed {
                None => true,
                Some(observed) => match observed.phase {
                    Phase::Working => true,
                    Phase::Done => self.exports > observed.exports,
                    Phase::Failed => false,
                },
            }
    }

    /// Name of the cache that it was taken of: the group, or the cluster.
    pub fn cache_id(&self) -> &str {
        self.group.as_ref().map_or(&self.cluster.id, |group| &group.id)
    }

    /// When that cache was created.
    pub fn cache_created_ms(&self) -> u64 {
        self.group.as_ref().map_or(self.cluster.created_ms, |group| group.created_ms)
    }
}

/// A name that a user gives a snapshot, in its stored form (lower case).
///
/// # Errors
/// `InvalidParameterValue`.
pub fn identifier(parameter: &str, text: &str) -> Result<String, Refusal> {
    super::identifier::identifier(parameter, text, NAME_BYTES_MAX)
}

/// The name of a bucket, which is also that of a folder.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn bucket(text: &str) -> Result<&str, Refusal> {
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    let ends_well = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = (3..=63).contains(&text.len())
        && text.bytes().all(is_inner)
        && text.starts_with(ends_well)
        && text.ends_with(ends_well)
        && !text.contains("..");
    if fits {
        return Ok(text);
    }
    let shown: String = text.chars().take(64).collect();
    Err(Refusal::value(format!("The S3 bucket name {shown} is not valid.")))
}

/// Reads `arn:aws:s3:::bucket/key.rdb`.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn object(arn: &str) -> Result<Object, Refusal> {
    let shown = || arn.chars().take(128).collect::<String>();
    let bad = || Refusal::value(format!("The SnapshotArn {} is not valid.", shown()));
    let rest = arn.strip_prefix("arn:").and_then(|rest| rest.split_once(":s3:::")).ok_or_else(bad)?;
    let (name, key) = rest.1.split_once('/').ok_or_else(bad)?;
    let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
    let fits = key.len() <= OBJECT_BYTES_MAX
        && key.split('/').all(is_part)
        && !key.contains([',', '\\'])
        && !key.chars().any(char::is_control);
    if !fits {
        return Err(bad());
    }
    Ok(Object { bucket: bucket(name)?.to_owned(), key: key.to_owned() })
}

/// Only redis and valkey have snapshots, and not on the smallest type of all.
///
/// # Errors
/// `SnapshotFeatureNotSupportedFault`.
pub fn check_supported(cluster: &Cluster) -> Result<(), Refusal> {
    let message = match cluster.engine {
        Engine::Memcached => "Snapshots are not supported for memcached clusters.",
        Engine::Redis | Engine::Valkey if cluster.node_type == "cache.t1.micro" => {
            "Snapshots are not supported for the node type cache.t1.micro."
        }
        Engine::Redis | Engine::Valkey => return Ok(()),
    };
    Err(Refusal::new("SnapshotFeatureNotSupportedFault", message))
}

/// A new cache can have the engine and the version of the snapshot, or later ones.
///
/// # Errors
/// `InvalidParameterCombination`.
pub fn check_version(snapshot: &Snapshot, engine: Engine, version: &str) -> Result<(), Refusal> {
    let then = &snapshot.cluster;
    let numbers =
        |version: &str| -> Vec<u32> { version.split('.').map(|part| part.parse().unwrap_or(0)).collect() };
    let fits = match (then.engine, engine) {
        (Engine::Redis, Engine::Valkey) => true,
        (before, now) => before == now && numbers(version) >= numbers(&then.engine_version),
    };
    if fits {
        return Ok(());
    }
    Err(Refusal::combination(format!(
        "Snapshot {} was taken with {} {} and cannot be restored into {} {version}.",
        snapshot.name,
        then.engine.as_str(),
        then.engine_version,
        engine.as_str()
    )))
}

/// Name of the automatic snapshot of a cache at a moment: `automatic.<cache>-YYYY-MM-DD-hh-mm`.
pub fn automatic_name(cache: &str, now_ms: u64) -> String {
    let moment = i64::try_from(now_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let moment = moment.unwrap_or_default().strftime("%Y-%m-%d-%H-%M");
    format!("{AUTOMATIC_PREFIX}{cache}-{moment}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::cluster::tests::redis;

    #[test]
    fn the_status_follows_from_what_is_wanted_and_what_is() {
        let mut snapshot = Snapshot::of("s", &redis(), None, 1);
        let nothing = Use::default();
        assert_eq!(snapshot.status(None, nothing), "creating");
        let mut observed = ObservedSnapshot { phase: Phase::Done, ..ObservedSnapshot::default() };
        assert_eq!(snapshot.status(Some(&observed), nothing), "available");
        assert!(!snapshot.has_work(Some(&observed)));
        assert_eq!(snapshot.status(Some(&observed), Use { restoring: true, copying: false }), "restoring");
        assert_eq!(snapshot.status(Some(&observed), Use { restoring: false, copying: true }), "copying");
        snapshot.exports = 1;
        assert_eq!(snapshot.status(Some(&observed), nothing), "exporting");
        assert!(snapshot.has_work(Some(&observed)));
        observed.phase = Phase::Failed;
        assert_eq!(snapshot.status(Some(&observed), nothing), "failed");
        snapshot.deleting = true;
        assert_eq!(snapshot.status(Some(&observed), nothing), "deleting");
        let copy =
            Snapshot { origin: Origin::Copy { of: "s".into() }, ..Snapshot::of("t", &redis(), None, 1) };
        assert_eq!(copy.status(None, nothing), "copying");
    }

    #[test]
    fn names_buckets_and_objects_are_checked() {
        assert_eq!(identifier("SnapshotName", "Nightly-1").unwrap(), "nightly-1");
        for bad in ["", "1a", "a-", "a--b", "a.b", "../a", &"a".repeat(256)] {
            assert!(identifier("SnapshotName", bad).is_err(), "{bad}");
        }
        for bad in ["", "ab", "A-bucket", "../etc", "a..b", "-ab", "ab/c", &"a".repeat(64)] {
            assert!(bucket(bad).is_err(), "{bad}");
        }
        let found = object("arn:aws:s3:::my-bucket/folder/dump.rdb").unwrap();
        assert_eq!((found.bucket.as_str(), found.key.as_str()), ("my-bucket", "folder/dump.rdb"));
        for bad in [
            "",
            "arn:aws:s3:::b",
            "arn:aws:s3:::bucket/",
            "arn:aws:s3:::bucket/../x",
            "arn:aws:s3:::bucket/a,b",
            "arn:aws:s3:::bucket//x",
            "x",
        ] {
            assert!(object(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_go_up_only() {
        let snapshot = Snapshot::of("s", &Cluster { engine_version: "7.0.7".into(), ..redis() }, None, 1);
        for (engine, version, fits) in [
            (Engine::Redis, "7.0.7", true),
            (Engine::Redis, "7.1.0", true),
            (Engine::Redis, "6.2.6", false),
            (Engine::Valkey, "7.2.6", true),
        ] {
            assert_eq!(check_version(&snapshot, engine, version).is_ok(), fits, "{version}");
        }
        let valkey = Snapshot { cluster: Cluster { engine: Engine::Valkey, ..redis() }, ..snapshot };
        assert!(check_version(&valkey, Engine::Redis, "7.1.0").is_err());
    }

    #[test]
    fn automatic_names_carry_the_minute() {
        assert_eq!(automatic_name("shop", 1_795_442_400_000), "automatic.shop-2026-11-23-14-00");
    }
}
