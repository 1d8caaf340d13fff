//! Sessions: slow ones, idle ones, too many of them, strangers, and CLIENT.

use crate::client::{Session, show};
use crate::node::{Node, On, wait_until};
use larder_protocol::resp::value::Value;
use std::time::Duration;

on_every_engine!(
    too_much_output_closes,
    too_much_input_closes,
    sessions_are_killed,
    replies_can_be_switched_off,
    too_many_sessions_are_turned_away,
    a_password_is_required,
    strangers_may_send_little,
    authentication_counts_from_the_next_request_on,
    a_reset_session_is_new,
    many_that_come_at_once_are_all_served,
);

on_both_engines!(
    a_slow_reader_loses_nothing_and_takes_bounded_memory,
    sessions_are_listed,
    only_idle_sessions_are_closed
);

/// The line of CLIENT LIST of the session with this name.
fn listed(admin: &mut Session, name: &str) -> Option<String> {
    let text = admin.ask("CLIENT LIST");
    text.trim_start_matches('$')
        .lines()
        .find(|line| line.contains(&format!(" name={name} ")))
        .map(str::to_owned)
}

/// A field of such a line.
#[track_caller]
fn field<'l>(line: &'l str, name: &str) -> &'l str {
    let value = line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {name} in {line}"))
}

fn a_slow_reader_loses_nothing_and_takes_bounded_memory(on: On) {
    let node = on.node("");
    let (len, count) = (256 << 10, 1200);
    let mut session = node.connect();
    assert_eq!(show(&session.call(&[b"SET".as_slice(), b"k", &vec![b'v'; len]])), "OK");
    session.send("GET k\r\n".repeat(count) + "PING\r\n");
    wait_until("replies pile up", || node.info("client_recent_max_output_buffer") > 16 << 20);
    let used = node.info("used_memory");
    assert!(used < 160 << 20, "{used} bytes for {} of replies", len * count);
    for at in 0..count {
        assert!(matches!(session.reply(), Value::Bulk(bytes) if bytes.len() == len), "{at}");
    }
    assert_eq!(show(&session.reply()), "PONG");
    wait_until("the memory is given back", || node.info("used_memory") < 48 << 20);
}

/// More sessions than there are buffers to receive into at first.
fn many_that_come_at_once_are_all_served(on: On) {
    let node = on.node("--enable-debug-command yes");
    let mut admin = node.local();
    let mut sessions: Vec<Session> = (0..300).map(|_| node.connect()).collect();
    for round in 0..3 {
        admin.send("DEBUG SLEEP 0.2\r\n"); // what comes meanwhile is there all at once
        let text = format!("{round}{}", "x".repeat(1000));
        for session in &mut sessions {
            session.send(format!("ECHO {text}\r\nPING\r\n"));
        }
        for session in &mut sessions {
            assert_eq!(show(&session.reply()), format!("${text}"));
            assert_eq!(show(&session.reply()), "PONG");
        }
        assert_eq!(show(&admin.reply()), "OK");
    }
}

fn too_much_output_closes(on: On) {
    let node = on.node("");
    let mut admin = node.local();
    let value = vec![b'v'; 8 << 20];
    assert_eq!(show(&admin.call(&[b"SET".as_slice(), b"k", &value])), "OK");
    let limit = ["CONFIG", "SET", "client-output-buffer-limit", "normal 1mb 0 0"];
    assert_eq!(show(&admin.call(&limit)), "OK");
    let mut session = node.connect();
    session.says("GETRANGE k 0 2", "$vvv");
    session.send("GET k\r\n");
    assert!(session.rest().len() < value.len());
    // Many small ones are as much.
    let mut session = node.connect();
    session.try_send("GETRANGE k 0 99999\r\n".repeat(200).as_bytes());
    assert!(session.rest().len() < 20_000_000);
    node.connect().says("PING", "PONG");
}

fn too_much_input_closes(on: On) {
    let node = on.node("--client-query-buffer-limit 1mb");
    let mut session = node.connect();
    let value = vec![b'v'; 900_000];
    assert_eq!(show(&session.call(&[b"SET".as_slice(), b"k", &value])), "OK");
    // Whole arguments do not count, as in the original.
    let many = (0..8).flat_map(|n| [format!("k{n}").into_bytes(), value.clone()]);
    let words: Vec<_> = std::iter::once(b"MSET".to_vec()).chain(many).collect();
    assert_eq!(show(&session.call(&words)), "OK");
    session.says("STRLEN k7", ":900000");
    session.send("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$8000000\r\n");
    session.try_send(&vec![b'v'; 8_000_000]);
    assert_eq!(session.rest_text(), "");
    node.connect().says("STRLEN k", ":900000");
}

fn sessions_are_listed(on: On) {
    let node = on.node("");
    let id = |session: &mut Session| session.ask("CLIENT ID").trim_start_matches(':').parse::<u64>().unwrap();
    let mut first = node.connect();
    let one = id(&mut first);
    let (mut second, mut admin) = (node.connect(), node.local());
    let two = id(&mut second);
    assert!(one < two);
    first.talk(&[
        ("CLIENT GETNAME", "nil"),
        ("CLIENT SETNAME ann", "OK"),
        ("CLIENT GETNAME", "$ann"),
        ("CLIENT SETINFO lib-name larder-test", "OK"),
        ("CLIENT NO-EVICT on", "OK"),
        ("CLIENT NO-EVICT maybe", "-ERR syntax error"),
        ("SELECT 3", "OK"),
        ("WATCH a b", "OK"),
        ("MULTI", "OK"),
        ("GET a", "QUEUED"),
    ]);
    let name = show(&first.call(&["CLIENT", "SETNAME", "a b"]));
    assert_eq!(name, "QUEUED");
    wait_until("the list tells of the transaction", || {
        listed(&mut admin, "ann").is_some_and(|line| field(&line, "multi") == "2")
    });
    let line = listed(&mut admin, "ann").unwrap();
    for (name, expected) in [
        ("id", one.to_string().as_str()),
        ("db", "3"),
        ("watch", "2"),
        ("flags", "xe"),
        ("user", "default"),
        ("resp", "2"),
        ("lib-name", "larder-test"),
    ] {
        assert_eq!(field(&line, name), expected, "{name} of {line}");
    }
    assert!(
        field(&line, "addr").starts_with("127.0.0.1:") && field(&line, "laddr").starts_with("127.0.0.1:")
    );
    first.says("EXEC", "[nil, -ERR Client names cannot contain spaces, newlines or special characters.]");
    let mine = second.ask("CLIENT INFO");
    assert_eq!(field(mine.trim_start_matches('$'), "id"), two.to_string());
    let both = second.ask(&format!("CLIENT LIST ID {one} {two}"));
    assert_eq!(both.trim_end().lines().count(), 2, "{both}");
    second.talk(&[
        ("CLIENT LIST TYPE pubsub", "$"),
        ("CLIENT LIST TYPE x", "-ERR Unknown client type 'x'"),
        ("CLIENT LIST ID x", "-ERR Invalid client ID"),
        ("CLIENT LIST ID 0", "$"),
        ("CLIENT LIST ID", "-ERR syntax error"),
        ("CLIENT LIST FOO", "-ERR syntax error"),
        ("CLIENT NOPE", "-ERR unknown subcommand 'NOPE'. Try CLIENT HELP."),
        ("CLIENT", "-ERR wrong number of arguments for 'client' command"),
    ]);
    drop(first);
    wait_until("the list forgets", || listed(&mut admin, "ann").is_none());
}

fn sessions_are_killed(on: On) {
    let node = on.node("");
    let mut admin = node.connect();
    admin.talk(&[
        ("CLIENT KILL 1.2.3.4:1", "-ERR No such client"),
        ("CLIENT KILL ID x", "-ERR client-id should be greater than 0"),
        ("CLIENT KILL ID 0", "-ERR client-id should be greater than 0"),
        ("CLIENT KILL ID 9999", ":0"),
        ("CLIENT KILL NOPE 1", "-ERR syntax error"),
        ("CLIENT KILL TYPE x", "-ERR Unknown client type 'x'"),
        ("CLIENT KILL USER nobody", "-ERR No such user 'nobody'"),
    ]);
    let named = |name: &str, admin: &mut Session| {
        let mut session = node.connect();
        session.says(&format!("CLIENT SETNAME {name}"), "OK");
        let line = listed(admin, name).unwrap();
        (session, line)
    };
    let (mut session, line) = named("by-address", &mut admin);
    admin.says(&format!("CLIENT KILL {}", field(&line, "addr")), "OK");
    assert_eq!(session.rest_text(), "");
    let (mut session, line) = named("by-id", &mut admin);
    admin.says(&format!("CLIENT KILL ID {}", field(&line, "id")), ":1");
    assert_eq!(session.rest_text(), "");
    // All but the caller; then the caller too, after its reply.
    let mut others = [node.connect(), node.connect(), node.connect()];
    others.iter_mut().for_each(|other| other.says("PING", "PONG"));
    assert_eq!(admin.ask("CLIENT KILL TYPE normal ADDR 9.9.9.9:9"), ":0");
    admin.ask("CLIENT KILL TYPE normal");
    others.iter_mut().for_each(|other| assert_eq!(other.rest_text(), ""));
    admin.says("PING", "PONG");
    let me = admin.ask("CLIENT ID");
    admin.says(&format!("CLIENT KILL ID {} SKIPME no", &me[1..]), ":1");
    assert_eq!(admin.rest_text(), "");
}

fn replies_can_be_switched_off(on: On) {
    let node = on.node("");
    let mut session = node.connect();
    session.exchange("CLIENT REPLY OFF\r\nPING\r\nSET k v\r\nNOPE\r\nCLIENT REPLY ON\r\n", "+OK\r\n");
    session.exchange("CLIENT REPLY SKIP\r\nGET k\r\nGET k\r\n", "$1\r\nv\r\n");
    session.says("CLIENT REPLY x", "-ERR syntax error");
}

fn too_many_sessions_are_turned_away(on: On) {
    let node = on.node("--maxclients 8");
    let mut admin = node.local();
    wait_until("those who knocked came and went", || {
        let came =
            admin.ask("INFO stats").contains(&format!("total_connections_received:{}\r\n", on.workers + 1));
        came && admin.ask("CLIENT LIST").trim_end().lines().count() == 1
    });
    let mut sessions: Vec<Session> = (0..7).map(|_| node.connect()).collect();
    sessions.iter_mut().for_each(|session| session.says("PING", "PONG"));
    assert_eq!(node.connect().rest_text(), "-ERR max number of clients reached\r\n");
    assert_eq!(node.memcached().rest_text(), "ERROR Too many open connections\r\n");
    let stats = admin.ask("INFO stats");
    assert!(stats.contains("rejected_connections:2\r\n"), "{stats}");
    admin.says("CONFIG SET maxclients 9", "OK");
    node.connect().says("PING", "PONG");
    drop(sessions);
    wait_until("the others are gone", || admin.ask("CLIENT LIST").trim_end().lines().count() == 1);
    node.connect().says("PING", "PONG");
}

fn only_idle_sessions_are_closed(on: On) {
    let node = on.node("--timeout 2");
    let (mut idle, mut idle_memcached) = (node.connect(), node.memcached());
    idle.says("PING", "PONG");
    idle_memcached.exchange("verbosity 1\r\n", "OK\r\n");
    let idle = std::thread::spawn(move || idle.rest_text() + &idle_memcached.rest_text());
    let (mut busy, mut memcached, mut trickling) = (node.connect(), node.memcached(), node.connect());
    let beat = |busy: &mut Session, memcached: &mut Session, trickling: &mut Session| {
        busy.says("PING", "PONG");
        memcached.exchange("verbosity 1\r\n", "OK\r\n");
        trickling.send("v");
        std::thread::sleep(Duration::from_millis(50));
    };
    trickling.send("ECHO ");
    wait_until("idle sessions are closed", || {
        beat(&mut busy, &mut memcached, &mut trickling);
        idle.is_finished()
    });
    assert_eq!(idle.join().unwrap(), "");
    (0..5).for_each(|_| beat(&mut busy, &mut memcached, &mut trickling));
    trickling.send("\r\n");
    assert!(show(&trickling.reply()).starts_with("$vvv"));
}

const NOAUTH: &str = "-NOAUTH Authentication required.";
const WRONGPASS: &str = "-WRONGPASS invalid username-password pair or user is disabled.";

fn a_password_is_required(on: On) {
    let node = on.node("--requirepass secret");
    let hello = "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time";
    node.connect().talk(&[
        ("PING", NOAUTH),
        ("GET k", NOAUTH),
        ("GET", "-ERR wrong number of arguments for 'get' command"),
        ("NOPE", "-ERR unknown command 'NOPE', with args beginning with: "),
        ("MULTI", NOAUTH),
        ("AUTH wrong", WRONGPASS),
        ("AUTH secre", WRONGPASS),
        ("AUTH secrets", WRONGPASS),
        ("AUTH ''", WRONGPASS),
        ("AUTH nobody secret", WRONGPASS),
        ("AUTH a b c", "-ERR syntax error"),
        ("HELLO 2", hello),
        ("HELLO 2 AUTH default wrong", WRONGPASS),
        ("PING", NOAUTH),
        ("AUTH secret", "OK"),
        ("PING", "PONG"),
        ("AUTH wrong", WRONGPASS),
        ("PING", "PONG"),
        ("RESET", "RESET"),
        ("PING", NOAUTH),
        ("AUTH default secret", "OK"),
        ("PING", "PONG"),
    ]);
    let mut session = node.connect();
    assert!(session.ask("HELLO 3 AUTH default secret").starts_with("{$server: $redis"));
    session.says("PING", "PONG");
    let mut session = node.connect();
    session.exchange("QUIT\r\n", "+OK\r\n");
    assert_eq!(session.rest_text(), "");
    // Whoever was let in stays; whoever comes now needs the new one.
    let mut admin = node.local();
    let mut inside = node.connect();
    inside.says("AUTH secret", "OK");
    admin.says("CONFIG SET requirepass other", "OK");
    inside.says("PING", "PONG");
    node.connect().talk(&[("AUTH secret", WRONGPASS), ("AUTH other", "OK"), ("PING", "PONG")]);
    admin.says("CONFIG SET requirepass ''", "OK");
    node.connect().talk(&[
        ("PING", "PONG"),
        ("AUTH x", "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"),
        ("AUTH default x", "OK"),
        ("AUTH nobody x", WRONGPASS),
    ]);
}

fn strangers_may_send_little(on: On) {
    let node = on.node("--requirepass secret");
    let refused = |node: &Node, request: &str, text: &str| {
        let mut session = node.connect();
        session.send(request);
        assert_eq!(session.rest_text(), format!("-ERR Protocol error: unauthenticated {text} length\r\n"));
    };
    refused(&node, "*11\r\n", "multibulk");
    refused(&node, "*2\r\n$4\r\nPING\r\n$16385\r\n", "bulk");
    let mut session = node.connect();
    session.send("*2\r\n$4\r\nPING\r\n$16384\r\n");
    session.exchange("x".repeat(16384) + "\r\n", "-NOAUTH Authentication required.\r\n");
}

fn authentication_counts_from_the_next_request_on(on: On) {
    let node = on.node("--requirepass secret");
    let long = "x".repeat(20_000);
    let mut session = node.connect();
    let set = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$20000\r\n{long}\r\n");
    session.exchange(format!("AUTH secret\r\n{set}"), "+OK\r\n+OK\r\n");
    let delete = "*11\r\n$3\r\nDEL\r\n".to_owned() + &"$1\r\nk\r\n".repeat(10);
    let mut session = node.connect();
    session.exchange(
        format!("PING\r\nAUTH secret\r\n{delete}"),
        "-NOAUTH Authentication required.\r\n+OK\r\n:1\r\n",
    );
}

fn a_reset_session_is_new(on: On) {
    let node = on.node("");
    let (mut session, mut other) = (node.connect(), node.connect());
    session.ask("HELLO 3");
    session.talk(&[("CLIENT SETNAME ann", "OK"), ("SELECT 3", "OK"), ("WATCH k", "OK"), ("MULTI", "OK")]);
    session.talk(&[("SET k 1", "QUEUED"), ("RESET", "RESET"), ("EXEC", "-ERR EXEC without MULTI")]);
    session.talk(&[("CLIENT GETNAME", "nil"), ("SET k 1", "OK"), ("MULTI", "OK")]);
    other.talk(&[("GET k", "$1"), ("SET k 2", "OK")]);
    session.says("EXEC", "[]");
}
