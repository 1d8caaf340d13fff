//! `larder why`: what the nodes of a cache know of one key.

use std::os::unix::ffi::OsStrExt;

use larder_protocol::resp::value::Value;
use serde_json::json;

use super::{Found, Server, memcached, redis, servers};
use crate::arguments::{Output, Why};
use crate::failure::Failure;
use crate::terminal::{clean, print, print_json};

/// Names with values, `state` first.
type Facts = Vec<(String, String)>;

pub(crate) fn why(arguments: &Why) -> Result<(), Failure> {
    let key = arguments.key.as_bytes();
    if key.is_empty() {
        return Err(Failure::failed("a key has at least one byte"));
    }
    let Found { servers, .. } =
        servers(&arguments.name, arguments.engine, arguments.node.as_deref(), &arguments.asking.place)?;
    let answers = servers.iter().map(|server| ask(server, key)).collect::<Result<Vec<_>, _>>()?;
    let nodes = servers.iter().map(|server| server.label.as_str()).zip(&answers);
    if arguments.asking.format.output == Output::Json {
        print_json(&nodes.map(|(node, facts)| as_json(node, facts)).collect::<Vec<_>>());
    } else {
        let key = clean(&arguments.key.to_string_lossy());
        nodes.for_each(|(node, facts)| print(&format!("{node}: {}\n", sentence(&key, facts))));
    }
    Ok(())
}

fn ask(server: &Server, key: &[u8]) -> Result<Facts, Failure> {
    if server.memcached && key.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
        return Err(Failure::failed("keys of Memcached have neither blanks nor control characters"));
    }
    let facts = if server.memcached {
        memcached::ask(server, &[b"stats why ", key, b"\r\n"].concat()).map(|reply| from_stats(&reply))?
    } else {
        from_value(redis::ask(server, &[b"LARDER.WHY".to_vec(), key.to_vec()])?)?
    };
    match facts.first() {
        Some((name, _)) if name == "state" => Ok(facts),
        _ => Err(Failure::failed(format!("{} does not say why keys leave: it is no Larder", server.label))),
    }
}

/// Reads `STAT name value` lines.
fn from_stats(reply: &[u8]) -> Facts {
    let text = String::from_utf8_lossy(reply);
    let lines = text.lines().filter_map(|line| line.strip_prefix("STAT ")?.split_once(' '));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Reads a map, or the flat list that stands for it in RESP2.
fn from_value(value: Value) -> Result<Facts, Failure> {
    let text = |value: &Value| match value {
        Value::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Integer(n) => n.to_string(),
        Value::Simple(text) => text.clone(),
        _ => String::new(),
    };
    match value {
        Value::Error(error) => Err(Failure::failed(error)),
        Value::Map(pairs) => Ok(pairs.iter().map(|(name, value)| (text(name), text(value))).collect()),
        Value::Array(flat) => Ok(flat.chunks_exact(2).map(|pair| (text(&pair[0]), text(&pair[1]))).collect()),
        _ => Ok(Vec::new()),
    }
}

fn as_json(node: &str, facts: &Facts) -> serde_json::Value {
    let mut object = serde_json::Map::new();
    object.insert("node".into(), json!(node));
    for (name, value) in facts {
        let value = value.parse::<i64>().map_or_else(|_| json!(value), |number| json!(number));
        object.insert(name.clone(), value);
    }
    object.into()
}

/// What is known, for people.
fn sentence(key: &str, facts: &Facts) -> String {
    let fact = |name: &str| facts.iter().find(|(fact, _)| fact == name).map(|(_, value)| value.as_str());
    let number = |name: &str| fact(name).and_then(|value| value.parse::<i64>().ok());
    match fact("state").unwrap_or_default() {
        "present" => {
            let left = match number("ttl_ms") {
                Some(ms) if ms >= 0 => format!("expires in {} s", ms / 1000),
                _ => "does not expire".to_owned(),
            };
            let read = match number("read") {
                Some(1) => "read since it was set",
                _ => "not read since it was set, as far as is known",
            };
            let (bytes, idle) = (number("bytes").unwrap_or(0), number("idle_seconds").unwrap_or(0));
            format!("{key} is there: {bytes} bytes, {left}, last used {idle} s ago, {read}")
        }
        "evicted" => format!("{key} was evicted: memory was full, and other keys were worth more"),
        "expired" => format!("{key} expired: its time to live was over"),
        "deleted" => format!("{key} was deleted by a client"),
        "flushed" => format!("{key} went when the database was emptied"),
        _ => format!("{key} was never stored, or it left so long ago that this is forgotten"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.as_bytes().to_vec())
    }

    #[test]
    fn both_forms_of_a_map_and_stats_say_the_same() {
        let flat = vec![bulk("state"), bulk("present"), bulk("bytes"), Value::Integer(40)];
        let map = vec![(bulk("state"), bulk("present")), (bulk("bytes"), Value::Integer(40))];
        let facts = from_value(Value::Map(map)).unwrap();
        assert_eq!(facts, from_value(Value::Array(flat)).unwrap());
        assert_eq!(facts, from_stats(b"STAT state present\r\nSTAT bytes 40\r\nEND\r\n"));
        assert_eq!(as_json("a", &facts), json!({"node": "a", "state": "present", "bytes": 40}));
        assert!(from_value(Value::Error("ERR unknown command".into())).is_err());
    }

    #[test]
    fn each_state_has_a_sentence() {
        let mut seen = std::collections::BTreeSet::new();
        for state in ["present", "evicted", "expired", "deleted", "flushed", "unknown"] {
            let text = sentence("user:1", &vec![("state".into(), state.into())]);
            assert!(text.starts_with("user:1 "), "{text}");
            seen.insert(text);
        }
        assert_eq!(seen.len(), 6);
    }
}
