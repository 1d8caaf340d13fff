//! ModifyUserGroup.

use serde::Deserialize;

use super::event::note;
use super::retry::retrying;
use super::user::{self, Attachments, find_user_group, spread, status_after, users_of};
use super::{App, Caller, Input};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::event::SourceType;
use crate::resource::user::{MemberChange, check_members, engine};
use crate::state::replace;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModifyUserGroup {
    user_group_id: String,
    #[serde(default)]
    user_ids_to_add: Vec<String>,
    #[serde(default)]
    user_ids_to_remove: Vec<String>,
    engine: Option<String>,
}

impl Input for ModifyUserGroup {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(user::GROUP_SORT, &self.user_group_id)))
    }
}

/// Wants other users in a group, and in all caches that it is attached to. Answers it.
pub(super) fn run(app: &App, caller: &Caller, input: ModifyUserGroup) -> Result<Xml, ApiError> {
    if input.user_ids_to_add.is_empty() && input.user_ids_to_remove.is_empty() && input.engine.is_none() {
        return Err(ApiError::invalid_combination("No modifications were requested."));
    }
    let (group, status) = retrying(|| {
        let stored = find_user_group(app, &input.user_group_id)?;
        let mut group = stored.value;
        if Attachments::now(app)?.is_busy(&group.id) {
            return Err(ApiError::new(
                "InvalidUserGroupState",
                format!("User group {} is not in active state.", group.id),
            ));
        }
        for id in &input.user_ids_to_remove {
            if !group.users.remove(&id.to_ascii_lowercase()) {
                let shown: String = id.chars().take(64).collect();
                return Err(ApiError::invalid_value(format!(
                    "User {shown} is not a member of user group {}.",
                    group.id
                )));
            }
        }
        for id in &input.user_ids_to_add {
            if !group.users.insert(id.to_ascii_lowercase()) {
                let shown: String = id.chars().take(64).collect();
                return Err(ApiError::invalid_value(format!(
                    "User {shown} is already a member of user group {}.",
                    group.id
                )));
            }
        }
        if let Some(text) = &input.engine {
            group.engine = engine(text)?;
        }
        let (users, mut changes) = users_of(app, &group)?;
        check_members(&group, &users)?;
        let spread = spread(app, &[&group.id])?;
        let ids = |ids: &[String]| ids.iter().map(|id| id.to_ascii_lowercase()).collect();
        group.last = Some(MemberChange {
            added: ids(&input.user_ids_to_add),
            removed: ids(&input.user_ids_to_remove),
            followed_at: spread.followed_at,
        });
        changes.push(replace(&group, stored.revision)?);
        let status = status_after(&spread.changes);
        changes.extend(spread.changes);
        changes.push(note(app, SourceType::UserGroup, &group.id, "User group modified")?);
        app.records.apply(&changes)?;
        Ok((group, status))
    })?;
    let mut xml = Xml::new();
    user::write_group(&mut xml, &Attachments::now(app)?, caller, &group, Some(status));
    Ok(xml)
}
