//! Buckets of a server that speaks the protocol of S3.
//!
//! Every call has time limits and few repetitions: who asks is a caller of the API, or a driver that tries again by
//! itself. An object is read and written in parts of a few megabytes, so its size does not matter.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Key;
use object_store::{
    BackoffConfig, ClientOptions, Error, GetOptions, ObjectStore, ObjectStoreExt, RetryConfig, WriteMultipart,
};
use tokio::runtime::Handle;

use super::Buckets;
use super::file::{Sum, check, copy};
use crate::host::HostError;
use crate::resource::snapshot::Object;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one request may take, with its part of the data.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a request is repeated.
const RETRIES_MAX: usize = 2;
/// How long repetitions may take together.
const RETRY_TIMEOUT: Duration = Duration::from_secs(10);
/// How much one request carries.
const PART_BYTES: u64 = 8 << 20;
/// Parts that are under way at the same time.
const PARTS_MAX: usize = 4;
/// Objects below this are asked for, to find out whether there is a bucket: there are none.
const NOWHERE: &str = "larder-looks-whether-there-is-a-bucket";

/// Where buckets are, and who asks for them.
#[derive(Clone)]
pub struct S3Config {
    /// URL of the server.
    pub endpoint: String,
    /// Region in signatures.
    pub region: String,
    /// Access key and its secret; without them requests are not signed.
    pub key: Option<(String, String)>,
}

impl fmt::Debug for S3Config {
    /// Never shows the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let S3Config { endpoint, region, key } = self;
        let key = key.as_ref().map(|(id, _)| id);
        f.debug_struct("S3Config")
            .field("endpoint", endpoint)
            .field("region", region)
            .field("key", &key)
            .finish_non_exhaustive()
    }
}

/// The buckets of a server.
#[derive(Debug)]
pub struct S3Buckets {
    config: S3Config,
    runtime: Handle,
}

impl S3Buckets {
    /// Buckets of this server. To be called within a runtime, and used on threads of it that may block.
    ///
    /// # Errors
    /// If the endpoint is not one.
    pub fn new(config: S3Config) -> Result<S3Buckets, HostError> {
        let buckets = S3Buckets { config, runtime: Handle::current() };
        buckets.store("any")?;
        Ok(buckets)
    }

    fn store(&self, bucket: &str) -> Result<AmazonS3, HostError> {
        let S3Config { endpoint, region, key } = &self.config;
        let retry = RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: RETRIES_MAX,
            retry_timeout: RETRY_TIMEOUT,
        };
        let client = ClientOptions::new().with_connect_timeout(CONNECT_TIMEOUT).with_timeout(REQUEST_TIMEOUT);
        let builder = AmazonS3Builder::new()
            .with_client_options(client)
            .with_allow_http(endpoint.starts_with("http://"))
            .with_endpoint(endpoint)
            .with_region(region)
            .with_bucket_name(bucket)
            .with_retry(retry);
        let builder = match key {
            Some((id, secret)) => builder.with_access_key_id(id).with_secret_access_key(secret),
            None => builder.with_skip_signature(true),
        };
        builder.build().map_err(|error| failed(format!("using the S3 endpoint {endpoint}"), error))
    }
}

fn failed(what: String, error: Error) -> HostError {
    HostError::io(what)(io::Error::other(error))
}

fn key(object: &Object) -> Result<Key, HostError> {
    let what = || format!("naming s3://{}/{}", object.bucket, object.key);
    Key::parse(&object.key).map_err(|error| HostError::io(what())(io::Error::other(error)))
}

impl Buckets for S3Buckets {
    fn has(&self, bucket: &str) -> Result<bool, HostError> {
        let store = self.store(bucket)?;
        match self.runtime.block_on(store.list_with_delimiter(Some(&Key::from(NOWHERE)))) {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(failed(format!("looking for the bucket {bucket}"), error)),
        }
    }

    fn size(&self, object: &Object) -> Result<Option<u64>, HostError> {
        let (store, key) = (self.store(&object.bucket)?, key(object)?);
        match self.runtime.block_on(store.head(&key)) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(format!("looking for s3://{}/{key}", object.bucket), error)),
        }
    }

    fn put(&self, from: &Path, object: &Object, expected: &Sum) -> Result<(), HostError> {
        let (store, key) = (self.store(&object.bucket)?, key(object)?);
        let what = format!("writing s3://{}/{key}", object.bucket);
        let wrong = |error: Error| failed(what.clone(), error);
        let file = File::open(from).map_err(HostError::io(format!("reading {}", from.display())))?;
        let upload = self.runtime.block_on(store.put_multipart(&key)).map_err(wrong)?;
        // Parts are sent by tasks of the runtime.
        let _inside = self.runtime.enter();
        let part_bytes = usize::try_from(PART_BYTES).unwrap_or(usize::MAX);
        let mut upload = WriteMultipart::new_with_chunk_size(upload, part_bytes);
        let sent = copy(file, |piece| {
            self.runtime.block_on(upload.wait_for_capacity(PARTS_MAX)).map_err(io::Error::other)?;
            upload.write(piece);
            Ok(())
        });
        let sent = sent.map_err(HostError::io(what.clone()));
        match sent.and_then(|found| check(&object.key, &found, expected)) {
            Ok(()) => self.runtime.block_on(upload.finish()).map(drop).map_err(wrong),
            Err(error) => {
                // What was sent is thrown away; a server that cannot do so now forgets it by its own rules.
                let _ = self.runtime.block_on(upload.abort());
                Err(error)
            }
        }
    }

    fn fetch(&self, object: &Object, to: &Path) -> Result<(), HostError> {
        let (store, key) = (self.store(&object.bucket)?, key(object)?);
        let what = || format!("reading s3://{}/{key}", object.bucket);
        let meta = self.runtime.block_on(store.head(&key)).map_err(|error| failed(what(), error))?;
        let mut options = OpenOptions::new();
        let writing = || format!("writing {}", to.display());
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(to);
        let mut file = file.map_err(HostError::io(writing()))?;
        let mut at = 0;
        while at < meta.size {
            let end = meta.size.min(at + PART_BYTES);
            // An object that is replaced meanwhile is another one: it is read anew from its beginning.
            let part = GetOptions {
                if_match: meta.e_tag.clone(),
                range: Some((at..end).into()),
                ..GetOptions::default()
            };
            let read = self.runtime.block_on(async { store.get_opts(&key, part).await?.bytes().await });
            let read = read.map_err(|error| failed(what(), error))?;
            if read.len() as u64 != end - at {
                return Err(HostError::io(what())(io::ErrorKind::UnexpectedEof.into()));
            }
            file.write_all(&read).map_err(HostError::io(writing()))?;
            at = end;
        }
        file.sync_all().map_err(HostError::io(writing()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let config = S3Config {
            endpoint: "http://127.0.0.1:1".into(),
            region: "us-east-1".into(),
            key: Some(("AKIAEXAMPLE".into(), "very-secret".into())),
        };
        let shown = format!("{config:?}");
        assert!(shown.contains("AKIAEXAMPLE") && !shown.contains("very-secret"), "{shown}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_is_not_there_is_an_error_and_not_an_empty_one() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let key = Some(("AKIAEXAMPLE".to_owned(), "secret".to_owned()));
        let config = S3Config { endpoint, region: "us-east-1".into(), key };
        let buckets = S3Buckets::new(config).unwrap();
        let asked = tokio::task::spawn_blocking(move || buckets.has("backups")).await.unwrap();
        let text = asked.unwrap_err().to_string();
        assert!(text.contains("looking for the bucket backups"), "{text}");
        let bad = S3Config { endpoint: "ftp://nowhere".into(), region: "x".into(), key: None };
        let buckets = S3Buckets::new(bad);
        let refused = match buckets {
            Err(_) => true,
            Ok(buckets) => tokio::task::spawn_blocking(move || buckets.has("b").is_err()).await.unwrap(),
        };
        assert!(refused);
    }
}
