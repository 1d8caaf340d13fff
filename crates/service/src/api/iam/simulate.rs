//! SimulatePrincipalPolicy: what a user or role might do, told without doing it.

use serde::Deserialize;

use super::find;
use crate::api::query::Input;
use crate::front::{ApiError, Xml};
use crate::identity::policy::{Context, Verdict};
use crate::identity::{Principal, simulate};
use crate::operation::{App, Caller};
use crate::resource::iam::{Holder, Role, User};

/// Most pairs of action and resource that are judged in one call.
const PAIRS_MAX: usize = 1_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SimulatePrincipalPolicy {
    policy_source_arn: String,
    action_names: Vec<String>,
    #[serde(default)]
    resource_arns: Vec<String>,
    #[serde(default)]
    context_entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    context_key_name: String,
    #[serde(default)]
    context_key_values: Vec<String>,
}

impl Input for SimulatePrincipalPolicy {
    fn resources(&self, _app: &App, _caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![self.policy_source_arn.clone()])
    }
}

pub(super) fn principal(app: &App, caller: &Caller, input: SimulatePrincipalPolicy) -> Result<Xml, ApiError> {
    let arn = &input.policy_source_arn;
    let name = arn.rsplit('/').next().unwrap_or_default();
    let start = format!("arn:aws:iam::{}:", caller.account);
    let principal = match arn.strip_prefix(&start).and_then(|rest| rest.split('/').next()) {
        Some(User::SORT) => Principal::User { name: find::holder::<User>(app, name)?.value.entity.name },
        Some(Role::SORT) => Principal::Role {
            name: find::holder::<Role>(app, name)?.value.entity.name,
            session: "simulation".to_owned(),
            policy: None,
        },
        _ => {
            return Err(ApiError::new(
                "InvalidInput",
                "PolicySourceArn must be the ARN of a user or a role.",
            ));
        }
    };
    let everything = vec!["*".to_owned()];
    let resources = if input.resource_arns.is_empty() { &everything } else { &input.resource_arns };
    if input.action_names.len().saturating_mul(resources.len()) > PAIRS_MAX {
        return Err(ApiError::new(
            "InvalidInput",
            format!("At most {PAIRS_MAX} pairs can be simulated at once."),
        ));
    }
    let mut given = Context::default();
    for entry in &input.context_entries {
        for value in &entry.context_key_values {
            given.add(&entry.context_key_name, value.clone());
        }
    }
    let as_caller = Caller { principal, user_arn: arn.clone(), source: None, ..caller.clone() };
    let mut results = Vec::new();
    for action in &input.action_names {
        for resource in resources {
            let verdict = simulate(app, &as_caller, action, resource, given.clone())?;
            results.push((action, resource, verdict));
        }
    }
    let mut xml = Xml::new();
    find::write_page(&mut xml, None);
    xml.list("EvaluationResults", "member", &results, |xml, (action, resource, verdict)| {
        let decision = match verdict {
            Verdict::Allowed => "allowed",
            Verdict::Silent => "implicitDeny",
            Verdict::Denied => "explicitDeny",
        };
        xml.text("EvalActionName", action)
            .text("EvalResourceName", resource)
            .text("EvalDecision", decision)
            .empty("MatchedStatements")
            .empty("MissingContextValues");
    });
    Ok(xml)
}
