//! The parameters that a cache runs with: those of its parameter group.

use askama::Template;

use crate::console::cache::{self, Cache, Sort};
use crate::console::parameters::Parameters;
use crate::console::visit::{Frame, Visit, html};
use crate::front::{Answer, ApiError};
use crate::resource::parameter::allowed_for_people;

struct Parameter {
    name: String,
    value: String,
    is_changed: bool,
    allowed: String,
    description: String,
}

#[derive(Template)]
#[template(path = "page/parameter_list.html")]
struct Page {
    frame: Frame,
    tab: &'static str,
    cache: Cache,
    parameters: Vec<Parameter>,
}

/// The page.
pub(in crate::console) fn page(visit: &Visit<'_>, sort: Sort, id: &str) -> Result<Answer, ApiError> {
    let cache = cache::find(visit, sort, id)?;
    let call =
        Parameters::of("DescribeCacheParameters").text("CacheParameterGroupName", &cache.parameter_group);
    let parameters = visit.all(call, "Parameters")?;
    let parameters = parameters.iter().map(|parameter| Parameter {
        name: parameter.text_at(&["ParameterName"]).to_owned(),
        value: parameter.text_at(&["ParameterValue"]).to_owned(),
        is_changed: parameter.text_at(&["Source"]) == "user",
        allowed: allowed_for_people(
            parameter.text_at(&["ParameterName"]),
            parameter.text_at(&["AllowedValues"]),
        ),
        description: parameter.text_at(&["Description"]).to_owned(),
    });
    let parameters = parameters.collect();
    let frame = visit.frame("caches", format!("Parameters of {}", cache.id));
    Ok(html(200, &Page { frame, tab: "/parameters", cache, parameters }))
}
