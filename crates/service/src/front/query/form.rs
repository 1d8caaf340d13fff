//! From the bytes of a form to a tree of parameters, within bounds.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::front::ApiError;
use crate::hex;

/// Most parameters of one request.
pub const PARAMETERS_MAX: usize = 5_000;
/// Longest name of a parameter, in bytes.
pub const NAME_BYTES_MAX: usize = 512;
/// Longest value of a parameter, in bytes.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;
/// Most parts of a name (the model's deepest has eight).
pub const DEPTH_MAX: usize = 12;

/// A parameter: a value, or named parameters below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A value.
    Value(String),
    /// What stands below it, by name.
    Below(BTreeMap<String, Node>),
}

/// All parameters of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    pub(super) root: BTreeMap<String, Node>,
}

impl Form {
    /// Reads forms (the query of the URL, and the body) into one tree. A parameter may stand in only one place.
    ///
    /// # Errors
    /// `MalformedQueryString` for what is not a form, is given twice, or is beyond the bounds of names and number;
    /// `InvalidParameterValue` for a value that is too long.
    pub fn parse(texts: &[&[u8]]) -> Result<Form, ApiError> {
        let mut form = Form::default();
        let mut count = 0;
        for text in texts {
            for (name, value) in decode_pairs(text)? {
                count += 1;
                if count > PARAMETERS_MAX {
                    return Err(malformed(format!("The request has more than {PARAMETERS_MAX} parameters.")));
                }
                form.insert(&name, value)?;
            }
        }
        Ok(form)
    }

    /// A form with these parameters.
    pub(crate) fn of(root: BTreeMap<String, Node>) -> Form {
        Form { root }
    }

    /// The parameters by the first part of their names.
    pub(crate) fn root(&self) -> &BTreeMap<String, Node> {
        &self.root
    }

    /// The value of a parameter that is neither structure nor list.
    pub fn value(&self, name: &str) -> Option<&str> {
        match self.root.get(name) {
            Some(Node::Value(value)) => Some(value),
            _ => None,
        }
    }

    fn insert(&mut self, name: &str, value: String) -> Result<(), ApiError> {
        check_bounds(name, &value)?;
        let mut parts = name.split('.').peekable();
        let mut level = &mut self.root;
        while let Some(part) = parts.next() {
            let entry = level.entry(part.to_owned());
            if parts.peek().is_none() {
                return match entry {
                    Entry::Vacant(entry) => {
                        entry.insert(Node::Value(value));
                        Ok(())
                    }
                    Entry::Occupied(_) => Err(duplicate(name)),
                };
            }
            level = match entry.or_insert_with(|| Node::Below(BTreeMap::new())) {
                Node::Below(below) => below,
                Node::Value(_) => return Err(duplicate(name)),
            };
        }
        Ok(())
    }
}

fn check_bounds(name: &str, value: &str) -> Result<(), ApiError> {
    if name.len() > NAME_BYTES_MAX {
        return Err(malformed(format!("A parameter name is longer than {NAME_BYTES_MAX} bytes.")));
    }
    if name.split('.').any(str::is_empty) {
        return Err(malformed(format!("The parameter name '{name}' is not valid.")));
    }
    if name.split('.').count() > DEPTH_MAX {
        return Err(malformed(format!("The parameter {name} is nested deeper than {DEPTH_MAX} levels.")));
    }
    if value.len() > VALUE_BYTES_MAX {
        let message = format!("The value of {name} is longer than {VALUE_BYTES_MAX} bytes.");
        return Err(ApiError::invalid_value(message));
    }
    Ok(())
}

fn duplicate(name: &str) -> ApiError {
    malformed(format!("The parameter {name} is given more than once."))
}

fn malformed(message: impl Into<String>) -> ApiError {
    ApiError::new("MalformedQueryString", message)
}

/// Splits a form into names and values, as they were meant.
///
/// # Errors
/// `MalformedQueryString` for a broken percent sequence or text that is not UTF-8.
pub fn decode_pairs(text: &[u8]) -> Result<Vec<(String, String)>, ApiError> {
    let mut pairs = Vec::new();
    for pair in text.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
        if pairs.len() > PARAMETERS_MAX {
            break; // the caller refuses this many
        }
        let at = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
        let value = pair.get(at + 1..).unwrap_or_default();
        pairs.push((decode_text(&pair[..at])?, decode_text(value)?));
    }
    Ok(pairs)
}

fn decode_text(text: &[u8]) -> Result<String, ApiError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = tail
                    .first_chunk::<2>()
                    .and_then(|[high, low]| Some((hex::digit(*high)?, hex::digit(*low)?)));
                let (high, low) =
                    digits.ok_or_else(|| malformed("A percent sign is not followed by two digits."))?;
                bytes.push(high << 4 | low);
                rest = &tail[2..];
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).map_err(|_| malformed("The query string is not UTF-8."))
}
