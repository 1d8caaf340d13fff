//! Why a key is not there: LARDER.WHY, `stats why`, and misses counted by reason over both doors.

use crate::node::{On, wait_until};

on_every_engine!(
    a_miss_has_a_reason,
    nothing_is_remembered_where_nothing_may_be,
    reads_are_counted_by_prefix
);

fn a_miss_has_a_reason(on: On) {
    let node = on.node("");
    let (mut session, mut memcached) = (node.connect(), node.memcached());
    session.talk(&[
        ("SET expired v PX 1", "OK"),
        ("SET deleted v", "OK"),
        ("DEL deleted", ":1"),
        ("SELECT 1", "OK"),
        ("SET flushed v", "OK"),
        ("FLUSHDB", "OK"),
        ("LARDER.WHY flushed", "[$state, $flushed]"),
        ("GET flushed", "nil"),
        ("SELECT 0", "OK"),
        ("LARDER.WHY never", "[$state, $unknown]"),
        ("LARDER.WHY deleted", "[$state, $deleted]"),
        ("GET deleted", "nil"),
        ("GET never", "nil"),
        ("SET there v EX 1000", "OK"),
        ("GET there", "$v"),
    ]);
    wait_until("the key has expired", || node.info("expired_keys") == 1);
    session.talk(&[("LARDER.WHY expired", "[$state, $expired]"), ("GET expired", "nil")]);
    for (field, count) in [
        ("misses", 4),
        ("misses_unknown", 1),
        ("misses_deleted", 1),
        ("misses_flushed", 1),
        ("misses_expired", 1),
    ] {
        assert_eq!(node.info(&format!("keyspace_{field}")), count, "{field}");
    }
    memcached.exchange("get deleted\r\nstats why deleted\r\n", "END\r\nSTAT state deleted\r\nEND\r\n");
    memcached.exchange(
        "stats misses\r\n",
        "STAT misses:evicted 0\r\nSTAT misses:expired 1\r\nSTAT misses:deleted 2\r\nSTAT misses:flushed 1\r\n\
         STAT misses:unknown 1\r\nSTAT hits:stale 0\r\nSTAT hits:negative 0\r\nEND\r\n",
    );
    memcached.send("stats why there\r\n");
    let lines: Vec<String> =
        std::iter::from_fn(|| Some(memcached.line()).filter(|line| line != "END")).collect();
    assert_eq!(lines[0], "STAT state present");
    assert!(lines.contains(&"STAT read 1".to_owned()) && lines.len() == 5, "{lines:?}");
    // A key that is there again did not leave.
    session.talk(&[
        ("SET deleted v", "OK"),
        ("GET deleted", "$v"),
        ("DEL there", ":1"),
        ("GET there", "nil"),
    ]);
    assert_eq!(node.info("keyspace_misses_deleted"), 3);
}

fn nothing_is_remembered_where_nothing_may_be(on: On) {
    let node = on.node("--miss-history-keys 0");
    let mut session = node.connect();
    session.talk(&[
        ("SET k v", "OK"),
        ("DEL k", ":1"),
        ("LARDER.WHY k", "[$state, $unknown]"),
        ("GET k", "nil"),
    ]);
    assert_eq!((node.info("keyspace_misses_deleted"), node.info("keyspace_misses_unknown")), (0, 1));
    node.local().says("CONFIG SET miss-history-keys 1000", "OK");
    session.talk(&[("SET k v", "OK"), ("DEL k", ":1"), ("LARDER.WHY k", "[$state, $deleted]")]);
}

fn reads_are_counted_by_prefix(on: On) {
    let node = on.node("--miss-prefix-delimiter :");
    let (mut session, mut memcached) = (node.connect(), node.memcached());
    session.talk(&[
        ("SET user:1 v", "OK"),
        ("GET user:1", "$v"),
        ("GET user:2", "nil"),
        ("DEL user:1", ":1"),
    ]);
    memcached.exchange("get user:1\r\nget page:1\r\n", "END\r\nEND\r\n");
    session.talk(&[
        ("LARDER.OUTCOME user: STALE 2 NEGATIVE 3", "OK"),
        ("LARDER.OUTCOME user: STALE", "-ERR wrong number of arguments for 'larder.outcome' command"),
        ("LARDER.OUTCOME user: STALE x", "-ERR value is not an integer or out of range"),
        ("LARDER.OUTCOME user: NEITHER 1", "-ERR syntax error"),
    ]);
    assert_eq!((node.info("keyspace_hits_stale"), node.info("keyspace_hits_negative")), (2, 3));
    let user = "STAT user:hits 1\r\nSTAT user:stale 2\r\nSTAT user:negative 3\r\nSTAT user:evicted 0\r\nSTAT user:expired 0\r\nSTAT user:deleted 1\r\n\
                STAT user:flushed 0\r\nSTAT user:unknown 1\r\n";
    let page = user.replace("user", "page").replace("hits 1", "hits 0").replace("deleted 1", "deleted 0");
    let page = page.replace("stale 2", "stale 0").replace("negative 3", "negative 0");
    memcached.exchange("stats prefixes\r\n", &format!("{user}{page}END\r\n"));
    session.talk(&[
        (
            "LARDER.PREFIXES",
            "[[$prefix, $user, $hits, :1, $stale, :2, $negative, :3, $evicted, :0, $expired, :0, $deleted, :1, $flushed, :0, $unknown, :1, $before, :0], \
             [$prefix, $page, $hits, :0, $stale, :0, $negative, :0, $evicted, :0, $expired, :0, $deleted, :0, $flushed, :0, $unknown, :1, $before, :0]]",
        ),
        ("LARDER.PREFIXES RESET", "OK"),
        ("LARDER.PREFIXES", "[]"),
    ]);
}
