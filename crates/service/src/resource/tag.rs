//! Tags: keys and values that users put on resources. A resource's tags are a record of their own, so that tagging
//! works alike for every sort of resource; the operation that deletes a resource deletes its tags in the same change.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::refusal::Refusal;
use crate::state::Resource;

/// Most tags of one resource.
pub const TAGS_MAX: usize = 50;
/// Longest key, in characters.
const KEY_CHARS_MAX: usize = 128;
/// Longest value, in characters.
const VALUE_CHARS_MAX: usize = 256;

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    /// Key.
    pub key: String,
    /// Value; a tag without one has the empty one.
    #[serde(default)]
    pub value: String,
}

/// All tags of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagSet {
    /// Sort of the resource as in its ARN (`cluster`, `subnetgroup`, ...).
    pub sort: String,
    /// Name of the resource, lower case.
    pub name: String,
    /// Value by key.
    pub tags: BTreeMap<String, String>,
}

impl Resource for TagSet {
    const KIND: &'static str = "tags";

    fn id(&self) -> String {
        TagSet::id_of(&self.sort, &self.name)
    }
}

impl TagSet {
    /// The id of the record with the tags of a resource.
    pub fn id_of(sort: &str, name: &str) -> String {
        format!("{sort}:{name}")
    }

    /// A resource without tags.
    pub fn none(sort: &str, name: &str) -> TagSet {
        TagSet { sort: sort.to_owned(), name: name.to_owned(), tags: BTreeMap::new() }
    }

    /// Adds tags; a key that is there gets the new value.
    ///
    /// # Errors
    /// `InvalidParameterValue` for a bad key or value or a key given twice, `TagQuotaPerResourceExceeded`.
    pub fn add(&mut self, tags: Vec<Tag>) -> Result<(), Refusal> {
        let mut given = BTreeMap::new();
        for tag in tags {
            check(&tag)?;
            if given.contains_key(&tag.key) {
                return Err(Refusal::value(format!("The tag key {} is given more than once.", tag.key)));
            }
            given.insert(tag.key, tag.value);
        }
        self.tags.extend(given);
        if self.tags.len() > TAGS_MAX {
            let message = format!("A resource can have at most {TAGS_MAX} tags.");
            return Err(Refusal::new("TagQuotaPerResourceExceeded", message));
        }
        Ok(())
    }

    /// Takes tags away; keys that are not there are as they should be.
    pub fn remove(&mut self, keys: &[String]) {
        for key in keys {
            self.tags.remove(key);
        }
    }
}

fn check(tag: &Tag) -> Result<(), Refusal> {
    let chars = tag.key.chars().count();
    if !(1..=KEY_CHARS_MAX).contains(&chars) || !tag.key.chars().all(allowed) {
        let key: String = tag.key.chars().take(KEY_CHARS_MAX).collect();
        return Err(Refusal::value(format!(
            "The tag key '{key}' is not valid: 1 to {KEY_CHARS_MAX} letters, digits, spaces or any of _ . : / = + - @."
        )));
    }
    if tag.key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
        return Err(Refusal::value("Tag keys that begin with aws: are reserved for system use."));
    }
    if tag.value.chars().count() > VALUE_CHARS_MAX || !tag.value.chars().all(allowed) {
        return Err(Refusal::value(format!(
            "The value of the tag {} is not valid: up to {VALUE_CHARS_MAX} letters, digits, spaces or any of \
             _ . : / = + - @.",
            tag.key
        )));
    }
    Ok(())
}

fn allowed(c: char) -> bool {
    c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> Tag {
        Tag { key: key.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn adding_replaces_and_removing_tolerates() {
        let mut set = TagSet::none("cluster", "a");
        set.add(vec![tag("env", "dev"), tag("Team", "")]).unwrap();
        set.add(vec![tag("env", "prod")]).unwrap();
        set.remove(&["Team".to_owned(), "gone".to_owned()]);
        assert_eq!(set.tags.into_iter().collect::<Vec<_>>(), [("env".to_owned(), "prod".to_owned())]);
    }

    #[test]
    fn bad_tags_are_refused() {
        let long = "k".repeat(129);
        for bad in [
            tag("", ""),
            tag(&long, ""),
            tag("a", &"v".repeat(257)),
            tag("a<", ""),
            tag("AWS:x", ""),
            tag("a", "\n"),
        ] {
            let error = TagSet::none("cluster", "a").add(vec![bad]).unwrap_err();
            assert_eq!(error.code, "InvalidParameterValue");
        }
        let twice = TagSet::none("cluster", "a").add(vec![tag("a", "1"), tag("a", "1")]);
        assert_eq!(twice.unwrap_err().code, "InvalidParameterValue");
    }

    #[test]
    fn fifty_and_not_more() {
        let mut set = TagSet::none("cluster", "a");
        set.add((0..50).map(|n| tag(&format!("k{n}"), "")).collect()).unwrap();
        set.add(vec![tag("k7", "again")]).unwrap();
        assert_eq!(set.add(vec![tag("more", "")]).unwrap_err().code, "TagQuotaPerResourceExceeded");
    }
}
