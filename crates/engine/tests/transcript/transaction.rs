//! MULTI, EXEC, DISCARD and WATCH, between two sessions.

use crate::node::{On, wait_until};

on_every_engine!(
    a_transaction_is_executed_at_once,
    errors_while_queueing_abort,
    exec_that_is_refused_ends_the_transaction,
    errors_while_executing_do_not,
    watched_keys_abort,
    what_is_done_before_watch_or_without_change_does_not_abort,
    a_watched_key_that_expires_aborts,
    everything_that_changes_keys_is_seen,
);

on_both_engines!(closing_forgets_watches);

const ABORTED: &str = "-EXECABORT Transaction discarded because of previous errors.";

fn a_transaction_is_executed_at_once(on: On) {
    let node = on.node("");
    let (mut one, mut two) = (node.connect(), node.connect());
    one.talk(&[("MULTI", "OK"), ("SET k v", "QUEUED"), ("INCR n", "QUEUED"), ("GET k", "QUEUED")]);
    two.talk(&[("GET k", "nil"), ("SET k other", "OK")]);
    one.says("EXEC", "[OK, :1, $v]");
    two.says("MGET k n", "[$v, $1]");
    one.talk(&[
        ("MULTI", "OK"),
        ("EXEC", "[]"),
        ("EXEC", "-ERR EXEC without MULTI"),
        ("DISCARD", "-ERR DISCARD without MULTI"),
        ("MULTI", "OK"),
        ("SET k w", "QUEUED"),
        ("DISCARD", "OK"),
        ("GET k", "$v"),
        ("MULTI", "OK"),
        ("SELECT 1", "QUEUED"),
        ("SET k one", "QUEUED"),
        ("DBSIZE", "QUEUED"),
        ("EXEC", "[OK, OK, :1]"),
        ("GET k", "$one"),
    ]);
    two.says("GET k", "$v");
    // A whole one in a single write, and QUIT within one.
    two.exchange(
        "MULTI\r\nSET a 1\r\nGET a\r\nEXEC\r\n",
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n$1\r\n1\r\n",
    );
    two.exchange("MULTI\r\nSET a 2\r\nQUIT\r\n", "+OK\r\n+QUEUED\r\n+OK\r\n");
    assert_eq!(two.rest_text(), "");
    assert_eq!(node.connect().ask("GET a"), "$1");
}

fn errors_while_queueing_abort(on: On) {
    let node = on.node("");
    let mut session = node.connect();
    for (line, error) in [
        ("NOPE", "-ERR unknown command 'NOPE', with args beginning with: "),
        ("GET", "-ERR wrong number of arguments for 'get' command"),
        ("CONFIG NOPE x", "-ERR unknown subcommand 'NOPE'. Try CONFIG HELP."),
    ] {
        session.talk(&[("MULTI", "OK"), (line, error), ("SET k w", "QUEUED"), ("EXEC", ABORTED)]);
    }
    session.talk(&[
        ("EXISTS k", ":0"),
        ("EXEC", "-ERR EXEC without MULTI"),
        ("MULTI", "OK"),
        ("MULTI", "-ERR MULTI calls can not be nested"),
        ("WATCH k", "-ERR WATCH inside MULTI is not allowed"),
        ("SET k 2", "QUEUED"),
        ("EXEC", "[OK]"),
    ]);
}

fn exec_that_is_refused_ends_the_transaction(on: On) {
    let node = on.node("");
    let mut session = node.connect();
    const ARITY: &str =
        "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command";
    session.talk(&[
        ("EXEC x", ARITY),
        ("WATCH w", "OK"),
        ("MULTI", "OK"),
        ("SET k v", "QUEUED"),
        ("EXEC x", ARITY),
        ("EXEC", "-ERR EXEC without MULTI"),
        ("SET w 1", "OK"),
        ("MULTI", "OK"),
        ("EXISTS k", "QUEUED"),
        ("EXEC", "[:0]"),
    ]);
    // In one write: the role changes in the middle of what a worker has read.
    session.exchange(
        "MULTI\r\nSET k v\r\nREPLICAOF 127.0.0.1 1\r\nDISCARD\r\nREPLICAOF 127.0.0.1 1\r\nSET k v\r\nMULTI\r\nSET k v\r\n\
         EXEC\r\nMULTI\r\nDISCARD\r\n",
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n+OK\r\n+OK\r\n-READONLY You can't write against a read only replica.\r\n+OK\r\n\
         -READONLY You can't write against a read only replica.\r\n\
         -EXECABORT Transaction discarded because of previous errors.\r\n+OK\r\n+OK\r\n",
    );
}

fn errors_while_executing_do_not(on: On) {
    let node = on.node("");
    let mut session = node.connect();
    session.talk(&[
        ("MULTI", "OK"),
        ("SET k v", "QUEUED"),
        ("INCR k", "QUEUED"),
        ("LPUSH k 1", "QUEUED"),
        ("SELECT 99", "QUEUED"),
        ("GET k", "QUEUED"),
        (
            "EXEC",
            "[OK, -ERR value is not an integer or out of range, -WRONGTYPE Operation against a key holding the wrong kind of value, -ERR DB index is out of range, $v]",
        ),
    ]);
}

fn watched_keys_abort(on: On) {
    let node = on.node("");
    let (mut one, mut two) = (node.connect(), node.connect());
    one.talk(&[("SET a 1", "OK"), ("WATCH a b", "OK"), ("MULTI", "OK"), ("SET c 1", "QUEUED")]);
    two.says("SET b 2", "OK");
    one.talk(&[("EXEC", "nil"), ("EXISTS c", ":0")]);
    // The watch is over, whatever came of it.
    two.says("SET a 3", "OK");
    one.talk(&[("MULTI", "OK"), ("SET c 1", "QUEUED"), ("EXEC", "[OK]")]);
    for (line, reply) in [("UNWATCH", "OK"), ("RESET", "RESET")] {
        one.says("WATCH a", "OK");
        two.says("INCR a", if line == "UNWATCH" { ":4" } else { ":5" });
        one.talk(&[(line, reply), ("MULTI", "OK"), ("GET a", "QUEUED")]);
        assert_ne!(one.ask("EXEC"), "nil", "{line}");
    }
    one.talk(&[("WATCH a", "OK"), ("MULTI", "OK"), ("DISCARD", "OK")]);
    two.says("INCR a", ":6");
    one.talk(&[("MULTI", "OK"), ("GET a", "QUEUED"), ("EXEC", "[$6]")]);
    // One's own changes count too.
    one.talk(&[("WATCH a", "OK"), ("INCR a", ":7"), ("MULTI", "OK"), ("GET a", "QUEUED"), ("EXEC", "nil")]);
    one.says("WATCH", "-ERR wrong number of arguments for 'watch' command");
}

fn what_is_done_before_watch_or_without_change_does_not_abort(on: On) {
    let node = on.node("");
    let (mut one, mut two) = (node.connect(), node.connect());
    two.talk(&[("SET a 1", "OK"), ("SELECT 1", "OK")]);
    one.talk(&[("WATCH a none", "OK"), ("MULTI", "OK"), ("GET a", "QUEUED")]);
    two.talk(&[
        ("SET a other-database", "OK"),
        ("SELECT 0", "OK"),
        ("GET a", "$1"),
        ("SET other 1", "OK"),
        ("DEL none", ":0"),
        ("SETNX a 2", ":0"),
        ("PERSIST a", ":0"),
    ]);
    one.says("EXEC", "[$1]");
}

fn a_watched_key_that_expires_aborts(on: On) {
    let node = on.node("");
    let (mut one, mut two) = (node.connect(), node.connect());
    one.talk(&[("SET k v PX 60", "OK"), ("WATCH k", "OK"), ("MULTI", "OK"), ("SET c 1", "QUEUED")]);
    wait_until("the key expires", || two.ask("EXISTS k") == ":0");
    one.says("EXEC", "nil");
    // One that was gone already has not changed.
    one.talk(&[("WATCH k", "OK"), ("MULTI", "OK"), ("SET c 1", "QUEUED"), ("EXEC", "[OK]")]);
    // Nobody looks at it: active expiry sees to it.
    one.talk(&[("SET k v PX 60", "OK"), ("WATCH k", "OK"), ("MULTI", "OK"), ("SET d 1", "QUEUED")]);
    wait_until("the key is reclaimed", || two.ask("DBSIZE") == ":1");
    one.says("EXEC", "nil");
}

fn everything_that_changes_keys_is_seen(on: On) {
    let node = on.node("");
    let (mut one, mut two, mut memcached) = (node.connect(), node.connect(), node.memcached());
    for (change, reply) in [
        ("SET k v", "OK"),
        ("DEL k", ":1"),
        ("EXPIRE k 100", ":1"),
        ("PERSIST k", ":1"),
        ("APPEND k x", ":2"),
        ("RENAME k2 k", "OK"),
        ("RENAME k k3", "OK"),
        ("COPY k2 k REPLACE", ":1"),
        ("MOVE k 1", ":1"),
        ("FLUSHDB", "OK"),
        ("FLUSHALL", "OK"),
        ("SWAPDB 0 2", "OK"),
    ] {
        two.talk(&[("FLUSHALL", "OK"), ("MSET k a k2 b", "OK")]);
        if change.starts_with("PERSIST") {
            two.says("EXPIRE k 100", ":1");
        }
        one.talk(&[("WATCH k", "OK"), ("MULTI", "OK"), ("PING", "QUEUED")]);
        two.says(change, reply);
        assert_eq!(one.ask("EXEC"), "nil", "{change}");
    }
    one.talk(&[("WATCH k", "OK"), ("MULTI", "OK"), ("PING", "QUEUED")]);
    memcached.exchange("set k 0 0 1\r\nm\r\n", "STORED\r\n");
    one.says("EXEC", "nil");
}

fn closing_forgets_watches(on: On) {
    let node = on.node("");
    let mut one = node.connect();
    one.talk(&[("WATCH k", "OK"), ("MULTI", "OK"), ("SET k v", "QUEUED")]);
    wait_until("it is told of", || node.info("total_watched_keys") == 1);
    drop(one);
    wait_until("it is forgotten", || node.info("total_watched_keys") == 0);
    assert_eq!(node.local().ask("SET k w"), "OK");
}
