//! Files: a head, records, an end with a checksum.
//!
//! ```text
//! REDIS0011                    magic and version; VALKEY080 from Valkey 9 on
//! fa name value                aux fields
//! fe db, fb keys deadlines     the database of what follows, and how much it is
//! [fc deadline] [f8 idle | f9 frequency] type key value
//! ff checksum                  the end; the checksum is missing before version 5, and zero if it was not computed
//! ```
//!
//! [`write`] makes them. [`read`] cuts them into batches of whole records without building a value, in bounded memory;
//! [`record`] builds the values of a batch, which may happen on other threads. `shape` knows how long a record is.

pub mod read;
pub mod record;
mod shape;
pub mod write;

#[cfg(test)]
mod tests;

/// The bytes that begin records that are no keys.
pub(crate) mod opcode {
    /// Three lengths about a slot of a cluster: its number, its keys, those with deadlines.
    pub(crate) const SLOT_INFO: u8 = 244;
    /// The source of a library of functions.
    pub(crate) const FUNCTION: u8 = 245;
    /// The same before Redis 7.0 was finished.
    pub(crate) const FUNCTION_OLD: u8 = 246;
    /// What a module keeps beside keys.
    pub(crate) const MODULE_AUX: u8 = 247;
    /// Seconds since the key was used.
    pub(crate) const IDLE: u8 = 248;
    /// How often the key is used.
    pub(crate) const FREQUENCY: u8 = 249;
    /// A fact about the file: a name and a value.
    pub(crate) const AUX: u8 = 250;
    /// How many keys the database has, and how many of them have deadlines.
    pub(crate) const RESIZE: u8 = 251;
    /// A deadline in Unix milliseconds.
    pub(crate) const DEADLINE_MS: u8 = 252;
    /// A deadline in Unix seconds.
    pub(crate) const DEADLINE: u8 = 253;
    /// The database of what follows.
    pub(crate) const SELECT: u8 = 254;
    /// The end.
    pub(crate) const END: u8 = 255;
}

/// A value of a module, which nobody but the module can read.
pub(crate) const MODULE: u8 = 6;
/// The same in a form that can be skipped.
pub(crate) const MODULE_2: u8 = 7;
