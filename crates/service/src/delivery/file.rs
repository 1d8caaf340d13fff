//! Appending lines to a file that does not grow without bound.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file that is larger than this is put aside, in the place of the one before.
const BYTES_MAX: u64 = if cfg!(test) { 64 } else { 64 << 20 };

/// Appends lines; makes the file and its folders.
pub(super) fn append(path: &Path, lines: &[String]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    if fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() > BYTES_MAX) {
        fs::rename(path, aside(path))?;
    }
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    file.write_all(text.as_bytes())
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
        for turn in 0..20 {
            append(&path, &[format!("{turn:020}"), "x".into()]).unwrap();
        }
        let (now, before) = (fs::read_to_string(&path).unwrap(), fs::read_to_string(aside(&path)).unwrap());
        assert!(now.len() < 100 && before.len() < 100);
        assert!(now.ends_with("00019\nx\n") && before.starts_with("0000"), "{before} {now}");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 2);
    }
}
