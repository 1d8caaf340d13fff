//! Entries: adding, reading in ranges, removing, trimming.

use super::id::{self, INVALID};
use super::{put_array, put_entry, put_id, scratch};
use crate::command::collection::{Answer, integer, is, text};
use crate::command::{Call, CommandError, long};
use crate::notify::Classes;
use larder_store::object::stream::{Id, Stream, Trim};

/// Entries that a trim by whole nodes removes at most, in nodes, unless LIMIT says otherwise.
const TRIM_NODES_DEFAULT: u64 = 100;
/// The same in entries when nodes have no bound.
const TRIM_ENTRIES_DEFAULT: u64 = 10_000;

/// Entries of a range that are answered at once.
const ENTRIES_MIN: i64 = 1024;

/// What XADD and XTRIM were told about trimming.
#[derive(Default)]
struct Options {
    trim: Option<Trim>,
    whole: bool,
    limit: Option<u64>,
    no_create: bool,
    /// Where the options end.
    end: usize,
}

fn options(call: &Call<'_>, adding: bool) -> Result<Options, CommandError> {
    let args = call.args;
    let (mut options, mut at) = (Options::default(), 2);
    while at < args.len() {
        let (word, more) = (args.get(at), args.len() - 1 - at);
        if adding && word == b"*" {
            break;
        } else if (is(word, "MAXLEN") || is(word, "MINID")) && more > 0 {
            if options.trim.is_some() {
                return Err(text(
                    "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
                ));
            }
            let marked = more >= 2 && matches!(args.get(at + 1), b"~" | b"=");
            options.whole = marked && args.get(at + 1) == b"~";
            at += if marked { 2 } else { 1 };
            options.trim = Some(threshold(args.get(at), is(word, "MAXLEN"))?);
        } else if is(word, "LIMIT") && more > 0 {
            at += 1;
            let limit = integer(args.get(at))?;
            options.limit =
                Some(u64::try_from(limit).map_err(|_| text("ERR The LIMIT argument must be >= 0."))?);
        } else if adding && is(word, "NOMKSTREAM") {
            options.no_create = true;
        } else if adding {
            // A bad id is told before options that do not go together.
            wanted(word)?;
            break;
        } else {
            return Err(CommandError::Syntax);
        }
        at += 1;
    }
    if options.limit.is_some_and(|limit| limit > 0) && options.trim.is_none() {
        return Err(text("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy"));
    }
    if !adding && options.trim.is_none() {
        return Err(text("ERR syntax error, XTRIM must be called with a trimming strategy"));
    }
    if options.limit.is_some() && !options.whole {
        return Err(text("ERR syntax error, LIMIT cannot be used without the special ~ option"));
    }
    options.end = at;
    Ok(options)
}

fn threshold(bytes: &[u8], length: bool) -> Result<Trim, CommandError> {
    if !length {
        return Ok(Trim::Lowest(id::strict(bytes, 0)?));
    }
    let most = u64::try_from(integer(bytes)?);
    most.map(Trim::Length).map_err(|_| text("ERR The MAXLEN argument must be >= 0."))
}

impl Options {
    fn apply(&self, stream: &mut Stream, node_entries: usize) -> u64 {
        let Some(trim) = self.trim else { return 0 };
        let default = match node_entries as u64 * TRIM_NODES_DEFAULT {
            0 => TRIM_ENTRIES_DEFAULT,
            entries => entries,
        };
        let limit = if self.whole { self.limit.unwrap_or(default) } else { 0 };
        stream.trim(trim, self.whole, limit)
    }
}

/// The id that XADD was given.
enum Wanted {
    Clock,
    Within(u64),
    Exactly(Id),
}

fn wanted(bytes: &[u8]) -> Result<Wanted, CommandError> {
    if bytes == b"*" {
        return Ok(Wanted::Clock);
    }
    match id::split(bytes) {
        Some((ms, Some(b"*"))) => Ok(Wanted::Within(ms)),
        Some(_) => id::strict(bytes, 0).map(Wanted::Exactly),
        None => Err(text(INVALID)),
    }
}

const TOO_SMALL: &str = "ERR The ID specified in XADD is equal or smaller than the target stream top item";

impl Wanted {
    fn choose(&self, last: Id, now_ms: u64) -> Result<Id, CommandError> {
        let exhausted = text("ERR The stream has exhausted the last possible ID, unable to add more items");
        if last == Id::MAX {
            return Err(exhausted);
        }
        match *self {
            Wanted::Clock if now_ms > last.ms => Ok(Id { ms: now_ms, seq: 0 }),
            Wanted::Clock => last.next().ok_or(exhausted),
            Wanted::Within(ms) if ms > last.ms => Ok(Id { ms, seq: 0 }),
            Wanted::Within(ms) if ms == last.ms && last.seq < u64::MAX => Ok(Id { ms, seq: last.seq + 1 }),
            Wanted::Exactly(id) if id > last => Ok(id),
            _ => Err(text(TOO_SMALL)),
        }
    }
}

pub(super) fn xadd(call: &mut Call<'_>) -> Answer {
    let (args, limits, now_ms) = (call.args, call.node.limits(), call.keys.now_ms());
    let options = options(call, true)?;
    let first = options.end + 1;
    if options.end >= args.len() {
        return Err(CommandError::WrongArity);
    }
    let wanted = wanted(args.get(options.end))?;
    if args.len() - first < 2 || !(args.len() - first).is_multiple_of(2) {
        return Err(CommandError::WrongArity);
    }
    if matches!(wanted, Wanted::Exactly(Id::MIN)) {
        return Err(text("ERR The ID specified in XADD must be greater than 0-0"));
    }
    let last = call.keys.peek_stream(args.get(1))?.map(|stream| stream.last_id);
    if last.is_none() && options.no_create {
        call.out.null();
        return Ok(());
    }
    let id = wanted.choose(last.unwrap_or_default(), now_ms)?;
    let parts: Vec<&[u8]> = (first..args.len()).map(|at| args.get(at)).collect();
    let stream = call.keys.write_stream_or_create(args.get(1))?;
    stream.add(id, &parts, limits.stream_node_max_bytes, limits.stream_node_max_entries);
    let trimmed = options.apply(stream, limits.stream_node_max_entries);
    let len = stream.len();
    call.keys.changed(args.get(1));
    let exact = options.whole.then_some(len);
    propagate(call, exact, Some((options.end, id)));
    call.keys.notify(Classes::STREAM, "xadd", args.get(1));
    if trimmed > 0 {
        call.keys.notify(Classes::STREAM, "xtrim", args.get(1));
    }
    put_id(call.out, id);
    Ok(())
}

/// Logs XADD or XTRIM with the id that was chosen, and with the length that an approximate trim came to.
fn propagate(call: &mut Call<'_>, trimmed_to: Option<usize>, id: Option<(usize, Id)>) {
    if !call.keys.is_logged() {
        return;
    }
    let args = call.args;
    let mut command: Vec<Vec<u8>> = Vec::with_capacity(args.len());
    let options_end = id.map_or(args.len(), |(at, _)| at);
    let mut at = 0;
    while at < args.len() {
        let word = args.get(at);
        match trimmed_to {
            Some(len) if at >= 2 && at < options_end && (is(word, "MAXLEN") || is(word, "MINID")) => {
                command.extend([b"MAXLEN".to_vec(), b"=".to_vec(), len.to_string().into_bytes()]);
                at += 3; // the option, its mark and its threshold
                continue;
            }
            Some(_) if at >= 2 && at < options_end && is(word, "LIMIT") => {
                at += 2;
                continue;
            }
            _ => {}
        }
        command.push(match id {
            Some((place, id)) if place == at => id.to_string().into_bytes(),
            _ => word.to_vec(),
        });
        at += 1;
    }
    let command: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
    call.keys.propagate(&command);
}

pub(super) fn xlen(call: &mut Call<'_>) -> Answer {
    let len = call.keys.read_stream(call.args.get(1))?.map_or(0, Stream::len);
    call.out.integer(len as i64);
    Ok(())
}

pub(super) fn xrange(call: &mut Call<'_>) -> Answer {
    let (low, high) = (id::low(call.args.get(2))?, id::high(call.args.get(3))?);
    range(call, low, high, false)
}

pub(super) fn xrevrange(call: &mut Call<'_>) -> Answer {
    let (high, low) = (id::high(call.args.get(2))?, id::low(call.args.get(3))?);
    range(call, low, high, true)
}

fn range(call: &mut Call<'_>, low: Id, high: Id, back: bool) -> Answer {
    let args = call.args;
    let mut most = i64::MAX;
    for at in (4..args.len()).step_by(2) {
        if !is(args.get(at), "COUNT") || at + 1 >= args.len() {
            return Err(CommandError::Syntax);
        }
        most = integer(args.get(at + 1))?.max(0);
    }
    let (mut items, mut count) = (scratch(call), 0_i64);
    let Some(stream) = call.keys.read_stream(args.get(1))? else {
        call.out.array(0);
        return Ok(());
    };
    if most == 0 {
        call.out.null_array();
        return Ok(());
    }
    // How many there are is not known before: what comes behind so many is left to slices.
    let may_be_long =
        most > ENTRIES_MIN && stream.len() as i64 > ENTRIES_MIN && long::may_begin(call.session);
    let most_now = if may_be_long { ENTRIES_MIN } else { most };
    let mut last = None;
    let mut visit = |entry: larder_store::object::stream::Entry<'_>| {
        put_entry(&mut items, &entry);
        last = Some(entry.id);
        count += 1;
        count < most_now
    };
    match back {
        false => stream.range(low, high, &mut visit),
        true => stream.range_back(low, high, &mut visit),
    }
    let rest = if back { last.and_then(Id::previous) } else { last.and_then(Id::next) };
    if let Some(rest) = rest.filter(|_| may_be_long && count == most_now) {
        let span = if back { (low, rest) } else { (rest, high) };
        let most = usize::try_from(most - count).unwrap_or(usize::MAX);
        let entries = long::Entries::new(stream.clone(), span, back, most, (items, count as usize));
        return long::begin(call, entries);
    }
    put_array(call.out, count as usize, &items);
    Ok(())
}

pub(super) fn xdel(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    if call.keys.peek_stream(args.get(1))?.is_none() {
        call.out.integer(0);
        return Ok(());
    }
    let ids = (2..args.len()).map(|at| id::strict(args.get(at), 0)).collect::<Result<Vec<_>, _>>()?;
    let stream = call.keys.write_stream(args.get(1))?;
    let removed = stream.map_or(0, |stream| ids.into_iter().filter(|&id| stream.remove(id)).count());
    if removed > 0 {
        call.keys.changed(args.get(1));
        call.keys.notify(Classes::STREAM, "xdel", args.get(1));
    }
    call.out.integer(removed as i64);
    Ok(())
}

pub(super) fn xtrim(call: &mut Call<'_>) -> Answer {
    let (args, limits) = (call.args, call.node.limits());
    let options = options(call, false)?;
    let stream = call.keys.write_stream(args.get(1))?;
    let (removed, len) = stream.map_or((0, 0), |stream| {
        let removed = options.apply(stream, limits.stream_node_max_entries);
        (removed, stream.len())
    });
    if removed > 0 {
        call.keys.changed(args.get(1));
        propagate(call, options.whole.then_some(len), None);
        call.keys.notify(Classes::STREAM, "xtrim", args.get(1));
    }
    call.out.integer(removed as i64);
    Ok(())
}

pub(super) fn xsetid(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let last = id::strict(args.get(2), 0)?;
    let (mut added, mut deleted) = (None, None);
    for at in (3..args.len()).step_by(2) {
        let value = if at + 1 < args.len() { args.get(at + 1) } else { return Err(CommandError::Syntax) };
        if is(args.get(at), "ENTRIESADDED") {
            let count = integer(value)?;
            added = Some(u64::try_from(count).map_err(|_| text("ERR entries_added must be positive"))?);
        } else if is(args.get(at), "MAXDELETEDID") {
            let id = id::strict(value, 0)?;
            if last < id {
                return Err(text(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
            deleted = Some(id);
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let stream = call.keys.write_stream(args.get(1))?.ok_or(CommandError::NoSuchKey)?;
    check_last(stream, last, added)?;
    stream.last_id = last;
    stream.entries_added = added.unwrap_or(stream.entries_added);
    if let Some(id) = deleted.filter(|&id| id != Id::MIN) {
        stream.max_deleted_id = id;
    }
    call.keys.changed(args.get(1));
    call.keys.notify(Classes::STREAM, "xsetid", args.get(1));
    call.out.ok();
    Ok(())
}

fn check_last(stream: &Stream, last: Id, added: Option<u64>) -> Answer {
    let mut top = Id::MIN;
    stream.range_back(Id::MIN, Id::MAX, &mut |entry| {
        top = entry.id;
        false
    });
    if !stream.is_empty() && last < top {
        return Err(text("ERR The ID specified in XSETID is smaller than the target stream top item"));
    }
    if !stream.is_empty() && added.is_some_and(|added| added < stream.len() as u64) {
        return Err(text(
            "ERR The entries_added specified in XSETID is smaller than the target stream length",
        ));
    }
    if last < stream.max_deleted_id {
        return Err(text("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id"));
    }
    Ok(())
}
