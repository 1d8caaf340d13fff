//! CreateUser.

use serde::Deserialize;

use super::event::note;
use super::user::{self, Attachments, AuthenticationMode, authentication_of, check_iam, no_password_given};
use super::{App, Caller, Input};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::event::SourceType;
use crate::resource::tag::{Tag, TagSet};
use crate::resource::user::access::normalise;
use crate::resource::user::{DEFAULT_USER, USERS_MAX, User, engine, identifier, name};
use crate::state::{self, StateError, create, list_all};

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateUser {
    user_id: String,
    user_name: String,
    engine: String,
    #[serde(default)]
    passwords: Vec<String>,
    access_string: String,
    no_password_required: Option<bool>,
    #[serde(default)]
    tags: Vec<Tag>,
    authentication_mode: Option<AuthenticationMode>,
}

impl Input for CreateUser {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(user::SORT, &self.user_id)))
    }
}

/// Makes a user. Answers it, active.
pub(super) fn run(app: &App, caller: &Caller, input: CreateUser) -> Result<Xml, ApiError> {
    let id = identifier("UserId", &input.user_id)?;
    let proof =
        authentication_of(&input.passwords, input.no_password_required, input.authentication_mode.as_ref())?;
    let user = User {
        name: name(&input.user_name)?,
        engine: engine(&input.engine)?,
        access: normalise(&input.access_string)?,
        authentication: proof.ok_or_else(no_password_given)?,
        id,
    };
    check_iam(&user)?;
    let mut tags = TagSet::none(user::SORT, &user.id);
    tags.add(input.tags)?;
    let exists = || ApiError::new("UserAlreadyExists", format!("User {} already exists.", user.id));
    if user.id == DEFAULT_USER {
        return Err(exists());
    }
    if list_all::<User>(app.records.as_ref())?.len() >= USERS_MAX {
        return Err(ApiError::new("UserQuotaExceeded", format!("There can be at most {USERS_MAX} users.")));
    }
    match app.records.apply(&[
        create(&user)?,
        state::put_any(&tags)?,
        note(app, SourceType::User, &user.id, "User created")?,
    ]) {
        Err(StateError::Conflict { .. }) => return Err(exists()),
        other => drop(other?),
    }
    let mut xml = Xml::new();
    user::write(&mut xml, &Attachments::now(app)?, caller, &user, Some("active"));
    Ok(xml)
}
