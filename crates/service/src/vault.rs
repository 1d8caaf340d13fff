//! The files of snapshots, and the buckets that they are exported to and caches are seeded from.
//!
//! ```text
//! snapshots/<name>/0001.rdb      a file for each shard, which appears whole or not at all
//! buckets/<bucket>/<key>         a bucket is a folder; whoever makes the folder makes the bucket
//! ```
//!
//! A file is written under another name, made durable and renamed, so that whatever is found under its own name is
//! whole. Its size and checksum are in the records, and are compared before it leaves the vault.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;

use crate::hex;
use crate::host::HostError;
use crate::resource::snapshot::{Object, Seed};

/// The file of the only shard.
const SHARD: &str = "0001.rdb";
/// What is added to the name of a file that is not whole yet.
const FRESH: &str = ".new";
/// How much is copied at once.
const COPY_BYTES: usize = 1 << 20;

/// Where snapshots and buckets are. All calls block.
#[derive(Debug, Clone)]
pub struct Vault {
    snapshots: PathBuf,
    buckets: PathBuf,
}

/// What is known of a file that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// Size.
    pub bytes: u64,
    /// SHA-256, in hexadecimal digits.
    pub sha256: String,
}

impl Vault {
    /// A vault below the data folder, and buckets in a folder of their own.
    pub fn new(data_dir: &Path, buckets: PathBuf) -> Vault {
        Vault { snapshots: data_dir.join("snapshots"), buckets }
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.snapshots.join(name)
    }

    /// Where the file of a snapshot is to be put before [`Vault::seal`]. Makes the folder.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn incoming(&self, name: &str) -> Result<PathBuf, HostError> {
        let folder = self.folder(name);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(HostError::io(format!("making {}", folder.display())))?;
        Ok(folder.join(format!("{SHARD}{FRESH}")))
    }

    /// Makes the file that was put there the snapshot's.
    ///
    /// # Errors
    /// If it is not there, or the disk fails.
    pub fn seal(&self, name: &str) -> Result<Sum, HostError> {
        let folder = self.folder(name);
        let fresh = folder.join(format!("{SHARD}{FRESH}"));
        let seal = || {
            let file = File::open(&fresh)?;
            file.sync_all()?;
            let sum = copy(file, &mut io::sink())?;
            fs::rename(&fresh, folder.join(SHARD))?;
            File::open(&folder)?.sync_all()?;
            File::open(&self.snapshots)?.sync_all()?;
            Ok(sum)
        };
        seal().map_err(HostError::io(format!("keeping {}", fresh.display())))
    }

    /// Makes the file of another snapshot this one's, too.
    ///
    /// # Errors
    /// If the source is not what it should be, or the disk fails.
    pub fn copy(&self, from: &str, to: &str, expected: &Sum) -> Result<Sum, HostError> {
        let fresh = self.incoming(to)?;
        let found = write(&self.folder(from).join(SHARD), &fresh)?;
        check(from, &found, expected)?;
        self.seal(to)
    }

    /// Takes the file of a snapshot away, and its folder. What is gone already is well.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn remove(&self, name: &str) -> Result<(), HostError> {
        let folder = self.folder(name);
        match fs::remove_dir_all(&folder) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(HostError::io(format!("removing {}", folder.display()))(e))
            }
            _ => Ok(()),
        }
    }

    /// Whether there is such a bucket.
    pub fn has_bucket(&self, bucket: &str) -> bool {
        self.buckets.join(bucket).is_dir()
    }

    /// Whether a bucket has such an object.
    pub fn has_object(&self, object: &Object) -> bool {
        self.object(object).is_file()
    }

    fn object(&self, object: &Object) -> PathBuf {
        self.buckets.join(&object.bucket).join(&object.key)
    }

    /// Writes the file of a snapshot into a bucket.
    ///
    /// # Errors
    /// If the file is not what it should be, the bucket is gone, or the disk fails.
    pub fn export(&self, name: &str, object: &Object, expected: &Sum) -> Result<(), HostError> {
        let to = self.object(object);
        let fresh = self.buckets.join(&object.bucket).join(format!(".{}{FRESH}", object.key));
        let found = write(&self.folder(name).join(SHARD), &fresh)?;
        check(name, &found, expected)?;
        let publish = || {
            fs::rename(&fresh, &to)?;
            File::open(self.buckets.join(&object.bucket))?.sync_all()
        };
        publish().map_err(HostError::io(format!("writing {}", to.display())))
    }

    /// The file with the first data of a cache.
    ///
    /// # Errors
    /// If there is none.
    pub fn seed(&self, seed: &Seed) -> Result<PathBuf, HostError> {
        let path = match seed {
            Seed::Snapshot { name } => self.folder(name).join(SHARD),
            Seed::Object(object) => self.object(object),
        };
        match fs::metadata(&path) {
            Ok(_) => Ok(path),
            Err(error) => Err(HostError::io(format!("reading {}", path.display()))(error)),
        }
    }
}

fn check(name: &str, found: &Sum, expected: &Sum) -> Result<(), HostError> {
    if found == expected {
        return Ok(());
    }
    Err(HostError::Unanswered { what: format!("has left a snapshot, {name}, whose file was changed since") })
}

/// Writes a file again under another name, durably.
fn write(from: &Path, to: &Path) -> Result<Sum, HostError> {
    let written = || {
        let mut options = OpenOptions::new();
        let mut target = options.write(true).create(true).truncate(true).mode(0o600).open(to)?;
        let sum = copy(File::open(from)?, &mut target)?;
        target.sync_all()?;
        Ok(sum)
    };
    written().map_err(HostError::io(format!("copying {} to {}", from.display(), to.display())))
}

fn copy(mut from: impl Read, to: &mut impl Write) -> io::Result<Sum> {
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; COPY_BYTES];
    let mut bytes = 0;
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(Sum { bytes, sha256: hex::encode(hash.finish().as_ref()) });
        }
        hash.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
        bytes += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> (tempfile::TempDir, Vault) {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::new(folder.path(), folder.path().join("buckets"));
        fs::create_dir_all(folder.path().join("buckets/there")).unwrap();
        (folder, vault)
    }

    fn object(bucket: &str, key: &str) -> Object {
        Object { bucket: bucket.into(), key: key.into() }
    }

    #[test]
    fn a_file_is_kept_copied_exported_and_removed() {
        let (_folder, vault) = vault();
        fs::write(vault.incoming("a").unwrap(), b"REDIS").unwrap();
        assert!(vault.seed(&Seed::Snapshot { name: "a".into() }).is_err(), "not before it is whole");
        let sum = vault.seal("a").unwrap();
        assert_eq!(sum.bytes, 5);
        assert_eq!(vault.copy("a", "b", &sum).unwrap(), sum);
        vault.export("b", &object("there", "b-0001.rdb"), &sum).unwrap();
        vault.export("b", &object("there", "b-0001.rdb"), &sum).unwrap();
        let seed = vault.seed(&Seed::Object(object("there", "b-0001.rdb"))).unwrap();
        assert_eq!(fs::read(seed).unwrap(), b"REDIS");
        assert!(vault.has_bucket("there") && !vault.has_bucket("elsewhere"));
        assert!(vault.export("b", &object("elsewhere", "x"), &sum).is_err());
        vault.remove("a").unwrap();
        vault.remove("a").unwrap();
        assert!(vault.copy("a", "c", &sum).is_err());
    }

    #[test]
    fn a_file_that_was_changed_does_not_leave_the_vault() {
        let (_folder, vault) = vault();
        fs::write(vault.incoming("a").unwrap(), b"REDIS").unwrap();
        let sum = vault.seal("a").unwrap();
        fs::write(vault.seed(&Seed::Snapshot { name: "a".into() }).unwrap(), b"RADIS").unwrap();
        assert!(vault.copy("a", "b", &sum).is_err());
        assert!(vault.seed(&Seed::Snapshot { name: "b".into() }).is_err());
        assert!(vault.export("a", &object("there", "a"), &sum).is_err());
        assert!(!vault.has_object(&object("there", "a")));
    }
}
