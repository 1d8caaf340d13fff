//! The arguments of a command, from the line that documents them.
//!
//! `key value [NX | XX] [EX seconds | KEEPTTL]` says to a reader what COMMAND DOCS says to a program as nested maps.
//! The line is the source; this file reads it. Words in capitals are tokens; `[...]` is optional, `<...>` a choice,
//! `|` separates alternatives, and `x [x ...]` is an argument that may be repeated.

use larder_protocol::resp::reply::Reply;

/// One argument, as COMMAND DOCS describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    name: String,
    kind: &'static str,
    token: Option<String>,
    optional: bool,
    multiple: bool,
    /// It is repeated with its token.
    repeats_token: bool,
    parts: Vec<Argument>,
}

/// The arguments that a documented line names.
pub fn parse(syntax: &str) -> Vec<Argument> {
    let spaced: String = syntax.chars().flat_map(spread).collect();
    let words: Vec<&str> = spaced.split_whitespace().collect();
    sequence(&mut words.as_slice())
}

/// Puts blanks around brackets and bars, so that words can be split at blanks.
fn spread(c: char) -> Vec<char> {
    if "[]<>|".contains(c) { vec![' ', c, ' '] } else { vec![c] }
}

/// Reads arguments up to a closing bracket, a bar or the end.
fn sequence(words: &mut &[&str]) -> Vec<Argument> {
    let mut found: Vec<Argument> = Vec::new();
    while let Some((&word, rest)) = words.split_first() {
        match word {
            "]" | ">" | "|" => break,
            "..." => {
                *words = rest;
                if let Some(last) = found.last_mut() {
                    last.multiple = true;
                }
            }
            "[" | "<" => {
                *words = rest;
                let group = choice(words, word == "[");
                // `key [key ...]`: the group only repeats what stands before it.
                match found.last_mut() {
                    Some(last) if group.multiple && repeats(last, &group) => {
                        last.multiple = true;
                        last.repeats_token = group.token.is_some();
                    }
                    _ => found.push(group),
                }
            }
            _ => {
                *words = rest;
                found.push(plain(word, words));
            }
        }
    }
    repeated_pairs(found)
}

/// `field value [field value ...]` was read as two arguments and a repeated block of both: that is one block.
fn repeated_pairs(mut found: Vec<Argument>) -> Vec<Argument> {
    let Some(last) = found.last() else { return found };
    let width = last.parts.len();
    let names = |parts: &[Argument]| parts.iter().map(|part| part.name.clone()).collect::<Vec<_>>();
    if last.multiple && last.kind == "block" && found.len() > width {
        let start = found.len() - 1 - width;
        if names(&found[start..found.len() - 1]) == names(&last.parts) {
            let mut block = found.remove(found.len() - 1);
            block.optional = false;
            found.truncate(start);
            found.push(block);
        }
    }
    found
}

fn repeats(last: &Argument, group: &Argument) -> bool {
    last.name == group.name && (group.token.is_none() || last.token == group.token)
}

fn plain(word: &str, words: &mut &[&str]) -> Argument {
    let is_token = |w: &str| {
        sign(w).is_some()
            || w.chars().any(|c| c.is_ascii_uppercase()) && !w.chars().any(|c| c.is_ascii_lowercase())
    };
    let mut argument = Argument {
        name: sign(word).map_or_else(|| word.to_lowercase(), str::to_owned),
        kind: kind_of(word),
        token: None,
        optional: false,
        multiple: false,
        repeats_token: false,
        parts: Vec::new(),
    };
    if !is_token(word) {
        return argument;
    }
    argument.token = Some(word.to_owned());
    argument.kind = "pure-token";
    if let Some((&"<", rest)) = words.split_first() {
        // `AGGREGATE <SUM | MIN | MAX>`: the token is that of the choice.
        *words = rest;
        let alternatives = choice(words, false);
        return match alternatives.token {
            None => Argument { name: argument.name, token: argument.token, ..alternatives },
            Some(_) => alternatives,
        };
    }
    if let Some((&next, rest)) = words.split_first()
        && !is_token(next)
        && !["[", "]", "<", ">", "|", "..."].contains(&next)
    {
        *words = rest;
        (argument.name, argument.kind) = (next.to_owned(), kind_of(next));
    }
    argument
}

/// The name of a word that is no letters.
fn sign(word: &str) -> Option<&'static str> {
    match word {
        "=" => Some("equal"),
        "~" => Some("approximately"),
        "*" => Some("auto-id"),
        _ => None,
    }
}

fn kind_of(name: &str) -> &'static str {
    match name {
        "key" | "source" | "destination" | "newkey" | "destkey" | "sourcekey" | "dst" | "src" | "key1"
        | "key2" => "key",
        "pattern" => "pattern",
        "seconds" | "milliseconds" | "count" | "index" | "start" | "stop" | "end" | "offset"
        | "increment" | "decrement" | "bits" | "client-id" | "destination-db" | "version" | "index1"
        | "index2" | "num-matches" | "len" | "min-match-len" | "ttl" | "frequency" | "protover"
        | "numkeys" | "cursor" | "db" | "rank" | "limit" | "bit" | "weight" => "integer",
        "score" | "timeout" | "longitude" | "latitude" | "radius" | "width" | "height" => "double",
        "unix-time-seconds" | "unix-time-milliseconds" => "unix-time",
        _ => "string",
    }
}

/// Reads what stands between brackets, the closing one included.
fn choice(words: &mut &[&str], optional: bool) -> Argument {
    let mut alternatives = Vec::new();
    loop {
        alternatives.push(block(sequence(words)));
        match words.split_first() {
            Some((&"|", rest)) => *words = rest,
            Some((_, rest)) => {
                *words = rest;
                break;
            }
            None => break,
        }
    }
    let mut argument = match alternatives.len() {
        1 => alternatives.remove(0),
        _ => Argument {
            name: alternatives.first().map_or(String::new(), |first| format!("{}-or-other", first.name)),
            kind: "oneof",
            token: None,
            optional: false,
            multiple: false,
            repeats_token: false,
            parts: alternatives,
        },
    };
    argument.optional = optional;
    argument
}

fn block(mut parts: Vec<Argument>) -> Argument {
    if parts.len() == 1 {
        return parts.remove(0);
    }
    let multiple = parts.last_mut().is_some_and(|last| std::mem::take(&mut last.multiple));
    let name = parts.first().map_or(String::new(), |first| format!("{}-block", first.name));
    // `LIMIT offset count`: the token is that of the block, if nothing else than plain arguments follows.
    let plain = |part: &Argument| part.token.is_none() && part.parts.is_empty() && !part.optional;
    let token = match parts.split_first_mut() {
        Some((first, rest)) if first.kind != "pure-token" && rest.iter().all(plain) => first.token.take(),
        _ => None,
    };
    Argument { name, kind: "block", token, optional: false, multiple, repeats_token: false, parts }
}

/// Writes arguments as COMMAND DOCS does.
pub fn write(out: &mut Reply, arguments: &[Argument]) {
    out.array(arguments.len());
    for argument in arguments {
        let flags: Vec<&str> = [
            (argument.optional, "optional"),
            (argument.multiple, "multiple"),
            (argument.repeats_token, "multiple_token"),
        ]
        .into_iter()
        .filter_map(|(set, name)| set.then_some(name))
        .collect();
        let nested = !argument.parts.is_empty();
        out.map(
            2 + usize::from(argument.token.is_some()) + usize::from(!flags.is_empty()) + usize::from(nested),
        );
        out.bulk(b"name");
        out.bulk(argument.name.as_bytes());
        out.bulk(b"type");
        out.bulk(argument.kind.as_bytes());
        if let Some(token) = &argument.token {
            out.bulk(b"token");
            out.bulk(token.as_bytes());
        }
        if !flags.is_empty() {
            out.bulk(b"flags");
            out.set(flags.len());
            flags.iter().for_each(|flag| out.simple(flag));
        }
        if nested {
            out.bulk(b"arguments");
            write(out, &argument.parts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(arguments: &[Argument]) -> String {
        arguments.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    fn one(argument: &Argument) -> String {
        let inner = match argument.kind {
            "oneof" => {
                let parts = argument.parts.iter().map(one).collect::<Vec<_>>().join("|");
                argument.token.as_ref().map_or(parts.clone(), |token| format!("{token}={parts}"))
            }
            "block" => {
                format!("{}({})", argument.token.as_deref().unwrap_or_default(), show(&argument.parts))
            }
            "pure-token" => argument.token.clone().unwrap_or_default(),
            _ => match &argument.token {
                Some(token) => format!("{token}={}", argument.name),
                None => argument.name.clone(),
            },
        };
        let inner = if argument.multiple { format!("{inner}+") } else { inner };
        if argument.optional { format!("[{inner}]") } else { inner }
    }

    #[test]
    fn lines_become_arguments() {
        for (line, expected) in [
            ("", ""),
            ("key", "key"),
            ("key [key ...]", "key+"),
            ("key value [key value ...]", "(key value)+"),
            (
                "key value [NX | XX] [GET] [EX seconds | KEEPTTL]",
                "key value [NX|XX] [GET] [EX=seconds|KEEPTTL]",
            ),
            ("key <BEFORE | AFTER> pivot element", "key BEFORE|AFTER pivot element"),
            ("key [LIMIT offset count]", "key [LIMIT(offset count)]"),
            ("key [COUNT count [ANY]]", "key [(COUNT=count [ANY])]"),
            ("key [AGGREGATE <SUM | MIN>] [GET a [GET a ...]]", "key [AGGREGATE=SUM|MIN] [GET=a+]"),
            ("numkeys key [key ...] [WEIGHTS weight [weight ...]]", "numkeys key+ [WEIGHTS=weight+]"),
            ("key <MAXLEN | MINID> [= | ~] threshold <* | id>", "key MAXLEN|MINID [=|~] threshold *|id"),
            ("key [NX | XX] score member [score member ...]", "key [NX|XX] (score member)+"),
        ] {
            assert_eq!(show(&parse(line)), expected, "{line}");
        }
    }

    #[test]
    fn broken_lines_end() {
        for line in ["[", "]", "[[[", "a ]", "<|>", "... ..."] {
            parse(line);
        }
    }
}
