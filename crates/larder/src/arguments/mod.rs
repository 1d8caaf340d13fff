//! The command line as data: commands, options, help texts. Owns no behaviour.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

mod cache;
mod connect;
mod iam;
mod node;
mod snapshot;
mod up;

pub(crate) use cache::{Caches, Create, Delete, Events, Failover, Show, Users};
pub(crate) use connect::{Advise, Connect, Why};
pub(crate) use iam::{Iam, IamAction};
pub(crate) use node::{Memcached, Node, Rdb, RdbAction};
pub(crate) use snapshot::{Backup, Restore, Snapshots};
pub(crate) use up::{Dns, DnsAction, Env, Shell, Up};

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
    /// Watch a cache's traffic, and tell whether it is safe, effective and well sized, and what other sizes would bring
    Advise(Advise),
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

/// What every command that asks the service takes.
#[derive(Args, Debug, Clone)]
pub(crate) struct Asking {
    #[command(flatten)]
    pub(crate) place: Where,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// Whether a command returns at once or when what it asked for is done.
#[derive(Args, Debug, Clone, Copy)]
pub(crate) struct Wait {
    /// Return when it is done
    #[arg(long = "wait", short = 'w')]
    pub(crate) asked: bool,
    #[command(flatten)]
    pub(crate) longest: Longest,
}

#[derive(Args, Debug, Clone, Copy)]
pub(crate) struct Longest {
    /// Longest wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(crate) timeout: u64,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Redis,
    Valkey,
    Memcached,
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
}
