//! DescribeUserGroups.

use serde::Deserialize;

use super::user::{self, Attachments, find_user_group};
use super::{App, Caller, Input, Paging};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::user::UserGroup;
use crate::state::list_all;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeUserGroups {
    user_group_id: Option<String>,
    max_records: Option<i64>,
    marker: Option<String>,
}

impl Input for DescribeUserGroups {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(self.user_group_id.as_deref().map(|id| caller.arn(user::GROUP_SORT, id)))
    }
}

/// Answers one user group, or a page of all.
pub(super) fn run(app: &App, caller: &Caller, input: DescribeUserGroups) -> Result<Xml, ApiError> {
    let paging = Paging::new(input.marker.as_deref(), input.max_records)?;
    let groups: Vec<UserGroup> = match &input.user_group_id {
        Some(id) => vec![find_user_group(app, id)?.value],
        None => list_all::<UserGroup>(app.records.as_ref())?.into_iter().map(|stored| stored.value).collect(),
    };
    let page = paging.cut(groups, |group| group.id.clone());
    let mut xml = Xml::new();
    page.write_marker(&mut xml);
    let attachments = Attachments::now(app)?;
    xml.list("UserGroups", "member", &page.items, |xml, group| {
        user::write_group(xml, &attachments, caller, group, None);
    });
    Ok(xml)
}
