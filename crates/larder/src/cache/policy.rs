//! What `larder create` makes a cache by, where nobody names a parameter group: when memory is full, what brings the fewest hits
//! for its bytes leaves (`allkeys-lhd`). ElastiCache's own default, `volatile-lru`, keeps keys without a time to live for ever
//! and refuses writes when there is nothing else.

use crate::api::Api;
use crate::arguments::Engine;
use crate::failure::{Code, Failure};

use super::create::engine_name;

/// Beginning of the names of the groups; the family follows.
const NAME: &str = "larder-cache";
/// What they say.
const PARAMETER: (&str, &str) = ("maxmemory-policy", "allkeys-lhd");
const DESCRIPTION: &str = "Made by Larder: what brings the fewest hits for its bytes leaves first";

/// The group for new caches of an engine and version, made if it is not there. None for memcached, whose default does the same,
/// and for who may not make one.
pub(super) fn group(api: &Api, engine: Engine, version: Option<&str>) -> Result<Option<String>, Failure> {
    if engine == Engine::Memcached {
        return Ok(None);
    }
    let mut asked = vec![("Engine", engine_name(engine))];
    asked.push(version.map_or(("DefaultOnly", "true"), |version| ("EngineVersion", version)));
    let versions = api.all("DescribeCacheEngineVersions", "CacheEngineVersions", &asked)?;
    let family = versions.last().map(|version| version.text_at(&["CacheParameterGroupFamily"]).to_owned());
    // A version that is not there is refused when the cache is made, in the words of the API.
    let Some(family) = family.filter(|family| !family.is_empty()) else { return Ok(None) };
    let name = format!("{NAME}-{}", family.replace('.', "-"));
    let there = api
        .all("DescribeCacheParameterGroups", "CacheParameterGroups", &[])
        .map(|groups| groups.iter().any(|group| group.text_at(&["CacheParameterGroupName"]) == name));
    match there.and_then(|there| if there { Ok(()) } else { make(api, &name, &family) }) {
        Ok(()) => Ok(Some(name)),
        Err(failure) => allowed(failure),
    }
}

fn make(api: &Api, name: &str, family: &str) -> Result<(), Failure> {
    let group = [
        ("CacheParameterGroupName", name),
        ("CacheParameterGroupFamily", family),
        ("Description", DESCRIPTION),
    ];
    api.call("CreateCacheParameterGroup", &group)?;
    let change = [
        ("CacheParameterGroupName", name),
        ("ParameterNameValues.ParameterNameValue.1.ParameterName", PARAMETER.0),
        ("ParameterNameValues.ParameterNameValue.1.ParameterValue", PARAMETER.1),
    ];
    api.call("ModifyCacheParameterGroup", &change).map(|_| ())
}

/// Who may make caches and no parameter groups gets the default one, and hears of it.
fn allowed(failure: Failure) -> Result<Option<String>, Failure> {
    if failure.code != Code::Denied {
        return Err(failure);
    }
    eprintln!("larder: the cache takes the default parameters (volatile-lru): {failure}");
    Ok(None)
}
