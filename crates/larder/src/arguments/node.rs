//! The engine alone, and its files.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Format;

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
