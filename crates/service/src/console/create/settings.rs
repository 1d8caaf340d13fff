//! Settings: name, engine version, node type, how many nodes, failover.

use askama::Template;

use super::{Choice, Draft, Form, policy};
use crate::console::parameters::Parameters;
use crate::console::show::{gib, hourly, monthly};
use crate::console::visit::{Frame, Visit, html};
use crate::front::{Answer, ApiError};
use crate::resource::node_type::{self, NodeType};

/// Fields of this page.
pub(super) const FIELDS: &[&str] = &[
    "name",
    "description",
    "version",
    "port",
    "parameter_group",
    "node_type",
    "replicas",
    "nodes",
    "multi_az",
    "failover",
];

#[derive(Template)]
#[template(path = "create/settings.html")]
struct Page<'a> {
    frame: Frame,
    form: Form,
    draft: &'a Draft,
    versions: Vec<Choice>,
    parameter_groups: Vec<Choice>,
    families: Vec<(String, Vec<Choice>)>,
    usual_port: &'static str,
    zones: String,
}

pub(super) fn page(visit: &Visit<'_>, draft: &Draft, refused: Option<ApiError>) -> Result<Answer, ApiError> {
    let form = Form::of(draft, "settings", FIELDS, refused);
    let page = Page {
        frame: visit.frame("create", format!("Create a {} cache", form.engine_name())),
        versions: versions(visit, draft)?,
        parameter_groups: parameter_groups(visit, draft),
        families: families(draft),
        usual_port: if draft.is_memcached() { "11211" } else { "6379" },
        zones: super::network::zones(visit).join(", "),
        form,
        draft,
    };
    Ok(html(page.form.status(), &page))
}

/// The version that a new cache of an engine has without a wish.
pub(super) fn default_version(visit: &Visit<'_>, engine: &str) -> Result<String, ApiError> {
    let call = Parameters::of("DescribeCacheEngineVersions").text("Engine", engine).flag("DefaultOnly", true);
    let found = visit.all(call, "CacheEngineVersions")?;
    Ok(found.first().map_or("", |version| version.text_at(&["EngineVersion"])).to_owned())
}

fn versions(visit: &Visit<'_>, draft: &Draft) -> Result<Vec<Choice>, ApiError> {
    let call = Parameters::of("DescribeCacheEngineVersions").text("Engine", draft.engine());
    let found = visit.all(call, "CacheEngineVersions")?;
    let choice = |version: &crate::front::Element| {
        let version = version.text_at(&["EngineVersion"]);
        Choice::of(version, version, draft.text("version"))
    };
    Ok(found.iter().rev().map(choice).collect())
}

/// Groups of the engine's families that somebody made. Who may not list them can take the default one all the same.
fn parameter_groups(visit: &Visit<'_>, draft: &Draft) -> Vec<Choice> {
    let chosen = draft.text("parameter_group");
    let mut choices = vec![Choice::of("", "The default one of the version", chosen)];
    if !draft.is_memcached() {
        choices[0].text.push_str(" (volatile-lru: only keys with a time to live leave when memory is full)");
        choices.insert(0, Choice::of(policy::OWN, policy::OFFER, chosen));
    }
    let found = visit.all(Parameters::of("DescribeCacheParameterGroups"), "CacheParameterGroups");
    for group in found.unwrap_or_default() {
        let name = group.text_at(&["CacheParameterGroupName"]);
        let family = group.text_at(&["CacheParameterGroupFamily"]);
        let offered = name.starts_with("default.") || name == policy::name(family);
        if family.starts_with(draft.engine()) && !offered {
            choices.push(Choice::of(name, format!("{name} ({family})"), chosen));
        }
    }
    choices
}

/// Node types of the engine, by family.
fn families(draft: &Draft) -> Vec<(String, Vec<Choice>)> {
    let mut families: Vec<(String, Vec<Choice>)> = Vec::new();
    for node_type in node_type::all().iter().filter(|node_type| node_type.offers(draft.engine())) {
        let family = node_type.name.rsplit_once('.').map_or("", |(family, _)| family);
        let choice = Choice::of(node_type.name, about(node_type, draft.engine()), draft.text("node_type"));
        match families.iter_mut().find(|(known, _)| known == family) {
            Some((_, choices)) => choices.push(choice),
            None => families.push((family.to_owned(), vec![choice])),
        }
    }
    families
}

fn about(node_type: &NodeType, engine: &str) -> String {
    let NodeType { name, vcpu_count, memory_bytes, .. } = node_type;
    let price = node_type.price_micro_usd(engine);
    let price = price.map(|price| format!(", {} an hour, {} a month", hourly(price), monthly(price, 1)));
    format!("{name}: {}, {vcpu_count} vCPU{}", gib(*memory_bytes), price.unwrap_or_default())
}
