//! All interleavings of loaders and writers of one key, against a server: whatever the order of their steps, and
//! whichever writer dies midway, the entry that is left is what the source holds.

use super::*;

#[path = "../../tests/running/mod.rs"]
mod running;

const GUARD: Duration = Duration::from_secs(600);
const KEPT_MS: u64 = 600_000;

#[derive(Clone, Copy, Debug)]
enum Actor {
    /// Lease, read, store.
    Loader,
    /// Begin, write, end by storing what was written.
    Through,
    /// Begin, write, end by invalidating.
    Invalidating,
    /// Write, invalidate.
    Around,
    /// Begin, write; and never more.
    DiesAfterWriting,
    /// Begin; and never more.
    DiesBeforeWriting,
}

impl Actor {
    fn steps(self) -> usize {
        match self {
            Self::Loader | Self::Through | Self::Invalidating => 3,
            Self::Around | Self::DiesAfterWriting => 2,
            Self::DiesBeforeWriting => 1,
        }
    }
}

struct World<'a> {
    server: &'a Server,
    names: Names,
    key: Key,
    source: u64,
}

/// What an actor remembers between its steps.
#[derive(Default)]
struct Memory {
    token: String,
    entitled: bool,
    read: u64,
}

impl World<'_> {
    async fn step(&mut self, actor: Actor, number: usize, step: usize, memory: &mut Memory) {
        let value = number as u64 + 1;
        let (server, names, key) = (self.server, &self.names, &self.key);
        match (actor, step) {
            (Actor::Loader, 0) => {
                memory.token = loader_token();
                let asked = [(key, memory.token.as_str())];
                let attempts = attempt(server, names, &asked, GUARD, KEPT_MS).await.expect("an attempt");
                memory.entitled = attempts[0].granted == Granted::Yes;
            }
            (Actor::Loader, 1) => memory.read = self.source,
            (Actor::Loader, _) if memory.entitled => {
                let bytes = Some(memory.read.to_string().into_bytes());
                let fills = [Fill { key: key.clone(), token: memory.token.clone(), bytes, kept_ms: KEPT_MS }];
                fill(server, names, &fills, KEPT_MS).await.expect("a fill");
            }
            (Actor::Loader, _) => {}
            (Actor::Around, 0) => self.source = value,
            (Actor::Around, _) => invalidate(server, names, &[&key.name]).await.expect("an invalidation"),
            (_, 0) => {
                memory.token = writer_token();
                memory.entitled =
                    begin_write(server, names, &key.name, &memory.token, GUARD).await.expect("a begin");
            }
            (_, 1) => self.source = value,
            (_, _) => {
                let bytes = value.to_string().into_bytes();
                let stores = matches!(actor, Actor::Through) && memory.entitled;
                let entry = stores.then_some((bytes.as_slice(), KEPT_MS));
                end_write(server, names, &key.name, &memory.token, GUARD, entry).await.expect("an end");
            }
        }
    }

    async fn cached(&self) -> Option<u64> {
        let mut pipe = Pipeline::new();
        pipe.cmd("GET").arg(self.names.value(&self.key.name));
        let (value,): (Option<u64>,) = self.server.ask(&pipe).await.expect("a look");
        value
    }
}

/// Runs every order of the actors' steps; gives how many there were, and in how many a value was left.
async fn run_all(actors: &[Actor]) -> (usize, usize) {
    let Some(running) = running::TestServer::start().await else { return (0, 1) };
    let server = running.patient();
    let mut orders = Vec::new();
    let left: Vec<usize> = actors.iter().map(|actor| actor.steps()).collect();
    interleave(&left, &mut Vec::new(), &mut orders);
    let mut kept = 0;
    for (run, order) in orders.iter().enumerate() {
        let names = Names { namespace: "n".into(), schema: 1, separator: None };
        let mut world = World { server: &server, names, key: Key::new(run.to_string()), source: 0 };
        let mut memories: Vec<Memory> = actors.iter().map(|_| Memory::default()).collect();
        let mut next = vec![0; actors.len()];
        for &actor in order {
            world.step(actors[actor], actor, next[actor], &mut memories[actor]).await;
            next[actor] += 1;
        }
        if let Some(cached) = world.cached().await {
            assert_eq!(cached, world.source, "{actors:?} in the order {order:?} left an old value");
            kept += 1;
        }
    }
    (orders.len(), kept)
}

fn interleave(left: &[usize], order: &mut Vec<usize>, orders: &mut Vec<Vec<usize>>) {
    if left.iter().all(|steps| *steps == 0) {
        orders.push(order.clone());
        return;
    }
    for actor in 0..left.len() {
        if left[actor] > 0 {
            let mut left = left.to_vec();
            left[actor] -= 1;
            order.push(actor);
            interleave(&left, order, orders);
            order.pop();
        }
    }
}

#[tokio::test]
async fn a_loader_and_a_writer() {
    for writer in [Actor::Through, Actor::Invalidating, Actor::Around] {
        let (_, kept) = run_all(&[Actor::Loader, writer]).await;
        assert!(kept > 0, "{writer:?}: a test in which nothing is ever stored says nothing");
    }
}

#[tokio::test]
async fn a_loader_and_a_writer_that_dies() {
    for writer in [Actor::DiesAfterWriting, Actor::DiesBeforeWriting] {
        run_all(&[Actor::Loader, writer]).await;
        run_all(&[Actor::Loader, writer, Actor::Through]).await;
    }
}

#[tokio::test]
async fn two_writers_and_a_loader() {
    for other in [Actor::Through, Actor::Invalidating, Actor::Around] {
        let (_, kept) = run_all(&[Actor::Through, other, Actor::Loader]).await;
        assert!(kept > 0);
    }
}

#[tokio::test]
async fn three_writers() {
    let (_, kept) = run_all(&[Actor::Through, Actor::Through, Actor::Through]).await;
    assert!(kept > 0);
}

#[tokio::test]
async fn two_loaders_and_a_writer() {
    let (orders, kept) = run_all(&[Actor::Loader, Actor::Loader, Actor::Around]).await;
    assert!(kept > 0);
    assert!(orders == 0 || orders == 560, "8! / (3! 3! 2!)");
}

#[tokio::test]
async fn a_writer_that_cannot_look_lets_nobody_store() {
    let Some(running) = running::TestServer::start().await else { return };
    let server = running.patient();
    let names = Names { namespace: "n".into(), schema: 1, separator: None };
    contend(&server, &names, "k", GUARD).await.expect("a mark");
    let key = Key::new("k");
    let token = loader_token();
    let attempts = attempt(&server, &names, &[(&key, &token)], GUARD, KEPT_MS).await.expect("an attempt");
    assert_eq!(attempts[0].granted, Granted::Writing);
    assert!(!begin_write(&server, &names, "k", &writer_token(), GUARD).await.expect("a begin"));
}
