//! What a page shows when an operation refused.

use askama::Template;

use crate::console::visit::{Frame, Visit, html};
use crate::front::{Answer, ApiError};

#[derive(Template)]
#[template(path = "page/refusal.html")]
struct Page<'a> {
    frame: Frame,
    heading: &'a str,
    error: &'a ApiError,
}

/// The page for an error.
pub(in crate::console) fn answer(visit: &Visit<'_>, error: &ApiError) -> Answer {
    let heading = match (error.code, error.status) {
        ("AccessDenied" | "UnauthorizedOperation", _) => "Your key may not do this",
        (_, 404) => "Not there",
        (_, 500..) => "Larder failed at this",
        _ => "This cannot be done",
    };
    html(error.status, &Page { frame: visit.frame("", heading), heading, error })
}
