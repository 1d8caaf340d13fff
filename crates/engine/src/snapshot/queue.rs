//! What is saved on its way to whoever writes it: pieces of a file, bounded by bytes.
//!
//! The walk stops while the queue is full. Who is about to change a key cannot wait for a disk: it goes beyond, up to a
//! second bound, and if that is reached too the snapshot fails, not the server.

use larder_rdb::{Writer, save};
use larder_store::Image;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes from which on the walk waits.
pub const FULL_BYTES: usize = 16 * 1024 * 1024;
/// Bytes that writers may add while it is full; with more of them a snapshot fails. A share of the data comes on top, see [`Queue::new`].
pub const HARD_BYTES: usize = 48 * 1024 * 1024;
/// The data's share: one byte of so many.
const HARD_SHARE: u64 = 20;

/// Writers that have put one byte of so many of these there are in need: whoever takes the pieces gives way to nobody from then on.
const PRESSING_SHARE: usize = 4;

/// What a large collection counts that a writer adds: it stays shared with the keyspace, so it takes no more than the parts
/// that change meanwhile. These are never more than the data itself, and count as used memory like all else.
const SHARED_BYTES: usize = 256 * 1024;
/// The room of a buffer for a piece: one is sent when it has 64 KB, and the last key in it may be a little longer.
pub const BUFFER_BYTES: usize = 72 * 1024;
/// Buffers of pieces that are kept to be filled again, and what they must hold: fresh memory may cost the walk milliseconds.
const SPARES_MAX: usize = 48;
const SPARE_BYTES_MIN: usize = 64 * 1024;
const SPARE_BYTES_MAX: usize = 128 * 1024;
/// Bytes for which who takes the pieces is woken: each time costs the walk more than the piece does.
const WAKE_BYTES: usize = 512 * 1024;
/// How long fewer of them lie there at most.
const LINGER: Duration = Duration::from_millis(10);

/// A piece of a file.
#[derive(Debug, Default)]
pub struct Piece {
    /// Bytes as they stand in the file.
    pub bytes: Vec<u8>,
    /// A large value that follows them and is still to be encoded, and about how many bytes it has; it may be shared
    /// with the keyspace.
    pub image: Option<(Image, usize)>,
}

impl Piece {
    fn len(&self) -> usize {
        self.bytes.len() + self.image.as_ref().map_or(0, |(_, bytes)| *bytes)
    }

    /// Bytes that it takes beside what the keyspace has anyway. A long string counts whole: whoever replaces it leaves it to
    /// the snapshot.
    fn own_bytes(&self) -> usize {
        let image = self.image.as_ref().map_or(0, |(image, bytes)| match image {
            Image::String(_) => *bytes,
            _ => (*bytes).min(SHARED_BYTES),
        });
        self.bytes.len() + image
    }

    /// Gives what stands in the file to `put`, in parts. `writer` is empty, and is empty again afterwards. The buffer goes back
    /// to the queue.
    ///
    /// # Errors
    /// Those of `put`.
    pub fn each_part(
        self,
        queue: &Queue,
        writer: &mut Writer,
        put: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        put(&self.bytes)?;
        queue.keep(self.bytes);
        let Some((image, _)) = self.image else { return Ok(()) };
        let mut result = Ok(());
        save::value_in_parts(&image.value(), writer, &mut |part| {
            if result.is_ok() {
                result = put(part);
            }
        });
        drop(image);
        result.and_then(|()| put(&writer.take()))
    }
}

#[derive(Debug, Default)]
struct Inner {
    /// Each with whether it came while the queue was full.
    pieces: VecDeque<(Piece, bool)>,
    /// Bytes of those that did.
    beyond: usize,
    spares: Vec<Vec<u8>>,
    closed: bool,
    /// Threads that wait for pieces, and those that wait for room: nobody else needs to be woken, which is a call of the
    /// kernel.
    takers: usize,
    writers: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Queue {
    inner: Mutex<Inner>,
    /// Bytes in the queue, for a look without the lock.
    bytes: AtomicUsize,
    /// The most that there ever were.
    peak: AtomicUsize,
    hard_bytes: usize,
    pressing: AtomicBool,
    /// Buffers that are worth having from the start.
    spares: usize,
    came: Condvar,
    went: Condvar,
}

impl Queue {
    /// An empty queue for a snapshot of so many bytes of data.
    pub fn new(data_bytes: u64) -> Queue {
        Queue {
            inner: Mutex::default(),
            bytes: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            hard_bytes: HARD_BYTES + usize::try_from(data_bytes / HARD_SHARE).unwrap_or(0),
            pressing: AtomicBool::new(false),
            spares: usize::try_from(data_bytes / HARD_SHARE).unwrap_or(0) / BUFFER_BYTES,
            came: Condvar::new(),
            went: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True while the walk has to wait.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= FULL_BYTES
    }

    /// True once writers have gone so far beyond what is full that the snapshot may fail.
    pub fn is_pressing(&self) -> bool {
        self.pressing.load(Ordering::Relaxed)
    }

    /// Bytes in the queue.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The most bytes that were ever in the queue.
    pub fn peak_bytes(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// Appends a piece; false if there are too many bytes in the queue. While it is not full a piece is always taken,
    /// whatever its size: the walk, which waits for that, never fails.
    pub fn push(&self, piece: Piece) -> bool {
        let mut inner = self.lock();
        if inner.closed {
            return true; // nobody wants it any more
        }
        let bytes = self.bytes.load(Ordering::Relaxed);
        // What the walk has put here, which may be one very large value, is not the writers' doing.
        let beyond = bytes >= FULL_BYTES;
        if beyond && inner.beyond + piece.own_bytes() > self.hard_bytes {
            return false;
        }
        inner.beyond += if beyond { piece.own_bytes() } else { 0 };
        if inner.beyond > self.hard_bytes / PRESSING_SHARE {
            self.pressing.store(true, Ordering::Relaxed);
        }
        self.bytes.store(bytes + piece.len(), Ordering::Relaxed);
        self.peak.fetch_max(bytes + piece.len(), Ordering::Relaxed);
        let bytes = bytes + piece.len();
        inner.pieces.push_back((piece, beyond));
        let wake = inner.takers > 0 && bytes >= WAKE_BYTES;
        // Who is woken needs the lock.
        drop(inner);
        if wake {
            self.came.notify_all();
        }
        true
    }

    /// An empty buffer for a piece; one that was used before, if there is one.
    pub fn spare(&self) -> Vec<u8> {
        self.lock().spares.pop().unwrap_or_default()
    }

    /// Makes buffers for pieces. To be called on the thread that takes the pieces: then it is not the walk that touches fresh
    /// memory first.
    pub fn prepare(&self) {
        for _ in 0..self.spares.min(SPARES_MAX) {
            // Ones: zeros would be pages that nobody has touched.
            self.keep(vec![1; BUFFER_BYTES]);
        }
    }

    fn keep(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut inner = self.lock();
        let fits = (SPARE_BYTES_MIN..=SPARE_BYTES_MAX).contains(&buffer.capacity());
        if fits && inner.spares.len() < SPARES_MAX && !inner.closed {
            inner.spares.push(buffer);
        }
    }

    /// Takes the next piece; waits for one. `None` when the queue was closed and everything was taken.
    pub fn pop(&self) -> Option<Piece> {
        let mut inner = self.lock();
        loop {
            if let Some(piece) = self.take(&mut inner) {
                let wake = inner.writers > 0;
                drop(inner);
                if wake {
                    self.went.notify_all();
                }
                return Some(piece);
            }
            if inner.closed {
                return None;
            }
            inner.takers += 1;
            inner = self.came.wait_timeout(inner, LINGER).unwrap_or_else(PoisonError::into_inner).0;
            inner.takers -= 1;
        }
    }

    /// Takes the next piece if there is one. For a consumer that must not wait; [`Queue::is_over`] tells it the end.
    pub fn try_pop(&self) -> Option<Piece> {
        self.take(&mut self.lock())
    }

    /// True when the queue was closed and everything was taken.
    pub fn is_over(&self) -> bool {
        let inner = self.lock();
        inner.closed && inner.pieces.is_empty()
    }

    fn take(&self, inner: &mut Inner) -> Option<Piece> {
        let (piece, beyond) = inner.pieces.pop_front()?;
        inner.beyond -= if beyond { piece.own_bytes() } else { 0 };
        self.bytes.fetch_sub(piece.len(), Ordering::Relaxed);
        Some(piece)
    }

    /// Waits until there is room, or for so long.
    pub fn wait_for_room(&self, most: Duration) {
        let mut inner = self.lock();
        if self.is_full() && !inner.closed {
            inner.writers += 1;
            inner = self.went.wait_timeout(inner, most).unwrap_or_else(PoisonError::into_inner).0;
            inner.writers -= 1;
        }
    }

    /// Nothing comes any more. What is in the queue can still be taken, unless it is thrown away.
    pub fn close(&self, throw_away: bool) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.spares = Vec::new();
        if throw_away {
            inner.pieces.clear();
            inner.beyond = 0;
            self.bytes.store(0, Ordering::Relaxed);
        }
        self.came.notify_all();
        self.went.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use larder_store::object::Set;
    use std::sync::Arc;

    fn piece(bytes: usize) -> Piece {
        Piece { bytes: vec![0; bytes], image: None }
    }

    #[test]
    fn what_is_too_much_is_refused_and_nothing_is_lost() {
        let queue = Queue::new(0);
        assert!(queue.push(piece(HARD_BYTES + 1)), "what the walk brings is always taken");
        assert!(queue.is_full() && queue.push(piece(HARD_BYTES)) && !queue.push(piece(1)));
        assert_eq!(queue.pop().unwrap().len(), HARD_BYTES + 1);
        assert!(queue.is_full() && !queue.push(piece(1)));
        assert_eq!(queue.pop().unwrap().len(), HARD_BYTES);
        assert!(!queue.is_full() && queue.push(piece(3)));
        queue.close(false);
        assert_eq!(queue.pop().unwrap().len(), 3);
        assert!(queue.pop().is_none() && queue.is_over());
    }

    #[test]
    fn writers_press_once_they_have_gone_far_beyond() {
        let queue = Queue::new(0);
        assert!(queue.push(piece(2 * HARD_BYTES)) && !queue.is_pressing(), "that was the walk");
        let part = HARD_BYTES / PRESSING_SHARE;
        assert!(queue.push(piece(part)) && !queue.is_pressing());
        assert!(queue.push(piece(1)) && queue.is_pressing());
        while queue.try_pop().is_some() {}
        assert!(queue.is_pressing(), "who has taken over goes on");
    }

    #[test]
    fn a_collection_that_stays_shared_counts_little() {
        let queue = Queue::new(0);
        let large = || {
            let image = Some((Image::Set(Box::new(Set::new())), 2 * HARD_BYTES));
            Piece { bytes: vec![0; 10], image }
        };
        assert!((0..20).all(|_| queue.push(large())), "the second one comes while it is full");
        let string = Some((Image::String(Arc::new(b"long".to_vec())), HARD_BYTES + 1));
        assert!(!queue.push(Piece { bytes: Vec::new(), image: string }));
        (0..20).for_each(|_| drop(queue.pop()));
        assert_eq!((queue.bytes(), queue.lock().beyond), (0, 0));
    }

    #[test]
    fn buffers_are_made_for_much_data_and_come_back() {
        let queue = Queue::new(1 << 30);
        queue.prepare();
        queue.prepare();
        assert_eq!(queue.lock().spares.len(), SPARES_MAX);
        let buffer = queue.spare();
        assert!(buffer.is_empty() && buffer.capacity() >= BUFFER_BYTES);
        assert!(queue.push(Piece { bytes: buffer, image: None }));
        let mut put = |_: &[u8]| Ok(());
        queue.pop().unwrap().each_part(&queue, &mut Writer::uncompressed(), &mut put).unwrap();
        assert_eq!(queue.lock().spares.len(), SPARES_MAX);
        let small = Queue::new(1 << 20);
        small.prepare();
        assert!(small.lock().spares.is_empty());
    }

    #[test]
    fn a_consumer_wakes_at_the_end() {
        let queue = Queue::new(0);
        std::thread::scope(|scope| {
            let consumer = scope.spawn(|| std::iter::from_fn(|| queue.pop()).count());
            (0..100).for_each(|_| assert!(queue.push(piece(7))));
            queue.close(false);
            assert_eq!(consumer.join().unwrap(), 100);
        });
    }
}
