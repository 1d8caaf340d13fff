//! What several sessions see of each other's commands: all of one, or nothing of it.

use crate::client::{Session, show};
use crate::node::On;
use larder_protocol::resp::value::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

on_every_engine!(
    keys_set_together_are_seen_together,
    transfers_keep_the_sum,
    increments_are_not_lost,
    only_one_of_those_who_watch_wins,
);

const ROUNDS: usize = 400;

fn keys_set_together_are_seen_together(on: On) {
    let node = on.node("");
    let done = AtomicBool::new(false);
    let set = |session: &mut Session, value: &str| {
        let mut words = vec!["MSET".to_owned()];
        (0..10).for_each(|key| words.extend([format!("key-{key}"), value.to_owned()]));
        assert_eq!(show(&session.call(&words)), "OK");
    };
    set(&mut node.connect(), "none");
    thread::scope(|scope| {
        let mut writers = Vec::new();
        for name in ["a", "b"] {
            let mut session = node.connect();
            writers.push(
                scope.spawn(move || (0..ROUNDS).for_each(|i| set(&mut session, &format!("{name}{i}")))),
            );
        }
        for _ in 0..2 {
            let (mut session, done) = (node.connect(), &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let mut words = vec!["MGET".to_owned()];
                    words.extend((0..10).rev().map(|key| format!("key-{key}")));
                    let Value::Array(values) = session.call(&words) else { panic!("no array") };
                    assert!(values.iter().all(|value| *value == values[0]), "a mix: {values:?}");
                }
            });
        }
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::Relaxed);
    });
}

fn transfers_keep_the_sum(on: On) {
    let node = on.node("");
    let done = AtomicBool::new(false);
    node.connect().says("MSET left 1000 right 1000", "OK");
    thread::scope(|scope| {
        let mut movers = Vec::new();
        for (from, to) in [("left", "right"), ("right", "left"), ("left", "right")] {
            let mut session = node.connect();
            movers.push(scope.spawn(move || {
                for i in 1..=ROUNDS {
                    session.talk(&[("MULTI", "OK"), (&format!("DECRBY {from} {i}"), "QUEUED")]);
                    session.says(&format!("INCRBY {to} {i}"), "QUEUED");
                    assert!(session.ask("EXEC").starts_with("[:"));
                }
            }));
        }
        for read in ["MGET left right", "EXEC"] {
            let (mut session, done) = (node.connect(), &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    if read == "EXEC" {
                        session.talk(&[("MULTI", "OK"), ("GET right", "QUEUED"), ("GET left", "QUEUED")]);
                    }
                    let Value::Array(values) = session.call(&read.split(' ').collect::<Vec<_>>()) else {
                        panic!("no array")
                    };
                    let sum: i64 = values.iter().map(|value| show(value)[1..].parse::<i64>().unwrap()).sum();
                    assert_eq!(sum, 2000, "{values:?}");
                }
            });
        }
        movers.into_iter().for_each(|mover| mover.join().unwrap());
        done.store(true, Ordering::Relaxed);
    });
}

fn increments_are_not_lost(on: On) {
    let node = on.node("");
    node.connect().says("SET n 0", "OK"); // or Memcached's incr finds nothing
    thread::scope(|scope| {
        for _ in 0..4 {
            let mut session = node.connect();
            scope.spawn(move || {
                session.send("INCR n\r\nHINCRBY h f 1\r\nINCR n\r\n".repeat(ROUNDS));
                (0..3 * ROUNDS).for_each(|_| assert!(matches!(session.reply(), Value::Integer(_))));
            });
        }
        let mut memcached = node.memcached();
        scope.spawn(move || {
            memcached.send("incr n 1\r\n".repeat(ROUNDS));
            memcached.send("version\r\n");
            (0..ROUNDS).for_each(|_| assert_ne!(memcached.line(), "NOT_FOUND"));
        });
    });
    node.connect().talk(&[("GET n", &format!("${}", 9 * ROUNDS)), ("HGET h f", &format!("${}", 4 * ROUNDS))]);
}

fn only_one_of_those_who_watch_wins(on: On) {
    let node = on.node("");
    node.connect().says("SET n 0", "OK");
    let won: usize = thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let mut session = node.connect();
                scope.spawn(move || {
                    let mut won = 0;
                    for _ in 0..ROUNDS {
                        session.says("WATCH n", "OK");
                        let next = session.ask("GET n")[1..].parse::<usize>().unwrap() + 1;
                        session.talk(&[("MULTI", "OK"), (&format!("SET n {next}"), "QUEUED")]);
                        won += usize::from(session.ask("EXEC") != "nil");
                    }
                    won
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    node.connect().says("GET n", &format!("${won}"));
}
