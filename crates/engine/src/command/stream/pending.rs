//! Entries that were given to consumers and not yet acknowledged: giving them out, listing and claiming them.

use super::{id, put_array, put_entry, put_id, scratch};
use crate::command::collection::{Answer, integer, is, text};
use crate::command::{Call, CommandError};
use larder_protocol::number::parse_i64;
use larder_protocol::resp::reply::Reply;
use larder_store::object::stream::{Entry, Id, Pending, Stream};
use std::ops::Bound;

/// Entries that XAUTOCLAIM claims unless COUNT says otherwise.
const CLAIMED_DEFAULT: usize = 100;
/// Pending entries that it looks at for each that it may claim.
const LOOKS_PER_CLAIM: usize = 10;
/// Largest COUNT of XAUTOCLAIM.
const CLAIMED_MAX: i64 = i64::MAX / 16;

/// A consumer at work on its group.
pub(super) struct Taker<'a> {
    stream: &'a mut Stream,
    group: &'a [u8],
    consumer: &'a [u8],
    now_ms: u64,
    /// True once anything was changed that others can see.
    pub(super) changed: bool,
}

impl<'a> Taker<'a> {
    /// Makes the consumer if there is none, and notes that it was seen. The group must be there.
    pub(super) fn new(stream: &'a mut Stream, group: &'a [u8], consumer: &'a [u8], now_ms: u64) -> Taker<'a> {
        let mut changed = false;
        if let Some(group) = stream.groups.get_mut(group) {
            changed = group.add_consumer(consumer, now_ms);
            if let Some(consumer) = group.consumers.get_mut(consumer) {
                consumer.seen_ms = now_ms;
            }
        }
        Taker { stream, group, consumer, now_ms, changed }
    }

    /// Notes that the consumer got something.
    fn active(&mut self) {
        let group = self.stream.groups.get_mut(self.group);
        if let Some(consumer) = group.and_then(|group| group.consumers.get_mut(self.consumer)) {
            consumer.active_ms = Some(self.now_ms);
        }
    }

    /// Gives the consumer entries that nobody of the group was given; answers how many were written.
    pub(super) fn take_new(&mut self, most: usize, acknowledged: bool, out: &mut Reply) -> usize {
        let (Some(mut group), mut count) = (self.stream.groups.remove_entry(self.group), 0) else {
            return 0;
        };
        if let Some(low) = group.1.last_id.next() {
            let (stream, now_ms, consumer, group) = (&*self.stream, self.now_ms, self.consumer, &mut group.1);
            stream.range(low, Id::MAX, &mut |entry| {
                group.advance(stream, entry.id);
                if acknowledged {
                    group.assign(entry.id, consumer, now_ms, 1);
                }
                put_entry(out, &entry);
                count += 1;
                count < most
            });
        }
        self.stream.groups.insert(group.0, group.1);
        if count > 0 {
            self.changed = true;
            self.active();
        }
        count
    }

    /// Gives the consumer once more what it was given after an id; answers how many were written.
    pub(super) fn history(&mut self, after: Id, most: usize, out: &mut Reply) -> usize {
        let group = self.stream.groups.get(self.group);
        let consumer = group.and_then(|group| group.consumers.get(self.consumer));
        let range = (Bound::Excluded(after), Bound::Unbounded);
        let ids: Vec<Id> = consumer
            .map(|consumer| consumer.pending.range(range).take(most).copied().collect())
            .unwrap_or_default();
        for &id in &ids {
            if put_found(self.stream, id, out) {
                let group = self.stream.groups.get_mut(self.group);
                if let Some(pending) = group.and_then(|group| group.pending.get_mut(&id)) {
                    pending.count += 1;
                    pending.delivered_ms = self.now_ms;
                }
                self.changed = true;
            } else {
                out.array(2);
                put_id(out, id);
                out.null_array();
            }
        }
        ids.len()
    }
}

/// Writes an entry if it is there.
fn put_found(stream: &Stream, id: Id, out: &mut Reply) -> bool {
    let mut found = false;
    stream.range(id, id, &mut |entry: Entry<'_>| {
        put_entry(out, &entry);
        found = true;
        false
    });
    found
}

fn no_group(key: &[u8], group: &[u8]) -> CommandError {
    let (key, group) = (String::from_utf8_lossy(key), String::from_utf8_lossy(group));
    CommandError::new(format!("NOGROUP No such key '{key}' or consumer group '{group}'"))
}

fn check_group(call: &Call<'_>) -> Answer {
    let (key, group) = (call.args.get(1), call.args.get(2));
    match call.keys.peek_stream(key)? {
        Some(stream) if stream.groups.contains_key(group) => Ok(()),
        _ => Err(no_group(key, group)),
    }
}

/// What the long form of XPENDING asks for.
struct Listed<'a> {
    idle_ms: u64,
    low: Id,
    high: Id,
    count: usize,
    consumer: Option<&'a [u8]>,
}

fn listed<'a>(call: &Call<'a>) -> Result<Listed<'a>, CommandError> {
    let (args, mut first, mut idle_ms) = (call.args, 3, 0);
    if args.len() < 6 || args.len() > 9 {
        return Err(CommandError::Syntax);
    }
    if is(args.get(3), "IDLE") {
        idle_ms = u64::try_from(integer(args.get(4))?).unwrap_or(0);
        first = 5;
        if args.len() < 8 {
            return Err(CommandError::Syntax);
        }
    }
    let count = usize::try_from(integer(args.get(first + 2))?).unwrap_or(0);
    let (low, high) = (id::low(args.get(first))?, id::high(args.get(first + 1))?);
    let consumer = (args.len() > first + 3).then(|| args.get(first + 3));
    Ok(Listed { idle_ms, low, high, count, consumer })
}

pub(super) fn xpending(call: &mut Call<'_>) -> Answer {
    if call.args.len() == 3 {
        return summary(call);
    }
    let listed = listed(call)?;
    check_group(call)?;
    let (args, now_ms, mut items) = (call.args, call.keys.now_ms(), scratch(call));
    let group = call.keys.read_stream(args.get(1))?.and_then(|stream| stream.groups.get(args.get(2)));
    let mut count = 0;
    let mut put = |id: Id, pending: &Pending| {
        let idle_ms = now_ms.saturating_sub(pending.delivered_ms);
        if idle_ms >= listed.idle_ms {
            items.array(4);
            put_id(&mut items, id);
            items.bulk(&pending.consumer);
            items.integer(idle_ms as i64);
            items.integer(pending.count as i64);
            count += 1;
        }
        count < listed.count
    };
    if let Some(group) = group.filter(|_| listed.count > 0 && listed.low <= listed.high) {
        match listed.consumer {
            None => {
                let _all =
                    group.pending.range(listed.low..=listed.high).all(|(id, pending)| put(*id, pending));
            }
            Some(name) => {
                let own = group.consumers.get(name).into_iter();
                let mut ids = own.flat_map(|consumer| consumer.pending.range(listed.low..=listed.high));
                let _all = ids.all(|id| group.pending.get(id).is_none_or(|pending| put(*id, pending)));
            }
        }
    }
    put_array(call.out, count, &items);
    Ok(())
}

fn summary(call: &mut Call<'_>) -> Answer {
    check_group(call)?;
    let args = call.args;
    let stream = call.keys.read_stream(args.get(1))?;
    let Some(group) = stream.and_then(|stream| stream.groups.get(args.get(2))) else { return Ok(()) };
    let out = &mut *call.out;
    out.array(4);
    out.integer(group.pending.len() as i64);
    let ends = (group.pending.first_key_value(), group.pending.last_key_value());
    let (Some((first, _)), Some((last, _))) = ends else {
        out.null();
        out.null();
        out.null_array();
        return Ok(());
    };
    put_id(out, *first);
    put_id(out, *last);
    let busy: Vec<_> = group.consumers.values().filter(|consumer| !consumer.pending.is_empty()).collect();
    out.array(busy.len());
    for consumer in busy {
        out.array(2);
        out.bulk(&consumer.name);
        out.bulk_integer(consumer.pending.len() as i64);
    }
    Ok(())
}

/// How entries are claimed.
struct Claim {
    idle_ms: u64,
    delivered_ms: u64,
    retry_count: Option<u64>,
    force: bool,
    just_id: bool,
    last_id: Option<Id>,
}

fn claim(call: &Call<'_>, mut at: usize, idle_ms: u64) -> Result<Claim, CommandError> {
    let (args, now_ms) = (call.args, call.keys.now_ms());
    let (mut delivered, mut retry_count, mut force, mut just_id) = (now_ms as i64, None, false, false);
    let mut last_id = None;
    while at < args.len() {
        let (word, more) = (args.get(at), args.len() - 1 - at);
        let number = |message: &'static str| parse_i64(args.get(at + 1)).ok_or(CommandError::new(message));
        if is(word, "FORCE") {
            force = true;
        } else if is(word, "JUSTID") {
            just_id = true;
        } else if is(word, "IDLE") && more > 0 {
            let idle = number("ERR Invalid IDLE option argument for XCLAIM")?;
            delivered = (now_ms as i64).saturating_sub(idle);
            at += 1;
        } else if is(word, "TIME") && more > 0 {
            delivered = number("ERR Invalid TIME option argument for XCLAIM")?;
            at += 1;
        } else if is(word, "RETRYCOUNT") && more > 0 {
            retry_count = u64::try_from(number("ERR Invalid RETRYCOUNT option argument for XCLAIM")?).ok();
            at += 1;
        } else if is(word, "LASTID") && more > 0 {
            last_id = Some(id::strict(args.get(at + 1), 0)?);
            at += 1;
        } else {
            let word = String::from_utf8_lossy(word);
            return Err(CommandError::new(format!("ERR Unrecognized XCLAIM option '{word}'")));
        }
        at += 1;
    }
    // A time that cannot be is taken for now.
    let delivered_ms = u64::try_from(delivered).ok().filter(|&ms| ms <= now_ms).unwrap_or(now_ms);
    Ok(Claim { idle_ms, delivered_ms, retry_count, force, just_id, last_id })
}

pub(super) fn xclaim(call: &mut Call<'_>) -> Answer {
    let args = call.args;
    check_group(call)?;
    let idle = parse_i64(args.get(4)).ok_or(text("ERR Invalid min-idle-time argument for XCLAIM"))?;
    let ids: Vec<Id> = (5..args.len()).map_while(|at| id::strict(args.get(at), 0).ok()).collect();
    let claim = claim(call, 5 + ids.len(), u64::try_from(idle).unwrap_or(0))?;
    let (now_ms, mut items, mut count) = (call.keys.now_ms(), scratch(call), 0);
    let Some(stream) = call.keys.write_stream(args.get(1))? else { return Ok(()) };
    let mut taker = Taker::new(stream, args.get(2), args.get(3), now_ms);
    if let (Some(id), Some(group)) = (claim.last_id, taker.stream.groups.get_mut(args.get(2)))
        && id > group.last_id
    {
        group.last_id = id;
        taker.changed = true;
    }
    for id in ids {
        count += usize::from(taker.claim(id, &claim, &mut items));
    }
    if count > 0 {
        taker.active();
    }
    if taker.changed {
        call.keys.count_changes(1);
    }
    put_array(call.out, count, &items);
    Ok(())
}

impl Taker<'_> {
    /// Gives the consumer an entry that may be pending for another; true if it was written.
    fn claim(&mut self, id: Id, claim: &Claim, out: &mut Reply) -> bool {
        let there = self.stream.contains(id);
        let Some(group) = self.stream.groups.get_mut(self.group) else { return false };
        let pending = group.pending.get(&id).map(|pending| (pending.delivered_ms, pending.count));
        if !there {
            self.changed |= group.acknowledge(id);
            return false;
        }
        let count = match pending {
            Some((delivered_ms, _)) if self.now_ms.saturating_sub(delivered_ms) < claim.idle_ms => {
                return false;
            }
            Some((_, count)) => count,
            None if claim.force => 1,
            None => return false,
        };
        let count = claim.retry_count.unwrap_or(count.saturating_add(u64::from(!claim.just_id)));
        group.assign(id, self.consumer, claim.delivered_ms, count);
        self.changed = true;
        match claim.just_id {
            true => put_id(out, id),
            false => drop(put_found(self.stream, id, out)),
        }
        true
    }
}

pub(super) fn xautoclaim(call: &mut Call<'_>) -> Answer {
    let (args, now_ms) = (call.args, call.keys.now_ms());
    let idle = parse_i64(args.get(4)).ok_or(text("ERR Invalid min-idle-time argument for XAUTOCLAIM"))?;
    let start = id::low(args.get(5))?;
    let (mut most, mut just_id, mut at) = (CLAIMED_DEFAULT, false, 6);
    while at < args.len() {
        if is(args.get(at), "COUNT") && at + 1 < args.len() {
            at += 1;
            let count = parse_i64(args.get(at)).filter(|count| (1..=CLAIMED_MAX).contains(count));
            most = usize::try_from(count.ok_or(text("ERR COUNT must be > 0"))?).unwrap_or(usize::MAX);
        } else if is(args.get(at), "JUSTID") {
            just_id = true;
        } else {
            return Err(CommandError::Syntax);
        }
        at += 1;
    }
    check_group(call)?;
    let idle_ms = u64::try_from(idle).unwrap_or(0);
    let claim =
        Claim { idle_ms, delivered_ms: now_ms, retry_count: None, force: false, just_id, last_id: None };
    let (mut items, mut count, mut gone) = (scratch(call), 0, Vec::new());
    let Some(stream) = call.keys.write_stream(args.get(1))? else { return Ok(()) };
    let mut taker = Taker::new(stream, args.get(2), args.get(3), now_ms);
    let (mut next, mut looks) = (taker.pending_from(Bound::Included(start)), 0);
    while let Some(id) = next {
        if looks >= most.saturating_mul(LOOKS_PER_CLAIM) || count + gone.len() >= most {
            break;
        }
        looks += 1;
        if taker.claim(id, &claim, &mut items) {
            count += 1;
        } else if !taker.is_pending(id) {
            gone.push(id);
        }
        next = taker.pending_from(Bound::Excluded(id));
    }
    if count > 0 {
        taker.active();
    }
    if taker.changed {
        call.keys.count_changes(1);
    }
    call.out.array(3);
    put_id(call.out, next.unwrap_or(Id::MIN));
    put_array(call.out, count, &items);
    call.out.array(gone.len());
    gone.into_iter().for_each(|id| put_id(call.out, id));
    Ok(())
}

impl Taker<'_> {
    fn is_pending(&self, id: Id) -> bool {
        self.stream.groups.get(self.group).is_some_and(|group| group.pending.contains_key(&id))
    }

    /// The first pending id of the group from a place on.
    fn pending_from(&self, from: Bound<Id>) -> Option<Id> {
        let group = self.stream.groups.get(self.group)?;
        group.pending.range((from, Bound::Unbounded)).next().map(|(id, _)| *id)
    }
}
