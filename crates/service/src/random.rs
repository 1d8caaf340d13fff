//! Randomness for names and windows. Keys and secrets are made in `identity`.

/// A number below `below` (which must not be zero); the slight preference of small numbers does not matter here.
pub(crate) fn number_below(below: u32) -> u32 {
    (uuid::Uuid::new_v4().as_u128() >> 64) as u32 % below.max(1)
}

/// 17 hexadecimal digits, as in the ids of VPCs and subnets.
pub(crate) fn seventeen_digits() -> String {
    let text = uuid::Uuid::new_v4().simple().to_string();
    text.chars().skip(15).collect()
}

/// A password for programs: 64 hexadecimal digits.
pub(crate) fn password() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}
