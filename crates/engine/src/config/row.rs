//! A directive, whether it does something here or not.

use super::Config;
use super::directive::{self, Directive, When};
use super::other::{self, Other, Why};

/// Directives that take several words.
const SEVERAL_WORDS: [&str; 11] = [
    "bind",
    "client-output-buffer-limit",
    "latency-tracking-info-percentiles",
    "loadmodule",
    "oom-score-adj-values",
    "rename-command",
    "replicaof",
    "save",
    "shutdown-on-sigint",
    "shutdown-on-sigterm",
    "user",
];
/// Directives that CONFIG SET changes only where `enable-protected-configs` allows it.
const PROTECTED: [&str; 3] = ["dir", "dbfilename", "logfile"];

/// A row of one of the two tables.
#[derive(Clone, Copy)]
pub enum Row {
    /// It does something.
    Real(&'static Directive),
    /// It does not.
    Other(&'static Other),
}

impl Row {
    /// The row of this name or alias, in any case.
    pub fn find(name: &str) -> Option<Row> {
        let real = directive::find(name).map(Row::Real);
        real.or_else(|| other::find(&name.to_ascii_lowercase()).map(Row::Other))
    }

    /// All rows: a directive that stands in both tables is a real one.
    pub fn all() -> impl Iterator<Item = Row> {
        let others = other::TABLE.iter().filter(|row| directive::find(row.name).is_none());
        directive::all().map(Row::Real).chain(others.map(Row::Other))
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Row::Real(row) => row.name,
            Row::Other(row) => row.name,
        }
    }

    /// Its older names.
    pub fn aliases(&self) -> &'static [&'static str] {
        match self {
            Row::Real(row) => row.aliases,
            Row::Other(row) => row.aliases,
        }
    }

    /// True if CONFIG SET may change it.
    pub fn is_changeable(&self) -> bool {
        match self {
            Row::Real(row) => row.when == When::Always,
            Row::Other(row) => !matches!(row.name, "loadmodule" | "rename-command" | "user"),
        }
    }

    /// True if CONFIG GET shows it. Some only stand in files.
    pub fn is_shown(&self) -> bool {
        !matches!(self.name(), "loadmodule" | "rename-command" | "user")
    }

    /// True if CONFIG GET shows it to who asks for its very name only: it is there for tests.
    pub fn is_hidden(&self) -> bool {
        matches!(self.name(), "aof-disable-auto-gc" | "key-load-delay" | "rdb-key-save-delay")
    }

    /// True if CONFIG SET needs `enable-protected-configs`.
    pub fn is_protected(&self) -> bool {
        PROTECTED.contains(&self.name())
    }

    /// True if it takes several words.
    pub fn takes_words(&self) -> bool {
        SEVERAL_WORDS.contains(&self.name())
            || matches!(self.name(), "allowed-sources" | "replication-sources" | "restricted-commands")
    }

    /// Its value.
    pub fn get(&self, config: &Config) -> String {
        match self {
            Row::Real(row) => (row.get)(config),
            Row::Other(row) => row.get(config),
        }
    }

    /// Takes a value.
    ///
    /// # Errors
    /// What is wrong with the value.
    pub fn set(&self, config: &mut Config, text: &str) -> Result<(), String> {
        match self {
            Row::Real(row) => (row.set)(config, text),
            Row::Other(row) => row.set(config, text),
        }
    }

    /// The feature that does not exist yet, if it belongs to one.
    pub fn absent(&self) -> Option<&'static str> {
        match self {
            Row::Other(Other { why: Why::Absent(feature, _), .. }) => Some(feature),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_twice() {
        let mut names: Vec<&str> =
            Row::all().flat_map(|row| [&[row.name()], row.aliases()].concat()).collect();
        names.sort_unstable();
        let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }
}
