//! CreateAccessKey, ListAccessKeys, UpdateAccessKey, DeleteAccessKey.

use serde::Deserialize;

use super::{find, user};
use crate::api::query::{Input, page};
use crate::front::{ApiError, Xml};
use crate::identity::{AccessKey, Principal};
use crate::operation::{App, Caller, retrying};
use crate::resource::iam::{KEYS_MAX, User};
use crate::state::{self, Expect, Stored, create as created, list_all, remove, replace};

/// The parameters of all four.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OfKey {
    user_name: Option<String>,
    access_key_id: Option<String>,
    status: Option<String>,
    marker: Option<String>,
    max_items: Option<usize>,
}

impl Input for OfKey {
    fn resources(&self, app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![match &self.user_name {
            Some(name) => find::arn_of::<User>(app, caller, name)?,
            None => caller.user_arn.clone(),
        }])
    }
}

/// Whose keys are meant: those of a user, or of the account itself.
enum Owner {
    User(Stored<User>),
    Root,
}

impl Owner {
    fn of(app: &App, caller: &Caller, name: Option<&str>) -> Result<Owner, ApiError> {
        match (name, &caller.principal) {
            (Some(name), _) => Ok(Owner::User(find::holder(app, name)?)),
            (None, Principal::User { name }) => Ok(Owner::User(find::holder(app, name)?)),
            (None, Principal::Root) => Ok(Owner::Root),
            (None, Principal::Role { .. }) => {
                Err(find::invalid("Must specify userName when calling with non-User credentials"))
            }
        }
    }

    fn name(&self) -> &str {
        match self {
            Owner::User(user) => &user.value.entity.name,
            Owner::Root => "root",
        }
    }

    /// Its lasting keys.
    fn keys(&self, app: &App, caller: &Caller) -> Result<Vec<Stored<AccessKey>>, ApiError> {
        let all = match self {
            Owner::User(user) => user::keys_of(app, &user.value.entity.name)?,
            Owner::Root => {
                let mut all = list_all::<AccessKey>(app.records.as_ref())?;
                all.retain(|key| {
                    key.value.principal() == Principal::Root && key.value.account == caller.account
                });
                all
            }
        };
        Ok(all.into_iter().filter(|key| key.value.session.is_none()).collect())
    }

    fn key(&self, app: &App, caller: &Caller, id: Option<&str>) -> Result<Stored<AccessKey>, ApiError> {
        let id = id.ok_or_else(|| ApiError::missing("AccessKeyId"))?;
        let found = self.keys(app, caller)?.into_iter().find(|key| key.value.id == id);
        found.ok_or_else(|| {
            let shown: String = id.chars().take(128).collect();
            ApiError::new("NoSuchEntity", format!("The Access Key with id {shown} cannot be found."))
        })
    }
}

pub(super) fn create(app: &App, caller: &Caller, input: OfKey) -> Result<Xml, ApiError> {
    let key = retrying(|| {
        let owner = Owner::of(app, caller, input.user_name.as_deref())?;
        if owner.keys(app, caller)?.len() >= KEYS_MAX {
            let message = format!("Cannot exceed quota for AccessKeysPerUser: {KEYS_MAX}");
            return Err(ApiError::new("LimitExceeded", message));
        }
        let mut key = AccessKey::generate(&caller.account, owner.name())
            .map_err(|_| ApiError::internal(&"no randomness for a key"))?;
        key.created_ms = app.now_ms();
        let mut changes = vec![created(&key)?];
        if let Owner::User(user) = &owner {
            // Written as it was: so the user cannot go away meanwhile, nor get a third key.
            changes.push(replace(&user.value, user.revision)?);
        }
        app.records.apply(&changes)?;
        Ok(key)
    })?;
    let mut xml = Xml::new();
    xml.element("AccessKey", |xml| {
        write(xml, &key);
        xml.text("SecretAccessKey", &key.secret);
    });
    Ok(xml)
}

fn write(xml: &mut Xml, key: &AccessKey) {
    xml.text("UserName", &key.user)
        .text("AccessKeyId", &key.id)
        .text("Status", if key.inactive { "Inactive" } else { "Active" })
        .time("CreateDate", key.created_ms);
}

pub(super) fn list(app: &App, caller: &Caller, input: OfKey) -> Result<Xml, ApiError> {
    let owner = Owner::of(app, caller, input.user_name.as_deref())?;
    let all = owner.keys(app, caller)?.into_iter().map(|key| key.value).collect();
    let (keys, next) = page(all, input.marker.as_deref(), input.max_items, state::Resource::id);
    let mut xml = Xml::new();
    find::write_page(&mut xml, next.as_deref());
    xml.list("AccessKeyMetadata", "member", &keys, write);
    Ok(xml)
}

pub(super) fn update(app: &App, caller: &Caller, input: OfKey) -> Result<Xml, ApiError> {
    let inactive = match input.status.as_deref() {
        Some("Active") => false,
        Some("Inactive") => true,
        _ => return Err(find::invalid("Status must be Active or Inactive.")),
    };
    retrying(|| {
        let owner = Owner::of(app, caller, input.user_name.as_deref())?;
        let mut key = owner.key(app, caller, input.access_key_id.as_deref())?;
        check_last(app, caller, &owner, inactive)?;
        key.value.inactive = inactive;
        app.records.apply(&[replace(&key.value, key.revision)?])?;
        Ok(())
    })?;
    Ok(Xml::new())
}

pub(super) fn delete(app: &App, caller: &Caller, input: OfKey) -> Result<Xml, ApiError> {
    let owner = Owner::of(app, caller, input.user_name.as_deref())?;
    let key = owner.key(app, caller, input.access_key_id.as_deref())?;
    check_last(app, caller, &owner, true)?;
    app.records.apply(&[remove::<AccessKey>(&key.value.id, Expect::Revision(key.revision))])?;
    Ok(Xml::new())
}

/// The account keeps one key that works: without it nobody could come in again, and the next start of the service
/// would make a new one.
fn check_last(app: &App, caller: &Caller, owner: &Owner, goes: bool) -> Result<(), ApiError> {
    let is_last =
        || Ok::<_, ApiError>(owner.keys(app, caller)?.iter().filter(|key| !key.value.inactive).count() <= 1);
    if goes && matches!(owner, Owner::Root) && is_last()? {
        return Err(ApiError::new("DeleteConflict", "The last access key of the account stays."));
    }
    Ok(())
}
