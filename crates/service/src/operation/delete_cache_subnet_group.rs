//! DeleteCacheSubnetGroup.

use serde::Deserialize;

use super::event::note;
use super::{App, Caller, Input, retrying, subnet_group};
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;
use crate::resource::event::SourceType;
use crate::resource::subnet_group::{DEFAULT_NAME, SubnetGroup};
use crate::resource::tag::TagSet;
use crate::state::{self, Expect};

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeleteCacheSubnetGroup {
    cache_subnet_group_name: String,
}

impl Input for DeleteCacheSubnetGroup {
    fn resource(&self, caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(Some(caller.arn(subnet_group::SORT, &self.cache_subnet_group_name)))
    }
}

/// Deletes a group that no cache uses, with its tags. Answers nothing.
pub(super) fn run(app: &App, _caller: &Caller, input: DeleteCacheSubnetGroup) -> Result<Xml, ApiError> {
    let name = input.cache_subnet_group_name.to_ascii_lowercase();
    if name == DEFAULT_NAME {
        return Err(in_use("The default cache subnet group cannot be deleted."));
    }
    retrying(|| delete(app, &name))?;
    Ok(Xml::new())
}

fn delete(app: &App, name: &str) -> Result<(), ApiError> {
    let group = subnet_group::find_stored(app, name)?;
    if !subnet_group::clusters_of(app, name)?.is_empty() {
        return Err(in_use(&format!("Cache subnet group {name} is currently in use by a cache cluster.")));
    }
    // Who creates a cache writes its subnet group, too: so the revision tells us of one that came meanwhile.
    let tags = TagSet::id_of(subnet_group::SORT, name);
    app.records.apply(&[
        state::remove::<SubnetGroup>(name, Expect::Revision(group.revision)),
        state::remove::<TagSet>(&tags, Expect::Anything),
        note(app, SourceType::CacheSubnetGroup, name, "Cache subnet group deleted")?,
    ])?;
    Ok(())
}

fn in_use(message: &str) -> ApiError {
    ApiError::new("CacheSubnetGroupInUse", message)
}
