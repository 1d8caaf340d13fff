//! What a replica says to its primary until it is sent data, and how far it has come: read from requests, without a session.

use super::history::is_id;
use crate::command::CommandError;
use larder_protocol::number::parse_i64;
use larder_protocol::resp::args::Args;

/// Bytes of an address that a replica wants to be known by.
pub const IP_BYTES_MAX: usize = 255;

/// What a replica tells of itself before it asks for data (REPLCONF).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The port that it listens on.
    pub port: u16,
    /// The address that it wants to be known by.
    pub ip: Option<String>,
    /// It takes a snapshot whose length is not known.
    pub takes_mark: bool,
    /// It knows that ids change.
    pub psync2: bool,
    /// Its version: major, minor.
    pub version: Option<(u32, u32)>,
    /// It wants the snapshot and nothing after it.
    pub only_snapshot: bool,
}

/// What is to be done about a REPLCONF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is answered OK.
    Noted,
    /// How far the replica has come: what it has, and what of it is on its disk. Nothing is answered.
    Reached {
        /// The position in the stream.
        offset: u64,
        /// That of its file, if it tells.
        on_disk: Option<u64>,
    },
    /// It makes no sense here, and nothing is answered.
    Nothing,
}

fn word(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Facts {
    /// Takes what a REPLCONF tells.
    ///
    /// # Errors
    /// As Redis words them. What stood before the fault is taken.
    pub fn take(&mut self, args: &Args<'_>) -> Result<Told, CommandError> {
        if args.len().is_multiple_of(2) {
            return Err(CommandError::Syntax);
        }
        let mut reached = None;
        for at in (1..args.len()).step_by(2) {
            let (name, value) = (args.get(at), args.get(at + 1));
            match name.to_ascii_lowercase().as_slice() {
                b"listening-port" => {
                    let port = parse_i64(value).and_then(|port| u16::try_from(port).ok());
                    self.port = port.ok_or(CommandError::NotInteger)?;
                }
                b"ip-address" if value.len() > IP_BYTES_MAX => {
                    let long = "ERR REPLCONF ip-address provided by replica instance is too long";
                    return Err(CommandError::new(long.to_owned()));
                }
                b"ip-address" => self.ip = (!value.is_empty()).then(|| word(value)),
                b"capa" => match value.to_ascii_lowercase().as_slice() {
                    b"eof" => self.takes_mark = true,
                    b"psync2" => self.psync2 = true,
                    _ => {} // what is not known is not used
                },
                b"version" => {
                    let words = word(value);
                    let mut numbers = words.split('.').map(|number| number.parse().ok());
                    self.version = numbers.next().flatten().zip(numbers.next().flatten());
                }
                b"rdb-only" => self.only_snapshot = parse_i64(value) == Some(1),
                b"ack" | b"fack" => {
                    let offset = parse_i64(value).and_then(|offset| u64::try_from(offset).ok());
                    let Some(offset) = offset else { return Ok(Told::Nothing) };
                    let (acked, on_disk) = reached.get_or_insert((0, None));
                    if name.eq_ignore_ascii_case(b"ack") { *acked = offset } else { *on_disk = Some(offset) }
                }
                // It is for replicas, who see it in the stream.
                b"getack" => return Ok(Told::Nothing),
                _ => {
                    let name = word(name);
                    return Err(CommandError::new(format!("ERR Unrecognized REPLCONF option: {name}")));
                }
            }
        }
        Ok(reached.map_or(Told::Noted, |(offset, on_disk)| Told::Reached { offset, on_disk }))
    }
}

/// What a PSYNC asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The history, as it was named.
    pub id: String,
    /// The position in it from which the asker could go on.
    pub position: Option<u64>,
    /// The node is to lead, and the asker will follow.
    pub failover: bool,
}

impl Asked {
    /// Reads a PSYNC.
    ///
    /// # Errors
    /// As Redis words them.
    pub fn read(args: &Args<'_>) -> Result<Asked, CommandError> {
        let id = word(args.get(1));
        let offset = parse_i64(args.get(2)).ok_or(CommandError::NotInteger)?;
        let failover = args.len() > 3;
        if failover && !args.get(3).eq_ignore_ascii_case(b"failover") {
            return Err(CommandError::Syntax);
        }
        // It says which byte it wants first, counted from one.
        let position = u64::try_from(offset).ok().and_then(|offset| offset.checked_sub(1));
        let position = position.filter(|_| is_id(&id));
        Ok(Asked { id, position, failover })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use larder_protocol::resp::args::OwnedArgs;

    fn args(text: &str) -> OwnedArgs {
        OwnedArgs::copy(text.split(' ').map(str::as_bytes))
    }

    #[test]
    fn a_replica_tells_of_itself_bit_by_bit() {
        let mut facts = Facts::default();
        let mut tell = |text: &str| facts.take(&args(text).view());
        assert_eq!(tell("REPLCONF listening-port 6380 capa eof CAPA PSYNC2"), Ok(Told::Noted));
        assert_eq!(tell("REPLCONF ip-address 10.0.0.7 version 9.1.2 capa other"), Ok(Told::Noted));
        assert_eq!(tell("REPLCONF ack 17 fack 5"), Ok(Told::Reached { offset: 17, on_disk: Some(5) }));
        for silent in ["REPLCONF ack -1", "REPLCONF ack x", "REPLCONF getack *"] {
            assert_eq!(tell(silent), Ok(Told::Nothing), "{silent}");
        }
        for wrong in ["REPLCONF listening-port", "REPLCONF listening-port 65536", "REPLCONF what ever"] {
            assert!(tell(wrong).is_err(), "{wrong}");
        }
        let expected = Facts {
            port: 6380,
            ip: Some("10.0.0.7".to_owned()),
            takes_mark: true,
            psync2: true,
            version: Some((9, 1)),
            only_snapshot: false,
        };
        assert_eq!(facts, expected);
    }

    #[test]
    fn any_number_may_stand_where_a_position_is_asked_for() {
        let id = "0123456789".repeat(4);
        let read = |offset: i64| Asked::read(&args(&format!("PSYNC {id} {offset}")).view()).unwrap().position;
        assert_eq!((read(1), read(100), read(i64::MAX)), (Some(0), Some(99), Some(i64::MAX as u64 - 1)));
        assert_eq!((read(0), read(-1), read(i64::MIN)), (None, None, None));
        assert_eq!(Asked::read(&args("PSYNC ? 5").view()).unwrap().position, None);
        assert!(Asked::read(&args("PSYNC ? 5 FAILOVER").view()).unwrap().failover);
        assert!(Asked::read(&args("PSYNC ? 5 other").view()).is_err());
        assert!(Asked::read(&args("PSYNC ? x").view()).is_err());
    }
}
