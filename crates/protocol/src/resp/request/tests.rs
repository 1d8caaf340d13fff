use super::*;
use crate::resp::args::Args;
use proptest::prelude::*;

const LIMITS: Limits = Limits { bulk_bytes_max: 512 * 1024 * 1024, unauthenticated: false };

/// Commands, and the error that ended the stream, when it arrives in these pieces.
fn read(pieces: &[&[u8]], limits: &Limits) -> Vec<String> {
    let (mut parser, mut input, mut found) = (Parser::new(), Vec::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let mut args = Vec::new();
            let consumed = match parser.step(&mut input, &mut args, limits) {
                Ok(Step::Command { consumed }) => {
                    let shown: Vec<_> =
                        Args::new(&input, &args).iter().map(|arg| arg.escape_ascii().to_string()).collect();
                    found.push(shown.join("|"));
                    consumed
                }
                Ok(Step::Nothing { consumed }) => consumed,
                Ok(Step::Incomplete { need }) => {
                    assert!(need > 0 && args.is_empty());
                    break;
                }
                Err(error) => {
                    found.push(error.to_string());
                    return found;
                }
            };
            assert!((1..=input.len()).contains(&consumed));
            input.drain(..consumed);
        }
    }
    found
}

#[test]
fn whole_arguments_are_settled() {
    let request = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10\r\n0123456789\r\n";
    let settled = |len: usize| {
        let (mut parser, mut args) = (Parser::new(), Vec::new());
        let _ = parser.step(&mut request[..len].to_vec(), &mut args, &LIMITS);
        parser.settled()
    };
    let ends = [(0, 0), (3, 0), (4, 4), (12, 8), (13, 13), (19, 17), (20, 20), (26, 25), (36, 25)];
    ends.iter().for_each(|&(len, expected)| assert_eq!(settled(len), expected, "{len}"));
    assert_eq!(settled(request.len()), 0, "nothing is begun");
}

/// Each was sent to Redis 7.0; this is what it made of it.
#[test]
fn requests_are_read_as_redis_reads_them() {
    for (request, found) in [
        ("*1\r\n$4\r\nPING\r\n", "PING"),
        ("*-1\r\nPING\r\n", "PING"),
        ("*0\r\nPING\r\n", "PING"),
        ("*-10\r\nPING\r\n", "PING"),
        ("PING\n", "PING"),
        ("  \r\nPING\r\n", "PING"),
        ("PING 'a\\'b'\r\n", "PING|a\\\'b"),
        ("PING \"\\x41\\n\"\r\n", "PING|A\\n"),
        ("PING \"\\xg\"\r\n", "PING|xg"),
        ("PING \"\"\r\n", "PING|"),
        ("PING a\"b\"\r\n", "PING|ab"),
        ("PING 'a\\nb'\r\n", "PING|a\\\\nb"),
        ("PING\u{b}foo\r\n", "PING\\x0bfoo"),
        ("PING a\rb\r\n", "PING|a|b"),
        ("*1\r\n$4\r\nPINGxx", "PING"),
        ("*1048577\r\n", ""),
        ("*x\r\n", "Protocol error: invalid multibulk length"),
        ("*2147483648\r\n", "Protocol error: invalid multibulk length"),
        ("*01\r\n", "Protocol error: invalid multibulk length"),
        ("* 1\r\n", "Protocol error: invalid multibulk length"),
        ("*\r\n", "Protocol error: invalid multibulk length"),
        ("*1\r\n$x\r\n", "Protocol error: invalid bulk length"),
        ("*1\r\n$-1\r\n", "Protocol error: invalid bulk length"),
        ("*1\r\n$536870913\r\n", "Protocol error: invalid bulk length"),
        ("*1\r\n$00\r\n", "Protocol error: invalid bulk length"),
        ("*1\r\nPING\r\n", "Protocol error: expected '$', got 'P'"),
        ("PING \"a\r\n", "Protocol error: unbalanced quotes in request"),
        ("PING \"a\"b\r\n", "Protocol error: unbalanced quotes in request"),
        ("PING a\"b\"c\r\n", "Protocol error: unbalanced quotes in request"),
    ] {
        assert_eq!(read(&[request.as_bytes()], &LIMITS).join(" "), found, "{request:?}");
    }
}

#[test]
fn lines_have_a_length() {
    assert_eq!(read(&[&[b'x'; 65537]], &LIMITS), ["Protocol error: too big inline request"]);
    let count = [b"*" as &[u8], &[b'1'; 65540]].concat();
    assert_eq!(read(&[&count], &LIMITS), ["Protocol error: too big mbulk count string"]);
    let bulk = [b"*1\r\n$" as &[u8], &[b'1'; 65540]].concat();
    assert_eq!(read(&[&bulk], &LIMITS), ["Protocol error: too big bulk count string"]);
}

#[test]
fn little_may_be_sent_before_authentication() {
    let limits = Limits { unauthenticated: true, ..LIMITS };
    assert_eq!(read(&[b"*11\r\n"], &limits), ["Protocol error: unauthenticated multibulk length"]);
    assert_eq!(read(&[b"*1\r\n$16385\r\n"], &limits), ["Protocol error: unauthenticated bulk length"]);
    assert!(read(&[b"*10\r\n$16384\r\n"], &limits).is_empty());
}

proptest! {
    #[test]
    fn any_split_reads_the_same(
        commands in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..5), 0..6),
        tail in prop_oneof![Just("".to_owned()), "[*$0-9a-z\"' \r\n-]{0,30}"],
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut whole = Vec::new();
        for args in &commands {
            crate::resp::command(&mut whole, args);
        }
        let encoded = read(&[&whole], &LIMITS);
        let expected: Vec<String> = commands
            .iter()
            .map(|args| args.iter().map(|arg| arg.escape_ascii().to_string()).collect::<Vec<_>>().join("|"))
            .collect();
        prop_assert_eq!(encoded, expected);
        whole.extend_from_slice(tail.as_bytes());
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len() + 1)).collect();
        cuts.extend([0, whole.len()]);
        cuts.sort_unstable();
        let parts: Vec<&[u8]> = cuts.windows(2).map(|pair| &whole[pair[0]..pair[1]]).collect();
        prop_assert_eq!(read(&parts, &LIMITS), read(&[&whole], &LIMITS));
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        prop_assert_eq!(read(&bytes, &LIMITS), read(&[&whole], &LIMITS));
    }
}
