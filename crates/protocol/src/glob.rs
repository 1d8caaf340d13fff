//! Glob patterns of KEYS, SCAN MATCH, CONFIG GET and the like: `*`, `?`, `[abc]`, `[^a-z]`, `\` to quote.
//!
//! Matching never backtracks further than the last `*`, so it takes O(pattern x text) at worst: the exponential
//! patterns of a recursive matcher cost nothing here.

/// True when `text` matches `pattern` as a whole; with `nocase`, ASCII letters match in either case.
pub fn matches(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when a match fails: after the last `*`, having it eat one more byte.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        if p == pattern.len() && t == text.len() {
            return true;
        }
        let step = if t < text.len() { one(pattern, p, text[t], nocase) } else { None };
        match (step, retry) {
            (Some(next), _) => (p, t) = (next, t + 1),
            (None, Some((star, from))) if from < text.len() => {
                retry = Some((star, from + 1));
                (p, t) = (star, from + 1);
            }
            _ => return false,
        }
    }
}

/// Matches one byte against the element at `p`; answers where the next element begins.
fn one(pattern: &[u8], p: usize, byte: u8, nocase: bool) -> Option<usize> {
    match *pattern.get(p)? {
        b'?' => Some(p + 1),
        b'[' => class(pattern, p + 1, byte, nocase),
        b'\\' if p + 1 < pattern.len() => same(pattern[p + 1], byte, nocase).then_some(p + 2),
        literal => same(literal, byte, nocase).then_some(p + 1),
    }
}

/// Matches a byte against the class that begins at `p`, after its bracket. A class that never closes ends with the
/// pattern, as in Redis.
fn class(pattern: &[u8], mut p: usize, byte: u8, nocase: bool) -> Option<usize> {
    let negated = pattern.get(p) == Some(&b'^');
    p += usize::from(negated);
    let mut found = false;
    loop {
        match pattern.get(p) {
            None => break,
            Some(b']') => {
                p += 1;
                break;
            }
            Some(b'\\') if p + 1 < pattern.len() => {
                found |= same(pattern[p + 1], byte, nocase);
                p += 2;
            }
            Some(&low) if p + 2 < pattern.len() && pattern[p + 1] == b'-' => {
                found |= in_range(low, pattern[p + 2], byte, nocase);
                p += 3;
            }
            Some(&literal) => {
                found |= same(literal, byte, nocase);
                p += 1;
            }
        }
    }
    (found != negated).then_some(p)
}

fn in_range(a: u8, b: u8, byte: u8, nocase: bool) -> bool {
    let fold = |x: u8| if nocase { x.to_ascii_lowercase() } else { x };
    let (low, high) = (a.min(b), a.max(b));
    (fold(low)..=fold(high)).contains(&fold(byte))
}

fn same(a: u8, b: u8, nocase: bool) -> bool {
    a == b || nocase && a.eq_ignore_ascii_case(&b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn m(pattern: &str, text: &str) -> bool {
        matches(pattern.as_bytes(), text.as_bytes(), false)
    }

    #[test]
    fn the_documented_forms() {
        assert!(m("h?llo", "hello") && !m("h?llo", "hllo"));
        assert!(m("h*llo", "heeeello") && m("h*llo", "hllo"));
        assert!(m("h[ae]llo", "hallo") && !m("h[ae]llo", "hillo"));
        assert!(m("h[^e]llo", "hallo") && !m("h[^e]llo", "hello"));
        assert!(m("h[a-b]llo", "hbllo") && !m("h[a-b]llo", "hcllo"));
        assert!(m("h\\*llo", "h*llo") && !m("h\\*llo", "hello"));
        assert!(m("*", "") && m("", "") && !m("", "a") && !m("?", ""));
        assert!(m("a*b*c", "aXXbYYc") && !m("a*b*c", "aXXbYY"));
    }

    #[test]
    fn case_is_ignored_on_request() {
        assert!(matches(b"Max*", b"maxmemory", true) && !matches(b"Max*", b"maxmemory", false));
        assert!(matches(b"[A-Z]x", b"qX", true));
    }

    #[test]
    fn evil_patterns_end() {
        let text = vec![b'a'; 20_000];
        let pattern: Vec<u8> = b"a*".repeat(200).into_iter().chain(*b"b").collect();
        assert!(!matches(&pattern, &text, false));
    }
}
