//! How a session tracks what it reads (CLIENT TRACKING).

use crate::node::Node;
use crate::tracking::Tracker;
use std::sync::Arc;

/// Which reads are remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// All.
    #[default]
    All,
    /// Those after CLIENT CACHING YES (OPTIN).
    Asked,
    /// All but those after CLIENT CACHING NO (OPTOUT).
    NotRefused,
}

/// A session's side of client-side caching.
#[derive(Debug)]
pub struct Caching {
    /// What others know of it.
    pub tracker: Arc<Tracker>,
    /// Prefixes of the keys that it is told of, if it broadcasts.
    pub prefixes: Vec<Box<[u8]>>,
    /// Which reads are remembered.
    pub choice: Choice,
    /// CLIENT CACHING was said: the next command, or transaction, is an exception.
    pub exception: bool,
}

impl Caching {
    /// True if what is read now is to be remembered.
    pub fn remembers(&self) -> bool {
        !self.tracker.broadcasts
            && match self.choice {
                Choice::All => true,
                Choice::Asked => self.exception,
                Choice::NotRefused => !self.exception,
            }
    }

    /// Tracks no more.
    pub fn end(&self, node: &Node) {
        node.tracking.end(&self.tracker, &self.prefixes);
        node.find_wanted();
    }
}
