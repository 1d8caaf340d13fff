//! `larder events`: what happened, oldest first, so that the newest stands next to the prompt.

use serde::Serialize;

use crate::api::{Api, Element};
use crate::arguments::{Events, Output};
use crate::failure::Failure;
use crate::terminal::{Paint, Table, print, print_json};

/// One event.
#[derive(Debug, Serialize)]
pub(super) struct Event {
    pub(super) date: String,
    pub(super) source: String,
    pub(super) source_type: String,
    pub(super) message: String,
}

impl Event {
    fn read(element: &Element) -> Self {
        let text = |name: &str| element.text_at(&[name]).to_owned();
        Self {
            date: text("Date"),
            source: text("SourceIdentifier"),
            source_type: text("SourceType"),
            message: text("Message"),
        }
    }

    /// `2026-11-23 14:02:11`, without the fraction of a second.
    pub(super) fn moment(&self) -> String {
        let date = self.date.replacen('T', " ", 1);
        date.get(..19).unwrap_or(&date).to_owned()
    }
}

/// Events of the last `minutes`, oldest first; of one source, if it is named with its type.
pub(super) fn latest(api: &Api, source: Option<(&str, &str)>, minutes: u32) -> Result<Vec<Event>, Failure> {
    let minutes = minutes.to_string();
    let mut parameters = vec![("Duration", minutes.as_str())];
    if let Some((name, source_type)) = source {
        parameters.extend([("SourceIdentifier", name), ("SourceType", source_type)]);
    }
    let mut events: Vec<Event> =
        api.all("DescribeEvents", "Events", &parameters)?.iter().map(Event::read).collect();
    events.reverse();
    events.sort_by(|a, b| a.date.cmp(&b.date)); // stable: keeps the order of one moment
    Ok(events)
}

pub(crate) fn events(arguments: &Events) -> Result<(), Failure> {
    let api = Api::find(&arguments.asking.place)?;
    let events = match arguments.name.as_deref() {
        None => latest(&api, None, arguments.minutes)?,
        Some(name) => {
            let mut events = latest(&api, Some((name, "cache-cluster")), arguments.minutes)?;
            events.extend(latest(&api, Some((name, "replication-group")), arguments.minutes)?);
            events.sort_by(|a, b| a.date.cmp(&b.date)); // stable, too
            events
        }
    };
    match arguments.asking.format.output {
        Output::Json => print_json(&events),
        Output::Table if events.is_empty() => {
            print(&format!("Nothing happened in the last {} minutes.\n", arguments.minutes));
        }
        Output::Table => {
            let mut table = Table::new(&["TIME (UTC)", "SOURCE", "MESSAGE"]);
            for event in &events {
                table.row(&[&event.moment(), &event.source, &event.message]);
            }
            print(&table.render(Paint::for_stdout()));
        }
    }
    Ok(())
}
