//! The record store: everything the service remembers, as small JSON documents under (kind, id).
//!
//! Operations write what is *desired*, the drivers write what is *observed*; both go through [`Records`], which
//! knows neither. Every change is a compare-and-set, several records change together or not at all, and a call
//! returns only after the change would survive the death of the machine. Who wants to know that something
//! changed waits on [`Records::watch`].
//!
//! May not touch: resources, the network, nodes. One file on disk is the only world of this module.

mod file;
mod record;
mod typed;

#[cfg(test)]
mod tests;

pub use file::FileRecords;
pub use record::{Change, Expect, Page, Record, Records, StateError};
pub use typed::{Resource, Stored, create, find, list, list_all, put_any, remove, replace};
