//! Conditions: one operator, one key, some values.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Context;
use super::pattern::{Pattern, fill};

/// How values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compare {
    StringEquals,
    StringEqualsIgnoreCase,
    StringLike,
    Numeric(Order),
    Date(Order),
    Bool,
    Binary,
    IpAddress,
    Arn,
    Null,
}

/// How numbers and times are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Equals,
    LessThan,
    LessThanEquals,
    GreaterThan,
    GreaterThanEquals,
}

/// For which of the request's values a condition must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    /// The key has one value.
    One,
    ForAll,
    ForAny,
}

/// A condition operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Operator {
    compare: Compare,
    negated: bool,
    if_exists: bool,
    quantifier: Quantifier,
}

/// One condition of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) operator: Operator,
    pub(super) key: String,
    pub(super) values: Vec<String>,
}

impl Operator {
    /// Reads the name of an operator, in any case of letters.
    pub(super) fn parse(name: &str) -> Option<Operator> {
        let lower = name.to_ascii_lowercase();
        let (quantifier, rest) = match lower.split_once(':') {
            Some(("forallvalues", rest)) => (Quantifier::ForAll, rest),
            Some(("foranyvalue", rest)) => (Quantifier::ForAny, rest),
            Some(_) => return None,
            None => (Quantifier::One, lower.as_str()),
        };
        let (base, if_exists) = match rest.strip_suffix("ifexists") {
            Some(base) => (base, true),
            None => (rest, false),
        };
        let (compare, negated) = base_operator(base)?;
        if compare == Compare::Null && (if_exists || quantifier != Quantifier::One) {
            return None;
        }
        Some(Operator { compare, negated, if_exists, quantifier })
    }
}

fn base_operator(base: &str) -> Option<(Compare, bool)> {
    use Order::{Equals, GreaterThan, GreaterThanEquals, LessThan, LessThanEquals};
    Some(match base {
        "stringequals" => (Compare::StringEquals, false),
        "stringnotequals" => (Compare::StringEquals, true),
        "stringequalsignorecase" => (Compare::StringEqualsIgnoreCase, false),
        "stringnotequalsignorecase" => (Compare::StringEqualsIgnoreCase, true),
        "stringlike" => (Compare::StringLike, false),
        "stringnotlike" => (Compare::StringLike, true),
        "numericequals" => (Compare::Numeric(Equals), false),
        "numericnotequals" => (Compare::Numeric(Equals), true),
        "numericlessthan" => (Compare::Numeric(LessThan), false),
        "numericlessthanequals" => (Compare::Numeric(LessThanEquals), false),
        "numericgreaterthan" => (Compare::Numeric(GreaterThan), false),
        "numericgreaterthanequals" => (Compare::Numeric(GreaterThanEquals), false),
        "dateequals" => (Compare::Date(Equals), false),
        "datenotequals" => (Compare::Date(Equals), true),
        "datelessthan" => (Compare::Date(LessThan), false),
        "datelessthanequals" => (Compare::Date(LessThanEquals), false),
        "dategreaterthan" => (Compare::Date(GreaterThan), false),
        "dategreaterthanequals" => (Compare::Date(GreaterThanEquals), false),
        "bool" => (Compare::Bool, false),
        "binaryequals" => (Compare::Binary, false),
        "ipaddress" => (Compare::IpAddress, false),
        "notipaddress" => (Compare::IpAddress, true),
        // AWS says of the two that they do the same.
        "arnequals" | "arnlike" => (Compare::Arn, false),
        "arnnotequals" | "arnnotlike" => (Compare::Arn, true),
        "null" => (Compare::Null, false),
        _ => return None,
    })
}

impl Condition {
    /// Whether the values can be what the operator compares; variables are only known later.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn check(&self) -> Result<(), String> {
        for value in self.values.iter().filter(|value| !value.contains("${")) {
            let fits = match self.operator.compare {
                Compare::Numeric(_) => value.parse::<f64>().is_ok(),
                Compare::Date(_) => time(value).is_some(),
                Compare::Bool | Compare::Null => truth(value).is_some(),
                Compare::IpAddress => network(value).is_some(),
                _ => true,
            };
            if !fits {
                let shown: String = value.chars().take(128).collect();
                return Err(format!("The value {shown} of the condition key {} is not valid.", self.key));
            }
        }
        Ok(())
    }

    /// Whether the condition holds for a request.
    pub(super) fn holds(&self, context: &Context) -> bool {
        let Operator { compare, negated, if_exists, quantifier } = self.operator;
        let present = context.get(&self.key);
        if compare == Compare::Null {
            return self.values.iter().any(|value| truth(value) == Some(present.is_none()));
        }
        let Some(present) = present.filter(|values| !values.is_empty()) else {
            return match quantifier {
                Quantifier::One => if_exists || negated,
                Quantifier::ForAll => true,
                Quantifier::ForAny => if_exists,
            };
        };
        let holds = |given: &String| {
            self.values.iter().any(|wanted| compares(compare, wanted, given, context)) != negated
        };
        match quantifier {
            Quantifier::ForAll => present.iter().all(holds),
            // A negated operator on a key with several values must hold for each, as AWS has it.
            Quantifier::One if negated => present.iter().all(holds),
            Quantifier::One | Quantifier::ForAny => present.iter().any(holds),
        }
    }
}

fn compares(compare: Compare, wanted: &str, given: &str, context: &Context) -> bool {
    match compare {
        Compare::StringLike => Pattern::expand(wanted, context).is_some_and(|pattern| pattern.matches(given)),
        Compare::Arn => arn_matches(wanted, given, context),
        other => fill(wanted, context).is_some_and(|wanted| compares_filled(other, &wanted, given)),
    }
}

fn compares_filled(compare: Compare, wanted: &str, given: &str) -> bool {
    match compare {
        Compare::StringEquals | Compare::Binary => wanted == given,
        Compare::StringEqualsIgnoreCase => wanted.to_lowercase() == given.to_lowercase(),
        Compare::Numeric(order) => match (given.parse::<f64>(), wanted.parse::<f64>()) {
            (Ok(given), Ok(wanted)) => order.holds(given.partial_cmp(&wanted)),
            _ => false,
        },
        Compare::Date(order) => match (time(given), time(wanted)) {
            (Some(given), Some(wanted)) => order.holds(Some(given.cmp(&wanted))),
            _ => false,
        },
        Compare::Bool => truth(wanted).is_some_and(|wanted| truth(given) == Some(wanted)),
        Compare::IpAddress => match (network(wanted), given.parse::<IpAddr>()) {
            (Some(network), Ok(given)) => network.contains(&given),
            _ => false,
        },
        Compare::StringLike | Compare::Arn | Compare::Null => false, // compared elsewhere
    }
}

impl Order {
    fn holds(self, ordering: Option<std::cmp::Ordering>) -> bool {
        let Some(ordering) = ordering else { return false };
        match self {
            Order::Equals => ordering.is_eq(),
            Order::LessThan => ordering.is_lt(),
            Order::LessThanEquals => ordering.is_le(),
            Order::GreaterThan => ordering.is_gt(),
            Order::GreaterThanEquals => ordering.is_ge(),
        }
    }
}

/// The six parts of an ARN are matched one by one: a star does not reach over a colon, but in the last part.
fn arn_matches(wanted: &str, given: &str, context: &Context) -> bool {
    let (wanted, given): (Vec<&str>, Vec<&str>) =
        (wanted.splitn(6, ':').collect(), given.splitn(6, ':').collect());
    wanted.len() == 6
        && given.len() == 6
        && wanted.iter().zip(given).all(|(wanted, given)| {
            Pattern::expand(wanted, context).is_some_and(|pattern| pattern.matches(given))
        })
}

fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// An address alone is a network of one.
fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// A time in any form that policies use: ISO 8601, a date alone, or Unix seconds.
fn time(text: &str) -> Option<jiff::Timestamp> {
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    if let Ok(seconds) = text.parse::<i64>() {
        return jiff::Timestamp::from_second(seconds).ok();
    }
    let date: jiff::civil::Date = text.parse().ok()?;
    Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}
