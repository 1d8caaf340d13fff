//! Rate limits that hold across processes.
//!
//! Each of the three is atomic without scripts on the server:
//!
//! - **Fixed window**: one transaction counts the request (INCRBY) in a window that begins with its first request (SET
//!   NX PX). A request over the limit takes its count back; between the two others may be refused wrongly, never
//!   admitted wrongly.
//! - **Sliding window**: a sorted set holds the moment of each admitted request; one optimistic transaction drops those
//!   that left the window, counts the rest, and adds the new one. Exact, and up to `limit` small members of memory.
//! - **Token bucket**, as GCRA (the generic cell rate algorithm of ATM networks): one number, the time at which the
//!   bucket will be full again, changed by compare-and-set.
//!
//! The last two read the server's clock in the same exchange, so the clocks of the callers do not matter. Within one
//! process, callers of one key take turns (striped locks), so that they do not fail each other's transactions.

use std::time::{Duration, Instant};

use redis::{Pipeline, Value};
use tokio::sync::Mutex;

use crate::error::{Error, Fault};
use crate::keys::plain;
use crate::server::{Server, Step};

/// Locks among which the keys of a process are spread.
const STRIPES: usize = 64;

/// The largest limit of a sliding window, whose memory grows with it.
pub const MAX_SLIDING_LIMIT: u64 = 100_000;

/// How requests are limited.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// At most `limit` in a window of fixed place: simple and cheap; up to twice the limit around a boundary.
    FixedWindow {
        /// Requests per window.
        limit: u64,
        /// The window's length.
        window: Duration,
    },
    /// At most `limit` in any window of this length.
    SlidingWindow {
        /// Requests per window.
        limit: u64,
        /// The window's length.
        window: Duration,
    },
    /// One each `every` on average, and up to `burst` at once.
    TokenBucket {
        /// How many at once.
        burst: u64,
        /// How long one takes to come back.
        every: Duration,
    },
}

/// The answer to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is admitted.
    pub admitted: bool,
    /// How many more would be, now.
    pub remaining: u64,
    /// When asking again makes sense, if it is refused; for `Retry-After`.
    pub retry_after: Duration,
}

/// A rate limit, applied to each of any number of keys (users, addresses, API keys).
///
/// ```no_run
/// use larder_client::{Limit, RateLimiter, Server};
/// use std::time::Duration;
///
/// # async fn run() -> Result<(), larder_client::Error> {
/// let server = Server::new("redis://127.0.0.1:6379")?;
/// let limit = Limit::TokenBucket { burst: 20, every: Duration::from_millis(100) };
/// let limiter = RateLimiter::new(server, "api", limit)?;
/// let decision = limiter.admit("user:42").await?;
/// if !decision.admitted {
///     println!("429, Retry-After: {}", decision.retry_after.as_secs() + 1);
/// }
/// # Ok(()) }
/// ```
pub struct RateLimiter {
    server: Server,
    namespace: String,
    limit: Limit,
    open: bool,
    turns: Vec<Mutex<()>>,
}

impl RateLimiter {
    /// A limiter under `namespace`. When the cache is down it admits everything.
    ///
    /// # Errors
    /// When a number of `limit` is zero, or too large to be counted.
    pub fn new(server: Server, namespace: impl Into<String>, limit: Limit) -> Result<Self, Error> {
        let (count, time) = match limit {
            Limit::FixedWindow { limit, window } | Limit::SlidingWindow { limit, window } => (limit, window),
            Limit::TokenBucket { burst, every } => (burst, every),
        };
        let most = match limit {
            Limit::SlidingWindow { .. } => MAX_SLIDING_LIMIT,
            _ => 1_000_000_000,
        };
        let longest = Duration::from_secs(366 * 24 * 3600);
        let whole = match limit {
            Limit::TokenBucket { .. } => time.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX)),
            _ => time,
        };
        if !(1..=most).contains(&count) || whole > longest || time < Duration::from_micros(1) {
            return Err(Error::Invalid(format!("{limit:?} is no limit that can be kept")));
        }
        let turns = (0..STRIPES).map(|_| Mutex::new(())).collect();
        Ok(Self { server, namespace: namespace.into(), limit, open: true, turns })
    }

    /// Makes [`admit`](Self::admit) fail when the cache does not answer, for limits that protect more than they annoy
    /// (attempts at a password).
    #[must_use]
    pub fn fail_closed(mut self) -> Self {
        self.open = false;
        self
    }

    /// Asks for one request of `key`.
    ///
    /// # Errors
    /// When the cache does not answer and the limiter fails closed.
    pub async fn admit(&self, key: &str) -> Result<Decision, Error> {
        self.admit_many(key, 1).await
    }

    /// Asks for `cost` at once: all or none.
    ///
    /// # Errors
    /// When the cache does not answer and the limiter fails closed; or `cost` is zero or more than could ever pass.
    pub async fn admit_many(&self, key: &str, cost: u64) -> Result<Decision, Error> {
        let most = match self.limit {
            Limit::FixedWindow { limit, .. } | Limit::SlidingWindow { limit, .. } => limit,
            Limit::TokenBucket { burst, .. } => burst,
        };
        if !(1..=most).contains(&cost) {
            return Err(Error::Invalid(format!("a cost of {cost} can never be admitted")));
        }
        let name = format!("{}:r:{}", self.namespace, plain(key));
        let decision = match self.limit {
            Limit::FixedWindow { limit, window } => self.fixed(&name, cost, limit, window).await,
            Limit::SlidingWindow { limit, window } => self.sliding(&name, cost, limit, window).await,
            Limit::TokenBucket { burst, every } => self.bucket(&name, cost, burst, every).await,
        };
        let decision = match decision {
            Err(fault) if self.open => {
                tracing::warn!(%fault, "the rate limit is not kept: the cache does not answer");
                metrics::counter!("larder_rate_limit_total", "limit" => self.namespace.clone(), "result" => "open")
                    .increment(1);
                return Ok(Decision { admitted: true, remaining: 0, retry_after: Duration::ZERO });
            }
            decision => decision?,
        };
        let result = if decision.admitted { "admitted" } else { "refused" };
        metrics::counter!("larder_rate_limit_total", "limit" => self.namespace.clone(), "result" => result)
            .increment(1);
        Ok(decision)
    }

    async fn fixed(&self, key: &str, cost: u64, limit: u64, window: Duration) -> Result<Decision, Fault> {
        let ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX).max(1);
        let began = Instant::now();
        let mut pipe = Pipeline::new();
        pipe.atomic();
        pipe.cmd("SET").arg(key).arg(0).arg("NX").arg("PX").arg(ms).ignore();
        pipe.cmd("INCRBY").arg(key).arg(cost);
        pipe.cmd("PTTL").arg(key);
        let (count, left): (u64, i64) = self.server.ask(&pipe).await?;
        if count <= limit {
            return Ok(Decision { admitted: true, remaining: limit - count, retry_after: Duration::ZERO });
        }
        // Taken back only while its window lasts for sure (`began` is from before the server said how long that is), and
        // never by a command that would make a key without an end.
        let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
        let watched = key.to_owned();
        let mut read = Pipeline::new();
        read.cmd("GET").arg(key);
        let taken_back = self.server.transact(std::slice::from_ref(&watched), &read, |answers| {
            let now = number(answers.first()).filter(|now| *now >= cost && began.elapsed() < left);
            let Some(now) = now else { return Ok(Step::Leave(())) };
            let mut pipe = Pipeline::new();
            pipe.cmd("SET").arg(key).arg(now - cost).arg("XX").arg("KEEPTTL");
            Ok(Step::Commit(pipe, ()))
        });
        // Not taken back, the window refuses more than it need.
        let _ = taken_back.await;
        let remaining = limit.saturating_sub(count - cost);
        Ok(Decision { admitted: false, remaining, retry_after: left })
    }

    async fn sliding(&self, key: &str, cost: u64, limit: u64, window: Duration) -> Result<Decision, Fault> {
        let _turn = self.turn(key).await;
        let window_us = u64::try_from(window.as_micros()).unwrap_or(u64::MAX);
        let watched = key.to_owned();
        let mut read = Pipeline::new();
        read.cmd("TIME");
        read.cmd("ZRANGE").arg(key).arg(0).arg(-1).arg("WITHSCORES");
        self.server
            .transact(std::slice::from_ref(&watched), &read, |answers| {
                let now = micros(answers.first())?;
                let scores = scores(answers.get(1))?;
                let live: Vec<u64> = scores.into_iter().filter(|at| at + window_us > now).collect();
                let count = live.len() as u64;
                if count + cost > limit {
                    // As many as must leave before this one fits.
                    let leaves = live.get((count + cost - limit - 1) as usize).copied().unwrap_or(now);
                    let wait = (leaves + window_us).saturating_sub(now);
                    return Ok(Step::Leave(Decision {
                        admitted: false,
                        remaining: limit - count,
                        retry_after: Duration::from_micros(wait),
                    }));
                }
                let mut pipe = Pipeline::new();
                pipe.cmd("ZREMRANGEBYSCORE").arg(key).arg("-inf").arg(now.saturating_sub(window_us));
                pipe.cmd("ZADD").arg(key);
                for _ in 0..cost {
                    pipe.arg(now).arg(format!("{now}-{:08x}", fastrand::u32(..)));
                }
                pipe.cmd("PEXPIRE").arg(key).arg(window_us / 1000 + 1);
                let remaining = limit - count - cost;
                Ok(Step::Commit(pipe, Decision { admitted: true, remaining, retry_after: Duration::ZERO }))
            })
            .await
    }

    async fn bucket(&self, key: &str, cost: u64, burst: u64, every: Duration) -> Result<Decision, Fault> {
        let _turn = self.turn(key).await;
        let every_us = u64::try_from(every.as_micros()).unwrap_or(u64::MAX);
        let watched = key.to_owned();
        let mut read = Pipeline::new();
        read.cmd("TIME");
        read.cmd("GET").arg(key);
        self.server
            .transact(std::slice::from_ref(&watched), &read, |answers| {
                let now = micros(answers.first())?;
                let full_at = number(answers.get(1)).unwrap_or(0);
                let (decision, full_at) = gcra(now, full_at, cost, burst, every_us);
                if !decision.admitted {
                    return Ok(Step::Leave(decision));
                }
                let mut pipe = Pipeline::new();
                let ms = full_at.saturating_sub(now) / 1000 + 1;
                pipe.cmd("SET").arg(key).arg(full_at).arg("PX").arg(ms);
                Ok(Step::Commit(pipe, decision))
            })
            .await
    }

    async fn turn(&self, key: &str) -> tokio::sync::MutexGuard<'_, ()> {
        let stripe =
            key.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        self.turns[stripe % STRIPES].lock().await
    }
}

/// One decision of a token bucket that will be full at `full_at`; gives the time at which it will be full afterwards.
fn gcra(now: u64, full_at: u64, cost: u64, burst: u64, every: u64) -> (Decision, u64) {
    let capacity = burst * every;
    let new = full_at.max(now) + cost * every;
    if new > now + capacity {
        let retry_after = Duration::from_micros(new - now - capacity);
        let remaining = (now + capacity).saturating_sub(full_at.max(now)) / every;
        return (Decision { admitted: false, remaining, retry_after }, full_at);
    }
    let remaining = (now + capacity - new) / every;
    (Decision { admitted: true, remaining, retry_after: Duration::ZERO }, new)
}

fn micros(answer: Option<&Value>) -> Result<u64, Fault> {
    let time: Option<(u64, u64)> = answer.and_then(|time| redis::from_redis_value(time.clone()).ok());
    time.map(|(seconds, micros)| seconds * 1_000_000 + micros)
        .ok_or_else(|| Fault::Unexpected("TIME without a time".into()))
}

fn number(answer: Option<&Value>) -> Option<u64> {
    answer.and_then(|number| redis::from_redis_value::<Option<u64>>(number.clone()).ok().flatten())
}

fn scores(answer: Option<&Value>) -> Result<Vec<u64>, Fault> {
    let pairs: Option<Vec<(String, f64)>> =
        answer.and_then(|pairs| redis::from_redis_value(pairs.clone()).ok());
    let pairs = pairs.ok_or_else(|| Fault::Unexpected("ZRANGE without scores".into()))?;
    Ok(pairs.into_iter().map(|(_, score)| score as u64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let (mut now, mut full_at) = (1_000_000, 0);
        let mut admitted = 0;
        let mut ask = |now: u64| {
            let (decision, next) = gcra(now, full_at, 1, 5, 100);
            full_at = next;
            decision
        };
        while ask(now).admitted {
            admitted += 1;
        }
        assert_eq!(admitted, 5);
        assert_eq!(ask(now).retry_after, Duration::from_micros(100));
        for _ in 0..1000 {
            now += 10;
            admitted += u64::from(ask(now).admitted);
        }
        assert_eq!(admitted, 5 + 100, "10 000 µs at one each 100");
    }

    #[test]
    fn a_refusal_takes_nothing() {
        let (first, full_at) = gcra(1000, 0, 3, 5, 100);
        assert_eq!((first.admitted, first.remaining), (true, 2));
        let (refused, same) = gcra(1000, full_at, 3, 5, 100);
        assert_eq!((refused.admitted, refused.remaining, same), (false, 2, full_at));
        assert_eq!(refused.retry_after, Duration::from_micros(100));
        assert!(gcra(1100, same, 3, 5, 100).0.admitted);
    }
}
