//! The example programs run as they stand, on a SQLite of their own and a cache server, each with a short load.

use std::process::Command;

use running::TestServer;

#[path = "../../crates/client/tests/running/mod.rs"]
mod running;

/// Runs a program to its end; answers what it says.
async fn run(program: &str) -> Option<String> {
    let server = TestServer::start().await?;
    let mut command = Command::new(program);
    command
        .env_remove("DATABASE_URL")
        .env("LARDER_URL", server.url())
        .env("LOAD_SECONDS", "1")
        // A machine that does much else is no reason to go on without the cache.
        .env("CACHE_ANSWER_MS", "60000");
    let done = tokio::task::spawn_blocking(move || command.output()).await.expect("a thread").expect("runs");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program}: {complaints}\n{said}");
    assert!(said.starts_with("source: SQLite"), "{said}");
    Some(said)
}

/// The load of that title was run, and its latencies stand there.
#[track_caller]
fn measured(said: &str, titles: &[&str]) {
    for title in titles {
        let line = said.lines().find(|line| line.starts_with(title));
        let line = line.unwrap_or_else(|| panic!("nothing of {title}:\n{said}"));
        for word in ["requests/s", "median", "99 %", "99.9 %"] {
            assert!(line.contains(word), "{line}");
        }
    }
}

#[tokio::test]
async fn cache_aside() {
    let Some(said) = run(env!("CARGO_BIN_EXE_cache_aside")).await else { return };
    measured(
        &said,
        &["without the cache", "with a cold cache", "and one write in fifty", "with a dead cache"],
    );
    assert!(said.contains("hit ratio"), "{said}");
}

#[tokio::test]
async fn queries() {
    let Some(said) = run(env!("CARGO_BIN_EXE_queries")).await else { return };
    measured(&said, &["without the cache"]);
    assert!(said.contains("hit ratio"), "{said}");
}

#[tokio::test]
async fn sessions() {
    let Some(said) = run(env!("CARGO_BIN_EXE_sessions")).await else { return };
    measured(&said, &["without the cache", "requests of a shop"]);
    assert!(said.contains("hit ratio") && said.contains(" after draining"), "{said}");
}

#[tokio::test]
async fn rate_limit() {
    let Some(said) = run(env!("CARGO_BIN_EXE_rate_limit")).await else { return };
    measured(&said, &["without a limit", "a fixed window", "a sliding window", "a token bucket"]);
}

#[tokio::test]
async fn leaderboard() {
    let Some(said) = run(env!("CARGO_BIN_EXE_leaderboard")).await else { return };
    measured(&said, &["a rank by counting", "a new score", "a rank on the board"]);
    assert!(said.contains("players on the board") && said.contains("around player:"), "{said}");
}
