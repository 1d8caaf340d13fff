//! The folder of a node: its configuration, its sockets, its log, and the lock that makes it one node's only.
//!
//! The lock is a `flock` on `node.lock`, taken by the service and handed to the node as its standard input: the
//! kernel keeps it as long as the node lives, whatever becomes of the service. So there can never be a second
//! process for a node, and whoever has that file as its standard input is the node.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{HostError, Launch, NOBODY, NodeKey};
use crate::resource::node::Settings;

/// The RESP socket.
pub(super) const SOCKET: &str = "node.sock";
/// The memcached socket.
pub(super) const MEMCACHED_SOCKET: &str = "memcached.sock";
/// The file that a node loads when it starts, and writes when it is asked for a snapshot.
const DATA: &str = "dump.rdb";
/// The line of the configuration after which the settings stand.
const SETTINGS_MARK: &str = "# settings";
/// A log that is larger than this is put aside at the next start.
const LOG_BYTES_MAX: u64 = 16 << 20;
/// How much of a log is read at once.
const LOG_PIECE_BYTES: u64 = 256 << 10;
/// How much of a log's end goes into an error.
const LOG_TAIL_BYTES: u64 = 300;
/// Largest configuration file that is read.
const CONF_BYTES_MAX: u64 = 1 << 20;

/// From where a log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFrom {
    /// From its beginning.
    Beginning,
    /// What comes from now on.
    End,
    /// From a place in one of its files.
    At {
        /// Number of the file.
        file: u64,
        /// How much of it was read.
        offset: u64,
    },
}

/// Lines of a log, and where the next ones begin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogPiece {
    /// Whole lines.
    pub lines: Vec<String>,
    /// Number of the file.
    pub file: u64,
    /// How much of it was read.
    pub offset: u64,
}

/// A node's folder.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder of a node below the folder of all nodes. Nothing is made yet.
    pub(super) fn of(nodes: &Path, key: &NodeKey) -> Folder {
        Folder { path: nodes.join(key.folder_name()) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn exists(&self) -> bool {
        self.path.exists()
    }

    /// Makes the folder, for nobody else to look into.
    pub(super) fn make(&self) -> Result<(), HostError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.path);
        made.map_err(HostError::io(format!("making {}", self.path.display())))
    }

    /// The lock file, if nobody holds its lock; it is held now.
    pub(super) fn try_lock(&self) -> Result<Option<File>, HostError> {
        let file = self.lock_file()?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(e)) => {
                Err(HostError::io(format!("locking {}", self.path.display()))(e))
            }
        }
    }

    /// Whether a process holds the lock.
    pub(super) fn is_locked(&self) -> Result<bool, HostError> {
        let Some(file) = self.try_lock()? else { return Ok(true) };
        // Closing alone would not do: a child that is being started at this moment has a copy until it is its own
        // program, and would keep the lock as long.
        file.unlock().map_err(HostError::io(format!("unlocking {}", self.path.display())))?;
        Ok(false)
    }

    /// The lock file, open.
    pub(super) fn lock_file(&self) -> Result<File, HostError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let path = self.file("node.lock");
        options.open(&path).map_err(HostError::io(format!("opening {}", path.display())))
    }

    /// The process id that the node wrote, if it did.
    pub(super) fn written_pid(&self) -> Option<u32> {
        let text = read_bounded(&self.file("node.pid"), 32).ok()?;
        text.trim().parse().ok()
    }

    /// Takes away what a process that is gone has left, its data among it. To be called with the lock held.
    pub(super) fn clear(&self) -> Result<(), HostError> {
        [SOCKET, MEMCACHED_SOCKET, "node.pid", DATA].into_iter().try_for_each(|name| self.remove_file(name))
    }

    /// The file of a snapshot that the node was asked for.
    pub(super) fn data(&self) -> PathBuf {
        self.file(DATA)
    }

    /// Takes away the file of an earlier snapshot.
    pub(super) fn remove_data(&self) -> Result<(), HostError> {
        self.remove_file(DATA)
    }

    fn remove_file(&self, name: &str) -> Result<(), HostError> {
        let path = self.file(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(HostError::io(format!("removing {}", path.display()))(e))
            }
            _ => Ok(()),
        }
    }

    /// Puts the file there that the node is to load. Nobody writes into such a file, so a second name for it is as
    /// good as a copy, and is made at once however large it is.
    pub(super) fn place_data(&self, from: &Path) -> Result<(), HostError> {
        let to = self.data();
        let placed = fs::hard_link(from, &to).or_else(|_| fs::copy(from, &to).map(drop));
        placed.map_err(HostError::io(format!("copying {}", from.display())))
    }

    /// Writes `node.conf`: whole, or not at all.
    pub(super) fn write_configuration(&self, launch: &Launch) -> Result<(), HostError> {
        let text = configuration(launch)?;
        let (path, fresh) = (self.file("node.conf"), self.file("node.conf.new"));
        let write = || {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(HostError::io(format!("writing {}", path.display())))
    }

    /// The settings that stand in `node.conf`.
    pub(super) fn written_settings(&self) -> Result<Settings, HostError> {
        let path = self.file("node.conf");
        let text = read_bounded(&path, CONF_BYTES_MAX)
            .map_err(HostError::io(format!("reading {}", path.display())))?;
        let lines = text.lines().skip_while(|line| *line != SETTINGS_MARK).skip(1);
        let split =
            |line: &str| line.split_once(' ').map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(lines.filter_map(split).collect())
    }

    /// The log, for appending; one that has grown large is put aside first.
    pub(super) fn open_log(&self) -> Result<File, HostError> {
        let path = self.file("log");
        if fs::metadata(&path).is_ok_and(|meta| meta.len() > LOG_BYTES_MAX) {
            fs::rename(&path, self.file("log.1"))
                .map_err(HostError::io(format!("moving {}", path.display())))?;
        }
        let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        opened.map_err(HostError::io(format!("opening {}", path.display())))
    }

    /// What the log has from there on: whole lines, of a bounded size.
    pub(super) fn log_since(&self, from: LogFrom) -> std::io::Result<LogPiece> {
        let mut file = match File::open(self.file("log")) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(LogPiece::default()),
            opened => opened?,
        };
        let mut meta = file.metadata()?;
        let mut offset = match from {
            LogFrom::Beginning => 0,
            LogFrom::End => meta.len(),
            LogFrom::At { file: number, offset } if number == meta.ino() && offset <= meta.len() => offset,
            LogFrom::At { file: number, offset } => match self.rest_aside(number, offset) {
                Some((aside, of_aside)) => {
                    (file, meta) = (aside, of_aside);
                    offset
                }
                None => 0,
            },
        };
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(LOG_PIECE_BYTES).read_to_end(&mut bytes)?;
        // A line that is not whole yet waits, unless it is longer than what is read at once.
        let whole = match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if bytes.len() as u64 == LOG_PIECE_BYTES => bytes.len(),
            None => 0,
        };
        offset += whole as u64;
        let text = String::from_utf8_lossy(&bytes[..whole]);
        Ok(LogPiece { lines: text.lines().map(str::to_owned).collect(), file: meta.ino(), offset })
    }

    /// The log that was put aside, if it is that file and has more.
    fn rest_aside(&self, number: u64, offset: u64) -> Option<(File, fs::Metadata)> {
        let file = File::open(self.file("log.1")).ok()?;
        let meta = file.metadata().ok()?;
        (meta.ino() == number && offset < meta.len()).then_some((file, meta))
    }

    /// Length of the log.
    pub(super) fn log_bytes(&self) -> u64 {
        fs::metadata(self.file("log")).map_or(0, |meta| meta.len())
    }

    /// The last words of the log after its first `from` bytes.
    pub(super) fn log_tail(&self, from: u64) -> Option<String> {
        let mut file = File::open(self.file("log")).ok()?;
        let length = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES).max(from))).ok()?;
        let mut bytes = Vec::new();
        file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes).trim().replace('\n', " | ");
        (!text.is_empty()).then_some(text)
    }

    /// Takes the folder away.
    pub(super) fn remove(&self) -> Result<(), HostError> {
        match fs::remove_dir_all(&self.path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(HostError::io(format!("removing {}", self.path.display()))(e))
            }
            _ => Ok(()),
        }
    }
}

fn read_bounded(path: &Path, bytes_max: u64) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(bytes_max).read_to_string(&mut text)?;
    Ok(text)
}

/// The text of `node.conf`: where the node listens, then its settings.
fn configuration(launch: &Launch) -> Result<String, HostError> {
    let (port, memcached_port) = if launch.is_memcached { (0, launch.port) } else { (launch.port, 0) };
    let mut text = format!(
        "# Written by the service; changes are lost at the next start of the node.\n\
         bind {}\nport {port}\nunixsocket {SOCKET}\nunixsocketperm 700\npidfile node.pid\n",
        launch.address
    );
    if launch.is_memcached {
        text += &format!("memcached-port {memcached_port}\nmemcached-unixsocket {MEMCACHED_SOCKET}\n");
    }
    if launch.as_replica {
        text += &format!("replicaof {} {}\n", NOBODY.ip(), NOBODY.port());
    }
    text += SETTINGS_MARK;
    text.push('\n');
    for (name, value) in &launch.settings {
        let is_line = |part: &str| !part.chars().any(|c| c.is_control());
        if name.is_empty() || name.contains(' ') || !is_line(name) || !is_line(value) {
            return Err(HostError::Unanswered { what: format!("cannot be given the setting {name:?}") });
        }
        text += &format!("{name} {value}\n");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(settings: &[(&str, &str)]) -> Launch {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Launch {
            is_memcached: true,
            address: std::net::Ipv4Addr::new(127, 64, 0, 9),
            port: 11211,
            as_replica: false,
            seed: None,
            settings: settings.iter().map(own).collect(),
        }
    }

    fn folder(temporary: &tempfile::TempDir) -> Folder {
        let key = NodeKey { cluster: "a".into(), node: "0001".into() };
        let folder = Folder::of(temporary.path(), &key);
        folder.make().unwrap();
        folder
    }

    #[test]
    fn settings_are_read_as_they_were_written() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = folder(&temporary);
        let launch =
            launch(&[("maxmemory", "100"), ("save", "\"\""), ("restricted-commands", "acl|load config")]);
        folder.write_configuration(&launch).unwrap();
        assert_eq!(folder.written_settings().unwrap(), launch.settings);
        let text = fs::read_to_string(folder.path().join("node.conf")).unwrap();
        assert!(
            text.contains("bind 127.64.0.9\nport 0\n") && text.contains("memcached-port 11211\n"),
            "{text}"
        );
    }

    #[test]
    fn a_setting_cannot_smuggle_in_a_line() {
        let temporary = tempfile::tempdir().unwrap();
        for bad in [("a", "1\nbind 0.0.0.0"), ("a b", "1"), ("", "1"), ("a\n", "1")] {
            assert!(folder(&temporary).write_configuration(&launch(&[bad])).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_log_is_read_line_by_line_also_when_it_is_put_aside() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = folder(&temporary);
        assert_eq!(folder.log_since(LogFrom::Beginning).unwrap(), LogPiece::default());
        let log = folder.path().join("log");
        fs::write(&log, "one\ntwo\nthr").unwrap();
        assert!(folder.log_since(LogFrom::End).unwrap().lines.is_empty());
        let piece = folder.log_since(LogFrom::Beginning).unwrap();
        assert_eq!((piece.lines.as_slice(), piece.offset), (&["one".to_owned(), "two".to_owned()][..], 8));
        let at = |piece: &LogPiece| LogFrom::At { file: piece.file, offset: piece.offset };
        fs::write(&log, "one\ntwo\nthree\n").unwrap();
        fs::rename(&log, folder.path().join("log.1")).unwrap();
        fs::write(&log, "four\n").unwrap();
        let third = folder.log_since(at(&piece)).unwrap();
        assert_eq!(third.lines, ["three"]);
        let fourth = folder.log_since(at(&third)).unwrap();
        assert_eq!(fourth.lines, ["four"]);
        assert!(folder.log_since(at(&fourth)).unwrap().lines.is_empty());
        fs::write(&log, "x".repeat(LOG_PIECE_BYTES as usize + 1)).unwrap();
        assert_eq!(
            folder.log_since(LogFrom::Beginning).unwrap().offset,
            LOG_PIECE_BYTES,
            "no line is endless"
        );
    }

    #[test]
    fn only_one_holds_the_lock() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = folder(&temporary);
        let held = folder.try_lock().unwrap();
        assert!(held.is_some());
        assert!(folder.try_lock().unwrap().is_none());
        drop(held);
        assert!(folder.try_lock().unwrap().is_some());
    }
}
