//! CreateUser, GetUser, ListUsers, UpdateUser, DeleteUser.

use serde::Deserialize;

use super::find;
use crate::api::query::{Input, page};
use crate::front::{ApiError, Xml};
use crate::identity::{AccessKey, Principal};
use crate::operation::{App, Caller, retrying};
use crate::resource::iam::{Group, User, check_name, check_path};
use crate::resource::tag::Tag;
use crate::state::{self, Expect, create as created, list_all, remove, replace};

/// Longest name of a user.
const NAME_CHARS_MAX: usize = 64;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateUser {
    user_name: String,
    path: Option<String>,
    permissions_boundary: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

impl Input for CreateUser {
    fn resources(&self, _app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        let path = self.path.as_deref().unwrap_or("/");
        Ok(vec![format!("arn:aws:iam::{}:user{path}{}", caller.account, self.user_name)])
    }
}

pub(super) fn create(app: &App, caller: &Caller, input: CreateUser) -> Result<Xml, ApiError> {
    check_name("UserName", &input.user_name, NAME_CHARS_MAX)?;
    let mut entity = find::entity(app, "AIDA", input.user_name, check_path(input.path)?, input.tags)?;
    if let Some(arn) = input.permissions_boundary {
        find::hold_policy(app, caller, &arn)?;
        entity.permissions.boundary = Some(arn);
    }
    let user = User { entity };
    find::make(app, "User", &user)?;
    let mut xml = Xml::new();
    xml.element("User", |xml| write_whole(xml, caller, &user));
    Ok(xml)
}

fn write_whole(xml: &mut Xml, caller: &Caller, user: &User) {
    find::write(xml, caller, "user", &user.entity);
    find::write_more(xml, &user.entity);
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetUser {
    user_name: Option<String>,
}

impl Input for GetUser {
    fn resources(&self, app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![match &self.user_name {
            Some(name) => find::arn_of::<User>(app, caller, name)?,
            None => caller.user_arn.clone(),
        }])
    }
}

pub(super) fn get(app: &App, caller: &Caller, input: GetUser) -> Result<Xml, ApiError> {
    let mut xml = Xml::new();
    let name = match (input.user_name, &caller.principal) {
        (Some(name), _) => name,
        (None, Principal::User { name }) => name.clone(),
        (None, Principal::Root) => {
            xml.element("User", |xml| {
                xml.text("UserId", &caller.account).text("Arn", &caller.user_arn).time("CreateDate", 0);
            });
            return Ok(xml);
        }
        (None, Principal::Role { .. }) => {
            return Err(find::invalid("Must specify userName when calling with non-User credentials"));
        }
    };
    let user = find::holder::<User>(app, &name)?.value;
    xml.element("User", |xml| write_whole(xml, caller, &user));
    Ok(xml)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListUsers {
    path_prefix: Option<String>,
    marker: Option<String>,
    max_items: Option<usize>,
}

impl Input for ListUsers {}

pub(super) fn list(app: &App, caller: &Caller, input: ListUsers) -> Result<Xml, ApiError> {
    let prefix = input.path_prefix.unwrap_or_default();
    let all = list_all::<User>(app.records.as_ref())?.into_iter().map(|stored| stored.value.entity);
    let all = all.filter(|entity| entity.path.starts_with(&prefix)).collect();
    let lower = |entity: &crate::resource::iam::Entity| entity.name.to_ascii_lowercase();
    let (users, next) = page(all, input.marker.as_deref(), input.max_items, lower);
    let mut xml = Xml::new();
    find::write_page(&mut xml, next.as_deref());
    xml.list("Users", "member", &users, |xml, user| find::write(xml, caller, "user", user));
    Ok(xml)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateUser {
    user_name: String,
    new_path: Option<String>,
    new_user_name: Option<String>,
}

impl Input for UpdateUser {
    fn resources(&self, app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![find::arn_of::<User>(app, caller, &self.user_name)?])
    }
}

/// A new name moves the record; keys and memberships follow in the same change.
pub(super) fn update(app: &App, _caller: &Caller, input: UpdateUser) -> Result<Xml, ApiError> {
    let new_path = input.new_path.map(|path| check_path(Some(path))).transpose()?;
    if let Some(name) = &input.new_user_name {
        check_name("NewUserName", name, NAME_CHARS_MAX)?;
    }
    retrying(|| {
        let stored = find::holder::<User>(app, &input.user_name)?;
        let (old_name, old_id) = (stored.value.entity.name.clone(), state::Resource::id(&stored.value));
        let mut user = stored.value;
        if let Some(path) = &new_path {
            user.entity.path.clone_from(path);
        }
        if let Some(name) = &input.new_user_name {
            user.entity.name.clone_from(name);
        }
        let new_id = state::Resource::id(&user);
        if new_id == old_id {
            app.records.apply(&[replace(&user, stored.revision)?])?;
            return Ok(());
        }
        if state::find::<User>(app.records.as_ref(), &new_id)?.is_some() {
            return Err(ApiError::new(
                "EntityAlreadyExists",
                format!("User with name {new_id} already exists."),
            ));
        }
        let mut changes = vec![remove::<User>(&old_id, Expect::Revision(stored.revision)), created(&user)?];
        for mut key in keys_of(app, &old_name)? {
            key.value.user.clone_from(&user.entity.name);
            changes.push(replace(&key.value, key.revision)?);
        }
        for mut group in list_all::<Group>(app.records.as_ref())? {
            if group.value.members.remove(&old_id) {
                group.value.members.insert(new_id.clone());
                changes.push(replace(&group.value, group.revision)?);
            }
        }
        app.records.apply(&changes)?;
        Ok(())
    })?;
    Ok(Xml::new())
}

/// All keys of a user, temporary ones too.
pub(super) fn keys_of(app: &App, name: &str) -> Result<Vec<state::Stored<AccessKey>>, ApiError> {
    let all = list_all::<AccessKey>(app.records.as_ref())?;
    let is_of = |key: &AccessKey| matches!(key.principal(), Principal::User { name: of } if of.eq_ignore_ascii_case(name));
    Ok(all.into_iter().filter(|stored| is_of(&stored.value)).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteUser {
    user_name: String,
}

impl Input for DeleteUser {
    fn resources(&self, app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![find::arn_of::<User>(app, caller, &self.user_name)?])
    }
}

pub(super) fn delete(app: &App, _caller: &Caller, input: DeleteUser) -> Result<Xml, ApiError> {
    retrying(|| {
        let stored = find::holder::<User>(app, &input.user_name)?;
        let id = state::Resource::id(&stored.value);
        let permissions = &stored.value.entity.permissions;
        let conflict =
            |what: &str| ApiError::new("DeleteConflict", format!("Cannot delete entity, must {what} first."));
        let (temporary, lasting): (Vec<_>, Vec<_>) =
            keys_of(app, &input.user_name)?.into_iter().partition(|key| key.value.session.is_some());
        if !lasting.is_empty() {
            return Err(conflict("delete access keys"));
        }
        if !permissions.inline.is_empty() {
            return Err(conflict("delete policies"));
        }
        if !permissions.attached.is_empty() {
            return Err(conflict("detach all policies"));
        }
        if list_all::<Group>(app.records.as_ref())?.iter().any(|g| g.value.members.contains(&id)) {
            return Err(conflict("remove users from group"));
        }
        let mut changes = vec![remove::<User>(&id, Expect::Revision(stored.revision))];
        changes.extend(temporary.iter().map(|key| remove::<AccessKey>(&key.value.id, Expect::Anything)));
        app.records.apply(&changes)?;
        Ok(())
    })?;
    Ok(Xml::new())
}
