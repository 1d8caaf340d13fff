use super::*;
use larder_protocol::resp::args::OwnedArgs;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// A file that is a string.
#[derive(Default)]
struct Memory {
    bytes: Vec<u8>,
    rotated: Vec<(u64, usize)>,
}

impl Sink for Memory {
    fn write(&mut self, bytes: &[u8], _: u64) {
        self.bytes.extend_from_slice(bytes);
    }

    fn rotate(&mut self, number: u64) {
        self.rotated.push((number, self.bytes.len()));
    }

    fn tick(&mut self) {}
}

/// The words of all commands.
fn words(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let lines = text.split("\r\n").filter(|line| !line.is_empty() && !line.starts_with('$'));
    let mut commands: Vec<String> = Vec::new();
    for line in lines {
        match line.starts_with('*') {
            true => commands.push(String::new()),
            false => {
                let command = commands.last_mut().unwrap();
                command.push_str(if command.is_empty() { "" } else { " " });
                command.push_str(line);
            }
        }
    }
    commands
}

fn add(log: &Log, worker: usize, db: u16, text: &str) -> u64 {
    let args = OwnedArgs::copy(text.split(' ').map(str::as_bytes));
    log.append_command(worker, db, &args.view())
}

fn run(log: &Arc<Log>) -> std::thread::JoinHandle<Memory> {
    let log = log.clone();
    std::thread::spawn(move || {
        let mut memory = Memory::default();
        log.run(&mut memory);
        memory
    })
}

#[test]
fn records_of_several_workers_come_in_the_order_of_their_numbers() {
    let log = Arc::new(Log::new(4, 1 << 20));
    log.set_filed(true);
    log.set_replicated(true);
    let thread = run(&log);
    // What stands for a partition: whoever holds it counts and logs.
    let held = Arc::new(Mutex::new(0u64));
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let (log, held) = (log.clone(), held.clone());
            std::thread::spawn(move || {
                for n in 0..5000 {
                    let mut count = held.lock().unwrap();
                    *count += 1;
                    add(&log, worker, (worker % 2) as u16, &format!("SET k {}", *count));
                    drop(count);
                    if n % 7 == 0 {
                        log.hand_over();
                    }
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    log.close();
    let memory = thread.join().unwrap();
    let all = words(&memory.bytes);
    let sets: Vec<&String> = all.iter().filter(|command| command.starts_with("SET")).collect();
    assert_eq!(sets.len(), 20_000);
    assert!(sets.iter().enumerate().all(|(at, set)| **set == format!("SET k {}", at + 1)));
    assert_eq!((log.merged(), log.waiting_bytes()), (20_000, 0));
    // Replicas are sent the same.
    let mut stream = Vec::new();
    let mut offset = log.with_backlog(|backlog| backlog.first());
    let first = offset;
    while offset < log.offset() {
        for block in log.read(offset).unwrap() {
            offset += block.bytes().len() as u64;
            stream.extend_from_slice(block.bytes());
        }
    }
    assert_eq!(stream, memory.bytes[first as usize..]);
}

#[test]
fn a_database_is_selected_when_it_changes_and_after_a_cut() {
    let log = Arc::new(Log::new(2, 1 << 20));
    log.set_filed(true);
    log.set_replicated(true);
    add(&log, 0, 0, "SET a 1");
    add(&log, 1, 0, "SET b 1");
    add(&log, 1, 5, "SET c 1");
    log.tell_replicas(0, [&b"PING"[..]].into_iter());
    let file = log.cut(Cut::File);
    add(&log, 0, 5, "SET d 1");
    let replica = log.cut(Cut::Replica);
    let last = add(&log, 0, 5, "SET e 1");
    assert_eq!((file, replica, last), (4, 5, 6));
    assert_eq!(log.offset_of(file), None);
    let thread = run(&log);
    let offset = log.wait_for_point(replica, Duration::from_secs(30)).unwrap();
    assert_eq!(log.offset_of(file).map(|at| at < offset), Some(true));
    log.close();
    let memory = thread.join().unwrap();
    let [(number, split)] = memory.rotated[..] else { panic!("{:?}", memory.rotated) };
    assert_eq!(number, file);
    assert_eq!(words(&memory.bytes[..split]), ["SELECT 0", "SET a 1", "SET b 1", "SELECT 5", "SET c 1"]);
    assert_eq!(words(&memory.bytes[split..]), ["SELECT 5", "SET d 1", "SET e 1"]);
    let stream =
        |from| words(&log.read(from).unwrap().iter().flat_map(|b| b.bytes().to_vec()).collect::<Vec<_>>());
    assert_eq!(stream(offset), ["SELECT 5", "SET e 1"]);
    assert!(stream(0).ends_with(&["PING", "SET d 1", "SELECT 5", "SET e 1"].map(str::to_owned)));
}

#[test]
fn a_replica_hands_on_what_its_primary_sends() {
    let log = Arc::new(Log::new(1, 1 << 20));
    log.set_filed(true);
    log.set_replicated(true);
    log.with_backlog(|backlog| *backlog = Backlog::new(1000, 1 << 20));
    log.follow(true);
    add(&log, 0, 0, "SET a 1");
    log.tell_replicas(0, [&b"PUBLISH"[..], b"c", b"m"].into_iter());
    log.append_raw(b"from above");
    log.follow(false);
    add(&log, 0, 0, "SET b 1");
    let thread = run(&log);
    assert!(log.wait_beyond(1010, Duration::from_secs(30)));
    assert!(!log.wait_beyond(1 << 40, Duration::from_millis(1)));
    log.close();
    let memory = thread.join().unwrap();
    assert_eq!(words(&memory.bytes), ["SELECT 0", "SET a 1", "SET b 1"]);
    let stream: Vec<u8> = log.read(1000).unwrap().iter().flat_map(|b| b.bytes().to_vec()).collect();
    let (above, own) = stream.split_at(10);
    assert_eq!(above, b"from above");
    assert_eq!(words(own), ["SELECT 0", "SET b 1"]);
}

#[test]
fn who_is_ahead_is_told_so() {
    let log = Arc::new(Log::new(1, 1 << 20));
    log.set_filed(true);
    let large = "x".repeat(WAITING_BYTES_MAX / 2);
    let numbers = AtomicU64::new(0);
    for _ in 0..3 {
        numbers.store(add(&log, 0, 0, &format!("SET a {large}")), Ordering::Relaxed);
    }
    assert!(log.is_behind());
    let thread = run(&log);
    log.close();
    assert!(thread.join().unwrap().bytes.len() > WAITING_BYTES_MAX);
    assert!(!log.is_behind());
}

/// Whatever comes in one round, from whichever worker, for whomever: the file and the stream each have what is for them, in order
/// and in the right database.
#[test]
fn each_gets_what_is_for_it_in_any_mixture() {
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut draw = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 11) % below
    };
    for _ in 0..200 {
        let log = Arc::new(Log::new(2, 1 << 20));
        log.set_filed(draw(4) > 0);
        log.set_replicated(draw(4) > 0);
        let (mut file, mut stream) = ((Vec::new(), None), (Vec::new(), None));
        let expect = |(words, at): &mut (Vec<String>, Option<u64>), db: u64, text: &str| {
            if *at != Some(db) {
                words.push(format!("SELECT {db}"));
                *at = Some(db);
            }
            words.push(text.to_owned());
        };
        for n in 0..draw(60) {
            let (worker, db, text) = (draw(2) as usize, draw(12) / 10, format!("SET k {n}"));
            match draw(12) {
                0 if log.is_replicated() => {
                    log.tell_replicas(worker, [&b"PING"[..]].into_iter());
                    stream.0.push("PING".to_owned());
                }
                1 => {
                    log.cut(Cut::File);
                    file.1 = None;
                }
                2 => {
                    log.cut(Cut::Replica);
                    stream.1 = None;
                }
                _ => {
                    add(&log, worker, db as u16, &text);
                    expect(&mut file, db, &text);
                    expect(&mut stream, db, &text);
                }
            }
        }
        let thread = run(&log);
        log.close();
        let memory = thread.join().unwrap();
        let streamed =
            log.read(0).unwrap().iter().flat_map(|block| block.bytes().to_vec()).collect::<Vec<_>>();
        let expected = |on: bool, words: Vec<String>| if on { words } else { Vec::new() };
        assert_eq!(words(&memory.bytes), expected(log.is_filed(), file.0));
        assert_eq!(words(&streamed), expected(log.is_replicated(), stream.0));
    }
}

#[test]
fn a_long_step_is_not_copied_and_keeps_its_place() {
    let log = Arc::new(Log::new(2, 1 << 20));
    log.set_filed(true);
    let long = |name: &str| {
        let mut effects = Effects::default();
        let member = vec![b'x'; 200_000];
        let mut command = Vec::new();
        encode(&mut command, [&b"SREM"[..], name.as_bytes(), &member].into_iter());
        effects.add_encoded(1, command);
        effects
    };
    add(&log, 0, 0, "SET a 1");
    assert_eq!(log.append_owned(0, long("b")), 2);
    add(&log, 1, 0, "SET c 1");
    add(&log, 0, 1, "SET d 1");
    assert_eq!(log.append_owned(0, long("e")), 5);
    assert_eq!(log.append_owned(0, long("f")), 6);
    let mut short = Effects::default();
    short.add(0, [&b"DEL"[..], b"g"].into_iter());
    assert_eq!(log.append_owned(0, short), 7);
    assert!(log.waiting_bytes() > 600_000);
    let thread = run(&log);
    log.close();
    let words: Vec<String> = words(&thread.join().unwrap().bytes)
        .into_iter()
        .map(|command| command.replace(&"x".repeat(200_000), "X"))
        .collect();
    let expected = [
        "SELECT 0", "SET a 1", "SELECT 1", "SREM b X", "SELECT 0", "SET c 1", "SELECT 1", "SET d 1",
        "SREM e X", "SREM f X", "SELECT 0", "DEL g",
    ];
    assert_eq!(words, expected);
    assert_eq!(log.waiting_bytes(), 0);
}
