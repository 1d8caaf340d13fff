//! What policies are asked about a call of this API: its action, its resources, and what its parameters say.
//!
//! All of it is read from the parameters by name, so an operation gets it by its row in the table and its `Input`.

use super::{App, Caller};
use crate::front::ApiError;
use crate::front::query::{Form, Node};
use crate::identity::policy::Context;
use crate::identity::{Asked, authorise, authorise_plain};
use crate::resource::arn::Arn;
use crate::resource::tag::TagSet;
use crate::state;

/// Condition keys of the service, and the parameter that each is the value of.
const KEYS: &[(&str, &str)] = &[
    ("AtRestEncryptionEnabled", "AtRestEncryptionEnabled"),
    ("AutomaticFailoverEnabled", "AutomaticFailoverEnabled"),
    ("CacheNodeType", "CacheNodeType"),
    ("CacheParameterGroupName", "CacheParameterGroupName"),
    ("DataStorageUnit", "CacheUsageLimits.DataStorage.Unit"),
    ("EngineType", "Engine"),
    ("EngineVersion", "EngineVersion"),
    ("KmsKeyId", "KmsKeyId"),
    ("MaximumDataStorage", "CacheUsageLimits.DataStorage.Maximum"),
    ("MaximumECPUPerSecond", "CacheUsageLimits.ECPUPerSecond.Maximum"),
    ("MinimumDataStorage", "CacheUsageLimits.DataStorage.Minimum"),
    ("MinimumECPUPerSecond", "CacheUsageLimits.ECPUPerSecond.Minimum"),
    ("MultiAZEnabled", "MultiAZEnabled"),
    ("NumNodeGroups", "NumNodeGroups"),
    ("ReplicasPerNodeGroup", "ReplicasPerNodeGroup"),
    ("SnapshotRetentionLimit", "SnapshotRetentionLimit"),
    ("UserAuthenticationMode", "AuthenticationMode.Type"),
];

/// Parameters that name a resource of another sort, by which calls that make or change something need permission.
const REFERENCES: &[(&str, &str)] = &[
    ("CacheClusterId", "cluster"),
    ("CacheParameterGroupName", "parametergroup"),
    ("CacheSecurityGroupNames", "securitygroup"),
    ("CacheSubnetGroupName", "subnetgroup"),
    ("GlobalReplicationGroupId", "globalreplicationgroup"),
    ("PrimaryClusterId", "cluster"),
    ("ReplicationGroupId", "replicationgroup"),
    ("ServerlessCacheSnapshotName", "serverlesscachesnapshot"),
    ("FinalSnapshotIdentifier", "snapshot"),
    ("SnapshotName", "snapshot"),
    ("SourceSnapshotName", "snapshot"),
    ("TargetSnapshotName", "snapshot"),
    ("UserGroupId", "usergroup"),
    ("UserGroupIds", "usergroup"),
    ("UserGroupIdsToAdd", "usergroup"),
    ("UserGroupIdsToRemove", "usergroup"),
    ("UserIds", "user"),
    ("UserIdsToAdd", "user"),
    ("UserIdsToRemove", "user"),
];

/// Actions that ask for what they refer to besides what they act on.
const REFERRING: &[&str] = &["Create", "Modify", "Delete", "Copy", "Increase", "Decrease"];

/// Asks whether the caller may.
///
/// # Errors
/// `AccessDenied`.
pub(super) fn check(
    app: &App,
    caller: &Caller,
    action: &str,
    resources: Vec<Arn>,
    form: &Form,
) -> Result<(), ApiError> {
    let mut arns: Vec<String> = resources.iter().map(Arn::to_string).collect();
    if REFERRING.iter().any(|start| action.starts_with(start)) {
        for (parameter, sort) in REFERENCES {
            for name in form.texts(parameter).into_iter().filter(|name| !name.is_empty()) {
                let arn = caller.arn(sort, name).to_string();
                if !arns.contains(&arn) {
                    arns.push(arn);
                }
            }
        }
    }
    if lands_in_default_subnets(action, form) {
        arns.push(caller.arn("subnetgroup", "default").to_string());
    }
    let (context, has_tags) = context(action, form);
    let tags_of = |arn: &str| tags_of(app, arn);
    let ask = |action: &str, context: Context| {
        let action = format!("elasticache:{action}");
        authorise(app, caller, Asked { action: &action, resources: &arns, context, tags_of: &tags_of })
    };
    ask(action, context.clone())?;
    log_delivery(app, caller, form)?;
    // To make something with tags is to tag it, too.
    if has_tags && action.starts_with("Create") {
        ask("AddTagsToResource", context)?;
    }
    Ok(())
}

/// What a caller needs of the services that logs are delivered to, whoever delivers them.
const LOG_DELIVERY: &[&str] = &[
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
];

/// The same for a log group.
const LOG_GROUPS: &[&str] =
    &["logs:PutResourcePolicy", "logs:DescribeResourcePolicies", "logs:DescribeLogGroups"];

/// Who has logs delivered needs permission where they go, too.
fn log_delivery(app: &App, caller: &Caller, form: &Form) -> Result<(), ApiError> {
    let ask = |action: &str, resources: &[String]| authorise_plain(app, caller, action, resources);
    let deliveries = form.elements("LogDeliveryConfigurations");
    if !deliveries.is_empty() {
        LOG_DELIVERY.iter().try_for_each(|action| ask(action, &[]))?;
    }
    for delivery in deliveries {
        match delivery.value("DestinationType") {
            Some("cloudwatch-logs") => {
                LOG_GROUPS.iter().try_for_each(|action| ask(action, &[]))?;
            }
            Some("kinesis-firehose") => {
                let name =
                    delivery.at("DestinationDetails.KinesisFirehoseDetails.DeliveryStream").unwrap_or("*");
                let Caller { region, account, .. } = caller;
                let stream = format!("arn:aws:firehose:{region}:{account}:deliverystream/{name}");
                ask("firehose:TagDeliveryStream", &[stream])?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// A new cache that names no subnet group, and no group that it joins, uses the default one, which counts.
fn lands_in_default_subnets(action: &str, form: &Form) -> bool {
    let joins = action == "CreateCacheCluster" && form.value("ReplicationGroupId").is_some();
    matches!(action, "CreateCacheCluster" | "CreateReplicationGroup")
        && form.value("CacheSubnetGroupName").is_none_or(str::is_empty)
        && !joins
}

fn context(action: &str, form: &Form) -> (Context, bool) {
    let mut context = Context::default();
    for (key, parameter) in KEYS {
        if let Some(value) = form.at(parameter) {
            context.set(&format!("elasticache:{key}"), value);
        }
    }
    if let Some(enabled) = form.value("TransitEncryptionEnabled") {
        // It counts where the mode is the strict one, which is what a new cache has without saying so.
        let mode = form.value("TransitEncryptionMode");
        let is_strict = mode == Some("required") || (mode.is_none() && action.starts_with("Create"));
        let counts = enabled.eq_ignore_ascii_case("true") && is_strict;
        context.set("elasticache:TransitEncryptionEnabled", counts.to_string());
    }
    context.set("elasticache:AuthTokenEnabled", form.value("AuthToken").is_some().to_string());
    let mut has_tags = false;
    for tag in form.elements("Tags") {
        if let Some(key) = tag.value("Key") {
            has_tags = true;
            context.add("aws:TagKeys", key);
            context.set(&format!("aws:RequestTag/{key}"), tag.value("Value").unwrap_or_default());
        }
    }
    for key in form.texts("TagKeys") {
        context.add("aws:TagKeys", key);
    }
    (context, has_tags)
}

fn tags_of(app: &App, arn: &str) -> Result<Vec<(String, String)>, ApiError> {
    let Ok(arn) = Arn::parse(arn) else { return Ok(Vec::new()) };
    let found = state::find::<TagSet>(app.records.as_ref(), &TagSet::id_of(&arn.sort, &arn.name))?;
    Ok(found.map(|stored| stored.value.tags.into_iter().collect()).unwrap_or_default())
}

/// Looking at parameters before they have a type.
impl Form {
    /// The value at a path with dots.
    fn at(&self, path: &str) -> Option<&str> {
        let (parents, last) =
            path.rsplit_once('.').map_or((None, path), |(parents, last)| (Some(parents), last));
        let mut level = self.root();
        for part in parents.into_iter().flat_map(|parents| parents.split('.')) {
            level = match level.get(part) {
                Some(Node::Below(below)) => below,
                _ => return None,
            };
        }
        match level.get(last) {
            Some(Node::Value(value)) => Some(value),
            _ => None,
        }
    }

    /// A value, or the elements of a list of values.
    fn texts(&self, name: &str) -> Vec<&str> {
        match self.root().get(name) {
            Some(Node::Value(value)) => vec![value],
            Some(Node::Below(below)) => below
                .values()
                .filter_map(|node| match node {
                    Node::Below(elements) => Some(elements.values()),
                    Node::Value(_) => None,
                })
                .flatten()
                .filter_map(|node| match node {
                    Node::Value(value) => Some(value.as_str()),
                    Node::Below(_) => None,
                })
                .collect(),
            None => Vec::new(),
        }
    }

    /// The elements of a list of structures, each with its own parameters.
    fn elements(&self, name: &str) -> Vec<Form> {
        let Some(Node::Below(below)) = self.root().get(name) else { return Vec::new() };
        let numbered = below.values().filter_map(|node| match node {
            Node::Below(elements) => Some(elements.values()),
            Node::Value(_) => None,
        });
        let structures = numbered.flatten().filter_map(|node| match node {
            Node::Below(members) => Some(Form::of(members.clone())),
            Node::Value(_) => None,
        });
        structures.collect()
    }
}
