//! Access keys: the name and the secret that calls are signed with.

use std::fmt;

use aws_lc_rs::error::Unspecified;
use serde::{Deserialize, Serialize};

use super::Principal;
use crate::state::Resource;

/// Letters of access key ids after `AKIA`: base 32, as AWS writes them.
const ID_LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Letters of secrets: base 64.
const SECRET_LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// An access key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    /// `AKIA` and 16 letters.
    pub id: String,
    /// 40 letters.
    pub secret: String,
    /// Account that it belongs to, 12 digits.
    pub account: String,
    /// User that it belongs to; `root` is the account itself.
    pub user: String,
    /// Whether it was switched off.
    #[serde(default)]
    pub inactive: bool,
    /// When it was made, Unix milliseconds.
    #[serde(default)]
    pub created_ms: u64,
    /// What makes it a temporary one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
}

/// What a temporary key has besides.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Must come with each call.
    pub token: String,
    /// When it ends, Unix milliseconds.
    pub expires_ms: u64,
    /// Whom it speaks for.
    pub principal: Principal,
}

impl fmt::Debug for AccessKey {
    /// Never shows the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey")
            .field("id", &self.id)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

impl Resource for AccessKey {
    const KIND: &'static str = "access-key";

    fn id(&self) -> String {
        self.id.clone()
    }
}

impl AccessKey {
    /// A new random key.
    ///
    /// # Errors
    /// If the system has no randomness to give.
    pub fn generate(account: &str, user: &str) -> Result<AccessKey, Unspecified> {
        Ok(AccessKey {
            id: format!("AKIA{}", random_letters(ID_LETTERS, 16)?),
            secret: random_letters(SECRET_LETTERS, 40)?,
            account: account.to_owned(),
            user: user.to_owned(),
            inactive: false,
            created_ms: 0,
            session: None,
        })
    }

    /// A temporary key of somebody.
    ///
    /// # Errors
    /// If the system has no randomness to give.
    pub fn temporary(account: &str, principal: Principal, expires_ms: u64) -> Result<AccessKey, Unspecified> {
        let user = match &principal {
            Principal::User { name } => name.as_str(),
            _ => "root",
        };
        let mut key = AccessKey::generate(account, user)?;
        key.id.replace_range(..4, "ASIA");
        key.session = Some(Session { token: random_letters(SECRET_LETTERS, 172)?, expires_ms, principal });
        Ok(key)
    }

    /// Whether it may be used now: it is not switched off, and a temporary one has not ended.
    pub fn is_usable(&self, now_ms: u64) -> bool {
        !self.inactive && self.session.as_ref().is_none_or(|session| now_ms < session.expires_ms)
    }

    /// Whether somebody who shows this secret, and the token of a temporary key, holds the key. How long the answer
    /// takes tells nothing about where they differ.
    pub fn is_held_by(&self, secret: &str, token: &str) -> bool {
        let same = |a: &str, b: &str| {
            aws_lc_rs::constant_time::verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
        };
        let own = self.session.as_ref().map_or("", |session| session.token.as_str());
        same(&self.secret, secret) & same(own, token)
    }

    /// Whom it speaks for.
    pub fn principal(&self) -> Principal {
        match (&self.session, self.user.as_str()) {
            (Some(session), _) => session.principal.clone(),
            (None, "root") => Principal::Root,
            (None, name) => Principal::User { name: name.to_owned() },
        }
    }

    /// ARN of whom it speaks for.
    pub fn user_arn(&self) -> String {
        if let Some(Session { principal: Principal::Role { name, session, .. }, .. }) = &self.session {
            return format!("arn:aws:sts::{}:assumed-role/{name}/{session}", self.account);
        }
        if self.user == "root" {
            return format!("arn:aws:iam::{}:root", self.account);
        }
        format!("arn:aws:iam::{}:user/{}", self.account, self.user)
    }
}

/// Letters of an alphabet whose size divides 256, so that each is as likely as the others.
fn random_letters(letters: &[u8], count: usize) -> Result<String, Unspecified> {
    let mut bytes = vec![0; count];
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| char::from(letters[usize::from(*byte) % letters.len()])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_look_like_keys_and_differ() {
        let keys = [(); 2].map(|()| AccessKey::generate("000000000000", "root").unwrap());
        assert_ne!(keys[0], keys[1]);
        assert!(keys[0].id.len() == 20 && keys[0].id.starts_with("AKIA") && keys[0].secret.len() == 40);
        assert!(!format!("{:?}", keys[0]).contains(&keys[0].secret));
        assert_eq!(keys[0].user_arn(), "arn:aws:iam::000000000000:root");
    }
}
