//! What exists: the records of the service as plain types, with the rules that hold between their parts.
//!
//! Pure: no I/O, no clock but an argument, no randomness but an argument.

pub mod arn;
pub mod event;
pub mod network;
pub mod refusal;
pub mod subnet_group;
pub mod tag;
