//! The end of a node: replicas catch up, what has save points is saved, and only then it ends.
//!
//! Whoever ends the node is none of its workers, and in a node with one worker only that may touch the keyspace. So the
//! one asks and waits, and the other saves in its turn. Writes are held back meanwhile: none is acknowledged that is neither
//! saved nor with the replicas.

use super::save;
use crate::command::locked::Locked;
use crate::command::wake;
use crate::config::Ending;
use crate::node::{Node, now_ms};
use crate::pause::{self, Pause};
use crate::replication::wait;
use crate::signal;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How often it is looked whether the replicas have caught up.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often replicas are asked how far they are.
const ASK_EVERY_MS: u64 = 500;
/// What sessions are told whose SHUTDOWN came to nothing.
const FAILED: &str = "ERR Errors trying to SHUTDOWN. Check logs.";

/// See the module.
#[derive(Debug, Default)]
pub struct Exit {
    /// What SHUTDOWN said.
    asked: Mutex<Option<Ending>>,
    /// It is to end, or is about to.
    on: AtomicBool,
    aborted: AtomicBool,
    /// Until when replicas are waited for, Unix milliseconds; 0 = they are not.
    until_ms: AtomicU64,
    asks_replicas: AtomicBool,
    saves: AtomicBool,
    outcome: Mutex<Option<Result<(), String>>>,
    changed: Condvar,
}

impl Exit {
    /// The node is to end in this way; said by any thread.
    pub fn ask(&self, ending: Ending) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(ending);
        self.on.store(true, Ordering::Release);
        signal::raise();
    }

    /// SHUTDOWN ABORT; false if there is nothing to be given up.
    pub fn abort(&self) -> bool {
        let on = self.on.load(Ordering::Acquire);
        self.aborted.store(on, Ordering::Release);
        on
    }

    /// For how long replicas will be waited for, milliseconds.
    pub fn left_ms(&self) -> Option<u64> {
        let until = self.until_ms.load(Ordering::Relaxed);
        (until > 0).then(|| until.saturating_sub(now_ms()))
    }

    /// Does what comes before the end, and waits for it. Called by a thread that is no worker.
    ///
    /// # Errors
    /// What went wrong: the node should not end.
    pub fn prepare(&self, node: &Node, by_signal: Ending) -> Result<(), String> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner).take();
        let ending = asked.unwrap_or(by_signal);
        self.on.store(true, Ordering::Release);
        let before = Paused::begin(node);
        self.await_replicas(node, ending);
        self.until_ms.store(0, Ordering::Relaxed);
        // From here on it is too late to think better of it.
        self.on.store(false, Ordering::Release);
        let result = match self.aborted.swap(false, Ordering::AcqRel) {
            true => Err("it was aborted".into()),
            false => self.save(node, ending),
        };
        if result.is_err() {
            before.end(node);
            for waiter in node.blocked.all().iter().filter(|waiter| waiter.command.name == "shutdown") {
                wake::end_with_error(node, waiter, FAILED); // unless it was ended this very moment
            }
        }
        result
    }

    /// Waits until the replicas have everything, or for as long as they have time.
    fn await_replicas(&self, node: &Node, ending: Ending) {
        let seconds = node.settings().shutdown.timeout;
        if ending.now || seconds == 0 || node.loading.is_on() || node.replication.is_following() {
            return;
        }
        let until_ms = now_ms().saturating_add(seconds.saturating_mul(1000));
        let mut ask_at_ms = 0;
        while let Some(lagging) = lagging(node)
            && !self.aborted.load(Ordering::Acquire)
        {
            let now_ms = now_ms();
            if self.until_ms.swap(until_ms, Ordering::Relaxed) == 0 {
                tracing::info!("Waiting for {lagging} replicas before shutting down.");
            }
            if now_ms >= until_ms {
                tracing::warn!("{lagging} replicas have not caught up, and are not waited for any longer.");
                return;
            }
            if now_ms >= ask_at_ms {
                ask_at_ms = now_ms + ASK_EVERY_MS;
                self.asks_replicas.store(true, Ordering::Release);
                node.mailboxes[0].wake();
            }
            if signal::comes_within(LOOK_EVERY) && self.is_urgent() {
                tracing::warn!("Asked to end at once: replicas are not waited for any longer.");
                return;
            }
        }
    }

    /// True if what the process was asked for meanwhile is to end at once: by another signal, or by SHUTDOWN NOW.
    fn is_urgent(&self) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner).take();
        asked.is_none_or(|ending| ending.now)
    }

    fn save(&self, node: &Node, ending: Ending) -> Result<(), String> {
        let has_points = !node.settings().persistence.save_points.is_empty();
        if !ending.saves.unwrap_or(has_points) || node.loading.is_on() {
            return Ok(());
        }
        tracing::warn!("Saving the final RDB snapshot before exiting.");
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        self.saves.store(true, Ordering::Release);
        node.mailboxes[0].wake();
        loop {
            match outcome.take() {
                Some(Err(error)) if ending.forced => {
                    tracing::warn!("Error trying to save the DB, but it ends all the same: {error}");
                    return Ok(());
                }
                Some(result) => return result,
                None => outcome = self.changed.wait(outcome).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// True if a worker is asked for something.
    #[inline]
    pub fn is_wanted(&self) -> bool {
        self.saves.load(Ordering::Relaxed) || self.asks_replicas.load(Ordering::Relaxed)
    }

    /// The part of the first worker.
    #[cold]
    pub fn serve(&self, node: &Node) {
        if self.asks_replicas.swap(false, Ordering::AcqRel) {
            wait::ask(node, 0);
        }
        if !self.saves.swap(false, Ordering::AcqRel) {
            return;
        }
        let gate = node.replication.gate();
        let mut held = Locked::all(&node.store);
        // Whatever snapshot is being taken: it will never be finished.
        node.snapshots.abort(&mut held);
        let result = save::now(node, &mut held);
        drop(held);
        drop(gate);
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        self.changed.notify_all();
    }
}

/// How many replicas do not have everything yet, if there are any.
fn lagging(node: &Node) -> Option<usize> {
    let replicas = node.replication.replicas.all();
    // What is not in the stream yet has no offset.
    let whole = node.log.merged() >= node.log.number();
    let offset = node.log.offset();
    let online = replicas.iter().filter(|replica| replica.is_online());
    let lagging = online.filter(|replica| !whole || replica.acked.load(Ordering::Acquire) < offset).count();
    (lagging > 0).then_some(lagging)
}

/// The pause that clients asked for, while another one holds all writes.
struct Paused(Option<(pause::Held, u64)>);

impl Paused {
    fn begin(node: &Node) -> Paused {
        let (pause, now): (&Pause, u64) = (&node.pause, now_ms());
        let before = pause.held(now).map(|held| (held, now.saturating_add(pause.left_ms(now))));
        node.hold_back(pause::Held::Writes, now, u64::MAX);
        Paused(before)
    }

    fn end(self, node: &Node) {
        node.hold_back_no_more(now_ms());
        if let Some((held, until_ms)) = self.0 {
            node.hold_back(held, now_ms(), until_ms);
        }
        node.mailboxes.iter().for_each(crate::mailbox::Mailbox::wake);
    }
}
