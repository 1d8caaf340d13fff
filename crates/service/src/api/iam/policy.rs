//! CreatePolicy, GetPolicy, ListPolicies, ListEntitiesForPolicy, DeletePolicy.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::find;
use crate::api::query::{Input, page};
use crate::front::{ApiError, Xml};
use crate::identity::policy::Form;
use crate::operation::{App, Caller, retrying};
use crate::resource::iam::{
    AWS_POLICIES, AwsPolicy, Entity, Group, Holder, ManagedPolicy, PolicyVersion, Role, User, check_name,
    check_path,
};
use crate::resource::tag::Tag;
use crate::state::{self, Expect, list_all, remove};

/// Longest name of a policy.
const NAME_CHARS_MAX: usize = 128;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreatePolicy {
    policy_name: String,
    path: Option<String>,
    policy_document: String,
    description: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

impl Input for CreatePolicy {
    fn resources(&self, _app: &App, caller: &Caller) -> Result<Vec<String>, ApiError> {
        let path = self.path.as_deref().unwrap_or("/");
        Ok(vec![format!("arn:aws:iam::{}:policy{path}{}", caller.account, self.policy_name)])
    }
}

pub(super) fn create(app: &App, caller: &Caller, input: CreatePolicy) -> Result<Xml, ApiError> {
    check_name("PolicyName", &input.policy_name, NAME_CHARS_MAX)?;
    find::check_document(&input.policy_document, Form::Identity)?;
    let now_ms = app.now_ms();
    let first = PolicyVersion { document: input.policy_document, created_ms: now_ms };
    let policy = ManagedPolicy {
        name: input.policy_name,
        path: check_path(input.path)?,
        unique_id: find::new_id("ANPA")?,
        description: input.description.filter(|text| !text.is_empty()),
        versions: BTreeMap::from([(1, first)]),
        default_version: 1,
        next_version: 2,
        created_ms: now_ms,
        updated_ms: now_ms,
        tags: find::with_tags(BTreeMap::new(), input.tags)?,
    };
    find::make(app, "Policy", &policy)?;
    let mut xml = Xml::new();
    xml.element("Policy", |xml| Listed::of(&policy, caller).write(xml, 0));
    Ok(xml)
}

/// A policy as it is listed, of a user or of AWS.
struct Listed {
    arn: String,
    name: String,
    path: String,
    id: String,
    description: Option<String>,
    default_version: u64,
    created_ms: u64,
    updated_ms: u64,
    tags: BTreeMap<String, String>,
}

impl Listed {
    fn of(policy: &ManagedPolicy, caller: &Caller) -> Listed {
        Listed {
            arn: policy.arn(&caller.account),
            name: policy.name.clone(),
            path: policy.path.clone(),
            id: policy.unique_id.clone(),
            description: policy.description.clone(),
            default_version: policy.default_version,
            created_ms: policy.created_ms,
            updated_ms: policy.updated_ms,
            tags: policy.tags.clone(),
        }
    }

    fn of_aws(policy: &AwsPolicy) -> Listed {
        // Ids of AWS's policies are as lasting as their names.
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, policy.name.as_bytes());
        Listed {
            arn: policy.arn(),
            name: policy.name.to_owned(),
            path: policy.path.to_owned(),
            id: crate::resource::iam::unique_id("ANPA", digest.as_ref()),
            description: Some(policy.description.to_owned()),
            default_version: 1,
            created_ms: 0,
            updated_ms: 0,
            tags: BTreeMap::new(),
        }
    }

    fn write(&self, xml: &mut Xml, attached: usize) {
        xml.text("PolicyName", &self.name)
            .text("PolicyId", &self.id)
            .text("Arn", &self.arn)
            .text("Path", &self.path)
            .text("DefaultVersionId", &format!("v{}", self.default_version))
            .number("AttachmentCount", attached)
            .number("PermissionsBoundaryUsageCount", 0)
            .boolean("IsAttachable", true)
            .optional("Description", self.description.as_deref())
            .time("CreateDate", self.created_ms)
            .time("UpdateDate", self.updated_ms);
        if !self.tags.is_empty() {
            find::write_tags(xml, &self.tags);
        }
    }
}

/// The ARN of a policy alone.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OfPolicy {
    policy_arn: String,
}

impl Input for OfPolicy {
    fn resources(&self, _app: &App, _caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(vec![self.policy_arn.clone()])
    }
}

pub(super) fn get(app: &App, caller: &Caller, input: OfPolicy) -> Result<Xml, ApiError> {
    let listed = match AwsPolicy::find(&input.policy_arn) {
        Some(policy) => Listed::of_aws(policy),
        None => Listed::of(&find::managed(app, caller, &input.policy_arn)?.value, caller),
    };
    let count = attachments(app, &listed.arn)?.iter().map(|(_, all)| all.len()).sum();
    let mut xml = Xml::new();
    xml.element("Policy", |xml| listed.write(xml, count));
    Ok(xml)
}

/// Who has a policy attached, by sort.
fn attachments(app: &App, arn: &str) -> Result<[(&'static str, Vec<Entity>); 3], ApiError> {
    fn of<H: Holder>(app: &App, arn: &str) -> Result<Vec<Entity>, ApiError> {
        let all = list_all::<H>(app.records.as_ref())?;
        let entities = all.iter().map(|stored| stored.value.entity());
        Ok(entities.filter(|entity| entity.permissions.attached.contains(arn)).cloned().collect())
    }
    Ok([("Group", of::<Group>(app, arn)?), ("User", of::<User>(app, arn)?), ("Role", of::<Role>(app, arn)?)])
}

pub(super) fn entities(app: &App, caller: &Caller, input: OfPolicy) -> Result<Xml, ApiError> {
    if AwsPolicy::find(&input.policy_arn).is_none() {
        find::managed(app, caller, &input.policy_arn)?;
    }
    let mut xml = Xml::new();
    find::write_page(&mut xml, None);
    for (sort, entities) in attachments(app, &input.policy_arn)? {
        xml.list(&format!("Policy{sort}s"), "member", &entities, |xml, entity| {
            xml.text(&format!("{sort}Name"), &entity.name).text(&format!("{sort}Id"), &entity.unique_id);
        });
    }
    Ok(xml)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListPolicies {
    scope: Option<String>,
    #[serde(default)]
    only_attached: bool,
    path_prefix: Option<String>,
    marker: Option<String>,
    max_items: Option<usize>,
}

impl Input for ListPolicies {}

pub(super) fn list(app: &App, caller: &Caller, input: ListPolicies) -> Result<Xml, ApiError> {
    let scope = input.scope.as_deref().unwrap_or("All");
    if !matches!(scope, "All" | "AWS" | "Local") {
        return Err(find::invalid("Scope must be All, AWS or Local."));
    }
    let mut all = Vec::new();
    if scope != "AWS" {
        let own = list_all::<ManagedPolicy>(app.records.as_ref())?;
        all.extend(own.iter().map(|stored| Listed::of(&stored.value, caller)));
    }
    if scope != "Local" {
        all.extend(AWS_POLICIES.iter().map(Listed::of_aws));
    }
    let prefix = input.path_prefix.unwrap_or_default();
    let mut counted = Vec::new();
    for listed in all {
        let count: usize = attachments(app, &listed.arn)?.iter().map(|(_, all)| all.len()).sum();
        if listed.path.starts_with(&prefix) && (count > 0 || !input.only_attached) {
            counted.push((listed, count));
        }
    }
    counted.sort_by(|a, b| a.0.arn.cmp(&b.0.arn));
    let (policies, next) =
        page(counted, input.marker.as_deref(), input.max_items, |(listed, _)| listed.arn.clone());
    let mut xml = Xml::new();
    find::write_page(&mut xml, next.as_deref());
    xml.list("Policies", "member", &policies, |xml, (listed, count)| listed.write(xml, *count));
    Ok(xml)
}

pub(super) fn delete(app: &App, caller: &Caller, input: OfPolicy) -> Result<Xml, ApiError> {
    retrying(|| {
        let stored = find::managed(app, caller, &input.policy_arn)?;
        let arn = &input.policy_arn;
        if attachments(app, arn)?.iter().any(|(_, all)| !all.is_empty()) || bounds_somebody(app, arn)? {
            let message = "Cannot delete a policy attached to entities.";
            return Err(ApiError::new("DeleteConflict", message));
        }
        if stored.value.versions.len() > 1 {
            let message = "This policy has more than one version. Before you delete a policy, you must delete the \
                           policy's versions. The default version is deleted with the policy.";
            return Err(ApiError::new("DeleteConflict", message));
        }
        let id = state::Resource::id(&stored.value);
        app.records.apply(&[remove::<ManagedPolicy>(&id, Expect::Revision(stored.revision))])?;
        Ok(())
    })?;
    Ok(Xml::new())
}

fn bounds_somebody(app: &App, arn: &str) -> Result<bool, ApiError> {
    let is = |entity: &Entity| entity.permissions.boundary.as_deref() == Some(arn);
    Ok(list_all::<User>(app.records.as_ref())?.iter().any(|user| is(&user.value.entity))
        || list_all::<Role>(app.records.as_ref())?.iter().any(|role| is(&role.value.entity)))
}
