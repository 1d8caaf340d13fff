//! Commands: the table of them, the door to the keys, and one file per family.
//!
//! In reading order: [`error`], [`table`] (what a command is), [`keyspace`] (the only way to a key), [`call`] (what a
//! handler gets), [`dispatch`] (from arguments to a call), then the families. A handler never sees a socket, a file
//! or another session.

pub mod arguments;
pub mod call;
pub mod client;
mod collection;
pub mod config;
pub mod connection;
pub mod dispatch;
pub mod error;
pub mod expire;
pub mod extended;
pub mod hash;
pub mod introspection;
pub mod keys;
pub mod keyspace;
mod lcs;
pub mod list;
pub mod scan;
pub mod server;
pub mod set;
pub mod stream;
pub mod string;
pub mod table;
pub mod transaction;
pub mod zset;

pub use call::{Call, Handler};
pub use error::CommandError;
pub use keyspace::Keyspace;
pub use table::{Command, Keys, Scope, Table};

/// All families of commands.
pub fn families() -> &'static [&'static [Command]] {
    &[
        string::COMMANDS,
        keys::COMMANDS,
        expire::COMMANDS,
        scan::COMMANDS,
        hash::COMMANDS,
        list::COMMANDS,
        set::COMMANDS,
        zset::COMMANDS,
        stream::COMMANDS,
        transaction::COMMANDS,
        connection::COMMANDS,
        client::COMMANDS,
        introspection::COMMANDS,
        config::COMMANDS,
        server::COMMANDS,
    ]
}
