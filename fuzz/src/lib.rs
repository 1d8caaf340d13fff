//! What the fuzz targets assert of each parser. Tests of the crates drive the same functions with random bytes on the stable
//! compiler (`tests/parsers` of `engine` and of `service`), so that they are run by everybody.

pub mod aof_file;
pub mod config_file;
pub mod dump_payload;
pub mod glob;
pub mod handshake;
pub mod memcache_binary;
pub mod memcache_meta;
pub mod memcache_quick;
pub mod memcache_text;
pub mod query;
pub mod rdb_file;
pub mod resp_request;
pub mod resp_value;
pub mod signature;
