//! RESP, the Redis serialization protocol, versions 2 and 3, in both directions.
//!
//! In reading order: what a client sends ([`request`]), what a server answers ([`reply`]), and how a client reads
//! that ([`value`]).

pub mod args;
pub mod reply;
pub mod request;
pub mod value;

/// Appends the request with these arguments.
pub fn command<A: AsRef<[u8]>>(to: &mut Vec<u8>, args: &[A]) {
    let mut digits = itoa::Buffer::new();
    let mut header = |to: &mut Vec<u8>, kind, n: usize| {
        to.push(kind);
        to.extend_from_slice(digits.format(n).as_bytes());
        to.extend_from_slice(b"\r\n");
    };
    header(to, b'*', args.len());
    for arg in args {
        header(to, b'$', arg.as_ref().len());
        to.extend_from_slice(arg.as_ref());
        to.extend_from_slice(b"\r\n");
    }
}
