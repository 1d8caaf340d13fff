//! The front door: from the bytes of an HTTP request to an operation, and from its answer to XML.
//!
//! A request travels: `http` (bounded reading) → `answer` (one request, one answer; no I/O) → `query` (form to tree)
//! → `identity` (who is it) → `operation` → `xml`. Knows operations and identity; never state, act or host.

mod answer;
pub mod element;
mod error;
pub mod http;
pub mod query;
mod xml;

pub(crate) use answer::form_of;
pub use answer::{Answer, Request, answer};
pub use element::Element;
pub use error::ApiError;
pub use xml::{NAMESPACE, Xml};
