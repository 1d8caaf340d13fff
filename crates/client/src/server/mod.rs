//! The connection to the cache, and the promise that it never takes the application down: every request has a time
//! limit, a bounded number of them wait, and a cache that keeps failing is left alone by a circuit breaker.
//!
//! Plain requests share one multiplexed connection. Optimistic transactions (WATCH ... EXEC) hold state in the
//! connection, so each takes one of a few exclusive ones for its duration; one that was broken off midway is dropped.

mod breaker;

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue, Pipeline, Value};
use tokio::sync::Semaphore;

use self::breaker::Breaker;
pub use self::breaker::BreakerPolicy;
use crate::error::Fault;

/// How often an optimistic transaction is tried while others change the same keys.
const TRIES: u32 = 16;

/// What a server may cost its users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest wait for a connection.
    pub connect: Duration,
    /// The longest wait for an answer.
    pub answer: Duration,
    /// The most requests that wait for answers at a time; one more fails at once.
    pub in_flight: usize,
    /// The most connections for optimistic transactions.
    pub exclusive: usize,
    /// When a failing cache is left alone.
    pub breaker: BreakerPolicy,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(500),
            answer: Duration::from_millis(250),
            in_flight: 1024,
            exclusive: 8,
            breaker: BreakerPolicy::default(),
        }
    }
}

/// A cache server, shared by everything that uses it. Clones are the same server.
///
/// Nothing is connected before the first request, and a server that is down is connected to again when it is back.
///
/// ```
/// use larder_client::{Limits, Server};
/// use std::time::Duration;
///
/// let limits = Limits { answer: Duration::from_millis(50), ..Limits::default() };
/// let server = Server::with_limits("redis://127.0.0.1:6379", limits)?;
/// # Ok::<(), larder_client::Fault>(())
/// ```
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    client: redis::Client,
    limits: Limits,
    breaker: Breaker,
    waiting: Semaphore,
    shared: tokio::sync::Mutex<Option<MultiplexedConnection>>,
    exclusive: Semaphore,
    idle: Mutex<Vec<MultiplexedConnection>>,
    /// Whether it has LARDER.WHY and LARDER.OUTCOME, once that was asked.
    tells_reasons: OnceLock<bool>,
}

/// What an optimistic transaction does after it has read.
pub(crate) enum Step<T> {
    /// Execute these commands, if nothing that was watched changed.
    Commit(Pipeline, T),
    /// Change nothing.
    Leave(T),
}

impl Server {
    /// A server by its URL: `redis://[user:password@]host:port[/database]`, `rediss://` for TLS (with the feature `tls`,
    /// which is on by default), or `redis+unix:///path`.
    ///
    /// # Errors
    /// When the URL is not one.
    pub fn new(url: &str) -> Result<Self, Fault> {
        Self::with_limits(url, Limits::default())
    }

    /// The same, with limits of one's own.
    ///
    /// # Errors
    /// When the URL is not one.
    pub fn with_limits(url: &str, limits: Limits) -> Result<Self, Fault> {
        Ok(Self::of(redis::Client::open(url).map_err(unusable)?, limits))
    }

    /// The same, for a server with TLS whose certificate an authority of one's own has signed: its certificate, as PEM.
    ///
    /// ```no_run
    /// use larder_client::{Limits, Server};
    ///
    /// let authority = std::fs::read("ca.pem")?;
    /// let server = Server::with_authority("rediss://:token@127.64.0.10:6379", Limits::default(), &authority)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the URL is not one of a server with TLS, or the certificate none.
    #[cfg(feature = "tls")]
    pub fn with_authority(url: &str, limits: Limits, authority_pem: &[u8]) -> Result<Self, Fault> {
        use rustls::pki_types::{CertificateDer, pem::PemObject};

        // The driver takes a file without a certificate for one that trusts nobody, and fails at the first request.
        CertificateDer::from_pem_slice(authority_pem)
            .map_err(|error| Fault::Connection(format!("the authority's certificate: {error}")))?;
        let certificates =
            redis::TlsCertificates { client_tls: None, root_cert: Some(authority_pem.to_vec()) };
        Ok(Self::of(redis::Client::build_with_tls(url, certificates).map_err(unusable)?, limits))
    }

    fn of(client: redis::Client, limits: Limits) -> Self {
        Self(Arc::new(Inner {
            client,
            breaker: Breaker::new(limits.breaker.clone()),
            waiting: Semaphore::new(limits.in_flight.clamp(1, Semaphore::MAX_PERMITS)),
            exclusive: Semaphore::new(limits.exclusive.clamp(1, Semaphore::MAX_PERMITS)),
            shared: tokio::sync::Mutex::new(None),
            idle: Mutex::new(Vec::new()),
            tells_reasons: OnceLock::new(),
            limits,
        }))
    }

    /// Whether the server says why keys are not there. Asked once; one that cannot be asked is asked again later.
    pub(crate) async fn tells_reasons(&self) -> bool {
        if let Some(known) = self.0.tells_reasons.get() {
            return *known;
        }
        let mut pipe = Pipeline::new();
        pipe.cmd("COMMAND").arg("INFO").arg("larder.why").arg("larder.outcome");
        let tells = match self.ask::<Vec<Vec<Value>>>(&pipe).await {
            Ok(found) => found.iter().flatten().all(|about| !matches!(about, Value::Nil)),
            Err(fault) if fault.is_unreachable() => return false,
            Err(_) => false,
        };
        *self.0.tells_reasons.get_or_init(|| tells)
    }

    /// Whether the server answers.
    ///
    /// # Errors
    /// Says why not.
    pub async fn ping(&self) -> Result<(), Fault> {
        let mut pipe = Pipeline::new();
        pipe.cmd("PING").ignore();
        self.ask(&pipe).await
    }

    /// Sends a pipeline over the shared connection and reads its answers.
    pub(crate) async fn ask<T: FromRedisValue>(&self, pipe: &Pipeline) -> Result<T, Fault> {
        let inner = &*self.0;
        self.guarded(async {
            let mut connection = inner.shared().await?;
            let answer = within(inner.limits.answer, pipe.query_async(&mut connection)).await;
            if answer.as_ref().is_err_and(Fault::is_unreachable) {
                *inner.shared.lock().await = None;
            }
            answer
        })
        .await
    }

    /// Watches `keys`, reads with `read`, and commits what `decide` makes of the answers; again while others interfere.
    ///
    /// Both servers execute EXEC only if no watched key changed since WATCH: this is the compare-and-set of this crate.
    pub(crate) async fn transact<T>(
        &self,
        keys: &[String],
        read: &Pipeline,
        mut decide: impl FnMut(Vec<Value>) -> Result<Step<T>, Fault>,
    ) -> Result<T, Fault> {
        for attempt in 0..TRIES {
            if let Some(done) = self.try_transact(keys, read, &mut decide).await? {
                return Ok(done);
            }
            let pause = fastrand::u64(0..=u64::from(attempt.min(6)));
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        Err(Fault::Contended)
    }

    /// One attempt; `None` when somebody interfered.
    async fn try_transact<T>(
        &self,
        keys: &[String],
        read: &Pipeline,
        decide: &mut impl FnMut(Vec<Value>) -> Result<Step<T>, Fault>,
    ) -> Result<Option<T>, Fault> {
        let inner = &*self.0;
        let outcome = self.guarded(async {
            let limit = inner.limits.answer;
            let _place = tokio::time::timeout(limit, inner.exclusive.acquire())
                .await
                .map_err(|_| Fault::Saturated)?
                .map_err(|_| Fault::Saturated)?;
            // Taken out of the pool: whoever is cancelled or fails below drops it, and what it watched.
            let (mut connection, reused) = inner.exclusive().await?;
            let mut first = Pipeline::new();
            first.cmd("WATCH").arg(keys).ignore();
            read.cmd_iter().for_each(|command| {
                first.add_command(command.clone());
            });
            let mut answers: Result<Vec<Value>, Fault> =
                within(limit, first.query_async(&mut connection)).await;
            if reused && matches!(answers, Err(Fault::Connection(_))) {
                // It broke while it lay idle, and the others with it. Nothing was changed yet: try a new one.
                inner.idle().clear();
                connection = inner.connect().await?;
                answers = within(limit, first.query_async(&mut connection)).await;
            }
            let answers = answers?;
            let done = match decide(answers)? {
                Step::Leave(value) => {
                    within::<()>(limit, redis::cmd("UNWATCH").query_async(&mut connection)).await?;
                    Some(value)
                }
                Step::Commit(mut pipe, value) => {
                    pipe.atomic();
                    let committed: Value = within(limit, pipe.query_async(&mut connection)).await?;
                    (!matches!(committed, Value::Nil)).then_some(value)
                }
            };
            inner.idle().push(connection);
            Ok(done)
        });
        let outcome = outcome.await;
        if outcome.as_ref().is_err_and(Fault::is_unreachable) {
            // The others are from before the fault as well.
            inner.idle().clear();
        }
        outcome
    }

    /// Breaker and bound around one exchange.
    async fn guarded<T>(&self, exchange: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let inner = &*self.0;
        let _place = inner.waiting.try_acquire().map_err(|_| Fault::Saturated)?;
        let pass = inner.breaker.admit(Instant::now()).ok_or(Fault::CircuitOpen)?;
        let answer = exchange.await;
        match &answer {
            Err(Fault::TimedOut | Fault::Connection(_)) => pass.failure(Instant::now()),
            // The bound of this side was met, not a fault of the server: no verdict.
            Err(Fault::Saturated) => drop(pass),
            _ => pass.success(Instant::now()),
        }
        answer
    }
}

impl Inner {
    async fn shared(&self) -> Result<MultiplexedConnection, Fault> {
        let limit = self.limits.connect;
        let mut shared =
            tokio::time::timeout(limit, self.shared.lock()).await.map_err(|_| Fault::TimedOut)?;
        if let Some(connection) = &*shared {
            return Ok(connection.clone());
        }
        let connection = self.connect().await?;
        *shared = Some(connection.clone());
        Ok(connection)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<MultiplexedConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An exclusive connection, and whether it was used before.
    async fn exclusive(&self) -> Result<(MultiplexedConnection, bool), Fault> {
        let idle = self.idle().pop();
        match idle {
            Some(connection) => Ok((connection, true)),
            None => Ok((self.connect().await?, false)),
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection, Fault> {
        // The limits stand here alone; the driver's own would be a second set beside them.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        within(self.limits.connect, self.client.get_multiplexed_async_connection_with_config(&config)).await
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn unusable(error: redis::RedisError) -> Fault {
    Fault::Connection(error.to_string())
}

async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, redis::RedisError>>,
) -> Result<T, Fault> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => answer.map_err(|error| Fault::of(&error)),
        Err(_) => Err(Fault::TimedOut),
    }
}
