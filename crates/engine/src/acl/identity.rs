//! Who a session is, and whether its commands need a check.

use super::user::User;
use super::users::{DEFAULT, Users};
use std::sync::Arc;

/// The user of a session.
#[derive(Debug, Default)]
pub struct Identity {
    /// `None` until the first command of a session that did not say who it is.
    user: Option<Arc<User>>,
    /// The generation of users that `user` is of.
    seen: u64,
    /// The generation of users in which this session may do everything; 0 = none.
    free_in: u64,
    /// A session on the Unix socket that did not say who it is: it may everything, whatever the rules.
    operator: bool,
}

impl Identity {
    /// The default user, or an operator.
    pub fn new(operator: bool) -> Identity {
        Identity { operator, ..Identity::default() }
    }

    /// Becomes this user.
    pub fn become_user(&mut self, user: Arc<User>) {
        *self = Identity { user: Some(user), ..Identity::default() };
    }

    /// True if no command of this session needs a check in this generation of users: the one branch of most.
    #[inline]
    pub fn is_free(&self, generation: u64) -> bool {
        self.free_in == generation
    }

    /// The name of the user.
    pub fn name(&self) -> &[u8] {
        self.user.as_ref().map_or(DEFAULT, |user| user.name())
    }

    /// True if payloads of this session are never looked through.
    pub fn skips_sanitizing(&self) -> bool {
        self.user.as_ref().is_some_and(|user| user.skips_sanitizing())
    }

    /// The user as it is now, if its commands need a check. `Err` if it is no more.
    pub fn refresh(&mut self, users: &Users) -> Result<Option<Arc<User>>, Gone> {
        let generation = users.generation();
        if self.operator {
            self.free_in = generation;
            return Ok(None);
        }
        if self.seen != generation {
            self.user = Some(users.get(self.name()).ok_or(Gone)?);
            self.seen = generation;
        }
        let user = self.user.clone().ok_or(Gone)?;
        if user.is_unrestricted() {
            self.free_in = generation;
            return Ok(None);
        }
        Ok(Some(user))
    }
}

/// The user was deleted.
#[derive(Debug, PartialEq, Eq)]
pub struct Gone;
