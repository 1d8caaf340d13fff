//! CloudWatch.

use crate::front::{Answer, ApiError, Request};
use crate::operation::{App, Caller};

pub(super) fn answer(
    _app: &App,
    _caller: &Caller,
    _request: &Request,
    _id: &str,
) -> Result<Answer, ApiError> {
    Err(ApiError::new("InvalidAction", "none"))
}

pub(super) fn refusal(_request: &Request, error: &ApiError, request_id: &str) -> Answer {
    Answer::refusal(error, request_id)
}
