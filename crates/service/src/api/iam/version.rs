//! Versions of managed policies: CreatePolicyVersion, GetPolicyVersion, ListPolicyVersions, SetDefaultPolicyVersion,
//! DeletePolicyVersion.

use serde::Deserialize;

use super::find;
use crate::api::query::Input;
use crate::front::{ApiError, Xml};
use crate::identity::policy::Form;
use crate::operation::{App, Caller, retrying};
use crate::resource::iam::{AwsPolicy, ManagedPolicy, PolicyVersion, VERSIONS_MAX};
use crate::state::replace;

/// The parameters of all of them.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OfVersion {
    policy_arn: String,
    version_id: Option<String>,
    policy_document: Option<String>,
    #[serde(default)]
    set_as_default: bool,
}

impl Input for OfVersion {
    fn resources(&self, _app: &App, _caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![self.policy_arn.clone()])
    }
}

impl OfVersion {
    fn number(&self) -> Result<u64, ApiError> {
        let id = self.version_id.as_deref().ok_or_else(|| ApiError::missing("VersionId"))?;
        let number = id.strip_prefix('v').and_then(|digits| digits.parse().ok());
        number.ok_or_else(|| find::invalid("VersionId must be v and a number."))
    }

    fn change<T>(
        &self,
        app: &App,
        caller: &Caller,
        mut change: impl FnMut(&mut ManagedPolicy) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        retrying(|| {
            let mut stored = find::managed(app, caller, &self.policy_arn)?;
            let answer = change(&mut stored.value)?;
            stored.value.updated_ms = app.now_ms();
            app.records.apply(&[replace(&stored.value, stored.revision)?])?;
            Ok(answer)
        })
    }
}

fn no_version(number: u64) -> ApiError {
    ApiError::new("NoSuchEntity", format!("Policy version v{number} does not exist."))
}

fn write(xml: &mut Xml, number: u64, is_default: bool, version: &PolicyVersion, with_document: bool) {
    if with_document {
        xml.text("Document", &find::encoded(&version.document));
    }
    xml.text("VersionId", &format!("v{number}"))
        .boolean("IsDefaultVersion", is_default)
        .time("CreateDate", version.created_ms);
}

pub(super) fn create(app: &App, caller: &Caller, input: OfVersion) -> Result<Xml, ApiError> {
    let document = input.policy_document.as_deref().ok_or_else(|| ApiError::missing("PolicyDocument"))?;
    find::check_document(document, Form::Identity)?;
    let version = PolicyVersion { document: document.to_owned(), created_ms: app.now_ms() };
    let number = input.change(app, caller, |policy| {
        if policy.versions.len() >= VERSIONS_MAX {
            let message = format!(
                "A managed policy can have up to {VERSIONS_MAX} versions. Before you create a new version, you must \
                 delete an existing version."
            );
            return Err(ApiError::new("LimitExceeded", message));
        }
        let number = policy.next_version;
        policy.next_version += 1;
        policy.versions.insert(number, version.clone());
        if input.set_as_default {
            policy.default_version = number;
        }
        Ok(number)
    })?;
    let mut xml = Xml::new();
    xml.element("PolicyVersion", |xml| write(xml, number, input.set_as_default, &version, false));
    Ok(xml)
}

/// The versions of a policy, of a user or of AWS, with the number of the one in force.
fn versions(app: &App, caller: &Caller, arn: &str) -> Result<(Vec<(u64, PolicyVersion)>, u64), ApiError> {
    if let Some(policy) = AwsPolicy::find(arn) {
        return Ok((vec![(1, PolicyVersion { document: policy.document(), created_ms: 0 })], 1));
    }
    let policy = find::managed(app, caller, arn)?.value;
    Ok((policy.versions.into_iter().rev().collect(), policy.default_version))
}

pub(super) fn get(app: &App, caller: &Caller, input: OfVersion) -> Result<Xml, ApiError> {
    let number = input.number()?;
    let (versions, default) = versions(app, caller, &input.policy_arn)?;
    let found = versions.iter().find(|(at, _)| *at == number).ok_or_else(|| no_version(number))?;
    let mut xml = Xml::new();
    xml.element("PolicyVersion", |xml| write(xml, number, number == default, &found.1, true));
    Ok(xml)
}

pub(super) fn list(app: &App, caller: &Caller, input: OfVersion) -> Result<Xml, ApiError> {
    let (versions, default) = versions(app, caller, &input.policy_arn)?;
    let mut xml = Xml::new();
    find::write_page(&mut xml, None);
    xml.list("Versions", "member", &versions, |xml, (number, version)| {
        write(xml, *number, *number == default, version, false);
    });
    Ok(xml)
}

pub(super) fn set_default(app: &App, caller: &Caller, input: OfVersion) -> Result<Xml, ApiError> {
    let number = input.number()?;
    input.change(app, caller, |policy| {
        if !policy.versions.contains_key(&number) {
            return Err(no_version(number));
        }
        policy.default_version = number;
        Ok(())
    })?;
    Ok(Xml::new())
}

pub(super) fn delete(app: &App, caller: &Caller, input: OfVersion) -> Result<Xml, ApiError> {
    let number = input.number()?;
    input.change(app, caller, |policy| {
        if policy.default_version == number {
            let message = "Cannot delete the default version of a policy.";
            return Err(ApiError::new("DeleteConflict", message));
        }
        policy.versions.remove(&number).map(drop).ok_or_else(|| no_version(number))
    })?;
    Ok(Xml::new())
}
