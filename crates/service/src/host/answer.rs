//! The few kinds of RESP answers that a node gives on its control socket, and the form of a request.

/// An answer of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// `+text`
    Simple(Vec<u8>),
    /// `-text`
    Error(Vec<u8>),
    /// `$length` and bytes.
    Bulk(Vec<u8>),
}

/// Reads an answer; none while it is not whole yet. `Err` says what it began with instead.
pub(super) fn read(bytes: &[u8]) -> Result<Option<Answer>, &'static str> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        return Ok(None);
    };
    let (line, rest) = (&bytes[..end], &bytes[end + 2..]);
    match line.split_first() {
        Some((b'+', text)) => Ok(Some(Answer::Simple(text.to_vec()))),
        Some((b'-', text)) => Ok(Some(Answer::Error(text.to_vec()))),
        Some((b'$', length)) => {
            let length = std::str::from_utf8(length).ok().and_then(|text| text.parse::<usize>().ok());
            let length = length.ok_or("a length that is none")?;
            let whole = rest.len() >= length.saturating_add(2);
            Ok(whole.then(|| Answer::Bulk(rest[..length].to_vec())))
        }
        _ => Err("an unexpected kind of answer"),
    }
}

/// A request as an array of bulk strings.
pub(super) fn request(arguments: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_answers_in_pieces() {
        for (bytes, answer) in [
            (&b"+OK\r\n"[..], Answer::Simple(b"OK".to_vec())),
            (b"-ERR no\r\n", Answer::Error(b"ERR no".to_vec())),
            (b"$3\r\na\r\n\r\n", Answer::Bulk(b"a\r\n".to_vec())),
            (b"$0\r\n\r\n", Answer::Bulk(vec![])),
        ] {
            for cut in 0..bytes.len() {
                assert_eq!(read(&bytes[..cut]), Ok(None), "{cut}");
            }
            assert_eq!(read(bytes), Ok(Some(answer)));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for bad in
            [&b"hello\r\n"[..], b"\r\n", b"$x\r\n", b"$-1\r\n", b"*1\r\n", b"$99999999999999999999999\r\n"]
        {
            assert!(read(bad).is_err());
        }
        assert_eq!(read(b"$18446744073709551615\r\nx"), Ok(None));
    }

    #[test]
    fn a_request_is_an_array() {
        assert_eq!(request(&[b"CONFIG", b"GET"]), b"*2\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n");
    }
}
