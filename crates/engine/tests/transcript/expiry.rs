//! Keys whose time is over.

use crate::client::show;
use crate::node::{On, wait_until};

on_every_engine!(keys_vanish_without_being_looked_at, deadlines_move_and_go, a_deadline_in_the_past_deletes,);

on_both_engines!(a_key_vanishes_for_everybody, a_pause_leaves_keys_where_they_are, a_pause_evicts_nothing);

fn keys_vanish_without_being_looked_at(on: On) {
    let node = on.node("");
    let mut session = node.connect();
    let count = 3000;
    let sets: String = (0..count)
        .map(|i| format!("SET short-{i} v PX {}\r\nSET long-{i} v EX 1000\r\n", 1 + i % 90))
        .collect();
    session.send(sets + "SET kept-1 v\r\nRPUSH list a b\r\nPEXPIRE list 20\r\n");
    (0..2 * count + 3).for_each(|_| drop(session.reply()));
    wait_until("they are reclaimed", || session.ask("DBSIZE") == format!(":{}", count + 1));
    assert_eq!(node.info("expired_keys"), count as u64 + 1);
    let keyspace = session.ask("INFO keyspace");
    assert!(keyspace.contains(&format!("db0:keys={},expires={count},", count + 1)), "{keyspace}");
    session.talk(&[("EXISTS kept-1 long-0 short-0", ":2"), ("TTL kept-1", ":-1"), ("TTL short-0", ":-2")]);
    session.says("CONFIG RESETSTAT", "OK");
    assert_eq!(node.info("expired_keys"), 0);
}

fn a_key_vanishes_for_everybody(on: On) {
    let node = on.node("");
    let (mut one, mut two, mut memcached) = (node.connect(), node.connect(), node.memcached());
    one.says("SET k v PX 40", "OK");
    wait_until("it is gone", || two.ask("GET k") == "nil");
    one.talk(&[
        ("EXISTS k", ":0"),
        ("TYPE k", "none"),
        ("KEYS *", "[]"),
        ("SET k w NX", "OK"),
        ("PTTL k", ":-1"),
    ]);
    memcached.exchange("set m 0 1 1\r\nx\r\nget m\r\n", "STORED\r\nVALUE m 0 1\r\nx\r\nEND\r\n");
    assert!(matches!(one.ask("TTL m").as_str(), ":0" | ":1"));
    wait_until("it is gone", || one.ask("EXISTS m") == ":0");
    memcached.exchange("get m\r\n", "END\r\n");
}

fn deadlines_move_and_go(on: On) {
    let node = on.node("");
    node.connect().talk(&[
        ("SET k v EX 100", "OK"),
        ("TTL k", ":100"),
        ("EXPIRE k 200 LT", ":0"),
        ("EXPIRE k 200 GT", ":1"),
        ("TTL k", ":200"),
        ("SET k w KEEPTTL", "OK"),
        ("TTL k", ":200"),
        ("PERSIST k", ":1"),
        ("TTL k", ":-1"),
        ("EXPIREAT k 9999999999", ":1"),
        ("EXPIRETIME k", ":9999999999"),
        ("SET k x", "OK"),
        ("TTL k", ":-1"),
        ("EXPIRE k 9223372036854775807", "-ERR invalid expire time in 'expire' command"),
        ("SET k x EX 0", "-ERR invalid expire time in 'set' command"),
        ("EXPIRE none 1", ":0"),
    ]);
}

fn a_deadline_in_the_past_deletes(on: On) {
    let node = on.node("");
    let mut session = node.connect();
    for line in ["EXPIRE k -1", "PEXPIREAT k 1", "EXPIREAT k 1"] {
        session.talk(&[("SET k v", "OK"), (line, ":1"), ("EXISTS k", ":0"), ("DBSIZE", ":0")]);
    }
    session.talk(&[("SET k v", "OK"), ("GETEX k EXAT 1", "$v"), ("DBSIZE", ":0")]);
}

/// As in redis-server: what is dead is hidden and stays until the pause is over, so that a replica can reach what its primary
/// has; and nothing makes room.
fn a_pause_leaves_keys_where_they_are(on: On) {
    let node = on.node("--notify-keyspace-events KExhg --enable-protected-configs yes");
    let (mut one, mut local, mut listener) = (node.connect(), node.local(), node.connect());
    let folder = node.path("").display().to_string();
    one.talk(&[(&format!("CONFIG SET dir {folder}"), "OK"), ("CONFIG SET appendonly yes", "OK")]);
    wait_until("it logs", || node.info("aof_rewrite_in_progress") == 0);
    listener.says("PSUBSCRIBE __keyevent@0__:*", "[$psubscribe, $__keyevent@0__:*, :1]");
    for mode in ["WRITE", "ALL"] {
        one.talk(&[
            ("SET k v PX 40", "OK"),
            ("RPUSH l a b", ":2"),
            ("PEXPIRE l 40", ":1"),
            ("HSET h f v g v", ":2"),
            ("HPEXPIRE h 40 FIELDS 1 f", "[:1]"),
        ]);
        one.says(&format!("CLIENT PAUSE 100000 {mode}"), "OK");
        // ALL holds back whoever does not come by the Unix socket.
        let reader = if mode == "ALL" { &mut local } else { &mut one };
        let size = || node.info("aof_current_size");
        let mut logged = 0;
        wait_until("all is in the file", || std::mem::replace(&mut logged, size()) == logged && logged > 0);
        wait_until("they are dead", || reader.ask("EXISTS k l") == ":0" && reader.ask("HLEN h") == ":1");
        reader.talk(&[
            ("GET k", "nil"),
            ("LRANGE l 0 -1", "[]"),
            ("HGETALL h", "[$g, $v]"),
            ("HGET h f", "nil"),
            ("TTL k", ":-2"),
            ("DUMP k", "nil"),
            ("KEYS *", "[$h]"),
            ("DBSIZE", ":3"),
            ("WATCH k", "OK"),
            ("MULTI", "OK"),
            ("GET k", "QUEUED"),
            ("EXEC", "[nil]"),
            ("DBSIZE", ":3"),
        ]);
        assert_eq!((node.info("expired_keys"), size()), (0, logged));
        let event =
            |name: &str, key: &str| format!("[$pmessage, $__keyevent@0__:*, $__keyevent@0__:{name}, ${key}]");
        // What came before: nothing of what died.
        for (name, key) in [("expire", "k"), ("expire", "l"), ("hset", "h"), ("hexpire", "h")] {
            assert_eq!(show(&listener.reply()), event(name, key));
        }
        if mode == "ALL" {
            // Who may write all the same does it to what is there, and says so first.
            local.talk(&[("RPUSH l c", ":1"), ("HSET h f w", ":1"), ("DBSIZE", ":3")]);
            for (name, key) in [("expired", "l"), ("hexpired", "h"), ("hset", "h")] {
                assert_eq!(show(&listener.reply()), event(name, key));
            }
        }
        local.says("CLIENT UNPAUSE", "OK");
        wait_until("they are gone", || local.ask("EXISTS k") == ":0" && node.info("expired_keys") == 2);
        let left = if mode == "ALL" { 1 } else { 3 };
        (0..left).for_each(|_| assert!(show(&listener.reply()).contains("expired")));
        local.talk(&[("FLUSHALL", "OK"), ("CONFIG RESETSTAT", "OK")]);
    }
}

fn a_pause_evicts_nothing(on: On) {
    let node = on.node("--maxmemory-policy allkeys-lru");
    let (mut session, mut local) = (node.connect(), node.local());
    let sets: String = (0..2000).map(|i| format!("SETRANGE k{i} 2000 v\r\n")).collect();
    session.send(sets);
    (0..2000).for_each(|_| drop(session.reply()));
    session.talk(&[("CLIENT PAUSE 100000 WRITE", "OK"), ("CONFIG SET maxmemory 1mb", "OK")]);
    (0..2000).for_each(|i| session.says(&format!("STRLEN k{i}"), ":2001"));
    assert_eq!(node.info("evicted_keys"), 0);
    local.says("CLIENT UNPAUSE", "OK");
    wait_until("room is made", || local.ask("PING") == "PONG" && node.info("evicted_keys") > 0);
}
