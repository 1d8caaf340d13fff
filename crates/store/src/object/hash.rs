//! A hash: fields and their values. Packed as `field, value, field, value, ...` while small, then a table.
//!
//! A hash whose fields were given deadlines is a third form: a plain hash beside its [`Timetable`]. One that never had
//! any knows nothing of this, and pays neither a byte nor a branch that it did not have before.
//! Time is handed in; a field whose time is over stays until [`Hash::purge`].

use super::packed::{Adopted, Element, Packed};
use super::table::{Entry, Table};
use super::timetable::Timetable;
use super::{Limits, Random, below};
use crate::compact::Mover;

/// A hash value.
#[derive(Clone, Debug)]
pub struct Hash {
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Packed(Packed),
    Table(Box<Table>),
    Timed(Box<Timed>),
}

/// A hash with the deadlines of its fields. It stays one when its last deadline goes, as the original does: what had
/// deadlines will have some again.
#[derive(Clone, Debug, Default)]
struct Timed {
    /// Never timed itself.
    plain: Hash,
    times: Timetable,
}

impl Default for Hash {
    fn default() -> Self {
        Hash::new()
    }
}

fn pair(entry: Entry<'_>) -> (Element<'_>, Element<'_>) {
    (Element::Bytes(entry.name), Element::Bytes(entry.payload))
}

impl Hash {
    /// An empty hash.
    pub const fn new() -> Self {
        Hash { form: Form::Packed(Packed::new()) }
    }

    /// Number of fields. O(1).
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Packed(packed) => packed.len() / 2,
            Form::Table(table) => table.len(),
            Form::Timed(timed) => timed.plain.len(),
        }
    }

    /// True if there are no fields.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Name of the present form, as `OBJECT ENCODING` prints it.
    pub fn encoding(&self) -> &'static str {
        match &self.form {
            Form::Packed(_) => "listpack",
            Form::Table(_) => "hashtable",
            Form::Timed(timed) if matches!(timed.plain.form, Form::Packed(_)) => "listpackex",
            Form::Timed(_) => "hashtable",
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
            Form::Table(table) => table.memory_bytes(),
            Form::Timed(timed) => {
                size_of::<Timed>() + timed.plain.memory_bytes() + timed.times.memory_bytes()
            }
        }
    }

    /// A field's value. O(1) when grown, O(n) when packed.
    pub fn get(&self, field: &[u8]) -> Option<Element<'_>> {
        match &self.form {
            Form::Packed(packed) => {
                let at = packed.find(0, &Element::parse(field), 2)?;
                packed.after(at).map(|value| packed.get(value))
            }
            Form::Table(table) => table.get(field).map(Element::Bytes),
            Form::Timed(timed) => timed.plain.get(field),
        }
    }

    /// True if the field exists.
    pub fn contains(&self, field: &[u8]) -> bool {
        self.get(field).is_some()
    }

    /// Sets a field, which then has no deadline; true if it is new.
    pub fn insert(&mut self, field: &[u8], value: &[u8], limits: &Limits) -> bool {
        if let Form::Timed(timed) = &mut self.form {
            timed.times.remove(field);
        }
        self.update(field, value, limits)
    }

    /// Sets a field, which keeps its deadline; true if it is new.
    pub fn update(&mut self, field: &[u8], value: &[u8], limits: &Limits) -> bool {
        if let Form::Timed(timed) = &mut self.form {
            return timed.plain.update(field, value, limits);
        }
        if field.len().max(value.len()) > limits.hash_max_listpack_value {
            self.grow(limits);
        }
        let fresh = match &mut self.form {
            Form::Packed(packed) => insert_packed(packed, field, value),
            Form::Table(table) => {
                let fresh = table.insert(field, value);
                table.compact();
                fresh
            }
            Form::Timed(_) => false,
        };
        if self.len() > limits.hash_max_listpack_entries {
            self.grow(limits);
        }
        fresh
    }

    /// Removes a field; false if there was none.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        match &mut self.form {
            Form::Packed(packed) => match packed.find(0, &Element::parse(field), 2) {
                Some(at) => packed.remove_range(at, 2) == 2,
                None => false,
            },
            Form::Table(table) => {
                let removed = table.remove(field);
                table.compact();
                removed
            }
            Form::Timed(timed) => {
                timed.times.remove(field);
                timed.plain.remove(field)
            }
        }
    }

    /// All fields with their values: in order of insertion while packed, in no order when grown.
    pub fn iter(&self) -> impl Iterator<Item = (Element<'_>, Element<'_>)> {
        let (packed, table) = match &self.plain().form {
            Form::Packed(packed) => (Some(packed), None),
            Form::Table(table) => (None, Some(table)),
            Form::Timed(_) => (None, None),
        };
        let pairs = packed.into_iter().flat_map(|packed| Pairs { items: packed.iter() });
        pairs.chain(table.into_iter().flat_map(|table| table.iter().map(pair)))
    }

    /// Visits about `count` fields from `cursor` on; gives the next cursor, 0 at the end. A packed hash is visited
    /// whole. A field that is present from the first call to the last is visited at least once.
    pub fn scan(&self, cursor: u64, count: usize, visit: &mut dyn FnMut(Element<'_>, Element<'_>)) -> u64 {
        match &self.form {
            Form::Packed(packed) => {
                Pairs { items: packed.iter() }.for_each(|(field, value)| visit(field, value));
                0
            }
            Form::Table(table) => table.scan(cursor, count, &mut |entry| {
                visit(Element::Bytes(entry.name), Element::Bytes(entry.payload));
            }),
            Form::Timed(timed) => timed.plain.scan(cursor, count, visit),
        }
    }

    /// Visits fields in the order of [`Hash::iter`] from a place on (0 at first) until about when a visit says that it was
    /// enough; gives the next place, `None` at the end. A packed hash is visited whole. Places are worth something until the
    /// hash is changed.
    pub fn walk(
        &self,
        place: usize,
        visit: &mut dyn FnMut(Element<'_>, Element<'_>) -> bool,
    ) -> Option<usize> {
        match &self.plain().form {
            Form::Table(table) => table
                .walk(place, &mut |entry| visit(Element::Bytes(entry.name), Element::Bytes(entry.payload))),
            _ => {
                self.iter().for_each(|(field, value)| {
                    visit(field, value);
                });
                None
            }
        }
    }

    /// A uniformly random field with its value.
    pub fn random(&self, random: Random<'_>) -> Option<(Element<'_>, Element<'_>)> {
        match &self.form {
            Form::Packed(packed) if packed.is_empty() => None,
            Form::Packed(packed) => {
                let at = packed.seek(below(random, packed.len() / 2) * 2)?;
                Pairs { items: packed.iter_from(at) }.next()
            }
            Form::Table(table) => table.random(random).map(pair),
            Form::Timed(timed) => timed.plain.random(random),
        }
    }

    /// The hash without its deadlines.
    fn plain(&self) -> &Hash {
        match &self.form {
            Form::Timed(timed) => &timed.plain,
            _ => self,
        }
    }

    fn times(&self) -> Option<&Timetable> {
        match &self.form {
            Form::Timed(timed) => Some(&timed.times),
            _ => None,
        }
    }

    fn times_mut(&mut self) -> Option<&mut Timetable> {
        match &mut self.form {
            Form::Timed(timed) => Some(&mut timed.times),
            _ => None,
        }
    }

    /// When a field dies, in Unix milliseconds; `None` if it does not exist or never dies. O(1) when grown.
    pub fn deadline(&self, field: &[u8]) -> Option<u64> {
        self.times()?.get(field)
    }

    /// Gives a field a deadline (Unix milliseconds, at most [`FIELD_DEADLINE_MAX_MS`]) or takes it away; false if there
    /// is no such field. O(log n).
    ///
    /// [`FIELD_DEADLINE_MAX_MS`]: super::FIELD_DEADLINE_MAX_MS
    pub fn set_deadline(&mut self, field: &[u8], deadline: Option<u64>, limits: &Limits) -> bool {
        if !self.contains(field) {
            return false;
        }
        match deadline {
            Some(deadline) => self.timed().times.insert(field, deadline, limits),
            None => self.times_mut().map_or((), |times| times.remove(field)),
        }
        true
    }

    fn timed(&mut self) -> &mut Timed {
        if !matches!(self.form, Form::Timed(_)) {
            let plain = std::mem::take(self);
            self.form = Form::Timed(Box::new(Timed { plain, times: Timetable::default() }));
        }
        match &mut self.form {
            Form::Timed(timed) => timed,
            _ => unreachable!("made so above"),
        }
    }

    /// True if fields have, or had, deadlines: then who changed the hash says so to its partition. O(1).
    #[inline]
    pub fn is_timed(&self) -> bool {
        matches!(self.form, Form::Timed(_))
    }

    /// Number of fields with a deadline. O(1).
    pub fn timed_len(&self) -> usize {
        self.times().map_or(0, Timetable::len)
    }

    /// When the first field dies, in Unix milliseconds. O(1).
    pub fn earliest_deadline(&self) -> Option<u64> {
        self.times()?.earliest()
    }

    /// True if the time of some field is over. O(1).
    pub fn is_due(&self, now_ms: u64) -> bool {
        self.earliest_deadline().is_some_and(|deadline| deadline <= now_ms)
    }

    /// True if the time of every field is over. O(log n), and O(1) when nothing is due.
    pub fn is_over(&self, now_ms: u64) -> bool {
        self.is_due(now_ms) && self.times().is_some_and(|times| times.due(now_ms) == self.len())
    }

    /// Removes at most `budget` fields whose time is over, the longest dead first; how many. `gone` hears of each.
    /// O(log n) and one removal for each.
    pub fn purge(&mut self, now_ms: u64, budget: usize, mut gone: impl FnMut(&[u8])) -> usize {
        let Form::Timed(timed) = &mut self.form else { return 0 };
        let Timed { plain, times } = &mut **timed;
        times.take_due(now_ms, budget, |field| {
            plain.remove(field);
            gone(field);
        })
    }

    /// A hash of entries that were taken over, `field, value, field, value, ...`; `None` if a value is missing. Fields
    /// are taken to be unique. O(1) unless they exceed the limits.
    pub fn from_packed(entries: Adopted, limits: &Limits) -> Option<Hash> {
        let count = entries.packed.len();
        if !count.is_multiple_of(2) {
            return None;
        }
        let mut hash = Hash { form: Form::Packed(entries.packed) };
        if count / 2 > limits.hash_max_listpack_entries || entries.longest > limits.hash_max_listpack_value {
            hash.grow(limits);
        }
        Some(hash)
    }

    /// The entries while the hash is packed.
    pub fn packed(&self) -> Option<&Packed> {
        match &self.form {
            Form::Packed(packed) => Some(packed),
            _ => None,
        }
    }

    fn grow(&mut self, limits: &Limits) {
        let Form::Packed(packed) = &self.form else { return };
        let mut table = Table::new(limits.hash_seed, None);
        for (field, value) in (Pairs { items: packed.iter() }) {
            table.insert_new(&field.to_vec(), &value.to_vec());
        }
        self.form = Form::Table(Box::new(table));
    }
}

fn insert_packed(packed: &mut Packed, field: &[u8], value: &[u8]) -> bool {
    let needle = Element::parse(field);
    match packed.find(0, &needle, 2).and_then(|at| packed.after(at)) {
        Some(at) => {
            packed.replace(at, &Element::parse(value));
            false
        }
        None => {
            packed.insert(packed.end(), &needle);
            packed.push(value);
            true
        }
    }
}

struct Pairs<'a> {
    items: super::packed::Iter<'a>,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (Element<'a>, Element<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.items.next()?, self.items.next()?))
    }
}
