//! The binary protocol. CAS uniques of answers are compared by whether there is one.

use super::{Both, Ours, PIECE_BYTES_MAX, Random, now_ms};
use larder_protocol::memcache::binary::{HEADER_BYTES, Header, REQUEST, Status, respond};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Marks the end of a conversation.
const LAST: u32 = 0xfeed_face;

fn frame(opcode: u8, extras: &[u8], key: &[u8], value: &[u8], cas: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let header = Header { opcode, opaque: u32::from(opcode) + 7, ..Header::default() };
    respond(&mut bytes, &header, Status::Success, (extras, key, value), cas);
    bytes[0] = REQUEST;
    bytes
}

fn end() -> Vec<u8> {
    let mut bytes = frame(0x0a, b"", b"", b"", 0);
    bytes[12..16].copy_from_slice(&LAST.to_be_bytes());
    bytes
}

/// Takes the answers apart; CAS uniques become 1.
fn answers(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut list = Vec::new();
    while bytes.len() >= HEADER_BYTES {
        let body = u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize;
        let (one, rest) = bytes.split_at(HEADER_BYTES + body);
        let mut one = one.to_vec();
        let has_cas = one[16..24] != [0; 8];
        one[16..24].copy_from_slice(&u64::from(has_cas).to_be_bytes());
        list.push(one);
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half an answer: {bytes:?}");
    list
}

impl Both {
    fn theirs(&self, input: &[u8]) -> Vec<u8> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.original.port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let _ = socket.write_all(input); // it closes in the middle of what it does not like
        let (mut answer, mut piece) = (Vec::new(), [0; 65536]);
        while !answer.ends_with(&end()[8..]) {
            match socket.read(&mut piece) {
                Ok(0) => break,
                Ok(len) => answer.extend_from_slice(&piece[..len]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!("{error}"),
            }
        }
        answer
    }

    #[track_caller]
    fn same_frames(&self, frames: &[Vec<u8>]) {
        let input = [frames.concat(), end()].concat();
        let (theirs, ours) = (answers(&self.theirs(&input)), answers(&Ours::ask(&self.ours, &input)));
        assert_eq!(theirs, ours, "{}\n{frames:?}", self.seed);
        let piece_bytes = 1 + input.len() % PIECE_BYTES_MAX;
        let apart = answers(&self.apart.ask_apart(&input, piece_bytes));
        assert_eq!(theirs, apart, "{} in pieces of {piece_bytes}\n{frames:?}", self.seed);
    }
}

fn store(opcode: u8, key: &[u8], flags: u32, exptime: u32, value: &[u8], cas: u64) -> Vec<u8> {
    frame(opcode, &[flags.to_be_bytes(), exptime.to_be_bytes()].concat(), key, value, cas)
}

fn count(opcode: u8, key: &[u8], delta: u64, initial: u64, exptime: u32) -> Vec<u8> {
    let extras = [&delta.to_be_bytes()[..], &initial.to_be_bytes(), &exptime.to_be_bytes()].concat();
    frame(opcode, &extras, key, b"", 0)
}

#[test]
fn binary_requests_are_answered_alike() {
    let Some(both) = Both::start("binary".into()) else { return };
    let (a, long) = (b"a", [b'k'; 251]);
    let plain = |opcode, key| frame(opcode, b"", key, b"", 0);
    let touch = |opcode: u8, key: &[u8]| frame(opcode, &100u32.to_be_bytes(), key, b"", 0);
    let there = || store(0x01, a, 5, 0, b"hi", 0);
    for opcode in [0x00, 0x09, 0x0c, 0x0d, 0x04, 0x14] {
        both.same_frames(&[plain(0x08, b""), plain(opcode, a), there(), plain(opcode, a), plain(opcode, a)]);
        for wrong in [plain(opcode, b""), plain(opcode, &long), frame(opcode, b"1234", a, b"", 0)] {
            both.same_frames(&[there(), wrong]);
        }
    }
    for opcode in [0x01, 0x02, 0x03, 0x11, 0x12, 0x13] {
        for before in [vec![], vec![there()]] {
            for cas in [0, 99_999_999] {
                let mut frames = vec![plain(0x08, b"")];
                frames.extend(before.clone());
                frames.push(store(opcode, a, 7, 100, b"value", cas));
                frames.push(plain(0x0c, a));
                both.same_frames(&frames);
            }
        }
        both.same_frames(&[store(opcode, &long, 0, 0, b"x", 0)]);
        both.same_frames(&[store(opcode, b"", 0, 0, b"x", 0)]);
        both.same_frames(&[frame(opcode, b"", a, b"x", 0)]);
        both.same_frames(&[there(), store(opcode, a, 0, 0, &vec![b'x'; 2_000_000], 0), plain(0x00, a)]);
        both.same_frames(&[plain(0x08, b""), store(opcode, a, 0, u32::MAX, b"x", 0), plain(0x00, a)]);
    }
    for opcode in [0x0e, 0x0f, 0x19, 0x1a] {
        both.same_frames(&[plain(0x08, b""), frame(opcode, b"", a, b"x", 0), plain(0x00, a)]);
        both.same_frames(&[there(), frame(opcode, b"", a, b"x", 0), plain(0x00, a)]);
        both.same_frames(&[there(), frame(opcode, b"", a, b"x", 99_999_999), plain(0x00, a)]);
        both.same_frames(&[there(), frame(opcode, b"", a, &vec![b'x'; 2_000_000], 0), plain(0x00, a)]);
        both.same_frames(&[there(), store(opcode, a, 0, 0, b"x", 0)]);
    }
    for opcode in [0x05, 0x06, 0x15, 0x16] {
        for exptime in [0, u32::MAX] {
            let counted = count(opcode, b"n", 5, 100, exptime);
            both.same_frames(&[plain(0x08, b""), counted.clone(), counted, plain(0x00, b"n")]);
        }
        both.same_frames(&[there(), count(opcode, a, 1, 1, 0), plain(0x00, a)]);
        both.same_frames(&[frame(opcode, &[0; 8], a, b"", 0)]);
        both.same_frames(&[
            store(0x01, b"n", 3, 0, b"18446744073709551615", 0),
            count(opcode, b"n", 3, 0, 0),
        ]);
    }
    for opcode in [0x1c, 0x1d, 0x1e, 0x23, 0x24] {
        both.same_frames(&[plain(0x08, b""), touch(opcode, a), there(), touch(opcode, a)]);
        both.same_frames(&[there(), plain(opcode, a)]);
    }
    for opcode in [0x08, 0x18, 0x0a, 0x0b, 0x07, 0x17, 0x1f, 0x20, 0x21, 0x22, 0xff] {
        both.same_frames(&[there(), plain(opcode, b""), plain(0x00, a)]);
    }
    for opcode in [0x0a, 0x0b, 0x08] {
        both.same_frames(&[plain(opcode, b"x")]);
    }
    both.same_frames(&[frame(0x08, &0u32.to_be_bytes(), b"", b"", 0)]);
    both.same_frames(&[frame(0x08, b"ab", b"", b"", 0)]);
    for word in [&b"foo"[..], b"cachedump", b"cachedump 1 10"] {
        both.same_frames(&[frame(0x10, b"", word, b"", 0)]);
    }
    // The length fits where the item does not.
    let large = vec![b'v'; 1024 * 1024 + 1];
    let small = store(0x01, b"large", 0, 0, b"small", 0);
    both.same_frames(&[small, store(0x01, b"large", 0, 0, &large, 0), frame(0x00, b"", b"large", b"", 0)]);
    for word in ["detail on", "detail dump", "detail off", "detail", "sizes", "reset"] {
        both.same_frames(&[there(), frame(0x10, b"", word.as_bytes(), b"", 0)]);
    }
    let mut lies = plain(0x00, a);
    lies[3] = 20;
    both.same_frames(&[lies]);
}

#[test]
fn random_binary_conversations_are_answered_alike() {
    let seed = std::env::var("LARDER_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(now_ms);
    let rounds = std::env::var("LARDER_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(400);
    let Some(both) = Both::start(format!("LARDER_SEED={seed}")) else { return };
    let mut random = Random(seed);
    for _ in 0..rounds {
        let frames: Vec<Vec<u8>> = (0..1 + random.next() % 12).map(|_| request(&mut random)).collect();
        both.same_frames(&frames);
    }
}

fn request(random: &mut Random) -> Vec<u8> {
    const STORES: [u8; 6] = [0x01, 0x02, 0x03, 0x11, 0x12, 0x13];
    const READS: [u8; 6] = [0x00, 0x09, 0x0c, 0x0d, 0x04, 0x14];
    const JOINS: [u8; 4] = [0x0e, 0x0f, 0x19, 0x1a];
    const COUNTS: [u8; 2] = [0x05, 0x15];
    const TOUCHES: [u8; 5] = [0x1c, 0x1d, 0x1e, 0x23, 0x24];
    let pick = |random: &mut Random, from: &[u8]| from[random.next() as usize % from.len()];
    let key = random.pick(&["a", "b", "a key"]).as_bytes();
    let cas = if random.next().is_multiple_of(8) { 99_999_999 } else { 0 };
    match random.next() % 7 {
        0 | 1 => {
            let (flags, time) = (random.next() as u32, pick(random, &[0, 0, 100]));
            store(
                pick(random, &STORES),
                key,
                flags,
                u32::from(time),
                random.pick(&["x", "", "text"]).as_bytes(),
                cas,
            )
        }
        2 | 3 => frame(pick(random, &READS), b"", key, b"", 0),
        4 => frame(pick(random, &JOINS), b"", key, b"+", cas),
        5 => count(pick(random, &COUNTS), b"n", random.next() % 1000, 5, 0),
        _ => frame(pick(random, &TOUCHES), &100u32.to_be_bytes(), key, b"", 0),
    }
}
