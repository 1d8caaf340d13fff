//! What can be wrong with a command, in the words of Redis.

use std::borrow::Cow;
use std::fmt;

/// Why a command failed. `Display` is the text of the error reply, its code included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// The key holds a value of another type.
    WrongType,
    /// The arguments make no sense together.
    Syntax,
    /// An argument or value is no 64-bit integer.
    NotInteger,
    /// An argument or value is no double.
    NotFloat,
    /// An integer is out of the range that makes sense.
    OutOfRange,
    /// An index is out of range.
    IndexOutOfRange,
    /// The key must exist.
    NoSuchKey,
    /// Too few or too many arguments; the dispatcher adds the command's name.
    WrongArity,
    /// Any other text, beginning with its code.
    Text(Cow<'static, str>),
}

impl CommandError {
    /// An error with a text that is made up at run time.
    pub fn new(text: impl Into<Cow<'static, str>>) -> CommandError {
        CommandError::Text(text.into())
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CommandError::WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value",
            CommandError::Syntax => "ERR syntax error",
            CommandError::NotInteger => "ERR value is not an integer or out of range",
            CommandError::NotFloat => "ERR value is not a valid float",
            CommandError::OutOfRange => "ERR value is out of range",
            CommandError::IndexOutOfRange => "ERR index out of range",
            CommandError::NoSuchKey => "ERR no such key",
            CommandError::WrongArity => "ERR wrong number of arguments",
            CommandError::Text(text) => text,
        })
    }
}

impl std::error::Error for CommandError {}
