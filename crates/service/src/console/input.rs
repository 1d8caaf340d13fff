//! What a browser sends: fields of forms and of query strings, cookies. Within the bounds of the front.

use crate::front::query::decode_pairs;
use crate::front::{ApiError, Request};

/// Fields by name, in the order in which they came. A field may stand more than once, as check boxes do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fields {
    pairs: Vec<(String, String)>,
}

/// Most fields of one form.
const FIELDS_MAX: usize = 400;

impl Fields {
    /// Reads the query string of a GET, or the form of a POST.
    ///
    /// # Errors
    /// If it is no form, or has too many fields.
    pub(super) fn of(request: &Request) -> Result<Fields, ApiError> {
        let text: &[u8] = if request.method == "POST" { &request.body } else { request.query.as_bytes() };
        let pairs = decode_pairs(text)?;
        if pairs.len() > FIELDS_MAX {
            let message = format!("The form has more than {FIELDS_MAX} fields.");
            return Err(ApiError::new("MalformedQueryString", message));
        }
        Ok(Fields { pairs })
    }

    /// The first value of a field, without blanks around it; empty if there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.pairs.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.trim())
    }

    /// All values of a field that are not empty.
    pub(super) fn texts(&self, name: &str) -> Vec<&str> {
        let own = self.pairs.iter().filter(|(known, _)| known == name).map(|(_, value)| value.trim());
        own.filter(|value| !value.is_empty()).collect()
    }

    /// Whether a check box is set.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.text(name) == "on"
    }

    /// Whether the field stands in the form at all.
    pub(super) fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(known, _)| known == name)
    }

    /// All fields.
    pub(super) fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// Sets a field that may stand once.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.pairs.retain(|(known, _)| known != name);
        self.pairs.push((name.to_owned(), value.to_owned()));
    }
}

/// The value of a cookie.
pub(super) fn cookie<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let headers = request.headers.iter().filter(|(header, _)| header == "cookie");
    let mut cookies = headers.flat_map(|(_, value)| value.split(';'));
    cookies.find_map(|cookie| cookie.trim().strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(body: &str) -> Fields {
        Fields::of(&Request { method: "POST".into(), body: body.into(), ..Request::default() }).unwrap()
    }

    #[test]
    fn fields_are_read_as_they_were_typed() {
        let fields = form("a=+x+y%21+&b=1&b=&b=2&on=on");
        assert_eq!(fields.text("a"), "x y!");
        assert_eq!(fields.texts("b"), ["1", "2"]);
        assert!(fields.is_on("on") && !fields.is_on("b") && !fields.has("c"));
    }

    #[test]
    fn too_many_fields_are_refused() {
        let body = "a=1&".repeat(FIELDS_MAX + 1);
        let request = Request { method: "POST".into(), body: body.into(), ..Request::default() };
        assert!(Fields::of(&request).is_err());
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let headers = vec![("cookie".to_owned(), "a=1; larder=abc; xlarder=2".to_owned())];
        let request = Request { headers, ..Request::default() };
        assert_eq!(cookie(&request, "larder"), Some("abc"));
        assert_eq!(cookie(&request, "arder"), None);
    }
}
