//! The DNS server: UDP and TCP on one address, answers straight from the records.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;

use super::Names;
use super::answer::{Found, answer};
use super::endpoint::{Meaning, READER};
use crate::resource::group::{ONLY_NODE, ObservedGroup};
use crate::resource::node::Observed;
use crate::state::{Records, StateError, find};

/// Largest packet that is read; what is longer is no question.
const PACKET_BYTES_MAX: usize = 4_096;
/// TCP connections at once.
const CONNECTIONS_MAX: usize = 64;
/// How long a TCP connection may be silent.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after the system could not receive or accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Address of the name by which this machine's resolver is tried.
pub(super) const PROBE_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 64, 0, 1);

/// A DNS server that has its sockets.
#[derive(Debug)]
pub struct Server {
    udp: UdpSocket,
    tcp: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Takes the sockets; port 0 takes one that is free for both.
    ///
    /// # Errors
    /// If an address is taken or may not be used.
    pub async fn bind(address: SocketAddr) -> io::Result<Server> {
        let tcp = TcpListener::bind(address).await?;
        let address = tcp.local_addr()?;
        let udp = UdpSocket::bind(address).await?;
        Ok(Server { udp, tcp, address })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until dropped.
    pub async fn run(self, records: Arc<dyn Records>, names: Arc<Names>) {
        let book = Arc::new(Book { records, names });
        tokio::join!(packets(self.udp, Arc::clone(&book)), connections(self.tcp, book));
    }
}

/// What the server looks names up in.
struct Book {
    records: Arc<dyn Records>,
    names: Arc<Names>,
}

impl Book {
    /// The answer to a message. Reads the record file, from its cache as a rule.
    fn answer(&self, message: &[u8], over_tcp: bool) -> Option<Vec<u8>> {
        let zone = self.names.zone();
        answer(message, over_tcp, &zone.ends(), |name| {
            self.look_up(name).unwrap_or_else(|error| {
                tracing::warn!("looking up {name:?}: {error}");
                Found::Nothing
            })
        })
    }

    fn look_up(&self, name: &str) -> Result<Found, StateError> {
        let zone = self.names.zone();
        let lower = name.to_ascii_lowercase();
        if lower == zone.probe() {
            return Ok(Found::Addresses(vec![PROBE_ADDRESS]));
        }
        let ends = zone.ends();
        if lower == ends.trim_start_matches('.') {
            return Ok(Found::Addresses(vec![]));
        }
        if !lower.ends_with(&ends) {
            return Ok(Found::Foreign);
        }
        let observed =
            |cluster: &str| Ok(find::<Observed>(&*self.records, cluster)?.map(|stored| stored.value));
        let addresses: Vec<Ipv4Addr> = match zone.read(&lower) {
            None => vec![],
            Some(Meaning::Node { cluster, node }) => {
                let observed: Option<Observed> = observed(&cluster)?;
                observed.and_then(|o| Some(o.nodes.get(&node)?.address)).into_iter().collect()
            }
            Some(Meaning::Shard { name, shard }) => {
                let members = self.shard_members(&name, &shard)?;
                let mut addresses = vec![];
                for member in members {
                    let observed: Option<Observed> = observed(&member)?;
                    addresses.extend(observed.and_then(|o| Some(o.nodes.get(ONLY_NODE)?.address)));
                }
                addresses
            }
            Some(Meaning::Configuration { cluster }) => {
                let observed: Option<Observed> = observed(&cluster)?;
                observed.map(|o| members(&o)).unwrap_or_default()
            }
        };
        Ok(if addresses.is_empty() { Found::Nothing } else { Found::Addresses(addresses) })
    }
}

impl Book {
    /// The members that an endpoint of a shard leads to.
    fn shard_members(&self, name: &str, shard: &str) -> Result<Vec<String>, StateError> {
        if let Some(group) = find::<ObservedGroup>(&*self.records, name)? {
            return Ok(group.value.primary(shard).map(str::to_owned).into_iter().collect());
        }
        let Some(group) = name.strip_suffix(READER) else { return Ok(vec![]) };
        let group = find::<ObservedGroup>(&*self.records, group)?;
        Ok(group.map(|group| group.value.read_targets(shard)).unwrap_or_default())
    }
}

fn members(observed: &Observed) -> Vec<Ipv4Addr> {
    let address = |id: &String| Some(observed.nodes.get(id)?.address);
    observed.membership.node_ids.iter().filter_map(address).collect()
}

async fn packets(socket: UdpSocket, book: Arc<Book>) {
    let mut packet = vec![0; PACKET_BYTES_MAX];
    loop {
        // An error here is an answer that could not be delivered earlier; it concerns no later question.
        let Ok((length, peer)) = socket.recv_from(&mut packet).await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        if let Some(answer) = book.answer(&packet[..length], false)
            && let Err(error) = socket.send_to(&answer, peer).await
        {
            tracing::debug!(%peer, "a DNS answer was not sent: {error}");
        }
    }
}

async fn connections(listener: TcpListener, book: Arc<Book>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut running = tokio::task::JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        while running.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let book = Arc::clone(&book);
                running.spawn(async move {
                    let _place = place;
                    if let Err(error) = connection(stream, &book).await {
                        tracing::debug!("a DNS connection ended: {error}");
                    }
                });
            }
            Err(error) => {
                tracing::warn!("accepting a DNS connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Questions and answers, each with its length before it, until the peer closes or falls silent.
async fn connection(mut stream: TcpStream, book: &Book) -> io::Result<()> {
    loop {
        let read = async {
            let length = usize::from(stream.read_u16().await?);
            if length > PACKET_BYTES_MAX {
                return Err(io::Error::other("a question of that length is none"));
            }
            let mut message = vec![0; length];
            stream.read_exact(&mut message).await?;
            Ok(message)
        };
        let message = tokio::time::timeout(IDLE_TIMEOUT, read).await??;
        let Some(answer) = book.answer(&message, true) else { return Ok(()) };
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        let write = async {
            stream.write_all(&length.to_be_bytes()).await?;
            stream.write_all(&answer).await
        };
        tokio::time::timeout(IDLE_TIMEOUT, write).await??;
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
    use hickory_proto::rr::{Name, RData, RecordType};

    use super::*;
    use crate::name::endpoint::Zone;
    use crate::resource::cluster::tests::{memcached, settled};
    use crate::state::{FileRecords, create};

    async fn started() -> (SocketAddr, Arc<Names>) {
        let records = Arc::new(FileRecords::with_backend(redb::backends::InMemoryBackend::new()).unwrap());
        let mut observed = settled(&memcached(3));
        observed.membership.node_ids = vec!["0001".into(), "0003".into()];
        records.apply(&[create(&observed).unwrap()]).unwrap();
        let names = Arc::new(Names::new(Zone { suffix: "abc123".into(), region_code: "use1".into() }));
        let server = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = server.address();
        tokio::spawn(server.run(records, Arc::clone(&names)));
        (address, names)
    }

    fn question(name: &str) -> Vec<u8> {
        let mut message = Message::new(9, MessageType::Query, OpCode::Query);
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
        message.to_vec().unwrap()
    }

    fn addresses(answer: &[u8]) -> Result<Vec<u8>, ResponseCode> {
        let message = Message::from_vec(answer).unwrap();
        if message.metadata.response_code != ResponseCode::NoError {
            return Err(message.metadata.response_code);
        }
        let last = |record: &hickory_proto::rr::Record| match &record.data {
            RData::A(a) => a.0.octets()[3],
            other => panic!("{other:?}"),
        };
        Ok(message.answers.iter().map(last).collect())
    }

    async fn over_udp(server: SocketAddr, message: &[u8]) -> Vec<u8> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(message, server).await.unwrap();
        let mut answer = vec![0; 2_048];
        let length =
            tokio::time::timeout(Duration::from_secs(30), socket.recv(&mut answer)).await.unwrap().unwrap();
        answer.truncate(length);
        answer
    }

    #[tokio::test]
    async fn names_are_answered_over_udp() {
        let (server, names) = started().await;
        let zone = names.zone();
        let rubbish = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for bytes in [&b""[..], b"x", &[0xff; 4_000]] {
            rubbish.send_to(bytes, server).await.unwrap();
        }
        for (name, answer) in [
            (zone.node("pages", "0002"), Ok(vec![6])),
            (zone.configuration("pages").to_uppercase(), Ok(vec![5, 7])),
            (zone.node("pages", "0004"), Err(ResponseCode::NXDomain)),
            (zone.node("other", "0001"), Err(ResponseCode::NXDomain)),
            (zone.probe(), Ok(vec![1])),
            ("use1.cache.amazonaws.com".into(), Ok(vec![])),
            ("example.com".into(), Err(ResponseCode::Refused)),
            (".".into(), Err(ResponseCode::Refused)),
        ] {
            assert_eq!(addresses(&over_udp(server, &question(&name)).await), answer, "{name}");
        }
    }

    #[tokio::test]
    async fn names_are_answered_over_tcp_and_rubbish_closes_the_connection() {
        let (server, names) = started().await;
        let mut stream = TcpStream::connect(server).await.unwrap();
        let message = question(&names.zone().configuration("pages"));
        for _ in 0..2 {
            stream.write_u16(message.len() as u16).await.unwrap();
            for piece in message.chunks(5) {
                stream.write_all(piece).await.unwrap();
            }
            let mut answer = vec![0; stream.read_u16().await.unwrap().into()];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(addresses(&answer), Ok(vec![5, 7]));
        }
        stream.write_u16(u16::MAX).await.unwrap();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
    }
}
