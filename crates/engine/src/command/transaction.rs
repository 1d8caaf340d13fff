//! MULTI, EXEC, DISCARD, WATCH, UNWATCH.

use super::dispatch::{OUT_OF_MEMORY, command_keys, partitions, refusal_by_now, run_queued};
use super::keyspace::Keyspace;
use super::locked::{Held, Locked};
use super::table::{ALL_KEYS, Command, Keys, Scope, flag};
use super::wake::{everywhere, wake, widen};
use super::{Call, CommandError, Known};
use crate::log::Effects;
use crate::node::{Node, now_ms};
use crate::session::transaction::{Transaction, Watching};
use larder_protocol::slot::slot_of;
use larder_store::Now;

const FLAGS: u32 = flag::NOSCRIPT | flag::LOADING | flag::STALE | flag::FAST | flag::ALLOW_BUSY;

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "multi",
        summary: "Starts a transaction.",
        since: "1.2.0",
        group: "transactions",
        flags: FLAGS | flag::NOT_QUEUED,
        handler: multi,
        ..Command::DEFAULT
    },
    Command {
        name: "exec",
        summary: "Executes all commands of a transaction.",
        since: "1.2.0",
        group: "transactions",
        complexity: "Depends on commands in the transaction",
        flags: flag::NOSCRIPT | flag::LOADING | flag::STALE | flag::NOT_QUEUED | flag::SKIP_SLOWLOG,
        handler: exec,
        ..Command::DEFAULT
    },
    Command {
        name: "discard",
        summary: "Discards a transaction.",
        since: "2.0.0",
        group: "transactions",
        complexity: "O(N), when N is the number of queued commands",
        flags: FLAGS | flag::NOT_QUEUED,
        handler: discard,
        ..Command::DEFAULT
    },
    Command {
        name: "watch",
        summary: "Makes the next transaction depend on keys staying as they are.",
        syntax: "key [key ...]",
        since: "2.2.0",
        group: "transactions",
        complexity: "O(1) for every key.",
        arity: -2,
        flags: FLAGS | flag::NOT_QUEUED,
        keys: ALL_KEYS,
        // The keys are locked one by one by the handler.
        scope: Scope::Each,
        handler: watch,
        ..Command::DEFAULT
    },
    Command {
        name: "unwatch",
        summary: "Forgets the keys watched by this session.",
        since: "2.2.0",
        group: "transactions",
        flags: FLAGS,
        handler: unwatch,
        keys: Keys::None,
        ..Command::DEFAULT
    },
];

fn text(message: &'static str) -> CommandError {
    CommandError::Text(message.into())
}

fn multi(call: &mut Call<'_>) -> Result<(), CommandError> {
    if call.session.transaction.is_some() {
        return Err(text("ERR MULTI calls can not be nested"));
    }
    call.session.transaction = Some(Transaction::default());
    call.out.ok();
    Ok(())
}

fn discard(call: &mut Call<'_>) -> Result<(), CommandError> {
    call.session.transaction.take().ok_or(text("ERR DISCARD without MULTI"))?;
    call.session.watching.clear(&call.node.store);
    call.out.ok();
    Ok(())
}

fn watch(call: &mut Call<'_>) -> Result<(), CommandError> {
    if call.session.transaction.is_some() {
        return Err(text("ERR WATCH inside MULTI is not allowed"));
    }
    let now = call.keys.now();
    for key in call.args.from(1).iter() {
        call.session.watching.add(&call.node.store, call.session.db, key, now);
    }
    call.out.ok();
    Ok(())
}

fn unwatch(call: &mut Call<'_>) -> Result<(), CommandError> {
    // Within EXEC the watches have been taken out already, so that no lock is taken twice.
    call.session.watching.clear(&call.node.store);
    call.out.ok();
    Ok(())
}

fn exec(call: &mut Call<'_>) -> Result<(), CommandError> {
    let transaction = call.session.transaction.take().ok_or(text("ERR EXEC without MULTI"))?;
    let mut watching = std::mem::take(&mut call.session.watching);
    let result = if transaction.out_of_memory {
        Err(CommandError::new(format!("EXECABORT Transaction discarded because of: {OUT_OF_MEMORY}")))
    } else if transaction.aborted {
        Err(text("EXECABORT Transaction discarded because of previous errors."))
    } else {
        run_all(call, &transaction, &watching)
    };
    watching.clear(&call.node.store);
    result
}

fn run_all(call: &mut Call<'_>, transaction: &Transaction, watching: &Watching) -> Result<(), CommandError> {
    let (node, now) = (call.node, Now { ms: call.keys.now_ms() });
    let still = transaction.queued.iter().any(|(command, _)| command.scope == Scope::Still);
    let _gate = still.then(|| node.replication.gate()); // taken before partitions
    let mut locked = lock_union(call, transaction, watching);
    // Who wrote a log was entitled to all of it.
    if (!call.keys.is_without_expiry() || call.session.imports)
        && transaction.queued.iter().any(|(command, _)| command.is(flag::WRITE))
        && let Some(text) = refusal_by_now(node)
    {
        return Err(CommandError::new(format!("EXECABORT Transaction discarded because of: {text}")));
    }
    if watching.is_changed() || expired(node, &locked, watching, now) {
        call.out.null_array();
        return Ok(());
    }
    call.out.array(transaction.queued.len());
    let access = call.keys.access();
    call.session.may_wait = false;
    let (wakes, mut changed) = (node.blocked.any(), Vec::new());
    let mut effects = Effects::default();
    for (command, args) in &transaction.queued {
        let lent = Locked::Lent(&mut locked);
        let mut keys = Keyspace::new(node, lent, &Known::NOTHING, call.session.db, now, access);
        if wakes {
            keys.note_changes();
        }
        if call.keys.is_without_expiry() {
            keys.without_expiry();
        }
        let args = args.view();
        call.session.uncounted = call.keys.dirty();
        let mut queued = Call { args: &args, keys, out: &mut *call.out, session: &mut *call.session, node };
        changed.extend(run_queued(&mut queued, command, &mut effects));
        let changes = queued.keys.dirty();
        call.keys.count_changes(changes);
    }
    (call.session.may_wait, call.session.uncounted) = (true, 0);
    if !effects.is_empty() {
        call.session.logged = node.log.append(call.session.shared.place.worker as usize, &effects);
    }
    if wakes && call.keys.dirty() > 0 {
        if transaction.queued.iter().any(|(command, _)| command.scope != Scope::Keys) {
            changed = everywhere(node);
        }
        // What a transaction gave a deadline may be over at its end: then there is nothing to be had.
        let now = Now { ms: now_ms().max(now.ms) };
        let changes = wake(node, &mut locked, changed, (now, access));
        call.keys.count_changes(changes);
    }
    Ok(())
}

fn written(transaction: &Transaction) -> Vec<&[u8]> {
    let writes = transaction.queued.iter().filter(|(command, _)| command.is(flag::WRITE));
    writes.flat_map(|(command, args)| command_keys(command, &args.view())).collect()
}

fn lock_union<'a>(call: &Call<'a>, transaction: &Transaction, watching: &Watching) -> Locked<'a> {
    let node = call.node;
    if transaction.queued.iter().any(|(command, _)| command.scope != Scope::Keys) {
        return Locked::all(&node.store);
    }
    let mut ids = Vec::new();
    for (command, args) in &transaction.queued {
        partitions(node, command, &args.view(), &mut ids);
    }
    ids.extend(watching.keys().map(|(_, key, _)| node.store.partition_of(slot_of(key))));
    let locked = Locked::many(&node.store, &mut ids);
    match node.blocked.any() {
        true => widen(node, locked, &written(transaction)),
        false => locked,
    }
}

/// True if a watched key that existed has gone because its time was over.
fn expired(node: &Node, locked: &Locked<'_>, watching: &Watching, now: Now) -> bool {
    watching.keys().filter(|(_, _, existed)| *existed).any(|(db, bytes, _)| {
        let key = node.store.key(bytes, slot_of(bytes));
        let partition = locked.peek(node.store.partition_of(key.slot));
        partition.is_none_or(|partition| partition.peek(db, &key, now).is_none())
    })
}
