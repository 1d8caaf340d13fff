//! Rules and how they are printed, as redis-server and valkey-server print them.

use super::*;
use crate::command::{Table, families};
use proptest::collection::vec;
use proptest::prelude::*;

fn catalog() -> Catalog {
    Catalog::new(&Table::new(families()))
}

#[track_caller]
fn made(rules: &str) -> User {
    let mut user = User::new(b"u", false);
    user.apply_all(&catalog(), rules.split(' ').map(str::as_bytes), false).unwrap();
    user
}

#[track_caller]
fn prints(rules: &str, expected: &str) {
    let text = String::from_utf8(made(rules).describe()).unwrap();
    assert_eq!(text, expected, "{rules}");
    // What is printed makes an equal user, up to rules that no longer matter.
    assert_eq!(String::from_utf8(made(&text).describe()).unwrap(), expected);
}

#[track_caller]
fn fails(rules: &[&str], expected: &str) {
    let mut user = User::new(b"u", false);
    let error = user.apply_all(&catalog(), rules.iter().map(|rule| rule.as_bytes()), false).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[test]
fn command_rules_keep_what_matters() {
    prints("", "off resetchannels -@all");
    prints("+get +set +get", "off resetchannels -@all +set +get");
    prints("+@read +set -@read", "off resetchannels -@all +set -@read");
    prints("+SELECT|0 +select|1 +select", "off resetchannels -@all +select");
    prints("+select +select|1", "off resetchannels -@all +select +select|1");
    prints("+acl +acl|list -acl|LIST", "off resetchannels -@all +acl -acl|list");
    prints("+@all -get -config|set -config +config", "off resetchannels +@all -get +config");
    prints("+@all +@all +@read", "off resetchannels +@all +@read");
    prints("+@ALL -@all", "off resetchannels -@all");
    prints("+get|x +get|X -get", "off resetchannels -@all -get");
}

#[test]
fn flags_and_passwords() {
    let x = "#2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    prints("ON NOPASS", "on nopass resetchannels -@all");
    prints("nopass >x >x", &format!("off {x} resetchannels -@all"));
    prints(">x nopass", "off nopass resetchannels -@all");
    prints(">x <x", "off resetchannels -@all");
    prints(">x resetpass", "off resetchannels -@all");
    prints("nopass resetpass", "off resetchannels -@all");
    prints(x, &format!("off {x} resetchannels -@all"));
    prints("on sanitize-payload skip-sanitize-payload", "on skip-sanitize-payload resetchannels -@all");
    prints("on >x ~a &b +get (+get) reset", "off sanitize-payload resetchannels -@all");
}

#[test]
fn a_password_may_be_optional_until_all_clients_have_it() {
    let x = "#2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    prints("on optional-password >x", &format!("on optional-password {x} resetchannels -@all"));
    prints("on >x optional-password", &format!("on optional-password {x} resetchannels -@all"));
    let user = made("on optional-password >x");
    assert!(user.is_open() && user.accepts(b"x") && !user.accepts(b"y") && !user.takes_any_password());
    assert!(!made("optional-password >x").is_open(), "off is off");
    for closes in ["resetpass", "iam"] {
        assert!(!made(&format!("on optional-password {closes} >x")).is_open(), "{closes}");
    }
    prints("on nopass optional-password", "on optional-password resetchannels -@all");
}

#[test]
fn passwords_are_compared_by_hash() {
    let user = made("on >secret >other");
    assert!(user.accepts(b"secret") && user.accepts(b"other"));
    assert!(!user.accepts(b"secre") && !user.accepts(b"") && !user.accepts(&user.passwords()[0]));
    assert!(!made(">secret").accepts(b"secret"));
    assert!(!made("on").accepts(b""));
    assert!(made("on nopass").accepts(b"whatever"));
    assert_eq!(&hash(b"")[..16], b"e3b0c44298fc1c14");
}

#[test]
fn keys_and_channels() {
    prints("~a ~a %R~a ~b %RW~a %WR~c %r~d %R~b", "off ~a ~b ~c %R~d resetchannels -@all");
    prints("%R~a %W~a", "off ~a resetchannels -@all");
    prints("%R~* ~a", "off %R~* ~a resetchannels -@all");
    prints("%R~* %W~* ~a", "off %RW~* ~a resetchannels -@all");
    prints("~a allkeys ~*", "off ~* resetchannels -@all");
    prints("~* resetkeys ~b", "off ~b resetchannels -@all");
    prints("&a &a &b", "off resetchannels &a &b -@all");
    prints("&a allchannels &*", "off &* -@all");
    prints("&* resetchannels &c", "off resetchannels &c -@all");
}

#[test]
fn selectors() {
    prints(
        "(+get ~a &c) ( allkeys allcommands allchannels ) (+@all -get)",
        "off resetchannels -@all (~a resetchannels &c -@all +get) (~* &* +@all) (resetchannels +@all -get)",
    );
    prints("(+get) clearselectors", "off resetchannels -@all");
    prints("() ( +get   ~x )", "off resetchannels -@all (resetchannels -@all) (~x resetchannels -@all +get)");
    let mut user = User::new(b"u", true);
    user.apply_all(&catalog(), [b"(+get)".as_slice()].into_iter(), true).unwrap();
    assert_eq!(user.describe(), b"off &* -@all (&* -@all +get)");
    user.apply(&catalog(), b"resetchannels", true).unwrap();
    user.apply(&catalog(), b"reset", true).unwrap();
    assert_eq!(user.describe(), b"off sanitize-payload &* -@all");
}

#[test]
fn mistakes() {
    let after_keys = "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of patterns";
    let after_channels = "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' to start with an empty list of channels";
    for rule in [
        "foo", "%", "%~a", "%X~a", "%Rx~a", "%RR~a", ")", "~a b", "&a\tb", "%R~a b", "+get|", "+config|",
        "+get|a b",
    ] {
        fails(&[rule], &format!("'{rule}': Syntax error"));
    }
    for rule in [
        "+@nope",
        "-@nope",
        "+@",
        "+",
        "-",
        "+|",
        "+nope",
        "+nope|",
        "-nope",
        "-get|x",
        "-get|",
        "+config|nope",
        "+get|x|y",
        "-@all|x",
        "+get)",
    ] {
        fails(&[rule], &format!("'{rule}': Unknown command or category name in ACL"));
    }
    fails(&["+config|get|x"], "'+config|get|x': Allowing first-arg of a subcommand is not supported");
    fails(&["~*", "~a"], &format!("'~a': {after_keys}"));
    fails(&["allkeys", "%R~*"], &format!("'%R~*': {after_keys}"));
    fails(&["&*", "&a"], &format!("'&a': {after_channels}"));
    let bad_hash =
        "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters";
    let upper = format!("#{}", "A".repeat(64));
    for rule in ["#0", "!0", &upper] {
        fails(&[rule], &format!("'{rule}': {bad_hash}"));
    }
    fails(&["<x"], "'<x': The password you are trying to remove from the user does not exist");
    fails(&["(on)"], "'(on)': Syntax error");
    fails(&["(+nope)"], "'(+nope)': Unknown command or category name in ACL");
    fails(&["(", "(+get)", ")"], "'( (+get)': Syntax error");
    fails(&["on", "(+get", "~a"], "'(+get': Unmatched parenthesis");
    fails(&["(+get) "], "'(+get) ': Unmatched parenthesis");
}

proptest! {
    /// Whatever the rules, what is printed is read again, and prints the same.
    #[test]
    fn what_is_printed_can_be_read(rules in vec("[-+~&%#<>!()@|*a-cA-C \t]{0,6}|[-+]@?(get|all|read|config|config\\|get|select)(\\|x)?|[~&]\\*|%(R|W|RW)~\\*?|\\([-+a-z~ ]{0,12}\\)", 0..8)) {
        let catalog = catalog();
        let mut user = User::new(b"u", false);
        for rule in &rules {
            let _ = user.apply(&catalog, rule.as_bytes(), false); // refused or not, the user stays whole
        }
        let printed = user.describe();
        let mut again = User::new(b"u", false);
        again.apply_all(&catalog, printed.split(|byte| *byte == b' '), false).unwrap();
        prop_assert_eq!(String::from_utf8(again.describe()), String::from_utf8(printed));
        let kept = |user: &User| -> Vec<Vec<bool>> {
            let ids = 0..catalog.entries().len() as u16;
            user.selectors().map(|s| ids.clone().map(|id| s.allows_command(id, b"x")).collect()).collect()
        };
        prop_assert_eq!(kept(&user), kept(&again));
    }
}
