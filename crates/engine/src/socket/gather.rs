//! Waiting for several sessions at once, while it pays.
//!
//! To sleep and to be woken costs a worker as much as it costs to serve a session. A busy one that answers every request
//! the moment it comes does so again and again; its clients have their answers no sooner for it, because they queue. So a
//! worker that is busy waits until several sessions have sent something, and not for longer than [`WAIT`]. One that has
//! time to spare waits for the first.
//!
//! Clients that send several requests at a time want throughput: they are waited for longer, up to half of the time that
//! passes between two turns of a session. While it is they who keep the worker waiting, it costs them nothing.
//!
//! How many it waits for is tried out: one more each time that as many came as were wanted, and only as many as came
//! when it waited in vain; then nothing is tried for a while. It is never more than a part of the sessions that take
//! turns, or else they and the worker would wait for each other in step.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// Longest wait for more than one session.
const WAIT: Duration = Duration::from_micros(100);
/// The same where sessions send several requests at a time.
const WAIT_PIPELINED: Duration = Duration::from_micros(400);
/// Requests per session and turn from which on these are several.
const PIPELINED: u64 = 2;
/// Such a wait takes at most this part of the time between two turns of a session.
const CYCLE_SHARE: u32 = 2;
/// Most sessions that are waited for.
const WANT_MAX: usize = 32;
/// Of so many active sessions one is waited for.
const SHARE: usize = 2;
/// Turns between two looks at how busy the worker is.
const WINDOW_TURNS: u32 = 64;
/// Percent of its time from which on a worker is busy.
const BUSY_PERCENT: u128 = 40;
/// Percent of its time from which on it stays so: gathering saves time.
const STILL_BUSY_PERCENT: u128 = 20;
/// Turns after a wait in vain in which no more are tried, at first.
const PAUSE_MIN: u32 = 64;
/// The same after many in vain.
const PAUSE_MAX: u32 = 4096;

/// See the module.
#[derive(Debug)]
pub(super) struct Gather {
    want: usize,
    /// Most that may be wanted now.
    most: usize,
    /// Turns until more is tried.
    pause: u32,
    /// How long the next pause is.
    next_pause: u32,
    /// Number of the window, and its turns so far.
    window: u32,
    turns: u32,
    /// Sessions that sent something in this window.
    active: usize,
    /// How often they did.
    receipts: u32,
    /// How many requests these were.
    requests: u64,
    /// Longest wait at present.
    wait: Duration,
    began: Instant,
    spent: Duration,
}

impl Gather {
    pub(super) fn new() -> Gather {
        Gather {
            want: 1,
            most: 1,
            pause: 0,
            next_pause: PAUSE_MIN,
            window: 1,
            turns: 0,
            active: 0,
            receipts: 0,
            requests: 0,
            wait: WAIT,
            began: Instant::now(),
            spent: spent(),
        }
    }

    /// How many sessions to wait for.
    #[inline]
    pub(super) fn want(&self) -> usize {
        self.want
    }

    /// How long to wait for them.
    #[inline]
    pub(super) fn wait(&self) -> Duration {
        self.wait
    }

    /// So many requests were served.
    #[inline]
    pub(super) fn served(&mut self, requests: u64) {
        self.requests += requests;
    }

    /// A session sent something; `last` is the session's own note of when it was counted last.
    #[inline]
    pub(super) fn count(&mut self, last: &mut u32) {
        self.receipts += 1;
        if *last != self.window {
            *last = self.window;
            self.active += 1;
        }
    }

    /// A wait is over, in which so many came.
    #[inline]
    pub(super) fn came(&mut self, count: usize) {
        if count < self.want && self.want > 1 {
            self.want = count.max(1);
            self.pause = self.next_pause;
            self.next_pause = (2 * self.next_pause).min(PAUSE_MAX);
        } else if self.pause > 0 {
            self.pause -= 1;
        } else if self.want < self.most && count >= self.want {
            if self.want > 1 {
                self.next_pause = PAUSE_MIN;
            }
            self.want += 1;
        }
    }

    /// A turn is over, whether it waited or not.
    #[inline]
    pub(super) fn turn(&mut self) {
        self.turns += 1;
        if self.turns == WINDOW_TURNS {
            let (now, spent) = (Instant::now(), spent());
            self.judge(spent.saturating_sub(self.spent), now.duration_since(self.began));
            (self.began, self.spent) = (now, spent);
        }
    }

    /// A window is over: the worker ran for `busy` of `all`.
    fn judge(&mut self, busy: Duration, all: Duration) {
        let percent = if self.most > 1 { STILL_BUSY_PERCENT } else { BUSY_PERCENT };
        let is_busy = busy.as_nanos() * 100 >= all.as_nanos() * percent;
        self.most = if is_busy { (self.active / SHARE).clamp(1, WANT_MAX) } else { 1 };
        self.want = self.want.min(self.most);
        self.wait = match self.requests >= PIPELINED * u64::from(self.receipts) {
            true => {
                let cycle = all.saturating_mul(self.active as u32) / self.receipts.max(1);
                (cycle / CYCLE_SHARE).clamp(WAIT, WAIT_PIPELINED)
            }
            false => WAIT,
        };
        self.window = self.window.wrapping_add(1);
        (self.turns, self.active, self.receipts, self.requests) = (0, 0, 0, 0);
    }
}

/// CPU time of this thread.
fn spent() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Duration = Duration::from_millis(1);

    /// A window in which so many sessions took turns.
    fn window(gather: &mut Gather, sessions: usize, busy_percent: u32) {
        for _ in 0..sessions {
            gather.count(&mut 0);
        }
        gather.judge(ALL * busy_percent / 100, ALL);
    }

    #[test]
    fn a_busy_worker_waits_for_a_part_of_its_sessions() {
        let mut gather = Gather::new();
        window(&mut gather, 18, 39);
        (0..100).for_each(|_| gather.came(9));
        assert_eq!(gather.want(), 1, "it has time to spare");
        window(&mut gather, 18, 40);
        (0..100).for_each(|_| gather.came(9));
        assert_eq!(gather.want(), 9);
        window(&mut gather, 18, 20);
        assert_eq!(gather.want(), 9, "what it saves does not end it");
        window(&mut gather, 18, 19);
        assert_eq!(gather.want(), 1);
    }

    #[test]
    fn a_session_is_counted_once_in_a_window() {
        let (mut gather, mut last) = (Gather::new(), 0);
        (0..1000).for_each(|_| gather.count(&mut last));
        gather.judge(ALL, ALL);
        gather.came(1);
        assert_eq!(gather.want(), 1, "one that is alone is answered at once");
    }

    #[test]
    fn who_sends_several_requests_at_a_time_is_waited_for_longer() {
        let waits = |requests: u64, all: Duration| {
            let (mut gather, mut last) = (Gather::new(), [0; 10]);
            (0..20).for_each(|n| gather.count(&mut last[n % 10]));
            gather.served(requests);
            gather.judge(all, all);
            gather.wait()
        };
        // Two turns of each session in a window: half of it, and half of that.
        assert_eq!(waits(40, Duration::from_millis(1)), Duration::from_micros(250));
        assert_eq!(waits(39, Duration::from_millis(1)), WAIT, "they wait for each reply");
        assert_eq!(waits(40, Duration::from_micros(200)), WAIT);
        assert_eq!(waits(40, Duration::from_secs(1)), WAIT_PIPELINED);
    }

    #[test]
    fn what_was_in_vain_is_tried_ever_more_seldom() {
        let mut gather = Gather::new();
        window(&mut gather, 64, 100);
        let mut tried = Vec::new();
        for turn in 0..2000 {
            let wanted = gather.want();
            gather.came(1);
            if wanted > 1 {
                tried.push(turn);
            }
        }
        assert!(tried.len() >= 3);
        let gaps: Vec<i32> = tried.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| *gap > PAUSE_MIN as i32), "{gaps:?}");
        assert!(gaps.windows(2).all(|pair| pair[1] > pair[0]), "{gaps:?}");
    }
}
