//! What a node is: becoming a replica, becoming a primary, and the history that it keeps.
//!
//! Roles change with the gate and all partitions held: nothing is written or applied at that instant.

use super::history::History;
use super::wait::ROLE_CHANGED;
use super::{Gate, Link, find_restrained};
use crate::background::drop_later;
use crate::command::locked::Held;
use crate::command::wake;
use crate::log::aof::rewrite;
use crate::log::{Backlog, Cut};
use crate::node::{Node, now_ms};
use crate::snapshot::load::beside;
use larder_store::{Cleared, Now};
use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long the log thread may take to bring what was logged into the stream.
const SETTLE_PATIENCE: Duration = Duration::from_secs(10);

/// Waits until all that was logged is in the stream, with all partitions held; its offset.
pub(super) fn settle(node: &Node) -> Option<u64> {
    let number = node.log.cut(Cut::Replica);
    node.log.wait_for_point(number, SETTLE_PATIENCE)
}

/// Makes the node keep what it writes for replicas, if it does not yet: a history begins. All partitions are held.
pub(super) fn keep_history(node: &Node) {
    if node.log.is_replicated() {
        return;
    }
    let offset = node.log.offset();
    let capacity = node.settings().replication.backlog_bytes;
    node.log.with_backlog(|backlog| *backlog = Backlog::new(offset, capacity));
    node.replication.state().history = History::begin();
    node.log.set_replicated(true);
    node.find_wanted();
}

/// Ends the history: nobody has been following for long. Called without partitions.
pub(super) fn forget_history(node: &Node) {
    let _gate = node.replication.gate();
    let held = crate::command::locked::Locked::all(&node.store);
    if node.replication.replicas.count() > 0 || node.replication.is_following() {
        return;
    }
    node.log.set_replicated(false);
    let offset = node.log.offset();
    node.log.with_backlog(|backlog| *backlog = Backlog::new(offset, backlog.capacity()));
    node.replication.state().history = History::begin();
    node.find_wanted();
    drop(held);
    tracing::info!("Replication backlog freed: no replicas for too long");
}

/// Takes up the history that a file told of, so that who was in it can go on. The gate and all partitions are held.
pub fn resume(node: &Node, gate: &mut Gate, id: &str, offset: u64, db: u16) {
    let capacity = node.settings().replication.backlog_bytes;
    let follows = node.settings().replication.primary.is_some();
    node.log.with_backlog(|backlog| *backlog = Backlog::new(offset, capacity));
    let mut state = node.replication.state();
    match follows {
        true => state.history = History { id: id.to_owned(), before: None },
        // What it does from now on is a history of its own.
        false => {
            state.history = History::begin();
            state.history.before = Some((id.to_owned(), offset));
        }
    }
    state.resumable = follows;
    drop(state);
    gate.db = db;
    node.replication.replicas.set_stream_db(db);
    node.log.set_replicated(true);
    node.find_wanted();
}

/// Makes a node that starts a replica, before it serves anybody: it takes no writes at any instant. [`follow`] says later
/// whose.
pub fn prepare(node: &Node) {
    node.replication.following.store(true, Ordering::Release);
    node.store.keep_dead(true);
    node.log.follow(true);
    // It waits for its primary to say what dies.
    node.loading.keeps_dead.store(true, Ordering::Relaxed);
    find_restrained(node);
}

/// Follows this node from now on; false if it does so already. The gate and all partitions are held. `hands_over`: it is
/// asked to become the primary.
pub fn follow(node: &Node, held: &mut dyn Held, primary: (String, u16), hands_over: bool) -> bool {
    let replication = &node.replication;
    if replication.is_following() && replication.state().primary.as_ref() == Some(&primary) {
        return false;
    }
    tracing::info!("REPLICAOF {}:{} enabled", primary.0, primary.1);
    let led = !replication.is_following();
    if led {
        let in_history = node.log.is_replicated() && settle(node).is_some();
        // Once it keeps a history, what it has is exactly that.
        let mut state = replication.state();
        state.resumable = (state.resumable || led) && in_history;
        drop(state);
        unblock_all(node, held);
    }
    replication.epoch.fetch_add(1, Ordering::AcqRel);
    let mut state = replication.state();
    state.primary = Some(primary.clone());
    state.link = Link::Connect;
    state.down_since_ms = now_ms();
    state.hands_over = hands_over;
    drop(state);
    replication.following.store(true, Ordering::Release);
    node.store.keep_dead(true);
    node.log.follow(true);
    if !node.log.is_replicated() {
        node.log.set_replicated(true);
        let capacity = node.settings().replication.backlog_bytes;
        node.log.with_backlog(|backlog| *backlog = Backlog::new(0, capacity));
    }
    changed(node, Some(primary));
    true
}

/// Leads from now on; false if it does so already. The gate and all partitions are held.
pub fn lead(node: &Node) -> bool {
    let replication = &node.replication;
    if !replication.is_following() {
        return false;
    }
    replication.epoch.fetch_add(1, Ordering::AcqRel);
    let mut state = replication.state();
    state.primary = None;
    state.hands_over = false;
    state.history.branch(node.log.offset());
    tracing::info!("MASTER MODE enabled: a history of its own begins at {}", node.log.offset());
    drop(state);
    replication.following.store(false, Ordering::Release);
    replication.own.clear();
    node.store.keep_dead(node.settings().replication.imports);
    node.log.follow(false);
    // Whoever goes on from here is told the database first.
    node.log.cut(Cut::Replica);
    changed(node, None);
    true
}

fn changed(node: &Node, primary: Option<(String, u16)>) {
    let replication = &node.replication;
    // Finds again what is wanted and what is refused, too.
    let Ok(()) = node.change_config(|config| -> Result<(), Infallible> {
        config.settings.replication.primary = primary;
        Ok(())
    });
    // They come again, and most go on where they were.
    replication.replicas.close_all(node);
    replication.waits.end_all(node);
    replication.changed.notify_all();
}

/// Ends all waits for keys: what they wait for would be a write.
fn unblock_all(node: &Node, _held: &mut dyn Held) {
    for waiter in node.blocked.all() {
        wake::end_with_error(node, &waiter, ROLE_CHANGED);
    }
}

/// Empties the keyspace for the primary's, on a worker; false if the link it is for is over.
pub(super) fn empty(node: &Node, epoch: u64) -> bool {
    let _gate = node.replication.gate();
    if node.replication.epoch() != epoch {
        return false;
    }
    clear(node);
    node.loading.keeps_dead.store(true, Ordering::Relaxed);
    true
}

/// Makes ready for the primary's keyspace beside this one, on a worker; false if the link it is for is over. What is here is
/// served meanwhile if it is of the history that the primary is in.
pub(super) fn stand_beside(node: &Node, epoch: u64, id: &str) -> bool {
    let _gate = node.replication.gate();
    if node.replication.epoch() != epoch {
        return false;
    }
    let state = node.replication.state();
    let serves = state.resumable && state.history.id == id;
    drop(state);
    node.loading.keeps_dead.store(true, Ordering::Relaxed);
    // Nothing is written or saved halfway into it.
    let held = crate::command::locked::Locked::all(&node.store);
    node.loading.set_beside(serves);
    drop(held);
    true
}

/// What was loaded of a snapshot that came to nothing goes again, on a worker, whatever the node has become meanwhile: part
/// of a primary's data is nobody's data.
pub(super) fn abandon(node: &Node) {
    let _gate = node.replication.gate();
    if node.loading.is_beside() {
        let mut held = crate::command::locked::Locked::all(&node.store);
        let loaded = take_beside(node, &mut held);
        drop(held);
        free(node, loaded);
        tracing::info!(
            "MASTER <-> REPLICA sync: what was loaded of it is given up, and what was there stays"
        );
    } else if node.loading.is_on() {
        clear(node);
        if !node.replication.is_following() {
            // It leads with nothing, which is in no history that others know.
            node.replication.state().history = History::begin();
        }
    }
    node.loading.keeps_dead.store(false, Ordering::Relaxed);
    node.loading.set(false);
}

/// Removes all keys; from then on the node is loading. The gate is held.
fn clear(node: &Node) {
    let mut held = crate::command::locked::Locked::all(&node.store);
    node.snapshots.abort(&mut held);
    node.replication.state().resumable = false;
    // Whoever chooses the next primary by the offset must not take an empty node for a full one.
    let capacity = node.settings().replication.backlog_bytes;
    node.log.with_backlog(|backlog| *backlog = Backlog::new(0, capacity));
    let mut cleared = Vec::new();
    let (databases, now) = (node.store.databases(), Now { ms: now_ms() });
    held.visit(&mut |partition| cleared.extend((0..databases).map(|db| partition.clear(db, now))));
    node.loading.set(true);
    node.replication.own.clear();
    node.tracking.flushed(node);
    drop(held);
    free(node, cleared);
    node.replication.replicas.close_all(node);
}

fn free(node: &Node, keys: Vec<Cleared>) {
    match node.settings().replication.lazy_flush {
        true => drop_later(keys),
        false => drop(keys),
    }
}

/// Takes out what lies behind the databases that commands see.
fn take_beside(node: &Node, held: &mut dyn Held) -> Vec<Cleared> {
    let (mut taken, databases, now) = (Vec::new(), node.store.databases(), Now { ms: now_ms() });
    held.visit(&mut |partition| {
        let filled = (0..databases).map(|db| beside(node, db)).filter(|db| partition.len(*db) > 0);
        let filled: Vec<u16> = filled.collect();
        taken.extend(filled.into_iter().map(|db| partition.clear(db, now)));
        partition.trim(databases);
    });
    taken
}

/// Puts what was loaded beside the keyspace in its place; answers what was there. The gate is held.
fn change_over(node: &Node, held: &mut dyn Held) -> Vec<Cleared> {
    node.snapshots.abort(held);
    let (databases, now) = (node.store.databases(), Now { ms: now_ms() });
    held.visit(&mut |partition| {
        for (db, new) in (0..databases).map(|db| (db, beside(node, db))) {
            if partition.len(db) > 0 || partition.len(new) > 0 {
                partition.swap(db, new, now);
            }
        }
    });
    let before = take_beside(node, held);
    node.replication.own.clear();
    node.tracking.flushed(node);
    before
}

/// All data of the primary is there, on a worker: from here on the stream is applied.
pub(super) fn enter(node: &Node, epoch: u64, id: &str, offset: u64, db: u16) -> bool {
    let mut gate = node.replication.gate();
    if node.replication.epoch() != epoch {
        return false;
    }
    let mut held = crate::command::locked::Locked::all(&node.store);
    let changes_over = node.loading.is_beside();
    let before = if changes_over { change_over(node, &mut held) } else { Vec::new() };
    let capacity = node.settings().replication.backlog_bytes;
    node.log.with_backlog(|backlog| *backlog = Backlog::new(offset, capacity));
    let mut state = node.replication.state();
    state.history = History { id: id.to_owned(), before: None };
    state.resumable = true;
    state.link = Link::Connected;
    drop(state);
    (gate.applier, gate.db) = (None, db);
    gate.disk.begin(node);
    node.replication.replicas.set_stream_db(db);
    node.loading.keeps_dead.store(false, Ordering::Relaxed);
    node.loading.set(false);
    drop(held);
    free(node, before);
    if changes_over {
        node.replication.replicas.close_all(node);
    }
    if node.log.is_filed() {
        // What was loaded is not in the file, and nothing that follows may be put behind what is there: it is off, and is
        // turned on with a new base, however often that has to be tried.
        rewrite::turn_off(node);
        node.log.aof.rewrites.wanted.store(true, Ordering::Release);
    }
    true
}

/// The primary goes on from where this node is; false if the link is over.
pub(super) fn go_on(node: &Node, epoch: u64, id: Option<&str>) -> bool {
    let mut gate = node.replication.gate();
    if node.replication.epoch() != epoch {
        return false;
    }
    // What came of a transaction comes again.
    gate.applier = None;
    let mut state = node.replication.state();
    state.link = Link::Connected;
    let renamed = id.is_some_and(|id| id != state.history.id);
    if let Some(id) = id {
        state.history.rename(id, node.log.offset());
    }
    drop(state);
    if renamed {
        node.replication.replicas.close_all(node);
    }
    true
}

/// The link is down, for now.
pub(super) fn disconnected(node: &Node, epoch: u64) {
    let _gate = node.replication.gate();
    if node.replication.epoch() == epoch {
        let mut state = node.replication.state();
        if state.link == Link::Connected {
            state.down_since_ms = now_ms();
        }
        state.link = Link::Connect;
    }
}
