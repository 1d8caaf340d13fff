//! The Memcached language: lines out, the reply shown as it comes. A storage command takes its data from the next
//! line (or, for one command, from its last word).

use std::io::{BufRead, BufReader, IsTerminal, Read as _, Write};

use super::catalogue::Catalogue;
use super::link::{self, Stream};
use super::prompt::{Lines, Read, Terminal};
use super::{Server, Style, Talk};
use crate::failure::{Code, Failure};
use crate::terminal::{colour_wanted, print_bytes, print_json};

/// Longest reply line that is read.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// Largest value that is read.
const VALUE_BYTES_MAX: usize = 1 << 30;

/// What a prompt completes and hints; memcached cannot be asked.
const COMMANDS: [&str; 25] = [
    "get key [key ...]",
    "gets key [key ...]",
    "gat exptime key [key ...]",
    "gats exptime key [key ...]",
    "set key flags exptime bytes [noreply]",
    "add key flags exptime bytes [noreply]",
    "replace key flags exptime bytes [noreply]",
    "append key flags exptime bytes [noreply]",
    "prepend key flags exptime bytes [noreply]",
    "cas key flags exptime bytes cas-unique [noreply]",
    "touch key exptime [noreply]",
    "delete key [noreply]",
    "incr key value [noreply]",
    "decr key value [noreply]",
    "flush_all [delay] [noreply]",
    "stats [args]",
    "config get cluster",
    "version",
    "verbosity level",
    "quit",
    "mg key [flags]",
    "ms key datalen [flags]",
    "md key [flags]",
    "ma key [flags]",
    "mn",
];

/// A connection, buffered for reading lines.
struct Link {
    reader: BufReader<Box<dyn Stream>>,
    address: String,
}

/// One line to send, and what it makes the server answer.
struct Request {
    /// With its data block, if it has one.
    bytes: Vec<u8>,
    silent: bool,
}

pub(super) fn talk(talk: &Talk) -> Result<(), Failure> {
    let server = &talk.server;
    let stream = link::open(&server.address, server.way.authority.as_deref())?;
    let mut link = Link { reader: BufReader::new(stream), address: server.address.clone() };
    if !talk.command.is_empty() {
        let request = from_words(&talk.command)?;
        let reply = link.ask(&request)?;
        output(&reply, talk.style);
        return if is_refusal(&reply) {
            Err(Failure::failed("the server refused the command"))
        } else {
            Ok(())
        };
    }
    let lines = if std::io::stdin().is_terminal() {
        Lines::Terminal(Box::new(Terminal::open(Catalogue::fixed(&COMMANDS), talk.history.clone())?))
    } else {
        Lines::pipe()
    };
    session(&mut link, talk, lines)
}

/// One line to a server.
pub(super) fn ask(server: &Server, line: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut link = Link { reader: BufReader::new(link::reach(server)?.0), address: server.address.clone() };
    link.ask(&Request { bytes: line.to_vec(), silent: false })
}

fn session(link: &mut Link, talk: &Talk, mut lines: Lines) -> Result<(), Failure> {
    let label = &talk.server.label;
    let prompt = if colour_wanted() { format!("\x1b[1m{label}\x1b[0m> ") } else { format!("{label}> ") };
    let mut refused = 0usize;
    loop {
        let line = match lines.next(&prompt)? {
            Read::Line(line) => line,
            Read::Dropped => continue,
            Read::End => break,
        };
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        if line == "quit" || line == "exit" {
            break;
        }
        let Some(request) = with_data(line, &mut lines)? else { continue };
        let reply = link.ask(&request)?;
        refused += usize::from(is_refusal(&reply));
        output(&reply, talk.style);
    }
    match refused {
        0 => Ok(()),
        _ if lines.is_terminal() => Ok(()),
        count => Err(Failure::failed(format!("{count} of the commands failed"))),
    }
}

/// How many bytes of data follow this command line; none if it takes no data.
fn data_bytes(words: &[&str]) -> Option<usize> {
    let position = match *words.first()? {
        "set" | "add" | "replace" | "append" | "prepend" | "cas" => 4,
        "ms" => 2,
        _ => return None,
    };
    words.get(position)?.parse().ok().filter(|&count| count <= VALUE_BYTES_MAX)
}

/// Reads the data lines of a storage command. None: they were dropped.
fn with_data(line: &str, lines: &mut Lines) -> Result<Option<Request>, Failure> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut bytes = format!("{line}\r\n").into_bytes();
    if let Some(wanted) = data_bytes(&words) {
        let mut data: Option<Vec<u8>> = None;
        while data.as_ref().is_none_or(|data| data.len() < wanted) {
            let Read::Line(more) = lines.next("  data> ")? else { return Ok(None) };
            let block = data.get_or_insert_default();
            if !block.is_empty() {
                block.extend_from_slice(b"\r\n");
            }
            block.extend_from_slice(more.as_bytes());
        }
        bytes.extend_from_slice(&data.unwrap_or_default());
        bytes.extend_from_slice(b"\r\n");
    }
    Ok(Some(Request { bytes, silent: words.last() == Some(&"noreply") }))
}

/// One command from the command line: the data of a storage command is its last word.
fn from_words(command: &[Vec<u8>]) -> Result<Request, Failure> {
    let text: Vec<String> = command.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    let words: Vec<&str> = text.iter().map(String::as_str).collect();
    let Some(count) = data_bytes(&words) else {
        let silent = words.last() == Some(&"noreply");
        return Ok(Request { bytes: [command.join(&b' '), b"\r\n".to_vec()].concat(), silent });
    };
    let (data, header) = command.split_last().ok_or_else(|| Failure::new(Code::WrongUse, "no command"))?;
    if header.len() < if words[0] == "ms" { 3 } else { 5 } {
        return Err(Failure::new(Code::WrongUse, "the data is missing")
            .hint("Give it as the last word: larder connect NAME set KEY 0 60 5 hello"));
    }
    if data.len() != count {
        let message = format!("the data has {} bytes, but the command says {count}", data.len());
        return Err(Failure::new(Code::WrongUse, message));
    }
    let silent = header.last().is_some_and(|word| word == b"noreply");
    Ok(Request {
        bytes: [header.join(&b' '), b"\r\n".to_vec(), data.clone(), b"\r\n".to_vec()].concat(),
        silent,
    })
}

impl Link {
    fn ask(&mut self, request: &Request) -> Result<Vec<u8>, Failure> {
        let stream = self.reader.get_mut();
        let sent = stream.write_all(&request.bytes).and_then(|()| stream.flush());
        sent.map_err(|error| self.broken(&error.to_string()))?;
        if request.silent {
            return Ok(Vec::new());
        }
        let many = is_many(&request.bytes);
        let mut reply = Vec::new();
        loop {
            let line = self.line()?;
            let done = !many || ends_list(&line);
            let data = block_bytes(&line);
            reply.extend_from_slice(&line);
            if let Some(count) = data {
                self.block(count, &mut reply)?;
            }
            if done {
                return Ok(reply);
            }
        }
    }

    fn line(&mut self) -> Result<Vec<u8>, Failure> {
        let mut line = Vec::new();
        let read = (&mut self.reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        match read {
            Ok(0) => Err(self.broken("the server closed the connection")),
            Ok(_) if line.ends_with(b"\n") => Ok(line),
            Ok(_) => Err(self.broken("the reply broke off")),
            Err(error) => Err(self.broken(&error.to_string())),
        }
    }

    /// Reads a value and its line end.
    fn block(&mut self, count: usize, reply: &mut Vec<u8>) -> Result<(), Failure> {
        if count > VALUE_BYTES_MAX {
            return Err(self.broken("the value is too large"));
        }
        let before = reply.len();
        let read = (&mut self.reader).take(count as u64 + 2).read_to_end(reply);
        read.map_err(|error| self.broken(&error.to_string()))?;
        if reply.len() < before + count + 2 { Err(self.broken("the value broke off")) } else { Ok(()) }
    }

    fn broken(&self, what: &str) -> Failure {
        Failure::new(Code::Unreachable, format!("{}: {what}", self.address))
    }
}

/// Whether the command is answered by a list that a line ends.
fn is_many(request: &[u8]) -> bool {
    let first = request.split(|b| b" \r\n".contains(b)).next().unwrap_or_default();
    matches!(first, b"get" | b"gets" | b"gat" | b"gats" | b"stats" | b"config")
}

fn ends_list(line: &[u8]) -> bool {
    let more: [&[u8]; 4] = [b"VALUE ", b"STAT ", b"CONFIG ", b"ITEM "];
    !more.iter().any(|begin| line.starts_with(begin))
}

/// The size of the data block that follows this reply line: `VALUE key flags bytes`, `CONFIG cluster 0 bytes`, `VA bytes`.
fn block_bytes(line: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(line).ok()?;
    let mut words = text.split_whitespace();
    let position = match words.next()? {
        "VALUE" | "CONFIG" => 2,
        "VA" => 0,
        _ => return None,
    };
    words.nth(position)?.parse().ok()
}

fn is_refusal(reply: &[u8]) -> bool {
    let refusals: [&[u8]; 3] = [b"ERROR", b"CLIENT_ERROR", b"SERVER_ERROR"];
    refusals.iter().any(|begin| reply.starts_with(begin))
}

fn output(reply: &[u8], style: Style) {
    match style {
        Style::Json => {
            let text = String::from_utf8_lossy(reply);
            print_json(&text.lines().collect::<Vec<_>>());
        }
        Style::Raw => print_bytes(reply),
        Style::People => {
            let text = String::from_utf8_lossy(reply);
            let lines = text.lines().map(|line| crate::terminal::clean(line) + "\n");
            crate::terminal::print(&lines.collect::<String>());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<Vec<u8>> {
        line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn one_command_carries_its_data_as_last_word() {
        assert_eq!(from_words(&words("set k 0 0 5 hello")).unwrap().bytes, b"set k 0 0 5\r\nhello\r\n");
        let silent = from_words(&words("set k 0 0 2 noreply ab")).unwrap();
        assert_eq!((silent.bytes.as_slice(), silent.silent), (&b"set k 0 0 2 noreply\r\nab\r\n"[..], true));
        assert_eq!(from_words(&words("get a b")).unwrap().bytes, b"get a b\r\n");
        assert!(from_words(&words("set k 0 0 5")).is_err());
        assert!(from_words(&words("set k 0 0 5 four")).is_err());
    }

    #[test]
    fn replies_end_where_the_protocol_says() {
        assert!(is_many(b"get k\r\n") && is_many(b"stats\r\n") && !is_many(b"set k 0 0 1\r\n"));
        assert!(ends_list(b"END\r\n") && ends_list(b"ERROR\r\n") && ends_list(b"RESET\r\n"));
        assert!(!ends_list(b"VALUE k 0 1\r\n"));
        assert_eq!(block_bytes(b"VALUE k 7 12 99\r\n"), Some(12));
        assert_eq!(block_bytes(b"CONFIG cluster 0 47\r\n"), Some(47));
        assert_eq!(block_bytes(b"VA 3 f0\r\n"), Some(3));
        assert_eq!(block_bytes(b"STAT pid 1\r\n"), None);
    }
}
