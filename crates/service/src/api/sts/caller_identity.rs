//! GetCallerIdentity.

use crate::front::{ApiError, Xml};
use crate::identity::Principal;
use crate::operation::{App, Caller};
use crate::resource::iam::{Role, User};
use crate::state::find;

/// Answers who calls.
pub(super) fn run(app: &App, caller: &Caller) -> Result<Xml, ApiError> {
    let records = app.records.as_ref();
    let user_id = match &caller.principal {
        Principal::Root => caller.account.clone(),
        Principal::User { name } => {
            let user = find::<User>(records, &name.to_ascii_lowercase())?;
            user.map(|stored| stored.value.entity.unique_id).unwrap_or_default()
        }
        Principal::Role { name, session, .. } => {
            let role = find::<Role>(records, &name.to_ascii_lowercase())?;
            let id = role.map(|stored| stored.value.entity.unique_id).unwrap_or_default();
            format!("{id}:{session}")
        }
    };
    let mut xml = Xml::new();
    xml.text("Arn", &caller.user_arn).text("UserId", &user_id).text("Account", &caller.account);
    Ok(xml)
}
