//! The directives of the Memcached doors.

use super::directive::{Directive, When, bytes, integer, path, quoted_path, yes_no};
use crate::memcache::{Binding, REQUESTS_PER_TURN_MAX, watch};
use std::path::PathBuf;

/// What the buffers of `watch` may be.
const BUFFER_BYTES: std::ops::RangeInclusive<u64> = 1024..=1024 * 1024 * 1024;

/// What is fixed for the Memcached doors when a node starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memcached {
    /// `memcached-protocol`.
    pub binding: Binding,
    /// `memcached-auth-file`.
    pub auth_file: Option<PathBuf>,
    /// `memcached-sasl`.
    pub sasl: bool,
    /// `memcached-shutdown`.
    pub shutdown: bool,
    /// `memcached-flush`.
    pub flush: bool,
    /// `memcached-dump`.
    pub dump: bool,
    /// `memcached-watch`.
    pub watch: bool,
    /// `memcached-watcher-buffer`.
    pub watcher_bytes: u64,
    /// `memcached-worker-buffer`.
    pub worker_bytes: u64,
    /// `memcached-maxconns-fast`.
    pub maxconns_fast: bool,
    /// `memcached-requests-per-event`.
    pub requests_per_turn: usize,
    /// `memcached-stats-prefix`.
    pub prefix_end: u8,
    /// `memcached-stats-detail`.
    pub detail: bool,
    /// `memcached-cas`.
    pub cas: bool,
    /// `memcached-track-sizes`.
    pub track_sizes: bool,
    /// `memcached-udp-port`; 0 = no UDP.
    pub udp_port: u16,
    /// `memcached-unixsocketperm`.
    pub socket_mode: Option<u32>,
    /// `memcached-memory-file`: keeps the keys across a planned restart.
    pub memory_file: Option<PathBuf>,
    /// `memcached-port-file`: tells the ports when clients may come.
    pub port_file: Option<PathBuf>,
}

impl Default for Memcached {
    fn default() -> Memcached {
        Memcached {
            binding: Binding::Auto,
            auth_file: None,
            sasl: false,
            shutdown: false,
            flush: true,
            dump: true,
            watch: true,
            watcher_bytes: watch::WATCHER_BYTES,
            worker_bytes: watch::WORKER_BYTES,
            maxconns_fast: true,
            requests_per_turn: REQUESTS_PER_TURN_MAX,
            prefix_end: b':',
            detail: false,
            cas: true,
            track_sizes: false,
            udp_port: 0,
            socket_mode: None,
            memory_file: None,
            port_file: None,
        }
    }
}

macro_rules! switch {
    ($name:literal, $field:ident) => {
        Directive {
            name: $name,
            aliases: &[],
            when: When::Start,
            get: |config| if config.startup.memcached.$field { "yes".into() } else { "no".into() },
            set: |config, text| {
                config.startup.memcached.$field = yes_no(text)?;
                Ok(())
            },
        }
    };
}

macro_rules! buffer {
    ($name:literal, $field:ident) => {
        Directive {
            name: $name,
            aliases: &[],
            when: When::Start,
            get: |config| config.startup.memcached.$field.to_string(),
            set: |config, text| {
                let size = Some(bytes(text)?).filter(|size| BUFFER_BYTES.contains(size));
                config.startup.memcached.$field =
                    size.ok_or("argument must be a memory value between 1kb and 1gb")?;
                Ok(())
            },
        }
    };
}

macro_rules! file {
    ($name:literal, $($field:ident).+) => {
        Directive {
            name: $name,
            aliases: &[],
            when: When::Start,
            get: |config| quoted_path(&config.$($field).+),
            set: |config, text| {
                config.$($field).+ = path(text);
                Ok(())
            },
        }
    };
}

macro_rules! number {
    ($name:literal, $($field:ident).+, $low:expr, $high:expr) => {
        Directive {
            name: $name,
            aliases: &[],
            when: When::Start,
            get: |config| config.$($field).+.to_string(),
            set: |config, text| {
                config.$($field).+ = integer(text, $low, $high)?;
                Ok(())
            },
        }
    };
}

/// The rows.
pub const TABLE: &[Directive] = &[
    number!("memcached-port", settings.memcached_port, 0, 65535),
    number!("memcached-udp-port", startup.memcached.udp_port, 0, 65535),
    file!("memcached-unixsocket", startup.memcached_unix_socket),
    Directive {
        name: "memcached-unixsocketperm",
        aliases: &[],
        when: When::Start,
        get: |config| config.startup.memcached.socket_mode.map_or("0".into(), |mode| format!("{mode:o}")),
        set: |config, text| {
            let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
            config.startup.memcached.socket_mode =
                Some(mode.ok_or("argument must be an octal mode up to 777")?);
            Ok(())
        },
    },
    Directive {
        name: "memcached-max-item-size",
        aliases: &[],
        when: When::Always,
        get: |config| config.settings.memcached_item_size_max.to_string(),
        set: |config, text| {
            const RANGE: std::ops::RangeInclusive<u64> = 1024..=1024 * 1024 * 1024;
            let size = Some(bytes(text)?).filter(|size| RANGE.contains(size));
            config.settings.memcached_item_size_max =
                size.ok_or("argument must be a memory value between 1kb and 1gb")? as usize;
            Ok(())
        },
    },
    Directive {
        name: "memcached-protocol",
        aliases: &[],
        when: When::Start,
        get: |config| {
            match config.startup.memcached.binding {
                Binding::Auto => "auto",
                Binding::Ascii => "ascii",
                Binding::Binary => "binary",
            }
            .into()
        },
        set: |config, text| {
            config.startup.memcached.binding = match text.to_ascii_lowercase().as_str() {
                "auto" => Binding::Auto,
                "ascii" => Binding::Ascii,
                "binary" => Binding::Binary,
                _ => return Err("argument must be one of: auto, ascii, binary".into()),
            };
            Ok(())
        },
    },
    file!("memcached-auth-file", startup.memcached.auth_file),
    switch!("memcached-sasl", sasl),
    switch!("memcached-shutdown", shutdown),
    switch!("memcached-flush", flush),
    switch!("memcached-dump", dump),
    switch!("memcached-watch", watch),
    buffer!("memcached-watcher-buffer", watcher_bytes),
    buffer!("memcached-worker-buffer", worker_bytes),
    switch!("memcached-maxconns-fast", maxconns_fast),
    switch!("memcached-stats-detail", detail),
    switch!("memcached-cas", cas),
    switch!("memcached-track-sizes", track_sizes),
    number!(
        "memcached-requests-per-event",
        startup.memcached.requests_per_turn,
        1,
        REQUESTS_PER_TURN_MAX as i64
    ),
    Directive {
        name: "memcached-stats-prefix",
        aliases: &[],
        when: When::Start,
        get: |config| char::from(config.startup.memcached.prefix_end).to_string(),
        set: |config, text| match *text.as_bytes() {
            [end] if end.is_ascii_graphic() => {
                config.startup.memcached.prefix_end = end;
                Ok(())
            }
            _ => Err("argument must be one character".into()),
        },
    },
    file!("memcached-memory-file", startup.memcached.memory_file),
    file!("memcached-port-file", startup.memcached.port_file),
];
