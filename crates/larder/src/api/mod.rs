//! The ElastiCache API as a client: one signed call at a time, over plain HTTP to the service.
//!
//! `target` finds the service and the key, `answer` reads its XML.

mod signature;
mod target;

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

pub(crate) use larder_service::front::Element;
use larder_service::front::element;

use crate::arguments::Where;
use crate::failure::{Code, Failure};

pub(crate) use target::{Target, data_dir, service_info, usual_data_dir};

/// Name and version of ElastiCache's API.
const ELASTICACHE: (&str, &str) = ("elasticache", "2015-02-02");
/// Name and version of IAM's API.
const IAM: (&str, &str) = ("iam", "2010-05-08");
/// Largest answer that is read; a page of 100 clusters of 60 nodes is far below.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Longest time that one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How many pages of a list are read at most.
const PAGES_MAX: usize = 1000;

/// A service that can be called.
pub(crate) struct Api {
    target: Target,
    /// Name and version of the API that is spoken.
    service: (&'static str, &'static str),
    runtime: tokio::runtime::Runtime,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Api {
    /// Finds the service; nothing is sent yet.
    pub(crate) fn find(place: &Where) -> Result<Self, Failure> {
        let target = target::find(place)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { target, service: ELASTICACHE, runtime, client })
    }

    /// The same service, for calls of IAM.
    pub(crate) fn iam(self) -> Self {
        Self { service: IAM, ..self }
    }

    /// What a user of the type `iam` shows a cache in the place of a password.
    pub(crate) fn token(&self, cache: &str, user: &str) -> String {
        signature::token(&self.target, cache, user)
    }

    /// Calls `action`; the answer is what stands inside `<ActionResult>`.
    pub(crate) fn call(&self, action: &str, parameters: &[(&str, &str)]) -> Result<Element, Failure> {
        let mut form = format!("Action={action}&Version={}", self.service.1);
        for (name, value) in parameters {
            form.push('&');
            form.push_str(&percent(name));
            form.push('=');
            form.push_str(&percent(value));
        }
        let (status, text) = self.runtime.block_on(self.send(form))?;
        let answer = element::parse(&text).map_err(|_| self.not_an_api(status))?;
        if !status.is_success() {
            return Err(self.refused(&answer));
        }
        let result = format!("{action}Result");
        Ok(answer.children.into_iter().find(|child| child.name == result).unwrap_or_default())
    }

    /// Calls a Describe action until its last page and collects the elements of `list`.
    pub(crate) fn all(
        &self,
        action: &str,
        list: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Vec<Element>, Failure> {
        let mut found = Vec::new();
        let mut marker = String::new();
        for _ in 0..PAGES_MAX {
            let mut asked = parameters.to_vec();
            if !marker.is_empty() {
                asked.push(("Marker", &marker));
            }
            let mut page = self.call(action, &asked)?;
            let next = page.text_at(&["Marker"]).to_owned();
            if let Some(index) = page.children.iter().position(|child| child.name == list) {
                found.append(&mut page.children[index].children);
            }
            if next.is_empty() || next == marker {
                return Ok(found);
            }
            marker = next;
        }
        Err(Failure::failed(format!("{action} has more than {PAGES_MAX} pages")))
    }

    async fn send(&self, form: String) -> Result<(StatusCode, String), Failure> {
        let request = self.signed(form)?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| self.no_answer(&error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| Failure::failed(format!("the answer broke off: {error}")))?;
            Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
        };
        match tokio::time::timeout(CALL_TIMEOUT, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.unreachable(&format!("did not answer within {} s", CALL_TIMEOUT.as_secs()))),
        }
    }

    /// The request with its Signature V4.
    fn signed(&self, form: String) -> Result<Request<Full<Bytes>>, Failure> {
        let authority = self.target.endpoint.strip_prefix("http://").ok_or_else(|| {
            Failure::new(
                Code::WrongUse,
                format!("the endpoint {} does not begin with http://", self.target.endpoint),
            )
            .hint(format!("It comes from {}.", self.target.origin))
        })?;
        let host = authority.split('/').next().unwrap_or(authority);
        let mut request = Request::post(format!("http://{host}/"));
        for (name, value) in signature::headers(&self.target, self.service.0, host, form.as_bytes()) {
            request = request.header(name, value);
        }
        request.body(Full::new(Bytes::from(form))).map_err(|error| {
            Failure::new(Code::WrongUse, format!("the endpoint {} is no URL: {error}", self.target.endpoint))
        })
    }

    fn no_answer(&self, error: &hyper_util::client::legacy::Error) -> Failure {
        if error.is_connect() {
            return self.unreachable("cannot be reached");
        }
        self.unreachable("broke the connection off")
    }

    fn unreachable(&self, what: &str) -> Failure {
        Failure::new(Code::Unreachable, format!("the Larder service at {} {what}", self.target.endpoint))
            .hint(format!(
                "Is it running? Start it: larder up      (this address comes from {})",
                self.target.origin
            ))
    }

    fn not_an_api(&self, status: StatusCode) -> Failure {
        let message =
            format!("{} answered {status}, but not as the ElastiCache API does", self.target.endpoint);
        Failure::new(Code::Unreachable, message)
            .hint(format!("This address comes from {}.", self.target.origin))
    }

    /// An error of the API, with what to do about the ones that a person can mend.
    fn refused(&self, answer: &Element) -> Failure {
        let code = answer.text_at(&["Error", "Code"]);
        let message = crate::terminal::clean(answer.text_at(&["Error", "Message"]));
        let text = if message.is_empty() { code.to_owned() } else { format!("{message} ({code})") };
        match code {
            "InvalidClientTokenId" | "SignatureDoesNotMatch" | "MissingAuthenticationToken" => {
                Failure::new(Code::Denied, text).hint(format!(
                    "The access key (from {}) is not one of this service. Take the right one: eval \"$(larder env)\"",
                    self.target.origin
                ))
            }
            "AccessDenied" => Failure::new(Code::Denied, text),
            "RequestExpired" => Failure::new(Code::Denied, text).hint("Do the clocks of both machines agree?"),
            "CacheClusterNotFound" => Failure::new(Code::NotFound, text).hint("See what there is: larder caches"),
            "ReplicationGroupNotFoundFault" | "SnapshotNotFoundFault" => Failure::new(Code::NotFound, text),
            _ => Failure::failed(text),
        }
    }
}

/// Percent-encoding of everything but letters, digits and `-_.~`.
fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client of a service that has gone: of a port that nobody listens on any more.
    fn api() -> Api {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let info = larder_service::ServiceInfo {
            endpoint: format!("http://127.0.0.1:{port}"),
            console: None,
            region: "us-east-1".into(),
            account: "000000000000".into(),
            access_key_id: "AKIA".into(),
            secret_access_key: "secret".into(),
            default_subnet_id: "subnet-1".into(),
            dns: None,
            dns_zone: String::new(),
            dns_resolves: false,
            dns_probe: None,
            authority: None,
            pid: 1,
        };
        std::fs::write(folder.path().join("service.json"), serde_json::to_string(&info).unwrap()).unwrap();
        Api::find(&Where { data_dir: Some(folder.path().to_owned()) }).unwrap()
    }

    #[test]
    fn a_service_that_is_not_there_is_named_with_what_to_do() {
        let failure = api().call("DescribeCacheClusters", &[]).unwrap_err();
        assert_eq!(failure.code, Code::Unreachable);
        let text = failure.to_string();
        assert!(
            text.contains("http://127.0.0.1:")
                && text.contains("cannot be reached")
                && text.contains("larder up"),
            "{text}"
        );
    }

    #[test]
    fn errors_of_the_api_have_their_exit_codes() {
        let answer = |code: &str| {
            let text = format!("<E><Error><Code>{code}</Code><Message>no</Message></Error></E>");
            api().refused(&element::parse(&text).unwrap())
        };
        assert_eq!(answer("CacheClusterNotFound").code, Code::NotFound);
        assert_eq!(answer("SignatureDoesNotMatch").code, Code::Denied);
        assert_eq!(answer("InvalidParameterValue").to_string(), "no (InvalidParameterValue)");
    }

    #[test]
    fn forms_are_percent_encoded() {
        assert_eq!(percent("a b/ü~"), "a%20b%2F%C3%BC~");
    }
}
