//! Metrics of nodes: taken every minute, kept for fifteen days in bounded space, judged by alarms.
//!
//! `catalogue` is pure: it turns what a node tells of itself, now and a minute ago, into the metrics of ElastiCache.
//! `values` finds the nodes that dimensions name and the values of a period, `math` (pure) is metric math, `query` joins
//! both.
//! `store` keeps them in a file of their own, beside the records; `sampler` asks the nodes; `alarm` is what users
//! want to be told of, `judge` decides its state.

pub mod alarm;
pub mod catalogue;
mod judge;
pub mod math;
mod page;
pub mod query;
pub mod sampler;
mod store;
pub mod values;

pub use page::{notifications, prometheus};
pub use store::{MetricStore, Point};

/// Namespace of all of them.
pub const NAMESPACE: &str = "AWS/ElastiCache";
