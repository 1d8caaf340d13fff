//! Leaderboards: who is where, who is around me, with seasons and a rule for ties.
//!
//! A board is one sorted set per season. Redis and Larder order equal scores by the members' names, which nobody would
//! call fair, so a board says what ties mean:
//!
//! - [`Ties::Shared`]: equal scores share a rank, and the next one is as many further down (1, 2, 2, 4).
//! - [`Ties::Earlier`]: who reached the score first stands above. The moment is part of the number that is stored: of the
//!   53 bits that a score keeps exactly, 32 are the score and 21 are how much of the season was left when it was reached,
//!   so moments are told apart to a two-millionth of the season (1.3 s for a month).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::Pipeline;

use crate::error::{Error, Fault};
use crate::keys::plain;
use crate::policy::millis;
use crate::server::{Server, Step};

/// The bits of a stored number that hold when it was reached.
const MOMENT_BITS: u32 = 21;
const MOMENTS: i64 = 1 << MOMENT_BITS;

/// The largest score, either way.
pub const MAX_SCORE: i64 = (1 << 31) - 1;

/// The most places that are read at once.
pub const MAX_PAGE: usize = 1000;

/// What equal scores mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ties {
    /// They share a rank.
    Shared,
    /// Who reached it first stands above.
    Earlier,
}

/// One place on a board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub rank: u64,
    /// Who.
    pub member: String,
    /// With what.
    pub score: i64,
}

/// A board of scores, higher is better.
///
/// ```no_run
/// use larder_client::{Leaderboard, Server, Ties};
/// use std::time::Duration;
///
/// # async fn run() -> Result<(), larder_client::Error> {
/// let server = Server::new("redis://127.0.0.1:6379")?;
/// let week = Duration::from_secs(7 * 24 * 3600);
/// let board = Leaderboard::new(server, "race", Ties::Earlier).seasons(week, 4 * week);
/// board.submit("ann", 900).await?; // counts if it is her best
/// board.add("bob", 25).await?; // points on top
/// let around = board.around("ann", 2).await?; // two above, ann, two below
/// let last_week = board.season(board.current_season().saturating_sub(1));
/// let champions = last_week.top(3).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Leaderboard {
    server: Server,
    namespace: String,
    ties: Ties,
    /// The length of a season, and how long one is kept after its end; `None` is one season without end.
    seasons: Option<(Duration, Duration)>,
    /// Another season than the current one.
    fixed: Option<u64>,
}

impl Leaderboard {
    /// A board under `namespace` with one season that never ends.
    #[must_use]
    pub fn new(server: Server, namespace: impl Into<String>, ties: Ties) -> Self {
        Self { server, namespace: namespace.into(), ties, seasons: None, fixed: None }
    }

    /// Seasons of this length, counted from 1970, each kept for `kept` after its end.
    #[must_use]
    pub fn seasons(mut self, length: Duration, kept: Duration) -> Self {
        self.seasons = Some((length.max(Duration::from_secs(1)), kept));
        self
    }

    /// The number of the season that is on now; 0 for a board without seasons.
    #[must_use]
    pub fn current_season(&self) -> u64 {
        self.seasons.map_or(0, |(length, _)| now_ms() / millis(length))
    }

    /// The same board in one season, on or past.
    #[must_use]
    pub fn season(&self, number: u64) -> Self {
        Self { fixed: Some(number), ..self.clone() }
    }

    /// Counts `score` if it is the member's best so far; says whether it is.
    ///
    /// # Errors
    /// When the score is beyond [`MAX_SCORE`], or the cache does not answer.
    pub async fn submit(&self, member: &str, score: i64) -> Result<bool, Error> {
        let season = self.number();
        let stored = self.pack(season, score)?;
        let key = self.key(season);
        let mut pipe = Pipeline::new();
        pipe.atomic();
        // An equal score that is reached later packs to less, so GT keeps the earlier moment.
        pipe.cmd("ZADD").arg(&key).arg("GT").arg("CH").arg(stored).arg(member);
        self.keep(&mut pipe, season);
        let (changed,): (u64,) = self.server.ask(&pipe).await?;
        Ok(changed > 0)
    }

    /// Adds to a member's score; gives the new one.
    ///
    /// # Errors
    /// When the sum is beyond [`MAX_SCORE`], or the cache does not answer.
    pub async fn add(&self, member: &str, points: i64) -> Result<i64, Error> {
        let season = self.number();
        let key = self.key(season);
        let mut read = Pipeline::new();
        read.cmd("ZSCORE").arg(&key).arg(member);
        let added = self.server.transact(std::slice::from_ref(&key), &read, |answers| {
            let old: Option<f64> =
                answers.first().and_then(|score| redis::from_redis_value(score.clone()).ok()).flatten();
            let score = old.map_or(0, |old| self.unpack(old)).saturating_add(points);
            let stored = match self.pack(season, score) {
                Ok(stored) => stored,
                Err(error) => return Ok(Step::Leave(Err(error))),
            };
            let mut pipe = Pipeline::new();
            pipe.cmd("ZADD").arg(&key).arg(stored).arg(member);
            self.keep(&mut pipe, season);
            Ok(Step::Commit(pipe, Ok(score)))
        });
        added.await?
    }

    /// Takes a member off the board; says whether it was on it.
    ///
    /// # Errors
    /// When the cache does not answer.
    pub async fn remove(&self, member: &str) -> Result<bool, Error> {
        let mut pipe = Pipeline::new();
        pipe.cmd("ZREM").arg(self.key(self.number())).arg(member);
        let (removed,): (u64,) = self.server.ask(&pipe).await?;
        Ok(removed > 0)
    }

    /// How many members are on the board.
    ///
    /// # Errors
    /// When the cache does not answer.
    pub async fn count(&self) -> Result<u64, Error> {
        let mut pipe = Pipeline::new();
        pipe.cmd("ZCARD").arg(self.key(self.number()));
        let (count,): (u64,) = self.server.ask(&pipe).await?;
        Ok(count)
    }

    /// The best `count` (at most [`MAX_PAGE`]).
    ///
    /// # Errors
    /// When the cache does not answer.
    pub async fn top(&self, count: usize) -> Result<Vec<Place>, Error> {
        self.page(0, count).await
    }

    /// `count` places (at most [`MAX_PAGE`]) from the one after the first `skip`.
    ///
    /// # Errors
    /// When the cache does not answer.
    pub async fn page(&self, skip: usize, count: usize) -> Result<Vec<Place>, Error> {
        let count = count.min(MAX_PAGE);
        if count == 0 {
            return Ok(Vec::new());
        }
        let key = self.key(self.number());
        let mut read = Pipeline::new();
        read.cmd("ZREVRANGE").arg(&key).arg(skip).arg(skip + count - 1).arg("WITHSCORES");
        let (rows,): (Vec<(String, f64)>,) = self.server.ask(&read).await?;
        self.places(&key, skip, rows).await
    }

    /// A member's place; `None` when it is not on the board.
    ///
    /// # Errors
    /// When the cache does not answer.
    pub async fn place(&self, member: &str) -> Result<Option<Place>, Error> {
        let around = self.around(member, 0).await?;
        Ok(around.into_iter().find(|place| place.member == member))
    }

    /// A member with the `reach` above and the `reach` below it; nothing when it is not on the board.
    ///
    /// Rank and neighbours are read in one transaction, and again if the member has moved since it was looked up: it is
    /// always among its neighbours.
    ///
    /// # Errors
    /// When the cache does not answer, or the board changes faster than it can be read.
    pub async fn around(&self, member: &str, reach: usize) -> Result<Vec<Place>, Error> {
        let key = self.key(self.number());
        let reach = reach.min(MAX_PAGE / 2);
        for _ in 0..TRIES_AROUND {
            let mut read = Pipeline::new();
            read.cmd("ZREVRANK").arg(&key).arg(member);
            let (rank,): (Option<usize>,) = self.server.ask(&read).await?;
            let Some(rank) = rank else { return Ok(Vec::new()) };
            let skip = rank.saturating_sub(reach);
            let mut read = Pipeline::new();
            read.atomic();
            read.cmd("ZREVRANK").arg(&key).arg(member);
            read.cmd("ZREVRANGE").arg(&key).arg(skip).arg(rank + reach).arg("WITHSCORES");
            let (now, rows): (Option<usize>, Vec<(String, f64)>) = self.server.ask(&read).await?;
            if now == Some(rank) {
                return self.places(&key, skip, rows).await;
            }
        }
        Err(Fault::Contended.into())
    }

    /// Rows from the `skip`-th on, with their ranks.
    async fn places(&self, key: &str, skip: usize, rows: Vec<(String, f64)>) -> Result<Vec<Place>, Error> {
        let mut rank = skip as u64 + 1;
        if let (Ties::Shared, Some((_, first)), true) = (self.ties, rows.first(), skip > 0) {
            // The first row may share its rank with some that were skipped.
            let mut pipe = Pipeline::new();
            pipe.cmd("ZCOUNT").arg(key).arg(format!("({first}")).arg("+inf");
            let (above,): (u64,) = self.server.ask(&pipe).await?;
            rank = rank.min(above + 1);
        }
        let mut places: Vec<Place> = Vec::with_capacity(rows.len());
        for (index, (member, stored)) in rows.into_iter().enumerate() {
            let score = self.unpack(stored);
            let ties = self.ties == Ties::Shared && places.last().is_some_and(|above| above.score == score);
            if !ties && index > 0 {
                rank = (skip + index) as u64 + 1;
            }
            places.push(Place { rank, member, score });
        }
        Ok(places)
    }

    fn number(&self) -> u64 {
        self.fixed.unwrap_or_else(|| self.current_season())
    }

    fn key(&self, season: u64) -> String {
        format!("{}:b:{season}", plain(&self.namespace))
    }

    /// Lets a season's set go when it has been over for long enough.
    fn keep(&self, pipe: &mut Pipeline, season: u64) {
        if let Some((length, kept)) = self.seasons {
            let end = (season + 1).saturating_mul(millis(length));
            pipe.cmd("PEXPIREAT").arg(self.key(season)).arg(end.saturating_add(millis(kept))).ignore();
        }
    }

    /// A score as the number that is stored.
    fn pack(&self, season: u64, score: i64) -> Result<f64, Error> {
        if score.unsigned_abs() > MAX_SCORE.unsigned_abs() {
            return Err(Error::Invalid(format!("a score of {score} is beyond {MAX_SCORE}")));
        }
        if self.ties == Ties::Shared {
            return Ok(score as f64);
        }
        Ok((score * MOMENTS + moments_left(self.seasons.map(|(length, _)| length), season, now_ms())) as f64)
    }

    fn unpack(&self, stored: f64) -> i64 {
        match self.ties {
            Ties::Shared => stored as i64,
            Ties::Earlier => (stored as i64).div_euclid(MOMENTS),
        }
    }
}

/// How often a place is looked for that moves meanwhile.
const TRIES_AROUND: u32 = 16;

/// How much of the season is left, in its two-millionths: less for later. A season without end is told apart by the
/// minute, for four years at a time.
fn moments_left(length: Option<Duration>, season: u64, now: u64) -> i64 {
    let last = (MOMENTS - 1) as u64;
    let passed = match length {
        Some(length) => {
            let length = millis(length).max(1);
            let passed = now.saturating_sub(season.saturating_mul(length)).min(length - 1);
            (u128::from(passed) * MOMENTS as u128 / u128::from(length)) as u64
        }
        None => now / 60_000 % MOMENTS as u64,
    };
    (last - passed.min(last)) as i64
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(ties: Ties) -> Leaderboard {
        let server = Server::new("redis://127.0.0.1:1").expect("a URL");
        Leaderboard::new(server, "b", ties)
    }

    #[test]
    fn what_is_packed_is_unpacked_exactly() {
        for ties in [Ties::Shared, Ties::Earlier] {
            for score in [0, 1, -1, 7, -12345, MAX_SCORE, -MAX_SCORE] {
                let board = board(ties);
                assert_eq!(board.unpack(board.pack(0, score).expect("in range")), score, "{ties:?} {score}");
            }
        }
        assert!(board(Ties::Shared).pack(0, MAX_SCORE + 1).is_err());
        assert!(board(Ties::Earlier).pack(0, i64::MIN).is_err());
    }

    #[test]
    fn earlier_is_more_and_never_as_much_as_a_point() {
        let week = Some(Duration::from_secs(7 * 24 * 3600));
        let start = 100 * 7 * 24 * 3600 * 1000;
        let left = |passed: u64| moments_left(week, 100, start + passed);
        assert_eq!(left(0), MOMENTS - 1);
        assert!(left(1000) < left(0), "a second apart");
        assert_eq!(left(u64::MAX / 2), 0, "and never below nothing");
        assert!((0..MOMENTS).contains(&moments_left(None, 0, u64::MAX)));
    }
}
