//! Who is signed in: sessions in memory, bounded in number and in time.
//!
//! A session is found by the hash of the token in the browser's cookie, so that what is kept here opens nothing. Whom it
//! speaks for is looked up by its access key at each visit: a key that is deleted or switched off ends its sessions.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest;
use aws_lc_rs::error::Unspecified;

use crate::hex;

/// Most sessions at once; beyond that the one that was idle for the longest time ends.
pub(super) const SESSIONS_MAX: usize = 256;
/// A session that is not used for so long ends.
pub(super) const IDLE_MS_MAX: u64 = 2 * 3600 * 1000;
/// No session lasts longer.
pub(super) const LIFE_MS_MAX: u64 = 12 * 3600 * 1000;
/// Longest message that waits for the next page, in characters.
const SAID_CHARS_MAX: usize = 500;

type Hash = [u8; 32];

/// What is known of a session.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// Id of the access key that it was begun with.
    pub(super) access_key_id: String,
    /// What forms of this session carry, and those of other sites cannot know.
    pub(super) form_token: String,
    began_ms: u64,
    used_ms: u64,
    /// A message for the next page.
    said: Option<String>,
}

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_hash: Mutex<HashMap<Hash, Session>>,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<Hash, Session>> {
        self.by_hash.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a session; answers the token for the cookie.
    ///
    /// # Errors
    /// If the system has no randomness to give.
    pub(super) fn begin(&self, access_key_id: &str, now_ms: u64) -> Result<String, Unspecified> {
        let (token, form_token) = (random_token()?, random_token()?);
        let session = Session {
            access_key_id: access_key_id.to_owned(),
            form_token,
            began_ms: now_ms,
            used_ms: now_ms,
            said: None,
        };
        let mut sessions = self.lock();
        sessions.retain(|_, session| !session.is_over(now_ms));
        if sessions.len() >= SESSIONS_MAX {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.used_ms).map(|(hash, _)| *hash);
            oldest.and_then(|hash| sessions.remove(&hash));
        }
        sessions.insert(hash_of(&token), session);
        Ok(token)
    }

    /// The session of a token, which is thereby used.
    pub(super) fn find(&self, token: &str, now_ms: u64) -> Option<Session> {
        let hash = hash_of(token);
        let mut sessions = self.lock();
        if sessions.get(&hash)?.is_over(now_ms) {
            sessions.remove(&hash);
            return None;
        }
        let session = sessions.get_mut(&hash)?;
        session.used_ms = now_ms;
        Some(session.clone())
    }

    /// Ends a session.
    pub(super) fn end(&self, token: &str) {
        self.lock().remove(&hash_of(token));
    }

    /// Leaves a message for the next page of a session.
    pub(super) fn say(&self, token: &str, text: &str) {
        if let Some(session) = self.lock().get_mut(&hash_of(token)) {
            session.said = Some(text.chars().take(SAID_CHARS_MAX).collect());
        }
    }

    /// Takes the message that was left.
    pub(super) fn take_said(&self, token: &str) -> Option<String> {
        self.lock().get_mut(&hash_of(token))?.said.take()
    }
}

impl Session {
    fn is_over(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.used_ms) > IDLE_MS_MAX
            || now_ms.saturating_sub(self.began_ms) > LIFE_MS_MAX
    }

    /// Whether a form came from a page of this session.
    pub(super) fn made(&self, form_token: &str) -> bool {
        let (own, given) = (self.form_token.as_bytes(), form_token.as_bytes());
        aws_lc_rs::constant_time::verify_slices_are_equal(own, given).is_ok()
    }
}

fn random_token() -> Result<String, Unspecified> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(hex::encode(&bytes))
}

fn hash_of(token: &str) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_end_when_idle_and_when_old() {
        let sessions = Sessions::default();
        let token = sessions.begin("AKIA", 0).unwrap();
        assert!(sessions.find(&token, IDLE_MS_MAX).is_some());
        assert!(sessions.find(&token, 2 * IDLE_MS_MAX + 1).is_none());
        assert!(sessions.find(&token, IDLE_MS_MAX).is_none(), "what is over does not come back");
        let token = sessions.begin("AKIA", 0).unwrap();
        let mut now_ms = 0;
        while now_ms + IDLE_MS_MAX <= LIFE_MS_MAX {
            now_ms += IDLE_MS_MAX;
            assert!(sessions.find(&token, now_ms).is_some());
        }
        assert!(sessions.find(&token, LIFE_MS_MAX + 1).is_none());
    }

    #[test]
    fn there_are_never_more_than_the_bound() {
        let sessions = Sessions::default();
        let first = sessions.begin("AKIA", 0).unwrap();
        let second = sessions.begin("AKIA", 1).unwrap();
        for n in 2..SESSIONS_MAX as u64 {
            sessions.begin("AKIA", n).unwrap();
        }
        sessions.find(&first, 1_000).unwrap();
        let last = sessions.begin("AKIA", 1_001).unwrap();
        assert_eq!(sessions.lock().len(), SESSIONS_MAX);
        assert!(sessions.find(&second, 1_002).is_none(), "the one that was idle for the longest time ended");
        assert!(sessions.find(&first, 1_002).is_some() && sessions.find(&last, 1_002).is_some());
    }

    #[test]
    fn a_session_knows_its_own_forms_only() {
        let sessions = Sessions::default();
        let [one, other] = [(); 2].map(|()| {
            let token = sessions.begin("AKIA", 0).unwrap();
            sessions.find(&token, 0).unwrap()
        });
        assert!(one.made(&one.form_token));
        assert!(!one.made(&other.form_token) && !one.made(""));
    }

    #[test]
    fn an_ended_session_and_a_message_are_gone() {
        let sessions = Sessions::default();
        let token = sessions.begin("AKIA", 0).unwrap();
        sessions.say(&token, "done");
        assert_eq!(sessions.take_said(&token).as_deref(), Some("done"));
        assert_eq!(sessions.take_said(&token), None);
        sessions.end(&token);
        assert!(sessions.find(&token, 0).is_none());
    }
}
