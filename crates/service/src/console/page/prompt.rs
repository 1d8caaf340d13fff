//! A prompt for single commands, over a node's own socket, which no user's rules bind. So whoever uses it needs the right
//! to connect to the cache, and commands that could harm the node or hold it up are refused here.
//!
//! What a command of Redis may do is asked of the node (COMMAND INFO), by categories; there is no list of commands here but
//! of exceptions. Memcached cannot be asked, so what is allowed there is a list.

use askama::Template;
use larder_protocol::resp::value::Value;

use crate::console::cache::{self, Cache, Sort};
use crate::console::visit::{Frame, Visit, html};
use crate::console::{Question, Reply};
use crate::front::{Answer, ApiError};
use crate::identity::authorise_plain;

/// Longest line that is taken, in bytes.
const LINE_BYTES_MAX: usize = 16 * 1024;
/// Most lines of an answer that are shown.
const SHOWN_LINES_MAX: usize = 1_000;
/// Categories of commands that are refused.
const REFUSED_CATEGORIES: &[&str] =
    &["@admin", "@blocking", "@connection", "@dangerous", "@pubsub", "@scripting", "@transaction"];
/// Commands with subcommands, of which some would do harm. Only those below are allowed.
const CONTAINERS: &[&str] = &[
    "acl",
    "client",
    "cluster",
    "command",
    "commandlog",
    "config",
    "debug",
    "function",
    "latency",
    "memory",
    "module",
    "pubsub",
    "script",
    "slowlog",
];
/// Commands that only tell something, though their category says more. `*` stands for any subcommand.
const ALLOWED: &[(&str, &str)] = &[
    ("command", "count"),
    ("command", "docs"),
    ("command", "info"),
    ("commandlog", "get"),
    ("commandlog", "len"),
    ("echo", "*"),
    ("info", "*"),
    ("lastsave", "*"),
    ("latency", "history"),
    ("latency", "latest"),
    ("memory", "stats"),
    ("memory", "usage"),
    ("ping", "*"),
    ("pubsub", "channels"),
    ("pubsub", "numpat"),
    ("pubsub", "numsub"),
    ("role", "*"),
    ("slowlog", "get"),
    ("slowlog", "len"),
];
/// Commands of Memcached that are allowed, and how many words come before the length of a data block, if they have one.
const MEMCACHED: &[(&str, Option<usize>)] = &[
    ("add", Some(4)),
    ("append", Some(4)),
    ("cas", Some(4)),
    ("config", None),
    ("decr", None),
    ("delete", None),
    ("gat", None),
    ("gats", None),
    ("get", None),
    ("gets", None),
    ("incr", None),
    ("ma", None),
    ("md", None),
    ("mg", None),
    ("ms", Some(2)),
    ("prepend", Some(4)),
    ("replace", Some(4)),
    ("set", Some(4)),
    ("stats", None),
    ("touch", None),
    ("version", None),
];

#[derive(Template)]
#[template(path = "page/prompt.html")]
struct Page {
    frame: Frame,
    tab: &'static str,
    cache: Cache,
    chosen: usize,
    command: String,
    outcome: Option<Result<String, String>>,
}

/// The page, with what came of a command.
pub(in crate::console) fn page(visit: &Visit<'_>, sort: Sort, id: &str) -> Result<Answer, ApiError> {
    let cache = cache::find(visit, sort, id)?;
    let wanted = visit.fields.text("node");
    let chosen = cache.nodes.iter().position(|node| node_path(node) == wanted).unwrap_or_default();
    let command = visit.fields.text("command").to_owned();
    let outcome = visit.is_post().then(|| run(visit, &cache, chosen, &command)).transpose()?;
    let frame = visit.frame("caches", format!("Prompt of {}", cache.id));
    Ok(html(200, &Page { frame, tab: "/prompt", cache, chosen, command, outcome }))
}

fn node_path(node: &cache::Node) -> String {
    format!("{}/{}", node.cluster, node.id)
}

/// Whether the caller may be what the prompt is: the default user of the cache.
///
/// # Errors
/// `AccessDenied`.
pub(super) fn authorise(visit: &Visit<'_>, cache: &Cache) -> Result<(), ApiError> {
    let resources = [cache.sort.arn(visit, &cache.id), visit.caller.arn("user", "default")];
    let resources = resources.map(|arn| arn.to_string());
    authorise_plain(visit.console.app(), &visit.caller, "elasticache:Connect", &resources)
}

fn run(
    visit: &Visit<'_>,
    cache: &Cache,
    chosen: usize,
    command: &str,
) -> Result<Result<String, String>, ApiError> {
    authorise(visit, cache)?;
    let Some(node) = cache.nodes.get(chosen) else { return Ok(Err("The cache has no node yet.".to_owned())) };
    if command.is_empty() || command.len() > LINE_BYTES_MAX {
        return Ok(Err(format!("A command has between 1 and {LINE_BYTES_MAX} bytes.")));
    }
    let ask = |question: Question<'_>| visit.console.nodes.ask(&node.cluster, &node.id, question);
    Ok(if cache.is_memcached() { memcached(command, ask) } else { redis(command, ask) })
}

fn redis(command: &str, ask: impl Fn(Question<'_>) -> Result<Reply, String>) -> Result<String, String> {
    let words = words(command)?;
    let name = words.first().cloned().unwrap_or_default().to_lowercase();
    let about = match ask(Question::Redis(&[b"COMMAND", b"INFO", name.as_bytes()]))? {
        Reply::Redis(Value::Array(found)) => found.into_iter().next().unwrap_or(Value::Null),
        _ => Value::Null,
    };
    check(&name, words.get(1).map_or("", String::as_str), &about)?;
    let bytes: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
    match ask(Question::Redis(&bytes))? {
        Reply::Redis(value) => Ok(shown(&value)),
        Reply::Memcached(_) => Err("The node answered in another language.".to_owned()),
    }
}

/// Refuses a command that could harm; `about` is what the node's COMMAND INFO says of it.
fn check(name: &str, subcommand: &str, about: &Value) -> Result<(), String> {
    let Value::Array(about) = about else {
        return Err(format!("The node knows no command {name}."));
    };
    let subcommand = subcommand.to_lowercase();
    if ALLOWED.iter().any(|(known, sub)| *known == name && (*sub == "*" || *sub == subcommand)) {
        return Ok(());
    }
    if CONTAINERS.contains(&name) {
        return Err(format!(
            "{name} {subcommand} is not for this prompt: it could harm the node or other clients."
        ));
    }
    let Some(Value::Array(categories) | Value::Set(categories)) = about.get(6) else {
        return Err(format!("The node does not say what {name} may do."));
    };
    let text = |value: &Value| match value {
        Value::Simple(text) => text.clone(),
        Value::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    };
    let refused =
        categories.iter().map(text).find(|category| REFUSED_CATEGORIES.contains(&category.as_str()));
    match refused.as_deref() {
        None => Ok(()),
        Some("@connection" | "@transaction" | "@pubsub" | "@blocking") => Err(format!(
            "{name} is not for this prompt: each command has a connection of its own here, and ends with its answer."
        )),
        Some(category) => Err(format!(
            "{name} is not for this prompt: it is one of the commands {category}, which could harm the node or other clients."
        )),
    }
}

/// Splits a line into words; quotes hold blanks together, and a backslash takes the next letter as it is.
fn words(line: &str) -> Result<Vec<String>, String> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\\', None | Some('"')) => {
                let next = letters.next().ok_or("The line ends with a backslash.")?;
                let meant = match next {
                    'n' if quote.is_some() => '\n',
                    'r' if quote.is_some() => '\r',
                    't' if quote.is_some() => '\t',
                    other => other,
                };
                word.get_or_insert_default().push(meant);
            }
            (letter, Some(open)) if letter == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (letter, None) if letter.is_whitespace() => words.extend(word.take()),
            (letter, _) => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err("A quote is not closed.".to_owned());
    }
    words.extend(word);
    Ok(words)
}

/// An answer as lines.
fn shown(value: &Value) -> String {
    let mut lines = Vec::new();
    show(value, 0, "", &mut lines);
    if lines.len() > SHOWN_LINES_MAX {
        let more = lines.len() - SHOWN_LINES_MAX;
        lines.truncate(SHOWN_LINES_MAX);
        lines.push(format!("... and {more} lines more"));
    }
    lines.join("\n")
}

fn show(value: &Value, depth: usize, label: &str, lines: &mut Vec<String>) {
    if lines.len() > 2 * SHOWN_LINES_MAX {
        return; // nobody would see it
    }
    let indent = "   ".repeat(depth);
    let mut line = |text: String| lines.push(format!("{indent}{label}{text}"));
    match value {
        Value::Simple(text) => line(text.clone()),
        Value::Error(text) => line(format!("(error) {text}")),
        Value::Integer(number) => line(format!("(integer) {number}")),
        Value::Double(number) => line(format!("(double) {number}")),
        Value::Boolean(yes) => line(format!("({yes})")),
        Value::BigNumber(digits) => line(format!("(integer) {digits}")),
        Value::Null => line("(nil)".to_owned()),
        Value::Bulk(bytes) | Value::Verbatim(_, bytes) if depth == 0 && bytes.contains(&b'\n') => {
            lines.extend(String::from_utf8_lossy(bytes).lines().map(str::to_owned));
        }
        Value::Bulk(bytes) | Value::Verbatim(_, bytes) => {
            line(format!("\"{}\"", String::from_utf8_lossy(bytes).escape_debug()));
        }
        Value::Array(items) | Value::Set(items) | Value::Push(items) => {
            if items.is_empty() {
                line("(empty)".to_owned());
                return;
            }
            if !label.is_empty() {
                line(String::new());
            }
            for (at, item) in items.iter().enumerate() {
                show(item, depth + usize::from(!label.is_empty()), &format!("{}) ", at + 1), lines);
            }
        }
        Value::Map(pairs) => {
            for (key, item) in pairs {
                show(key, depth, label, lines);
                show(item, depth + 1, "=> ", lines);
            }
        }
    }
}

fn memcached(command: &str, ask: impl Fn(Question<'_>) -> Result<Reply, String>) -> Result<String, String> {
    let request = memcached_request(command)?;
    match ask(Question::Memcached(&request))? {
        Reply::Memcached(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = text.lines().take(SHOWN_LINES_MAX).collect();
            Ok(lines.join("\n"))
        }
        Reply::Redis(_) => Err("The node answered in another language.".to_owned()),
    }
}

/// The bytes of one request: a line, and below it the data of a command that stores.
fn memcached_request(command: &str) -> Result<Vec<u8>, String> {
    let (line, data) = command.split_once('\n').map_or((command, None), |(line, data)| (line, Some(data)));
    let words: Vec<&str> = line.split_whitespace().collect();
    let name = words.first().copied().unwrap_or_default();
    let Some((_, data_at)) = MEMCACHED.iter().find(|(known, _)| *known == name) else {
        return Err(format!("{name} is not for this prompt."));
    };
    let allowed = match name {
        "config" => words.get(1) == Some(&"get"),
        "stats" => matches!(words.get(1), None | Some(&("items" | "settings" | "sizes" | "slabs" | "conns"))),
        _ => true,
    };
    if !allowed {
        return Err(format!("{} is not for this prompt.", words.join(" ")));
    }
    if words.contains(&"noreply") || (name.starts_with('m') && words.contains(&"q")) {
        return Err("A command without a reply is not for this prompt.".to_owned());
    }
    let mut request = format!("{}\r\n", words.join(" ")).into_bytes();
    match (data_at, data.map(|data| data.replace("\r\n", "\n"))) {
        (None, None) => {}
        (None, Some(_)) => return Err("One command at a time: this one takes no data.".to_owned()),
        (Some(at), data) => {
            let data = data.ok_or("The data of the command goes on a second line.")?;
            let length: usize = words.get(*at).and_then(|word| word.parse().ok()).unwrap_or(usize::MAX);
            if length != data.len() {
                let found = data.len();
                return Err(format!(
                    "The data has {found} bytes; the command must say so in word {}.",
                    at + 1
                ));
            }
            request.extend_from_slice(data.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(categories: &[&str]) -> Value {
        let categories = categories.iter().map(|name| Value::Simple((*name).to_owned())).collect();
        let mut fields = vec![Value::Null; 6];
        fields.push(Value::Array(categories));
        Value::Array(fields)
    }

    #[test]
    fn what_could_harm_is_refused() {
        assert!(check("get", "k", &about(&["@read", "@string"])).is_ok());
        assert!(check("info", "", &about(&["@slow", "@dangerous"])).is_ok());
        assert!(check("slowlog", "GET", &about(&["@admin"])).is_ok());
        for (name, sub, categories) in [
            ("flushall", "", &["@write", "@dangerous"][..]),
            ("slowlog", "reset", &["@slow"]),
            ("config", "get", &["@slow"]),
            ("eval", "", &["@scripting"]),
            ("blpop", "k", &["@list", "@blocking"]),
            ("subscribe", "c", &["@pubsub"]),
        ] {
            assert!(check(name, sub, &about(categories)).is_err(), "{name} {sub}");
        }
        assert!(check("nosuch", "", &Value::Null).is_err());
        assert!(
            check("get", "k", &Value::Array(vec![])).is_err(),
            "a node that tells nothing allows nothing"
        );
    }

    #[test]
    fn lines_become_words() {
        assert_eq!(words(r#" set "a b" 'c\d' e\ f "#).unwrap(), ["set", "a b", r"c\d", "e f"]);
        assert_eq!(words(r#"set k "" "\n""#).unwrap(), ["set", "k", "", "\n"]);
        assert!(words("get \"a").is_err() && words("get \\").is_err());
        assert!(words("").unwrap().is_empty());
    }

    #[test]
    fn one_request_of_memcached_at_a_time() {
        assert_eq!(memcached_request("get  a").unwrap(), b"get a\r\n");
        assert_eq!(memcached_request("set a 0 60 3\nann").unwrap(), b"set a 0 60 3\r\nann\r\n");
        for refused in [
            "flush_all",
            "get a\nflush_all",
            "set a 0 60 3",
            "set a 0 60 1\nx\r\nflush_all",
            "stats reset",
            "config set cluster 0 1",
            "delete a noreply",
            "shutdown",
            "",
        ] {
            assert!(memcached_request(refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn answers_are_shown_within_a_bound() {
        let nested = Value::Array(vec![Value::Integer(1), Value::Array(vec![Value::Bulk(b"a\"".to_vec())])]);
        assert_eq!(shown(&nested), "1) (integer) 1\n2) \n   1) \"a\\\"\"");
        let long = Value::Array(vec![Value::Null; 10 * SHOWN_LINES_MAX]);
        assert_eq!(shown(&long).lines().count(), SHOWN_LINES_MAX + 1);
    }
}
