//! CreateUserGroup.

use serde::Deserialize;

use super::event::note;
use super::user::{self, Attachments, users_of};
use super::{App, Caller, Input};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::event::SourceType;
use crate::resource::tag::{Tag, TagSet};
use crate::resource::user::{USER_GROUPS_MAX, UserGroup, check_members, engine, identifier};
use crate::state::{self, Resource, StateError, create, list_all};

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateUserGroup {
    user_group_id: String,
    engine: String,
    #[serde(default)]
    user_ids: Vec<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

impl Input for CreateUserGroup {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(user::GROUP_SORT, &self.user_group_id)))
    }
}

/// Makes a user group. Answers it, creating.
pub(super) fn run(app: &App, caller: &Caller, input: CreateUserGroup) -> Result<Xml, ApiError> {
    let group = UserGroup {
        id: identifier("UserGroupId", &input.user_group_id)?,
        engine: engine(&input.engine)?,
        users: input.user_ids.iter().map(|id| id.to_ascii_lowercase()).collect(),
        last: None,
    };
    let (users, mut changes) = users_of(app, &group)?;
    check_members(&group, &users)?;
    let mut tags = TagSet::none(user::GROUP_SORT, &group.id);
    tags.add(input.tags)?;
    if list_all::<UserGroup>(app.records.as_ref())?.len() >= USER_GROUPS_MAX {
        let message = format!("There can be at most {USER_GROUPS_MAX} user groups.");
        return Err(ApiError::new("UserGroupQuotaExceeded", message));
    }
    changes.push(create(&group)?);
    changes.push(state::put_any(&tags)?);
    changes.push(note(app, SourceType::UserGroup, &group.id, "User group created")?);
    match app.records.apply(&changes) {
        Err(StateError::Conflict { kind, .. }) if kind == UserGroup::KIND => {
            let message = format!("User group {} already exists.", group.id);
            return Err(ApiError::new("UserGroupAlreadyExists", message));
        }
        other => drop(other?),
    }
    let mut xml = Xml::new();
    user::write_group(&mut xml, &Attachments::now(app)?, caller, &group, Some("creating"));
    Ok(xml)
}
