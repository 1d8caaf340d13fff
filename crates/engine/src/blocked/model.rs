//! All interleavings of a session that waits, one that has something for it, and the end of its time:
//! `cargo test -p larder-engine --features loom model`. Each does as its command does (`command::blocking`,
//! `command::wake`), under the locks of a real store.

use super::*;
use crate::command::blocking::COMMANDS;
use crate::session::registry::{Origin, Registry};
use larder_store::partition::access::Access;
use larder_store::{Config, Extras, Key, Now, PartitionId, Store, Value};
use loom::sync::Arc as Shared;
use loom::thread;

const KEY: &[u8] = b"key";
const NOW: Now = Now { ms: 1 };
/// Switches of threads that are tried where none has to be; more of them take hours.
const PREEMPTIONS_MAX: usize = 3;

struct Node {
    store: Store,
    blocked: Blocked,
}

impl Node {
    fn new() -> Node {
        let config = Config { partitions: 1, databases: 1, ..Config::new(7, 0) };
        Node { store: Store::new(&config), blocked: Blocked::default() }
    }

    fn partition(&self) -> PartitionId {
        self.store.partition_of(0)
    }

    fn key(&self) -> Key<'static> {
        self.store.key(KEY, 0)
    }

    /// BLPOP: true if there is something at once; otherwise the session waits.
    fn pop(&self) -> bool {
        let mut partition = self.store.lock(self.partition());
        if partition.remove(0, &self.key(), NOW).is_some() {
            return true;
        }
        let origin = Origin {
            address: String::new(),
            local_address: String::new(),
            worker: 0,
            index: 0,
            memcached: false,
            unix: false,
        };
        let wait = Wait {
            deadline_ms: Some(2),
            wants: Wants::List,
            keys: 1..2,
            target: None,
            nothing: Nothing::Array,
            args: None,
        };
        let command = (&COMMANDS[0], OwnedArgs::copy([b"BLPOP".as_slice(), KEY]));
        let session = Registry::default().unlisted(origin, 1);
        self.blocked.enter(wait, session, command, (0, Version::Resp2), vec![self.partition()]);
        false
    }

    /// RPUSH: true if somebody was served with it.
    fn push(&self) -> bool {
        let mut partition = self.store.lock(self.partition());
        let access = Access::None { created: 0 };
        partition.set(0, &self.key(), Value::Integer(1), Extras::default(), access);
        if !self.blocked.any() {
            return false;
        }
        let Some(waiter) = self.blocked.first_from(KEY, 0, Wants::List, 0) else { return false };
        partition.remove(0, &self.key(), NOW);
        self.blocked.leave(&waiter)
    }

    /// The time of who waits is over: true if it gave up now.
    fn give_up(&self) -> bool {
        self.blocked.all().first().is_some_and(|waiter| {
            let _partition = self.store.lock(self.partition());
            self.blocked.leave(waiter)
        })
    }

    fn is_left(&self) -> bool {
        self.store.lock(self.partition()).len(0) > 0
    }
}

#[test]
fn a_value_goes_to_who_waits_or_stays() {
    let mut tries = loom::model::Builder::new();
    tries.preemption_bound = Some(PREEMPTIONS_MAX);
    tries.check(|| {
        let node = Shared::new(Node::new());
        let run = |act: fn(&Node) -> bool| {
            let node = node.clone();
            thread::spawn(move || act(&node))
        };
        let (pops, pushes) = (run(Node::pop), run(Node::push));
        let gave_up = node.give_up();
        let (popped, served) = (pops.join().unwrap(), pushes.join().unwrap());
        let (left, waits) = (node.is_left(), node.blocked.any());
        // The value is in exactly one place.
        assert_eq!(u8::from(popped) + u8::from(served) + u8::from(left), 1);
        // The wait ended in exactly one way, and nobody waits beside a value.
        assert_eq!(u8::from(popped) + u8::from(served) + u8::from(gave_up) + u8::from(waits), 1);
        assert!(!(left && waits));
        assert_eq!(node.blocked.figures().sessions, usize::from(waits));
        assert_eq!(node.blocked.keys().len(), usize::from(waits));
    });
}

#[test]
fn who_waits_is_served_once() {
    let mut tries = loom::model::Builder::new();
    tries.preemption_bound = Some(PREEMPTIONS_MAX);
    tries.check(|| {
        let node = Shared::new(Node::new());
        assert!(!node.pop());
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let node = node.clone();
                thread::spawn(move || node.push())
            })
            .collect();
        let served: Vec<bool> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(served.iter().filter(|served| **served).count(), 1);
        assert!(node.is_left() && !node.blocked.any());
    });
}
