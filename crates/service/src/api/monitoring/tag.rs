//! ListTagsForResource, TagResource, UntagResource: tags of alarms.

use serde::Deserialize;

use super::wire::Value;
use crate::front::ApiError;
use crate::metric::alarm::Alarm;
use crate::operation::{App, Caller, retrying};
use crate::resource::tag::{Tag, TagSet};
use crate::state::{create, find, replace};

/// Sort of the records of tags.
pub(super) const SORT: &str = "alarm";

/// The parameters of all three.
#[derive(Deserialize)]
pub(super) struct OfResource {
    #[serde(rename = "ResourceARN")]
    arn: String,
    #[serde(rename = "Tags", default)]
    tags: Vec<Tag>,
    #[serde(rename = "TagKeys", default)]
    keys: Vec<String>,
}

impl OfResource {
    pub(super) fn arns(_caller: &Caller, input: &OfResource) -> Vec<String> {
        vec![input.arn.clone()]
    }

    /// The alarm that is meant.
    fn name(&self, app: &App, caller: &Caller) -> Result<String, ApiError> {
        let shown: String = self.arn.chars().take(300).collect();
        let Some(name) = self.arn.strip_prefix(&super::alarm_arn(caller, "")) else {
            return Err(ApiError::invalid_value(format!(
                "The resource {shown} is no alarm of this account and region."
            )));
        };
        let found = find::<Alarm>(app.records.as_ref(), name)?;
        // Operations on tags have a code of their own for it.
        let missing =
            || ApiError::new("ResourceNotFoundException", format!("The alarm {shown} does not exist."));
        Ok(found.ok_or_else(missing)?.value.name)
    }
}

pub(super) fn list(app: &App, caller: &Caller, input: OfResource) -> Result<Value, ApiError> {
    let id = TagSet::id_of(SORT, &input.name(app, caller)?);
    let tags = find::<TagSet>(app.records.as_ref(), &id)?.map(|stored| stored.value.tags).unwrap_or_default();
    let tag = |(key, value)| Value::Structure(vec![("Key", Value::Text(key)), ("Value", Value::Text(value))]);
    Ok(Value::Structure(vec![("Tags", Value::List(tags.into_iter().map(tag).collect()))]))
}

fn change(
    app: &App,
    caller: &Caller,
    input: &OfResource,
    change: impl Fn(&mut TagSet) -> Result<(), ApiError>,
) -> Result<Value, ApiError> {
    retrying(|| {
        let name = input.name(app, caller)?;
        let stored = find::<TagSet>(app.records.as_ref(), &TagSet::id_of(SORT, &name))?;
        let revision = stored.as_ref().map(|stored| stored.revision);
        let mut set = stored.map_or_else(|| TagSet::none(SORT, &name), |stored| stored.value);
        change(&mut set)?;
        let written = match revision {
            Some(revision) => replace(&set, revision)?,
            None => create(&set)?,
        };
        app.records.apply(&[written])?;
        Ok(())
    })?;
    Ok(Value::nothing())
}

pub(super) fn add(app: &App, caller: &Caller, input: OfResource) -> Result<Value, ApiError> {
    change(app, caller, &input, |set| Ok(set.add(input.tags.clone())?))
}

pub(super) fn remove(app: &App, caller: &Caller, input: OfResource) -> Result<Value, ApiError> {
    change(app, caller, &input, |set| {
        set.remove(&input.keys);
        Ok(())
    })
}
