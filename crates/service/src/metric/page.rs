//! The latest values for Prometheus, in its text format.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use super::{MetricStore, catalogue};
use crate::notify::Counts;
use crate::resource::node::Observed;
use crate::state::{Records, StateError, list_all};

/// Rows that are older than this many minutes are not the state of things any more.
const FRESH_MINUTES: u64 = 3;

/// The page: `larder_cpu_utilization{cache_cluster_id="a",cache_node_id="0001"} 1.5`.
///
/// # Errors
/// If a disk fails.
pub fn prometheus(records: &dyn Records, store: &MetricStore, now_ms: u64) -> Result<String, StateError> {
    let from = (now_ms / 60_000).saturating_sub(FRESH_MINUTES);
    let mut by_metric: Vec<Vec<(String, String, f64)>> = vec![Vec::new(); catalogue::METRICS.len()];
    for observed in list_all::<Observed>(records)?.into_iter().map(|stored| stored.value) {
        for node in observed.nodes.keys() {
            for (metric, value) in store.newest(&format!("{}/{node}", observed.id), from)? {
                if let Some(values) = by_metric.get_mut(usize::from(metric)) {
                    values.push((observed.id.clone(), node.clone(), value));
                }
            }
        }
    }
    let mut text = String::new();
    for ((name, unit), values) in catalogue::METRICS.iter().zip(by_metric) {
        if values.is_empty() {
            continue;
        }
        let snake = snake(name);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP larder_{snake} {name} of ElastiCache over a minute, {unit}");
        let _ = writeln!(text, "# TYPE larder_{snake} gauge");
        for (cluster, node, value) in values {
            let _ = writeln!(
                text,
                "larder_{snake}{{cache_cluster_id=\"{cluster}\",cache_node_id=\"{node}\"}} {value}"
            );
        }
    }
    Ok(text)
}

/// What became of notifications, for the same page.
pub fn notifications(counts: &Counts) -> String {
    let mut text =
        String::from("# HELP larder_notifications_total Notifications of events by what became of them\n");
    text.push_str("# TYPE larder_notifications_total counter\n");
    for (outcome, count) in [("published", &counts.published), ("failed", &counts.failed)] {
        let count = count.load(Ordering::Relaxed);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "larder_notifications_total{{outcome=\"{outcome}\"}} {count}");
    }
    text
}

/// `CPUUtilization` as `cpu_utilization`.
fn snake(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (at, c) in letters.iter().enumerate() {
        let after_lower = at > 0 && !letters[at - 1].is_ascii_uppercase();
        let before_lower = letters.get(at + 1).is_some_and(char::is_ascii_lowercase);
        if c.is_ascii_uppercase() && at > 0 && (after_lower || before_lower) {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_prometheus() {
        for (name, expected) in [
            ("CPUUtilization", "cpu_utilization"),
            ("CurrItems", "curr_items"),
            ("EngineCPUUtilization", "engine_cpu_utilization"),
        ] {
            assert_eq!(snake(name), expected);
        }
    }
}
