//! CreateRole, GetRole, ListRoles, UpdateRole, UpdateAssumeRolePolicy, DeleteRole.

use serde::Deserialize;

use super::find;
use super::instance_profile::has_role;
use crate::api::query::{Input, page};
use crate::front::{ApiError, Xml};
use crate::identity::policy::Form;
use crate::operation::{App, Caller, retrying};
use crate::resource::iam::{Role, check_name, check_path};
use crate::resource::tag::Tag;
use crate::state::{self, Expect, list_all, remove};

/// Longest name of a role.
const NAME_CHARS_MAX: usize = 64;
/// What the longest session of a role may be, in seconds.
const SESSION_SECONDS: std::ops::RangeInclusive<u64> = 3_600..=43_200;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateRole {
    role_name: String,
    path: Option<String>,
    assume_role_policy_document: String,
    description: Option<String>,
    max_session_duration: Option<u64>,
    permissions_boundary: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

impl Input for CreateRole {
    fn resources(&self, _app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        let path = self.path.as_deref().unwrap_or("/");
        Ok(vec![format!("arn:aws:iam::{}:role{path}{}", caller.account, self.role_name)])
    }
}

pub(super) fn create(app: &App, caller: &Caller, input: CreateRole) -> Result<Xml, ApiError> {
    check_name("RoleName", &input.role_name, NAME_CHARS_MAX)?;
    find::check_document(&input.assume_role_policy_document, Form::Trust)?;
    let session_seconds_max = session_seconds(input.max_session_duration)?.unwrap_or(3_600);
    let mut entity = find::entity(app, "AROA", input.role_name, check_path(input.path)?, input.tags)?;
    if let Some(arn) = input.permissions_boundary {
        find::hold_policy(app, caller, &arn)?;
        entity.permissions.boundary = Some(arn);
    }
    let role = Role {
        entity,
        trust: input.assume_role_policy_document,
        description: input.description.filter(|text| !text.is_empty()),
        session_seconds_max,
    };
    find::make(app, "Role", &role)?;
    let mut xml = Xml::new();
    xml.element("Role", |xml| write_whole(xml, caller, &role));
    Ok(xml)
}

fn session_seconds(asked: Option<u64>) -> Result<Option<u64>, ApiError> {
    match asked {
        Some(seconds) if !SESSION_SECONDS.contains(&seconds) => {
            Err(find::invalid("MaxSessionDuration must be between 3600 and 43200 seconds."))
        }
        other => Ok(other),
    }
}

pub(super) fn write_listed(xml: &mut Xml, caller: &Caller, role: &Role) {
    find::write(xml, caller, "role", &role.entity);
    xml.text("AssumeRolePolicyDocument", &find::encoded(&role.trust))
        .optional("Description", role.description.as_deref())
        .number("MaxSessionDuration", role.session_seconds_max);
}

fn write_whole(xml: &mut Xml, caller: &Caller, role: &Role) {
    write_listed(xml, caller, role);
    find::write_more(xml, &role.entity);
}

/// The name of a role alone.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OfRole {
    role_name: String,
}

impl Input for OfRole {
    fn resources(&self, app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![find::arn_of::<Role>(app, caller, &self.role_name)?])
    }
}

pub(super) fn get(app: &App, caller: &Caller, input: OfRole) -> Result<Xml, ApiError> {
    let role = find::holder::<Role>(app, &input.role_name)?.value;
    let mut xml = Xml::new();
    xml.element("Role", |xml| write_whole(xml, caller, &role));
    Ok(xml)
}

pub(super) fn delete(app: &App, _caller: &Caller, input: OfRole) -> Result<Xml, ApiError> {
    retrying(|| {
        let stored = find::holder::<Role>(app, &input.role_name)?;
        let permissions = &stored.value.entity.permissions;
        if !permissions.inline.is_empty() {
            return Err(ApiError::new("DeleteConflict", "Cannot delete entity, must delete policies first."));
        }
        if !permissions.attached.is_empty() {
            return Err(ApiError::new(
                "DeleteConflict",
                "Cannot delete entity, must detach all policies first.",
            ));
        }
        let id = state::Resource::id(&stored.value);
        if has_role(app, &id)? {
            let message = "Cannot delete entity, must remove roles from instance profile first.";
            return Err(ApiError::new("DeleteConflict", message));
        }
        app.records.apply(&[remove::<Role>(&id, Expect::Revision(stored.revision))])?;
        Ok(())
    })?;
    Ok(Xml::new())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListRoles {
    path_prefix: Option<String>,
    marker: Option<String>,
    max_items: Option<usize>,
}

impl Input for ListRoles {}

pub(super) fn list(app: &App, caller: &Caller, input: ListRoles) -> Result<Xml, ApiError> {
    let prefix = input.path_prefix.unwrap_or_default();
    let all = list_all::<Role>(app.records.as_ref())?.into_iter().map(|stored| stored.value);
    let all = all.filter(|role| role.entity.path.starts_with(&prefix)).collect();
    let (roles, next) = page(all, input.marker.as_deref(), input.max_items, state::Resource::id);
    let mut xml = Xml::new();
    find::write_page(&mut xml, next.as_deref());
    xml.list("Roles", "member", &roles, |xml, role| write_listed(xml, caller, role));
    Ok(xml)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateRole {
    role_name: String,
    description: Option<String>,
    max_session_duration: Option<u64>,
}

impl Input for UpdateRole {
    fn resources(&self, app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![find::arn_of::<Role>(app, caller, &self.role_name)?])
    }
}

pub(super) fn update(app: &App, _caller: &Caller, input: UpdateRole) -> Result<Xml, ApiError> {
    let seconds = session_seconds(input.max_session_duration)?;
    find::change::<Role>(app, &input.role_name, |role| {
        // What is not given is set back, as AWS does.
        role.description = input.description.clone().filter(|text| !text.is_empty());
        role.session_seconds_max = seconds.unwrap_or(3_600);
        Ok(())
    })?;
    Ok(Xml::new())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateAssumeRolePolicy {
    role_name: String,
    policy_document: String,
}

impl Input for UpdateAssumeRolePolicy {
    fn resources(&self, app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![find::arn_of::<Role>(app, caller, &self.role_name)?])
    }
}

pub(super) fn update_trust(
    app: &App,
    _caller: &Caller,
    input: UpdateAssumeRolePolicy,
) -> Result<Xml, ApiError> {
    find::check_document(&input.policy_document, Form::Trust)?;
    find::change::<Role>(app, &input.role_name, |role| {
        role.trust.clone_from(&input.policy_document);
        Ok(())
    })?;
    Ok(Xml::new())
}
