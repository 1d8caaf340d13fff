//! `maxmemory`: who is refused, who is evicted, and what is told of it.

use crate::client::{Session, show};
use crate::node::{Node, On, wait_until};
use larder_protocol::resp::command;

on_every_engine!(
    without_eviction_writes_are_refused,
    a_queued_write_is_refused_at_exec,
    any_key_may_be_evicted,
    the_shortest_deadlines_go_first,
    keys_used_often_stay,
    many_small_keys_make_room_for_a_large_one,
    memcached_evicts_too,
);

on_both_engines!(keys_used_lately_stay, only_keys_with_a_deadline_are_evicted);

const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.";
/// Memory for keys in these tests.
const ROOM_BYTES: u64 = 4 << 20;
/// What may be in use beyond the bound: a batch of requests, buffers, and what the threads have not counted yet.
const SLACK_BYTES: u64 = 2 << 20;
/// Writes that take several times the room.
const WRITES: usize = 10_000;
const VALUE_BYTES: usize = 1000;

/// A node with little room for keys; answers the bound too.
fn small(on: On, policy: &str) -> (Node, u64) {
    let node = on.node("");
    let mut admin = node.local();
    let limit = node.info("used_memory") + ROOM_BYTES;
    admin.says(&format!("CONFIG SET maxmemory {limit} maxmemory-policy {policy}"), "OK");
    (node, limit)
}

/// Sets keys that are called so, with these further words; answers how many were refused.
fn fill(session: &mut Session, name: &str, range: std::ops::Range<usize>, options: &[&str]) -> usize {
    let value = "v".repeat(VALUE_BYTES);
    let mut refused = 0;
    for start in range.clone().step_by(200) {
        let mut requests = Vec::new();
        let end = range.end.min(start + 200);
        for i in start..end {
            let key = format!("{name}-{i}");
            command(&mut requests, &[&["SET", &key, &value], options].concat());
        }
        session.send(requests);
        for _ in start..end {
            match show(&session.reply()).as_str() {
                "OK" => {}
                OOM => refused += 1,
                other => panic!("{other}"),
            }
        }
    }
    refused
}

/// How many of the keys that are called so are there.
fn present(session: &mut Session, name: &str, range: std::ops::Range<usize>) -> usize {
    let words: Vec<String> =
        std::iter::once("EXISTS".into()).chain(range.map(|i| format!("{name}-{i}"))).collect();
    show(&session.call(&words))[1..].parse().unwrap()
}

/// How many of these keys are there, and how many were evicted: at one time, though looking may evict some more.
fn kept_and_evicted(node: &Node, session: &mut Session) -> (usize, usize) {
    let mut found = (0, 0);
    wait_until("nothing more is evicted", || {
        let before = node.info("evicted_keys");
        found = (present(session, "k", 0..WRITES), before as usize);
        node.info("evicted_keys") == before
    });
    found
}

#[track_caller]
fn assert_bounded(node: &Node, limit: u64) {
    let used = node.info("used_memory");
    assert!(used <= limit + SLACK_BYTES, "{used} used of {limit}");
}

fn without_eviction_writes_are_refused(on: On) {
    let (node, limit) = small(on, "noeviction");
    let mut session = node.connect();
    let refused = fill(&mut session, "k", 0..WRITES, &["EX", "1000"]);
    assert_bounded(&node, limit);
    let kept = present(&mut session, "k", 0..WRITES);
    assert!(refused > WRITES / 4 && kept > 1000, "{refused} refused, {kept} kept");
    assert_eq!(kept + refused, WRITES);
    assert_eq!(node.info("evicted_keys"), 0);
    session.talk(&[
        ("SET k v", OOM),
        ("LPUSH l v", OOM),
        ("INCR n", OOM),
        ("MSET a 1 b 2", OOM),
        ("GET k", "nil"),
        ("EXPIRE k-0 10", ":1"),
        ("DEL k-0", ":1"),
        ("CONFIG GET maxmemory-policy", "[$maxmemory-policy, $noeviction]"),
    ]);
    session.exchange(
        "MULTI\r\nSET a 1\r\nEXEC\r\n",
        &format!("+OK\r\n{OOM}\r\n-EXECABORT Transaction discarded because of previous errors.\r\n"),
    );
    let mut memcached = node.memcached();
    memcached.exchange("set m 0 0 1\r\nx\r\n", "SERVER_ERROR out of memory storing object\r\n");
    session.says("FLUSHALL", "OK");
    wait_until("there is room again", || session.ask("SET k v") == "OK");
    memcached.exchange("set m 0 0 1\r\nx\r\n", "STORED\r\n");
}

fn a_queued_write_is_refused_at_exec(on: On) {
    let node = on.node("");
    let (mut session, mut admin) = (node.connect(), node.local());
    session.talk(&[("MULTI", "OK"), ("SET k v", "QUEUED")]);
    admin.says("CONFIG SET maxmemory 1", "OK");
    let aborted = format!("-EXECABORT Transaction discarded because of: {}", &OOM[1..]);
    session.talk(&[("EXEC", &aborted), ("EXEC", "-ERR EXEC without MULTI"), ("EXISTS k", ":0")]);
    session.talk(&[("MULTI", "OK"), ("GET k", "QUEUED"), ("DEL k", "QUEUED"), ("EXEC", "[nil, :0]")]);
    admin.says("CONFIG SET maxmemory 0", "OK");
    session.talk(&[("MULTI", "OK"), ("SET k v", "QUEUED"), ("EXEC", "[OK]")]);
}

fn any_key_may_be_evicted(on: On) {
    for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random", "allkeys-lhd"] {
        let (node, limit) = small(on, policy);
        let mut session = node.connect();
        assert_eq!(fill(&mut session, "k", 0..WRITES, &[]), 0, "{policy} refused");
        assert_bounded(&node, limit);
        let (kept, evicted) = kept_and_evicted(&node, &mut session);
        assert!(kept > 1000 && evicted > WRITES / 4, "{policy}: {kept} kept, {evicted} evicted");
        assert_eq!(kept + evicted, WRITES, "{policy}");
    }
}

fn only_keys_with_a_deadline_are_evicted(on: On) {
    for policy in ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"] {
        let (node, limit) = small(on, policy);
        let mut session = node.connect();
        assert_eq!(fill(&mut session, "kept", 0..1000, &[]), 0);
        assert_eq!(fill(&mut session, "k", 0..WRITES, &["EX", "1000"]), 0, "{policy} refused");
        assert_bounded(&node, limit);
        assert_eq!(present(&mut session, "kept", 0..1000), 1000, "{policy}");
        let (kept, evicted) = kept_and_evicted(&node, &mut session);
        assert!(kept > 1000 && kept + evicted == WRITES, "{policy}: {kept} kept, {evicted} evicted");
        // When none with a deadline is left, writes are refused, and nothing else goes.
        let refused = fill(&mut session, "kept", 1000..WRITES, &[]);
        assert!(refused > 0, "{policy}");
        assert_eq!(present(&mut session, "kept", 0..WRITES) + refused, WRITES, "{policy}");
        assert_eq!(present(&mut session, "k", 0..WRITES), 0, "{policy}");
        assert_bounded(&node, limit);
    }
}

fn the_shortest_deadlines_go_first(on: On) {
    let (node, _) = small(on, "volatile-ttl");
    let mut session = node.connect();
    fill(&mut session, "long", 0..1000, &["EX", "1000000"]);
    fill(&mut session, "short", 0..WRITES, &["EX", "1000"]);
    let (long, short) = (present(&mut session, "long", 0..1000), present(&mut session, "short", 0..WRITES));
    assert!(long > 900, "{long} of 1000 with a long time left, {short} with a short one");
}

fn hot(command: &str) -> Vec<String> {
    std::iter::once(command.into()).chain((0..200).map(|i| format!("hot-{i}"))).collect()
}

#[track_caller]
fn assert_hot_stayed(node: &Node, session: &mut Session) {
    let (stayed, evicted) = (present(session, "hot", 0..200), node.info("evicted_keys"));
    assert!(evicted > 500, "{evicted} evicted");
    assert!(stayed > 150, "{stayed} of 200 keys in use stayed, {evicted} evicted");
}

fn keys_used_lately_stay(on: On) {
    let (node, _) = small(on, "allkeys-lru");
    let mut session = node.connect();
    fill(&mut session, "hot", 0..200, &[]);
    fill(&mut session, "cold", 0..2500, &[]);
    // The clock of this policy counts seconds.
    wait_until("they have been idle", || node.local().ask("OBJECT IDLETIME cold-2499") != ":0");
    session.call(&hot("MGET"));
    fill(&mut session, "new", 0..2500, &[]);
    assert_hot_stayed(&node, &mut session);
}

fn keys_used_often_stay(on: On) {
    let (node, _) = small(on, "allkeys-lfu");
    let mut session = node.connect();
    fill(&mut session, "hot", 0..200, &[]);
    for start in (0..WRITES).step_by(500) {
        session.call(&hot("MGET"));
        fill(&mut session, "cold", start..start + 500, &[]);
    }
    assert_hot_stayed(&node, &mut session);
}

fn many_small_keys_make_room_for_a_large_one(on: On) {
    let (node, limit) = small(on, "allkeys-lru");
    let mut session = node.connect();
    let small = "v".repeat(80);
    for start in (0..40_000).step_by(2000) {
        session.send((start..start + 2000).map(|i| format!("SET k-{i} {small}\r\n")).collect::<String>());
        (0..2000).for_each(|_| assert_eq!(show(&session.reply()), "OK"));
    }
    let before = node.info("evicted_keys");
    let value = vec![b'v'; 2 << 20];
    assert_eq!(show(&session.call(&[b"SET".as_slice(), b"large", &value])), "OK");
    session.says("SET k v", "OK");
    assert_bounded(&node, limit);
    // Requests go on between rounds of eviction.
    assert!(before > 0);
    wait_until("more small ones have left", || node.info("evicted_keys") > before + 5000);
    assert_bounded(&node, limit);
}

fn memcached_evicts_too(on: On) {
    let (node, limit) = small(on, "allkeys-lru");
    let mut session = node.memcached();
    let value = "v".repeat(VALUE_BYTES);
    for start in (0..WRITES).step_by(200) {
        let requests: String =
            (start..start + 200).map(|i| format!("set k-{i} 0 0 {VALUE_BYTES}\r\n{value}\r\n")).collect();
        session.send(requests);
        (0..200).for_each(|_| assert_eq!(session.line(), "STORED"));
    }
    assert_bounded(&node, limit);
    let (kept, evicted) = kept_and_evicted(&node, &mut node.connect());
    assert!(evicted > WRITES / 4);
    assert_eq!(kept + evicted, WRITES);
}
