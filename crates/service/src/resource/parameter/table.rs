//! Reads the tables of parameters. Their format is told at the top of `data/redis_parameters.txt`.

use std::sync::LazyLock;

use super::{ChangeType, DefaultValue, OnNode, Parameter, PerNodeType, Type};
use crate::resource::engine_version::Family;

/// Codes of the redis and valkey families, in their order.
const REDIS_CODES: &[&str] = &["2.6", "2.8", "3.2", "4.0", "5.0", "6", "7", "v7", "8", "9"];
/// Codes of the memcached families, in their order.
const MEMCACHED_CODES: &[&str] = &["1.4", "1.5", "1.6"];

static REDIS: LazyLock<Vec<Parameter>> =
    LazyLock::new(|| parse(include_str!("../../../data/redis_parameters.txt"), REDIS_CODES));
static MEMCACHED: LazyLock<Vec<Parameter>> =
    LazyLock::new(|| parse(include_str!("../../../data/memcached_parameters.txt"), MEMCACHED_CODES));

pub(super) fn of_family(family: &Family) -> impl Iterator<Item = &'static Parameter> + use<> {
    let (table, codes): (&'static [Parameter], _) =
        if family.is_memcached() { (&MEMCACHED, MEMCACHED_CODES) } else { (&REDIS, REDIS_CODES) };
    let at = codes.iter().position(|code| *code == family.code);
    table.iter().filter(move |p| at.is_some_and(|at| (p.families.0..=p.families.1).contains(&at)))
}

fn parse(text: &'static str, codes: &[&str]) -> Vec<Parameter> {
    let mut parameters: Vec<Parameter> = lines(text).filter_map(|line| parse_line(line, codes)).collect();
    parameters.sort_by_key(|parameter| parameter.name);
    parameters
}

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn parse_line(line: &'static str, codes: &[&str]) -> Option<Parameter> {
    let fields: Vec<&'static str> = line.split('|').map(str::trim).collect();
    let [name, families, default, value_type, allowed, change, since, on_node, description] =
        *fields.as_slice()
    else {
        return None;
    };
    Some(Parameter {
        name,
        families: parse_families(families, codes)?,
        default: parse_default(default)?,
        value_type: parse_type(value_type)?,
        allowed,
        modifiable: !change.starts_with("fixed "),
        change: match change.trim_start_matches("fixed ") {
            "immediate" => ChangeType::Immediate,
            "reboot" => ChangeType::RequiresReboot,
            _ => return None,
        },
        since: (since != "-").then_some(since),
        on_node: parse_on_node(on_node, name)?,
        description,
    })
}

fn parse_families(text: &str, codes: &[&str]) -> Option<(usize, usize)> {
    let position = |code: &str| codes.iter().position(|known| *known == code);
    match text.split_once('-') {
        None => position(text).map(|at| (at, at)),
        Some((from, "")) => Some((position(from)?, codes.len() - 1)),
        Some((from, to)) => Some((position(from)?, position(to)?)),
    }
}

fn parse_default(text: &'static str) -> Option<DefaultValue> {
    Some(match text {
        "?" => DefaultValue::ClusterMode,
        "@maxmemory" => DefaultValue::PerNodeType(PerNodeType::Maxmemory),
        "@replica-buffer" => DefaultValue::PerNodeType(PerNodeType::ReplicaBuffer),
        "@max-cache-memory" => DefaultValue::PerNodeType(PerNodeType::MaxCacheMemory),
        "@vcpu" => DefaultValue::PerNodeType(PerNodeType::Vcpu),
        text if text.starts_with('@') => return None,
        text => DefaultValue::Fixed(text),
    })
}

fn parse_type(text: &str) -> Option<Type> {
    Some(match text {
        "string" => Type::Text,
        "integer" => Type::Integer,
        "float" => Type::Float,
        "boolean" => Type::Boolean,
        "letters" => Type::Letters,
        "renames" => Type::Renames,
        _ => return None,
    })
}

fn parse_on_node(text: &'static str, name: &'static str) -> Option<OnNode> {
    let rest = text.get(1..)?;
    match (text.as_bytes().first()?, rest) {
        (b'=', "") => Some(OnNode::Directive(name)),
        (b'=', directive) => Some(OnNode::Directive(directive)),
        (b'+', both) => both.split_once(' ').map(|(directive, first)| OnNode::Part(directive, first)),
        (b'!', why) if !why.is_empty() => Some(OnNode::Nothing(why)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::engine_version::FAMILIES;

    #[test]
    fn every_line_is_understood() {
        for (text, table) in [
            (include_str!("../../../data/redis_parameters.txt"), &*REDIS),
            (include_str!("../../../data/memcached_parameters.txt"), &*MEMCACHED),
        ] {
            assert_eq!(lines(text).count(), table.len());
        }
        let codes: Vec<&str> = FAMILIES.iter().map(|family| family.code).collect();
        assert_eq!(codes, [MEMCACHED_CODES, REDIS_CODES].concat());
    }

    #[test]
    fn a_family_has_each_name_once_and_defaults_that_are_allowed() {
        for family in FAMILIES {
            let parameters: Vec<_> = of_family(family).collect();
            assert!(parameters.windows(2).all(|pair| pair[0].name < pair[1].name), "{}", family.name);
            for parameter in parameters {
                assert!(parameter.description.ends_with('.'), "{}", parameter.name);
                if let DefaultValue::Fixed(value) = parameter.default {
                    parameter.check_value(value).unwrap();
                }
            }
        }
    }

    #[test]
    fn families_have_what_they_should() {
        let names = |family: &str| {
            let family = Family::find(family).unwrap();
            of_family(family).map(|parameter| parameter.name).collect::<Vec<_>>()
        };
        let counts: Vec<_> = FAMILIES.iter().map(|family| (family.name, names(family.name).len())).collect();
        insta::assert_compact_debug_snapshot!(counts);
        assert!(names("redis7").contains(&"hash-max-listpack-entries"));
        assert!(!names("redis7").contains(&"hash-max-ziplist-entries"));
        assert!(!names("redis6.x").contains(&"set-max-listpack-entries"));
        assert!(names("valkey7").contains(&"set-max-listpack-entries"));
        assert!(!names("memcached1.5").contains(&"modern"));
    }
}
