//! The frame around every operation: find it, decode its input, name its resource, ask whether the caller may, run.

use serde::de::DeserializeOwned;

use super::{App, Caller, access, table};
use crate::front::query::Form;
use crate::front::{ApiError, Xml};
use crate::resource::arn::Arn;

/// The typed input of an operation.
pub trait Input: DeserializeOwned {
    /// ARN of the resource that the call acts on, as IAM policies name it. Operations that act on none in
    /// particular answer `Ok(None)`, which policies see as `*`.
    ///
    /// # Errors
    /// Only if the input holds an ARN that is none.
    fn resource(&self, _caller: &Caller) -> Result<Option<Arn>, ApiError> {
        Ok(None)
    }

    /// ARNs of all resources that the call acts on: policies must allow each. The one above, as a rule; what other
    /// parameters name is added by the frame (see `access`), so only inputs whose own resources are several say more.
    ///
    /// # Errors
    /// Only if the input holds an ARN that is none.
    fn resources(&self, caller: &Caller) -> Result<Vec<Arn>, ApiError> {
        Ok(self.resource(caller)?.into_iter().collect())
    }
}

/// One action of the API.
pub struct Operation {
    /// Name of the action.
    pub name: &'static str,
    /// Whether the answer has a `{name}Result` element; three operations have none.
    pub result: bool,
    /// What it does; none while nobody has built it.
    pub run: Option<Run>,
}

/// Decodes, authorises and runs one operation.
pub type Run = fn(&App, &Caller, &Form) -> Result<Xml, ApiError>;

/// The steps that every operation shares; the table instantiates this per operation.
pub(super) fn checked<I: Input>(
    action: &'static str,
    app: &App,
    caller: &Caller,
    form: &Form,
    run: fn(&App, &Caller, I) -> Result<Xml, ApiError>,
) -> Result<Xml, ApiError> {
    let input: I = form.decode()?;
    access::check(app, caller, action, input.resources(caller)?, form)?;
    run(app, caller, input)
}

/// Runs the action that the form names, and answers the whole XML text for `request_id`. May block on the disk.
///
/// # Errors
/// `MissingAction`, `InvalidAction`, or whatever the operation refuses.
pub fn perform(app: &App, caller: &Caller, form: &Form, request_id: &str) -> Result<String, ApiError> {
    let Some(action) = form.value("Action").filter(|action| !action.is_empty()) else {
        return Err(ApiError::new(
            "MissingAction",
            "The request is missing an action or a required parameter.",
        ));
    };
    let operation = table::find(action);
    let Some((operation, run)) = operation.and_then(|operation| Some((operation, operation.run?))) else {
        return Err(invalid_action(action));
    };
    Ok(run(app, caller, form)?.into_response(operation.name, request_id, operation.result))
}

fn invalid_action(action: &str) -> ApiError {
    const SHOWN_MAX: usize = 128;
    let shown: String = action.chars().take(SHOWN_MAX).collect();
    ApiError::new("InvalidAction", format!("The action {shown} is not valid for this web service."))
}
