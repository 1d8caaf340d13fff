//! Append-only files and their manifests: never a panic, every range within the bytes, the same whatever the pieces in which
//! a file comes, and a manifest that was read is printed as it is read again.

use larder_engine::log::aof::manifest::Manifest;
use larder_engine::log::aof::read::{Step, step};

/// Bytes of a text whose lines are short enough, however they are quoted.
const LINE_BYTES_SAFE: usize = 400;

/// How far the bytes make sense, and how many commands that is.
fn read(bytes: &[u8]) -> (usize, usize, bool) {
    let (mut at, mut commands, mut ranges) = (0, 0, Vec::new());
    loop {
        ranges.clear();
        match step(&bytes[at..], &mut ranges) {
            Ok(Step::Command { consumed }) => {
                assert!(consumed > 0 && !ranges.is_empty());
                assert!(ranges.iter().all(|range| range.start() + range.len() <= consumed));
                (at, commands) = (at + consumed, commands + 1);
            }
            Ok(Step::Note { consumed }) => at += consumed,
            Ok(Step::Incomplete) => return (at, commands, true),
            Err(_) => return (at, commands, false),
        }
    }
}

/// Reads the input and asserts what must hold of it.
pub fn run(input: &[u8]) {
    let (at, commands, sound) = read(input);
    assert!(at <= input.len());
    // What comes before a cut is read as it would be with what follows.
    let half = read(&input[..input.len() / 2]);
    assert!(half.0 <= at && half.1 <= commands && (half.2 || !sound));
    // Quoting may make a line too long that was not.
    if let Ok(text) = std::str::from_utf8(&input[..input.len().min(LINE_BYTES_SAFE)])
        && let Ok(manifest) = Manifest::parse(text)
    {
        assert_eq!(Manifest::parse(&manifest.print()), Ok(manifest));
    }
}
