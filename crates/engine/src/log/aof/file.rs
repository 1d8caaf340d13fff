//! The files: the folder, the manifest, and what makes them last.

use super::manifest::{Kind, Manifest, Part};
use super::rewrite;
use crate::node::Node;
use larder_rdb::file::write;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The folder of the append-only file.
pub fn folder(node: &Node) -> PathBuf {
    PathBuf::from(&node.settings().append_only.folder)
}

/// Where the manifest lies within the folder.
pub fn manifest_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.manifest"))
}

/// Reads the manifest; `None` if there is none.
///
/// # Errors
/// It cannot be read, or makes no sense.
pub fn read_manifest(folder: &Path, name: &str) -> io::Result<Option<Manifest>> {
    match std::fs::read_to_string(manifest_path(folder, name)) {
        Ok(text) => Manifest::parse(&text).map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts a manifest in place of the old one: after a crash there is either.
///
/// # Errors
/// As the file system says.
pub fn write_manifest(folder: &Path, name: &str, manifest: &Manifest) -> io::Result<()> {
    let path = manifest_path(folder, name);
    let temporary = folder.join(format!("temp-{name}.manifest"));
    let mut file = File::create(&temporary)?;
    file.write_all(manifest.print().as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, &path)?;
    sync_folder(folder)
}

/// Removes a file that was made for a manifest which could not be written: a disk that is full should not fill further. One
/// that the manifest names stays, as it may only be that nobody knows whether that is durable: then this is true.
pub fn is_kept(folder: &Path, name: &str, part: &str) -> bool {
    let is_named = |manifest: Manifest| manifest.live().any(|live| live.name == part);
    // A manifest that cannot be read may name it.
    let kept = read_manifest(folder, name).map_or(true, |manifest| manifest.is_some_and(is_named));
    if !kept {
        let _ = std::fs::remove_file(folder.join(part)); // it may never have been made
    }
    kept
}

/// Makes names in a folder outlive the machine's death.
///
/// # Errors
/// As the file system says.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes the base of a file that begins with nothing; its name.
fn make_empty_base(node: &Node, folder: &Path, name: &str) -> io::Result<String> {
    let settings = node.settings();
    let (kind, bytes) = match settings.append_only.rdb_preamble {
        true => ("rdb", write::empty(settings.persistence.checksum)),
        false => ("aof", Vec::new()),
    };
    let base = format!("{name}.1.base.{kind}");
    let mut file = File::create(folder.join(&base))?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    Ok(base)
}

/// Brings the single file of older versions into the folder.
fn bring(old: &Path, new: &Path) -> io::Result<()> {
    tracing::info!("Upgrading the append-only file {} to the multi-part form", old.display());
    std::fs::rename(old, new)?;
    new.parent().map_or(Ok(()), sync_folder)
}

/// Makes folder and manifest of a node that has none, and brings a file of older versions, which was a single one, into
/// the folder.
///
/// # Errors
/// As the file system says, or the manifest makes no sense.
pub fn prepare(node: &Node) -> io::Result<()> {
    let (folder, name) = (folder(node), node.settings().append_only.file.clone());
    std::fs::create_dir_all(&folder)?;
    crate::snapshot::file::remove_left_over(&folder);
    let (old, new) = (Path::new(&name), folder.join(&name));
    if let Some(mut manifest) = read_manifest(&folder, &name)? {
        // Redis names the single file of older versions first and brings it into the folder then.
        if manifest.base.as_ref().is_some_and(|base| base.name == name) && old.is_file() && !new.exists() {
            bring(old, &new)?;
        }
        rewrite::remove_history(&folder, &name, &mut manifest)?;
        return Ok(());
    }
    if old.is_file() && !new.exists() {
        bring(old, &new)?;
    }
    let base = if new.is_file() { name.clone() } else { make_empty_base(node, &folder, &name)? };
    let base = Part { name: base, number: 1, kind: Kind::Base };
    let mut manifest = Manifest { base: Some(base), ..Manifest::default() };
    let part = Part { name: format!("{name}.1.incr.aof"), number: 1, kind: Kind::Increment };
    File::create(folder.join(&part.name))?.sync_all()?;
    manifest.increments.push(part);
    write_manifest(&folder, &name, &manifest)
}
