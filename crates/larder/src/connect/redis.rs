//! The Redis language: commands out, values in; a prompt, one command, or a pipe of commands.

use std::io::{IsTerminal, Read as _, Write};

use larder_protocol::resp::value::{Value, decode};

use super::catalogue::Catalogue;
use super::link::{self, Stream};
use super::prompt::{Lines, Read, Terminal};
use super::{Server, Style, Talk, show, words};
use crate::failure::{Code, Failure};
use crate::terminal::{colour_wanted, print, print_bytes, print_json};

/// How much is read from the socket at once.
const READ_BYTES: usize = 64 << 10;
/// Largest reply that is waited for.
const REPLY_BYTES_MAX: usize = 1 << 30;
/// Commands after which the server speaks without being asked again.
const LISTENING: [&str; 4] = ["subscribe", "psubscribe", "ssubscribe", "monitor"];

/// A connection and what was read of it beyond the last reply.
struct Link {
    stream: Box<dyn Stream>,
    input: Vec<u8>,
    address: String,
}

impl Link {
    /// Opens a connection to the server's address, and logs in.
    fn open(server: &Server, resp3: bool) -> Result<Self, Failure> {
        let stream = link::open(&server.address, server.way.authority.as_deref())?;
        let mut link = Self::over(stream, server);
        link.log_in(server)?;
        if resp3 && let Value::Error(text) = link.ask(&[b"HELLO".to_vec(), b"3".to_vec()])? {
            return Err(Failure::failed(format!("the server does not speak RESP3: {text}")));
        }
        Ok(link)
    }

    /// Opens the node's own socket if that can be, or else as above.
    fn reach(server: &Server) -> Result<Self, Failure> {
        let (stream, is_own_socket) = link::reach(server)?;
        let mut link = Self::over(stream, server);
        if !is_own_socket {
            link.log_in(server)?;
        }
        Ok(link)
    }

    fn over(stream: Box<dyn Stream>, server: &Server) -> Self {
        Self { stream, input: Vec::new(), address: server.address.clone() }
    }

    fn log_in(&mut self, server: &Server) -> Result<(), Failure> {
        if server.way.login.is_empty() {
            return Ok(());
        }
        match self.ask(&server.way.login)? {
            Value::Error(text) => Err(Failure::new(Code::Denied, format!("{}: {text}", server.label))),
            _ => Ok(()),
        }
    }

    fn ask(&mut self, command: &[Vec<u8>]) -> Result<Value, Failure> {
        let mut request = Vec::new();
        larder_protocol::resp::command(&mut request, command);
        let sent = self.stream.write_all(&request).and_then(|()| self.stream.flush());
        sent.map_err(|error| self.broken(&error.to_string()))?;
        self.next()
    }

    /// The next value that the server sends.
    fn next(&mut self) -> Result<Value, Failure> {
        loop {
            let decoded = decode(&self.input)
                .map_err(|error| self.broken(&format!("it speaks no Redis protocol: {error}")))?;
            if let Some((value, used)) = decoded {
                self.input.drain(..used);
                return Ok(value);
            }
            if self.input.len() > REPLY_BYTES_MAX {
                return Err(self.broken("the reply is too large"));
            }
            let before = self.input.len();
            self.input.resize(before + READ_BYTES, 0);
            let read = self.stream.read(&mut self.input[before..]);
            self.input.truncate(before + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Err(self.broken("the server closed the connection")),
                Ok(_) => {}
                Err(error) => return Err(self.broken(&error.to_string())),
            }
        }
    }

    fn broken(&self, what: &str) -> Failure {
        Failure::new(Code::Unreachable, format!("{}: {what}", self.address))
    }
}

pub(super) fn talk(talk: &Talk) -> Result<(), Failure> {
    let mut link = Link::open(&talk.server, talk.resp3)?;
    if !talk.command.is_empty() {
        return once(&mut link, &talk.command, talk.style);
    }
    if !std::io::stdin().is_terminal() {
        return session(&mut link, talk, Lines::pipe());
    }
    let catalogue = Catalogue::from_docs(&link.ask(&[b"COMMAND".to_vec(), b"DOCS".to_vec()])?);
    if catalogue.is_empty() {
        eprintln!("larder: this server does not describe its commands, so there are no hints");
    }
    let terminal = Terminal::open(catalogue, talk.history.clone())?;
    session(&mut link, talk, Lines::Terminal(Box::new(terminal)))
}

/// One command to a server.
pub(super) fn ask(server: &Server, command: &[Vec<u8>]) -> Result<Value, Failure> {
    Link::reach(server)?.ask(command)
}

/// One command; an error of the server is the program's failure too.
fn once(link: &mut Link, command: &[Vec<u8>], style: Style) -> Result<(), Failure> {
    let value = link.ask(command)?;
    if let Value::Error(text) = &value
        && style != Style::Json
    {
        return Err(Failure::failed(text.clone()));
    }
    output(&value, style);
    listen_on(link, command, &value, style)?;
    if matches!(value, Value::Error(_)) {
        Err(Failure::failed("the server refused the command"))
    } else {
        Ok(())
    }
}

/// Commands line by line, until the lines end or somebody says so.
fn session(link: &mut Link, talk: &Talk, mut lines: Lines) -> Result<(), Failure> {
    let prompt = prompt(&talk.server.label);
    let mut refused = 0usize;
    loop {
        let line = match lines.next(&prompt)? {
            Read::Line(line) => line,
            Read::Dropped => continue,
            Read::End => break,
        };
        let command = match words::split(&line) {
            Ok(command) => command,
            Err(text) => {
                eprintln!("{text}");
                refused += 1;
                continue;
            }
        };
        let Some(first) = command.first() else { continue };
        if first.eq_ignore_ascii_case(b"quit") || first.eq_ignore_ascii_case(b"exit") {
            break;
        }
        if lines.is_terminal() && first.eq_ignore_ascii_case(b"clear") {
            print("\x1b[2J\x1b[H");
            continue;
        }
        let value = ask_again(link, talk, &command, lines.is_terminal())?;
        refused += usize::from(matches!(value, Value::Error(_)));
        output(&value, talk.style);
        listen_on(link, &command, &value, talk.style)?;
    }
    match refused {
        0 => Ok(()),
        _ if lines.is_terminal() => Ok(()),
        count => Err(Failure::failed(format!("{count} of the commands failed"))),
    }
}

/// Asks; at a prompt, a connection that broke in the meantime is opened once more.
fn ask_again(link: &mut Link, talk: &Talk, command: &[Vec<u8>], at_prompt: bool) -> Result<Value, Failure> {
    match link.ask(command) {
        Err(failure) if at_prompt => {
            eprintln!("larder: {failure}; connecting again");
            *link = Link::open(&talk.server, talk.resp3)?;
            link.ask(command)
        }
        outcome => outcome,
    }
}

/// After SUBSCRIBE or MONITOR: prints what comes until Ctrl-C.
fn listen_on(link: &mut Link, command: &[Vec<u8>], first: &Value, style: Style) -> Result<(), Failure> {
    let name =
        command.first().map(|name| String::from_utf8_lossy(name).to_ascii_lowercase()).unwrap_or_default();
    if !LISTENING.contains(&name.as_str()) || matches!(first, Value::Error(_)) {
        return Ok(());
    }
    eprintln!("Listening; Ctrl-C ends it.");
    loop {
        output(&link.next()?, style);
    }
}

fn output(value: &Value, style: Style) {
    match style {
        Style::People => print(&show::for_people(value)),
        Style::Json => print_json(&show::json(value)),
        Style::Raw => print_bytes(&show::raw(value)),
    }
}

fn prompt(label: &str) -> String {
    if colour_wanted() { format!("\x1b[1m{label}\x1b[0m> ") } else { format!("{label}> ") }
}
