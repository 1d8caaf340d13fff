//! The list of caches.

use askama::Template;

use crate::console::cache::{self, Cache};
use crate::console::visit::{Frame, Visit, html};
use crate::front::{Answer, ApiError};

#[derive(Template)]
#[template(path = "page/caches.html")]
struct Page {
    frame: Frame,
    list: String,
}

/// What of the page changes by itself.
#[derive(Template)]
#[template(path = "page/caches_live.html")]
struct List {
    caches: Vec<Cache>,
}

/// The page.
pub(in crate::console) fn page(visit: &Visit<'_>) -> Result<Answer, ApiError> {
    let list = List { caches: cache::all(visit)? }.render().map_err(|why| ApiError::internal(&why))?;
    Ok(html(200, &Page { frame: visit.frame("caches", "Caches"), list }))
}

/// The list alone, as it is now.
pub(in crate::console) fn live(visit: &Visit<'_>) -> Result<Answer, ApiError> {
    Ok(html(200, &List { caches: cache::all(visit)? }))
}
