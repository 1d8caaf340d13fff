//! Patterns of policies: `*` for any text, `?` for one character, `${key}` for a value of the request.

use super::Context;

/// One element of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Char(char),
    One,
    Any,
}

/// A pattern with its variables filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    tokens: Vec<Token>,
}

impl Pattern {
    /// A pattern whose variables are filled in from the context. A variable without exactly one value and without a
    /// default makes a pattern that matches nothing: none.
    pub(super) fn expand(text: &str, context: &Context) -> Option<Pattern> {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some((inside, after)) = rest.strip_prefix("${").and_then(|tail| tail.split_once('}')) {
                tokens.extend(variable(inside, context)?.chars().map(Token::Char));
                rest = after;
                continue;
            }
            tokens.push(match c {
                '*' => Token::Any,
                '?' => Token::One,
                other => Token::Char(other),
            });
            rest = &rest[c.len_utf8()..];
        }
        Some(Pattern { tokens })
    }

    /// A pattern without variables and in which case does not matter: actions.
    pub(super) fn ignoring_case(text: &str) -> Pattern {
        let token = |c| match c {
            '*' => Token::Any,
            '?' => Token::One,
            other => Token::Char(other),
        };
        Pattern { tokens: text.to_lowercase().chars().map(token).collect() }
    }

    /// Whether the whole text fits. Takes time in proportion to pattern times text at worst.
    pub(super) fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut at, mut token) = (0, 0);
        let mut again: Option<(usize, usize)> = None;
        while at < text.len() {
            match self.tokens.get(token) {
                Some(Token::Any) => {
                    again = Some((token + 1, at));
                    token += 1;
                }
                Some(Token::One) => (at, token) = (at + 1, token + 1),
                Some(Token::Char(c)) if *c == text[at] => (at, token) = (at + 1, token + 1),
                _ => {
                    // Let the newest star take one character more.
                    let Some((after, from)) = again else { return false };
                    again = Some((after, from + 1));
                    (token, at) = (after, from + 1);
                }
            }
        }
        self.tokens[token.min(self.tokens.len())..].iter().all(|t| *t == Token::Any)
    }
}

/// The value of a variable: `${*}`, `${?}` and `${$}` are these characters, `${key, 'default'}` has a default.
pub(super) fn variable(inside: &str, context: &Context) -> Option<String> {
    if matches!(inside, "*" | "?" | "$") {
        return Some(inside.to_owned());
    }
    let (key, default) = match inside.split_once(',') {
        Some((key, default)) => (key.trim(), Some(default.trim().trim_matches('\''))),
        None => (inside.trim(), None),
    };
    match context.get(key) {
        Some([value]) => Some(value.clone()),
        _ => default.map(str::to_owned),
    }
}

/// A text with its variables filled in, for operators that know no patterns.
pub(super) fn fill(text: &str, context: &Context) -> Option<String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, tail)) = rest.split_once("${") {
        let Some((inside, after)) = tail.split_once('}') else { break };
        filled.push_str(before);
        filled.push_str(&variable(inside, context)?);
        rest = after;
    }
    filled.push_str(rest);
    Some(filled)
}
