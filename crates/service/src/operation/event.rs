//! Events of what is changed by a call alone, with no driver that tells of it.

use super::App;
use crate::resource::event::{Event, SourceType};
use crate::state::{self, Change, StateError};

/// The change that notes what happened to something.
pub(super) fn note(
    app: &App,
    source_type: SourceType,
    source_id: &str,
    message: impl Into<String>,
) -> Result<Change, StateError> {
    state::create(&Event {
        date_ms: app.now_ms(),
        sequence: uuid::Uuid::new_v4().as_u64_pair().0,
        source_id: source_id.to_owned(),
        source_type,
        message: message.into(),
        topic: None,
    })
}
