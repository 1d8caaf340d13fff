//! The first page: which engine.

use askama::Template;

use crate::console::visit::{Frame, Visit, html};
use crate::front::{Answer, ApiError};

#[derive(Template)]
#[template(path = "create/engine.html")]
struct Page {
    frame: Frame,
}

pub(super) fn page(visit: &Visit<'_>) -> Result<Answer, ApiError> {
    Ok(html(200, &Page { frame: visit.frame("create", "Create a cache") }))
}
