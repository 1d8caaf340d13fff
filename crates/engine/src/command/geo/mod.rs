//! Geo commands: sorted sets whose scores are places on earth. The arithmetic is in [`hash`] and [`area`].

mod area;
mod hash;
mod member;
mod search;

use super::collection::text;
use super::table::{Keys, ONE_KEY, TWO_KEYS, flag};
use super::{Command, CommandError};
use hash::Point;
use larder_protocol::resp::reply::Reply;

/// Words that name the key where GEORADIUS stores its result.
const STORE_WORDS: &[&str] = &["STORE", "STOREDIST"];

/// The geo commands.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "geoadd",
        summary: "Adds members with their places on earth, or moves them.",
        syntax: "key [NX | XX] [CH] longitude latitude member [longitude latitude member ...]",
        since: "3.2.0",
        group: "geo",
        complexity: "O(M*log(N)), M = places given, N = members",
        arity: -5,
        flags: flag::WRITE | flag::DENYOOM,
        keys: ONE_KEY,
        handler: member::geoadd,
        ..Command::DEFAULT
    },
    Command {
        name: "geopos",
        summary: "Returns the places of members.",
        syntax: "key [member [member ...]]",
        since: "3.2.0",
        group: "geo",
        complexity: "O(N), N = members given",
        arity: -2,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: member::geopos,
        ..Command::DEFAULT
    },
    Command {
        name: "geohash",
        summary: "Returns the places of members as geohash strings.",
        syntax: "key [member [member ...]]",
        since: "3.2.0",
        group: "geo",
        complexity: "O(N), N = members given",
        arity: -2,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: member::geohash,
        ..Command::DEFAULT
    },
    Command {
        name: "geodist",
        summary: "Returns the distance between two members.",
        syntax: "key member1 member2 [M | KM | FT | MI]",
        since: "3.2.0",
        group: "geo",
        arity: -4,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: member::geodist,
        ..Command::DEFAULT
    },
    Command {
        name: "geosearch",
        summary: "Returns the members in a circle, box or polygon.",
        syntax: "key [FROMMEMBER member | FROMLONLAT longitude latitude] <BYRADIUS radius <M | KM | FT | MI> | BYBOX width height <M | KM | FT | MI> | BYPOLYGON numvertices longitude latitude [longitude latitude ...]> [ASC | DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]",
        since: "6.2.0",
        group: "geo",
        complexity: "O(N+log(M)), N = members in the cells around the area, M = members",
        arity: -7,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: search::geosearch,
        ..Command::DEFAULT
    },
    Command {
        name: "geosearchstore",
        summary: "Stores the members in a circle, box or polygon.",
        syntax: "destination source [FROMMEMBER member | FROMLONLAT longitude latitude] <BYRADIUS radius <M | KM | FT | MI> | BYBOX width height <M | KM | FT | MI> | BYPOLYGON numvertices longitude latitude [longitude latitude ...]> [ASC | DESC] [COUNT count [ANY]] [STOREDIST]",
        since: "6.2.0",
        group: "geo",
        complexity: "O(N+log(M)), N = members in the cells around the area, M = members",
        arity: -8,
        flags: flag::WRITE | flag::DENYOOM,
        keys: TWO_KEYS,
        handler: search::geosearchstore,
        ..Command::DEFAULT
    },
    Command {
        name: "georadius",
        summary: "Returns or stores the members in a circle around a place; GEOSEARCH and GEOSEARCHSTORE do the same.",
        syntax: "key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC] [STORE key] [STOREDIST key]",
        since: "3.2.0",
        group: "geo",
        complexity: "O(N+log(M)), N = members in the cells around the area, M = members",
        arity: -6,
        flags: flag::WRITE | flag::DENYOOM | flag::MOVABLEKEYS,
        keys: Keys::Named { from: 6, words: STORE_WORDS },
        handler: search::georadius,
        ..Command::DEFAULT
    },
    Command {
        name: "georadius_ro",
        summary: "Returns the members in a circle around a place.",
        syntax: "key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC]",
        since: "3.2.10",
        group: "geo",
        complexity: "O(N+log(M)), N = members in the cells around the area, M = members",
        arity: -6,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: search::georadius_ro,
        ..Command::DEFAULT
    },
    Command {
        name: "georadiusbymember",
        summary: "Returns or stores the members in a circle around a member; GEOSEARCH and GEOSEARCHSTORE do the same.",
        syntax: "key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC] [STORE key] [STOREDIST key]",
        since: "3.2.0",
        group: "geo",
        complexity: "O(N+log(M)), N = members in the cells around the area, M = members",
        arity: -5,
        flags: flag::WRITE | flag::DENYOOM | flag::MOVABLEKEYS,
        keys: Keys::Named { from: 5, words: STORE_WORDS },
        handler: search::georadiusbymember,
        ..Command::DEFAULT
    },
    Command {
        name: "georadiusbymember_ro",
        summary: "Returns the members in a circle around a member.",
        syntax: "key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC]",
        since: "3.2.10",
        group: "geo",
        complexity: "O(N+log(M)), N = members in the cells around the area, M = members",
        arity: -5,
        flags: flag::READONLY,
        keys: ONE_KEY,
        handler: search::georadiusbymember_ro,
        ..Command::DEFAULT
    },
];

/// Metres in a unit of length.
fn unit(word: &[u8]) -> Result<f64, CommandError> {
    let units = [("M", 1.0), ("KM", 1000.0), ("FT", 0.3048), ("MI", 1609.34)];
    let found = units.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
    found.map(|(_, metres)| *metres).ok_or(text("ERR unsupported unit provided. please use M, KM, FT, MI"))
}

/// A place on the part of the earth that scores can name.
fn place(longitude: &[u8], latitude: &[u8]) -> Result<Point, CommandError> {
    let point = Point {
        longitude: super::collection::float(longitude)?,
        latitude: super::collection::float(latitude)?,
    };
    if point.is_valid() {
        return Ok(point);
    }
    let (longitude, latitude) = (point.longitude, point.latitude);
    Err(CommandError::new(format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}")))
}

/// Writes a distance: four decimals.
fn write_distance(out: &mut Reply, distance: f64) {
    out.bulk(format!("{distance:.4}").as_bytes());
}

/// Writes a place: longitude and latitude, each with up to 17 decimals.
fn write_place(out: &mut Reply, place: &Point) {
    out.array(2);
    for degrees in [place.longitude, place.latitude] {
        let digits = format!("{degrees:.17}");
        let digits = digits.trim_end_matches('0').trim_end_matches('.');
        if out.is_resp3() {
            out.raw(format!(",{digits}\r\n").as_bytes());
        } else {
            out.bulk(digits.as_bytes());
        }
    }
}
