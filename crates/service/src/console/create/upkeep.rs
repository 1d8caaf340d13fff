//! Backup and upkeep: snapshots, maintenance, tags.

use askama::Template;

use super::{Choice, Draft, Form};
use crate::console::visit::{Frame, Visit, html};
use crate::front::{Answer, ApiError};

/// Fields of this page.
pub(super) const FIELDS: &[&str] = &[
    "backup",
    "retention",
    "backup_window",
    "slow_log_to",
    "slow_log_name",
    "slow_log_format",
    "engine_log_to",
    "engine_log_name",
    "engine_log_format",
    "maintenance_window",
    "minor_upgrades",
    "tags",
];
/// Logs: the beginning of the names of their fields, and what people call them.
const LOGS: &[(&str, &str)] = &[("slow_log", "Slow log"), ("engine_log", "Engine log")];
/// Where logs can go.
const DESTINATIONS: &[(&str, &str)] =
    &[("", "Nowhere"), ("cloudwatch-logs", "CloudWatch Logs"), ("kinesis-firehose", "Kinesis Data Firehose")];
/// How their lines can read.
const FORMATS: &[(&str, &str)] = &[("json", "JSON"), ("text", "Text")];

#[derive(Template)]
#[template(path = "create/upkeep.html")]
struct Page<'a> {
    frame: Frame,
    form: Form,
    draft: &'a Draft,
}

impl Page<'_> {
    fn logs(&self) -> &'static [(&'static str, &'static str)] {
        LOGS
    }

    fn destinations(&self, log: &str) -> Vec<Choice> {
        self.choices(DESTINATIONS, &format!("{log}_to"))
    }

    fn formats(&self, log: &str) -> Vec<Choice> {
        self.choices(FORMATS, &format!("{log}_format"))
    }

    fn choices(&self, of: &[(&str, &str)], field: &str) -> Vec<Choice> {
        of.iter().map(|(value, text)| Choice::of(value, *text, self.draft.text(field))).collect()
    }

    fn name_of(&self, log: &str) -> &str {
        self.draft.text(&format!("{log}_name"))
    }
}

pub(super) fn page(visit: &Visit<'_>, draft: &Draft, refused: Option<ApiError>) -> Result<Answer, ApiError> {
    let form = Form::of(draft, "upkeep", FIELDS, refused);
    let page = Page { frame: visit.frame("create", "Backup and upkeep"), form, draft };
    Ok(html(page.form.status(), &page))
}
