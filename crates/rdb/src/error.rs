//! What can be wrong with bytes, and where.

/// A mistake in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at byte {offset}")]
pub struct Error {
    /// Where in the input the reader stood.
    pub offset: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The input ends within a value, or a count promises more than the rest of it can hold.
    #[error("unexpected end of input")]
    Truncated,
    /// A type of value, or an encoding of a length or string, that is not known.
    #[error("unknown encoding {0}")]
    Unknown(u8),
    /// A value that only the module that wrote it can read.
    #[error("a value of a module, which cannot be read without it")]
    Module,
    /// What only release candidates wrote.
    #[error("a form of functions that only a release candidate wrote")]
    Outdated,
    /// A compressed string that does not unfold to its length.
    #[error("broken compressed string")]
    Compressed,
    /// A listpack, ziplist, zipmap or intset that is not well formed.
    #[error("broken {0}")]
    Packed(&'static str),
    /// A number that is none.
    #[error("invalid number")]
    Number,
    /// A field or member that stands twice.
    #[error("repeated member")]
    Repeated,
    /// A collection without members, which no server keeps.
    #[error("empty collection")]
    Empty,
    /// Parts of a value that contradict each other.
    #[error("inconsistent value")]
    Inconsistent,
}
