//! The RDB format: what Redis and Valkey write to files, to payloads of DUMP and to replicas.
//!
//! A [`Reader`] walks over bytes, a [`Writer`] appends to them; [`load`] and [`save`] turn what they see into values and
//! back, [`dump`] frames one value as DUMP does, and [`file`] frames many as files do. Nothing here opens a file, knows a
//! command or keeps a key.
//!
//! The crate builds values of the store itself, instead of telling a neutral trait of members one by one: a packed value
//! of the store consists of the very entries of a listpack, so most of a file's values are checked in one walk and
//! copied in one piece. That is what loading fast is about, and no trait between the two would let it through. The
//! arrow stays one way: the engine knows this crate, this crate knows the store, the store knows nobody.
//!
//! Input is never trusted: an error has its place, nothing is allocated that the rest of the input could not fill, no
//! value nests, and there is no input that panics (`fuzz/fuzz_targets/dump_payload.rs`, `rdb_file.rs`).
//!
//! In reading order: [`kind`] (the types of values), [`read`], [`write`], `lzf`, `ziplist`, `zipmap`, [`load`], [`save`],
//! `stream`,
//! [`dump`], [`file`].

#![forbid(unsafe_code)]

mod checksum;
pub mod dump;
mod error;
pub mod file;
pub mod kind;
pub mod load;
mod lzf;
pub mod read;
pub mod save;
mod stream;
pub mod write;
mod ziplist;
mod zipmap;

pub use checksum::Checksum;
pub use error::{Error, Problem};
pub use read::{Reader, Text};
pub use write::Writer;
