//! All users of a node. Sessions keep their user and look here again when the generation has changed.

use super::catalog::Catalog;
use super::log::Log;
use super::user::{RulesError, User};
use crate::command::Table;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The user of sessions that never said who they are.
pub const DEFAULT: &[u8] = b"default";

/// Users by name.
pub type Map = BTreeMap<Box<[u8]>, Arc<User>>;

/// All users, the commands that their rules name, and the log of refusals.
pub struct Users {
    /// The commands.
    pub catalog: Catalog,
    /// The log of refusals.
    pub log: Log,
    map: Mutex<Map>,
    /// Counts changes of users from 1.
    generation: AtomicU64,
}

impl Users {
    /// The default user alone, with this password if it is not empty.
    pub fn new(table: &Table, password: &str) -> Users {
        let mut user = User::default_user();
        user.set_only_password(password.as_bytes());
        let map = BTreeMap::from([(DEFAULT.into(), Arc::new(user))]);
        Users {
            catalog: Catalog::new(table),
            log: Log::default(),
            map: Mutex::new(map),
            generation: AtomicU64::new(1),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Map> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes whenever a user changes; never 0.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// A user.
    pub fn get(&self, name: &[u8]) -> Option<Arc<User>> {
        self.lock().get(name).cloned()
    }

    /// All users in the order of their names.
    pub fn all(&self) -> Vec<Arc<User>> {
        self.lock().values().cloned().collect()
    }

    /// True if a new session needs no password.
    pub fn is_open(&self) -> bool {
        self.get(DEFAULT).is_some_and(|user| user.is_open())
    }

    /// The user, if this is a password of it.
    pub fn authenticate(&self, name: &[u8], password: &[u8]) -> Option<Arc<User>> {
        self.get(name).filter(|user| user.accepts(password))
    }

    /// Applies rules to a user, which is made if it is new: all of them or none.
    pub fn set<'a>(
        &self,
        name: &[u8],
        rules: impl Iterator<Item = &'a [u8]>,
        all_channels: bool,
    ) -> Result<(), RulesError> {
        let mut map = self.lock();
        let mut user = map.get(name).map_or_else(|| User::new(name, all_channels), |user| (**user).clone());
        user.apply_all(&self.catalog, rules, all_channels)?;
        map.insert(name.into(), Arc::new(user));
        self.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Makes the users that a configuration defines, each by its name and rules; the default user is made anew if it is
    /// among them. The error is a sentence.
    pub fn define(&self, users: &[Vec<String>], all_channels: bool) -> Result<(), String> {
        for words in users {
            let Some((name, rules)) = words.split_first() else { continue };
            let mut user = User::new(name.as_bytes(), all_channels);
            let rules = rules.iter().map(|rule| rule.as_bytes());
            user.apply_all(&self.catalog, rules, all_channels)
                .map_err(|error| format!("Error in user declaration {error}"))?;
            self.lock().insert(name.as_bytes().into(), Arc::new(user));
        }
        self.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// `requirepass`.
    pub fn set_default_password(&self, password: &str) {
        let mut map = self.lock();
        let Some(user) = map.get_mut(DEFAULT) else { return };
        Arc::make_mut(user).set_only_password(password.as_bytes());
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Removes a user; false if there is none. The default user stays.
    pub fn remove(&self, name: &[u8]) -> bool {
        let removed = name != DEFAULT && self.lock().remove(name).is_some();
        if removed {
            self.generation.fetch_add(1, Ordering::Release);
        }
        removed
    }

    /// Puts other users in the place of all. Without a default user among them there is a new one that may everything.
    pub fn replace(&self, mut users: Map) -> Map {
        users.entry(DEFAULT.into()).or_insert_with(|| Arc::new(User::default_user()));
        let old = std::mem::replace(&mut *self.lock(), users);
        self.generation.fetch_add(1, Ordering::Release);
        old
    }
}
