//! A Larder node: sockets, workers, sessions and commands around the keyspace.

pub mod background;
pub mod memcache;
