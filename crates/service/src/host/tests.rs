//! The local host with real processes: a redis-server behind a script that leaves out the directives of a larder node.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::local::LocalHost;
use super::{Host, HostError, Launch, NodeKey};

/// A node program for tests: a real engine, told what it understands.
pub(crate) const ENGINE: &str = "/usr/bin/redis-server";

/// Writes the script that starts [`ENGINE`] as a node. None where the engine is not installed.
pub(crate) fn program(folder: &Path) -> Option<Vec<std::ffi::OsString>> {
    if !Path::new(ENGINE).exists() {
        eprintln!("skipped: {ENGINE} is not installed");
        return None;
    }
    let script = folder.join("node-program");
    let unknown = "allowed-sources|replication-sources|node-memory-bytes|restricted-commands|engine|engine-version|memcached-[a-z-]*";
    let text = format!(
        "grep -vE '^({unknown}) ' \"$1\" > engine.conf\necho 'save \"\"' >> engine.conf\n\
         exec {ENGINE} engine.conf\n"
    );
    // Given to the shell rather than run itself: a file that is open for writing, perhaps by a child that another
    // test is starting at this moment, cannot be run.
    fs::write(&script, text).unwrap();
    Some(vec!["/bin/sh".into(), script.into()])
}

fn key() -> NodeKey {
    NodeKey { cluster: "host-test".into(), node: "0001".into() }
}

fn launch() -> Launch {
    // A loopback address of this process alone, so that test runs do not meet.
    let [.., high, low] = std::process::id().to_be_bytes();
    Launch {
        as_replica: false,
        seed: None,
        is_memcached: false,
        address: std::net::Ipv4Addr::new(127, 70, high, low.max(1)),
        port: 6379,
        settings: BTreeMap::from([("maxmemory-policy".into(), "allkeys-lru".into())]),
    }
}

#[tokio::test]
async fn a_node_lives_on_without_the_service_and_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = program(folder.path()) else { return };
    let host = || LocalHost::new(folder.path().join("nodes"), program.clone()).unwrap();
    let first = host();
    let started = first.start(&key(), &launch()).await.unwrap();
    assert!(first.is_alive(&key(), &started.process).await.unwrap());
    assert!(!first.is_free(launch().address, launch().port));
    assert_eq!(first.start(&key(), &launch()).await.unwrap().process, started.process, "not started twice");
    drop(first);

    let second = host();
    assert!(second.is_alive(&key(), &started.process).await.unwrap());
    let mut other = launch();
    other.settings.insert("timeout".into(), "20".into());
    let again = second.start(&key(), &other).await.unwrap();
    assert_eq!(again, started, "the settings are those that it really runs with");
    assert!(second.set(&key(), "timeout", "20").await.unwrap());
    assert!(!second.set(&key(), "no-such-directive", "1").await.unwrap());
    second.remove(&key()).await.unwrap();
    assert!(!second.is_alive(&key(), &started.process).await.unwrap());
    assert!(!folder.path().join("nodes/host-test-0001").exists());
    second.remove(&key()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(30), second.exited(&started.process)).await.unwrap();
}

#[tokio::test]
async fn a_node_that_hangs_is_ended_and_can_be_started_again() {
    use rustix::process::{Pid, Signal, kill_process};
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = program(folder.path()) else { return };
    let host = LocalHost::new(folder.path().join("nodes"), program).unwrap();
    let mut launch = launch();
    launch.port = 6380;
    let started = host.start(&key(), &launch).await.unwrap();
    let pid = Pid::from_raw(started.process.pid.try_into().unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    assert!(host.is_alive(&key(), &started.process).await.unwrap(), "a moment of silence is forgiven");
    let ended = async {
        while host.is_alive(&key(), &started.process).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ended).await.unwrap();
    let again = host.start(&key(), &launch).await.unwrap();
    assert_ne!(again.process, started.process);
    host.remove(&key()).await.unwrap();
}

#[tokio::test]
async fn a_program_that_ends_at_once_is_reported_with_its_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let program = vec!["/bin/sh".into(), "-c".into(), "echo out of luck; exit 3".into()];
    let host = LocalHost::new(folder.path().join("nodes"), program).unwrap();
    let error = host.start(&key(), &launch()).await.unwrap_err();
    assert!(error.to_string().contains("out of luck"), "{error}");
    let again = host.start(&key(), &launch()).await.unwrap_err();
    assert_eq!(again.to_string(), error.to_string(), "the words of this start only");
    let missing = LocalHost::new(folder.path().join("nodes"), vec!["/no/such/program".into()]).unwrap();
    let error = missing.start(&key(), &launch()).await.unwrap_err();
    assert!(matches!(error, HostError::Died { .. } | HostError::Io { .. }), "{error}");
}
