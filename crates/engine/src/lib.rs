//! A Larder node: sockets, workers, sessions and commands around the keyspace.
//!
//! In reading order: [`node`] (what everything shares), [`config`], [`socket`], [`worker`] (the loop), [`session`],
//! [`command`], [`acl`], [`memcache`], and what stands beside them: [`memory`], [`mailbox`], [`background`].

pub mod acl;
pub mod background;
pub mod command;
pub mod config;
pub mod mailbox;
pub mod memcache;
pub mod memory;
pub mod node;
pub mod run;
pub mod session;
pub mod signal;
pub mod socket;
pub mod worker;
