//! Replies as a client reads them: RESP2 and RESP3 into one [`Value`].

use super::request::INLINE_BYTES_MAX;
use memchr::memchr;

/// Deepest nesting of a reply that is read.
pub const DEPTH_MAX: usize = 32;

/// Longest string and most elements of one aggregate that are believed, so that a broken peer cannot make a client
/// reserve memory without end.
pub const LENGTH_MAX: i64 = 512 * 1024 * 1024;

/// A reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `+text`
    Simple(String),
    /// `-text`, or the blob error of RESP3
    Error(String),
    /// `:n`
    Integer(i64),
    /// `$`
    Bulk(Vec<u8>),
    /// `$-1`, `*-1` or `_`
    Null,
    /// `*`
    Array(Vec<Value>),
    /// `%`
    Map(Vec<(Value, Value)>),
    /// `~`
    Set(Vec<Value>),
    /// `>`
    Push(Vec<Value>),
    /// `,`
    Double(f64),
    /// `#`
    Boolean(bool),
    /// `(`, in decimal
    BigNumber(String),
    /// `=`: format and text
    Verbatim(String, Vec<u8>),
}

/// Bytes that are no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "malformed reply: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// Reads one reply from the start of `input`: `None` while it is incomplete, else the value and its length in bytes.
pub fn decode(input: &[u8]) -> Result<Option<(Value, usize)>, Malformed> {
    let mut reader = Reader { input, at: 0 };
    Ok(reader.value(0)?.map(|value| (value, reader.at)))
}

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
}

/// Unwraps what is complete; leaves the function when more bytes are needed.
macro_rules! complete {
    ($found:expr) => {
        match $found? {
            Some(value) => value,
            None => return Ok(None),
        }
    };
}

type Found<T> = Result<Option<T>, Malformed>;

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Found<Value> {
        if depth > DEPTH_MAX {
            return Err(Malformed("nested too deeply"));
        }
        let Some(&kind) = self.input.get(self.at) else { return Ok(None) };
        self.at += 1;
        let line = complete!(self.line());
        Ok(Some(match kind {
            b'+' => Value::Simple(text(line)),
            b'-' => Value::Error(text(line)),
            b':' => Value::Integer(integer(line)?),
            b'(' => Value::BigNumber(text(line)),
            b'_' => Value::Null,
            b',' => Value::Double(double(line)?),
            b'#' => Value::Boolean(boolean(line)?),
            b'$' | b'!' | b'=' if integer(line)? < 0 => Value::Null,
            b'*' | b'%' | b'~' | b'>' if integer(line)? < 0 => Value::Null,
            b'$' => Value::Bulk(complete!(self.blob(line)).to_vec()),
            b'!' => Value::Error(text(complete!(self.blob(line)))),
            b'=' => verbatim(complete!(self.blob(line)))?,
            b'*' => Value::Array(complete!(self.values(length(line)?, depth))),
            b'~' => Value::Set(complete!(self.values(length(line)?, depth))),
            b'>' => Value::Push(complete!(self.values(length(line)?, depth))),
            b'%' => Value::Map(pairs(complete!(self.values(2 * length(line)?, depth)))),
            _ => return Err(Malformed("unknown type")),
        }))
    }

    fn line(&mut self) -> Found<&'a [u8]> {
        let rest = &self.input[self.at..];
        match memchr(b'\r', rest) {
            Some(end) if end + 1 < rest.len() && rest[end + 1] == b'\n' => {
                self.at += end + 2;
                Ok(Some(&rest[..end]))
            }
            Some(end) if end + 1 < rest.len() => Err(Malformed("carriage return within a line")),
            _ if rest.len() > INLINE_BYTES_MAX => Err(Malformed("line too long")),
            _ => Ok(None),
        }
    }

    fn blob(&mut self, header: &[u8]) -> Found<&'a [u8]> {
        let end = self.at + length(header)?;
        if self.input.len() < end + 2 {
            return Ok(None);
        }
        let blob = &self.input[self.at..end];
        self.at = end + 2;
        Ok(Some(blob))
    }

    fn values(&mut self, len: usize, depth: usize) -> Found<Vec<Value>> {
        // Every element takes at least three bytes, so what has come bounds what is reserved.
        let mut values = Vec::with_capacity(len.min(self.input.len() / 3));
        for _ in 0..len {
            values.push(complete!(self.value(depth + 1)));
        }
        Ok(Some(values))
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

fn integer(line: &[u8]) -> Result<i64, Malformed> {
    let digits = line.strip_prefix(b"+").unwrap_or(line);
    crate::number::parse_i64(digits).ok_or(Malformed("bad integer"))
}

fn length(line: &[u8]) -> Result<usize, Malformed> {
    match integer(line)? {
        len @ 0..=LENGTH_MAX => Ok(len as usize),
        _ => Err(Malformed("bad length")),
    }
}

fn double(line: &[u8]) -> Result<f64, Malformed> {
    std::str::from_utf8(line).ok().and_then(|s| s.parse().ok()).ok_or(Malformed("bad double"))
}

fn boolean(line: &[u8]) -> Result<bool, Malformed> {
    match line {
        b"t" => Ok(true),
        b"f" => Ok(false),
        _ => Err(Malformed("bad boolean")),
    }
}

fn verbatim(blob: &[u8]) -> Result<Value, Malformed> {
    match blob {
        [format @ .., _] if format.len() < 3 => Err(Malformed("bad verbatim string")),
        [a, b, c, b':', rest @ ..] => Ok(Value::Verbatim(text(&[*a, *b, *c]), rest.to_vec())),
        _ => Err(Malformed("bad verbatim string")),
    }
}

fn pairs(values: Vec<Value>) -> Vec<(Value, Value)> {
    let mut values = values.into_iter();
    std::iter::from_fn(|| Some((values.next()?, values.next()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_read() {
        let (value, used) =
            decode(b"*6\r\n+OK\r\n:-3\r\n$2\r\nhi\r\n_\r\n,1.5\r\n%1\r\n#t\r\n=7\r\ntxt:abc\r\n")
                .unwrap()
                .unwrap();
        assert_eq!(used, 52);
        let map = Value::Map(vec![(Value::Boolean(true), Value::Verbatim("txt".into(), b"abc".to_vec()))]);
        assert_eq!(
            value,
            Value::Array(vec![
                Value::Simple("OK".into()),
                Value::Integer(-3),
                Value::Bulk(b"hi".to_vec()),
                Value::Null,
                Value::Double(1.5),
                map
            ])
        );
    }

    #[test]
    fn a_piece_is_incomplete_and_garbage_is_malformed() {
        let whole = b"*2\r\n$3\r\nabc\r\n:1\r\n";
        for cut in 0..whole.len() {
            assert_eq!(decode(&whole[..cut]), Ok(None), "{cut}");
        }
        assert!(decode(b"?\r\n").is_err() && decode(b"$x\r\n").is_err() && decode(b":1\rx").is_err());
        assert!(decode("*1\r\n".repeat(100).as_bytes()).is_err());
    }
}
