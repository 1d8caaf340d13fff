//! Users in a file (`aclfile`): a line each, as ACL LIST prints them.

use super::catalog::Catalog;
use super::user::{RuleError, User, is_name, join_brackets};
use super::users::{Map, Users};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Bytes of a file of users.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The users of a text. `path` is what errors call it; all that is wrong with the text is told at once.
pub fn parse(catalog: &Catalog, text: &[u8], path: &str, all_channels: bool) -> Result<Map, String> {
    let mut users: Map = BTreeMap::new();
    let mut errors = String::new();
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let mut words = line.split(|byte| *byte == b' ');
        let (Some(b"user"), Some(name)) = (words.next(), words.next()) else {
            errors += &format!("{path}:{number} should start with user keyword followed by the username. ");
            continue;
        };
        let shown = String::from_utf8_lossy(name);
        if !is_name(name) {
            errors += &format!("'{path}:{number}: username '{shown}' contains invalid characters. ");
        } else if users.contains_key(name) {
            errors += &format!("WARNING: Duplicate user '{shown}' found on line {number}. ");
        } else {
            let place = format!("{path}:{number}:");
            let user = one(catalog, name, words, &place, all_channels, &mut errors);
            users.insert(name.into(), Arc::new(user));
        }
    }
    if errors.is_empty() {
        Ok(users)
    } else {
        Err(errors
            + "WARNING: ACL errors detected, no change to the previously active ACL rules was performed")
    }
}

fn one<'a>(
    catalog: &Catalog,
    name: &[u8],
    rules: impl Iterator<Item = &'a [u8]>,
    place: &str,
    all_channels: bool,
    errors: &mut String,
) -> User {
    let mut user = User::new(name, all_channels);
    let Ok(rules) = join_brackets(rules) else {
        *errors += &format!("{place} Unmatched parenthesis in selector definition.");
        return user;
    };
    let mut told = false;
    for rule in rules {
        match user.apply(catalog, rule.trim_ascii(), all_channels) {
            Ok(()) => {}
            Err(error @ RuleError::UnknownCommand) => {
                let rule = String::from_utf8_lossy(&rule);
                *errors += &format!("{place} Error in applying operation '{rule}': {error}. ");
            }
            Err(error) if !std::mem::replace(&mut told, true) => *errors += &format!("{place} {error}. "),
            Err(_) => {}
        }
    }
    user
}

/// Reads a file and puts its users in the place of all. Answers those that were there before.
pub fn load(users: &Users, path: &Path, all_channels: bool) -> Result<Map, String> {
    let shown = path.display().to_string();
    let fail = |error: std::io::Error| format!("Error loading ACLs, opening file '{shown}': {error}");
    let size = std::fs::metadata(path).map_err(fail)?.len();
    if size > FILE_BYTES_MAX {
        return Err(fail(std::io::Error::other("larger than 64 MB")));
    }
    let text = std::fs::read(path).map_err(fail)?;
    Ok(users.replace(parse(&users.catalog, &text, &shown, all_channels)?))
}

/// Writes all users to a file, which takes the old one's place at once.
pub fn save(users: &Users, path: &Path) -> std::io::Result<()> {
    use std::io::Write;
    let mut text = Vec::new();
    for user in users.all() {
        text.extend_from_slice(&user.line());
        text.push(b'\n');
    }
    let new = path.with_extension(format!("tmp-{}", std::process::id()));
    let mut file = std::fs::File::create(&new)?;
    let written = file.write_all(&text).and_then(|()| file.sync_all());
    written.and_then(|()| std::fs::rename(&new, path)).inspect_err(|_| {
        let _ = std::fs::remove_file(&new); // the error itself is told
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Table, families};

    fn errors(text: &str) -> String {
        let catalog = Catalog::new(&Table::new(families()));
        let all = parse(&catalog, text.as_bytes(), "u", false).unwrap_err();
        let end = "WARNING: ACL errors detected, no change to the previously active ACL rules was performed";
        all.strip_suffix(end).unwrap().to_owned()
    }

    #[test]
    fn everything_wrong_is_told() {
        assert_eq!(
            errors("user a +nope -foo"),
            "u:1: Error in applying operation '+nope': Unknown command or category name in ACL. u:1: Error in applying operation '-foo': Unknown command or category name in ACL. "
        );
        assert_eq!(
            errors("\nuser a <q +nope foo\n#x"),
            "u:2: The password you are trying to remove from the user does not exist. u:2: Error in applying operation '+nope': Unknown command or category name in ACL. u:3 should start with user keyword followed by the username. "
        );
        assert_eq!(errors("user a\nuser a"), "WARNING: Duplicate user 'a' found on line 2. ");
        assert_eq!(errors("user c (+get (+set"), "u:1: Unmatched parenthesis in selector definition.");
        assert_eq!(errors("user c\ton"), "'u:1: username 'c\ton' contains invalid characters. ");
        assert_eq!(errors("user  c on"), "u:1: Syntax error. ");
        assert_eq!(errors("user"), "u:1 should start with user keyword followed by the username. ");
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let table = Table::new(families());
        let users = Users::new(&table, "secret");
        let rules =
            ["on", ">p", "~a*", "%R~b", "&c", "+@read", "-get", "+select|0", "(+set ~x)", "(allkeys +@all)"];
        users.set(b"u", rules.iter().map(|rule| rule.as_bytes()), false).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.acl");
        save(&users, &path).unwrap();
        let others = Users::new(&table, "");
        load(&others, &path, false).unwrap();
        assert_eq!(users.all(), others.all());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(
            load(&others, &folder.path().join("none"), false).unwrap_err().starts_with("Error loading ACLs")
        );
    }
}
