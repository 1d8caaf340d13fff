//! AssumeRole.

use serde::Deserialize;

use super::{issue, write_credentials};
use crate::front::{ApiError, Xml};
use crate::identity::policy::{Context, Form, Policy, Request, Verdict, trusts};
use crate::identity::{Principal, authorise_plain};
use crate::operation::{App, Caller};
use crate::resource::iam::{Role, check_name};
use crate::state::find;

/// How long a session lasts if nothing is said, in seconds.
const SECONDS_DEFAULT: u64 = 3_600;
/// Shortest session, in seconds.
const SECONDS_MIN: u64 = 900;
/// Longest session of somebody who is a session of a role already.
const CHAINED_SECONDS_MAX: u64 = 3_600;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AssumeRole {
    role_arn: String,
    role_session_name: String,
    duration_seconds: Option<u64>,
    external_id: Option<String>,
    policy: Option<String>,
    #[serde(default)]
    policy_arns: Vec<PolicyArn>,
    #[serde(default)]
    tags: Vec<crate::resource::tag::Tag>,
}

#[derive(Deserialize)]
struct PolicyArn {}

/// Makes a session of a role.
pub(super) fn run(app: &App, caller: &Caller, input: AssumeRole) -> Result<Xml, ApiError> {
    check_name("RoleSessionName", &input.role_session_name, 64)?;
    if !input.policy_arns.is_empty() || !input.tags.is_empty() {
        let message =
            "Session tags and managed session policies are not available in this version of the service.";
        return Err(ApiError::new("ValidationError", message));
    }
    if let Some(policy) = &input.policy {
        Policy::parse(policy, Form::Identity)
            .map_err(|why| ApiError::new("MalformedPolicyDocument", why.0))?;
    }
    let role = trusted(app, caller, &input)?;
    let longest = match &caller.principal {
        Principal::Role { .. } => CHAINED_SECONDS_MAX,
        _ => role.session_seconds_max,
    };
    let seconds = input.duration_seconds.unwrap_or(SECONDS_DEFAULT.min(longest));
    if !(SECONDS_MIN..=longest).contains(&seconds) {
        return Err(ApiError::new(
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        ));
    }
    let principal = Principal::Role {
        name: role.entity.name.clone(),
        session: input.role_session_name.clone(),
        policy: input.policy,
    };
    let (key, session) = issue(app, caller, principal, seconds)?;
    let mut xml = Xml::new();
    write_credentials(&mut xml, &key, &session);
    xml.element("AssumedRoleUser", |xml| {
        xml.text("AssumedRoleId", &format!("{}:{}", role.entity.unique_id, input.role_session_name))
            .text("Arn", &key.user_arn());
    });
    Ok(xml)
}

/// The role, if it trusts the caller and the caller's own policies let it be assumed. A role that names the caller
/// itself needs nothing more; one that names the account leaves the choice to the account's policies.
fn trusted(app: &App, caller: &Caller, input: &AssumeRole) -> Result<Role, ApiError> {
    const ACTION: &str = "sts:AssumeRole";
    let denied = || {
        let shown: String = input.role_arn.chars().take(256).collect();
        let message =
            format!("User: {} is not authorized to perform: {ACTION} on resource: {shown}", caller.user_arn);
        ApiError::new("AccessDenied", message)
    };
    let name = input.role_arn.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let role = find::<Role>(app.records.as_ref(), &name)?.map(|stored| stored.value);
    let role =
        role.filter(|role| role.entity.arn(&caller.account, "role") == input.role_arn).ok_or_else(denied)?;
    let trust = Policy::parse(&role.trust, Form::Trust).map_err(|why| ApiError::internal(&why))?;
    let mut context = Context::default();
    context.set("aws:PrincipalArn", caller.user_arn.clone());
    context.set("sts:RoleSessionName", input.role_session_name.clone());
    if let Some(id) = &input.external_id {
        context.set("sts:ExternalId", id.clone());
    }
    if let Some(source) = caller.source {
        context.set("aws:SourceIp", source.to_string());
    }
    let now = jiff::Timestamp::from_millisecond(i64::try_from(app.now_ms()).unwrap_or(i64::MAX));
    context.set("aws:CurrentTime", now.unwrap_or(jiff::Timestamp::MAX).to_string());
    let role_arn = match &caller.principal {
        Principal::Role { name, .. } => format!("arn:aws:iam::{}:role/{name}", caller.account),
        _ => caller.user_arn.clone(),
    };
    let request = Request { action: ACTION, resource: &input.role_arn, context: &context };
    let own_names = [caller.user_arn.as_str(), role_arn.as_str()];
    if trusts(&trust, request, &own_names, &caller.account) != Verdict::Allowed {
        return Err(denied());
    }
    // An account that no trust policy can mean: what is left are statements that name the caller.
    let by_name = trusts(&trust, request, &own_names, "-") == Verdict::Allowed;
    let own = authorise_plain(app, caller, ACTION, std::slice::from_ref(&input.role_arn));
    match own {
        Err(error) if !by_name || error.message.contains("explicit deny") => Err(error),
        _ => Ok(role),
    }
}
