//! Service updates: releases of Larder that nodes do not run yet, and applying them.

use crate::console::board::{Board, Cell, Done, Field, Form, Table, answer};
use crate::console::parameters::Parameters;
use crate::console::show::{engine_name, moment};
use crate::console::visit::Visit;
use crate::front::{Answer, ApiError, Element};

/// What stands between the parts of an option that names an update and a cache.
const BETWEEN: char = ' ';

/// Sort and id of the cache that an update action is about.
fn cache(action: &Element) -> (&'static str, &str) {
    match action.text_at(&["ReplicationGroupId"]) {
        "" => ("clusters", action.text_at(&["CacheClusterId"])),
        group => ("groups", group),
    }
}

/// The updates, what was done with them, and the form that applies one.
pub(in crate::console) fn page(visit: &Visit<'_>) -> Result<Answer, ApiError> {
    answer(visit, apply(visit), || {
        let updates = visit.all(Parameters::of("DescribeServiceUpdates"), "ServiceUpdates")?;
        let actions = visit.all(Parameters::of("DescribeUpdateActions"), "UpdateActions")?;
        let intro = "A node runs the release of Larder that it was started with. An update starts it anew with the \
                     present one.";
        let mut board = Board::of(visit, "service-updates", "Service updates", intro);
        let row = |action: &Element| {
            let text = |name: &str| action.text_at(&[name]);
            let (sort, id) = cache(action);
            vec![
                Cell::Link(id.to_owned(), format!("/{sort}/{id}")),
                Cell::text(text("ServiceUpdateName")),
                Cell::status(text("UpdateActionStatus")),
                Cell::text(text("NodesUpdated")),
                Cell::text(engine_name(text("Engine"))),
                Cell::Text(moment(text("UpdateActionStatusModifiedDate"))),
            ]
        };
        board.tables.push(Table {
            heading: "",
            columns: &["Cache", "Update", "Status", "Nodes", "Engine", "Since"],
            rows: actions.iter().map(row).collect(),
            empty: "No cache needs an update.",
        });
        let row = |update: &Element| {
            let text = |name: &str| update.text_at(&[name]);
            vec![
                Cell::text(text("ServiceUpdateName")),
                Cell::status(text("ServiceUpdateStatus")),
                Cell::Text(moment(text("ServiceUpdateReleaseDate"))),
                Cell::text(text("ServiceUpdateDescription")),
            ]
        };
        board.tables.push(Table {
            heading: "Updates",
            columns: &["Name", "Status", "Of", "What it is"],
            rows: updates.iter().map(row).collect(),
            empty: "There are no updates.",
        });
        let waits = |action: &&Element| {
            matches!(action.text_at(&["UpdateActionStatus"]), "not-applied" | "stopped")
                && action.text_at(&["ServiceUpdateStatus"]) == "available"
        };
        let option = |action: &Element| {
            let (sort, id) = cache(action);
            let update = action.text_at(&["ServiceUpdateName"]);
            (format!("{update}{BETWEEN}{sort}{BETWEEN}{id}"), format!("{id}: {update}"))
        };
        let options: Vec<_> = actions.iter().filter(waits).map(option).collect();
        if !options.is_empty() {
            let field = Field::choice(visit, "what", "Cache and update", options);
            let mut form = Form::of("apply", "Apply an update", "Apply", vec![field]);
            form.consequences = vec![
                "The nodes are started anew, one after the other. A group with replicas keeps its data."
                    .to_owned(),
                "A cache without replicas loses everything in it.".to_owned(),
            ];
            board.forms.push(form);
        }
        Ok(board)
    })
}

fn apply(visit: &Visit<'_>) -> Done {
    if !visit.is_post() {
        return Ok(None);
    }
    let mut parts = visit.fields.text("what").split(BETWEEN);
    let mut part = || parts.next().unwrap_or_default();
    let (update, sort, id) = (part(), part(), part());
    let list = if sort == "groups" { "ReplicationGroupIds" } else { "CacheClusterIds" };
    let call = Parameters::of("BatchApplyUpdateAction").text("ServiceUpdateName", update);
    let done = visit.call(&call.list(list, "member", &[id]))?;
    // The call answers for each cache; a cache that is refused is no error of the call.
    if let Some(refused) = done.list("UnprocessedUpdateActions").first() {
        return Err(ApiError::invalid_value(refused.text_at(&["ErrorMessage"])));
    }
    Ok(Some((format!("{update} is being applied to {id}."), "/service-updates".to_owned())))
}
