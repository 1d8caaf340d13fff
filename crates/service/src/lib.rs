//! The control plane: the ElastiCache API, records of what is wanted and what is, and the reconciler between them.
//!
//! Reading order is the life of an API call: front, identity, operation, resource, state; then the life of a
//! change: plan, act, host, name. The console is a client of the operations within the same process.
#![forbid(unsafe_code)]

pub mod act;
pub mod advice;
pub mod api;
pub mod certificate;
pub mod console;
pub mod delivery;
pub mod front;
mod hex;
pub mod host;
pub mod identity;
pub mod login;
pub mod metric;
pub mod name;
pub mod notify;
pub mod operation;
pub mod plan;
mod random;
pub mod resource;
pub mod serve;
pub mod state;
pub mod vault;

pub use serve::{Running, ServeError, ServiceConfig, ServiceInfo, serve};
