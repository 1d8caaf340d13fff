//! SIGTERM, SIGINT, SIGUSR1 and SIGHUP: blocked in all threads, waited for by one.

use std::io;
use std::time::Duration;

/// A signal that asks the process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM, or SHUTDOWN.
    Terminate,
    /// SIGINT (Ctrl-C).
    Interrupt,
    /// SIGUSR1, which ends memcached in an orderly way.
    User,
}

impl Stop {
    /// `SIGTERM`.
    pub fn name(self) -> &'static str {
        match self {
            Stop::Terminate => "SIGTERM",
            Stop::Interrupt => "SIGINT",
            Stop::User => "SIGUSR1",
        }
    }
}

fn set() -> libc::sigset_t {
    // SAFETY: sigset_t is plain data that sigemptyset initialises; the pointers are to a local.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGTERM);
        libc::sigaddset(&raw mut set, libc::SIGINT);
        libc::sigaddset(&raw mut set, libc::SIGUSR1);
        libc::sigaddset(&raw mut set, libc::SIGHUP);
        set
    }
}

/// Blocks the signals in this thread and those it starts from now on, and ignores SIGPIPE and SIGXFSZ: a connection that
/// broke and a file that may not grow are errors, no end.
pub fn block() -> io::Result<()> {
    let set = set();
    // SAFETY: the set is initialised; changing the mask of the calling thread touches no memory of ours.
    let error = unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut())
    };
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// Waits until the process is asked to end, and meanwhile calls `reload` for each SIGHUP. [`block`] must have been called.
pub fn wait(mut reload: impl FnMut()) -> Stop {
    let set = set();
    let mut signal = 0;
    loop {
        // SAFETY: both pointers are to locals; the signals are blocked.
        let error = unsafe { libc::sigwait(&raw const set, &raw mut signal) };
        match (error, signal) {
            (0, libc::SIGINT) => return Stop::Interrupt,
            (0, libc::SIGUSR1) => return Stop::User,
            (0, libc::SIGHUP) => reload(),
            (0, _) => return Stop::Terminate,
            _ => {}
        }
    }
}

/// Waits for a while; true as soon as the process is asked to end. [`block`] must have been called.
pub fn comes_within(time: Duration) -> bool {
    let mut set = set();
    let limit = libc::timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
    // SAFETY: the pointers are to locals, both initialised; what came of a signal beside its number is not asked for.
    let signal = unsafe {
        libc::sigdelset(&raw mut set, libc::SIGHUP);
        libc::sigtimedwait(&raw const set, std::ptr::null_mut(), &raw const limit)
    };
    signal > 0
}

/// Asks this process to end (SHUTDOWN).
pub fn raise() {
    // A process may always signal itself.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM);
}
