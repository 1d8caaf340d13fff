//! The meta commands: what their flags ask for and what is answered, by the rules of memcached's protocol.txt ("Meta
//! Commands") and as memcached 1.6.45 does it.
//!
//! One client is told to fetch a value anew (`W`) when it is out of date, makes it on a miss (`N`), or its time is
//! nearly over (`R`); the others see that somebody does (`Z`), and that the value is out of date (`X`).

use super::counters::Counter;
use super::detail::Event;
use super::item::{self, number, put, set_extras, string};
use super::keep::{Keep, Kept, Mode, keep};
use super::watch::Stored;
use super::{DB, Turn};
use crate::prefixes::Reported;
use larder_protocol::memcache::meta::{self, Meta, Verb};
use larder_protocol::memcache::request::{KEY_BYTES_MAX, Verb as Store, item_bytes};
use larder_store::{Extras, Key, State, Value};
use std::io::Write;

/// Carries out a meta command.
pub(super) fn execute(turn: &mut Turn<'_>, meta: &Meta<'_>, out: &mut Vec<u8>) {
    let mut buffer = [0; KEY_BYTES_MAX];
    let key = turn.key(meta.key(&mut buffer));
    turn.count(Counter::CmdMeta);
    match meta.verb {
        Verb::Get => get(turn, meta, &key, out),
        Verb::Set if meta.oversized => {
            let verb = if meta.mode == meta::Mode::Usual { Store::Set } else { Store::Add };
            item::oversized(turn, verb, key.bytes);
        }
        Verb::Set => set(turn, meta, &key, out),
        Verb::Delete => delete(turn, meta, &key, out),
        Verb::Arithmetic => arithmetic(turn, meta, &key, out),
    }
}

/// What the flags of an answer show.
#[derive(Default)]
struct Shown {
    extras: Extras,
    /// The deadline before `T` changed it: `t` shows it as it is where it stands among the flags.
    deadline_before: Option<u64>,
    cas: u64,
    size: usize,
    fetched: bool,
    idle_seconds: u32,
    won: bool,
    waits: bool,
}

fn seconds_left(turn: &Turn<'_>, deadline: Option<u64>) -> Option<u64> {
    deadline.map(|at| at.saturating_sub(turn.now.ms).div_ceil(1000))
}

/// Appends the flags that the request wants back, in its order: those among `letters`.
fn flags(turn: &Turn<'_>, meta: &Meta<'_>, letters: &[u8], shown: &Shown, out: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    let mut deadline = shown.deadline_before;
    for word in meta.flags.clone() {
        let letter = word[0];
        if letter == b'T' || letter == b'N' && shown.won {
            deadline = shown.extras.deadline;
        }
        if !letters.contains(&letter) {
            continue;
        }
        if letter == b'O' {
            out.push(b' ');
            out.extend_from_slice(word);
            continue;
        }
        out.extend_from_slice(&[b' ', letter]);
        let number = match letter {
            b'k' => {
                out.extend_from_slice(meta.sent_key);
                if meta.has(b'b') {
                    out.extend_from_slice(b" b");
                }
                continue;
            }
            b't' => match seconds_left(turn, deadline) {
                Some(seconds) => seconds,
                None => {
                    out.extend_from_slice(b"-1");
                    continue;
                }
            },
            b'c' => shown.cas,
            b'f' => u64::from(shown.extras.flags),
            b'h' => u64::from(shown.fetched),
            b'l' => u64::from(shown.idle_seconds),
            _ => shown.size as u64,
        };
        out.extend_from_slice(digits.format(number).as_bytes());
    }
}

fn tokens(shown: &Shown, out: &mut Vec<u8>) {
    let text: &[u8] = match (shown.won, shown.waits, shown.extras.state.stale) {
        (true, _, true) => b" X W",
        (true, _, false) => b" W",
        (_, true, true) => b" Z X",
        (_, true, false) => b" Z",
        (_, _, true) => b" X",
        _ => b"",
    };
    out.extend_from_slice(text);
}

/// An answer without a value: the code, key and opaque.
fn plain(turn: &Turn<'_>, meta: &Meta<'_>, code: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(code);
    flags(turn, meta, b"kO", &Shown::default(), out);
    out.extend_from_slice(b"\r\n");
}

fn answer(
    turn: &Turn<'_>,
    meta: &Meta<'_>,
    data: Option<&[u8]>,
    letters: &[u8],
    shown: &Shown,
    out: &mut Vec<u8>,
) {
    match data {
        Some(data) => {
            out.reserve(data.len() + 64);
            out.extend_from_slice(b"VA ");
            out.extend_from_slice(itoa::Buffer::new().format(data.len()).as_bytes());
        }
        None => out.extend_from_slice(b"HD"),
    }
    flags(turn, meta, letters, shown, out);
    tokens(shown, out);
    out.extend_from_slice(b"\r\n");
    if let Some(data) = data {
        out.extend_from_slice(data);
        out.extend_from_slice(b"\r\n");
    }
}

const SHOWN_BY_GET: &[u8] = b"tckfhlsO";

fn get(turn: &mut Turn<'_>, meta: &Meta<'_>, key: &Key<'_>, out: &mut Vec<u8>) {
    turn.count(Counter::CmdGet);
    let touches = meta.has(b'T');
    if touches {
        turn.count(Counter::CmdTouch);
    }
    let partition = match touches || meta.has(b'N') {
        true => turn.hold(key),
        false => Some(turn.store.lock(turn.store.partition_of(key.slot))),
    };
    let Some(mut partition) = partition else { return };
    turn.watch_fetch(&partition, key);
    let mut shown = Shown::default();
    if (meta.has(b'h') || meta.has(b'l'))
        && let Some(item) = partition.peek(DB, key, turn.now)
    {
        shown.fetched = turn.access.is_fetched(item.access());
        shown.idle_seconds = turn.access.idle_seconds(item.access(), turn.now.ms);
    }
    let access = if meta.has(b'u') { turn.access.silent() } else { turn.access };
    let mut digits = itoa::Buffer::new();
    turn.note_read(&partition, key);
    let expired = partition.counters().expired;
    let item = partition.read(DB, key, turn.now, access);
    let found = item.map(|item| (item.extras(), item.value()));
    let Some((old, data)) =
        found.as_ref().and_then(|(extras, value)| Some((*extras, string(value, &mut digits)?)))
    else {
        // A key of another type is not there, and nothing is put in its place.
        let vacant = found.is_none();
        turn.count_miss(&partition, expired);
        turn.detail(key.bytes, Event::Get { hit: false });
        if touches {
            turn.count(Counter::TouchMisses);
        }
        turn.log_gone(&mut partition);
        if meta.has(b'N') && vacant {
            return vivify(turn, &mut partition, meta, key, out);
        }
        if !meta.is_quiet() {
            plain(turn, meta, b"EN", out);
        }
        return;
    };
    turn.count(Counter::GetHits);
    turn.detail(key.bytes, Event::Get { hit: true });
    if old.state.stale {
        let prefixes = &turn.shared.prefixes;
        prefixes.report(prefixes.prefix(key.bytes), Reported::Stale, 1);
    }
    let mut extras = old;
    if touches {
        turn.count(Counter::TouchHits);
        extras.deadline = turn.deadline(meta.exptime);
    }
    if meta.has(b'c') && extras.cas == 0 {
        extras.cas = turn.shared.next_cas();
    }
    let nearly_over = || {
        let left = seconds_left(turn, old.deadline).map(|left| left as i64);
        meta.has(b'R') && left.is_some_and(|left| left < i64::from(meta.recache))
    };
    if extras.state.won {
        shown.waits = true;
    } else if extras.state.stale || nearly_over() {
        shown.won = true;
        extras.state.won = true;
    }
    (shown.extras, shown.cas, shown.size) = (extras, extras.cas, data.len());
    shown.deadline_before = old.deadline;
    let same = meta.has(b'C') && extras.cas == meta.cas && meta.cas != 0;
    answer(turn, meta, (meta.has(b'v') && !same).then_some(data), SHOWN_BY_GET, &shown, out);
    if extras != old {
        set_extras(turn, &mut partition, key, extras);
    }
}

/// Makes an empty item on a miss, for the client to fill.
fn vivify(
    turn: &mut Turn<'_>,
    partition: &mut larder_store::Partition,
    meta: &Meta<'_>,
    key: &Key<'_>,
    out: &mut Vec<u8>,
) {
    if turn.memory_full {
        turn.count(Counter::StoreNoMemory);
        return out.extend_from_slice(b"SERVER_ERROR out of memory storing object\r\n");
    }
    // The later of the two counts.
    let last = meta.flags.clone().map(|word| word[0]).filter(|letter| matches!(letter, b'T' | b'N')).last();
    let exptime = if last == Some(b'T') { meta.exptime } else { meta.vivify };
    let extras = Extras {
        deadline: turn.deadline(exptime),
        cas: turn.cas_for(meta.new_cas, meta.has(b'c')),
        state: State { stale: false, won: true },
        ..Extras::default()
    };
    put(turn, partition, key, Value::String(b""), extras);
    if !meta.has(b'u') {
        let _ = partition.read(DB, key, turn.now, turn.access); // the client has got it
    }
    turn.count(Counter::TotalItems);
    let shown = Shown { extras, cas: extras.cas, won: true, ..Shown::default() };
    answer(turn, meta, meta.has(b'v').then_some(&b""[..]), SHOWN_BY_GET, &shown, out);
}

fn set(turn: &mut Turn<'_>, meta: &Meta<'_>, key: &Key<'_>, out: &mut Vec<u8>) {
    let mode = match meta.mode {
        meta::Mode::Add => Mode::Add,
        meta::Mode::Append => Mode::Append,
        meta::Mode::Prepend => Mode::Prepend,
        meta::Mode::Replace => Mode::Replace,
        meta::Mode::Usual | meta::Mode::Decrement => Mode::Set,
    };
    let joins = matches!(mode, Mode::Append | Mode::Prepend);
    let wish = Keep {
        mode,
        flags: meta.client_flags,
        deadline: turn.deadline(meta.exptime),
        // What is added to a value compares nothing with 0.
        compare: (meta.has(b'C') && (meta.cas != 0 || !joins)).then_some(meta.cas),
        new_cas: meta.new_cas,
        tell_cas: meta.has(b'c'),
        vivify: meta.has(b'N').then(|| turn.deadline(meta.vivify)),
        invalidate: meta.has(b'I'),
    };
    let data = turn.take_value(meta.data);
    let sent = data.len();
    let Some(mut partition) = turn.hold(key) else { return };
    let kept = keep(turn, &mut partition, key, &wish, data);
    let (code, cas, size): (&[u8], u64, usize) = match kept {
        Kept::Stored { .. } if meta.is_quiet() => return,
        Kept::Stored { cas, size } => (b"HD", cas, size),
        Kept::NotStored => (b"NS", 0, sent),
        Kept::Exists => (b"EX", 0, sent),
        Kept::NotFound => (b"NF", 0, sent),
        Kept::NoMemory => return out.extend_from_slice(b"SERVER_ERROR out of memory storing object\r\n"),
        Kept::TooLarge => return out.extend_from_slice(b"SERVER_ERROR object too large for cache\r\n"),
    };
    out.extend_from_slice(code);
    flags(turn, meta, b"ckOs", &Shown { cas, size, ..Shown::default() }, out);
    out.extend_from_slice(b"\r\n");
}

fn delete(turn: &mut Turn<'_>, meta: &Meta<'_>, key: &Key<'_>, out: &mut Vec<u8>) {
    let Some(mut partition) = turn.hold(key) else { return };
    turn.watch_fetch(&partition, key);
    let Some(item) = partition.peek(DB, key, turn.now) else {
        turn.count(Counter::DeleteMisses);
        return plain(turn, meta, b"NF", out);
    };
    let old = item.extras();
    if meta.has(b'C') && !turn.is_same_cas(&old, meta.cas) {
        return plain(turn, meta, b"EX", out);
    }
    turn.count(Counter::DeleteHits);
    turn.detail(key.bytes, Event::Delete);
    let is_string = string(&item.value(), &mut itoa::Buffer::new()).is_some();
    if is_string && (meta.has(b'I') || meta.has(b'x')) {
        let mut extras = old;
        if meta.has(b'x') {
            (extras.flags, extras.deadline, extras.state) = (0, None, State::default());
        }
        if meta.has(b'I') {
            extras.state = State { stale: true, won: false };
            extras.cas = meta.new_cas;
        } else if meta.new_cas != 0 {
            extras.cas = meta.new_cas;
        }
        if meta.has(b'T') {
            extras.deadline = turn.deadline(meta.exptime);
        }
        if meta.has(b'x') {
            put(turn, &mut partition, key, Value::String(b""), extras);
            turn.watch_store(
                &partition,
                key,
                &Stored { status: "stored", command: "set", deadline: None, bytes: 0 },
            );
            turn.watch_delete(&partition, key, "md");
        } else {
            set_extras(turn, &mut partition, key, extras);
        }
    } else {
        turn.watch_delete(&partition, key, "md");
        item::remove(turn, &mut partition, key);
    }
    if !meta.is_quiet() {
        plain(turn, meta, b"HD", out);
    }
}

fn arithmetic(turn: &mut Turn<'_>, meta: &Meta<'_>, key: &Key<'_>, out: &mut Vec<u8>) {
    let up = meta.mode != meta::Mode::Decrement;
    let (hits, misses) =
        if up { (Counter::IncrHits, Counter::IncrMisses) } else { (Counter::DecrHits, Counter::DecrMisses) };
    let Some(mut partition) = turn.hold(key) else { return };
    turn.watch_fetch(&partition, key);
    let there = partition.peek(DB, key, turn.now).map(|item| (item.extras(), number(&item.value())));
    let told = meta.has(b'c');
    let deadline_before = there.and_then(|(old, _)| old.deadline);
    let (result, len, extras) = match there {
        None if meta.has(b'N') => {
            turn.count(misses);
            if turn.memory_full {
                turn.count(Counter::StoreNoMemory);
                return out.extend_from_slice(b"SERVER_ERROR Out of memory in incr\r\n");
            }
            turn.count(Counter::TotalItems);
            let cas = turn.cas_for(meta.new_cas, told);
            let extras = Extras { deadline: turn.deadline(meta.vivify), cas, ..Extras::default() };
            (meta.initial, 0, extras)
        }
        None => {
            turn.count(misses);
            return plain(turn, meta, b"NF", out);
        }
        Some((_, None)) => return out.extend_from_slice(item::NOT_A_NUMBER),
        // Here 0 compares nothing.
        Some((old, _)) if meta.cas != 0 && meta.cas != old.cas => return plain(turn, meta, b"EX", out),
        Some((old, Some((number, len)))) => {
            turn.count(hits);
            let result = if up { number.wrapping_add(meta.delta) } else { number.saturating_sub(meta.delta) };
            let cas = turn.cas_for(meta.new_cas, told);
            let deadline = if meta.has(b'T') { turn.deadline(meta.exptime) } else { old.deadline };
            (result, len, Extras { cas, deadline, ..old })
        }
    };
    let mut digits = itoa::Buffer::new();
    let text = digits.format(result).as_bytes();
    if there.is_none() {
        turn.watch_fetch(&partition, key); // whoever adds looks first
    }
    item::put_number(turn, &mut partition, key, text, len, extras);
    if there.is_none() {
        let stored =
            Stored { status: "stored", command: "add", deadline: extras.deadline, bytes: text.len() };
        turn.watch_store(&partition, key, &stored);
    }
    if !meta.is_quiet() {
        let state = State::default();
        let deadline_before = if there.is_some() { deadline_before } else { extras.deadline };
        let extras = Extras { state, ..extras };
        let shown = Shown { extras, deadline_before, cas: extras.cas, ..Shown::default() };
        answer(turn, meta, meta.has(b'v').then_some(text), b"tckO", &shown, out);
    }
}

/// `me`: what is known of an item.
pub(super) fn debug(turn: &mut Turn<'_>, sent: &[u8], base64: bool, out: &mut Vec<u8>) {
    let mut buffer = [0; KEY_BYTES_MAX];
    let bytes = if base64 { meta::decode(sent, &mut buffer).unwrap_or_default() } else { sent };
    let key = turn.key(bytes);
    let partition = turn.store.lock(turn.store.partition_of(key.slot));
    turn.watch_fetch(&partition, &key);
    let mut digits = itoa::Buffer::new();
    let item = partition.peek(DB, &key, turn.now);
    let value = item.as_ref().map(larder_store::ItemRef::value);
    let (Some(item), Some(data)) = (item, value.as_ref().and_then(|value| string(value, &mut digits))) else {
        return out.extend_from_slice(b"EN\r\n");
    };
    let extras = item.extras();
    let expires = seconds_left(turn, extras.deadline).map_or(-1, |left| left as i64);
    let idle = turn.access.idle_seconds(item.access(), turn.now.ms);
    let fetched = if turn.access.is_fetched(item.access()) { "yes" } else { "no" };
    let size = item_bytes(bytes.len(), data.len(), extras.flags);
    out.extend_from_slice(b"ME ");
    out.extend_from_slice(sent);
    // Writing to a Vec cannot fail.
    let _ = write!(out, " exp={expires} la={idle} cas={} fetch={fetched} cls=1 size={size}\r\n", extras.cas);
}
