//! `larder show`: everything about one cache on one page.

use super::event::{Event, latest};
use super::{Cache, group, one};
use crate::api::Api;
use crate::arguments::{Output, Show};
use crate::failure::{Code, Failure};
use crate::terminal::{Paint, Table, clean, print, print_json};

/// How far back the page looks for events, in minutes.
const EVENTS_MINUTES: u32 = 24 * 60;
/// How many events the page shows.
const EVENTS_MAX: usize = 8;

pub(crate) fn show(arguments: &Show) -> Result<(), Failure> {
    let api = Api::find(&arguments.asking.place)?;
    let cache = match one(&api, &arguments.name) {
        Err(failure) if failure.code == Code::NotFound => return show_group(&api, arguments, failure),
        found => found?,
    };
    match arguments.asking.format.output {
        Output::Json => print_json(&cache),
        Output::Table => {
            let events = latest(&api, Some((&cache.name, "cache-cluster")), EVENTS_MINUTES)?;
            print(&page(&cache, &events, Paint::for_stdout()));
        }
    }
    Ok(())
}

/// What is no cache may be a group of caches.
fn show_group(api: &Api, arguments: &Show, missing: Failure) -> Result<(), Failure> {
    let group = group::find(api, &arguments.name)?.ok_or(missing)?;
    match arguments.asking.format.output {
        Output::Json => print_json(&group),
        Output::Table => {
            let events = latest(api, Some((&group.name, "replication-group")), EVENTS_MINUTES)?;
            print(&group::page(&group, &events, Paint::for_stdout()));
        }
    }
    Ok(())
}

fn page(cache: &Cache, events: &[Event], paint: Paint) -> String {
    let mut text =
        format!("{}  {}\n\n", paint.bold(&clean(&cache.name)), paint.status(&clean(&cache.status)));
    let engine = format!("{} {}", cache.engine, cache.engine_version);
    let configuration = cache.configuration_endpoint.as_ref().map(|e| super::join(&e.address, e.port));
    let becoming = match (&cache.pending_node_type, &cache.stages) {
        (Some(node_type), Some((share, minutes))) => {
            format!("{node_type}, {share} % of the nodes every {minutes} minutes")
        }
        (node_type, _) => node_type.clone().unwrap_or_default(),
    };
    let facts = [
        ("Engine", engine.as_str()),
        ("Node type", &cache.node_type),
        ("Becoming", &becoming),
        ("Configuration endpoint", configuration.as_deref().unwrap_or_default()),
        ("Parameter group", &cache.parameter_group),
        ("Subnet group", &cache.subnet_group),
        ("Created", &cache.created),
        ("ARN", &cache.arn),
    ];
    for (name, value) in facts.into_iter().filter(|(_, value)| !value.is_empty()) {
        text.push_str(&format!("  {} {}\n", paint.dim(&format!("{name:<22}")), clean(value)));
    }
    text.push_str(&nodes(cache, paint));
    text.push_str(&recent(events, paint));
    text
}

fn nodes(cache: &Cache, paint: Paint) -> String {
    if cache.nodes.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["NODE", "STATUS", "ENDPOINT", "ZONE"]);
    for node in &cache.nodes {
        table.row(&[&node.id, &node.status, &node.endpoint(), &node.zone]);
    }
    format!("\n{}", table.render(paint))
}

pub(super) fn recent(events: &[Event], paint: Paint) -> String {
    if events.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["TIME (UTC)", "EVENT"]);
    for event in &events[events.len().saturating_sub(EVENTS_MAX)..] {
        table.row(&[&event.moment(), &event.message]);
    }
    format!("\n{}", table.render(paint))
}
