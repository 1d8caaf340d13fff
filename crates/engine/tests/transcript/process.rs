//! How a node ends.

use crate::node::{On, wait_until};
use rustix::process::Signal;

on_every_engine!(shutdown_ends_the_process, signals_end_the_process, a_taken_address_is_told);

fn shutdown_ends_the_process(on: On) {
    let mut node = on.node("");
    let (mut session, mut other) = (node.connect(), node.connect());
    session.talk(&[
        ("SHUTDOWN foo", "-ERR syntax error"),
        ("SHUTDOWN ABORT", "-ERR No shutdown in progress."),
        ("PING", "PONG"),
    ]);
    other.says("PING", "PONG");
    session.send("PING\r\nSHUTDOWN NOSAVE\r\nSET k v\r\n");
    assert_eq!(session.rest_text(), "+PONG\r\n");
    assert_eq!(other.rest_text(), "");
    assert_eq!(node.ended().code(), Some(0));
    assert!(!node.knock() && !node.path("redis").exists() && !node.path("memcached").exists());
}

fn signals_end_the_process(on: On) {
    for signal in [Signal::TERM, Signal::INT] {
        let mut node = on.node("");
        let (mut session, mut memcached) = (node.connect(), node.memcached());
        session.talk(&[("SET k v", "OK"), ("WATCH k", "OK"), ("MULTI", "OK")]);
        memcached.exchange("get k\r\n", "VALUE k 0 1\r\nv\r\nEND\r\n");
        node.signal(signal);
        assert_eq!(session.rest_text() + &memcached.rest_text(), "");
        assert_eq!(node.ended().code(), Some(0), "{signal:?}");
        assert!(!node.knock() && !node.path("redis").exists());
    }
}

fn a_taken_address_is_told(on: On) {
    let node = on.node("");
    let said = node.start_another_there();
    assert!(said.contains("could not listen on 127.0.0.1:"), "{said}");
    wait_until("the first is still there", || node.connect().ask("PING") == "PONG");
}
