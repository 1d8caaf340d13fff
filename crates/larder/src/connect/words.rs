//! A typed line becomes words, by the quoting rules that redis-cli's users know: "double quotes" with \n \r \t \b \a
//! \xHH and \\ \" escapes, 'single quotes' with \' only, and a closing quote must end its word.

/// Why a line is no command.
pub(super) const UNBALANCED: &str = "Invalid argument(s)";

/// Splits a line into words of bytes.
pub(super) fn split(line: &str) -> Result<Vec<Vec<u8>>, &'static str> {
    let mut rest = line.as_bytes();
    let mut words = Vec::new();
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Ok(words);
        }
        let (word, after) = word(rest)?;
        words.push(word);
        rest = after;
    }
}

/// The first word of `rest`, which begins with no space.
fn word(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8]), &'static str> {
    let mut word = Vec::new();
    loop {
        match rest {
            [] => return Ok((word, rest)),
            [b, ..] if b.is_ascii_whitespace() => return Ok((word, rest)),
            [quote @ (b'"' | b'\''), inner @ ..] => {
                rest = if *quote == b'"' {
                    double_quoted(inner, &mut word)?
                } else {
                    single_quoted(inner, &mut word)?
                };
                if rest.first().is_some_and(|b| !b.is_ascii_whitespace()) {
                    return Err(UNBALANCED);
                }
                return Ok((word, rest));
            }
            [b, after @ ..] => {
                word.push(*b);
                rest = after;
            }
        }
    }
}

/// Reads up to the closing quote; answers what follows it.
fn double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], &'static str> {
    loop {
        match rest {
            [] => return Err(UNBALANCED),
            [b'"', after @ ..] => return Ok(after),
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                word.push(hex(*high) << 4 | hex(*low));
                rest = after;
            }
            [b'\\', escaped, after @ ..] => {
                word.push(unescape(*escaped));
                rest = after;
            }
            [b, after @ ..] => {
                word.push(*b);
                rest = after;
            }
        }
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], &'static str> {
    loop {
        match rest {
            [] => return Err(UNBALANCED),
            [b'\'', after @ ..] => return Ok(after),
            [b'\\', b'\'', after @ ..] => {
                word.push(b'\'');
                rest = after;
            }
            [b, after @ ..] => {
                word.push(*b);
                rest = after;
            }
        }
    }
}

fn unescape(letter: u8) -> u8 {
    match letter {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &[&[u8]]) {
        assert_eq!(split(line).unwrap(), expected);
    }

    #[test]
    fn words_and_quotes() {
        check("  set  k v ", &[b"set", b"k", b"v"]);
        check(r#"set "a b" 'c "d'"#, &[b"set", b"a b", b"c \"d"]);
        check(r#"set "\x00\xfF\n\"\\" 'it\'s \n'"#, &[b"set", b"\x00\xff\n\"\\", b"it's \\n"]);
        check(r#"set """#, &[b"set", b""]);
        check(r#""\xzz""#, &[b"xzz"]);
        check("", &[]);
    }

    #[test]
    fn what_does_not_balance_is_refused() {
        for line in ["\"a", "'a", "\"a\"b", "'a'b", "\"a\\"] {
            assert_eq!(split(line), Err(UNBALANCED), "{line}");
        }
    }
}
