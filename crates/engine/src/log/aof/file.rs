//! The files: the folder, the manifest, and what makes them last.

use super::manifest::{Kind, Manifest, Part};
use super::rewrite;
use crate::node::Node;
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

/// Makes names in a folder outlive the machine's death.
///
/// # Errors
/// As the file system says.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
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
    if let Some(mut manifest) = read_manifest(&folder, &name)? {
        rewrite::remove_history(&folder, &name, &mut manifest)?;
        return Ok(());
    }
    let (old, new) = (Path::new(&name), folder.join(&name));
    if old.is_file() && !new.exists() {
        tracing::info!("Upgrading the append-only file {name} to the multi-part form");
        std::fs::rename(old, &new)?;
        sync_folder(&folder)?;
    }
    let mut manifest = Manifest::default();
    if new.is_file() {
        manifest.base = Some(Part { name: name.clone(), number: 1, kind: Kind::Base });
    }
    let part = Part { name: format!("{name}.1.incr.aof"), number: 1, kind: Kind::Increment };
    File::create(folder.join(&part.name))?.sync_all()?;
    manifest.increments.push(part);
    write_manifest(&folder, &name, &manifest)
}
