//! What exists: the records of the service as plain types, with the rules that hold between their parts.
//!
//! Pure: no I/O, no clock but an argument, no randomness but an argument.

pub mod arn;
pub mod engine_version;
pub mod event;
pub mod network;
pub mod node_type;
pub mod parameter;
pub mod parameter_group;
pub mod refusal;
pub mod subnet_group;
pub mod tag;
