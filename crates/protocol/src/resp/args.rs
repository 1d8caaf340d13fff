//! The arguments of one command, as a cheap view.

use super::request::ArgRange;

/// Arguments of a command: ranges into the bytes that hold them. Argument 0 is the command's name.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    bytes: &'a [u8],
    ranges: &'a [ArgRange],
}

impl<'a> Args<'a> {
    /// A view of `ranges`, each of which lies within `bytes`.
    pub fn new(bytes: &'a [u8], ranges: &'a [ArgRange]) -> Args<'a> {
        Args { bytes, ranges }
    }

    /// Number of arguments, the name included.
    #[inline]
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The argument; empty past the end, which arity keeps handlers from asking for.
    #[inline]
    pub fn get(&self, i: usize) -> &'a [u8] {
        self.ranges.get(i).map_or(&[], |range| &self.bytes[range.start()..range.start() + range.len()])
    }

    /// Where an argument lies in [`Args::bytes`]; `None` past the end.
    #[inline]
    pub fn range(&self, i: usize) -> Option<ArgRange> {
        self.ranges.get(i).copied()
    }

    /// The bytes that hold the arguments.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The arguments from `first` on.
    pub fn from(&self, first: usize) -> Args<'a> {
        Args { bytes: self.bytes, ranges: self.ranges.get(first..).unwrap_or_default() }
    }

    /// All arguments in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator + Clone + use<'a> {
        let bytes = self.bytes;
        self.ranges.iter().map(move |range| &bytes[range.start()..range.start() + range.len()])
    }
}

/// Arguments that outlive the buffer they came in, for commands queued by MULTI.
#[derive(Clone, Debug, Default)]
pub struct OwnedArgs {
    bytes: Vec<u8>,
    ranges: Vec<ArgRange>,
}

impl OwnedArgs {
    /// Copies arguments.
    pub fn copy<'a>(args: impl IntoIterator<Item = &'a [u8]>) -> OwnedArgs {
        let mut owned = OwnedArgs::default();
        for arg in args {
            owned.ranges.push(ArgRange::new(owned.bytes.len() as u32, arg.len() as u32));
            owned.bytes.extend_from_slice(arg);
        }
        owned
    }

    /// A view of them.
    pub fn view(&self) -> Args<'_> {
        Args::new(&self.bytes, &self.ranges)
    }

    /// Bytes held.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.ranges.capacity() * size_of::<ArgRange>()
    }
}
