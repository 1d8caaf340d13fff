//! Real processes that share nothing but the server: of all that miss at the same time, one asks the source.

mod running;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use larder_client::{Cache, Limits, Server};
use running::{GENEROUS, TestServer, eventually};

const PROCESSES: usize = 4;
/// Tells a process of this file that it is one of several: the server, and a folder for what they have in common.
const ROLE: [&str; 2] = ["LARDER_TEST_SERVER", "LARDER_TEST_FOLDER"];

/// Adds a line to a file that several processes write.
fn note(file: &Path, line: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(file).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn lines(file: &Path) -> Vec<String> {
    std::fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// What each process does; nothing where nobody asked for it.
#[tokio::test]
async fn one_of_several() {
    let [Ok(server), Ok(folder)] = ROLE.map(std::env::var) else { return };
    let folder = PathBuf::from(folder);
    let limits = Limits { connect: GENEROUS, answer: GENEROUS, ..Limits::default() };
    let server = Server::with_limits(&server, limits).unwrap();
    let cache: Cache<String> = Cache::builder(server, "shared").wait(GENEROUS).lease(GENEROUS).build();
    let source = folder.clone();
    let load = move |_: String| {
        let folder = source.clone();
        async move {
            note(&folder.join("loads"), &std::process::id().to_string());
            // Until all have asked.
            while !folder.join("open").exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok::<_, std::io::Error>(Some("ann".to_owned()))
        }
    };
    note(&folder.join("asks"), &std::process::id().to_string());
    let fetched = cache.fetch("user", load).await.unwrap();
    note(&folder.join("got"), fetched.value.as_deref().unwrap_or("nothing"));
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn of_several_processes_one_loads_and_the_others_get_what_it_loaded() {
    let Some(running) = TestServer::start().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let start = |_| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["one_of_several", "--exact"])
            .env(ROLE[0], running.url())
            .env(ROLE[1], folder.path())
            .stdout(Stdio::null());
        Process(command.spawn().unwrap())
    };
    let mut processes: Vec<Process> = (0..PROCESSES).map(start).collect();
    let [loads, asks, got] = ["loads", "asks", "got"].map(|name| folder.path().join(name));
    eventually("all ask", async || lines(&asks).len() == PROCESSES).await;
    eventually("one loads", async || !lines(&loads).is_empty()).await;
    std::fs::write(folder.path().join("open"), "").unwrap();
    for process in &mut processes {
        assert!(process.0.wait().unwrap().success());
    }
    assert_eq!(lines(&got), ["ann"; PROCESSES]);
    assert_eq!(lines(&loads).len(), 1, "one process asked the source: {:?}", lines(&loads));
}
