//! TLS at a worker: what its sessions receive in encrypted form, and the time that handshakes get.
//!
//! A handshake costs as much as hundreds of requests. So what is received for one only waits, and when a turn has served
//! the sessions that are open, handshakes have a budget of time; the rest of them comes in the next turns.

use super::Worker;
use super::sessions::{Session, Sessions};
use crate::tls::Progress;
use std::time::{Duration, Instant};

/// Time of a turn for handshakes. At least one goes on in each turn.
const HANDSHAKE_BUDGET: Duration = Duration::from_millis(1);

impl Sessions {
    /// Bytes arrived at a session that is not plain, or about which nobody knows yet.
    pub(super) fn received_sealed(&mut self, index: u32, bytes: &[u8]) {
        let Some(session) = self.get(index) else { return };
        let Session { tls: Some(tls), input, .. } = session else { return };
        match tls.received(bytes, input) {
            Progress::Handshake => {
                if !std::mem::replace(&mut tls.listed, true) {
                    self.handshakes.push_back(index);
                }
                return;
            }
            Progress::Plain => {
                session.tls = None;
                session.client.sealed = false;
                session.receive(bytes);
            }
            progress => {
                session.fill_parcel();
                note(session, progress);
            }
        }
        self.make_ready(index);
    }
}

/// Notes what TLS said of a session.
fn note(session: &mut Session, progress: Progress) {
    match progress {
        Progress::Ended => {
            session.ended = true;
            if session.tls.as_ref().is_some_and(|tls| !tls.is_open()) {
                session.out.buffer().clear();
            }
        }
        Progress::Failed(error) => {
            let shared = &session.client.shared;
            let (address, local) = (&shared.address, &shared.local_address);
            tracing::debug!("Error accepting a client connection: {error} (addr={address} laddr={local})");
            session.client.closing = true;
            session.out.buffer().clear(); // the peer could not read it
        }
        Progress::Plain | Progress::Handshake | Progress::Data => {}
    }
}

impl Worker {
    /// Goes on with handshakes, within the budget.
    #[cold]
    pub(super) fn shake_hands(&mut self) {
        self.touched.clear();
        let began = Instant::now();
        while let Some(index) = self.sessions.handshakes.pop_front() {
            let Some(session) = self.sessions.get(index) else { continue };
            let Session { tls: Some(tls), input, .. } = session else { continue };
            if !std::mem::replace(&mut tls.listed, false) {
                continue; // another one, that has this place now
            }
            let progress = tls.shake_hands(input);
            note(session, progress);
            if session.unread() > 0 {
                self.sessions.make_ready(index);
            }
            self.touched.push(index);
            if began.elapsed() > HANDSHAKE_BUDGET {
                break;
            }
        }
        self.send_replies(&self.node.settings());
    }
}
