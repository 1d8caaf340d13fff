//! Access control: who may run which command on which keys and channels.
//!
//! In reading order: [`catalog`] (commands by number and category), [`selector`] (one set of permissions), [`user`]
//! (rules read and printed), [`access`] (what a command does to each of its keys), [`permission`] (the check),
//! [`log`] (refusals), [`users`] (everybody), [`identity`] (who a session is), [`file`] (users in a file). Nothing here
//! knows sockets or the keyspace.

pub mod access;
pub mod catalog;
pub mod file;
pub mod identity;
pub mod log;
pub mod permission;
pub mod selector;
pub mod user;
pub mod users;

pub use catalog::Catalog;
pub use permission::{Denied, Reason, may_channel, may_read_all};
pub use selector::Selector;
pub use user::User;
pub use users::Users;
