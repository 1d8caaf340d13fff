//! Applying the stream of the primary, on a worker.

use super::Gate;
use crate::log::aof::read::{Step, step};
use crate::log::{Applier, Source};
use crate::node::{Node, now_ms};
use larder_protocol::resp::args::Args;
use larder_store::Now;
use std::sync::atomic::Ordering;

/// Commands that are applied before others may pass the gate.
const COMMANDS_PER_HOLD: usize = 64;
/// The worker that applies.
const WORKER: usize = 0;

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All whole commands were applied.
    Applied {
        /// The primary asks how far this node has come.
        asked: bool,
    },
    /// The link that this came from is over.
    Over,
    /// The bytes are no commands.
    Corrupt,
}

/// Applies the commands that `bytes` begin with, from `whole` on: what comes before was applied, but is part of a
/// transaction that is not over, and so is not in the log yet. Answers what to drop: the log has it.
pub fn apply(node: &Node, epoch: u64, bytes: &[u8], applied: &mut usize) -> (Outcome, usize) {
    let (mut logged, mut asked) = (0, false);
    let mut ranges = Vec::new();
    loop {
        let mut gate = node.replication.gate();
        if node.replication.epoch() != epoch {
            return (Outcome::Over, logged);
        }
        let mut applier = gate.applier.take().unwrap_or_else(|| {
            let mut applier = Applier::new(node, WORKER, Source::Primary);
            applier.select(gate.db);
            applier
        });
        let now = Now { ms: now_ms() };
        let (mut ended, mut whole) = (None, logged);
        for _ in 0..COMMANDS_PER_HOLD {
            let rest = &bytes[*applied..];
            let consumed = match rest.first() {
                // A sign of life.
                Some(b'\n' | b'\r') => 1,
                _ => {
                    ranges.clear();
                    match step(rest, &mut ranges) {
                        Ok(Step::Command { consumed }) => {
                            asked |= execute(node, &mut applier, now, Args::new(rest, &ranges));
                            consumed
                        }
                        Ok(Step::Note { .. }) | Err(_) => {
                            ended = Some(Outcome::Corrupt);
                            break;
                        }
                        Ok(Step::Incomplete) => {
                            ended = Some(Outcome::Applied { asked });
                            break;
                        }
                    }
                }
            };
            *applied += consumed;
            if !applier.is_in_transaction() {
                whole = *applied;
            }
        }
        note(node, &mut gate, &applier, &bytes[logged..whole]);
        gate.applier = Some(applier);
        drop(gate);
        logged = whole;
        if let Some(outcome) = ended {
            node.replication.replicas.wake(node);
            return (outcome, logged);
        }
    }
}

/// Adds whole steps to the log and notes where the stream is now.
fn note(node: &Node, gate: &mut Gate, applier: &Applier, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    node.log.append_raw(bytes);
    gate.disk.mark(node);
    gate.db = applier.db();
    node.replication.replicas.set_stream_db(applier.db());
}

/// Executes a command of the primary; true if it asks how far this node has come.
fn execute(node: &Node, applier: &mut Applier, now: Now, args: Args<'_>) -> bool {
    let name = args.get(0);
    if name.eq_ignore_ascii_case(b"replconf") {
        return args.len() > 1 && args.get(1).eq_ignore_ascii_case(b"getack");
    }
    if name.eq_ignore_ascii_case(b"ping") {
        return false;
    }
    match applier.apply(node, now, args) {
        Ok(changes) => {
            node.stats.changes.fetch_add(changes, Ordering::Relaxed);
        }
        Err(error) => tracing::warn!("The primary sent what cannot be applied here: {error}"),
    }
    false
}
