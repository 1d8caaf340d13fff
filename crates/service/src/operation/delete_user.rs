//! DeleteUser.

use serde::Deserialize;

use super::event::note;
use super::retry::retrying;
use super::user::{self, find_user, spread};
use super::{App, Caller, Input};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::event::SourceType;
use crate::resource::tag::TagSet;
use crate::resource::user::{DEFAULT_USER, User, UserGroup};
use crate::state::{Expect, list_all, remove, replace};

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteUser {
    user_id: String,
}

impl Input for DeleteUser {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(user::SORT, &self.user_id)))
    }
}

/// Deletes a user and takes it out of all its groups. Answers it as it was, deleting.
pub(super) fn run(app: &App, caller: &Caller, input: DeleteUser) -> Result<Xml, ApiError> {
    let user = retrying(|| {
        let (user, revision) = find_user(app, &input.user_id)?;
        let revision =
            revision.ok_or_else(|| ApiError::invalid_value("The user default cannot be deleted."))?;
        let mut changes = vec![
            remove::<User>(&user.id, Expect::Revision(revision)),
            remove::<TagSet>(&TagSet::id_of(user::SORT, &user.id), Expect::Anything),
        ];
        let mut concerned = Vec::new();
        for stored in list_all::<UserGroup>(app.records.as_ref())? {
            let mut group = stored.value;
            if !group.users.remove(&user.id) {
                continue;
            }
            if user.name == DEFAULT_USER && group.engine == "redis" {
                return Err(ApiError::new(
                    "DefaultUserAssociatedToUserGroup",
                    format!("User {} is the default user of the user group {}.", user.id, group.id),
                ));
            }
            changes.push(replace(&group, stored.revision)?);
            concerned.push(group.id);
        }
        let ids: Vec<&str> = concerned.iter().map(String::as_str).collect();
        changes.extend(spread(app, &ids)?.changes);
        changes.push(note(app, SourceType::User, &user.id, "User deleted")?);
        app.records.apply(&changes)?;
        Ok(user)
    })?;
    let mut xml = Xml::new();
    xml.text("UserId", &user.id)
        .text("UserName", &user.name)
        .text("Status", "deleting")
        .text("Engine", &user.engine)
        .text("AccessString", &user.access)
        .empty("UserGroupIds")
        .text("ARN", &caller.arn(user::SORT, &user.id).to_string());
    Ok(xml)
}
