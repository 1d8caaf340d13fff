//! Names, paths and unique ids.

use crate::resource::refusal::Refusal;

/// Letters of unique ids.
const ID_LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Longest path, in bytes.
const PATH_BYTES_MAX: usize = 512;

/// Checks the name of something, and that it is not longer than it may be.
///
/// # Errors
/// `ValidationError`.
pub fn check_name(parameter: &str, name: &str, chars_max: usize) -> Result<(), Refusal> {
    if name.is_empty() || name.len() > chars_max {
        return Err(Refusal::new(
            "ValidationError",
            format!("The value of {parameter} must have 1 to {chars_max} characters."),
        ));
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b)) {
        return Err(Refusal::new(
            "ValidationError",
            format!(
                "The specified value for {} is invalid. It must contain only alphanumeric characters and/or the \
                 following: +=,.@_-",
                parameter[..1].to_ascii_lowercase() + &parameter[1..]
            ),
        ));
    }
    Ok(())
}

/// Checks a path: `/`, or something between two of them. Answers it, or `/` for none.
///
/// # Errors
/// `ValidationError`.
pub fn check_path(path: Option<String>) -> Result<String, Refusal> {
    let path = path.unwrap_or_else(|| "/".to_owned());
    let fits = path.len() <= PATH_BYTES_MAX
        && path.starts_with('/')
        && path.ends_with('/')
        && path.bytes().all(|b| (0x21..0x7f).contains(&b));
    if fits {
        return Ok(path);
    }
    Err(Refusal::new(
        "ValidationError",
        "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric \
         characters and/or / characters.",
    ))
}

/// A unique id: a prefix of four letters and 17 more, from 17 random bytes.
pub fn unique_id(prefix: &str, random: &[u8]) -> String {
    let letters = random.iter().take(17).map(|byte| char::from(ID_LETTERS[usize::from(*byte) % 32]));
    format!("{prefix}{}", letters.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths() {
        check_name("UserName", "ann.lee+x@y_z-1=,", 64).unwrap();
        for name in ["", "a b", "a/b", "é", &"x".repeat(65)] {
            assert_eq!(check_name("UserName", name, 64).unwrap_err().code, "ValidationError", "{name}");
        }
        assert_eq!(check_path(None).unwrap(), "/");
        assert_eq!(check_path(Some("/a/b/".into())).unwrap(), "/a/b/");
        for path in ["", "a", "/a", "a/", "/ /"] {
            assert!(check_path(Some(path.into())).is_err(), "{path}");
        }
        assert_eq!(unique_id("AIDA", &[0; 20]), "AIDAAAAAAAAAAAAAAAAAA");
    }
}
