//! Nothing around a session: what tests and fuzz targets serve sessions with.

use super::{Connection, Figures, Host};
use crate::mailbox::Place;
use std::sync::{Arc, Mutex, PoisonError};

/// A node that is not there: it has figures, and takes down the lines that watchers are sent.
#[derive(Debug, Default)]
pub struct Alone {
    /// What `stats` shows.
    pub figures: Figures,
    /// It is a replica.
    pub follows: bool,
    /// Why it refuses writes by now.
    pub refusal_by_now: Option<&'static str>,
    told: Mutex<Vec<u8>>,
}

impl Alone {
    /// With these figures.
    pub fn new(figures: Figures) -> Alone {
        Alone { figures, ..Alone::default() }
    }

    /// Takes the lines that watchers were sent.
    pub fn take_told(&self) -> Vec<u8> {
        std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Host for Alone {
    fn figures(&self) -> Figures {
        self.figures.clone()
    }

    fn connections(&self) -> Vec<Connection> {
        Vec::new()
    }

    fn set_memory_max(&self, _bytes: u64) {}

    fn stop(&self) {}

    fn follows(&self) -> bool {
        self.follows
    }

    fn refusal_by_now(&self) -> Option<&'static str> {
        self.refusal_by_now
    }

    fn refresh_certificates(&self) -> Option<Result<(), String>> {
        None
    }

    fn watch_traffic(&self, _seconds: Option<u64>) {}

    fn advice(&self) -> Option<String> {
        None
    }

    fn send_lines(&self, _place: Place, lines: Arc<[u8]>) -> bool {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&lines);
        true
    }
}
