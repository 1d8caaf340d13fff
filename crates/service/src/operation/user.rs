//! What the operations on users and user groups share: looking one up, spreading a change to the replication groups that
//! it concerns, and their form in answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_lc_rs::digest;
use serde::Deserialize;

use super::{App, Caller};
use crate::front::{ApiError, Xml};
use crate::hex;
use crate::resource::cluster::{Changing, Cluster};
use crate::resource::group::{Group, ObservedGroup, Status};
use crate::resource::refusal::Refusal;
use crate::resource::user::{Authentication, DEFAULT_USER, MemberChange, User, UserGroup, authentication};
use crate::state::{Change, Page, Stored, find, find_shared, list_all, list_shared, replace};

/// Sort of users in ARNs.
pub(super) const SORT: &str = "user";
/// Sort of user groups in ARNs.
pub(super) const GROUP_SORT: &str = "usergroup";

/// AuthenticationMode.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AuthenticationMode {
    r#type: Option<String>,
    #[serde(default)]
    passwords: Vec<String>,
}

/// What a request says of how a user proves who it is, in the older or the newer form.
///
/// # Errors
/// `InvalidParameterValue` and `InvalidParameterCombination`.
pub(super) fn authentication_of(
    passwords: &[String],
    no_password: Option<bool>,
    mode: Option<&AuthenticationMode>,
) -> Result<Option<Authentication>, Refusal> {
    let Some(mode) = mode else {
        return authentication(passwords, no_password == Some(true), sha256);
    };
    if !passwords.is_empty() || no_password == Some(true) {
        return Err(Refusal::combination(
            "AuthenticationMode cannot be specified together with Passwords or NoPasswordRequired.",
        ));
    }
    match mode.r#type.as_deref() {
        Some("password") if mode.passwords.is_empty() => Err(no_password_given()),
        Some("password") => authentication(&mode.passwords, false, sha256),
        Some("no-password-required" | "no-password") => authentication(&mode.passwords, true, sha256),
        Some("iam") if !mode.passwords.is_empty() => {
            Err(Refusal::combination("Passwords cannot be specified with the authentication type iam."))
        }
        Some("iam") => Ok(Some(Authentication::Iam)),
        _ => Err(Refusal::value("AuthenticationMode.Type must be password, no-password-required or iam.")),
    }
}

pub(super) fn no_password_given() -> Refusal {
    Refusal::value(
        "No password was provided. If you want to create/update the user without password, please use the \
         NoPasswordRequired flag.",
    )
}

/// With IAM the name that clients give is the id that policies know.
///
/// # Errors
/// `InvalidParameterValue`.
pub(super) fn check_iam(user: &User) -> Result<(), Refusal> {
    if user.authentication == Authentication::Iam && user.name != user.id {
        return Err(Refusal::value("UserId and UserName must be the same for the authentication type iam."));
    }
    Ok(())
}

fn sha256(password: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, password.as_bytes()).as_ref())
}

/// A user, with the revision of its record; the default user has none.
///
/// # Errors
/// `UserNotFound`.
pub(super) fn find_user(app: &App, name: &str) -> Result<(User, Option<u64>), ApiError> {
    let id = name.to_ascii_lowercase();
    if id == DEFAULT_USER {
        return Ok((User::default_user(), None));
    }
    match find::<User>(app.records.as_ref(), &id)? {
        Some(Stored { value, revision }) => Ok((value, Some(revision))),
        None => {
            let shown: String = name.chars().take(64).collect();
            Err(ApiError::new("UserNotFound", format!("User {shown} not found.")))
        }
    }
}

/// All users, the default user among them, in the order of their ids.
pub(super) fn all_users(app: &App) -> Result<Vec<User>, ApiError> {
    let mut users: Vec<User> =
        list_all::<User>(app.records.as_ref())?.into_iter().map(|stored| stored.value).collect();
    users.push(User::default_user());
    users.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(users)
}

/// The user group of that name.
///
/// # Errors
/// `UserGroupNotFound`.
pub(super) fn find_user_group(app: &App, name: &str) -> Result<Stored<UserGroup>, ApiError> {
    let found = find::<UserGroup>(app.records.as_ref(), &name.to_ascii_lowercase())?;
    found.ok_or_else(|| {
        let shown: String = name.chars().take(64).collect();
        ApiError::new("UserGroupNotFound", format!("User group {shown} not found."))
    })
}

/// The users of a group; records that are held, so that none is deleted at the same moment.
pub(super) fn users_of(app: &App, group: &UserGroup) -> Result<(Vec<User>, Vec<Change>), ApiError> {
    let (mut users, mut holds) = (Vec::new(), Vec::new());
    for id in &group.users {
        let (user, revision) = find_user(app, id)?;
        if let Some(revision) = revision {
            holds.push(replace(&user, revision)?);
        }
        users.push(user);
    }
    Ok((users, holds))
}

/// Which users are in which user groups, and which replication groups those are attached to: found once for a call,
/// however many users it tells of.
pub(super) struct Attachments {
    groups: Vec<Arc<UserGroup>>,
    /// By the user group that is attached to them, or still is.
    attached: BTreeMap<String, Vec<Attached>>,
}

/// A replication group that a user group is attached to, or still is.
pub(super) struct Attached {
    pub(super) id: String,
    /// Whether it follows a change.
    is_busy: bool,
    /// The generation that its nodes have.
    applied_generation: u64,
}

impl Attachments {
    /// Finds out.
    pub(super) fn now(app: &App) -> Result<Attachments, ApiError> {
        let records = app.records.as_ref();
        let groups = list_shared::<UserGroup>(records, Page::default())?;
        let mut attached: BTreeMap<String, Vec<Attached>> = BTreeMap::new();
        for group in list_shared::<Group>(records, Page::default())? {
            let group = group.value;
            let observed = find_shared::<ObservedGroup>(records, &group.id)?.map(|stored| stored.value);
            let is_busy = group.status(observed.as_deref()) == Status::Modifying;
            let was = observed.as_ref().and_then(|observed| observed.user_group.as_ref());
            let names: BTreeSet<&String> = group.user_group.iter().chain(was).collect();
            for name in names {
                let applied_generation = observed.as_ref().map_or(0, |observed| observed.applied_generation);
                let one = Attached { id: group.id.clone(), is_busy, applied_generation };
                attached.entry(name.clone()).or_default().push(one);
            }
        }
        Ok(Attachments { groups: groups.into_iter().map(|stored| stored.value).collect(), attached })
    }

    /// The user groups that a user is in.
    pub(super) fn of_user<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a UserGroup> {
        self.groups.iter().map(AsRef::as_ref).filter(move |group| group.users.contains(id))
    }

    /// The replication groups that a user group is attached to, or still is.
    pub(super) fn of_group(&self, id: &str) -> &[Attached] {
        self.attached.get(id).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether a cache is still following a change of the user group.
    pub(super) fn is_busy(&self, id: &str) -> bool {
        self.of_group(id).iter().any(|group| group.is_busy)
    }

    /// The last change of a user group, while a replication group has not followed it yet.
    fn pending<'a>(&self, group: &'a UserGroup) -> Option<&'a MemberChange> {
        let change = group.last.as_ref()?;
        let is_behind = |group: &Attached| {
            change.followed_at.get(&group.id).is_some_and(|from| group.applied_generation < *from)
        };
        self.of_group(&group.id).iter().any(is_behind).then_some(change)
    }
}

/// The changes by which all replication groups of these user groups follow a change of users.
pub(super) fn spread(app: &App, user_groups: &[&str]) -> Result<Spread, ApiError> {
    let (mut changes, mut followed_at) = (Vec::new(), BTreeMap::new());
    for stored in list_all::<Group>(app.records.as_ref())? {
        let Stored { value: mut group, revision } = stored;
        let is_concerned = group.user_group.as_deref().is_some_and(|id| user_groups.contains(&id));
        if group.deleting || !is_concerned {
            continue;
        }
        group.generation += 1;
        for member in group.members() {
            if let Some(Stored { value: mut cluster, revision }) =
                find::<Cluster>(app.records.as_ref(), member)?
            {
                cluster.changed(Changing::Modify);
                changes.push(replace(&cluster, revision)?);
            }
        }
        followed_at.insert(group.id.clone(), group.generation);
        changes.push(replace(&group, revision)?);
    }
    Ok(Spread { changes, followed_at })
}

/// How a change of users comes to the replication groups that it concerns.
pub(super) struct Spread {
    /// Their changes.
    pub(super) changes: Vec<Change>,
    /// The generation of each from which on it has followed.
    pub(super) followed_at: BTreeMap<String, u64>,
}

/// The status after a change: caches follow it, if there are any.
pub(super) fn status_after(spread: &[Change]) -> &'static str {
    if spread.is_empty() { "active" } else { "modifying" }
}

/// Writes the members of a user. The one who changed it says its status: what the caches have made of it since does not
/// belong into the answer.
pub(super) fn write(
    xml: &mut Xml,
    attachments: &Attachments,
    caller: &Caller,
    user: &User,
    status: Option<&str>,
) {
    let groups: Vec<&UserGroup> = attachments.of_user(&user.id).collect();
    let is_busy = groups.iter().any(|group| attachments.is_busy(&group.id));
    let now = if is_busy { "modifying" } else { "active" };
    let arn = caller.arn(SORT, &user.id).to_string();
    xml.text("UserId", &user.id)
        .text("UserName", &user.name)
        .text("Status", status.unwrap_or(now))
        .text("Engine", &user.engine)
        .text("MinimumEngineVersion", minimum_version(&user.engine))
        .text("AccessString", &user.access)
        .texts("UserGroupIds", "member", groups.iter().map(|group| group.id.as_str()))
        .element("Authentication", |xml| match &user.authentication {
            Authentication::NoPassword => {
                xml.text("Type", "no-password");
            }
            Authentication::Iam => {
                xml.text("Type", "iam");
            }
            Authentication::Passwords(hashes) => {
                xml.text("Type", "password").number("PasswordCount", hashes.len());
            }
        })
        .text("ARN", &arn);
}

/// Writes the members of a user group. While caches follow a change, it has the users of before, and what is pending.
pub(super) fn write_group(
    xml: &mut Xml,
    attachments: &Attachments,
    caller: &Caller,
    group: &UserGroup,
    status: Option<&str>,
) {
    let (attached, is_busy) = (attachments.of_group(&group.id), attachments.is_busy(&group.id));
    let pending = match status {
        Some("modifying") => group.last.as_ref(),
        _ => attachments.pending(group),
    };
    let users = pending.map_or_else(|| group.users.clone(), |change| change.before(&group.users));
    let arn = caller.arn(GROUP_SORT, &group.id).to_string();
    xml.text("UserGroupId", &group.id)
        .text("Status", status.unwrap_or(if is_busy { "modifying" } else { "active" }))
        .text("Engine", &group.engine)
        .texts("UserIds", "member", users.iter().map(String::as_str))
        .text("MinimumEngineVersion", minimum_version(&group.engine));
    if let Some(change) = pending {
        xml.element("PendingChanges", |xml| {
            xml.texts("UserIdsToRemove", "member", change.removed.iter().map(String::as_str)).texts(
                "UserIdsToAdd",
                "member",
                change.added.iter().map(String::as_str),
            );
        });
    }
    xml.texts("ReplicationGroups", "member", attached.iter().map(|group| group.id.as_str()))
        .empty("ServerlessCaches")
        .text("ARN", &arn);
}

fn minimum_version(engine: &str) -> &'static str {
    if engine == "valkey" { "7.2" } else { "6.0" }
}
