//! Dropping large values where nobody waits for it: one thread that frees what it is sent.
//!
//! The queue is bounded; when it is full the sender frees the value itself, so that garbage cannot pile up.

use std::any::Any;
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

/// Values that may wait.
const QUEUE_MAX: usize = 1024;

type Garbage = Box<dyn Any + Send>;

fn sender() -> Option<&'static SyncSender<Garbage>> {
    static SENDER: OnceLock<Option<SyncSender<Garbage>>> = OnceLock::new();
    SENDER
        .get_or_init(|| {
            let (sender, receiver) = sync_channel::<Garbage>(QUEUE_MAX);
            let thread = std::thread::Builder::new().name("free".into());
            thread.spawn(move || receiver.into_iter().for_each(drop)).ok().map(|_| sender)
        })
        .as_ref()
}

/// Frees a value in the background, or here if that cannot be.
pub fn drop_later<T: Send + 'static>(value: T) {
    match sender().map(|sender| sender.try_send(Box::new(value))) {
        None | Some(Ok(())) => {}
        Some(Err(TrySendError::Full(value) | TrySendError::Disconnected(value))) => drop(value),
    }
}
