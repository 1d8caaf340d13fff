//! A Larder node: sockets, workers, sessions and commands around the keyspace.
//!
//! In reading order: [`node`] (what everything shares), [`config`], [`socket`], [`worker`] (the loop), [`session`],
//! [`command`], [`blocked`] (who waits for a key), [`pause`], [`acl`], [`memcache`], `ahead` (memory), and what stands beside them:
//! [`memory`], [`mailbox`], `sync`, [`background`], [`log`], [`snapshot`], [`replication`]; what an operator sees: [`meter`],
//! [`traffic`], [`observe`], [`commandlog`], [`latency`], [`monitor`].

pub mod acl;
pub mod advise;
mod ahead;
pub mod background;
pub mod blocked;
pub mod command;
pub mod commandlog;
pub mod config;
pub mod frequent;
pub mod iam;
pub mod journal;
pub mod latency;
pub mod listeners;
pub mod log;
pub mod mailbox;
pub mod memcache;
pub mod memory;
pub mod meter;
pub mod monitor;
pub mod node;
pub mod notify;
pub mod observe;
pub mod pause;
pub mod prefixes;
mod priority;
pub mod process;
pub mod pubsub;
pub mod replication;
pub mod run;
pub mod session;
pub mod signal;
pub mod snapshot;
pub mod socket;
mod sync;
pub mod tls;
pub mod tracking;
pub mod traffic;
pub mod usage;
pub mod worker;
