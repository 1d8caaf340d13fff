//! Other credentials of users, and the alias of the account. A user here has access keys only: what tools look for before
//! they delete one is not there, and they are told so.

use serde::{Deserialize, Serialize};

use super::find;
use crate::api::query::Input;
use crate::front::{ApiError, Xml};
use crate::operation::{App, Caller};
use crate::resource::iam::User;
use crate::state::{self, Expect, Resource, put_any, remove};

/// A user whose credentials are asked for.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OfUser {
    user_name: Option<String>,
}

impl Input for OfUser {
    fn resources(&self, app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![match &self.user_name {
            Some(name) => find::arn_of::<User>(app, caller, name)?,
            None => caller.user_arn.clone(),
        }])
    }
}

fn none(app: &App, input: &OfUser, list: &str) -> Result<Xml, ApiError> {
    if let Some(name) = &input.user_name {
        find::holder::<User>(app, name)?;
    }
    let mut xml = Xml::new();
    find::write_page(&mut xml, None);
    xml.empty(list);
    Ok(xml)
}

pub(super) fn mfa_devices(app: &App, _caller: &Caller, input: OfUser) -> Result<Xml, ApiError> {
    none(app, &input, "MFADevices")
}

pub(super) fn virtual_mfa_devices(app: &App, _caller: &Caller, input: OfUser) -> Result<Xml, ApiError> {
    none(app, &input, "VirtualMFADevices")
}

pub(super) fn ssh_keys(app: &App, _caller: &Caller, input: OfUser) -> Result<Xml, ApiError> {
    none(app, &input, "SSHPublicKeys")
}

pub(super) fn certificates(app: &App, _caller: &Caller, input: OfUser) -> Result<Xml, ApiError> {
    none(app, &input, "Certificates")
}

pub(super) fn of_services(app: &App, _caller: &Caller, input: OfUser) -> Result<Xml, ApiError> {
    none(app, &input, "ServiceSpecificCredentials")
}

/// Nobody signs in with a password.
pub(super) fn login_profile(app: &App, _caller: &Caller, input: OfUser) -> Result<Xml, ApiError> {
    let name = input.user_name.unwrap_or_default();
    find::holder::<User>(app, &name)?;
    Err(find::no_such("login profile for user", &name))
}

/// The other name of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Alias {
    account: String,
    alias: String,
}

impl Resource for Alias {
    const KIND: &'static str = "iam-account-alias";

    fn id(&self) -> String {
        self.account.clone()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OfAlias {
    account_alias: String,
}

impl Input for OfAlias {}

#[derive(Deserialize)]
pub(super) struct Nothing {}

impl Input for Nothing {}

pub(super) fn create_alias(app: &App, caller: &Caller, input: OfAlias) -> Result<Xml, ApiError> {
    let alias = input.account_alias;
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let fits = (3..=63).contains(&alias.len())
        && alias.bytes().all(is_plain)
        && !alias.starts_with('-')
        && !alias.ends_with('-')
        && !alias.contains("--");
    if !fits {
        return Err(find::invalid(
            "AccountAlias must have 3 to 63 small letters, digits and single hyphens.",
        ));
    }
    app.records.apply(&[put_any(&Alias { account: caller.account.clone(), alias })?])?;
    Ok(Xml::new())
}

fn alias_of(app: &App, caller: &Caller) -> Result<Option<String>, ApiError> {
    let found = state::find::<Alias>(app.records.as_ref(), &caller.account)?;
    Ok(found.map(|stored| stored.value.alias))
}

pub(super) fn delete_alias(app: &App, caller: &Caller, input: OfAlias) -> Result<Xml, ApiError> {
    if alias_of(app, caller)?.as_ref() != Some(&input.account_alias) {
        return Err(find::no_such("account alias", &input.account_alias));
    }
    app.records.apply(&[remove::<Alias>(&caller.account, Expect::Anything)])?;
    Ok(Xml::new())
}

pub(super) fn list_aliases(app: &App, caller: &Caller, _input: Nothing) -> Result<Xml, ApiError> {
    let mut xml = Xml::new();
    find::write_page(&mut xml, None);
    xml.texts("AccountAliases", "member", alias_of(app, caller)?.as_deref());
    Ok(xml)
}
