//! DeleteCacheParameterGroup.

use serde::Deserialize;

use super::event::note;
use super::{App, Caller, Input, parameter_group, retrying};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::event::SourceType;
use crate::resource::parameter_group::ParameterGroup;
use crate::resource::tag::TagSet;
use crate::state::{self, Expect};

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteCacheParameterGroup {
    cache_parameter_group_name: String,
}

impl Input for DeleteCacheParameterGroup {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(parameter_group::SORT, &self.cache_parameter_group_name)))
    }
}

/// Deletes a group that no cache uses, with its tags. Answers nothing.
pub(super) fn run(app: &App, _caller: &Caller, input: DeleteCacheParameterGroup) -> Result<Xml, ApiError> {
    retrying(|| delete(app, &input.cache_parameter_group_name))?;
    Ok(Xml::new())
}

fn delete(app: &App, name: &str) -> Result<(), ApiError> {
    let stored = parameter_group::find_own(app, name, "deleted")?;
    let name = &stored.value.name;
    if parameter_group::is_used(app, name)? {
        let message = format!("One or more cache clusters are still members of this parameter group {name}.");
        return Err(ApiError::new("InvalidCacheParameterGroupState", message));
    }
    // Who creates a cache writes its parameter group, too: so the revision tells us of one that came meanwhile.
    app.records.apply(&[
        state::remove::<ParameterGroup>(name, Expect::Revision(stored.revision)),
        state::remove::<TagSet>(&TagSet::id_of(parameter_group::SORT, name), Expect::Anything),
        note(app, SourceType::CacheParameterGroup, name, "Cache parameter group deleted")?,
    ])?;
    Ok(())
}
