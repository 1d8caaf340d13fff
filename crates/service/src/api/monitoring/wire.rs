//! The three protocols of CloudWatch: reading a call and writing its answer in each.

use serde::de::DeserializeOwned;

use super::super::CBOR;
use crate::front::query::Form;
use crate::front::{Answer, ApiError, Request, Xml, form_of};

/// Namespace of answers in XML.
const NAMESPACE: &str = "http://monitoring.amazonaws.com/doc/2010-08-01/";
/// What JSON and CBOR call the service.
const SERVICE: &str = "GraniteServiceVersion20100801";
/// Content type of answers in JSON.
const JSON: &str = "application/x-amz-json-1.0";
/// Deepest nesting of an input in CBOR.
const DEPTH_MAX: usize = 32;

/// An answer, before it has a form.
pub(super) enum Value {
    Text(String),
    Number(f64),
    Integer(i64),
    Boolean(bool),
    /// Unix milliseconds.
    Time(u64),
    List(Vec<Value>),
    Structure(Vec<(&'static str, Value)>),
    /// Numbers by names that the caller chose.
    Map(Vec<(String, f64)>),
}

impl Value {
    /// A structure without members.
    pub(super) fn nothing() -> Value {
        Value::Structure(Vec::new())
    }

    /// A list of texts.
    pub(super) fn texts(texts: &[String]) -> Value {
        Value::List(texts.iter().map(|text| Value::Text(text.clone())).collect())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Query,
    Json,
    Cbor,
}

impl Protocol {
    fn of(request: &Request) -> Protocol {
        let header =
            |wanted: &str| request.headers.iter().find(|(name, _)| name == wanted).map(|(_, v)| v.as_str());
        if header("smithy-protocol") == Some("rpc-v2-cbor") || request.path.starts_with("/service/") {
            Protocol::Cbor
        } else if header("x-amz-target").is_some() {
            Protocol::Json
        } else {
            Protocol::Query
        }
    }
}

/// A call: what is asked, and with what.
pub(super) struct Call {
    protocol: Protocol,
    pub(super) action: String,
    input: Input,
}

enum Input {
    Form(Form),
    Json(serde_json::Value),
}

impl Call {
    /// Reads a call.
    pub(super) fn read(request: &Request) -> Result<Call, ApiError> {
        let protocol = Protocol::of(request);
        let unreadable =
            || ApiError::new("SerializationException", "The body of the request cannot be read.");
        let unknown =
            || ApiError::new("InvalidAction", "The request does not name an operation of CloudWatch.");
        let (action, input) = match protocol {
            Protocol::Query => {
                let form = form_of(request)?;
                let action = form.value("Action").filter(|action| !action.is_empty()).map(str::to_owned);
                let missing = || ApiError::new("MissingAction", "The request is missing an action.");
                (action.ok_or_else(missing)?, Input::Form(form))
            }
            Protocol::Json => {
                let target = request.headers.iter().find(|(name, _)| name == "x-amz-target");
                let action = target.and_then(|(_, target)| target.strip_prefix(SERVICE)?.strip_prefix('.'));
                let value = match request.body.as_slice() {
                    b"" => serde_json::json!({}),
                    body => serde_json::from_slice(body).map_err(|_| unreadable())?,
                };
                (action.ok_or_else(unknown)?.to_owned(), Input::Json(value))
            }
            Protocol::Cbor => {
                let path = request.path.strip_prefix("/service/").and_then(|path| path.strip_prefix(SERVICE));
                let action = path.and_then(|path| path.strip_prefix("/operation/")).ok_or_else(unknown)?;
                let value = match request.body.as_slice() {
                    b"" => serde_json::json!({}),
                    body => ciborium::de::from_reader_with_recursion_limit(body, DEPTH_MAX)
                        .ok()
                        .and_then(json_of)
                        .ok_or_else(unreadable)?,
                };
                (action.to_owned(), Input::Json(value))
            }
        };
        Ok(Call { protocol, action, input })
    }

    /// The input of the operation.
    pub(super) fn decode<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        match &self.input {
            Input::Form(form) => form.decode(),
            Input::Json(value) => T::deserialize(value)
                .map_err(|why| ApiError::new("ValidationError", format!("The input is not valid: {why}."))),
        }
    }

    /// Writes the answer.
    pub(super) fn write(&self, value: &Value, has_result: bool, request_id: &str) -> Answer {
        match self.protocol {
            Protocol::Query => {
                let mut xml = Xml::new();
                write_xml(&mut xml, value);
                Answer::xml(200, xml.into_response_of(NAMESPACE, &self.action, request_id, has_result))
            }
            Protocol::Json => Answer::of(200, json(value).to_string().into_bytes(), JSON),
            Protocol::Cbor => Answer::of(200, bytes(&cbor(value)), CBOR),
        }
    }
}

/// The answer for a call that was refused.
pub(super) fn refusal(request: &Request, error: &ApiError, request_id: &str) -> Answer {
    let value = Value::Structure(vec![
        ("__type", Value::Text(format!("com.amazonaws.cloudwatch#{}", error.code))),
        ("message", Value::from(error.message.as_str())),
    ]);
    match Protocol::of(request) {
        Protocol::Query => Answer::xml(error.status, Xml::error_response_of(NAMESPACE, error, request_id)),
        Protocol::Json => Answer::of(error.status, json(&value).to_string().into_bytes(), JSON),
        Protocol::Cbor => Answer::of(error.status, bytes(&cbor(&value)), CBOR),
    }
}

fn write_xml(xml: &mut Xml, value: &Value) {
    let Value::Structure(members) = value else { return };
    for (name, member) in members {
        match member {
            Value::Text(text) => xml.text(name, text),
            Value::Number(number) => xml.number(name, number),
            Value::Integer(number) => xml.number(name, number),
            Value::Boolean(value) => xml.boolean(name, *value),
            Value::Time(ms) => xml.time(name, *ms),
            Value::Structure(_) => xml.element(name, |xml| write_xml(xml, member)),
            Value::Map(entries) => xml.list(name, "entry", entries, |xml, (key, number)| {
                xml.text("key", key).number("value", number);
            }),
            Value::List(items) if items.iter().all(|item| matches!(item, Value::Structure(_))) => {
                xml.list(name, "member", items, write_xml)
            }
            Value::List(items) => xml.element(name, |xml| {
                for item in items {
                    match item {
                        Value::Text(text) => xml.text("member", text),
                        Value::Number(number) => xml.number("member", number),
                        Value::Integer(number) => xml.number("member", number),
                        Value::Boolean(value) => xml.boolean("member", *value),
                        Value::Time(ms) => xml.time("member", *ms),
                        Value::List(_) | Value::Structure(_) | Value::Map(_) => {
                            xml.element("member", |xml| write_xml(xml, item))
                        }
                    };
                }
            }),
        };
    }
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Text(text) => text.as_str().into(),
        Value::Number(number) => (*number).into(),
        Value::Integer(number) => (*number).into(),
        Value::Boolean(value) => (*value).into(),
        Value::Time(ms) => (*ms as f64 / 1000.0).into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Structure(members) => members.iter().map(|(name, member)| (*name, json(member))).collect(),
        Value::Map(entries) => entries.iter().map(|(key, number)| (key.as_str(), *number)).collect(),
    }
}

fn cbor(value: &Value) -> ciborium::Value {
    match value {
        Value::Text(text) => text.as_str().into(),
        Value::Number(number) => (*number).into(),
        Value::Integer(number) => (*number).into(),
        Value::Boolean(value) => (*value).into(),
        // Tag 1: Unix seconds.
        Value::Time(ms) => ciborium::Value::Tag(1, Box::new((*ms as f64 / 1000.0).into())),
        Value::List(items) => ciborium::Value::Array(items.iter().map(cbor).collect()),
        Value::Structure(members) => ciborium::Value::Map(
            members.iter().map(|(name, member)| ((*name).into(), cbor(member))).collect(),
        ),
        Value::Map(entries) => ciborium::Value::Map(
            entries.iter().map(|(key, number)| (key.as_str().into(), (*number).into())).collect(),
        ),
    }
}

fn bytes(value: &ciborium::Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Err(error) = ciborium::into_writer(value, &mut bytes) {
        tracing::error!("an answer was not written: {error}"); // memory does not fail
    }
    bytes
}

/// An input in CBOR as the same in JSON; none for what an input cannot hold. Tags only say that a number is a time.
fn json_of(value: ciborium::Value) -> Option<serde_json::Value> {
    Some(match value {
        ciborium::Value::Null => serde_json::Value::Null,
        ciborium::Value::Bool(value) => value.into(),
        ciborium::Value::Text(text) => text.into(),
        ciborium::Value::Integer(number) => i64::try_from(i128::from(number)).ok()?.into(),
        ciborium::Value::Float(number) => serde_json::Number::from_f64(number)?.into(),
        ciborium::Value::Tag(_, inside) => json_of(*inside)?,
        ciborium::Value::Array(items) => items.into_iter().map(json_of).collect::<Option<Vec<_>>>()?.into(),
        ciborium::Value::Map(members) => {
            let member =
                |(name, value): (ciborium::Value, _)| Some((name.into_text().ok()?, json_of(value)?));
            members.into_iter().map(member).collect::<Option<serde_json::Map<_, _>>>()?.into()
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::front::query::Time;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "PascalCase")]
    struct Sample {
        name: String,
        at: Time,
        threshold: f64,
        #[serde(default)]
        all: Vec<String>,
    }

    fn request(path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Request {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Request { method: "POST".into(), path: path.into(), headers, body, ..Request::default() }
    }

    #[test]
    fn one_input_in_three_protocols() {
        let target = [("x-amz-target", "GraniteServiceVersion20100801.X")];
        let form = b"Action=X&Name=n&At=2026-11-23T14:00:00Z&Threshold=1.5&All.member.1=a".to_vec();
        let json = br#"{"Name":"n","At":1795442400,"Threshold":1.5,"All":["a"]}"#.to_vec();
        let member = |name: &str, value: ciborium::Value| (name.into(), value);
        let at = ciborium::Value::Tag(1, Box::new(1_795_442_400.into()));
        let all = ciborium::Value::Array(vec!["a".into()]);
        let cbor = bytes(&ciborium::Value::Map(vec![
            member("Name", "n".into()),
            member("At", at),
            member("Threshold", 1.5.into()),
            member("All", all),
        ]));
        let path = "/service/GraniteServiceVersion20100801/operation/X";
        for request in [request("/", &[], form), request("/", &target, json), request(path, &[], cbor)] {
            let call = Call::read(&request).unwrap();
            assert_eq!(call.action, "X");
            let expected = Sample {
                name: "n".into(),
                at: Time { unix_ms: 1_795_442_400_000 },
                threshold: 1.5,
                all: vec!["a".into()],
            };
            assert_eq!(call.decode::<Sample>().unwrap(), expected);
        }
    }

    #[test]
    fn bodies_that_cannot_be_read_are_refused() {
        let path = "/service/GraniteServiceVersion20100801/operation/X";
        let deep = [vec![0x81; 1000], vec![0xf6]].concat();
        let huge = vec![0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        for body in [vec![0xff], vec![0xa1], deep, huge] {
            assert_eq!(Call::read(&request(path, &[], body)).err().unwrap().code, "SerializationException");
        }
        let target = [("x-amz-target", "GraniteServiceVersion20100801.X")];
        assert!(Call::read(&request("/", &target, b"{".to_vec())).is_err());
        assert!(Call::read(&request("/", &[("x-amz-target", "Other.X")], b"{}".to_vec())).is_err());
        assert!(Call::read(&request("/service/Other/operation/X", &[], Vec::new())).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_body_gets_an_answer(body in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = Call::read(&request("/service/GraniteServiceVersion20100801/operation/X", &[], body));
        }
    }
}
