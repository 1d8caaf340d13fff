//! The page of a cache: how to connect, its nodes and what they are, what it is made of, what happened last.

use askama::Template;

use super::events::{Event, latest};
use crate::console::cache::{self, Cache, Sort};
use crate::console::show::moment;
use crate::console::snippet::{Snippet, snippets};
use crate::console::visit::{Frame, Visit, html};
use crate::front::{Answer, ApiError};

/// How many events the page shows.
const EVENTS_MAX: usize = 8;

#[derive(Template)]
#[template(path = "page/cache_page.html")]
struct Page {
    frame: Frame,
    tab: &'static str,
    snippets: Vec<Snippet>,
    facts: Vec<(&'static str, String)>,
    live: String,
    cache: Cache,
}

/// What of the page changes by itself.
#[derive(Template)]
#[template(path = "page/cache_live.html")]
struct Live<'a> {
    cache: &'a Cache,
    events: Vec<Event>,
}

impl Live<'_> {
    fn is_creating(&self) -> bool {
        self.cache.status == "creating"
    }
}

fn live_part<'a>(visit: &Visit<'_>, cache: &'a Cache) -> Live<'a> {
    // Whoever may see a cache and no events sees the cache.
    let events = latest(visit, Some((cache.sort.event_source(), &cache.id)), EVENTS_MAX).unwrap_or_default();
    Live { cache, events }
}

/// The page.
pub(in crate::console) fn page(visit: &Visit<'_>, sort: Sort, id: &str) -> Result<Answer, ApiError> {
    let cache = cache::find(visit, sort, id)?;
    let live = live_part(visit, &cache).render().map_err(|why| ApiError::internal(&why))?;
    Ok(html(
        200,
        &Page {
            frame: visit.frame("caches", cache.id.clone()),
            tab: "",
            snippets: snippets(&cache),
            facts: facts(&cache),
            live,
            cache,
        },
    ))
}

/// The changing part alone, as it is now.
pub(in crate::console) fn live(visit: &Visit<'_>, sort: Sort, id: &str) -> Result<Answer, ApiError> {
    let cache = cache::find(visit, sort, id)?;
    Ok(html(200, &live_part(visit, &cache)))
}

fn facts(cache: &Cache) -> Vec<(&'static str, String)> {
    let yes = |on: bool| (if on { "on" } else { "off" }).to_owned();
    let mut facts = vec![
        ("Description", cache.description.clone()),
        ("Engine", cache.engine_text()),
        ("Node type", cache.node_type.clone()),
        ("Price in AWS", cache.monthly_price().map(|price| format!("{price} a month")).unwrap_or_default()),
        ("Multi-AZ", cache.multi_az.clone()),
        ("Automatic failover", cache.automatic_failover.clone()),
        ("Encryption in transit", yes(cache.tls)),
        ("User groups", cache.user_groups.join(", ")),
        ("AUTH token", if cache.auth_token { "needed".to_owned() } else { String::new() }),
        ("Parameter group", format!("{} ({})", cache.parameter_group, cache.parameters_applied)),
        ("Subnet group", cache.subnet_group.clone()),
        ("Security groups", cache.security_groups.join(", ")),
        ("Maintenance window", cache.maintenance_window.clone()),
    ];
    if !cache.is_memcached() {
        facts.push((
            "Automatic backup",
            match cache.retention_days.as_str() {
                "" | "0" => "off".to_owned(),
                days => format!("kept for {days} days, taken {} UTC", cache.snapshot_window),
            },
        ));
    }
    facts.push(("Created", moment(&cache.created)));
    facts.push(("ARN", cache.arn.clone()));
    facts.retain(|(_, value)| !value.is_empty());
    facts
}
