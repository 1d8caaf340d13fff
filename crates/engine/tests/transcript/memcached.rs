//! The Memcached door.

use crate::client::Session;
use crate::node::{On, wait_until};
use std::io::Write;

on_every_engine!(
    values_come_and_go,
    mistakes_are_told,
    noreply_is_silent,
    values_may_come_in_pieces,
    an_end_in_the_middle_stores_nothing,
    large_values_come_whole,
    what_is_announced_costs_nothing,
    a_flood_waits_in_the_socket,
    a_long_pipeline_is_answered,
    who_reads_large_values_leaves_others_their_turn,
    the_node_list_is_written_on_the_unix_socket_only,
    redis_sees_the_same_keys,
    who_watches_is_told,
    a_slow_watcher_skips_and_holds_nobody_up,
    connections_wait_for_room_where_they_are_to,
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
        ("\r\n".into(), bad),
        ("get\r\n".into(), bad),
        ("set k\r\n".into(), bad),
        ("set k a 0 3\r\nabc\r\n".into(), bad),
        ("set k 0 0 -1\r\n".into(), bad),
        (format!("get {long}\r\n"), "CLIENT_ERROR bad command line format\r\n\r\n"),
        (format!("delete {long}\r\n"), bad),
        (format!("set {long} 0 0 3\r\nabc\r\n"), bad),
        (format!("get {}\r\n", "k".repeat(250)), "END\r\n"),
        (
            "set n 0 0 2\r\n10\r\nincr n x\r\n".into(),
            "STORED\r\nCLIENT_ERROR invalid numeric delta argument\r\n",
        ),
        (
            "set k 0 0 3\r\nabcde\r\nget k\r\n".into(),
            "CLIENT_ERROR bad data chunk\r\nCLIENT_ERROR bad command line format\r\nEND\r\n",
        ),
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

/// Bytes that differ from place to place, so that none can be lost or turn up twice.
fn numbers(len: usize) -> Vec<u8> {
    (0..).flat_map(|n: u32| format!("{n} ").into_bytes()).take(len).collect()
}

#[track_caller]
fn holds(session: &mut Session, key: &str, value: &[u8]) {
    let answer = [format!("VALUE {key} 0 {}\r\n", value.len()).as_bytes(), value, b"\r\nEND\r\n"].concat();
    session.send(format!("get {key}\r\n"));
    assert!(session.exactly(answer.len()) == answer, "{key} is another value");
}

fn large_values_come_whole(on: On) {
    let node = on.node("--memcached-max-item-size 8mb");
    let mut session = node.memcached();
    for len in [65_535, 65_536, 65_537, 300_000, 5_000_000] {
        let value = numbers(len);
        let set = [format!("set k 0 0 {len}\r\n").as_bytes(), &value, b"\r\n"].concat();
        let line = set.len() - len - 2;
        // In one piece, and cut within the line, where the value begins, within it, and within what follows it.
        for cut in [0, 5, line, line + 1, len / 2, set.len() - 3, set.len() - 2, set.len() - 1] {
            session.send(&set[..cut]);
            session.exchange(&set[cut..], "STORED\r\n");
            holds(&mut session, "k", &value);
            session.exchange("delete k\r\n", "DELETED\r\n");
        }
        // One behind the other, with small ones between.
        let meta = [format!("ms m {len}\r\n").as_bytes(), &value, b"\r\n"].concat();
        let more = [format!("append s 0 0 {len}\r\n").as_bytes(), &value, b"\r\n"].concat();
        let quiet = [format!("set q 0 0 {len} noreply\r\n").as_bytes(), &value, b"\r\n"].concat();
        let all =
            [b"set s 0 0 1\r\n1\r\n", &set[..], &quiet, b"mn\r\n", &meta, &more, &set, b"mn\r\n"].concat();
        session.exchange(all, "STORED\r\nSTORED\r\nMN\r\nHD\r\nSTORED\r\nSTORED\r\nMN\r\n");
        ["k", "q", "m"].iter().for_each(|key| holds(&mut session, key, &value));
        holds(&mut session, "s", &[b"1", &value[..]].concat());
        // What no line end follows is refused, and does not change what is there.
        let mut bad = [format!("set k 0 0 {len}\r\n").as_bytes(), &numbers(len + 1)[1..], b"\r\n"].concat();
        bad[line + len] = b'x';
        session.exchange([&bad[..], b"mn\r\n"].concat(), "CLIENT_ERROR bad data chunk\r\nMN\r\n");
        let mut bad = quiet.clone();
        let end = bad.len();
        bad[end - 2] = b'x';
        session.exchange(
            [&bad[..], b"set s 0 0 1\r\n1\r\nget s\r\n"].concat(),
            "STORED\r\nVALUE s 0 1\r\n1\r\nEND\r\n",
        );
        holds(&mut session, "k", &value);
        session.exchange("flush_all\r\n", "OK\r\n");
    }
    // An end in the middle stores nothing.
    session.send("set k 0 0 5000000\r\n");
    session.send(numbers(4_999_999));
    session.finish();
    assert_eq!(session.rest_text(), "");
    node.memcached().exchange("get k\r\n", "END\r\n");
}

fn what_is_announced_costs_nothing(on: On) {
    const SESSIONS: u64 = 50;
    const SENT: usize = 100_000;
    let node = on.node("--memcached-max-item-size 500mb");
    let mut sessions: Vec<_> = (0..SESSIONS).map(|_| node.memcached()).collect();
    let before = node.info("used_memory");
    for session in &mut sessions {
        session.send("set k 0 0 400000000\r\n");
        session.send("x".repeat(SENT));
    }
    wait_until("all of it is there", || node.info("used_memory") >= before + SESSIONS * SENT as u64);
    let most = before + SESSIONS * 8 * SENT as u64;
    assert!(node.info("used_memory") < most, "{} of {most}", node.info("used_memory"));
    drop(sessions);
    wait_until("it is given back", || node.info("used_memory") < before + SESSIONS * SENT as u64 / 2);
    node.memcached().exchange("get k\r\n", "END\r\n");
}

fn a_flood_waits_in_the_socket(on: On) {
    const PART_BYTES: usize = 1 << 20;
    const PARTS: usize = 64;
    /// What is received in a turn, twice, and the keys.
    const MOST: u64 = 16 << 20;
    let node = on.node("");
    let mut text = node.memcached();
    let mut resp = node.connect();
    let before = node.info("used_memory");
    let flood = |session: &mut Session, request: &str, last: &str, answer: &str| {
        let part = request.repeat(PART_BYTES / request.len());
        let mut writer = session.writer();
        let sent = std::thread::spawn(move || {
            (0..PARTS).for_each(|_| writer.write_all(part.as_bytes()).unwrap());
        });
        let mut peak = 0;
        while !sent.is_finished() {
            peak = peak.max(node.info("used_memory"));
        }
        sent.join().unwrap();
        session.exchange(last, answer);
        assert!(peak < before + MOST, "{peak} from {before}");
    };
    let value = "v".repeat(1000);
    flood(&mut text, &format!("set k 0 0 1000 noreply\r\n{value}\r\n"), "mn\r\n", "MN\r\n");
    resp.send("CLIENT REPLY OFF\r\n");
    let set = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000\r\n{value}\r\n");
    flood(&mut resp, &set, "CLIENT REPLY ON\r\n", "+OK\r\n");
}

fn who_reads_large_values_leaves_others_their_turn(on: On) {
    const LARGE: usize = 600_000;
    const READS: usize = 40;
    let node = on.node("");
    let value = "v".repeat(LARGE);
    node.memcached().exchange(
        format!("set large 0 0 {LARGE}\r\n{value}\r\nset small 0 0 1\r\n1\r\n"),
        "STORED\r\nSTORED\r\n",
    );
    let mut readers: Vec<_> = (0..4).map(|_| node.memcached()).collect();
    for reader in &mut readers {
        reader.send("get large\r\n".repeat(READS));
    }
    // None of them reads: what the sockets do not hold waits, and keeps nobody from being served.
    let mut small = node.memcached();
    for _ in 0..100 {
        small.exchange("get small\r\n", "VALUE small 0 1\r\n1\r\nEND\r\n");
    }
    let answer = format!("VALUE large 0 {LARGE}\r\n{value}\r\nEND\r\n").repeat(READS);
    for reader in &mut readers {
        reader.exchange("", &answer);
        reader.exchange("get small\r\n", "VALUE small 0 1\r\n1\r\nEND\r\n");
    }
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

/// The rest of a line behind its time and number.
fn told(session: &mut Session) -> String {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        line.extend_from_slice(&session.exactly(1)); // these lines have no carriage return
    }
    let line = String::from_utf8_lossy(&line).trim_end().to_owned();
    let rest = line.split_once(" type=").unwrap_or_else(|| panic!("no line of watch: {line}")).1;
    rest.split(" cfd=").next().unwrap_or_default().to_owned()
}

fn who_watches_is_told(on: On) {
    let node = on.node("");
    let (mut all, mut some) = (node.memcached(), node.memcached());
    all.exchange("watch fetchers mutations\r\n", "OK\r\n");
    some.exchange("watch nonsense\r\nwatch deletions connevents\r\n", "ERROR\r\nOK\r\n");
    let mut session = node.memcached();
    session.exchange("set k 0 100 1\r\nx\r\nget k\r\n", "STORED\r\nVALUE k 0 1\r\nx\r\nEND\r\n");
    session.exchange("delete k\r\n", "DELETED\r\n");
    for line in [
        "item_get key=k status=not_found clsid=0",
        "item_store key=k status=stored cmd=set ttl=100 clsid=1",
        "item_get key=k status=found clsid=1",
        "item_get key=k status=found clsid=1",
    ] {
        assert_eq!(told(&mut all), line);
    }
    let new = told(&mut some);
    assert!(new.starts_with("conn_new rip=127.0.0.1 rport=") && new.ends_with(" transport=tcp"), "{new}");
    assert_eq!(told(&mut some), "deleted key=k cmd=delete clsid=1 size=1");
    session.send("quit\r\n");
    let gone = told(&mut some);
    assert!(gone.starts_with("conn_close ") && gone.ends_with(" transport=tcp reason=normal"), "{gone}");
    drop(node.memcached());
    assert!(told(&mut some).starts_with("conn_new "));
    let gone = told(&mut some);
    assert!(gone.starts_with("conn_close ") && gone.ends_with(" transport=tcp reason=normal"), "{gone}");
    // What a watcher says is not listened to.
    all.send("get k\r\n");
    drop(some);
    let mut session = node.memcached();
    session.exchange("get other\r\n", "END\r\n");
    assert_eq!(told(&mut all), "item_get key=other status=not_found clsid=0");
}

fn a_slow_watcher_skips_and_holds_nobody_up(on: On) {
    let node = on.node("--memcached-watcher-buffer 4kb");
    let mut watcher = node.memcached();
    watcher.exchange("watch\r\n", "OK\r\n");
    let mut session = node.memcached();
    let get = format!("get {}\r\n", "k".repeat(250));
    let mut skipped = 0;
    // The watcher reads nothing: what the sockets do not hold, and 4 KiB, is all that waits for it.
    for _ in 0..2000 {
        session.exchange(get.repeat(50), &"END\r\n".repeat(50));
        session.send("stats\r\n");
        loop {
            let line = session.line();
            if let Some(count) = line.strip_prefix("STAT log_watcher_skipped ") {
                skipped = count.parse().unwrap();
            }
            if line == "END" {
                break;
            }
        }
        if skipped > 0 {
            break;
        }
    }
    assert!(skipped > 0);
    assert!(told(&mut watcher).starts_with("item_get key=kkk"));
}

fn connections_wait_for_room_where_they_are_to(on: On) {
    let node = on.node("--maxclients 2 --memcached-maxconns-fast no");
    let (mut first, mut second) = (node.memcached(), node.memcached());
    first.exchange("get a\r\n", "END\r\n");
    second.exchange("get a\r\n", "END\r\n");
    let mut third = node.memcached();
    third.send("get a\r\n");
    second.exchange("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    drop(first);
    third.exchange("", "VALUE a 0 1\r\nx\r\nEND\r\n");
    second.send("stats\r\n");
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line: &String| line != "END") {
        lines.push(second.line());
    }
    assert!(lines.iter().any(|line| line == "STAT rejected_connections 0"), "{lines:?}");
    assert!(lines.iter().all(|line| line != "STAT listen_disabled_num 0"), "{lines:?}");
}
