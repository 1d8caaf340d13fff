//! The sections of INFO about commands: commandstats, errorstats, latencystats.

use super::Call;
use super::dispatch::full_name;
use crate::meter;
use std::fmt::Write;

/// `cmdstat_get:calls=…`
pub(super) fn commands(call: &mut Call<'_>, text: &mut String) {
    let node = call.node;
    for (number, (container, row)) in node.table.numbered().iter().enumerate() {
        let total = meter::total(&node.meters, number);
        if total.calls + total.failed + total.rejected == 0 {
            continue;
        }
        let usec = total.nanos / 1000;
        let each = if total.calls == 0 { 0.0 } else { total.nanos as f64 / 1000.0 / total.calls as f64 };
        // Writing to a String cannot fail, here and below.
        let _ = write!(
            text,
            "cmdstat_{}:calls={},usec={usec},usec_per_call={each:.2},rejected_calls={},failed_calls={}\r\n",
            full_name(container, row),
            total.calls,
            total.rejected,
            total.failed
        );
    }
}

/// `errorstat_WRONGTYPE:count=…`
pub(super) fn errors(call: &mut Call<'_>, text: &mut String) {
    for (code, count) in meter::errors(&call.node.meters) {
        let _ = write!(text, "errorstat_{code}:count={count}\r\n");
    }
}

/// `latency_percentiles_usec_get:p50=…`
pub(super) fn latencies(call: &mut Call<'_>, text: &mut String) {
    let node = call.node;
    let settings = node.settings();
    for (number, (container, row)) in node.table.numbered().iter().enumerate() {
        let summary = meter::latencies(&node.meters, number);
        if summary.total() == 0 {
            continue;
        }
        let percentiles = settings.observation.percentiles.iter();
        let values: Vec<String> = percentiles
            .map(|percent| format!("p{percent}={:.3}", summary.percentile(*percent) as f64 / 1000.0))
            .collect();
        let name = full_name(container, row);
        let _ = write!(text, "latency_percentiles_usec_{name}:{}\r\n", values.join(","));
    }
}
