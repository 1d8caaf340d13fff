//! Identifiers that users give: the rule that most sorts of resources share.

use super::refusal::Refusal;

/// An identifier in its stored form (lower case): letters, digits and single hyphens, the first a letter, the last no
/// hyphen. `parameter` is what the request calls it.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn identifier(parameter: &str, text: &str, bytes_max: usize) -> Result<String, Refusal> {
    let is_word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
    let fits = text.len() <= bytes_max
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.split('-').all(is_word);
    if fits {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Refusal::value(format!(
        "The parameter {parameter} is not a valid identifier. Identifiers must begin with a letter; must contain only \
         ASCII letters, digits, and hyphens; and must not end with a hyphen or contain two consecutive hyphens."
    )))
}
