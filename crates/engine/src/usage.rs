//! What the kernel counts of a thread: it tells work of the thread's own from what the machine took.

/// Counts since the thread began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Pages that the kernel had to find for it.
    pub faults: u64,
    /// Times that the kernel gave its processor to others although it had work.
    pub displaced: u64,
}

impl Usage {
    /// That of the calling thread; nothing where the kernel does not tell.
    pub fn of_this_thread() -> Usage {
        // SAFETY: the structure is numbers, for all of which zero is a value.
        let mut counts: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel writes one such structure to where the reference leads.
        if unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut counts) } != 0 {
            return Usage::default();
        }
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        Usage { faults: count(counts.ru_minflt + counts.ru_majflt), displaced: count(counts.ru_nivcsw) }
    }

    /// What came since an earlier look.
    pub fn since(self, before: Usage) -> Usage {
        Usage {
            faults: self.faults.saturating_sub(before.faults),
            displaced: self.displaced.saturating_sub(before.displaced),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_that_are_touched_first_are_counted() {
        let before = Usage::of_this_thread();
        let pages = vec![1u8; 64 << 20];
        std::hint::black_box(&pages);
        assert!(Usage::of_this_thread().since(before).faults > 0);
    }
}
