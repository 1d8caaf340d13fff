//! What a worker does without being asked: reclaiming dead keys, a delayed flush_all, closing idle sessions,
//! measuring its rate.

use super::sessions::{Protocol, Sessions};
use crate::command::wake::tell_of_gone;
use crate::latency::EXPIRE_CYCLE;
use crate::log::aof::rewrite;
use crate::memory::bound;
use crate::meter::late_ms;
use crate::node::{Node, now_ms};
use crate::snapshot::save;
use crate::socket::{Driver, TICK};
use crate::traffic::Figures;
use crate::{notify, process, replication};
use larder_store::Now;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Milliseconds between two rounds over the partitions' deadlines.
const EXPIRE_EVERY_MS: u64 = TICK.as_millis() as u64;
/// Time that a round may take before it lets requests pass.
const EXPIRE_BUDGET: Duration = Duration::from_micros(500);
/// Deadlines looked at per visit of a partition.
const EXPIRE_PER_VISIT: usize = 32;
/// Milliseconds between two rounds over the sessions.
const SESSIONS_EVERY_MS: u64 = 1000;

/// When what is next.
pub(super) struct Timers {
    worker: usize,
    workers: usize,
    expire_at_ms: u64,
    sessions_at_ms: u64,
    measure_at_ms: u64,
    /// More keys are dead than there was time for: a worker with nothing else to do goes on at once.
    behind: bool,
    /// Where the last round over the partitions stopped for want of time.
    partition: usize,
    /// Commands, bytes received and sent, and those of replication, when the rates were last measured.
    counted: [u64; 5],
    /// Rounds and processor time as they were then.
    turned: (u64, u64),
    /// What [`late_ms`] said then.
    late_ms: [u64; 2],
}

/// False while dead keys stay where they are.
fn expires(node: &Node, now: Now) -> bool {
    let loads = node.loading.is_on(); // a log says itself what dies when
    !loads
        && !node.replication.is_following()
        && !node.settings().replication.imports
        && node.active_expire.load(Ordering::Relaxed)
        && node.pause.held(now.ms).is_none()
}

/// True if a replica ends keys that were written on it.
fn ends_own(node: &Node, now: Now) -> bool {
    !node.loading.is_on() && node.active_expire.load(Ordering::Relaxed) && node.pause.held(now.ms).is_none()
}

impl Timers {
    pub(super) fn new(worker: usize, workers: usize) -> Timers {
        Timers {
            worker,
            workers,
            expire_at_ms: 0,
            behind: false,
            sessions_at_ms: 0,
            measure_at_ms: 0,
            partition: worker,
            counted: [0; 5],
            turned: (0, 0),
            late_ms: [0; 2],
        }
    }

    /// How long the worker may sleep.
    pub(super) fn next(&self) -> Duration {
        if self.behind { Duration::ZERO } else { TICK }
    }

    pub(super) fn run(&mut self, node: &Arc<Node>, now: Now, sessions: &mut Sessions, driver: &mut Driver) {
        if now.ms >= self.expire_at_ms {
            if self.worker == 0 && node.pause.is_set() {
                node.settle_pause(now.ms);
            }
            let began = Instant::now();
            let done = !expires(node, now) || self.expire(node, now);
            node.note_event(EXPIRE_CYCLE, began.elapsed());
            node.stats.expire_micros.fetch_add(began.elapsed().as_micros() as u64, Ordering::Relaxed);
            node.stats.expire_stopped.fetch_add(u64::from(!done), Ordering::Relaxed);
            if self.worker == 0 {
                let changes = tell_of_gone(node, (now, node.access(&node.settings(), now.ms, 0)));
                node.stats.changes.fetch_add(changes, Ordering::Relaxed);
            }
            if self.worker == 0 {
                replication::tick(node, now.ms);
            }
            if self.worker == 0 && node.replication.is_following() && ends_own(node, now) {
                replication::own::expire(node, self.worker, now);
            }
            self.note_round(now.ms, done);
        }
        if self.worker == 0 && now.ms >= self.measure_at_ms {
            self.measure_at_ms = now.ms + bound::MEASURE_EVERY_MS;
            bound::measure(node.settings().maxmemory);
            let stats = &node.stats;
            note_span(bound::is_sparse(), now.ms, &stats.moving_since_ms, &stats.moving_ms);
        }
        if self.worker == 0 && node.log.aof.rewrites.wanted.load(Ordering::Relaxed) {
            node.log.aof.rewrites.wanted.store(false, Ordering::Relaxed);
            rewrite::look(node);
        }
        if self.worker == 0 && node.exit.is_wanted() {
            node.exit.serve(node);
        }
        if now.ms >= self.sessions_at_ms {
            self.sessions_at_ms = now.ms + SESSIONS_EVERY_MS;
            self.look_after_sessions(node, now, sessions, driver);
        }
    }

    /// A round over the deadlines is over, or had no time for all of them.
    fn note_round(&mut self, now_ms: u64, done: bool) {
        self.expire_at_ms = if done { now_ms + EXPIRE_EVERY_MS } else { now_ms };
        self.behind = !done;
    }

    /// Reclaims keys of this worker's share of the partitions; false if it ran out of time.
    fn expire(&mut self, node: &Node, now: Now) -> bool {
        let (began, meter) = (Instant::now(), &node.meters[self.worker]);
        for _ in (self.worker..node.store.partition_count()).step_by(self.workers) {
            let id = node.store.partition_at(self.partition);
            while node.store.is_due(id, now) {
                let mut partition = node.store.lock(id);
                let waited = now_ms().saturating_sub(now.ms);
                partition.expire_due_telling(now, EXPIRE_PER_VISIT, &mut |due, late| {
                    meter.reclaimed(due, late + waited)
                });
                notify::expired(node, self.worker, partition.take_gone());
                drop(partition);
                if began.elapsed() > EXPIRE_BUDGET {
                    return false;
                }
            }
            self.partition += self.workers;
            if self.partition >= node.store.partition_count() {
                self.partition = self.worker;
            }
        }
        true
    }

    fn look_after_sessions(
        &mut self,
        node: &Arc<Node>,
        now: Now,
        sessions: &mut Sessions,
        driver: &mut Driver,
    ) {
        let (timeout_ms, limits) = (node.settings().timeout * 1000, node.settings().output_limits);
        let bounded = node.settings().maxmemory_clients.bytes(node.settings().maxmemory).is_some();
        for session in sessions.iter_mut() {
            session.publish();
            if bounded {
                session.charge(&node.charge);
            }
            let idle_ms = now.ms.saturating_sub(session.client.shared.last_ms.load(Ordering::Relaxed));
            if !session.client.closing && session.is_output_exceeded(&limits) {
                node.stats.output_limit_closed.fetch_add(1, Ordering::Relaxed);
                session.client.closing = true;
                driver.close(session.token, true);
            }
            let over = session.client.ends.is_some_and(|ends| Instant::now() > ends);
            if over || session.tls.as_ref().is_some_and(|tls| tls.is_late()) {
                driver.close(session.token, true);
                continue;
            }
            let client = &session.client;
            if client.subscriptions.is_some() || client.replica.is_some() || session.watches() {
                continue; // it may be silent as long as it likes
            }
            let idle = session.output_bytes() == 0 && session.client.pending.is_none();
            if timeout_ms > 0 && idle_ms > timeout_ms && idle && !session.closed {
                session.closed = true;
                if let Protocol::Memcached(memcached) = &mut session.protocol {
                    memcached.end_idle();
                    node.memcached.count_idle_kick(self.worker);
                }
                driver.close(session.token, true);
            }
        }
        if self.worker == 0 {
            node.look_after_advice(now.ms);
            save::look(node);
            rewrite::look(node);
            let log = Some((&node.log, self.worker));
            node.memcached.flush_if_due(&node.store, now, log, || node.replication.is_following());
            self.measure_rates(node, node.traffic.total());
            let stats = &node.stats;
            let maxmemory = node.settings().maxmemory;
            let exceeds = maxmemory > 0 && bound::bounded_bytes() > maxmemory;
            note_span(exceeds, now.ms, &stats.exceeded_since_ms, &stats.exceeded_ms);
        }
    }

    fn measure_rates(&mut self, node: &Node, traffic: Figures) {
        let (stats, replicated) = (&node.stats, &node.replication.stats);
        let replicated = [&replicated.input_bytes, &replicated.output_bytes];
        let [from, to] = replicated.map(|bytes| bytes.load(Ordering::Relaxed));
        let counters = [traffic.commands, traffic.input_bytes, traffic.output_bytes, from, to];
        let [input, output] = &stats.replication_per_second;
        let rates =
            [&stats.commands_per_second, &stats.input_per_second, &stats.output_per_second, input, output];
        for ((now, rate), before) in counters.into_iter().zip(rates).zip(&mut self.counted) {
            rate.store(now.saturating_sub(*before), Ordering::Relaxed);
            *before = now;
        }
        let (turns, micros) = (traffic.turns, process::processor_micros());
        let turned = turns.saturating_sub(self.turned.0);
        let took = micros.saturating_sub(self.turned.1);
        stats.turns_per_second.store(turned, Ordering::Relaxed);
        stats.turn_micros.store(took.checked_div(turned).unwrap_or(0), Ordering::Relaxed);
        self.turned = (turns, micros);
        let late_ms = late_ms(&node.meters);
        for ((rate, late), before) in stats.late_ms_per_second.iter().zip(late_ms).zip(self.late_ms) {
            rate.store(late.saturating_sub(before), Ordering::Relaxed);
        }
        self.late_ms = late_ms;
    }
}

/// Notes for how long something lasts: since when it does now, and how long it did before that.
fn note_span(lasts: bool, now_ms: u64, since_ms: &AtomicU64, before_ms: &AtomicU64) {
    match (lasts, since_ms.load(Ordering::Relaxed)) {
        (true, 0) => since_ms.store(now_ms, Ordering::Relaxed),
        (false, since @ 1..) => {
            before_ms.fetch_add(now_ms.saturating_sub(since), Ordering::Relaxed);
            since_ms.store(0, Ordering::Relaxed);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_behind_with_dead_keys_does_not_sleep() {
        let mut timers = Timers::new(0, 1);
        timers.note_round(5, false);
        assert_eq!((timers.next(), timers.expire_at_ms), (Duration::ZERO, 5));
        timers.note_round(5, true);
        assert_eq!((timers.next(), timers.expire_at_ms), (TICK, 5 + EXPIRE_EVERY_MS));
    }
}
