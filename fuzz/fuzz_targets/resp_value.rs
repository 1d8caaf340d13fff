//! Replies as a client reads them: never a panic, a value's prefix is incomplete and never something else.
#![no_main]

use larder_protocol::resp::value::decode;
use libfuzzer_sys::fuzz_target;

/// Longest value whose every prefix is tried.
const PREFIXES_MAX: usize = 256;

fuzz_target!(|input: &[u8]| {
    let Ok(Some((_, used))) = decode(input) else { return };
    assert!((1..=input.len()).contains(&used));
    // Two reads of the same bytes need not be equal as values: a double may be NaN.
    assert!(matches!(decode(&input[..used]), Ok(Some((_, same))) if same == used));
    for len in 0..used.min(PREFIXES_MAX) {
        assert!(matches!(decode(&input[..len]), Ok(None)), "a prefix of {len} bytes is no incomplete value");
    }
});
