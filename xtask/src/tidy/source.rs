//! Rules for Rust files: length, head comment, where `unsafe` may stand and what must stand beside it, names.

use super::{File, Finding, code_of, is_test, without_tests};

/// Longest file that is not all tests.
const LINES_MAX: usize = 1200;
/// A SAFETY note stands at most this many lines above its `unsafe`.
const SAFETY_DISTANCE_LINES: usize = 12;
/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 7] = ["utils", "util", "common", "helpers", "helper", "types", "misc"];
/// The only crates in which `unsafe` may stand.
const UNSAFE_CRATES: [&str; 2] = ["crates/store/", "crates/engine/"];
/// Crate roots that must forbid it.
const SAFE_ROOTS: [&str; 4] = [
    "crates/protocol/src/lib.rs",
    "crates/service/src/lib.rs",
    "crates/larder/src/main.rs",
    "xtask/src/main.rs",
];

pub(super) fn check(file: File<'_>, findings: &mut Vec<Finding>) {
    check_length(file, findings);
    check_head(file, findings);
    check_name(file, findings);
    check_unsafe(file, findings);
    if SAFE_ROOTS.contains(&file.path) && !file.text.contains("#![forbid(unsafe_code)]") {
        findings.push(Finding::new(file, 1, "this crate must say #![forbid(unsafe_code)]"));
    }
}

fn check_length(file: File<'_>, findings: &mut Vec<Finding>) {
    let count = without_tests(file.text).lines().count();
    if !is_test(file.path) && count > LINES_MAX {
        findings.push(Finding::new(
            file,
            1,
            format!("{count} lines; {LINES_MAX} are the most: cut it by subject"),
        ));
    }
}

fn check_head(file: File<'_>, findings: &mut Vec<Finding>) {
    let inside_tests = file.path.contains("/tests/") || file.path.ends_with("/tests.rs");
    let head = file.text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!["));
    if !inside_tests && !head.is_some_and(|line| line.starts_with("//!")) {
        findings.push(Finding::new(file, 1, "no head comment (//!) that says what this module owns"));
    }
}

fn check_name(file: File<'_>, findings: &mut Vec<Finding>) {
    let mut parts = file.path.trim_end_matches(".rs").split('/');
    if let Some(name) = parts.find(|part| EMPTY_NAMES.contains(part)) {
        findings.push(Finding::new(
            file,
            1,
            format!("a module named `{name}` says nothing: name its subject"),
        ));
    }
}

fn check_unsafe(file: File<'_>, findings: &mut Vec<Finding>) {
    let lines: Vec<&str> = file.text.lines().collect();
    let may_be_here = UNSAFE_CRATES.iter().any(|folder| file.path.starts_with(folder)) || is_test(file.path);
    for (index, line) in lines.iter().enumerate() {
        let Some(kind) = unsafe_kind(line) else { continue };
        if !may_be_here {
            findings.push(Finding::new(
                file,
                index + 1,
                "unsafe may stand only in crates/store and crates/engine",
            ));
        }
        let above = &lines[index.saturating_sub(SAFETY_DISTANCE_LINES)..=index];
        let explained = above.iter().any(|line| line.contains("SAFETY:") || line.contains("# Safety"));
        if kind == Unsafe::Promise && !explained {
            findings.push(Finding::new(file, index + 1, "unsafe without a SAFETY note"));
        }
    }
}

/// `line` with the content of its string literals left out; what follows an unclosed quote is kept.
fn without_strings(line: &str) -> String {
    let unescaped = line.replace("\\\"", "");
    let parts: Vec<&str> = unescaped.split('"').collect();
    let closed = parts.len() % 2 == 1;
    if closed { parts.into_iter().step_by(2).collect::<Vec<_>>().join("\"\"") } else { unescaped }
}

#[derive(PartialEq, Eq)]
enum Unsafe {
    /// A block or impl: somebody promises that the conditions hold.
    Promise,
    /// A declaration: it passes the conditions on to the caller.
    Declaration,
}

/// What the word `unsafe` does on this line of code, if it stands there.
fn unsafe_kind(line: &str) -> Option<Unsafe> {
    let code = without_strings(code_of(line));
    let at = code.match_indices("unsafe").map(|(at, _)| at).find(|&at| {
        let glued = |c: char| c.is_alphanumeric() || "_-\"'`".contains(c);
        !code[..at].ends_with(glued) && !code[at + 6..].starts_with(glued)
    })?;
    let rest = code[at + 6..].trim_start();
    let promise = rest.is_empty() || rest.starts_with('{') || rest.starts_with("impl");
    // Anything else (`unsafe fn`, `unsafe extern`, `unsafe trait`, a function pointer) declares; `unsafe(attr)` too.
    Some(if promise { Unsafe::Promise } else { Unsafe::Declaration })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        check(File { path, text }, &mut findings);
        findings.into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn long_files_are_refused_unless_they_are_tests() {
        let long = format!("//! Long.\n{}", "fn a() {}\n".repeat(LINES_MAX));
        assert_eq!(messages("crates/store/src/a.rs", &long).len(), 1);
        assert!(messages("crates/store/src/a/tests.rs", &long).is_empty());
    }

    #[test]
    fn each_module_has_a_head_comment() {
        assert_eq!(messages("crates/store/src/a.rs", "fn a() {}\n").len(), 1);
        assert!(messages("crates/store/src/a.rs", "#![cfg(linux)]\n//! A.\n").is_empty());
    }

    #[test]
    fn unsafe_needs_its_place_and_its_note() {
        let bare = "//! A.\nfn a() { unsafe { b() } }\n";
        assert_eq!(messages("crates/store/src/a.rs", bare), ["unsafe without a SAFETY note"]);
        assert_eq!(messages("crates/service/src/a.rs", bare).len(), 2);
        let noted = "//! A.\n// SAFETY: b has no conditions.\nfn a() { unsafe { b() } }\n";
        assert!(messages("crates/store/src/a.rs", noted).is_empty());
        assert!(messages("crates/service/src/a.rs", "//! unsafe { }\n// unsafe {}\n").is_empty());
        assert!(
            messages("crates/service/src/a.rs", "//! A.\nfn a() { b(\"an unsafe { word\") }\n").is_empty()
        );
        assert!(messages("crates/service/src/a.rs", "//! A.\n#![forbid(unsafe_code)]\n").is_empty());
    }

    #[test]
    fn empty_names_are_refused() {
        assert_eq!(messages("crates/store/src/utils/a.rs", "//! A.\n").len(), 1);
        assert_eq!(messages("crates/store/src/helpers.rs", "//! A.\n").len(), 1);
    }

    #[test]
    fn safe_crates_say_so() {
        assert_eq!(messages("crates/protocol/src/lib.rs", "//! A.\n").len(), 1);
    }
}
