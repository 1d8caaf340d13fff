//! The other end of a connection.

use crate::node::PATIENCE;
use larder_protocol::resp::command;
use larder_protocol::resp::value::{Value, decode};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

pub(crate) struct Session {
    stream: TcpStream,
    input: Vec<u8>,
    at: usize,
}

/// A reply in one line: `:1`, `$text` without its length, `-ERR ...`, `[a, b]`, `{k: v}`, `nil`.
pub(crate) fn show(value: &Value) -> String {
    let all = |values: &[Value]| values.iter().map(show).collect::<Vec<_>>().join(", ");
    match value {
        Value::Simple(text) => text.clone(),
        Value::Error(text) => format!("-{text}"),
        Value::Integer(number) => format!(":{number}"),
        Value::Bulk(bytes) => format!("${}", String::from_utf8_lossy(bytes)),
        Value::Null => "nil".into(),
        Value::Array(values) => format!("[{}]", all(values)),
        Value::Map(pairs) => {
            let pairs: Vec<String> = pairs.iter().map(|(k, v)| format!("{}: {}", show(k), show(v))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        other => format!("{other:?}"),
    }
}

impl Session {
    pub(crate) fn new(stream: TcpStream) -> Session {
        let _ = stream.set_nodelay(true); // a Unix socket has no such thing
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Session { stream, input: Vec::new(), at: 0 }
    }

    /// Over a Unix socket.
    pub(crate) fn over(stream: UnixStream) -> Session {
        Session::new(TcpStream::from(OwnedFd::from(stream))) // only what any stream can do is asked of it
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends bytes that the node may not want any more.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// A second handle for writing, so that one thread can write and another read.
    pub(crate) fn writer(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Receives more; false at the end.
    #[track_caller]
    fn receive(&mut self) -> bool {
        if self.at == self.input.len() {
            self.input.clear();
            self.at = 0;
        }
        let mut piece = [0; 65536];
        match self.stream.read(&mut piece) {
            Ok(0) => false,
            Ok(len) => {
                self.input.extend_from_slice(&piece[..len]);
                true
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => false,
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&self.input[self.at..])),
        }
    }

    /// The next reply.
    #[track_caller]
    pub(crate) fn reply(&mut self) -> Value {
        loop {
            if let Some((value, len)) = decode(&self.input[self.at..]).expect("a reply") {
                self.at += len;
                return value;
            }
            assert!(self.receive(), "closed instead of a reply");
        }
    }

    /// The bytes that come next, as many as this.
    #[track_caller]
    pub(crate) fn exactly(&mut self, len: usize) -> Vec<u8> {
        while self.input.len() - self.at < len {
            assert!(self.receive(), "closed after {} of {len} bytes", self.input.len() - self.at);
        }
        self.at += len;
        self.input[self.at - len..self.at].to_vec()
    }

    /// The next line, without its end.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        loop {
            let unread = &self.input[self.at..];
            if let Some(len) = unread.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&unread[..len]).into_owned();
                self.at += len + 2;
                return line;
            }
            assert!(self.receive(), "closed instead of a line");
        }
    }

    /// All bytes until the connection is closed.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.receive() {}
        self.input.split_off(self.at)
    }

    /// The same as text.
    #[track_caller]
    pub(crate) fn rest_text(&mut self) -> String {
        String::from_utf8_lossy(&self.rest()).into_owned()
    }

    /// Sends a request and reads its reply.
    #[track_caller]
    pub(crate) fn call<A: AsRef<[u8]>>(&mut self, words: &[A]) -> Value {
        let mut request = Vec::new();
        command(&mut request, words);
        self.send(request);
        self.reply()
    }

    /// Sends the words of a line and shows the reply; `''` is an empty word.
    #[track_caller]
    pub(crate) fn ask(&mut self, line: &str) -> String {
        let words: Vec<&str> =
            line.split_whitespace().map(|word| if word == "''" { "" } else { word }).collect();
        match self.call(&words) {
            Value::Bulk(text) if line.starts_with("INFO") => String::from_utf8_lossy(&text).into_owned(),
            value => show(&value),
        }
    }

    /// Sends a line and compares the reply.
    #[track_caller]
    pub(crate) fn says(&mut self, line: &str, expected: &str) {
        assert_eq!(self.ask(line), expected, "{line}");
    }

    /// A conversation: each line with its reply.
    #[track_caller]
    pub(crate) fn talk(&mut self, lines: &[(&str, &str)]) {
        for (line, expected) in lines {
            self.says(line, expected);
        }
    }

    /// Sends bytes and compares what comes back.
    #[track_caller]
    pub(crate) fn exchange(&mut self, request: impl AsRef<[u8]>, expected: &str) {
        self.send(&request);
        let got = self.exactly_or_less(expected.len());
        let request = String::from_utf8_lossy(request.as_ref()).chars().take(200).collect::<String>();
        assert_eq!(String::from_utf8_lossy(&got), expected, "{request:?}");
    }

    #[track_caller]
    fn exactly_or_less(&mut self, len: usize) -> Vec<u8> {
        while self.input.len() - self.at < len && self.receive() {}
        let end = self.input.len().min(self.at + len);
        let got = self.input[self.at..end].to_vec();
        self.at = end;
        got
    }
}
