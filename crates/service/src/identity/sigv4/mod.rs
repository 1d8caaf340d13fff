//! AWS Signature Version 4: the canonical form of a request, signing it, and verifying it.

mod canonical;
mod sign;
mod verify;

#[cfg(test)]
mod tests;

pub use canonical::{SignedRequest, sha256_hex};
pub use sign::{Credentials, Scope, Unsigned, presign, sign};
pub use verify::{Verified, verify};
