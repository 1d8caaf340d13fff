//! What happened: all events of the last fourteen days, or those of one source.

use askama::Template;

use crate::console::parameters::Parameters;
use crate::console::show::moment;
use crate::console::visit::{Frame, Visit, html};
use crate::front::{Answer, ApiError};

/// As far back as events are kept, in minutes.
const LOOK_BACK_MINUTES: &str = "20160";

/// One event.
pub(in crate::console) struct Event {
    pub(in crate::console) moment: String,
    pub(in crate::console) source: String,
    pub(in crate::console) sort: String,
    pub(in crate::console) message: String,
}

#[derive(Template)]
#[template(path = "page/events.html")]
struct Page {
    frame: Frame,
    events: Vec<Event>,
    next: Option<String>,
}

/// The newest events of a source (its type and its name), or of all.
///
/// # Errors
/// If the caller may not see them.
pub(in crate::console) fn latest(
    visit: &Visit<'_>,
    of: Option<(&str, &str)>,
    most: usize,
) -> Result<Vec<Event>, ApiError> {
    let (mut events, _) = page_of(visit, of, "")?;
    events.truncate(most);
    Ok(events)
}

fn page_of(
    visit: &Visit<'_>,
    of: Option<(&str, &str)>,
    marker: &str,
) -> Result<(Vec<Event>, Option<String>), ApiError> {
    let mut call = Parameters::of("DescribeEvents").number("Duration", LOOK_BACK_MINUTES);
    if let Some((sort, id)) = of {
        call = call.text("SourceType", sort).text("SourceIdentifier", id);
    }
    let answer = visit.call(&call.text("Marker", marker))?;
    let events = answer.list("Events").iter().map(|event| Event {
        moment: moment(event.text_at(&["Date"])),
        source: event.text_at(&["SourceIdentifier"]).to_owned(),
        sort: event.text_at(&["SourceType"]).to_owned(),
        message: event.text_at(&["Message"]).to_owned(),
    });
    let next = Some(answer.text_at(&["Marker"])).filter(|marker| !marker.is_empty()).map(str::to_owned);
    Ok((events.collect(), next))
}

/// The page.
pub(in crate::console) fn page(visit: &Visit<'_>) -> Result<Answer, ApiError> {
    let (events, next) = page_of(visit, None, visit.fields.text("after"))?;
    Ok(html(200, &Page { frame: visit.frame("events", "Events"), events, next }))
}
