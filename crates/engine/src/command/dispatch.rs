//! From arguments to a call: what may run, which partitions it holds, and what is answered when it fails.

use super::call::Call;
use super::keyspace::Keyspace;
use super::locked::Locked;
use super::table::{Command, Scope, flag};
use super::wake::{self, Changed, wake, widen};
use super::{CommandError, Keys, Known};
use crate::iam;
use crate::log::Effects;
use crate::node::Node;
use crate::notify::Classes;
use crate::pause::Held;
use crate::session::{Client, Pending, ReplyMode};
use crate::{notify, observe, replication};
use larder_protocol::resp::args::{Args, OwnedArgs};
use larder_protocol::resp::reply::Reply;
use larder_protocol::slot::slot_of;
use larder_store::partition::access::Access;
use larder_store::{Now, PartitionId, Store};
use std::time::Instant;

/// What all commands of a worker's turn share.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// The time of the turn.
    pub now: Now,
    /// How uses of keys are noted.
    pub access: Access,
    /// Memory is short and nothing can be evicted: commands that need some are refused.
    pub out_of_memory: bool,
    /// The node is loading, a replica, or cannot save what is written: many commands are refused. It may have become a
    /// replica since the turn began.
    pub restrained: bool,
    /// `restricted-commands` is not empty.
    pub restricted: bool,
}

/// One request with what was found out about it while it was parsed.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The arguments; at least the name.
    pub args: &'a Args<'a>,
    /// The row of the table.
    pub command: Option<&'static Command>,
    /// Its keys, as far as they are known.
    pub keys: &'a Known<'a>,
}

/// What a command that needs memory is told when there is none, after `-`.
pub const OUT_OF_MEMORY: &str = "OOM command not allowed when used memory > 'maxmemory'.";

/// Most bytes of arguments that an error about an unknown command repeats.
const ECHOED_BYTES_MAX: usize = 128;

/// Keys whose partitions are sorted on the stack.
const FEW_KEYS: usize = 32;

/// Executes one request of a session; its reply is appended to `out`. Answers how many keys changed.
#[inline]
pub fn execute(node: &Node, turn: &Turn, client: &mut Client, request: &Request<'_>, out: &mut Reply) -> u64 {
    let start = out.len();
    let changes = match admit(node, turn, client, request, out) {
        Ok(Admitted::Run(command)) => run(node, turn, client, command, request, out),
        Ok(Admitted::Queued) => {
            out.simple("QUEUED");
            0
        }
        Ok(Admitted::HeldBack { asks }) => {
            let held_back = [OwnedArgs::copy(request.args.iter())].into();
            client.pending = Some(Box::new(Pending { held_back, asks, ..Pending::default() }));
            return 0;
        }
        Ok(Admitted::Foreign) => {
            client.closing = true;
            out.truncate(0);
            0
        }
        Err(mut error) => {
            if request.command.is_some_and(|command| command.name == "exec") {
                error = discard(node, client, &error);
            } else if let Some(transaction) = &mut client.transaction {
                transaction.aborted = true;
            }
            node.meter(client).rejected(refused(node, request), &error);
            fail(node, out, start, &error);
            0
        }
    };
    if client.reply_mode != ReplyMode::On {
        silence(client, out, start);
    }
    changes
}

/// An EXEC that is refused ends the transaction, whatever the reason; what it is told.
#[cold]
fn discard(node: &Node, client: &mut Client, error: &str) -> String {
    client.transaction = None;
    std::mem::take(&mut client.watching).clear(&node.store);
    format!("EXECABORT Transaction discarded because of: {}", error.strip_prefix("ERR ").unwrap_or(error))
}

enum Admitted {
    Run(&'static Command),
    Queued,
    /// CLIENT PAUSE keeps it waiting, or a question that is being asked.
    HeldBack {
        asks: bool,
    },
    /// A web page makes a browser post here, or the session's user was deleted: cut off without a word.
    Foreign,
}

#[inline]
fn admit(
    node: &Node,
    turn: &Turn,
    client: &mut Client,
    request: &Request<'_>,
    out: &Reply,
) -> Result<Admitted, String> {
    let args = request.args;
    let Some(command) = request.command else {
        return if is_http(args.get(0)) { Ok(Admitted::Foreign) } else { Err(unknown(args)) };
    };
    let command = if command.subcommands.is_empty() { command } else { subcommand(command, args)? };
    if turn.restricted && !client.local && is_restricted(node, client, request, command) {
        return Err(unknown(args));
    }
    if !command.accepts(args.len()) {
        return Err(wrong_arity(request, command));
    }
    if !client.authenticated && !command.is(flag::NO_AUTH) && !node.users.is_open() {
        return Err("NOAUTH Authentication required.".into());
    }
    if !client.identity.is_free(node.users.generation()) && !super::acl::admit(node, client, command, args)? {
        return Ok(Admitted::Foreign);
    }
    if turn.out_of_memory {
        refuse_without_memory(client, command)?;
    }
    if turn.restrained || node.replication.is_restrained() {
        refuse_for_now(node, client, command)?;
    }
    if client.listens() && client.subscriptions.is_some() && !out.is_resp3() {
        refuse_while_listening(request, command)?;
    }
    if client.transaction.is_some() && !command.is(flag::NOT_QUEUED) {
        return queue(client, command, args);
    }
    if node.pause.is_set() && is_held_back(node, turn, client, command) {
        return Ok(Admitted::HeldBack { asks: false });
    }
    if command.is(flag::NO_AUTH) && iam::must_ask(node, client, command, args) {
        return Ok(Admitted::HeldBack { asks: true });
    }
    Ok(Admitted::Run(command))
}

/// True for what has to wait for the end of a pause.
#[cold]
fn is_held_back(node: &Node, turn: &Turn, client: &Client, command: &Command) -> bool {
    // The service that looks after the node comes in by the Unix socket, and must always get through.
    let writes = |command: &Command| {
        command.is(flag::WRITE) || matches!(command.name, "pfcount" | "publish" | "spublish")
    };
    match node.pause.held(turn.now.ms) {
        None => false,
        Some(Held::All) => !client.shared.unix,
        Some(Held::Writes) if command.name == "exec" => {
            let queued = client.transaction.as_ref().map_or(&[] as &[_], |transaction| &transaction.queued);
            queued.iter().any(|(command, _)| writes(command))
        }
        Some(Held::Writes) => writes(command),
    }
}

/// Refuses what needs the keys while they are loaded, and writes while they cannot be saved.
#[cold]
fn refuse_for_now(node: &Node, client: &Client, command: &Command) -> Result<(), String> {
    let loads = match node.loading.is_on() {
        true if node.loading.is_shut() => !command.is(flag::LOADING),
        true => command.is(flag::NO_ASYNC_LOADING),
        false => false,
    };
    if loads {
        return Err("LOADING Larder is loading the dataset in memory".into());
    }
    let writes = command.is(flag::WRITE) || command.name == "ping";
    if writes && node.log.aof.failing.load(std::sync::atomic::Ordering::Relaxed) {
        let failure = node.log.aof.failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        return Err(format!("MISCONF Errors writing to the AOF file: {failure}"));
    }
    if writes && node.cannot_save(&node.settings()) {
        return Err("MISCONF Larder is configured to save RDB snapshots, but it's currently unable to persist to disk. \
                    Commands that may modify the data set are disabled, because this instance is configured to report \
                    errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check \
                    the Larder logs for details about the RDB error."
            .into());
    }
    if node.replication.is_restrained() {
        let queued = client.transaction.as_ref().filter(|_| command.name == "exec");
        let writes_queued = queued.is_some_and(|all| all.queued.iter().any(|(row, _)| row.is(flag::WRITE)));
        let writes = command.is(flag::WRITE) || writes_queued;
        if let Some(text) = replication::refusal(node, writes, command.is(flag::STALE)) {
            return Err(text.into());
        }
    }
    Ok(())
}

/// Refuses what needs memory; what was queued while there was some is left to EXEC to refuse.
#[cold]
fn refuse_without_memory(client: &mut Client, command: &'static Command) -> Result<(), String> {
    if command.is(flag::DENYOOM) {
        return Err(OUT_OF_MEMORY.into());
    }
    if let Some(transaction) = client.transaction.as_mut().filter(|_| command.name == "exec") {
        transaction.out_of_memory = transaction.queued.iter().any(|(queued, _)| queued.is(flag::DENYOOM));
    }
    Ok(())
}

/// A session of RESP2 that listens cannot tell replies from messages.
#[cold]
fn refuse_while_listening(request: &Request<'_>, command: &'static Command) -> Result<(), String> {
    if super::pubsub::may_while_listening(command) {
        return Ok(());
    }
    let name = full_name(request.command.unwrap_or(command), command);
    let text = format!(
        "Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
         context"
    );
    Err(format!("ERR {text}"))
}

/// A word that begins a line of an HTTP request with a body, or with any headers.
#[cold]
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

#[cold]
fn queue(client: &mut Client, command: &'static Command, args: &Args<'_>) -> Result<Admitted, String> {
    if command.is(flag::NO_MULTI) {
        return Err("ERR Command not allowed inside a transaction".into());
    }
    match &mut client.transaction {
        Some(transaction) => match transaction.queue(command, args) {
            true => Ok(Admitted::Queued),
            false => Err("ERR the transaction is too large".into()),
        },
        None => Ok(Admitted::Run(command)),
    }
}

#[cold]
fn subcommand(container: &'static Command, args: &Args<'_>) -> Result<&'static Command, String> {
    if args.len() < 2 {
        return Ok(container);
    }
    let name = args.get(1);
    let found = container.subcommands.iter().find(|row| name.eq_ignore_ascii_case(row.name.as_bytes()));
    found.ok_or_else(|| {
        format!(
            "ERR unknown subcommand '{}'. Try {} HELP.",
            echo(name, ECHOED_BYTES_MAX),
            container.name.to_uppercase()
        )
    })
}

#[cold]
fn is_restricted(node: &Node, client: &Client, request: &Request<'_>, command: &'static Command) -> bool {
    let container = request.command.map_or("", |row| row.name);
    let settings = node.settings();
    if matches!(container, "psync" | "sync" | "replconf") && replication::may_follow(&settings, client) {
        return false;
    }
    settings.restricted_commands.iter().any(|name| match name.split_once('|') {
        None => name == container,
        Some((first, second)) => first == container && second == command.name,
    })
}

#[cold]
fn unknown(args: &Args<'_>) -> String {
    let mut text =
        format!("ERR unknown command '{}', with args beginning with: ", echo(args.get(0), ECHOED_BYTES_MAX));
    let mut room = ECHOED_BYTES_MAX;
    for arg in args.from(1).iter() {
        if room == 0 {
            break;
        }
        text.push_str(&format!("'{}' ", echo(arg, room)));
        room = room.saturating_sub(arg.len() + 3);
    }
    text
}

fn echo(bytes: &[u8], most: usize) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(most)]).into_owned()
}

/// `config|get` or `get`.
pub fn full_name(container: &Command, command: &Command) -> String {
    if std::ptr::eq(container, command) {
        command.name.into()
    } else {
        format!("{}|{}", container.name, command.name)
    }
}

#[cold]
fn wrong_arity(request: &Request<'_>, command: &'static Command) -> String {
    let name = full_name(request.command.unwrap_or(command), command);
    format!("ERR wrong number of arguments for '{name}' command")
}

#[inline]
fn run(
    node: &Node,
    turn: &Turn,
    client: &mut Client,
    command: &'static Command,
    request: &Request<'_>,
    out: &mut Reply,
) -> u64 {
    // Taken before partitions: see `crate::replication`.
    let _gate = (command.scope == Scope::Still).then(|| node.replication.gate());
    let access = if client.no_touch { turn.access.silent() } else { turn.access };
    client.command = Some(command);
    // Made where it stays, and of references: what was just written piece by piece is slow to be copied as a whole.
    let keys = Keyspace::new(node, Locked::None, request.keys, client.db, turn.now, access);
    let mut call = Call { args: request.args, keys, out, session: client, node };
    let wakes = call.keys.lock(|locked| lock(locked, node, command, request));
    // Either is rare, so that the common path asks once before and once after the command.
    let watched = wakes || call.keys.is_listened_to();
    if watched {
        if command.is(flag::WRITE)
            && let Some(text) = refusal_by_now(node)
        {
            return refuse_by_now(call, command, text);
        }
        if call.session.imports && call.keys.imports() {
            call.keys.without_expiry();
        }
        prepare(&mut call.keys, wakes, command, request.args);
    }
    let start = call.out.len();
    if let Err(error) = (command.handler)(&mut call) {
        let text = render(&error, request, command);
        node.meter(call.session).failed(node.table.number(command), &text);
        fail(node, call.out, start, &text);
    }
    if watched || command.is(flag::BLOCKING | flag::WAITS) {
        settle(call, turn, command, wakes)
    } else {
        call.keys.dirty()
    }
}

/// Why a write is refused that was admitted before the node became a replica and got its partitions only afterwards: it
/// would be in no history, and the replica would differ from its primary for good. Whoever makes the node a replica holds
/// all partitions, and from then on somebody listens ([`Keyspace::is_listened_to`]).
#[inline]
pub fn refusal_by_now(node: &Node) -> Option<&'static str> {
    if node.replication.is_following() { replication::refusal(node, true, false) } else { None }
}

#[cold]
#[inline(never)]
fn refuse_by_now(call: Call<'_>, command: &'static Command, text: &str) -> u64 {
    let Call { session, out, node, .. } = call;
    node.meter(session).rejected(Some(node.table.number(command)), text);
    let start = out.len();
    fail(node, out, start, text);
    0
}

/// Executes a command of a log (a file's, or another node's) in the name of a session that nobody is connected to. Who
/// wrote the log was entitled to all of it, had the memory, and says itself when a key dies.
///
/// # Errors
/// There is no such command, or not with so many arguments. What a handler says is its reply.
pub fn apply(
    node: &Node,
    turn: &Turn,
    client: &mut Client,
    args: Args<'_>,
    out: &mut Reply,
) -> Result<u64, String> {
    let container = node.table.get(args.get(0)).ok_or_else(|| unknown(&args))?;
    let command = if container.subcommands.is_empty() { container } else { subcommand(container, &args)? };
    let request = Request { args: &args, command: Some(container), keys: &Known::NOTHING };
    if !command.accepts(args.len()) {
        return Err(wrong_arity(&request, command));
    }
    if command.scope == Scope::Still {
        return Ok(0); // nobody logs such a command, and the gate is held
    }
    if let Some(transaction) = client.transaction.as_mut().filter(|_| !command.is(flag::NOT_QUEUED)) {
        transaction.queue(command, &args); // what is too much for a client has been executed elsewhere
        return Ok(0);
    }
    let mut keys = Keyspace::new(node, Locked::None, &Known::NOTHING, client.db, turn.now, turn.access);
    let wakes = keys.lock(|locked| lock(locked, node, command, &request));
    keys.without_expiry();
    if wakes || keys.is_listened_to() {
        prepare(&mut keys, wakes, command, &args);
    }
    client.command = Some(command);
    let mut call = Call { args: &args, keys, out, session: client, node };
    let start = call.out.len();
    if let Err(error) = (command.handler)(&mut call) {
        let text = render(&error, &request, command);
        call.session.failed += 1;
        fail(node, call.out, start, &text);
    }
    Ok(settle(call, turn, command, wakes))
}

/// Makes the door note what somebody wants to hear of.
#[cold]
#[inline(never)]
fn prepare(keys: &mut Keyspace<'_>, wakes: bool, command: &Command, args: &Args<'_>) {
    if wakes {
        keys.note_changes();
    }
    // A read that comes upon a dead key tells so itself; a write may replace it without a word.
    if keys.is_heard() || command.is(flag::WRITE) {
        keys.bury(command, args);
    }
}

/// Tells what a command did, lets it wait, and wakes up others. Answers how many keys changed.
#[cold]
#[inline(never)]
fn settle(mut call: Call<'_>, turn: &Turn, command: &'static Command, wakes: bool) -> u64 {
    let mut changed = Vec::new();
    log(&mut call, command);
    if call.keys.is_listened_to() && call.keys.is_heard() {
        changed = tell(&mut call, command);
    }
    let (node, changes) = (call.node, call.keys.dirty());
    if command.is(flag::BLOCKING | flag::WAITS) {
        wake::block(node, call.session, command, call.args, call.out);
    }
    if !wakes || changes == 0 {
        return changes;
    }
    if command.scope != Scope::Keys {
        changed = wake::everywhere(node);
    }
    changes + wake(node, call.keys.locked(), changed, (turn.now, turn.access))
}

/// Logs what a command did, if the log is on.
pub(super) fn log(call: &mut Call<'_>, command: &Command) {
    if call.keys.is_logged() {
        let (worker, db) = (call.session.shared.place.worker as usize, call.session.db);
        if let Some(number) = call.keys.log(call.node, worker, command, db, call.args) {
            call.session.logged = number;
        }
    }
}

/// Publishes what a command did to keys, and remembers what it read for who caches. The partitions are still held: so
/// the order per key is kept, and no change is missed.
#[cold]
#[inline(never)]
pub fn tell(call: &mut Call<'_>, command: &Command) -> Vec<Changed> {
    let events = call.keys.take_events();
    notify::tell(call.node, call.session.shared.place, &events);
    // What is read within a transaction is remembered command by command.
    if let Some(caching) = &call.session.caching
        && command.is(flag::READONLY)
        && caching.remembers()
    {
        let keys_max = call.node.settings().tracking_keys_max;
        command.each_key(call.args, |at| {
            call.node.tracking.remember(call.args.get(at), &caching.tracker, keys_max);
        });
    }
    let changes = events.into_iter().filter(|event| event.class == Classes::CHANGES);
    changes.map(|event| Changed { db: Some(event.db), key: event.key }).collect()
}

#[cold]
fn render(error: &CommandError, request: &Request<'_>, command: &'static Command) -> String {
    match error {
        CommandError::WrongArity => wrong_arity(request, command),
        other => other.to_string(),
    }
}

/// The number of the command that was refused, if there is such a command.
#[cold]
fn refused(node: &Node, request: &Request<'_>) -> Option<usize> {
    let command = request.command?;
    Some(node.table.number(subcommand(command, request.args).unwrap_or(command)))
}

/// Answers with an error in the place of what was written since `start`, and counts it.
#[cold]
pub(super) fn fail(node: &Node, out: &mut Reply, start: usize, text: &str) {
    node.stats.errors.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    out.truncate(start);
    out.error(text);
}

#[cold]
fn silence(client: &mut Client, out: &mut Reply, start: usize) {
    client.reply_mode = match client.reply_mode {
        ReplyMode::SkipNext => ReplyMode::SkipThis,
        ReplyMode::SkipThis => ReplyMode::On,
        other => other,
    };
    // What confirms that a session listens, or does not, is a message, and always sent.
    if !client.command.is_some_and(super::pubsub::is_confirmed) {
        out.truncate(start);
    }
}

/// Locks what a command needs, where nothing is held yet, and says whether it may have to wake others up.
#[inline]
fn lock<'a>(
    locked: &mut Locked<'a>,
    node: &'a Node,
    command: &'static Command,
    request: &Request<'_>,
) -> bool {
    let mut ids = request.keys.partitions(&node.store);
    match (command.scope, ids.next(), ids.len()) {
        (Scope::Keys, Some(id), 0) => *locked = Locked::One(id, node.store.lock(id)),
        (Scope::Each, ..) => return false,
        (Scope::Keys, None, _) if matches!(command.keys, Keys::None) => return false,
        (Scope::Patterns, ..) if command.uses_patterns(request.args) => return lock_all(locked, node),
        (Scope::All | Scope::Still, ..) => return lock_all(locked, node),
        (Scope::Keys | Scope::Patterns, Some(first), _) => *locked = lock_several(&node.store, first, ids),
        (Scope::Keys | Scope::Patterns, None, _) => {
            let mut ids = Vec::new();
            partitions(node, command, request.args, &mut ids);
            *locked = Locked::many(&node.store, &mut ids);
        }
    }
    let wakes = command.is(flag::WRITE) && node.blocked.any();
    if wakes {
        let keys: Vec<&[u8]> = command_keys(command, request.args).collect();
        *locked = widen(node, std::mem::replace(locked, Locked::None), &keys);
    }
    wakes
}

#[cold]
fn lock_all<'a>(locked: &mut Locked<'a>, node: &'a Node) -> bool {
    *locked = Locked::all(&node.store);
    node.blocked.any()
}

#[inline(never)]
fn lock_several<'a>(
    store: &'a Store,
    first: PartitionId,
    others: impl ExactSizeIterator<Item = PartitionId>,
) -> Locked<'a> {
    let mut few = [first; FEW_KEYS];
    match few.get_mut(..=others.len()) {
        Some(few) => {
            few[1..].iter_mut().zip(others).for_each(|(to, id)| *to = id);
            Locked::many(store, few)
        }
        None => Locked::many(store, &mut std::iter::once(first).chain(others).collect::<Vec<_>>()),
    }
}

/// The keys of a command.
pub(super) fn command_keys<'a>(
    command: &Command,
    args: &Args<'a>,
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let mut keys = Vec::new();
    command.each_key(args, |at| keys.push(args.get(at)));
    keys.into_iter()
}

/// Adds the partitions of a command's keys.
pub fn partitions(node: &Node, command: &Command, args: &Args<'_>, ids: &mut Vec<PartitionId>) {
    command.each_key(args, |at| ids.push(node.store.partition_of(slot_of(args.get(at)))));
}

/// Runs a queued command with keys that EXEC holds.
///
/// Answers which keys changed, if the door to them notes that, and adds what is to be logged to `effects`.
pub fn run_queued(call: &mut Call<'_>, command: &'static Command, effects: &mut Effects) -> Vec<Changed> {
    let start = call.out.len();
    if !call.session.identity.is_free(call.node.users.generation())
        && let Err(text) = super::acl::admit_queued(call.node, call.session, command, call.args)
    {
        fail(call.node, call.out, start, &text);
        return Vec::new();
    }
    let (outer, db) = (call.session.command.replace(command), call.session.db);
    let began = Instant::now();
    if call.keys.is_listened_to() {
        call.keys.bury(command, call.args);
    }
    if let Err(error) = (command.handler)(call) {
        let request = Request {
            args: call.args,
            command: call.node.table.get(call.args.get(0)),
            keys: &Known::NOTHING,
        };
        let text = render(&error, &request, command);
        call.node.meter(call.session).failed(call.node.table.number(command), &text);
        call.session.failed += 1;
        fail(call.node, call.out, start, &text);
    }
    if call.keys.is_logged()
        && let Some(more) = call.keys.take_effects(command, db, call.args)
    {
        effects.append(&more);
    }
    let changed = if call.keys.is_listened_to() { tell(call, command) } else { Vec::new() };
    let from = call.session.shared.clone();
    observe::inner(call.node, call.session, command, call.args, began.elapsed(), &from.address);
    call.session.command = outer;
    changed
}
