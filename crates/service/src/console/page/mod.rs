//! Pages: each a file of code. Those with a shape of their own have a template of the same name, the others share that of
//! `board`.

pub(super) mod act;
pub(super) mod advice;
pub(super) mod cache_page;
pub(super) mod caches;
pub(super) mod change;
pub(super) mod events;
pub(super) mod metrics;
pub(super) mod parameter_groups;
pub(super) mod parameter_list;
pub(super) mod prices;
pub(super) mod prompt;
pub(super) mod refusal;
pub(super) mod reserved_nodes;
pub(super) mod security_groups;
pub(super) mod service_updates;
pub(super) mod sign_in;
pub(super) mod slow_log;
pub(super) mod snapshots;
pub(super) mod subnet_groups;
pub(super) mod users;
