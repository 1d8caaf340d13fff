//! Files that appear whole or not at all, and their sums.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::digest;

use crate::hex;
use crate::host::HostError;

/// What is added to the name of a file that is not whole yet.
pub(super) const FRESH: &str = ".new";
/// How much is copied at once.
const COPY_BYTES: usize = 1 << 20;

/// What is known of a file that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// Size.
    pub bytes: u64,
    /// SHA-256, in hexadecimal digits.
    pub sha256: String,
}

/// Refuses a file that is not what it should be.
pub(super) fn check(name: &str, found: &Sum, expected: &Sum) -> Result<(), HostError> {
    if found == expected {
        return Ok(());
    }
    Err(HostError::Unanswered { what: format!("has left a snapshot, {name}, whose file was changed since") })
}

/// Writes a file again under another name, durably.
pub(super) fn write(from: &Path, to: &Path) -> Result<Sum, HostError> {
    let written = || {
        let mut options = OpenOptions::new();
        let mut target = options.write(true).create(true).truncate(true).mode(0o600).open(to)?;
        let sum = copy(File::open(from)?, |piece| target.write_all(piece))?;
        target.sync_all()?;
        Ok(sum)
    };
    written().map_err(HostError::io(format!("copying {} to {}", from.display(), to.display())))
}

/// Hands all of a file on, piece by piece.
pub(super) fn copy(mut from: impl Read, mut to: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<Sum> {
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; COPY_BYTES];
    let mut bytes = 0;
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(Sum { bytes, sha256: hex::encode(hash.finish().as_ref()) });
        }
        hash.update(&buffer[..read]);
        to(&buffer[..read])?;
        bytes += read as u64;
    }
}
