//! Filters and pages of Describe operations.

use serde::Deserialize;

use crate::front::{ApiError, Xml};
use crate::identity::policy::Context;
use crate::resource::tag::Tag;

/// A filter: the thing has one of the values.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Filter {
    name: String,
    #[serde(default)]
    value: Vec<String>,
}

/// Whether something passes all filters. `values` answers what it has under a filter's name; none for a name that
/// such things do not have.
///
/// # Errors
/// `InvalidParameterValue` for a name that is none.
pub(super) fn passes(
    filters: &[Filter],
    tags: &[(String, String)],
    values: impl Fn(&str) -> Option<Vec<String>>,
) -> Result<bool, ApiError> {
    for filter in filters {
        let present = match filter.name.strip_prefix("tag:") {
            Some(key) => tags.iter().filter(|(k, _)| k == key).map(|(_, value)| value.clone()).collect(),
            None if filter.name == "tag-key" => tags.iter().map(|(key, _)| key.clone()).collect(),
            None => values(&filter.name).ok_or_else(|| {
                let shown: String = filter.name.chars().take(64).collect();
                ApiError::invalid_value(format!("The filter '{shown}' is invalid"))
            })?,
        };
        let is_wanted = |value: &String| {
            filter
                .value
                .iter()
                .any(|wanted| larder_protocol::glob::matches(wanted.as_bytes(), value.as_bytes(), false))
        };
        if !present.iter().any(is_wanted) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Cuts a list that is ordered by id into a page. Answers the page and the token of the next one.
pub(super) fn page<T>(
    items: Vec<T>,
    token: Option<&str>,
    most: Option<usize>,
    id: impl Fn(&T) -> String,
) -> (Vec<T>, Option<String>) {
    crate::api::query::page(items, token, most, id)
}

/// Tags that come with the creation of something.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagSpecification {
    resource_type: String,
    #[serde(default)]
    tag: Vec<Tag>,
}

/// The tags for a sort of thing.
pub(super) fn tags_for(given: &[TagSpecification], sort: &str) -> Result<Vec<Tag>, ApiError> {
    if let Some(other) = given.iter().find(|tags| tags.resource_type != sort) {
        let shown: String = other.resource_type.chars().take(64).collect();
        return Err(ApiError::invalid_value(format!(
            "'{shown}' is not a valid taggable resource type here."
        )));
    }
    Ok(given.iter().flat_map(|tags| tags.tag.iter().cloned()).collect())
}

/// Condition keys of tags in a request.
pub(super) fn tag_context(given: &[TagSpecification]) -> Context {
    let mut context = Context::default();
    for tag in given.iter().flat_map(|tags| &tags.tag) {
        context.add("aws:TagKeys", tag.key.clone());
        context.set(&format!("aws:RequestTag/{}", tag.key), tag.value.clone());
    }
    context
}

/// Writes tags.
pub(super) fn write_tags(xml: &mut Xml, tags: &[(String, String)]) {
    xml.list("tagSet", "item", tags, |xml, (key, value)| {
        xml.text("key", key).text("value", value);
    });
}
