//! SORT and SORT_RO: the members of a list, set or sorted set in the order of their values, or of what other keys say.
//!
//! The keys that BY and GET lead to follow from the members, so the table cannot name them: with such patterns the
//! command holds the whole keyspace ([`Scope::Patterns`]), and its user must be allowed to read all keys.

mod slices;

use super::acl::admits_patterns;
use super::collection::{Answer, integer, is, note_reads, text};
use super::long::{self, Gathering, Stored, Watched};
use super::table::{Keys, flag};
use super::{Call, Command, CommandError, Scope};
use crate::notify::Classes;
use larder_protocol::number;
use larder_store::ValueRef;
use larder_store::object::{End, List};
use slices::{Image, Order, Sorting};
use std::cmp::Ordering;

/// The commands that sort.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "sort",
        summary: "Sorts the members of a list, set or sorted set, and may keep the result.",
        syntax: "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA] \
                 [STORE destination]",
        complexity: "O(N+M*log(M)), N = members, M = members that are answered",
        arity: -2,
        flags: flag::WRITE | flag::DENYOOM,
        categories: CATEGORIES,
        keys: Keys::Sort { store: true },
        scope: Scope::Patterns,
        handler: sort,
        ..Command::DEFAULT
    },
    Command {
        name: "sort_ro",
        summary: "Sorts the members of a list, set or sorted set.",
        syntax: "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA]",
        since: "7.0.0",
        complexity: "O(N+M*log(M)), N = members, M = members that are answered",
        arity: -2,
        flags: flag::READONLY,
        categories: CATEGORIES,
        keys: Keys::Sort { store: false },
        scope: Scope::Patterns,
        handler: sort_ro,
        ..Command::DEFAULT
    },
];

const NOT_NUMBERS: &str = "ERR One or more scores can't be converted into double";

const CATEGORIES: &[&str] = &["set", "sortedset", "list", "dangerous"];

/// What is wanted.
#[derive(Default)]
struct Wishes<'a> {
    /// The pattern of the keys that are compared instead of the members.
    by: Option<Pattern<'a>>,
    /// BY a pattern without a `*`: no order but the value's own.
    unsorted: bool,
    get: Vec<Pattern<'a>>,
    /// Offset and count.
    limit: Option<(i64, i64)>,
    descending: bool,
    alpha: bool,
    store: Option<&'a [u8]>,
}

/// A name with a `*` that stands for a member, and perhaps a field: `weight_*`, `object_*->price`, or `#`.
#[derive(Clone, Copy)]
struct Pattern<'a> {
    whole: &'a [u8],
    /// What is before and after the `*`; `None` if there is none.
    around: Option<(&'a [u8], &'a [u8])>,
    field: Option<&'a [u8]>,
}

impl<'a> Pattern<'a> {
    fn new(whole: &'a [u8]) -> Pattern<'a> {
        let star = memchr::memchr(b'*', whole);
        let around = star.map(|at| (&whole[..at], &whole[at + 1..]));
        // An arrow without a field behind it is part of the key.
        let arrow = around.and_then(|(_, after)| {
            let at = memchr::memmem::find(after, b"->")?;
            (at + 2 < after.len()).then(|| (&after[..at], &after[at + 2..]))
        });
        match (around, arrow) {
            (Some((before, _)), Some((after, field))) => {
                Pattern { whole, around: Some((before, after)), field: Some(field) }
            }
            _ => Pattern { whole, around, field: None },
        }
    }

    /// What the pattern leads to for a member.
    fn value(&self, call: &mut Call<'_>, member: &[u8]) -> Option<Vec<u8>> {
        if self.whole == b"#" {
            return Some(member.to_vec());
        }
        let (before, after) = self.around?;
        let key = [before, member, after].concat();
        if let Some(field) = self.field {
            return call.keys.read_hash(&key).ok()??.get(field).map(|value| value.to_vec());
        }
        match call.keys.read(&key)?.value() {
            ValueRef::String(bytes) => Some(bytes.to_vec()),
            ValueRef::Integer(n) => Some(n.to_string().into_bytes()),
            _ => None,
        }
    }
}

impl<'a> Wishes<'a> {
    fn parse(call: &mut Call<'a>, name: &str, may_store: bool) -> Result<Self, CommandError> {
        let (args, mut wishes) = (call.args, Wishes::default());
        let mut at = 2;
        while at < args.len() {
            let left = args.len() - at - 1;
            match args.get(at) {
                word if is(word, "ASC") => wishes.descending = false,
                word if is(word, "DESC") => wishes.descending = true,
                word if is(word, "ALPHA") => wishes.alpha = true,
                word if is(word, "LIMIT") && left >= 2 => {
                    wishes.limit = Some((integer(args.get(at + 1))?, integer(args.get(at + 2))?));
                    at += 2;
                }
                word if is(word, "STORE") && left >= 1 && may_store => {
                    wishes.store = Some(args.get(at + 1));
                    at += 1;
                }
                word if is(word, "BY") && left >= 1 => {
                    let pattern = Pattern::new(args.get(at + 1));
                    if pattern.around.is_none() {
                        wishes.unsorted = true;
                    } else if !admits_patterns(call, name) {
                        return Err(text(
                            "ERR BY option of SORT denied due to insufficient ACL permissions.",
                        ));
                    }
                    wishes.by = Some(pattern);
                    at += 1;
                }
                word if is(word, "GET") && left >= 1 => {
                    if !admits_patterns(call, name) {
                        return Err(text(
                            "ERR GET option of SORT denied due to insufficient ACL permissions.",
                        ));
                    }
                    wishes.get.push(Pattern::new(args.get(at + 1)));
                    at += 1;
                }
                _ => return Err(CommandError::Syntax),
            }
            at += 1;
        }
        Ok(wishes)
    }

    /// The part of `len` members that is wanted: where it begins and how many.
    fn window(&self, len: usize) -> (usize, usize) {
        let Some((offset, count)) = self.limit else { return (0, len) };
        let start = usize::try_from(offset.max(0)).unwrap_or(usize::MAX).min(len);
        let most = if count < 0 { usize::MAX } else { usize::try_from(count).unwrap_or(usize::MAX) };
        (start, most.min(len - start))
    }
}

/// What members are compared by.
enum Weight {
    Number(f64),
    Text(Option<Vec<u8>>),
}

fn sort(call: &mut Call<'_>) -> Answer {
    run(call, "sort", true)
}

fn sort_ro(call: &mut Call<'_>) -> Answer {
    run(call, "sort_ro", false)
}

fn run(call: &mut Call<'_>, name: &str, may_store: bool) -> Answer {
    let mut wishes = Wishes::parse(call, name, may_store)?;
    if let Some(work) = in_slices(call, &wishes) {
        return match wishes.store {
            None => {
                note_reads(call, 1, 2);
                long::begin(call, Gathering::answered(work))
            }
            Some(_) => {
                let source = call.args.get(1);
                let watched = Watched::of(&mut call.keys, std::iter::once(source));
                let limits = call.node.limits();
                long::begin_storing(call, Gathering::stored(work.kept(limits), watched))
            }
        };
    }
    if let (Some(Stored::List(list)), Some(target)) = (long::prepared(call), wishes.store) {
        note_reads(call, 1, 2);
        keep(call, list, target);
        return Ok(());
    }
    let (mut members, is_set) = members(call, &wishes)?;
    if wishes.unsorted && is_set && wishes.store.is_some() {
        // A set has no order of its own; what is kept must not depend on chance.
        wishes.unsorted = false;
        wishes.alpha = true;
        wishes.by = None;
    }
    if !wishes.unsorted {
        members = ordered(call, members, &wishes)?;
    }
    let (start, count) = wishes.window(members.len());
    let chosen = &members[start..start + count];
    match wishes.store {
        None => answer(call, chosen, &wishes),
        Some(target) => {
            let list = listed(call, chosen, &wishes);
            keep(call, list, target);
        }
    }
    Ok(())
}

/// Sorts what needs no other keys in slices, if there is much of it.
fn in_slices(call: &Call<'_>, wishes: &Wishes<'_>) -> Option<Sorting> {
    let leads_elsewhere = wishes.by.is_some() || !wishes.get.is_empty();
    if leads_elsewhere || !long::may_begin(call.session) {
        return None;
    }
    let (image, len) = match call.keys.peek_value(call.args.get(1))? {
        ValueRef::List(list) if list.len() > long::MEMBERS_MIN => (Image::List(list.clone()), list.len()),
        ValueRef::Set(set) if set.len() > long::MEMBERS_MIN => (Image::Set(set.clone()), set.len()),
        ValueRef::SortedSet(zset) if zset.len() > long::MEMBERS_MIN => {
            (Image::Sorted(zset.clone()), zset.len())
        }
        _ => return None,
    };
    let order = Order { alpha: wishes.alpha, descending: wishes.descending };
    Some(Sorting::new(image, order, wishes.window(len)))
}

/// All members in the value's own order (for DESC without sorting, the other way round), and whether it is a set.
fn members(call: &mut Call<'_>, wishes: &Wishes<'_>) -> Result<(Vec<Vec<u8>>, bool), CommandError> {
    let Some(item) = call.keys.read(call.args.get(1)) else { return Ok((Vec::new(), false)) };
    let mut is_set = false;
    let mut members: Vec<Vec<u8>> = match item.value() {
        ValueRef::List(list) => list.iter().map(|member| member.to_vec()).collect(),
        ValueRef::SortedSet(set) => set.iter().map(|(member, _)| member.to_vec()).collect(),
        ValueRef::Set(set) => {
            is_set = true;
            set.iter().map(|member| member.to_vec()).collect()
        }
        _ => return Err(CommandError::WrongType),
    };
    if wishes.unsorted && wishes.descending && !is_set {
        members.reverse();
    }
    Ok((members, is_set))
}

fn ordered(
    call: &mut Call<'_>,
    members: Vec<Vec<u8>>,
    wishes: &Wishes<'_>,
) -> Result<Vec<Vec<u8>>, CommandError> {
    let mut weighed = Vec::with_capacity(members.len());
    for member in members {
        weighed.push((weigh(call, &member, wishes)?, member));
    }
    let compare = |a: &(Weight, Vec<u8>), b: &(Weight, Vec<u8>)| match (&a.0, &b.0) {
        (Weight::Number(x), Weight::Number(y)) => {
            x.partial_cmp(y).unwrap_or(Ordering::Equal).then_with(|| a.1.cmp(&b.1))
        }
        (Weight::Text(x), Weight::Text(y)) if wishes.by.is_some() => x.cmp(y),
        _ => a.1.cmp(&b.1),
    };
    match wishes.descending {
        false => weighed.sort_by(compare),
        true => weighed.sort_by(|a, b| compare(b, a)),
    }
    Ok(weighed.into_iter().map(|(_, member)| member).collect())
}

fn weigh(call: &mut Call<'_>, member: &[u8], wishes: &Wishes<'_>) -> Result<Weight, CommandError> {
    let found = wishes.by.map(|by| by.value(call, member));
    if wishes.alpha {
        return Ok(Weight::Text(found.flatten()));
    }
    let number = match &found {
        None => weight(member),
        Some(None) => Some(0.0),
        Some(Some(value)) => weight(value),
    };
    number.map(Weight::Number).ok_or(text(NOT_NUMBERS))
}

/// Reads a number as C's `strtod` does: blanks before it are skipped, nothing at all is zero, and a NUL ends it.
fn weight(bytes: &[u8]) -> Option<f64> {
    let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
    if end == 0 {
        return Some(0.0);
    }
    let blanks = bytes[..end].iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    number::parse_f64(&bytes[blanks..end])
}

fn answer(call: &mut Call<'_>, members: &[Vec<u8>], wishes: &Wishes<'_>) {
    call.out.array(members.len() * wishes.get.len().max(1));
    for member in members {
        if wishes.get.is_empty() {
            call.out.bulk(member);
        }
        for pattern in &wishes.get {
            match pattern.value(call, member) {
                Some(value) => call.out.bulk(&value),
                None => call.out.null(),
            }
        }
    }
}

/// What is stored.
fn listed(call: &mut Call<'_>, members: &[Vec<u8>], wishes: &Wishes<'_>) -> List {
    let settings = call.node.settings();
    let mut list = List::new();
    for member in members {
        if wishes.get.is_empty() {
            list.push(End::Right, member, &settings.limits);
        }
        for pattern in &wishes.get {
            let value = pattern.value(call, member).unwrap_or_default();
            list.push(End::Right, &value, &settings.limits);
        }
    }
    list
}

fn keep(call: &mut Call<'_>, list: List, target: &[u8]) {
    let len = list.len();
    if len == 0 {
        call.keys.remove_and_notify(target);
    } else {
        call.keys.put_list(target, list);
        call.keys.changed(target);
        call.keys.notify(Classes::LIST, "sortstore", target);
    }
    call.out.integer(len as i64);
}

#[cfg(test)]
mod tests {
    use super::{Pattern, weight};

    #[test]
    fn patterns_have_a_star_and_perhaps_a_field() {
        let parts = |whole: &'static str| {
            let pattern = Pattern::new(whole.as_bytes());
            (pattern.around, pattern.field)
        };
        let around = |a: &'static str, b: &'static str| Some((a.as_bytes(), b.as_bytes()));
        assert_eq!(parts("w_*_x"), (around("w_", "_x"), None));
        assert_eq!(parts("w_*->f"), (around("w_", ""), Some(b"f".as_slice())));
        assert_eq!(parts("w_*->f->*"), (around("w_", ""), Some(b"f->*".as_slice())));
        assert_eq!(parts("a->b_*"), (around("a->b_", ""), None));
        assert_eq!(parts("w_*->"), (around("w_", "->"), None));
        assert_eq!(parts("nosort"), (None, None));
    }

    #[test]
    fn weights_are_read_as_c_does() {
        for (text, expected) in [
            (" \t3", Some(3.0)),
            ("", Some(0.0)),
            ("12\0a", Some(12.0)),
            ("2 ", None),
            (" ", None),
            ("nan", None),
        ] {
            assert_eq!(weight(text.as_bytes()), expected, "{text:?}");
        }
    }
}
