//! Reading the commands of an append-only file. Pure: bytes in, ranges out.
//!
//! The file is not a client: only the plain form is allowed, `*count`, and `$length` before each argument. Lines that
//! begin with `#` are notes.

use larder_protocol::resp::request::ArgRange;

/// Arguments of a command.
const ARGS_MAX: usize = larder_protocol::resp::request::ARGS_MAX as usize;
/// Digits of a number in the file.
const DIGITS_MAX: usize = 20;
/// Bytes of a note.
const NOTE_BYTES_MAX: usize = 1024;

/// What comes next in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A command, whose arguments were added to the ranges.
    Command {
        /// Bytes that it takes.
        consumed: usize,
    },
    /// A note: no command.
    Note {
        /// Bytes that it takes.
        consumed: usize,
    },
    /// The bytes end before the command does; so many have come that make sense.
    Incomplete,
}

/// The bytes are no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// Reads what `bytes` begin with. The ranges are within `bytes`. O(bytes of the command).
///
/// # Errors
/// It is not the beginning of a command, whatever may follow.
pub fn step(bytes: &[u8], ranges: &mut Vec<ArgRange>) -> Result<Step, Corrupt> {
    match bytes.first() {
        None => Ok(Step::Incomplete),
        Some(b'#') => match memchr::memchr(b'\n', &bytes[..bytes.len().min(NOTE_BYTES_MAX)]) {
            Some(end) => Ok(Step::Note { consumed: end + 1 }),
            None if bytes.len() < NOTE_BYTES_MAX => Ok(Step::Incomplete),
            None => Err(Corrupt),
        },
        Some(_) => command(bytes, ranges),
    }
}

fn command(bytes: &[u8], ranges: &mut Vec<ArgRange>) -> Result<Step, Corrupt> {
    let first = ranges.len();
    let Some((count, mut at)) = number(bytes, 0, b'*')? else { return Ok(Step::Incomplete) };
    if count == 0 || count > ARGS_MAX {
        return Err(Corrupt);
    }
    for _ in 0..count {
        let Some((len, start)) = number(bytes, at, b'$')? else {
            ranges.truncate(first);
            return Ok(Step::Incomplete);
        };
        let end = start.checked_add(len).ok_or(Corrupt)?;
        let (Ok(place), Ok(len)) = (u32::try_from(start), u32::try_from(len)) else { return Err(Corrupt) };
        if u32::try_from(end).is_err() {
            return Err(Corrupt);
        }
        match bytes.get(end..end.saturating_add(2)) {
            Some(b"\r\n") => {}
            Some(_) => return Err(Corrupt),
            None if bytes.get(end).is_some_and(|byte| *byte != b'\r') => return Err(Corrupt),
            None => {
                ranges.truncate(first);
                return Ok(Step::Incomplete);
            }
        }
        ranges.push(ArgRange::new(place, len));
        at = end + 2;
    }
    Ok(Step::Command { consumed: at })
}

/// A line of a letter and a number; where the next begins. `None` if the bytes end before it does.
fn number(bytes: &[u8], at: usize, kind: u8) -> Result<Option<(usize, usize)>, Corrupt> {
    let Some(line) = bytes.get(at..).filter(|line| !line.is_empty()) else { return Ok(None) };
    if line[0] != kind {
        return Err(Corrupt);
    }
    let digits = &line[1..line.len().min(1 + DIGITS_MAX)];
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match digits[count..] {
        [] if digits.len() == DIGITS_MAX => return Err(Corrupt),
        [] | [b'\r'] if line.len() <= count + 2 => return Ok(None),
        [b'\r', ..] => {}
        _ => return Err(Corrupt),
    }
    if line.get(count + 2) != Some(&b'\n') {
        return Err(Corrupt);
    }
    let text = std::str::from_utf8(&digits[..count]).map_err(|_| Corrupt)?;
    Ok(Some((text.parse().map_err(|_| Corrupt)?, at + count + 3)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$0\r\n\r\n";

    fn read(bytes: &[u8]) -> Result<Step, Corrupt> {
        step(bytes, &mut Vec::new())
    }

    #[test]
    fn a_command_is_read_once_it_is_there() {
        let mut ranges = Vec::new();
        let bytes = [SET, b"*1"].concat();
        assert_eq!(step(&bytes, &mut ranges), Ok(Step::Command { consumed: SET.len() }));
        let args: Vec<&[u8]> = ranges.iter().map(|r| &bytes[r.start()..r.start() + r.len()]).collect();
        assert_eq!(args, [&b"SET"[..], b"a", b""]);
        for end in 0..SET.len() {
            assert_eq!(read(&SET[..end]), Ok(Step::Incomplete), "{end}");
        }
        assert_eq!(read(b"#TS:1\r\n*1"), Ok(Step::Note { consumed: 7 }));
        assert_eq!(read(b"#TS:1"), Ok(Step::Incomplete));
    }

    #[test]
    fn what_is_no_command_is_told_from_what_is_cut() {
        for text in [
            "SET a 1\r\n",
            "*0\r\n",
            "*-1\r\n",
            "*3\n$3",
            "*1\r\n:1\r\n",
            "*1\r\n$3\r\nabcd",
            "*1\r\n$-1\r\n",
            "*99999999999999999999999\r\n",
            "*1\r\n$99999999999\r\n",
            "\0\0\0",
        ] {
            assert_eq!(read(text.as_bytes()), Err(Corrupt), "{text:?}");
        }
        assert_eq!(read(&[b'#'; NOTE_BYTES_MAX]), Err(Corrupt));
    }

    proptest! {
        #[test]
        fn a_command_cut_anywhere_is_incomplete(args in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..5)) {
            let mut bytes = Vec::new();
            crate::log::effects::encode(&mut bytes, args.iter().map(Vec::as_slice));
            let mut ranges = Vec::new();
            prop_assert_eq!(step(&bytes, &mut ranges), Ok(Step::Command { consumed: bytes.len() }));
            let read: Vec<&[u8]> = ranges.iter().map(|r| &bytes[r.start()..r.start() + r.len()]).collect();
            prop_assert_eq!(read, args.iter().map(Vec::as_slice).collect::<Vec<_>>());
            for end in 0..bytes.len() {
                prop_assert_eq!(step(&bytes[..end], &mut Vec::new()), Ok(Step::Incomplete));
            }
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut ranges = Vec::new();
            let _ = step(&bytes, &mut ranges); // whatever it is
            prop_assert!(ranges.iter().all(|r| r.start() + r.len() <= bytes.len()));
        }
    }
}
