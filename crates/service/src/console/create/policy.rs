//! What leaves when memory is full: the parameter group that Redis and Valkey caches get here unless somebody chooses another.
//!
//! ElastiCache's default, `volatile-lru`, keeps keys without a time to live for ever, and refuses writes when there is nothing
//! else. What is created as a cache can be fetched again, so what can be expected to bring the fewest hits leaves
//! (`allkeys-lhd`). The group is one like any other, made by ordinary calls that the review shows. `larder create` takes the
//! same one.

use super::Draft;
use crate::console::parameters::Parameters;
use crate::console::visit::Visit;
use crate::front::ApiError;

/// In the place of a group's name; no group can have it.
pub(super) const OWN: &str = "+cache";
/// How it is offered.
pub(super) const OFFER: &str = "For a cache (allkeys-lhd: what brings the fewest hits for its bytes leaves)";
/// What it changes.
const PARAMETER: (&str, &str) = ("maxmemory-policy", "allkeys-lhd");
const DESCRIPTION: &str = "Made by Larder: what brings the fewest hits for its bytes leaves first";

/// The group of a family, and whether it has to be made.
pub(super) struct Group {
    pub(super) name: String,
    family: String,
    is_there: bool,
}

/// Its name.
pub(super) fn name(family: &str) -> String {
    format!("larder-cache-{}", family.replace('.', "-"))
}

impl Group {
    /// What makes it; nothing if it is there.
    pub(super) fn calls(&self) -> Vec<Parameters> {
        if self.is_there {
            return Vec::new();
        }
        let make = Parameters::of("CreateCacheParameterGroup")
            .text("CacheParameterGroupName", &self.name)
            .text("CacheParameterGroupFamily", &self.family)
            .text("Description", DESCRIPTION);
        let change = Parameters::of("ModifyCacheParameterGroup")
            .text("CacheParameterGroupName", &self.name)
            .settings(&[PARAMETER]);
        vec![make, change]
    }
}

/// The group for the version that is chosen, if it is wanted.
pub(super) fn of(visit: &Visit<'_>, draft: &Draft) -> Result<Option<Group>, ApiError> {
    if draft.text("parameter_group") != OWN || draft.is_memcached() {
        return Ok(None);
    }
    let versions = Parameters::of("DescribeCacheEngineVersions")
        .text("Engine", draft.engine())
        .text("EngineVersion", draft.text("version"));
    let found = visit.all(versions, "CacheEngineVersions")?;
    let family =
        found.last().map_or("", |version| version.text_at(&["CacheParameterGroupFamily"])).to_owned();
    // A version that is not there is refused with the cache, in the words of the API.
    if family.is_empty() {
        return Ok(None);
    }
    let name = name(&family);
    let there = visit.all(Parameters::of("DescribeCacheParameterGroups"), "CacheParameterGroups")?;
    let is_there = there.iter().any(|group| group.text_at(&["CacheParameterGroupName"]) == name);
    Ok(Some(Group { name, family, is_there }))
}

/// Chooses it for a fresh cache, unless who is signed in may not have it made.
pub(super) fn preselect(visit: &Visit<'_>, draft: &mut Draft) -> Result<(), ApiError> {
    if draft.is_memcached() {
        return Ok(());
    }
    draft.fields.set("parameter_group", OWN);
    let may = of(visit, draft)
        .and_then(|group| visit.rehearse(&group.map_or_else(Vec::new, |group| group.calls())));
    if may.is_err() {
        draft.fields.set("parameter_group", "");
    }
    Ok(())
}
