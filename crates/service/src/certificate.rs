//! The authority of this service, and the certificates of its nodes.
//!
//! The authority is made at the first start: a key that only the owner of the data folder can read, and a certificate
//! for clients to trust. Each cache has one key, and one certificate for all names and addresses that it is reached
//! by. The name of a certificate's file follows from these and from the time, so that what a node should have is a
//! setting like any other: when something changes, or it is time to renew, the node is told another file.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, date_time_ymd,
};

/// Days after which certificates of nodes are made anew. They are good for three times as long.
const PERIOD_DAYS: u64 = 30;
/// Periods that a certificate is good for.
const PERIODS_VALID: u64 = 3;
/// Years that the authority is good for.
const AUTHORITY_YEARS: i32 = 20;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Folder in the data folder.
pub(crate) const FOLDER: &str = "tls";
/// File of the authority's certificate.
pub(crate) const AUTHORITY: &str = "ca.pem";
/// File of its key.
const AUTHORITY_KEY: &str = "ca.key";
/// Folder of the nodes' files.
const NODES: &str = "nodes";

/// See the module.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
    key: KeyPair,
}

/// Names of the files of a cache, within [`Authority::folder`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Authority {
    /// The authority of a data folder; made if there is none.
    ///
    /// # Errors
    /// If its files cannot be read or written.
    pub fn open(data_dir: &Path, now_ms: u64) -> io::Result<Authority> {
        let folder = data_dir.join(FOLDER);
        DirBuilder::new().recursive(true).mode(0o700).create(folder.join(NODES))?;
        let key = key(&folder.join(AUTHORITY_KEY))?;
        let authority = Authority { folder, key };
        // Between the two the service may have been killed.
        if !authority.path().exists() {
            let mut params = authority_params();
            let (year, month, day) = date(now_ms - DAY_MS);
            params.not_before = date_time_ymd(year, month, day);
            params.not_after = date_time_ymd(year + AUTHORITY_YEARS, month, day.min(28));
            let certificate = params.self_signed(&authority.key).map_err(io::Error::other)?;
            write(&authority.path(), &certificate.pem(), 0o644)?;
        }
        Ok(authority)
    }

    /// The file with the certificate that clients are to trust.
    pub fn path(&self) -> PathBuf {
        self.folder.join(AUTHORITY)
    }

    /// The folder of all files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The files of a cache that is reached by these names and addresses; made if they are not there.
    ///
    /// # Errors
    /// If a file cannot be written, or a name is none.
    pub fn issue(&self, cache: &str, names: &BTreeSet<String>, now_ms: u64) -> io::Result<Files> {
        let period = now_ms / (PERIOD_DAYS * DAY_MS);
        let mut facts = format!("{period}\n").into_bytes();
        facts.extend(names.iter().flat_map(|name| name.bytes().chain([b'\n'])));
        facts.extend_from_slice(self.key.der_bytes());
        let hash = crate::hex::encode(&digest(&SHA256, &facts).as_ref()[..8]);
        let files = Files {
            certificate: Path::new(NODES).join(format!("{cache}-{hash}.pem")),
            key: Path::new(NODES).join(format!("{cache}.key")),
        };
        let path = self.folder.join(&files.certificate);
        if path.exists() {
            return Ok(files);
        }
        let key = key(&self.folder.join(&files.key))?;
        let mut params =
            CertificateParams::new(names.iter().cloned().collect::<Vec<_>>()).map_err(io::Error::other)?;
        params.distinguished_name.push(DnType::CommonName, cache);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // Nodes of one group call each other.
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let (year, month, day) = date(now_ms - DAY_MS);
        params.not_before = date_time_ymd(year, month, day);
        let (year, month, day) = date((period + PERIODS_VALID) * PERIOD_DAYS * DAY_MS);
        params.not_after = date_time_ymd(year, month, day);
        let own = authority_params();
        let issuer = Issuer::from_params(&own, &self.key);
        let certificate = params.signed_by(&key, &issuer).map_err(io::Error::other)?;
        write(&path, &certificate.pem(), 0o600)?;
        self.forget(cache, Some(&path));
        Ok(files)
    }

    /// Caches that have a key.
    pub fn caches(&self) -> Vec<String> {
        let files = fs::read_dir(self.folder.join(NODES)).into_iter().flatten().flatten();
        let name = |file: fs::DirEntry| Some(file.file_name().to_str()?.strip_suffix(".key")?.to_owned());
        files.filter_map(name).collect()
    }

    /// Takes away the files of a cache that is gone, or all certificates but the newest.
    pub fn forget(&self, cache: &str, but: Option<&Path>) {
        let Ok(files) = fs::read_dir(self.folder.join(NODES)) else { return };
        let mut old = Vec::new();
        for file in files.flatten() {
            let (path, name) = (file.path(), file.file_name());
            let Some(name) = name.to_str() else { continue };
            let is_certificate = name
                .strip_suffix(".pem")
                .and_then(|name| name.rsplit_once('-'))
                .is_some_and(|(owner, hash)| owner == cache && hash.len() == 16);
            let is_key = name.strip_suffix(".key") == Some(cache);
            if is_certificate && but != Some(&*path) || is_key && but.is_none() {
                old.push((file.metadata().and_then(|meta| meta.modified()).ok(), path));
            }
        }
        old.sort();
        if but.is_some() {
            old.pop(); // a node may still be told to read its last one
        }
        for (_, path) in old {
            let _ = fs::remove_file(path); // somebody may have removed it
        }
    }
}

/// What the authority says of itself. Not its dates: who is signed for does not see them.
fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationName, "Larder");
    params.distinguished_name.push(DnType::CommonName, "Larder local authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Year, month and day.
fn date(ms: u64) -> (i32, u8, u8) {
    let at = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let date = at.unwrap_or(jiff::Timestamp::MAX).to_zoned(jiff::tz::TimeZone::UTC).date();
    (date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
}

/// The key of a file; made if there is none.
fn key(path: &Path) -> io::Result<KeyPair> {
    match fs::read_to_string(path) {
        Ok(text) => {
            KeyPair::from_pem(&text).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = KeyPair::generate().map_err(io::Error::other)?;
            write(path, &key.serialize_pem(), 0o600)?;
            Ok(key)
        }
        Err(error) => Err(error),
    }
}

/// Writes a file, whole or not at all.
fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const NOW_MS: u64 = 1_796_000_000_000;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_authority_is_made_once_and_its_key_is_secret() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path(), NOW_MS).unwrap();
        let text = fs::read_to_string(authority.path()).unwrap();
        assert!(text.starts_with("-----BEGIN CERTIFICATE-----"));
        let mode = fs::metadata(folder.path().join("tls/ca.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = Authority::open(folder.path(), NOW_MS + 1).unwrap();
        assert_eq!(fs::read_to_string(again.path()).unwrap(), text);
        fs::remove_file(again.path()).unwrap(); // as after a kill between the two
        Authority::open(folder.path(), NOW_MS).unwrap();
        assert!(again.path().exists());
        fs::write(folder.path().join("tls/ca.key"), "nonsense").unwrap();
        assert!(Authority::open(folder.path(), NOW_MS).is_err(), "it is not replaced silently");
    }

    #[test]
    fn a_certificate_is_made_anew_for_other_names_and_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path(), NOW_MS).unwrap();
        let some = names(&["a.example", "127.0.0.1"]);
        let first = authority.issue("cache", &some, NOW_MS).unwrap();
        let path = authority.folder().join(&first.certificate);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(authority.issue("cache", &some, NOW_MS + DAY_MS / 24).unwrap(), first);
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        let other = authority.issue("cache", &names(&["b.example"]), NOW_MS).unwrap();
        assert!(other.certificate != first.certificate && other.key == first.key);
        let later = authority.issue("cache", &some, NOW_MS + PERIOD_DAYS * DAY_MS).unwrap();
        assert_ne!(later.certificate, first.certificate);
        let neighbour = authority.issue("cache-2", &some, NOW_MS).unwrap();
        authority.forget("cache", None);
        let exists = |path: &Path| authority.folder().join(path).exists();
        assert!(!exists(&later.certificate) && !exists(&later.key));
        assert!(exists(&neighbour.certificate) && exists(&neighbour.key));
        assert!(authority.issue("cache", &names(&["nöt a name"]), NOW_MS).is_err());
    }
}
