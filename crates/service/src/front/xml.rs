//! XML answers: exact element order, closed by construction, every text escaped.

use std::fmt::Display;

/// Namespace of every answer of the API.
pub const NAMESPACE: &str = "http://elasticache.amazonaws.com/doc/2015-02-02/";

/// Elements that are being written. An operation writes what stands inside `<{Action}Result>`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Xml {
    text: String,
}

impl Xml {
    /// Nothing yet.
    pub fn new() -> Xml {
        Xml::default()
    }

    /// An element with whatever `inside` writes.
    pub fn element(&mut self, name: &str, inside: impl FnOnce(&mut Xml)) -> &mut Xml {
        self.tag("<", name);
        inside(self);
        self.tag("</", name);
        self
    }

    /// An element with a text.
    pub fn text(&mut self, name: &str, value: &str) -> &mut Xml {
        self.element(name, |xml| xml.escaped(value))
    }

    /// An element with a text, if there is one.
    pub fn optional(&mut self, name: &str, value: Option<&str>) -> &mut Xml {
        if let Some(value) = value {
            self.text(name, value);
        }
        self
    }

    /// An element with a number.
    pub fn number(&mut self, name: &str, value: impl Display) -> &mut Xml {
        self.text(name, &value.to_string())
    }

    /// An element with `true` or `false`.
    pub fn boolean(&mut self, name: &str, value: bool) -> &mut Xml {
        self.text(name, if value { "true" } else { "false" })
    }

    /// An element with a time, given in Unix milliseconds: `2026-11-23T02:08:28.123Z`.
    pub fn time(&mut self, name: &str, unix_ms: u64) -> &mut Xml {
        self.text(name, &iso8601(unix_ms))
    }

    /// The same, if there is a time.
    pub fn optional_time(&mut self, name: &str, unix_ms: Option<u64>) -> &mut Xml {
        match unix_ms {
            Some(unix_ms) => self.time(name, unix_ms),
            None => self,
        }
    }

    /// An element without content.
    pub fn empty(&mut self, name: &str) -> &mut Xml {
        self.text.push('<');
        self.text.push_str(name);
        self.text.push_str("/>");
        self
    }

    /// A list: `<name><member>…</member>…</name>`; an empty one is `<name/>`, which SDKs read as an empty list.
    pub fn list<I: IntoIterator>(
        &mut self,
        name: &str,
        member: &str,
        items: I,
        mut inside: impl FnMut(&mut Xml, I::Item),
    ) -> &mut Xml {
        let mut items = items.into_iter().peekable();
        if items.peek().is_none() {
            return self.empty(name);
        }
        self.element(name, |xml| {
            for item in items {
                xml.element(member, |xml| inside(xml, item));
            }
        })
    }

    /// A list of texts.
    pub fn texts<'a>(
        &mut self,
        name: &str,
        member: &str,
        items: impl IntoIterator<Item = &'a str>,
    ) -> &mut Xml {
        self.list(name, member, items, |xml, item| xml.escaped(item))
    }

    /// What was written so far.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The whole answer of an operation; `result` says whether it has a result element at all.
    pub fn into_response(self, action: &str, request_id: &str, result: bool) -> String {
        self.into_response_of(NAMESPACE, action, request_id, result)
    }

    /// The whole answer of an operation of an API with that namespace.
    pub fn into_response_of(self, namespace: &str, action: &str, request_id: &str, result: bool) -> String {
        let mut xml = Xml::new();
        xml.root(namespace, &format!("{action}Response"), |xml| {
            if result {
                xml.element(&format!("{action}Result"), |xml| xml.text.push_str(&self.text));
            }
            xml.element("ResponseMetadata", |xml| {
                xml.text("RequestId", request_id);
            });
        });
        xml.text
    }

    /// The whole answer for a call that failed.
    pub fn error_response(error: &super::ApiError, request_id: &str) -> String {
        Xml::error_response_of(NAMESPACE, error, request_id)
    }

    /// The whole answer for a call of an API with that namespace.
    pub fn error_response_of(namespace: &str, error: &super::ApiError, request_id: &str) -> String {
        let mut xml = Xml::new();
        xml.root(namespace, "ErrorResponse", |xml| {
            xml.element("Error", |xml| {
                xml.text("Type", if error.sender { "Sender" } else { "Receiver" });
                xml.text("Code", error.code).text("Message", &error.message);
            });
            xml.text("RequestId", request_id);
        });
        xml.text
    }

    /// The answer of an operation in EC2's form: the members stand beside the request id.
    pub fn into_ec2_response(self, namespace: &str, action: &str, request_id: &str) -> String {
        let mut xml = Xml::new();
        xml.root(namespace, &format!("{action}Response"), |xml| {
            xml.text("requestId", request_id);
            xml.text.push_str(&self.text);
        });
        xml.text
    }

    /// The answer for a call that failed in EC2's form.
    pub fn ec2_error_response(error: &super::ApiError, request_id: &str) -> String {
        let mut xml = Xml::new();
        xml.element("Response", |xml| {
            xml.element("Errors", |xml| {
                xml.element("Error", |xml| {
                    xml.text("Code", error.code).text("Message", &error.message);
                });
            });
            xml.text("RequestID", request_id);
        });
        xml.text
    }

    fn root(&mut self, namespace: &str, name: &str, inside: impl FnOnce(&mut Xml)) {
        self.text.push_str(&format!("<{name} xmlns=\"{namespace}\">"));
        inside(self);
        self.tag("</", name);
    }

    fn tag(&mut self, open: &str, name: &str) {
        self.text.push_str(open);
        self.text.push_str(name);
        self.text.push('>');
    }

    fn escaped(&mut self, value: &str) {
        for c in value.chars() {
            match c {
                '&' => self.text.push_str("&amp;"),
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                '"' => self.text.push_str("&quot;"),
                // A reader would turn a bare carriage return into a line feed.
                '\r' => self.text.push_str("&#13;"),
                c if is_xml_char(c) => self.text.push(c),
                _ => self.text.push(char::REPLACEMENT_CHARACTER),
            }
        }
    }
}

/// Whether XML 1.0 can carry the character at all.
fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{FFFD}' | '\u{10000}'..)
}

fn iso8601(unix_ms: u64) -> String {
    let time = i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    // Later than the year 9999: the end of time is as good as any.
    format!("{:.3}", time.unwrap_or(jiff::Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_would_break_out_of_the_element() {
        let mut xml = Xml::new();
        xml.text("A", "<&>\"\r\n\u{1}é😀");
        assert_eq!(xml.as_str(), "<A>&lt;&amp;&gt;&quot;&#13;\n\u{FFFD}é😀</A>");
    }

    #[test]
    fn lists_times_and_envelope() {
        let mut xml = Xml::new();
        xml.list("Tags", "Tag", [("k", "v")], |xml, (key, value)| {
            xml.text("Key", key).text("Value", value);
        });
        xml.texts("None", "member", []).time("Date", 1_795_399_708_123).boolean("On", true);
        let expected = "<Tags><Tag><Key>k</Key><Value>v</Value></Tag></Tags><None/>\
                        <Date>2026-11-23T02:08:28.123Z</Date><On>true</On>";
        assert_eq!(xml.as_str(), expected);
        assert_eq!(
            Xml::new().into_response("DeleteX", "id", false),
            format!(
                "<DeleteXResponse xmlns=\"{NAMESPACE}\"><ResponseMetadata><RequestId>id</RequestId>\
                 </ResponseMetadata></DeleteXResponse>"
            )
        );
        assert_eq!(iso8601(u64::MAX), "9999-12-30T22:00:00.999Z");
    }
}
