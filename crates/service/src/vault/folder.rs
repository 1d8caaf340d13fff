//! Buckets that are folders: whoever makes the folder makes the bucket.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::Buckets;
use super::file::{FRESH, Sum, check, write};
use crate::host::HostError;
use crate::resource::snapshot::Object;

/// A folder of buckets.
#[derive(Debug)]
pub struct FolderBuckets(pub PathBuf);

impl FolderBuckets {
    fn object(&self, object: &Object) -> PathBuf {
        self.0.join(&object.bucket).join(&object.key)
    }
}

impl Buckets for FolderBuckets {
    fn has(&self, bucket: &str) -> Result<bool, HostError> {
        Ok(self.0.join(bucket).is_dir())
    }

    fn size(&self, object: &Object) -> Result<Option<u64>, HostError> {
        let path = self.object(object);
        match fs::metadata(&path) {
            Ok(meta) => Ok(meta.is_file().then_some(meta.len())),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(e) => Err(HostError::io(format!("looking for {}", path.display()))(e)),
        }
    }

    fn put(&self, from: &Path, object: &Object, expected: &Sum) -> Result<(), HostError> {
        let (to, bucket) = (self.object(object), self.0.join(&object.bucket));
        let fresh = bucket.join(format!(".{}{FRESH}", object.key));
        let found = write(from, &fresh)?;
        check(&object.key, &found, expected)?;
        let publish = || {
            fs::rename(&fresh, &to)?;
            File::open(&bucket)?.sync_all()
        };
        publish().map_err(HostError::io(format!("writing {}", to.display())))
    }

    fn fetch(&self, object: &Object, to: &Path) -> Result<(), HostError> {
        let from = self.object(object);
        // Whoever changes an object writes another file, so a second name for it is as good as a copy.
        match fs::hard_link(&from, to) {
            Ok(()) => Ok(()),
            Err(_) => write(&from, to).map(drop),
        }
    }
}
