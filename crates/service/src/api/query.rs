//! The frame of APIs that speak the Query protocol: find the action, decode its input, ask for permission, run.

use serde::de::DeserializeOwned;

use crate::front::query::Form;
use crate::front::{ApiError, Xml};
use crate::identity::policy::Context;
use crate::identity::{Asked, authorise};
use crate::operation::{App, Caller};

/// The typed input of an operation.
pub(super) trait Input: DeserializeOwned {
    /// ARNs of the resources that the call acts on; none means no resource in particular.
    fn resources(&self, _app: &App, _caller: &Caller) -> Result<Vec<String>, ApiError> {
        Ok(Vec::new())
    }

    /// Condition keys that the input gives.
    fn context(&self) -> Context {
        Context::default()
    }

    /// Tags of a resource that is there.
    fn tags_of(_app: &App, _arn: &str) -> Result<Vec<(String, String)>, ApiError> {
        Ok(Vec::new())
    }
}

/// An action of an API.
pub(super) struct Action {
    pub(super) name: &'static str,
    /// Whether the answer has a result element.
    pub(super) result: bool,
    pub(super) run: fn(&App, &Caller, &Form) -> Result<Xml, ApiError>,
}

/// The steps that every operation shares.
pub(super) fn checked<I: Input>(
    action: &str,
    input: I,
    app: &App,
    caller: &Caller,
    run: fn(&App, &Caller, I) -> Result<Xml, ApiError>,
) -> Result<Xml, ApiError> {
    let resources = input.resources(app, caller)?;
    let tags_of = |arn: &str| I::tags_of(app, arn);
    let context = input.context();
    authorise(app, caller, Asked { action, resources: &resources, context, tags_of: &tags_of })?;
    run(app, caller, input)
}

/// The action that a form names.
pub(super) fn find<'a>(actions: &'a [Action], form: &Form) -> Result<&'a Action, ApiError> {
    let name = form.value("Action").filter(|name| !name.is_empty());
    let missing =
        || ApiError::new("MissingAction", "The request is missing an action or a required parameter.");
    let name = name.ok_or_else(missing)?;
    actions.iter().find(|action| action.name == name).ok_or_else(|| {
        let shown: String = name.chars().take(128).collect();
        ApiError::new("InvalidAction", format!("The action {shown} is not valid for this web service."))
    })
}

/// Cuts a list that is ordered by name into a page. Answers the page and the marker of the next one.
pub(super) fn page<T>(
    items: Vec<T>,
    marker: Option<&str>,
    most: Option<usize>,
    name: impl Fn(&T) -> String,
) -> (Vec<T>, Option<String>) {
    const PAGE_MAX: usize = 1_000;
    let most = most.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let mut rest = items.into_iter().filter(|item| marker.is_none_or(|marker| name(item).as_str() > marker));
    let page: Vec<T> = rest.by_ref().take(most).collect();
    let next = rest.next().and(page.last()).map(name);
    (page, next)
}
