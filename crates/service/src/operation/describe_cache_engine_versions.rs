//! DescribeCacheEngineVersions.

use serde::Deserialize;

use super::{App, Caller, Input, Paging};
use crate::front::{ApiError, Xml};
use crate::resource::engine_version::{EngineVersion, VERSIONS};

/// The parameters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeCacheEngineVersions {
    engine: Option<String>,
    engine_version: Option<String>,
    cache_parameter_group_family: Option<String>,
    default_only: Option<bool>,
    max_records: Option<i64>,
    marker: Option<String>,
}

impl Input for DescribeCacheEngineVersions {}

/// Answers the versions that fit all that is asked for; what fits nothing gets an empty list.
pub(super) fn run(_app: &App, _caller: &Caller, input: DescribeCacheEngineVersions) -> Result<Xml, ApiError> {
    let paging = Paging::new(input.marker.as_deref(), input.max_records)?;
    let fits = |wanted: &Option<String>, value: &str| {
        wanted.as_ref().is_none_or(|wanted| wanted.is_empty() || wanted.eq_ignore_ascii_case(value))
    };
    let mut versions: Vec<&EngineVersion> = VERSIONS
        .iter()
        .filter(|v| fits(&input.engine, v.engine) && fits(&input.engine_version, v.version))
        .filter(|v| fits(&input.cache_parameter_group_family, v.family))
        .collect();
    if input.default_only == Some(true) {
        versions = defaults(&versions);
    }
    let numbered = versions.into_iter().enumerate();
    let page = paging.cut(numbered, |(number, _)| format!("{number:06}"));
    let mut xml = Xml::new();
    page.write_marker(&mut xml);
    xml.list("CacheEngineVersions", "CacheEngineVersion", page.items, |xml, (_, version)| {
        write(xml, version)
    });
    Ok(xml)
}

/// Of each engine its default version or, if that was filtered out, the newest of the others.
fn defaults<'a>(versions: &[&'a EngineVersion]) -> Vec<&'a EngineVersion> {
    let of_engine = |engine: &str| {
        let mut own = versions.iter().copied().filter(|version| version.engine == engine);
        own.clone().find(|version| version.default).or_else(|| own.next_back())
    };
    ["memcached", "redis", "valkey"].into_iter().filter_map(of_engine).collect()
}

fn write(xml: &mut Xml, version: &EngineVersion) {
    xml.text("Engine", version.engine)
        .text("EngineVersion", version.version)
        .text("CacheParameterGroupFamily", version.family)
        .text("CacheEngineDescription", version.engine_description())
        .text("CacheEngineVersionDescription", &version.description());
}
