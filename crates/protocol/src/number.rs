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

/// Reads a double as the commands do: what `strtod` reads (`inf`, `+Infinity`, exponents, hexadecimal with `0x`), if it
/// is all of the text; never NaN, never with blanks around it, never a number out of the range of doubles.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let magnitude = text.strip_prefix(['+', '-']).unwrap_or(text);
    if let Some(digits) = magnitude.strip_prefix("0x").or_else(|| magnitude.strip_prefix("0X")) {
        let value = hexadecimal(digits)?;
        return Some(if text.starts_with('-') { -value } else { value });
    }
    let value: f64 = text.parse().ok()?;
    let is_infinity = magnitude.starts_with(['i', 'I']);
    let mantissa = magnitude.split(['e', 'E']).next().unwrap_or_default();
    let is_zero = !mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    match value.classify() {
        std::num::FpCategory::Nan => None,
        std::num::FpCategory::Infinite => is_infinity.then_some(value),
        std::num::FpCategory::Zero => is_zero.then_some(value),
        _ => Some(value),
    }
}

/// Digits of a hexadecimal mantissa that are read; a double holds fewer than fourteen.
const HEX_DIGITS_MAX: u32 = 15;

/// Reads what follows `0x`: digits with an optional point, and an optional binary exponent after `p`.
fn hexadecimal(text: &str) -> Option<f64> {
    let (digits, exponent) = match text.split_once(['p', 'P']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (mut mantissa, mut read, mut scale) = (0u64, 0, exponent);
    for (at, digit) in whole.chars().chain(fraction.chars()).enumerate() {
        let digit = digit.to_digit(16)?;
        let dropped = read == HEX_DIGITS_MAX;
        if !dropped {
            mantissa = mantissa * 16 + u64::from(digit);
            read += u32::from(mantissa > 0);
        }
        let move_by = i32::from(dropped) - i32::from(at >= whole.len());
        scale = scale.saturating_add(4 * move_by);
    }
    // In two steps, so that neither power leaves the range where their product does not.
    let half = scale.clamp(-2400, 2400) / 2;
    let value = mantissa as f64 * 2f64.powi(half) * 2f64.powi(scale.clamp(-2400, 2400) - half);
    (value.is_finite() && (value != 0.0 || mantissa == 0)).then_some(value)
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
        for (text, value) in
            [("0x10", 16.0), ("-0x1p3", -8.0), ("0x.8", 0.5), ("0xA.8p-1", 5.25), ("5.", 5.0)]
        {
            assert_eq!(parse_f64(text.as_bytes()), Some(value), "{text:?}");
        }
        assert_eq!(parse_f64(b"0e999"), Some(0.0));
        assert_eq!(parse_f64(b"0x1ffffffffffffffffff"), Some(2f64.powi(73)));
        for text in ["1e400", "-1e400", "1e-400", "0x", "0x1p9999", "0xg", "0x1p", "--1", "1e", "1\0"] {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text:?}");
        }
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
