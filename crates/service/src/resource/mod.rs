//! What exists: the records of the service as plain types, with the rules that hold between their parts.
//!
//! Pure: no I/O, no clock but an argument, no randomness but an argument. A cluster is two records: what is
//! *desired* ([`cluster::Cluster`], written by operations) and what is *observed* ([`node::Observed`], written by
//! the driver). Its status is never stored: it follows from the two, so no crash can leave it wrong.

pub mod arn;
pub mod auth_token;
pub mod cluster;
pub mod ec2;
pub mod engine_version;
pub mod event;
pub mod group;
pub mod iam;
pub mod identifier;
pub mod kms;
pub mod log_delivery;
pub mod network;
pub mod node;
pub mod node_type;
pub mod notification;
pub mod parameter;
pub mod parameter_group;
pub mod refusal;
pub mod reserved;
pub mod service_update;
pub mod snapshot;
pub mod subnet_group;
pub mod tag;
pub mod transit;
pub mod user;
pub mod window;
