use proptest::prelude::*;

use super::pattern::Pattern;
use super::*;

fn policy(text: &str) -> Policy {
    Policy::parse(text, Form::Identity).unwrap()
}

fn one(effect: &str, more: &str) -> Policy {
    policy(&format!(r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"{effect}",{more}}}]}}"#))
}

fn verdict(policies: &[Policy], action: &str, resource: &str, context: &Context) -> Verdict {
    decide(policies, Request { action, resource, context })
}

const CLUSTER: &str = "arn:aws:elasticache:us-east-1:000000000000:cluster:app-1";

fn with_condition(condition: &str) -> Policy {
    one("Allow", &format!(r#""Action":"*","Resource":"*","Condition":{condition}"#))
}

fn holds(condition: &str, keys: &[(&str, &str)]) -> bool {
    let mut context = Context::default();
    for (key, value) in keys {
        context.add(key, *value);
    }
    verdict(&[with_condition(condition)], "a:B", "*", &context) == Verdict::Allowed
}

#[test]
fn actions_and_resources_have_wildcards_and_inverses() {
    let none = Context::default();
    let read = one("Allow", r#""Action":["elasticache:Describe*","elasticache:List*"],"Resource":"*""#);
    assert_eq!(
        verdict(std::slice::from_ref(&read), "elasticache:DescribeEvents", "*", &none),
        Verdict::Allowed
    );
    assert_eq!(
        verdict(std::slice::from_ref(&read), "ELASTICACHE:describeevents", "*", &none),
        Verdict::Allowed
    );
    assert_eq!(verdict(&[read], "elasticache:CreateUser", "*", &none), Verdict::Silent);
    let but = one("Allow", r#""NotAction":"iam:*","Resource":"*""#);
    assert_eq!(verdict(std::slice::from_ref(&but), "iam:CreateUser", "*", &none), Verdict::Silent);
    assert_eq!(verdict(&[but], "ec2:CreateVpc", "*", &none), Verdict::Allowed);
    let mine = one("Allow", r#""Action":"*","Resource":"arn:aws:elasticache:*:*:cluster:app-?""#);
    assert_eq!(verdict(std::slice::from_ref(&mine), "elasticache:X", CLUSTER, &none), Verdict::Allowed);
    assert_eq!(verdict(&[mine], "elasticache:X", &format!("{CLUSTER}2"), &none), Verdict::Silent);
    let others = one("Allow", &format!(r#""Action":"*","NotResource":"{CLUSTER}""#));
    assert_eq!(verdict(&[others], "elasticache:X", CLUSTER, &none), Verdict::Silent);
}

#[test]
fn an_explicit_deny_wins() {
    let none = Context::default();
    let all = one("Allow", r#""Action":"*","Resource":"*""#);
    let deny = one("Deny", r#""Action":"elasticache:Delete*","Resource":"*""#);
    for order in [[all.clone(), deny.clone()], [deny, all]] {
        assert_eq!(verdict(&order, "elasticache:DeleteUser", "*", &none), Verdict::Denied);
        assert_eq!(verdict(&order, "elasticache:CreateUser", "*", &none), Verdict::Allowed);
    }
}

#[test]
fn variables_are_filled_in_and_never_wild() {
    let own = one("Allow", r#""Action":"*","Resource":"arn:aws:iam::1:user/${aws:username}""#);
    let mut context = Context::default();
    assert_eq!(
        verdict(std::slice::from_ref(&own), "iam:X", "arn:aws:iam::1:user/", &context),
        Verdict::Silent
    );
    context.set("aws:username", "*");
    assert_eq!(
        verdict(std::slice::from_ref(&own), "iam:X", "arn:aws:iam::1:user/eve", &context),
        Verdict::Silent
    );
    context.set("aws:UserName", "eve");
    assert_eq!(verdict(&[own], "iam:X", "arn:aws:iam::1:user/eve", &context), Verdict::Allowed);
    assert!(holds(r#"{"StringEquals":{"a:k":"${aws:x, 'dft'}"}}"#, &[("a:k", "dft")]));
    assert!(holds(r#"{"StringLike":{"a:k":"x${*}"}}"#, &[("a:k", "x*")]));
    assert!(!holds(r#"{"StringLike":{"a:k":"x${*}"}}"#, &[("a:k", "xy")]));
}

#[test]
fn every_operator() {
    let yes = [
        (r#"{"StringEquals":{"a:k":["x","y"]}}"#, "y"),
        (r#"{"StringNotEquals":{"a:k":["x","y"]}}"#, "z"),
        (r#"{"StringEqualsIgnoreCase":{"a:k":"X"}}"#, "x"),
        (r#"{"StringLike":{"a:k":"ab*"}}"#, "abc"),
        (r#"{"StringNotLike":{"a:k":"ab*"}}"#, "b"),
        (r#"{"NumericLessThan":{"a:k":"10"}}"#, "9"),
        (r#"{"NumericGreaterThanEquals":{"a:k":10}}"#, "10.0"),
        (r#"{"NumericNotEquals":{"a:k":10}}"#, "11"),
        (r#"{"DateLessThan":{"a:k":"2026-12-01T00:00:00Z"}}"#, "2026-11-29T00:00:00Z"),
        (r#"{"DateGreaterThan":{"a:k":"2026-11-01"}}"#, "2026-11-29T00:00:00Z"),
        (r#"{"DateGreaterThan":{"a:k":"1700000000"}}"#, "2026-11-29T00:00:00Z"),
        (r#"{"Bool":{"a:k":"true"}}"#, "True"),
        (r#"{"BinaryEquals":{"a:k":"QmluYXJ5"}}"#, "QmluYXJ5"),
        (r#"{"IpAddress":{"a:k":["10.0.0.0/8","127.0.0.0/8"]}}"#, "127.0.0.1"),
        (r#"{"IpAddress":{"a:k":"::1"}}"#, "::1"),
        (r#"{"NotIpAddress":{"a:k":"10.0.0.0/8"}}"#, "127.0.0.1"),
        (r#"{"ArnLike":{"a:k":"arn:aws:iam::*:user/a*"}}"#, "arn:aws:iam::1:user/ann"),
        (r#"{"ArnNotEquals":{"a:k":"arn:aws:iam::1:user/bob"}}"#, "arn:aws:iam::1:user/ann"),
        (r#"{"Null":{"a:k":"false"}}"#, ""),
        (r#"{"ForAnyValue:StringEquals":{"a:k":["x"]}}"#, "x"),
        (r#"{"StringEquals":{"A:K":"x"},"StringLike":{"a:k":"?"}}"#, "x"),
    ];
    for (condition, value) in yes {
        assert!(holds(condition, &[("a:k", value)]), "{condition} of {value}");
    }
    let no = [
        (r#"{"StringEquals":{"a:k":["x","y"]}}"#, "X"),
        (r#"{"StringNotEquals":{"a:k":["x","y"]}}"#, "y"),
        (r#"{"NumericLessThan":{"a:k":"10"}}"#, "10"),
        (r#"{"NumericLessThan":{"a:k":"10"}}"#, "x"),
        (r#"{"DateLessThan":{"a:k":"2026-11-29T00:00:00Z"}}"#, "2026-11-29T00:00:00Z"),
        (r#"{"Bool":{"a:k":"true"}}"#, "1"),
        (r#"{"IpAddress":{"a:k":"10.0.0.0/8"}}"#, "127.0.0.1"),
        (r#"{"ArnLike":{"a:k":"arn:aws:*:user/a*"}}"#, "arn:aws:iam::1:user/ann"),
        (r#"{"Null":{"a:k":"true"}}"#, ""),
        (r#"{"StringEquals":{"a:k":"x"},"StringLike":{"a:k":"y"}}"#, "x"),
    ];
    for (condition, value) in no {
        assert!(!holds(condition, &[("a:k", value)]), "{condition} of {value}");
    }
}

#[test]
fn keys_that_are_not_there() {
    for (condition, expected) in [
        (r#"{"StringEquals":{"a:k":"x"}}"#, false),
        (r#"{"StringEqualsIfExists":{"a:k":"x"}}"#, true),
        (r#"{"StringNotEquals":{"a:k":"x"}}"#, true),
        (r#"{"ForAllValues:StringEquals":{"a:k":"x"}}"#, true),
        (r#"{"ForAnyValue:StringEquals":{"a:k":"x"}}"#, false),
        (r#"{"Null":{"a:k":"true"}}"#, true),
        (r#"{"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}}"#, false),
    ] {
        assert_eq!(holds(condition, &[]), expected, "{condition}");
    }
}

#[test]
fn keys_with_several_values() {
    let both = [("aws:TagKeys", "team"), ("aws:TagKeys", "cost")];
    assert!(holds(r#"{"ForAllValues:StringEquals":{"aws:TagKeys":["team","cost","x"]}}"#, &both));
    assert!(!holds(r#"{"ForAllValues:StringEquals":{"aws:TagKeys":["team"]}}"#, &both));
    assert!(holds(r#"{"ForAnyValue:StringEquals":{"aws:TagKeys":["team"]}}"#, &both));
    assert!(!holds(r#"{"ForAllValues:StringNotEquals":{"aws:TagKeys":["team"]}}"#, &both));
    assert!(holds(r#"{"ForAnyValue:StringNotEquals":{"aws:TagKeys":["team"]}}"#, &both));
}

#[test]
fn documents_that_are_none() {
    let long_list = format!("[{}]", vec!["{}"; 600].join(","));
    for text in [
        "",
        "[]",
        "{}",
        r#"{"Statement":[]}"#,
        r#"{"Version":"2013-01-01","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#,
        r#"{"Statement":{"Effect":"allow","Action":"*","Resource":"*"}}"#,
        r#"{"Statement":{"Effect":"Allow","Resource":"*"}}"#,
        r#"{"Statement":{"Effect":"Allow","Action":"*"}}"#,
        r#"{"Statement":{"Effect":"Allow","Action":"Describe","Resource":"*"}}"#,
        r#"{"Statement":{"Effect":"Allow","Action":"*","NotAction":"a:b","Resource":"*"}}"#,
        r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"cluster"}}"#,
        r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Principal":"*"}}"#,
        r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","X":1}}"#,
        r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Same":{"a:b":"c"}}}}"#,
        r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"IpAddress":{"a:b":"c"}}}}"#,
        &format!(r#"{{"Statement":{long_list}}}"#),
    ] {
        assert!(Policy::parse(text, Form::Identity).is_err(), "{text}");
    }
    let trust = r#"{"Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"1"}}}"#;
    assert!(Policy::parse(trust, Form::Trust).is_ok());
    assert!(Policy::parse(trust, Form::Identity).is_err());
}

#[test]
fn trust_is_by_account_or_by_name() {
    let context = Context::default();
    let request = Request { action: "sts:AssumeRole", resource: "*", context: &context };
    let ask = |principal: &str, who: &str| {
        let text = format!(
            r#"{{"Statement":{{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{principal}}}}}"#
        );
        trusts(&Policy::parse(&text, Form::Trust).unwrap(), request, &[who], "000000000000")
    };
    let ann = "arn:aws:iam::000000000000:user/ann";
    for principal in [
        r#""*""#,
        r#"{"AWS":"000000000000"}"#,
        r#"{"AWS":"arn:aws:iam::000000000000:root"}"#,
        r#"{"AWS":["arn:aws:iam::000000000000:user/ann"]}"#,
    ] {
        assert_eq!(ask(principal, ann), Verdict::Allowed, "{principal}");
    }
    for principal in [r#"{"Service":"ec2.amazonaws.com"}"#, r#"{"AWS":"arn:aws:iam::000000000000:user/bob"}"#]
    {
        assert_eq!(ask(principal, ann), Verdict::Silent, "{principal}");
    }
}

/// The obvious way, which takes forever on patterns with many stars.
fn matches_slowly(pattern: &[char], text: &[char]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some(('*', rest)), _) if matches_slowly(rest, text) => true,
        (Some(('*', _)), Some((_, tail))) => matches_slowly(pattern, tail),
        (Some(('?', rest)), Some((_, tail))) => matches_slowly(rest, tail),
        (Some((p, rest)), Some((t, tail))) if p == t => matches_slowly(rest, tail),
        _ => false,
    }
}

proptest! {
    #[test]
    fn patterns_match_as_the_obvious_way_does(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
        let chars = |t: &str| t.chars().collect::<Vec<_>>();
        let fast = Pattern::expand(&pattern, &Context::default()).unwrap().matches(&text);
        prop_assert_eq!(fast, matches_slowly(&chars(&pattern), &chars(&text)));
    }

    #[test]
    fn any_text_is_a_document_or_an_error(text in ".{0,200}") {
        let _ = Policy::parse(&text, Form::Identity);
        let _ = Policy::parse(&text, Form::Trust);
    }

    /// More statements that allow never take away; more that deny never give.
    #[test]
    fn order_does_not_matter_and_deny_only_takes_away(
        effects in proptest::collection::vec((any::<bool>(), "[ab*?]{1,3}"), 1..6),
        action in "[ab]{1,3}",
    ) {
        let none = Context::default();
        let ask = |policies: &[Policy]| verdict(policies, &format!("s:{action}"), "*", &none);
        let policies: Vec<Policy> = effects
            .iter()
            .map(|(allow, pattern)| {
                let effect = if *allow { "Allow" } else { "Deny" };
                one(effect, &format!(r#""Action":"s:{pattern}","Resource":"*""#))
            })
            .collect();
        let forward = ask(&policies);
        let backward: Vec<Policy> = policies.iter().rev().cloned().collect();
        prop_assert_eq!(forward, ask(&backward));
        let mut more = policies.clone();
        more.push(one("Deny", r#""Action":"*","Resource":"*""#));
        prop_assert_eq!(ask(&more), Verdict::Denied);
        let mut more = policies;
        more.push(one("Allow", r#""Action":"*","Resource":"*""#));
        prop_assert_eq!(ask(&more) == Verdict::Denied, forward == Verdict::Denied);
    }
}
