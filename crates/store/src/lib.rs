//! The keyspace in memory: partitions, items, types, expiry, eviction. No sockets, files, threads or clock.

pub mod object;
