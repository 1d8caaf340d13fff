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

/// The same request with a value that was kept apart from it.
fn with_value<'a>(request: Request<'a>, value: &'a [u8]) -> Request<'a> {
    match request {
        Request::Store { verb, key, flags, exptime, data: b"", noreply } => {
            Request::Store { verb, key, flags, exptime, data: value, noreply }
        }
        Request::Meta(mut meta) if meta.data.is_empty() => {
            meta.data = value;
            Request::Meta(meta)
        }
        other => other,
    }
}

/// Reads a stream that comes in pieces of these sizes; `apart` says that values are kept apart from it where they can be.
fn read(stream: &[u8], strict: bool, apart: bool, sizes: impl Iterator<Item = usize>) -> Vec<String> {
    let limits = Limits { item_bytes_max: ITEM_BYTES_MAX, config_writable: true, strict };
    let (mut parser, mut input, mut found, mut at) = (Parser::new(), Vec::new(), Vec::new(), 0);
    let mut value: Option<(Vec<u8>, usize)> = None;
    for size in sizes {
        let end = (at + size.max(1)).min(stream.len());
        let mut piece = &stream[at..end];
        if let Some((value, wanted)) = &mut value {
            let (more, rest) = piece.split_at(piece.len().min(*wanted - value.len()));
            value.extend_from_slice(more);
            piece = rest;
        }
        input.extend_from_slice(piece);
        at = end;
        while value.as_ref().is_none_or(|(value, wanted)| value.len() == *wanted) {
            let consumed = match parser.step(&input, &limits) {
                Ok(Step::Request { request, consumed }) => {
                    let kept = value.take();
                    let request = with_value(request, kept.as_ref().map_or(b"", |(value, _)| value));
                    check(&request);
                    found.push(format!("{request:?}"));
                    consumed
                }
                Ok(Step::Nothing { consumed }) => {
                    value = None;
                    consumed
                }
                Ok(Step::Incomplete { need }) => {
                    assert!(need > 0);
                    if let Some(to_come) = parser.value_to_come().filter(|_| apart) {
                        assert!(to_come.at <= input.len() && to_come.bytes < ITEM_BYTES_MAX);
                        parser.keep_apart();
                        let come = to_come.bytes.min(input.len() - to_come.at);
                        value = Some((input.drain(to_come.at..to_come.at + come).collect(), to_come.bytes));
                    }
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
        let whole = read(stream, strict, false, std::iter::once(stream.len()));
        let sizes = || sizes.iter().map(|&size| size as usize).chain(std::iter::repeat(stream.len()));
        for apart in [false, true] {
            assert_eq!(read(stream, strict, apart, sizes()), whole);
            assert_eq!(read(stream, strict, apart, std::iter::repeat(1)), whole);
        }
    }
}
