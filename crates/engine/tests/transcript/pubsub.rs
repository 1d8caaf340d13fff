//! Publish and subscribe, notifications of keys, and client-side caching, between sessions of several workers.

use crate::client::{Session, show};
use crate::node::{On, wait_until};
use larder_protocol::resp::value::Value;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};

/// The next message.
#[track_caller]
fn heard(session: &mut Session) -> String {
    show(&session.reply())
}

#[track_caller]
fn hears(session: &mut Session, expected: &[&str]) {
    for message in expected {
        assert_eq!(heard(session), *message);
    }
}

fn messages_of_channels_patterns_and_shards(on: On) {
    let node = on.node("");
    let (mut one, mut two, mut publisher) = (node.connect(), node.connect(), node.connect());
    one.says("SUBSCRIBE a b", "[$subscribe, $a, :1]");
    hears(&mut one, &["[$subscribe, $b, :2]"]);
    two.talk(&[("PSUBSCRIBE a*", "[$psubscribe, $a*, :1]"), ("SSUBSCRIBE a", "[$ssubscribe, $a, :1]")]);
    publisher.talk(&[
        ("PUBLISH a 1", ":2"),
        ("PUBLISH b 2", ":1"),
        ("PUBLISH abc 3", ":1"),
        ("SPUBLISH a 4", ":1"),
        ("PUBLISH none 5", ":0"),
        ("PUBSUB NUMSUB a b none", "[$a, :1, $b, :1, $none, :0]"),
        ("PUBSUB SHARDNUMSUB a", "[$a, :1]"),
        ("PUBSUB NUMPAT", ":1"),
        ("PUBSUB SHARDCHANNELS", "[$a]"),
        ("PUBSUB CHANNELS b*", "[$b]"),
    ]);
    hears(&mut one, &["[$message, $a, $1]", "[$message, $b, $2]"]);
    hears(&mut two, &["[$pmessage, $a*, $a, $1]", "[$pmessage, $a*, $abc, $3]", "[$smessage, $a, $4]"]);
    let list = publisher.ask("CLIENT LIST TYPE pubsub");
    assert!(
        list.contains("flags=P") && list.contains("sub=0 psub=1 ssub=1") && list.contains("sub=2 psub=0")
    );
    assert_eq!(list.lines().count(), 2, "{list}");
    assert_eq!((node.info("pubsub_channels"), node.info("pubsub_patterns")), (2, 1));
    assert_eq!((node.info("pubsubshard_channels"), node.info("pubsub_clients")), (1, 2));
    one.says("UNSUBSCRIBE b a", "[$unsubscribe, $b, :1]");
    hears(&mut one, &["[$unsubscribe, $a, :0]"]);
    one.talk(&[("PUBLISH a x", ":1"), ("PING", "PONG")]);
    drop(two);
    wait_until("the session is gone", || publisher.ask("PUBLISH a x") == ":0");
}

fn sessions_of_resp2_may_do_little_while_they_listen(on: On) {
    let node = on.node("");
    let mut one = node.connect();
    let refusal = |name: &str| {
        format!(
            "-ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
        )
    };
    one.talk(&[
        ("PSUBSCRIBE p", "[$psubscribe, $p, :1]"),
        ("GET k", &refusal("get")),
        ("CLIENT ID", &refusal("client|id")),
        ("PING", "[$pong, $]"),
        ("PING hi", "[$pong, $hi]"),
        ("PUNSUBSCRIBE", "[$punsubscribe, $p, :0]"),
        ("PUNSUBSCRIBE", "[$punsubscribe, nil, :0]"),
        ("GET k", "nil"),
        ("SUBSCRIBE p", "[$subscribe, $p, :1]"),
        ("EXEC", &format!("-EXECABORT Transaction discarded because of: {}", &refusal("exec")[5..])),
        ("RESET", "RESET"),
        ("GET k", "nil"),
        ("PUBLISH p x", ":0"),
        ("MULTI", "OK"),
        ("SUBSCRIBE a", "QUEUED"),
        ("PUBLISH a 1", "QUEUED"),
        ("SSUBSCRIBE s", "QUEUED"),
        ("EXEC", "[[$subscribe, $a, :1], :1, -ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client]"),
    ]);
    hears(&mut one, &["[$message, $a, $1]"]);
    one.send("*1\r\n$4\r\nQUIT\r\n");
    assert_eq!(one.rest_text(), "+OK\r\n");
}

fn confirmations_come_whatever_client_reply_says(on: On) {
    let node = on.node("");
    let mut one = node.connect();
    one.exchange(
        "CLIENT REPLY OFF\r\nPING\r\nSUBSCRIBE a\r\nUNSUBSCRIBE a\r\nSUBSCRIBE\r\nCLIENT REPLY ON\r\n",
        "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n+OK\r\n",
    );
}

fn own_messages_come_behind_the_reply(on: On) {
    let node = on.node("");
    let mut one = node.connect();
    one.ask("HELLO 3");
    one.send("*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n");
    one.exactly(b">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n".len());
    let message = ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n";
    one.exchange(
        "PUBLISH a x\r\nPING\r\nMULTI\r\nPUBLISH a x\r\nPING\r\nEXEC\r\nPING\r\n",
        &format!(
            ":1\r\n{message}+PONG\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n+PONG\r\n{message}+PONG\r\n"
        ),
    );
}

fn key_events_are_published(on: On) {
    let node = on.node("--notify-keyspace-events KEA --enable-debug-command yes");
    let (mut listener, mut one) = (node.connect(), node.connect());
    listener.says("PSUBSCRIBE __key*", "[$psubscribe, $__key*, :1]");
    one.talk(&[
        ("CONFIG GET notify-keyspace-events", "[$notify-keyspace-events, $AKE]"),
        ("SET k v", "OK"),
        ("RPUSH l a", ":1"),
        ("LPOP l", "$a"),
        ("GET none", "nil"),
        ("SELECT 3", "OK"),
        ("MULTI", "OK"),
        ("SADD s a", "QUEUED"),
        ("SPOP s", "QUEUED"),
        ("EXEC", "[:1, $a]"),
        ("SET k v PX 1", "OK"),
    ]);
    for (db, event, key) in [
        (0, "set", "k"),
        (0, "rpush", "l"),
        (0, "lpop", "l"),
        (0, "del", "l"),
        (3, "sadd", "s"),
        (3, "spop", "s"),
        (3, "del", "s"),
        (3, "set", "k"),
        (3, "expire", "k"),
        (3, "expired", "k"),
    ] {
        let (keyspace, keyevent) = (format!("__keyspace@{db}__:{key}"), format!("__keyevent@{db}__:{event}"));
        assert_eq!(heard(&mut listener), format!("[$pmessage, $__key*, ${keyspace}, ${event}]"));
        assert_eq!(heard(&mut listener), format!("[$pmessage, $__key*, ${keyevent}, ${key}]"));
    }
    // Who asks for a dead key hears of its end before the reply says so.
    one.talk(&[("SELECT 0", "OK"), ("CONFIG SET notify-keyspace-events Exm", "OK")]);
    node.local().says("DEBUG SET-ACTIVE-EXPIRE 0", "OK");
    one.says("SET k v PX 1", "OK");
    wait_until("the key is dead", || one.ask("PTTL k") == ":-2");
    assert_eq!(heard(&mut listener), "[$pmessage, $__key*, $__keyevent@0__:expired, $k]");
    assert_eq!(heard(&mut listener), "[$pmessage, $__key*, $__keyevent@0__:keymiss, $k]");
    one.says("CONFIG SET notify-keyspace-events q", "-ERR CONFIG SET failed (possibly related to argument 'notify-keyspace-events') - Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
}

fn evicted_keys_are_told(on: On) {
    let node = on.node("--notify-keyspace-events Ee --maxmemory-policy allkeys-random");
    let (mut listener, mut one) = (node.connect(), node.connect());
    listener.says("SUBSCRIBE __keyevent@0__:evicted", "[$subscribe, $__keyevent@0__:evicted, :1]");
    one.ask(&format!("SET big {}", "x".repeat(100_000)));
    one.says("CONFIG SET maxmemory 1", "OK");
    wait_until("it is evicted", || one.ask("GET big") == "nil");
    assert_eq!(heard(&mut listener), "[$message, $__keyevent@0__:evicted, $big]");
}

fn sessions_that_lose_a_channel_are_closed(on: On) {
    let node = on.node("");
    let (mut admin, mut keeps, mut loses) = (node.connect(), node.connect(), node.connect());
    admin.says("ACL SETUSER u on nopass ~* +@all resetchannels &a* &b", "OK");
    keeps.talk(&[("AUTH u x", "OK"), ("SUBSCRIBE a1", "[$subscribe, $a1, :1]")]);
    loses.talk(&[
        ("AUTH u x", "OK"),
        ("SUBSCRIBE c", "-NOPERM No permissions to access a channel"),
        ("PUBLISH c x", "-NOPERM No permissions to access a channel"),
        ("PSUBSCRIBE a1*", "-NOPERM No permissions to access a channel"),
        ("PSUBSCRIBE a*", "[$psubscribe, $a*, :1]"),
        ("SUBSCRIBE b", "[$subscribe, $b, :2]"),
    ]);
    admin.says("ACL SETUSER u resetchannels &a*", "OK");
    assert_eq!(loses.rest_text(), "");
    admin.says("PUBLISH a1 x", ":1");
    hears(&mut keeps, &["[$message, $a1, $x]"]);
}

fn listeners_that_do_not_read_are_closed(on: On) {
    let node = on.node("");
    let (mut silent, mut other, mut publisher) = (node.connect(), node.connect(), node.connect());
    publisher.says(
        "CONFIG SET client-output-buffer-limit",
        "-ERR wrong number of arguments for 'config|set' command",
    );
    publisher.call(&["CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 0 0"]);
    publisher.says(
        "CONFIG GET client-output-buffer-limit",
        "[$client-output-buffer-limit, $normal 0 0 0 slave 268435456 67108864 60 pubsub 1048576 0 0]",
    );
    silent.says("SUBSCRIBE a", "[$subscribe, $a, :1]");
    let message = "x".repeat(100_000);
    wait_until("the listener is closed", || publisher.ask(&format!("PUBLISH a {message}")) == ":0");
    assert!(node.info("client_output_buffer_limit_disconnections") >= 1);
    // A soft limit closes who stays above it.
    publisher.call(&["CONFIG", "SET", "client-output-buffer-limit", "pubsub 0 100kb 1"]);
    other.says("SUBSCRIBE b", "[$subscribe, $b, :1]");
    for _ in 0..200 {
        publisher.ask(&format!("PUBLISH b {message}"));
    }
    wait_until("the listener is closed", || publisher.ask("PUBLISH b x") == ":0");
}

fn listeners_may_be_silent(on: On) {
    let node = on.node("--timeout 1");
    let (mut listener, mut silent) = (node.connect(), node.connect());
    listener.says("SUBSCRIBE a", "[$subscribe, $a, :1]");
    silent.says("PING", "PONG");
    assert_eq!(silent.rest_text(), "");
    node.connect().says("PUBLISH a x", ":1");
    hears(&mut listener, &["[$message, $a, $x]"]);
}

fn caches_are_told_what_changed(on: On) {
    let node = on.node("");
    let (mut one, mut other) = (node.connect(), node.connect());
    one.ask("HELLO 3");
    one.talk(&[("CLIENT TRACKING on", "OK"), ("GET k", "nil"), ("MGET a b", "[nil, nil]")]);
    assert_eq!((node.info("tracking_clients"), node.info("tracking_total_keys")), (1, 3));
    other.talk(&[("SET k 1", "OK"), ("SET k 2", "OK"), ("SELECT 2", "OK"), ("SADD b x", ":1")]);
    let invalid = |key: &str| format!(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\n{key}\r\n");
    one.exchange("", &(invalid("k") + &invalid("b")));
    // Its own change is told behind the reply; expiry and FLUSHALL are told too.
    one.exchange("GET k\r\nSET k 3\r\n", &format!("$1\r\n2\r\n+OK\r\n{}", invalid("k")));
    one.exchange("PEXPIRE k 30\r\nGET k\r\n", ":1\r\n$1\r\n3\r\n");
    one.exchange("", &invalid("k"));
    other.says("FLUSHALL", "OK");
    one.exchange("", ">2\r\n$10\r\ninvalidate\r\n_\r\n");
    one.exchange("CLIENT TRACKING off\r\nGET k\r\nSET k 1\r\nPING\r\n", "+OK\r\n_\r\n+OK\r\n+PONG\r\n");
    assert_eq!(node.info("tracking_clients"), 0);
}

/// Writers on several sessions, and one that caches what it reads: when they have ended, whatever it still has is what
/// the node has.
fn a_cache_agrees_with_the_node_in_the_end(on: On) {
    const KEYS: u64 = 20;
    let node = on.node("");
    let running = Arc::new(AtomicU64::new(3));
    let writers: Vec<_> = (0..3u64)
        .map(|number| {
            let (mut session, running) = (node.connect(), running.clone());
            std::thread::spawn(move || {
                for step in 0..1500 {
                    let key = (step * 7 + number * 3 + step * step) % KEYS;
                    assert!(session.ask(&format!("INCR k{key}")).starts_with(':'));
                }
                running.fetch_sub(1, Ordering::Release);
            })
        })
        .collect();
    let mut session = node.connect();
    session.ask("HELLO 3");
    session.says("CLIENT TRACKING on", "OK");
    let mut cache: BTreeMap<String, String> = BTreeMap::new();
    let (mut invalidations, mut step) = (0, 0);
    let mut ask = |cache: &mut BTreeMap<String, String>, line: &str| {
        session.send(format!("{line}\r\n"));
        loop {
            match session.reply() {
                Value::Push(parts) => {
                    let Value::Array(keys) = &parts[1] else { panic!("{parts:?}") };
                    keys.iter().for_each(|key| drop(cache.remove(&show(key)[1..])));
                    invalidations += 1;
                }
                reply => return show(&reply),
            }
        }
    };
    while running.load(Ordering::Acquire) > 0 {
        step += 1;
        let key = format!("k{}", step % KEYS);
        if !cache.contains_key(&key) {
            let value = ask(&mut cache, &format!("GET {key}"));
            cache.insert(key, value);
        }
    }
    writers.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(ask(&mut cache, "PING"), "PONG");
    let mut other = node.connect();
    for (key, value) in &cache {
        assert_eq!(other.ask(&format!("GET {key}")), *value, "{key}");
    }
    assert!(invalidations > 0);
}

fn broadcasts_and_redirected_caches(on: On) {
    let node = on.node("--tracking-table-max-keys 3");
    let (mut one, mut other, mut told) = (node.connect(), node.connect(), node.connect());
    one.ask("HELLO 3");
    one.says("CLIENT TRACKING on BCAST PREFIX a PREFIX b NOLOOP", "OK");
    other.says("MSET a2 1 a1 1 b1 1 c 1", "OK");
    one.exchange(
        "SET a3 1\r\n",
        ">2\r\n$10\r\ninvalidate\r\n*2\r\n$2\r\na1\r\n$2\r\na2\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$2\r\nb1\r\n+OK\r\n",
    );
    let id = told.ask("CLIENT ID").split_off(1);
    told.says("SUBSCRIBE __redis__:invalidate", "[$subscribe, $__redis__:invalidate, :1]");
    other.talk(&[
        (&format!("CLIENT TRACKING on REDIRECT {id}"), "OK"),
        ("CLIENT GETREDIR", &format!(":{id}")),
    ]);
    other.talk(&[("GET a1", "$1"), ("SET a1 2", "OK")]);
    hears(&mut told, &["[$message, $__redis__:invalidate, [$a1]]"]);
    // More keys than the table holds: some leave it.
    for key in ["k1", "k2", "k3", "k4", "k5"] {
        other.says(&format!("EXISTS {key}"), ":0");
    }
    for _ in 0..2 {
        assert!(heard(&mut told).starts_with("[$message, $__redis__:invalidate, [$k"));
    }
    assert_eq!(node.info("tracking_total_keys"), 3);
    drop(told);
    wait_until("the redirection is found broken", || {
        other.ask("GET a1");
        other.ask("SET a1 3");
        other.ask("CLIENT TRACKINGINFO").contains("broken_redirect")
    });
    assert!(other.ask("CLIENT LIST").contains("flags=tR"));
}

/// Publishers and listeners that come and go: between the confirmation of SUBSCRIBE and the one of UNSUBSCRIBE nothing
/// is lost, nothing comes twice, and all messages of a publisher come in order; behind it nothing comes.
fn nothing_is_lost_between_subscribe_and_unsubscribe(on: On) {
    const PUBLISHERS: usize = 3;
    let node = on.node("");
    let stop = Arc::new(AtomicBool::new(false));
    let published: Arc<Vec<AtomicU64>> = Arc::new((0..PUBLISHERS).map(|_| AtomicU64::new(0)).collect());
    let start = Arc::new(Barrier::new(PUBLISHERS + 1));
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|number| {
            let (stop, published, start) = (stop.clone(), published.clone(), start.clone());
            let mut session = node.connect();
            std::thread::spawn(move || {
                start.wait();
                let mut next = 0;
                while !stop.load(Ordering::Relaxed) {
                    next += 1;
                    session.ask(&format!("PUBLISH news {number}:{next}"));
                    published[number].store(next, Ordering::Release);
                }
            })
        })
        .collect();
    start.wait();
    let listeners: Vec<_> = (0..4)
        .map(|way| {
            let (mut session, published) = (node.connect(), published.clone());
            std::thread::spawn(move || {
                (0..25).for_each(|_| listen_for_a_while(&mut session, way, &published))
            })
        })
        .collect();
    listeners.into_iter().for_each(|thread| thread.join().unwrap());
    stop.store(true, Ordering::Relaxed);
    publishers.into_iter().for_each(|thread| thread.join().unwrap());
}

fn listen_for_a_while(session: &mut Session, way: usize, published: &[AtomicU64]) {
    let pattern = way % 2 == 1;
    let (begin, end) = match pattern {
        true => ("PSUBSCRIBE n*", "*1\r\n$12\r\nPUNSUBSCRIBE\r\n"),
        false => ("SUBSCRIBE news", "*1\r\n$11\r\nUNSUBSCRIBE\r\n"),
    };
    assert!(session.ask(begin).contains("subscribe"));
    // What was published before this came back is not for this session, what is published from now on is.
    let from: Vec<u64> = published.iter().map(|last| last.load(Ordering::Acquire)).collect();
    let mut last: Vec<Option<u64>> = vec![None; published.len()];
    let mut note = |message: &str| {
        let text = message.rsplit_once('$').unwrap().1.trim_end_matches(']').to_owned();
        let (number, count) = text.split_once(':').unwrap();
        let (number, count): (usize, u64) = (number.parse().unwrap(), count.parse().unwrap());
        match last[number] {
            Some(before) => assert_eq!(count, before + 1, "of publisher {number}"),
            None => assert!(count <= from[number] + 2, "{count} is the first after {}", from[number]),
        }
        last[number] = Some(count);
    };
    for _ in 0..200 {
        note(&heard(session));
    }
    let until: Vec<u64> = published.iter().map(|last| last.load(Ordering::Acquire)).collect();
    session.send(end);
    loop {
        let message = heard(session);
        if message.contains("unsubscribe") {
            break;
        }
        note(&message);
    }
    for (number, until) in until.iter().enumerate().filter(|(number, until)| **until > from[*number]) {
        assert!(last[number] >= Some(*until), "publisher {number}: {:?} of {until}", last[number]);
    }
    session.says("PING", "PONG");
}

on_every_engine!(
    messages_of_channels_patterns_and_shards,
    sessions_of_resp2_may_do_little_while_they_listen,
    own_messages_come_behind_the_reply,
    confirmations_come_whatever_client_reply_says,
    key_events_are_published,
    evicted_keys_are_told,
    sessions_that_lose_a_channel_are_closed,
    caches_are_told_what_changed,
    a_cache_agrees_with_the_node_in_the_end,
    broadcasts_and_redirected_caches,
);

on_both_engines!(
    listeners_may_be_silent,
    listeners_that_do_not_read_are_closed,
    nothing_is_lost_between_subscribe_and_unsubscribe
);
