//! A set: sorted integers while all members are integers, packed while small, then a table.

use super::intset::IntSet;
use super::packed::{Adopted, Element, Packed};
use super::table::Table;
use super::{Limits, Random, below};
use crate::compact::Mover;

/// A set value.
#[derive(Clone, Debug)]
pub struct Set {
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Ints(IntSet),
    Packed(Packed),
    Table(Box<Table>),
}

impl Default for Set {
    fn default() -> Self {
        Set::new()
    }
}

impl Set {
    /// An empty set.
    pub const fn new() -> Self {
        Set { form: Form::Ints(IntSet::new()) }
    }

    /// Number of members. O(1).
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Ints(ints) => ints.len(),
            Form::Packed(packed) => packed.len(),
            Form::Table(table) => table.len(),
        }
    }

    /// True if there are no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Name of the present form, as `OBJECT ENCODING` prints it.
    pub fn encoding(&self) -> &'static str {
        match self.form {
            Form::Ints(_) => "intset",
            Form::Packed(_) => "listpack",
            Form::Table(_) => "hashtable",
        }
    }

    /// Lets a packed value take other memory where it lies badly. A grown one is mostly whole pages.
    pub(crate) fn compact(&mut self, mover: &mut Mover<'_>) {
        match &mut self.form {
            Form::Ints(ints) => ints.compact(mover),
            Form::Packed(packed) => packed.compact(mover),
            Form::Table(_) => {}
        }
    }

    /// Bytes that the value holds beside its own size.
    pub fn memory_bytes(&self) -> usize {
        match &self.form {
            Form::Ints(ints) => ints.memory_bytes(),
            Form::Packed(packed) => packed.memory_bytes(),
            Form::Table(table) => table.memory_bytes(),
        }
    }

    /// True if `member` is in the set. O(1) when grown, O(log n) for integers, O(n) when packed.
    pub fn contains(&self, member: &[u8]) -> bool {
        match (&self.form, Element::parse(member)) {
            (Form::Ints(ints), Element::Int(value)) => ints.contains(value),
            (Form::Ints(_), Element::Bytes(_)) => false,
            (Form::Packed(packed), needle) => packed.find(0, &needle, 1).is_some(),
            (Form::Table(table), _) => table.contains(member),
        }
    }

    /// Adds a member; false if it was there.
    pub fn insert(&mut self, member: &[u8], limits: &Limits) -> bool {
        let element = Element::parse(member);
        if self.contains(member) {
            return false;
        }
        self.make_room(&element, limits);
        match (&mut self.form, element) {
            (Form::Ints(ints), Element::Int(value)) => ints.insert(value),
            (Form::Packed(packed), element) => {
                packed.insert(packed.end(), &element);
                true
            }
            (Form::Table(table), _) => {
                table.insert_new(member, &[]);
                table.compact();
                true
            }
            (Form::Ints(_), Element::Bytes(_)) => false, // make_room left no such case
        }
    }

    /// Removes a member; false if it was not there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match (&mut self.form, Element::parse(member)) {
            (Form::Ints(ints), Element::Int(value)) => ints.remove(value),
            (Form::Ints(_), Element::Bytes(_)) => false,
            (Form::Packed(packed), needle) => {
                let found = packed.find(0, &needle, 1);
                found.into_iter().for_each(|at| packed.remove(at));
                found.is_some()
            }
            (Form::Table(table), _) => {
                let removed = table.remove(member);
                table.compact();
                removed
            }
        }
    }

    /// All members: ascending integers, in order of insertion while packed, in no order when grown.
    pub fn iter(&self) -> impl Iterator<Item = Element<'_>> {
        let (ints, packed, table) = match &self.form {
            Form::Ints(ints) => (Some(ints), None, None),
            Form::Packed(packed) => (None, Some(packed), None),
            Form::Table(table) => (None, None, Some(table)),
        };
        let ints = ints.into_iter().flat_map(|ints| ints.iter().map(Element::Int));
        let packed = packed.into_iter().flat_map(|packed| packed.iter());
        let table = table.into_iter().flat_map(|table| table.iter().map(|entry| Element::Bytes(entry.name)));
        ints.chain(packed).chain(table)
    }

    /// Visits about `count` members from `cursor` on; gives the next cursor, 0 at the end. A small form is visited
    /// whole. A member that is present from the first call to the last is visited at least once.
    pub fn scan(&self, cursor: u64, count: usize, visit: &mut dyn FnMut(Element<'_>)) -> u64 {
        match &self.form {
            Form::Table(table) => table.scan(cursor, count, &mut |entry| visit(Element::Bytes(entry.name))),
            _ => {
                self.iter().for_each(visit);
                0
            }
        }
    }

    /// Visits members in the order of [`Set::iter`] from a place on (0 at first) until about when a visit says that it was
    /// enough; gives the next place, `None` at the end. A small form is visited whole. Places are worth something until the
    /// set is changed.
    pub fn walk(&self, place: usize, visit: &mut dyn FnMut(Element<'_>) -> bool) -> Option<usize> {
        match &self.form {
            Form::Table(table) => table.walk(place, &mut |entry| visit(Element::Bytes(entry.name))),
            _ => {
                self.iter().for_each(|member| {
                    visit(member);
                });
                None
            }
        }
    }

    /// A uniformly random member.
    pub fn random(&self, random: Random<'_>) -> Option<Element<'_>> {
        if self.is_empty() {
            return None;
        }
        match &self.form {
            Form::Ints(ints) => Some(Element::Int(ints.get(below(random, ints.len())))),
            Form::Packed(packed) => packed.seek(below(random, packed.len())).map(|at| packed.get(at)),
            Form::Table(table) => table.random(random).map(|entry| Element::Bytes(entry.name)),
        }
    }

    /// Removes a uniformly random member and gives it.
    pub fn pop(&mut self, random: Random<'_>) -> Option<Vec<u8>> {
        let member = self.random(random)?.to_vec();
        self.remove(&member);
        Some(member)
    }

    /// A set of entries that were taken over, which are taken to be unique. O(1) unless they exceed the limits.
    pub fn from_packed(entries: Adopted, limits: &Limits) -> Set {
        let large = entries.packed.len() > limits.set_max_listpack_entries
            || entries.longest > limits.set_max_listpack_value;
        let mut set = Set { form: Form::Packed(entries.packed) };
        if large {
            set.grow(limits);
        }
        set
    }

    /// The entries while the set is packed (integers alone are not).
    pub fn packed(&self) -> Option<&Packed> {
        match &self.form {
            Form::Packed(packed) => Some(packed),
            _ => None,
        }
    }

    /// Brings the set into a form that may hold one more member, `element`.
    fn make_room(&mut self, element: &Element<'_>, limits: &Limits) {
        let count = self.len() + 1;
        let short =
            element.len() <= limits.set_max_listpack_value && count <= limits.set_max_listpack_entries;
        match (&self.form, element) {
            (Form::Ints(_), Element::Int(_)) if count <= limits.set_max_intset_entries => {}
            (Form::Packed(_), _) if short => {}
            (Form::Table(_), _) => {}
            (Form::Ints(_), Element::Bytes(_)) if short && self.ints_are_short(limits) => self.pack(),
            _ => self.grow(limits),
        }
    }

    fn ints_are_short(&self, limits: &Limits) -> bool {
        self.iter().all(|member| member.len() <= limits.set_max_listpack_value)
    }

    fn pack(&mut self) {
        let mut packed = Packed::new();
        self.iter().for_each(|member| packed.insert(packed.end(), &member));
        self.form = Form::Packed(packed);
    }

    fn grow(&mut self, limits: &Limits) {
        let mut table = Table::new(limits.hash_seed, Some(0));
        for member in self.iter() {
            table.insert_new(&member.to_vec(), &[]);
        }
        self.form = Form::Table(Box::new(table));
    }
}
