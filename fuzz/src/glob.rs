//! Globs: matching ends, and agrees with a plain recursive matcher where that one is affordable.

use larder_protocol::glob::matches;

/// A pattern of `*`, `?` and literals, matched by table: cell (p, t) = the rest of the pattern matches the rest.
fn plain(pattern: &[u8], text: &[u8]) -> bool {
    let mut next = vec![false; text.len() + 1];
    next[text.len()] = true;
    for &element in pattern.iter().rev() {
        let mut row = vec![false; text.len() + 1];
        for t in (0..=text.len()).rev() {
            row[t] = match element {
                b'*' => next[t] || t < text.len() && row[t + 1],
                b'?' => t < text.len() && next[t + 1],
                literal => t < text.len() && text[t] == literal && next[t + 1],
            };
        }
        next = row;
    }
    next[0]
}

/// Reads the input and asserts what must hold of it.
pub fn run(input: (&[u8], &[u8])) {
    let (pattern, text) = input;
    let found = matches(pattern, text, false);
    let _ = matches(pattern, text, true);
    if !pattern.iter().any(|byte| matches!(byte, b'[' | b'\\')) {
        assert_eq!(found, plain(pattern, text));
    }
    if found {
        // Whatever matches goes on matching when case stops to count, classes aside.
        assert!(pattern.contains(&b'[') || matches(pattern, text, true));
    }
    let quoted: Vec<u8> = text.iter().flat_map(|&byte| [b'\\', byte]).collect();
    assert!(matches(&quoted, text, false));
}
