//! Reading a policy document.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::condition::{Condition, Operator};

/// Most statements of one document: far more than fit into AWS's quotas on size.
const STATEMENTS_MAX: usize = 512;

/// Where a document is used: what it must and must not have depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Of a user, group, role or session: no principals.
    Identity,
    /// Of a role: who may assume it. Principals, no resources.
    Trust,
}

/// Why a document is not one; the text is for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// A policy document.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    pub(super) statements: Vec<Statement>,
}

/// One statement.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Statement {
    pub(super) allows: bool,
    pub(super) actions: Set,
    pub(super) resources: Set,
    pub(super) principals: Option<Principals>,
    pub(super) conditions: Vec<Condition>,
}

/// Patterns, or everything but them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) patterns: Vec<String>,
    pub(super) inverted: bool,
}

/// Principals by sort (`AWS`, `Service`, ...), or everybody but them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Principals {
    pub(super) by_sort: BTreeMap<String, Vec<String>>,
    pub(super) inverted: bool,
}

impl Policy {
    /// Reads a document.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, form: Form) -> Result<Policy, Malformed> {
        let value: Value = serde_json::from_str(text).map_err(|_| malformed("Syntax errors in policy."))?;
        let Value::Object(document) = value else { return Err(malformed("Syntax errors in policy.")) };
        for (name, value) in &document {
            match name.as_str() {
                "Version" if value == "2012-10-17" || value == "2008-10-17" => {}
                "Version" => return Err(malformed("The policy must contain a valid version string.")),
                "Id" if value.is_string() => {}
                "Statement" => {}
                _ => return Err(malformed("Syntax errors in policy.")),
            }
        }
        let statements = match document.get("Statement") {
            Some(Value::Array(all)) => all.iter().collect(),
            Some(one @ Value::Object(_)) => vec![one],
            _ => return Err(malformed("Syntax errors in policy.")),
        };
        if statements.is_empty() || statements.len() > STATEMENTS_MAX {
            return Err(malformed("Syntax errors in policy."));
        }
        let statements = statements.into_iter().map(|value| statement(value, form));
        Ok(Policy { statements: statements.collect::<Result<_, _>>()? })
    }
}

fn statement(value: &Value, form: Form) -> Result<Statement, Malformed> {
    const NAMES: [&str; 9] = [
        "Sid",
        "Effect",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
        "Principal",
        "NotPrincipal",
    ];
    let Value::Object(members) = value else { return Err(malformed("Syntax errors in policy.")) };
    if members.keys().any(|name| !NAMES.contains(&name.as_str())) {
        return Err(malformed("Syntax errors in policy."));
    }
    let allows = match members.get("Effect").and_then(Value::as_str) {
        Some("Allow") => true,
        Some("Deny") => false,
        _ => return Err(malformed("Policy statement must contain a valid Effect.")),
    };
    let actions = set(members, "Action", "NotAction")?
        .ok_or_else(|| malformed("Policy statement must contain actions."))?;
    for action in &actions.patterns {
        let is_action = action == "*" || action.split_once(':').is_some_and(|(vendor, _)| !vendor.is_empty());
        if !is_action {
            return Err(malformed(
                "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
            ));
        }
    }
    let resources = set(members, "Resource", "NotResource")?;
    let principals = principals(members)?;
    let resources = match form {
        Form::Identity => {
            if principals.is_some() {
                return Err(malformed("Policy document should not specify a principal."));
            }
            let resources = resources.ok_or_else(|| malformed("Policy statement must contain resources."))?;
            check_resources(&resources)?;
            resources
        }
        Form::Trust => {
            if resources.is_some() {
                return Err(malformed("Has prohibited field Resource."));
            }
            if principals.is_none() {
                return Err(malformed("Missing required field Principal."));
            }
            Set { patterns: vec!["*".to_owned()], inverted: false }
        }
    };
    Ok(Statement { allows, actions, resources, principals, conditions: conditions(members)? })
}

fn check_resources(resources: &Set) -> Result<(), Malformed> {
    for resource in &resources.patterns {
        let is_arn = resource.starts_with("arn:") && resource.split(':').count() >= 6;
        let is_wild = resource.contains('*') && (resource.len() == 1 || resource.starts_with("arn:"));
        if !is_arn && !is_wild {
            let shown: String = resource.chars().take(128).collect();
            return Err(malformed(format!("Resource {shown} must be in ARN format or \"*\".")));
        }
    }
    Ok(())
}

/// The patterns under one of two names; having both is an error.
fn set(members: &Map<String, Value>, name: &str, inverse: &str) -> Result<Option<Set>, Malformed> {
    let (value, inverted) = match (members.get(name), members.get(inverse)) {
        (Some(value), None) => (value, false),
        (None, Some(value)) => (value, true),
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(malformed("Syntax errors in policy.")),
    };
    let patterns = texts(value)?;
    if patterns.is_empty() {
        return Err(malformed(format!("Policy statement must contain {}s.", name.to_ascii_lowercase())));
    }
    Ok(Some(Set { patterns, inverted }))
}

fn principals(members: &Map<String, Value>) -> Result<Option<Principals>, Malformed> {
    let (value, inverted) = match (members.get("Principal"), members.get("NotPrincipal")) {
        (Some(value), None) => (value, false),
        (None, Some(value)) => (value, true),
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(malformed("Syntax errors in policy.")),
    };
    let by_sort = match value {
        Value::String(all) if all == "*" => BTreeMap::from([("AWS".to_owned(), vec!["*".to_owned()])]),
        Value::Object(sorts) => {
            let mut by_sort = BTreeMap::new();
            for (sort, value) in sorts {
                if !matches!(sort.as_str(), "AWS" | "Service" | "Federated" | "CanonicalUser") {
                    return Err(malformed(format!("Invalid principal in policy: \"{sort}\"")));
                }
                by_sort.insert(sort.clone(), texts(value)?);
            }
            by_sort
        }
        _ => return Err(malformed("Invalid principal in policy.")),
    };
    Ok(Some(Principals { by_sort, inverted }))
}

fn conditions(members: &Map<String, Value>) -> Result<Vec<Condition>, Malformed> {
    let Some(value) = members.get("Condition") else { return Ok(Vec::new()) };
    let Value::Object(operators) = value else { return Err(malformed("Syntax errors in policy.")) };
    let mut conditions = Vec::new();
    for (name, keys) in operators {
        let operator =
            Operator::parse(name).ok_or_else(|| malformed(format!("Invalid Condition type : {name}.")))?;
        let Value::Object(keys) = keys else { return Err(malformed("Syntax errors in policy.")) };
        for (key, values) in keys {
            if !key.contains(':') {
                return Err(malformed(format!("Invalid condition key: {key}")));
            }
            let condition = Condition { operator, key: key.clone(), values: texts(values)? };
            condition.check().map_err(Malformed)?;
            conditions.push(condition);
        }
    }
    Ok(conditions)
}

/// One text or several; numbers and truth values are texts, too.
fn texts(value: &Value) -> Result<Vec<String>, Malformed> {
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(value) => Ok(value.to_string()),
        _ => Err(malformed("Syntax errors in policy.")),
    };
    match value {
        Value::Array(values) => values.iter().map(text).collect(),
        one => Ok(vec![text(one)?]),
    }
}

fn malformed(message: impl Into<String>) -> Malformed {
    Malformed(message.into())
}
