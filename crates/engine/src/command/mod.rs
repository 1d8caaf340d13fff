//! Commands: the table of them, the door to the keys, and one file per family.
//!
//! In reading order: [`error`], [`table`] (what a command is), [`keyspace`] (the only way to a key), [`call`] (what a
//! handler gets), [`dispatch`] (from arguments to a call), then the families. A handler never sees a socket, a file
//! or another session.

pub mod call;
pub mod transaction;
pub mod dispatch;
pub mod error;
pub mod keyspace;
pub mod table;

pub use call::{Call, Handler};
pub use error::CommandError;
pub use keyspace::Keyspace;
pub use table::{Command, Keys, Scope, Table};

/// All families of commands.
pub fn families() -> &'static [&'static [Command]] {
    &[transaction::COMMANDS]
}
