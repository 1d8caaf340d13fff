//! The web console: pages for people, over the same operations and the same authorisation as the API.
//!
//! ```text
//! front ─► visit (who, signed in?) ─► route ─► page ─► call ─► operation
//!             └► session                        └► template (.html beside the page's code)
//! ```
//!
//! A page is one file of code and one template. It knows what exists only from answers of operations, as any client of
//! the API does (`call`), and changes something only by calling one in the name of who is signed in. So there is no
//! second copy of a rule and no back door: what a policy forbids to a key is forbidden here. The command prompt alone
//! reaches further, to a node's own socket, through the [`Nodes`] that the service hands in.
//!
//! Pages work without scripts. The one script there is (`live.js`) refreshes what changes and copies texts. All state of a
//! form travels in the form; sessions are kept in memory, and end with the service.

mod asset;
mod board;
mod cache;
mod call;
mod create;
mod graph;
mod input;
mod page;
mod parameters;
mod route;
mod session;
mod show;
mod snippet;
mod visit;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::front::{Answer, Request};
use crate::operation::App;

use self::session::Sessions;

/// Where all pages are.
const ROOT: &str = "/console";

/// What the prompt asks of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question<'a> {
    /// A command of Redis, in words.
    Redis(&'a [&'a [u8]]),
    /// Lines of the Memcached text protocol, with their line ends.
    Memcached(&'a [u8]),
}

/// What a node answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// A value of Redis.
    Redis(larder_protocol::resp::value::Value),
    /// Lines of Memcached.
    Memcached(Vec<u8>),
}

/// Nodes, as the prompt reaches them. Calls block, for seconds at most.
pub trait Nodes: Send + Sync {
    /// Asks a node of a cluster over its own socket, which no user's rules bind.
    ///
    /// # Errors
    /// Why it did not answer, in words.
    fn ask(&self, cluster: &str, node: &str, question: Question<'_>) -> Result<Reply, String>;
}

/// The console.
pub struct Console {
    app: Arc<App>,
    nodes: Arc<dyn Nodes>,
    sessions: Sessions,
}

impl Console {
    /// The console of a service.
    pub fn new(app: Arc<App>, nodes: Arc<dyn Nodes>) -> Console {
        Console { app, nodes, sessions: Sessions::default() }
    }

    /// The service.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Path of the first page.
    pub fn path() -> &'static str {
        ROOT
    }

    /// Answers a request for a page; none if it is for the API. May block.
    pub fn answer(&self, request: &Request) -> Option<Answer> {
        if is_first_visit(request) {
            return Some(visit::redirect(ROOT));
        }
        let rest = request.path.strip_prefix(ROOT)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| route::answer(self, request, rest))
    }
}

/// A browser at the root: calls of the API are signed or carry an action, and do not ask for HTML.
fn is_first_visit(request: &Request) -> bool {
    let html = request.header("accept").is_some_and(|value| value.contains("text/html"));
    let plain = request.query.is_empty() && request.header("authorization").is_none();
    request.method == "GET" && request.path == "/" && html && plain
}
