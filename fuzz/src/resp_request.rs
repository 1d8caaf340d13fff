//! Requests: any split of a stream reads the same, ranges lie within the input, nothing is read beyond it.

use larder_protocol::resp::args::Args;
use larder_protocol::resp::request::{Limits, Parser, Step};

/// Commands and the error, if any, of a stream that arrives in pieces of these sizes.
fn read(stream: &[u8], sizes: impl Iterator<Item = usize>, limits: &Limits) -> Vec<Vec<Vec<u8>>> {
    let (mut parser, mut input, mut found, mut at) = (Parser::new(), Vec::new(), Vec::new(), 0);
    for size in sizes {
        let end = (at + size.max(1)).min(stream.len());
        input.extend_from_slice(&stream[at..end]);
        at = end;
        loop {
            let mut args = Vec::new();
            let consumed = match parser.step(&mut input, &mut args, limits) {
                Ok(Step::Command { consumed }) => {
                    assert!(!args.is_empty());
                    found.push(Args::new(&input, &args).iter().map(<[u8]>::to_vec).collect());
                    consumed
                }
                Ok(Step::Nothing { consumed }) => consumed,
                Ok(Step::Incomplete { need }) => {
                    assert!(need > 0 && args.is_empty());
                    break;
                }
                Err(error) => {
                    found.push(vec![error.to_string().into_bytes()]);
                    return found;
                }
            };
            assert!((1..=input.len()).contains(&consumed));
            input.drain(..consumed);
            if input.is_empty() {
                break;
            }
        }
        if at == stream.len() {
            break;
        }
    }
    found
}

/// Reads the input and asserts what must hold of it.
pub fn run(input: (bool, Vec<u8>, &[u8])) {
    let (unauthenticated, sizes, stream) = input;
    if stream.is_empty() {
        return;
    }
    let limits = Limits { bulk_bytes_max: 1 << 20, unauthenticated };
    let whole = read(stream, std::iter::once(stream.len()), &limits);
    let sizes = sizes.iter().map(|&size| size as usize).chain(std::iter::repeat(stream.len()));
    assert_eq!(read(stream, sizes, &limits), whole);
    assert_eq!(read(stream, std::iter::repeat(1), &limits), whole);
}
