//! Commands: the table of them, the door to the keys, and one file per family.
//!
//! In reading order: [`error`], [`table`] (what a command is), [`locked`] (the partitions it holds), [`keyspace`] (the only way
//! to a key), [`known`] (keys that are hashed already), [`call`] (what a handler gets), [`dispatch`] (from arguments to a call),
//! then the families. A handler never sees a socket, a file or another session.

pub mod acl;
mod advise;
pub mod arguments;
pub mod bitmap;
pub mod blocking;
pub mod call;
pub mod client;
mod client_filter;
pub(crate) mod collection;
mod conditional;
pub mod config;
pub mod connection;
pub mod debug;
mod digest;
pub mod dispatch;
pub mod dump;
pub mod error;
pub mod expire;
pub mod extended;
mod facts;
pub mod geo;
pub mod hash;
pub mod hash_field;
pub mod hyperloglog;
pub mod introspection;
pub mod keys;
pub mod keyspace;
pub mod known;
pub mod latency;
mod lcs;
pub mod list;
pub mod locked;
pub mod long;
pub mod memory;
pub mod migrate;
pub mod monitor;
mod patch;
pub mod persistence;
pub mod pubsub;
pub mod replication;
pub mod scan;
pub mod server;
pub mod set;
pub mod slowlog;
pub mod sort;
mod statistics;
pub mod stream;
pub mod string;
pub mod table;
mod tracking;
pub mod transaction;
pub mod waitaof;
pub(crate) mod wake;
pub(crate) mod why;
pub mod zset;

pub use call::{Call, Handler};
pub use error::CommandError;
pub use keyspace::Keyspace;
pub use known::Known;
pub use table::{Command, Keys, Scope, Table};

/// All families of commands.
pub fn families() -> &'static [&'static [Command]] {
    &[
        string::COMMANDS,
        conditional::COMMANDS,
        bitmap::COMMANDS,
        hyperloglog::COMMANDS,
        geo::COMMANDS,
        keys::COMMANDS,
        expire::COMMANDS,
        dump::COMMANDS,
        migrate::COMMANDS,
        sort::COMMANDS,
        scan::COMMANDS,
        hash::COMMANDS,
        hash_field::COMMANDS,
        list::COMMANDS,
        blocking::COMMANDS,
        set::COMMANDS,
        zset::COMMANDS,
        pubsub::COMMANDS,
        stream::COMMANDS,
        transaction::COMMANDS,
        connection::COMMANDS,
        client::COMMANDS,
        introspection::COMMANDS,
        acl::COMMANDS,
        config::COMMANDS,
        server::COMMANDS,
        replication::COMMANDS,
        persistence::COMMANDS,
        waitaof::COMMANDS,
        memory::COMMANDS,
        slowlog::COMMANDS,
        latency::COMMANDS,
        debug::COMMANDS,
        monitor::COMMANDS,
        why::COMMANDS,
        advise::COMMANDS,
    ]
}
