//! Parameter groups: settings that caches share.

use crate::console::board::{Board, Cell, Done, Field, Form, Table, answer};
use crate::console::parameters::Parameters;
use crate::console::visit::Visit;
use crate::front::{Answer, ApiError, Element};
use crate::resource::engine_version::FAMILIES;
use crate::resource::parameter::allowed_for_people;

/// The list, and the form for a new one.
pub(in crate::console) fn page(visit: &Visit<'_>) -> Result<Answer, ApiError> {
    answer(visit, create(visit), || {
        let found = visit.all(Parameters::of("DescribeCacheParameterGroups"), "CacheParameterGroups")?;
        let row = |group: &Element| {
            let text = |name: &str| group.text_at(&[name]);
            let name = text("CacheParameterGroupName");
            let path = format!("/parameter-groups/{name}");
            vec![
                Cell::Link(name.to_owned(), path),
                Cell::text(text("CacheParameterGroupFamily")),
                Cell::text(text("Description")),
            ]
        };
        let intro = "The settings of the engines. Those named default cannot be changed.";
        let mut board = Board::of(visit, "parameter-groups", "Parameter groups", intro);
        let rows = found.iter().map(row).collect();
        board.tables.push(Table {
            heading: "",
            columns: &["Name", "Family", "Description"],
            rows,
            empty: "",
        });
        let families = FAMILIES.iter().rev().map(|family| (family.name.to_owned(), family.name.to_owned()));
        board.forms.push(Form::of(
            "create",
            "A new parameter group",
            "Create",
            vec![
                Field::needed(visit, "name", "Name"),
                Field::choice(visit, "family", "Family", families.collect()),
                Field::needed(visit, "description", "Description"),
            ],
        ));
        Ok(board)
    })
}

fn create(visit: &Visit<'_>) -> Done {
    if !visit.is_post() {
        return Ok(None);
    }
    let name = visit.fields.text("name");
    let call = Parameters::of("CreateCacheParameterGroup").text("CacheParameterGroupName", name);
    let call = call.text("CacheParameterGroupFamily", visit.fields.text("family"));
    visit.call(&call.text("Description", visit.fields.text("description")))?;
    Ok(Some((format!("{name} is there."), format!("/parameter-groups/{}", name.to_ascii_lowercase()))))
}

/// One group: its parameters, and forms that change them.
pub(in crate::console) fn one(visit: &Visit<'_>, name: &str) -> Result<Answer, ApiError> {
    answer(visit, act(visit, name), || board(visit, name))
}

fn act(visit: &Visit<'_>, name: &str) -> Done {
    if !visit.is_post() {
        return Ok(None);
    }
    let of = |action| Parameters::of(action).text("CacheParameterGroupName", name);
    let here = format!("/parameter-groups/{name}");
    let parameter = visit.fields.text("parameter");
    Ok(Some(match visit.fields.text("act") {
        "delete" => {
            visit.call(&of("DeleteCacheParameterGroup"))?;
            (format!("{name} is deleted."), "/parameter-groups".to_owned())
        }
        "reset" => {
            visit.call(&of("ResetCacheParameterGroup").flag("ResetAllParameters", true))?;
            (format!("All parameters of {name} are as in the default group."), here)
        }
        _ => {
            let call = of("ModifyCacheParameterGroup")
                .text("ParameterNameValues.ParameterNameValue.1.ParameterName", parameter)
                .given("ParameterNameValues.ParameterNameValue.1.ParameterValue", visit.fields.text("value"));
            visit.call(&call)?;
            (format!("{parameter} is changed."), here)
        }
    }))
}

fn board(visit: &Visit<'_>, name: &str) -> Result<Board, ApiError> {
    let call = Parameters::of("DescribeCacheParameters").text("CacheParameterGroupName", name);
    let found = visit.all(call, "Parameters")?;
    let mut board = Board::of(visit, "parameter-groups", name, "");
    board.trail.push(("Parameter groups".to_owned(), "/parameter-groups".to_owned()));
    let is_changed = |parameter: &&Element| parameter.text_at(&["Source"]) == "user";
    let (changed, usual): (Vec<&Element>, Vec<&Element>) = found.iter().partition(is_changed);
    let row = |parameter: &&Element| {
        let text = |name: &str| parameter.text_at(&[name]);
        vec![
            Cell::Code(text("ParameterName").to_owned()),
            Cell::Code(text("ParameterValue").to_owned()),
            Cell::Text(allowed_for_people(text("ParameterName"), text("AllowedValues"))),
            Cell::text(text("ChangeType")),
        ]
    };
    let table = |heading, parameters: &[&Element]| Table {
        heading,
        columns: &["Parameter", "Value", "Allowed", "When it counts"],
        rows: parameters.iter().map(row).collect(),
        empty: "Nothing is changed.",
    };
    if !name.starts_with("default.") {
        board.tables.push(table("Changed", &changed));
    }
    board.tables.push(table("As in the default group", &usual));
    if name.starts_with("default.") {
        return Ok(board);
    }
    let can_change = found.iter().filter(|parameter| parameter.text_at(&["IsModifiable"]) == "true");
    let options = can_change.map(|parameter| {
        let name = parameter.text_at(&["ParameterName"]);
        (name.to_owned(), format!("{name} (now {})", parameter.text_at(&["ParameterValue"])))
    });
    board.forms.push(Form::of(
        "modify",
        "Change a parameter",
        "Change",
        vec![
            Field::choice(visit, "parameter", "Parameter", options.collect()),
            Field::wanted(visit, "value", "Value", ""),
        ],
    ));
    let consequences = ["Every parameter gets its default value, in all caches that use the group."];
    board.forms.push(Form::danger("reset", "Reset", "Reset all parameters", &consequences));
    let consequences = ["Only a group that no cache uses can be deleted."];
    board.forms.push(Form::danger("delete", "Delete", "Delete the group", &consequences));
    Ok(board)
}
