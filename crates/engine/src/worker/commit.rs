//! What a worker has to do with the disk: replies that wait for it (`appendfsync always`), and loading at the start.

use super::Worker;
use super::sessions::Session;
use crate::command::locked::Locked;
use crate::log::Log;
use crate::node::Node;
use larder_store::Now;
use std::time::{Duration, Instant};

/// How long a turn loads before it looks after sessions.
const LOAD_BUDGET: Duration = Duration::from_millis(10);
/// How long a node that ends waits for the disk, so that who wrote is answered.
const GOODBYE_MAX: Duration = Duration::from_secs(2);

/// True if the replies of a session wait for the disk. It is released by [`Worker::release`]; until then it executes
/// nothing, so that what it is answered next cannot put it off again.
#[cold]
pub(super) fn hold(log: &Log, session: &mut Session, held: &mut Vec<u32>) -> bool {
    if log.may_be_answered(session.client.logged) {
        return false;
    }
    if !std::mem::replace(&mut session.held, true) {
        held.push(session.token.index);
    }
    true
}

impl Worker {
    /// Sends the replies whose writes are on disk by now.
    #[cold]
    pub(super) fn release(&mut self) {
        self.touched.clear();
        for index in std::mem::take(&mut self.held) {
            let Some(session) = self.sessions.get(index) else { continue };
            if self.node.log.may_be_answered(session.client.logged) {
                session.held = false;
                self.touched.push(index);
                self.sessions.make_ready(index);
            } else {
                self.held.push(index);
            }
        }
        self.send_replies(&self.node.settings());
    }

    /// Lets the log thread finish what this worker's sessions wait for.
    pub(super) fn await_disk(&mut self) {
        let last = self.sessions.iter_mut().map(|session| session.client.logged).max().unwrap_or(0);
        let until = Instant::now() + GOODBYE_MAX;
        while !self.node.log.may_be_answered(last) && Instant::now() < until {
            self.node.log.hand_over();
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Executes commands of a file that is loaded, for a while; false if there is none. Once all is there, the node logs.
#[cold]
pub(super) fn load(node: &Node, now: Now) -> bool {
    let loads = node.log.aof.loads.work(node, now, LOAD_BUDGET);
    if loads == Some(true) {
        begin_to_log(node);
        node.log.aof.loads.tell();
    }
    loads.is_some()
}

/// Turns the log on for the file.
fn begin_to_log(node: &Node) {
    let held = Locked::all(&node.store);
    node.log.set_filed(true);
    node.find_wanted();
    drop(held);
}
