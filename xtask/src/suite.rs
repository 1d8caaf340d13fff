//! `cargo xtask test`: every check and test in one order, the cheapest first, stopping at the first that fails.
//! Owns the order and the Python environment; what is tested stands in the crates and in `tests/`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Instant;

/// What of the suite to run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Rust checks and tests, then the end-to-end suite.
    All,
    /// Format, clippy, tidy, Rust tests, doc tests.
    Rust,
    /// pytest over the built binary.
    EndToEnd,
}

/// A step's failure, already explained on standard error.
struct Failed;

/// Runs the steps of `part`. pytest comes last, so that its own summary is the last line.
pub(crate) fn run(root: &Path, part: Part, pytest_args: &[&str]) -> ExitCode {
    let mut steps = Steps { root, began: Instant::now() };
    let outcome = match part {
        Part::All => all(&mut steps),
        Part::Rust => rust(&mut steps),
        Part::EndToEnd => given(&mut steps).and_then(|binary| end_to_end(&mut steps, &binary, pytest_args)),
    };
    if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn rust(steps: &mut Steps<'_>) -> Result<(), Failed> {
    steps.cargo("format", &["fmt", "--all", "--check"])?;
    steps.announce("tidy");
    if crate::tidy::run(steps.root) != ExitCode::SUCCESS {
        return Err(Failed);
    }
    steps.cargo("clippy", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    if has_nextest() {
        steps.cargo("Rust tests", &["nextest", "run", "--workspace", "--no-fail-fast"])?;
    } else {
        steps
            .cargo("Rust tests", &["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"])?;
    }
    steps.cargo("doc tests", &["test", "--workspace", "--doc"])
}

/// Everything. The release build, most of which is one thread optimising the whole, goes on beside the Rust tests.
fn all(steps: &mut Steps<'_>) -> Result<(), Failed> {
    let building = match std::env::var_os("LARDER_BIN") {
        Some(_) => None,
        None => Some(Background::release(steps)?),
    };
    rust(steps)?;
    let binary = match building {
        Some(build) => build.wait(steps)?,
        None => given(steps)?,
    };
    end_to_end(steps, &binary, &[])
}

/// The program that the environment names, else a release build made now.
fn given(steps: &mut Steps<'_>) -> Result<PathBuf, Failed> {
    match std::env::var_os("LARDER_BIN") {
        Some(path) => Ok(PathBuf::from(path)),
        None => {
            steps.cargo("release build", &RELEASE)?;
            Ok(target_dir(steps.root).join("release/larder"))
        }
    }
}

const RELEASE: [&str; 4] = ["build", "--release", "--package", "larder"];

/// A release build that runs beside other steps; what it prints is shown when it failed. Ended when dropped.
struct Background {
    child: Child,
    log: PathBuf,
}

impl Background {
    fn release(steps: &mut Steps<'_>) -> Result<Self, Failed> {
        steps.announce("release build, beside what follows");
        let log = target_dir(steps.root).join("release-build.log");
        let start = || {
            std::fs::create_dir_all(target_dir(steps.root))?;
            let out = File::create(&log)?;
            let mut command = Command::new(cargo());
            command.args(RELEASE).current_dir(steps.root);
            command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).spawn()
        };
        match start() {
            Ok(child) => Ok(Self { child, log }),
            Err(error) => {
                eprintln!("\ncargo xtask test: cannot start the release build: {error}");
                Err(Failed)
            }
        }
    }

    /// Waits for the end, and answers the program built.
    fn wait(mut self, steps: &mut Steps<'_>) -> Result<PathBuf, Failed> {
        steps.announce("release build: its end");
        match self.child.wait() {
            Ok(status) if status.success() => Ok(target_dir(steps.root).join("release/larder")),
            outcome => {
                eprint!("{}", std::fs::read_to_string(&self.log).unwrap_or_default());
                eprintln!("\ncargo xtask test: release build failed ({outcome:?})");
                Err(Failed)
            }
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it has ended, or nobody wants what it builds
        let _ = self.child.wait();
    }
}

/// pytest over `binary`. Without arguments in two rounds: what may share the machine in several processes, most of it
/// waits; then the tests marked `alone`, one after the other.
fn end_to_end(steps: &mut Steps<'_>, binary: &Path, arguments: &[&str]) -> Result<(), Failed> {
    let python = python(steps)?;
    let mut round = |name: &str, arguments: &[&str]| {
        let mut pytest = Command::new(&python);
        pytest.args(["-m", "pytest", "tests"]).args(arguments).env("LARDER_BIN", binary);
        steps.command(name, &mut pytest)
    };
    if !arguments.is_empty() {
        return round("end-to-end tests", arguments);
    }
    round("end-to-end tests, side by side", &["-m", "not alone", "-n", "4", "--dist", "worksteal"])?;
    round("end-to-end tests, each alone", &["-m", "alone"])
}

/// The interpreter of `.venv` with exactly `tests/requirements.txt` in it; made when missing or out of date.
fn python(steps: &mut Steps<'_>) -> Result<PathBuf, Failed> {
    let venv = steps.root.join(".venv");
    let python = venv.join("bin/python");
    let wanted = std::fs::read_to_string(steps.root.join("tests/requirements.txt")).unwrap_or_default();
    let mark = venv.join("requirements.installed");
    if python.exists() && std::fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    steps.command("Python environment", Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
        "tests/requirements.txt",
    ]);
    steps.command("Python packages", &mut pip)?;
    std::fs::write(&mark, wanted).map_err(|error| {
        eprintln!("cannot write {}: {error}", mark.display());
        Failed
    })?;
    Ok(python)
}

fn has_nextest() -> bool {
    Command::new(cargo()).args(["nextest", "--version"]).output().is_ok_and(|out| out.status.success())
}

fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn target_dir(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// Runs commands at the root and says what runs.
struct Steps<'a> {
    root: &'a Path,
    began: Instant,
}

impl Steps<'_> {
    fn announce(&self, name: &str) {
        println!("\n== {name} (at {} s)", self.began.elapsed().as_secs());
    }

    fn cargo(&mut self, name: &str, args: &[&str]) -> Result<(), Failed> {
        self.command(name, Command::new(cargo()).args(args))
    }

    fn command(&mut self, name: &str, command: &mut Command) -> Result<(), Failed> {
        self.announce(name);
        match command.current_dir(self.root).status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => {
                eprintln!("\ncargo xtask test: {name} failed ({status})");
                Err(Failed)
            }
            Err(error) => {
                eprintln!("\ncargo xtask test: cannot start {:?} for {name}: {error}", command.get_program());
                Err(Failed)
            }
        }
    }
}
