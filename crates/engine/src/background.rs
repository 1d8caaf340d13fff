//! Work that nobody waits for, such as dropping large values: one thread that does what it is sent.
//!
//! The queue is bounded; when it is full the sender frees its value itself, so that garbage cannot pile up.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

/// Pieces of work that may wait.
const QUEUE_MAX: usize = 1024;

static WAITING: AtomicU64 = AtomicU64::new(0);
static WAITING_BYTES: AtomicU64 = AtomicU64::new(0);
static FREED: AtomicU64 = AtomicU64::new(0);

type Work = Box<dyn FnOnce() + Send>;

fn sender() -> Option<&'static SyncSender<Work>> {
    static SENDER: OnceLock<Option<SyncSender<Work>>> = OnceLock::new();
    SENDER
        .get_or_init(|| {
            let (sender, receiver) = sync_channel::<Work>(QUEUE_MAX);
            let thread = std::thread::Builder::new().name("background".into());
            thread.spawn(move || receiver.into_iter().for_each(|work| work())).ok().map(|_| sender)
        })
        .as_ref()
}

/// Values that wait to be freed, and those that were freed: `lazyfree_pending_objects` and `lazyfreed_objects`.
pub fn freed() -> [u64; 2] {
    [WAITING.load(Ordering::Relaxed), FREED.load(Ordering::Relaxed)]
}

/// Counts from 0 again what was freed.
pub fn forget_freed() {
    FREED.store(0, Ordering::Relaxed);
}

/// Bytes of values that wait to be freed, as far as they were told: memory that is as good as free.
pub fn waiting_bytes() -> u64 {
    WAITING_BYTES.load(Ordering::Relaxed)
}

/// Frees so many values of keys in the background, or here if that cannot be. `bytes` is what they take, 0 if nobody knows.
pub fn free_later<T: Send + 'static>(values: T, count: u64, bytes: u64) {
    WAITING.fetch_add(count, Ordering::Relaxed);
    WAITING_BYTES.fetch_add(bytes, Ordering::Relaxed);
    drop_later(Counted { _values: values, _last: Freed { count, bytes } });
}

/// Values that are counted once they are gone: fields are dropped in their order.
struct Counted<T> {
    _values: T,
    _last: Freed,
}

struct Freed {
    count: u64,
    bytes: u64,
}

impl Drop for Freed {
    fn drop(&mut self) {
        FREED.fetch_add(self.count, Ordering::Relaxed);
        WAITING_BYTES.fetch_sub(self.bytes, Ordering::Relaxed);
        WAITING.fetch_sub(self.count, Ordering::Relaxed);
    }
}

/// Frees a value in the background, or here if that cannot be.
pub fn drop_later<T: Send + 'static>(value: T) {
    let work: Work = Box::new(move || drop(value));
    match sender().map(|sender| sender.try_send(work)) {
        Some(Err(TrySendError::Full(work) | TrySendError::Disconnected(work))) => work(),
        None | Some(Ok(())) => {}
    }
}

/// Does something in the background, if there is room in the queue; false if there is not.
pub fn run_later(work: impl FnOnce() + Send + 'static) -> bool {
    sender().is_some_and(|sender| sender.try_send(Box::new(work)).is_ok())
}
