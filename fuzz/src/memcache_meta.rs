//! The meta commands: flags of any kind are understood or refused, and keys in base64 stay within their limit.

use larder_protocol::memcache::meta::{Meta, Verb};
use larder_protocol::memcache::request::{KEY_BYTES_MAX, Words};

/// Reads the input and asserts what must hold of it.
pub fn run(input: (u8, &[u8])) {
    let verb = [Verb::Get, Verb::Set, Verb::Delete, Verb::Arithmetic][usize::from(input.0 % 4)];
    let mut words = Words::new(input.1);
    let key = words.next().unwrap_or_default();
    match Meta::read(verb, key, words) {
        Ok(meta) => {
            let mut buffer = [0; KEY_BYTES_MAX];
            assert!((1..=KEY_BYTES_MAX).contains(&meta.key(&mut buffer).len()));
            assert!(meta.flags.clone().all(|word| !word.is_empty() && meta.has(word[0])));
        }
        Err(reject) => assert!(reject.line().ends_with(b"\r\n")),
    }
}
