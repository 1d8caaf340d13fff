//! A configuration file from anybody: read or refused with its line, never a panic. Lines that would touch the machine
//! (other files, other folders) are left out.

use larder_engine::config::{Config, parse};

/// Reads the input and asserts what must hold of it.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let harmless: Vec<&str> = text
        .lines()
        .filter(|line| {
            let name = parse::split(line).and_then(|words| words.into_iter().next()).unwrap_or_default();
            !["include", "dir"].contains(&name.to_ascii_lowercase().as_str())
        })
        .collect();
    let mut config = Config::default();
    if let Err(error) = parse::text(&mut config, &harmless.join("\n"), "fuzz", 0) {
        assert!(error.to_string().contains("line "));
    }
}
