//! Who calls, and whether they may: access keys, Signature Version 4 (both sides of it), authorisation.
//!
//! Pure but for the record store that keys are looked up in; the time is an argument.

mod authorise;
mod key;
pub mod policy;
mod principal;
mod sigv4;

pub use authorise::{Asked, Tags, authorise, authorise_plain, simulate};
pub use key::{AccessKey, Session};
pub use principal::Principal;
pub use sigv4::{Credentials, Scope, SignedRequest, Unsigned, Verified, presign, sha256_hex, sign, verify};
