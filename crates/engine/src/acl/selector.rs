//! One set of permissions: commands, keys, channels. A user has one, and more if its rules have some in brackets.

use super::catalog::{Catalog, CommandId, Entry, category};
use super::user::RuleError;
use larder_protocol::glob;
use std::collections::BTreeMap;

/// A pattern of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPattern {
    /// The pattern.
    pub pattern: Vec<u8>,
    /// They may be read.
    pub read: bool,
    /// They may be written.
    pub write: bool,
}

/// What may be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    all_commands: bool,
    all_keys: bool,
    all_channels: bool,
    /// A bit per command.
    allowed: Vec<u64>,
    /// Commands that are allowed with these first arguments only, in lower case.
    first_arguments: BTreeMap<CommandId, Vec<Vec<u8>>>,
    keys: Vec<KeyPattern>,
    channels: Vec<Vec<u8>>,
    /// The databases that may be used, in order; none said: all.
    databases: Option<Vec<u32>>,
    /// The rules for commands that are in force, as they are printed.
    rules: Vec<u8>,
}

const NOTHING: &[u8] = b"-@all";
const EVERYTHING: &[u8] = b"+@all";

impl Selector {
    /// Nothing is allowed, but all channels if `all_channels`.
    pub fn nothing(all_channels: bool) -> Selector {
        Selector {
            all_commands: false,
            all_keys: false,
            all_channels,
            allowed: Vec::new(),
            first_arguments: BTreeMap::new(),
            keys: Vec::new(),
            channels: Vec::new(),
            databases: None,
            rules: NOTHING.to_vec(),
        }
    }

    /// Everything is allowed.
    pub fn everything() -> Selector {
        let rules = EVERYTHING.to_vec();
        Selector { all_commands: true, all_keys: true, rules, ..Selector::nothing(true) }
    }

    /// True if no check is needed.
    pub fn is_everything(&self) -> bool {
        self.all_commands && self.all_keys && self.all_channels && self.databases.is_none()
    }

    /// Reads what stands between brackets: rules with blanks between them.
    pub fn parse(catalog: &Catalog, rules: &[u8], all_channels: bool) -> Result<Selector, RuleError> {
        let mut selector = Selector::nothing(all_channels);
        for rule in rules.split(|byte| *byte == b' ').filter(|rule| !rule.is_empty()) {
            selector.apply(catalog, rule)?;
        }
        Ok(selector)
    }

    /// Applies one rule.
    pub fn apply(&mut self, catalog: &Catalog, rule: &[u8]) -> Result<(), RuleError> {
        match rule.to_ascii_lowercase().as_slice() {
            b"allkeys" | b"~*" => self.allow_all_keys(),
            b"resetkeys" => {
                self.all_keys = false;
                self.keys.clear();
            }
            b"allchannels" | b"&*" => {
                self.all_channels = true;
                self.channels.clear();
            }
            b"resetchannels" => self.reset_channels(),
            b"alldbs" => self.databases = None,
            b"resetdbs" => self.databases = Some(Vec::new()),
            b"allcommands" | b"+@all" => self.allow_all_commands(),
            b"nocommands" | b"-@all" => self.forbid_all_commands(),
            _ => match rule {
                [b'd' | b'D', b'b' | b'B', b'=', list @ ..] => self.set_databases(list)?,
                [b'~', pattern @ ..] => self.add_keys(pattern, true, true)?,
                [b'%', rest @ ..] => self.add_limited_keys(rest)?,
                [b'&', pattern @ ..] => self.add_channel(pattern)?,
                [b'+', b'@', name @ ..] => self.apply_category(catalog, name, true)?,
                [b'-', b'@', name @ ..] => self.apply_category(catalog, name, false)?,
                [b'+', name @ ..] => self.allow(catalog, name)?,
                [b'-', name @ ..] => self.forbid(catalog, name)?,
                _ => return Err(RuleError::Syntax),
            },
        }
        Ok(())
    }

    /// What follows `db=`: numbers with commas between them, which take the place of those said before.
    fn set_databases(&mut self, list: &[u8]) -> Result<(), RuleError> {
        let mut databases = Vec::new();
        for word in list.split(|byte| *byte == b',') {
            let number = std::str::from_utf8(word).ok().and_then(|word| word.parse::<i64>().ok());
            let number = number.ok_or(RuleError::Syntax)?;
            databases.push(
                i32::try_from(number)
                    .ok()
                    .and_then(|n| u32::try_from(n).ok())
                    .ok_or(RuleError::NoDatabase)?,
            );
        }
        databases.sort_unstable();
        databases.dedup();
        self.databases = Some(databases);
        Ok(())
    }

    fn allow_all_keys(&mut self) {
        self.all_keys = true;
        self.keys.clear();
    }

    fn reset_channels(&mut self) {
        self.all_channels = false;
        self.channels.clear();
    }

    fn allow_all_commands(&mut self) {
        (self.all_commands, self.rules) = (true, EVERYTHING.to_vec());
        self.first_arguments.clear();
    }

    fn forbid_all_commands(&mut self) {
        (self.all_commands, self.rules) = (false, NOTHING.to_vec());
        self.allowed.clear();
        self.first_arguments.clear();
    }

    fn add_keys(&mut self, pattern: &[u8], read: bool, write: bool) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::KeysAfterAll);
        }
        if has_blanks(pattern) {
            return Err(RuleError::Syntax);
        }
        match self.keys.iter_mut().find(|known| known.pattern == pattern) {
            Some(known) => {
                known.read |= read;
                known.write |= write;
            }
            None => self.keys.push(KeyPattern { pattern: pattern.to_vec(), read, write }),
        }
        Ok(())
    }

    /// What follows a percent sign: `R~pattern`, `W~pattern`, `RW~pattern`.
    fn add_limited_keys(&mut self, rest: &[u8]) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::KeysAfterAll);
        }
        let (mut read, mut write) = (false, false);
        let mut pattern: &[u8] = b"";
        for (at, byte) in rest.iter().enumerate() {
            match byte.to_ascii_uppercase() {
                b'R' if !read => read = true,
                b'W' if !write => write = true,
                b'~' if read || write => {
                    pattern = &rest[at + 1..];
                    break;
                }
                _ => return Err(RuleError::Syntax),
            }
        }
        if !read && !write {
            return Err(RuleError::Syntax);
        }
        self.add_keys(pattern, read, write)
    }

    fn add_channel(&mut self, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::ChannelsAfterAll);
        }
        if has_blanks(pattern) {
            return Err(RuleError::Syntax);
        }
        if !self.channels.iter().any(|known| known == pattern) {
            self.channels.push(pattern.to_vec());
        }
        Ok(())
    }

    fn apply_category(&mut self, catalog: &Catalog, name: &[u8], allow: bool) -> Result<(), RuleError> {
        let wanted = category(name).ok_or(RuleError::UnknownCommand)?;
        if !allow {
            self.spell_out(catalog);
        }
        for (id, entry) in (0..).zip(catalog.entries()) {
            if entry.categories & wanted != 0 {
                self.set(id, allow);
            }
        }
        self.note(&[b"@", name.to_ascii_lowercase().as_slice()].concat(), allow);
        Ok(())
    }

    fn allow(&mut self, catalog: &Catalog, name: &[u8]) -> Result<(), RuleError> {
        let lower = name.to_ascii_lowercase();
        let find = |name: &[u8]| std::str::from_utf8(name).ok().and_then(|name| catalog.find(name));
        if let Some(id) = find(&lower) {
            self.set_with_subcommands(catalog, id, true);
        } else {
            let bar = lower.iter().rposition(|byte| *byte == b'|').ok_or(RuleError::UnknownCommand)?;
            let (base, argument) = (&lower[..bar], &lower[bar + 1..]);
            let id = find(base).ok_or(RuleError::UnknownCommand)?;
            let entry = catalog.entry(id).ok_or(RuleError::UnknownCommand)?;
            if entry.is_subcommand {
                return Err(RuleError::FirstArgumentOfSubcommand);
            }
            // Blanks would make it two rules when it is printed and read again.
            if argument.is_empty() || has_blanks(argument) {
                return Err(RuleError::Syntax);
            }
            // DEBUG has none in the original: any word is its first argument there.
            if !entry.subcommands.is_empty() && base != b"debug" {
                return Err(RuleError::UnknownCommand);
            }
            let known = self.first_arguments.entry(id).or_default();
            if !known.iter().any(|known| known == argument) {
                known.push(argument.to_vec());
            }
        }
        self.note(&lower, true);
        Ok(())
    }

    fn forbid(&mut self, catalog: &Catalog, name: &[u8]) -> Result<(), RuleError> {
        let lower = name.to_ascii_lowercase();
        let found = std::str::from_utf8(&lower).ok().and_then(|name| catalog.find(name));
        let id = found.ok_or(RuleError::UnknownCommand)?;
        self.spell_out(catalog);
        self.set_with_subcommands(catalog, id, false);
        self.note(&lower, false);
        Ok(())
    }

    /// Turns "everything" into a bit per command, from which some can be taken.
    fn spell_out(&mut self, catalog: &Catalog) {
        if std::mem::take(&mut self.all_commands) {
            self.allowed = vec![u64::MAX; catalog.entries().len().div_ceil(64)];
        }
    }

    fn set_with_subcommands(&mut self, catalog: &Catalog, id: CommandId, allow: bool) {
        self.set(id, allow);
        let subcommands = catalog.entry(id).map(|entry: &Entry| entry.subcommands.clone());
        subcommands.into_iter().flatten().for_each(|sub| self.set(sub, allow));
    }

    fn set(&mut self, id: CommandId, allow: bool) {
        self.first_arguments.remove(&id);
        let (word, bit) = (usize::from(id) / 64, 1 << (id % 64));
        if self.allowed.len() <= word {
            self.allowed.resize(word + 1, 0);
        }
        match allow {
            true => self.allowed[word] |= bit,
            false => self.allowed[word] &= !bit,
        }
    }

    /// Adds a rule to those that are printed. Older ones about the same, or only a part of it, are dropped.
    fn note(&mut self, what: &[u8], allow: bool) {
        let part_of = |rule: &[u8]| {
            let rest = rule.get(1..).and_then(|name| name.strip_prefix(what));
            rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'|')
        };
        let kept: Vec<&[u8]> = self
            .rules
            .split(|byte| *byte == b' ')
            .enumerate()
            .filter(|(at, rule)| *at == 0 || !part_of(rule))
            .map(|(_, rule)| rule)
            .collect();
        let mut rules = kept.join(&b' ');
        rules.extend_from_slice(if allow { b" +" } else { b" -" });
        rules.extend_from_slice(what);
        self.rules = rules;
    }

    /// True if the command may run; `first` is its first argument.
    pub fn allows_command(&self, id: CommandId, first: &[u8]) -> bool {
        let bit =
            |words: &[u64]| words.get(usize::from(id) / 64).is_some_and(|word| word >> (id % 64) & 1 == 1);
        self.all_commands
            || bit(&self.allowed)
            || self
                .first_arguments
                .get(&id)
                .is_some_and(|known| known.iter().any(|known| known.eq_ignore_ascii_case(first)))
    }

    /// True if the key may be used so. Who neither reads nor writes only asks whether there is one: any pattern will do.
    pub fn allows_key(&self, key: &[u8], read: bool, write: bool) -> bool {
        let suits = |known: &KeyPattern| (known.read || !read) && (known.write || !write);
        self.all_keys
            || self.keys.iter().any(|known| suits(known) && glob::matches(&known.pattern, key, false))
    }

    /// True if all keys may be read, by one rule.
    pub fn reads_all_keys(&self) -> bool {
        self.all_keys || self.keys.iter().any(|known| known.read && known.pattern == b"*")
    }

    /// True if the channel may be used. A pattern must be listed as it is.
    pub fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        let suits = |known: &Vec<u8>| match is_pattern {
            true => known == channel,
            false => glob::matches(known, channel, false),
        };
        self.all_channels || self.channels.iter().any(suits)
    }

    /// True if the database may be used.
    pub fn allows_database(&self, database: u32) -> bool {
        self.databases.as_ref().is_none_or(|known| known.binary_search(&database).is_ok())
    }

    /// True if all databases may be used.
    pub fn allows_all_databases(&self) -> bool {
        self.databases.is_none()
    }

    /// The rule about databases, as text.
    pub fn describe_databases(&self) -> Vec<u8> {
        match &self.databases {
            None => b"alldbs".to_vec(),
            Some(none) if none.is_empty() => b"resetdbs".to_vec(),
            Some(some) => {
                let numbers: Vec<String> = some.iter().map(u32::to_string).collect();
                format!("db={}", numbers.join(",")).into_bytes()
            }
        }
    }

    /// The rules about commands, as text.
    pub fn describe_commands(&self) -> &[u8] {
        &self.rules
    }

    /// The rules about keys, as text.
    pub fn describe_keys(&self) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        let describe = |known: &KeyPattern| {
            let prefix: &[u8] = match (known.read, known.write) {
                (true, false) => b"%R~",
                (false, true) => b"%W~",
                // As `~*` it would be read as "all keys", after which no other pattern may come.
                _ if known.pattern == b"*" => b"%RW~",
                _ => b"~",
            };
            [prefix, &known.pattern].concat()
        };
        self.keys.iter().map(describe).collect::<Vec<_>>().join(&b' ')
    }

    /// The rules about channels, as text.
    pub fn describe_channels(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        self.channels.iter().map(|known| [b"&", known.as_slice()].concat()).collect::<Vec<_>>().join(&b' ')
    }

    /// All rules, from which an equal one can be made.
    pub fn describe(&self) -> Vec<u8> {
        let mut parts: Vec<Vec<u8>> = Vec::new();
        parts.push(self.describe_keys());
        if !self.all_channels {
            parts.push(b"resetchannels".to_vec());
        }
        parts.push(self.describe_channels());
        if self.databases.is_some() {
            parts.push(self.describe_databases());
        }
        parts.push(self.rules.clone());
        parts.retain(|part| !part.is_empty());
        parts.join(&b' ')
    }
}

/// Blanks and zeros would make a printed pattern unreadable.
pub(super) fn has_blanks(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b' ' | b'\t'..=b'\r' | 0))
}
