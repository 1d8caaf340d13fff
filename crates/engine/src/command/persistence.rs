//! Commands about what is on disk: SAVE, BGSAVE, LASTSAVE, SHUTDOWN, DEBUG RELOAD, and a section of INFO.

use super::collection::{Answer, is, text};
use super::keyspace::{Keyspace, free_all};
use super::server::{line, lines};
use super::table::{Command, Scope, flag};
use super::{Call, CommandError};
use crate::blocked::Wait;
use crate::config::Ending;
use crate::node::{Node, now_ms};
use crate::snapshot::load::load_held;
use crate::snapshot::save::{self, Refused};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "save",
        summary: "Saves the keyspace to disk and waits for it.",
        group: "server",
        complexity: "O(N), N = keys",
        flags: flag::ADMIN | flag::NOSCRIPT | flag::NO_ASYNC_LOADING | flag::NO_MULTI,
        scope: Scope::Still,
        handler: save_now,
        ..Command::DEFAULT
    },
    Command {
        name: "bgsave",
        summary: "Saves the keyspace to disk in the background.",
        syntax: "[SCHEDULE | CANCEL]",
        group: "server",
        arity: -1,
        flags: flag::ADMIN | flag::NOSCRIPT | flag::NO_ASYNC_LOADING,
        scope: Scope::Still,
        handler: save_in_background,
        ..Command::DEFAULT
    },
    Command {
        name: "bgrewriteaof",
        summary: "Writes the append-only file anew in the background.",
        group: "server",
        flags: flag::ADMIN | flag::NOSCRIPT | flag::NO_ASYNC_LOADING,
        scope: Scope::All,
        handler: rewrite_log,
        ..Command::DEFAULT
    },
    Command {
        name: "lastsave",
        summary: "Returns when the keyspace was last saved.",
        group: "server",
        flags: flag::LOADING | flag::STALE | flag::FAST,
        categories: &["admin", "dangerous"],
        handler: last_save,
        ..Command::DEFAULT
    },
    Command {
        name: "shutdown",
        summary: "Stops the server.",
        syntax: "[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]",
        group: "server",
        arity: -1,
        flags: flag::LOADING
            | flag::STALE
            | flag::ADMIN
            | flag::NOSCRIPT
            | flag::NO_MULTI
            | flag::ALLOW_BUSY
            | flag::WAITS,
        handler: shutdown,
        ..Command::DEFAULT
    },
];

fn save_now(call: &mut Call<'_>) -> Answer {
    save::now(call.node, call.keys.locked()).map_err(|error| CommandError::new(format!("ERR {error}")))?;
    call.out.ok();
    Ok(())
}

fn save_in_background(call: &mut Call<'_>) -> Answer {
    let saves = &call.node.snapshots.saves;
    let schedule = match call.args.len() {
        1 => false,
        2 if is(call.args.get(1), "SCHEDULE") => true,
        2 if is(call.args.get(1), "CANCEL") => return cancel(call),
        _ => return Err(CommandError::Syntax),
    };
    match save::begin(call.node, call.keys.locked()) {
        Ok(()) => call.out.simple("Background saving started"),
        Err(Refused::Saving) => return Err(text("ERR Background save already in progress")),
        Err(Refused::Busy) if schedule => {
            saves.schedule();
            call.out.simple("Background saving scheduled");
        }
        Err(Refused::Busy) => {
            return Err(text(
                "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to \
                 schedule a BGSAVE whenever possible.",
            ));
        }
    }
    Ok(())
}

fn rewrite_log(call: &mut Call<'_>) -> Answer {
    let node = call.node;
    if node.log.aof.rewrites.running().is_some() {
        return Err(text("ERR Background append only file rewriting already in progress"));
    }
    // A worker begins it in its turn, as soon as no other snapshot is being taken.
    node.log.aof.rewrites.scheduled.store(true, Ordering::Relaxed);
    node.log.aof.rewrites.wanted.store(true, Ordering::Release);
    node.mailboxes[0].wake();
    call.out.simple(match node.snapshots.is_active() {
        true => "Background append only file rewriting scheduled",
        false => "Background append only file rewriting started",
    });
    Ok(())
}

fn cancel(call: &mut Call<'_>) -> Answer {
    let saves = &call.node.snapshots.saves;
    if let Some(snapshot) = saves.running() {
        snapshot.cancel();
        call.out.simple("Background saving cancelled");
    } else if saves.unschedule() {
        call.out.simple("Scheduled background saving cancelled");
    } else {
        return Err(text("ERR Background saving is currently not in progress or scheduled"));
    }
    Ok(())
}

fn last_save(call: &mut Call<'_>) -> Answer {
    call.out.integer(call.node.snapshots.saves.last_save.load(Ordering::Relaxed) as i64);
    Ok(())
}

fn shutdown(call: &mut Call<'_>) -> Answer {
    let (mut ending, mut aborts) = (Ending::default(), false);
    let words = call.args.from(1);
    for word in words.iter() {
        match word.to_ascii_lowercase().as_slice() {
            b"nosave" if ending.saves != Some(true) => ending.saves = Some(false),
            b"save" if ending.saves != Some(false) => ending.saves = Some(true),
            b"now" => ending.now = true,
            b"force" => ending.forced = true,
            b"abort" if words.len() == 1 => aborts = true,
            _ => return Err(CommandError::Syntax),
        }
    }
    let exit = &call.node.exit;
    if aborts {
        if !exit.abort() {
            return Err(text("ERR No shutdown in progress."));
        }
        call.out.ok();
        return Ok(());
    }
    exit.ask(ending);
    // It ends with the process, or is told why that goes on.
    call.wait(Wait::elsewhere());
    Ok(())
}

/// DEBUG RELOAD: saves, empties the keyspace and loads it again.
pub(super) fn reload(call: &mut Call<'_>) -> Answer {
    let (mut saves, mut empties, mut merges) = (true, true, false);
    for word in call.args.from(2).iter() {
        match word.to_ascii_lowercase().as_slice() {
            b"nosave" => saves = false,
            b"noflush" => empties = false,
            b"merge" => merges = true,
            _ => return Err(text("ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.")),
        }
    }
    let node = call.node;
    if node.loading.is_on() {
        return Err(text("LOADING Larder is loading the dataset in memory"));
    }
    let keys: &mut Keyspace<'_> = &mut call.keys;
    if saves {
        node.snapshots.abort(keys.locked());
        save::now(node, keys.locked()).map_err(|error| CommandError::new(format!("ERR {error}")))?;
    }
    if empties {
        let mut cleared = Vec::new();
        let (databases, now) = (node.store.databases(), keys.now());
        keys.locked()
            .visit(&mut |partition| cleared.extend((0..databases).map(|db| partition.clear(db, now))));
        free_all(cleared);
    }
    let path = PathBuf::from(&node.settings().persistence.dbfilename);
    load_held(node, &path, keys.locked(), merges).map_err(|error| {
        tracing::warn!("DEBUG RELOAD: {error}");
        text("ERR Error trying to load the RDB dump, check server logs.")
    })?;
    tracing::info!("DB reloaded by DEBUG RELOAD");
    call.out.ok();
    Ok(())
}

/// The section of INFO.
pub(super) fn section(call: &mut Call<'_>, out: &mut String) {
    let node = call.node;
    let (saves, running) = (&node.snapshots.saves, node.snapshots.saves.running());
    let get = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
    let current = node.snapshots.current();
    let buffered = current.as_ref().map_or(0, |snapshot| snapshot.queue().bytes());
    let (processed, total) =
        current.as_ref().map_or((0, 0), |snapshot| (snapshot.keys_saved(), snapshot.keys));
    let (settings, aof) = (node.settings(), &node.log.aof);
    // Asked for before what runs: who begins in between is seen in one way or another.
    let busy = node.snapshots.is_active() || node.loading.is_on();
    let rewriting = aof.rewrites.running();
    // Who asks between the command and the turn in which a worker begins is told that it goes on.
    let scheduled = aof.rewrites.scheduled.load(Ordering::Relaxed);
    let unfinished =
        settings.append_only.on && (!node.log.is_filed() || aof.rewrites.fresh.load(Ordering::Acquire));
    let wanted = scheduled || unfinished;
    let rewrites = rewriting.is_some() || wanted && !busy;
    lines!(out,
        "loading": u8::from(node.loading.is_shut()),
        "async_loading": u8::from(node.loading.is_on() && !node.loading.is_shut()),
        "current_cow_peak": current.as_ref().map_or(0, |snapshot| snapshot.queue().peak_bytes()),
        "current_cow_size": buffered,
        "current_cow_size_age": 0,
        "current_fork_perc": format_args!("{:.2}", processed as f64 * 100.0 / total.max(1) as f64),
        "current_save_keys_processed": processed,
        "current_save_keys_total": total,
        "rdb_changes_since_last_save": saves.changes_since(node),
        "rdb_bgsave_in_progress": u8::from(running.is_some()),
        "rdb_last_save_time": get(&saves.last_save),
        "rdb_last_bgsave_status": if saves.last_worked.load(Ordering::Relaxed) { "ok" } else { "err" },
        "rdb_last_bgsave_time_sec": saves.last_seconds.load(Ordering::Relaxed),
        "rdb_current_bgsave_time_sec": running.map_or(-1, |snapshot| snapshot.elapsed().as_secs() as i64),
        "rdb_saves": get(&saves.count),
        "rdb_last_cow_size": get(&saves.last_buffer_bytes),
        "rdb_last_load_keys_expired": get(&node.loading.expired),
        "rdb_last_load_keys_loaded": get(&node.loading.keys),
        "aof_enabled": u8::from(settings.append_only.on),
        "aof_rewrite_in_progress": u8::from(rewrites),
        "aof_rewrite_scheduled": u8::from(wanted && !rewrites),
        "aof_last_rewrite_time_sec": aof.rewrites.last_seconds.load(Ordering::Relaxed),
        "aof_current_rewrite_time_sec": rewriting.map_or(-1, |snapshot| snapshot.elapsed().as_secs() as i64),
        "aof_rewrites": aof.rewrites.counts[0].load(Ordering::Relaxed),
        "aof_rewrites_consecutive_failures": aof.rewrites.counts[1].load(Ordering::Relaxed),
        "aof_last_bgrewrite_status": if aof.rewrites.last_worked.load(Ordering::Relaxed) { "ok" } else { "err" },
        "aof_last_write_status": if aof.failing.load(Ordering::Relaxed) { "err" } else { "ok" },
        "aof_last_cow_size": 0,
        "module_fork_in_progress": 0,
        "slot_migration_fork_in_progress": 0,
        "module_fork_last_cow_size": 0,
    );
    if settings.append_only.on {
        lines!(out,
            "aof_current_size": get(&aof.size),
            "aof_base_size": get(&aof.base_size),
            "aof_pending_rewrite": 0,
            "aof_buffer_length": get(&aof.unwritten),
            "aof_pending_bio_fsync": 0,
            "aof_delayed_fsync": 0,
        );
    }
    if node.loading.is_on() {
        loading(node, out);
    }
}

fn loading(node: &Node, out: &mut String) {
    let loading = &node.loading;
    let get = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
    let (done, total, started) =
        (get(&loading.loaded_bytes), get(&loading.total_bytes), get(&loading.started));
    let elapsed = (now_ms() / 1000).saturating_sub(started);
    let left = total.saturating_sub(done).saturating_mul(elapsed.max(1)) / done.max(1);
    lines!(out,
        "loading_start_time": started,
        "loading_total_bytes": total,
        "loading_rdb_used_mem": get(&loading.used_memory),
        "loading_loaded_bytes": done,
        "loading_loaded_perc": format_args!("{:.2}", done as f64 * 100.0 / total.max(1) as f64),
        "loading_eta_seconds": left,
    );
}
