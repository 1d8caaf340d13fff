//! What was given out and not acknowledged: looking at it (XPENDING) and handing it to others (XCLAIM, XAUTOCLAIM).

use super::read::propagate_claims;
use super::{id, put_array, put_entry, put_id, scratch};
use crate::command::collection::{Answer, integer, is, text};
use crate::command::{Call, CommandError};
use crate::notify::Classes;
use larder_protocol::number::parse_i64;
use larder_protocol::resp::reply::Reply;
use larder_store::object::stream::{Group, Id, Pending, Stream};
use std::collections::BTreeMap;

/// Pending entries that XAUTOCLAIM looks at, for each that it may claim.
const LOOKS_PER_CLAIM: usize = 10;
/// Entries that XAUTOCLAIM claims at most unless told.
const AUTOCLAIM_COUNT_DEFAULT: usize = 100;

fn no_group(key: &[u8], group: &[u8]) -> CommandError {
    let (key, group) = (String::from_utf8_lossy(key), String::from_utf8_lossy(group));
    CommandError::new(format!("NOGROUP No such key '{key}' or consumer group '{group}'"))
}

/// The group of argument 2 of the stream of argument 1, which must exist.
fn check_group(call: &mut Call<'_>) -> Answer {
    let (key, group) = (call.args.get(1), call.args.get(2));
    let found = call.keys.read_stream(key)?.is_some_and(|stream| stream.groups.contains_key(group));
    if found { Ok(()) } else { Err(no_group(key, group)) }
}

fn group_of<'a>(call: &'a mut Call<'_>) -> Result<&'a mut Group, CommandError> {
    let (key, name) = (call.args.get(1), call.args.get(2));
    let group = call.keys.write_stream(key)?.and_then(|stream| stream.groups.get_mut(name));
    group.ok_or_else(|| no_group(key, name))
}

/// Which pending entries XPENDING shows.
struct Wanted<'a> {
    idle_ms: u64,
    low: Id,
    high: Id,
    count: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> Wanted<'a> {
    fn parse(call: &Call<'a>) -> Result<Option<Wanted<'a>>, CommandError> {
        let args = call.args;
        if args.len() == 3 {
            return Ok(None);
        }
        if args.len() < 6 || args.len() > 9 {
            return Err(CommandError::Syntax);
        }
        let (mut idle_ms, mut at) = (0, 3);
        if is(args.get(3), "IDLE") {
            idle_ms = u64::try_from(integer(args.get(4))?).unwrap_or(0);
            if args.len() < 8 {
                return Err(CommandError::Syntax);
            }
            at = 5;
        }
        let count = usize::try_from(integer(args.get(at + 2))?).unwrap_or(0);
        let (low, high) = (id::low(args.get(at))?, id::high(args.get(at + 1))?);
        let consumer = (at + 3 < args.len()).then(|| args.get(at + 3));
        Ok(Some(Wanted { idle_ms, low, high, count, consumer }))
    }

    fn takes(&self, pending: &Pending, now_ms: u64) -> bool {
        let whose = self.consumer.is_none_or(|consumer| *consumer == *pending.consumer);
        whose && now_ms.saturating_sub(pending.delivered_ms) >= self.idle_ms
    }
}

pub(super) fn xpending(call: &mut Call<'_>) -> Answer {
    let wanted = Wanted::parse(call)?;
    check_group(call)?;
    let now_ms = call.keys.now_ms();
    let (mut items, mut count) = (scratch(call), 0);
    let group = group_of(call)?;
    let Some(wanted) = wanted else {
        summarize(&mut items, group);
        call.out.raw(items.as_bytes());
        return Ok(());
    };
    if wanted.low <= wanted.high {
        let range = group.pending.range(wanted.low..=wanted.high);
        for (id, pending) in range.filter(|(_, pending)| wanted.takes(pending, now_ms)).take(wanted.count) {
            items.array(4);
            put_id(&mut items, id);
            items.bulk(&pending.consumer);
            items.integer(now_ms.saturating_sub(pending.delivered_ms) as i64);
            items.integer(pending.count as i64);
            count += 1;
        }
    }
    put_array(call.out, count, &items);
    Ok(())
}

fn summarize(out: &mut Reply, group: &Group) {
    out.array(4);
    out.integer(group.pending.len() as i64);
    let Some((first, last)) = group.pending.ends() else {
        out.null();
        out.null();
        return out.null_array();
    };
    put_id(out, first);
    put_id(out, last);
    let busy = || group.consumers.values().filter(|consumer| !consumer.pending.is_empty());
    out.array(busy().count());
    for consumer in busy() {
        out.array(2);
        out.bulk(&consumer.name);
        out.bulk_integer(consumer.pending.len() as i64);
    }
}

/// How entries are claimed.
struct Claim {
    min_idle_ms: u64,
    delivered_ms: u64,
    retries: Option<u64>,
    force: bool,
    only_ids: bool,
    last_id: Option<Id>,
}

fn min_idle(bytes: &[u8], command: &str) -> Result<u64, CommandError> {
    let ms = parse_i64(bytes);
    let ms =
        ms.ok_or_else(|| CommandError::new(format!("ERR Invalid min-idle-time argument for {command}")))?;
    Ok(u64::try_from(ms).unwrap_or(0))
}

fn option(bytes: &[u8], name: &str) -> Result<i64, CommandError> {
    let value = parse_i64(bytes);
    value.ok_or_else(|| CommandError::new(format!("ERR Invalid {name} option argument for XCLAIM")))
}

impl Claim {
    /// The ids and what stands behind them.
    fn parse(call: &Call<'_>) -> Result<(Claim, Vec<Id>), CommandError> {
        let (args, now_ms) = (call.args, call.keys.now_ms());
        let ids: Vec<Id> = args.from(5).iter().map_while(|word| id::strict(word, 0).ok()).collect();
        let (mut at, mut delivered_ms) = (5 + ids.len(), None);
        let min_idle_ms = min_idle(args.get(4), "XCLAIM")?;
        let mut claim = Claim {
            min_idle_ms,
            delivered_ms: now_ms,
            retries: None,
            force: false,
            only_ids: false,
            last_id: None,
        };
        while at < args.len() {
            let (word, more) = (args.get(at), at + 1 < args.len());
            match word {
                word if is(word, "FORCE") => claim.force = true,
                word if is(word, "JUSTID") => claim.only_ids = true,
                word if is(word, "IDLE") && more => {
                    at += 1;
                    delivered_ms = Some((now_ms as i64).saturating_sub(option(args.get(at), "IDLE")?));
                }
                word if is(word, "TIME") && more => {
                    at += 1;
                    delivered_ms = Some(option(args.get(at), "TIME")?);
                }
                word if is(word, "RETRYCOUNT") && more => {
                    at += 1;
                    claim.retries = u64::try_from(option(args.get(at), "RETRYCOUNT")?).ok();
                }
                word if is(word, "LASTID") && more => {
                    at += 1;
                    claim.last_id = Some(id::strict(args.get(at), 0)?);
                }
                word => {
                    let word = String::from_utf8_lossy(word);
                    return Err(CommandError::new(format!("ERR Unrecognized XCLAIM option '{word}'")));
                }
            }
            at += 1;
        }
        // A time to come would be no time at all.
        let delivered_ms = delivered_ms.and_then(|ms| u64::try_from(ms).ok()).filter(|ms| *ms <= now_ms);
        claim.delivered_ms = delivered_ms.unwrap_or(now_ms);
        Ok((claim, ids))
    }

    fn takes(&self, pending: &Pending, now_ms: u64) -> bool {
        self.min_idle_ms == 0 || now_ms.saturating_sub(pending.delivered_ms) >= self.min_idle_ms
    }

    /// How often an entry has been given out once it is claimed.
    fn count(&self, before: u64) -> u64 {
        self.retries.unwrap_or(before + u64::from(!self.only_ids))
    }
}

/// What becomes of pending entries, found out before anything is changed.
#[derive(Default)]
struct Verdicts {
    /// To be given to the claimer, with how often they have been given out then.
    claimed: Vec<(Id, u64)>,
    /// No longer in the stream.
    gone: Vec<Id>,
}

/// Makes the consumer if it is not there, and notes that it asked.
fn note_consumer(call: &mut Call<'_>, name: &[u8]) -> Answer {
    let now_ms = call.keys.now_ms();
    let group = group_of(call)?;
    let made = group.add_consumer(name, now_ms);
    if let Some(consumer) = group.consumers.get_mut(name) {
        consumer.seen_ms = now_ms;
    }
    if made {
        call.keys.count_changes(1);
        call.propagate(&[b"XGROUP", b"CREATECONSUMER", call.args.get(1), call.args.get(2), name]);
        call.keys.notify(Classes::STREAM, "xgroup-createconsumer", call.args.get(1));
    }
    Ok(())
}

/// Gives entries to a consumer, and forgets those that are gone.
fn settle(call: &mut Call<'_>, name: &[u8], claim: &Claim, verdicts: &Verdicts) -> Answer {
    let now_ms = call.keys.now_ms();
    let group = group_of(call)?;
    for id in &verdicts.gone {
        group.acknowledge(*id);
    }
    for (id, count) in &verdicts.claimed {
        group.assign(*id, name, claim.delivered_ms, *count);
    }
    if let Some(consumer) = group.consumers.get_mut(name).filter(|_| !verdicts.claimed.is_empty()) {
        consumer.active_ms = Some(now_ms);
    }
    let last_id = group.last_id;
    if !verdicts.claimed.is_empty() || !verdicts.gone.is_empty() {
        call.keys.count_changes(1);
        propagate(call, name, claim, verdicts, last_id);
    }
    Ok(())
}

/// Logs what became of pending entries.
fn propagate(call: &mut Call<'_>, name: &[u8], claim: &Claim, verdicts: &Verdicts, last_id: Id) {
    if !call.keys.is_logged() {
        return;
    }
    let (key, group) = (call.args.get(1), call.args.get(2));
    let claims = verdicts.claimed.iter().copied();
    propagate_claims(&mut call.keys, (key, group, name), claims, claim.delivered_ms, last_id);
    if !verdicts.gone.is_empty() {
        let gone: Vec<String> = verdicts.gone.iter().map(Id::to_string).collect();
        let head = [&b"XACK"[..], key, group].into_iter();
        let command: Vec<&[u8]> = head.chain(gone.iter().map(String::as_bytes)).collect();
        call.keys.propagate(&command);
    }
}

/// Writes the claimed entries, or only their ids.
fn show(call: &mut Call<'_>, claimed: &[(Id, u64)], only_ids: bool) -> Answer {
    let mut items = scratch(call);
    let stream = call.keys.peek_stream(call.args.get(1))?;
    for (id, _) in claimed {
        match stream {
            Some(stream) if !only_ids => stream.range(*id, *id, &mut |entry| {
                put_entry(&mut items, &entry);
                false
            }),
            _ => put_id(&mut items, *id),
        }
    }
    put_array(call.out, claimed.len(), &items);
    Ok(())
}

pub(super) fn xclaim(call: &mut Call<'_>) -> Answer {
    check_group(call)?;
    let (claim, ids) = Claim::parse(call)?;
    let (key, name, now_ms) = (call.args.get(1), call.args.get(3), call.keys.now_ms());
    note_consumer(call, name)?;
    let group = group_of(call)?;
    if let Some(last_id) = claim.last_id.filter(|last_id| *last_id > group.last_id) {
        group.last_id = last_id;
        call.keys.count_changes(1);
        if call.keys.is_logged() {
            let (key, group) = (call.args.get(1), call.args.get(2));
            call.propagate(&[b"XGROUP", b"SETID", key, group, last_id.to_string().as_bytes()]);
        }
    }
    let mut verdicts = Verdicts::default();
    if let Some(stream) = call.keys.peek_stream(key)?
        && let Some(group) = stream.groups.get(call.args.get(2))
    {
        // One that is named twice has been given out by then.
        let mut again = BTreeMap::new();
        for id in ids {
            let before = again.get(&id).copied().map(|count| (count, claim.delivered_ms));
            let before = before.or_else(|| group.pending.get(id).map(|p| (p.count, p.delivered_ms)));
            if !stream.contains(id) {
                verdicts.gone.extend(before.map(|_| id));
                continue;
            }
            let count = match before {
                None if claim.force => claim.count(1),
                Some((count, delivered_ms)) if now_ms.saturating_sub(delivered_ms) >= claim.min_idle_ms => {
                    claim.count(count)
                }
                _ => continue,
            };
            again.insert(id, count);
            verdicts.claimed.push((id, count));
        }
    }
    settle(call, name, &claim, &verdicts)?;
    show(call, &verdicts.claimed, claim.only_ids)
}

pub(super) fn xautoclaim(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    let min_idle_ms = min_idle(args.get(4), "XAUTOCLAIM")?;
    let start = id::low(args.get(5))?;
    let (mut count, mut only_ids, mut at) = (AUTOCLAIM_COUNT_DEFAULT, false, 6);
    while at < args.len() {
        if is(args.get(at), "COUNT") && at + 1 < args.len() {
            at += 1;
            let most = parse_i64(args.get(at)).filter(|count| (1..=i64::MAX / 16).contains(count));
            count = usize::try_from(most.ok_or(text("ERR COUNT must be > 0"))?).unwrap_or(usize::MAX);
        } else if is(args.get(at), "JUSTID") {
            only_ids = true;
        } else {
            return Err(CommandError::Syntax);
        }
        at += 1;
    }
    check_group(call)?;
    let (key, name, now_ms) = (args.get(1), args.get(3), call.keys.now_ms());
    note_consumer(call, name)?;
    let claim =
        Claim { min_idle_ms, delivered_ms: now_ms, retries: None, force: false, only_ids, last_id: None };
    let (mut verdicts, mut next) = (Verdicts::default(), None);
    if let Some(stream) = call.keys.peek_stream(key)?
        && let Some(group) = stream.groups.get(args.get(2))
    {
        next = judge(stream, group, &claim, start, count, &mut verdicts, now_ms);
    }
    settle(call, name, &claim, &verdicts)?;
    call.out.array(3);
    put_id(call.out, next.unwrap_or(Id::MIN));
    show(call, &verdicts.claimed, only_ids)?;
    call.out.array(verdicts.gone.len());
    verdicts.gone.iter().for_each(|id| put_id(call.out, *id));
    Ok(())
}

/// Walks over what is pending from an id on; says where to go on.
fn judge(
    stream: &Stream,
    group: &Group,
    claim: &Claim,
    start: Id,
    count: usize,
    verdicts: &mut Verdicts,
    now_ms: u64,
) -> Option<Id> {
    let mut looks = count.saturating_mul(LOOKS_PER_CLAIM);
    for (id, pending) in group.pending.range(start..) {
        if looks == 0 || verdicts.claimed.len() + verdicts.gone.len() >= count {
            return Some(id);
        }
        looks -= 1;
        if !stream.contains(id) {
            verdicts.gone.push(id);
        } else if claim.takes(pending, now_ms) {
            verdicts.claimed.push((id, claim.count(pending.count)));
        }
    }
    None
}
