//! Operations: one file per API action, each `run(app, caller, input) -> Result<Xml, ApiError>`.
//!
//! An operation checks, writes what is *desired* by compare-and-set, and answers; it never waits for a node. The
//! frame around it (`perform`) decodes the input, names the resource and asks whether the caller may, so that no
//! operation can forget that. Only operations write desired records.

mod access;
mod app;
mod event;
mod frame;
mod page;
mod rehearsal;
mod retry;
pub mod table;
pub mod validate;

pub mod parameter_group;
pub mod subnet_group;
mod tag;

mod add_tags_to_resource;
mod authorize_cache_security_group_ingress;
mod batch_apply_update_action;
mod batch_stop_update_action;
mod cache_cluster;
mod cache_security_group;
mod copy_snapshot;
mod create_cache_cluster;
mod create_cache_parameter_group;
mod create_cache_security_group;
mod create_cache_subnet_group;
mod create_replication_group;
mod create_snapshot;
mod create_user;
mod create_user_group;
mod decrease_replica_count;
mod delete_cache_cluster;
mod delete_cache_parameter_group;
mod delete_cache_security_group;
mod delete_cache_subnet_group;
mod delete_replication_group;
mod delete_snapshot;
mod delete_user;
mod delete_user_group;
mod describe_cache_clusters;
mod describe_cache_engine_versions;
mod describe_cache_parameter_groups;
mod describe_cache_parameters;
mod describe_cache_security_groups;
mod describe_cache_subnet_groups;
mod describe_engine_default_parameters;
mod describe_events;
mod describe_replication_groups;
mod describe_reserved_cache_nodes;
mod describe_reserved_cache_nodes_offerings;
mod describe_service_updates;
mod describe_snapshots;
mod describe_update_actions;
mod describe_user_groups;
mod describe_users;
mod increase_replica_count;
mod list_allowed_node_type_modifications;
mod list_tags_for_resource;
mod log_delivery;
mod mend;
mod modify_cache_cluster;
mod modify_cache_parameter_group;
mod modify_cache_subnet_group;
mod modify_replication_group;
mod modify_user;
mod modify_user_group;
mod purchase_reserved_cache_nodes_offering;
mod reboot_cache_cluster;
mod remove_tags_from_resource;
mod replication_group;
mod reserved_cache_node;
mod reset_cache_parameter_group;
mod revoke_cache_security_group_ingress;
mod service_update;
mod snapshot;
mod test_failover;
mod user;

#[cfg(test)]
mod tests;

pub use app::{App, Caller, system_clock};
pub use frame::{Input, Operation, Run, perform};
pub use mend::mend_security_groups;
pub use page::{Page, Paging};
pub use rehearsal::rehearse;
pub use retry::retrying;
