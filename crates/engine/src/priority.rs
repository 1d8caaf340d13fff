//! Work that gives way to the threads that serve requests where there are not processors enough for both.
//!
//! A thread may lower its priority but, without a privilege, never raise it again. So such work runs on a thread of its
//! own, and whoever started it waits and can go on with what is left at the priority that it has.

use rustix::process::{getpriority_process, setpriority_process};

/// By how much the nice value is higher. A processor that is wanted by both goes to this work for about a quarter of the
/// time (three such steps halve it), so that it comes to an end under any load.
const STEP: i32 = 5;
/// The highest nice value.
const NICE_MAX: i32 = 19;
/// How long it runs at a time, nanoseconds. What the kernel gives others is shorter, and by that (Linux 6.12 and later) they
/// displace it when they wake; otherwise it might finish its time first.
const SLICE_NS: u64 = 20_000_000;

/// Does work on a thread that gives way, and waits for it. `None` if there can be no such thread: nothing was done then.
pub(crate) fn giving_way<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let polite = move || {
            give_way();
            work()
        };
        let thread = std::thread::Builder::new().name(name.into()).spawn_scoped(scope, polite).ok()?;
        match thread.join() {
            Ok(result) => Some(result),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Lowers the priority of the calling thread alone. `SCHED_BATCH`: it does not displace others when it wakes.
fn give_way() {
    let nice = (getpriority_process(None).unwrap_or(0) + STEP).min(NICE_MAX);
    let wanted = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_BATCH as u32,
        sched_flags: 0,
        sched_nice: nice,
        sched_priority: 0,
        sched_runtime: SLICE_NS,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel reads one such structure, of the size that stands in it; 0 is the calling thread.
    let refused = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) } != 0;
    if refused {
        let _ = setpriority_process(None, nice); // then it does not give way
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_thread_that_works_gives_way() {
        let before = getpriority_process(None).unwrap();
        let inside = giving_way("polite", || getpriority_process(None).unwrap());
        assert_eq!(inside, Some((before + STEP).min(NICE_MAX)));
        assert_eq!(getpriority_process(None).unwrap(), before);
    }
}
