//! The process around a node: going to the background, and telling a supervisor that it is ready.

use crate::run::Supervised;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Goes to the background (`daemonize`): the caller's process ends here, its child goes on without a terminal.
///
/// Must be called while the process has one thread.
///
/// # Errors
/// The kernel refuses.
pub fn daemonize() -> io::Result<()> {
    // SAFETY: the process has one thread, so that no lock is held by a thread that the child does not have. _exit ends
    // the parent at once; setsid has no arguments.
    unsafe {
        match libc::fork() {
            -1 => return Err(io::Error::last_os_error()),
            0 => {}
            _ => libc::_exit(0),
        }
        libc::setsid();
    }
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
}

/// Tells systemd about this process, if it asked to be told: `READY=1`, `STOPPING=1`.
pub fn notify(supervised: Supervised, what: &str) {
    let wanted = matches!(supervised, Supervised::Systemd | Supervised::Auto);
    let Some(path) = std::env::var_os("NOTIFY_SOCKET").filter(|_| wanted) else {
        if supervised == Supervised::Systemd {
            tracing::warn!("systemd supervision requested or auto-detected, but NOTIFY_SOCKET not found!");
        }
        return;
    };
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    let sent = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(what.as_bytes(), &address));
    if let Err(error) = sent {
        tracing::warn!("Can't send notification to systemd: {error}");
    }
}

/// Processor time of the process so far, in microseconds.
pub fn processor_micros() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}
