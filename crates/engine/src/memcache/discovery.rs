//! Auto Discovery: the list of nodes that clients of a Memcached cluster ask any of its nodes for.
//!
//! The service writes it over the Unix socket (`config set cluster`); the node only repeats it. Source: ElastiCache
//! user guide, "Adding Auto Discovery to your client library".

use super::item::value_line;
use arc_swap::ArcSwapOption;
use std::sync::Arc;

/// The only setting there is.
const NAME: &[u8] = b"cluster";

/// The key under which clients older than the `config` command ask.
pub(crate) const KEY: &[u8] = b"AmazonElastiCache:cluster";

#[derive(Debug)]
struct Setting {
    flags: u32,
    data: Box<[u8]>,
}

/// The setting.
#[derive(Debug, Default)]
pub(crate) struct Discovery(ArcSwapOption<Setting>);

impl Discovery {
    /// `config get`.
    pub(crate) fn get(&self, name: &[u8], out: &mut Vec<u8>) -> &'static [u8] {
        if name == NAME
            && let Some(setting) = &*self.0.load()
        {
            value_line(out, b"CONFIG", name, setting.flags, &setting.data, None);
        }
        b"END\r\n"
    }

    /// `config set`.
    pub(crate) fn set(&self, name: &[u8], flags: u32, data: &[u8]) -> &'static [u8] {
        if name != NAME {
            return b"ERROR\r\n";
        }
        self.0.store(Some(Arc::new(Setting { flags, data: data.into() })));
        b"STORED\r\n"
    }

    /// `config delete`.
    pub(crate) fn delete(&self, name: &[u8]) -> &'static [u8] {
        let known = name == NAME && self.0.swap(None).is_some();
        if known { b"DELETED\r\n" } else { b"NOT_FOUND\r\n" }
    }

    /// Answers a `get` of [`KEY`]; false when there is no setting and the key is one like any other.
    pub(crate) fn value(&self, out: &mut Vec<u8>) -> bool {
        let setting = self.0.load();
        if let Some(setting) = &*setting {
            value_line(out, b"VALUE", KEY, setting.flags, &setting.data, None);
        }
        setting.is_some()
    }
}
