//! Checks, as ACL DRYRUN of redis-server answers them.

use super::*;
use crate::command::{Table, families};
use larder_protocol::resp::args::OwnedArgs;

/// Which argument is refused for which reason, if any.
fn checked(rules: &str, line: &str) -> Option<(Reason, usize)> {
    checked_in(0, rules, line)
}

fn checked_in(db: u16, rules: &str, line: &str) -> Option<(Reason, usize)> {
    let table = Table::new(families());
    let catalog = Catalog::new(&table);
    let mut user = User::new(b"u", false);
    user.apply_all(&catalog, rules.split(' ').map(str::as_bytes), false).unwrap();
    let args = OwnedArgs::copy(line.split(' ').map(str::as_bytes));
    let args = args.view();
    let row = table.get(args.get(0)).unwrap();
    let sub = row.subcommands.iter().find(|sub| args.get(1).eq_ignore_ascii_case(sub.name.as_bytes()));
    check(&user, &catalog, sub.unwrap_or(row), &args, db).err().map(|denied| (denied.reason, denied.at))
}

#[track_caller]
fn allows(rules: &str, lines: &[&str]) {
    lines.iter().for_each(|line| assert_eq!(checked(rules, line), None, "{rules}: {line}"));
}

#[track_caller]
fn refuses(rules: &str, lines: &[(&str, Reason, usize)]) {
    for (line, reason, at) in lines {
        assert_eq!(checked(rules, line), Some((*reason, *at)), "{rules}: {line}");
    }
}

use Reason::{Command as C, Database as D, Key as K};

#[test]
fn commands_and_subcommands() {
    allows("+@all", &["PING", "CONFIG GET x", "AUTH x"]);
    allows("", &["AUTH x", "HELLO 3", "QUIT", "RESET"]);
    refuses("", &[("PING", C, 0), ("CONFIG GET x", C, 0)]);
    allows("+config|get", &["CONFIG GET x"]);
    refuses("+config|get", &[("CONFIG SET x y", C, 0)]);
    refuses("+config -config|get", &[("CONFIG GET x", C, 0)]);
    allows("+select|1 +select|2", &["SELECT 1", "select 2"]);
    refuses("+select|1", &[("SELECT 0", C, 0), ("SELECT 10", C, 0)]);
    refuses("+select|1 -select", &[("SELECT 1", C, 0)]);
    allows("+@connection", &["PING", "CLIENT ID"]);
    refuses("+@connection -@connection", &[("PING", C, 0)]);
    refuses("+@all -@admin", &[("CONFIG GET x", C, 0)]);
}

#[test]
fn keys_are_read_and_written() {
    let rules = "+@all %R~r* %W~w* ~b*";
    allows(
        rules,
        &["GET r", "GET b", "SET w 1", "SET b 1", "SET b 1 GET", "LPOP b", "COPY r w", "RENAME b w"],
    );
    allows(
        rules,
        &["EXISTS r w b", "STRLEN w", "TYPE r", "SUNIONSTORE w r b", "BITFIELD r GET u8 0", "PFMERGE b r"],
    );
    refuses(rules, &[("GET w", K, 1), ("GET x", K, 1), ("SET r 1", K, 1), ("SET w 1 GET", K, 1)]);
    refuses(rules, &[("LPOP r", K, 1), ("LPOP w", K, 1), ("COPY w w", K, 1), ("COPY r r", K, 2)]);
    refuses(rules, &[("RENAME w b", K, 1), ("MGET r b x", K, 3), ("EXISTS r x", K, 2)]);
    refuses(rules, &[("SUNIONSTORE r r", K, 1), ("SUNIONSTORE w w", K, 2), ("BITFIELD r SET u8 0 1", K, 1)]);
    allows("+get %R~a %W~a", &["GET a"]);
    refuses("+incr %R~a* %W~*a", &[("INCR a", K, 1)]);
}

#[test]
fn one_selector_must_allow_all_of_it() {
    let rules = "(+get ~a) (+set ~b) (+mget ~a) (+mget ~b)";
    allows(rules, &["GET a", "SET b 1", "MGET a a"]);
    refuses(rules, &[("GET b", K, 1), ("SET a 1", K, 1), ("DEL a", C, 0)]);
    // The refusal is that of the selector that went furthest.
    refuses(rules, &[("MGET a b", K, 2), ("MGET b a", K, 2), ("MGET b b c", K, 3), ("MGET c a", K, 1)]);
}

#[test]
fn channels_match_and_patterns_are_listed() {
    let mut user = User::new(b"u", false);
    let catalog = Catalog::new(&Table::new(families()));
    let rules = ["&news.*", "&x", "(&y)"];
    user.apply_all(&catalog, rules.iter().map(|rule| rule.as_bytes()), false).unwrap();
    for (channel, is_pattern, expected) in [
        ("news.it", false, true),
        ("news", false, false),
        ("y", false, true),
        ("news.*", true, true),
        ("news.it", true, false),
        ("x", true, true),
        ("*", true, false),
    ] {
        assert_eq!(may_channel(&user, channel.as_bytes(), is_pattern), expected, "{channel}");
    }
    assert!(may_channel(&User::default_user(), b"*", true));
}

#[test]
fn texts() {
    let user = User::new(b"u", false);
    let args = OwnedArgs::copy([b"get".as_slice(), b"k"]);
    let said = |reason| {
        let denied = Denied { reason, at: 1 };
        (denied.message(&user, "get"), denied.explanation(&user, "get", &args.view()))
    };
    let (message, explanation) = said(Reason::Command);
    assert_eq!(message, "NOPERM User u has no permissions to run the 'get' command");
    assert_eq!(explanation, "User u has no permissions to run the 'get' command");
    let (message, explanation) = said(Reason::Key);
    assert_eq!(message, "NOPERM No permissions to access a key");
    assert_eq!(explanation, "User u has no permissions to access the 'k' key");
    let (message, explanation) = said(Reason::Channel);
    assert_eq!(message, "NOPERM No permissions to access a channel");
    assert_eq!(explanation, "User u has no permissions to access the 'k' channel");
}

/// As Valkey 9.1 answers.
#[test]
fn databases() {
    let rules = "+@all ~* &* db=1,3";
    allows(rules, &["SELECT 1", "SELECT 3", "SELECT x", "PING", "INFO", "PUBLISH a b", "MULTI", "UNWATCH"]);
    allows(rules, &["SWAPDB 1 3", "SAVE", "MEMORY DOCTOR"]);
    refuses(rules, &[("SELECT 2", D, 1), ("SWAPDB 1 2", D, 2), ("SWAPDB 0 3", D, 1), ("FLUSHALL", D, 0)]);
    refuses(
        rules,
        &[("GET a", D, 0), ("KEYS *", D, 0), ("DBSIZE", D, 0), ("OBJECT HELP", D, 0), ("WATCH a", D, 0)],
    );
    refuses(rules, &[("MOVE a 2", D, 2), ("MOVE a 3", D, 0), ("COPY a b DB 5", D, 4)]);
    for line in ["GET a", "KEYS *", "MOVE a 3", "COPY a b", "COPY a b DB 3", "FLUSHDB"] {
        assert_eq!(checked_in(3, rules, line), None, "{line}");
    }
    assert_eq!(checked_in(3, rules, "COPY a b DB 2"), Some((D, 4)));
    assert_eq!(checked_in(1, "+@all ~* db=0 db=1", "GET a"), None, "the last rule counts");
    refuses("+@all ~* db=0 db=1", &[("GET a", D, 0)]);
    allows("+@all ~* db=1 alldbs", &["GET a", "FLUSHALL"]);
    refuses("+@all ~* resetdbs", &[("GET a", D, 0), ("SELECT 0", D, 1)]);
    // What comes closest is told: the database of one set of rules, or the command of another.
    refuses("+@all ~* db=1 (db=2 +get ~a)", &[("SELECT 3", D, 1), ("SELECT 2", C, 0)]);
    refuses("+get ~a db=0", &[("GET b", K, 1), ("SET a 1", C, 0)]);
}
