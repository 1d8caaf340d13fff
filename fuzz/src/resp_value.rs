//! Replies as a client reads them: never a panic, a value's prefix is incomplete and never something else.

use larder_protocol::resp::value::decode;

/// Longest value whose every prefix is tried.
const PREFIXES_MAX: usize = 256;

/// Reads the input and asserts what must hold of it.
pub fn run(input: &[u8]) {
    let Ok(Some((_, used))) = decode(input) else { return };
    assert!((1..=input.len()).contains(&used));
    // Two reads of the same bytes need not be equal as values: a double may be NaN.
    assert!(matches!(decode(&input[..used]), Ok(Some((_, same))) if same == used));
    for len in 0..used.min(PREFIXES_MAX) {
        assert!(matches!(decode(&input[..len]), Ok(None)), "a prefix of {len} bytes is no incomplete value");
    }
}
