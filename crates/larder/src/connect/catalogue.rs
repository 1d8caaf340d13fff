//! The command table as the server tells it (COMMAND DOCS): names for completion, arguments for hints.
//! Asking over the wire means that hints are true for whatever server is at the other end.

use std::collections::BTreeMap;

use larder_protocol::resp::value::Value;

/// Deepest nesting of arguments that is read.
const DEPTH_MAX: usize = 8;

/// Commands (lower case, subcommands as `config get`) with their arguments as text.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    commands: BTreeMap<String, Vec<String>>,
}

impl Catalogue {
    /// From the reply of COMMAND DOCS. What is not as documented is left out: hints are no reason to fail.
    pub(super) fn from_docs(docs: &Value) -> Self {
        let mut catalogue = Self::default();
        for (name, facts) in pairs(docs) {
            catalogue.add(&text(name), facts);
        }
        catalogue
    }

    /// A fixed list of `name arguments...` lines.
    pub(super) fn fixed(lines: &[&str]) -> Self {
        let mut catalogue = Self::default();
        for line in lines {
            let mut parts = line.split(' ').map(str::to_owned);
            let name = parts.next().unwrap_or_default();
            catalogue.commands.insert(name, parts.collect());
        }
        catalogue
    }

    pub(super) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    fn add(&mut self, name: &str, facts: &Value) {
        let name = name.to_ascii_lowercase().replace('|', " ");
        let arguments = field(facts, "arguments").map_or_else(Vec::new, |list| usage_of_all(list, 0));
        for (subname, subfacts) in field(facts, "subcommands").map_or_else(Vec::new, pairs) {
            let subname = text(subname);
            let full = if subname.contains('|') { subname } else { format!("{name}|{subname}") };
            self.add(&full, subfacts);
        }
        self.commands.insert(name, arguments);
    }

    /// Full names that begin with what is typed.
    pub(super) fn completions(&self, typed: &str) -> Vec<String> {
        let lower = typed.trim_start().to_ascii_lowercase();
        if lower.is_empty() {
            return Vec::new();
        }
        // Somebody who types capitals wants capitals.
        let loud = typed.chars().any(char::is_uppercase) && !typed.chars().any(char::is_lowercase);
        let names =
            self.commands.keys().filter(|name| name.starts_with(&lower) && self.is_next_step(name, &lower));
        names.map(|name| if loud { name.to_ascii_uppercase() } else { name.clone() } + " ").collect()
    }

    /// Subcommands are offered once their command is typed in full.
    fn is_next_step(&self, name: &str, typed: &str) -> bool {
        name[typed.len()..].trim_start().split(' ').count() <= 1 || typed.contains(' ')
    }

    /// The arguments that are still to come, with a space in front where one is missing.
    pub(super) fn hint(&self, line: &str) -> Option<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ends_in_space = line.ends_with(' ');
        let (name_words, arguments) = self.named(&words)?;
        let given = words.len() - name_words;
        if given == 0 && !ends_in_space && self.has_longer_name(line.trim()) {
            return None;
        }
        let complete = if ends_in_space { given } else { given.saturating_sub(1) };
        // Optional and repeated arguments cannot be counted off; plain ones can.
        let countable = arguments.iter().take_while(|a| !a.starts_with('[')).count();
        let skip = given.min(countable).max(complete.min(countable));
        let rest = arguments[skip..].join(" ");
        if rest.is_empty() {
            return None;
        }
        Some(if ends_in_space { rest } else { format!(" {rest}") })
    }

    fn named(&self, words: &[&str]) -> Option<(usize, &Vec<String>)> {
        let name = |count: usize| words.get(..count).map(|words| words.join(" ").to_ascii_lowercase());
        [2, 1].into_iter().find_map(|count| Some((count, self.commands.get(&name(count)?)?)))
    }

    fn has_longer_name(&self, typed: &str) -> bool {
        let typed = typed.to_ascii_lowercase();
        self.commands
            .keys()
            .any(|name| name.len() > typed.len() && name.starts_with(&typed) && !name.contains(' '))
    }
}

/// The usage of one argument: `key`, `[EX seconds]`, `NX|XX`, `field value [field value ...]`.
fn usage(argument: &Value, depth: usize) -> String {
    let token = field(argument, "token").map(text).filter(|token| !token.is_empty());
    let name =
        field(argument, "display_text").or_else(|| field(argument, "name")).map(text).unwrap_or_default();
    let nested = field(argument, "arguments");
    let kind = field(argument, "type").map(text).unwrap_or_default();
    let flags: Vec<String> =
        field(argument, "flags").map_or_else(Vec::new, |flags| items(flags).map(text).collect());
    let has = |flag: &str| flags.iter().any(|have| have == flag);
    let inner = match (kind.as_str(), nested) {
        _ if depth >= DEPTH_MAX => name,
        ("oneof", Some(list)) => usage_of_all(list, depth + 1).join("|"),
        ("block", Some(list)) => usage_of_all(list, depth + 1).join(" "),
        ("pure-token", _) => String::new(),
        _ => name,
    };
    let mut one = [token.clone().unwrap_or_default(), inner.clone()].join(" ").trim().to_owned();
    if has("multiple") {
        let again = if has("multiple_token") || token.is_none() { &one } else { &inner };
        one = format!("{one} [{again} ...]");
    }
    if has("optional") { format!("[{one}]") } else { one }
}

fn usage_of_all(list: &Value, depth: usize) -> Vec<String> {
    items(list).map(|argument| usage(argument, depth)).collect()
}

/// The elements of an array or set.
fn items(value: &Value) -> impl Iterator<Item = &Value> {
    match value {
        Value::Array(list) | Value::Set(list) => list.iter(),
        _ => [].iter(),
    }
}

/// The pairs of a map, or of a flat array as RESP2 sends one.
fn pairs(value: &Value) -> Vec<(&Value, &Value)> {
    match value {
        Value::Map(pairs) => pairs.iter().map(|(key, value)| (key, value)).collect(),
        Value::Array(flat) => flat.chunks_exact(2).map(|pair| (&pair[0], &pair[1])).collect(),
        _ => Vec::new(),
    }
}

fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    pairs(value).into_iter().find(|(key, _)| text(key) == name).map(|(_, value)| value)
}

fn text(value: &Value) -> String {
    match value {
        Value::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Simple(text) => text.clone(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.as_bytes().to_vec())
    }

    fn flat(pairs: Vec<(&str, Value)>) -> Value {
        Value::Array(pairs.into_iter().flat_map(|(name, value)| [bulk(name), value]).collect())
    }

    fn argument(name: &str, kind: &str, flags: &[&str]) -> Vec<(&'static str, Value)> {
        let flags = flags.iter().map(|flag| Value::Simple((*flag).to_owned())).collect();
        vec![("name", bulk(name)), ("type", bulk(kind)), ("flags", Value::Array(flags))]
    }

    fn docs() -> Value {
        let token = |name: &str, token: &str| {
            let mut facts = argument(name, "pure-token", &[]);
            facts.push(("token", bulk(token)));
            flat(facts)
        };
        let mut condition = argument("condition", "oneof", &["optional"]);
        condition.push(("arguments", Value::Array(vec![token("nx", "NX"), token("xx", "XX")])));
        let mut seconds = argument("seconds", "integer", &["optional"]);
        seconds.push(("token", bulk("EX")));
        let set = [argument("key", "key", &[]), argument("value", "string", &[]), condition, seconds];
        let del = [argument("key", "key", &["multiple"])];
        let get = flat(vec![(
            "arguments",
            Value::Array(vec![flat(argument("parameter", "string", &["multiple"]))]),
        )]);
        flat(vec![
            ("set", flat(vec![("arguments", Value::Array(set.into_iter().map(flat).collect()))])),
            ("setnx", flat(vec![])),
            ("del", flat(vec![("arguments", Value::Array(del.into_iter().map(flat).collect()))])),
            ("config", flat(vec![("subcommands", flat(vec![("config|get", get)]))])),
        ])
    }

    #[test]
    fn hints_tell_what_is_still_to_come() {
        let catalogue = Catalogue::from_docs(&docs());
        let hint = |line: &str| catalogue.hint(line);
        assert_eq!(hint("set"), None); // setnx is still possible
        assert_eq!(hint("set ").as_deref(), Some("key value [NX|XX] [EX seconds]"));
        assert_eq!(hint("SET k").as_deref(), Some(" value [NX|XX] [EX seconds]"));
        assert_eq!(hint("set k v ").as_deref(), Some("[NX|XX] [EX seconds]"));
        assert_eq!(hint("del").as_deref(), Some(" key [key ...]"));
        assert_eq!(hint("config get").as_deref(), Some(" parameter [parameter ...]"));
        assert_eq!(hint("nonsense "), None);
    }

    #[test]
    fn names_are_completed_step_by_step() {
        let catalogue = Catalogue::from_docs(&docs());
        assert_eq!(catalogue.completions("se"), ["set ", "setnx "]);
        assert_eq!(catalogue.completions("SE"), ["SET ", "SETNX "]);
        assert_eq!(catalogue.completions("conf"), ["config "]);
        assert_eq!(catalogue.completions("config "), ["config get "]);
        assert!(catalogue.completions("").is_empty());
    }

    #[test]
    fn a_reply_of_another_shape_is_an_empty_catalogue() {
        for odd in [Value::Null, Value::Integer(1), Value::Array(vec![Value::Null, Value::Null, bulk("x")])] {
            assert!(Catalogue::from_docs(&odd).commands.keys().all(String::is_empty));
        }
    }
}
