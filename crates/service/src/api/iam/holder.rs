//! Attached and inline policies, alike for users, groups and roles: Attach…Policy, Put…Policy and so on.

use std::marker::PhantomData;

use serde::{Deserialize, Deserializer};

use super::find;
use crate::api::query::{Input, page};
use crate::front::{ApiError, Xml};
use crate::identity::policy::{Context, Form};
use crate::operation::{App, Caller, retrying};
use crate::resource::iam::{ATTACHED_MAX, Holder, INLINE_MAX, check_name};
use crate::state::replace;

/// Longest name of an inline policy.
const NAME_CHARS_MAX: usize = 128;

/// The parameters of all of them. Whose policies are meant is said by one of three names.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameters {
    user_name: Option<String>,
    group_name: Option<String>,
    role_name: Option<String>,
    policy_arn: Option<String>,
    policy_name: Option<String>,
    policy_document: Option<String>,
    marker: Option<String>,
    max_items: Option<usize>,
}

/// The input of an operation on policies of a sort of holder.
pub(super) struct OfHolder<H> {
    name: String,
    parameters: Parameters,
    sort: PhantomData<fn() -> H>,
}

impl<'de, H: Holder> Deserialize<'de> for OfHolder<H> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut parameters = Parameters::deserialize(deserializer)?;
        let (name, parameter) = match H::SORT {
            "user" => (parameters.user_name.take(), "UserName"),
            "group" => (parameters.group_name.take(), "GroupName"),
            _ => (parameters.role_name.take(), "RoleName"),
        };
        let name = name.ok_or_else(|| serde::de::Error::missing_field(parameter))?;
        Ok(OfHolder { name, parameters, sort: PhantomData })
    }
}

impl<H: Holder> Input for OfHolder<H> {
    fn resources(&self, app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![find::arn_of::<H>(app, caller, &self.name)?])
    }

    fn context(&self) -> Context {
        let mut context = Context::default();
        if let Some(arn) = &self.parameters.policy_arn {
            context.set("iam:PolicyARN", arn.clone());
        }
        context
    }
}

impl<H> OfHolder<H> {
    fn arn(&self) -> Result<&str, ApiError> {
        self.parameters.policy_arn.as_deref().ok_or_else(|| ApiError::missing("PolicyArn"))
    }

    fn policy(&self) -> Result<&str, ApiError> {
        self.parameters.policy_name.as_deref().ok_or_else(|| ApiError::missing("PolicyName"))
    }
}

pub(super) fn attach<H: Holder>(app: &App, caller: &Caller, input: OfHolder<H>) -> Result<Xml, ApiError> {
    let arn = input.arn()?;
    retrying(|| {
        let hold = find::hold_policy(app, caller, arn)?;
        let mut stored = find::holder::<H>(app, &input.name)?;
        let attached = &mut stored.value.entity_mut().permissions.attached;
        attached.insert(arn.to_owned());
        if attached.len() > ATTACHED_MAX {
            let message = format!("Cannot exceed quota for PoliciesPerEntity: {ATTACHED_MAX}");
            return Err(ApiError::new("LimitExceeded", message));
        }
        let mut changes = vec![replace(&stored.value, stored.revision)?];
        changes.extend(hold);
        app.records.apply(&changes)?;
        Ok(())
    })?;
    Ok(Xml::new())
}

pub(super) fn detach<H: Holder>(app: &App, _caller: &Caller, input: OfHolder<H>) -> Result<Xml, ApiError> {
    let arn = input.arn()?;
    find::change::<H>(app, &input.name, |holder| {
        if holder.entity_mut().permissions.attached.remove(arn) {
            return Ok(());
        }
        let shown: String = arn.chars().take(256).collect();
        Err(ApiError::new("NoSuchEntity", format!("Policy {shown} was not found.")))
    })?;
    Ok(Xml::new())
}

pub(super) fn list_attached<H: Holder>(
    app: &App,
    _caller: &Caller,
    input: OfHolder<H>,
) -> Result<Xml, ApiError> {
    let holder = find::holder::<H>(app, &input.name)?.value;
    let all = holder.entity().permissions.attached.iter().cloned().collect();
    let Parameters { marker, max_items, .. } = &input.parameters;
    let (arns, next) = page(all, marker.as_deref(), *max_items, String::clone);
    let mut xml = Xml::new();
    find::write_page(&mut xml, next.as_deref());
    xml.list("AttachedPolicies", "member", &arns, |xml, arn| {
        let name = arn.rsplit('/').next().unwrap_or_default();
        xml.text("PolicyName", name).text("PolicyArn", arn);
    });
    Ok(xml)
}

pub(super) fn put_inline<H: Holder>(
    app: &App,
    _caller: &Caller,
    input: OfHolder<H>,
) -> Result<Xml, ApiError> {
    let name = input.policy()?;
    check_name("PolicyName", name, NAME_CHARS_MAX)?;
    let document = input.parameters.policy_document.as_deref();
    let document = document.ok_or_else(|| ApiError::missing("PolicyDocument"))?;
    find::check_document(document, Form::Identity)?;
    find::change::<H>(app, &input.name, |holder| {
        let inline = &mut holder.entity_mut().permissions.inline;
        inline.insert(name.to_owned(), document.to_owned());
        if inline.len() > INLINE_MAX {
            let message = format!("There can be at most {INLINE_MAX} inline policies.");
            return Err(ApiError::new("LimitExceeded", message));
        }
        Ok(())
    })?;
    Ok(Xml::new())
}

fn no_policy(name: &str) -> ApiError {
    find::no_such("policy", name)
}

pub(super) fn get_inline<H: Holder>(
    app: &App,
    _caller: &Caller,
    input: OfHolder<H>,
) -> Result<Xml, ApiError> {
    let name = input.policy()?;
    let holder = find::holder::<H>(app, &input.name)?.value;
    let document = holder.entity().permissions.inline.get(name).ok_or_else(|| no_policy(name))?;
    let mut xml = Xml::new();
    xml.text(&format!("{}Name", find::title(H::SORT)), &holder.entity().name)
        .text("PolicyName", name)
        .text("PolicyDocument", &find::encoded(document));
    Ok(xml)
}

pub(super) fn delete_inline<H: Holder>(
    app: &App,
    _caller: &Caller,
    input: OfHolder<H>,
) -> Result<Xml, ApiError> {
    let name = input.policy()?;
    find::change::<H>(app, &input.name, |holder| {
        let removed = holder.entity_mut().permissions.inline.remove(name);
        removed.map(drop).ok_or_else(|| no_policy(name))
    })?;
    Ok(Xml::new())
}

pub(super) fn list_inline<H: Holder>(
    app: &App,
    _caller: &Caller,
    input: OfHolder<H>,
) -> Result<Xml, ApiError> {
    let holder = find::holder::<H>(app, &input.name)?.value;
    let all = holder.entity().permissions.inline.keys().cloned().collect();
    let Parameters { marker, max_items, .. } = &input.parameters;
    let (names, next) = page(all, marker.as_deref(), *max_items, String::clone);
    let mut xml = Xml::new();
    find::write_page(&mut xml, next.as_deref());
    xml.texts("PolicyNames", "member", names.iter().map(String::as_str));
    Ok(xml)
}
