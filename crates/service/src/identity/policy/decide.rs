//! The verdict on one request: an explicit deny wins, then any allow, else no.

use super::Context;
use super::document::{Policy, Principals, Set, Statement};
use super::pattern::Pattern;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Action with its service, `elasticache:CreateCacheCluster`.
    pub action: &'a str,
    /// ARN of the resource, or `*`.
    pub resource: &'a str,
    /// Everything else.
    pub context: &'a Context,
}

/// What a set of policies says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Some statement allows it, none denies it.
    Allowed,
    /// Nothing is said about it, which means no.
    Silent,
    /// A statement denies it, whatever others say.
    Denied,
}

/// The verdict of policies of one sort (say, all that are attached to a user).
pub fn decide<'a>(policies: impl IntoIterator<Item = &'a Policy>, request: Request<'_>) -> Verdict {
    let statements = policies.into_iter().flat_map(|policy| &policy.statements);
    verdict(statements.filter(|statement| applies(statement, request)))
}

/// The verdict of a role's trust policy about who wants to assume it: the ARN of the caller (of a role's session, with
/// the ARN of the role besides) and its account.
pub fn trusts(policy: &Policy, request: Request<'_>, principals: &[&str], account: &str) -> Verdict {
    let is_meant = |statement: &&Statement| {
        statement.principals.as_ref().is_some_and(|meant| meant.include(principals, account))
    };
    verdict(policy.statements.iter().filter(is_meant).filter(|statement| applies(statement, request)))
}

fn verdict<'a>(statements: impl Iterator<Item = &'a Statement>) -> Verdict {
    let mut verdict = Verdict::Silent;
    for statement in statements {
        if !statement.allows {
            return Verdict::Denied;
        }
        verdict = Verdict::Allowed;
    }
    verdict
}

fn applies(statement: &Statement, request: Request<'_>) -> bool {
    let action = request.action.to_lowercase();
    statement.actions.has(|pattern| Pattern::ignoring_case(pattern).matches(&action))
        && statement.resources.has(|pattern| {
            // What is asked of no resource in particular is asked of all of them.
            Pattern::expand(pattern, request.context).is_some_and(|pattern| pattern.matches(request.resource))
        })
        && statement.conditions.iter().all(|condition| condition.holds(request.context))
}

impl Set {
    fn has(&self, matches: impl Fn(&str) -> bool) -> bool {
        self.patterns.iter().any(|pattern| matches(pattern)) != self.inverted
    }
}

impl Principals {
    fn include(&self, principals: &[&str], account: &str) -> bool {
        let named = self.by_sort.get("AWS").is_some_and(|names| {
            names.iter().any(|name| {
                name == "*"
                    || name == account
                    || *name == format!("arn:aws:iam::{account}:root")
                    || principals.contains(&name.as_str())
            })
        });
        named != self.inverted
    }
}
