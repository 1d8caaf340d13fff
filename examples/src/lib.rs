//! What the examples share: a database with one table of products, and a load that measures.
//!
//! ```text
//! LARDER_URL=redis://127.0.0.1:6379   the cache (this is the default)
//! DATABASE_URL=postgres://...         a PostgreSQL, with the feature `postgres`; otherwise SQLite in a new folder
//! LOAD_SECONDS=3                      how long each load runs, at most 60
//! CACHE_ANSWER_MS=250                 how long a request waits for the cache before it goes on without
//! ```

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use larder_client::{Limits, Loader, Server};
use serde::{Deserialize, Serialize};

/// How many products the table has.
pub const PRODUCTS: u64 = 20_000;

/// How many requests run at a time under load.
const CLIENTS: usize = 16;

/// The longest load.
const MOST_SECONDS: u64 = 60;

/// A row, with what it took some work to compute: how many products of its group cost less.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Product {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its price.
    pub price: i64,
    /// How many products of its group cost less.
    pub cheaper: i64,
}

/// The query behind each product. The group has no index, so that the query costs what queries cost.
const SELECT: &str = "SELECT p.name, p.price, (SELECT COUNT(*) FROM product q WHERE q.team = p.team AND q.price < p.price) \
                      FROM product p WHERE p.id = $1";

const UPDATE: &str = "UPDATE product SET price = $2 WHERE id = $1";

const CREATE: &str = "CREATE TABLE product (id BIGINT PRIMARY KEY, name TEXT NOT NULL, team BIGINT NOT NULL, price BIGINT NOT NULL)";

/// The source of the examples.
#[derive(Clone)]
pub enum Database {
    /// SQLite in a file: a few connections, each used by one thread at a time.
    Sqlite(Arc<Sqlite>),
    /// PostgreSQL.
    #[cfg(feature = "postgres")]
    Postgres(Arc<tokio_postgres::Client>),
}

/// Connections to one SQLite file, and the folder that is removed with them.
pub struct Sqlite {
    connections: Vec<Mutex<rusqlite::Connection>>,
    next: AtomicU64,
    _folder: tempfile::TempDir,
}

impl Database {
    /// The database that `DATABASE_URL` names, or a new SQLite, with its table filled.
    ///
    /// # Errors
    /// When it cannot be opened or filled.
    pub async fn open() -> Result<Self> {
        match std::env::var("DATABASE_URL") {
            #[cfg(feature = "postgres")]
            Ok(url) => Self::postgres(&url).await,
            #[cfg(not(feature = "postgres"))]
            Ok(_) => anyhow::bail!("DATABASE_URL needs the feature `postgres`"),
            Err(_) => Self::sqlite(),
        }
    }

    fn sqlite() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("shop.db");
        let open = || -> Result<_> {
            let connection = rusqlite::Connection::open(&path)?;
            connection.busy_timeout(Duration::from_secs(10))?;
            Ok(connection)
        };
        let first = open()?;
        first.execute_batch(&format!("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; {CREATE};"))?;
        first.execute(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1) \
             INSERT INTO product SELECT i, 'product ' || i, i % 100, (i * 7919) % 10007 FROM n",
            [PRODUCTS as i64],
        )?;
        let connections = (0..4).map(|_| Ok(Mutex::new(open()?))).collect::<Result<_>>()?;
        Ok(Self::Sqlite(Arc::new(Sqlite { connections, next: AtomicU64::new(0), _folder: folder })))
    }

    #[cfg(feature = "postgres")]
    async fn postgres(url: &str) -> Result<Self> {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                eprintln!("the connection to PostgreSQL ended: {error}");
            }
        });
        // A temporary table: it goes with the connection, and touches nothing that was there.
        client.batch_execute(&CREATE.replace("CREATE TABLE", "CREATE TEMPORARY TABLE")).await?;
        client
            .execute(
                "INSERT INTO product SELECT i, 'product ' || i, i % 100, (i * 7919) % 10007 \
                 FROM generate_series(0, $1::BIGINT - 1) AS i",
                &[&(PRODUCTS as i64)],
            )
            .await?;
        Ok(Self::Postgres(Arc::new(client)))
    }

    /// One product.
    ///
    /// # Errors
    /// When the query fails.
    pub async fn product(&self, id: u64) -> Result<Option<Product>> {
        match self {
            Self::Sqlite(sqlite) => {
                let row = move |row: &rusqlite::Row<'_>| {
                    Ok(Product { id, name: row.get(0)?, price: row.get(1)?, cheaper: row.get(2)? })
                };
                sqlite
                    .run(move |connection| {
                        let mut statement = connection.prepare_cached(SELECT)?;
                        let found = statement.query_row([id as i64], row);
                        match found {
                            Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
                            found => found.map(Some),
                        }
                    })
                    .await
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(client) => {
                let row = client.query_opt(SELECT, &[&(id as i64)]).await?;
                Ok(row.map(|row| Product { id, name: row.get(0), price: row.get(1), cheaper: row.get(2) }))
            }
        }
    }

    /// Changes a price.
    ///
    /// # Errors
    /// When the update fails.
    pub async fn set_price(&self, id: u64, price: i64) -> Result<()> {
        match self {
            Self::Sqlite(sqlite) => {
                sqlite.run(move |connection| connection.execute(UPDATE, [id as i64, price]).map(drop)).await
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(client) => {
                client.execute(UPDATE, &[&(id as i64), &price]).await?;
                Ok(())
            }
        }
    }

    /// Which of the two it is.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "SQLite",
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => "PostgreSQL",
        }
    }
}

impl Sqlite {
    async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let sqlite = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            let turn = sqlite.next.fetch_add(1, Ordering::Relaxed) as usize % sqlite.connections.len();
            let connection =
                sqlite.connections[turn].lock().map_err(|_| anyhow::anyhow!("a broken connection"))?;
            Ok(work(&connection)?)
        });
        done.await?
    }
}

impl Loader<Product> for Database {
    type Error = anyhow::Error;

    async fn load(&self, key: &str) -> Result<Option<Product>> {
        self.product(key.parse().context("a product's number")?).await
    }
}

/// The cache that `LARDER_URL` names.
///
/// # Errors
/// When nothing answers there.
pub async fn cache_server() -> Result<Server> {
    let url = std::env::var("LARDER_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".into());
    let mut limits = Limits::default();
    if let Ok(text) = std::env::var("CACHE_ANSWER_MS") {
        limits.answer = Duration::from_millis(text.parse().context("CACHE_ANSWER_MS is a number")?);
        limits.connect = limits.connect.max(limits.answer);
    }
    let server = Server::with_limits(&url, limits)?;
    server.ping().await.with_context(|| format!("no cache at {url}; start one: larder node --port 6379"))?;
    Ok(server)
}

/// A namespace of this run's own, so that runs do not find each other's entries.
#[must_use]
pub fn namespace(name: &str) -> String {
    format!("example:{name}:{:08x}", fastrand::u32(..))
}

/// A product that is asked for: few are asked for often (half of all requests go to about 1 % of them).
#[must_use]
pub fn popular(of: u64) -> u64 {
    ((of as f64).powf(fastrand::f64()) - 1.0) as u64 % of
}

/// Runs `request` from several clients for the time of a load and prints how long requests took.
///
/// # Errors
/// When a request fails.
pub async fn load<F, Fut>(title: &str, request: F) -> Result<()>
where
    F: Fn() -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<()>> + Send,
{
    let seconds = std::env::var("LOAD_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let length = Duration::from_secs(u64::min(seconds, MOST_SECONDS));
    let began = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let request = request.clone();
            tokio::spawn(async move {
                let mut took = Vec::new();
                while began.elapsed() < length {
                    let start = Instant::now();
                    request().await?;
                    took.push(start.elapsed());
                }
                Ok::<_, anyhow::Error>(took)
            })
        })
        .collect();
    let mut all = Vec::new();
    for client in clients {
        all.extend(client.await??);
    }
    all.sort_unstable();
    let at = |share: f64| all.get(((all.len() as f64 * share) as usize).min(all.len().saturating_sub(1)));
    let micros = |share| at(share).map_or(0, Duration::as_micros);
    say(&format!(
        "{title:<22} {:>8.0} requests/s   median {:>7} µs   99 % {:>7} µs   99.9 % {:>7} µs",
        all.len() as f64 / began.elapsed().as_secs_f64(),
        micros(0.5),
        micros(0.99),
        micros(0.999),
    ));
    Ok(())
}

/// Prints a line; what the examples are for.
#[expect(clippy::print_stdout, reason = "a program's output")]
pub fn say(line: &str) {
    println!("{line}");
}
