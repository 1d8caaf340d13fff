//! The protocols of Memcached: what a client may ask ([`request`]), and how the text form of it is read ([`text`]).

pub mod request;
pub mod text;
