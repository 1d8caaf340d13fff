//! Tags of users, roles and policies.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde::{Deserialize, Deserializer};

use super::find;
use crate::api::query::Input;
use crate::front::{ApiError, Xml};
use crate::identity::policy::Context;
use crate::operation::{App, Caller, retrying};
use crate::resource::iam::Holder;
use crate::resource::tag::Tag;
use crate::state::replace;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameters {
    user_name: Option<String>,
    role_name: Option<String>,
    instance_profile_name: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    tag_keys: Vec<String>,
}

/// The input of operations on tags of a user, a role or an instance profile.
pub(super) struct Tags<H> {
    name: String,
    tags: Vec<Tag>,
    keys: Vec<String>,
    sort: PhantomData<fn() -> H>,
}

impl<'de, H: Holder> Deserialize<'de> for Tags<H> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = Parameters::deserialize(deserializer)?;
        let (name, parameter) = match H::SORT {
            "user" => (given.user_name, "UserName"),
            "instance-profile" => (given.instance_profile_name, "InstanceProfileName"),
            _ => (given.role_name, "RoleName"),
        };
        let name = name.ok_or_else(|| serde::de::Error::missing_field(parameter))?;
        Ok(Tags { name, tags: given.tags, keys: given.tag_keys, sort: PhantomData })
    }
}

impl<H: Holder> Input for Tags<H> {
    fn resources(&self, app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![find::arn_of::<H>(app, caller, &self.name)?])
    }

    fn context(&self) -> Context {
        request_tags(&self.tags, &self.keys)
    }
}

fn request_tags(tags: &[Tag], keys: &[String]) -> Context {
    let mut context = Context::default();
    for tag in tags {
        context.add("aws:TagKeys", tag.key.clone());
        context.set(&format!("aws:RequestTag/{}", tag.key), tag.value.clone());
    }
    for key in keys {
        context.add("aws:TagKeys", key.clone());
    }
    context
}

fn written(tags: &BTreeMap<String, String>) -> Xml {
    let mut xml = Xml::new();
    find::write_page(&mut xml, None);
    find::write_tags(&mut xml, tags);
    xml
}

pub(super) fn list<H: Holder>(app: &App, _caller: &Caller, input: Tags<H>) -> Result<Xml, ApiError> {
    Ok(written(&find::holder::<H>(app, &input.name)?.value.entity().tags))
}

pub(super) fn add<H: Holder>(app: &App, _caller: &Caller, input: Tags<H>) -> Result<Xml, ApiError> {
    find::change::<H>(app, &input.name, |holder| {
        let entity = holder.entity_mut();
        entity.tags = find::with_tags(std::mem::take(&mut entity.tags), input.tags.clone())?;
        Ok(())
    })?;
    Ok(Xml::new())
}

pub(super) fn remove<H: Holder>(app: &App, _caller: &Caller, input: Tags<H>) -> Result<Xml, ApiError> {
    find::change::<H>(app, &input.name, |holder| {
        holder.entity_mut().tags.retain(|key, _| !input.keys.contains(key));
        Ok(())
    })?;
    Ok(Xml::new())
}

/// The input of operations on tags of a policy.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PolicyTags {
    policy_arn: String,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    tag_keys: Vec<String>,
}

impl Input for PolicyTags {
    fn resources(&self, _app: &App, _caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![self.policy_arn.clone()])
    }

    fn context(&self) -> Context {
        request_tags(&self.tags, &self.tag_keys)
    }
}

pub(super) fn list_of_policy(app: &App, caller: &Caller, input: PolicyTags) -> Result<Xml, ApiError> {
    Ok(written(&find::managed(app, caller, &input.policy_arn)?.value.tags))
}

pub(super) fn add_to_policy(app: &App, caller: &Caller, input: PolicyTags) -> Result<Xml, ApiError> {
    retrying(|| {
        let mut stored = find::managed(app, caller, &input.policy_arn)?;
        let tags = std::mem::take(&mut stored.value.tags);
        stored.value.tags = find::with_tags(tags, input.tags.clone())?;
        app.records.apply(&[replace(&stored.value, stored.revision)?])?;
        Ok(())
    })?;
    Ok(Xml::new())
}

pub(super) fn remove_from_policy(app: &App, caller: &Caller, input: PolicyTags) -> Result<Xml, ApiError> {
    retrying(|| {
        let mut stored = find::managed(app, caller, &input.policy_arn)?;
        stored.value.tags.retain(|key, _| !input.tag_keys.contains(key));
        app.records.apply(&[replace(&stored.value, stored.revision)?])?;
        Ok(())
    })?;
    Ok(Xml::new())
}
