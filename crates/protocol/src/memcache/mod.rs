//! The protocols of Memcached: what a client may ask ([`request`]), how the text form of it is read ([`text`],
//! `strict` for its newer versions, and [`quick`] for what is asked most), with the meta commands ([`meta`]), and the
//! binary form ([`binary`]).

pub mod binary;
pub mod meta;
pub mod quick;
pub mod request;
mod strict;
pub mod text;
