//! SORT and SORT_RO: the members of a list, set or sorted set in the order of their values, or of what other keys say.
//!
//! The keys that BY and GET lead to follow from the members, so the table cannot name them: with such patterns the
//! command holds the whole keyspace ([`Scope::Patterns`]), and its user must be allowed to read all keys. Then what they hold
//! is gathered at once, and only sorting and writing it is done in slices (`weighed`).

mod slices;
mod weighed;

use super::acl::admits_patterns;
use super::collection::{Answer, integer, is, note_reads, text};
use super::long::{self, Gathering, Stored, Watched};
use super::table::{Keys, flag};
use super::{Call, Command, CommandError, Scope};
use crate::notify::Classes;
use larder_protocol::number;
use larder_store::ValueRef;
use larder_store::object::{Digits, Element, End, List};
use slices::{Image, Item, Order, Sorting, Weight};
use weighed::{Answers, Weighed};

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

    /// Makes the key that the pattern leads to for a member; false if there is none.
    fn key(&self, member: &[u8], key: &mut Vec<u8>) -> bool {
        key.clear();
        let Some((before, after)) = self.around else { return false };
        [before, member, after].iter().for_each(|part| key.extend_from_slice(part));
        true
    }

    /// Hands over what the pattern leads to for a member, whose key was made.
    fn look<T>(
        &self,
        call: &mut Call<'_>,
        (member, key): (&[u8], &[u8]),
        visit: impl FnOnce(Option<&[u8]>) -> T,
    ) -> T {
        if self.whole == b"#" {
            return visit(Some(member));
        }
        if self.around.is_none() {
            return visit(None);
        }
        let mut digits = Digits::new();
        if let Some(field) = self.field {
            let hash = call.keys.read_hash(key).ok().flatten();
            let value = hash.and_then(|hash| hash.get(field));
            return visit(value.as_ref().map(|value| value.bytes(&mut digits)));
        }
        match call.keys.read(key).map(|item| item.value()) {
            Some(ValueRef::String(bytes)) => visit(Some(bytes)),
            Some(ValueRef::Integer(n)) => visit(Some(digits.format(n).as_bytes())),
            _ => visit(None),
        }
    }
}

/// Members whose keys are looked up at a time.
const GROUP: usize = 8;

/// Hands over what each of the patterns leads to for each of the members, in order, with the number of the pattern; ends when
/// `visit` says false. Keys are asked for in groups: what takes long is to wait for memory.
fn look_up<'m>(
    call: &mut Call<'_>,
    patterns: &[Pattern<'_>],
    members: impl Iterator<Item = &'m [u8]>,
    mut visit: impl FnMut(usize, Option<&[u8]>) -> bool,
) {
    let mut members = members.peekable();
    let mut group: Vec<&[u8]> = Vec::with_capacity(GROUP);
    let mut keys = vec![Vec::new(); GROUP * patterns.len()];
    while members.peek().is_some() {
        group.clear();
        group.extend(members.by_ref().take(GROUP));
        let mut made = 0;
        for member in &group {
            for pattern in patterns {
                pattern.key(member, &mut keys[made]);
                made += 1;
            }
        }
        call.keys.ask_for(&keys[..made]);
        for (member, keys) in group.iter().zip(keys.chunks(patterns.len())) {
            for (at, (pattern, key)) in patterns.iter().zip(keys).enumerate() {
                if !pattern.look(call, (member, key), |value| visit(at, value)) {
                    return;
                }
            }
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
    let order = Order { alpha: wishes.alpha, descending: wishes.descending };
    let mut items = members(call, &mut wishes, order)?;
    if !wishes.unsorted {
        weigh(call, &mut items, &wishes)?;
    }
    if wishes.store.is_none() && items.len() > long::MEMBERS_MIN && long::may_begin(call.session) {
        return answer_in_slices(call, items, &wishes);
    }
    if !wishes.unsorted {
        items.sort_unstable_by(Item::order);
    }
    let (start, count) = wishes.window(items.len());
    let chosen = &items[start..start + count];
    match wishes.store {
        None => answer(call, chosen, &wishes),
        Some(target) => {
            let list = listed(call, chosen, &wishes);
            keep(call, list, target);
        }
    }
    Ok(())
}

/// Gathers what the reply is made of, now; it is made in slices.
#[cold]
fn answer_in_slices(call: &mut Call<'_>, mut items: Vec<Item>, wishes: &Wishes<'_>) -> Answer {
    let mut window = wishes.window(items.len());
    call.out.array(window.1 * wishes.get.len().max(1));
    if !wishes.unsorted && !wishes.get.is_empty() {
        // Only what is wanted is looked up, in whatever order it is then.
        choose(&mut items, window);
        window.0 = 0;
    }
    let answers = (!wishes.get.is_empty()).then(|| {
        let (mut answers, last) = (Answers::new(call.out.version()), wishes.get.len() - 1);
        look_up(call, &wishes.get, items.iter().map(|item| item.member.as_slice()), |at, value| {
            answers.add(value);
            if at == last {
                answers.end();
            }
            true
        });
        items.iter_mut().enumerate().for_each(|(at, item)| item.answer = at);
        answers
    });
    long::begin(
        call,
        match wishes.unsorted {
            true => Weighed::unsorted(items, answers),
            false => Weighed::sorted(items, window, answers),
        },
    )
}

/// Leaves those that are in a window once they are sorted.
fn choose(items: &mut Vec<Item>, (start, count): (usize, usize)) {
    if start > 0 && start < items.len() {
        items.select_nth_unstable_by(start, Item::order);
    }
    items.drain(..start);
    if count > 0 && count < items.len() {
        items.select_nth_unstable_by(count - 1, Item::order);
    }
    items.truncate(count);
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

/// All members; without sorting those that are wanted, in the value's own order (for DESC the other way round).
fn members(call: &mut Call<'_>, wishes: &mut Wishes<'_>, order: Order) -> Result<Vec<Item>, CommandError> {
    let Some(item) = call.keys.read(call.args.get(1)) else { return Ok(Vec::new()) };
    let value = item.value();
    let len = match &value {
        ValueRef::List(list) => list.len(),
        ValueRef::SortedSet(zset) => zset.len(),
        ValueRef::Set(set) => set.len(),
        _ => return Err(CommandError::WrongType),
    };
    if wishes.unsorted && wishes.store.is_some() && matches!(value, ValueRef::Set(_)) {
        // A set has no order of its own; what is kept must not depend on chance.
        wishes.unsorted = false;
        wishes.alpha = true;
        wishes.by = None;
    }
    let (start, count) = if wishes.unsorted { wishes.window(len) } else { (0, len) };
    if wishes.unsorted {
        wishes.limit = None; // it is done
    }
    let mut items = Vec::with_capacity(count);
    let mut add =
        |member: Element<'_>| items.push(Item::new(Weight::Member, member.to_vec(), items.len(), order));
    let backwards = wishes.unsorted && wishes.descending;
    match value {
        ValueRef::List(list) if backwards => list.iter().rev().skip(start).take(count).for_each(add),
        ValueRef::List(list) => list.iter().skip(start).take(count).for_each(add),
        ValueRef::SortedSet(zset) => {
            // By rank, whichever way.
            let first = if backwards { len.saturating_sub(1 + start) } else { start };
            zset.iter_from(first, backwards).take(count).for_each(|(member, _)| add(member))
        }
        ValueRef::Set(set) => set.iter().skip(start).take(count).for_each(add),
        _ => {}
    }
    Ok(items)
}

/// Finds out what the members are compared by.
fn weigh(call: &mut Call<'_>, items: &mut [Item], wishes: &Wishes<'_>) -> Answer {
    let mut failed = false;
    let number = |value: &[u8], failed: &mut bool| {
        let number = weight(value);
        *failed |= number.is_none();
        Weight::Number(number.unwrap_or_default())
    };
    match wishes.by {
        None if wishes.alpha => {}
        None => items.iter_mut().for_each(|item| item.weight = number(&item.member, &mut failed)),
        Some(by) => {
            let mut weights = Vec::with_capacity(items.len());
            look_up(call, &[by], items.iter().map(|item| item.member.as_slice()), |_, value| {
                weights.push(match value {
                    _ if wishes.alpha => Weight::Text(value.map(Box::from)),
                    None => Weight::Number(0.0),
                    Some(value) => number(value, &mut failed),
                });
                !failed
            });
            items.iter_mut().zip(weights).for_each(|(item, weight)| item.weight = weight);
        }
    }
    if failed { Err(text(NOT_NUMBERS)) } else { Ok(()) }
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

fn answer(call: &mut Call<'_>, items: &[Item], wishes: &Wishes<'_>) {
    call.out.array(items.len() * wishes.get.len().max(1));
    if wishes.get.is_empty() {
        items.iter().for_each(|item| call.out.bulk(&item.member));
        return;
    }
    let mut replies = Answers::new(call.out.version());
    look_up(call, &wishes.get, items.iter().map(|item| item.member.as_slice()), |_, value| {
        replies.add(value);
        true
    });
    call.out.raw(replies.as_bytes());
}

/// What is stored.
fn listed(call: &mut Call<'_>, items: &[Item], wishes: &Wishes<'_>) -> List {
    let limits = call.node.limits();
    let mut list = List::new();
    if wishes.get.is_empty() {
        items.iter().for_each(|item| list.push(End::Right, &item.member, &limits));
        return list;
    }
    look_up(call, &wishes.get, items.iter().map(|item| item.member.as_slice()), |_, value| {
        list.push(End::Right, value.unwrap_or_default(), &limits);
        true
    });
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
