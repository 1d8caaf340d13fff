//! Moving what lies badly in memory to better places, so that pages with few blocks in use become empty.
//!
//! An allocator serves small blocks of one size from a piece of several pages. When keys of one size leave and keys of
//! another come, such pieces stay resident for the few blocks that are left in each, and blocks of another size cannot use
//! the room. Only their owner can move them. The store knows no allocator: who compacts it brings the judgement.

/// Takes blocks out of memory in which they lie badly, by allocating them anew.
pub struct Mover<'a> {
    badly: &'a mut dyn FnMut(*const u8) -> bool,
    /// Blocks that were looked at.
    pub looked: usize,
    /// Blocks that were moved.
    pub moved: usize,
    /// Keys of which some block was moved, and keys of which none was.
    pub keys: [usize; 2],
}

impl std::fmt::Debug for Mover<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mover").field("looked", &self.looked).field("moved", &self.moved).finish()
    }
}

impl<'a> Mover<'a> {
    /// `badly` says whether the block at an address should be somewhere else. It is only asked about blocks in use.
    pub fn new(badly: &'a mut dyn FnMut(*const u8) -> bool) -> Mover<'a> {
        Mover { badly, looked: 0, moved: 0, keys: [0; 2] }
    }

    /// True if this block is to be moved; counts it.
    pub(crate) fn wants(&mut self, block: *const u8) -> bool {
        let wants = (self.badly)(block);
        self.looked += 1;
        self.moved += usize::from(wants);
        wants
    }

    /// A vector in another block of the same size, if it lies badly.
    pub(crate) fn renew<T>(&mut self, vec: &mut Vec<T>) {
        if vec.capacity() > 0 && self.wants(vec.as_ptr().cast()) {
            let mut other = Vec::with_capacity(vec.capacity());
            other.append(vec);
            *vec = other;
        }
    }

    /// A box in another block, if it lies badly.
    pub(crate) fn rebox<T>(&mut self, boxed: Box<T>) -> Box<T> {
        if self.wants(std::ptr::from_ref::<T>(&boxed).cast()) { Box::new(*boxed) } else { boxed }
    }
}
