//! Backup and upkeep: snapshots, maintenance, tags.

use askama::Template;

use super::{Draft, Form};
use crate::console::visit::{Frame, Visit, html};
use crate::front::{Answer, ApiError};

/// Fields of this page.
pub(super) const FIELDS: &[&str] =
    &["backup", "retention", "backup_window", "maintenance_window", "minor_upgrades", "tags"];

#[derive(Template)]
#[template(path = "create/upkeep.html")]
struct Page<'a> {
    frame: Frame,
    form: Form,
    draft: &'a Draft,
}

pub(super) fn page(visit: &Visit<'_>, draft: &Draft, refused: Option<ApiError>) -> Result<Answer, ApiError> {
    let form = Form::of(draft, "upkeep", FIELDS, refused);
    let page = Page { frame: visit.frame("create", "Backup and upkeep"), form, draft };
    Ok(html(page.form.status(), &page))
}
