//! DescribeUsers.

use serde::Deserialize;

use super::user::{self, Attachments, all_users, find_user};
use super::{App, Caller, Input, Paging};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::user::{User, engine};

/// A filter.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Filter {
    name: String,
    #[serde(default)]
    values: Vec<String>,
}

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeUsers {
    engine: Option<String>,
    user_id: Option<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    max_records: Option<i64>,
    marker: Option<String>,
}

impl Input for DescribeUsers {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(self.user_id.as_deref().map(|id| caller.arn(user::SORT, id)))
    }
}

/// Answers one user, or a page of those that fit.
pub(super) fn run(app: &App, caller: &Caller, input: DescribeUsers) -> Result<Xml, ApiError> {
    let paging = Paging::new(input.marker.as_deref(), input.max_records)?;
    let mut users: Vec<User> = match &input.user_id {
        Some(id) => vec![find_user(app, id)?.0],
        None => all_users(app)?,
    };
    if let Some(text) = &input.engine {
        let wanted = engine(text)?;
        users.retain(|user| user.engine == wanted);
    }
    for filter in &input.filters {
        let field: fn(&User) -> &str = match filter.name.as_str() {
            "user-id" => |user| &user.id,
            "user-name" => |user| &user.name,
            "engine" => |user| &user.engine,
            other => {
                let shown: String = other.chars().take(64).collect();
                return Err(ApiError::invalid_value(format!("Invalid filter name: {shown}.")));
            }
        };
        users.retain(|user| filter.values.iter().any(|value| value.eq_ignore_ascii_case(field(user))));
    }
    let page = paging.cut(users, |user| user.id.clone());
    let mut xml = Xml::new();
    page.write_marker(&mut xml);
    let attachments = Attachments::now(app)?;
    xml.list("Users", "member", &page.items, |xml, user| {
        user::write(xml, &attachments, caller, user, None);
    });
    Ok(xml)
}
