//! The handshake of replication from both ends: whatever a primary answers, a replica comes to an end of it or waits, and what
//! it asks is understood; whatever a replica says, a primary believes no more than what can be.

use larder_engine::replication::greeting::{Asked, Facts, IP_BYTES_MAX, Told};
use larder_engine::replication::handshake::{Answer, Body, Handshake, Next, Wishes, body};
use larder_engine::replication::history::is_id;
use larder_protocol::resp::args::Args;
use larder_protocol::resp::request::{Limits, Parser, Step};

/// A replica sends each of its requests once.
const REQUESTS_MAX: usize = 7;
const ID: &str = "0123456789abcdef0123456789abcdef01234567";

/// The requests in some bytes, as far as they are such.
fn requests(mut input: Vec<u8>, mut each: impl FnMut(&Args<'_>)) {
    let limits = Limits { bulk_bytes_max: 1 << 20, unauthenticated: false };
    let mut parser = Parser::new();
    while !input.is_empty() {
        let mut ranges = Vec::new();
        let consumed = match parser.step(&mut input, &mut ranges, &limits) {
            Ok(Step::Command { consumed }) => {
                each(&Args::new(&input, &ranges));
                consumed
            }
            Ok(Step::Nothing { consumed }) => consumed,
            Ok(Step::Incomplete { .. }) | Err(_) => return,
        };
        input.drain(..consumed);
    }
}

/// A primary hears a request: what it makes of it.
fn hear(facts: &mut Facts, args: &Args<'_>) -> bool {
    match args.get(0).to_ascii_uppercase().as_slice() {
        b"REPLCONF" => {
            let told = facts.take(args);
            assert!(facts.ip.as_ref().is_none_or(|ip| ip.chars().count() <= IP_BYTES_MAX));
            if let Ok(Told::Reached { offset, on_disk }) = told {
                assert!(offset <= i64::MAX as u64 && on_disk.is_none_or(|at| at <= i64::MAX as u64));
            }
            told == Ok(Told::Noted)
        }
        b"PSYNC" if args.len() >= 3 => {
            let asked = Asked::read(args);
            if let Ok(Asked { id, position: Some(position), .. }) = &asked {
                assert!(is_id(id) && *position < i64::MAX as u64);
            }
            asked.is_ok()
        }
        _ => true,
    }
}

/// A replica speaks to a primary that answers these lines.
fn speak(resumes: bool, password: bool, lines: &[u8]) {
    let wishes = Wishes {
        password: if password { "secret".to_owned() } else { String::new() },
        port: 6380,
        ip: "10.0.0.7".to_owned(),
        resume: resumes.then(|| (ID.to_owned(), i64::MAX as u64 - 1)),
        ..Wishes::default()
    };
    let (mut handshake, first) = Handshake::begin(wishes);
    let (mut facts, mut sent) = (Facts::default(), vec![first]);
    for line in lines.split(|byte| *byte == b'\n') {
        if let Ok(Body::Mark(mark)) = body(line) {
            assert_eq!(mark.len(), ID.len());
        }
        match handshake.line(line) {
            Ok(Next::Send(request)) => sent.push(request),
            Ok(Next::Wait) => assert!(line.is_empty()),
            Ok(Next::Done(answer)) => {
                match answer {
                    Answer::Full { id, offset } => assert!(is_id(&id) && offset <= i64::MAX as u64),
                    Answer::Continue { id } => assert!(resumes && id.is_none_or(|id| is_id(&id))),
                }
                break;
            }
            Err(_) => break,
        }
        assert!(sent.len() <= REQUESTS_MAX);
    }
    for request in sent {
        let mut heard = 0;
        requests(request, |args| heard += usize::from(hear(&mut facts, args)));
        assert_eq!(heard, 1);
    }
}

/// Reads the input and asserts what must hold of it.
pub fn run(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else { return };
    speak(first & 1 != 0, first & 2 != 0, rest);
    let mut facts = Facts::default();
    requests(rest.to_vec(), |args| {
        hear(&mut facts, args);
    });
}
