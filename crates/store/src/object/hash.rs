//! A hash: fields and their values. Packed as `field, value, field, value, ...` while small, then a table.

use super::packed::{Adopted, Element, Packed};
use super::table::{Entry, Table};
use super::{Limits, Random, below};

/// A hash value.
#[derive(Clone, Debug)]
pub struct Hash {
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Packed(Packed),
    Table(Box<Table>),
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
        }
    }

    /// True if there are no fields.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Name of the present form, as `OBJECT ENCODING` prints it.
    pub fn encoding(&self) -> &'static str {
        match self.form {
            Form::Packed(_) => "listpack",
            Form::Table(_) => "hashtable",
        }
    }

    /// Bytes that the value holds beside its own size.
    pub fn memory_bytes(&self) -> usize {
        match &self.form {
            Form::Packed(packed) => packed.memory_bytes(),
            Form::Table(table) => table.memory_bytes(),
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
        }
    }

    /// True if the field exists.
    pub fn contains(&self, field: &[u8]) -> bool {
        self.get(field).is_some()
    }

    /// Sets a field; true if it is new.
    pub fn insert(&mut self, field: &[u8], value: &[u8], limits: &Limits) -> bool {
        if field.len().max(value.len()) > limits.hash_max_listpack_value {
            self.grow(limits);
        }
        let fresh = match &mut self.form {
            Form::Packed(packed) => insert_packed(packed, field, value),
            Form::Table(table) => table.insert(field, value),
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
                if table.is_sparse() {
                    **table = table.rebuilt();
                }
                removed
            }
        }
    }

    /// All fields with their values: in order of insertion while packed, in no order when grown.
    pub fn iter(&self) -> impl Iterator<Item = (Element<'_>, Element<'_>)> {
        let (packed, table) = match &self.form {
            Form::Packed(packed) => (Some(packed), None),
            Form::Table(table) => (None, Some(table)),
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
        }
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
