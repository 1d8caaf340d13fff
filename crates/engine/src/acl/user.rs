//! A user: whether it may log in, with which passwords, and what it may do. Rules are read and printed here.

use super::catalog::Catalog;
use super::selector::{Selector, has_blanks};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};

/// Digits of a password's hash.
const HASH_DIGITS: usize = 64;

/// A password's SHA-256, as lower-case hexadecimal digits.
pub type PasswordHash = [u8; HASH_DIGITS];

/// What is wrong with a rule. `Display` is what Redis says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// No rule looks so.
    #[error("Syntax error")]
    Syntax,
    /// There is no such command or category.
    #[error("Unknown command or category name in ACL")]
    UnknownCommand,
    /// All keys were allowed before.
    #[error(
        "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of patterns"
    )]
    KeysAfterAll,
    /// All channels were allowed before.
    #[error(
        "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' to start with an empty list of channels"
    )]
    ChannelsAfterAll,
    /// The password to remove is not there.
    #[error("The password you are trying to remove from the user does not exist")]
    NoSuchPassword,
    /// A hash is written in another way.
    #[error(
        "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
    )]
    BadHash,
    /// A number that no database has.
    #[error("The provided database ID is out of range")]
    NoDatabase,
    /// `+config|get|x`.
    #[error("Allowing first-arg of a subcommand is not supported")]
    FirstArgumentOfSubcommand,
}

/// Why a list of rules was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// A bracket does not close; the rule that it begins with.
    #[error("'{}': Unmatched parenthesis", String::from_utf8_lossy(.0))]
    Unmatched(Vec<u8>),
    /// A rule and what is wrong with it.
    #[error("'{}': {}", String::from_utf8_lossy(.0), .1)]
    Rule(Vec<u8>, RuleError),
}

/// Whether payloads of RESTORE are checked in depth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Payload {
    /// Nobody said anything about it: they are.
    #[default]
    Unsaid,
    Sanitize,
    Skip,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    name: Box<[u8]>,
    enabled: bool,
    any_password: bool,
    /// It shows tokens of IAM, and no passwords.
    iam: bool,
    /// It has passwords, and yet who never logs in may do what it may: so that clients can be given a password one after
    /// the other.
    optional_password: bool,
    payload: Payload,
    passwords: Vec<PasswordHash>,
    root: Selector,
    selectors: Vec<Selector>,
}

/// The hash of a password.
pub fn hash(password: &[u8]) -> PasswordHash {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digest = digest(&SHA256, password);
    let mut text = [0; HASH_DIGITS];
    for (pair, byte) in text.chunks_exact_mut(2).zip(digest.as_ref()) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    text
}

fn parse_hash(text: &[u8]) -> Result<PasswordHash, RuleError> {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let hash = PasswordHash::try_from(text).map_err(|_| RuleError::BadHash)?;
    if hash.iter().all(is_digit) { Ok(hash) } else { Err(RuleError::BadHash) }
}

/// True for a name without blanks and zeros.
pub fn is_name(name: &[u8]) -> bool {
    !has_blanks(name)
}

/// Joins rules that were split at the blanks between brackets: `( +get`, `~a )`.
pub fn join_brackets<'a>(rules: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Vec<u8>>, RulesError> {
    let mut joined: Vec<Vec<u8>> = Vec::new();
    let mut open: Option<(&[u8], Vec<u8>)> = None;
    for rule in rules {
        let (first, text) = match open.take() {
            Some((first, mut text)) => {
                text.push(b' ');
                text.extend_from_slice(rule);
                (first, text)
            }
            None if rule.starts_with(b"(") => (rule, rule.to_vec()),
            None => {
                joined.push(rule.to_vec());
                continue;
            }
        };
        if text.ends_with(b")") {
            joined.push(text);
        } else {
            open = Some((first, text));
        }
    }
    match open {
        Some((first, _)) => Err(RulesError::Unmatched(first.to_vec())),
        None => Ok(joined),
    }
}

impl User {
    /// A user that may nothing, not even log in.
    pub fn new(name: &[u8], all_channels: bool) -> User {
        User {
            name: name.into(),
            enabled: false,
            any_password: false,
            iam: false,
            optional_password: false,
            payload: Payload::Unsaid,
            passwords: Vec::new(),
            root: Selector::nothing(all_channels),
            selectors: Vec::new(),
        }
    }

    /// The user of sessions that never said who they are: it may everything.
    pub fn default_user() -> User {
        User {
            enabled: true,
            any_password: true,
            root: Selector::everything(),
            ..User::new(b"default", true)
        }
    }

    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Its name for messages.
    pub fn name_text(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    /// True if any password is right.
    pub fn takes_any_password(&self) -> bool {
        self.any_password
    }

    /// True if one may log in without a password.
    pub fn is_open(&self) -> bool {
        self.enabled && (self.any_password || self.optional_password)
    }

    /// True if one logs in with a token of IAM.
    pub fn is_iam(&self) -> bool {
        self.iam
    }

    /// True if one may log in at all.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// True if commands need no check.
    pub fn is_unrestricted(&self) -> bool {
        self.root.is_everything()
    }

    /// True if payloads that this user restores are never looked through.
    pub fn skips_sanitizing(&self) -> bool {
        self.payload == Payload::Skip
    }

    /// The permissions: its own first, then those in brackets.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.selectors)
    }

    /// The permissions outside of brackets.
    pub fn root(&self) -> &Selector {
        &self.root
    }

    /// The permissions in brackets.
    pub fn bracketed(&self) -> &[Selector] {
        &self.selectors
    }

    /// The hashes of its passwords.
    pub fn passwords(&self) -> &[PasswordHash] {
        &self.passwords
    }

    /// True if one may log in with this password. Takes as long whatever of it is right.
    pub fn accepts(&self, password: &[u8]) -> bool {
        let given = hash(password);
        let same = |known: &PasswordHash| verify_slices_are_equal(known, &given).is_ok();
        self.enabled && (self.any_password || self.passwords.iter().filter(|known| same(known)).count() > 0)
    }

    /// `requirepass`: the only password from now on, or none at all.
    pub fn set_only_password(&mut self, password: &[u8]) {
        self.passwords.clear();
        self.any_password = password.is_empty();
        if !password.is_empty() {
            self.passwords.push(hash(password));
        }
    }

    /// Applies rules in order. At an error those before it stay applied: work on a copy.
    pub fn apply_all<'a>(
        &mut self,
        catalog: &Catalog,
        rules: impl Iterator<Item = &'a [u8]>,
        all_channels: bool,
    ) -> Result<(), RulesError> {
        for rule in join_brackets(rules)? {
            self.apply(catalog, &rule, all_channels).map_err(|error| RulesError::Rule(rule, error))?;
        }
        Ok(())
    }

    /// Applies one rule. `all_channels` is what new sets of permissions have.
    pub fn apply(&mut self, catalog: &Catalog, rule: &[u8], all_channels: bool) -> Result<(), RuleError> {
        match rule.to_ascii_lowercase().as_slice() {
            b"" => {}
            b"on" => self.enabled = true,
            b"off" => self.enabled = false,
            b"nopass" => {
                (self.any_password, self.iam, self.optional_password) = (true, false, false);
                self.passwords.clear();
            }
            b"resetpass" => {
                (self.any_password, self.iam, self.optional_password) = (false, false, false);
                self.passwords.clear();
            }
            b"iam" => {
                (self.any_password, self.iam, self.optional_password) = (false, true, false);
                self.passwords.clear();
            }
            b"optional-password" => {
                (self.any_password, self.iam, self.optional_password) = (false, false, true);
            }
            b"sanitize-payload" => self.payload = Payload::Sanitize,
            b"skip-sanitize-payload" => self.payload = Payload::Skip,
            b"clearselectors" => self.selectors.clear(),
            b"reset" => {
                *self = User { payload: Payload::Sanitize, ..User::new(&self.name, all_channels) };
            }
            _ => match rule {
                [b'>', password @ ..] => self.add_password(hash(password)),
                [b'#', text @ ..] => self.add_password(parse_hash(text)?),
                [b'<', password @ ..] => self.remove_password(&hash(password))?,
                [b'!', text @ ..] => self.remove_password(&parse_hash(text)?)?,
                [b'(', rules @ .., b')'] => {
                    self.selectors.push(Selector::parse(catalog, rules, all_channels)?);
                }
                _ => self.root.apply(catalog, rule)?,
            },
        }
        Ok(())
    }

    fn add_password(&mut self, hash: PasswordHash) {
        if !self.passwords.contains(&hash) {
            self.passwords.push(hash);
        }
        (self.any_password, self.iam) = (false, false);
    }

    fn remove_password(&mut self, hash: &PasswordHash) -> Result<(), RuleError> {
        let at = self.passwords.iter().position(|known| known == hash).ok_or(RuleError::NoSuchPassword)?;
        self.passwords.remove(at);
        Ok(())
    }

    /// `on`, `nopass` and the like, in the order in which they are printed.
    pub fn flags(&self) -> Vec<&'static str> {
        let mut flags = vec![if self.enabled { "on" } else { "off" }];
        flags.extend(self.any_password.then_some("nopass"));
        flags.extend(self.iam.then_some("iam"));
        flags.extend(self.optional_password.then_some("optional-password"));
        flags.extend(match self.payload {
            Payload::Unsaid => None,
            Payload::Sanitize => Some("sanitize-payload"),
            Payload::Skip => Some("skip-sanitize-payload"),
        });
        flags
    }

    /// All rules, from which an equal user can be made: a line of ACL LIST from its third word on.
    pub fn describe(&self) -> Vec<u8> {
        let flags = self.flags().into_iter().map(|flag| flag.as_bytes().to_vec());
        let passwords = self.passwords.iter().map(|hash| [b"#", hash.as_slice()].concat());
        let brackets = self.selectors.iter().map(|selector| [b"(", &selector.describe()[..], b")"].concat());
        let root = std::iter::once(self.root.describe());
        flags.chain(passwords).chain(root).chain(brackets).collect::<Vec<_>>().join(&b' ')
    }

    /// A line of ACL LIST.
    pub fn line(&self) -> Vec<u8> {
        [b"user ", &*self.name, b" ", &self.describe()[..]].concat()
    }
}

#[cfg(test)]
mod tests;
