//! WAITAOF: a session waits until what it has written is on disk.
//!
//! It waits for no key, so it is not entered in `blocked`: its worker looks again whenever more has come to the disk, here
//! or on a replica.

use super::collection::{Answer, integer, text};
use super::table::{Command, flag};
use super::{Call, CommandError};
use crate::node::Node;
use crate::replication::wait::{ROLE_CHANGED, Waiting, ask};
use crate::session::registry::{Shared, disk_wait};
use crate::session::{Pending, ReplyMode};
use larder_protocol::resp::reply::Reply;
use std::sync::atomic::Ordering;

/// The rows of this family.
pub const COMMANDS: &[Command] = &[Command {
    name: "waitaof",
    summary: "Waits until what the session has written is on the disks of this server and of replicas.",
    syntax: "numlocal numreplicas timeout",
    since: "7.2.0",
    group: "generic",
    arity: 4,
    flags: flag::BLOCKING,
    categories: &["connection"],
    handler: wait_for_disk,
    ..Command::DEFAULT
}];

/// What CLIENT UNBLOCK with ERROR tells who waits.
pub(super) const UNBLOCKED: &str = "UNBLOCKED client unblocked via CLIENT UNBLOCK";

const ON_REPLICA: &str = "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are \
                          just local and are not propagated.";
const OFF: &str = "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";

/// What a session waits for.
#[derive(Clone, Debug)]
pub struct DiskWait {
    local: bool,
    /// What was written last, and the replicas that are to have it on disk.
    waiting: Waiting,
}

impl DiskWait {
    /// Writes the answer and says so, if the wait is over, also because somebody asked that of the session
    /// (see [`disk_wait`]).
    pub fn answer(&mut self, node: &Node, now_ms: u64, shared: &Shared, out: &mut Reply) -> bool {
        let asked = shared.disk_wait.load(Ordering::Relaxed);
        let failure = match () {
            () if asked == disk_wait::FAILS => Some(UNBLOCKED),
            () if self.local && !node.settings().append_only.on => Some(OFF),
            () if self.waiting.replicas > 0 && node.replication.is_following() => Some(ROLE_CHANGED),
            () => None,
        };
        if let Some(text) = failure {
            node.count_error(shared, text);
            out.error(text);
            return true;
        }
        if self.waiting.resolve(node) && self.waiting.replicas > 0 {
            ask(node, 0);
        }
        let aof = &node.log.aof;
        let is_on_disk = aof.durable.load(Ordering::SeqCst) >= self.waiting.number
            && !aof.rewrites.fresh.load(Ordering::Acquire);
        let local = is_on_disk && node.log.is_filed();
        let is_over = asked == disk_wait::TIME_IS_UP
            || self.waiting.deadline_ms.is_some_and(|deadline| deadline <= now_ms);
        let replicas = self.waiting.on_disk(node);
        let lacks = self.local && !local || replicas < self.waiting.replicas;
        if lacks && !is_over {
            return false;
        }
        out.array(2);
        out.integer(i64::from(local));
        out.integer(replicas as i64);
        true
    }
}

fn wait_for_disk(call: &mut Call<'_>) -> Answer {
    let local = integer(call.args.get(1))?;
    if !(0..=1).contains(&local) {
        return Err(text("ERR value is out of range, value must between 0 and 1"));
    }
    let replicas = u64::try_from(integer(call.args.get(2))?)
        .map_err(|_| text("ERR value is out of range, must be positive"))?;
    let timeout = larder_protocol::number::parse_i64(call.args.get(3))
        .ok_or(text("ERR timeout is not an integer or out of range"))?;
    let timeout = u64::try_from(timeout).map_err(|_| text("ERR timeout is negative"))?;
    let out_of_range = || CommandError::new("ERR timeout is out of range");
    let deadline_ms = match timeout {
        0 => None,
        ms => Some(call.keys.now_ms().checked_add(ms).ok_or_else(out_of_range)?),
    };
    if call.node.replication.is_following() {
        return Err(text(ON_REPLICA));
    }
    let (session, number) = (call.session.id(), call.session.logged);
    let replicas = usize::try_from(replicas).unwrap_or(usize::MAX);
    let waiting = Waiting { session, number, target: None, replicas, deadline_ms };
    let mut wait = DiskWait { local: local == 1, waiting };
    if wait.local && !call.node.settings().append_only.on {
        return Err(text(OFF));
    }
    // Counted before it looks: who writes looks at the count after it has said what is on disk.
    call.node.log.aof.awaited.fetch_add(1, Ordering::SeqCst);
    // Within EXEC nobody waits.
    if !call.session.may_wait {
        wait.waiting.deadline_ms = Some(0);
    }
    if wait.answer(call.node, call.keys.now_ms(), &call.session.shared, call.out) {
        call.node.log.aof.awaited.fetch_sub(1, Ordering::SeqCst);
        return Ok(());
    }
    call.session.shared.blocked.store(true, Ordering::Relaxed);
    call.session.shared.disk_wait.store(disk_wait::WAITS, Ordering::Relaxed);
    call.session.pending = Some(Box::new(Pending {
        disk: Some(wait),
        silent: call.session.reply_mode != ReplyMode::On,
        ..Pending::default()
    }));
    Ok(())
}
