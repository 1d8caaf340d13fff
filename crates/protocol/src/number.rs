//! Numbers as text, by the rules of the Redis commands.
//!
//! Integers are strict: no plus sign, no leading zeros, no blanks, so that a value that parses prints the same again.
//! Doubles print in the shortest form that reads back equal, and without a fraction when they have none.

/// Reads a strict decimal integer: `0`, or an optional minus and digits without leading zeros.
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    match digits {
        [] => return None,
        [b'0'] => return (!negative).then_some(0),
        [b'0', ..] => return None,
        _ if digits.len() > 19 => return None,
        _ => {}
    }
    let mut value = 0u64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit); // 19 digits fit
    }
    match negative {
        false => i64::try_from(value).ok(),
        true if value <= 1 << 63 => Some((value as i64).wrapping_neg()),
        true => None,
    }
}

/// Reads a strict unsigned decimal integer.
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    match text {
        [] => None,
        [b'0'] => Some(0),
        [b'0', ..] => None,
        _ if text.len() > 20 || !text.iter().all(u8::is_ascii_digit) => None,
        _ => std::str::from_utf8(text).ok()?.parse().ok(),
    }
}

/// Reads a double as the commands do: `inf`, `+inf`, `-infinity`, exponents and hexadecimal-free decimals; never NaN,
/// never with blanks around it.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let first = *text.first()?;
    if first.is_ascii_whitespace() {
        return None;
    }
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!value.is_nan()).then_some(value)
}

/// Holds the text of a formatted number.
pub struct Buffer {
    short: zmij::Buffer,
    long: String,
}

impl Default for Buffer {
    fn default() -> Buffer {
        Buffer::new()
    }
}

impl Buffer {
    /// An empty buffer; no allocation.
    pub fn new() -> Buffer {
        Buffer { short: zmij::Buffer::new(), long: String::new() }
    }

    /// The form of scores and RESP3 doubles: `3`, `0.1`, `1e+21`, `inf`, `-inf`, `nan`.
    pub fn format_f64(&mut self, value: f64) -> &[u8] {
        if value.is_nan() {
            return b"nan";
        }
        if value.is_infinite() {
            return if value > 0.0 { b"inf" } else { b"-inf" };
        }
        let text = self.short.format_finite(value).as_bytes();
        text.strip_suffix(b".0").unwrap_or(text)
    }

    /// The form of INCRBYFLOAT: never an exponent, at most 17 digits after the point, no trailing zeros.
    pub fn format_f64_fixed(&mut self, value: f64) -> &[u8] {
        use std::fmt::Write;
        self.long.clear();
        // Writing to a String cannot fail.
        let _ = write!(self.long, "{value:.17}");
        let text = self.long.trim_end_matches('0').trim_end_matches('.');
        if text == "-0" { b"0" } else { text.as_bytes() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_strict() {
        for (text, value) in
            [("0", 0), ("-1", -1), ("9223372036854775807", i64::MAX), ("-9223372036854775808", i64::MIN)]
        {
            assert_eq!(parse_i64(text.as_bytes()), Some(value));
        }
        for text in [
            "",
            "-",
            "+1",
            "01",
            "-0",
            " 1",
            "1 ",
            "9223372036854775808",
            "-9223372036854775809",
            "1a",
            "99999999999999999999",
        ] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn doubles_read_as_the_commands_read_them() {
        assert_eq!(parse_f64(b"3.0e3"), Some(3000.0));
        assert_eq!(parse_f64(b"+inf"), Some(f64::INFINITY));
        assert_eq!(parse_f64(b"-inf"), Some(f64::NEG_INFINITY));
        for text in ["", " 1", "1 ", "nan", "abc", "1x"] {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn doubles_print_short() {
        let print = |v| String::from_utf8(Buffer::new().format_f64(v).to_vec()).unwrap();
        assert_eq!(print(3.0), "3");
        assert_eq!(print(0.1), "0.1");
        assert_eq!(print(-2.5), "-2.5");
        assert_eq!(print(1e21), "1e+21");
        assert_eq!(print(f64::INFINITY), "inf");
    }

    #[test]
    fn fixed_notation_has_no_exponent() {
        let print = |v| String::from_utf8(Buffer::new().format_f64_fixed(v).to_vec()).unwrap();
        assert_eq!(print(10.5), "10.5");
        assert_eq!(print(3.0), "3");
        assert_eq!(print(5e3), "5000");
    }
}
