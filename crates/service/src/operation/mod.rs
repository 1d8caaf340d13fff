//! Operations: one file per API action, each `run(app, caller, input) -> Result<Xml, ApiError>`.
//!
//! An operation checks, writes what is *desired* by compare-and-set, and answers; it never waits for a node. The
//! frame around it (`perform`) decodes the input, names the resource and asks whether the caller may, so that no
//! operation can forget that. Only operations write desired records.

mod app;
mod frame;
mod page;
pub mod table;
pub mod validate;

pub mod subnet_group;

mod create_cache_subnet_group;

pub use app::{App, Caller, system_clock};
pub use frame::{Input, Operation, Run, perform};
pub use page::{Page, Paging};
