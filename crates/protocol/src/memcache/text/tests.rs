use super::*;
use proptest::prelude::*;

const LIMITS: Limits = Limits { item_bytes_max: 1024 * 1024, config_writable: true, strict: false };

/// Everything that a stream asks for, as text, when it arrives in these pieces.
fn read(pieces: &[&[u8]], limits: &Limits) -> Vec<String> {
    let mut parser = Parser::new();
    let mut input = Vec::new();
    let mut found = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let consumed = match parser.step(&input, limits) {
                Ok(Step::Request { request, consumed }) => {
                    found.push(format!("{request:?}"));
                    consumed
                }
                Ok(Step::Nothing { consumed }) => consumed,
                Ok(Step::Incomplete { need }) => {
                    assert!(need > 0);
                    break;
                }
                Err(LineTooLong) => {
                    found.push("too long".into());
                    return found;
                }
            };
            assert!((1..=input.len()).contains(&consumed));
            input.drain(..consumed);
        }
    }
    found
}

fn one(line: &str) -> String {
    let found = read(&[line.as_bytes()], &LIMITS);
    assert!(found.len() <= 1, "{line:?}: {found:?}");
    found.into_iter().next().unwrap_or_default()
}

fn rejected(line: &str) -> String {
    one(line).trim_start_matches("Reject(").trim_end_matches(')').to_owned()
}

#[test]
fn a_value_follows_its_line() {
    let mut parser = Parser::new();
    let input = b"set key 7 60 5 noreply\r\nhe\nlo\r\nrest";
    let request = Request::Store {
        verb: Verb::Set,
        key: b"key",
        flags: 7,
        exptime: 60,
        data: b"he\nlo",
        noreply: true,
    };
    assert_eq!(parser.step(input, &LIMITS), Ok(Step::Request { request, consumed: 31 }));
    assert!(parser.is_idle());
    let mut parser = Parser::new();
    assert_eq!(parser.step(b"cas k 0 0 10 77\r\nabc", &LIMITS), Ok(Step::Incomplete { need: 9 }));
    assert!(!parser.is_idle());
}

#[test]
fn words_are_counted_as_memcached_counts_them() {
    for line in
        ["", " ", "foo", "GET a", "get", "get ", "gat", "set a 0 0", "set a 0 0 1 noreply x", "cas a 0 0 1"]
            .into_iter()
            .chain(["delete", "delete a 0 noreply x", "incr n", "incr n 1 2 3", "touch n", "flush_all 1 2 3"])
            .chain(["verbosity", "verbosity 1 2 3", "config", "config get", "set a\0b 0 0 1"])
    {
        assert_eq!(rejected(&format!("{line}\r\n")), "Unknown", "{line:?}");
    }
    for line in ["set a 0 0 x", "set a 0 0 -1", "set a x 0 1", "set a -1 0 1", "set a 0 0 2147483646"]
        .into_iter()
        .chain(["set a 0 9223372036854775808 1", "cas a 0 0 1 x", "verbosity x", "verbosity -1"])
    {
        assert_eq!(rejected(&format!("{line}\r\n")), "BadFormat", "{line:?}");
    }
    for line in ["delete a 1", "delete a b c", "delete a foo"] {
        assert_eq!(rejected(&format!("{line}\r\n")), "DeleteUsage", "{line:?}");
    }
    assert_eq!(rejected("incr n -1\r\n"), "BadDelta");
    assert_eq!(rejected("gat x n\r\n"), "BadExptime");
    assert_eq!(rejected("incr n x noreply\r\n"), "");
}

#[test]
fn newer_versions_read_lines_strictly() {
    let strict = |text: &str| read(&[text.as_bytes()], &Limits { strict: true, ..LIMITS }).join(" ");
    for line in [
        "",
        " ",
        "x",
        "get",
        "gat 0",
        "set a 0 0",
        "cas a 0 0",
        "delete",
        "incr n",
        "incr noreply",
        "touch n",
    ]
    .into_iter()
    .chain(["set a 0 0 +1", "set a 0 0 x noreply", "set a 0 0 -1", "verbosity", "verbosity +1", "mg"])
    .chain(["set a 0 0 2147483646", "set a 0 0 000000000001"])
    {
        assert_eq!(strict(&format!("{line}\r\n")), "Reject(BadFormat)", "{line:?}");
    }
    assert_eq!(strict("mx\n"), "Reject(BadFormat)");
    assert_eq!(strict("mx\r\n get a\r\n"), "Reject(Unknown) Reject(Unknown)");
    assert_eq!(strict("foo noreply\r\nnoreply \r\n"), "");
    assert_eq!(strict("x y z HTTP/1.1\r\n"), "Quit");
    // Words beyond those of a request are passed over, and `noreply` is the last of the first 23.
    for (line, noreply) in [("touch a 5 c", false), ("touch a 5 x noreply", true), ("delete noreply", true)] {
        let found = strict(&format!("{line}\r\n"));
        assert!(found.ends_with(&format!("noreply: {noreply} }}")), "{found}");
    }
    for (words, noreply) in [(20, true), (21, false), (40, false)] {
        let found = strict(&format!("touch a {}noreply\r\n", "0 ".repeat(words)));
        assert!(found.ends_with(&format!("noreply: {noreply} }}")), "{words}: {found}");
    }
    for line in ["delete a 1", "delete a b c", "delete a 0 noreply x"] {
        assert_eq!(strict(&format!("{line}\r\n")), "Reject(DeleteUsage)", "{line:?}");
    }
    for line in ["incr n +1", "incr n -0", "incr n 1\t", "incr n 00000000000000000000001"] {
        assert_eq!(strict(&format!("{line}\r\n")), "Reject(BadDelta)", "{line:?}");
    }
    assert!(strict("incr n 0000000000000000000001\r\n").contains("delta: 1,"));
    for line in ["touch n +5", "touch n 2147483648", "gat 5\t n", "flush_all 000000000005"] {
        assert_eq!(strict(&format!("{line}\r\n")), "Reject(BadExptime)", "{line:?}");
    }
    assert!(strict("touch n -\r\n").contains("exptime: 0,"));
    // A value behind a line that is refused is dropped; a NUL is a byte of a key.
    for line in ["set a x 0 2", "cas a 0 0 2", "cas a 0 0 2 +5", "add a 0 x 2"] {
        assert_eq!(strict(&format!("{line}\r\nab\r\nversion\r\n")), "Reject(BadFormat) Version", "{line:?}");
        assert_eq!(strict(&format!("{line} noreply\r\nab\r\nversion\r\n")), "Version", "{line:?}");
    }
    assert!(strict("delete a\0b\r\n").contains("key: [97, 0, 98]"));
    assert_eq!(strict(&format!("get {}\r\n", "k".repeat(KEY_BYTES_MAX + 1))), "Reject(KeyOfGet)");
}

#[test]
fn keys_have_a_length() {
    let key = "k".repeat(KEY_BYTES_MAX);
    for line in ["get a K", "gets K", "delete K", "incr K 1", "touch K 1", "gat 0 K", "set K 0 0 1"] {
        assert_eq!(rejected(&format!("{}\r\n", line.replace('K', &format!("{key}x")))), "BadFormat");
        assert!(!rejected(&format!("{}\r\n", line.replace('K', &key))).contains("BadFormat"));
    }
}

#[test]
fn numbers_are_read_like_strtoull() {
    for (word, value) in [("0", 0), ("+1", 1), ("007", 7), ("-0", 0), ("\t5", 5), ("5\tx", 5)]
        .into_iter()
        .chain([("18446744073709551615", u64::MAX), ("-18446744073709551615", 1)])
    {
        assert_eq!(unsigned(word.as_bytes()), Some(value), "{word:?}");
    }
    for word in ["", "-", "+", "++1", "x", "1x", "0x1", "-1", "18446744073709551616", "\t"] {
        assert_eq!(unsigned(word.as_bytes()), None, "{word:?}");
    }
    assert_eq!(signed(b"-9223372036854775808"), Some(i64::MIN));
    assert_eq!(signed(b"9223372036854775808"), None);
}

#[test]
fn a_value_that_is_too_large_is_skipped() {
    let limits = Limits { item_bytes_max: item_bytes(1, 10, 0), ..LIMITS };
    let fits = read(&[b"set a 0 0 10\r\n0123456789\r\n"], &limits);
    assert!(fits[0].starts_with("Store"), "{fits:?}");
    let skipped = read(&[b"set a 0 0 11\r\n01234", b"567890\r\nversion\r\n"], &limits);
    assert_eq!(skipped.len(), 3, "{skipped:?}");
    assert!(skipped[0].starts_with("Oversized") && skipped[1].contains("TooLarge"));
    assert_eq!(skipped[2], "Version");
    let silent = read(&[b"set a 0 0 11 noreply\r\n01234567890\r\nversion\r\n"], &limits);
    assert_eq!(silent.len(), 2, "{silent:?}");
}

#[test]
fn a_bad_chunk_takes_as_many_bytes_as_were_announced() {
    assert_eq!(read(&[b"set a 0 0 3\r\nabcd\r\n"], &LIMITS), ["Reject(BadChunk)", "Reject(Unknown)"]);
    assert_eq!(read(&[b"set a 0 0 3 noreply\r\nabcd\r\n"], &LIMITS), ["Reject(Unknown)"]);
}

#[test]
fn web_browsers_are_turned_away() {
    for (line, expected) in [
        ("POST / HTTP/1.1\r\n", "Quit"),
        ("x y HTTP/\r\n", "Quit"),
        ("GET / HTTP/1.1 x\r\n", "Reject(Unknown)"),
        ("GET / http/1.1\r\n", "Reject(Unknown)"),
        ("x HTTP/1.1\r\n", "Reject(Unknown)"),
        ("GET /\r\n", "Reject(Unknown)"),
    ] {
        assert_eq!(one(line), expected, "{line:?}");
    }
    assert!(one("get / HTTP/1.1\r\n").starts_with("Get"));
}

#[test]
fn only_lines_of_keys_may_be_long() {
    let keys = format!("  get {}\r\n", "key ".repeat(2000));
    assert!(one(&keys).starts_with("Get"));
    assert_eq!(one(&"x".repeat(LINE_BYTES_MAX + 1)), "too long");
    assert_eq!(one(&format!("{}\r\n", "x".repeat(LINE_BYTES_MAX + 1))), "too long");
    assert_eq!(one(&format!("get {}", "k ".repeat(KEYS_LINE_BYTES_MAX))), "too long");
}

#[test]
fn settings_are_written_only_by_whom_they_may_be() {
    let line = b"config set cluster 0 3\r\nabc\r\nconfig get cluster\r\nconfig delete cluster\r\n";
    let open = read(&[line], &LIMITS);
    assert!(open[0].starts_with("ConfigSet") && open[2].starts_with("ConfigDelete"), "{open:?}");
    let closed = read(&[line], &Limits { config_writable: false, ..LIMITS });
    assert_eq!(closed.iter().filter(|found| *found == "Reject(Unknown)").count(), 3, "{closed:?}");
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just("get "),
        Just("gets "),
        Just("set "),
        Just("cas "),
        Just("add "),
        Just("incr "),
        Just("delete "),
        Just("touch "),
        Just("gat "),
        Just("flush_all "),
        Just("verbosity "),
        Just("stats "),
        Just("config "),
        Just("cluster "),
        Just("noreply"),
        Just("\r\n"),
        Just("\n"),
        Just("a "),
        Just("b "),
        Just("0 "),
        Just("1 "),
        Just("3 "),
        Just("-1 "),
        Just("40 "),
        Just("abc\r\n"),
        Just("set a 0 0 3\r\nabc\r\n"),
        Just("set a 0 0 40\r\n"),
    ];
    prop_oneof![8 => word.prop_map(|word| word.as_bytes().to_vec()), 1 => prop::collection::vec(any::<u8>(), 0..8)]
}

proptest! {
    #[test]
    fn any_split_reads_the_same(
        pieces in prop::collection::vec(piece(), 0..40),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        strict in any::<bool>(),
    ) {
        let limits = Limits { item_bytes_max: item_bytes(1, 20, 0), strict, ..LIMITS };
        let whole = pieces.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len() + 1)).collect();
        cuts.push(0);
        cuts.push(whole.len());
        cuts.sort_unstable();
        let parts: Vec<&[u8]> = cuts.windows(2).map(|pair| &whole[pair[0]..pair[1]]).collect();
        prop_assert_eq!(read(&parts, &limits), read(&[&whole], &limits));
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        prop_assert_eq!(read(&bytes, &limits), read(&[&whole], &limits));
    }
}
