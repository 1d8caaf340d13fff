//! Calls as Terraform blocks of the AWS provider.

use crate::console::parameters::{Log, Parameters, Value};

/// Attributes of `aws_elasticache_replication_group`, by the parameters of the API.
const GROUP: &[(&str, &str)] = &[
    ("ReplicationGroupId", "replication_group_id"),
    ("ReplicationGroupDescription", "description"),
    ("NumCacheClusters", "num_cache_clusters"),
    ("AutomaticFailoverEnabled", "automatic_failover_enabled"),
    ("MultiAZEnabled", "multi_az_enabled"),
    ("AtRestEncryptionEnabled", "at_rest_encryption_enabled"),
    ("PreferredCacheClusterAZs", "preferred_cache_cluster_azs"),
    ("UserGroupIds", "user_group_ids"),
    ("AuthToken", "auth_token"),
];
/// Attributes of `aws_elasticache_cluster`.
const CLUSTER: &[(&str, &str)] = &[
    ("CacheClusterId", "cluster_id"),
    ("NumCacheNodes", "num_cache_nodes"),
    ("AZMode", "az_mode"),
    ("PreferredAvailabilityZone", "availability_zone"),
    ("PreferredAvailabilityZones", "preferred_availability_zones"),
];
/// Attributes of `aws_elasticache_subnet_group`.
const SUBNETS: &[(&str, &str)] = &[
    ("CacheSubnetGroupName", "name"),
    ("CacheSubnetGroupDescription", "description"),
    ("SubnetIds", "subnet_ids"),
];
/// Attributes of `aws_elasticache_parameter_group`.
const PARAMETERS: &[(&str, &str)] = &[
    ("CacheParameterGroupName", "name"),
    ("CacheParameterGroupFamily", "family"),
    ("Description", "description"),
];
/// Attributes that both sorts of caches have.
const CACHE: &[(&str, &str)] = &[
    ("AutoMinorVersionUpgrade", "auto_minor_version_upgrade"),
    ("CacheNodeType", "node_type"),
    ("CacheParameterGroupName", "parameter_group_name"),
    ("CacheSubnetGroupName", "subnet_group_name"),
    ("Engine", "engine"),
    ("EngineVersion", "engine_version"),
    ("Port", "port"),
    ("PreferredMaintenanceWindow", "maintenance_window"),
    ("SecurityGroupIds", "security_group_ids"),
    ("SnapshotName", "snapshot_name"),
    ("SnapshotRetentionLimit", "snapshot_retention_limit"),
    ("SnapshotWindow", "snapshot_window"),
    ("Tags", "tags"),
    ("TransitEncryptionEnabled", "transit_encryption_enabled"),
];

/// The blocks that say the same as the calls. What a call refers to and another makes is named by its block, so that
/// Terraform knows the order.
pub(super) fn blocks(calls: &[Parameters]) -> String {
    let made = |action: &str, name: &str| {
        let call = calls.iter().find(|call| call.action == action);
        call.and_then(|call| text_of(call, name))
    };
    let made = [
        (
            "subnet_group_name",
            "aws_elasticache_subnet_group",
            made("CreateCacheSubnetGroup", "CacheSubnetGroupName"),
        ),
        (
            "parameter_group_name",
            "aws_elasticache_parameter_group",
            made("CreateCacheParameterGroup", "CacheParameterGroupName"),
        ),
    ];
    let blocks = calls.iter().filter(|call| call.action != CHANGE).map(|call| {
        let inner = match call.action {
            "CreateCacheParameterGroup" => calls.iter().filter(|call| call.action == CHANGE).collect(),
            _ => vec![call],
        };
        block(call, &inner, &made)
    });
    blocks.collect::<Vec<_>>().join("\n")
}

/// Terraform has the parameters of a group inside its block.
const CHANGE: &str = "ModifyCacheParameterGroup";

/// An attribute, the sort of the block that makes what it names, and the name if there is such a block.
type Made<'a> = (&'static str, &'static str, Option<&'a str>);

fn text_of<'a>(call: &'a Parameters, name: &str) -> Option<&'a str> {
    call.values.iter().find_map(|(known, value)| match value {
        Value::Text(text) if *known == name => Some(text.as_str()),
        _ => None,
    })
}

fn block(call: &Parameters, inner: &[&Parameters], made: &[Made<'_>]) -> String {
    let (sort, id, tables): (_, _, [&[(&str, &str)]; 2]) = match call.action {
        "CreateReplicationGroup" => {
            ("aws_elasticache_replication_group", "ReplicationGroupId", [GROUP, CACHE])
        }
        "CreateCacheSubnetGroup" => ("aws_elasticache_subnet_group", "CacheSubnetGroupName", [SUBNETS, &[]]),
        "CreateCacheParameterGroup" => {
            ("aws_elasticache_parameter_group", "CacheParameterGroupName", [PARAMETERS, &[]])
        }
        _ => ("aws_elasticache_cluster", "CacheClusterId", [CLUSTER, CACHE]),
    };
    let attribute = |name: &str| {
        let mut all = tables.iter().flat_map(|table| table.iter());
        all.find(|(parameter, _)| *parameter == name).map(|(_, attribute)| *attribute)
    };
    let lines: Vec<(&str, String)> = call
        .values
        .iter()
        .filter_map(|(name, value)| {
            let attribute = attribute(name)?;
            let referred = made.iter().find(|(known, _, _)| *known == attribute);
            let referred =
                referred.and_then(|(_, sort, name)| name.map(|name| format!("{sort}.{}.name", label(name))));
            Some((attribute, referred.unwrap_or_else(|| written(value))))
        })
        .collect();
    let width = lines.iter().map(|(attribute, _)| attribute.len()).max().unwrap_or_default();
    let body: String =
        lines.iter().map(|(attribute, value)| format!("  {attribute:<width$} = {value}\n")).collect();
    let name = label(text_of(call, id).unwrap_or("cache"));
    let inner = inner.iter().flat_map(|call| call.values.iter());
    let blocks: String = inner.flat_map(|(_, value)| inner_blocks(value)).collect();
    let has_secret = call.values.iter().any(|(_, value)| matches!(value, Value::Secret(_)));
    let variable = if has_secret { "variable \"auth_token\" {\n  sensitive = true\n}\n\n" } else { "" };
    format!("{variable}resource \"{sort}\" \"{name}\" {{\n{body}{blocks}}}\n")
}

/// A block for each log that is delivered, and for each parameter.
fn inner_blocks(value: &Value) -> Vec<String> {
    let logs = match value {
        Value::Logs(logs) => logs,
        Value::Settings(settings) => {
            let block = |(name, value): &(String, String)| {
                format!(
                    "\n  parameter {{\n    name  = {}\n    value = {}\n  }}\n",
                    quoted(name),
                    quoted(value)
                )
            };
            return settings.iter().map(block).collect();
        }
        _ => return Vec::new(),
    };
    let block = |log: &Log| {
        format!(
            "\n  log_delivery_configuration {{\n    destination      = {}\n    destination_type = {}\n    log_format       = {}\n    \
             log_type         = {}\n  }}\n",
            quoted(&log.name),
            quoted(&log.to),
            quoted(&log.format),
            quoted(log.sort)
        )
    };
    logs.iter().map(block).collect()
}

/// A name of Terraform for a name of ours.
fn label(name: &str) -> String {
    let letters = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' });
    let label: String = letters.collect();
    if label.starts_with(|c: char| c.is_ascii_alphabetic()) { label } else { format!("cache_{label}") }
}

fn written(value: &Value) -> String {
    match value {
        Value::Text(text) => quoted(text),
        // What is no number is refused before anybody sees it here, and must not break the block all the same.
        Value::Number(text) => text.parse::<i64>().map_or_else(|_| quoted(text), |number| number.to_string()),
        Value::Flag(on) => on.to_string(),
        // Blocks of their own; see `block`.
        Value::Logs(_) | Value::Settings(_) => String::new(),
        // Whoever runs it says it, and it stands in no file.
        Value::Secret(_) => "var.auth_token".to_owned(),
        Value::List(_, texts) => {
            format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "))
        }
        Value::Tags(tags) => {
            let lines: String = tags
                .iter()
                .map(|(key, value)| format!("    {} = {}\n", quoted(key), quoted(value)))
                .collect();
            format!("{{\n{lines}  }}")
        }
    }
}

/// A string of HCL. `${` and `%{` would begin a template.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{}\"", escaped.replace("${", "$${").replace("%{", "%%{"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_refer_to_each_other_and_quote() {
        let calls = [
            Parameters::of("CreateCacheSubnetGroup").text("CacheSubnetGroupName", "own").list(
                "SubnetIds",
                "SubnetIdentifier",
                &["subnet-1", "subnet-2"],
            ),
            Parameters::of("CreateCacheParameterGroup")
                .text("CacheParameterGroupName", "larder-cache-redis7")
                .text("CacheParameterGroupFamily", "redis7"),
            Parameters::of("ModifyCacheParameterGroup")
                .text("CacheParameterGroupName", "larder-cache-redis7")
                .settings(&[("maxmemory-policy", "allkeys-lhd")]),
            Parameters::of("CreateReplicationGroup")
                .text("ReplicationGroupId", "shop")
                .text("ReplicationGroupDescription", "a \"${shop}\"")
                .number("NumCacheClusters", "3")
                .flag("MultiAZEnabled", true)
                .secret("AuthToken", "never-shown-anywhere")
                .logs(vec![Log {
                    sort: "slow-log",
                    to: "cloudwatch-logs".into(),
                    name: "slow".into(),
                    format: "json".into(),
                }])
                .text("CacheParameterGroupName", "larder-cache-redis7")
                .text("CacheSubnetGroupName", "own")
                .tags(vec![("team".into(), "web".into())]),
        ];
        let expected = r#"resource "aws_elasticache_subnet_group" "own" {
  name       = "own"
  subnet_ids = ["subnet-1", "subnet-2"]
}

resource "aws_elasticache_parameter_group" "larder-cache-redis7" {
  name   = "larder-cache-redis7"
  family = "redis7"

  parameter {
    name  = "maxmemory-policy"
    value = "allkeys-lhd"
  }
}

variable "auth_token" {
  sensitive = true
}

resource "aws_elasticache_replication_group" "shop" {
  replication_group_id = "shop"
  description          = "a \"$${shop}\""
  num_cache_clusters   = 3
  multi_az_enabled     = true
  auth_token           = var.auth_token
  parameter_group_name = aws_elasticache_parameter_group.larder-cache-redis7.name
  subnet_group_name    = aws_elasticache_subnet_group.own.name
  tags                 = {
    "team" = "web"
  }

  log_delivery_configuration {
    destination      = "slow"
    destination_type = "cloudwatch-logs"
    log_format       = "json"
    log_type         = "slow-log"
  }
}
"#;
        assert_eq!(blocks(&calls), expected);
    }
}
