//! Memcached over UDP: one datagram asks, one or more answer. Off unless a port is given, as it is upstream.
//!
//! A thread per address takes datagrams and mails them to the workers in turn, because the keyspace is theirs. What
//! workers have not carried out yet is bounded; beyond that datagrams are dropped, as the network may drop them too.
//! Every datagram begins with a frame header: request id, number of this datagram, how many there are, and two bytes of
//! nothing (protocol.txt, "UDP protocol").

use super::{Session, Turn};
use crate::mailbox::Mail;
use crate::node::Node;
use rustix::net::{SendFlags, sendto};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longest answer to a datagram.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of the frame header.
const HEADER_BYTES: usize = 8;
/// Bytes of a datagram that is sent, with its header: it passes an Ethernet unbroken.
const DATAGRAM_BYTES_MAX: usize = 1400;
/// Bytes of a datagram that is received.
const RECEIVED_BYTES_MAX: usize = 64 * 1024;
/// Datagrams that wait for workers; those beyond are dropped.
const WAITING_MAX: usize = 1024;
/// How often the thread looks whether the node ends.
const LOOK_EVERY: Duration = Duration::from_millis(100);

const IN_PARTS: &[u8] = b"SERVER_ERROR multi-packet request not supported\r\n";
const TOO_LARGE: &[u8] = b"SERVER_ERROR response too large for UDP\r\n";

/// A request that came as a datagram, on its way to the worker that carries it out.
#[derive(Debug)]
pub struct Datagram {
    socket: Arc<UdpSocket>,
    from: SocketAddr,
    bytes: Vec<u8>,
    waiting: Arc<AtomicUsize>,
}

impl Drop for Datagram {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Receives at an address until the node ends.
pub fn listen(node: &Arc<Node>, address: SocketAddr) -> io::Result<JoinHandle<()>> {
    let socket = Arc::new(UdpSocket::bind(address)?);
    socket.set_read_timeout(Some(LOOK_EVERY))?;
    let node = node.clone();
    std::thread::Builder::new().name("udp".into()).spawn(move || receive(&node, &socket))
}

fn receive(node: &Node, socket: &Arc<UdpSocket>) {
    let mut buffer = vec![0; RECEIVED_BYTES_MAX];
    let waiting = Arc::new(AtomicUsize::new(0));
    let mut next = 0;
    while !node.stopping.load(Ordering::Acquire) {
        // An error is the time-out, or tells of an earlier answer that nobody wanted.
        let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
        let settings = node.settings();
        let foreign = settings.allowed_sources.as_ref().is_some_and(|ranges| !ranges.admit(from.ip()));
        if foreign || len <= HEADER_BYTES || waiting.load(Ordering::Relaxed) >= WAITING_MAX {
            continue;
        }
        waiting.fetch_add(1, Ordering::Relaxed);
        let bytes = buffer[..len].to_vec();
        let datagram = Datagram { socket: socket.clone(), from, bytes, waiting: waiting.clone() };
        node.mailboxes[next % node.mailboxes.len()].send(Mail::Datagram(datagram));
        next = next.wrapping_add(1);
    }
}

impl Datagram {
    /// Carries out what it asks, and answers. Answers that the network has no room for are lost.
    pub fn serve(&self, turn: &mut Turn<'_>) {
        for datagram in answer(turn, &self.bytes) {
            if sendto(&self.socket, &datagram, SendFlags::DONTWAIT, &self.from).is_err() {
                return;
            }
        }
    }
}

/// The datagrams that answer one.
fn answer(turn: &mut Turn<'_>, datagram: &[u8]) -> Vec<Vec<u8>> {
    let Some((header, request)) = datagram.split_first_chunk::<HEADER_BYTES>() else { return Vec::new() };
    let [id0, id1, _, _, count0, count1, _, _] = *header;
    let mut out = Vec::new();
    if u16::from_be_bytes([count0, count1]) > 1 {
        out.extend_from_slice(IN_PARTS);
    } else {
        carry_out(turn, request, &mut out);
    }
    let parts = out.chunks(DATAGRAM_BYTES_MAX - HEADER_BYTES);
    let count = (parts.len() as u16).to_be_bytes(); // far from the most that 16 bits say
    let framed = parts.enumerate().map(|(number, part)| {
        let number = (number as u16).to_be_bytes();
        let mut framed = vec![id0, id1, number[0], number[1], count[0], count[1], 0, 0];
        framed.extend_from_slice(part);
        framed
    });
    framed.collect()
}

/// What is not complete is not carried out, and not answered: the rest will not come.
fn carry_out(turn: &mut Turn<'_>, request: &[u8], out: &mut Vec<u8>) {
    let (mut session, mut at) = (Session::new(false, None), 0);
    while at < request.len() {
        let served = session.serve(turn, &request[at..], out);
        at += served.consumed;
        if out.len() > ANSWER_BYTES_MAX {
            out.clear();
            out.extend_from_slice(TOO_LARGE);
            return;
        }
        if served.close || served.need > 0 {
            return;
        }
    }
}

// All parts of an answer can be numbered.
const _: () = assert!(ANSWER_BYTES_MAX / (DATAGRAM_BYTES_MAX - HEADER_BYTES) < u16::MAX as usize);

#[cfg(test)]
mod tests {
    use super::super::tests::Bench;
    use super::*;

    fn frame(id: u16, count: u16, text: &[u8]) -> Vec<u8> {
        let (id, count) = (id.to_be_bytes(), count.to_be_bytes());
        [&[id[0], id[1], 0, 0, count[0], count[1], 0, 0], text].concat()
    }

    #[test]
    fn a_datagram_asks_and_one_answers() {
        let mut bench = Bench::new(false);
        let mut ask = |bytes: &[u8]| bench.with_turn(|turn| answer(turn, bytes));
        assert_eq!(ask(&frame(7, 1, b"set a 0 0 1\r\nx\r\n")), [frame(7, 1, b"STORED\r\n")]);
        let two = frame(0xffee, 1, b"get a\r\nget b\r\n");
        assert_eq!(ask(&two), [frame(0xffee, 1, b"VALUE a 0 1\r\nx\r\nEND\r\nEND\r\n")]);
        assert_eq!(ask(&frame(1, 2, b"get a\r\n")), [frame(1, 1, IN_PARTS)]);
        for nothing in [
            &b""[..],
            b"1234567",
            &frame(1, 1, b""),
            &frame(1, 1, b"get a"),
            &frame(1, 1, b"set a 0 0 9\r\nx"),
        ] {
            assert!(ask(nothing).is_empty());
        }
        let quiet = ask(&frame(1, 1, b"set q 0 0 1 noreply\r\nx\r\nquit\r\nget q\r\n"));
        assert!(quiet.is_empty());
    }

    #[test]
    fn a_large_answer_comes_in_parts_and_a_larger_one_not_at_all() {
        let mut bench = Bench::new(false);
        let value = "v".repeat(900_000);
        bench.says(&format!("set a 0 0 900000\r\n{value}\r\n"), "STORED\r\n");
        let parts = bench.with_turn(|turn| answer(turn, &frame(9, 1, b"get a\r\n")));
        assert!(parts.iter().all(|part| part.len() <= DATAGRAM_BYTES_MAX));
        for (number, part) in parts.iter().enumerate() {
            let words: Vec<u16> =
                part[..8].chunks(2).map(|two| u16::from_be_bytes([two[0], two[1]])).collect();
            assert_eq!(words, [9, number as u16, parts.len() as u16, 0]);
        }
        let all: Vec<u8> = parts.iter().flat_map(|part| part[8..].to_vec()).collect();
        assert_eq!(all, format!("VALUE a 0 900000\r\n{value}\r\nEND\r\n").into_bytes());
        let many = frame(9, 1, &b"get a\r\n".repeat(6));
        assert_eq!(bench.with_turn(|turn| answer(turn, &many)), [frame(9, 1, TOO_LARGE)]);
    }
}
