//! Talking to a cache.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::{Asking, Engine};

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
    pub(crate) asking: Asking,
}

const WHY_EXAMPLES: &str = "\
Examples:
  larder why sessions user:1                  there, evicted, expired, deleted, flushed, or
                                              never stored
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
    pub(crate) asking: Asking,
}

const ADVISE_EXAMPLES: &str = "\
Examples:
  larder advise sessions                        watch for a minute, then the answers
  larder advise sessions --seconds 600          longer knows more: best while it is busy
  larder advise sessions --last                 what the last watch found, without a new one
  larder advise pages --node 0002 --output json
  larder advise 127.0.0.1:6379                  any node of Larder

It answers, with the evidence: is it safe (how old are values when they are read), is it
effective (what half, double and each node type would bring), which keys need care, is the data
well structured, which pattern fits, and what it costs.";

#[derive(Args, Debug)]
#[command(after_help = ADVISE_EXAMPLES)]
pub(crate) struct Advise {
    /// Name of the cache, or ADDRESS:PORT of a node
    pub(crate) name: String,
    /// How long to watch
    #[arg(long, short, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: u64,
    /// Show what the last watch found, and begin none
    #[arg(long, conflicts_with = "seconds")]
    pub(crate) last: bool,
    /// Only this node, such as 0002 or a member of a group [default: all]
    #[arg(long, value_name = "ID")]
    pub(crate) node: Option<String>,
    /// Protocol of an ADDRESS:PORT [default: memcached on port 11211, else redis]
    #[arg(long, value_enum)]
    pub(crate) engine: Option<Engine>,
    #[command(flatten)]
    pub(crate) asking: Asking,
}
