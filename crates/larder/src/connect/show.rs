//! How a reply looks: for people in the way that redis-cli made familiar, raw for pipes, or as JSON.

use std::fmt::Write;

use larder_protocol::number;
use larder_protocol::resp::value::Value;

use crate::terminal::clean;

/// With kinds, quotes and numbering; ends in a line end.
pub(super) fn for_people(value: &Value) -> String {
    let mut out = String::new();
    people(value, 0, &mut out);
    out
}

/// `indent` is where the lines of a nested list begin, after the first one.
fn people(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Simple(text) => line(out, &clean(text)),
        Value::Error(text) => line(out, &format!("(error) {}", clean(text))),
        Value::Integer(number) => line(out, &format!("(integer) {number}")),
        Value::Bulk(bytes) => line(out, &quoted(bytes)),
        Value::Null => line(out, "(nil)"),
        Value::Double(number) => line(out, &format!("(double) {}", double(*number))),
        Value::Boolean(true) => line(out, "(true)"),
        Value::Boolean(false) => line(out, "(false)"),
        Value::BigNumber(digits) => line(out, &format!("(big number) {}", clean(digits))),
        Value::Verbatim(_, text) => {
            let text = String::from_utf8_lossy(text);
            text.lines().for_each(|one| line(out, &clean(one)));
        }
        Value::Array(list) => numbered(list, ')', "(empty array)", indent, out),
        Value::Set(list) => numbered(list, '~', "(empty set)", indent, out),
        Value::Push(list) => numbered(list, '>', "(empty push)", indent, out),
        Value::Map(pairs) => map(pairs, indent, out),
    }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn numbered(list: &[Value], mark: char, empty: &str, indent: usize, out: &mut String) {
    if list.is_empty() {
        return line(out, empty);
    }
    let width = list.len().to_string().len();
    for (index, value) in list.iter().enumerate() {
        lead(index, indent, out);
        let _ = write!(out, "{:>width$}{mark} ", index + 1);
        people(value, indent + width + 2, out);
    }
}

fn map(pairs: &[(Value, Value)], indent: usize, out: &mut String) {
    if pairs.is_empty() {
        return line(out, "(empty hash)");
    }
    let width = pairs.len().to_string().len();
    for (index, (key, value)) in pairs.iter().enumerate() {
        lead(index, indent, out);
        let mut key_text = String::new();
        people(key, 0, &mut key_text);
        let key_text = key_text.trim_end();
        let _ = write!(out, "{:>width$}# {key_text} => ", index + 1);
        people(value, indent + width + 2 + key_text.chars().count() + 4, out);
    }
}

/// The first element stands on the line of its parent, the others begin their own.
fn lead(index: usize, indent: usize, out: &mut String) {
    if index > 0 {
        out.extend(std::iter::repeat_n(' ', indent));
    }
}

/// Bytes in double quotes; what is no printable ASCII is escaped, so that every value can be told apart.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for &byte in bytes {
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            7 => out.push_str("\\a"),
            8 => out.push_str("\\b"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push('"');
    out
}

fn double(number: f64) -> String {
    String::from_utf8_lossy(number::Buffer::new().format_f64(number)).into_owned()
}

/// The bytes themselves; the elements of lists one per line.
pub(super) fn raw(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    raw_into(value, &mut out);
    out.push(b'\n');
    out
}

fn raw_into(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Simple(text) | Value::Error(text) | Value::BigNumber(text) => {
            out.extend_from_slice(text.as_bytes())
        }
        Value::Bulk(bytes) | Value::Verbatim(_, bytes) => out.extend_from_slice(bytes),
        Value::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Null => {}
        Value::Double(number) => out.extend_from_slice(double(*number).as_bytes()),
        Value::Boolean(yes) => out.extend_from_slice(if *yes { b"true" } else { b"false" }),
        Value::Array(list) | Value::Set(list) | Value::Push(list) => raw_list(list.iter(), out),
        Value::Map(pairs) => raw_list(pairs.iter().flat_map(|(key, value)| [key, value]), out),
    }
}

fn raw_list<'a>(list: impl Iterator<Item = &'a Value>, out: &mut Vec<u8>) {
    for (index, value) in list.enumerate() {
        if index > 0 {
            out.push(b'\n');
        }
        raw_into(value, out);
    }
}

/// The reply as JSON. Bytes that are no UTF-8 become one character per byte, as redis-cli does.
pub(super) fn json(value: &Value) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        Value::Simple(text) | Value::BigNumber(text) => Json::from(text.as_str()),
        Value::Bulk(bytes) | Value::Verbatim(_, bytes) => Json::String(json_text(bytes)),
        Value::Error(text) => serde_json::json!({ "error": text }),
        Value::Integer(number) => Json::from(*number),
        Value::Null => Json::Null,
        Value::Double(number) => {
            serde_json::Number::from_f64(*number).map_or_else(|| double(*number).into(), Json::Number)
        }
        Value::Boolean(yes) => Json::Bool(*yes),
        Value::Array(list) | Value::Set(list) | Value::Push(list) => list.iter().map(json).collect(),
        Value::Map(pairs) => {
            Json::Object(pairs.iter().map(|(key, value)| (json_key(key), json(value))).collect())
        }
    }
}

fn json_key(key: &Value) -> String {
    String::from_utf8_lossy(raw(key).strip_suffix(b"\n").unwrap_or_default()).into_owned()
}

fn json_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.as_bytes().to_vec())
    }

    #[test]
    fn values_for_people() {
        assert_eq!(for_people(&bulk("a\"b\n\u{e4}")), "\"a\\\"b\\n\\xc3\\xa4\"\n");
        assert_eq!(for_people(&Value::Error("ERR no".into())), "(error) ERR no\n");
        assert_eq!(for_people(&Value::Double(3.0)), "(double) 3\n");
        assert_eq!(for_people(&Value::Array(vec![])), "(empty array)\n");
    }

    #[test]
    fn lists_nest() {
        let inner = Value::Array(vec![bulk("b"), Value::Null]);
        let list = Value::Array(vec![Value::Integer(1), inner, bulk("c")]);
        assert_eq!(for_people(&list), "1) (integer) 1\n2) 1) \"b\"\n   2) (nil)\n3) \"c\"\n");
        let map = Value::Map(vec![(bulk("k"), Value::Set(vec![bulk("x"), bulk("y")]))]);
        assert_eq!(for_people(&map), "1# \"k\" => 1~ \"x\"\n          2~ \"y\"\n");
    }

    #[test]
    fn raw_is_the_bytes_and_lists_are_lines() {
        assert_eq!(raw(&Value::Bulk(vec![0, 255])), [0, 255, b'\n']);
        assert_eq!(raw(&Value::Array(vec![bulk("a"), Value::Integer(2)])), b"a\n2\n");
    }

    #[test]
    fn json_of_every_kind() {
        let map =
            Value::Map(vec![(bulk("n"), Value::Double(1.5)), (Value::Integer(2), Value::Boolean(true))]);
        assert_eq!(json(&map).to_string(), "{\"2\":true,\"n\":1.5}");
        assert_eq!(json(&Value::Double(f64::INFINITY)).to_string(), "\"inf\"");
        assert_eq!(json(&Value::Bulk(vec![255])).to_string(), "\"\u{ff}\"");
    }
}
