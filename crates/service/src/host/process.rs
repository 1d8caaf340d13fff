//! Processes as the kernel shows them: identity, end, signals.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A process that is held by a file descriptor, so that it cannot be mistaken for a later one of the same number.
#[derive(Debug)]
pub(super) struct Held {
    pid: u32,
    start_ticks: u64,
    fd: OwnedFd,
}

impl Held {
    /// The process of that number, if there is one that runs.
    ///
    /// # Errors
    /// If that cannot be found out.
    pub(super) fn open(pid: u32) -> io::Result<Option<Held>> {
        let Some(number) = to_pid(pid) else { return Ok(None) };
        let fd = match pidfd_open(number, PidfdFlags::empty()) {
            Ok(fd) => fd,
            // Not there, or a thread of another process by now.
            Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Read after the descriptor is held: from then on the number cannot pass to another process.
        Ok(start_ticks(pid)?.map(|start_ticks| Held { pid, start_ticks, fd }))
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn start_ticks(&self) -> u64 {
        self.start_ticks
    }

    /// Sends a signal; a process that has ended meanwhile is no failure.
    pub(super) fn signal(&self, signal: Signal) {
        if let Err(error) = pidfd_send_signal(&self.fd, signal) {
            tracing::debug!(pid = self.pid, "signal not sent: {error}");
        }
    }

    /// Waits until it has ended.
    #[expect(
        deprecated,
        reason = "the replacement is unsafe because of types that lie about their descriptor; OwnedFd does not"
    )]
    pub(super) async fn ended(&self) -> std::io::Result<()> {
        let fd = AsyncFd::with_interest(self.fd.try_clone()?, Interest::READABLE)?;
        fd.readable().await?.retain_ready();
        reap(self.pid);
        Ok(())
    }

    /// Waits until it has ended, but not longer than that; answers whether it has.
    pub(super) async fn ended_within(&self, limit: Duration) -> bool {
        matches!(tokio::time::timeout(limit, self.ended()).await, Ok(Ok(())))
    }

    /// Whether its standard input is this file.
    pub(super) fn has_as_input(&self, file: &File) -> bool {
        let theirs = fs::metadata(format!("/proc/{}/fd/0", self.pid));
        match (theirs, file.metadata()) {
            (Ok(theirs), Ok(ours)) => (theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino()),
            _ => false,
        }
    }
}

/// The process whose standard input is the file. `likely` are numbers to try before all others.
pub(super) fn with_input(file: &File, likely: &[u32]) -> Option<Held> {
    let has_it = |pid: u32| Held::open(pid).ok()?.filter(|held| held.has_as_input(file));
    if let Some(held) = likely.iter().find_map(|pid| has_it(*pid)) {
        return Some(held);
    }
    let all = fs::read_dir("/proc").ok()?;
    let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != std::process::id()).find_map(has_it)
}

/// When a running process began, in clock ticks since the machine started; none if it has ended.
///
/// # Errors
/// If that cannot be found out.
pub(super) fn start_ticks(pid: u32) -> io::Result<Option<u64>> {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => Ok(parse_stat(&stat)),
        // The second comes of one that ends between the opening and the reading.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(None),
        Err(error) => Err(error),
    }
}

fn parse_stat(stat: &str) -> Option<u64> {
    // The name of the program stands in parentheses and may itself contain spaces and parentheses.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let condition = fields.next()?;
    if matches!(condition, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Lets go of the entry of a child that has ended. Processes of an earlier service are not our children: no matter.
pub(super) fn reap(pid: u32) {
    if let Some(pid) = to_pid(pid) {
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

fn to_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_also_for_odd_names() {
        let rest = "S 1 2 3 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4242 1 2";
        for name in ["a", "a b", "a) R 1", ") Z ("] {
            assert_eq!(parse_stat(&format!("7 ({name}) {rest}\n")), Some(4242), "{name}");
        }
        assert_eq!(parse_stat(&format!("7 (a) {}", rest.replacen('S', "Z", 1))), None);
        for bad in ["", "7", "7 (a)", "7 (a) S 1", ")"] {
            assert_eq!(parse_stat(bad), None);
        }
    }

    #[tokio::test]
    async fn the_end_of_a_process_is_noticed_and_it_is_reaped() {
        #[expect(clippy::zombie_processes, reason = "that it is reaped is what is tested")]
        let child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let held = Held::open(child.id()).unwrap().unwrap();
        assert!(!held.ended_within(Duration::from_millis(20)).await);
        held.signal(Signal::KILL);
        assert!(held.ended_within(Duration::from_secs(30)).await);
        assert!(!fs::exists(format!("/proc/{}", child.id())).unwrap(), "no zombie is left");
        assert!(Held::open(child.id()).unwrap().is_none());
    }
}
