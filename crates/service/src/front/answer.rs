//! One request, one answer, without I/O of its own but the record store: everything of a call but the socket.

use std::net::IpAddr;

use super::query::{Form, decode_pairs};
use super::{ApiError, Xml};
use crate::api::Api;
use crate::identity::{SignedRequest, Verified, verify};
use crate::operation::{App, Caller, perform};

/// A request as it came, read whole.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Method.
    pub method: String,
    /// Path of the request line.
    pub path: String,
    /// What stood after the question mark.
    pub query: String,
    /// Headers, names in lower case, in the order in which they came.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
    /// Where it came from.
    pub source: Option<IpAddr>,
}

/// Content type of all answers of the API.
const XML: &str = "text/xml";

/// An answer. The request id stands in it and belongs into a header, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Text, XML as a rule.
    pub body: Vec<u8>,
    /// What the text is.
    pub content_type: &'static str,
    /// Headers besides those that every answer has.
    pub headers: Vec<(&'static str, String)>,
}

/// Answers a request. May block on the disk.
pub fn answer(app: &App, request: &Request, request_id: &str) -> Answer {
    if request.method == "GET" && request.path == "/metrics" {
        return metrics(app, request, request_id);
    }
    match try_answer(app, request, request_id) {
        Ok(answer) => answer,
        Err(error) => {
            tracing::debug!(code = error.code, request_id, "refused");
            Api::claimed(request).refusal(request, error, request_id)
        }
    }
}

/// The latest metrics for Prometheus, which cannot sign its calls: programs on this machine may read them, nobody
/// else. They tell names of caches and what these count, and nothing of what is in them.
fn metrics(app: &App, request: &Request, request_id: &str) -> Answer {
    if !request.source.is_some_and(|source| source.is_loopback()) {
        let error = ApiError::new("AccessDenied", "Metrics are for programs on the service's own machine.");
        return Answer::refusal(&error, request_id);
    }
    match crate::metric::prometheus(app.records.as_ref(), &app.metrics, app.now_ms()) {
        Ok(mut text) => {
            text.extend(app.notifications.as_deref().map(crate::metric::notifications));
            Answer::of(200, text.into_bytes(), "text/plain; version=0.0.4; charset=utf-8")
        }
        Err(error) => Answer::refusal(&ApiError::from(error), request_id),
    }
}

impl Request {
    /// The value of the first header of that name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Answer {
    /// The answer for a call that was refused.
    pub fn refusal(error: &ApiError, request_id: &str) -> Answer {
        Answer::xml(error.status, Xml::error_response(error, request_id))
    }

    /// An answer in XML.
    pub fn xml(status: u16, text: String) -> Answer {
        Answer::of(status, text.into_bytes(), XML)
    }

    /// An answer with no more headers than every one has.
    pub fn of(status: u16, body: Vec<u8>, content_type: &'static str) -> Answer {
        Answer { status, body, content_type, headers: Vec::new() }
    }
}

fn try_answer(app: &App, request: &Request, request_id: &str) -> Result<Answer, ApiError> {
    if !matches!(request.method.as_str(), "GET" | "POST") {
        return Err(ApiError::new("MethodNotAllowed", "The API takes GET and POST requests."));
    }
    let query = decode_pairs(request.query.as_bytes())?;
    let verified = authenticate(app, request, &query)?;
    match Api::of(&verified.service) {
        Some(Api::ElastiCache) => Ok(Answer::xml(200, elasticache(app, request, verified, request_id)?)),
        Some(api) => api.answer(app, &caller(verified, request.source), request, request_id),
        None => Err(other_service(&verified.service)),
    }
}

/// Who calls. Nothing else of the request is believed before this.
fn authenticate(app: &App, request: &Request, query: &[(String, String)]) -> Result<Verified, ApiError> {
    let signed = SignedRequest {
        method: &request.method,
        path: &request.path,
        query,
        headers: &request.headers,
        body: &request.body,
    };
    verify(signed, &app.region, app.now_ms(), |id| app.access_key(id).map_err(ApiError::from))
}

fn elasticache(
    app: &App,
    request: &Request,
    verified: Verified,
    request_id: &str,
) -> Result<String, ApiError> {
    let form = form_of(request)?;
    perform(app, &caller(verified, request.source), &form, request_id)
}

/// The parameters of a call in the Query protocol.
pub(crate) fn form_of(request: &Request) -> Result<Form, ApiError> {
    if request.path != "/" {
        return Err(ApiError::new("InvalidAction", "The API answers at the path / only."));
    }
    let body: &[u8] = if request.method == "POST" { form_body(request)? } else { b"" };
    Form::parse(&[request.query.as_bytes(), body])
}

fn form_body(request: &Request) -> Result<&[u8], ApiError> {
    let content_type = request.headers.iter().find(|(name, _)| name == "content-type");
    let is_form = content_type.is_none_or(|(_, value)| {
        let media = value.split(';').next().unwrap_or_default().trim();
        media.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    });
    if is_form || request.body.is_empty() {
        return Ok(&request.body);
    }
    Err(ApiError::new(
        "InvalidQueryParameter",
        "The body must be of the content type application/x-www-form-urlencoded.",
    ))
}

fn caller(verified: Verified, source: Option<IpAddr>) -> Caller {
    Caller::of(verified, source)
}

fn other_service(service: &str) -> ApiError {
    let shown: String = service.chars().take(64).collect();
    ApiError::new(
        "SignatureDoesNotMatch",
        format!(
            "Credential should be scoped to correct service: 'elasticache'. This endpoint does not serve '{shown}'."
        ),
    )
}
