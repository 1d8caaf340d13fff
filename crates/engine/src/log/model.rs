//! All interleavings of two workers and the log thread: `cargo test -p larder-engine --features loom model`.

use super::merge::Sink;
use super::*;
use larder_protocol::resp::args::OwnedArgs;
use loom::sync::Arc;
use loom::thread;

/// Steps that each worker logs.
const STEPS: u64 = 2;
/// Switches of threads that are tried where none has to be; more of them take hours.
const PREEMPTIONS_MAX: usize = 2;

/// Keeps what comes, and wakes who waits for the last of it.
struct Kept {
    numbers: Vec<u64>,
    bytes: Vec<u8>,
    last: u64,
    complete: Arc<Sleeper>,
}

impl Sink for Kept {
    fn write(&mut self, bytes: &[u8], number: u64) {
        self.numbers.push(number);
        self.bytes.extend_from_slice(bytes);
        if number == self.last {
            self.complete.wake();
        }
    }

    fn rotate(&mut self, _number: u64) {}

    fn tick(&mut self) {}
}

/// Every step reaches the sink, in one order that is that of each worker, and without anybody to wake the log thread but
/// who logged: nobody sleeps over a step.
#[test]
fn nobody_sleeps_over_a_step() {
    let mut tries = loom::model::Builder::new();
    tries.preemption_bound = Some(PREEMPTIONS_MAX);
    tries.check(|| {
        let log = Arc::new(Log::new(2, 1024));
        log.set_filed(true);
        let complete = Arc::new(Sleeper::default());
        let merger = {
            let (log, complete) = (log.clone(), complete.clone());
            thread::spawn(move || {
                let mut kept = Kept { numbers: Vec::new(), bytes: Vec::new(), last: STEPS + 1, complete };
                log.run(&mut kept);
                kept
            })
        };
        let other = {
            let log = log.clone();
            thread::spawn(move || append(&log, 1, 1))
        };
        append(&log, 0, STEPS);
        other.join().unwrap();
        complete.sleep(Duration::MAX);
        log.close();
        let kept = merger.join().unwrap();
        assert!(kept.numbers.is_sorted() && kept.numbers.last() == Some(&kept.last));
        let text = String::from_utf8(kept.bytes).unwrap();
        let at = |word: &str| text.find(word).unwrap();
        assert!(at("w0s1") < at("w0s2") && text.contains("w1s1"), "{text}");
        assert_eq!((log.merged(), log.waiting_bytes()), (STEPS + 1, 0));
    });
}

/// Logs steps as a worker does in a turn each.
fn append(log: &Log, worker: usize, steps: u64) {
    for step in 1..=steps {
        let text = format!("w{worker}s{step}");
        let args = OwnedArgs::copy([b"PING".as_slice(), text.as_bytes()]);
        log.append_command(worker, 0, &args.view());
        log.hand_over();
    }
}
