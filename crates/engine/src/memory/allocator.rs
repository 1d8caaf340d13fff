//! What the allocator, jemalloc, says of itself. A process with another allocator is told what the kernel knows.

use super::mapped;
use tikv_jemalloc_ctl::stats_print::{Options, stats_print};
use tikv_jemalloc_ctl::{epoch, stats};

/// Bytes, from the inside to the outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocator {
    /// Handed out.
    pub allocated: u64,
    /// In pages that hold something.
    pub active: u64,
    /// In pages that the machine gave.
    pub resident: u64,
}

impl Allocator {
    /// Bytes of pages in use that no block is in: mostly holes in slabs.
    pub fn holes_bytes(&self) -> u64 {
        self.active.saturating_sub(self.allocated)
    }
}

/// The allocator's figures; where it has none, what is `used` and `resident` stands for them.
pub fn figures(used: u64, resident: u64) -> Allocator {
    let read = || -> Option<Allocator> {
        epoch::advance().ok()?;
        let mapped = mapped::bytes();
        Some(Allocator {
            allocated: stats::allocated::read().ok()? as u64 + mapped,
            active: stats::active::read().ok()? as u64 + mapped,
            resident: stats::resident::read().ok()? as u64 + mapped + super::kept_bytes(),
        })
    };
    // One that is not in use holds next to nothing.
    let fallback = Allocator { allocated: used, active: resident, resident };
    read().filter(|figures| figures.allocated >= used / 2).unwrap_or(fallback)
}

/// Gives unused pages back to the machine; false if the allocator refuses.
pub fn purge() -> bool {
    super::release_kept();
    // `arena.4096` is all arenas (MALLCTL_ARENAS_ALL).
    let name = c"arena.4096.purge";
    let nothing = std::ptr::null_mut;
    // SAFETY: the name ends with a zero, and this control takes and gives no value.
    let error =
        unsafe { tikv_jemalloc_sys::mallctl(name.as_ptr(), nothing(), std::ptr::null_mut(), nothing(), 0) };
    error == 0
}

/// Threads up to which all of them take their blocks from one arena. Each keeps a cache of its own, so they seldom meet;
/// many would.
const ONE_ARENA_THREADS: usize = 4;

/// Makes the calling thread, one of so many that hold data, take its blocks where the first thread does, unless they are
/// many: each arena has slabs of its own with holes that the others cannot fill. False if the allocator refuses.
///
/// A cache of 43 MB that is full, with two threads and values that come and go: a twentieth less is resident.
pub fn share_arena(threads: usize) -> bool {
    if threads > ONE_ARENA_THREADS {
        return true;
    }
    let mut first = 0u32;
    // SAFETY: the name ends with a zero, and this control reads the number of an arena, which is 4 bytes.
    let error = unsafe {
        tikv_jemalloc_sys::mallctl(
            c"thread.arena".as_ptr(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            (&raw mut first).cast(),
            size_of::<u32>(),
        )
    };
    error == 0
}

/// The allocator's own report.
pub fn report() -> String {
    let mut text = Vec::new();
    let mut options = Options::default();
    options.skip_per_arena = true;
    if stats_print(&mut text, options).is_err() {
        return "The allocator has no report.\n".to_owned();
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allocator_answers() {
        assert!(purge());
        assert!(share_arena(1));
        assert!(report().contains("jemalloc statistics"));
        let figures = figures(u64::MAX / 2, 7);
        assert_eq!(figures, Allocator { allocated: u64::MAX / 2, active: 7, resident: 7 });
    }
}
