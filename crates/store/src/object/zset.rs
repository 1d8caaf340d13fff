//! A sorted set: members ordered by score, then by bytes.
//!
//! Packed as `member, score, member, score, ...` in order while small. When grown, a member and its score are stored
//! once, in an arena entry; a table finds it by name and a tree by order, both by a 4-byte handle.
//! Every range is a range of ranks: find its ends with [`SortedSet::partition_point`], then walk.

use super::packed::{Digits, Element, Packed};
use super::table::Table;
use super::tree::Tree;
use super::{Limits, Random, below};
use crate::compact::Mover;
use std::cmp::Ordering;

/// A sorted set value.
#[derive(Clone, Debug)]
pub struct SortedSet {
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Packed(Packed),
    Tree(Box<Grown>),
}

#[derive(Clone, Debug)]
struct Grown {
    members: Table,
    order: Tree,
}

const SCORE_BYTES: usize = 8;
/// Integers up to here are exact as scores.
const EXACT_INT_MAX: f64 = 9_007_199_254_740_992.0;

fn decode_score(bytes: &[u8]) -> f64 {
    let mut wide = [0; SCORE_BYTES];
    wide.copy_from_slice(bytes);
    f64::from_le_bytes(wide)
}

/// Scores in the packed form: an integer element, or the eight bytes of the number.
fn packed_score(element: Element<'_>) -> f64 {
    match element {
        Element::Int(value) => value as f64,
        Element::Bytes(bytes) => decode_score(bytes),
    }
}

fn insert_score(packed: &mut Packed, at: usize, score: f64) {
    let negative_zero = score == 0.0 && score.is_sign_negative(); // an integer would lose the sign
    if score.fract() == 0.0 && score.abs() < EXACT_INT_MAX && !negative_zero {
        packed.insert(at, &Element::Int(score as i64));
    } else {
        packed.insert(at, &Element::Bytes(&score.to_le_bytes()));
    }
}

/// The order of members; scores are never NaN.
fn compare(score: f64, member: &Element<'_>, other_score: f64, other: &Element<'_>) -> Ordering {
    score.partial_cmp(&other_score).unwrap_or(Ordering::Equal).then_with(|| member.order(other))
}

impl Default for SortedSet {
    fn default() -> Self {
        SortedSet::new()
    }
}

impl SortedSet {
    /// An empty sorted set.
    pub const fn new() -> Self {
        SortedSet { form: Form::Packed(Packed::new()) }
    }

    /// A sorted set of unique members with scores (not NaN); members are elements as [`Element::parse`] gives them. Best
    /// in order: then each costs O(1) while packed.
    pub fn from_pairs<'a>(pairs: impl Iterator<Item = (Element<'a>, f64)>, limits: &Limits) -> SortedSet {
        let mut set = SortedSet::new();
        let mut sorted = true;
        let mut last: Option<(Element<'a>, f64)> = None;
        for (member, score) in pairs {
            sorted = sorted
                && last.is_none_or(|(name, before)| compare(before, &name, score, &member) == Ordering::Less);
            last = Some((member, score));
            match &mut set.form {
                Form::Packed(packed)
                    if sorted
                        && member.len() <= limits.zset_max_listpack_value
                        && packed.len() / 2 < limits.zset_max_listpack_entries =>
                {
                    packed.insert(packed.end(), &member);
                    insert_score(packed, packed.end(), score);
                }
                _ => _ = set.insert(member.bytes(&mut Digits::new()), score, limits),
            }
        }
        set
    }

    /// Number of members. O(1).
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Packed(packed) => packed.len() / 2,
            Form::Tree(grown) => grown.members.len(),
        }
    }

    /// True if there are no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Name of the present form, as `OBJECT ENCODING` prints it ("skiplist" for the grown one, for compatibility).
    pub fn encoding(&self) -> &'static str {
        match self.form {
            Form::Packed(_) => "listpack",
            Form::Tree(_) => "skiplist",
        }
    }

    /// Lets a packed value take other memory where it lies badly. A grown one is mostly whole pages.
    pub(crate) fn compact(&mut self, mover: &mut Mover<'_>) {
        if let Form::Packed(packed) = &mut self.form {
            packed.compact(mover);
        }
    }

    /// Bytes that the value holds beside its own size.
    pub fn memory_bytes(&self) -> usize {
        match &self.form {
            Form::Packed(packed) => packed.memory_bytes(),
            Form::Tree(grown) => {
                grown.members.memory_bytes() + grown.order.memory_bytes() + size_of::<Tree>()
            }
        }
    }

    /// A member's score. O(1) when grown, O(n) when packed.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match &self.form {
            Form::Packed(packed) => find_packed(packed, member).map(|(_, score)| score),
            Form::Tree(grown) => grown.members.get(member).map(decode_score),
        }
    }

    /// True if the member exists.
    pub fn contains(&self, member: &[u8]) -> bool {
        self.score(member).is_some()
    }

    /// Sets a member's score (not NaN) and gives the old one if there was one. O(log n) when grown.
    pub fn insert(&mut self, member: &[u8], score: f64, limits: &Limits) -> Option<f64> {
        if member.len() > limits.zset_max_listpack_value {
            self.grow(limits);
        }
        let old = match &mut self.form {
            Form::Packed(packed) => insert_packed(packed, member, score),
            Form::Tree(grown) => grown.insert(member, score),
        };
        if self.len() > limits.zset_max_listpack_entries {
            self.grow(limits);
        }
        old
    }

    /// Removes a member and gives its score. O(log n) when grown.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match &mut self.form {
            Form::Packed(packed) => {
                let (at, score) = find_packed(packed, member)?;
                packed.remove_range(at, 2);
                Some(score)
            }
            Form::Tree(grown) => grown.remove(member),
        }
    }

    /// Removes up to `count` members from rank `start` on; tells how many. O(count * log n) when grown.
    pub fn remove_range(&mut self, start: usize, count: usize) -> usize {
        let count = count.min(self.len().saturating_sub(start));
        match &mut self.form {
            Form::Packed(packed) => {
                packed.seek(start * 2).map(|at| packed.remove_range(at, count.saturating_mul(2)));
            }
            Form::Tree(grown) => grown.remove_range(start, count),
        }
        count
    }

    /// Rank of a member, from 0 for the smallest. O(log n) when grown.
    pub fn rank(&self, member: &[u8]) -> Option<usize> {
        let score = self.score(member)?;
        let needle = Element::Bytes(member);
        Some(self.partition_point(|other, name| compare(other, &name, score, &needle) == Ordering::Less))
    }

    /// Number of members at the front for which `before(score, member)` holds; it must hold for a prefix of the order.
    /// O(log n) when grown.
    pub fn partition_point(&self, mut before: impl FnMut(f64, Element<'_>) -> bool) -> usize {
        match &self.form {
            Form::Packed(packed) => Pairs { items: packed.iter(), reverse: false }
                .take_while(|&(name, score)| before(score, name))
                .count(),
            Form::Tree(grown) => grown.order.partition_point(&mut |handle| {
                let entry = grown.members.entry(handle);
                before(decode_score(entry.payload), Element::Bytes(entry.name))
            }),
        }
    }

    /// Members with scores from rank `start` on, upwards or (`reverse`) downwards. O(log n) to start when grown.
    pub fn iter_from(&self, start: usize, reverse: bool) -> impl Iterator<Item = (Element<'_>, f64)> {
        let (packed, grown) = match &self.form {
            Form::Packed(packed) => (Some(packed_from(packed, start, reverse)), None),
            Form::Tree(grown) => (None, Some(grown)),
        };
        let grown = grown.into_iter().flat_map(move |grown| {
            grown.order.iter(start, reverse).map(|handle| grown.members.entry(handle))
        });
        let grown = grown.map(|entry| (Element::Bytes(entry.name), decode_score(entry.payload)));
        packed.into_iter().flatten().chain(grown)
    }

    /// All members with scores, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (Element<'_>, f64)> {
        self.iter_from(0, false)
    }

    /// The member with a rank.
    pub fn select(&self, rank: usize) -> Option<(Element<'_>, f64)> {
        self.iter_from(rank, false).next()
    }

    /// Visits about `count` members from `cursor` on; gives the next cursor, 0 at the end. A packed one is visited
    /// whole. A member that is present from the first call to the last is visited at least once.
    pub fn scan(&self, cursor: u64, count: usize, visit: &mut dyn FnMut(Element<'_>, f64)) -> u64 {
        match &self.form {
            Form::Packed(_) => {
                self.iter().for_each(|(member, score)| visit(member, score));
                0
            }
            Form::Tree(grown) => grown.members.scan(cursor, count, &mut |entry| {
                visit(Element::Bytes(entry.name), decode_score(entry.payload));
            }),
        }
    }

    /// A uniformly random member with its score. O(log n) when grown.
    pub fn random(&self, random: Random<'_>) -> Option<(Element<'_>, f64)> {
        if self.is_empty() {
            return None;
        }
        self.select(below(random, self.len()))
    }

    fn grow(&mut self, limits: &Limits) {
        if matches!(self.form, Form::Tree(_)) {
            return;
        }
        let mut grown =
            Grown { members: Table::new(limits.hash_seed, Some(SCORE_BYTES)), order: Tree::new() };
        for (rank, (member, score)) in self.iter().enumerate() {
            let handle = grown.members.insert_new(&member.to_vec(), &score.to_le_bytes());
            grown.order.insert(rank, handle);
        }
        self.form = Form::Tree(Box::new(grown));
    }
}

impl Grown {
    fn insert(&mut self, member: &[u8], score: f64) -> Option<f64> {
        let Some(handle) = self.members.find(member) else {
            let rank = self.rank_of(member, score);
            let handle = self.members.insert_new(member, &score.to_le_bytes());
            self.order.insert(rank, handle);
            self.compact();
            return None;
        };
        let old = decode_score(self.members.entry(handle).payload);
        if old != score {
            let rank = self.rank_of(member, old);
            self.order.remove(rank);
            self.members.overwrite(handle, &score.to_le_bytes());
            let rank = self.rank_of(member, score);
            self.order.insert(rank, handle);
        }
        Some(old)
    }

    fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let score = decode_score(self.members.get(member)?);
        let rank = self.rank_of(member, score);
        self.order.remove(rank);
        self.members.remove(member);
        self.compact();
        Some(score)
    }

    fn remove_range(&mut self, start: usize, count: usize) {
        for _ in 0..count {
            let handle = self.order.remove(start);
            let member = self.members.entry(handle).name.to_vec();
            self.members.remove(&member);
            self.compact();
        }
    }

    /// Rank that a member with a score has or would have.
    fn rank_of(&self, member: &[u8], score: f64) -> usize {
        let needle = Element::Bytes(member);
        self.order.partition_point(&mut |handle| {
            let entry = self.members.entry(handle);
            compare(decode_score(entry.payload), &Element::Bytes(entry.name), score, &needle)
                == Ordering::Less
        })
    }

    /// Moves some members together, and notes in the order where they are now.
    fn compact(&mut self) {
        for handle in self.members.compact() {
            let entry = self.members.entry(handle);
            let rank = self.rank_of(entry.name, decode_score(entry.payload));
            self.order.replace(rank, handle);
        }
    }
}

fn find_packed(packed: &Packed, member: &[u8]) -> Option<(usize, f64)> {
    let at = packed.find(0, &Element::parse(member), 2)?;
    let score = packed.after(at)?;
    Some((at, packed_score(packed.get(score))))
}

fn insert_packed(packed: &mut Packed, member: &[u8], score: f64) -> Option<f64> {
    let old = find_packed(packed, member);
    match old {
        Some((_, same)) if same == score => return Some(same),
        Some((at, _)) => packed.remove_range(at, 2),
        None => 0,
    };
    let needle = Element::parse(member);
    let mut at = 0;
    while at < packed.end() {
        let Some(score_at) = packed.after(at) else { break };
        if compare(packed_score(packed.get(score_at)), &packed.get(at), score, &needle) == Ordering::Greater {
            break;
        }
        at = packed.after(score_at).unwrap_or(packed.end());
    }
    insert_score(packed, at, score);
    packed.insert(at, &needle);
    old.map(|(_, score)| score)
}

fn packed_from(packed: &Packed, start: usize, reverse: bool) -> Pairs<'_> {
    let at = packed.seek(start * 2);
    let items = match (at, reverse) {
        (Some(at), false) => packed.iter_from(at),
        (Some(at), true) => {
            let behind = packed.after(at).and_then(|score| packed.after(score));
            packed.iter_before(behind.unwrap_or(packed.end()))
        }
        (None, _) => packed.iter_before(0),
    };
    Pairs { items, reverse }
}

struct Pairs<'a> {
    items: super::packed::Iter<'a>,
    reverse: bool,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (Element<'a>, f64);

    fn next(&mut self) -> Option<Self::Item> {
        if self.reverse {
            let score = packed_score(self.items.next_back()?);
            return Some((self.items.next_back()?, score));
        }
        let member = self.items.next()?;
        Some((member, packed_score(self.items.next()?)))
    }
}
