use super::*;
use crate::mailbox::Form;

fn place(worker: u32, id: u64) -> Place {
    Place { worker, index: id as u32, id }
}

fn boxes() -> Vec<Mailbox> {
    (0..2).map(|_| Mailbox::new().unwrap()).collect()
}

/// Who gets what, in the order of the mail of all workers.
fn delivered(mailboxes: &[Mailbox]) -> Vec<(u64, String)> {
    let mail = mailboxes.iter().flat_map(Mailbox::take);
    mail.flat_map(|mail| match mail {
        Mail::Deliver { to, bytes, form } => {
            assert_eq!(form, Form::Push);
            let text = String::from_utf8(bytes.to_vec()).unwrap().replace("\r\n", " ");
            to.iter().map(|place| (place.id, text.clone())).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    })
    .collect()
}

#[test]
fn messages_reach_those_who_listen() {
    let (hub, mailboxes) = (Hub::default(), boxes());
    assert!(hub.is_quiet() && hub.publish(&mailboxes, b"a", b"x") == 0);
    hub.add(Kind::Channel, b"a", place(0, 1));
    hub.add(Kind::Channel, b"a", place(1, 2));
    hub.add(Kind::Shard, b"a", place(1, 3));
    assert_eq!(hub.publish(&mailboxes, b"a", b"x"), 2);
    assert_eq!(hub.publish(&mailboxes, b"b", b"x"), 0);
    let text = ">3 $7 message $1 a $1 x ".to_owned();
    assert_eq!(delivered(&mailboxes), [(1, text.clone()), (2, text)]);
    assert_eq!(hub.publish_to_shard(&mailboxes, b"a", b"x"), 1);
    assert_eq!(delivered(&mailboxes), [(3, ">3 $8 smessage $1 a $1 x ".to_owned())]);
    hub.remove(Kind::Channel, b"a", place(0, 1));
    assert_eq!((hub.listeners(false, b"a"), hub.listeners(true, b"a")), (1, 1));
    hub.remove(Kind::Channel, b"a", place(1, 2));
    assert!(hub.is_quiet() && hub.names(false, None).is_empty());
    assert_eq!(hub.names(true, Some(b"?")), [b"a".to_vec()]);
}

#[test]
fn patterns_match_in_the_order_in_which_they_came() {
    let (hub, mailboxes) = (Hub::default(), boxes());
    hub.add(Kind::Pattern, b"z*", place(0, 1));
    hub.add(Kind::Pattern, b"*a", place(0, 2));
    hub.add(Kind::Pattern, b"z*", place(0, 2));
    hub.add(Kind::Channel, b"za", place(0, 3));
    assert_eq!(hub.publish(&mailboxes, b"za", b""), 4);
    let who: Vec<(u64, bool)> =
        delivered(&mailboxes).iter().map(|(id, text)| (*id, text.contains("pmessage"))).collect();
    assert_eq!(who, [(3, false), (1, true), (2, true), (2, true)]);
    assert_eq!(hub.count(Kind::Pattern), 2);
    hub.remove(Kind::Pattern, b"z*", place(0, 1));
    hub.remove(Kind::Pattern, b"z*", place(0, 2));
    assert_eq!(hub.publish(&mailboxes, b"zb", b""), 0);
    assert_eq!(hub.count(Kind::Pattern), 1);
}
