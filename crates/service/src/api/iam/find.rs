//! What the operations share: finding things, changing them, refusing, and forms in answers.

use std::collections::BTreeMap;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::front::{ApiError, Xml};
use crate::identity::policy::{Form, Policy};
use crate::operation::{App, Caller, retrying};
use crate::resource::iam::{AwsPolicy, ENTITIES_MAX, Entity, Holder, ManagedPolicy, unique_id};
use crate::resource::tag::Tag;
use crate::state::{self, Resource, StateError, Stored, create, find, list_all, replace};

/// The error for something that is not there.
pub(super) fn no_such(sort: &str, name: &str) -> ApiError {
    let shown: String = name.chars().take(128).collect();
    ApiError::new("NoSuchEntity", format!("The {sort} with name {shown} cannot be found."))
}

/// The error for a bad value.
pub(super) fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationError", message)
}

/// The user, group or role of that name.
pub(super) fn holder<H: Holder>(app: &App, name: &str) -> Result<Stored<H>, ApiError> {
    find::<H>(app.records.as_ref(), &name.to_ascii_lowercase())?.ok_or_else(|| no_such(H::SORT, name))
}

/// Changes a user, group or role.
pub(super) fn change<H: Holder>(
    app: &App,
    name: &str,
    mut change: impl FnMut(&mut H) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    retrying(|| {
        let mut stored = holder::<H>(app, name)?;
        change(&mut stored.value)?;
        app.records.apply(&[replace(&stored.value, stored.revision)?])?;
        Ok(())
    })
}

/// The policy of an ARN that a user made.
pub(super) fn managed(app: &App, caller: &Caller, arn: &str) -> Result<Stored<ManagedPolicy>, ApiError> {
    let missing = || {
        let shown: String = arn.chars().take(256).collect();
        ApiError::new("NoSuchEntity", format!("Policy {shown} does not exist or is not attachable."))
    };
    if AwsPolicy::find(arn).is_some() {
        return Err(ApiError::new("AccessDenied", format!("The policy {arn} is managed by AWS.")));
    }
    let name = arn.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let found = find::<ManagedPolicy>(app.records.as_ref(), &name)?;
    found.filter(|stored| stored.value.arn(&caller.account) == arn).ok_or_else(missing)
}

/// Whether there is a policy of that ARN, of a user or of AWS. A policy of a user comes with a change that keeps it
/// from being deleted at the same moment.
pub(super) fn hold_policy(app: &App, caller: &Caller, arn: &str) -> Result<Option<state::Change>, ApiError> {
    if AwsPolicy::find(arn).is_some() {
        return Ok(None);
    }
    let stored = managed(app, caller, arn)?;
    Ok(Some(replace(&stored.value, stored.revision)?))
}

/// Makes a record; a name that is taken is an error of its own, and so is one too many.
pub(super) fn make<T: Resource>(app: &App, sort: &str, value: &T) -> Result<(), ApiError> {
    if list_all::<T>(app.records.as_ref())?.len() >= ENTITIES_MAX {
        return Err(ApiError::new("LimitExceeded", format!("There can be at most {ENTITIES_MAX} of them.")));
    }
    match app.records.apply(&[create(value)?]) {
        Err(StateError::Conflict { id, .. }) => {
            Err(ApiError::new("EntityAlreadyExists", format!("{sort} with name {id} already exists.")))
        }
        other => Ok(other.map(drop)?),
    }
}

/// A new user, group or role without any permission.
pub(super) fn entity(
    app: &App,
    prefix: &str,
    name: String,
    path: String,
    tags: Vec<Tag>,
) -> Result<Entity, ApiError> {
    Ok(Entity {
        name,
        path,
        unique_id: new_id(prefix)?,
        created_ms: app.now_ms(),
        permissions: Default::default(),
        tags: with_tags(BTreeMap::new(), tags)?,
    })
}

/// A new unique id.
pub(super) fn new_id(prefix: &str) -> Result<String, ApiError> {
    let mut random = [0; 17];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| ApiError::internal(&"no randomness for an id"))?;
    Ok(unique_id(prefix, &random))
}

/// Tags with more of them.
pub(super) fn with_tags(
    mut tags: BTreeMap<String, String>,
    more: Vec<Tag>,
) -> Result<BTreeMap<String, String>, ApiError> {
    let mut set = crate::resource::tag::TagSet::none("iam", "");
    std::mem::swap(&mut set.tags, &mut tags);
    set.add(more).map_err(|refusal| match refusal.code {
        "TagQuotaPerResourceExceeded" => ApiError::new("LimitExceeded", refusal.message),
        _ => ApiError::new("InvalidInput", refusal.message),
    })?;
    Ok(set.tags)
}

/// Checks a document.
pub(super) fn check_document(text: &str, form: Form) -> Result<(), ApiError> {
    let chars = text.chars().filter(|c| !c.is_whitespace()).count();
    if chars > crate::resource::iam::DOCUMENT_CHARS_MAX {
        let most = crate::resource::iam::DOCUMENT_CHARS_MAX;
        return Err(ApiError::new("LimitExceeded", format!("Cannot exceed quota for PolicySize: {most}")));
    }
    Policy::parse(text, form).map(drop).map_err(|why| ApiError::new("MalformedPolicyDocument", why.0))
}

/// A document as it stands in answers.
pub(super) fn encoded(document: &str) -> String {
    utf8_percent_encode(document, NON_ALPHANUMERIC).to_string()
}

/// Writes what users, groups and roles have in common.
pub(super) fn write(xml: &mut Xml, caller: &Caller, sort: &str, entity: &Entity) {
    let title = title(sort);
    xml.text("Path", &entity.path)
        .text(&format!("{title}Name"), &entity.name)
        .text(&format!("{title}Id"), &entity.unique_id)
        .text("Arn", &entity.arn(&caller.account, sort))
        .time("CreateDate", entity.created_ms);
}

/// Writes tags and the boundary, which only whole answers have.
pub(super) fn write_more(xml: &mut Xml, entity: &Entity) {
    if let Some(arn) = &entity.permissions.boundary {
        xml.element("PermissionsBoundary", |xml| {
            xml.text("PermissionsBoundaryType", "Policy").text("PermissionsBoundaryArn", arn);
        });
    }
    if !entity.tags.is_empty() {
        write_tags(xml, &entity.tags);
    }
}

/// Writes tags.
pub(super) fn write_tags(xml: &mut Xml, tags: &BTreeMap<String, String>) {
    xml.list("Tags", "member", tags, |xml, (key, value)| {
        xml.text("Key", key).text("Value", value);
    });
}

/// Writes whether there is more, and how to go on.
pub(super) fn write_page(xml: &mut Xml, next: Option<&str>) {
    xml.boolean("IsTruncated", next.is_some());
    xml.optional("Marker", next);
}

/// `user` as it begins a name.
pub(super) fn title(sort: &str) -> &'static str {
    match sort {
        "user" => "User",
        "group" => "Group",
        "instance-profile" => "InstanceProfile",
        _ => "Role",
    }
}

/// The ARN of something that may not be there.
pub(super) fn arn_of<H: Holder>(app: &App, caller: &Caller, name: &str) -> Result<String, ApiError> {
    let found = find::<H>(app.records.as_ref(), &name.to_ascii_lowercase())?;
    Ok(match found {
        Some(stored) => stored.value.entity().arn(&caller.account, H::SORT),
        None => format!("arn:aws:iam::{}:{}/{name}", caller.account, H::SORT),
    })
}
