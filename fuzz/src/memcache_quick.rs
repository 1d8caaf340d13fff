//! The quick way of reading Memcached requests: what it reads, the text protocol's parser reads as the same.

use larder_protocol::memcache::quick::{Quick, read};
use larder_protocol::memcache::request::{Request, Verb};
use larder_protocol::memcache::text::{Limits, Parser, Step};

const ITEM_BYTES_MAX: usize = 300;

/// Reads the input and asserts what must hold of it.
pub fn run(input: &[u8]) {
    let mut at = 0;
    loop {
        let mut told = Vec::new();
        let found = read(input, at, ITEM_BYTES_MAX, |range| {
            told.push(range);
            true
        });
        let Some((quick, end)) = found else { return };
        assert!(end > at && end <= input.len());
        for strict in [false, true] {
            let limits = Limits { item_bytes_max: ITEM_BYTES_MAX, config_writable: false, strict };
            let mut parser = Parser::new();
            let Ok(Step::Request { request, consumed }) = parser.step(&input[at..], &limits) else {
                panic!("only the quick way reads a request")
            };
            assert_eq!(consumed, end - at);
            let keys = told.iter().map(|range| &input[range.clone()]);
            match (quick, request) {
                (Quick::Get, Request::Get { keys: others, cas: false, touch: None }) => {
                    assert!(keys.eq(others))
                }
                (
                    Quick::Set { flags, exptime, value, value_bytes, noreply },
                    Request::Store { verb: Verb::Set, key, flags: f, exptime: e, data, noreply: n },
                ) => {
                    assert!(keys.eq([key]) && (flags, exptime, noreply) == (f, e, n));
                    assert_eq!(&input[value as usize..(value + value_bytes) as usize], data);
                }
                (quick, request) => panic!("{quick:?} and {request:?}"),
            }
        }
        at = end;
    }
}
