//! IAM policies: what a document says, and what it means for one request.
//!
//! Pure: a document is read from text (`document`), patterns match texts (`pattern`), conditions look into the context
//! of the request (`condition`), and `decide` gives the verdict. Whose policies count is known by `authorise`.

mod condition;
mod decide;
mod document;
mod pattern;

#[cfg(test)]
mod tests;

pub use decide::{Request, Verdict, decide, trusts};
pub use document::{Form, Malformed, Policy};

use std::collections::BTreeMap;

/// What is known of a request beyond action and resource: condition keys with their values. Names of keys are the
/// same in any case of letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    values: BTreeMap<String, Vec<String>>,
}

impl Context {
    /// Gives a key one more value.
    pub fn add(&mut self, key: &str, value: impl Into<String>) {
        self.values.entry(key.to_ascii_lowercase()).or_default().push(value.into());
    }

    /// Gives a key the value in place of whatever it had.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.values.insert(key.to_ascii_lowercase(), vec![value.into()]);
    }

    /// The values of a key; none if the request has no such key.
    pub fn get(&self, key: &str) -> Option<&[String]> {
        self.values.get(&key.to_ascii_lowercase()).map(Vec::as_slice)
    }
}
