//! ModifyUser.

use serde::Deserialize;

use super::event::note;
use super::retry::retrying;
use super::user::{
    self, Attachments, AuthenticationMode, authentication_of, check_iam, find_user, spread, status_after,
};
use super::{App, Caller, Input};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::event::SourceType;
use crate::resource::user::access::normalise;
use crate::resource::user::{User, engine};
use crate::state::replace;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModifyUser {
    user_id: String,
    access_string: Option<String>,
    append_access_string: Option<String>,
    #[serde(default)]
    passwords: Vec<String>,
    no_password_required: Option<bool>,
    authentication_mode: Option<AuthenticationMode>,
    engine: Option<String>,
}

impl Input for ModifyUser {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(user::SORT, &self.user_id)))
    }
}

/// Wants a user otherwise, in all caches that it may use. Answers it.
pub(super) fn run(app: &App, caller: &Caller, input: ModifyUser) -> Result<Xml, ApiError> {
    let (user, status) = retrying(|| {
        let (mut user, revision) = find_user(app, &input.user_id)?;
        let revision =
            revision.ok_or_else(|| ApiError::invalid_value("The user default cannot be modified."))?;
        let before = user.clone();
        change(&mut user, &input)?;
        let mut changes = vec![];
        if user != before {
            let attachments = Attachments::now(app)?;
            let ids: Vec<&str> = attachments.of_user(&user.id).map(|group| group.id.as_str()).collect();
            changes.extend(spread(app, &ids)?.changes);
        }
        let status = status_after(&changes);
        changes.push(replace(&user, revision)?);
        if user != before {
            changes.push(note(app, SourceType::User, &user.id, "User modified")?);
        }
        app.records.apply(&changes)?;
        Ok((user, status))
    })?;
    let mut xml = Xml::new();
    user::write(&mut xml, &Attachments::now(app)?, caller, &user, Some(status));
    Ok(xml)
}

fn change(user: &mut User, input: &ModifyUser) -> Result<(), ApiError> {
    match (&input.access_string, &input.append_access_string) {
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid_combination(
                "AccessString and AppendAccessString cannot both be specified.",
            ));
        }
        (Some(text), None) => user.access = normalise(text)?,
        (None, Some(more)) => user.access = normalise(&format!("{} {more}", user.access))?,
        (None, None) => {}
    }
    let mode = input.authentication_mode.as_ref();
    if let Some(proof) = authentication_of(&input.passwords, input.no_password_required, mode)? {
        user.authentication = proof;
        check_iam(user)?;
    }
    if let Some(text) = &input.engine {
        let wanted = engine(text)?;
        if user.engine == "valkey" && wanted == "redis" {
            return Err(ApiError::invalid_combination(
                "The engine of a user cannot go from valkey to redis.",
            ));
        }
        user.engine = wanted;
    }
    Ok(())
}
