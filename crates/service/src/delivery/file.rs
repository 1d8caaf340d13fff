//! Appending lines to a file that does not grow without bound.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file that is larger than this is put aside, in the place of the one before.
const BYTES_MAX: u64 = if cfg!(test) { 256 } else { 64 << 20 };

/// Appends lines; makes the file and its folders.
pub(super) fn append(path: &Path, lines: &[String]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    if fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() > BYTES_MAX) {
        fs::rename(path, aside(path))?;
    }
    let mut file = OpenOptions::new().append(true).read(true).create(true).mode(0o600).open(path)?;
    // A line that was cut off, by a kill or a full disk, must not run into the next one.
    let end = if is_cut_off(&mut file)? { "\n" } else { "" };
    let lines = lines.iter().flat_map(|line| [line.as_str(), "\n"]);
    let text: String = std::iter::once(end).chain(lines).collect();
    file.write_all(text.as_bytes())
}

/// Whether the last line has no end.
fn is_cut_off(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        append(&path, &[]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
        for turn in 0..30 {
            append(&path, &[format!("{turn:020}"), "x".into()]).unwrap();
        }
        let (now, before) = (fs::read_to_string(&path).unwrap(), fs::read_to_string(aside(&path)).unwrap());
        assert!(now.len() < 300 && before.len() < 300);
        assert!(now.ends_with("00029\nx\n") && before.starts_with("0000"), "{before} {now}");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 2);
    }

    #[test]
    fn a_line_that_was_cut_off_stays_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b");
        append(&path, &["first".into()]).unwrap();
        fs::write(&path, "first\nsec").unwrap();
        append(&path, &["second".into()]).unwrap();
        append(&path, &["third".into()]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "first\nsec\nsecond\nthird\n");
    }
}
