//! A session of the text protocol: its lines are read in batches and carried out in order.

use super::admin::{self, Act};
use super::auth::Verdict;
use super::counters::Counter;
use super::dump::Dump;
use super::execute::execute;
use super::{OUTPUT_PER_TURN_BYTES_MAX, Outcome, REQUESTS_PER_TURN_MAX, Turn};
use crate::mailbox::Place;
use larder_protocol::memcache::request::{Reject, Request, Verb};
use larder_protocol::memcache::text::{Limits, LineTooLong, Parser, Step};
use larder_store::Key;

/// Said of a value that cannot be credentials.
const NO_CREDENTIALS: &[u8] = b"CLIENT_ERROR bad authentication token format\r\n";
/// Longest value that shows credentials.
const CREDENTIALS_BYTES_MAX: usize = 2048;

#[derive(Debug)]
pub(super) struct Text {
    parser: Parser,
    authenticated: bool,
    dump: Option<Dump>,
    /// It watches, and nothing that it says is listened to any more.
    pub(super) watches: bool,
    /// Why it ends, if not for an error.
    pub(super) reason: Option<&'static str>,
}

impl Text {
    /// A session that has just begun; `authenticated` says that it has nothing to show first.
    pub(super) fn new(authenticated: bool) -> Text {
        Text { parser: Parser::new(), authenticated, dump: None, watches: false, reason: None }
    }

    /// See [`Session::keep_apart`](super::Session::keep_apart).
    pub(super) fn keep_apart(&mut self) {
        self.parser.keep_apart();
    }

    pub(super) fn serve(
        &mut self,
        turn: &mut Turn<'_>,
        (local, place): (bool, Option<Place>),
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        if self.watches {
            return Outcome { consumed: input.len(), need: 1, ..Outcome::default() };
        }
        if let Some(dump) = &mut self.dump {
            if !dump.go_on(turn, out) {
                return outcome;
            }
            outcome.consumed = dump.line_bytes;
            self.dump = None;
        }
        let limits = Limits {
            item_bytes_max: turn.shared.item_size_max(),
            config_writable: local,
            strict: turn.shared.strict,
        };
        if !self.authenticated {
            return self.authenticate(turn, input, out);
        }
        let output_max = out.len() + OUTPUT_PER_TURN_BYTES_MAX;
        let mut most = if turn.parcel.is_some() { 1 } else { turn.shared.requests_per_turn() };
        if self.parser.is_idle() && outcome.consumed == 0 && turn.refusal.is_none() {
            let mut run = std::mem::take(turn.run);
            let done = run.serve(turn, input, (most, output_max), out);
            *turn.run = run;
            outcome.consumed = done.consumed;
            turn.requests += done.count as u64;
            most -= done.count;
            if done.full || done.consumed == input.len() {
                outcome.need = usize::from(done.consumed == input.len());
                return outcome;
            }
        }
        let mut begin = outcome.consumed;
        let mut batch = Vec::new();
        let too_long = self.read(input, &limits, (most, turn.parcel.is_some()), &mut batch, &mut outcome);
        if outcome.need == 0 && !too_long && outcome.consumed < input.len() {
            turn.count(Counter::ConnYields);
        }
        prefetch(turn, &batch);
        for (request, end) in batch {
            turn.requests += 1;
            let act = match &request {
                Request::Admin { command, words } => {
                    Some(admin::execute(turn, *command, words.clone(), end - begin))
                }
                Request::Stats(words) => admin::sizes(turn, words.clone(), end - begin),
                _ => None,
            };
            if let Some(act) = act {
                match act {
                    Act::Answer(answer) => out.extend_from_slice(&answer),
                    Act::Silence => {}
                    Act::Dump(dump) => {
                        // The line stays in the input until the last of its items is written.
                        (self.dump, self.parser) = (Some(dump), Parser::new());
                        return Outcome { consumed: begin, ..Outcome::default() };
                    }
                    Act::Watch(classes) => {
                        self.watches = place.is_some_and(|place| turn.shared.watchers.add(place, classes));
                        if self.watches {
                            out.extend_from_slice(b"OK\r\n");
                            return Outcome { consumed: input.len(), need: 1, ..Outcome::default() };
                        }
                        out.extend_from_slice(admin::NO_WATCH);
                    }
                    Act::Stop => {
                        turn.host.stop();
                        self.reason = Some("shutdown");
                        outcome.close = true;
                    }
                }
            } else {
                outcome.close = execute(turn, request, out);
                if outcome.close {
                    self.reason = Some("normal");
                }
            }
            if outcome.close {
                return outcome;
            }
            begin = end;
            // What was read beyond this is read again by the next turn. That is never the rest of a value being
            // skipped: announcing one writes nothing, so no turn ends between the line and the value.
            if out.len() > output_max && end < outcome.consumed {
                self.parser = Parser::new();
                return Outcome { consumed: end, ..Outcome::default() };
            }
        }
        if too_long {
            out.extend_from_slice(LineTooLong::LINE);
            outcome.close = true;
        }
        outcome
    }

    /// Waits for credentials: a stranger is answered one request at a time, and only `set` is looked at.
    #[cold]
    fn authenticate(&mut self, turn: &mut Turn<'_>, input: &[u8], out: &mut Vec<u8>) -> Outcome {
        let mut outcome = Outcome::default();
        let limits = Limits {
            item_bytes_max: CREDENTIALS_BYTES_MAX,
            config_writable: false,
            strict: turn.shared.strict,
        };
        match self.parser.step(input, &limits) {
            Ok(Step::Request { request, consumed }) => {
                outcome.consumed = consumed;
                turn.requests += 1;
                let (verdict, refusal): (_, &[u8]) = match request {
                    Request::Store { verb: Verb::Set, data, .. } => match turn.shared.auth().text(data) {
                        Verdict::Malformed => (Verdict::Malformed, NO_CREDENTIALS),
                        verdict => (verdict, b"CLIENT_ERROR authentication failure\r\n"),
                    },
                    Request::Oversized { .. } => return outcome,
                    Request::Reject(Reject::TooLarge) => (Verdict::Malformed, NO_CREDENTIALS),
                    Request::Reject(Reject::BadChunk) => {
                        (Verdict::Malformed, b"CLIENT_ERROR bad command line termination\r\n")
                    }
                    Request::Quit if turn.shared.strict => {
                        self.reason = Some("normal");
                        return Outcome { close: true, ..outcome };
                    }
                    _ => (Verdict::Refused, b"CLIENT_ERROR unauthenticated\r\n"),
                };
                turn.count(Counter::AuthCmds);
                self.authenticated = verdict == Verdict::Admitted;
                if self.authenticated {
                    out.extend_from_slice(b"STORED\r\n");
                } else {
                    turn.count(Counter::AuthErrors);
                    out.extend_from_slice(refusal);
                }
            }
            Ok(Step::Nothing { consumed }) => outcome.consumed = consumed,
            Ok(Step::Incomplete { need }) => outcome.need = need,
            Err(LineTooLong) => {
                out.extend_from_slice(LineTooLong::LINE);
                outcome.close = true;
            }
        }
        outcome
    }

    /// Reads requests with the offsets where they end; true when a line is too long. `apart` says that the value of the first
    /// one came apart.
    fn read<'i>(
        &mut self,
        input: &'i [u8],
        limits: &Limits,
        (most, apart): (usize, bool),
        batch: &mut Vec<(Request<'i>, usize)>,
        outcome: &mut Outcome,
    ) -> bool {
        while batch.len() < most {
            match self.parser.step(&input[outcome.consumed..], limits) {
                Ok(Step::Request { request, consumed }) => {
                    outcome.consumed += consumed;
                    batch.push((request, outcome.consumed));
                }
                Ok(Step::Nothing { consumed }) => {
                    outcome.consumed += consumed;
                    if apart {
                        return false; // the parcel was of this one
                    }
                }
                Ok(Step::Incomplete { need }) => {
                    (outcome.need, outcome.apart) = (need, self.parser.value_to_come());
                    return false;
                }
                Err(LineTooLong) => return true,
            }
        }
        false
    }
}

/// Has the processor load what a pipeline is about to touch.
fn prefetch(turn: &Turn<'_>, batch: &[(Request<'_>, usize)]) {
    if batch.len() < 2 {
        return;
    }
    let mut keys: [Option<Key<'_>>; REQUESTS_PER_TURN_MAX] = [None; REQUESTS_PER_TURN_MAX];
    for (slot, (request, _)) in keys.iter_mut().zip(batch) {
        let bytes = match request {
            Request::Get { keys, .. } => keys.clone().next(),
            Request::Store { key, .. } | Request::Arithmetic { key, .. } => Some(*key),
            Request::Meta(meta) if !meta.has(b'b') => Some(meta.sent_key),
            _ => None,
        };
        *slot = bytes.map(|bytes| turn.key(bytes));
    }
    let keys = keys.iter().flatten();
    keys.clone().for_each(|key| turn.store.prefetch_bucket(key));
    turn.prefetch_items(keys);
}
