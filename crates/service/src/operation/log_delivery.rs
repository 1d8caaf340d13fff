//! What the operations on caches share about log delivery: its form in answers. The rules stand in
//! [`crate::resource::log_delivery`].

use std::sync::Arc;

use super::App;
use crate::front::Xml;
use crate::resource::cluster::Cluster;
use crate::resource::log_delivery::{
    Deliveries, Destination, InForce, LogDelivery, LogType, ObservedDeliveries, status,
};
use crate::resource::refusal::Refusal;
use crate::state::find_shared;

/// Changes of log delivery are made at once, and must be asked for so.
///
/// # Errors
/// `InvalidParameterCombination`.
pub(super) fn check_at_once(is_asked: bool, apply_immediately: Option<bool>) -> Result<(), Refusal> {
    if !is_asked || apply_immediately == Some(true) {
        return Ok(());
    }
    Err(Refusal::combination("LogDeliveryConfigurations can be changed with ApplyImmediately only."))
}

/// What is in force; a record that cannot be read now is as one that is not there yet. Who changes deliveries asks before,
/// because its answer tells of the change and not of what may have come of it since.
pub(super) fn in_force(app: &App, cluster: &str) -> Arc<ObservedDeliveries> {
    let found = find_shared::<ObservedDeliveries>(app.records.as_ref(), cluster);
    found.ok().flatten().map(|stored| stored.value).unwrap_or_default()
}

/// Writes the deliveries of a cluster, with those that end.
pub(super) fn write(xml: &mut Xml, cluster: &Cluster, wanted: &Deliveries, in_force: &ObservedDeliveries) {
    if wanted.is_empty() && cluster.group.is_some() {
        xml.empty("LogDeliveryConfigurations");
        return;
    }
    list(xml, wanted, in_force);
}

/// Writes the deliveries of a group: those of its first member.
pub(super) fn write_of_group(xml: &mut Xml, first: Option<&Cluster>, in_force: &ObservedDeliveries) {
    match first {
        Some(first) => list(xml, &first.log_delivery, in_force),
        None => {
            xml.empty("LogDeliveryConfigurations");
        }
    }
}

fn list(xml: &mut Xml, wanted: &Deliveries, observed: &ObservedDeliveries) {
    let all = [LogType::SlowLog, LogType::EngineLog].into_iter().filter_map(|log| {
        let (wanted, observed) = (wanted.get(&log), observed.logs.get(&log));
        let delivery = wanted.or(observed.map(|in_force| &in_force.delivery))?;
        Some((log, delivery, status(wanted, observed)?, observed))
    });
    xml.list(
        "LogDeliveryConfigurations",
        "LogDeliveryConfiguration",
        all,
        |xml, (log, delivery, status, observed)| {
            one(xml, log, delivery);
            xml.text("Status", status);
            let failure = observed.and_then(|InForce { failure, .. }| failure.as_deref());
            xml.optional("Message", failure.filter(|_| status == "error"));
        },
    );
}

/// Writes deliveries that are not in force yet, as values that are pending.
pub(super) fn write_pending(xml: &mut Xml, cluster: &Cluster, in_force: &ObservedDeliveries) {
    if cluster.log_delivery.is_empty() {
        return;
    }
    let is_pending = |log: &LogType, delivery: &LogDelivery| {
        matches!(status(Some(delivery), in_force.logs.get(log)), Some("enabling" | "modifying"))
    };
    let pending: Vec<_> =
        cluster.log_delivery.iter().filter(|(log, delivery)| is_pending(log, delivery)).collect();
    if !pending.is_empty() {
        // The list has this name on the wire, which the model gives to its shape; clients call it
        // LogDeliveryConfigurations.
        xml.list("PendingLogDeliveryConfiguration", "member", pending, |xml, (log, delivery)| {
            one(xml, *log, delivery)
        });
    }
}

fn one(xml: &mut Xml, log: LogType, delivery: &LogDelivery) {
    xml.text("LogType", log.as_str())
        .text("DestinationType", delivery.destination.as_str())
        .element("DestinationDetails", |xml| match &delivery.destination {
            Destination::CloudWatchLogs { group } => {
                xml.element("CloudWatchLogsDetails", |xml| {
                    xml.text("LogGroup", group);
                });
            }
            Destination::Firehose { stream } => {
                xml.element("KinesisFirehoseDetails", |xml| {
                    xml.text("DeliveryStream", stream);
                });
            }
        })
        .text("LogFormat", delivery.format.as_str());
}
