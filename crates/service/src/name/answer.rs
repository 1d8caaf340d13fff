//! One DNS question, one answer: bytes to bytes, without I/O but a look-up that is handed in.

use std::net::Ipv4Addr;

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

/// How long answers may be remembered, in seconds: a cache may move to another address soon.
const TTL_S: u32 = 5;
/// Largest answer over UDP, whatever the asker can take: fits into one packet on every link.
const UDP_BYTES_MAX: usize = 1_232;

/// What a look-up found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The name is outside of what this server knows.
    Foreign,
    /// The name would be ours, but there is no such thing.
    Nothing,
    /// The name is there, with these addresses (perhaps none).
    Addresses(Vec<Ipv4Addr>),
}

/// The answer to a message; none if it is not one that deserves any. `over_tcp` lifts the bound of a packet.
/// `zone` is the part of all names that is ours, for the record that goes with "there is none".
pub fn answer(
    message: &[u8],
    over_tcp: bool,
    zone: &str,
    look_up: impl FnOnce(&str) -> Found,
) -> Option<Vec<u8>> {
    // Answers are never answered: two servers could otherwise talk for ever.
    let is_query = message.len() >= 12 && message[2] & 0x80 == 0;
    if !is_query {
        return None;
    }
    let Ok(query) = Message::from_vec(message) else {
        let id = u16::from_be_bytes([message[0], message[1]]);
        return Message::error_msg(id, OpCode::Query, ResponseCode::FormErr).to_vec().ok();
    };
    if query.metadata.message_type != MessageType::Query {
        return None;
    }
    let response = respond(&query, zone, look_up);
    let bytes_max =
        if over_tcp { usize::from(u16::MAX) } else { UDP_BYTES_MAX.min(query.max_payload().into()) };
    let bytes = response.to_vec().ok()?;
    if bytes.len() <= bytes_max {
        return Some(bytes);
    }
    response.truncate().to_vec().ok()
}

fn respond(query: &Message, zone: &str, look_up: impl FnOnce(&str) -> Found) -> Message {
    let mut response = Message::response(query.metadata.id, query.metadata.op_code);
    response.metadata = Metadata::response_from_request(&query.metadata);
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_BYTES_MAX as u16);
        response.edns = Some(edns);
    }
    if query.metadata.op_code != OpCode::Query {
        response.metadata.response_code = ResponseCode::NotImp;
        return response;
    }
    let [question] = query.queries.as_slice() else {
        response.metadata.response_code = ResponseCode::FormErr;
        return response;
    };
    response.add_query(question.clone());
    if !matches!(question.query_class, DNSClass::IN | DNSClass::ANY) {
        response.metadata.response_code = ResponseCode::Refused;
        return response;
    }
    let name = question.name.to_ascii();
    let found = look_up(name.strip_suffix('.').unwrap_or(&name));
    response.metadata.authoritative = found != Found::Foreign;
    match found {
        Found::Foreign => response.metadata.response_code = ResponseCode::Refused,
        Found::Nothing => {
            response.metadata.response_code = ResponseCode::NXDomain;
            response.authorities.extend(authority(zone));
        }
        Found::Addresses(addresses) => {
            if matches!(question.query_type, RecordType::A | RecordType::ANY) {
                let record = |address| Record::from_rdata(question.name.clone(), TTL_S, RData::A(A(address)));
                response.answers.extend(addresses.into_iter().map(record));
            }
            if response.answers.is_empty() {
                response.authorities.extend(authority(zone));
            }
        }
    }
    response
}

/// The record that tells resolvers how long they may remember that there is nothing.
fn authority(zone: &str) -> Option<Record> {
    let name = Name::from_ascii(format!("{}.", zone.trim_start_matches('.'))).ok()?;
    let host = Name::from_ascii("localhost.").ok()?;
    let soa = SOA::new(host.clone(), host, 1, 60, 60, 3_600, TTL_S);
    Some(Record::from_rdata(name, TTL_S, RData::SOA(soa)))
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Query;
    use proptest::prelude::*;

    use super::*;

    const ZONE: &str = ".use1.cache.amazonaws.com";

    fn question(name: &str, sort: RecordType) -> Message {
        let mut message = Message::new(77, MessageType::Query, OpCode::Query);
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), sort));
        message
    }

    fn ask(message: &Message, found: Found) -> Message {
        let bytes = answer(&message.to_vec().unwrap(), false, ZONE, |_| found).unwrap();
        let answer = Message::from_vec(&bytes).unwrap();
        assert_eq!((answer.metadata.id, answer.metadata.message_type), (77, MessageType::Response));
        answer
    }

    #[test]
    fn addresses_are_given() {
        let found = Found::Addresses(vec![Ipv4Addr::new(127, 64, 0, 4), Ipv4Addr::new(127, 64, 0, 5)]);
        let answer = ask(&question("Pages.abc123.CFG.use1.cache.amazonaws.com.", RecordType::A), found);
        assert_eq!(answer.answers.len(), 2);
        assert!(answer.metadata.authoritative);
        assert_eq!(answer.answers[0].data, RData::A(A(Ipv4Addr::new(127, 64, 0, 4))));
    }

    #[test]
    fn nothing_foreign_and_other_types() {
        let message = question("x.use1.cache.amazonaws.com.", RecordType::AAAA);
        let nothing = ask(&message, Found::Nothing);
        assert_eq!((nothing.metadata.response_code, nothing.authorities.len()), (ResponseCode::NXDomain, 1));
        let foreign = ask(&message, Found::Foreign);
        assert_eq!((foreign.metadata.response_code, foreign.authorities.len()), (ResponseCode::Refused, 0));
        let other_type = ask(&message, Found::Addresses(vec![Ipv4Addr::LOCALHOST]));
        assert_eq!(other_type.metadata.response_code, ResponseCode::NoError);
        assert_eq!((other_type.answers.len(), other_type.authorities.len()), (0, 1));
    }

    #[test]
    fn a_long_answer_is_cut_for_udp_only() {
        let message = question("pages.abc123.cfg.use1.cache.amazonaws.com.", RecordType::A);
        let many = || Found::Addresses((1..=60).map(|n| Ipv4Addr::new(127, 64, 0, n)).collect());
        let cut = ask(&message, many());
        assert!(cut.metadata.truncation && cut.answers.is_empty());
        let whole = answer(&message.to_vec().unwrap(), true, ZONE, |_| many()).unwrap();
        assert_eq!(Message::from_vec(&whole).unwrap().answers.len(), 60);
    }

    #[test]
    fn what_is_no_question_gets_no_answer_or_an_error() {
        let mut response = question("a.", RecordType::A);
        response.metadata.message_type = MessageType::Response;
        assert_eq!(answer(&response.to_vec().unwrap(), false, ZONE, |_| Found::Nothing), None);
        assert_eq!(answer(b"", false, ZONE, |_| Found::Nothing), None);
        assert_eq!(answer(&[0; 11], false, ZONE, |_| Found::Nothing), None);
        let two = {
            let mut message = question("a.", RecordType::A);
            message.add_query(message.queries[0].clone());
            ask(&message, Found::Nothing)
        };
        assert_eq!(two.metadata.response_code, ResponseCode::FormErr);
        let mut update = question("a.", RecordType::A);
        update.metadata.op_code = OpCode::Update;
        assert_eq!(ask(&update, Found::Nothing).metadata.response_code, ResponseCode::NotImp);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_answer_at_length(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Some(answer) = answer(&bytes, false, ZONE, |_| Found::Nothing) {
                prop_assert!(answer.len() <= UDP_BYTES_MAX);
            }
        }
    }
}
