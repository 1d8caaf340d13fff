//! DescribeEvents.

use std::sync::Arc;

use serde::Deserialize;

use super::{App, Caller, Input, Paging};
use crate::front::query::Time;
use crate::front::{ApiError, Xml};
use crate::resource::event::{Event, KEPT_MS, SourceType, first_id_at};
use crate::state::{self, Page};

/// How far one looks back without a wish, in minutes.
const DURATION_DEFAULT_MINUTES: u64 = 60;

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeEvents {
    source_identifier: Option<String>,
    source_type: Option<SourceType>,
    start_time: Option<Time>,
    end_time: Option<Time>,
    duration: Option<u64>,
    max_records: Option<i64>,
    marker: Option<String>,
}

impl Input for DescribeEvents {}

/// Answers what happened in a range of time, the newest first, page by page.
pub(super) fn run(app: &App, _caller: &Caller, input: DescribeEvents) -> Result<Xml, ApiError> {
    let paging = Paging::new(input.marker.as_deref(), input.max_records)?;
    if input.source_identifier.is_some() && input.source_type.is_none() {
        return Err(ApiError::invalid_combination(
            "SourceType must be provided when a SourceIdentifier is provided.",
        ));
    }
    let (from_ms, until_ms) = range(&input, app.now_ms())?;
    let after = first_id_at(from_ms);
    let stored =
        state::list_shared::<Event>(app.records.as_ref(), Page { after: Some(&after), ..Page::default() })?;
    let fits = |event: &Arc<Event>| {
        event.date_ms <= until_ms
            && input.source_type.is_none_or(|wanted| wanted == event.source_type)
            && input.source_identifier.as_ref().is_none_or(|id| id.eq_ignore_ascii_case(&event.source_id))
    };
    let events = stored.into_iter().rev().map(|stored| stored.value).filter(fits);
    let page = paging.cut(events, |event| newest_first(event));
    let mut xml = Xml::new();
    page.write_marker(&mut xml);
    xml.list("Events", "Event", &page.items, |xml, event| write(xml, event));
    Ok(xml)
}

/// A key that ascends from the newest event to the oldest.
fn newest_first(event: &Event) -> String {
    format!("{:016x}-{:016x}", u64::MAX - event.date_ms, u64::MAX - event.sequence)
}

/// First and last moment that are asked for, Unix milliseconds.
fn range(input: &DescribeEvents, now_ms: u64) -> Result<(u64, u64), ApiError> {
    let start = input.start_time.map(|time| time.unix_ms);
    let end = input.end_time.map(|time| time.unix_ms);
    if start.is_some() && end.is_some() && input.duration.is_some() {
        return Err(ApiError::invalid_combination(
            "Only two of StartTime, EndTime and Duration can be given.",
        ));
    }
    let minutes = input.duration.unwrap_or(DURATION_DEFAULT_MINUTES);
    if minutes == 0 || minutes > KEPT_MS / 60_000 {
        let range = format!("between 1 and {}", KEPT_MS / 60_000);
        return Err(ApiError::invalid_value(format!(
            "Invalid value {minutes} for Duration: must be {range}."
        )));
    }
    let length_ms = minutes * 60_000;
    let (from, until) = match (start, end) {
        (Some(start), Some(end)) => (start, end),
        (Some(start), None) if input.duration.is_some() => (start, start.saturating_add(length_ms)),
        (Some(start), None) => (start, now_ms),
        (None, end) => {
            let end = end.unwrap_or(now_ms);
            (end.saturating_sub(length_ms), end)
        }
    };
    if from > until {
        return Err(ApiError::invalid_combination("StartTime must be before EndTime."));
    }
    Ok((from, until))
}

fn write(xml: &mut Xml, event: &Event) {
    xml.text("SourceIdentifier", &event.source_id)
        .text("SourceType", event.source_type.as_str())
        .text("Message", &event.message)
        .time("Date", event.date_ms);
}
