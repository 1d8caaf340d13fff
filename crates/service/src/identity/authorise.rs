//! May they? Asked before every operation of every API: the policies of the caller are judged for the action, for
//! each resource that it touches, and for what is known of the request.

use super::policy::{Context, Request, Verdict, decide};
use super::principal::{Policies, Principal};
use crate::front::ApiError;
use crate::operation::{App, Caller};

/// Keys and values of tags.
pub type Tags = Vec<(String, String)>;

/// What a call wants to do.
pub struct Asked<'a> {
    /// Action with its service, `elasticache:CreateCacheCluster`.
    pub action: &'a str,
    /// ARNs of the resources, each of which must be allowed; none means no resource in particular.
    pub resources: &'a [String],
    /// What the request itself says: tags, and keys of the service. Keys that every call has are added here.
    pub context: Context,
    /// Tags of a resource that is there.
    pub tags_of: &'a (dyn Fn(&str) -> Result<Tags, ApiError> + 'a),
}

/// Asked of no resource in particular, and nothing is known but what is known of every call.
pub fn authorise_plain(
    app: &App,
    caller: &Caller,
    action: &str,
    resources: &[String],
) -> Result<(), ApiError> {
    let asked = Asked { action, resources, context: Context::default(), tags_of: &|_| Ok(Vec::new()) };
    authorise(app, caller, asked)
}

/// Refuses the call unless the caller may do it to every resource.
///
/// # Errors
/// `AccessDenied`, in AWS's words.
pub fn authorise(app: &App, caller: &Caller, asked: Asked<'_>) -> Result<(), ApiError> {
    let everything = ["*".to_owned()];
    let resources = if asked.resources.is_empty() { &everything[..] } else { asked.resources };
    for resource in resources {
        if account_of(resource).is_some_and(|account| account != caller.account && account != "aws") {
            return Err(denied(caller, asked.action, resource, Why::Silent("identity-based policy")));
        }
    }
    if caller.principal == Principal::Root {
        return Ok(());
    }
    let policies = Policies::of(app.records.as_ref(), &caller.principal)?;
    let context = caller_context(app, caller, &policies, asked.context);
    for resource in resources {
        let mut context = context.clone();
        for (key, value) in (asked.tags_of)(resource)? {
            context.set(&format!("aws:ResourceTag/{key}"), value);
        }
        let request = Request { action: asked.action, resource, context: &context };
        judge(&policies, request).map_err(|why| denied(caller, asked.action, resource, why))?;
    }
    Ok(())
}

/// What a caller may, told and not enforced: `iam:SimulatePrincipalPolicy`.
pub fn simulate(
    app: &App,
    caller: &Caller,
    action: &str,
    resource: &str,
    given: Context,
) -> Result<Verdict, ApiError> {
    if caller.principal == Principal::Root {
        return Ok(Verdict::Allowed);
    }
    let policies = Policies::of(app.records.as_ref(), &caller.principal)?;
    let context = caller_context(app, caller, &policies, given);
    Ok(match judge(&policies, Request { action, resource, context: &context }) {
        Ok(()) => Verdict::Allowed,
        Err(Why::Explicit(_)) => Verdict::Denied,
        Err(Why::Silent(_)) => Verdict::Silent,
    })
}

/// Which sort of policy says no, and whether it says so.
enum Why {
    Explicit(&'static str),
    Silent(&'static str),
}

fn judge(policies: &Policies, request: Request<'_>) -> Result<(), Why> {
    let sorts = [
        ("identity-based policy", Some(decide(&policies.identity, request))),
        ("permissions boundary", policies.boundary.as_ref().map(|policy| decide([policy], request))),
        ("session policy", policies.session.as_ref().map(|policy| decide([policy], request))),
    ];
    for (sort, verdict) in sorts {
        if verdict == Some(Verdict::Denied) {
            return Err(Why::Explicit(sort));
        }
    }
    for (sort, verdict) in sorts {
        if verdict == Some(Verdict::Silent) {
            return Err(Why::Silent(sort));
        }
    }
    Ok(())
}

fn caller_context(app: &App, caller: &Caller, policies: &Policies, given: Context) -> Context {
    let mut context = given;
    let now_ms = app.now_ms();
    if let Some(source) = caller.source {
        context.set("aws:SourceIp", source.to_string());
    }
    let now = jiff::Timestamp::from_millisecond(i64::try_from(now_ms).unwrap_or(i64::MAX));
    context.set("aws:CurrentTime", now.unwrap_or(jiff::Timestamp::MAX).to_string());
    context.set("aws:EpochTime", (now_ms / 1000).to_string());
    context.set("aws:RequestedRegion", caller.region.clone());
    context.set("aws:PrincipalArn", role_or_own_arn(caller));
    context.set("aws:PrincipalAccount", caller.account.clone());
    context.set("aws:SecureTransport", "false");
    context.set("aws:MultiFactorAuthPresent", "false");
    let sort = match &caller.principal {
        Principal::Root => "Account",
        Principal::User { name } => {
            context.set("aws:username", name.clone());
            context.set("aws:userid", policies.unique_id.clone());
            "User"
        }
        Principal::Role { session, .. } => {
            context.set("aws:userid", format!("{}:{session}", policies.unique_id));
            "AssumedRole"
        }
    };
    context.set("aws:PrincipalType", sort);
    for (key, value) in &policies.tags {
        context.set(&format!("aws:PrincipalTag/{key}"), value.clone());
    }
    context
}

/// Policies name the role, not its sessions.
fn role_or_own_arn(caller: &Caller) -> String {
    match &caller.principal {
        Principal::Role { name, .. } => format!("arn:aws:iam::{}:role/{name}", caller.account),
        _ => caller.user_arn.clone(),
    }
}

/// The account in an ARN, if it has one.
fn account_of(arn: &str) -> Option<&str> {
    let account = arn.strip_prefix("arn:")?.split(':').nth(3)?;
    (!account.is_empty() && account != "*").then_some(account)
}

fn denied(caller: &Caller, action: &str, resource: &str, why: Why) -> ApiError {
    let reason = match why {
        Why::Explicit(sort) => format!("with an explicit deny in {} {sort}", article(sort)),
        Why::Silent(sort) => format!("because no {sort} allows the {action} action"),
    };
    ApiError::new(
        "AccessDenied",
        format!(
            "User: {} is not authorized to perform: {action} on resource: {resource} {reason}",
            caller.user_arn
        ),
    )
}

fn article(sort: &str) -> &'static str {
    if sort.starts_with('i') { "an" } else { "a" }
}
