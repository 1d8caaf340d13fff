//! Snapshots: what was kept of caches, and new caches made of them.

use crate::console::board::{Board, Cell, Done, Field, Form, Table, answer};
use crate::console::parameters::Parameters;
use crate::console::show::{engine_name, moment};
use crate::console::visit::Visit;
use crate::front::{Answer, ApiError, Element};

const COLUMNS: &[&str] = &["Name", "Status", "Of", "Engine", "Made", "Size", "How"];

fn source(snapshot: &Element) -> &str {
    let group = snapshot.text_at(&["ReplicationGroupId"]);
    if group.is_empty() { snapshot.text_at(&["CacheClusterId"]) } else { group }
}

fn first_node<'a>(snapshot: &'a Element, name: &str) -> &'a str {
    snapshot.list("NodeSnapshots").first().map_or("", |node| node.text_at(&[name]))
}

/// The list.
pub(in crate::console) fn page(visit: &Visit<'_>) -> Result<Answer, ApiError> {
    let found = visit.all(Parameters::of("DescribeSnapshots"), "Snapshots")?;
    let row = |snapshot: &Element| {
        let text = |name: &str| snapshot.text_at(&[name]);
        vec![
            Cell::Link(text("SnapshotName").to_owned(), format!("/snapshots/{}", text("SnapshotName"))),
            Cell::status(text("SnapshotStatus")),
            Cell::text(source(snapshot)),
            Cell::Text(format!("{} {}", engine_name(text("Engine")), text("EngineVersion"))),
            Cell::Text(moment(first_node(snapshot, "SnapshotCreateTime"))),
            Cell::text(first_node(snapshot, "CacheSize")),
            Cell::text(text("SnapshotSource")),
        ]
    };
    let intro = "Taken by hand on a cache's page, or every day by the cache itself. Times in UTC.";
    let mut board = Board::of(visit, "snapshots", "Snapshots", intro);
    let empty = "There are no snapshots yet. Back up a cache on its page.";
    board.tables.push(Table { heading: "", columns: COLUMNS, rows: found.iter().map(row).collect(), empty });
    Ok(board.answer())
}

/// One snapshot.
pub(in crate::console) fn one(visit: &Visit<'_>, name: &str) -> Result<Answer, ApiError> {
    answer(visit, act(visit, name), || board(visit, name))
}

fn act(visit: &Visit<'_>, name: &str) -> Done {
    if !visit.is_post() {
        return Ok(None);
    }
    if visit.fields.text("act") == "copy" {
        let target = visit.fields.text("target");
        let call = Parameters::of("CopySnapshot").text("SourceSnapshotName", name);
        visit.call(
            &call.text("TargetSnapshotName", target).text("TargetBucket", visit.fields.text("bucket")),
        )?;
        return Ok(Some((format!("{name} is being copied."), "/snapshots".to_owned())));
    }
    visit.call(&Parameters::of("DeleteSnapshot").text("SnapshotName", name))?;
    Ok(Some((format!("{name} is being deleted."), "/snapshots".to_owned())))
}

fn board(visit: &Visit<'_>, name: &str) -> Result<Board, ApiError> {
    let found = visit.all(Parameters::of("DescribeSnapshots").text("SnapshotName", name), "Snapshots")?;
    let missing = || ApiError::new("SnapshotNotFoundFault", format!("The snapshot {name} is not there."));
    let snapshot = found.first().ok_or_else(missing)?;
    let text = |name: &str| snapshot.text_at(&[name]).to_owned();
    let mut board = Board::of(visit, "snapshots", name, "");
    board.trail.push(("Snapshots".to_owned(), "/snapshots".to_owned()));
    board.facts = vec![
        ("Status", text("SnapshotStatus")),
        ("Of", source(snapshot).to_owned()),
        ("Engine", format!("{} {}", engine_name(&text("Engine")), text("EngineVersion"))),
        ("Node type", text("CacheNodeType")),
        ("Made", moment(first_node(snapshot, "SnapshotCreateTime"))),
        ("Size", first_node(snapshot, "CacheSize").to_owned()),
        ("How", text("SnapshotSource")),
        ("ARN", text("ARN")),
    ];
    board.facts.retain(|(_, value)| !value.is_empty());
    let restore = format!("/create?engine={}&snapshot={name}", text("Engine"));
    board.links.push(("Make a new cache of it".to_owned(), restore));
    board.forms.push(Form::of(
        "copy",
        "Copy",
        "Copy",
        vec![
            Field::needed(visit, "target", "Name of the copy"),
            Field::wanted(visit, "bucket", "Bucket", "Left empty, the copy is another snapshot."),
        ],
    ));
    let consequences = ["Its file is removed for good. Caches that were made of it keep their data."];
    board.forms.push(Form::danger("delete", "Delete", "Delete the snapshot", &consequences));
    Ok(board)
}
