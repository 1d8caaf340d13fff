//! DeleteUserGroup.

use serde::Deserialize;

use super::event::note;
use super::retry::retrying;
use super::user::{self, Attachments, find_user_group};
use super::{App, Caller, Input};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::event::SourceType;
use crate::resource::tag::TagSet;
use crate::resource::user::UserGroup;
use crate::state::{Expect, remove};

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteUserGroup {
    user_group_id: String,
}

impl Input for DeleteUserGroup {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(user::GROUP_SORT, &self.user_group_id)))
    }
}

/// Deletes a user group that no cache uses. Answers it as it was, deleting.
pub(super) fn run(app: &App, caller: &Caller, input: DeleteUserGroup) -> Result<Xml, ApiError> {
    let group = retrying(|| {
        let stored = find_user_group(app, &input.user_group_id)?;
        if let Some(attached) = Attachments::now(app)?.of_group(&stored.value.id).first() {
            return Err(ApiError::new(
                "InvalidUserGroupState",
                format!(
                    "User group {} is attached to the replication group {}.",
                    stored.value.id, attached.id
                ),
            ));
        }
        app.records.apply(&[
            remove::<UserGroup>(&stored.value.id, Expect::Revision(stored.revision)),
            remove::<TagSet>(&TagSet::id_of(user::GROUP_SORT, &stored.value.id), Expect::Anything),
            note(app, SourceType::UserGroup, &stored.value.id, "User group deleted")?,
        ])?;
        Ok(stored.value)
    })?;
    let mut xml = Xml::new();
    user::write_group(&mut xml, &Attachments::now(app)?, caller, &group, Some("deleting"));
    Ok(xml)
}
