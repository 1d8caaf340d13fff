//! Access strings: the rules of ACL SETUSER that ElastiCache admits, and the form in which it gives them back.

use crate::resource::refusal::Refusal;

/// Longest access string.
const BYTES_MAX: usize = 4096;
/// Categories of commands.
const CATEGORIES: &[&str] = &[
    "admin",
    "all",
    "bitmap",
    "blocking",
    "connection",
    "dangerous",
    "fast",
    "geo",
    "hash",
    "hyperloglog",
    "keyspace",
    "list",
    "pubsub",
    "read",
    "scripting",
    "set",
    "slow",
    "sortedset",
    "stream",
    "string",
    "transaction",
    "write",
];
/// What ElastiCache's users may not be given or do with an access string: secrets have parameters of their own.
const FORBIDDEN: &[&str] = &["nopass", "resetpass", "reset"];
/// Commands that no user of ElastiCache can have.
const RESTRICTED: &[&str] = &[
    "bgrewriteaof",
    "bgsave",
    "config",
    "debug",
    "migrate",
    "psync",
    "replicaof",
    "save",
    "shutdown",
    "slaveof",
    "sync",
];

/// The parts of an access string, of the root or of a selector.
#[derive(Default)]
struct Parts {
    state: Option<&'static str>,
    keys: Vec<String>,
    channels: Vec<String>,
    commands: Vec<String>,
    selectors: Vec<String>,
}

/// An access string as ElastiCache gives it back: first `on` or `off` (`off` if neither was given), then keys, channels,
/// commands (after `-@all`, unless they begin with all or none) and selectors.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn normalise(text: &str) -> Result<String, Refusal> {
    if text.len() > BYTES_MAX || !text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Err(refusal(text, "it must be printable ASCII text of at most 4096 characters"));
    }
    let parts = parse(text, true)?;
    let mut words = vec![parts.state.unwrap_or("off").to_owned()];
    words.extend(rules(&parts));
    words.extend(parts.selectors);
    Ok(words.join(" "))
}

fn rules(parts: &Parts) -> Vec<String> {
    let mut words = parts.keys.clone();
    words.extend(parts.channels.clone());
    let begins_plain = parts.commands.first().is_some_and(|first| first == "+@all" || first == "-@all");
    if !begins_plain {
        words.push("-@all".to_owned());
    }
    words.extend(parts.commands.clone());
    words
}

fn parse(text: &str, is_root: bool) -> Result<Parts, Refusal> {
    let mut parts = Parts::default();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = if is_root && rest.starts_with('(') {
            rest.find(')').map(|at| at + 1).ok_or_else(|| refusal(rest, "a parenthesis is not closed"))?
        } else {
            rest.find(' ').unwrap_or(rest.len())
        };
        let (word, after) = rest.split_at(end);
        if !after.is_empty() && !after.starts_with(' ') {
            return Err(refusal(rest, "a space must follow a closing parenthesis"));
        }
        take(&mut parts, word, is_root)?;
        rest = after.trim_start();
    }
    Ok(parts)
}

fn take(parts: &mut Parts, word: &str, is_root: bool) -> Result<(), Refusal> {
    match word {
        "on" if is_root => parts.state = Some("on"),
        "off" if is_root => parts.state = Some("off"),
        "allkeys" | "~*" => parts.keys = vec!["~*".to_owned()],
        "resetkeys" => parts.keys.clear(),
        "allchannels" | "&*" => parts.channels = vec!["&*".to_owned()],
        "resetchannels" => parts.channels = vec!["resetchannels".to_owned()],
        "allcommands" | "+@all" => parts.commands = vec!["+@all".to_owned()],
        "nocommands" | "-@all" => parts.commands = vec!["-@all".to_owned()],
        "clearselectors" if is_root => parts.selectors.clear(),
        _ if FORBIDDEN.contains(&word) || word.starts_with(['>', '<', '#', '!']) => {
            return Err(refusal(word, "passwords are given by parameters of their own"));
        }
        _ if word.starts_with('(') && is_root => parts.selectors.push(selector(word)?),
        _ if is_key_pattern(word) => parts.keys.push(word.to_owned()),
        _ if word.starts_with('&') && word.len() > 1 => parts.channels.push(word.to_owned()),
        _ if word.starts_with(['+', '-']) => parts.commands.push(command(word)?),
        _ => return Err(refusal(word, "it is not a rule")),
    }
    Ok(())
}

/// `~pattern`, or the same with what is allowed: `%R~`, `%W~`, `%RW~`.
fn is_key_pattern(word: &str) -> bool {
    let rest = match word.strip_prefix('%') {
        None => Some(word),
        Some(rest) => {
            let end = rest.find('~').unwrap_or(0);
            let rights = rest[..end].to_ascii_uppercase();
            matches!(rights.as_str(), "R" | "W" | "RW" | "WR").then_some(&rest[end..])
        }
    };
    rest.and_then(|rest| rest.strip_prefix('~')).is_some_and(|pattern| !pattern.is_empty())
}

fn selector(word: &str) -> Result<String, Refusal> {
    let inner = word.trim_start_matches('(').trim_end_matches(')');
    let parts = parse(inner, false)?;
    Ok(format!("({})", rules(&parts).join(" ")))
}

/// `+name`, `-name|sub` or a category.
fn command(word: &str) -> Result<String, Refusal> {
    let lower = word.to_ascii_lowercase();
    let (sign, name) = lower.split_at(1);
    if let Some(category) = name.strip_prefix('@') {
        if CATEGORIES.contains(&category) {
            return Ok(lower.clone());
        }
        return Err(refusal(word, "there is no such category of commands"));
    }
    let is_word = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_' || b == b'.')
    };
    let parts: Vec<&str> = name.split('|').collect();
    if parts.len() > 2 || !parts.iter().all(|part| is_word(part)) {
        return Err(refusal(word, "it is not the name of a command"));
    }
    if sign == "+" && RESTRICTED.contains(&parts[0]) {
        return Err(refusal(word, "the command is restricted"));
    }
    Ok(lower.clone())
}

fn refusal(word: &str, why: &str) -> Refusal {
    let shown: String = word.chars().take(64).collect();
    Refusal::value(format!("The parameter AccessString is not valid at '{shown}': {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back_as_elasticache_gives_them() {
        for (given, back) in [
            ("+get ~keys*", "off ~keys* -@all +get"),
            ("on allkeys allcommands", "on ~* +@all"),
            ("on ~* +@all", "on ~* +@all"),
            ("off ~objects:* ~items:* ~public:*", "off ~objects:* ~items:* ~public:* -@all"),
            ("on ~app::* -@all +@read", "on ~app::* -@all +@read"),
            ("on  ~a*  &c* +@all  -FLUSHALL", "on ~a* &c* +@all -flushall"),
            ("on %R~a %RW~b +config|get -config", ""),
            (
                "on %R~a* %W~b* (%RW~c* +get) +client|id",
                "on %R~a* %W~b* -@all +client|id (%RW~c* -@all +get)",
            ),
            ("", "off -@all"),
            ("on ~a resetkeys ~b nocommands +ping", "on ~b -@all +ping"),
        ] {
            match normalise(given) {
                Ok(found) => {
                    assert_eq!(found, back, "{given}");
                    assert_eq!(normalise(&found).as_deref(), Ok(back), "normal forms stay as they are");
                }
                Err(_) => assert_eq!(back, "", "{given}"),
            }
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for bad in [
            "on >password",
            "on nopass",
            "on #00",
            "on !00",
            "on <x",
            "resetpass",
            "reset",
            "on ~",
            "on %X~a",
            "on %~a",
            "on hello",
            "on +@nothing",
            "on +a|b|c",
            "on +",
            "on (~a",
            "on (~a)b",
            "on ((~a))",
            "on (on ~a)",
            "on +debug",
            "on ~a\n+@all",
            "ön",
        ] {
            assert_eq!(normalise(bad).map_err(|e| e.code), Err("InvalidParameterValue"), "{bad}");
        }
    }
}
