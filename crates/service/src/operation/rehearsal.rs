//! Calls that are tried and not made: every check of an operation, and nothing of its effect.
//!
//! Forms of several pages want to know early whether what was typed so far would be accepted. Rules that were written
//! down a second time for that would drift; so the operation itself runs, over records that are kept in memory
//! above the real ones and forgotten afterwards. Several calls may be tried in a row: each sees what those before it
//! would have made.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::{App, Caller, perform};
use crate::front::ApiError;
use crate::front::query::Form;
use crate::state::{Change, Expect, Page, Record, Records, StateError};

/// Whether calls, made one after the other, would be accepted.
///
/// # Errors
/// What the first one that would be refused answers.
pub fn rehearse(app: &App, caller: &Caller, calls: &[Form]) -> Result<(), ApiError> {
    let stage = App {
        records: Arc::new(Rehearsed { real: Arc::clone(&app.records), changed: Mutex::default() }),
        region: app.region.clone(),
        clock: app.clock,
        names: Arc::clone(&app.names),
        vault: app.vault.clone(),
        metrics: Arc::clone(&app.metrics),
        release: app.release.clone(),
        nodes_max: app.nodes_max,
        notifications: app.notifications.clone(),
    };
    calls.iter().try_for_each(|call| perform(&stage, caller, call, "").map(drop))
}

/// What would be there: by kind and id, a record or its absence.
type Changed = BTreeMap<(String, String), Option<Record>>;

struct Rehearsed {
    real: Arc<dyn Records>,
    changed: Mutex<Changed>,
}

impl Rehearsed {
    fn changed(&self) -> std::sync::MutexGuard<'_, Changed> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Records for Rehearsed {
    fn get(&self, kind: &str, id: &str) -> Result<Option<Record>, StateError> {
        match self.changed().get(&(kind.to_owned(), id.to_owned())) {
            Some(changed) => Ok(changed.clone()),
            None => self.real.get(kind, id),
        }
    }

    fn list(&self, kind: &str, page: Page<'_>) -> Result<Vec<Record>, StateError> {
        let all = self.real.list(kind, Page { limit: 0, ..page })?;
        let mut found: BTreeMap<String, Record> =
            all.into_iter().map(|record| (record.id.clone(), record)).collect();
        for ((changed_kind, id), record) in self.changed().iter() {
            if changed_kind != kind
                || !id.starts_with(page.prefix)
                || page.after.is_some_and(|after| id.as_str() <= after)
            {
                continue;
            }
            match record {
                Some(record) => found.insert(id.clone(), record.clone()),
                None => found.remove(id),
            };
        }
        let most = if page.limit == 0 { usize::MAX } else { page.limit };
        Ok(found.into_values().take(most).collect())
    }

    fn apply(&self, changes: &[Change]) -> Result<u64, StateError> {
        for change in changes {
            let present = self.get(&change.kind, &change.id)?;
            let holds = match change.expect {
                Expect::Absent => present.is_none(),
                Expect::Revision(revision) => present.is_some_and(|record| record.revision == revision),
                Expect::Anything => true,
            };
            if !holds {
                return Err(StateError::Conflict { kind: change.kind.clone(), id: change.id.clone() });
            }
        }
        let mut changed = self.changed();
        // Above all revisions of the real store, whose next one is not ours to take.
        let revision = u64::MAX - 1;
        for Change { kind, id, body, .. } in changes.iter().cloned() {
            let record =
                body.map(|body| Record { kind: kind.clone(), id: id.clone(), revision, body: body.into() });
            changed.insert((kind, id), record);
        }
        Ok(revision)
    }

    fn watch(&self, kind: &str) -> watch::Receiver<u64> {
        self.real.watch(kind)
    }
}
