//! Pages of lists: `Marker` and `MaxRecords`.

use crate::front::{ApiError, Xml};
use crate::hex;
use crate::state;

/// Least that a caller may ask for at once.
const RECORDS_MIN: i64 = 20;
/// Most that a caller may ask for at once, and what is given without a wish.
const RECORDS_MAX: i64 = 100;
/// First letters of a marker, so that other texts are refused rather than misunderstood.
const MARKER_PREFIX: &str = "v1-";

/// Which page is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paging {
    limit: usize,
    after: Option<String>,
}

/// One page of a list.
#[derive(Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next one begins, if there is one.
    pub marker: Option<String>,
}

impl Paging {
    /// Reads the two parameters.
    ///
    /// # Errors
    /// `InvalidParameterValue` for a number out of range or a marker that we did not make.
    pub fn new(marker: Option<&str>, max_records: Option<i64>) -> Result<Paging, ApiError> {
        let limit = max_records.unwrap_or(RECORDS_MAX);
        if !(RECORDS_MIN..=RECORDS_MAX).contains(&limit) {
            let range = format!("must be between {RECORDS_MIN} and {RECORDS_MAX}");
            return Err(ApiError::invalid_value(format!("Invalid value {limit} for MaxRecords: {range}.")));
        }
        let after = marker.filter(|marker| !marker.is_empty()).map(key_of_marker).transpose()?;
        Ok(Paging { limit: usize::try_from(limit).unwrap_or_default(), after })
    }

    /// Whether it is the first page.
    pub fn is_first(&self) -> bool {
        self.after.is_none()
    }

    /// The part of records, whose ids are the keys, that the page is cut out of.
    pub fn of_records(&self) -> state::Page<'_> {
        // One more tells whether there is a next page.
        state::Page { prefix: "", after: self.after.as_deref(), limit: self.limit + 1 }
    }

    /// Cuts the page out of a list that is in ascending order of `key`. Pages stay right when the list changes
    /// between two calls: a marker is the key of the last item given, not a number.
    pub fn cut<T>(&self, items: impl IntoIterator<Item = T>, key: impl Fn(&T) -> String) -> Page<T> {
        let mut items =
            items.into_iter().filter(|item| self.after.as_ref().is_none_or(|after| key(item) > *after));
        let page: Vec<T> = items.by_ref().take(self.limit).collect();
        let more = items.next().is_some();
        let marker = page.last().filter(|_| more).map(|last| marker_of_key(&key(last)));
        Page { items: page, marker }
    }
}

impl<T> Page<T> {
    /// Writes the marker, if there is a next page.
    pub fn write_marker(&self, xml: &mut Xml) {
        xml.optional("Marker", self.marker.as_deref());
    }
}

fn marker_of_key(key: &str) -> String {
    format!("{MARKER_PREFIX}{}", hex::encode(key.as_bytes()))
}

fn key_of_marker(marker: &str) -> Result<String, ApiError> {
    let key = marker.strip_prefix(MARKER_PREFIX).and_then(hex::decode).map(String::from_utf8);
    match key {
        Some(Ok(key)) => Ok(key),
        _ => Err(ApiError::invalid_value("The parameter Marker is not valid.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(count: usize, max_records: i64) -> Vec<usize> {
        let items: Vec<String> = (0..count).map(|n| format!("item-{n:04}")).collect();
        let (mut marker, mut sizes, mut seen) = (None, vec![], vec![]);
        loop {
            let paging = Paging::new(marker.as_deref(), Some(max_records)).unwrap();
            let page = paging.cut(items.clone(), String::clone);
            sizes.push(page.items.len());
            seen.extend(page.items);
            match page.marker {
                Some(next) => marker = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, items);
        sizes
    }

    #[test]
    fn every_item_is_given_once() {
        assert_eq!(pages(0, 20), [0]);
        assert_eq!(pages(20, 20), [20]);
        assert_eq!(pages(41, 20), [20, 20, 1]);
        assert_eq!(pages(100, 100), [100]);
    }

    #[test]
    fn bad_pages_are_refused() {
        for max_records in [i64::MIN, -1, 0, 19, 101] {
            assert_eq!(Paging::new(None, Some(max_records)).unwrap_err().code, "InvalidParameterValue");
        }
        for marker in ["x", "v1", "v1-6", "v1-zz", "v1-+1", "v1-ff", "v2-61", "v1-é"] {
            assert_eq!(
                Paging::new(Some(marker), None).unwrap_err().message,
                "The parameter Marker is not valid."
            );
        }
        assert_eq!(Paging::new(Some(""), None).unwrap(), Paging::new(None, None).unwrap());
    }
}
