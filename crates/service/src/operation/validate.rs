//! Checks of single parameters that several operations share, in ElastiCache's words.

use crate::resource::refusal::Refusal;

/// Longest description, in characters.
const DESCRIPTION_CHARS_MAX: usize = 255;
/// Longest name of a group, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// A parameter that must be there and say something.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn not_blank<'a>(parameter: &str, value: &'a str) -> Result<&'a str, Refusal> {
    if value.trim().is_empty() {
        return Err(Refusal::value(format!(
            "The parameter {parameter} must be provided and must not be blank."
        )));
    }
    Ok(value)
}

/// The name of a parameter group: letters, digits and hyphens, the first a letter. Answers it in lower case.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn parameter_group_name(value: &str) -> Result<String, Refusal> {
    not_blank("CacheParameterGroupName", value)?;
    let fits = value.len() <= NAME_BYTES_MAX
        && value.starts_with(|c: char| c.is_ascii_alphabetic())
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !value.ends_with('-')
        && !value.contains("--");
    if fits {
        return Ok(value.to_ascii_lowercase());
    }
    Err(Refusal::value(
        "The parameter CacheParameterGroupName is not a valid identifier. Identifiers must begin with a letter; must \
         contain only ASCII letters, digits, and hyphens; and must not end with a hyphen or contain two consecutive \
         hyphens.",
    ))
}

/// The name of a subnet group: letters, digits, spaces, dots, underscores and hyphens. Answers it in lower case.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn subnet_group_name(value: &str) -> Result<String, Refusal> {
    not_blank("CacheSubnetGroupName", value)?;
    let fits = value.len() <= NAME_BYTES_MAX
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b" ._-".contains(&b));
    if fits {
        return Ok(value.to_ascii_lowercase());
    }
    Err(Refusal::value(
        "The parameter CacheSubnetGroupName must be provided and must contain no more than 255 alphanumeric \
         characters or hyphens.",
    ))
}

/// A description: anything printable, up to 255 characters.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn description(parameter: &str, value: &str) -> Result<String, Refusal> {
    not_blank(parameter, value)?;
    if value.chars().count() > DESCRIPTION_CHARS_MAX || value.chars().any(char::is_control) {
        return Err(Refusal::value(format!(
            "The parameter {parameter} must contain no more than {DESCRIPTION_CHARS_MAX} printable characters."
        )));
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_in_lower_case() {
        assert_eq!(parameter_group_name("My-Group1").unwrap(), "my-group1");
        assert_eq!(subnet_group_name("App_1.x y-").unwrap(), "app_1.x y-");
    }

    #[test]
    fn bad_names_are_refused() {
        let long = "x".repeat(256);
        for name in ["", " ", "1a", "-a", "a-", "a--b", "a.b", "a_b", "é", &long] {
            assert_eq!(parameter_group_name(name).unwrap_err().code, "InvalidParameterValue", "{name}");
        }
        for name in ["", "  ", "a/b", "a:b", "é", "a\0", &long] {
            assert_eq!(subnet_group_name(name).unwrap_err().code, "InvalidParameterValue", "{name}");
        }
        for text in ["", " ", "\u{7}", &long] {
            assert!(description("Description", text).is_err(), "{text}");
        }
        assert_eq!(description("Description", "für <alle>").unwrap(), "für <alle>");
    }
}
