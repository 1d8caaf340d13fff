//! Commands that take long, carried out in slices of their worker's turns, so that nobody waits for the whole of one.
//!
//! A handler that finds more than [`MEMBERS_MIN`] members before it takes *images* of its values (clones, which share their
//! parts with them: microseconds, however large they are) while it holds their partitions, and hands over a [`Work`] with
//! [`begin`]. So a read happens at the instant of its images, is atomic, and holds nothing meanwhile: changes, expiry,
//! eviction and the compactor concern the keys, not the images. What writes a part that an image shares copies that part.
//!
//! A command that stores what it gathers must find its sources as they were: it *watches* them (`sources`), and when all is
//! gathered it is executed once more, with its partitions held; if the marks are clean it stores the result at once, if not,
//! it is gathered anew there and then ([`Prepared`]).
//!
//! The session waits meanwhile ([`Pending`]); its worker executes one slice in a turn, those of several sessions in turn
//! (`worker::slices`). Inside MULTI and for commands of a log nothing of this happens.

mod draws;
mod listing;
mod pops;
mod ranges;
mod sources;
mod whole;

use super::Call;
use super::collection::Answer;
use crate::background;
use crate::node::Node;
use crate::observe;
use crate::session::{Client, Pending, ReplyMode};
use larder_protocol::resp::args::OwnedArgs;
use larder_protocol::resp::reply::{Reply, Version};
use larder_store::Store;
use larder_store::object::{List, Set, SortedSet};
use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

pub use draws::{Drawn, Draws};
pub use listing::Listing;
pub use pops::{Popped, Pops};
pub use ranges::{Elements, Entries, Ranked};
pub use sources::{Combination, Gather, Gathering, Watched};
pub use whole::{Fields, Members};

/// Members up to which a command is carried out at once: about half a millisecond.
pub const MEMBERS_MIN: usize = 4096;

/// An image of a value costs as much as it saves where so small a part of the members is asked for.
const IMAGE_SHARE: usize = 256;

/// Units of work in a slice: a member is one, and so are so many of its bytes.
const SLICE_UNITS: usize = 2048;
const UNIT_BYTES: usize = 256;

/// What a member costs that is looked up in, or added to, a value, as bytes of one that is only written.
pub const LOOKED_UP_BYTES: usize = 2 * UNIT_BYTES;
/// What a member takes beside its bytes, about.
pub const MEMBER_BYTES: usize = 24;

/// Bytes of what was gathered that one slice appends to the reply.
const POURED_BYTES: usize = 512 * 1024;

/// What may still be done in a slice.
pub struct Budget(usize);

impl Budget {
    pub(crate) fn of_slice() -> Budget {
        Budget(SLICE_UNITS)
    }

    /// For work that is done at once.
    pub(crate) fn unlimited() -> Budget {
        Budget(usize::MAX)
    }

    /// A member of so many bytes was looked at; false if it was enough.
    #[inline]
    pub fn spend(&mut self, bytes: usize) -> bool {
        self.0 = self.0.saturating_sub(1 + bytes / UNIT_BYTES);
        self.0 > 0
    }

    /// True if nothing is left.
    pub fn is_spent(&self) -> bool {
        self.0 == 0
    }
}

/// How far a piece of work is after a slice.
pub enum Progress {
    /// There is more to do.
    More,
    /// The reply is complete.
    Done,
    /// The command can be executed now, with what was gathered for it.
    Ready(Prepared),
}

/// What is done in slices.
pub trait Work: Send {
    /// Does a part of it, and appends what is known of the reply.
    fn slice(&mut self, node: &Node, out: &mut Reply, budget: &mut Budget) -> Progress;

    /// Bytes that are gathered for the session.
    fn memory_bytes(&self) -> usize {
        0
    }

    /// It will not be finished.
    fn abandon(&mut self, _store: &Store) {}
}

/// What a command stores.
#[derive(Default)]
pub enum Stored {
    /// Nothing that is left.
    #[default]
    Nothing,
    /// A list.
    List(List),
    /// A set.
    Set(Set),
    /// A sorted set.
    Sorted(SortedSet),
    /// A set without the members that were taken out of it.
    Popped(Box<Popped>),
}

/// What was gathered for a command that stores it, and what it depends on.
pub struct Prepared {
    /// The result.
    pub result: Stored,
    /// The sources it was made of.
    pub sources: Watched,
}

/// The result of a command that was gathered in slices, if the sources are as they were when they were looked at.
pub fn prepared(call: &mut Call<'_>) -> Option<Stored> {
    let prepared = call.session.prepared.as_mut()?;
    let result = std::mem::take(&mut prepared.result);
    if prepared.sources.is_clean(&call.keys) {
        return Some(result);
    }
    background::drop_later(result);
    None
}

/// A command that is being carried out in slices.
pub struct Long {
    work: Option<Box<dyn Work>>,
    /// The command as it was asked for.
    pub args: OwnedArgs,
    /// The command, subcommands told apart.
    pub command: &'static super::Command,
    /// What was spent on it so far.
    pub took: Duration,
    /// Bytes of its reply so far.
    pub reply_bytes: usize,
    /// Whether its reply is sent, where it is executed at the end.
    pub reply_mode: ReplyMode,
    /// Messages that came meanwhile and are sent behind the reply.
    pub aside: Vec<u8>,
    /// The worker knows of it.
    pub listed: bool,
}

impl fmt::Debug for Long {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Long").field("command", &self.command.name).field("took", &self.took).finish()
    }
}

impl Long {
    /// Carries out a slice.
    pub fn slice(&mut self, node: &Node, out: &mut Reply) -> Progress {
        let (began, before) = (Instant::now(), out.len());
        let progress = match &mut self.work {
            Some(work) => work.slice(node, out, &mut Budget::of_slice()),
            None => Progress::Done,
        };
        self.took += began.elapsed();
        self.reply_bytes += out.len() - before;
        progress
    }

    /// Bytes that it keeps for the session.
    pub fn memory_bytes(&self) -> usize {
        self.aside.capacity() + self.work.as_ref().map_or(0, |work| work.memory_bytes())
    }

    /// Gives up what it holds. Takes locks of partitions, so none may be held.
    pub fn end(&mut self, store: &Store) {
        if let Some(mut work) = self.work.take() {
            work.abandon(store);
            background::drop_later(work);
        }
    }
}

/// True if a command that looks at `count` of `len` members should be carried out in slices.
#[inline]
pub fn is_long(session: &Client, count: usize, len: usize) -> bool {
    is_large(count, len) && may_begin(session)
}

/// True if looking at `count` of `len` members takes long, and much longer than an image of them.
#[inline]
pub fn is_large(count: usize, len: usize) -> bool {
    count > MEMBERS_MIN && count >= len / IMAGE_SHARE
}

/// True if the session may go on later.
#[cold]
pub fn may_begin(session: &Client) -> bool {
    session.may_wait && session.pending.is_none() && session.prepared.is_none()
}

/// Carries out a read in slices, or writes the rest of a reply in slices; what the handler has written so far is its beginning.
#[cold]
pub fn begin(call: &mut Call<'_>, work: impl Work + 'static) -> Answer {
    if call.session.reply_mode != ReplyMode::On {
        background::drop_later(work);
        return Ok(()); // nobody hears of it
    }
    if call.node.monitors.any() {
        observe::watched(call.node, call.session, call.args);
    }
    wait_for(call, Box::new(work));
    Ok(())
}

/// Gathers in slices what a command stores; the handler has done nothing yet, and does nothing.
#[cold]
pub fn begin_storing(call: &mut Call<'_>, work: impl Work + 'static) -> Answer {
    wait_for(call, Box::new(work));
    Ok(())
}

fn wait_for(call: &mut Call<'_>, work: Box<dyn Work>) {
    // It counts, is timed and is told of when it is over.
    let Some(command) = call.session.command.take() else { return };
    let long = Long {
        work: Some(work),
        args: OwnedArgs::copy(call.args.iter()),
        command,
        took: Duration::ZERO,
        reply_bytes: 0,
        reply_mode: call.session.reply_mode,
        aside: Vec::new(),
        listed: false,
    };
    call.session.pending = Some(Box::new(Pending { long: Some(Box::new(long)), ..Pending::default() }));
}

/// Replies whose number is known only when all are there, kept in pieces so that none has to grow or to be copied at once.
struct Gathered {
    pieces: VecDeque<Vec<u8>>,
    version: Version,
    count: usize,
    bytes: usize,
    headed: bool,
}

impl Gathered {
    fn new(version: Version) -> Gathered {
        Gathered { pieces: VecDeque::new(), version, count: 0, bytes: 0, headed: false }
    }

    /// Adds so many replies as `write` says it wrote.
    fn add(&mut self, write: impl FnOnce(&mut Reply) -> usize) {
        let mut piece = Reply::new(Vec::new(), self.version);
        let count = write(&mut piece);
        self.adopt(piece, count);
    }

    /// Adds replies that were written.
    fn adopt(&mut self, mut piece: Reply, count: usize) {
        self.count += count;
        let piece = std::mem::take(piece.buffer());
        if !piece.is_empty() {
            self.bytes += piece.capacity();
            self.pieces.push_back(piece);
        }
    }

    /// Moves some of it to the reply; true when all of it was.
    fn pour(&mut self, out: &mut Reply, header: impl FnOnce(&mut Reply, usize)) -> bool {
        if !std::mem::replace(&mut self.headed, true) {
            header(out, self.count);
        }
        let end = out.len() + POURED_BYTES;
        while out.len() < end {
            let Some(piece) = self.pieces.pop_front() else { break };
            self.bytes -= piece.capacity();
            out.raw(&piece);
        }
        self.pieces.is_empty()
    }
}
