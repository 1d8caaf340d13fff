//! Who may connect at all: ranges of addresses, asked once per connection.

use std::fmt;
use std::net::IpAddr;

/// Most ranges: five groups of sixty rules, with room for what these refer to.
const RANGES_MAX: usize = 4096;

/// Ranges of addresses, as `address/prefix`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    ranges: Vec<Range>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    address: IpAddr,
    prefix: u8,
}

impl Ranges {
    /// Reads a list: ranges with spaces between them, `none` for nobody, nothing at all for no list.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Option<Ranges>, String> {
        let mut ranges = Vec::new();
        let mut words = text.split_whitespace().peekable();
        if words.peek().is_none() {
            return Ok(None);
        }
        if text.trim() == "none" {
            return Ok(Some(Ranges::default()));
        }
        for word in words {
            if ranges.len() == RANGES_MAX {
                return Err(format!("argument must have at most {RANGES_MAX} ranges"));
            }
            ranges.push(Range::parse(word).ok_or("argument must be ranges of addresses, or none")?);
        }
        Ok(Some(Ranges { ranges }))
    }

    /// Whether somebody with that address may connect.
    pub fn admit(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.ranges.iter().any(|range| range.contains(address))
    }
}

impl Range {
    fn parse(word: &str) -> Option<Range> {
        let (address, prefix) = word.split_once('/').map_or((word, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Some(longest), |prefix| prefix.parse().ok())?;
        (prefix <= longest).then_some(Range { address, prefix })
    }

    fn contains(self, other: IpAddr) -> bool {
        // A shift by the whole width is the range of everything.
        match (self.address, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differs = own.to_bits() ^ other.to_bits();
                differs.checked_shr(32 - u32::from(self.prefix)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differs = own.to_bits() ^ other.to_bits();
                differs.checked_shr(128 - u32::from(self.prefix)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ranges.is_empty() {
            return f.write_str("none");
        }
        for (at, Range { address, prefix }) in self.ranges.iter().enumerate() {
            let gap = if at == 0 { "" } else { " " };
            write!(f, "{gap}{address}/{prefix}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(list: &str, address: &str) -> bool {
        Ranges::parse(list).unwrap().unwrap().admit(address.parse().unwrap())
    }

    #[test]
    fn ranges_admit_what_lies_in_them() {
        assert!(admits("0.0.0.0/0", "8.8.8.8") && !admits("0.0.0.0/0", "::1"));
        assert!(admits("10.0.0.0/8 127.0.0.1", "127.0.0.1") && !admits("10.0.0.0/8 127.0.0.1", "127.0.0.2"));
        assert!(admits("127.64.0.0/20", "127.64.15.255") && !admits("127.64.0.0/20", "127.64.16.0"));
        assert!(admits("::1", "::1") && admits("::/0", "fe80::1") && admits("127.0.0.1", "::ffff:127.0.0.1"));
        assert!(!admits("none", "127.0.0.1"));
    }

    #[test]
    fn lists_are_read_and_printed() {
        assert_eq!(Ranges::parse(" ").unwrap(), None);
        for (text, printed) in [("none", "none"), ("127.0.0.1 10.0.0.0/8", "127.0.0.1/32 10.0.0.0/8")] {
            assert_eq!(Ranges::parse(text).unwrap().unwrap().to_string(), printed);
        }
        for text in ["x", "10.0.0.0/33", "10.0.0.0/x", "10.0.0.0/-1", "none 10.0.0.0/8", "10.0.0/8"] {
            assert!(Ranges::parse(text).is_err(), "{text}");
        }
        assert!(Ranges::parse(&"127.0.0.1 ".repeat(RANGES_MAX + 1)).is_err());
    }
}
