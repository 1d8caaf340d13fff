//! The Memcached text protocol: any split of a stream reads the same, and what is read lies within limits.

use larder_protocol::memcache::request::{KEY_BYTES_MAX, Request};
use larder_protocol::memcache::text::{KEYS_LINE_BYTES_MAX, Limits, Parser, Step};

const ITEM_BYTES_MAX: usize = 300;

fn check(request: &Request<'_>) {
    match request {
        Request::Get { keys, .. } => {
            assert!(keys.clone().all(|key| (1..=KEY_BYTES_MAX).contains(&key.len())))
        }
        Request::Store { key, data, .. } => {
            assert!((1..=KEY_BYTES_MAX).contains(&key.len()));
            assert!(data.len() < ITEM_BYTES_MAX);
        }
        _ => {}
    }
}

fn read(stream: &[u8], strict: bool, sizes: impl Iterator<Item = usize>) -> Vec<String> {
    let limits = Limits { item_bytes_max: ITEM_BYTES_MAX, config_writable: true, strict };
    let (mut parser, mut input, mut found, mut at) = (Parser::new(), Vec::new(), Vec::new(), 0);
    for size in sizes {
        let end = (at + size.max(1)).min(stream.len());
        input.extend_from_slice(&stream[at..end]);
        at = end;
        loop {
            let consumed = match parser.step(&input, &limits) {
                Ok(Step::Request { request, consumed }) => {
                    check(&request);
                    found.push(format!("{request:?}"));
                    consumed
                }
                Ok(Step::Nothing { consumed }) => consumed,
                Ok(Step::Incomplete { need }) => {
                    assert!(need > 0);
                    break;
                }
                Err(_) => {
                    found.push("line too long".into());
                    return found;
                }
            };
            assert!((1..=input.len()).contains(&consumed));
            input.drain(..consumed);
        }
        // What has to be kept is bounded, whatever a peer announces.
        assert!(input.len() <= KEYS_LINE_BYTES_MAX + ITEM_BYTES_MAX);
        if at == stream.len() {
            break;
        }
    }
    found
}

/// Reads the input and asserts what must hold of it.
pub fn run(input: (Vec<u8>, &[u8])) {
    let (sizes, stream) = input;
    if stream.is_empty() {
        return;
    }
    for strict in [false, true] {
        let whole = read(stream, strict, std::iter::once(stream.len()));
        let sizes = sizes.iter().map(|&size| size as usize).chain(std::iter::repeat(stream.len()));
        assert_eq!(read(stream, strict, sizes), whole);
        assert_eq!(read(stream, strict, std::iter::repeat(1)), whole);
    }
}
