//! Who a key speaks for, and all policies that count for them.

use super::policy::{Form, Policy};
use crate::front::ApiError;
use crate::resource::iam::{AwsPolicy, Entity, Group, Holder, ManagedPolicy, Role, User};
use crate::state::{self, Records, Resource};

use serde::{Deserialize, Serialize};

/// On whose behalf a call is made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Principal {
    /// The account itself, which may do everything that is its own.
    #[default]
    Root,
    /// A user.
    User {
        /// Its name.
        name: String,
    },
    /// A session of a role.
    Role {
        /// Name of the role.
        name: String,
        /// Name of the session.
        session: String,
        /// Policy that bounds the session.
        policy: Option<String>,
    },
}

/// The policies of a principal, by what they are for.
#[derive(Debug, Default)]
pub(super) struct Policies {
    /// What gives: inline and attached policies, of the groups too.
    pub(super) identity: Vec<Policy>,
    /// What bounds a user or a role.
    pub(super) boundary: Option<Policy>,
    /// What bounds a session.
    pub(super) session: Option<Policy>,
    /// Tags of the user or role.
    pub(super) tags: Vec<(String, String)>,
    /// Unique id of the user or role.
    pub(super) unique_id: String,
}

impl Policies {
    /// Reads them. A user or role that is gone has none, and so may do nothing.
    pub(super) fn of(records: &dyn Records, principal: &Principal) -> Result<Policies, ApiError> {
        let mut policies = Policies::default();
        match principal {
            Principal::Root => {}
            Principal::User { name } => {
                let id = name.to_ascii_lowercase();
                let Some(user) = state::find::<User>(records, &id)? else { return Ok(policies) };
                policies.add(records, &user.value.entity)?;
                policies.take(records, &user.value.entity)?;
                for group in state::list_all::<Group>(records)? {
                    if group.value.members.contains(&id) {
                        policies.add(records, &group.value.entity)?;
                    }
                }
            }
            Principal::Role { name, policy, .. } => {
                let role = state::find::<Role>(records, &name.to_ascii_lowercase())?;
                let Some(role) = role else { return Ok(policies) };
                policies.add(records, role.value.entity())?;
                policies.take(records, role.value.entity())?;
                policies.session = policy.as_deref().map(parse).transpose()?;
            }
        }
        Ok(policies)
    }

    fn add(&mut self, records: &dyn Records, entity: &Entity) -> Result<(), ApiError> {
        for text in entity.permissions.inline.values() {
            self.identity.push(parse(text)?);
        }
        for arn in &entity.permissions.attached {
            // Deleting an attached policy is refused, so it is there; if not, it gives nothing.
            if let Some(document) = document(records, arn)? {
                self.identity.push(parse(&document)?);
            }
        }
        Ok(())
    }

    fn take(&mut self, records: &dyn Records, entity: &Entity) -> Result<(), ApiError> {
        self.tags = entity.tags.clone().into_iter().collect();
        self.unique_id = entity.unique_id.clone();
        if let Some(arn) = &entity.permissions.boundary {
            let missing = || ApiError::internal(&format!("the permissions boundary {arn} is not there"));
            self.boundary = Some(parse(&document(records, arn)?.ok_or_else(missing)?)?);
        }
        Ok(())
    }
}

/// The document in force of a managed policy.
fn document(records: &dyn Records, arn: &str) -> Result<Option<String>, ApiError> {
    if let Some(policy) = AwsPolicy::find(arn) {
        return Ok(Some(policy.document()));
    }
    let name = arn.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let record = records.get(ManagedPolicy::KIND, &name)?;
    if record.is_none() {
        return Ok(None);
    }
    Ok(state::find::<ManagedPolicy>(records, &name)?.map(|stored| stored.value.document().to_owned()))
}

/// Documents were checked when they came in: one that cannot be read is our failure, and gives no access.
fn parse(text: &str) -> Result<Policy, ApiError> {
    Policy::parse(text, Form::Identity).map_err(|why| ApiError::internal(&format!("a stored policy: {why}")))
}
