//! What the elements of lists are called in requests, where it is not `member`. From the service model.

/// Lists whose elements have a name of their own. `member` is understood for every list.
const NAMED: &[(&str, &[&str])] = &[
    ("CacheNodeIdsToReboot", &["CacheNodeId"]),
    ("CacheNodeIdsToRemove", &["CacheNodeId"]),
    ("CacheSecurityGroupNames", &["CacheSecurityGroupName"]),
    ("GlobalNodeGroupsToRemove", &["GlobalNodeGroupId"]),
    ("GlobalNodeGroupsToRetain", &["GlobalNodeGroupId"]),
    ("Integrations", &["IntegrationRequest"]),
    ("LogDeliveryConfigurations", &["LogDeliveryConfigurationRequest"]),
    ("NewAvailabilityZones", &["PreferredAvailabilityZone"]),
    ("NodeGroupConfiguration", &["NodeGroupConfiguration"]),
    ("NodeGroupsToRemove", &["NodeGroupToRemove"]),
    ("NodeGroupsToRetain", &["NodeGroupToRetain"]),
    ("ParameterNameValues", &["ParameterNameValue"]),
    ("PreferredAvailabilityZones", &["AvailabilityZone", "PreferredAvailabilityZone"]),
    ("PreferredCacheClusterAZs", &["AvailabilityZone"]),
    ("PreferredOutpostArns", &["PreferredOutpostArn"]),
    ("RegionalConfigurations", &["RegionalConfiguration"]),
    ("ReplicaAvailabilityZones", &["AvailabilityZone"]),
    ("ReplicaConfiguration", &["ConfigureShard"]),
    ("ReplicaOutpostArns", &["OutpostArn"]),
    ("ReshardingConfiguration", &["ReshardingConfiguration"]),
    ("SecurityGroupIds", &["SecurityGroupId"]),
    ("SnapshotArns", &["SnapshotArn"]),
    ("SnapshotArnsToRestore", &["SnapshotArn"]),
    ("SubnetIds", &["SubnetId", "SubnetIdentifier"]),
    ("Tags", &["Tag"]),
];

/// Whether elements of the list may be called so.
pub(super) fn allows(list: &str, element: &str) -> bool {
    element == "member" || NAMED.iter().any(|(name, elements)| *name == list && elements.contains(&element))
}
