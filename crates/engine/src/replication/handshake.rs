//! What a replica says to its primary until data comes: a state machine over lines, without a socket.

use super::history::{is_id, position};
use crate::log::effects::encode;

/// Bytes of a line of the primary.
pub const LINE_BYTES_MAX: usize = 1024;

/// What a replica tells of itself, and wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The user as which it logs in; empty = the default one.
    pub user: String,
    /// The password; empty = none.
    pub password: String,
    /// The port that it listens on.
    pub port: u16,
    /// The address that it wants to be known by; empty = that of the connection.
    pub ip: String,
    /// The history that it is in and its position there, if it can go on.
    pub resume: Option<(String, u64)>,
    /// The primary is asked to take over: its replica becomes it.
    pub failover: bool,
}

/// What the primary decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// All data comes, and then the stream from this position of this history.
    Full {
        /// The history.
        id: String,
        /// The position.
        offset: u64,
    },
    /// The stream goes on; in a history of this id, if one is told.
    Continue {
        /// The id.
        id: Option<String>,
    },
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// These bytes are to be sent, and a line awaited.
    Send(Vec<u8>),
    /// Another line is to be awaited.
    Wait,
    /// The handshake is over.
    Done(Answer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Ping,
    Auth,
    Port,
    Ip,
    Capabilities,
    Version,
    Psync,
}

/// See the module.
#[derive(Debug)]
pub struct Handshake {
    wishes: Wishes,
    step: Step,
}

impl Handshake {
    /// A handshake with what is to be sent first.
    pub fn begin(wishes: Wishes) -> (Handshake, Vec<u8>) {
        let handshake = Handshake { wishes, step: Step::Ping };
        let first = handshake.request();
        (handshake, first)
    }

    /// Takes a line of the primary, without its end.
    ///
    /// # Errors
    /// The primary refuses, or says what makes no sense; the connection is of no use.
    pub fn line(&mut self, line: &[u8]) -> Result<Next, String> {
        let text = String::from_utf8_lossy(line).into_owned();
        if text.is_empty() {
            return Ok(Next::Wait); // a sign of life
        }
        let refused = text.starts_with('-');
        match self.step {
            Step::Ping if refused => {
                let may_come_later = ["-NOAUTH", "-NOPERM", "-ERR operation not permitted"]
                    .iter()
                    .any(|s| text.starts_with(s));
                if !may_come_later {
                    return Err(format!("Error reply to PING from master: '{text}'"));
                }
            }
            Step::Auth if refused => return Err(format!("Unable to AUTH to MASTER: {text}")),
            Step::Psync => return self.decision(&text),
            // Old servers do not know all of it, and need not.
            Step::Port | Step::Ip | Step::Capabilities | Step::Version if refused => {
                tracing::info!("Master does not understand part of REPLCONF: {text}");
            }
            _ if text.starts_with('+') || refused => {}
            _ => return Err(format!("Unexpected reply from master: '{text}'")),
        }
        self.step = self.following_step();
        Ok(Next::Send(self.request()))
    }

    /// True once it is asked for data, or to lead.
    pub fn is_at_its_end(&self) -> bool {
        self.step == Step::Psync
    }

    fn following_step(&self) -> Step {
        match self.step {
            Step::Ping if self.wishes.password.is_empty() => Step::Port,
            Step::Ping => Step::Auth,
            Step::Auth => Step::Port,
            Step::Port if self.wishes.ip.is_empty() => Step::Capabilities,
            Step::Port => Step::Ip,
            Step::Ip => Step::Capabilities,
            Step::Capabilities => Step::Version,
            Step::Version | Step::Psync => Step::Psync,
        }
    }

    fn request(&self) -> Vec<u8> {
        let wishes = &self.wishes;
        let port = wishes.port.to_string();
        let offset;
        let words: Vec<&str> = match self.step {
            Step::Ping => vec!["PING"],
            Step::Auth if wishes.user.is_empty() => vec!["AUTH", &wishes.password],
            Step::Auth => vec!["AUTH", &wishes.user, &wishes.password],
            Step::Port => vec!["REPLCONF", "listening-port", &port],
            Step::Ip => vec!["REPLCONF", "ip-address", &wishes.ip],
            Step::Capabilities => vec!["REPLCONF", "capa", "eof", "capa", "psync2"],
            Step::Version => vec!["REPLCONF", "version", crate::config::REDIS_VERSION],
            Step::Psync => {
                let (id, next) = match &wishes.resume {
                    // It is asked for the first byte that is missing, counted from one.
                    Some((id, position)) => (id.as_str(), (position + 1).to_string()),
                    None => ("?", "-1".to_owned()),
                };
                offset = next;
                let mut words = vec!["PSYNC", id, &offset];
                words.extend(wishes.failover.then_some("FAILOVER"));
                words
            }
        };
        let mut out = Vec::new();
        encode(&mut out, words.iter().map(|word| word.as_bytes()));
        out
    }

    fn decision(&self, text: &str) -> Result<Next, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[..] {
            ["+FULLRESYNC", id, offset] if is_id(id) => {
                let offset =
                    position(offset).ok_or_else(|| format!("Unexpected reply from master: '{text}'"))?;
                Ok(Next::Done(Answer::Full { id: id.to_owned(), offset }))
            }
            ["+CONTINUE"] if self.wishes.resume.is_some() => Ok(Next::Done(Answer::Continue { id: None })),
            ["+CONTINUE", id] if self.wishes.resume.is_some() && is_id(id) => {
                Ok(Next::Done(Answer::Continue { id: Some(id.to_owned()) }))
            }
            _ => Err(format!("Unexpected reply to PSYNC from master: '{text}'")),
        }
    }
}

/// How the data comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// So many bytes.
    Bytes(u64),
    /// Until this mark.
    Mark(Vec<u8>),
}

/// Reads the line before the data.
///
/// # Errors
/// It is an error of the primary, or makes no sense.
pub fn body(line: &[u8]) -> Result<Body, String> {
    let unexpected = || format!("Bad protocol from MASTER: '{}'", String::from_utf8_lossy(line));
    let rest = line.strip_prefix(b"$").ok_or_else(unexpected)?;
    if let Some(mark) = rest.strip_prefix(b"EOF:") {
        return match mark.len() {
            super::MARK_BYTES => Ok(Body::Mark(mark.to_vec())),
            _ => Err(unexpected()),
        };
    }
    let text = std::str::from_utf8(rest).map_err(|_| unexpected())?;
    text.parse().map(Body::Bytes).map_err(|_| unexpected())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let parts = text.split("\r\n").filter(|part| !part.is_empty() && !part.starts_with(['*', '$']));
        parts.collect::<Vec<_>>().join(" ")
    }

    fn play(wishes: Wishes, lines: &[&str]) -> (Vec<String>, Result<Answer, String>) {
        let (mut handshake, first) = Handshake::begin(wishes);
        let mut sent = vec![words(&first)];
        for line in lines {
            match handshake.line(line.as_bytes()) {
                Ok(Next::Send(bytes)) => sent.push(words(&bytes)),
                Ok(Next::Wait) => {}
                Ok(Next::Done(answer)) => return (sent, Ok(answer)),
                Err(error) => return (sent, Err(error)),
            }
        }
        panic!("the handshake goes on: {sent:?}");
    }

    const ID: &str = "0123456789012345678901234567890123456789";

    #[test]
    fn a_first_synchronisation() {
        let wishes = Wishes { port: 6380, ..Wishes::default() };
        let full = format!("+FULLRESYNC {ID} 17");
        let (sent, answer) = play(wishes, &["+PONG", "+OK", "+OK", "-ERR unknown", "", "", &full]);
        assert_eq!(
            sent,
            [
                "PING",
                "REPLCONF listening-port 6380",
                "REPLCONF capa eof capa psync2",
                &format!("REPLCONF version {}", crate::config::REDIS_VERSION),
                "PSYNC ? -1"
            ]
        );
        assert_eq!(answer, Ok(Answer::Full { id: ID.into(), offset: 17 }));
    }

    #[test]
    fn one_that_goes_on_with_a_password_and_an_address() {
        let wishes = Wishes {
            user: "repl".into(),
            password: "secret".into(),
            ip: "10.0.0.7".into(),
            resume: Some((ID.into(), 99)),
            ..Wishes::default()
        };
        let (sent, answer) = play(
            wishes,
            &["-NOAUTH Authentication required.", "+OK", "+OK", "+OK", "+OK", "+OK", "+CONTINUE"],
        );
        assert_eq!(sent[1], "AUTH repl secret");
        assert_eq!(sent[3], "REPLCONF ip-address 10.0.0.7");
        assert_eq!(sent[6], format!("PSYNC {ID} 100"));
        assert_eq!(answer, Ok(Answer::Continue { id: None }));
    }

    #[test]
    fn refusals_end_it() {
        let plain = Wishes::default;
        assert!(play(plain(), &["-ERR max number of clients reached"]).1.is_err());
        let with_password = Wishes { password: "x".into(), ..plain() };
        assert!(play(with_password, &["+PONG", "-WRONGPASS"]).1.is_err());
        for last in ["-NOMASTERLINK", "+CONTINUE", "+FULLRESYNC x 1", "$5", ":1"] {
            assert!(play(plain(), &["+PONG", "+OK", "+OK", "+OK", last]).1.is_err(), "{last}");
        }
        let late = format!("+FULLRESYNC {ID} {}", u64::MAX);
        assert!(play(plain(), &["+PONG", "+OK", "+OK", "+OK", &late]).1.is_err());
    }

    #[test]
    fn the_line_before_the_data() {
        assert_eq!(body(b"$123"), Ok(Body::Bytes(123)));
        assert_eq!(body(format!("$EOF:{ID}").as_bytes()), Ok(Body::Mark(ID.into())));
        for bad in ["$EOF:12", "$-1", "$", "-ERR x", "+OK", ""] {
            assert!(body(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    /// How lines of a primary begin, so that noise comes far.
    const HEADS: [&str; 9] = [
        "",
        "+",
        "-",
        "+OK",
        "-NOAUTH ",
        "$",
        "$EOF:",
        "+FULLRESYNC 0123456789012345678901234567890123456789 ",
        "+CONTINUE ",
    ];

    proptest! {
        #[test]
        fn no_line_does_harm(
            lines in prop::collection::vec((0..HEADS.len(), prop::collection::vec(any::<u8>(), 0..60)), 0..12),
            resumes in any::<bool>(),
        ) {
            let resume = resumes.then(|| (ID.to_owned(), i64::MAX as u64));
            let wishes = Wishes { password: "x".into(), resume, ..Wishes::default() };
            let (mut handshake, _) = Handshake::begin(wishes);
            for (head, rest) in &lines {
                let line = [HEADS[*head].as_bytes(), rest].concat();
                if let Ok(Body::Mark(mark)) = body(&line) {
                    assert_eq!(mark.len(), super::super::MARK_BYTES);
                }
                match handshake.line(&line) {
                    Ok(Next::Done(Answer::Full { id, offset })) => assert!(is_id(&id) && offset <= i64::MAX as u64),
                    Ok(Next::Done(Answer::Continue { id })) => assert!(resumes && id.is_none_or(|id| is_id(&id))),
                    Ok(Next::Send(_) | Next::Wait) => continue,
                    Err(_) => {}
                }
                break;
            }
        }
    }
}
