//! Every parser of the engine bears any bytes: what its fuzz target asserts, asserted of sound inputs, of sound inputs with
//! damage, and of noise. The same on the stable compiler for everybody; the fuzz targets go on for as long as one likes.
//! `LARDER_SEED` repeats a run, `LARDER_ROUNDS` makes it longer.

#![expect(clippy::print_stdout, reason = "the seed of a run, to repeat it")]
#![expect(unreachable_pub, reason = "the targets are public where they are fuzzed")]

#[path = "../../../../fuzz/src/aof_file.rs"]
mod aof_file;
#[path = "../../../../fuzz/src/config_file.rs"]
mod config_file;
#[path = "../../../../fuzz/src/dump_payload.rs"]
mod dump_payload;
#[path = "../../../../fuzz/src/glob.rs"]
mod glob;
#[path = "../../../../fuzz/src/handshake.rs"]
mod handshake;
#[path = "../../../../fuzz/src/memcache_binary.rs"]
mod memcache_binary;
#[path = "../../../../fuzz/src/memcache_meta.rs"]
mod memcache_meta;
#[path = "../../../../fuzz/src/memcache_quick.rs"]
mod memcache_quick;
#[path = "../../../../fuzz/src/memcache_text.rs"]
mod memcache_text;
mod noise;
#[path = "../../../../fuzz/src/rdb_file.rs"]
mod rdb_file;
#[path = "../../../../fuzz/src/resp_request.rs"]
mod resp_request;
#[path = "../../../../fuzz/src/resp_value.rs"]
mod resp_value;

use larder_rdb::dump;
use larder_store::ValueRef;
use larder_store::object::{End, Hash, Limits, List, Set, SortedSet};
use noise::Noise;

/// Inputs per target unless told.
const ROUNDS: u64 = 4000;

fn each(name: &str, sound: &[&[u8]], words: &[&[u8]], mut run: impl FnMut(&mut Noise, &[u8])) {
    let mut noise = Noise::new(name, ROUNDS);
    println!("{name}: LARDER_SEED={}", noise.seed);
    sound.iter().for_each(|input| run(&mut noise, input));
    for _ in 0..noise.rounds {
        let input = noise.input(sound, words);
        run(&mut noise, &input);
    }
}

const RESP: &[&[u8]] = &[
    b"*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10\r\n0123456789\r\n",
    b"SET k \"v \\x41\" 'q'\r\nPING\r\n",
    b"*-1\r\n*0\r\n\r\n*2\r\n$0\r\n\r\n$1\r\na\r\n",
];
const RESP_WORDS: &[&[u8]] =
    &[b"*", b"$", b"\r\n", b"-1", b"99999999999999999999", b"$536870913", b"\"", b"'", b"\\x"];

#[test]
fn resp_requests() {
    each("resp_request", RESP, RESP_WORDS, |noise, input| {
        let sizes = noise.bytes(8);
        resp_request::run((noise.next().is_multiple_of(2), sizes, input));
    });
}

#[test]
fn resp_values() {
    let sound: &[&[u8]] = &[
        b"*2\r\n$3\r\nfoo\r\n:-42\r\n",
        b"%1\r\n+a\r\n~2\r\n#t\r\n,1.5e3\r\n",
        b">2\r\n=7\r\ntxt:abc\r\n(123456789012345678901\r\n",
        b"_\r\n-ERR x\r\n!5\r\nERR y\r\n|1\r\n+k\r\n+v\r\n+x\r\n",
    ];
    let words: &[&[u8]] =
        &[b"*", b"%", b"~", b">", b"|", b",nan\r\n", b",inf\r\n", b"$-1\r\n", b"*-1\r\n", b"\r\n"];
    each("resp_value", sound, words, |_, input| resp_value::run(input));
}

const MEMCACHED: &[&[u8]] = &[
    b"set a 1 0 5\r\nhello\r\nget a b c\r\ngets a\r\n",
    b"get key\r\nset key 5 100 3 noreply\r\nabc\r\nget a\r\n",
    b"cas a 0 0 1 7\r\nx\r\nincr a 1\r\ntouch a 5 noreply\r\ngat 5 a b\r\nflush_all 3\r\n",
    b"ms a 5 T0 F1 c\r\nhello\r\nmg a v t f k O1 N30\r\nmd a q\r\nma a N0 J5 D2\r\nmn\r\nme a\r\n",
    b"mg Zm9v b v\r\nms Zm9v 2 b MA I\r\nab\r\nwatch fetchers\r\nstats items\r\nconfig set c 0 2\r\nab\r\n",
];
const MEMCACHED_WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b" ",
    b"noreply",
    b"4294967296",
    b"-1",
    b"set ",
    b"get ",
    b"ms ",
    b" b",
    b"\0",
    b"kkkkkkkkkkkkkkkk",
];

#[test]
fn memcached_text() {
    each("memcache_text", MEMCACHED, MEMCACHED_WORDS, |noise, input| {
        memcache_text::run((noise.bytes(8), input));
    });
}

#[test]
fn memcached_the_quick_way() {
    each("memcache_quick", MEMCACHED, MEMCACHED_WORDS, |_, input| memcache_quick::run(input));
}

#[test]
fn memcached_meta() {
    let sound: &[&[u8]] =
        &[b"key v t f c", b"Zm9v b k O123 N30 R5", b"a 5 T0 F1 MA C5 E9", b"a N0 J5 D2 MD q"];
    let words: &[&[u8]] =
        &[b" ", b"b", b"C18446744073709551616", b"M", b"F-1", b"O", b"=", b"kkkkkkkkkkkkkkkkkkkkkkkkkkk"];
    each("memcache_meta", sound, words, |noise, input| memcache_meta::run((noise.next() as u8, input)));
}

#[test]
fn memcached_binary() {
    let set = b"\x80\x01\0\x03\x08\0\0\0\0\0\0\x0d\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0\0keyhi";
    let get = b"\x80\x00\0\x03\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\0key";
    let words: &[&[u8]] = &[b"\x80", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x24"];
    each("memcache_binary", &[set, get], words, |_, input| memcache_binary::run(input));
}

#[test]
fn globs() {
    let sound: &[&[u8]] = &[b"h[a-c]llo*?", b"*a*b*c*", b"\\*[^x]", b"[\\]z-a]"];
    let words: &[&[u8]] = &[b"*", b"?", b"[", b"]", b"\\", b"^", b"-", b"aaaa"];
    each("glob", sound, words, |noise, input| {
        let cut = noise.below(input.len() + 1);
        glob::run((&input[..cut], &input[cut..]));
    });
}

#[test]
fn configurations() {
    let sound: &[&[u8]] = &[
        b"port 7000\nmaxmemory 100mb\n# note\nsave 60 1\nuser a on >pw ~* +@all\n",
        b"client-output-buffer-limit pubsub 1mb 1mb 10\nbind 127.0.0.1 ::1\n\"timeout\" '5'\n",
        b"memcached-port 11211\nmemcached-max-item-size 2mb\nappendonly yes\nloglevel debug\n",
    ];
    let words: &[&[u8]] =
        &[b"\n", b"\"", b"'", b"\\x0", b"yes", b"-1", b"99999999999999999999gb", b"save", b"user"];
    each("config_file", sound, words, |_, input| config_file::run(input));
}

/// Values of every type, as DUMP has them.
fn payloads() -> Vec<Vec<u8>> {
    let limits = Limits { hash_max_listpack_entries: 4, zset_max_listpack_entries: 4, ..Limits::default() };
    let (mut list, mut set, mut numbers) = (List::default(), Set::default(), Set::default());
    let (mut hash, mut sorted) = (Hash::default(), SortedSet::new());
    let mut all = Vec::new();
    for n in 0..12_u32 {
        let text = format!("member {n}").into_bytes();
        list.push(End::Right, &text, &limits);
        set.insert(&text, &limits);
        numbers.insert(n.to_string().as_bytes(), &limits);
        hash.insert(&text, b"value", &limits);
        sorted.insert(&text, f64::from(n) / 3.0, &limits);
        if n == 2 || n == 11 {
            for value in [
                ValueRef::List(&list),
                ValueRef::Set(&set),
                ValueRef::Set(&numbers),
                ValueRef::Hash(&hash),
                ValueRef::SortedSet(&sorted),
                ValueRef::String(&text.repeat(30)),
                ValueRef::Integer(i64::from(n)),
            ] {
                all.push(dump::write(&value));
            }
        }
    }
    all
}

#[test]
fn payloads_of_restore() {
    let payloads = payloads();
    // Without version and sum, which no damaged one would pass.
    let bodies: Vec<&[u8]> = payloads.iter().map(|payload| &payload[..payload.len() - 10]).collect();
    let words: &[&[u8]] =
        &[b"\xff", b"\0", b"\xfe", b"\xc3", b"\x81\xff\xff\xff\xff\xff\xff\xff\xff", b"\x0f", b"\x15"];
    each("dump_payload", &bodies, words, |_, input| dump_payload::run(input));
    payloads.iter().for_each(|payload| assert!(dump::verified(payload).is_some()));
}

#[test]
fn snapshot_files() {
    let mut sound = Vec::new();
    for payload in payloads() {
        // The kind, the key, the value; then the end.
        let mut file = b"REDIS0011\xfa\x05redis\x057.2.0\xfe\0\xfb\x01\0".to_vec();
        file.push(payload[0]);
        file.extend_from_slice(b"\x01k");
        file.extend_from_slice(&payload[1..payload.len() - 10]);
        file.extend_from_slice(b"\xff\0\0\0\0\0\0\0\0");
        sound.push(file);
    }
    let sound: Vec<&[u8]> = sound.iter().map(Vec::as_slice).collect();
    let words: &[&[u8]] = &[
        b"\xff",
        b"\xfe",
        b"\xfd",
        b"\xfc",
        b"\xfa",
        b"\xf7",
        b"\xf5",
        b"\x80\x7f\xff\xff\xff",
        b"REDIS0003",
    ];
    each("rdb_file", &sound, words, |_, input| rdb_file::run(input));
}

#[test]
fn append_only_files() {
    let sound: &[&[u8]] = &[
        b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n",
        b"#TS:1700000000\r\n*1\r\n$5\r\nMULTI\r\n*1\r\n$4\r\nEXEC\r\n",
        b"file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n",
        b"file \"a \\x41.aof\" seq 2 type h\n# note\n",
    ];
    let words: &[&[u8]] =
        &[b"*", b"$", b"\r\n", b"\n", b"seq", b"type", b"file", b"../", b"99999999999999999999", b"\""];
    each("aof_file", sound, words, |_, input| aof_file::run(input));
}

#[test]
fn handshakes() {
    let sound: &[&[u8]] = &[
        b"\x00+PONG\n+OK\n+OK\n+OK\n-ERR unknown\n\n+FULLRESYNC 0123456789abcdef0123456789abcdef01234567 17\n",
        b"\x03-NOAUTH x\n+OK\n+OK\n+OK\n+OK\n+OK\n+CONTINUE 0123456789abcdef0123456789abcdef01234567",
        b"\x01+PONG\n+OK\n+OK\n+OK\n+OK\n+CONTINUE",
        b"\x00REPLCONF listening-port 6380\r\nREPLCONF capa eof capa psync2\r\nREPLCONF ack 17 fack 5\r\nPSYNC ? -1\r\n",
        b"\x00PSYNC 0123456789abcdef0123456789abcdef01234567 100 FAILOVER\r\nREPLCONF version 9.1.2 rdb-only 1\r\n",
        b"\x00$EOF:0123456789abcdef0123456789abcdef01234567\n$123",
    ];
    let words: &[&[u8]] = &[
        b"REPLCONF ",
        b"PSYNC ",
        b"ip-address ",
        b"ack ",
        b"-9223372036854775808",
        b"9223372036854775807",
        b"18446744073709551615",
        b"+FULLRESYNC ",
        b"+CONTINUE ",
        b"\r\n",
        b"0123456789abcdef0123456789abcdef01234567",
    ];
    each("handshake", sound, words, |_, input| handshake::run(input));
}
