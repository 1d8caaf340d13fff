//! Checks and chores of the project. `cargo xtask tidy` holds the house rules that the compiler does not know;
//! `cargo xtask test` is the one command that runs every check and every test.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)] // a tool for people at a terminal

mod suite;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
Checks and chores of Larder.

Usage: cargo xtask <COMMAND>

Commands:
  tidy                 House rules: who may import whom, file lengths, SAFETY notes, head comments (under 2 s)
  test                 Everything: format, clippy, tidy, Rust tests, doc tests, then the end-to-end suite
  test --rust          Without the end-to-end suite
  test --e2e [ARG...]  Only the end-to-end suite; the arguments go to pytest, for example: test --e2e -k cli -x
  help                 This text

Environment:
  LARDER_BIN           The program that the end-to-end suite drives (default: a release build of this tree)
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let root = root();
    match words.as_slice() {
        ["tidy"] => tidy::run(&root),
        ["test"] => suite::run(&root, suite::Part::All, &[]),
        ["test", "--rust"] => suite::run(&root, suite::Part::Rust, &[]),
        ["test", "--e2e", rest @ ..] => suite::run(&root, suite::Part::EndToEnd, rest),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("cargo xtask does not know `{}`.\n\n{HELP}", words.join(" "));
            ExitCode::from(2)
        }
    }
}

/// The workspace: the folder above this crate's own.
fn root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("xtask"), PathBuf::from);
    own.parent().unwrap_or(Path::new(".")).to_owned()
}
