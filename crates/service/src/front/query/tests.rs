//! The decoder against the forms that SDKs send, and against hostile ones.

use serde::Deserialize;

use super::form::{DEPTH_MAX, PARAMETERS_MAX, VALUE_BYTES_MAX};
use super::{Form, Time};
use crate::front::ApiError;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct Sample {
    name: String,
    count: Option<u16>,
    on: Option<bool>,
    at: Option<Time>,
    subnet_ids: Option<Vec<String>>,
    tags: Option<Vec<Tag>>,
    kind: Option<Kind>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    value: Option<String>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    SingleAz,
    CrossAz,
}

fn decode(form: &str) -> Result<Sample, ApiError> {
    Form::parse(&[form.as_bytes()])?.decode()
}

#[track_caller]
fn refused(form: &str, code: &str, part_of_message: &str) {
    let error = decode(form).unwrap_err();
    assert_eq!(error.code, code, "{error}");
    assert!(error.message.contains(part_of_message), "{error}");
}

#[test]
fn all_shapes() {
    let form = "Name=a%20b+c&Count=60&On=TRUE&At=2026-11-23T02%3A00%3A00.5%2B01:00&SubnetIds.SubnetIdentifier.7=y\
                &SubnetIds.SubnetIdentifier.2=x&Tags.Tag.1.Key=k&Tags.Tag.10.Key=z&Tags.Tag.1.Value=&Kind=cross-az\
                &Action=Whatever&Unknown.member.1=ignored";
    let tag = |key: &str, value: Option<&str>| Tag { key: key.to_owned(), value: value.map(str::to_owned) };
    assert_eq!(
        decode(form).unwrap(),
        Sample {
            name: "a b c".to_owned(),
            count: Some(60),
            on: Some(true),
            at: Some(Time { unix_ms: 1_795_395_600_500 }),
            subnet_ids: Some(vec!["x".to_owned(), "y".to_owned()]),
            tags: Some(vec![tag("k", Some("")), tag("z", None)]),
            kind: Some(Kind::CrossAz),
        }
    );
}

#[test]
fn lists_may_be_empty_absent_or_of_members() {
    assert_eq!(decode("Name=n&SubnetIds=").unwrap().subnet_ids, Some(vec![]));
    assert_eq!(decode("Name=n").unwrap().subnet_ids, None);
    assert_eq!(decode("Name=n&SubnetIds.member.1=s").unwrap().subnet_ids, Some(vec!["s".to_owned()]));
}

#[test]
fn refusals_name_the_parameter() {
    refused("Count=1", "MissingParameter", "must contain the parameter Name");
    refused("Name=n&Tags.Tag.3.Value=v", "MissingParameter", "Tags.Tag.3.Key");
    refused("Name=n&Count=1e3", "InvalidParameterValue", "Count");
    refused("Name=n&Count=65536", "InvalidParameterValue", "Count");
    refused("Name=n&Count=", "InvalidParameterValue", "Count");
    refused("Name=n&On=yes", "InvalidParameterValue", "On: it must be true or false");
    refused("Name=n&At=yesterday", "InvalidParameterValue", "At: it is not an ISO 8601 time");
    refused("Name=n&At=1900-01-01T00:00:00Z", "InvalidParameterValue", "At");
    refused("Name=n&Kind=both", "InvalidParameterValue", "valid values are single-az, cross-az");
    refused("Name=n&SubnetIds=x", "InvalidQueryParameter", "SubnetIds is not valid: it is a list");
    refused("Name=n&SubnetIds.Subnet.1=x", "InvalidQueryParameter", "SubnetIds.Subnet");
    refused("Name=n&SubnetIds.1=x", "InvalidQueryParameter", "SubnetIds");
    refused(
        "Name=n&SubnetIds.member.1=x&SubnetIds.SubnetIdentifier.1=y",
        "InvalidQueryParameter",
        "SubnetIds",
    );
    for number in ["0", "01", "-1", "+1", "x", "99999999999"] {
        refused(&format!("Name=n&SubnetIds.member.{number}=x"), "InvalidQueryParameter", "numbered from 1");
    }
    refused("Name.X=n", "InvalidQueryParameter", "Name");
    refused("Name=n&Tags.Tag.1=x", "InvalidQueryParameter", "Tags.Tag.1");
}

#[test]
fn duplicates_are_refused() {
    refused("Name=a&Name=a", "MalformedQueryString", "Name is given more than once");
    refused("Name=a&Name.X=b", "MalformedQueryString", "Name.X");
    refused("Name.X=a&Name=b", "MalformedQueryString", "Name");
    let error = Form::parse(&[b"Name=a", b"Name=b"]).unwrap_err();
    assert_eq!(error.code, "MalformedQueryString");
}

#[test]
fn broken_text_is_refused() {
    for form in [
        "Name=%", "Name=%4", "Name=%zz", "Name=%+1", "Name=%ff", "%c3=1", "=1", ".=1", "A.=1", ".A=1",
        "A..B=1",
    ] {
        refused(form, "MalformedQueryString", "");
    }
    assert_eq!(Form::parse(&[b"\xff=1"]).unwrap_err().code, "MalformedQueryString");
}

#[test]
fn bounds() {
    let deep = ["A"; DEPTH_MAX].join(".");
    assert!(Form::parse(&[format!("{deep}=1").as_bytes()]).is_ok());
    refused(&format!("{deep}.A=1"), "MalformedQueryString", "nested deeper");
    refused(&format!("{}=1", "A.".repeat(300_000)), "MalformedQueryString", "longer than");
    let long = "x".repeat(VALUE_BYTES_MAX);
    assert!(decode(&format!("Name={long}")).is_ok());
    refused(&format!("Name={long}x"), "InvalidParameterValue", "Name is longer than");
    let many: Vec<String> = (0..PARAMETERS_MAX).map(|n| format!("P{n}=")).collect();
    assert!(Form::parse(&[many.join("&").as_bytes()]).is_ok());
    refused(&format!("{}&Name=n", many.join("&")), "MalformedQueryString", "more than 5000 parameters");
    assert!(Form::parse(&["&".repeat(1 << 20).as_bytes()]).is_ok());
}

proptest::proptest! {
    #[test]
    fn any_bytes_give_an_answer(bytes: Vec<u8>) {
        let _ = Form::parse(&[&bytes]).and_then(|form| form.decode::<Sample>());
    }

    #[test]
    fn what_looks_like_a_form_gives_an_answer(form in "([A-C]|Tags|Tag|Name|member|[0-2]|\\.|=|&|%4|%41|\\+){0,40}") {
        let _ = decode(&form);
    }

    #[test]
    fn text_survives_the_form(name in "\\PC*") {
        let form = form_urlencoded::Serializer::new(String::new()).append_pair("Name", &name).finish();
        proptest::prop_assert_eq!(decode(&form).unwrap().name, name);
    }
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct Flat {
    vpc_id: Vec<String>,
    #[serde(default)]
    filter: Vec<FlatFilter>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase")]
struct FlatFilter {
    name: String,
    value: Vec<String>,
}

#[test]
fn lists_of_ec2_are_numbered_without_a_name() {
    let read = |text: &str| Form::parse(&[text.as_bytes()])?.decode_flat::<Flat>();
    let flat = read("VpcId.2=b&VpcId.1=a&Filter.1.Name=n&Filter.1.Value.1=x&Filter.1.Value.2=y").unwrap();
    assert_eq!(flat.vpc_id, ["a", "b"]);
    assert_eq!(flat.filter, [FlatFilter { name: "n".into(), value: vec!["x".into(), "y".into()] }]);
    for (text, code, path) in [
        ("VpcId.0=a", "InvalidQueryParameter", "VpcId.0"),
        ("VpcId.1=a&Filter.1.Name=n", "MissingParameter", "Filter.1.Value"),
        ("VpcId.member.1=a", "InvalidQueryParameter", "VpcId.member"),
        ("VpcId=a", "InvalidQueryParameter", "VpcId"),
    ] {
        let error = read(text).unwrap_err();
        assert_eq!(error.code, code, "{text}");
        assert!(error.message.contains(path), "{error}");
    }
}
