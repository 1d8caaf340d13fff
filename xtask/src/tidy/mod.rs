//! Style as a test. Each rule is a pure function from a file to findings; this module lists the files of the tree
//! (tracked, or new and not ignored) and prints what was found.
//!
//! Rules: `imports` (who may know whom), `source` (Rust files: length, head comment, unsafe, names), `text` (every
//! file: line ends, marks of unfinished work, paths of somebody's machine).

mod imports;
mod source;
mod text;

use std::fmt;
use std::path::Path;
use std::process::{Command, ExitCode};

/// A file of the tree.
#[derive(Clone, Copy)]
pub(crate) struct File<'a> {
    /// Path from the root, with forward slashes.
    path: &'a str,
    text: &'a str,
}

/// One broken rule at one place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    message: String,
}

impl Finding {
    fn new(file: File<'_>, line: usize, message: impl Into<String>) -> Self {
        Self { path: file.path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Checks the whole tree; prints each finding.
pub(crate) fn run(root: &Path) -> ExitCode {
    let paths = match list(root) {
        Ok(paths) => paths,
        Err(error) => {
            eprintln!("tidy: cannot list the files with git: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut findings = Vec::new();
    for path in &paths {
        // Files deleted in the work tree, and binary ones, are not text to judge.
        if let Ok(text) = std::fs::read_to_string(root.join(path)) {
            check(File { path, text: &text }, &mut findings);
        }
    }
    for finding in &findings {
        eprintln!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy: {} files, nothing to mend", paths.len());
        return ExitCode::SUCCESS;
    }
    eprintln!("tidy: {} findings in {} files", findings.len(), paths.len());
    ExitCode::FAILURE
}

fn check(file: File<'_>, findings: &mut Vec<Finding>) {
    text::check(file, findings);
    if file.path.ends_with("Cargo.toml") {
        imports::check_manifest(file, findings);
    }
    if file.path.ends_with(".rs") {
        source::check(file, findings);
        imports::check_source(file, findings);
    }
}

fn list(root: &Path) -> std::io::Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let output = git.output()?;
    if !output.status.success() {
        return Err(std::io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let names = String::from_utf8_lossy(&output.stdout);
    Ok(names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// Whether a file holds only tests: such files may be long and may use threads, files and clocks.
fn is_test(path: &str) -> bool {
    let inside =
        |folder: &str| path.contains(&format!("/{folder}/")) || path.starts_with(&format!("{folder}/"));
    path.ends_with("/tests.rs") || ["tests", "benches", "fuzz", "examples"].into_iter().any(inside)
}

/// The part of a Rust file before its inner test module.
fn without_tests(text: &str) -> &str {
    let mut offset = 0;
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        let is_gate = line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test");
        if is_gate && lines.peek().is_some_and(|next| next.starts_with("mod ") && next.contains('{')) {
            return &text[..offset];
        }
        offset += line.len();
    }
    text
}

/// `line` without a trailing `//` comment. A `//` inside a string ends the line too early, which only makes a
/// rule blind there.
fn code_of(line: &str) -> &str {
    line.split_once("//").map_or(line, |(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_test_modules_are_cut_off_and_gated_items_are_not() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests;\nfn b() {}\n#[cfg(test)]\nmod more {\n}\n";
        assert_eq!(without_tests(text), "fn a() {}\n#[cfg(test)]\nmod tests;\nfn b() {}\n");
    }

    #[test]
    fn test_files_are_known_by_their_place() {
        assert!(is_test("crates/store/src/table/tests.rs"));
        assert!(is_test("crates/store/tests/model.rs"));
        assert!(is_test("tests/conftest.py"));
        assert!(!is_test("crates/store/src/contests.rs"));
    }
}
