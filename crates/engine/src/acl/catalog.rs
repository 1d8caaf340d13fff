//! Commands as access rules see them: a number for each, subcommands included, and the categories they are in.

use super::access::{Channels, CommandAccess};
use crate::command::dispatch::full_name;
use crate::command::{Command, Table};

/// All categories, in the order of ACL CAT.
pub const CATEGORIES: [&str; 21] = [
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// A set of categories: bit n is the nth of [`CATEGORIES`].
pub type CategorySet = u32;

/// The set of one category, whose name may be in any case.
pub fn category(name: &[u8]) -> Option<CategorySet> {
    let at = CATEGORIES.iter().position(|known| name.eq_ignore_ascii_case(known.as_bytes()))?;
    Some(1 << at)
}

/// The number of a command, or of a subcommand.
pub type CommandId = u16;

/// A command or subcommand.
pub struct Entry {
    /// Its row.
    pub command: &'static Command,
    /// `get` or `config|get`.
    pub name: String,
    /// Its categories.
    pub categories: CategorySet,
    /// What it does to its keys.
    pub access: CommandAccess,
    /// Its channels.
    pub channels: Option<Channels>,
    /// The numbers of its subcommands.
    pub subcommands: std::ops::Range<CommandId>,
    /// True for a subcommand.
    pub is_subcommand: bool,
}

/// All commands, numbered.
pub struct Catalog {
    entries: Vec<Entry>,
    /// Address of a row and its number, sorted.
    by_address: Vec<(usize, CommandId)>,
    /// Lower-case name and its number, sorted.
    by_name: Vec<(String, CommandId)>,
}

impl Catalog {
    /// Numbers the commands of a table.
    pub fn new(table: &Table) -> Catalog {
        let mut entries = Vec::new();
        for &row in table.rows() {
            let first = entries.len() as CommandId + 1;
            let subcommands = first..first + row.subcommands.len() as CommandId;
            entries.push(Entry::new(row, row, subcommands));
            entries.extend(row.subcommands.iter().map(|sub| Entry::new(row, sub, 0..0)));
        }
        let numbers = || (0..).zip(&entries);
        let address = |(id, entry): (CommandId, &Entry)| (std::ptr::from_ref(entry.command).addr(), id);
        let mut by_address: Vec<_> = numbers().map(address).collect();
        let mut by_name: Vec<_> = numbers().map(|(id, entry)| (entry.name.clone(), id)).collect();
        by_address.sort_unstable();
        by_name.sort_unstable();
        Catalog { entries, by_address, by_name }
    }

    /// All of them by number.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// One of them.
    pub fn entry(&self, id: CommandId) -> Option<&Entry> {
        self.entries.get(usize::from(id))
    }

    /// The number of a row of the table. O(log n).
    pub fn id(&self, command: &Command) -> Option<CommandId> {
        let address = std::ptr::from_ref(command).addr();
        let at = self.by_address.binary_search_by_key(&address, |(address, _)| *address).ok()?;
        Some(self.by_address[at].1)
    }

    /// The number of `get` or `config|get`, in lower case. O(log n).
    pub fn find(&self, name: &str) -> Option<CommandId> {
        let at = self.by_name.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()?;
        Some(self.by_name[at].1)
    }

    /// `get` or `config|get` for a row.
    pub fn name(&self, command: &Command) -> &str {
        self.id(command).and_then(|id| self.entry(id)).map_or("", |entry| &entry.name)
    }
}

impl Entry {
    fn new(container: &Command, command: &'static Command, subcommands: std::ops::Range<CommandId>) -> Entry {
        let set = |all, name: &&str| all | category(name.as_bytes()).unwrap_or(0);
        let name = full_name(container, command);
        Entry {
            command,
            access: CommandAccess::of(command, &name),
            channels: Channels::of(&name),
            name,
            categories: command.acl_categories().iter().fold(0, set),
            subcommands,
            is_subcommand: !std::ptr::eq(container, command),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::families;

    #[test]
    fn rows_are_found_by_name_and_by_address() {
        let table = Table::new(families());
        let catalog = Catalog::new(&table);
        let container = table.get(b"config").unwrap();
        let id = catalog.find("config|get").unwrap();
        let row = container.subcommands.iter().find(|row| row.name == "get").unwrap();
        assert_eq!(catalog.id(row), Some(id));
        assert_eq!(catalog.name(row), "config|get");
        assert_eq!(catalog.name(table.get(b"GET").unwrap()), "get");
        assert!(catalog.entry(catalog.find("config").unwrap()).unwrap().subcommands.contains(&id));
        assert_eq!(catalog.find("config|nope"), None);
        let rows: usize = table.rows().iter().map(|row| 1 + row.subcommands.len()).sum();
        assert_eq!(catalog.entries().len(), rows);
    }

    #[test]
    fn every_category_of_the_table_is_known() {
        for row in Table::new(families()).rows() {
            for name in row.acl_categories() {
                assert!(category(name.as_bytes()).is_some(), "{}: {name}", row.name);
            }
        }
    }
}
