//! The Memcached front door: the same keyspace (database 0), spoken to in the protocols of memcached.
//!
//! A worker hands the received bytes of a session to [`Session::serve`] and sends what that writes. Here is what the
//! requests mean; how they are read is `larder_protocol::memcache`. This module owns the counters of `stats`, the
//! pending `flush_all` and the Auto Discovery setting ([`Shared`], one per node); it touches neither sockets nor the
//! clock. Keys set here are strings to Redis clients and the other way round; keys of other types are not there.
//!
//! In reading order: `shared` and `rules` (what sessions share), `session`, `text` and `turn` (a turn of one), `execute`
//! (what a request of the text protocol means), `run` (plain requests one behind the other), `item` (requests about
//! keys), `keep` (storing with CAS uniques), `meta` (the meta commands), `binary` (the binary protocol), `auth`,
//! `discovery` (Auto Discovery), `admin` and `dump` (commands for operators), `watch`, `udp`, `memory_file` (a restart
//! that keeps the keys), `stats`, `detail`, `counters`. Here is what they ask of the node around them ([`Host`]).

mod admin;
mod alone;
mod auth;
mod binary;
mod counters;
mod detail;
mod discovery;
mod dump;
mod execute;
mod host;
mod item;
mod keep;
pub mod memory_file;
mod meta;
pub mod port_file;
mod rules;
mod run;
mod session;
mod shared;
mod stats;
mod text;
mod turn;
pub mod udp;
pub mod watch;

pub use alone::Alone;
pub use auth::{Auth, AuthError};
pub use rules::{Binding, Rules};
pub use run::Run;
pub use session::Session;
pub use shared::Shared;
pub use stats::{Connection, Figures};
pub use turn::{Outcome, Turn};

use crate::mailbox::Place;
use std::sync::Arc;

/// Requests that one turn carries out before other sessions have theirs, at most.
pub const REQUESTS_PER_TURN_MAX: usize = 64;

/// Bytes of answers after which a turn ends, so that a pipeline of large reads neither fills the memory nor keeps others
/// waiting: little enough that a session behind several such readers waits for about one value of each.
pub const OUTPUT_PER_TURN_BYTES_MAX: usize = 512 * 1024;

/// Default of the directive `memcached-max-item-size`, as memcached's `-I`.
pub const ITEM_SIZE_MAX_BYTES: usize = 1024 * 1024;

/// The database that Memcached clients see.
const DB: u16 = 0;

/// What a session may ask of the node around it.
pub trait Host {
    /// What the rest of the node knows, for `stats`.
    fn figures(&self) -> Figures;
    /// All sessions of the node, for `stats conns`.
    fn connections(&self) -> Vec<Connection>;
    /// Changes how much memory may be used.
    fn set_memory_max(&self, bytes: u64);
    /// Ends the node.
    fn stop(&self);
    /// True if the node's keys are those of another one, which it follows.
    fn follows(&self) -> bool;
    /// Why a write is refused that was admitted before the node became a replica. Asked with partitions held: whoever
    /// makes it one holds them all.
    fn refusal_by_now(&self) -> Option<&'static str>;
    /// Reads the files of TLS anew, for the sessions to come; none where TLS is not spoken.
    fn refresh_certificates(&self) -> Option<Result<(), String>>;
    /// Begins a watch over the traffic; ends it without seconds.
    fn watch_traffic(&self, seconds: Option<u64>);
    /// What the watch has found, as JSON. No partition may be held.
    fn advice(&self) -> Option<String>;
    /// Sends lines to a session that watches; false if it cannot be.
    fn send_lines(&self, place: Place, lines: Arc<[u8]>) -> bool;
}

#[cfg(test)]
mod tests;
