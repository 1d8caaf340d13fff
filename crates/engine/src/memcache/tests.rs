use super::*;
use larder_protocol::slot::slot_of;
use larder_store::partition::access::Access;
use larder_store::{Config, Now, Store};

const START_MS: u64 = 1_700_000_000_000;
/// Where the session is.
const PLACE: crate::mailbox::Place = crate::mailbox::Place { worker: 0, index: 0, id: 7 };

/// A node without sockets.
pub(super) struct Bench {
    store: Store,
    shared: Shared,
    session: Session,
    now_ms: u64,
    memory_full: bool,
    host: Alone,
    refusal: Option<&'static str>,
}

impl Bench {
    pub(super) fn new(local: bool) -> Bench {
        let store = Store::new(&Config { partitions: 8, ..Config::new(1, START_MS) });
        let (shared, session) = (Shared::new(1, "1.6.22"), Session::new(local, Some(PLACE)));
        let host = Alone::new(Figures { connections: 3, ..Figures::default() });
        Bench { store, shared, session, now_ms: START_MS, memory_full: false, host, refusal: None }
    }

    fn serve(&mut self, input: &[u8]) -> (String, Outcome) {
        let mut session = std::mem::replace(&mut self.session, Session::new(false, Some(PLACE)));
        let mut out = Vec::new();
        let outcome = self.with_turn(|turn| session.serve(turn, input, &mut out));
        self.session = session;
        (String::from_utf8(out).unwrap(), outcome)
    }

    pub(super) fn with_turn<T>(&mut self, act: impl FnOnce(&mut Turn<'_>) -> T) -> T {
        act(&mut Turn {
            store: &self.store,
            shared: &self.shared,
            worker: 0,
            now: Now { ms: self.now_ms },
            access: Access::lru(self.now_ms),
            memory_full: self.memory_full,
            refusal: self.refusal,
            host: &self.host,
            run: &mut Run::default(),
            parcel: None,
            requests: 0,
            client: 0,
            lines: None,
            changes: 0,
            log: None,
            logged: 0,
        })
    }

    /// Sends whole requests; gives the lines that watchers are told.
    pub(super) fn tells(&mut self, input: &str) -> Vec<String> {
        let mut at = 0;
        while at < input.len() {
            let (_, outcome) = self.serve(&input.as_bytes()[at..]);
            at += outcome.consumed;
        }
        String::from_utf8(self.host.take_told()).unwrap().lines().map(str::to_owned).collect()
    }

    /// Sends whole requests and compares the answers.
    #[track_caller]
    pub(super) fn says(&mut self, input: &str, answers: &str) {
        let (out, outcome) = self.serve(input.as_bytes());
        assert_eq!(out, answers);
        assert!(outcome.close || outcome.consumed == input.len());
    }
}

#[test]
fn what_redis_set_is_read_and_the_other_way_round() {
    let mut bench = Bench::new(false);
    let key = bench.store.key(b"n", slot_of(b"n"));
    let id = bench.store.partition_of(key.slot);
    let access = Access::lru(START_MS);
    let at = Now { ms: START_MS };
    bench.store.lock(id).set(DB, &key, larder_store::Value::Integer(41), Default::default(), access);
    bench.says("incr n 1\r\nget n\r\n", "42\r\nVALUE n 0 2\r\n42\r\nEND\r\n");
    assert!(matches!(
        bench.store.lock(id).peek(DB, &key, at).unwrap().value(),
        larder_store::ValueRef::Integer(42)
    ));
    let hash = larder_store::Value::Hash(Box::default());
    bench.store.lock(id).set(DB, &key, hash, Default::default(), access);
    bench.says("get n\r\nappend n 0 0 1\r\nx\r\n", "END\r\nNOT_STORED\r\n");
    bench.says("set n 9 0 1\r\nx\r\ngets n\r\n", "STORED\r\nVALUE n 9 1 1\r\nx\r\nEND\r\n");
}

#[test]
fn a_cas_unique_is_good_for_one_change() {
    let mut bench = Bench::new(false);
    bench.says("set a 0 0 1\r\n1\r\ncas a 0 0 1 1\r\n2\r\n", "STORED\r\nEXISTS\r\n");
    bench.says("gets a\r\ngets a\r\n", &"VALUE a 0 1 1\r\n1\r\nEND\r\n".repeat(2));
    bench.says(
        "touch a 100\r\ncas a 0 0 1 1\r\n2\r\ncas a 0 0 1 1\r\n3\r\n",
        "TOUCHED\r\nSTORED\r\nEXISTS\r\n",
    );
    bench
        .says("gets a\r\nincr a 1\r\ncas a 0 0 1 2\r\n9\r\n", "VALUE a 0 1 2\r\n2\r\nEND\r\n3\r\nEXISTS\r\n");
    bench.says(
        "gets a\r\nappend a 0 0 1\r\n0\r\ncas a 0 0 1 3\r\n9\r\n",
        "VALUE a 0 1 3\r\n3\r\nEND\r\nSTORED\r\nEXISTS\r\n",
    );
    bench.says("cas zz 0 0 1 0\r\n9\r\ncas a 0 0 1 0\r\n9\r\n", "NOT_FOUND\r\nEXISTS\r\n");
}

#[test]
fn a_number_that_becomes_shorter_keeps_its_length() {
    let mut bench = Bench::new(false);
    bench
        .says("set n 5 0 3\r\n100\r\ndecr n 1\r\nget n\r\n", "STORED\r\n99\r\nVALUE n 5 3\r\n99 \r\nEND\r\n");
    bench.says("incr n 1\r\nget n\r\n", "100\r\nVALUE n 5 3\r\n100\r\nEND\r\n");
    bench.says("incr n 900\r\ndecr n 5000\r\nget n\r\n", "1000\r\n0\r\nVALUE n 5 4\r\n0   \r\nEND\r\n");
    bench.says("set n 0 0 20\r\n18446744073709551615\r\nincr n 2\r\n", "STORED\r\n1\r\n");
    bench.says("incr zz 1 noreply\r\nincr n 4 noreply\r\nincr n 0\r\n", "5\r\n");
}

#[test]
fn long_strings_grow_in_place_and_lose_their_cas() {
    let mut bench = Bench::new(false);
    let long = "x".repeat(20_000);
    bench.says(&format!("set a 5 0 20000\r\n{long}\r\n"), "STORED\r\n");
    bench.says("gets a\r\n", &format!("VALUE a 5 20000 1\r\n{long}\r\nEND\r\n"));
    bench.says("append a 0 0 2\r\nyz\r\nprepend a 0 0 1\r\nw\r\n", "STORED\r\nSTORED\r\n");
    bench.says("cas a 0 0 1 1\r\n9\r\n", "EXISTS\r\n");
    bench.says("get a\r\n", &format!("VALUE a 5 20003\r\nw{long}yz\r\nEND\r\n"));
}

#[test]
fn times_are_relative_up_to_30_days() {
    let mut bench = Bench::new(false);
    bench.says(
        "set a 0 10 1\r\n1\r\nset b 0 1700000020 1\r\n2\r\nset c 0 2592001 1\r\n3\r\n",
        &"STORED\r\n".repeat(3),
    );
    bench.says("get a b c\r\n", "VALUE a 0 1\r\n1\r\nVALUE b 0 1\r\n2\r\nEND\r\n");
    bench.now_ms += 10_000;
    bench.says("get a b\r\n", "VALUE b 0 1\r\n2\r\nEND\r\n");
    bench.says("gat 30 b\r\n", "VALUE b 0 1\r\n2\r\nEND\r\n");
    bench.now_ms += 29_000;
    bench.says("get b\r\ntouch b -1\r\nget b\r\n", "VALUE b 0 1\r\n2\r\nEND\r\nTOUCHED\r\nEND\r\n");
}

#[test]
fn a_delayed_flush_is_a_cut_in_time() {
    let mut bench = Bench::new(false);
    bench.says("set a 0 0 1\r\n1\r\nflush_all 5\r\nget a\r\n", "STORED\r\nOK\r\nVALUE a 0 1\r\n1\r\nEND\r\n");
    bench.now_ms += 4_999;
    bench
        .says("set b 0 0 1\r\n1\r\nget a b\r\n", "STORED\r\nVALUE a 0 1\r\n1\r\nVALUE b 0 1\r\n1\r\nEND\r\n");
    bench.now_ms += 1;
    bench.says("get a b\r\nset c 0 0 1\r\n1\r\n", "END\r\nSTORED\r\n");
    bench.now_ms += 60_000;
    bench.says(
        "get c\r\nflush_all 9\r\nflush_all\r\nset c 0 0 1\r\n1\r\n",
        "VALUE c 0 1\r\n1\r\nEND\r\nOK\r\nOK\r\nSTORED\r\n",
    );
    bench.now_ms += 10_000;
    bench.says("get c\r\n", "VALUE c 0 1\r\n1\r\nEND\r\n");
}

#[test]
fn a_replica_forgets_a_flush_that_it_was_asked_for_as_a_primary() {
    let mut bench = Bench::new(false);
    bench.says("set a 0 0 1\r\n1\r\nflush_all 5\r\n", "STORED\r\nOK\r\n");
    bench.host.follows = true;
    bench.now_ms += 5_000;
    bench.says("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
    bench.host.follows = false;
    bench.now_ms += 60_000;
    bench.says("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
}

#[test]
fn what_is_stored_out_of_date_keeps_the_time_and_the_token_of_what_was_there() {
    let mut bench = Bench::new(false);
    bench.says("ms a 2 E5 T50\r\nhi\r\nms a 2 C1 I T90\r\nho\r\n", "HD\r\nHD\r\n");
    bench.says("mg a v t\r\nmg a v t\r\n", "VA 2 t50 X W\r\nho\r\nVA 2 t50 Z X\r\nho\r\n");
    bench.says("mg b N30 E700 t\r\nms b 2 C1 I\r\nxx\r\n", "HD t30 W\r\nHD\r\n");
    bench.says("mg b v t\r\n", "VA 2 t30 Z X\r\nxx\r\n");
}

#[test]
fn items_are_counted_by_size_where_that_is_asked_for() {
    let mut bench = Bench::new(false);
    bench.says("set a 0 0 1\r\nx\r\nstats sizes\r\n", "STORED\r\nSTAT sizes_status disabled\r\nEND\r\n");
    let mut bench = Bench::new(false);
    bench.shared.set_rules(Rules { sizes: true, ..Rules::default() });
    bench.says("set a 0 0 1\r\nx\r\nset b 5 0 2\r\nhi\r\n", "STORED\r\nSTORED\r\n");
    for (key, len) in [("c", 90), ("d", 100)] {
        bench.says(&format!("set {key} 0 0 {len}\r\n{}\r\n", "x".repeat(len)), "STORED\r\n");
    }
    // As memcached counts them; what is behind waits for it.
    let mut answer = String::new();
    let input = b"get a\r\nstats sizes\r\nget b\r\n";
    let mut at = 0;
    while at < input.len() {
        let (out, outcome) = bench.serve(&input[at..]);
        (answer, at) = (answer + &out, at + outcome.consumed);
    }
    let sizes = "STAT 64 1\r\nSTAT 96 1\r\nSTAT 160 2\r\nEND\r\n";
    assert_eq!(answer, format!("VALUE a 0 1\r\nx\r\nEND\r\n{sizes}VALUE b 5 2\r\nhi\r\nEND\r\n"));
}

#[test]
fn without_cas_nothing_can_be_compared() {
    let mut bench = Bench::new(false);
    bench.shared.set_rules(Rules { cas_disabled: true, ..Rules::default() });
    bench.says(
        "set a 0 0 1\r\nx\r\ngets a\r\ncas a 0 0 1 0\r\ny\r\ncas a 0 0 1 5\r\ny\r\nmg a c v\r\n",
        "STORED\r\nVALUE a 0 1 0\r\nx\r\nEND\r\nEXISTS\r\nEXISTS\r\nVA 1 c0\r\nx\r\n",
    );
    bench.says("ms a 1 C5\r\nz\r\nms a 1 c E7\r\nz\r\nmg a c\r\n", "EX\r\nHD c0\r\nHD c0\r\n");
}

/// A frame of the binary protocol.
fn frame(opcode: u8, key: &str, extras: &[u8], value: &str) -> Vec<u8> {
    let body = (extras.len() + key.len() + value.len()) as u32;
    let mut frame = vec![0x80, opcode, 0, key.len() as u8, extras.len() as u8, 0, 0, 0];
    frame.extend_from_slice(&body.to_be_bytes());
    frame.extend_from_slice(&[0; 12]);
    [extras, key.as_bytes(), value.as_bytes()].iter().for_each(|part| frame.extend_from_slice(part));
    frame
}

/// Opcodes and statuses of the frames that answer.
fn statuses(mut answers: &[u8]) -> Vec<(u8, u16)> {
    let mut told = Vec::new();
    while let [0x81, opcode, _, _, _, _, high, low, a, b, c, d, ..] = answers {
        told.push((*opcode, u16::from_be_bytes([*high, *low])));
        answers = &answers[24 + u32::from_be_bytes([*a, *b, *c, *d]) as usize..];
    }
    assert!(answers.is_empty(), "{answers:?}");
    told
}

/// Makes the node a replica, of which a write learns when it has its partition.
fn follow(bench: &mut Bench) {
    bench.host.refusal_by_now = Some("READONLY by now");
    bench.host.follows = true;
}

#[test]
fn who_waited_while_the_node_became_a_replica_does_not_write() {
    let mut bench = Bench::new(false);
    bench.says("set a 0 0 1\r\n1\r\n", "STORED\r\n");
    follow(&mut bench);
    let refused = "SERVER_ERROR READONLY by now\r\n";
    for write in [
        "set a 0 0 1\r\n2\r\n",
        "add b 0 0 1\r\n2\r\n",
        "append a 0 0 1\r\n2\r\n",
        "cas a 0 0 1 1\r\n2\r\n",
        "delete a\r\n",
        "incr a 1\r\n",
        "touch a 10\r\n",
        "gat 10 a\r\n",
        "flush_all\r\n",
        "ms a 1\r\n2\r\n",
        "md a\r\n",
        "md a q\r\n",
        "ma a\r\n",
        "mg a v T10\r\n",
        "mg b v N10\r\n",
    ] {
        bench.says(write, refused);
    }
    // In a run, behind one another, and with nobody who listens.
    bench.says(&"set a 0 0 1\r\n2\r\n".repeat(3), &refused.repeat(3));
    bench.says(
        "set a 0 0 1 noreply\r\n2\r\ndelete a noreply\r\nincr a 1 noreply\r\nget a\r\n",
        "VALUE a 0 1\r\n1\r\nEND\r\n",
    );
    bench.says("mg a v t\r\nmg b v\r\n", "VA 1 t-1\r\n1\r\nEN\r\n");
}

#[test]
fn who_waited_while_the_node_became_a_replica_is_told_in_binary() {
    let mut bench = Bench::new(false);
    bench.says("set a 0 0 1\r\n1\r\n", "STORED\r\n");
    follow(&mut bench);
    bench.session = Session::new(false, Some(PLACE));
    const GET: u8 = 0x00;
    let exptime = [0, 0, 0, 9];
    let mut requests = Vec::new();
    for (opcode, extras) in [
        (0x01, &[0; 8][..]),
        (0x11, &[0; 8]),
        (0x02, &[0; 8]),
        (0x0e, &[]),
        (0x04, &[]),
        (0x05, &[0; 20]),
        (0x15, &[0; 20]),
        (0x1c, &exptime),
        (0x1d, &exptime),
        (0x08, &[]),
    ] {
        let stores = matches!(opcode, 0x01 | 0x11 | 0x02 | 0x0e);
        let key = if opcode == 0x08 { "" } else { "a" };
        requests.push((opcode, frame(opcode, key, extras, if stores { "2" } else { "" })));
    }
    for (opcode, request) in requests {
        let mut session = Session::new(false, Some(PLACE));
        let mut out = Vec::new();
        bench.with_turn(|turn| session.serve(turn, &[request, frame(GET, "a", &[], "")].concat(), &mut out));
        assert_eq!(statuses(&out), [(opcode, 0x86), (GET, 0)], "{opcode:#x}");
        assert!(out.ends_with(b"1"), "{opcode:#x}");
    }
}

#[test]
fn a_value_that_is_too_large_takes_nothing_from_a_replica() {
    let mut bench = Bench::new(false);
    bench.says("set a 0 0 1\r\n1\r\n", "STORED\r\n");
    let (length, value) = (ITEM_SIZE_MAX_BYTES, "v".repeat(ITEM_SIZE_MAX_BYTES));
    let too_large = "SERVER_ERROR object too large for cache\r\n";
    let tries = [format!("set a 0 0 {length}\r\n{value}\r\n"), format!("ms a {length}\r\n{value}\r\n")];
    for (refusal, by_now) in [(Some("READONLY no"), None), (None, Some("READONLY by now"))] {
        (bench.refusal, bench.host.refusal_by_now) = (refusal, by_now);
        for request in &tries {
            bench.says(request, too_large);
            bench.says("get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
        }
    }
    (bench.refusal, bench.host.refusal_by_now) = (None, None);
    bench.says(&tries[0], too_large);
    bench.says("get a\r\n", "END\r\n");
}

#[test]
fn a_value_that_is_a_little_too_large_leaves_nothing_behind_in_binary() {
    const SET: u8 = 0x01;
    const GET: u8 = 0x00;
    for beyond in [0, 1, 200, 300] {
        let mut bench = Bench::new(false);
        let value = "v".repeat(ITEM_SIZE_MAX_BYTES + beyond);
        let set = |value| frame(SET, "a", &[0; 8], value);
        let requests = [set("small"), set(&value), frame(GET, "a", &[], "")].concat();
        let (mut session, mut out) = (Session::new(false, Some(PLACE)), Vec::new());
        bench.with_turn(|turn| session.serve(turn, &requests, &mut out));
        assert_eq!(statuses(&out), [(SET, 0), (SET, 0x03), (GET, 0x01)], "{beyond}");
    }
}

#[test]
fn sasl_plain_goes_in_one_step_or_in_two() {
    const AUTH: u8 = 0x21;
    const STEP: u8 = 0x22;
    const GET: u8 = 0x00;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "bob:secret\nann:other\n").unwrap();
    let (right, wrong) = ("\0bob\0secret", "\0bob\0wrong");
    // What is sent, and the statuses; then a get tells whether the session was let in.
    for (sent, told, admitted) in [
        (vec![(AUTH, "PLAIN", right)], vec![0], true),
        (vec![(AUTH, "Plain", right)], vec![0], true),
        (vec![(AUTH, "PLAIN", wrong)], vec![0x20], false),
        (vec![(AUTH, "PLAIN", "bob\0bob\0secret")], vec![0], true),
        (vec![(AUTH, "PLAIN", "ann\0bob\0secret")], vec![0x20], false),
        (vec![(AUTH, "PLAIN", "")], vec![0x21], false),
        (vec![(AUTH, "PLAIN", ""), (STEP, "PLAIN", right)], vec![0x21, 0], true),
        (vec![(AUTH, "PLAIN", ""), (STEP, "PLAIN", wrong)], vec![0x21, 0x20], false),
        (
            vec![(AUTH, "PLAIN", ""), (STEP, "PLAIN", wrong), (STEP, "PLAIN", right)],
            vec![0x21, 0x20, 0],
            true,
        ),
        (vec![(AUTH, "PLAIN", ""), (STEP, "PLAIN", ""), (STEP, "PLAIN", right)], vec![0x21, 0x20, 0], true),
        (
            vec![(AUTH, "PLAIN", ""), (AUTH, "CRAM-MD5", ""), (STEP, "PLAIN", right)],
            vec![0x21, 0x20, 0x20],
            false,
        ),
        (vec![(AUTH, "PLAIN", right), (STEP, "PLAIN", right)], vec![0, 0x20], false),
        (vec![(STEP, "PLAIN", right)], vec![0x20], false),
        (vec![(AUTH, "PLAIN", wrong), (STEP, "PLAIN", right)], vec![0x20, 0x20], false),
    ] {
        let mut bench = Bench::new(false);
        bench.shared.set_auth(Auth::read(file.path(), true).unwrap());
        let mut expected: Vec<(u8, u16)> = sent.iter().map(|(opcode, ..)| *opcode).zip(told).collect();
        expected.push((GET, if admitted { 0x01 } else { 0x20 }));
        let mut input: Vec<u8> =
            sent.iter().flat_map(|(opcode, key, value)| frame(*opcode, key, &[], value)).collect();
        input.extend(frame(GET, "a", &[], ""));
        let (mut session, mut out) = (Session::new(false, Some(PLACE)), Vec::new());
        bench.with_turn(|turn| session.serve(turn, &input, &mut out));
        assert_eq!(statuses(&out), expected, "{sent:?}");
    }
}

#[test]
fn a_replica_is_read_and_not_written() {
    let mut bench = Bench::new(false);
    bench.says("set a 0 0 1\r\n1\r\n", "STORED\r\n");
    bench.refusal = Some("READONLY no writes here");
    let refused = "SERVER_ERROR READONLY no writes here\r\n";
    for write in [
        "set a 0 0 1\r\n2\r\n",
        "delete a\r\n",
        "incr a 1\r\n",
        "touch a 10\r\n",
        "gat 10 a\r\n",
        "flush_all\r\n",
        "ms a 1\r\n2\r\n",
        "md a\r\n",
        "ma a\r\n",
        "mg a v T10\r\n",
        "mg b v N10\r\n",
    ] {
        bench.says(write, refused);
    }
    bench.says("set a 0 0 1 noreply\r\n2\r\nget a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
    bench.says("mg a v\r\n", "VA 1\r\n1\r\n");
}

#[test]
fn what_cannot_be_stored_leaves_nothing_stale() {
    let mut bench = Bench::new(false);
    bench.shared.set_item_size_max(70);
    bench.says(
        "set a 0 0 1\r\n1\r\nadd a 0 0 11\r\n01234567890\r\nget a\r\n",
        "STORED\r\nSERVER_ERROR object too large for cache\r\nVALUE a 0 1\r\n1\r\nEND\r\n",
    );
    bench.says("append a 0 0 10\r\n0123456789\r\n", "NOT_STORED\r\n");
    bench.says(
        "set a 0 0 11\r\n01234567890\r\nget a\r\n",
        "SERVER_ERROR object too large for cache\r\nEND\r\n",
    );
    bench.says("set a 0 0 1\r\n1\r\n", "STORED\r\n");
    bench.memory_full = true;
    bench.says("set a 0 0 1\r\n2\r\nget a\r\n", "SERVER_ERROR out of memory storing object\r\nEND\r\n");
}

#[test]
fn the_list_of_nodes_is_told_byte_by_byte() {
    let mut bench = Bench::new(true);
    bench.says("config get cluster\r\nget AmazonElastiCache:cluster\r\n", "END\r\nEND\r\n");
    let nodes = "1\nc.0001.larder|127.64.0.4|11211 c.0002.larder|127.64.0.5|11211\n";
    let len = nodes.len();
    bench.says(&format!("config set cluster 0 {len}\r\n{nodes}\r\n"), "STORED\r\n");
    let told = format!("cluster 0 {len}\r\n{nodes}\r\nEND\r\n");
    bench.says("config get cluster\r\n", &format!("CONFIG {told}"));
    bench.says("get AmazonElastiCache:cluster\r\n", &format!("VALUE AmazonElastiCache:{told}"));
    bench.session = Session::new(false, Some(PLACE));
    bench.says("config set cluster 0 1\r\n", "ERROR\r\n");
    bench.says("config delete cluster\r\nconfig get other\r\n", "ERROR\r\nEND\r\n");
    bench.session = Session::new(true, Some(PLACE));
    bench.says("config delete cluster\r\nconfig delete cluster\r\n", "DELETED\r\nNOT_FOUND\r\n");
}

#[test]
fn statistics_count() {
    let mut bench = Bench::new(false);
    bench.serve(b"set a 0 0 1\r\n1\r\nget a b\r\nincr a 1\r\ndelete b\r\ntouch a 0\r\n");
    let (out, _) = bench.serve(b"stats\r\n");
    for stat in ["cmd_get 2", "cmd_set 1", "get_hits 1", "get_misses 1", "incr_hits 1", "delete_misses 1"]
        .into_iter()
        .chain(["touch_hits 1", "curr_items 1", "curr_connections 3", "version 1.6.22", "pointer_size 64"])
    {
        assert!(out.contains(&format!("STAT {stat}\r\n")), "{stat}: {out}");
    }
    assert!(out.ends_with("\r\nEND\r\n"));
    bench.says("stats reset\r\n", "RESET\r\n");
    assert!(bench.serve(b"stats\r\n").0.contains("STAT cmd_get 0\r\n"));
    assert!(bench.serve(b"stats settings\r\n").0.contains("STAT item_size_max 1048576\r\n"));
    bench.says("stats nonsense\r\n", "ERROR\r\n");
}

#[test]
fn a_turn_is_bounded_and_loses_nothing() {
    let mut bench = Bench::new(false);
    let value = "v".repeat(1024 * 1024 - 100);
    bench.says(&format!("set a 0 0 {}\r\n{value}\r\n", value.len()), "STORED\r\n");
    let input = "get a\r\n".repeat(20) + "get";
    let (mut at, mut answers, mut turns) = (0, 0, 0);
    loop {
        let (out, outcome) = bench.serve(&input.as_bytes()[at..]);
        assert!(out.len() <= OUTPUT_PER_TURN_BYTES_MAX + value.len() + 100);
        answers += out.matches("END\r\n").count();
        (at, turns) = (at + outcome.consumed, turns + 1);
        if outcome.need > 0 {
            break;
        }
    }
    assert_eq!((answers, at), (20, input.len() - 3));
    assert!(turns >= 4, "{turns}");
    let many = "version\r\n".repeat(REQUESTS_PER_TURN_MAX + 1);
    let (out, outcome) = bench.serve(many.as_bytes());
    assert_eq!((out.matches("VERSION").count(), outcome.need), (REQUESTS_PER_TURN_MAX, 0));
}

#[test]
fn a_session_ends_where_it_must() {
    let mut bench = Bench::new(false);
    let (out, outcome) = bench.serve(b"version\r\nquit\r\nversion\r\n");
    assert_eq!((out.matches("VERSION").count(), outcome.close), (1, true));
    let mut bench = Bench::new(false);
    let (out, outcome) = bench.serve(&[b'x'; 5000]);
    assert_eq!((out.as_str(), outcome.close), ("CLIENT_ERROR line too long\r\n", true));
}

#[test]
fn what_was_there_too_long_is_told_from_what_never_was() {
    let mut bench = Bench::new(false);
    bench.says(
        "set a 0 5 1\r\nx\r\nset b 0 5 1\r\nx\r\nget b\r\n",
        "STORED\r\nSTORED\r\nVALUE b 0 1\r\nx\r\nEND\r\n",
    );
    bench.now_ms += 10_000;
    bench.says("get a\r\nmg b\r\nget never\r\n", "END\r\nEN\r\nEND\r\n");
    let (stats, _) = bench.serve(b"stats\r\n");
    for line in
        ["get_misses 3", "get_expired 2", "get_hits 1", "cmd_get 4", "expired_unfetched 1", "reclaimed 2"]
    {
        assert!(stats.contains(&format!("STAT {line}\r\n")), "{line} in {stats}");
    }
    let (_, _) = bench.serve(b"stats reset\r\n");
    bench.says("get never\r\n", "END\r\n");
    let (stats, _) = bench.serve(b"stats\r\n");
    assert!(stats.contains("STAT get_misses 1\r\n") && stats.contains("STAT get_expired 0\r\n"), "{stats}");
}

#[test]
fn a_run_is_cut_anywhere() {
    let all = "set a 1 0 1\r\nx\r\nget a b a\r\nset b 0 0 2 noreply\r\nyy\r\nget b\r\nincr a 1\r\nget a\r\nset c 0 0 1\r\nzz\r\nget b\r\n";
    let expected = {
        let mut bench = Bench::new(false);
        bench.serve(all.as_bytes()).0
    };
    assert!(
        expected.contains("CLIENT_ERROR bad data chunk\r\n")
            && expected.ends_with("VALUE b 0 2\r\nyy\r\nEND\r\n")
    );
    for cut in 1..all.len() {
        let mut bench = Bench::new(false);
        let (mut said, mut input) = (String::new(), all.as_bytes()[..cut].to_vec());
        let (first, outcome) = bench.serve(&input);
        said += &first;
        input.drain(..outcome.consumed);
        input.extend_from_slice(&all.as_bytes()[cut..]);
        said += &bench.serve(&input).0;
        assert_eq!(said, expected, "{cut}");
    }
}

#[test]
fn users_can_change() {
    let users = |text: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Auth::read(file.path(), false).unwrap()
    };
    let mut bench = Bench::new(false);
    bench.shared.set_auth(users("bob:old"));
    bench.says("set x 0 0 7\r\nbob new\r\n", "CLIENT_ERROR authentication failure\r\n");
    bench.shared.set_auth(users("bob:new"));
    bench.says("set x 0 0 7\r\nbob old\r\n", "CLIENT_ERROR authentication failure\r\n");
    bench.says("set x 0 0 7\r\nbob new\r\n", "STORED\r\n");
    bench.shared.set_auth(users("ann:x"));
    bench.says("get x\r\n", "END\r\n");
}
