//! What a handler gets.

use super::{CommandError, Keyspace};
use crate::blocked::{Nothing, Wait};
use crate::node::Node;
use crate::session::Client;
use larder_protocol::resp::args::Args;
use larder_protocol::resp::reply::Reply;

/// One command on its way through its handler. The fields are public so that they can be borrowed apart.
pub struct Call<'a> {
    /// The arguments, the command's name first.
    pub args: &'a Args<'a>,
    /// The keys that the command holds.
    pub keys: Keyspace<'a>,
    /// Where the reply goes.
    pub out: &'a mut Reply,
    /// Who asks.
    pub session: &'a mut Client,
    /// What all sessions share.
    pub node: &'a Node,
}

impl Call<'_> {
    /// Logs this instead of the command: see [`Keyspace::propagate`].
    pub fn propagate(&mut self, args: &[&[u8]]) {
        self.keys.propagate(args);
    }

    /// Makes the session wait: the command is tried again when one of the keys may have what it wants. The handler
    /// must have written nothing, and must not write anything afterwards. Within EXEC nobody waits: there the reply is
    /// the one for a wait that was in vain.
    pub fn wait(&mut self, wait: Wait) {
        if self.session.may_wait {
            self.session.wait = Some(Box::new(wait));
        } else {
            match wait.nothing {
                Nothing::Bulk => self.out.null(),
                Nothing::Array => self.out.null_array(),
            }
        }
    }
}

/// A command's effect. What it wrote before it failed is taken back and the error written instead.
pub type Handler = fn(&mut Call<'_>) -> Result<(), CommandError>;

/// The handler of a row that has none: a container without a default.
pub fn nothing(_: &mut Call<'_>) -> Result<(), CommandError> {
    Err(CommandError::Syntax)
}
