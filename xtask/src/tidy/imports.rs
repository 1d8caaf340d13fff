//! Who may know whom, held against the manifests and the paths in the code. ARCHITECTURE.md gives the reasons.
//!
//! Paths are read from the text, not from the compiler: `use` trees are flattened, `super::` is resolved from the
//! file's place, and paths written in the middle of an expression are found too.

use super::{File, Finding, code_of, is_test, without_tests};

/// A crate and what its manifest may not name: crates of ours, and foreign crates that would break its nature.
struct CrateRule {
    folder: &'static str,
    ours_allowed: &'static [&'static str],
    foreign_forbidden: &'static [&'static str],
}

const CRATES: [CrateRule; 7] = [
    CrateRule {
        folder: "crates/protocol",
        ours_allowed: &[],
        foreign_forbidden: &["tokio", "hyper", "tracing", "rustix", "libc", "io-uring"],
    },
    CrateRule {
        folder: "crates/store",
        ours_allowed: &[],
        foreign_forbidden: &["tokio", "hyper", "tracing", "rustix", "io-uring"],
    },
    CrateRule {
        folder: "crates/rdb",
        ours_allowed: &["larder-protocol", "larder-store"],
        foreign_forbidden: &["tokio", "hyper", "tracing", "rustix", "libc", "io-uring"],
    },
    CrateRule {
        folder: "crates/engine",
        ours_allowed: &["larder-protocol", "larder-rdb", "larder-store"],
        foreign_forbidden: &["tokio", "hyper", "axum", "redb"],
    },
    CrateRule {
        folder: "crates/service",
        ours_allowed: &["larder-protocol"],
        foreign_forbidden: &["io-uring", "libc"],
    },
    CrateRule {
        folder: "crates/client",
        ours_allowed: &[],
        foreign_forbidden: &["axum", "hyper", "libc", "redb", "rustix"],
    },
    CrateRule {
        folder: "crates/larder",
        ours_allowed: &["larder-engine", "larder-protocol", "larder-service"],
        foreign_forbidden: &["redb", "io-uring"],
    },
];

/// A place in the tree, the paths that may not be named there, and why.
struct PathRule {
    place: &'static str,
    forbidden: &'static [&'static str],
    /// Below what is forbidden, and allowed all the same.
    except: &'static [&'static str],
    why: &'static str,
}

const PATHS: [PathRule; 13] = [
    PathRule {
        place: "crates/store/src/",
        forbidden: &[
            "std::net",
            "std::fs",
            "std::thread",
            "std::time::Instant",
            "std::time::SystemTime",
            "tokio",
            "larder_protocol",
            "larder_engine",
            "larder_service",
        ],
        except: &[],
        why: "the store has no sockets, files, threads or clock, and knows no other crate of ours",
    },
    PathRule {
        place: "crates/protocol/src/",
        forbidden: &[
            "std::net",
            "std::fs",
            "std::thread",
            "std::time",
            "tokio",
            "tracing",
            "larder_store",
            "larder_engine",
            "larder_service",
        ],
        except: &[],
        why: "the protocol crate does no I/O and knows no other crate of ours",
    },
    PathRule {
        place: "crates/rdb/src/",
        forbidden: &["std::net", "std::fs", "std::thread", "std::time", "larder_engine", "larder_service"],
        except: &[],
        why: "the RDB format is bytes and values: no I/O, no clock, no engine",
    },
    PathRule {
        place: "crates/engine/src/",
        forbidden: &["tokio", "larder_service"],
        except: &[],
        why: "the engine has no async runtime and does not know the service",
    },
    PathRule {
        place: "crates/engine/src/command/",
        forbidden: &["crate::socket", "crate::persist", "crate::replicate", "crate::cluster"],
        except: &[],
        why: "a command sees its call and the keyspace, never the outside",
    },
    PathRule {
        place: "crates/client/src/",
        forbidden: &["larder_protocol", "larder_store", "larder_rdb", "larder_engine", "larder_service"],
        except: &[],
        why: "the client library is an ordinary driver's user and knows no other crate of ours",
    },
    PathRule {
        place: "crates/service/src/",
        forbidden: &["larder_engine", "larder_store"],
        except: &[],
        why: "the service meets nodes over the wire only",
    },
    PathRule {
        place: "crates/service/src/resource",
        forbidden: PURE,
        except: &["crate::state::Resource"],
        why: "resources are pure: no async, no records, no clock",
    },
    PathRule {
        place: "crates/service/src/plan",
        forbidden: PURE,
        except: &["crate::state::Resource"],
        why: "planning is pure: no async, no records, no clock",
    },
    PathRule {
        place: "crates/service/src/front",
        forbidden: &["crate::state", "crate::act", "crate::host"],
        except: &["crate::state::StateError"],
        why: "the front knows operations and identity only",
    },
    PathRule {
        place: "crates/service/src/console",
        forbidden: &["crate::state", "crate::act", "crate::host"],
        except: &[],
        why: "the console calls operations only",
    },
    PathRule {
        place: "crates/service/src/operation",
        forbidden: &["crate::act", "crate::host"],
        except: &[],
        why: "operations write what is desired; only act touches hosts",
    },
    PathRule {
        place: "crates/service/src/state",
        forbidden: &["crate::resource", "crate::operation", "crate::act", "crate::plan"],
        except: &[],
        why: "the record store knows records, not resources",
    },
];

const PURE: &[&str] = &[
    "tokio",
    "crate::state",
    "crate::act",
    "crate::host",
    "crate::operation",
    "std::fs",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::time::Instant",
    "std::time::SystemTime",
];

pub(super) fn check_manifest(file: File<'_>, findings: &mut Vec<Finding>) {
    let Some(rule) = CRATES.iter().find(|rule| file.path == format!("{}/Cargo.toml", rule.folder)) else {
        return;
    };
    let mut in_dependencies = false;
    for (index, line) in file.text.lines().enumerate() {
        if line.starts_with('[') {
            // What tests and benches pull in does not change what the crate is.
            in_dependencies = line.contains("dependencies") && !line.contains("dev-dependencies");
        }
        let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
        let ours = name.starts_with("larder-") && !rule.ours_allowed.contains(&name);
        if in_dependencies && (ours || rule.foreign_forbidden.contains(&name)) {
            findings.push(Finding::new(file, index + 1, format!("{} may not depend on {name}", rule.folder)));
        }
    }
}

pub(super) fn check_source(file: File<'_>, findings: &mut Vec<Finding>) {
    if is_test(file.path) || !PATHS.iter().any(|rule| file.path.starts_with(rule.place)) {
        return;
    }
    let code = without_tests(file.text);
    let uses = use_paths(code, &module_of(file.path));
    for rule in PATHS.iter().filter(|rule| file.path.starts_with(rule.place)) {
        for forbidden in rule.forbidden {
            let excepted = |path: &str| rule.except.iter().any(|except| is_under(path, except));
            let broken = |path: &str| is_under(path, forbidden) && !excepted(path);
            let in_use = uses.iter().filter(|(_, path)| broken(path)).map(|(line, _)| *line);
            let inline = inline_lines(code, forbidden, rule.except);
            let mut lines: Vec<usize> = in_use.chain(inline).collect();
            lines.sort_unstable();
            lines.dedup();
            for line in lines {
                findings.push(Finding::new(
                    file,
                    line,
                    format!("`{forbidden}` may not be used here: {}", rule.why),
                ));
            }
        }
    }
}

/// Whether `path` is `parent` or lies below it.
fn is_under(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Lines that name `path` in the middle of code (not in `use`, whose trees are flattened elsewhere).
fn inline_lines(code: &str, path: &str, except: &[&str]) -> Vec<usize> {
    let named = |line: &str| {
        line.match_indices(path).any(|(at, _)| {
            let glued = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
            let excepted = except.iter().any(|except| line[at..].starts_with(except));
            let in_use = use_item(line.trim_start()).is_some();
            !excepted && !in_use && !line[..at].ends_with(glued) && line[at + path.len()..].starts_with("::")
        })
    };
    code.lines().enumerate().filter(|(_, line)| named(code_of(line))).map(|(index, _)| index + 1).collect()
}

/// `crates/service/src/front/query.rs` is the module `crate::front::query`.
fn module_of(path: &str) -> Vec<String> {
    let inner = path.split_once("/src/").map_or(path, |(_, inner)| inner).trim_end_matches(".rs");
    let parts = inner.split('/').filter(|part| !matches!(*part, "mod" | "lib" | "main"));
    std::iter::once("crate").chain(parts).map(str::to_owned).collect()
}

/// Every path that the `use` items of `code` import, with the line where its item begins.
fn use_paths(code: &str, module: &[String]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut item = String::new();
    let mut began = 0;
    for (index, line) in code.lines().enumerate() {
        let line = code_of(line).trim();
        if item.is_empty() {
            let Some(rest) = use_item(line) else { continue };
            began = index + 1;
            item.push_str(rest);
        } else {
            item.push_str(line);
        }
        if let Some(end) = item.find(';') {
            item.truncate(end);
            let mut paths = Vec::new();
            flatten("", &item, &mut paths);
            found.extend(paths.into_iter().map(|path| (began, resolve(&path, module))));
            item.clear();
        }
    }
    found
}

/// What follows `use` (or `pub use`, `pub(crate) use`) on a line that begins such an item.
fn use_item(line: &str) -> Option<&str> {
    let line = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(')')?.1.trim_start(),
        Some(rest) => rest.trim_start(),
        None => line,
    };
    line.strip_prefix("use ")
}

/// `a::{b, c::{d, e}}` becomes `a::b`, `a::c::d`, `a::c::e`.
fn flatten(prefix: &str, tree: &str, out: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((head, inner)) = tree.split_once('{') else {
        let name = tree.split(" as ").next().unwrap_or(tree).trim();
        let path = format!("{prefix}{name}");
        out.push(path.trim_end_matches("::self").to_owned());
        return;
    };
    let inner = inner.strip_suffix('}').unwrap_or(inner);
    let prefix = format!("{prefix}{head}");
    for part in split_at_commas(inner) {
        flatten(&prefix, part, out);
    }
}

/// Splits at the commas that stand outside of braces.
fn split_at_commas(list: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0usize, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts.into_iter().filter(|part| !part.trim().is_empty()).collect()
}

/// `super::x` and `self::x` as seen from `module`, as a path from `crate`.
fn resolve(path: &str, module: &[String]) -> String {
    let mut base = module;
    let mut rest = path;
    let mut relative = false;
    while let Some(after) = rest.strip_prefix("super::") {
        base = &base[..base.len().saturating_sub(1)];
        rest = after;
        relative = true;
    }
    if let Some(after) = rest.strip_prefix("self::") {
        rest = after;
        relative = true;
    }
    if relative { format!("{}::{rest}", base.join("::")) } else { rest.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Vec<usize> {
        let mut findings = Vec::new();
        check_source(File { path, text }, &mut findings);
        findings.into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn use_trees_are_flattened_and_resolved() {
        let code =
            "use std::{fmt, time::{Duration, Instant as Now}};\npub(crate) use super::act::{self, run};\n";
        let module = module_of("crates/service/src/plan/mod.rs");
        let paths: Vec<String> = use_paths(code, &module).into_iter().map(|(_, path)| path).collect();
        let expected =
            ["std::fmt", "std::time::Duration", "std::time::Instant", "crate::act", "crate::act::run"];
        assert_eq!(paths, expected);
    }

    #[test]
    fn the_store_has_no_clock_and_no_friends() {
        assert_eq!(source("crates/store/src/a.rs", "use std::{\n    time::Instant,\n};\n"), [1]);
        assert_eq!(
            source("crates/store/src/a.rs", "//! std::time::Instant\nuse larder_protocol::slot;\n"),
            [2]
        );
        assert_eq!(source("crates/store/src/a.rs", "fn a() { std::thread::sleep(x) }\n"), [1]);
        assert!(source("crates/store/src/a.rs", "use std::time::Duration;\n").is_empty());
        assert!(source("crates/store/src/a/tests.rs", "use std::thread;\n").is_empty());
    }

    #[test]
    fn commands_never_see_sockets() {
        assert_eq!(source("crates/engine/src/command/keys.rs", "use crate::{node, socket::Fd};\n"), [1]);
        assert!(source("crates/engine/src/worker/turn.rs", "use crate::socket::Fd;\n").is_empty());
    }

    #[test]
    fn exceptions_are_exact() {
        assert!(source("crates/service/src/resource/tag.rs", "use crate::state::Resource;\n").is_empty());
        assert_eq!(
            source("crates/service/src/resource/tag.rs", "use crate::state::{Records, Resource};\n"),
            [1]
        );
        assert!(
            source("crates/service/src/front/error.rs", "fn a(e: crate::state::StateError) {}\n").is_empty()
        );
        assert_eq!(source("crates/service/src/front/error.rs", "fn a(e: crate::state::Records) {}\n"), [1]);
        assert!(source("crates/service/src/resource/network.rs", "use std::net::Ipv4Addr;\n").is_empty());
    }

    #[test]
    fn super_is_no_way_around() {
        assert_eq!(source("crates/service/src/front/query.rs", "use super::super::state::Records;\n"), [1]);
    }

    #[test]
    fn manifests_are_held_to_the_same_rules() {
        let manifest = "[dependencies]\nlarder-store.workspace = true\n[dev-dependencies]\ntokio = \"1\"\n";
        let mut findings = Vec::new();
        check_manifest(File { path: "crates/service/Cargo.toml", text: manifest }, &mut findings);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].line, 2);
    }
}
