//! The Memcached door.

use crate::node::On;

on_every_engine!(
    values_come_and_go,
    mistakes_are_told,
    noreply_is_silent,
    values_may_come_in_pieces,
    an_end_in_the_middle_stores_nothing,
    a_long_pipeline_is_answered,
    the_node_list_is_written_on_the_unix_socket_only,
    redis_sees_the_same_keys,
);

fn values_come_and_go(on: On) {
    let node = on.node("");
    let mut session = node.memcached();
    for (request, expected) in [
        ("get k\r\n", "END\r\n"),
        ("set k 5 0 3\r\nabc\r\n", "STORED\r\n"),
        ("get k nope k\r\n", "VALUE k 5 3\r\nabc\r\nVALUE k 5 3\r\nabc\r\nEND\r\n"),
        ("set k 0 0 0\r\n\r\nget k\r\n", "STORED\r\nVALUE k 0 0\r\n\r\nEND\r\n"),
        ("set k 1 0 4\r\n\r\n\r\n\r\nget k\r\n", "STORED\r\nVALUE k 1 4\r\n\r\n\r\n\r\nEND\r\n"),
        ("add a 0 0 1\r\n1\r\nadd a 0 0 1\r\n2\r\n", "STORED\r\nNOT_STORED\r\n"),
        ("replace zz 0 0 1\r\n1\r\nappend a 0 0 1\r\n9\r\n", "NOT_STORED\r\nSTORED\r\n"),
        ("prepend a 0 0 1\r\n0\r\nget a\r\n", "STORED\r\nVALUE a 0 3\r\n019\r\nEND\r\n"),
        ("delete a\r\ndelete a\r\ntouch a 0\r\n", "DELETED\r\nNOT_FOUND\r\nNOT_FOUND\r\n"),
        (
            "set n 0 0 2\r\n10\r\nincr n 5\r\ndecr n 100\r\nincr none 1\r\n",
            "STORED\r\n15\r\n0\r\nNOT_FOUND\r\n",
        ),
        ("set k 0 -1 1\r\na\r\nget k\r\n", "STORED\r\nEND\r\n"),
        ("flush_all\r\nget n\r\n", "OK\r\nEND\r\n"),
    ] {
        session.exchange(request, expected);
    }
    session.send("set k 0 0 1\r\na\r\ngets k\r\n");
    assert_eq!(session.line(), "STORED");
    let line = session.line();
    let cas: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
    session.exchange("", "a\r\nEND\r\n");
    session.exchange(format!("cas k 0 0 1 {}\r\nb\r\n", cas + 1), "EXISTS\r\n");
    session.exchange(format!("cas k 0 0 1 {cas}\r\nb\r\ncas k 0 0 1 {cas}\r\nc\r\n"), "STORED\r\nEXISTS\r\n");
    session.exchange(
        format!("cas none 0 0 1 {cas}\r\nb\r\nget k\r\n"),
        "NOT_FOUND\r\nVALUE k 0 1\r\nb\r\nEND\r\n",
    );
    session.exchange("quit\r\n", "");
    assert_eq!(session.rest_text(), "");
}

fn mistakes_are_told(on: On) {
    let node = on.node("");
    let mut session = node.memcached();
    let bad = "CLIENT_ERROR bad command line format\r\n";
    let long = "k".repeat(251);
    let huge = "x".repeat(2_000_000);
    for (request, expected) in [
        ("garbage\r\n".to_owned(), "ERROR\r\n"),
        ("\r\n".into(), "ERROR\r\n"),
        ("get\r\n".into(), "ERROR\r\n"),
        ("set k\r\n".into(), "ERROR\r\n"),
        ("set k a 0 3\r\n".into(), bad),
        ("set k 0 0 -1\r\n".into(), bad),
        (format!("get {long}\r\n"), bad),
        (format!("delete {long}\r\n"), bad),
        (format!("set {long} 0 0 3\r\nabc\r\n"), "CLIENT_ERROR bad command line format\r\nERROR\r\n"),
        (format!("get {}\r\n", "k".repeat(250)), "END\r\n"),
        (
            "set n 0 0 2\r\n10\r\nincr n x\r\n".into(),
            "STORED\r\nCLIENT_ERROR invalid numeric delta argument\r\n",
        ),
        ("set k 0 0 3\r\nabcd\r\nget k\r\n".into(), "CLIENT_ERROR bad data chunk\r\nERROR\r\nEND\r\n"),
        ("set k 0 0 1\r\na\r\n".into(), "STORED\r\n"),
        (format!("set k 0 0 2000000\r\n{huge}\r\n"), "SERVER_ERROR object too large for cache\r\n"),
        ("get k\r\n".into(), "END\r\n"), // the old value is gone, as it should not pass for the new one
        ("version\r\n".into(), "VERSION 7.2.4\r\n"),
    ] {
        session.exchange(request, expected);
    }
    let mut session = node.memcached();
    session.try_send("x".repeat(3000).as_bytes());
    assert_eq!(session.rest_text(), "CLIENT_ERROR line too long\r\n");
    let mut session = node.memcached();
    session.send("POST / HTTP/1.1\r\nset k 0 0 1\r\na\r\n"); // a web page made a browser do this
    assert_eq!(session.rest_text(), "");
    node.memcached().exchange("get k\r\n", "END\r\n");
    let mut session = node.memcached();
    session.send([0x81; 24]); // an answer of the binary protocol, not a request
    session.send("\r\n");
    assert_eq!(session.line(), "ERROR");
}

fn noreply_is_silent(on: On) {
    let node = on.node("");
    let mut session = node.memcached();
    session.exchange("set k 0 0 3 noreply\r\nxyz\r\nget k\r\n", "VALUE k 0 3\r\nxyz\r\nEND\r\n");
    let huge = "x".repeat(2_000_000);
    session.exchange(format!("set k 0 0 2000000 noreply\r\n{huge}\r\nget k\r\n"), "END\r\n");
    session.exchange(
        "set n 0 0 1 noreply\r\n1\r\nincr n 1 noreply\r\ntouch n 0 noreply\r\nget n\r\n",
        "VALUE n 0 1\r\n2\r\nEND\r\n",
    );
    session.exchange("delete n noreply\r\nflush_all noreply\r\nget n\r\n", "END\r\n");
}

fn values_may_come_in_pieces(on: On) {
    let node = on.node("");
    let (mut session, mut other) = (node.memcached(), node.memcached());
    let request = b"set k 1 0 5\r\na\r\nbc\r\nget k\r\nbad\r\nset k 0 0 2 noreply\r\nxy\r\nget k\r\n";
    let expected = "STORED\r\nVALUE k 1 5\r\na\r\nbc\r\nEND\r\nERROR\r\nVALUE k 0 2\r\nxy\r\nEND\r\n";
    for at in 1..request.len() {
        session.send(&request[..at]);
        other.exchange("version\r\n", "VERSION 7.2.4\r\n"); // by now one worker has seen the first piece
        session.exchange(&request[at..], expected);
    }
    request.iter().for_each(|byte| session.send([*byte]));
    session.exchange("", expected);
}

fn an_end_in_the_middle_stores_nothing(on: On) {
    let node = on.node("");
    let request = b"set k 0 0 3\r\nabc\r\n";
    for at in 0..request.len() {
        let mut session = node.memcached();
        session.send(&request[..at]);
        session.finish();
        assert_eq!(session.rest_text(), "", "cut at {at}");
    }
    let mut session = node.memcached();
    session.send("get k\r\nset k 0 0 3\r\nabc\r\n");
    session.finish();
    assert_eq!(session.rest_text(), "END\r\nSTORED\r\n");
}

fn a_long_pipeline_is_answered(on: On) {
    let node = on.node("");
    let mut session = node.memcached();
    let len = 500_000;
    session.exchange(format!("set k 0 0 {len}\r\n{}\r\n", "v".repeat(len)), "STORED\r\n");
    let count = 300;
    session.send("get k\r\n".repeat(count) + "version\r\n");
    session.finish();
    for at in 0..count {
        assert_eq!(session.line(), format!("VALUE k 0 {len}"), "{at}");
        session.exactly(len);
        session.exchange("", "\r\nEND\r\n");
    }
    assert_eq!(session.rest_text(), "VERSION 7.2.4\r\n");
}

fn the_node_list_is_written_on_the_unix_socket_only(on: On) {
    let node = on.node("");
    let (mut session, mut local) = (node.memcached(), node.local_memcached());
    session.exchange("config get cluster\r\n", "END\r\n");
    session.exchange("config set cluster 0 3\r\nabc\r\n", "ERROR\r\nERROR\r\n");
    session.exchange("config get cluster\r\n", "END\r\n");
    let list = "1\nexample.org|127.0.0.1|11211\n";
    local.exchange(format!("config set cluster 0 {}\r\n{list}\r\n", list.len()), "STORED\r\n");
    session
        .exchange("config get cluster\r\n", &format!("CONFIG cluster 0 {}\r\n{list}\r\nEND\r\n", list.len()));
    session.exchange("config delete cluster\r\n", "ERROR\r\n");
    session.exchange("flush_all\r\n", "OK\r\n");
    let key = "AmazonElastiCache:cluster";
    session.exchange(format!("get {key}\r\n"), &format!("VALUE {key} 0 {}\r\n{list}\r\nEND\r\n", list.len()));
    local.exchange("config delete cluster\r\nconfig get cluster\r\n", "DELETED\r\nEND\r\n");
}

fn redis_sees_the_same_keys(on: On) {
    let node = on.node("");
    let (mut memcached, mut redis) = (node.memcached(), node.connect());
    memcached.exchange("set k 7 0 2\r\n10\r\n", "STORED\r\n");
    redis.talk(&[
        ("GET k", "$10"),
        ("INCR k", ":11"),
        ("TTL k", ":-1"),
        ("LPUSH list a", ":1"),
        ("SET r v", "OK"),
    ]);
    memcached.exchange("get k list r\r\n", "VALUE k 7 2\r\n11\r\nVALUE r 0 1\r\nv\r\nEND\r\n");
    redis.says("SELECT 1", "OK");
    redis.says("SET other v", "OK");
    memcached.exchange("get other\r\n", "END\r\n");
}
