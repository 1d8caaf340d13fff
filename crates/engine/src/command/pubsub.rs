//! Publish and subscribe.

use super::collection::{Answer, text};
use super::table::flag;
use super::{Call, Command, CommandError};
use crate::pubsub::Kind;
use crate::session::subscriptions::Subscriptions;
use std::sync::atomic::Ordering;

const LISTENS: u32 = flag::PUBSUB | flag::NOSCRIPT | flag::LOADING | flag::STALE;
const PUBLISHES: u32 = flag::PUBSUB | flag::LOADING | flag::STALE | flag::FAST;
const TELLS: u32 = flag::PUBSUB | flag::LOADING | flag::STALE;

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "subscribe",
        summary: "Listens to channels.",
        syntax: "channel [channel ...]",
        since: "2.0.0",
        group: "pubsub",
        complexity: "O(N log M), N = channels given, M = listeners of each",
        arity: -2,
        flags: LISTENS,
        handler: subscribe,
        ..Command::DEFAULT
    },
    Command {
        name: "unsubscribe",
        summary: "Listens to channels no more: to those given, or to any.",
        syntax: "[channel [channel ...]]",
        since: "2.0.0",
        group: "pubsub",
        complexity: "O(N log M), N = channels left, M = listeners of each",
        arity: -1,
        flags: LISTENS,
        handler: unsubscribe,
        ..Command::DEFAULT
    },
    Command {
        name: "psubscribe",
        summary: "Listens to all channels whose names match patterns.",
        syntax: "pattern [pattern ...]",
        since: "2.0.0",
        group: "pubsub",
        complexity: "O(N log M), N = patterns given, M = listeners of each",
        arity: -2,
        flags: LISTENS,
        handler: psubscribe,
        ..Command::DEFAULT
    },
    Command {
        name: "punsubscribe",
        summary: "Listens to patterns no more: to those given, or to any.",
        syntax: "[pattern [pattern ...]]",
        since: "2.0.0",
        group: "pubsub",
        complexity: "O(N log M), N = patterns left, M = listeners of each",
        arity: -1,
        flags: LISTENS,
        handler: punsubscribe,
        ..Command::DEFAULT
    },
    Command {
        name: "ssubscribe",
        summary: "Listens to channels of shards.",
        syntax: "shardchannel [shardchannel ...]",
        since: "7.0.0",
        group: "pubsub",
        complexity: "O(N log M), N = channels given, M = listeners of each",
        arity: -2,
        flags: LISTENS,
        handler: ssubscribe,
        ..Command::DEFAULT
    },
    Command {
        name: "sunsubscribe",
        summary: "Listens to channels of shards no more: to those given, or to any.",
        syntax: "[shardchannel [shardchannel ...]]",
        since: "7.0.0",
        group: "pubsub",
        complexity: "O(N log M), N = channels left, M = listeners of each",
        arity: -1,
        flags: LISTENS,
        handler: sunsubscribe,
        ..Command::DEFAULT
    },
    Command {
        name: "publish",
        summary: "Sends a message to all who listen to a channel.",
        syntax: "channel message",
        since: "2.0.0",
        group: "pubsub",
        complexity: "O(N+M), N = listeners of the channel, M = patterns that anybody listens to",
        arity: 3,
        flags: PUBLISHES,
        handler: publish,
        ..Command::DEFAULT
    },
    Command {
        name: "spublish",
        summary: "Sends a message to all who listen to a channel of a shard.",
        syntax: "shardchannel message",
        since: "7.0.0",
        group: "pubsub",
        complexity: "O(N), N = listeners of the channel",
        arity: 3,
        flags: PUBLISHES,
        handler: spublish,
        ..Command::DEFAULT
    },
    Command {
        name: "pubsub",
        summary: "Tells about channels and who listens.",
        since: "2.8.0",
        group: "pubsub",
        complexity: "Depends on the subcommand.",
        arity: -2,
        subcommands: SUBCOMMANDS,
        ..Command::DEFAULT
    },
];

const SUBCOMMANDS: &[Command] = &[
    Command {
        name: "channels",
        summary: "Lists the channels that somebody listens to by name.",
        syntax: "[pattern]",
        since: "2.8.0",
        group: "pubsub",
        complexity: "O(N), N = channels with listeners",
        arity: -2,
        flags: TELLS,
        handler: |call| channels(call, false),
        ..Command::DEFAULT
    },
    Command {
        name: "numsub",
        summary: "Tells how many sessions listen to channels by name.",
        syntax: "[channel [channel ...]]",
        since: "2.8.0",
        group: "pubsub",
        complexity: "O(N), N = channels given",
        arity: -2,
        flags: TELLS,
        handler: |call| numsub(call, false),
        ..Command::DEFAULT
    },
    Command {
        name: "numpat",
        summary: "Tells how many patterns anybody listens to.",
        since: "2.8.0",
        group: "pubsub",
        arity: 2,
        flags: TELLS,
        handler: numpat,
        ..Command::DEFAULT
    },
    Command {
        name: "shardchannels",
        summary: "Lists the channels of shards that somebody listens to.",
        syntax: "[pattern]",
        since: "7.0.0",
        group: "pubsub",
        complexity: "O(N), N = channels with listeners",
        arity: -2,
        flags: TELLS,
        handler: |call| channels(call, true),
        ..Command::DEFAULT
    },
    Command {
        name: "shardnumsub",
        summary: "Tells how many sessions listen to channels of shards.",
        syntax: "[shardchannel [shardchannel ...]]",
        since: "7.0.0",
        group: "pubsub",
        complexity: "O(N), N = channels given",
        arity: -2,
        flags: TELLS,
        handler: |call| numsub(call, true),
        ..Command::DEFAULT
    },
    Command {
        name: "help",
        summary: "Lists the subcommands.",
        since: "6.2.0",
        group: "pubsub",
        arity: 2,
        flags: flag::LOADING | flag::STALE,
        handler: help,
        ..Command::DEFAULT
    },
];

/// True for the commands that are answered with messages.
pub(super) fn is_confirmed(command: &Command) -> bool {
    command.group == "pubsub" && command.is(flag::NOSCRIPT)
}

/// The commands that a session of RESP2 may give while it listens: its other replies would look like messages.
pub(super) fn may_while_listening(command: &Command) -> bool {
    is_confirmed(command) || matches!(command.name, "ping" | "quit" | "reset")
}

/// Notes on both sides of a session what it listens to now.
fn note(call: &mut Call<'_>, subscriptions: Box<Subscriptions>) {
    let session = &mut *call.session;
    session.shared.subscriptions.iter().zip(subscriptions.counts()).for_each(|(shown, count)| {
        shown.store(count as u32, Ordering::Relaxed);
    });
    session.subscriptions = Some(subscriptions).filter(|subscriptions| !subscriptions.is_empty());
    session.find_listens();
}

fn confirm(call: &mut Call<'_>, kind: &str, name: Option<&[u8]>, count: usize) {
    call.out.push(3);
    call.out.bulk(kind.as_bytes());
    match name {
        Some(name) => call.out.bulk(name),
        None => call.out.null(),
    }
    call.out.integer(count as i64);
}

fn listen(call: &mut Call<'_>, kind: Kind, word: &str) -> Answer {
    let mut subscriptions = call.session.subscriptions.take().unwrap_or_default();
    let place = call.session.shared.place;
    for name in call.args.from(1).iter() {
        subscriptions.add(&call.node.hub, kind, name, place);
        confirm(call, word, Some(name), subscriptions.told(kind));
    }
    note(call, subscriptions);
    Ok(())
}

fn subscribe(call: &mut Call<'_>) -> Answer {
    listen(call, Kind::Channel, "subscribe")
}

fn psubscribe(call: &mut Call<'_>) -> Answer {
    listen(call, Kind::Pattern, "psubscribe")
}

fn ssubscribe(call: &mut Call<'_>) -> Answer {
    // The original refuses it within MULTI, unlike the others.
    if !call.session.may_wait {
        return Err(text("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client"));
    }
    listen(call, Kind::Shard, "ssubscribe")
}

fn leave(call: &mut Call<'_>, kind: Kind, word: &str) -> Answer {
    let mut subscriptions = call.session.subscriptions.take().unwrap_or_default();
    let place = call.session.shared.place;
    let all = if call.args.len() == 1 { subscriptions.names(kind) } else { Vec::new() };
    let named = call.args.from(1);
    for name in named.iter().chain(all.iter().map(|name| &**name)) {
        subscriptions.remove(&call.node.hub, kind, name, place);
        confirm(call, word, Some(name), subscriptions.told(kind));
    }
    if call.args.len() == 1 && all.is_empty() {
        confirm(call, word, None, subscriptions.told(kind));
    }
    call.session.left = true;
    note(call, subscriptions);
    Ok(())
}

fn unsubscribe(call: &mut Call<'_>) -> Answer {
    leave(call, Kind::Channel, "unsubscribe")
}

fn punsubscribe(call: &mut Call<'_>) -> Answer {
    leave(call, Kind::Pattern, "punsubscribe")
}

fn sunsubscribe(call: &mut Call<'_>) -> Answer {
    leave(call, Kind::Shard, "sunsubscribe")
}

fn publish(call: &mut Call<'_>) -> Answer {
    let count = call.node.hub.publish(&call.node.mailboxes, call.args.get(1), call.args.get(2));
    call.node.log.tell_replicas(call.session.shared.place.worker as usize, call.args.iter());
    call.out.integer(count as i64);
    Ok(())
}

fn spublish(call: &mut Call<'_>) -> Answer {
    let count = call.node.hub.publish_to_shard(&call.node.mailboxes, call.args.get(1), call.args.get(2));
    call.node.log.tell_replicas(call.session.shared.place.worker as usize, call.args.iter());
    call.out.integer(count as i64);
    Ok(())
}

fn channels(call: &mut Call<'_>, shard: bool) -> Answer {
    if call.args.len() > 3 {
        let word = String::from_utf8_lossy(call.args.get(1)).into_owned();
        return Err(CommandError::new(format!(
            "ERR unknown subcommand or wrong number of arguments for '{word}'. Try PUBSUB HELP."
        )));
    }
    let pattern = (call.args.len() == 3).then(|| call.args.get(2));
    let names = call.node.hub.names(shard, pattern);
    call.out.array(names.len());
    names.iter().for_each(|name| call.out.bulk(name));
    Ok(())
}

fn numsub(call: &mut Call<'_>, shard: bool) -> Answer {
    let names = call.args.from(2);
    call.out.array(names.iter().count() * 2);
    for name in names.iter() {
        call.out.bulk(name);
        call.out.integer(call.node.hub.listeners(shard, name) as i64);
    }
    Ok(())
}

fn numpat(call: &mut Call<'_>) -> Answer {
    call.out.integer(call.node.hub.count(Kind::Pattern) as i64);
    Ok(())
}

fn help(call: &mut Call<'_>) -> Answer {
    super::introspection::help(call, "PUBSUB", SUBCOMMANDS);
    Ok(())
}
