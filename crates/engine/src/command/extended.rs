//! Sums as HINCRBYFLOAT and INCRBYFLOAT make them: in 80-bit extended precision, printed with 17 decimals.
//!
//! Redis computes these two commands in the C type `long double`, which on x86-64 has 64 bits of mantissa. Sums of
//! doubles would print 0.30000000000000004 for 0.1 + 0.2 where Redis prints 0.3, and data that moves between the two
//! would drift. This file holds the little exact arithmetic that is needed: reading, adding, printing.

/// A finite number: `mantissa * 2^exponent`. A mantissa that is not 0 has its top bit set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extended {
    negative: bool,
    mantissa: u64,
    exponent: i32,
}

/// Decimal places that are printed.
const DECIMALS: u32 = 17;
/// Longest text that is read, as in Redis.
const TEXT_MAX: usize = 5 << 10;
/// Largest binary exponent of a 64-bit mantissa before the number is infinite.
const EXPONENT_MAX: i32 = 16_384 - 64;
/// Binary exponent of half of the smallest positive number, 2^-16446, as a 64-bit mantissa has it.
const EXPONENT_MIN: i32 = -16_446 - 63;
/// Decimal exponents beyond this are 0 or infinite.
const DECIMAL_EXPONENT_MAX: i64 = 12_000;

/// Why there is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The text is not a number, or too large for one.
    NotFloat,
    /// The number is infinite.
    Infinite,
}

impl Extended {
    /// Zero: what a missing value counts as.
    pub const ZERO: Extended = Extended { negative: false, mantissa: 0, exponent: 0 };

    /// Reads a decimal or hexadecimal number, rounding to nearest. The range is that of the type, far beyond that of
    /// doubles; what rounds to 0 without being 0 is refused.
    pub fn parse(text: &[u8]) -> Result<Extended, Trouble> {
        if text.len() >= TEXT_MAX {
            return Err(Trouble::NotFloat);
        }
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        if text.eq_ignore_ascii_case(b"inf") || text.eq_ignore_ascii_case(b"infinity") {
            return Err(Trouble::Infinite);
        }
        let (digits, exponent, scale) = match text {
            [b'0', b'x' | b'X', rest @ ..] => written(rest, Base::Sixteen, scaled_by_two),
            _ => written(text, Base::Ten, scaled),
        }
        .ok_or(Trouble::NotFloat)?;
        let magnitude =
            if digits.is_zero() { Some((0, 0)) } else { scale(digits, exponent).filter(in_range) };
        let (mantissa, exponent) = magnitude.ok_or(Trouble::NotFloat)?;
        Ok(Extended { negative, mantissa, exponent })
    }

    /// The sum, rounded to nearest.
    pub fn plus(self, other: Extended) -> Result<Extended, Trouble> {
        let key = |number: &Extended| (number.mantissa != 0, number.exponent, number.mantissa);
        let (big, small) = if key(&self) >= key(&other) { (self, other) } else { (other, self) };
        if small.mantissa == 0 {
            return Ok(big);
        }
        // Two bits of room above for the carry, 62 below for what is shifted out; the rest is one sticky bit.
        let distance = (big.exponent - small.exponent) as u32;
        let high = u128::from(big.mantissa) << 62;
        let wide = u128::from(small.mantissa) << 62;
        let low = wide.checked_shr(distance).unwrap_or(0);
        let lost = low.checked_shl(distance).unwrap_or(0) != wide;
        let sum = match big.negative == small.negative {
            true => high + low + u128::from(lost),
            false => high - low - u128::from(lost),
        };
        let sticky = sum | u128::from(lost);
        let (mantissa, exponent) = rounded(sticky, big.exponent - 62);
        if exponent > EXPONENT_MAX {
            return Err(Trouble::Infinite);
        }
        Ok(Extended { negative: big.negative && mantissa != 0, mantissa, exponent })
    }

    /// Fixed notation, at most 17 decimals, without trailing zeros.
    pub fn print(self) -> String {
        let magnitude = match u32::try_from(self.exponent) {
            Ok(exponent) => Big::new(self.mantissa).shifted(exponent).print(),
            Err(_) => fixed(self.mantissa, self.exponent.unsigned_abs()),
        };
        if self.negative && magnitude != "0" { format!("-{magnitude}") } else { magnitude }
    }
}

/// `mantissa / 2^shift` with its decimals. 17 decimals are 57 bits more, so all fits in 128.
fn fixed(mantissa: u64, shift: u32) -> String {
    let unit = 10u128.pow(DECIMALS);
    let value = u128::from(mantissa) * unit;
    let whole = value.checked_shr(shift).unwrap_or(0);
    let rest = if shift < 128 { value & ((1 << shift) - 1) } else { 0 };
    let half = if shift < 128 { 1u128 << (shift - 1) } else { u128::MAX };
    let up = rest > half || (rest == half && whole & 1 == 1);
    let whole = whole + u128::from(up);
    let text = format!("{}.{:017}", whole / unit, whole % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Rounds to a mantissa of 64 bits, half to even.
fn rounded(value: u128, exponent: i32) -> (u64, i32) {
    let bits = 128 - value.leading_zeros();
    if value == 0 {
        return (0, 0);
    }
    if bits <= 64 {
        let shift = 64 - bits;
        return ((value << shift) as u64, exponent - shift as i32);
    }
    let shift = bits - 64;
    let (top, rest, half) = ((value >> shift) as u64, value & ((1 << shift) - 1), 1u128 << (shift - 1));
    let up = rest > half || (rest == half && top & 1 == 1);
    match top.checked_add(u64::from(up)) {
        Some(mantissa) => (mantissa, exponent + shift as i32),
        None => (1 << 63, exponent + shift as i32 + 1),
    }
}

/// How a number is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Base {
    Ten,
    Sixteen,
}

/// How digits and an exponent become a mantissa and a binary exponent; `None` beyond what the type holds.
type Scale = fn(Big, i64) -> Option<(u64, i32)>;

/// The digits of a number without its point, and the power of ten (of two in base 16) they stand for; `scale` is
/// passed through. `None` if the text is no number.
fn written(text: &[u8], base: Base, scale: Scale) -> Option<(Big, i64, Scale)> {
    let (radix, places, mark) = match base {
        Base::Ten => (10, 1, b'e'),
        Base::Sixteen => (16, 4, b'p'),
    };
    let mut digits = Big::new(0);
    let (mut exponent, mut behind_point, mut any) = (0i64, false, false);
    for (at, &byte) in text.iter().enumerate() {
        if let Some(digit) = char::from(byte).to_digit(radix) {
            digits.multiply_add(radix, digit);
            exponent -= if behind_point { places } else { 0 };
            any = true;
        } else if byte == b'.' && !behind_point {
            behind_point = true;
        } else if byte.eq_ignore_ascii_case(&mark) && any {
            return Some((digits, exponent.saturating_add(power(&text[at + 1..])?), scale));
        } else {
            return None;
        }
    }
    any.then_some((digits, exponent, scale))
}

/// The exponent behind its mark, kept within what can be added to; `None` if it is no integer.
fn power(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        _ => (1, text),
    };
    let add = |sum: i64, digit: &u8| sum.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
    let valid = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    valid.then(|| sign * digits.iter().fold(0, add))
}

/// True for what does not round to 0: more than half of the smallest positive number of the type.
fn in_range(&(mantissa, exponent): &(u64, i32)) -> bool {
    (exponent, mantissa) > (EXPONENT_MIN, 1 << 63)
}

/// `digits * 2^exponent`; `None` if it is too large or too small.
fn scaled_by_two(digits: Big, exponent: i64) -> Option<(u64, i32)> {
    let (top, shift, lost) = digits.top();
    let (mantissa, binary) = rounded(top << 1 | u128::from(lost), shift - 1);
    let binary = i32::try_from(exponent.saturating_add(binary.into())).ok()?;
    (binary <= EXPONENT_MAX).then_some((mantissa, binary))
}

/// `digits * 10^exponent` as a mantissa and a binary exponent; `None` if it is too large or too small.
fn scaled(mut digits: Big, exponent: i64) -> Option<(u64, i32)> {
    if exponent > DECIMAL_EXPONENT_MAX {
        return None;
    }
    if exponent < -2 * DECIMAL_EXPONENT_MAX {
        return None;
    }
    let (mut binary, mut sticky) = (0, false);
    if exponent >= 0 {
        (0..exponent).for_each(|_| digits.multiply_add(10, 0));
    } else {
        // Room for 64 bits of quotient and some to spare: a decimal place is less than four bits.
        let room = 4 * exponent.unsigned_abs() as u32 + 96;
        digits = digits.shifted(room);
        binary = -(room as i32);
        (0..-exponent).for_each(|_| sticky |= digits.divide(10) != 0);
    }
    let (top, shift, lost) = digits.top();
    let (mantissa, binary) = rounded(top << 1 | u128::from(lost || sticky), binary + shift - 1);
    (binary <= EXPONENT_MAX).then_some((mantissa, binary))
}

/// A large natural number, least significant word first, without leading zero words.
#[derive(Clone, Debug)]
struct Big(Vec<u32>);

impl Big {
    fn new(value: u64) -> Big {
        let mut big = Big(vec![value as u32, (value >> 32) as u32]);
        big.trim();
        big
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn multiply_add(&mut self, factor: u32, term: u32) {
        let mut carry = u64::from(term);
        for word in &mut self.0 {
            let product = u64::from(*word) * u64::from(factor) + carry;
            (*word, carry) = (product as u32, product >> 32);
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    /// Divides and gives the remainder.
    fn divide(&mut self, divisor: u32) -> u32 {
        let mut rest = 0u64;
        for word in self.0.iter_mut().rev() {
            let value = rest << 32 | u64::from(*word);
            (*word, rest) = ((value / u64::from(divisor)) as u32, value % u64::from(divisor));
        }
        self.trim();
        rest as u32
    }

    fn shifted(mut self, bits: u32) -> Big {
        if !bits.is_multiple_of(32) {
            self.multiply_add(1 << (bits % 32), 0);
        }
        self.0.splice(0..0, std::iter::repeat_n(0, bits as usize / 32));
        self
    }

    /// The (at most 96) top bits by whole words, how far they were shifted, and whether bits were lost below.
    fn top(&self) -> (u128, i32, bool) {
        let cut = self.0.len().saturating_sub(3);
        let top = self.0[cut..].iter().rev().fold(0u128, |value, word| value << 32 | u128::from(*word));
        (top, cut as i32 * 32, self.0[..cut].iter().any(|word| *word != 0))
    }

    fn print(mut self) -> String {
        let mut groups = Vec::new();
        while !self.is_zero() {
            groups.push(self.divide(1_000_000_000));
        }
        let Some(first) = groups.pop() else { return "0".to_owned() };
        let mut text = first.to_string();
        groups.iter().rev().for_each(|group| text.push_str(&format!("{group:09}")));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(one: &str, two: &str) -> String {
        let number = |text: &str| Extended::parse(text.as_bytes()).unwrap();
        number(one).plus(number(two)).unwrap().print()
    }

    /// The expected texts are replies of redis-server 7.0 on x86-64.
    #[test]
    fn sums_print_as_long_doubles_do() {
        for (one, two, expected) in [
            ("0.1", "0.2", "0.3"),
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("3", "-3", "0"),
            ("-0", "-0", "0"),
            ("9223372036854775807", "-2.25", "9223372036854775805"),
            ("1e20", "1", "100000000000000000000"),
            ("1000000.1", "0.2", "1000000.30000000000001137"),
            ("1e-18", "0", "0"),
            ("1e-17", "0", "0.00000000000000001"),
            ("0x10", "1", "17"),
            ("0X1p3", "1", "9"),
            ("-0x1.8", "1", "-0.5"),
            ("1.", ".5", "1.5"),
            ("+.5e1", "1", "6"),
            ("0e99999999999999999999", "1", "1"),
            ("1e-4950", "1", "1"),
            ("0x1p-16445", "1", "1"),
        ] {
            assert_eq!(sum(one, two), expected, "{one} + {two}");
        }
    }

    #[test]
    fn what_is_no_finite_number_is_refused() {
        for text in [
            "",
            "x",
            "1x",
            " 1",
            "1 ",
            "nan",
            "1e",
            "e1",
            "1e+",
            ".",
            "-",
            "+-1",
            "1..",
            "0x",
            "0xp1",
            "0x1g",
            "0x1p",
            "infx",
            "1e5000",
            "1e-5000",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "0x1p16384",
            "0x1p-16446",
        ] {
            assert_eq!(Extended::parse(text.as_bytes()), Err(Trouble::NotFloat), "{text:?}");
        }
        for text in ["inf", "-infinity"] {
            assert_eq!(Extended::parse(text.as_bytes()), Err(Trouble::Infinite), "{text:?}");
        }
        // Beyond every double, within the type.
        let huge = Extended::parse(b"1e4932").unwrap();
        assert_eq!(huge.plus(huge), Err(Trouble::Infinite));
    }
}
