//! Creating a cache, page by page: engine, settings, network, upkeep, review.
//!
//! All that was typed travels in the form itself, what other pages ask for in hidden fields. Before the next page is shown
//! the calls that would be made by then are rehearsed, so each page refuses what the API would refuse, in its words, and
//! keeps what was typed. The review shows the calls as an `aws` command and as Terraform, and making the cache is these
//! very calls.

mod calls;
mod engine;
mod network;
mod policy;
mod review;
mod settings;
mod terraform;
mod upkeep;

use super::cache::Sort;
use super::input::Fields;
use super::visit::Visit;
use crate::front::{Answer, ApiError};

/// Pages after the choice of the engine, in their order, with the names that people see.
const STEPS: &[(&str, &str)] = &[
    ("settings", "Settings"),
    ("network", "Network and access"),
    ("upkeep", "Backup and upkeep"),
    ("review", "Review"),
];

/// Fields that belong to the form itself and are not carried on.
const CONTROL: &[&str] = &["form_token", "step", "go"];

/// What the pages share: what was typed, and what does not belong to the page that is shown.
struct Draft {
    fields: Fields,
}

impl Draft {
    fn text(&self, name: &str) -> &str {
        self.fields.text(name)
    }

    fn engine(&self) -> &str {
        self.text("engine")
    }

    fn is_memcached(&self) -> bool {
        self.engine() == "memcached"
    }

    /// Everything that was typed on other pages than the one with these fields.
    fn hidden(&self, own: &[&str]) -> Vec<(String, String)> {
        let foreign = |name: &str| !own.contains(&name) && !CONTROL.contains(&name);
        self.fields.pairs().iter().filter(|(name, _)| foreign(name)).cloned().collect()
    }

    /// How many nodes are asked for, as far as it is a number.
    fn node_count(&self) -> usize {
        if self.is_memcached() {
            self.text("nodes").parse().unwrap_or(1)
        } else {
            self.text("replicas").parse::<usize>().map_or(1, |replicas| replicas.saturating_add(1))
        }
    }

    /// What a beginner takes: the smallest usual node, alone, without backup.
    fn fresh(visit: &Visit<'_>, engine: &str) -> Result<Draft, ApiError> {
        let mut fields = Fields::default();
        for (name, value) in [("engine", engine), ("node_type", "cache.t3.micro"), ("minor_upgrades", "on")] {
            fields.set(name, value);
        }
        fields.set("version", &settings::default_version(visit, engine)?);
        if engine == "memcached" {
            fields.set("nodes", "1");
        } else {
            fields.set("replicas", "0");
            fields.set("retention", "1");
        }
        if engine == "valkey" {
            fields.set("at_rest", "on");
        }
        let mut draft = Draft { fields };
        policy::preselect(visit, &mut draft)?;
        Ok(draft)
    }
}

/// One page of the form, or what comes of the last.
pub(super) fn page(visit: &Visit<'_>) -> Result<Answer, ApiError> {
    let engine = visit.fields.text("engine");
    if !matches!(engine, "redis" | "valkey" | "memcached") {
        return engine::page(visit);
    }
    if !visit.is_post() {
        let mut draft = Draft::fresh(visit, engine)?;
        let snapshot = visit.fields.text("snapshot");
        if !snapshot.is_empty() {
            draft.fields.set("snapshot", snapshot);
        }
        return show(visit, &draft, "settings", None);
    }
    let draft = Draft { fields: visit.fields.clone() };
    let (step, go) = (visit.fields.text("step"), visit.fields.text("go"));
    if go != "create" && place(go) <= place(step) {
        return show(visit, &draft, go, None);
    }
    let own = match policy::of(visit, &draft) {
        Ok(own) => own,
        Err(refused) => return show(visit, &draft, step, Some(refused)),
    };
    let calls = calls::of(&draft, own.as_ref());
    if go != "create" {
        let refused = visit.rehearse(&calls).err();
        let next = if refused.is_some() { step } else { go };
        return show(visit, &draft, next, refused);
    }
    // A name that is taken by then, say, is refused before the first of two calls has made something.
    if let Err(refused) = visit.rehearse(&calls) {
        return show(visit, &draft, step, Some(refused));
    }
    for call in &calls {
        if let Err(refused) = visit.call(call) {
            return show(visit, &draft, step, Some(refused));
        }
    }
    let sort = if draft.is_memcached() { Sort::Cluster } else { Sort::Group };
    let name = draft.text("name").to_ascii_lowercase();
    Ok(visit.done(&format!("{name} is being created."), &format!("/{}/{name}", sort.path())))
}

fn place(step: &str) -> usize {
    STEPS.iter().position(|(known, _)| *known == step).unwrap_or(0)
}

fn show(visit: &Visit<'_>, draft: &Draft, step: &str, refused: Option<ApiError>) -> Result<Answer, ApiError> {
    match step {
        "network" => network::page(visit, draft, refused),
        "upkeep" => upkeep::page(visit, draft, refused),
        "review" => review::page(visit, draft, refused),
        _ => settings::page(visit, draft, refused),
    }
}

/// What every page of the form has.
struct Form {
    step: &'static str,
    engine: String,
    hidden: Vec<(String, String)>,
    refused: Option<ApiError>,
}

impl Form {
    fn of(draft: &Draft, step: &'static str, own: &[&str], refused: Option<ApiError>) -> Form {
        Form { step, engine: draft.engine().to_owned(), hidden: draft.hidden(own), refused }
    }

    fn status(&self) -> u16 {
        self.refused.as_ref().map_or(200, |refused| refused.status)
    }

    fn engine_name(&self) -> &str {
        super::show::engine_name(&self.engine)
    }

    fn is_memcached(&self) -> bool {
        self.engine == "memcached"
    }

    /// Whether a step lies before the one that is shown.
    fn is_before(&self, step: &str) -> bool {
        place(step) < place(self.step)
    }
}

/// An option of a list: its value, its text, whether it is chosen.
struct Choice {
    value: String,
    text: String,
    chosen: bool,
}

impl Choice {
    fn of(value: &str, text: impl Into<String>, chosen: &str) -> Choice {
        Choice { value: value.to_owned(), text: text.into(), chosen: value == chosen }
    }
}
