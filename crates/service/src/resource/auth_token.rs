//! AUTH tokens: passwords that a cache has without a user group. They change while clients are served: a token is added
//! by ROTATE, clients are given it one after the other, and SET leaves it as the only one.

use serde::{Deserialize, Serialize};

use super::cluster::Engine;
use super::refusal::Refusal;

/// Shortest token.
const BYTES_MIN: usize = 16;
/// Longest token.
const BYTES_MAX: usize = 128;
/// The characters that a token may have besides letters and digits.
const SPECIAL: &[u8] = b"!&#$^<>-";
/// Tokens that are accepted at the same time.
const TOKENS_MAX: usize = 2;

/// `AuthTokenUpdateStrategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strategy {
    /// One more token.
    Rotate,
    /// Only the newest.
    Set,
    /// None any more.
    Delete,
}

impl Strategy {
    /// The strategy of that word; ROTATE if there is none.
    ///
    /// # Errors
    /// `InvalidParameterValue`.
    pub fn parse(word: Option<&str>) -> Result<Strategy, Refusal> {
        match word {
            None | Some("ROTATE") => Ok(Strategy::Rotate),
            Some("SET") => Ok(Strategy::Set),
            Some("DELETE") => Ok(Strategy::Delete),
            Some(_) => Err(Refusal::value("AuthTokenUpdateStrategy must be SET, ROTATE or DELETE.")),
        }
    }

    /// `AuthTokenStatus`, while it is being done.
    pub fn status(self) -> Option<&'static str> {
        match self {
            Strategy::Rotate => Some("ROTATING"),
            Strategy::Set => Some("SETTING"),
            Strategy::Delete => None,
        }
    }
}

/// The tokens of a cache.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthTokens {
    /// SHA-256 of each, in hexadecimal digits, the oldest first.
    hashes: Vec<String>,
    /// Whether clients without a token are let in, too: the first token was given to a cache that had none.
    optional: bool,
    /// When they were last changed, Unix milliseconds.
    changed_ms: u64,
    /// How they were last changed.
    changed_by: Option<Strategy>,
}

/// Refuses what cannot be a token.
///
/// # Errors
/// `InvalidParameterValue`.
fn check_form(token: &str) -> Result<(), Refusal> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || SPECIAL.contains(&byte);
    if (BYTES_MIN..=BYTES_MAX).contains(&token.len()) && token.bytes().all(is_allowed) {
        return Ok(());
    }
    Err(Refusal::value(format!(
        "Invalid AuthToken provided. It must have from {BYTES_MIN} to {BYTES_MAX} characters: letters, digits, and of \
         the others only !, &, #, $, ^, <, >, and -."
    )))
}

fn hash(token: &str) -> String {
    crate::hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes()).as_ref())
}

impl AuthTokens {
    /// Those of a new cache.
    ///
    /// # Errors
    /// `InvalidParameterValue`.
    pub fn of_new(token: Option<&str>, now_ms: u64) -> Result<AuthTokens, Refusal> {
        let Some(token) = token else { return Ok(AuthTokens::default()) };
        check_form(token)?;
        Ok(AuthTokens { hashes: vec![hash(token)], optional: false, changed_ms: now_ms, changed_by: None })
    }

    /// Whether the cache has any.
    pub fn is_enabled(&self) -> bool {
        !self.hashes.is_empty()
    }

    /// When they were last changed, Unix milliseconds; none if there never were any.
    pub fn changed_ms(&self) -> Option<u64> {
        (self.changed_ms > 0).then_some(self.changed_ms)
    }

    /// `AuthTokenStatus`, while the newest change is being made.
    pub fn status(&self) -> Option<&'static str> {
        self.changed_by?.status()
    }

    /// Changes them.
    ///
    /// # Errors
    /// `InvalidParameterValue` and `InvalidParameterCombination`.
    pub fn change(&mut self, token: Option<&str>, strategy: Strategy, now_ms: u64) -> Result<(), Refusal> {
        match (strategy, token) {
            (Strategy::Delete, None) if self.is_enabled() => {
                (self.hashes, self.optional) = (vec![], false);
            }
            (Strategy::Delete, None) => {
                return Err(Refusal::combination("There is no AUTH token to delete."));
            }
            (Strategy::Delete, Some(_)) => {
                return Err(Refusal::combination(
                    "AuthToken cannot be specified together with AuthTokenUpdateStrategy DELETE.",
                ));
            }
            (_, None) => {
                return Err(Refusal::combination(
                    "AuthTokenUpdateStrategy SET and ROTATE need an AuthToken.",
                ));
            }
            (Strategy::Rotate, Some(token)) => {
                check_form(token)?;
                let hash = hash(token);
                self.optional |= !self.is_enabled();
                self.hashes.retain(|known| *known != hash);
                self.hashes.push(hash);
                let surplus = self.hashes.len().saturating_sub(TOKENS_MAX);
                self.hashes.drain(..surplus);
                // Who has no token counts as one that has an older token.
                self.optional &= self.hashes.len() < TOKENS_MAX;
            }
            (Strategy::Set, Some(token)) => {
                check_form(token)?;
                let hash = hash(token);
                if self.hashes.last() != Some(&hash) {
                    return Err(Refusal::combination(
                        "With AuthTokenUpdateStrategy SET the AuthToken must be the one that was given last; give a new \
                         one with ROTATE first.",
                    ));
                }
                (self.hashes, self.optional) = (vec![hash], false);
            }
        }
        (self.changed_ms, self.changed_by) = (now_ms, Some(strategy));
        Ok(())
    }

    /// The rules of the node's default user.
    pub fn node_rules(&self) -> String {
        let optional = if self.optional { " optional-password" } else { "" };
        let proof: String = self.hashes.iter().map(|hash| format!(" #{hash}")).collect();
        format!("on{optional}{proof} ~* &* +@all")
    }
}

/// Refuses tokens where clients could send them in the clear, or the engine is too old.
///
/// # Errors
/// `InvalidParameterCombination`.
pub fn check_cache(engine: Engine, version: &str, is_encrypted: bool) -> Result<(), Refusal> {
    if engine == Engine::Memcached {
        return Err(Refusal::combination("AuthToken is not supported for memcached."));
    }
    if !is_encrypted {
        return Err(Refusal::combination(
            "AuthToken can only be specified where TransitEncryptionEnabled is true.",
        ));
    }
    let number = |part: Option<&str>| part.and_then(|part| part.parse::<u32>().ok()).unwrap_or(0);
    let mut parts = version.split('.');
    let version_numbers = (number(parts.next()), number(parts.next()), number(parts.next()));
    if engine == Engine::Redis && version_numbers < (3, 2, 6) {
        return Err(Refusal::combination(format!("AuthToken is not supported for redis {version}.")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "first-token-of-all";
    const B: &str = "second-token-of-all";
    const C: &str = "third-token-of-all";

    fn accepts(tokens: &AuthTokens, token: &str) -> bool {
        tokens.node_rules().contains(&hash(token))
    }

    #[test]
    fn a_token_has_a_form() {
        for bad in [
            "short",
            &"x".repeat(129),
            "sixteen bytes are",
            "sixteen/bytes/are",
            "sixteen@bytes@are",
            "\u{e4}234567890123456",
        ] {
            assert_eq!(check_form(bad).unwrap_err().code, "InvalidParameterValue", "{bad}");
        }
        for good in [&"x".repeat(16), &"x".repeat(128), "!&#$^<>-ABCdef012"] {
            check_form(good).unwrap();
        }
    }

    #[test]
    fn tokens_rotate_and_are_set() {
        let mut tokens = AuthTokens::of_new(Some(A), 1).unwrap();
        assert_eq!(tokens.status(), None);
        tokens.change(Some(B), Strategy::Rotate, 2).unwrap();
        assert!(accepts(&tokens, A) && accepts(&tokens, B));
        assert_eq!((tokens.status(), tokens.changed_ms()), (Some("ROTATING"), Some(2)));
        tokens.change(Some(C), Strategy::Rotate, 3).unwrap();
        assert!(!accepts(&tokens, A) && accepts(&tokens, B) && accepts(&tokens, C), "at most two");
        let refused = tokens.change(Some(B), Strategy::Set, 4).unwrap_err();
        assert_eq!((refused.code, tokens.changed_ms()), ("InvalidParameterCombination", Some(3)));
        tokens.change(Some(C), Strategy::Set, 5).unwrap();
        assert!(!accepts(&tokens, B) && accepts(&tokens, C));
        assert_eq!(tokens.status(), Some("SETTING"));
    }

    #[test]
    fn the_first_token_of_a_running_cache_is_optional_until_it_is_set() {
        let mut tokens = AuthTokens::default();
        assert!(tokens.change(Some(A), Strategy::Set, 1).is_err());
        tokens.change(Some(A), Strategy::Rotate, 1).unwrap();
        assert!(tokens.is_enabled() && tokens.node_rules().contains("optional-password"));
        let mut rotated = tokens.clone();
        rotated.change(Some(B), Strategy::Rotate, 2).unwrap();
        assert!(!rotated.node_rules().contains("optional-password"));
        tokens.change(Some(A), Strategy::Set, 2).unwrap();
        assert!(!tokens.node_rules().contains("optional-password") && accepts(&tokens, A));
    }

    #[test]
    fn tokens_are_deleted_only_where_there_are_some() {
        let mut tokens = AuthTokens::default();
        assert!(tokens.change(None, Strategy::Delete, 1).is_err());
        let mut tokens = AuthTokens::of_new(Some(A), 1).unwrap();
        assert!(tokens.change(Some(A), Strategy::Delete, 2).is_err());
        assert!(tokens.change(None, Strategy::Rotate, 2).is_err());
        tokens.change(None, Strategy::Delete, 2).unwrap();
        assert!(!tokens.is_enabled());
    }

    #[test]
    fn tokens_need_encryption() {
        assert!(check_cache(Engine::Redis, "7.1.0", true).is_ok());
        assert!(check_cache(Engine::Redis, "7.1.0", false).is_err());
        assert!(check_cache(Engine::Redis, "3.2.4", true).is_err());
        assert!(check_cache(Engine::Memcached, "1.6.22", true).is_err());
    }
}
