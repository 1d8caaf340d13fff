//! Keys whose time is over.

use crate::node::{On, wait_until};

on_every_engine!(keys_vanish_without_being_looked_at, deadlines_move_and_go, a_deadline_in_the_past_deletes,);

on_both_engines!(a_key_vanishes_for_everybody);

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
