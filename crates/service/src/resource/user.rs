//! Users and user groups: who may use a replication group and for what. The rules of access strings have a file of their
//! own; what nodes are told follows from here.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::refusal::Refusal;
use crate::state::Resource;

pub mod access;

/// Id and name of the user that is there from the start.
pub const DEFAULT_USER: &str = "default";
/// Most users of an account and region (quota L-80E085C7).
pub const USERS_MAX: usize = 2000;
/// Most user groups of an account and region (quota L-AD484FC5).
pub const USER_GROUPS_MAX: usize = 200;
/// Most users of one group (quota L-943F0F1C).
pub const GROUP_USERS_MAX: usize = 100;
/// Most passwords of a user.
const PASSWORDS_MAX: usize = 2;
/// Longest id of a user or user group.
const ID_BYTES_MAX: usize = 40;
/// Longest name of a user.
const NAME_BYTES_MAX: usize = 120;

/// How a user proves who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Authentication {
    /// With any of these passwords; their SHA-256 in hexadecimal digits.
    Passwords(Vec<String>),
    /// Not at all.
    NoPassword,
    /// With a token of IAM.
    Iam,
}

/// A user as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Identifier, lower case.
    pub id: String,
    /// The name that clients give. Several users may have one name, but not within a group.
    pub name: String,
    /// `redis` or `valkey`.
    pub engine: String,
    /// What it may do, in the form of [`access::normalise`].
    pub access: String,
    /// How it proves who it is.
    pub authentication: Authentication,
}

impl Resource for User {
    const KIND: &'static str = "user";

    fn id(&self) -> String {
        self.id.clone()
    }
}

impl User {
    /// The user that is there from the start.
    pub fn default_user() -> User {
        User {
            id: DEFAULT_USER.to_owned(),
            name: DEFAULT_USER.to_owned(),
            engine: "redis".to_owned(),
            access: "on ~* &* +@all".to_owned(),
            authentication: Authentication::NoPassword,
        }
    }

    /// The rules that nodes are given for it, without its name.
    pub fn node_rules(&self) -> String {
        let proof = match &self.authentication {
            Authentication::NoPassword => "nopass".to_owned(),
            Authentication::Iam => "iam".to_owned(),
            Authentication::Passwords(hashes) => {
                hashes.iter().map(|hash| format!("#{hash}")).collect::<Vec<_>>().join(" ")
            }
        };
        let (state, rules) = self.access.split_once(' ').unwrap_or((&self.access, ""));
        // Keys and channels begin with none, whatever the node's defaults are.
        format!("{state} {proof} resetkeys resetchannels {rules}").trim_end().to_owned()
    }
}

/// A group of users as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserGroup {
    /// Identifier, lower case.
    pub id: String,
    /// `redis` or `valkey`.
    pub engine: String,
    /// Ids of its users.
    pub users: BTreeSet<String>,
    /// What was changed last, which caches may still be following.
    #[serde(default)]
    pub last: Option<MemberChange>,
}

/// Users that came to a group and left it with one call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberChange {
    /// Ids of those that came.
    pub added: BTreeSet<String>,
    /// Ids of those that left.
    pub removed: BTreeSet<String>,
    /// The generation of each replication group from which on it follows the change.
    pub followed_at: BTreeMap<String, u64>,
}

impl MemberChange {
    /// The users that there were before.
    pub fn before(&self, now: &BTreeSet<String>) -> BTreeSet<String> {
        now.difference(&self.added).chain(&self.removed).cloned().collect()
    }
}

impl Resource for UserGroup {
    const KIND: &'static str = "user-group";

    fn id(&self) -> String {
        self.id.clone()
    }
}

/// An identifier of a user or user group in its stored form (lower case).
///
/// # Errors
/// `InvalidParameterValue`.
pub fn identifier(parameter: &str, text: &str) -> Result<String, Refusal> {
    let is_word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
    let fits = text.len() <= ID_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.split('-').all(is_word);
    if fits {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Refusal::value(format!(
        "The parameter {parameter} is not a valid identifier. Identifiers must begin with a letter; must contain only \
         ASCII letters, digits, and hyphens; and must not end with a hyphen or contain two consecutive hyphens."
    )))
}

/// The name of a user: 1 to 120 printable characters without spaces.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn name(text: &str) -> Result<String, Refusal> {
    let fits = (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"'\\#".contains(&b));
    if fits {
        return Ok(text.to_owned());
    }
    Err(Refusal::value("The parameter UserName must contain 1 to 120 printable characters without spaces."))
}

/// `redis` or `valkey`, in any case of letters.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn engine(text: &str) -> Result<String, Refusal> {
    let lower = text.to_ascii_lowercase();
    if matches!(lower.as_str(), "redis" | "valkey") {
        return Ok(lower);
    }
    let shown: String = text.chars().take(32).collect();
    Err(Refusal::value(format!("Invalid Engine: {shown}. Valid values are redis and valkey.")))
}

/// What a request says of passwords, checked.
///
/// # Errors
/// `InvalidParameterValue` and `InvalidParameterCombination`.
pub fn authentication(
    passwords: &[String],
    no_password: bool,
    hash: impl Fn(&str) -> String,
) -> Result<Option<Authentication>, Refusal> {
    if no_password {
        if passwords.is_empty() {
            return Ok(Some(Authentication::NoPassword));
        }
        return Err(Refusal::combination("Passwords cannot be specified together with NoPasswordRequired."));
    }
    if passwords.is_empty() {
        return Ok(None);
    }
    if passwords.len() > PASSWORDS_MAX {
        return Err(Refusal::value(format!("A user can have at most {PASSWORDS_MAX} passwords.")));
    }
    for password in passwords {
        if !(16..=128).contains(&password.len()) {
            return Err(Refusal::value("Passwords length must be between 16-128 characters."));
        }
        if !password.bytes().all(|b| b.is_ascii_graphic() && !b",\"/@".contains(&b)) {
            return Err(Refusal::value(
                "Passwords must contain only printable ASCII characters other than comma, quotation mark, slash and @.",
            ));
        }
    }
    let mut hashes: Vec<String> = passwords.iter().map(|password| hash(password)).collect();
    hashes.dedup();
    Ok(Some(Authentication::Passwords(hashes)))
}

/// The users of a group must be ones that nodes can tell apart, and a group for redis must have a default user.
///
/// # Errors
/// `DuplicateUserName`, `DefaultUserRequired`, `InvalidParameterValue`, `UserGroupQuotaExceeded`.
pub fn check_members(group: &UserGroup, users: &[User]) -> Result<(), Refusal> {
    if users.len() > GROUP_USERS_MAX {
        let message = format!("A user group can have at most {GROUP_USERS_MAX} users.");
        return Err(Refusal::new("UserGroupQuotaExceeded", message));
    }
    let mut names = BTreeSet::new();
    if let Some(twice) = users.iter().find(|user| !names.insert(user.name.as_str())) {
        let message = format!("Two users of the group {} would have the name {}.", group.id, twice.name);
        return Err(Refusal::new("DuplicateUserName", message));
    }
    if group.engine == "redis" && !names.contains(DEFAULT_USER) {
        return Err(Refusal::new(
            "DefaultUserRequired",
            "You must add default user to a user group. A group of the engine redis must contain a user with the name default.",
        ));
    }
    if let Some(other) = users.iter().find(|user| group.engine == "valkey" && user.engine != "valkey") {
        return Err(Refusal::value(format!(
            "User {} has the engine {}, but the user group {} holds users of the engine valkey only.",
            other.id, other.engine, group.id
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str, name: &str, engine: &str) -> User {
        User { id: id.into(), name: name.into(), engine: engine.into(), ..User::default_user() }
    }

    #[test]
    fn passwords_are_checked_and_kept_as_hashes() {
        let of = |passwords: &[&str], none| {
            let passwords: Vec<String> = passwords.iter().map(|p| (*p).to_owned()).collect();
            authentication(&passwords, none, |p| format!("h{}", p.len()))
        };
        let (long, short) = ("p".repeat(16), "p".repeat(15));
        assert_eq!(of(&[], false), Ok(None));
        assert_eq!(of(&[], true), Ok(Some(Authentication::NoPassword)));
        assert_eq!(of(&[&long], false), Ok(Some(Authentication::Passwords(vec!["h16".into()]))));
        assert_eq!(of(&[&long], true).unwrap_err().code, "InvalidParameterCombination");
        for bad in [short.as_str(), "seventeen letters", "0123456789abcde@f", &"x".repeat(129)] {
            assert_eq!(of(&[bad], false).unwrap_err().code, "InvalidParameterValue", "{bad}");
        }
        assert_eq!(of(&[&long, &long, &long], false).unwrap_err().code, "InvalidParameterValue");
    }

    #[test]
    fn members_must_be_told_apart() {
        let group = |engine: &str| UserGroup {
            id: "g".into(),
            engine: engine.into(),
            users: BTreeSet::new(),
            last: None,
        };
        let code = |engine: &str, users: &[User]| check_members(&group(engine), users).map_err(|e| e.code);
        let default = User::default_user();
        assert_eq!(code("redis", &[default.clone(), user("a", "a", "redis")]), Ok(()));
        assert_eq!(code("redis", &[user("a", "a", "redis")]), Err("DefaultUserRequired"));
        assert_eq!(code("valkey", &[user("a", "a", "valkey")]), Ok(()));
        assert_eq!(code("valkey", &[user("a", "a", "redis")]), Err("InvalidParameterValue"));
        let twice = [default, user("a", "x", "redis"), user("b", "x", "redis")];
        assert_eq!(code("redis", &twice), Err("DuplicateUserName"));
    }

    #[test]
    fn nodes_are_told_rules_in_an_order_that_leaves_nothing_open() {
        let mut user = user("a", "ann", "redis");
        user.access = "on ~app:* -@all +get".into();
        user.authentication = Authentication::Passwords(vec!["00".into(), "11".into()]);
        assert_eq!(user.node_rules(), "on #00 #11 resetkeys resetchannels ~app:* -@all +get");
    }
}
