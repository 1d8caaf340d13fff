//! The TLS state of a session: bytes of the socket in, plain bytes out, and the other way round.

use rustls::{ServerConfig, ServerConnection};
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// The first byte of a TLS connection: a handshake record. No request of Redis or Memcached begins so.
const HANDSHAKE_RECORD: u8 = 0x16;
/// Bytes that wait for a worker to have time for the handshake. Beyond, it takes the time at once.
const WAITING_BYTES_MAX: usize = 64 * 1024;
/// Plain bytes that are encrypted at a time, so that they exist twice only for a moment.
const SEAL_BYTES: usize = 64 * 1024;

/// What came of received bytes.
#[derive(Debug)]
pub enum Progress {
    /// The connection is not one of TLS after all: the bytes are plain.
    Plain,
    /// They wait for [`Session::shake_hands`], which costs much more than anything else.
    Handshake,
    /// What they meant was appended to the input.
    Data,
    /// The peer has said that it sends nothing more.
    Ended,
    /// The connection is broken. What is to be sent says why.
    Failed(rustls::Error),
}

#[derive(Debug)]
enum State {
    /// Nothing has come.
    New { config: Arc<ServerConfig>, may_be_plain: bool },
    /// The handshake is under way.
    Handshake(Box<ServerConnection>),
    /// Data may flow.
    Open(Box<ServerConnection>),
    /// Broken: an alert may still be sent.
    Failed,
}

/// See the module.
#[derive(Debug)]
pub struct Session {
    state: State,
    /// Received bytes that the handshake has not seen.
    waiting: Vec<u8>,
    /// What the handshake, or its failure, wants to send.
    out: Vec<u8>,
    /// Since when the peer owes us a handshake.
    since: Option<Instant>,
    /// Listed among those whose handshakes want time.
    pub listed: bool,
    /// It was said that nothing more will come.
    goodbye: bool,
}

impl Session {
    /// A connection that has just been accepted. If it may be plain, its first byte says what it is.
    pub fn new(config: Arc<ServerConfig>, may_be_plain: bool) -> Session {
        Session {
            state: State::New { config, may_be_plain },
            waiting: Vec::new(),
            out: Vec::new(),
            since: (!may_be_plain).then(Instant::now),
            listed: false,
            goodbye: false,
        }
    }

    /// True while nobody knows whether the peer speaks TLS.
    pub fn may_be_plain(&self) -> bool {
        matches!(self.state, State::New { may_be_plain: true, .. }) && self.waiting.is_empty()
    }

    /// Lets the time limit of handshakes run from now on, whatever the peer speaks.
    pub fn hurry(&mut self) {
        self.since = Some(Instant::now());
    }

    /// True once data may flow.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// True if the handshake takes too long.
    pub fn is_late(&self) -> bool {
        !self.is_open() && self.since.is_some_and(|since| since.elapsed() > HANDSHAKE_MAX)
    }

    /// Takes bytes of the socket; what they mean is appended to `input`.
    #[inline]
    pub fn received(&mut self, bytes: &[u8], input: &mut Vec<u8>) -> Progress {
        if let State::Open(connection) = &mut self.state {
            return match open(connection, bytes, input) {
                Ok(true) => Progress::Ended,
                Ok(false) => Progress::Data,
                Err(error) => self.fail(error),
            };
        }
        self.received_early(bytes, input)
    }

    #[cold]
    fn received_early(&mut self, bytes: &[u8], input: &mut Vec<u8>) -> Progress {
        if self.may_be_plain() && bytes.first().is_some_and(|&b| b != HANDSHAKE_RECORD) {
            return Progress::Plain;
        }
        if matches!(self.state, State::Failed) {
            return Progress::Data;
        }
        self.since.get_or_insert_with(Instant::now);
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() > WAITING_BYTES_MAX { self.shake_hands(input) } else { Progress::Handshake }
    }

    /// Goes on with the handshake. `Data` says that it is done, `Handshake` that the peer has more to say.
    pub fn shake_hands(&mut self, input: &mut Vec<u8>) -> Progress {
        let waiting = std::mem::take(&mut self.waiting);
        if let State::New { config, .. } = &self.state {
            match ServerConnection::new(config.clone()) {
                Ok(mut connection) => {
                    connection.set_buffer_limit(None); // bounded by what is given to it
                    self.state = State::Handshake(Box::new(connection));
                }
                Err(error) => return self.fail(error),
            }
        }
        let (State::Handshake(connection) | State::Open(connection)) = &mut self.state else {
            return Progress::Data;
        };
        let ended = match open(connection, &waiting, input) {
            Ok(ended) => ended,
            Err(error) => return self.fail(error),
        };
        flush(connection, &mut self.out);
        if connection.is_handshaking() {
            return if ended { Progress::Ended } else { Progress::Handshake };
        }
        if let State::Handshake(connection) = std::mem::replace(&mut self.state, State::Failed) {
            self.state = State::Open(connection);
        }
        if ended { Progress::Ended } else { Progress::Data }
    }

    /// Gives up; the peer is told why.
    fn fail(&mut self, error: rustls::Error) -> Progress {
        if let State::Handshake(mut connection) | State::Open(mut connection) =
            std::mem::replace(&mut self.state, State::Failed)
        {
            flush(&mut connection, &mut self.out);
        }
        Progress::Failed(error)
    }

    /// True if there is something to be sent beside data.
    #[inline]
    pub fn has_output(&self) -> bool {
        let answers = match &self.state {
            State::Open(connection) => connection.wants_write(),
            _ => false,
        };
        answers || !self.out.is_empty()
    }

    /// True if it is still to be said that nothing more will come.
    pub fn owes_goodbye(&self) -> bool {
        self.is_open() && !self.goodbye
    }

    /// Appends what is to be sent to `to`: answers of the handshake, `plain` in encrypted form, and if `last`, that
    /// nothing more will come. `plain` is emptied, unless data may not flow yet.
    pub fn seal(&mut self, plain: &mut Vec<u8>, last: bool, to: &mut Vec<u8>) {
        to.append(&mut self.out);
        match &mut self.state {
            State::Open(connection) => {
                to.reserve(plain.len() + plain.len() / 512 + 64);
                for part in plain.chunks(SEAL_BYTES) {
                    // Into memory, without a limit: all is taken.
                    let _ = connection.writer().write_all(part);
                    flush(connection, to);
                }
                plain.clear();
                if last && !std::mem::replace(&mut self.goodbye, true) {
                    connection.send_close_notify();
                }
                flush(connection, to);
            }
            State::Failed => plain.clear(),
            State::New { .. } | State::Handshake(_) => {}
        }
    }

    /// The connection, for a thread that goes on with it by [`Stream`](super::Stream); none if it is not open.
    pub fn into_connection(self) -> Option<ServerConnection> {
        match self.state {
            State::Open(connection) => Some(*connection),
            _ => None,
        }
    }
}

/// Decrypts; true if the peer has said that it sends nothing more.
fn open(
    connection: &mut ServerConnection,
    mut bytes: &[u8],
    input: &mut Vec<u8>,
) -> Result<bool, rustls::Error> {
    let mut ended = false;
    while !bytes.is_empty() && !ended {
        let before = bytes.len();
        let taken = connection.read_tls(&mut bytes);
        let state = connection.process_new_packets()?;
        ended = state.peer_has_closed();
        let mut reader = connection.reader();
        while let Ok(plain @ [_, ..]) = reader.fill_buf() {
            let len = plain.len();
            input.extend_from_slice(plain);
            reader.consume(len);
        }
        if taken.is_err() && bytes.len() == before && state.plaintext_bytes_to_read() == 0 {
            return Err(rustls::Error::General("a message is too long".into()));
        }
    }
    Ok(ended)
}

/// Takes what the connection wants to send.
fn flush(connection: &mut ServerConnection, to: &mut Vec<u8>) {
    while connection.wants_write() {
        if connection.write_tls(to).is_err() {
            return; // a vector takes everything
        }
    }
}
