//! What IAM remembers: users, groups, roles, policies, and the sessions of roles. Access keys are in `identity`.
//!
//! Names are unique in any case of letters, so records are found by the name in lower case.

mod managed;
mod name;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::state::Resource;

pub use managed::{AWS_POLICIES, AwsPolicy};
pub use name::{check_name, check_path, unique_id};

/// Most versions of one managed policy (quota).
pub const VERSIONS_MAX: usize = 5;
/// Most managed policies attached to one user, group or role (quota).
pub const ATTACHED_MAX: usize = 10;
/// Most inline policies of one user, group or role. AWS bounds their characters; so do we, by the store's record.
pub const INLINE_MAX: usize = 100;
/// Longest managed policy, in characters without white space (quota).
pub const DOCUMENT_CHARS_MAX: usize = 6_144;
/// Most users (quota), and as many groups, roles and policies.
pub const ENTITIES_MAX: usize = 5_000;
/// Most access keys of one user (quota).
pub const KEYS_MAX: usize = 2;
/// Most groups that one user is in (quota).
pub const GROUPS_OF_USER_MAX: usize = 10;

/// What may be done by a user, a role or the members of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permissions {
    /// Inline policies: text by name.
    pub inline: BTreeMap<String, String>,
    /// ARNs of attached managed policies.
    pub attached: BTreeSet<String>,
    /// ARN of the policy that bounds everything else.
    pub boundary: Option<String>,
}

/// What users, groups and roles have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entity {
    /// Name as it was given.
    pub name: String,
    /// Path, `/` as a rule.
    pub path: String,
    /// `AIDA`, `AGPA` or `AROA` and 17 letters.
    pub unique_id: String,
    /// When it was made, Unix milliseconds.
    pub created_ms: u64,
    /// What it may do.
    pub permissions: Permissions,
    /// Tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

impl Entity {
    /// Its ARN, as one of that sort (`user`, `group`, `role`).
    pub fn arn(&self, account: &str, sort: &str) -> String {
        format!("arn:aws:iam::{account}:{sort}{}{}", self.path, self.name)
    }
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Name, permissions and so on.
    pub entity: Entity,
}

/// A group of users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Name, permissions and so on.
    pub entity: Entity,
    /// Names of its members, lower case.
    pub members: BTreeSet<String>,
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Name, permissions and so on.
    pub entity: Entity,
    /// Who may assume it: a policy document.
    pub trust: String,
    /// Words of the user.
    pub description: Option<String>,
    /// Longest session, in seconds.
    pub session_seconds_max: u64,
}

/// An instance profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceProfile {
    /// Name, tags and so on; it has no permissions of its own.
    pub entity: Entity,
    /// Name of its role, lower case.
    pub role: Option<String>,
}

/// One version of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// The document.
    pub document: String,
    /// When it was made, Unix milliseconds.
    pub created_ms: u64,
}

/// A policy that a user made, to be attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedPolicy {
    /// Name as it was given.
    pub name: String,
    /// Path.
    pub path: String,
    /// `ANPA` and 17 letters.
    pub unique_id: String,
    /// Words of the user.
    pub description: Option<String>,
    /// Versions by number.
    pub versions: BTreeMap<u64, PolicyVersion>,
    /// Number of the version in force.
    pub default_version: u64,
    /// Number of the next version: numbers are never used twice.
    pub next_version: u64,
    /// When it was made, Unix milliseconds.
    pub created_ms: u64,
    /// When its newest version or its default was changed.
    pub updated_ms: u64,
    /// Tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

impl ManagedPolicy {
    /// Its ARN.
    pub fn arn(&self, account: &str) -> String {
        format!("arn:aws:iam::{account}:policy{}{}", self.path, self.name)
    }

    /// The document in force.
    pub fn document(&self) -> &str {
        self.versions.get(&self.default_version).map_or("", |version| &version.document)
    }
}

/// A user, group or role: what policies are attached to.
pub trait Holder: Resource {
    /// Sort in ARNs, and the first letters of its operations.
    const SORT: &'static str;

    /// Its common part.
    fn entity(&self) -> &Entity;

    /// Its common part, to be changed.
    fn entity_mut(&mut self) -> &mut Entity;
}

macro_rules! holders {
    ($($type:ident $kind:literal $sort:literal,)*) => {$(
        impl Resource for $type {
            const KIND: &'static str = $kind;

            fn id(&self) -> String {
                self.entity.name.to_ascii_lowercase()
            }
        }

        impl Holder for $type {
            const SORT: &'static str = $sort;

            fn entity(&self) -> &Entity {
                &self.entity
            }

            fn entity_mut(&mut self) -> &mut Entity {
                &mut self.entity
            }
        }
    )*};
}

holders! {
    User "iam-user" "user",
    Group "iam-group" "group",
    Role "iam-role" "role",
    InstanceProfile "iam-instance-profile" "instance-profile",
}

impl Resource for ManagedPolicy {
    const KIND: &'static str = "iam-policy";

    fn id(&self) -> String {
        self.name.to_ascii_lowercase()
    }
}
