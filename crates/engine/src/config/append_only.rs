//! The directives of the append-only file and of the log behind it.

use super::directive::{Directive, When, bytes, integer, memory, number, one_of, switch, yes_no};

/// `appendfsync`: when what was written is forced to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fsync {
    /// Before who wrote is answered.
    Always,
    /// Once a second.
    #[default]
    EverySecond,
    /// When the kernel likes.
    No,
}

impl Fsync {
    /// The words of the directive.
    pub const NAMES: [(&'static str, Fsync); 3] =
        [("always", Fsync::Always), ("everysec", Fsync::EverySecond), ("no", Fsync::No)];
}

/// Settings of the append-only file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendOnly {
    /// `appendonly`.
    pub on: bool,
    /// `appendfsync`.
    pub fsync: Fsync,
    /// `appenddirname`: the folder, within `dir`.
    pub folder: String,
    /// `appendfilename`: what the names of its files begin with.
    pub file: String,
    /// `aof-load-truncated`: a file that ends within a command is cut, not refused.
    pub load_truncated: bool,
    /// `aof-load-corrupt-tail-max-size`: a file whose end of at most so many bytes makes no sense is cut; 0 = refused.
    pub corrupt_tail_max: u64,
    /// `auto-aof-rewrite-percentage`: growth since the last rewrite after which the next begins; 0 = none by itself.
    pub rewrite_percentage: u32,
    /// `auto-aof-rewrite-min-size`: bytes below which that does not matter.
    pub rewrite_min_size: u64,
    /// `aof-use-rdb-preamble`: the base is a snapshot, and not commands.
    pub rdb_preamble: bool,
    /// `no-appendfsync-on-rewrite`: nothing is forced to the disk while a snapshot or a base is written.
    pub no_fsync_on_rewrite: bool,
    /// `aof-timestamp-enabled`: the file says when what was written.
    pub timestamps: bool,
}

impl Default for AppendOnly {
    fn default() -> AppendOnly {
        AppendOnly {
            on: false,
            fsync: Fsync::default(),
            folder: "appendonlydir".into(),
            file: "appendonly.aof".into(),
            load_truncated: true,
            corrupt_tail_max: 0,
            rewrite_percentage: 100,
            rewrite_min_size: 64 << 20,
            rdb_preamble: true,
            no_fsync_on_rewrite: false,
            timestamps: false,
        }
    }
}

/// A name of a file or folder: no path.
fn plain_name(text: &str, what: &str) -> Result<String, String> {
    if text.is_empty() || text.contains('/') || text == "." || text == ".." {
        return Err(format!(
            "{what} can't be a path, just a {}",
            if what == "appenddirname" { "dirname" } else { "filename" }
        ));
    }
    Ok(text.to_owned())
}

/// The rows.
pub const TABLE: &[Directive] = &[
    switch!("appendonly", Always, settings.append_only.on),
    Directive {
        name: "appendfsync",
        aliases: &[],
        when: When::Always,
        get: |config| {
            let now = config.settings.append_only.fsync;
            Fsync::NAMES.iter().find(|(_, one)| *one == now).map_or("", |(name, _)| name).to_owned()
        },
        set: |config, text| {
            config.settings.append_only.fsync = one_of(&Fsync::NAMES, text)?;
            Ok(())
        },
    },
    Directive {
        name: "appenddirname",
        aliases: &[],
        when: When::Start,
        get: |config| config.settings.append_only.folder.clone(),
        set: |config, text| {
            config.settings.append_only.folder = plain_name(text, "appenddirname")?;
            Ok(())
        },
    },
    Directive {
        name: "appendfilename",
        aliases: &[],
        when: When::Start,
        get: |config| config.settings.append_only.file.clone(),
        set: |config, text| {
            config.settings.append_only.file = plain_name(text, "appendfilename")?;
            Ok(())
        },
    },
    switch!("aof-load-truncated", Always, settings.append_only.load_truncated),
    memory!("aof-load-corrupt-tail-max-size", Always, settings.append_only.corrupt_tail_max, 0),
    number!(
        "auto-aof-rewrite-percentage",
        &[],
        Always,
        settings.append_only.rewrite_percentage,
        0,
        i32::MAX as i64
    ),
    memory!("auto-aof-rewrite-min-size", Always, settings.append_only.rewrite_min_size, 0),
    switch!("aof-use-rdb-preamble", Always, settings.append_only.rdb_preamble),
    switch!("no-appendfsync-on-rewrite", Always, settings.append_only.no_fsync_on_rewrite),
    switch!("aof-timestamp-enabled", Always, settings.append_only.timestamps),
];
