//! Forms of the AWS Query protocol: any bytes give a tree or an error, and any tree a value or an error.

use larder_service::front::query::{Form, Time};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(dead_code)] // only whether it can be decoded matters
struct Everything {
    name: Option<String>,
    max_records: Option<i64>,
    port: Option<u16>,
    apply_immediately: Option<bool>,
    start_time: Option<Time>,
    source: Option<Source>,
    #[serde(default)]
    subnet_ids: Vec<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(dead_code)]
struct Tag {
    key: String,
    value: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Source {
    User,
    EngineDefault,
}

/// Reads the input and asserts what must hold of it.
pub fn run(bytes: &[u8]) {
    if let Ok(form) = Form::parse(&[bytes])
        && let Err(error) = form.decode::<Everything>()
    {
        assert!(error.status < 500 && error.message.len() < 4096, "{error}");
    }
}
