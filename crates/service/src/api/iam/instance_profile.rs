//! Instance profiles: names under which machines would be given a role. There are no machines here; the profiles are for the
//! tools that make them together with a role.

use serde::Deserialize;

use super::{find, role};
use crate::api::query::{Input, page};
use crate::front::{ApiError, Xml};
use crate::operation::{App, Caller, retrying};
use crate::resource::iam::{InstanceProfile, Role, check_name, check_path};
use crate::resource::tag::Tag;
use crate::state::{self, Expect, find as find_record, list_all, remove, replace};

/// Longest name.
const NAME_CHARS_MAX: usize = 128;
/// Sort in ARNs.
const SORT: &str = "instance-profile";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateInstanceProfile {
    instance_profile_name: String,
    path: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

impl Input for CreateInstanceProfile {
    fn resources(&self, _app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        let path = self.path.as_deref().unwrap_or("/");
        Ok(vec![format!("arn:aws:iam::{}:{SORT}{path}{}", caller.account, self.instance_profile_name)])
    }
}

pub(super) fn create(app: &App, caller: &Caller, input: CreateInstanceProfile) -> Result<Xml, ApiError> {
    check_name("InstanceProfileName", &input.instance_profile_name, NAME_CHARS_MAX)?;
    let path = check_path(input.path)?;
    let entity = find::entity(app, "AIPA", input.instance_profile_name, path, input.tags)?;
    let profile = InstanceProfile { entity, role: None };
    find::make(app, "Instance Profile", &profile)?;
    answer(app, caller, &profile)
}

fn answer(app: &App, caller: &Caller, profile: &InstanceProfile) -> Result<Xml, ApiError> {
    let role = role_of(app, profile)?;
    let mut xml = Xml::new();
    xml.element("InstanceProfile", |xml| write(xml, caller, profile, role.as_ref(), true));
    Ok(xml)
}

fn role_of(app: &App, profile: &InstanceProfile) -> Result<Option<Role>, ApiError> {
    let Some(role) = &profile.role else { return Ok(None) };
    Ok(find_record::<Role>(app.records.as_ref(), role)?.map(|stored| stored.value))
}

fn write(xml: &mut Xml, caller: &Caller, profile: &InstanceProfile, of: Option<&Role>, whole: bool) {
    find::write(xml, caller, SORT, &profile.entity);
    xml.list("Roles", "member", of, |xml, role| role::write_listed(xml, caller, role));
    if whole {
        find::write_more(xml, &profile.entity);
    }
}

/// The name of an instance profile alone.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OfProfile {
    instance_profile_name: String,
}

impl Input for OfProfile {
    fn resources(&self, app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![find::arn_of::<InstanceProfile>(app, caller, &self.instance_profile_name)?])
    }
}

pub(super) fn get(app: &App, caller: &Caller, input: OfProfile) -> Result<Xml, ApiError> {
    let profile = find::holder::<InstanceProfile>(app, &input.instance_profile_name)?.value;
    answer(app, caller, &profile)
}

pub(super) fn delete(app: &App, _caller: &Caller, input: OfProfile) -> Result<Xml, ApiError> {
    retrying(|| {
        let stored = find::holder::<InstanceProfile>(app, &input.instance_profile_name)?;
        if stored.value.role.is_some() {
            let message = "Cannot delete entity, must remove roles from instance profile first.";
            return Err(ApiError::new("DeleteConflict", message));
        }
        let id = state::Resource::id(&stored.value);
        app.records.apply(&[remove::<InstanceProfile>(&id, Expect::Revision(stored.revision))])?;
        Ok(())
    })?;
    Ok(Xml::new())
}

/// An instance profile and a role.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Membership {
    instance_profile_name: String,
    role_name: String,
}

impl Input for Membership {
    fn resources(&self, app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![find::arn_of::<InstanceProfile>(app, caller, &self.instance_profile_name)?])
    }
}

pub(super) fn add_role(app: &App, _caller: &Caller, input: Membership) -> Result<Xml, ApiError> {
    retrying(|| {
        let role = find::holder::<Role>(app, &input.role_name)?;
        let mut profile = find::holder::<InstanceProfile>(app, &input.instance_profile_name)?;
        if profile.value.role.is_some() {
            let message = "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1";
            return Err(ApiError::new("LimitExceeded", message));
        }
        profile.value.role = Some(state::Resource::id(&role.value));
        // The role is written as it was, so that it cannot be deleted at the same moment.
        let changes = [replace(&profile.value, profile.revision)?, replace(&role.value, role.revision)?];
        app.records.apply(&changes)?;
        Ok(())
    })?;
    Ok(Xml::new())
}

pub(super) fn remove_role(app: &App, _caller: &Caller, input: Membership) -> Result<Xml, ApiError> {
    let wanted = input.role_name.to_ascii_lowercase();
    find::change::<InstanceProfile>(app, &input.instance_profile_name, |profile| {
        if profile.role.as_ref() != Some(&wanted) {
            return Err(find::no_such("role", &input.role_name));
        }
        profile.role = None;
        Ok(())
    })?;
    Ok(Xml::new())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListInstanceProfiles {
    path_prefix: Option<String>,
    marker: Option<String>,
    max_items: Option<usize>,
}

impl Input for ListInstanceProfiles {}

pub(super) fn list(app: &App, caller: &Caller, input: ListInstanceProfiles) -> Result<Xml, ApiError> {
    let prefix = input.path_prefix.unwrap_or_default();
    let all = profiles(app)?.into_iter().filter(|profile| profile.entity.path.starts_with(&prefix)).collect();
    paged(app, caller, all, input.marker.as_deref(), input.max_items)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListInstanceProfilesForRole {
    role_name: String,
    marker: Option<String>,
    max_items: Option<usize>,
}

impl Input for ListInstanceProfilesForRole {
    fn resources(&self, app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![find::arn_of::<Role>(app, caller, &self.role_name)?])
    }
}

pub(super) fn list_of_role(
    app: &App,
    caller: &Caller,
    input: ListInstanceProfilesForRole,
) -> Result<Xml, ApiError> {
    let role = state::Resource::id(&find::holder::<Role>(app, &input.role_name)?.value);
    let all = profiles(app)?.into_iter().filter(|profile| profile.role.as_ref() == Some(&role)).collect();
    paged(app, caller, all, input.marker.as_deref(), input.max_items)
}

fn profiles(app: &App) -> Result<Vec<InstanceProfile>, ApiError> {
    let all = list_all::<InstanceProfile>(app.records.as_ref())?;
    Ok(all.into_iter().map(|stored| stored.value).collect())
}

/// Whether an instance profile has that role.
pub(super) fn has_role(app: &App, role: &str) -> Result<bool, ApiError> {
    Ok(profiles(app)?.iter().any(|profile| profile.role.as_deref() == Some(role)))
}

fn paged(
    app: &App,
    caller: &Caller,
    all: Vec<InstanceProfile>,
    marker: Option<&str>,
    most: Option<usize>,
) -> Result<Xml, ApiError> {
    let (profiles, next) = page(all, marker, most, state::Resource::id);
    let mut with_roles = Vec::new();
    for profile in profiles {
        let role = role_of(app, &profile)?;
        with_roles.push((profile, role));
    }
    let mut xml = Xml::new();
    find::write_page(&mut xml, next.as_deref());
    xml.list("InstanceProfiles", "member", &with_roles, |xml, (profile, role)| {
        write(xml, caller, profile, role.as_ref(), false);
    });
    Ok(xml)
}
