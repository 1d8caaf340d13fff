//! TLS: between the socket and the parser.
//!
//! [`Identity`] holds the certificates in force and what follows from the directives; CONFIG SET replaces it as a whole
//! or not at all. [`Session`] is the state of one connection: bytes of the socket go in and plain ones come out, and
//! the other way round. It never sees a socket, so both drivers and both protocols have it alike. [`Stream`] is the
//! same for threads that may block.

mod cache;
mod certificates;
mod session;
mod shown;
mod stream;
pub mod suites;
#[cfg(test)]
mod tests;

pub use certificates::{Identity, NoIdentity, TlsError};
pub use session::{Progress, Session};
pub use shown::{Shown, ShownAll};
pub use stream::Stream;
