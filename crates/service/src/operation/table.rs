//! All actions of the API, version 2015-02-02, with the function of each that is built.

use super::frame::{Operation, checked};

macro_rules! built {
    ($name:literal, $module:ident) => {
        built!($name, $module, true)
    };
    ($name:literal, $module:ident, $result:literal) => {
        Operation {
            name: $name,
            result: $result,
            run: Some(|app, caller, form| checked($name, app, caller, form, super::$module::run)),
        }
    };
}

macro_rules! unbuilt {
    ($name:literal) => {
        Operation { name: $name, result: true, run: None }
    };
}

/// Every action, in the order of the names.
pub static OPERATIONS: &[Operation] = &[
    built!("AddTagsToResource", add_tags_to_resource),
    built!("AuthorizeCacheSecurityGroupIngress", authorize_cache_security_group_ingress),
    built!("BatchApplyUpdateAction", batch_apply_update_action),
    built!("BatchStopUpdateAction", batch_stop_update_action),
    unbuilt!("CompleteMigration"),
    unbuilt!("CopyServerlessCacheSnapshot"),
    built!("CopySnapshot", copy_snapshot),
    built!("CreateCacheCluster", create_cache_cluster),
    built!("CreateCacheParameterGroup", create_cache_parameter_group),
    built!("CreateCacheSecurityGroup", create_cache_security_group),
    built!("CreateCacheSubnetGroup", create_cache_subnet_group),
    unbuilt!("CreateGlobalReplicationGroup"),
    built!("CreateReplicationGroup", create_replication_group),
    unbuilt!("CreateServerlessCache"),
    unbuilt!("CreateServerlessCacheSnapshot"),
    built!("CreateSnapshot", create_snapshot),
    built!("CreateUser", create_user),
    built!("CreateUserGroup", create_user_group),
    unbuilt!("DecreaseNodeGroupsInGlobalReplicationGroup"),
    built!("DecreaseReplicaCount", decrease_replica_count),
    built!("DeleteCacheCluster", delete_cache_cluster),
    built!("DeleteCacheParameterGroup", delete_cache_parameter_group, false),
    built!("DeleteCacheSecurityGroup", delete_cache_security_group, false),
    built!("DeleteCacheSubnetGroup", delete_cache_subnet_group, false),
    unbuilt!("DeleteGlobalReplicationGroup"),
    built!("DeleteReplicationGroup", delete_replication_group),
    unbuilt!("DeleteServerlessCache"),
    unbuilt!("DeleteServerlessCacheSnapshot"),
    built!("DeleteSnapshot", delete_snapshot),
    built!("DeleteUser", delete_user),
    built!("DeleteUserGroup", delete_user_group),
    built!("DescribeCacheClusters", describe_cache_clusters),
    built!("DescribeCacheEngineVersions", describe_cache_engine_versions),
    built!("DescribeCacheParameterGroups", describe_cache_parameter_groups),
    built!("DescribeCacheParameters", describe_cache_parameters),
    built!("DescribeCacheSecurityGroups", describe_cache_security_groups),
    built!("DescribeCacheSubnetGroups", describe_cache_subnet_groups),
    built!("DescribeEngineDefaultParameters", describe_engine_default_parameters),
    built!("DescribeEvents", describe_events),
    unbuilt!("DescribeGlobalReplicationGroups"),
    built!("DescribeReplicationGroups", describe_replication_groups),
    built!("DescribeReservedCacheNodes", describe_reserved_cache_nodes),
    built!("DescribeReservedCacheNodesOfferings", describe_reserved_cache_nodes_offerings),
    unbuilt!("DescribeServerlessCacheSnapshots"),
    unbuilt!("DescribeServerlessCaches"),
    built!("DescribeServiceUpdates", describe_service_updates),
    built!("DescribeSnapshots", describe_snapshots),
    built!("DescribeUpdateActions", describe_update_actions),
    built!("DescribeUserGroups", describe_user_groups),
    built!("DescribeUsers", describe_users),
    unbuilt!("DisassociateGlobalReplicationGroup"),
    unbuilt!("ExportServerlessCacheSnapshot"),
    unbuilt!("FailoverGlobalReplicationGroup"),
    unbuilt!("IncreaseNodeGroupsInGlobalReplicationGroup"),
    built!("IncreaseReplicaCount", increase_replica_count),
    built!("ListAllowedNodeTypeModifications", list_allowed_node_type_modifications),
    built!("ListTagsForResource", list_tags_for_resource),
    built!("ModifyCacheCluster", modify_cache_cluster),
    built!("ModifyCacheParameterGroup", modify_cache_parameter_group),
    built!("ModifyCacheSubnetGroup", modify_cache_subnet_group),
    unbuilt!("ModifyGlobalReplicationGroup"),
    built!("ModifyReplicationGroup", modify_replication_group),
    unbuilt!("ModifyReplicationGroupShardConfiguration"),
    unbuilt!("ModifyServerlessCache"),
    built!("ModifyUser", modify_user),
    built!("ModifyUserGroup", modify_user_group),
    unbuilt!("PrepareMigration"),
    built!("PurchaseReservedCacheNodesOffering", purchase_reserved_cache_nodes_offering),
    unbuilt!("RebalanceSlotsInGlobalReplicationGroup"),
    built!("RebootCacheCluster", reboot_cache_cluster),
    built!("RemoveTagsFromResource", remove_tags_from_resource),
    built!("ResetCacheParameterGroup", reset_cache_parameter_group),
    built!("RevokeCacheSecurityGroupIngress", revoke_cache_security_group_ingress),
    unbuilt!("StartMigration"),
    unbuilt!("StopMigration"),
    built!("TestFailover", test_failover),
    unbuilt!("TestMigration"),
];

/// The action of exactly that name.
pub fn find(name: &str) -> Option<&'static Operation> {
    let at = OPERATIONS.binary_search_by(|operation| operation.name.cmp(name)).ok()?;
    OPERATIONS.get(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_api_in_order() {
        assert_eq!(OPERATIONS.len(), 77);
        assert!(OPERATIONS.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert!(OPERATIONS.iter().all(|operation| find(operation.name).is_some()));
        assert!(find("createuser").is_none() && find("").is_none());
    }
}
