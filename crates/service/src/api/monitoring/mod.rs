//! CloudWatch, version 2010-08-01: the metrics of ElastiCache, and alarms on them.
//!
//! Clients speak three protocols, by their age: Query with XML, JSON 1.0, and Smithy RPC v2 with CBOR. An operation
//! knows none of them: it takes a typed input and answers a [`Value`], which `wire` reads and writes in each.

mod alarm;
mod data;
mod list;
mod tag;
mod wire;

use serde::de::DeserializeOwned;

use self::wire::{Call, Value};
use crate::front::{Answer, ApiError, Request};
use crate::identity::authorise_plain;
use crate::operation::{App, Caller};

/// What an operation is given: its action, and its input in whatever form it came.
type Run = fn(&App, &Caller, &Call) -> Result<Value, ApiError>;

/// Asks for permission, and runs.
fn checked<I: DeserializeOwned>(
    app: &App,
    caller: &Caller,
    call: &Call,
    resources: fn(&Caller, &I) -> Vec<String>,
    run: fn(&App, &Caller, I) -> Result<Value, ApiError>,
) -> Result<Value, ApiError> {
    let input: I = call.decode()?;
    authorise_plain(app, caller, &format!("cloudwatch:{}", call.action), &resources(caller, &input))?;
    run(app, caller, input)
}

/// Of operations that act on no resource in particular.
fn nothing<I>(_: &Caller, _: &I) -> Vec<String> {
    Vec::new()
}

/// Operations with whether their answer has members at all.
const ACTIONS: &[(&str, bool, Run)] = &[
    ("DeleteAlarms", false, |a, c, i| checked(a, c, i, alarm::Names::arns, alarm::delete)),
    ("DescribeAlarms", true, |a, c, i| checked(a, c, i, nothing, alarm::describe)),
    ("DescribeAlarmsForMetric", true, |a, c, i| checked(a, c, i, nothing, alarm::for_metric)),
    ("DisableAlarmActions", false, |a, c, i| checked(a, c, i, alarm::Names::arns, alarm::disable)),
    ("EnableAlarmActions", false, |a, c, i| checked(a, c, i, alarm::Names::arns, alarm::enable)),
    ("GetMetricData", true, |a, c, i| checked(a, c, i, nothing, data::get)),
    ("GetMetricStatistics", true, |a, c, i| checked(a, c, i, nothing, data::statistics)),
    ("ListMetrics", true, |a, c, i| checked(a, c, i, nothing, list::run)),
    ("ListTagsForResource", true, |a, c, i| checked(a, c, i, tag::OfResource::arns, tag::list)),
    ("PutCompositeAlarm", false, composite),
    ("PutMetricAlarm", false, |a, c, i| checked(a, c, i, alarm::PutMetricAlarm::arns, alarm::put)),
    ("SetAlarmState", false, |a, c, i| checked(a, c, i, alarm::SetAlarmState::arns, alarm::set_state)),
    ("TagResource", true, |a, c, i| checked(a, c, i, tag::OfResource::arns, tag::add)),
    ("UntagResource", true, |a, c, i| checked(a, c, i, tag::OfResource::arns, tag::remove)),
];

/// Composite alarms are not built.
fn composite(_: &App, _: &Caller, _: &Call) -> Result<Value, ApiError> {
    Err(invalid("Composite alarms are not available in this version of the service."))
}

/// Answers a call.
pub(super) fn answer(
    app: &App,
    caller: &Caller,
    request: &Request,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let call = Call::read(request)?;
    let (_, has_result, run) = ACTIONS.iter().find(|(name, ..)| *name == call.action).ok_or_else(|| {
        let shown: String = call.action.chars().take(128).collect();
        ApiError::new("InvalidAction", format!("The action {shown} is not valid for this web service."))
    })?;
    let value = run(app, caller, &call)?;
    Ok(call.write(&value, *has_result, request_id))
}

/// The answer for a call that was refused, in the protocol of the call.
pub(super) fn refusal(request: &Request, error: &ApiError, request_id: &str) -> Answer {
    wire::refusal(request, error, request_id)
}

/// ARN of an alarm.
fn alarm_arn(caller: &Caller, name: &str) -> String {
    format!("arn:aws:cloudwatch:{}:{}:alarm:{name}", caller.region, caller.account)
}

/// The error for a bad value.
fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationError", message)
}
