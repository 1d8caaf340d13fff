//! The command line as data: commands, options, help texts. Owns no behaviour.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

const TOP_EXAMPLES: &str = "\
Begin here:
  larder up                        start the service (stop it with Ctrl-C)
  eval \"$(larder env)\"             in another shell: let the AWS CLI and SDKs talk to it
  larder create sessions --wait    make a first cache
  larder connect sessions          talk to it

The AWS CLI, boto3 and Terraform work against it as they are:
  aws elasticache describe-cache-clusters

Exit codes:
  0 done   1 failed   2 wrong use   3 the service does not answer   4 no such cache   5 not allowed";

/// Larder: managed Redis and Memcached caches on your own machine, behind the ElastiCache API.
#[derive(Parser, Debug)]
#[command(name = "larder", version, after_help = TOP_EXAMPLES, max_term_width = 100)]
#[command(arg_required_else_help = true, propagate_version = false, disable_help_subcommand = true)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
#[command(subcommand_help_heading = "Commands")]
pub(crate) enum Command {
    /// Start the service: the ElastiCache API and the caches behind it
    Up(Up),
    /// Print the shell variables that point AWS tools to the service
    Env(Env),
    /// List the caches
    #[command(visible_alias = "ls")]
    Caches(Caches),
    /// Make a cache
    Create(Create),
    /// Show one cache: its nodes, addresses and latest events
    Show(Show),
    /// Delete a cache and what is in it
    #[command(visible_alias = "rm")]
    Delete(Delete),
    /// Open a prompt to a cache, or send it one command
    Connect(Connect),
    /// Tell what is known of a key: what it takes, or why it is not there
    Why(Why),
    /// Show what happened to the caches
    Events(Events),
    /// Let a replica take the place of the primary
    Failover(Failover),
    /// Take a snapshot of a cache
    Backup(Backup),
    /// List the snapshots
    Snapshots(Snapshots),
    /// Make a new cache from a snapshot
    Restore(Restore),
    /// List the users of caches and what they may do
    Users(Users),
    /// Manage users, access keys and policies
    Iam(Iam),
    /// See and install how the names of caches are resolved
    Dns(Dns),
    /// Run the engine alone: a Redis and Memcached server, without the service
    Node(Node),
    /// Run the engine in memcached's place: takes the options of memcached
    #[command(disable_help_flag = true)]
    Memcached(Memcached),
    /// Look into an RDB file of Larder, Redis or Valkey
    Rdb(Rdb),
}

/// How an answer is printed.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Output {
    // No doc comments here: clap would turn the help of each command into the long form for them.
    #[default]
    Table,
    Json,
}

/// Which service a command talks to.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct Where {
    /// Data folder of the service [default: $LARDER_DATA, or ~/.local/share/larder]
    #[arg(long, value_name = "FOLDER", global = true, help_heading = "Service")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Args, Debug, Clone, Copy)]
pub(crate) struct Format {
    /// How to print the answer: a table for people, JSON for programs
    #[arg(long, short, value_enum, value_name = "FORMAT", global = true, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

const UP_EXAMPLES: &str = "\
Examples:
  larder up                                         API on 127.0.0.1:9400, data in ~/.local/share/larder
  larder up --data-dir ./caches --listen 127.0.0.1:9500
  larder up --region eu-west-1 --log debug
  larder up --keep-nodes                            caches run on after Ctrl-C; the next `up` takes them over

Ctrl-C stops the caches and the service in order; a second Ctrl-C stops at once.";

#[derive(Args, Debug)]
#[command(after_help = UP_EXAMPLES)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) place: Where,
    /// Address and port of the API; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9400", help_heading = "Service")]
    pub(crate) listen: SocketAddr,
    /// AWS region to play
    #[arg(long, default_value = "us-east-1", help_heading = "Service")]
    pub(crate) region: String,
    /// AWS account to play, 12 digits
    #[arg(long, value_name = "DIGITS", default_value = "000000000000", hide = true)]
    pub(crate) account: String,
    /// Where the built-in DNS server listens; `none` switches it off
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9453", help_heading = "Network")]
    pub(crate) dns_listen: ListenOrNone,
    /// Range of loopback addresses that the default VPC takes; only for a new data folder
    #[arg(long, value_name = "A.B.0.0/16", hide = true)]
    pub(crate) vpc_cidr: Option<VpcRange>,
    /// Program that runs the nodes of caches in place of Larder's own engine; it is started in the node's folder with the
    /// name of the configuration file
    #[arg(long, value_name = "PROGRAM", help_heading = "Service")]
    pub(crate) node_program: Option<PathBuf>,
    /// Folder of the buckets for exported snapshots: each folder in it is one [default: buckets in the data folder]
    #[arg(long, value_name = "FOLDER", help_heading = "Service")]
    pub(crate) buckets: Option<PathBuf>,
    /// Most cache nodes that there may be: a quota of the account, which AWS raises on request
    #[arg(long, value_name = "NUMBER", default_value_t = larder_service::resource::cluster::REGION_NODES_MAX, help_heading = "Service")]
    pub(crate) nodes_max: usize,
    /// Leave the caches running when the service stops
    #[arg(long, help_heading = "Service")]
    pub(crate) keep_nodes: bool,
    /// How much to log: error, warn, info, debug, trace, or a filter such as `info,larder_service::act=debug`
    #[arg(long, value_name = "LEVEL", env = "LARDER_LOG", default_value = "info", hide_env = true)]
    pub(crate) log: String,
    #[cfg(feature = "s3")]
    #[command(flatten)]
    pub(crate) s3: S3,
}

/// Buckets of a server that speaks the protocol of S3, in the place of folders.
#[cfg(feature = "s3")]
#[derive(Args, Debug)]
#[command(next_help_heading = "Buckets of a server")]
pub(crate) struct S3 {
    /// URL of a server with the S3 protocol, whose buckets take exported snapshots and give first data
    #[arg(
        long,
        value_name = "URL",
        env = "LARDER_S3_ENDPOINT",
        conflicts_with = "buckets",
        hide_env_values = true
    )]
    pub(crate) s3_endpoint: Option<String>,
    /// Region of these buckets [default: that of --region]
    #[arg(
        long,
        value_name = "REGION",
        env = "LARDER_S3_REGION",
        requires = "s3_endpoint",
        hide_env_values = true
    )]
    pub(crate) s3_region: Option<String>,
    /// Access key for them; without one requests are not signed
    #[arg(
        long,
        value_name = "KEY",
        env = "LARDER_S3_ACCESS_KEY_ID",
        requires = "s3_endpoint",
        requires = "s3_secret_access_key",
        hide_env_values = true
    )]
    pub(crate) s3_access_key_id: Option<String>,
    /// Its secret; better given by the variable, as other users can see the arguments of programs
    #[arg(
        long,
        value_name = "SECRET",
        env = "LARDER_S3_SECRET_ACCESS_KEY",
        requires = "s3_access_key_id",
        hide_env_values = true
    )]
    pub(crate) s3_secret_access_key: Option<String>,
}

/// An address to listen on, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListenOrNone(pub(crate) Option<SocketAddr>);

impl std::str::FromStr for ListenOrNone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let address =
            text.parse().map_err(|_| "expected ADDRESS:PORT, such as 127.0.0.1:9453, or none".to_owned())?;
        Ok(Self(Some(address)))
    }
}

/// A /16 inside 127.0.0.0/8, by its first address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VpcRange(pub(crate) std::net::Ipv4Addr);

impl std::str::FromStr for VpcRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || "expected a /16 of the loopback range other than 127.0, such as 127.70.0.0/16".to_owned();
        let base: std::net::Ipv4Addr =
            text.strip_suffix("/16").and_then(|a| a.parse().ok()).ok_or_else(wrong)?;
        let [first, second, third, fourth] = base.octets();
        if first == 127 && second != 0 && third == 0 && fourth == 0 { Ok(Self(base)) } else { Err(wrong()) }
    }
}

const ENV_EXAMPLES: &str = "\
Examples:
  eval \"$(larder env)\"                            bash, zsh, sh
  larder env --shell fish | source
  larder env --shell powershell | Invoke-Expression
  larder env --output json                        for scripts";

#[derive(Args, Debug)]
#[command(after_help = ENV_EXAMPLES)]
pub(crate) struct Env {
    /// Shell to write for; bash serves zsh and sh too [default: found from $SHELL]
    #[arg(long, value_enum)]
    pub(crate) shell: Option<Shell>,
    #[command(flatten)]
    pub(crate) place: Where,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shell {
    Bash,
    Fish,
    Powershell,
}

const CACHES_EXAMPLES: &str = "\
Examples:
  larder caches
  larder caches --output json | jq -r '.[].name'";

#[derive(Args, Debug)]
#[command(after_help = CACHES_EXAMPLES)]
pub(crate) struct Caches {
    #[command(flatten)]
    pub(crate) place: Where,
    #[command(flatten)]
    pub(crate) format: Format,
}

const CREATE_EXAMPLES: &str = "\
Examples:
  larder create sessions --wait                                   one Redis node
  larder create pages --engine memcached --nodes 3 --wait         three Memcached nodes
  larder create shop --replicas 2 --wait                          a primary and two replicas
  larder create jobs --engine valkey --node-type cache.t3.small --tag team=search";

#[derive(Args, Debug)]
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
    /// Parameter group that configures the engine
    #[arg(long, value_name = "GROUP", help_heading = "Cache")]
    pub(crate) parameter_group: Option<String>,
    /// Subnet group that the nodes are placed in
    #[arg(long, value_name = "GROUP", help_heading = "Cache")]
    pub(crate) subnet_group: Option<String>,
    /// A tag; may be given several times
    #[arg(long = "tag", value_name = "KEY=VALUE", help_heading = "Cache")]
    pub(crate) tags: Vec<String>,
    /// Return when the cache can be used
    #[arg(long, short)]
    pub(crate) wait: bool,
    /// Longest wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(crate) timeout: u64,
    #[command(flatten)]
    pub(crate) place: Where,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Redis,
    Valkey,
    Memcached,
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
    pub(crate) place: Where,
    #[command(flatten)]
    pub(crate) format: Format,
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
    /// Return when the cache is gone
    #[arg(long, short)]
    pub(crate) wait: bool,
    /// Longest wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(crate) timeout: u64,
    #[command(flatten)]
    pub(crate) place: Where,
    #[command(flatten)]
    pub(crate) format: Format,
}

const CONNECT_EXAMPLES: &str = "\
Examples:
  larder connect sessions                         a prompt with history, completion and hints
  larder connect sessions set user:1 ann ex 60    one command
  larder connect pages --node 0002 stats          one node of a Memcached cache
  larder connect shop --user ann --iam            the primary of a group, as a user of IAM
  larder connect 127.0.0.1:6379 info memory       any Redis server
  echo 'get user:1' | larder connect sessions     commands from a pipe";

#[derive(Args, Debug)]
#[command(after_help = CONNECT_EXAMPLES)]
pub(crate) struct Connect {
    /// Name of the cache, or ADDRESS:PORT of any server
    pub(crate) name: String,
    /// A command to send; without it, a prompt opens
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<OsString>,
    /// Which node, such as 0002 [default: the first]
    #[arg(long, value_name = "ID")]
    pub(crate) node: Option<String>,
    /// Log in as this user; the password, or an AUTH token without a user, stands in $REDISCLI_AUTH
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Log in with a token of IAM, signed with the access key of this shell
    #[arg(long, requires = "user")]
    pub(crate) iam: bool,
    /// Certificates to trust [default: those of the service]; with an ADDRESS:PORT it means to speak TLS
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,
    /// Protocol of an ADDRESS:PORT [default: memcached on port 11211, else redis]
    #[arg(long, value_enum)]
    pub(crate) engine: Option<Engine>,
    /// Speak RESP3: maps, sets and doubles keep their kind
    #[arg(long, short = '3')]
    pub(crate) resp3: bool,
    /// Print values as they are, without quotes and kinds [default when the output is not a terminal]
    #[arg(long, conflicts_with = "output")]
    pub(crate) raw: bool,
    #[command(flatten)]
    pub(crate) place: Where,
    #[command(flatten)]
    pub(crate) format: Format,
}

const WHY_EXAMPLES: &str = "\
Examples:
  larder why sessions user:1                  there, evicted, expired, deleted, flushed, or never stored
  larder why pages front --output json        the same for programs, node by node
  larder why 127.0.0.1:6379 user:1            any node of Larder";

#[derive(Args, Debug)]
#[command(after_help = WHY_EXAMPLES)]
pub(crate) struct Why {
    /// Name of the cache, or ADDRESS:PORT of a node
    pub(crate) name: String,
    /// The key
    pub(crate) key: OsString,
    /// Only this node, such as 0002 [default: all]
    #[arg(long, value_name = "ID")]
    pub(crate) node: Option<String>,
    /// Protocol of an ADDRESS:PORT [default: memcached on port 11211, else redis]
    #[arg(long, value_enum)]
    pub(crate) engine: Option<Engine>,
    #[command(flatten)]
    pub(crate) place: Where,
    #[command(flatten)]
    pub(crate) format: Format,
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
    pub(crate) place: Where,
    #[command(flatten)]
    pub(crate) format: Format,
}

const FAILOVER_EXAMPLES: &str = "\
Examples:
  larder failover shop      ends the primary of shop, and returns when a replica has taken over";

#[derive(Args, Debug)]
#[command(after_help = FAILOVER_EXAMPLES)]
pub(crate) struct Failover {
    /// Name of the replication group
    pub(crate) name: String,
    /// Longest wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(crate) timeout: u64,
    #[command(flatten)]
    pub(crate) place: Where,
    #[command(flatten)]
    pub(crate) format: Format,
}

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
    /// Return when the snapshot is there
    #[arg(long, short)]
    pub(crate) wait: bool,
    /// Longest wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(crate) timeout: u64,
    #[command(flatten)]
    pub(crate) place: Where,
    #[command(flatten)]
    pub(crate) format: Format,
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
    pub(crate) place: Where,
    #[command(flatten)]
    pub(crate) format: Format,
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
    /// Return when the cache can be used
    #[arg(long, short)]
    pub(crate) wait: bool,
    /// Longest wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(crate) timeout: u64,
    #[command(flatten)]
    pub(crate) place: Where,
    #[command(flatten)]
    pub(crate) format: Format,
}

const USERS_EXAMPLES: &str = "\
Examples:
  larder users
  larder users --output json | jq -r '.[] | select(.groups == []) | .id'";

#[derive(Args, Debug)]
#[command(after_help = USERS_EXAMPLES)]
pub(crate) struct Users {
    #[command(flatten)]
    pub(crate) place: Where,
    #[command(flatten)]
    pub(crate) format: Format,
}

const IAM_EXAMPLES: &str = "\
Examples:
  larder iam create-user ci                         make a user, and its first key
  larder iam attach ci AmazonElastiCacheReadOnlyAccess
  larder iam create-policy deploy policy.json       make a policy of one's own
  larder iam simulate ci elasticache:CreateCacheCluster";

#[derive(Args, Debug)]
#[command(after_help = IAM_EXAMPLES)]
pub(crate) struct Iam {
    #[command(subcommand)]
    pub(crate) action: IamAction,
    #[command(flatten)]
    pub(crate) place: Where,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Subcommand, Debug)]
pub(crate) enum IamAction {
    /// List the users
    Users,
    /// Make a user and its first key
    CreateUser { user: String },
    /// Delete a user with its keys and policies
    DeleteUser { user: String },
    /// List the keys of a user
    Keys { user: String },
    /// Make a key
    CreateKey { user: String },
    /// Delete a key
    DeleteKey { user: String, key: String },
    /// List the policies, or those of a user
    Policies { user: Option<String> },
    /// Make a policy from a file
    CreatePolicy { name: String, file: PathBuf },
    /// Delete a policy
    DeletePolicy { policy: String },
    /// Give a user a policy
    Attach { user: String, policy: String },
    /// Take a policy from a user
    Detach { user: String, policy: String },
    /// Tell whether a user might do something
    Simulate {
        user: String,
        /// Such as elasticache:CreateCacheCluster
        action: String,
        /// ARN of what it is done to [default: anything]
        resource: Option<String>,
    },
}

const DNS_EXAMPLES: &str = "\
Examples:
  larder dns                      does this machine's resolver know the names of the caches?
  larder dns explain              what to change, and why
  sudo larder dns install --yes   change it (--data-dir names the folder of the service's user)";

#[derive(Args, Debug)]
#[command(after_help = DNS_EXAMPLES)]
pub(crate) struct Dns {
    #[command(subcommand)]
    pub(crate) action: Option<DnsAction>,
    #[command(flatten)]
    pub(crate) place: Where,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Subcommand, Debug, Clone, Copy)]
pub(crate) enum DnsAction {
    /// Tell whether the resolver of this machine asks Larder (the default)
    Status,
    /// Tell what can be changed on this machine, and what it means
    Explain,
    /// Make the change, where this machine allows it
    Install {
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

const NODE_EXAMPLES: &str = "\
Examples:
  larder node --port 6379                          a Redis server in one line
  larder node --port 6379 --memcached-port 11211   the same data through both protocols
  larder node --port 7000 --threads 2 --maxmemory 512mb --maxmemory-policy allkeys-lru
  larder node ./node.conf --port 7000              a file in redis.conf style, then changes to it

Every directive of the file can be given as --name value. The common ones:
  --port N              Redis protocol; 0 switches it off
  --memcached-port N    Memcached protocol; 0 (the default) switches it off
  --bind ADDRESS        address to listen on
  --threads N           worker threads (default: one per core)
  --maxmemory BYTES     bound on memory, such as 512mb; --maxmemory-policy says what gives way
  --unixsocket PATH     also listen on a Unix socket
  --dir FOLDER          where files are kept";

#[derive(Args, Debug)]
#[command(after_help = NODE_EXAMPLES)]
pub(crate) struct Node {
    /// A configuration file, then directives as --name value
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "CONF] [--DIRECTIVE VALUE")]
    pub(crate) rest: Vec<OsString>,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  larder memcached -m 1024 -p 11211 -l 127.0.0.1\n  larder memcached --help"
)]
pub(crate) struct Memcached {
    /// Options of memcached
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
    pub(crate) rest: Vec<OsString>,
}

const RDB_EXAMPLES: &str = "\
Examples:
  larder rdb check dump.rdb                   is it sound, and what is in it?
  larder rdb show dump.rdb | sort -nrk4       every key, the largest first
  larder rdb show dump.rdb --output json | jq -r '.[].key'";

#[derive(Args, Debug)]
#[command(after_help = RDB_EXAMPLES)]
pub(crate) struct Rdb {
    #[command(subcommand)]
    pub(crate) action: RdbAction,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Subcommand, Debug)]
pub(crate) enum RdbAction {
    /// Read the whole file, build every value, compare the checksum
    Check {
        /// The file
        file: PathBuf,
    },
    /// List the keys
    Show {
        /// The file
        file: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn every_command_shows_examples() {
        for command in CommandLine::command().get_subcommands() {
            let help = command.clone().render_help().to_string();
            assert!(help.contains("Examples:"), "{} has no examples", command.get_name());
            assert!(help.contains("larder "), "{}", command.get_name());
        }
    }

    #[test]
    fn node_passes_everything_on() {
        let line = ["larder", "node", "--port", "7000", "--output", "x", "--save", ""];
        let CommandLine { command: Command::Node(node) } = CommandLine::parse_from(line) else { panic!() };
        assert_eq!(node.rest, ["--port", "7000", "--output", "x", "--save", ""]);
    }

    #[test]
    fn a_vpc_is_a_loopback_sixteenth() {
        assert_eq!("127.70.0.0/16".parse(), Ok(VpcRange([127, 70, 0, 0].into())));
        for wrong in ["10.0.0.0/16", "127.0.0.0/16", "127.70.1.0/16", "127.70.0.0/8", "127.70.0.0"] {
            assert!(wrong.parse::<VpcRange>().is_err(), "{wrong}");
        }
    }
}
