//! A large value as it was at some instant, whatever becomes of its key: it shares its parts with it.

use super::value::ValueRef;
use crate::object::{Hash, List, Set, SortedSet, Stream};
use std::sync::Arc;

/// Bytes beyond which a collection is shared instead of being written down at once.
const SHARED_BYTES: usize = 16 * 1024;
/// Members beyond which it is, without adding up the bytes.
const SHARED_MEMBERS: usize = 256;

/// What [`super::Entry::share`] gives.
#[derive(Debug)]
pub enum Image {
    /// A long string.
    String(Arc<Vec<u8>>),
    /// A hash.
    Hash(Box<Hash>),
    /// A list.
    List(Box<List>),
    /// A set.
    Set(Box<Set>),
    /// A sorted set.
    SortedSet(Box<SortedSet>),
    /// A stream.
    Stream(Box<Stream>),
}

impl Image {
    /// The value.
    pub fn value(&self) -> ValueRef<'_> {
        match self {
            Image::String(bytes) => ValueRef::String(bytes),
            Image::Hash(hash) => ValueRef::Hash(hash),
            Image::List(list) => ValueRef::List(list),
            Image::Set(set) => ValueRef::Set(set),
            Image::SortedSet(set) => ValueRef::SortedSet(set),
            Image::Stream(stream) => ValueRef::Stream(stream),
        }
    }

    /// An image of a collection, if it is a large one: a count for each of its parts, of some kilobytes. Of the groups of a
    /// stream the names of consumers are copied, not what is pending for them.
    pub(super) fn of_collection(value: &ValueRef<'_>) -> Option<Image> {
        let large =
            |members: usize, bytes: &dyn Fn() -> usize| members > SHARED_MEMBERS || bytes() > SHARED_BYTES;
        Some(match value {
            ValueRef::String(_) | ValueRef::Integer(_) => return None,
            ValueRef::Hash(hash) if large(hash.len(), &|| hash.memory_bytes()) => {
                Image::Hash(Box::new((*hash).clone()))
            }
            ValueRef::List(list) if large(list.len(), &|| list.memory_bytes()) => {
                Image::List(Box::new((*list).clone()))
            }
            ValueRef::Set(set) if large(set.len(), &|| set.memory_bytes()) => {
                Image::Set(Box::new((*set).clone()))
            }
            ValueRef::SortedSet(set) if large(set.len(), &|| set.memory_bytes()) => {
                Image::SortedSet(Box::new((*set).clone()))
            }
            ValueRef::Stream(stream) if large(stream.len(), &|| stream.memory_bytes()) => {
                Image::Stream(Box::new((*stream).clone()))
            }
            _ => return None,
        })
    }
}
