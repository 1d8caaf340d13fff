//! The names of everything under a namespace.
//!
//! ```text
//! NS:v<schema>:KEY   an entry          NS:l:KEY      who loads or writes KEY now
//! NS:t:TAG           a tag's version   NS:p:PREFIX   a prefix's version
//! ```
//! The lease knows no schema: a writer of either version voids the loaders of both.

use sha2::{Digest, Sha256};

/// Keys longer than this are named by their digest.
const MAX_PLAIN: usize = 200;

/// The most prefixes of one key that can be invalidated on their own, beside the empty one.
const MAX_PREFIXES: usize = 4;

/// The most tags of one key.
pub const MAX_TAGS: usize = 16;

/// A key within a cache, with the tags under which it can be invalidated together with others.
///
/// The tags of a key follow from the key: a reader names the same ones as the loader did, or does not find the entry.
///
/// ```
/// use larder_client::Key;
///
/// let key = Key::new("invoice:7").tag("customer:42").tag("year:2026");
/// let plain: Key = "invoice:7".into();
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub(crate) name: String,
    pub(crate) tags: Vec<String>,
}

impl Key {
    /// A key without tags.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), tags: Vec::new() }
    }

    /// Adds a tag. One beyond [`MAX_TAGS`] makes requests with this key fail.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// The key's own name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<T: Into<String>> From<T> for Key {
    fn from(name: T) -> Self {
        Self::new(name)
    }
}

/// The names of one cache.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) namespace: String,
    pub(crate) schema: u32,
    pub(crate) separator: Option<char>,
}

impl Names {
    pub(crate) fn value(&self, key: &str) -> String {
        self.value_of_schema(self.schema, key)
    }

    fn value_of_schema(&self, schema: u32, key: &str) -> String {
        format!("{}:v{schema}:{}", self.namespace, plain(key))
    }

    /// The entries that a change of `key` makes untrue: of this schema, and of the one before and after it, because
    /// during a deployment both run, and the older program cannot have been told of the newer one otherwise.
    pub(crate) fn values(&self, key: &str) -> Vec<String> {
        let from = self.schema.saturating_sub(1);
        (from..=self.schema.saturating_add(1)).map(|schema| self.value_of_schema(schema, key)).collect()
    }

    pub(crate) fn lease(&self, key: &str) -> String {
        format!("{}:l:{}", self.namespace, plain(key))
    }

    pub(crate) fn tag(&self, tag: &str) -> String {
        format!("{}:t:{}", self.namespace, plain(tag))
    }

    pub(crate) fn prefix(&self, prefix: &str) -> String {
        format!("{}:p:{}", self.namespace, plain(prefix))
    }

    /// Everything whose version an entry of `key` depends on.
    pub(crate) fn versions(&self, key: &Key) -> Vec<String> {
        let mut names: Vec<String> = key.tags.iter().map(|tag| self.tag(tag)).collect();
        if let Some(separator) = self.separator {
            names.push(self.prefix(""));
            let ends = key.name.match_indices(separator).map(|(at, found)| at + found.len());
            names.extend(ends.take(MAX_PREFIXES).map(|end| self.prefix(&key.name[..end])));
        }
        names
    }
}

/// A digest of names, to compare lists of them.
pub(crate) fn digest_of(names: &[String]) -> u64 {
    let mut digest = Sha256::new();
    for name in names {
        digest.update((name.len() as u64).to_be_bytes());
        digest.update(name);
    }
    let digest = digest.finalize();
    digest.iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

/// A long name as its digest; the mark that digests begin with is not left to plain names.
pub(crate) fn plain(name: &str) -> String {
    if name.len() <= MAX_PLAIN && !name.starts_with('#') {
        return name.to_owned();
    }
    format!("#{}", hex(&Sha256::digest(name)))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(separator: Option<char>) -> Names {
        Names { namespace: "n".into(), schema: 3, separator }
    }

    #[test]
    fn names_are_plain_while_short_and_never_meet() {
        let names = names(None);
        assert_eq!(names.value("user:1"), "n:v3:user:1");
        assert_eq!(names.values("a"), ["n:v2:a", "n:v3:a", "n:v4:a"]);
        let long = "x".repeat(500);
        let digested = names.value(&long);
        assert!(digested.len() < 80);
        let forged = plain(&long);
        assert_ne!(names.value(&forged), digested, "a key cannot pose as another one's digest");
    }

    #[test]
    fn an_entry_depends_on_its_tags_and_prefixes() {
        let key = Key::new("user:7:name").tag("t");
        assert_eq!(names(None).versions(&key), ["n:t:t"]);
        assert_eq!(names(Some(':')).versions(&key), ["n:t:t", "n:p:", "n:p:user:", "n:p:user:7:"]);
        assert_eq!(names(Some(':')).versions(&Key::new("a:b:c:d:e:f:g")).len(), 1 + MAX_PREFIXES);
    }

    #[test]
    fn digests_tell_lists_apart() {
        let list = |names: &[&str]| digest_of(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_ne!(list(&["ab", "c"]), list(&["a", "bc"]));
        assert_ne!(list(&["a", "b"]), list(&["b", "a"]));
    }
}
