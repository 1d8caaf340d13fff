//! Sessions that wait for a key: who is served, when, with what, and what ends a wait.

use crate::client::{Session, show};
use crate::node::{Node, On, wait_until};
use std::collections::HashMap;
use std::thread;

on_every_engine!(
    the_first_to_come_is_the_first_to_go,
    a_wait_takes_the_first_of_its_keys,
    every_command_that_makes_a_list_wakes,
    sorted_sets_wake_their_own,
    streams_wake_their_readers,
    groups_share_what_comes,
    a_group_that_goes_ends_its_waits,
    a_move_wakes_the_next,
    what_follows_a_wait_waits_too,
    a_wait_ends_without_anything,
    nobody_waits_within_a_transaction,
    a_transaction_wakes_at_its_end,
    what_is_over_when_it_would_wake_is_removed,
    a_session_that_goes_takes_nothing,
    bad_timeouts_are_refused,
    nothing_is_lost_and_nobody_overtakes,
    chains_across_partitions_keep_everything,
    a_pause_holds_back,
);

/// Sends a request whose reply comes later, and waits until the session waits.
fn block(node: &Node, session: &mut Session, line: &str) {
    let before = blocked(node);
    session.send(format!("{line}\r\n"));
    wait_until("the session waits", || blocked(node) > before);
}

fn blocked(node: &Node) -> usize {
    figure(node, "blocked_clients")
}

fn figure(node: &Node, name: &str) -> usize {
    let info = node.local().ask("INFO clients");
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("{name}:")).map(str::to_owned));
    line.unwrap().parse().unwrap()
}

fn the_first_to_come_is_the_first_to_go(on: On) {
    let node = on.node("");
    let mut waiting: Vec<Session> = (0..5).map(|_| node.connect()).collect();
    for (at, session) in waiting.iter_mut().enumerate() {
        block(&node, session, ["BLPOP k 0", "BRPOP k 0", "BLMPOP 0 1 k LEFT"][at % 3]);
    }
    let mut giver = node.connect();
    giver.says("RPUSH k a b", ":2");
    giver.says("EXISTS k", ":0");
    assert_eq!(show(&waiting[0].reply()), "[$k, $a]");
    assert_eq!(show(&waiting[1].reply()), "[$k, $b]");
    assert_eq!((blocked(&node), figure(&node, "total_blocking_keys")), (3, 1));
    giver.says("LPUSH k 1 2 3 4", ":4");
    assert_eq!(show(&waiting[2].reply()), "[$k, [$4]]");
    assert_eq!(show(&waiting[3].reply()), "[$k, $3]");
    assert_eq!(show(&waiting[4].reply()), "[$k, $1]");
    giver.says("LRANGE k 0 -1", "[$2]");
    assert_eq!((blocked(&node), figure(&node, "total_blocking_keys")), (0, 0));
}

fn a_wait_takes_the_first_of_its_keys(on: On) {
    let node = on.node("");
    let (mut waiter, mut giver) = (node.connect(), node.connect());
    block(&node, &mut waiter, "BLPOP a b c b 0");
    giver.says("SADD a not-a-list", ":1");
    giver.talk(&[("MULTI", "OK"), ("DEL a", "QUEUED"), ("RPUSH c 1", "QUEUED"), ("RPUSH b 2", "QUEUED")]);
    giver.says("EXEC", "[:1, :1, :1]");
    assert_eq!(show(&waiter.reply()), "[$b, $2]");
    giver.talk(&[("EXISTS b", ":0"), ("EXISTS c", ":1")]);
    waiter.says("BLPOP a b c 0", "[$c, $1]");
    giver.says("SET b text", "OK");
    waiter.says("BLPOP a b c 0", "-WRONGTYPE Operation against a key holding the wrong kind of value");
}

fn every_command_that_makes_a_list_wakes(on: On) {
    let node = on.node("");
    let (mut waiter, mut giver) = (node.connect(), node.connect());
    for (prepare, wake) in [
        ("PING", "LPUSH k v"),
        ("PING", "RPUSH k v"),
        ("RPUSH other v", "LMOVE other k LEFT LEFT"),
        ("RPUSH other v", "RPOPLPUSH other k"),
        ("RPUSH other v", "RENAME other k"),
        ("RPUSH other v", "RENAMENX other k"),
        ("RPUSH other v", "COPY other k"),
    ] {
        giver.talk(&[("DEL other", ":0")]);
        giver.ask(prepare);
        block(&node, &mut waiter, "BLPOP k 0");
        assert!(!giver.ask(wake).starts_with('-'), "{wake}");
        assert_eq!(show(&waiter.reply()), "[$k, $v]", "{wake}");
        giver.ask("DEL other");
    }
    giver.talk(&[("SELECT 1", "OK"), ("RPUSH k v", ":1")]);
    block(&node, &mut waiter, "BLPOP k 0");
    giver.says("MOVE k 0", ":1");
    assert_eq!(show(&waiter.reply()), "[$k, $v]");
    giver.says("RPUSH k w", ":1");
    block(&node, &mut waiter, "BLPOP k 0");
    giver.says("SWAPDB 0 1", "OK");
    assert_eq!(show(&waiter.reply()), "[$k, $w]");
}

fn sorted_sets_wake_their_own(on: On) {
    let node = on.node("");
    let mut waiting: Vec<Session> = (0..4).map(|_| node.connect()).collect();
    let lines = ["BLPOP k 0", "BZPOPMIN k 0", "BZPOPMAX k 0", "BZMPOP 0 2 none k MAX COUNT 5"];
    for (session, line) in waiting.iter_mut().zip(lines) {
        block(&node, session, line);
    }
    let mut giver = node.connect();
    giver.says("ZADD k 1 a 2 b 3.5 c 4 d", ":4");
    assert_eq!(show(&waiting[1].reply()), "[$k, $a, $1]");
    assert_eq!(show(&waiting[2].reply()), "[$k, $d, $4]");
    assert_eq!(show(&waiting[3].reply()), "[$k, [[$c, $3.5], [$b, $2]]]");
    giver.says("RPUSH k v", ":1");
    assert_eq!(show(&waiting[0].reply()), "[$k, $v]");
    waiting[1].ask("HELLO 3");
    block(&node, &mut waiting[1], "BZPOPMIN k 0");
    giver.says("ZADD other 7 x", ":1");
    giver.says("ZUNIONSTORE k 1 other", ":1");
    assert_eq!(show(&waiting[1].reply()), "[$k, $x, Double(7.0)]");
}

fn streams_wake_their_readers(on: On) {
    let node = on.node("");
    let mut waiting: Vec<Session> = (0..4).map(|_| node.connect()).collect();
    let mut giver = node.connect();
    giver.talk(&[("XADD s 1-1 f 1", "$1-1"), ("XADD t 5-1 f 1", "$5-1"), ("XDEL t 5-1", ":1")]);
    waiting[3].ask("HELLO 3");
    let lines = [
        "XREAD BLOCK 0 STREAMS s $",
        "XREAD COUNT 1 BLOCK 0 STREAMS none t s 0 + 1-1",
        "XREAD BLOCK 0 STREAMS s 2-0",
        "XREAD BLOCK 0 STREAMS none s $ $",
    ];
    for (session, line) in waiting.iter_mut().zip(lines) {
        block(&node, session, line);
    }
    assert_eq!((blocked(&node), figure(&node, "total_blocking_keys")), (4, 3));
    // All that wait read the same entry, and an entry that one of them does not want leaves it waiting.
    giver.says("XADD s 1-2 f 2", "$1-2");
    for at in [0, 1] {
        assert_eq!(show(&waiting[at].reply()), "[[$s, [[$1-2, [$f, $2]]]]]");
    }
    assert_eq!(show(&waiting[3].reply()), "{$s: [[$1-2, [$f, $2]]]}");
    giver.talk(&[("MULTI", "OK"), ("XADD s 3-1 f 3", "QUEUED"), ("XADD s 4-1 f 4", "QUEUED")]);
    giver.says("EXEC", "[$3-1, $4-1]");
    assert_eq!(show(&waiting[2].reply()), "[[$s, [[$3-1, [$f, $3]], [$4-1, [$f, $4]]]]]");
    block(&node, &mut waiting[0], "XREAD BLOCK 0 STREAMS r $");
    giver.talk(&[("XADD other 1-1 f v", "$1-1"), ("RENAME other r", "OK")]);
    assert_eq!(show(&waiting[0].reply()), "[[$r, [[$1-1, [$f, $v]]]]]");
    waiting[0].says("XREAD BLOCK 1 STREAMS r $", "nil");
}

fn groups_share_what_comes(on: On) {
    let node = on.node("");
    let mut waiting: Vec<Session> = (0..3).map(|_| node.connect()).collect();
    let mut giver = node.connect();
    giver.says("XGROUP CREATE s g $ MKSTREAM", "OK");
    for (at, session) in waiting.iter_mut().enumerate() {
        block(&node, session, &format!("XREADGROUP GROUP g c{at} COUNT 1 BLOCK 0 STREAMS s >"));
    }
    giver.talk(&[("XADD s 1-1 f 1", "$1-1"), ("XADD s 1-2 f 2", "$1-2")]);
    assert_eq!(show(&waiting[0].reply()), "[[$s, [[$1-1, [$f, $1]]]]]");
    assert_eq!(show(&waiting[1].reply()), "[[$s, [[$1-2, [$f, $2]]]]]");
    assert_eq!(blocked(&node), 1);
    giver.says("XPENDING s g", "[:2, $1-1, $1-2, [[$c0, $1], [$c1, $1]]]");
    giver.says("XADD s 1-3 f 3", "$1-3");
    assert_eq!(show(&waiting[2].reply()), "[[$s, [[$1-3, [$f, $3]]]]]");
    // What a consumer has pending is there at once.
    waiting[2].says("XREADGROUP GROUP g c2 BLOCK 0 STREAMS s 0", "[[$s, [[$1-3, [$f, $3]]]]]");
}

fn a_group_that_goes_ends_its_waits(on: On) {
    let node = on.node("");
    let (mut waiter, mut giver) = (node.connect(), node.connect());
    let gone = "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option";
    for (line, reply) in [
        ("XGROUP DESTROY s g", gone),
        ("DEL s", gone),
        ("RENAME s other", gone),
        ("PEXPIREAT s 1", gone),
        ("PEXPIRE s 20", gone),
        ("FLUSHALL", gone),
        ("SET s text", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
    ] {
        giver.talk(&[("FLUSHALL", "OK"), ("XGROUP CREATE s g $ MKSTREAM", "OK")]);
        block(&node, &mut waiter, "XREADGROUP GROUP g c BLOCK 0 STREAMS s >");
        assert!(!giver.ask(line).starts_with('-'), "{line}");
        assert_eq!(show(&waiter.reply()), reply, "{line}");
    }
}

fn a_move_wakes_the_next(on: On) {
    let node = on.node("");
    let mut waiting: Vec<Session> = (0..4).map(|_| node.connect()).collect();
    let lines = ["BLMOVE a b LEFT RIGHT 0", "BRPOPLPUSH b c 0", "BLMOVE c d RIGHT LEFT 0", "BLPOP d 0"];
    for (session, line) in waiting.iter_mut().zip(lines).rev() {
        block(&node, session, line);
    }
    node.connect().says("RPUSH a v", ":1");
    for session in &mut waiting[..3] {
        assert_eq!(show(&session.reply()), "$v");
    }
    assert_eq!(show(&waiting[3].reply()), "[$d, $v]");
    // To itself.
    block(&node, &mut waiting[0], "BLMOVE a a LEFT RIGHT 0");
    node.connect().says("RPUSH a 1 2", ":2");
    assert_eq!(show(&waiting[0].reply()), "$1");
    node.connect().says("LRANGE a 0 -1", "[$2, $1]");
    // The target is looked at only when there is something to move.
    node.connect().says("SET text t", "OK");
    block(&node, &mut waiting[1], "BLMOVE none text LEFT LEFT 0");
    node.connect().says("RPUSH none v", ":1");
    assert!(show(&waiting[1].reply()).starts_with("-WRONGTYPE"));
    node.connect().says("LRANGE none 0 -1", "[$v]");
}

fn what_follows_a_wait_waits_too(on: On) {
    let node = on.node("");
    let (mut waiter, mut giver) = (node.connect(), node.connect());
    block(&node, &mut waiter, "SET x 1\r\nBLPOP k 0\r\nINCR x\r\nBLPOP k 0\r\nINCR x\r\nset x \"in line\"");
    waiter.send("GET x\r\nPING\r\n");
    assert_eq!(show(&waiter.reply()), "OK");
    giver.talk(&[("GET x", "$1"), ("RPUSH k a", ":1")]);
    assert_eq!((show(&waiter.reply()), show(&waiter.reply())), ("[$k, $a]".into(), ":2".into()));
    wait_until("it waits again", || blocked(&node) == 1);
    giver.talk(&[("GET x", "$2"), ("RPUSH k b", ":1")]);
    let replies: Vec<String> = (0..5).map(|_| show(&waiter.reply())).collect();
    assert_eq!(replies, ["[$k, $b]", ":3", "OK", "$in line", "PONG"]);
    // Without replies, only what was asked for with replies is answered.
    waiter.send("CLIENT REPLY SKIP\r\n");
    block(&node, &mut waiter, "BLPOP k 0");
    giver.says("RPUSH k c", ":1");
    waiter.says("PING", "PONG");
}

fn a_wait_ends_without_anything(on: On) {
    let node = on.node("");
    let (mut waiter, mut other) = (node.connect(), node.connect());
    let id = show(&waiter.call(&["CLIENT", "ID"]))[1..].to_owned();
    for line in [
        "BLPOP k 0.01",
        "BLMOVE k l LEFT LEFT 0.01",
        "BRPOPLPUSH k l 0.001",
        "BLMPOP 0.01 1 k LEFT",
        "BZPOPMAX k 0.01",
        "BZMPOP 0.01 1 k MIN",
    ] {
        waiter.ask("HELLO 2");
        waiter.exchange(format!("{line}\r\n"), "*-1\r\n");
        waiter.ask("HELLO 3");
        waiter.exchange(format!("{line}\r\n"), "_\r\n");
    }
    other.says(&format!("CLIENT UNBLOCK {id}"), ":0");
    block(&node, &mut waiter, "BLPOP k 0");
    assert_eq!(figure(&node, "clients_in_timeout_table"), 0);
    other.says(&format!("CLIENT UNBLOCK {id}"), ":1");
    assert_eq!(show(&waiter.reply()), "nil");
    block(&node, &mut waiter, "BLPOP k 1000");
    assert_eq!(figure(&node, "clients_in_timeout_table"), 1);
    assert!(other.ask(&format!("CLIENT LIST ID {id}")).contains("flags=b "));
    other.says(&format!("CLIENT UNBLOCK {id} ERROR"), ":1");
    assert_eq!(show(&waiter.reply()), "-UNBLOCKED client unblocked via CLIENT UNBLOCK");
    block(&node, &mut waiter, "BLPOP k 0");
    other.talk(&[("MULTI", "OK"), (&format!("CLIENT UNBLOCK {id} timeout"), "QUEUED"), ("EXEC", "[:1]")]);
    assert_eq!(show(&waiter.reply()), "nil");
    other.talk(&[
        ("CLIENT UNBLOCK x", "-ERR value is not an integer or out of range"),
        ("CLIENT UNBLOCK 1 now", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
        ("CLIENT UNBLOCK 123456", ":0"),
    ]);
}

fn nobody_waits_within_a_transaction(on: On) {
    let node = on.node("");
    let mut session = node.connect();
    session.exchange(
        "MULTI\r\nBLMOVE k l LEFT LEFT 0\r\nBRPOPLPUSH k l 0\r\nBLPOP k 0\r\nEXEC\r\n",
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n$-1\r\n$-1\r\n*-1\r\n",
    );
    session.talk(&[
        ("MULTI", "OK"),
        ("BLPOP k 0", "QUEUED"),
        ("BLMOVE k l LEFT LEFT 0", "QUEUED"),
        ("RPUSH k v", "QUEUED"),
        ("BRPOP k 0", "QUEUED"),
        ("BZMPOP 0 1 k MIN", "QUEUED"),
        ("EXEC", "[nil, nil, :1, [$k, $v], nil]"),
    ]);
}

fn a_transaction_wakes_at_its_end(on: On) {
    let node = on.node("");
    let (mut waiter, mut giver) = (node.connect(), node.connect());
    block(&node, &mut waiter, "BLPOP k 0");
    giver.talk(&[
        ("MULTI", "OK"),
        ("RPUSH k a", "QUEUED"),
        ("DEL k", "QUEUED"),
        ("EXEC", "[:1, :1]"),
        ("MULTI", "OK"),
        ("RPUSH k a", "QUEUED"),
        ("LPUSH k b", "QUEUED"),
        ("LLEN k", "QUEUED"),
        ("EXEC", "[:1, :2, :2]"),
        ("LLEN k", ":1"),
    ]);
    assert_eq!(show(&waiter.reply()), "[$k, $b]");
}

fn what_is_over_when_it_would_wake_is_removed(on: On) {
    let node = on.node("--enable-debug-command yes");
    let (mut waiter, mut local) = (node.connect(), node.local());
    local.says("DEBUG SET-ACTIVE-EXPIRE 0", "OK");
    block(&node, &mut waiter, "BLPOP k 0");
    local.talk(&[
        ("MULTI", "OK"),
        ("RPUSH k a", "QUEUED"),
        ("PEXPIRE k 20", "QUEUED"),
        ("DEBUG SLEEP 0.05", "QUEUED"),
        ("EXEC", "[:1, :1, OK]"),
        ("DBSIZE", ":0"),
        ("SELECT 1", "OK"),
        ("RPUSH k b", ":1"),
        ("PEXPIRE k 20", ":1"),
        ("DEBUG SLEEP 0.05", "OK"),
        ("DBSIZE", ":1"),
        ("SWAPDB 0 1", "OK"),
        ("SELECT 0", "OK"),
        ("DBSIZE", ":0"),
    ]);
    assert_eq!((blocked(&node), figure(&node, "total_blocking_keys")), (1, 1));
    local.says("RPUSH k c", ":1");
    assert_eq!(show(&waiter.reply()), "[$k, $c]");
}

fn a_session_that_goes_takes_nothing(on: On) {
    let node = on.node("");
    let (mut first, mut second, mut giver) = (node.connect(), node.connect(), node.connect());
    let id = show(&first.call(&["CLIENT", "ID"]))[1..].to_owned();
    block(&node, &mut first, "BLPOP k 0");
    block(&node, &mut second, "BLPOP k 0");
    giver.says(&format!("CLIENT KILL ID {id}"), ":1");
    wait_until("it is gone", || blocked(&node) == 1);
    giver.says("RPUSH k v", ":1");
    assert_eq!(show(&second.reply()), "[$k, $v]");
    block(&node, &mut second, "BLPOP k 0");
    drop(second);
    wait_until("it is gone", || blocked(&node) == 0);
    giver.talk(&[("RPUSH k v", ":1"), ("LLEN k", ":1")]);
}

fn bad_timeouts_are_refused(on: On) {
    let node = on.node("");
    let mut session = node.connect();
    session.talk(&[
        ("BLPOP k -1", "-ERR timeout is negative"),
        ("BLPOP k -0.001", "-ERR timeout is negative"),
        ("BLPOP k x", "-ERR timeout is not a float or out of range"),
        ("BLPOP k nan", "-ERR timeout is not a float or out of range"),
        ("BLPOP k 9223372036854775807", "-ERR timeout is out of range"),
        ("BLMOVE k l UP LEFT x", "-ERR syntax error"),
        ("BLMPOP x 1 k LEFT", "-ERR timeout is not a float or out of range"),
        ("BLMPOP 0 0 k LEFT", "-ERR numkeys should be greater than 0"),
        ("BLMPOP 0 1 k LEFT COUNT 0", "-ERR count should be greater than 0"),
        ("BLPOP k", "-ERR wrong number of arguments for 'blpop' command"),
    ]);
}

const GIVERS: usize = 3;
const TAKERS: usize = 6;
const EACH: usize = 400;

/// Every element is taken once, and each taker sees the elements of a giver in the order in which they were given.
fn nothing_is_lost_and_nobody_overtakes(on: On) {
    let node = on.node("");
    let taken: Vec<Vec<String>> = thread::scope(|scope| {
        let takers: Vec<_> = (0..TAKERS)
            .map(|taker| {
                let mut session = node.connect();
                // Several keys in several orders, so that waits span partitions.
                let line = if taker % 2 == 0 { "BLPOP a b c 0" } else { "BLPOP c a b 0" };
                scope.spawn(move || {
                    let mut all = Vec::new();
                    loop {
                        let reply = session.ask(line);
                        if reply.contains("$end") {
                            return all;
                        }
                        all.push(reply);
                    }
                })
            })
            .collect();
        let givers: Vec<_> = ["a", "b", "c"]
            .into_iter()
            .map(|key| {
                let mut session = node.connect();
                scope.spawn(move || {
                    for n in 0..EACH {
                        session.ask(&format!("RPUSH {key} {key}-{n}"));
                    }
                })
            })
            .collect();
        givers.into_iter().for_each(|giver| giver.join().unwrap());
        let mut session = node.connect();
        (0..TAKERS).for_each(|_| drop(session.ask("RPUSH b end")));
        takers.into_iter().map(|taker| taker.join().unwrap()).collect()
    });
    let mut count = 0;
    for all in &taken {
        let mut last: HashMap<String, usize> = HashMap::new();
        for reply in all {
            let element = reply.rsplit('$').next().unwrap().trim_end_matches(']');
            let (key, n) = element.split_once('-').unwrap();
            let n: usize = n.parse().unwrap();
            assert!(last.insert(key.into(), n).is_none_or(|before| before < n), "{all:?}");
            count += 1;
        }
    }
    assert_eq!(count, GIVERS * EACH);
    assert_eq!(blocked(&node), 0);
}

/// Elements go through a ring of moves between partitions; none is lost, none is doubled.
fn chains_across_partitions_keep_everything(on: On) {
    let node = on.node("");
    thread::scope(|scope| {
        for at in 0..4 {
            let mut session = node.connect();
            scope.spawn(move || {
                let line = format!("BLMOVE ring-{at} ring-{} LEFT RIGHT 0", at + 1);
                (0..EACH).for_each(|_| drop(session.ask(&line)));
            });
        }
        let mut session = node.connect();
        (0..EACH).for_each(|n| drop(session.ask(&format!("RPUSH ring-0 {n}"))));
    });
    let expected: Vec<String> = (0..EACH).map(|n| format!("${n}")).collect();
    assert_eq!(node.connect().ask("LRANGE ring-4 0 -1"), format!("[{}]", expected.join(", ")));
    assert_eq!(blocked(&node), 0);
}

fn a_pause_holds_back(on: On) {
    let node = on.node("");
    let (mut writer, mut reader, mut operator) = (node.connect(), node.connect(), node.connect());
    operator.talk(&[
        ("SET k 1", "OK"),
        ("CLIENT PAUSE x", "-ERR timeout is not an integer or out of range"),
        ("CLIENT PAUSE -1", "-ERR timeout is negative"),
        ("CLIENT PAUSE 100000 now", "-ERR CLIENT PAUSE mode must be WRITE or ALL"),
        ("CLIENT PAUSE 100000 WRITE", "OK"),
    ]);
    writer.send("GET k\r\nINCR k\r\nGET k\r\nSET k \"in line\"\r\n");
    assert_eq!(show(&writer.reply()), "$1");
    reader.talk(&[("GET k", "$1"), ("MULTI", "OK"), ("GET k", "QUEUED"), ("EXEC", "[$1]")]);
    reader.talk(&[("MULTI", "OK"), ("INCR k", "QUEUED")]);
    reader.send("EXEC\r\n");
    assert!(node.local().ask("INFO clients").contains("paused_actions:write"));
    operator.says("GET k", "$1");
    operator.says("CLIENT UNPAUSE", "OK");
    let replies: Vec<String> = (0..3).map(|_| show(&writer.reply())).collect();
    let value = show(&reader.reply());
    assert!(replies[2] == "OK", "{replies:?}");
    assert!(value == "[:2]" || value == "[:3]" || value.contains("not an integer"), "{value}");
    // Everything, and for a time.
    operator.says("CLIENT PAUSE 50", "OK");
    reader.says("GET k", &operator.ask("GET k"));
    // Who waits and is let go by a change during a pause is served when it is over.
    block(&node, &mut reader, "BLPOP list 0");
    operator.says("CLIENT PAUSE 100000 WRITE", "OK");
    writer.send("RPUSH list v\r\n");
    operator.says("CLIENT UNPAUSE", "OK");
    assert_eq!(show(&reader.reply()), "[$list, $v]");
    assert_eq!(show(&writer.reply()), ":1");
}
