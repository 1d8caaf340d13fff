//! The requests of a turn, read from the inputs of several sessions, and room for them that is used again.

use super::sessions::{OUTPUT_PAUSE_BYTES, Protocol, Session};
use crate::ahead::Ahead;
use crate::command::Command;
use crate::command::known::KeyAt;
use crate::meter::stopwatch::WEIGHED_BYTES;
use crate::node::Node;
use larder_protocol::resp::args::Args;
use larder_protocol::resp::request::{ArgRange, Limits, ProtocolError, Step};
use larder_store::Store;

/// Requests of one session in a batch.
const SESSION_BATCH_MAX: usize = 256;
// So many replies that nobody weighs are no more than what a session may have waiting.
const _: () = assert!(SESSION_BATCH_MAX * WEIGHED_BYTES <= OUTPUT_PAUSE_BYTES);
/// Most bytes that are reserved for an argument before they came: a claim costs a client nothing.
const RESERVE_BYTES_MAX: usize = 1024 * 1024;

/// How much more than came is reserved beyond that, as a multiple of it.
const RESERVE_SHARE: usize = 8;
/// Room for what comes behind such a request, so that its input need not grow for that.
const READ_AHEAD_BYTES: usize = 128 * 1024;

/// One request of a batch.
pub(super) struct Entry {
    pub(super) session: u32,
    /// Offset of the request in the session's input.
    pub(super) base: u32,
    pub(super) consumed: u32,
    first: u32,
    count: u32,
    first_key: u32,
    pub(super) key_count: u32,
    pub(super) command: Option<&'static Command>,
    /// The request breaks the protocol: it is answered with this, and the session ends.
    pub(super) refusal: Option<ProtocolError>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) entries: Vec<Entry>,
    ranges: Vec<ArgRange>,
    /// The keys of all requests, in order.
    pub(super) keys: Vec<KeyAt>,
    pub(super) ahead: Ahead,
    last: LastName,
}

impl Batch {
    /// Forgets all requests.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.ranges.clear();
        self.keys.clear();
        self.ahead = Ahead::default();
    }

    /// The arguments of a request, which lie in its session's input.
    #[inline]
    pub(super) fn args<'a>(&'a self, entry: &Entry, input: &'a [u8]) -> Args<'a> {
        let ranges = &self.ranges[entry.first as usize..(entry.first + entry.count) as usize];
        Args::new(&input[entry.base as usize..], ranges)
    }

    /// The keys of a request.
    #[inline]
    pub(super) fn keys(&self, entry: &Entry) -> &[KeyAt] {
        &self.keys[entry.first_key as usize..(entry.first_key + entry.key_count) as usize]
    }

    /// Reads the complete requests of a session, up to its share; true if there is more than that.
    pub(super) fn read_session(
        &mut self,
        node: &Node,
        index: u32,
        session: &mut Session,
        limits: &Limits,
    ) -> bool {
        let Protocol::Resp(parser) = &mut session.protocol else { return false };
        let mut at = session.start;
        // What a stranger may send changes with AUTH: its requests are read one by one.
        let most = if limits.unauthenticated { 1 } else { SESSION_BATCH_MAX };
        for _ in 0..most {
            if at >= session.input.len() {
                return false;
            }
            let first = self.ranges.len();
            match parser.step(&mut session.input[at..], &mut self.ranges, limits) {
                Ok(Step::Command { consumed }) => {
                    self.push(node, index, &session.input, at, first, consumed);
                    at += consumed;
                }
                Ok(Step::Nothing { consumed }) => {
                    at += consumed;
                    match self.entries.last_mut().filter(|entry| entry.session == index) {
                        Some(entry) => entry.consumed += consumed as u32,
                        None => session.start = at,
                    }
                }
                Ok(Step::Incomplete { need }) => {
                    let came = session.input.len() - at;
                    // Once much of it came, room is made for all of it: it is moved no more, and takes no more than that.
                    match need <= came.saturating_mul(RESERVE_SHARE) && need > RESERVE_BYTES_MAX {
                        true => session.input.reserve_exact(need + READ_AHEAD_BYTES),
                        false => session.input.reserve(need.min(RESERVE_BYTES_MAX)),
                    }
                    return false;
                }
                Err(error) => {
                    self.push(node, index, &session.input, at, first, 0);
                    if let Some(entry) = self.entries.last_mut() {
                        entry.refusal = Some(error);
                    }
                    return false;
                }
            }
        }
        at < session.input.len()
    }

    /// Asks for the buckets of the keys that were read since the last time.
    #[inline]
    pub(super) fn look_ahead(&mut self, store: &Store) {
        self.ahead.read(store, &self.keys);
    }

    /// Adds a request whose arguments are the ranges from `first` on.
    #[inline]
    fn push(&mut self, node: &Node, session: u32, input: &[u8], base: usize, first: usize, consumed: usize) {
        let args = Args::new(&input[base..], &self.ranges[first..]);
        let command = if args.is_empty() { None } else { self.last.find(node, &args) };
        let first_key = self.keys.len();
        // Where the keys of a subcommand are is found out when it is known which one it is.
        if let Some(command) = command.filter(|command| command.subcommands.is_empty()) {
            KeyAt::find(&node.store, command, &args, &mut self.keys);
        }
        self.entries.push(Entry {
            session,
            base: base as u32,
            first: first as u32,
            count: args.len() as u32,
            first_key: first_key as u32,
            key_count: (self.keys.len() - first_key) as u32,
            consumed: consumed as u32,
            command,
            refusal: None,
        });
    }
}

/// The command that was asked for last, with the short name that it was called by: most requests of a pipeline ask for
/// the same one, and then one comparison takes the place of a look-up.
#[derive(Default)]
struct LastName {
    /// The name, padded with zeros.
    word: u64,
    len: usize,
    command: Option<&'static Command>,
}

impl LastName {
    #[inline]
    fn find(&mut self, node: &Node, args: &Args<'_>) -> Option<&'static Command> {
        let Some((word, len)) = short_name(args) else { return node.table.get(args.get(0)) };
        if (word, len) != (self.word, self.len) {
            *self = LastName { word, len, command: node.table.get(args.get(0)) };
        }
        self.command
    }
}

/// A name of at most eight bytes as a word, and its length. `None` for a longer one, and at the end of the input.
#[inline]
fn short_name(args: &Args<'_>) -> Option<(u64, usize)> {
    let range = args.range(0).filter(|range| (1..=8).contains(&range.len()))?;
    let bytes = args.bytes().get(range.start()..range.start() + 8)?;
    let word = u64::from_le_bytes(bytes.try_into().ok()?);
    Some((word & u64::MAX >> (64 - 8 * range.len()), range.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use larder_protocol::resp::args::OwnedArgs;

    #[test]
    fn names_are_words() {
        let word = |args: &[&[u8]]| short_name(&OwnedArgs::copy(args.iter().copied()).view());
        let get = u64::from_le_bytes(*b"get\0\0\0\0\0");
        assert_eq!(word(&[b"get", b"a key"]), Some((get, 3)));
        assert_eq!(word(&[b"get\0", b"a key"]), Some((get, 4)));
        assert_eq!(word(&[b"get", b"k"]), None, "the input ends within the word");
        assert_eq!(word(&[b"", b"a long key"]), None);
        assert_eq!(word(&[b"bgrewriteaof", b"a long key"]), None);
    }
}
