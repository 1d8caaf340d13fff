//! AWS Query requests: a form of flat names becomes a tree, and the tree becomes an operation's typed input.
//!
//! `A.B=1` is a structure, `A.member.1=x` or `A.<Name>.1=x` a list (its numbers may have gaps), `A=` an empty list.
//! Strict where leniency would hide a mistake: a name that is given twice, an element name that the list does not
//! have, text that is not UTF-8. Pure: no I/O.

mod decode;
mod form;
mod list_names;
mod time;

#[cfg(test)]
mod tests;

pub use form::{DEPTH_MAX, Form, NAME_BYTES_MAX, Node, PARAMETERS_MAX, VALUE_BYTES_MAX, decode_pairs};
pub use time::Time;
