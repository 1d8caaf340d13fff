//! Keyspace notifications: the classes of events, and events on their way from a command to those who listen.
//!
//! A handler says what happened to a key with [`Keyspace::notify`](crate::command::Keyspace::notify). That costs one
//! branch while nobody wants to hear of it. What was said is published when the command is over, while its partitions
//! are still held: so the events of a key go out in the order in which they happened, whatever worker they happened
//! on.

use crate::log::Effects;
use crate::mailbox::Place;
use crate::node::Node;
use larder_store::{Gone, Left};
use std::fmt;
use std::ops::BitOr;

/// A set of classes of events, and where they are published: `notify-keyspace-events`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes(u32);

/// The id of no session: nobody did it.
const NOBODY: u64 = 0;

/// Letters with their classes, in the order in which they are shown.
const LETTERS: [(char, Classes); 15] = [
    ('g', Classes::GENERIC),
    ('$', Classes::STRING),
    ('l', Classes::LIST),
    ('s', Classes::SET),
    ('h', Classes::HASH),
    ('z', Classes::ZSET),
    ('x', Classes::EXPIRED),
    ('e', Classes::EVICTED),
    ('t', Classes::STREAM),
    ('d', Classes::MODULE),
    ('n', Classes::NEW),
    ('K', Classes::KEYSPACE),
    ('E', Classes::KEYEVENT),
    ('m', Classes::KEYMISS),
    ('A', Classes::ALL),
];

impl Classes {
    /// Nothing.
    pub const NONE: Classes = Classes(0);
    /// `K`: published as `__keyspace@<db>__:<key>`, the message being the event.
    pub const KEYSPACE: Classes = Classes(1);
    /// `E`: published as `__keyevent@<db>__:<event>`, the message being the key.
    pub const KEYEVENT: Classes = Classes(1 << 1);
    /// `g`: commands for keys of any type (`del`, `expire`, `rename_from`, ...).
    pub const GENERIC: Classes = Classes(1 << 2);
    /// `$`: strings.
    pub const STRING: Classes = Classes(1 << 3);
    /// `l`: lists.
    pub const LIST: Classes = Classes(1 << 4);
    /// `s`: sets.
    pub const SET: Classes = Classes(1 << 5);
    /// `h`: hashes.
    pub const HASH: Classes = Classes(1 << 6);
    /// `z`: sorted sets.
    pub const ZSET: Classes = Classes(1 << 7);
    /// `x`: keys whose time was over.
    pub const EXPIRED: Classes = Classes(1 << 8);
    /// `e`: keys that had to make room.
    pub const EVICTED: Classes = Classes(1 << 9);
    /// `t`: streams.
    pub const STREAM: Classes = Classes(1 << 10);
    /// `d`: types of modules. Never happens here.
    pub const MODULE: Classes = Classes(1 << 11);
    /// `m`: reads that found no key. Not in `A`.
    pub const KEYMISS: Classes = Classes(1 << 12);
    /// `n`: keys that were not there before. Not in `A`.
    pub const NEW: Classes = Classes(1 << 13);
    /// `A`: all but `m` and `n`.
    pub const ALL: Classes = Classes(0b1111_1111_1100);

    /// No letter: somebody caches on its side (CLIENT TRACKING) and wants to know which keys change.
    pub(crate) const CHANGES: Classes = Classes(1 << 31);

    /// No letter: the log is on. No event is of this class.
    pub(crate) const LOG: Classes = Classes(1 << 30);

    /// No letter: reads are counted by the prefix of their key. No event is of this class.
    pub(crate) const PREFIXES: Classes = Classes(1 << 29);

    /// No letter: uses of keys are watched (LARDER.ADVISE). No event is of this class.
    pub(crate) const ADVICE: Classes = Classes(1 << 28);

    /// No letter: this primary is in import mode. No event is of this class.
    pub(crate) const IMPORT: Classes = Classes(1 << 27);

    /// No letter: this replica takes writes of its own. No event is of this class.
    pub(crate) const OWN: Classes = Classes(1 << 26);

    /// What the door to the keys notes itself: nothing of it is told when a command is over.
    pub(crate) const DOOR: Classes = Classes(1 << 26 | 1 << 28 | 1 << 29);

    /// Reads the letters of `notify-keyspace-events`.
    ///
    /// # Errors
    /// There is a letter that means nothing.
    pub fn parse(text: &str) -> Result<Classes, String> {
        let class = |letter| LETTERS.iter().find(|(known, _)| *known == letter).map(|(_, class)| *class);
        let all = text.chars().try_fold(Classes::NONE, |all, letter| class(letter).map(|class| all | class));
        all.ok_or_else(|| "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".to_owned())
    }

    /// The set as bits, to be kept in an atomic.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// The set of these bits.
    pub fn from_bits(bits: u32) -> Classes {
        Classes(bits)
    }

    /// True when nothing is in it.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The set without another one.
    #[inline]
    pub(crate) fn without(self, other: Classes) -> Classes {
        Classes(self.0 & !other.0)
    }

    /// True if anything of the other set is in this one.
    #[inline]
    pub fn meets(self, other: Classes) -> bool {
        self.0 & other.0 != 0
    }

    /// True if everything of the other set is in this one.
    fn contains(self, other: Classes) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Classes {
    type Output = Classes;

    fn bitor(self, other: Classes) -> Classes {
        Classes(self.0 | other.0)
    }
}

impl fmt::Display for Classes {
    /// As CONFIG GET shows it: `A` for all it stands for, and then, as in the original, without `n`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.contains(Classes::ALL);
        if all {
            f.write_str("A")?;
        }
        for (letter, class) in LETTERS {
            let spelled = class.meets(Classes::ALL | Classes::NEW);
            if self.contains(class) && !(all && spelled) && class != Classes::ALL {
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

/// What a command did to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its class.
    pub class: Classes,
    /// Its name.
    pub name: &'static str,
    /// The database of the key.
    pub db: u16,
    /// The key.
    pub key: Box<[u8]>,
}

impl Event {
    /// The events of a key, or of fields, whose time was over.
    pub fn of_gone(gone: Gone) -> impl Iterator<Item = Event> {
        let Gone { left, db, key, .. } = gone;
        let events: &[(Classes, &str)] = match left {
            Left::Key => &[(Classes::CHANGES, ""), (Classes::EXPIRED, "expired")],
            Left::Fields => &[(Classes::CHANGES, ""), (Classes::HASH, "hexpired")],
            Left::LastFields => {
                &[(Classes::CHANGES, ""), (Classes::HASH, "hexpired"), (Classes::GENERIC, "del")]
            }
        };
        events.iter().map(move |&(class, name)| Event { class, name, db, key: key.clone() })
    }
}

/// Publishes what a command of a session did, and tells those who may have cached the keys. The partitions of the keys
/// are still held.
#[cold]
pub fn tell(node: &Node, from: Place, events: &[Event]) {
    for event in events {
        if event.class == Classes::CHANGES {
            node.tracking.changed(node, from.worker as usize, &event.key, from.id);
        } else {
            publish(node, event.class, event.name, event.db, &event.key);
        }
    }
}

/// Tells of keys and fields whose time was over. Their partition is still held.
pub fn expired(node: &Node, worker: usize, gone: Vec<Gone>) {
    if node.wanted().meets(Classes::LOG) {
        for gone in &gone {
            let mut effects = Effects::default();
            effects.add_gone(gone);
            node.log.append(worker, &effects);
        }
    }
    for event in gone.into_iter().flat_map(Event::of_gone) {
        tell(node, Place { worker: worker as u32, index: 0, id: NOBODY }, &[event]);
    }
}

/// Tells of a key that had to make room. Its partition is still held.
pub fn evicted(node: &Node, worker: usize, db: u16, key: &[u8]) {
    if node.wanted().meets(Classes::LOG) {
        let mut effects = Effects::default();
        effects.add_removed(db, key);
        node.log.append(worker, &effects);
    }
    if !node.wanted().is_empty() {
        node.tracking.changed(node, worker, key, NOBODY);
        publish(node, Classes::EVICTED, "evicted", db, key);
    }
}

fn publish(node: &Node, class: Classes, name: &'static str, db: u16, key: &[u8]) {
    let wanted = node.wanted();
    if !wanted.meets(class) || node.hub.is_quiet() {
        return;
    }
    if wanted.meets(Classes::KEYSPACE) {
        let channel = [format!("__keyspace@{db}__:").as_bytes(), key].concat();
        node.hub.publish(&node.mailboxes, &channel, name.as_bytes());
    }
    if wanted.meets(Classes::KEYEVENT) {
        node.hub.publish(&node.mailboxes, format!("__keyevent@{db}__:{name}").as_bytes(), key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_shown_in_canonical_order() {
        let shown = |text: &str| Classes::parse(text).unwrap().to_string();
        for (given, canonical) in [
            ("", ""),
            ("KA", "AK"),
            ("KEA", "AKE"),
            ("AKEmn", "AKEm"),
            ("KEg$lshzxetd", "AKE"),
            ("KE$lsg", "g$lsKE"),
            ("nmtdEK", "tdnKEm"),
            ("g$lshzxet", "g$lshzxet"),
            ("mK", "Km"),
            ("nE", "nE"),
        ] {
            assert_eq!(shown(given), canonical, "{given}");
        }
        assert!(Classes::parse("Kq").unwrap_err().starts_with("Invalid event class"));
    }

    #[test]
    fn sets_know_what_they_hold() {
        let set = Classes::parse("Kgx").unwrap();
        assert!(set.meets(Classes::GENERIC) && !set.meets(Classes::STRING) && !set.is_empty());
        assert_eq!(Classes::from_bits(set.bits()), set);
        assert!(!Classes::ALL.meets(Classes::KEYMISS | Classes::NEW));
    }
}
