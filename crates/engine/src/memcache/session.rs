//! One Memcached client: its first byte chooses the protocol that it is spoken to in.

use super::binary::Binary;
use super::text::Text;
use super::{Binding, Outcome, Turn};
use crate::mailbox::Place;
use larder_protocol::memcache::binary::REQUEST;

/// One Memcached client.
#[derive(Debug)]
pub struct Session {
    speech: Speech,
    local: bool,
    /// Where it is; UDP has no place.
    place: Option<Place>,
    /// It ends because nothing came from it.
    idle: bool,
}

#[derive(Debug)]
enum Speech {
    /// Nothing came yet.
    Unknown,
    Text(Text),
    Binary(Binary),
}

impl Session {
    /// A session that has just connected. A `local` one, on the Unix socket, may write the Auto Discovery setting.
    pub fn new(local: bool, place: Option<Place>) -> Session {
        Session { speech: Speech::Unknown, local, place, idle: false }
    }

    /// True if it watches: then it may be silent as long as it likes.
    pub fn watches(&self) -> bool {
        matches!(&self.speech, Speech::Text(text) if text.watches)
    }

    /// Says that it ends because nothing came from it.
    pub fn end_idle(&mut self) {
        self.idle = true;
    }

    /// Why it ends, in the words of `watch`. `hung_up` says that its client did.
    pub fn reason(&self, hung_up: bool) -> &'static str {
        let told = match &self.speech {
            _ if self.idle => Some("idle_timeout"),
            Speech::Text(text) => text.reason,
            Speech::Binary(binary) => binary.reason,
            Speech::Unknown => None,
        };
        told.unwrap_or(if hung_up { "normal" } else { "error" })
    }

    /// Says that the value which the last [`Outcome::apart`] told of comes as the parcel of a turn, once it is complete.
    pub fn keep_apart(&mut self) {
        match &mut self.speech {
            Speech::Text(text) => text.keep_apart(),
            Speech::Binary(_) | Speech::Unknown => {} // a frame tells itself where its value would stand
        }
    }

    /// Carries out what is complete in `input`, up to the limits of a turn, and appends the answers to `out`.
    pub fn serve(&mut self, turn: &mut Turn<'_>, input: &[u8], out: &mut Vec<u8>) -> Outcome {
        turn.client = self.place.map_or(0, |place| place.id);
        let outcome = self.serve_turn(turn, input, out);
        turn.tell_watchers();
        outcome
    }

    fn serve_turn(&mut self, turn: &mut Turn<'_>, input: &[u8], out: &mut Vec<u8>) -> Outcome {
        turn.flush_if_due();
        if let Speech::Unknown = self.speech {
            let Some(&first) = input.first() else { return Outcome { need: 1, ..Outcome::default() } };
            self.speech = match (turn.shared.rules().binding, first == REQUEST) {
                (Binding::Auto, true) if turn.shared.auth().ascii() => {
                    return Outcome { close: true, ..Outcome::default() };
                }
                (Binding::Auto | Binding::Binary, true) => Speech::Binary(Binary::default()),
                (Binding::Binary, false) => return Outcome { close: true, ..Outcome::default() },
                (Binding::Auto | Binding::Ascii, _) if turn.shared.auth().sasl() => {
                    return Outcome { close: true, ..Outcome::default() };
                }
                (Binding::Auto | Binding::Ascii, _) => Speech::Text(Text::new(!turn.shared.auth().ascii())),
            };
        }
        match &mut self.speech {
            Speech::Text(text) => text.serve(turn, (self.local, self.place), input, out),
            Speech::Binary(binary) => binary.serve(turn, input, out),
            Speech::Unknown => Outcome::default(),
        }
    }
}
