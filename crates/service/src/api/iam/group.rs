//! CreateGroup, GetGroup, ListGroups, DeleteGroup, and who is in which.

use serde::Deserialize;

use super::find;
use crate::api::query::{Input, page};
use crate::front::{ApiError, Xml};
use crate::operation::{App, Caller, retrying};
use crate::resource::iam::{GROUPS_OF_USER_MAX, Group, User, check_name, check_path};
use crate::state::{self, Expect, list_all, remove, replace};

/// Longest name of a group.
const NAME_CHARS_MAX: usize = 128;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateGroup {
    group_name: String,
    path: Option<String>,
}

impl Input for CreateGroup {
    fn resources(&self, _app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        let path = self.path.as_deref().unwrap_or("/");
        Ok(vec![format!("arn:aws:iam::{}:group{path}{}", caller.account, self.group_name)])
    }
}

pub(super) fn create(app: &App, caller: &Caller, input: CreateGroup) -> Result<Xml, ApiError> {
    check_name("GroupName", &input.group_name, NAME_CHARS_MAX)?;
    let entity = find::entity(app, "AGPA", input.group_name, check_path(input.path)?, Vec::new())?;
    let group = Group { entity, members: Default::default() };
    find::make(app, "Group", &group)?;
    let mut xml = Xml::new();
    xml.element("Group", |xml| find::write(xml, caller, "group", &group.entity));
    Ok(xml)
}

/// The name of a group alone.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OfGroup {
    group_name: String,
    marker: Option<String>,
    max_items: Option<usize>,
}

impl Input for OfGroup {
    fn resources(&self, app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![find::arn_of::<Group>(app, caller, &self.group_name)?])
    }
}

pub(super) fn get(app: &App, caller: &Caller, input: OfGroup) -> Result<Xml, ApiError> {
    let group = find::holder::<Group>(app, &input.group_name)?.value;
    let members = group.members.iter().cloned().collect();
    let (names, next) = page(members, input.marker.as_deref(), input.max_items, String::clone);
    let mut users = Vec::new();
    for name in names {
        users.push(find::holder::<User>(app, &name)?.value.entity);
    }
    let mut xml = Xml::new();
    xml.element("Group", |xml| find::write(xml, caller, "group", &group.entity));
    find::write_page(&mut xml, next.as_deref());
    xml.list("Users", "member", &users, |xml, user| find::write(xml, caller, "user", user));
    Ok(xml)
}

pub(super) fn delete(app: &App, _caller: &Caller, input: OfGroup) -> Result<Xml, ApiError> {
    retrying(|| {
        let stored = find::holder::<Group>(app, &input.group_name)?;
        let permissions = &stored.value.entity.permissions;
        if !stored.value.members.is_empty() {
            return Err(ApiError::new(
                "DeleteConflict",
                "Cannot delete entity, must remove users from group first.",
            ));
        }
        if !permissions.inline.is_empty() || !permissions.attached.is_empty() {
            return Err(ApiError::new(
                "DeleteConflict",
                "Cannot delete entity, must detach all policies first.",
            ));
        }
        let id = state::Resource::id(&stored.value);
        app.records.apply(&[remove::<Group>(&id, Expect::Revision(stored.revision))])?;
        Ok(())
    })?;
    Ok(Xml::new())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListGroups {
    path_prefix: Option<String>,
    marker: Option<String>,
    max_items: Option<usize>,
}

impl Input for ListGroups {}

pub(super) fn list(app: &App, caller: &Caller, input: ListGroups) -> Result<Xml, ApiError> {
    let prefix = input.path_prefix.unwrap_or_default();
    let all = list_all::<Group>(app.records.as_ref())?.into_iter().map(|stored| stored.value);
    let all = all.filter(|group| group.entity.path.starts_with(&prefix)).collect();
    write_groups(caller, all, input.marker.as_deref(), input.max_items)
}

fn write_groups(
    caller: &Caller,
    groups: Vec<Group>,
    marker: Option<&str>,
    most: Option<usize>,
) -> Result<Xml, ApiError> {
    let (groups, next) = page(groups, marker, most, state::Resource::id);
    let mut xml = Xml::new();
    find::write_page(&mut xml, next.as_deref());
    xml.list("Groups", "member", &groups, |xml, group| find::write(xml, caller, "group", &group.entity));
    Ok(xml)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListGroupsForUser {
    user_name: String,
    marker: Option<String>,
    max_items: Option<usize>,
}

impl Input for ListGroupsForUser {
    fn resources(&self, app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![find::arn_of::<User>(app, caller, &self.user_name)?])
    }
}

pub(super) fn of_user(app: &App, caller: &Caller, input: ListGroupsForUser) -> Result<Xml, ApiError> {
    let id = state::Resource::id(&find::holder::<User>(app, &input.user_name)?.value);
    let all = list_all::<Group>(app.records.as_ref())?.into_iter().map(|stored| stored.value);
    let of = all.filter(|group| group.members.contains(&id)).collect();
    write_groups(caller, of, input.marker.as_deref(), input.max_items)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Membership {
    group_name: String,
    user_name: String,
}

impl Input for Membership {
    fn resources(&self, app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![find::arn_of::<Group>(app, caller, &self.group_name)?])
    }
}

pub(super) fn add_user(app: &App, _caller: &Caller, input: Membership) -> Result<Xml, ApiError> {
    retrying(|| {
        let user = find::holder::<User>(app, &input.user_name)?;
        let id = state::Resource::id(&user.value);
        let mut group = find::holder::<Group>(app, &input.group_name)?;
        let others = list_all::<Group>(app.records.as_ref())?;
        if others.iter().filter(|other| other.value.members.contains(&id)).count() >= GROUPS_OF_USER_MAX
            && !group.value.members.contains(&id)
        {
            let message = format!("Cannot exceed quota for GroupsPerUser: {GROUPS_OF_USER_MAX}");
            return Err(ApiError::new("LimitExceeded", message));
        }
        group.value.members.insert(id);
        // The user is written as it was, so that it cannot go away meanwhile.
        let changes = [replace(&group.value, group.revision)?, replace(&user.value, user.revision)?];
        app.records.apply(&changes)?;
        Ok(())
    })?;
    Ok(Xml::new())
}

pub(super) fn remove_user(app: &App, _caller: &Caller, input: Membership) -> Result<Xml, ApiError> {
    let id = state::Resource::id(&find::holder::<User>(app, &input.user_name)?.value);
    find::change::<Group>(app, &input.group_name, |group| {
        if group.members.remove(&id) {
            return Ok(());
        }
        Err(find::no_such("user in the group", &input.user_name))
    })?;
    Ok(Xml::new())
}
