//! The record store: everything the service remembers, as small JSON documents under (kind, id).
//!
//! Operations write what is *desired*, the drivers write what is *observed*; both go through [`Records`], which
//! knows neither. Every change is a compare-and-set, several records change together or not at all, and a call
//! returns only after the change would survive the death of the machine. Who wants to know that something
//! changed waits on [`Records::watch`].
//!
//! May not touch: resources, the network, nodes. One file on disk is the only world of this module.

mod body;
mod file;
mod record;
mod typed;

#[cfg(test)]
pub(crate) mod counted;
#[cfg(test)]
pub(crate) mod mortal;
#[cfg(test)]
mod tests;

pub use body::Body;
pub use file::FileRecords;
pub use record::{Change, Expect, Page, Record, Records, StateError};
pub use typed::{
    Resource, Shared, Stored, create, find, find_shared, list, list_all, list_shared, put_any, remove,
    replace,
};
