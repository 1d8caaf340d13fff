//! The bytes that say of what type and form a value is.

/// A string.
pub const STRING: u8 = 0;
/// A list of strings.
pub const LIST: u8 = 1;
/// A set of strings.
pub const SET: u8 = 2;
/// Members with scores as text.
pub const ZSET: u8 = 3;
/// Fields with values.
pub const HASH: u8 = 4;
/// Members with scores of eight bytes (since version 8).
pub const ZSET_2: u8 = 5;
/// A hash in a zipmap, before Redis 2.6.
pub const HASH_ZIPMAP: u8 = 9;
/// A list in a ziplist.
pub const LIST_ZIPLIST: u8 = 10;
/// A set in an intset.
pub const SET_INTSET: u8 = 11;
/// A sorted set in a ziplist.
pub const ZSET_ZIPLIST: u8 = 12;
/// A hash in a ziplist.
pub const HASH_ZIPLIST: u8 = 13;
/// A list of ziplists (version 7 to 9).
pub const LIST_QUICKLIST: u8 = 14;
/// A stream (version 9).
pub const STREAM: u8 = 15;
/// A hash in a listpack (since version 10).
pub const HASH_LISTPACK: u8 = 16;
/// A sorted set in a listpack (since version 10).
pub const ZSET_LISTPACK: u8 = 17;
/// A list of listpacks and plain strings (since version 10).
pub const LIST_QUICKLIST_2: u8 = 18;
/// A stream with what Redis 7.0 added (version 10).
pub const STREAM_2: u8 = 19;
/// A set in a listpack (since version 11).
pub const SET_LISTPACK: u8 = 20;
/// A stream whose consumers have active times (since version 11).
pub const STREAM_3: u8 = 21;
/// Fields with values and deadlines, as Valkey 9 writes them.
pub const HASH_2: u8 = 22;
/// Fields with values and deadlines, as Redis 7.4 writes them.
pub const HASH_METADATA: u8 = 24;
/// The same in a listpack.
pub const HASH_LISTPACK_EX: u8 = 25;

/// The version that has all that Redis 7.2 and Valkey 8 know: what we write, but for a hash with deadlines of fields.
pub const VERSION: u16 = 11;
/// Version of Redis 7.0.
pub const VERSION_REDIS_7_0: u16 = 10;
/// The version of Redis 7.4 and 8.0.
pub const VERSION_REDIS_8: u16 = 12;
/// The version of Valkey 9, which counts on from here so that the two do not mistake each other's files.
pub const VERSION_VALKEY_9: u16 = 80;

/// True for a version whose values are known here.
pub fn is_known_version(version: u16) -> bool {
    matches!(version, 1..=VERSION_REDIS_8 | VERSION_VALKEY_9)
}

/// The oldest version that has values of this kind: the lower it is, the more servers take the payload of a DUMP.
pub fn version_of(kind: u8) -> u16 {
    match kind {
        HASH_2 => VERSION_VALKEY_9,
        HASH_METADATA | HASH_LISTPACK_EX => VERSION_REDIS_8,
        SET_LISTPACK | STREAM_3 => VERSION,
        HASH_LISTPACK | ZSET_LISTPACK | LIST_QUICKLIST_2 | STREAM_2 => 10,
        _ => 9,
    }
}
