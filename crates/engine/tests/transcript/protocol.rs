//! Requests and how they arrive: pipelines, pieces, inline commands, mistakes, ends, sizes.

use crate::client::show;
use crate::node::On;
use larder_protocol::resp::command;
use larder_protocol::resp::value::Value;

on_every_engine!(
    a_pipeline_of_thousands_is_answered_in_order,
    a_request_may_come_in_any_two_pieces,
    a_request_may_come_byte_by_byte,
    inline_commands,
    mistakes_are_told_and_end_the_session,
    unknown_commands_are_echoed,
    web_browsers_are_turned_away,
    half_a_request_is_not_executed,
    what_came_before_the_end_is_answered,
    what_came_before_the_end_is_answered_however_large,
    claims_cost_nothing,
);

on_both_engines!(large_values);

fn a_pipeline_of_thousands_is_answered_in_order(on: On) {
    let node = on.node("");
    let mut session = node.connect();
    let (mut requests, count) = (Vec::new(), 5000);
    for i in 0..count {
        command(&mut requests, &["SET", &format!("k{i}"), &format!("v{i}")]);
        command(&mut requests, &["INCR", "n"]);
        command(&mut requests, &["GET", &format!("k{i}")]);
    }
    let mut writer = session.writer();
    let sender = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &requests).unwrap());
    for i in 0..count {
        assert_eq!(show(&session.reply()), "OK");
        assert_eq!(show(&session.reply()), format!(":{}", i + 1));
        assert_eq!(show(&session.reply()), format!("$v{i}"));
    }
    sender.join().unwrap();
    session.says("DBSIZE", &format!(":{}", count + 1));
}

/// Requests of all kinds, and the answers.
const MIXED: (&[u8], &str) = (
    b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\n*0\r\n*-1\r\nGET k\r\n\r\n*2\r\n$3\r\nGET\r\n$0\r\n\r\nset q \"x y\"\n*1\r\n$4\r\nping\r\n*2\r\n$3\r\nGET\r\n$1\r\nq\r\n",
    "+OK\r\n$4\r\na\r\nb\r\n$-1\r\n+OK\r\n+PONG\r\n$3\r\nx y\r\n",
);

fn a_request_may_come_in_any_two_pieces(on: On) {
    let node = on.node("");
    let (mut session, mut other) = (node.connect(), node.connect());
    for at in 1..MIXED.0.len() {
        session.send(&MIXED.0[..at]);
        other.says("PING", "PONG"); // by now one worker has seen the first piece
        session.exchange(&MIXED.0[at..], MIXED.1);
    }
}

fn a_request_may_come_byte_by_byte(on: On) {
    let node = on.node("");
    let mut session = node.connect();
    for byte in MIXED.0 {
        session.send([*byte]);
    }
    session.exchange("", MIXED.1);
    session.says("PING", "PONG");
}

fn inline_commands(on: On) {
    let node = on.node("");
    let mut session = node.connect();
    for (request, expected) in [
        ("PING\r\n", "+PONG\r\n"),
        ("ping\n", "+PONG\r\n"),
        ("  PING  hello  \r\n", "$5\r\nhello\r\n"),
        ("\r\n\r\n  \r\nPING\r\n", "+PONG\r\n"),
        ("ECHO \"a\\x41\\n\\\"b\"\r\n", "$5\r\naA\n\"b\r\n"),
        ("ECHO 'a\\'b\\n'\r\n", "$5\r\na'b\\n\r\n"),
        ("ECHO \"\"\r\n", "$0\r\n\r\n"),
        ("ECHO a\"b c\"\r\n", "$4\r\nab c\r\n"),
        ("SET k v\r\nGET k\r\nDEL k\r\n", "+OK\r\n$1\r\nv\r\n:1\r\n"),
        ("ECHO\r\n", "-ERR wrong number of arguments for 'echo' command\r\n"),
    ] {
        session.exchange(request, expected);
    }
}

fn mistakes_are_told_and_end_the_session(on: On) {
    let node = on.node("");
    let many = |start: &str, byte: &str| [start, &byte.repeat(70_000)].concat();
    for (request, text) in [
        ("*x\r\nPING\r\n".to_owned(), "invalid multibulk length"),
        ("*2147483648\r\n".into(), "invalid multibulk length"),
        ("* 1\r\n".into(), "invalid multibulk length"),
        ("*+1\r\n".into(), "invalid multibulk length"),
        ("*01\r\n".into(), "invalid multibulk length"),
        ("*1\r\nPING\r\nPING\r\n".into(), "expected '$', got 'P'"),
        ("*1\r\n:4\r\nPING\r\n".into(), "expected '$', got ':'"),
        ("*1\r\n\r\n\r\n".into(), "expected '$', got ' '"),
        ("*1\r\n$x\r\n".into(), "invalid bulk length"),
        ("*1\r\n$-1\r\n".into(), "invalid bulk length"),
        ("*1\r\n$536870913\r\n".into(), "invalid bulk length"),
        ("\"a\r\nPING\r\n".into(), "unbalanced quotes in request"),
        ("set k \"a\"b\r\n".into(), "unbalanced quotes in request"),
        (many("", "a"), "too big inline request"),
        (many("*", "1"), "too big mbulk count string"),
        (many("*1\r\n$", "1"), "too big bulk count string"),
    ] {
        let mut session = node.connect();
        session.send("PING\r\n");
        session.try_send(request.as_bytes());
        let expected = format!("+PONG\r\n-ERR Protocol error: {text}\r\n");
        assert_eq!(session.rest_text(), expected, "{:.40}", request);
    }
    assert_eq!(node.local().ask("DBSIZE"), ":0");
}

fn unknown_commands_are_echoed(on: On) {
    let node = on.node("");
    let mut session = node.connect();
    let (long, cut) = ("f".repeat(200), "f".repeat(128));
    session.talk(&[
        ("foo bar baz", "-ERR unknown command 'foo', with args beginning with: 'bar' 'baz' "),
        (&long, &format!("-ERR unknown command '{cut}', with args beginning with: ")),
        (&format!("x {long} y"), &format!("-ERR unknown command 'x', with args beginning with: '{cut}' ")),
        ("''", "-ERR unknown command '', with args beginning with: "),
        ("GET", "-ERR wrong number of arguments for 'get' command"),
        ("config nope", "-ERR unknown subcommand 'nope'. Try CONFIG HELP."),
        ("PING", "PONG"),
    ]);
    assert_eq!(show(&session.call(&["a\r\nb"])), "-ERR unknown command 'a  b', with args beginning with: ");
}

/// A web page can make a browser post to any port: what looks like it is cut off before the body is read.
fn web_browsers_are_turned_away(on: On) {
    let node = on.node("");
    for request in ["POST / HTTP/1.1\r\n\r\nSET k v\r\n", "GET / HTTP/1.1\r\nhost: x\r\n\r\nSET k v\r\n"] {
        let mut session = node.connect();
        session.send(request);
        assert_eq!(session.rest_text(), "", "{request:?}");
    }
    assert_eq!(node.local().ask("EXISTS k"), ":0");
}

fn half_a_request_is_not_executed(on: On) {
    let node = on.node("");
    let request = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
    for at in 0..request.len() {
        let mut session = node.connect();
        session.send(&request[..at]);
        session.finish();
        assert_eq!(session.rest_text(), "", "cut at {at}");
    }
    let mut session = node.connect();
    session.send("SET k v");
    session.finish();
    assert_eq!(session.rest_text(), "");
    assert_eq!(node.local().ask("EXISTS k"), ":0");
}

fn what_came_before_the_end_is_answered(on: On) {
    let node = on.node("");
    for count in [1, 3, 1000] {
        let mut session = node.connect();
        session.send("PING\r\n".repeat(count) + "GET");
        session.finish();
        assert_eq!(session.rest_text(), "+PONG\r\n".repeat(count));
    }
}

fn what_came_before_the_end_is_answered_however_large(on: On) {
    let node = on.node("");
    let (len, count) = (1 << 20, 150);
    let mut session = node.connect();
    assert_eq!(show(&session.call(&[b"SET".as_slice(), b"k", &vec![b'v'; len]])), "OK");
    session.send("GET k\r\n".repeat(count) + "PING\r\n");
    session.finish();
    for at in 0..count {
        assert!(matches!(session.reply(), Value::Bulk(bytes) if bytes.len() == len), "{at}");
    }
    assert_eq!(session.rest_text(), "+PONG\r\n");
}

fn large_values(on: On) {
    let node = on.node("");
    let mut session = node.connect();
    let value: Vec<u8> = (0..64u32 << 20).map(|i| (i ^ i >> 11) as u8).collect();
    assert_eq!(show(&session.call(&[b"SET".as_slice(), b"k", &value])), "OK");
    session.says("STRLEN k", ":67108864");
    session.send("GET k\r\n");
    session.exchange("", "$67108864\r\n");
    assert!(session.exactly(value.len()) == value, "another value came back");
    session.exchange("", "\r\n");
    session.talk(&[("APPEND k x", ":67108865"), ("GETRANGE k -1 -1", "$x"), ("DEL k", ":1")]);
}

/// Lengths that are announced and not sent take no memory.
fn claims_cost_nothing(on: On) {
    let node = on.node("");
    let before = node.info("used_memory");
    let mut sessions = Vec::new();
    for claim in ["*2\r\n$3\r\nGET\r\n$536870912\r\nx", "*2147483647\r\n$1\r\nx\r\n"] {
        for _ in 0..8 {
            let mut session = node.connect();
            session.send("PING\r\n");
            session.send(claim);
            assert_eq!(show(&session.reply()), "PONG");
            sessions.push(session);
        }
    }
    let grown = node.info("used_memory").saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes for claims");
}
