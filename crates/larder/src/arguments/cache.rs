//! Caches: making, seeing and deleting them.

use clap::Args;

use super::{Asking, Engine, Longest, Wait};

const CACHES_EXAMPLES: &str = "\
Examples:
  larder caches
  larder caches --output json | jq -r '.[].name'";

#[derive(Args, Debug)]
#[command(after_help = CACHES_EXAMPLES)]
pub(crate) struct Caches {
    #[command(flatten)]
    pub(crate) asking: Asking,
}

const CREATE_EXAMPLES: &str = "\
Examples:
  larder create sessions --wait                                   one Redis node
  larder create pages --engine memcached --nodes 3 --wait         three Memcached nodes
  larder create shop --replicas 2 --wait                          a primary and two replicas
  larder create jobs --engine valkey --node-type cache.t3.small --tag team=search";

#[derive(Args, Debug, Clone)]
#[command(after_help = CREATE_EXAMPLES)]
pub(crate) struct Create {
    /// Name of the cache: a letter, then letters, digits and hyphens
    pub(crate) name: String,
    /// Protocol and rules of the cache
    #[arg(long, short, value_enum, default_value_t = Engine::Redis, help_heading = "Cache")]
    pub(crate) engine: Engine,
    /// Version of the engine [default: the newest]
    #[arg(long, value_name = "VERSION", help_heading = "Cache")]
    pub(crate) engine_version: Option<String>,
    /// Size of each node
    #[arg(long, short = 't', value_name = "TYPE", default_value = "cache.t3.micro", help_heading = "Cache")]
    pub(crate) node_type: String,
    /// How many nodes; more than one is for memcached
    #[arg(long, short, value_name = "COUNT", default_value_t = 1, help_heading = "Cache")]
    pub(crate) nodes: u32,
    /// Make a replication group: a primary and so many replicas, one of which takes over when the primary is lost
    #[arg(long, short, value_name = "COUNT", conflicts_with = "nodes", help_heading = "Cache",
          value_parser = clap::value_parser!(u32).range(0..=5))]
    pub(crate) replicas: Option<u32>,
    /// Port of each node [default: 6379, or 11211 for memcached]
    #[arg(long, help_heading = "Cache")]
    pub(crate) port: Option<u16>,
    /// Parameter group that configures the engine [default: one of Larder's, where what brings the fewest hits leaves first;
    /// `default.redis7` and so on is ElastiCache's default]
    #[arg(long, value_name = "GROUP", help_heading = "Cache")]
    pub(crate) parameter_group: Option<String>,
    /// Subnet group that the nodes are placed in
    #[arg(long, value_name = "GROUP", help_heading = "Cache")]
    pub(crate) subnet_group: Option<String>,
    /// A tag; may be given several times
    #[arg(long = "tag", value_name = "KEY=VALUE", help_heading = "Cache")]
    pub(crate) tags: Vec<String>,
    #[command(flatten)]
    pub(crate) wait: Wait,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

const SHOW_EXAMPLES: &str = "\
Examples:
  larder show sessions
  larder show pages --output json | jq -r '.nodes[].address'";

#[derive(Args, Debug)]
#[command(after_help = SHOW_EXAMPLES)]
pub(crate) struct Show {
    /// Name of the cache
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

const DELETE_EXAMPLES: &str = "\
Examples:
  larder delete sessions              asks first
  larder delete sessions --yes --wait";

#[derive(Args, Debug)]
#[command(after_help = DELETE_EXAMPLES)]
pub(crate) struct Delete {
    /// Name of the cache
    pub(crate) name: String,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

const EVENTS_EXAMPLES: &str = "\
Examples:
  larder events                          the last hour
  larder events sessions --minutes 1440  one cache, the last day";

#[derive(Args, Debug)]
#[command(after_help = EVENTS_EXAMPLES)]
pub(crate) struct Events {
    /// Only this cache
    pub(crate) name: Option<String>,
    /// How far to look back, in minutes
    #[arg(long, short, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=20160))]
    pub(crate) minutes: u32,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

const FAILOVER_EXAMPLES: &str = "\
Examples:
  larder failover shop      ends the primary of shop, and returns when a replica has taken over";

#[derive(Args, Debug)]
#[command(after_help = FAILOVER_EXAMPLES)]
pub(crate) struct Failover {
    /// Name of the replication group
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) longest: Longest,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

const USERS_EXAMPLES: &str = "\
Examples:
  larder users
  larder users --output json | jq -r '.[] | select(.groups == []) | .id'";

#[derive(Args, Debug)]
#[command(after_help = USERS_EXAMPLES)]
pub(crate) struct Users {
    #[command(flatten)]
    pub(crate) asking: Asking,
}
