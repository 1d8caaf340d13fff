//! The binary protocol: what its frames ask for and what is answered, as memcached 1.6 does it.

use super::auth::Verdict;
use super::counters::Counter;
use super::detail::Event;
use super::item::{self, number, set_extras, string};
use super::keep::{Keep, Kept, Mode, keep};
use super::{DB, OUTPUT_PER_TURN_BYTES_MAX, Outcome, REQUESTS_PER_TURN_MAX, Turn};
use larder_protocol::memcache::binary::{
    Frame, HEADER_BYTES, Header, Opcode, Status, Step, respond, step, u32_at, u64_at, value_to_come,
    without_value,
};
use larder_protocol::memcache::request::{KEY_BYTES_MAX, Words};
use larder_store::{Extras, Key};
use std::sync::atomic::Ordering;

/// Bytes that a body may have beside an item's: extras and what an item is charged for anyway.
const BODY_SLACK_BYTES: usize = 256;

/// Says that a counter is not to be made where there is none.
const NEVER_CREATE: u32 = u32::MAX;

/// State of a session that speaks the binary protocol.
#[derive(Debug, Default)]
pub(super) struct Binary {
    /// Bytes of a request that is too large, still to be dropped.
    skip: usize,
    /// The session has begun to show credentials.
    begun: bool,
    /// The session has shown credentials.
    pub(super) authenticated: bool,
    /// Why it ends, if not for an error.
    pub(super) reason: Option<&'static str>,
}

impl Binary {
    /// Carries out what is complete in `input`, up to the limits of a turn.
    pub(super) fn serve(&mut self, turn: &mut Turn<'_>, input: &[u8], out: &mut Vec<u8>) -> Outcome {
        let mut outcome = Outcome::default();
        let body_max = turn.shared.item_size_max() + BODY_SLACK_BYTES;
        let output_max = out.len() + OUTPUT_PER_TURN_BYTES_MAX;
        if turn.parcel.is_some()
            && let Some((frame, consumed)) = without_value(input)
        {
            outcome.consumed = consumed;
            turn.requests += 1;
            outcome.close = self.execute(turn, &frame, out);
            return outcome;
        }
        prefetch(turn, input, body_max);
        for _ in 0..turn.shared.requests_per_turn() {
            if self.skip > 0 {
                let dropped = self.skip.min(input.len() - outcome.consumed);
                self.skip -= dropped;
                outcome.consumed += dropped;
                if self.skip > 0 {
                    outcome.need = self.skip;
                    return outcome;
                }
            }
            match step(&input[outcome.consumed..], body_max) {
                Step::Frame { frame, consumed } => {
                    outcome.consumed += consumed;
                    turn.requests += 1;
                    outcome.close = self.execute(turn, &frame, out);
                }
                Step::TooLarge { header, key, bytes } => {
                    turn.count(Counter::StoreTooLarge);
                    let opcode = Opcode::of(header.opcode).map(|(opcode, _)| opcode);
                    let store = opcode.is_some_and(Opcode::is_store);
                    if store && (1..=KEY_BYTES_MAX).contains(&key.len()) {
                        turn.watch_oversized(key, "set");
                        if opcode == Some(Opcode::Set) && turn.refusal.is_none() {
                            // What was to be replaced must not be read any more.
                            let key = turn.key(key);
                            if let Some(mut partition) = turn.hold(&key) {
                                item::remove(turn, &mut partition, &key);
                            }
                        }
                        fail(out, &header, Status::TooLarge);
                        self.skip = bytes;
                    } else {
                        fail(out, &header, Status::Invalid);
                        outcome.close = true;
                    }
                }
                Step::Incomplete { need } => {
                    (outcome.need, outcome.apart) = (need, value_to_come(&input[outcome.consumed..]));
                    return outcome;
                }
                Step::Malformed { header } => {
                    fail(out, &header, Status::Unknown);
                    outcome.close = true;
                }
                Step::Broken => outcome.close = true,
            }
            if outcome.close || out.len() > output_max {
                return outcome;
            }
        }
        turn.count(Counter::ConnYields);
        outcome
    }

    /// Carries out a request; true when the session is to end.
    fn execute(&mut self, turn: &mut Turn<'_>, frame: &Frame<'_>, out: &mut Vec<u8>) -> bool {
        let header = &frame.header;
        let known = Opcode::of(header.opcode);
        if !self.authenticated
            && turn.shared.auth().sasl()
            && !known.is_some_and(|(opcode, _)| is_open(opcode))
        {
            fail(out, header, Status::AuthError);
            return true;
        }
        let Some((opcode, quiet)) = known else {
            fail(out, header, Status::Unknown);
            return false;
        };
        if !is_well_formed(opcode, frame) {
            fail(out, header, Status::Invalid);
            return true;
        }
        let sasl = matches!(opcode, Opcode::SaslList | Opcode::SaslAuth | Opcode::SaslStep);
        if sasl && !turn.shared.auth().sasl() {
            fail(out, header, Status::Unknown);
            return false;
        }
        if turn.refusal.is_some() && opcode.writes() {
            fail(out, header, Status::Temporary);
            return false;
        }
        let (key, from) = (turn.key(frame.key), out.len());
        match opcode {
            Opcode::Get | Opcode::GetK => get(turn, frame, &key, (opcode == Opcode::GetK, quiet), None, out),
            Opcode::Gat | Opcode::GatK | Opcode::Touch => {
                let exptime = u32_at(frame.extras, 0);
                let named = opcode == Opcode::GatK;
                if opcode == Opcode::Touch {
                    touch(turn, frame, &key, exptime, out);
                } else {
                    get(turn, frame, &key, (named, quiet), Some(exptime), out);
                }
            }
            Opcode::Set | Opcode::Add | Opcode::Replace | Opcode::Append | Opcode::Prepend => {
                store(turn, frame, &key, opcode, quiet, out);
            }
            Opcode::Delete => delete(turn, frame, &key, quiet, out),
            Opcode::Increment | Opcode::Decrement => {
                arithmetic(turn, frame, &key, opcode == Opcode::Increment, quiet, out);
            }
            Opcode::Quit => {
                if !quiet {
                    ok(out, header, &[], 0);
                }
                self.reason = Some("normal");
                return true;
            }
            Opcode::Flush => {
                let at = if frame.extras.is_empty() { 0 } else { u32_at(frame.extras, 0) };
                let status = match super::execute::flush_all(turn, at.try_into().unwrap_or(i32::MAX)) {
                    true => Status::Success,
                    false => Status::Invalid,
                };
                if status != Status::Success {
                    fail(out, header, status);
                } else if !quiet {
                    ok(out, header, &[], 0);
                }
            }
            Opcode::NoOp => ok(out, header, &[], 0),
            Opcode::Version => ok(out, header, turn.shared.version.as_bytes(), 0),
            Opcode::Verbosity => {
                turn.shared.verbosity.store(u32_at(frame.extras, 0), Ordering::Relaxed);
                ok(out, header, &[], 0);
            }
            Opcode::Stat => stat(turn, frame, out),
            Opcode::SaslList => ok(out, header, b"PLAIN", 0),
            Opcode::SaslAuth | Opcode::SaslStep => {
                turn.count(Counter::AuthCmds);
                // A step goes on with the mechanism that an earlier request began with, whatever it names itself.
                if opcode == Opcode::SaslAuth {
                    self.begun = frame.key.eq_ignore_ascii_case(b"PLAIN");
                }
                let asks = opcode == Opcode::SaslAuth && self.begun && frame.value.is_empty();
                let verdict = match self.begun {
                    true => turn.shared.auth().plain(frame.value),
                    false => Verdict::Refused,
                };
                self.authenticated = verdict == Verdict::Admitted;
                // Wrong ones at the beginning end it, and those of a step can be shown again.
                self.begun &= match opcode {
                    Opcode::SaslAuth => asks,
                    _ => !self.authenticated,
                };
                if asks {
                    fail(out, header, Status::AuthContinue);
                } else if self.authenticated {
                    ok(out, header, b"Authenticated", 0);
                } else {
                    turn.count(Counter::AuthErrors);
                    fail(out, header, Status::AuthError);
                }
            }
        }
        if turn.refusal.is_some() && opcode.writes() {
            // It has become a replica since.
            out.truncate(from);
            fail(out, header, Status::Temporary);
        }
        false
    }
}

/// What a session may ask before it has shown credentials where these are asked for.
fn is_open(opcode: Opcode) -> bool {
    matches!(opcode, Opcode::SaslList | Opcode::SaslAuth | Opcode::SaslStep | Opcode::Version)
}

/// Whether the parts of a request have the lengths that its operation asks for.
fn is_well_formed(opcode: Opcode, frame: &Frame<'_>) -> bool {
    let (extras, key, value) = (frame.extras.len(), frame.key.len(), frame.value.len());
    let has_key = (1..=KEY_BYTES_MAX).contains(&key);
    match opcode {
        Opcode::Get | Opcode::GetK | Opcode::Delete => extras == 0 && has_key && value == 0,
        Opcode::Set | Opcode::Add | Opcode::Replace => extras == 8 && has_key,
        Opcode::Append | Opcode::Prepend => extras == 0 && has_key,
        Opcode::Increment | Opcode::Decrement => extras == 20 && has_key && value == 0,
        Opcode::Touch | Opcode::Gat | Opcode::GatK => extras == 4 && has_key && value == 0,
        Opcode::Flush => matches!(extras, 0 | 4) && key == 0 && value == 0,
        Opcode::Verbosity => extras == 4 && key == 0 && value == 0,
        Opcode::NoOp | Opcode::Version | Opcode::Quit | Opcode::SaslList => {
            extras == 0 && key == 0 && value == 0
        }
        Opcode::Stat => extras == 0 && key <= KEY_BYTES_MAX && value == 0,
        Opcode::SaslAuth | Opcode::SaslStep => extras == 0 && has_key,
    }
}

fn ok(out: &mut Vec<u8>, header: &Header, value: &[u8], cas: u64) {
    respond(out, header, Status::Success, (&[], &[], value), cas);
}

fn fail(out: &mut Vec<u8>, header: &Header, status: Status) {
    respond(out, header, status, (&[], &[], status.text()), 0);
}

/// Has the processor load what the keys of a pipeline are about to touch.
fn prefetch(turn: &Turn<'_>, input: &[u8], body_max: usize) {
    let mut keys: [Option<Key<'_>>; REQUESTS_PER_TURN_MAX] = [None; REQUESTS_PER_TURN_MAX];
    let mut at = 0;
    for (count, slot) in keys.iter_mut().enumerate() {
        let Step::Frame { frame, consumed } = step(&input[at..], body_max) else {
            if count < 2 {
                return;
            }
            break;
        };
        at += consumed;
        *slot = (!frame.key.is_empty()).then(|| turn.key(frame.key));
    }
    let keys = keys.iter().flatten();
    keys.clone().for_each(|key| turn.store.prefetch_bucket(key));
    turn.prefetch_items(keys);
}

fn get(
    turn: &mut Turn<'_>,
    frame: &Frame<'_>,
    key: &Key<'_>,
    (named, quiet): (bool, bool),
    touch: Option<u32>,
    out: &mut Vec<u8>,
) {
    turn.count(Counter::CmdGet);
    if touch.is_some() {
        turn.count(Counter::CmdTouch);
    }
    let partition = match touch {
        Some(_) => turn.hold(key),
        None => Some(turn.store.lock(turn.store.partition_of(key.slot))),
    };
    let Some(mut partition) = partition else { return };
    turn.watch_fetch(&partition, key);
    turn.note_read(&partition, key);
    let expired = partition.counters().expired;
    let mut digits = itoa::Buffer::new();
    let found = partition.read(DB, key, turn.now, turn.access).map(|item| (item.extras(), item.value()));
    let Some((old, data)) =
        found.as_ref().and_then(|(extras, value)| Some((*extras, string(value, &mut digits)?)))
    else {
        turn.log_gone(&mut partition);
        turn.count_miss(&partition, expired);
        turn.detail(key.bytes, Event::Get { hit: false });
        if touch.is_some() {
            turn.count(Counter::TouchMisses);
        }
        match (quiet, named) {
            (true, _) => {}
            (_, true) => respond(out, &frame.header, Status::NotFound, (&[], key.bytes, &[]), 0),
            _ => fail(out, &frame.header, Status::NotFound),
        }
        return;
    };
    turn.count(Counter::GetHits);
    turn.detail(key.bytes, Event::Get { hit: true });
    let mut extras = old;
    if let Some(exptime) = touch {
        turn.count(Counter::TouchHits);
        extras.deadline = turn.deadline_unsigned(exptime);
    }
    if extras.cas == 0 {
        extras.cas = turn.shared.next_cas();
    }
    let name = if named { key.bytes } else { &[] };
    respond(out, &frame.header, Status::Success, (&extras.flags.to_be_bytes(), name, data), extras.cas);
    if extras != old {
        set_extras(turn, &mut partition, key, extras);
    }
}

fn touch(turn: &mut Turn<'_>, frame: &Frame<'_>, key: &Key<'_>, exptime: u32, out: &mut Vec<u8>) {
    turn.count(Counter::CmdTouch);
    let Some(mut partition) = turn.hold(key) else { return };
    turn.watch_fetch(&partition, key);
    let Some(item) = partition.read(DB, key, turn.now, turn.access) else {
        turn.log_gone(&mut partition);
        turn.count(Counter::TouchMisses);
        return fail(out, &frame.header, Status::NotFound);
    };
    let mut extras = item.extras();
    turn.count(Counter::TouchHits);
    extras.deadline = turn.deadline_unsigned(exptime);
    if extras.cas == 0 {
        extras.cas = turn.shared.next_cas();
    }
    set_extras(turn, &mut partition, key, extras);
    let flags = extras.flags.to_be_bytes();
    respond(out, &frame.header, Status::Success, (&flags, &[], &[]), extras.cas);
}

fn store(
    turn: &mut Turn<'_>,
    frame: &Frame<'_>,
    key: &Key<'_>,
    opcode: Opcode,
    quiet: bool,
    out: &mut Vec<u8>,
) {
    let mode = match opcode {
        Opcode::Add if frame.header.cas == 0 => Mode::Add,
        Opcode::Replace => Mode::Replace,
        Opcode::Append => Mode::Append,
        Opcode::Prepend => Mode::Prepend,
        _ => Mode::Set,
    };
    let joins = matches!(mode, Mode::Append | Mode::Prepend);
    let (flags, exptime) = if joins { (0, 0) } else { (u32_at(frame.extras, 0), u32_at(frame.extras, 4)) };
    let wish = Keep {
        mode,
        flags,
        deadline: turn.deadline_unsigned(exptime),
        compare: (frame.header.cas != 0).then_some(frame.header.cas),
        new_cas: 0,
        tell_cas: !quiet,
        vivify: None,
        invalidate: false,
    };
    let data = turn.take_value(frame.value);
    let Some(mut partition) = turn.hold(key) else { return };
    let status = match keep(turn, &mut partition, key, &wish, data) {
        Kept::Stored { cas, .. } => {
            if !quiet {
                ok(out, &frame.header, &[], cas);
            }
            return;
        }
        Kept::NotStored if joins => Status::NotStored,
        Kept::NotStored if mode == Mode::Add => Status::Exists,
        Kept::NotStored | Kept::NotFound => Status::NotFound,
        Kept::Exists => Status::Exists,
        Kept::NoMemory => Status::NoMemory,
        Kept::TooLarge => Status::TooLarge,
    };
    fail(out, &frame.header, status);
}

fn delete(turn: &mut Turn<'_>, frame: &Frame<'_>, key: &Key<'_>, quiet: bool, out: &mut Vec<u8>) {
    let Some(mut partition) = turn.hold(key) else { return };
    turn.watch_fetch(&partition, key);
    let there = partition.peek(DB, key, turn.now).map(|item| item.extras());
    let Some(extras) = there else {
        turn.count(Counter::DeleteMisses);
        return fail(out, &frame.header, Status::NotFound);
    };
    if frame.header.cas != 0 && frame.header.cas != extras.cas {
        return fail(out, &frame.header, Status::Exists);
    }
    turn.count(Counter::DeleteHits);
    turn.detail(key.bytes, Event::Delete);
    turn.watch_delete(&partition, key, "delete");
    item::remove(turn, &mut partition, key);
    if !quiet {
        ok(out, &frame.header, &[], 0);
    }
}

fn arithmetic(
    turn: &mut Turn<'_>,
    frame: &Frame<'_>,
    key: &Key<'_>,
    up: bool,
    quiet: bool,
    out: &mut Vec<u8>,
) {
    let (hits, misses) =
        if up { (Counter::IncrHits, Counter::IncrMisses) } else { (Counter::DecrHits, Counter::DecrMisses) };
    let (delta, initial) = (u64_at(frame.extras, 0), u64_at(frame.extras, 8));
    let exptime = u32_at(frame.extras, 16);
    let Some(mut partition) = turn.hold(key) else { return };
    turn.watch_fetch(&partition, key);
    let there = partition.peek(DB, key, turn.now).map(|item| (item.extras(), number(&item.value())));
    let (result, len, extras) = match there {
        None if exptime == NEVER_CREATE => {
            turn.count(misses);
            return fail(out, &frame.header, Status::NotFound);
        }
        None if turn.memory_full => {
            turn.count(Counter::StoreNoMemory);
            return fail(out, &frame.header, Status::NoMemory);
        }
        None => {
            turn.count(misses);
            turn.count(Counter::TotalItems);
            (initial, 0, Extras { deadline: turn.deadline_unsigned(exptime), ..Extras::default() })
        }
        Some((old, _)) if frame.header.cas != 0 && frame.header.cas != old.cas => {
            return fail(out, &frame.header, Status::Exists);
        }
        Some((_, None)) => return fail(out, &frame.header, Status::NonNumeric),
        Some((old, Some((number, len)))) => {
            turn.count(hits);
            let result = if up { number.wrapping_add(delta) } else { number.saturating_sub(delta) };
            (result, len, old)
        }
    };
    let extras = Extras { cas: turn.cas_for(0, !quiet), ..extras };
    let mut digits = itoa::Buffer::new();
    let text = digits.format(result).as_bytes();
    item::put_number(turn, &mut partition, key, text, len, extras);
    if !quiet {
        ok(out, &frame.header, &result.to_be_bytes(), extras.cas);
    }
}

/// `STAT`: the lines of the text protocol, a frame each, and an empty one behind them.
fn stat(turn: &mut Turn<'_>, frame: &Frame<'_>, out: &mut Vec<u8>) {
    if frame.key.starts_with(b"cachedump") {
        return fail(out, &frame.header, Status::NotFound); // of the text protocol only, as in memcached
    }
    let mut text = Vec::new();
    let end = super::execute::statistics(turn, Words::new(frame.key), &mut text);
    match end {
        b"END\r\n" | b"RESET\r\n" | b"OK\r\n" => {}
        _ => return fail(out, &frame.header, Status::NotFound),
    }
    if frame.key.starts_with(b"detail dump") {
        // The dump of `detail` is one frame, lines and all, as memcached sends it.
        text.extend_from_slice(end);
        respond(out, &frame.header, Status::Success, (&[], b"detailed", &text), 0);
    }
    for line in text.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(pair) = line.strip_prefix(b"STAT ") else { continue };
        let at = pair.iter().position(|&byte| byte == b' ').unwrap_or(pair.len());
        let (name, value) = pair.split_at(at);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        respond(out, &frame.header, Status::Success, (&[], name, value), 0);
    }
    ok(out, &frame.header, &[], 0);
}

const _: () = assert!(HEADER_BYTES == 24);
