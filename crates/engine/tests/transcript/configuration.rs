//! CONFIG, what `restricted-commands` hides, and whom `allowed-sources` keeps out.

use crate::client::{Session, show};
use crate::node::{On, connect_to, free_port};
use std::net::{TcpListener, TcpStream};

on_every_engine!(
    directives_are_read,
    directives_are_set_all_or_none,
    mistakes_name_the_directive,
    restricted_commands_exist_on_the_unix_socket_only,
    sources_that_are_not_allowed_are_refused_and_counted,
    it_listens_elsewhere_when_it_is_told,
);

fn directives_are_read(on: On) {
    let node = on.node("--timeout 77 --requirepass x");
    let mut session = node.local();
    session.talk(&[
        ("CONFIG GET timeout", "[$timeout, $77]"),
        ("CONFIG GET timeout timeout", "[$timeout, $77]"),
        ("CONFIG GET TIMEOUT", "[$timeout, $77]"),
        ("CONFIG GET nope", "[]"),
        ("CONFIG GET KEY-load-delay", "[$key-load-delay, $0]"),
        ("CONFIG GET key-load-dela?", "[]"),
        ("CONFIG GET time?ut require*", "[$timeout, $77, $requirepass, $x]"),
        ("CONFIG GET io-engine", &format!("[$io-engine, ${}]", on.engine)),
        ("CONFIG GET threads", &format!("[$threads, ${}]", on.workers)),
        ("CONFIG GET", "-ERR wrong number of arguments for 'config|get' command"),
        ("CONFIG", "-ERR wrong number of arguments for 'config' command"),
        ("CONFIG NOPE", "-ERR unknown subcommand 'NOPE'. Try CONFIG HELP."),
        ("CONFIG REWRITE", "-ERR The server is running without a config file"),
    ]);
    let api = if on.engine == "uring" { "io_uring" } else { "epoll" };
    let server = session.ask("INFO server");
    assert!(server.contains(&format!("multiplexing_api:{api}\r\n")), "{server}");
    session.ask("HELLO 3");
    session.says("CONFIG GET timeout", "{$timeout: $77}");
}

fn directives_are_set_all_or_none(on: On) {
    let node = on.node("");
    let (mut session, mut other) = (node.connect(), node.connect());
    session.talk(&[
        ("CONFIG SET maxmemory 1gb timeout 5", "OK"),
        ("CONFIG GET maxmemory", "[$maxmemory, $1073741824]"),
        ("CONFIG SET maxmemory 100mb timeout x", "-ERR CONFIG SET failed (possibly related to argument 'timeout') - argument couldn't be parsed into an integer"),
        ("CONFIG GET maxmemory", "[$maxmemory, $1073741824]"),
    ]);
    other.says("CONFIG GET timeout", "[$timeout, $5]");
    // What is set holds at once, for all workers.
    session.says("CONFIG SET hash-max-listpack-entries 2 proto-max-bulk-len 1mb", "OK");
    other.talk(&[("HSET h a 1 b 2 c 3", ":3"), ("OBJECT ENCODING h", "$hashtable")]);
    other.send("*1\r\n$1048577\r\n");
    assert_eq!(other.rest_text(), "-ERR Protocol error: invalid bulk length\r\n");
}

fn mistakes_name_the_directive(on: On) {
    let node = on.node("");
    let mut session = node.connect();
    session.says("CONFIG SET nope 1", "-ERR Unknown option or number of arguments for CONFIG SET - 'nope'");
    session.says("CONFIG SET maxmemory", "-ERR wrong number of arguments for 'config|set' command");
    session.says("CONFIG SET maxmemory 1 timeout", "-ERR wrong number of arguments for 'config|set' command");
    let range = "argument must be between 1048576 and 9223372036854775807 inclusive";
    for (words, what) in [
        ("maxmemory abc", "argument must be a memory value"),
        ("maxmemory 1 maxmemory 2", "duplicate parameter"),
        ("timeout -1", "argument must be between 0 and 2147483647 inclusive"),
        ("timeout x", "argument couldn't be parsed into an integer"),
        ("maxclients 0", "argument must be between 1 and 4294967295 inclusive"),
        (
            "maxmemory-policy bogus",
            "argument(s) must be one of the following: volatile-lru, volatile-lfu, volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, allkeys-lhd, noeviction",
        ),
        ("client-output-buffer-limit foo", "Wrong number of arguments in buffer limit configuration."),
        ("client-query-buffer-limit 10", range),
        ("proto-max-bulk-len 10", range),
        ("databases 4", "can't set immutable config"),
    ] {
        let name = words.split(' ').next().unwrap();
        let expected = format!("-ERR CONFIG SET failed (possibly related to argument '{name}') - {what}");
        session.says(&format!("CONFIG SET {words}"), &expected);
    }
}

fn restricted_commands_exist_on_the_unix_socket_only(on: On) {
    let node = on.node("--restricted-commands debug config|set shutdown KEYS");
    let (mut session, mut local) = (node.connect(), node.local());
    session.talk(&[
        ("KEYS *", "-ERR unknown command 'KEYS', with args beginning with: '*' "),
        ("keys", "-ERR unknown command 'keys', with args beginning with: "),
        (
            "CONFIG SET timeout 1",
            "-ERR unknown command 'CONFIG', with args beginning with: 'SET' 'timeout' '1' ",
        ),
        ("CONFIG GET timeout", "[$timeout, $0]"),
        ("SHUTDOWN NOSAVE", "-ERR unknown command 'SHUTDOWN', with args beginning with: 'NOSAVE' "),
        ("MULTI", "OK"),
        ("KEYS *", "-ERR unknown command 'KEYS', with args beginning with: '*' "),
        ("EXEC", "-EXECABORT Transaction discarded because of previous errors."),
    ]);
    local.talk(&[
        ("KEYS *", "[]"),
        ("CONFIG SET timeout 100", "OK"),
        ("CONFIG GET timeout", "[$timeout, $100]"),
    ]);
    assert_eq!(show(&local.call(&["CONFIG", "SET", "restricted-commands", "get"])), "OK");
    session
        .talk(&[("KEYS *", "[]"), ("GET k", "-ERR unknown command 'GET', with args beginning with: 'k' ")]);
    local.says("GET k", "nil");
}

fn sources_that_are_not_allowed_are_refused_and_counted(on: On) {
    let node = on.node("");
    let (mut operator, mut open) = (node.local(), node.connect());
    open.says("PING", "PONG");
    operator.talk(&[
        ("CONFIG GET allowed-sources", "[$allowed-sources, $]"),
        ("CONFIG SET allowed-sources none", "OK"),
        ("CONFIG GET allowed-sources", "[$allowed-sources, $none]"),
    ]);
    assert_eq!(node.connect().rest_text(), "", "refused without a word");
    assert_eq!(node.memcached().rest_text(), "");
    assert_eq!(node.info("refused_sources"), 2);
    open.says("PING", "PONG"); // a connection that is open stays
    operator.says("CONFIG SET allowed-sources 127.0.0.0/33", "-ERR CONFIG SET failed (possibly related to argument 'allowed-sources') - argument must be ranges of addresses, or none");
    operator.says("CONFIG SET allowed-sources 127.0.0.0/8", "OK");
    node.connect().says("PING", "PONG");
}

fn it_listens_elsewhere_when_it_is_told(on: On) {
    let node = on.node("");
    let (mut session, old) = (node.connect(), node.port());
    let knock = |address: &str, port: u16| TcpStream::connect((address, port)).is_ok();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let taken = taken.local_addr().unwrap().port();
    let new = free_port();
    let refused = |name: &str, what: &str| {
        format!("-ERR CONFIG SET failed (possibly related to argument '{name}') - {what}")
    };
    let no_port = "Unable to listen on this port. Check server logs.";
    let no_address = "Failed to bind to specified addresses.";

    session.says(&format!("CONFIG SET port {new}"), "OK");
    assert!(!knock("127.0.0.1", old));
    // Who is connected stays, and others come in.
    session.says("PING", "PONG");
    let mut other = connect_to(new);
    other.talk(&[("SET k v", "OK"), ("CONFIG GET port", &format!("[$port, ${new}]"))]);
    session.says("GET k", "$v");
    assert_eq!(node.info("tcp_port"), u64::from(new));

    // What cannot be opened changes nothing.
    for (words, expected) in [
        (format!("port {taken}"), refused("port", no_port)),
        (format!("timeout 7 port {taken}"), refused("port", no_port)),
        (format!("port {taken} bind 127.0.0.1"), refused("port", no_port)),
        (format!("bind 127.0.0.1 port {taken}"), refused("bind", no_address)),
        ("bind 192.0.2.1".into(), refused("bind", no_address)),
        ("bind nonsense.invalid".into(), refused("bind", no_address)),
    ] {
        session.says(&format!("CONFIG SET {words}"), &expected);
        assert!(knock("127.0.0.1", new), "{words}");
    }
    let set =
        |session: &mut Session, addresses: &str| show(&session.call(&["CONFIG", "SET", "bind", addresses]));
    assert_eq!(set(&mut session, "127.0.0.1 192.0.2.1"), refused("bind", no_address));
    assert_eq!(set(&mut session, "127.0.0.1 127.0.0.1"), refused("bind", no_address));
    assert_eq!(
        set(&mut session, &["127.0.0.1"; 17].join(" ")),
        refused("bind", "Too many bind addresses specified.")
    );
    session.talk(&[("CONFIG GET timeout", "[$timeout, $0]"), ("CONFIG GET bind", "[$bind, $127.0.0.1]")]);

    // From one address to all and back: the same port is let go of first.
    for (addresses, first, second, third) in [
        ("127.0.0.1 127.0.0.2", true, true, false),
        ("*", true, true, true),
        ("127.0.0.3 -192.0.2.1", false, false, true),
        ("", false, false, false),
        ("127.0.0.1", true, false, false),
    ] {
        assert_eq!(set(&mut session, addresses), "OK", "{addresses}");
        let open = ["127.0.0.1", "127.0.0.2", "127.0.0.3"].map(|address| knock(address, new));
        assert_eq!(open, [first, second, third], "{addresses}");
    }
    session.says("CONFIG SET port 0", "OK");
    assert!(!knock("127.0.0.1", new));
    session.says(&format!("CONFIG SET port {old}"), "OK");
    node.connect().says("GET k", "$v");
    // The Memcached door went along each time.
    node.memcached().exchange("get k\r\n", "VALUE k 0 1\r\nv\r\nEND\r\n");
}
