use super::*;
use pattern::Pattern;

fn evidence(json: &str) -> Evidence {
    Evidence::parse(json).unwrap()
}

const REDIS: Subject<'static> = Subject { engine: "redis", node_type: Some("cache.t3.micro"), nodes: 2 };

#[test]
fn a_cache_that_is_too_small_is_told_to_grow() {
    let found = evidence(
        r#"{"milliseconds": 60000, "hits": 600, "misses": {"evicted": 300, "unknown": 100}, "commands": 2000,
            "traffic_bytes": 4000000,
            "curve": {"items_bytes": 1000000, "followed_keys": 500, "followed_share": 0.5,
                      "points": [[500000, 0.4], [1000000, 0.6], [2000000, 0.8]]},
            "keyspace": {"keys_total": 10000, "keys": 1000, "bytes": 100000, "lasting": 0, "sizes": [{"most": 64, "keys": 10}]},
            "age_at_read": {"seen": 5, "p50_ms": 900, "p90_ms": 1500}}"#,
    );
    let advice = advise(&found, REDIS);
    let answer = |question: &str| advice.answers.iter().find(|answer| answer.question == question).unwrap();
    assert_eq!(answer("Is it effective?").verdict, Verdict::Look);
    assert!(answer("Is it effective?").answer.contains("20.0 %"), "{:?}", answer("Is it effective?"));
    assert_eq!(answer("Is it safe?").verdict, Verdict::Good);
    assert_eq!(answer("Is the data well structured?").verdict, Verdict::Good);
    let size = |name: &str| advice.sizes.iter().find(|size| size.name == name).unwrap();
    assert_eq!((size("half").hit_ratio, size("now").hit_ratio, size("double").hit_ratio), (0.4, 0.6, 0.8));
    let micro = size("cache.t3.micro");
    assert!(micro.current && micro.month_usd > micro.month_reserved_1y_usd);
    assert!(
        micro.month_reserved_1y_usd > micro.month_reserved_3y_usd && micro.month_reserved_3y_usd > Some(0.0)
    );
    let more = advice.sizes[3..].windows(2).all(|pair| pair[0].bytes <= pair[1].bytes);
    assert!(more && advice.sizes.len() > 8, "{:?}", advice.sizes);
    // 66.7 KB a second are more than 33.3 commands.
    let serverless = advice.serverless.unwrap();
    assert!((serverless.ecpu_per_second - 66.67).abs() < 0.1 && serverless.gigabytes == 1.0);
    assert!((serverless.month_usd - (0.125 * 730.0 + 66.67 * 3600.0 * 730.0 / 1e6 * 0.0034)).abs() < 0.1);
}

#[test]
fn few_reads_lead_to_no_conclusion() {
    let advice = advise(&evidence(r#"{"milliseconds": 1000, "hits": 3, "misses": {}}"#), REDIS);
    assert!(advice.answers.iter().all(|answer| answer.verdict == Verdict::Unknown), "{:?}", advice.answers);
    assert!(advice.sizes.is_empty() && advice.curve.is_empty() && advice.serverless.is_none());
    assert!(Evidence::parse("[]").is_err() && Evidence::parse("nonsense").is_err());
}

#[test]
fn what_stands_out_is_named() {
    let found = evidence(
        r#"{"hits": 1000, "misses": {"unknown": 10}, "milliseconds": 1000,
            "keys": [{"key": "front", "reads": 500, "writes": 1}],
            "prefixes": [{"prefix": "", "reads": 1000, "hits": 990, "writes": 10},
                         {"prefix": "log", "reads": 2, "writes": 900}],
            "rewritten_after": {"seen": 10, "p50_ms": 5}, "rewritten_unread": 9,
            "keyspace": {"keys_total": 20000, "keys": 100, "bytes": 1000000, "lasting": 90, "unread": 80, "idle_hour": 70,
                         "large": [{"key": "blob", "bytes": 500000, "kind": "string"}],
                         "prefixes": [{"prefix": "user", "keys": 50, "lasting": 50, "unread": 40}],
                         "sizes": [{"most": 64, "keys": 70}, {"keys": 1}]}}"#,
    );
    let advice = advise(&found, REDIS);
    let said = advice
        .answers
        .iter()
        .flat_map(|answer| answer.evidence.iter())
        .cloned()
        .collect::<Vec<_>>()
        .join("\n");
    for part in [
        "`front`",
        "`blob` (488.3 KiB, string)",
        "Never read",
        "`user`: 80.0 % never read",
        "Written more than read: `log`",
        "90.0 % of the rewrites",
        "90.0 % of the keys have no time to live",
        "Not used for an hour: 70.0 %",
    ] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    assert_eq!(advice.answers.iter().filter(|answer| answer.verdict == Verdict::Look).count(), 4);
}

#[test]
fn a_pattern_follows_from_reads_writes_and_reasons() {
    let uses = |reads, hits, writes, reason: &str, count| evidence::Use {
        reads,
        hits,
        writes,
        misses: [(reason.to_owned(), count)].into(),
        ..evidence::Use::default()
    };
    for (prefix, expected) in [
        (uses(10, 10, 2, "unknown", 0), None),
        (uses(1000, 990, 10, "unknown", 10), Some(Pattern::CacheAside)),
        (uses(1000, 500, 500, "unknown", 500), Some(Pattern::CacheAside)),
        (uses(1000, 500, 10, "unknown", 500), Some(Pattern::Negative)),
        (uses(1000, 700, 300, "expired", 300), Some(Pattern::Refresh)),
        (uses(1000, 700, 300, "deleted", 300), Some(Pattern::WriteThrough)),
        (uses(1000, 700, 300, "evicted", 300), Some(Pattern::MoreMemory)),
        (uses(100, 90, 300, "evicted", 10), Some(Pattern::WriteBehind)),
    ] {
        assert_eq!(pattern::of(&prefix), expected, "{prefix:?}");
    }
}

#[test]
fn the_curve_is_read_between_its_points() {
    let curve = evidence::Curve { points: vec![(100, 0.2), (200, 0.4)], ..evidence::Curve::default() };
    let rounded = |bytes| (curve.at(bytes).unwrap() * 100.0).round();
    assert_eq!([50, 100, 150, 200, 1000].map(rounded), [10.0, 20.0, 30.0, 40.0, 40.0]);
    assert_eq!(evidence::Curve::default().at(1), None);
}
