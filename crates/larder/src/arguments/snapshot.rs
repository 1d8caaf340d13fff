//! Snapshots of caches.

use clap::Args;

use super::{Asking, Wait};

const BACKUP_EXAMPLES: &str = "\
Examples:
  larder backup sessions --wait            named sessions-1, sessions-2, ...
  larder backup shop before-upgrade";

#[derive(Args, Debug)]
#[command(after_help = BACKUP_EXAMPLES)]
pub(crate) struct Backup {
    /// Name of the cache or of the replication group
    pub(crate) name: String,
    /// Name of the snapshot [default: that of the cache and a number]
    pub(crate) snapshot: Option<String>,
    #[command(flatten)]
    pub(crate) wait: Wait,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

const SNAPSHOTS_EXAMPLES: &str = "\
Examples:
  larder snapshots
  larder snapshots sessions --output json | jq -r '.[].name'";

#[derive(Args, Debug)]
#[command(after_help = SNAPSHOTS_EXAMPLES)]
pub(crate) struct Snapshots {
    /// Only those of this cache or group
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

const RESTORE_EXAMPLES: &str = "\
Examples:
  larder restore sessions-1 sessions-again --wait
  larder restore before-upgrade shop2 --replicas 1 --node-type cache.t3.small";

#[derive(Args, Debug)]
#[command(after_help = RESTORE_EXAMPLES)]
pub(crate) struct Restore {
    /// Name of the snapshot
    pub(crate) snapshot: String,
    /// Name of the new cache
    pub(crate) name: String,
    /// Size of each node [default: as it was]
    #[arg(long, short = 't', value_name = "TYPE")]
    pub(crate) node_type: Option<String>,
    /// Make a replication group with so many replicas
    #[arg(long, short, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(0..=5))]
    pub(crate) replicas: Option<u32>,
    #[command(flatten)]
    pub(crate) wait: Wait,
    #[command(flatten)]
    pub(crate) asking: Asking,
}
