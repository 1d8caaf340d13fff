//! A server that speaks the protocol of SNS.

use std::fmt;
use std::time::Duration;

use reqwest::{Client, Url, header, redirect};

use super::{Failure, Topics};
use crate::identity::{Credentials, Scope, Unsigned, sign};
use crate::operation::system_clock;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a call may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of an answer is told.
const SHOWN_CHARS_MAX: usize = 200;
/// Version of SNS's API.
const VERSION: &str = "2010-03-31";
const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// Where topics are, and who publishes there.
#[derive(Clone)]
pub struct SnsConfig {
    /// URL of the server.
    pub endpoint: String,
    /// Access key and its secret; without them calls are signed with the service's own.
    pub key: Option<(String, String)>,
}

impl fmt::Debug for SnsConfig {
    /// Never shows the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key.as_ref().map(|(id, _)| id);
        f.debug_struct("SnsConfig")
            .field("endpoint", &self.endpoint)
            .field("key", &key)
            .finish_non_exhaustive()
    }
}

/// The topics of a server.
pub struct Sns {
    client: Client,
    url: Url,
    host: String,
    region: String,
    credentials: Credentials,
}

impl Sns {
    /// The topics of this server; `own` signs where the configuration names no key.
    ///
    /// # Errors
    /// If the endpoint is not one.
    pub fn new(config: &SnsConfig, region: &str, own: Credentials) -> Result<Sns, String> {
        let wrong =
            |why: &dyn fmt::Display| format!("{:?} is not the endpoint of a server: {why}", config.endpoint);
        let url = Url::parse(&config.endpoint).map_err(|error| wrong(&error))?;
        let name = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https"));
        let name = name.ok_or_else(|| wrong(&"it must begin with http:// or https://"))?;
        if url.query().is_some() || !url.username().is_empty() {
            return Err(wrong(&"it must have neither a query nor a user"));
        }
        let host = url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| wrong(&error))?;
        let credentials = match &config.key {
            Some((id, secret)) => {
                Credentials { access_key_id: id.clone(), secret_access_key: secret.clone() }
            }
            None => own,
        };
        Ok(Sns { client, url, host, region: region.to_owned(), credentials })
    }
}

impl Topics for Sns {
    async fn publish(&self, arn: &str, message: &str) -> Result<(), Failure> {
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("Action", "Publish")
            .append_pair("Version", VERSION)
            .append_pair("TopicArn", arn)
            .append_pair("Message", message)
            .finish();
        let unsigned = Unsigned {
            method: "POST",
            host: &self.host,
            path: self.url.path(),
            query: &[],
            content_type: Some(CONTENT_TYPE),
            body: body.as_bytes(),
        };
        let scope = Scope { region: &self.region, service: "sns" };
        let headers = sign(&self.credentials, scope, unsigned, system_clock());
        let mut request = self.client.post(self.url.clone());
        // The client writes Host itself, as it was signed.
        for (name, value) in headers.iter().filter(|(name, _)| name != header::HOST.as_str()) {
            request = request.header(name, value);
        }
        let answer = request.body(body).send().await.map_err(|error| Failure::Failed(told(&error)))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        // Too many calls, or none of ours: later it may be taken. Anything else that is refused stays refused.
        let is_final = status.is_client_error() && status.as_u16() != 429;
        let text = answer.text().await.unwrap_or_default();
        let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let why = format!("{status} {}", text.chars().take(SHOWN_CHARS_MAX).collect::<String>());
        Err(if is_final { Failure::Refused(why) } else { Failure::Failed(why) })
    }
}

/// An error with what caused it.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_url() {
        let own = || Credentials { access_key_id: "a".into(), secret_access_key: "b".into() };
        let made = |endpoint: &str| {
            Sns::new(&SnsConfig { endpoint: endpoint.to_owned(), key: None }, "us-east-1", own())
        };
        assert_eq!(made("http://127.0.0.1:5000").unwrap().host, "127.0.0.1:5000");
        for wrong in ["", "127.0.0.1:5000", "ftp://a", "http://a?b=c", "http://user@a"] {
            assert!(made(wrong).is_err(), "{wrong}");
        }
    }
}
