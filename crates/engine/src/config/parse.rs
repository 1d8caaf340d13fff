//! redis.conf and the command line of redis-server.
//!
//! A file has a directive per line: a name and values, which may be quoted; `#` begins a comment; `include` reads
//! another file. On the command line `--name value...` is such a line, and comes after the file.

use super::Config;
use super::row::Row;
use crate::acl::user::is_name;
use crate::acl::{Catalog, User};
use crate::command::{Table, families};
use crate::snapshot::save::parse_points;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Files that may include each other.
const INCLUDE_DEPTH_MAX: usize = 16;
/// Bytes of a configuration file.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A line of a file, or an argument of the command line.
    #[error("*** FATAL CONFIG FILE ERROR (Larder {}) ***\nReading {place}\n>>> '{line}'\n{what}", env!("CARGO_PKG_VERSION"))]
    Line {
        /// `the configuration file x, at line 3`, or `the command line`.
        place: String,
        /// The line.
        line: String,
        /// What is wrong.
        what: String,
    },
    /// A file could not be read.
    #[error("Fatal error, can't open config file '{path}': {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Splits a line at blanks, with the quoting of redis.conf; `None` when quotes do not close.
pub fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut chars = line.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let Some(&first) = chars.peek() else { return Some(words) };
        let mut word = String::new();
        if first == '"' || first == '\'' {
            chars.next();
            loop {
                match chars.next()? {
                    c if c == first => break,
                    '\\' if first == '"' => word.push(unescape(&mut chars)?),
                    '\\' if chars.next_if_eq(&'\'').is_some() => word.push('\''),
                    c => word.push(c),
                }
            }
            if chars.peek().is_some_and(|c| !c.is_whitespace()) {
                return None;
            }
        } else {
            while let Some(c) = chars.next_if(|c| !c.is_whitespace()) {
                word.push(c);
            }
        }
        words.push(word);
    }
}

fn unescape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    Some(match chars.next()? {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'b' => '\u{8}',
        'a' => '\u{7}',
        'x' => {
            let (high, low) = (chars.next()?.to_digit(16)?, chars.next()?.to_digit(16)?);
            char::from((high * 16 + low) as u8)
        }
        other => other,
    })
}

/// Applies one directive.
fn apply(config: &mut Config, words: &[String]) -> Result<(), String> {
    if words[0].eq_ignore_ascii_case("user") {
        return define_user(config, words);
    }
    if words[0].eq_ignore_ascii_case("save") && words.len() > 1 && !words[1].is_empty() {
        return add_save_point(config, words);
    }
    let row = Row::find(&words[0]).ok_or("Bad directive or wrong number of arguments")?;
    match words.len() {
        1 if row.name() == "save" => row.set(config, ""), // alone it means the empty list
        1 => Err("wrong number of arguments".into()),
        2 => row.set(config, &words[1]),
        _ if row.takes_words() => row.set(config, &words[1..].join(" ")),
        // Another name for a command, a user: what is missing is worth more than a word about words.
        _ => Err(row
            .absent()
            .map_or("wrong number of arguments".into(), |feature| format!("{feature} not available yet"))),
    }
}

/// `save seconds changes...`: each line adds to those before; an empty one takes all away.
fn add_save_point(config: &mut Config, words: &[String]) -> Result<(), String> {
    config.settings.persistence.save_points.extend(parse_points(&words[1..].join(" "))?);
    Ok(())
}

/// `user name rule...`. What the rules do is decided at the start; whether they are rules is told here, with the line.
fn define_user(config: &mut Config, words: &[String]) -> Result<(), String> {
    let Some(name) = words.get(1) else { return Err("Bad directive or wrong number of arguments".into()) };
    if !is_name(name.as_bytes()) {
        return Err(format!(
            "Error in user declaration '{name}': Usernames can't contain spaces or null characters"
        ));
    }
    if config.startup.users.iter().any(|other| other.first() == Some(name)) {
        return Err(format!(
            "Error in user declaration '{name}': Duplicate user found. A user can only be defined once in config files"
        ));
    }
    let catalog = Catalog::new(&Table::new(families()));
    let mut user = User::new(name.as_bytes(), false);
    user.apply_all(&catalog, words[2..].iter().map(|rule| rule.as_bytes()), false)
        .map_err(|error| format!("Error in user declaration {error}"))?;
    config.startup.users.push(words[1..].to_vec());
    Ok(())
}

/// Applies the text of a file. Relative includes are read from the working directory, as Redis does it.
pub fn text(config: &mut Config, text: &str, name: &str, depth: usize) -> Result<(), ConfigError> {
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fail = |what: String| ConfigError::Line {
            place: format!("the configuration file {name}, at line {}", number + 1),
            line: line.to_owned(),
            what,
        };
        let words = split(line).ok_or_else(|| fail("Unbalanced quotes in configuration line".into()))?;
        if words.is_empty() {
            continue;
        }
        if words[0].eq_ignore_ascii_case("include") {
            if words.len() != 2 || depth == INCLUDE_DEPTH_MAX {
                return Err(fail("include takes one file, and includes may not be nested deeply".into()));
            }
            file(config, Path::new(&words[1]), depth + 1)?;
        } else {
            apply(config, &words).map_err(fail)?;
        }
    }
    Ok(())
}

/// Applies a file.
pub fn file(config: &mut Config, path: &Path, depth: usize) -> Result<(), ConfigError> {
    let fail = |source| ConfigError::File { path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(fail)?.len();
    if size > FILE_BYTES_MAX {
        return Err(fail(std::io::Error::other("larger than 16 MB")));
    }
    let bytes = std::fs::read(path).map_err(fail)?;
    text(config, &String::from_utf8_lossy(&bytes), &path.display().to_string(), depth)
}

/// Applies the arguments of `larder node`: at most one file, `--name value...`, and `-` at the end for the standard
/// input, which comes after the file and before the directives.
///
/// # Errors
/// What is wrong, and where.
pub fn arguments(arguments: &[String]) -> Result<Config, ConfigError> {
    let mut config = Config::default();
    let mut rest = arguments;
    if let Some((first, after)) = rest.split_first()
        && !first.starts_with('-')
    {
        let path = std::path::absolute(first).unwrap_or_else(|_| PathBuf::from(first));
        file(&mut config, Path::new(first), 0)?; // which may go to another folder
        config.settings.file = Some(path);
        rest = after;
    }
    if let Some((last, before)) = rest.split_last()
        && last == "-"
    {
        standard_input(&mut config)?;
        rest = before;
    }
    for words in directives(rest) {
        apply(&mut config, &words).map_err(|what| ConfigError::Line {
            place: "the command line".into(),
            line: format!("--{}", words.join(" ")),
            what,
        })?;
    }
    Ok(config)
}

fn standard_input(config: &mut Config) -> Result<(), ConfigError> {
    let mut source = Vec::new();
    let fail = |source| ConfigError::File { path: PathBuf::from("-"), source };
    std::io::stdin().take(FILE_BYTES_MAX).read_to_end(&mut source).map_err(fail)?;
    text(config, &String::from_utf8_lossy(&source), "of the standard input", 0)
}

/// Groups `--name value...` and `--name=value`.
fn directives(arguments: &[String]) -> Vec<Vec<String>> {
    let mut lines: Vec<Vec<String>> = Vec::new();
    for argument in arguments {
        match (argument.strip_prefix("--"), lines.last_mut()) {
            (Some(name), _) => match name.split_once('=') {
                Some((name, value)) => lines.push(vec![name.to_owned(), value.to_owned()]),
                None => lines.push(vec![name.to_owned()]),
            },
            (None, Some(line)) => line.push(argument.clone()),
            (None, None) => lines.push(vec![argument.clone()]),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(source: &str) -> Result<Config, String> {
        let mut config = Config::default();
        text(&mut config, source, "test.conf", 0).map(|()| config).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_is_read() {
        let config = of("# comment\nport 7000\nmaxmemory 100mb\n\nmaxmemory-policy allkeys-lru\nrequirepass \"a b\\x21\"\nbind 127.0.0.1 -::1\n").unwrap();
        assert_eq!(config.settings.port, 7000);
        assert_eq!(config.settings.maxmemory, 100 << 20);
        assert_eq!(config.settings.requirepass, "a b!");
        assert_eq!(config.settings.bind, ["127.0.0.1", "-::1"]);
        for (source, points) in [("save 1 2", 1), ("save", 0), ("save 1 2\nsave ", 0), ("save\nsave 1 2", 1)]
        {
            assert_eq!(of(source).unwrap().settings.persistence.save_points.len(), points, "{source}");
        }
    }

    #[test]
    fn mistakes_are_told_with_file_and_line() {
        for (source, expected) in [
            (
                "\nport x",
                "the configuration file test.conf, at line 2\n>>> 'port x'\nargument couldn't be parsed into an integer",
            ),
            ("port 70000", "argument must be between 0 and 65535 inclusive"),
            ("nonsense 1", "Bad directive or wrong number of arguments"),
            ("port", "wrong number of arguments"),
            ("requirepass \"x", "Unbalanced quotes in configuration line"),
            ("user", "Bad directive or wrong number of arguments"),
            ("user a +nope", "Error in user declaration '+nope': Unknown command or category name in ACL"),
            ("user a (+get", "Error in user declaration '(+get': Unmatched parenthesis"),
            (
                "user 'a b' on",
                "Error in user declaration 'a b': Usernames can't contain spaces or null characters",
            ),
            (
                "user a on\nuser a off",
                "line 2\n>>> 'user a off'\nError in user declaration 'a': Duplicate user found.",
            ),
            ("rdma-port 6380", "RDMA is not available yet; the only value is '0'"),
            ("rename-command get fetch", "another name for a command is not available yet"),
            ("requirepass a b", "wrong number of arguments"),
            ("maxmemory 1zb", "argument must be a memory value"),
        ] {
            let error = of(source).unwrap_err();
            assert!(error.contains(expected), "{source:?}: {error}");
        }
    }

    #[test]
    fn the_command_line_comes_after_the_file() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let config =
            arguments(&words("--port 7001 --threads=2 --hash-max-ziplist-entries 3 --bind 127.0.0.1 ::1"))
                .unwrap();
        assert_eq!((config.settings.port, config.startup.threads), (7001, 2));
        assert_eq!(config.settings.limits.hash_max_listpack_entries, 3);
        assert_eq!(config.settings.bind, ["127.0.0.1", "::1"]);
        assert!(arguments(&words("--no-such-thing 1")).is_err());
    }
}
