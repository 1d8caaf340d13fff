//! The slow log of the nodes of a cache: commands that took long, with the keys that they were about. So it needs the same
//! right as the prompt.

use askama::Template;
use larder_protocol::resp::value::Value;

use super::prompt;
use crate::console::cache::{self, Cache, Sort};
use crate::console::show::moment;
use crate::console::visit::{Frame, Visit, html};
use crate::console::{Question, Reply};
use crate::front::{Answer, ApiError};

/// How many entries of each node are shown.
const ENTRIES: &[u8] = b"50";
/// Longest command that is shown, in characters.
const COMMAND_CHARS_MAX: usize = 500;

/// An entry of a slow log.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    node: String,
    at: i64,
    micros: i64,
    command: String,
    client: String,
}

impl Entry {
    fn moment(&self) -> String {
        jiff::Timestamp::from_second(self.at).map(|time| moment(&time.to_string())).unwrap_or_default()
    }

    fn duration(&self) -> String {
        format!("{}.{:03} ms", self.micros / 1000, self.micros % 1000)
    }
}

#[derive(Template)]
#[template(path = "page/slow_log.html")]
struct Page {
    frame: Frame,
    tab: &'static str,
    cache: Cache,
    entries: Vec<Entry>,
    silent: Vec<String>,
}

/// The page.
pub(in crate::console) fn page(visit: &Visit<'_>, sort: Sort, id: &str) -> Result<Answer, ApiError> {
    let cache = cache::find(visit, sort, id)?;
    prompt::authorise(visit, &cache)?;
    let (mut entries, mut silent) = (Vec::new(), Vec::new());
    for node in &cache.nodes {
        let question = Question::Redis(&[b"SLOWLOG", b"GET", ENTRIES]);
        match visit.console.nodes.ask(&node.cluster, &node.id, question) {
            Ok(Reply::Redis(Value::Array(found))) => {
                entries.extend(found.iter().filter_map(|entry| read(node.name(), entry)));
            }
            _ => silent.push(node.name()),
        }
    }
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.at));
    let frame = visit.frame("caches", format!("Slow log of {}", cache.id));
    Ok(html(200, &Page { frame, tab: "/slow-log", cache, entries, silent }))
}

/// An entry as SLOWLOG GET has it: number, time, microseconds, words, address and name of the client.
fn read(node: String, entry: &Value) -> Option<Entry> {
    let Value::Array(fields) = entry else { return None };
    let number = |at: usize| match fields.get(at) {
        Some(Value::Integer(number)) => Some(*number),
        _ => None,
    };
    let text = |value: &Value| match value {
        Value::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Simple(text) => text.clone(),
        _ => String::new(),
    };
    let words: Vec<String> = match fields.get(3) {
        Some(Value::Array(words)) => words.iter().map(text).collect(),
        _ => Vec::new(),
    };
    Some(Entry {
        node,
        at: number(1)?,
        micros: number(2)?,
        command: words.join(" ").chars().take(COMMAND_CHARS_MAX).collect(),
        client: fields.get(4).map(text).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_and_others_are_passed_over() {
        let bulk = |text: &str| Value::Bulk(text.as_bytes().to_vec());
        let entry = Value::Array(vec![
            Value::Integer(7),
            Value::Integer(1_795_442_400),
            Value::Integer(12_345),
            Value::Array(vec![bulk("KEYS"), bulk("*")]),
            bulk("127.0.0.1:5000"),
        ]);
        let read_entry = read("0001".into(), &entry).unwrap();
        assert_eq!((read_entry.command.as_str(), read_entry.duration().as_str()), ("KEYS *", "12.345 ms"));
        assert_eq!(read_entry.moment(), "2026-11-23 14:00:00");
        assert_eq!(read("0001".into(), &Value::Array(vec![Value::Integer(1)])), None);
        assert_eq!(read("0001".into(), &Value::Null), None);
    }
}
