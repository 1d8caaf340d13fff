//! The files of snapshots, the first data of caches, and the buckets that the one are exported to and the other come from.
//!
//! ```text
//! snapshots/<name>/0001.rdb      a file for each shard, which appears whole or not at all
//! seeds/<cluster>.rdb            what a cluster begins with, until it was available for the first time
//! ```
//!
//! A file is written under another name, made durable and renamed, so that whatever is found under its own name is
//! whole. Its size and checksum are in the records, and are compared before it leaves the vault. Buckets are folders
//! ([`folder`]), or those of a server that speaks the protocol of S3 ([`s3`]).

pub mod file;
pub mod folder;
#[cfg(feature = "s3")]
pub mod s3;

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::file::Sum;
use self::file::{FRESH, check, copy, write};
use self::folder::FolderBuckets;
use crate::host::HostError;
use crate::resource::snapshot::{Object, Seed};

/// The file of the only shard.
const SHARD: &str = "0001.rdb";

/// Where objects are. All calls block, for a bounded time.
pub trait Buckets: std::fmt::Debug + Send + Sync {
    /// Whether there is such a bucket.
    ///
    /// # Errors
    /// If that cannot be found out.
    fn has(&self, bucket: &str) -> Result<bool, HostError>;

    /// Size of an object; none if there is no such object.
    ///
    /// # Errors
    /// If that cannot be found out.
    fn size(&self, object: &Object) -> Result<Option<u64>, HostError>;

    /// Makes an object of a file: whole, or not at all.
    ///
    /// # Errors
    /// If the file is not what it should be, the bucket is gone, or it cannot be written.
    fn put(&self, from: &Path, object: &Object, expected: &Sum) -> Result<(), HostError>;

    /// Makes a file of an object.
    ///
    /// # Errors
    /// If it is gone, or cannot be read.
    fn fetch(&self, object: &Object, to: &Path) -> Result<(), HostError>;
}

/// Where snapshots, seeds and buckets are. All calls block.
#[derive(Debug, Clone)]
pub struct Vault {
    snapshots: PathBuf,
    seeds: PathBuf,
    buckets: Arc<dyn Buckets>,
}

impl Vault {
    /// A vault below the data folder, with buckets that are folders.
    pub fn new(data_dir: &Path, buckets: PathBuf) -> Vault {
        Vault::with_buckets(data_dir, Arc::new(FolderBuckets(buckets)))
    }

    /// A vault below the data folder, with these buckets.
    pub fn with_buckets(data_dir: &Path, buckets: Arc<dyn Buckets>) -> Vault {
        Vault { snapshots: data_dir.join("snapshots"), seeds: data_dir.join("seeds"), buckets }
    }

    /// The buckets.
    pub fn buckets(&self) -> &dyn Buckets {
        self.buckets.as_ref()
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
            let sum = copy(file, |_| Ok(()))?;
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

    /// Writes the file of a snapshot into a bucket.
    ///
    /// # Errors
    /// If the file is not what it should be, the bucket is gone, or the disk fails.
    pub fn export(&self, name: &str, object: &Object, expected: &Sum) -> Result<(), HostError> {
        self.buckets.put(&self.folder(name).join(SHARD), object, expected)
    }

    /// The file with the first data of a cluster. What lies in a bucket is fetched once.
    ///
    /// # Errors
    /// If there is none.
    pub fn seed(&self, seed: &Seed, cluster: &str) -> Result<PathBuf, HostError> {
        let path = match seed {
            Seed::Snapshot { name } => self.folder(name).join(SHARD),
            Seed::Object(object) => return self.fetched(object, cluster),
        };
        match fs::metadata(&path) {
            Ok(_) => Ok(path),
            Err(error) => Err(HostError::io(format!("reading {}", path.display()))(error)),
        }
    }

    fn fetched(&self, object: &Object, cluster: &str) -> Result<PathBuf, HostError> {
        let path = self.seed_file(cluster);
        if path.exists() {
            return Ok(path);
        }
        let fresh = path.with_extension(format!("rdb{FRESH}"));
        let making = || HostError::io(format!("making {}", path.display()));
        DirBuilder::new().recursive(true).mode(0o700).create(&self.seeds).map_err(making())?;
        match fs::remove_file(&fresh) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(making()(e)),
            _ => {}
        }
        self.buckets.fetch(object, &fresh)?;
        let publish = || {
            fs::rename(&fresh, &path)?;
            File::open(&self.seeds)?.sync_all()
        };
        publish().map_err(making())?;
        Ok(path)
    }

    fn seed_file(&self, cluster: &str) -> PathBuf {
        self.seeds.join(format!("{cluster}.rdb"))
    }

    /// Takes the first data of a cluster away: it has them, or never will. What is gone already is well.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn forget_seed(&self, cluster: &str) -> Result<(), HostError> {
        let path = self.seed_file(cluster);
        for path in [path.with_extension(format!("rdb{FRESH}")), path] {
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(HostError::io(format!("removing {}", path.display()))(e));
                }
                _ => {}
            }
        }
        Ok(())
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
        assert!(vault.seed(&Seed::Snapshot { name: "a".into() }, "c").is_err(), "not before it is whole");
        let sum = vault.seal("a").unwrap();
        assert_eq!(sum.bytes, 5);
        assert_eq!(vault.copy("a", "b", &sum).unwrap(), sum);
        vault.export("b", &object("there", "b-0001.rdb"), &sum).unwrap();
        vault.export("b", &object("there", "b-0001.rdb"), &sum).unwrap();
        let first = Seed::Object(object("there", "b-0001.rdb"));
        let seed = vault.seed(&first, "c").unwrap();
        assert_eq!(fs::read(&seed).unwrap(), b"REDIS");
        assert_eq!(vault.seed(&first, "c").unwrap(), seed, "it is fetched once");
        vault.forget_seed("c").unwrap();
        vault.forget_seed("c").unwrap();
        assert!(!seed.exists());
        assert!(vault.seed(&Seed::Object(object("there", "nothing")), "c").is_err());
        let buckets = vault.buckets();
        assert!(buckets.has("there").unwrap() && !buckets.has("elsewhere").unwrap());
        assert_eq!(buckets.size(&object("there", "b-0001.rdb")).unwrap(), Some(5));
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
        fs::write(vault.seed(&Seed::Snapshot { name: "a".into() }, "c").unwrap(), b"RADIS").unwrap();
        assert!(vault.copy("a", "b", &sum).is_err());
        assert!(vault.seed(&Seed::Snapshot { name: "b".into() }, "c").is_err());
        assert!(vault.export("a", &object("there", "a"), &sum).is_err());
        assert_eq!(vault.buckets().size(&object("there", "a")).unwrap(), None);
    }
}
