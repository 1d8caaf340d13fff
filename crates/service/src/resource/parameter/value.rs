//! Which values a parameter can have.

use super::{Parameter, Type};
use crate::resource::refusal::Refusal;

/// Longest value of a parameter, in bytes.
const VALUE_BYTES_MAX: usize = 16 * 1024;
/// Longest new name of a renamed command.
const NEW_NAME_BYTES_MAX: usize = 20;

/// A value of Larder's own, which AWS does not tell of and its tools pass on.
const OWN_POLICY: (&str, &str) = ("maxmemory-policy", "allkeys-lhd");

/// The values that a parameter can have, for people: with those of Larder's own.
pub fn allowed_for_people(name: &str, allowed: &str) -> String {
    let own = (name == OWN_POLICY.0).then_some(OWN_POLICY.1);
    // With blanks the list can be broken into lines.
    allowed.split(',').chain(own).collect::<Vec<_>>().join(", ")
}

impl Parameter {
    /// Refuses values that the parameter cannot have. Says nothing about whether users can set it.
    ///
    /// # Errors
    /// `InvalidParameterValue`, naming the value and what is allowed.
    pub fn check_value(&self, value: &str) -> Result<(), Refusal> {
        let fits = value.len() <= VALUE_BYTES_MAX
            && match self.value_type {
                Type::Integer => {
                    value.parse().is_ok_and(|number| in_ranges(self.allowed, number))
                        && !value.starts_with('+')
                }
                Type::Float => {
                    is_decimal(value)
                        && value.parse().is_ok_and(|number| in_float_ranges(self.allowed, number))
                }
                Type::Text | Type::Boolean => {
                    self.allowed.split(',').any(|allowed| allowed == value)
                        || (self.name, value) == OWN_POLICY
                }
                Type::Letters => value.chars().all(|letter| self.allowed.contains(letter)),
                Type::Renames => are_renames(value),
            };
        if fits {
            return Ok(());
        }
        let shown: String = value.chars().take(128).collect();
        let allowed = if self.value_type == Type::Renames {
            "pairs of a command and a new name of up to 20 letters and digits"
        } else {
            self.allowed
        };
        Err(Refusal::value(format!(
            "The parameter {} has an invalid value '{shown}'. Allowed values are: {allowed}",
            self.name
        )))
    }
}

/// Whether a number lies in one of the ranges, such as `0,20-` or `-5--1,1-`.
fn in_ranges(ranges: &str, number: i64) -> bool {
    ranges.split(',').any(|range| {
        // A minus sign at the very beginning belongs to the number.
        let dash = range.char_indices().skip(1).find(|(_, c)| *c == '-').map(|(at, _)| at);
        let (from, to) = dash.map_or((range, Some(range)), |at| {
            let to = &range[at + 1..];
            (&range[..at], (!to.is_empty()).then_some(to))
        });
        let parse = |text: &str| text.parse::<i64>().ok();
        parse(from).is_some_and(|from| from <= number)
            && to.is_none_or(|to| parse(to).is_some_and(|to| number <= to))
    })
}

fn in_float_ranges(range: &str, number: f64) -> bool {
    let bounds = range.split_once('-').and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    bounds.is_some_and(|(from, to): (f64, f64)| (from..=to).contains(&number))
}

fn is_decimal(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// `command new-name` pairs; the new name `blocked` takes the command away.
fn are_renames(value: &str) -> bool {
    let words: Vec<&str> = value.split(' ').filter(|word| !word.is_empty()).collect();
    let (pairs, rest) = words.as_chunks::<2>();
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric());
    let mut seen: Vec<String> = Vec::new();
    let each = pairs.iter().all(|[command, new_name]| {
        let command = command.to_ascii_lowercase();
        let fresh = !seen.contains(&command);
        seen.push(command.clone());
        fresh && is_name(&command) && is_name(new_name) && new_name.len() <= NEW_NAME_BYTES_MAX
    });
    each && rest.is_empty()
}

#[cfg(test)]
mod tests {
    use crate::resource::engine_version::Family;
    use crate::resource::parameter::find;

    #[test]
    fn values() {
        for (family, name, good, bad) in [
            (
                "redis7",
                "timeout",
                vec!["0", "20", "99999"],
                vec!["1", "19", "-1", "", "x", "+20", "20 ", "1e3"],
            ),
            ("redis7", "list-max-listpack-size", vec!["-5", "-1", "1", "128"], vec!["-6", "0", "--1"]),
            (
                "redis7",
                "slowlog-log-slower-than",
                vec!["-1", "0", "10000"],
                vec!["-2", "9223372036854775808"],
            ),
            (
                "redis7",
                "maxmemory-policy",
                vec!["noeviction", "allkeys-lfu", "allkeys-lhd"],
                vec!["", "NOEVICTION", "lru"],
            ),
            ("redis7", "notify-keyspace-events", vec!["", "KEA", "Ex"], vec!["KEQ", " "]),
            ("redis7", "reserved-memory-percent", vec!["0", "100"], vec!["101", "2.5"]),
            (
                "redis7",
                "rename-commands",
                vec!["", "get myget set blocked"],
                vec!["get", "get a-b", "get a get b", "get 123456789012345678901"],
            ),
            (
                "memcached1.6",
                "chunk_size_growth_factor",
                vec!["1.25", "1024"],
                vec!["0.5", "nan", "inf", "1e2", ""],
            ),
            ("memcached1.6", "cas_disabled", vec!["0", "1"], vec!["yes", "2"]),
        ] {
            let parameter = find(Family::find(family).unwrap(), name).unwrap();
            for value in good {
                assert_eq!(parameter.check_value(value), Ok(()), "{name} {value}");
            }
            for value in bad {
                let error = parameter.check_value(value).unwrap_err();
                assert_eq!(error.code, "InvalidParameterValue", "{name} {value}");
            }
        }
    }

    #[test]
    fn a_huge_value_is_not_repeated() {
        let parameter = find(Family::find("redis7").unwrap(), "rename-commands").unwrap();
        let error = parameter.check_value(&"get x ".repeat(100_000)).unwrap_err();
        assert!(error.message.len() < 400);
    }
}
