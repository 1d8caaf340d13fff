//! CreateTags, DeleteTags, DescribeTags.

use serde::Deserialize;

use super::filter::{Filter, page, passes};
use super::{done, network};
use crate::api::query::Input;
use crate::front::{ApiError, Xml};
use crate::identity::policy::Context;
use crate::operation::{App, Caller, retrying};
use crate::resource::tag::{Tag, TagSet};
use crate::state::list_all;

/// Most things that one call tags.
const RESOURCES_MAX: usize = 1_000;
/// Sorts of things that EC2 tags here.
const SORTS: [&str; 4] = ["vpc", "subnet", "security-group", "security-group-rule"];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateTags {
    resource_id: Vec<String>,
    tag: Vec<Tag>,
}

impl Input for CreateTags {
    fn resources(&self, _app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(self.resource_id.iter().map(|id| network::own_arn(caller, id)).collect())
    }

    fn context(&self) -> Context {
        let mut context = Context::default();
        for tag in &self.tag {
            context.add("aws:TagKeys", tag.key.clone());
            context.set(&format!("aws:RequestTag/{}", tag.key), tag.value.clone());
        }
        context
    }

    fn tags_of(app: &App, arn: &str) -> Result<Vec<(String, String)>, ApiError> {
        network::tags_of_arn(app, arn)
    }
}

fn retag(
    app: &App,
    ids: &[String],
    add: &[Tag],
    remove: impl Fn(&str, &str) -> bool + Copy,
) -> Result<Xml, ApiError> {
    if ids.len() > RESOURCES_MAX {
        return Err(ApiError::invalid_value(format!(
            "At most {RESOURCES_MAX} resources can be tagged at once."
        )));
    }
    retrying(|| {
        let mut changes = vec![network::turnstile(app)?];
        for id in ids {
            let sort = network::sort_of(app, id)?.ok_or_else(|| {
                let shown: String = id.chars().take(64).collect();
                ApiError::new("InvalidID", format!("The ID '{shown}' is not valid"))
            })?;
            changes.push(network::retag(app, sort, id, add, remove)?);
        }
        app.records.apply(&changes)?;
        Ok(())
    })?;
    Ok(done())
}

pub(super) fn create(app: &App, _caller: &Caller, input: CreateTags) -> Result<Xml, ApiError> {
    retag(app, &input.resource_id, &input.tag, |_, _| false)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteTags {
    resource_id: Vec<String>,
    #[serde(default)]
    tag: Vec<Unwanted>,
}

/// A tag to be deleted: whatever its value, if none is given.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Unwanted {
    key: String,
    value: Option<String>,
}

impl Input for DeleteTags {
    fn resources(&self, _app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(self.resource_id.iter().map(|id| network::own_arn(caller, id)).collect())
    }

    fn context(&self) -> Context {
        let mut context = Context::default();
        for tag in &self.tag {
            context.add("aws:TagKeys", tag.key.clone());
        }
        context
    }

    fn tags_of(app: &App, arn: &str) -> Result<Vec<(String, String)>, ApiError> {
        network::tags_of_arn(app, arn)
    }
}

pub(super) fn delete(app: &App, _caller: &Caller, input: DeleteTags) -> Result<Xml, ApiError> {
    let unwanted = |key: &str, value: &str| {
        input.tag.is_empty()
            || input.tag.iter().any(|tag| tag.key == key && tag.value.as_ref().is_none_or(|v| v == value))
    };
    retag(app, &input.resource_id, &[], unwanted)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeTags {
    #[serde(default)]
    filter: Vec<Filter>,
    next_token: Option<String>,
    max_results: Option<usize>,
}

impl Input for DescribeTags {}

pub(super) fn describe(app: &App, _caller: &Caller, input: DescribeTags) -> Result<Xml, ApiError> {
    let mut found = Vec::new();
    for set in list_all::<TagSet>(app.records.as_ref())?.into_iter().map(|stored| stored.value) {
        if !SORTS.contains(&set.sort.as_str()) {
            continue;
        }
        for (key, value) in &set.tags {
            let values = |name: &str| {
                Some(vec![match name {
                    "key" => key.clone(),
                    "value" => value.clone(),
                    "resource-id" => set.name.clone(),
                    "resource-type" => set.sort.clone(),
                    _ => return None,
                }])
            };
            if passes(&input.filter, &[], values)? {
                found.push((set.name.clone(), set.sort.clone(), key.clone(), value.clone()));
            }
        }
    }
    found.sort();
    let (found, next) =
        page(found, input.next_token.as_deref(), input.max_results, |(id, _, key, _)| format!("{id} {key}"));
    let mut xml = Xml::new();
    xml.list("tagSet", "item", &found, |xml, (id, sort, key, value)| {
        xml.text("resourceId", id).text("resourceType", sort).text("key", key).text("value", value);
    });
    xml.optional("nextToken", next.as_deref());
    Ok(xml)
}
