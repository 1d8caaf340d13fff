//! Groups: what they hold, what they refuse, and what nodes are told.

use super::*;
use crate::resource::engine_version::VERSIONS;
use crate::resource::node_type;

fn group(family: &str) -> ParameterGroup {
    let family = Family::find(family).unwrap();
    ParameterGroup { name: "mine".to_owned(), ..ParameterGroup::default_of(family, false) }
}

fn pairs(changes: &[(&str, &str)]) -> Vec<(String, String)> {
    changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn told(group: &ParameterGroup, node_type: &str, version: &str) -> String {
    let directives = node_directives(group, node_type::find(node_type).unwrap(), version);
    directives.iter().map(|(name, value)| format!("{name} {value}\n")).collect()
}

#[test]
fn default_groups() {
    let names: Vec<String> = ParameterGroup::defaults().into_iter().map(|group| group.name).collect();
    insta::assert_snapshot!(names.join("\n"));
    let on: Vec<_> = ParameterGroup::defaults().into_iter().filter(ParameterGroup::is_cluster_mode).collect();
    assert_eq!(on.len(), 8);
    assert!(on.iter().all(|group| group.name.ends_with(".cluster.on") && group.is_default()));
}

#[test]
fn directives_of_defaults() {
    insta::assert_snapshot!("redis7", told(&group("redis7"), "cache.t2.micro", "7.1.0"));
    insta::assert_snapshot!("redis5.0", told(&group("redis5.0"), "cache.r5.large", "5.0.6"));
    insta::assert_snapshot!("valkey8-on-8.1", told(&group("valkey8"), "cache.m8g.large", "8.1.0"));
    insta::assert_snapshot!("memcached1.6", told(&group("memcached1.6"), "cache.t3.small", "1.6.22"));
}

#[test]
fn reserved_memory_in_both_ways() {
    let micro = node_type::find("cache.t3.micro").unwrap();
    let mut group = group("redis7");
    assert_eq!(maxmemory_bytes(&group, micro), 402_653_184);
    group.set(&pairs(&[("reserved-memory-percent", "50")]), true).unwrap();
    assert_eq!(maxmemory_bytes(&group, micro), 268_435_456);
    group.set(&pairs(&[("reserved-memory", "36870912")]), true).unwrap();
    assert_eq!(maxmemory_bytes(&group, micro), 500_000_000);
    assert!(!group.parameters().any(|p| p.name == "reserved-memory-percent"));
    group.set(&pairs(&[("reserved-memory", "99999999999")]), true).unwrap();
    assert_eq!(maxmemory_bytes(&group, micro), 1 << 20);
    group.set(&pairs(&[("reserved-memory-percent", "100")]), true).unwrap();
    assert_eq!(maxmemory_bytes(&group, micro), 1 << 20);
    assert!(!group.parameters().any(|p| p.name == "reserved-memory"));
    let both = group.set(&pairs(&[("reserved-memory-percent", "1"), ("reserved-memory", "1")]), false);
    assert_eq!(both.unwrap_err().code, "InvalidParameterCombination");
    let reset = group.reset(&["reserved-memory".to_owned()], false).unwrap_err();
    assert_eq!(reset.to_string(), "InvalidParameterValue: Parameter reserved-memory doesn't exist");
}

#[test]
fn two_names_of_one_setting() {
    let told_slower_than = |changes: &[(&str, &str)], version: &str| {
        let mut group = group("valkey8");
        group.set(&pairs(changes), false).unwrap();
        let told = told(&group, "cache.m8g.large", version);
        assert!(!told.contains("commandlog-execution-slower-than"), "{told}");
        let line = told.lines().find(|line| line.starts_with("slowlog-log-slower-than ")).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    };
    let (old, new) = (("slowlog-log-slower-than", "5"), ("commandlog-execution-slower-than", "7"));
    assert_eq!(told_slower_than(&[], "8.1.0"), "10000");
    assert_eq!(told_slower_than(&[old], "8.1.0"), "5", "what was set beats the other name's default");
    assert_eq!(told_slower_than(&[new], "8.1.0"), "7");
    assert_eq!(told_slower_than(&[old, new], "8.1.0"), "7", "the newer name beats the older one");
    assert_eq!(told_slower_than(&[old, new], "8.0.1"), "5", "8.0 does not know the newer name");
}

#[test]
fn nodes_are_not_told_what_the_engine_lacks() {
    let mut group = group("valkey8");
    group.set(&pairs(&[("activedefrag", "yes")]), false).unwrap();
    assert!(!told(&group, "cache.m8g.large", "8.1.0").contains("activedefrag"));
}

#[test]
fn refused_changes_change_nothing() {
    let mut group = group("redis7");
    for (changes, code) in [
        (pairs(&[("timeout", "100"), ("no-such", "1")]), "InvalidParameterValue"),
        (pairs(&[("timeout", "100"), ("maxclients", "1")]), "InvalidParameterValue"),
        (pairs(&[("timeout", "100"), ("timeout", "200")]), "InvalidParameterValue"),
        (pairs(&[("timeout", "1")]), "InvalidParameterValue"),
        (pairs(&[("cluster-enabled", "yes")]), "InvalidCacheParameterGroupState"),
        (pairs(&[("databases", "17")]), "InvalidCacheParameterGroupState"),
    ] {
        assert_eq!(group.set(&changes, true).unwrap_err().code, code);
        assert!(group.values.is_empty());
    }
    group.set(&pairs(&[("databases", "16")]), true).unwrap();
    group.set(&pairs(&[("databases", "17"), ("timeout", "20")]), false).unwrap();
    assert_eq!(group.reset_all(true).unwrap_err().code, "InvalidCacheParameterGroupState");
    group.reset(&["timeout".to_owned()], true).unwrap();
    group.reset_all(false).unwrap();
    assert!(group.values.is_empty());
}

#[test]
fn what_a_running_node_can_change() {
    let redis = Family::find("redis7").unwrap();
    for directive in ["maxmemory", "maxmemory-policy", "client-output-buffer-limit", "timeout"] {
        assert!(changes_at_once(redis, directive), "{directive}");
    }
    for directive in ["databases", "maxclients", "no-such"] {
        assert!(!changes_at_once(redis, directive), "{directive}");
    }
    let memcached = Family::find("memcached1.6").unwrap();
    assert!(!changes_at_once(memcached, "maxmemory") && !changes_at_once(memcached, "timeout"));
    assert!(!changes_at_once(Family::find("redis4.0").unwrap(), "lazyfree-lazy-expire"));
}

#[test]
fn parameters_of_memcached_reach_the_node() {
    let mut mine = group("memcached1.6");
    let set = [("disable_flush_all", "1"), ("binding_protocol", "ascii"), ("error_on_memory_exhausted", "1")];
    mine.values.extend(pairs(&set));
    let text = told(&mine, "cache.t3.small", "1.6.22");
    for line in ["memcached-flush no", "memcached-protocol ascii", "maxmemory-policy noeviction"] {
        assert!(text.lines().any(|told| told == line), "{line} in {text}");
    }
    let set =
        [("cas_disabled", "1"), ("track_sizes", "1"), ("idle_timeout", "77"), ("max_item_size", "2048")];
    mine.values.extend(pairs(&set));
    let text = told(&mine, "cache.t3.small", "1.6.22");
    for line in
        ["memcached-cas no", "memcached-track-sizes yes", "timeout 77", "memcached-max-item-size 2048"]
    {
        assert!(text.lines().any(|told| told == line), "{line} in {text}");
    }
    let set = [("maxconns_fast", "1"), ("watcher_logbuf_size", "32"), ("worker_logbuf_size", "99999999")];
    mine.values.extend(pairs(&set));
    let text = told(&mine, "cache.t3.small", "1.6.22");
    for line in
        ["memcached-maxconns-fast yes", "memcached-watcher-buffer 32kb", "memcached-worker-buffer 1048576kb"]
    {
        assert!(text.lines().any(|told| told == line), "{line} in {text}");
    }
}

#[test]
fn two_parameters_say_which_items_of_memcached_give_way() {
    for (full, forever, policy) in [
        ("0", "0", "allkeys-lhd"),
        ("0", "1", "volatile-lru"),
        ("1", "0", "noeviction"),
        ("1", "1", "noeviction"),
    ] {
        let mut mine = group("memcached1.4");
        mine.values
            .extend(pairs(&[("error_on_memory_exhausted", full), ("expirezero_does_not_evict", forever)]));
        let text = told(&mine, "cache.t3.small", "1.4.34");
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("maxmemory-policy ")).collect();
        assert_eq!(lines, [format!("maxmemory-policy {policy}")]);
    }
}

#[test]
fn each_directive_comes_once() {
    for family in FAMILIES {
        let version = VERSIONS.iter().rfind(|version| version.family == family.name).unwrap();
        let directives =
            node_directives(&group(family.name), node_type::find("cache.m5.large").unwrap(), version.full);
        assert!(directives.windows(2).all(|pair| pair[0].0 < pair[1].0), "{}", family.name);
    }
}

#[test]
fn commands_keep_their_names() {
    let error = group("redis7").set(&pairs(&[("rename-commands", "get myget")]), false).unwrap_err();
    assert_eq!(error.to_string(), "InvalidParameterValue: The parameter rename-commands cannot be modified.");
}
