//! Bytes to messages and back, for RESP and Memcached. No I/O, no clock, no allocation on the hot path.
#![forbid(unsafe_code)]

pub mod glob;
pub mod memcache;
pub mod number;
pub mod resp;
pub mod slot;
