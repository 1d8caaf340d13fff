//! FAILOVER: a primary hands over to one of its replicas, and no write that was acknowledged is lost.
//!
//! Writes are held back; once a replica has everything, this node becomes its replica and asks it (PSYNC FAILOVER) to
//! lead. It does so before it answers, and goes on where this node is.

use super::replicas::Replica;
use super::{role, wait};
use crate::command::locked::Locked;
use crate::mailbox::Mailbox;
use crate::node::{Node, now_ms};
use crate::pause::Held;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How far it is; the names are those of INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Writes are held back until a replica has everything.
    Waiting,
    /// The replica is asked to lead.
    Asking,
}

/// What is wanted.
#[derive(Clone, Debug)]
struct Plan {
    phase: Phase,
    /// The replica, if it is not to be any.
    to: Option<(String, u16)>,
    /// When the time is up the replica leads, whatever it has.
    forced: bool,
    /// Unix milliseconds when the time is up.
    deadline_ms: Option<u64>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Failover {
    plan: Mutex<Option<Plan>>,
    on: AtomicBool,
}

impl Failover {
    fn lock(&self) -> MutexGuard<'_, Option<Plan>> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, plan: Option<Plan>) {
        self.on.store(plan.is_some(), Ordering::Release);
        *self.lock() = plan;
    }

    /// The name of its state.
    pub fn state_name(&self) -> &'static str {
        match self.lock().as_ref().map(|plan| plan.phase) {
            None => "no-failover",
            Some(Phase::Waiting) => "waiting-for-sync",
            Some(Phase::Asking) => "failover-in-progress",
        }
    }

    /// The replica leads, or at least has answered: clients are told to go there by being refused.
    pub(super) fn done(&self, node: &Node) {
        if self.lock().take().is_some() {
            tracing::info!("Failover complete: this node follows the new primary");
        }
        self.on.store(false, Ordering::Release);
        go_on(node);
    }
}

fn go_on(node: &Node) {
    node.hold_back_no_more(now_ms());
    node.mailboxes.iter().for_each(Mailbox::wake);
}

fn is_at(replica: &Replica, (host, port): &(String, u16)) -> bool {
    replica.facts.port == *port && replica.ip() == *host
}

/// Begins.
///
/// # Errors
/// What FAILOVER answers.
pub fn begin(
    node: &Node,
    worker: usize,
    to: Option<(String, u16)>,
    forced: bool,
    (now_ms, timeout_ms): (u64, Option<u64>),
) -> Result<(), &'static str> {
    let failover = &node.replication.failover;
    if failover.lock().is_some() {
        return Err("ERR FAILOVER already in progress.");
    }
    if node.replication.is_following() {
        return Err("ERR FAILOVER is not valid when server is a replica.");
    }
    let replicas = node.replication.replicas.all();
    if replicas.is_empty() {
        return Err("ERR FAILOVER requires connected replicas.");
    }
    if forced && (to.is_none() || timeout_ms.is_none()) {
        return Err("ERR FAILOVER with force option requires both a timeout and target HOST and IP.");
    }
    if let Some(to) = &to {
        match replicas.iter().find(|replica| is_at(replica, to)) {
            None => return Err("ERR FAILOVER target HOST and PORT is not a replica."),
            Some(replica) if !replica.is_online() => {
                return Err("ERR FAILOVER target replica is not online.");
            }
            Some(_) => {}
        }
    }
    let deadline_ms = timeout_ms.map(|timeout| now_ms + timeout);
    tracing::info!("FAILOVER requested to {to:?}");
    node.hold_back(Held::Writes, now_ms, u64::MAX);
    failover.set(Some(Plan { phase: Phase::Waiting, to, forced, deadline_ms }));
    wait::ask(node, worker);
    Ok(())
}

/// Gives it up; the gate and all partitions are held.
///
/// # Errors
/// There is none.
pub fn abort(node: &Node) -> Result<(), &'static str> {
    let plan = node.replication.failover.lock().take().ok_or("ERR No failover in progress.")?;
    node.replication.failover.on.store(false, Ordering::Release);
    if plan.phase == Phase::Asking {
        role::lead(node);
    }
    go_on(node);
    Ok(())
}

/// The replica does not want to lead, on a worker: this node leads again.
pub(super) fn rejected(node: &Node) {
    tracing::warn!("Failover target rejected psync request: this node leads again");
    let _gate = node.replication.gate();
    let _held = Locked::all(&node.store);
    let _ = abort(node); // it may be over this very moment
}

/// What time brings, on a worker.
pub(super) fn look(node: &Node, now_ms: u64) {
    let failover = &node.replication.failover;
    if !failover.on.load(Ordering::Acquire) {
        return;
    }
    let Some(plan) = failover.lock().clone() else { return };
    let late = plan.deadline_ms.is_some_and(|deadline| now_ms >= deadline);
    if plan.phase == Phase::Asking {
        if late && !plan.forced {
            tracing::warn!("FAILOVER timed out: this node leads again");
            let _gate = node.replication.gate();
            let _held = Locked::all(&node.store);
            let _ = abort(node); // it may be over this very moment
        }
        return;
    }
    let gate = node.replication.gate();
    let mut held = Locked::all(&node.store);
    let Some(offset) = role::settle(node) else { return };
    let replicas = node.replication.replicas.all();
    let may =
        |replica: &&Arc<Replica>| replica.is_online() && plan.to.as_ref().is_none_or(|to| is_at(replica, to));
    let ready = replicas.iter().filter(may).find(|replica| replica.acked.load(Ordering::Acquire) >= offset);
    let target = match (ready, late) {
        (Some(replica), _) => (replica.ip(), replica.facts.port),
        (None, true) if plan.forced => match plan.to.clone() {
            Some(to) => to,
            None => return,
        },
        (None, true) => {
            tracing::warn!("FAILOVER timed out: no replica has caught up");
            failover.set(None);
            go_on(node);
            return;
        }
        (None, false) => return,
    };
    tracing::info!("Failover target is {}:{}", target.0, target.1);
    failover.set(Some(Plan { phase: Phase::Asking, ..plan }));
    role::follow(node, &mut held, target, true);
    drop(held);
    drop(gate);
}
