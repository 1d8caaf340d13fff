//! What is noted of a command that ran: slow, large, or watched. Everything here is off the common path.

use crate::blocked::Waiter;
use crate::command::Command;
use crate::command::long::Long;
use crate::command::table::flag;
use crate::commandlog::{Kind, shortened};
use crate::config::Observation;
use crate::latency::{COMMAND, FAST_COMMAND};
use crate::meter::stopwatch::Rules;
use crate::monitor;
use crate::node::Node;
use crate::session::Client;
use larder_protocol::resp::args::Args;
use std::ptr;
use std::time::Duration;

/// A command within another (EXEC; a script): measured like one that came alone.
pub fn inner(
    node: &Node,
    client: &Client,
    command: &'static Command,
    args: &Args<'_>,
    took: Duration,
    from: &str,
) {
    let settings = node.settings();
    let rules = Rules::new(&settings.observation, true, node.monitors.any());
    let nanos = took.as_nanos() as u64;
    node.meter(client).record(node.table.number(command), 1, nanos, rules.track);
    if nanos >= rules.slow_ns.min(rules.latency_ns) {
        long(node, &rules, client, command, args, nanos, from);
    }
    if rules.monitored {
        tell(node, client, command, args, from);
    }
}

/// A command that was carried out in slices is over. Those who watch were told of it when it began.
#[cold]
pub fn over(node: &Node, rules: &Rules, client: &Client, long: &Long) {
    let (nanos, args) = (long.took.as_nanos() as u64, long.args.view());
    node.meter(client).record(node.table.number(long.command), 1, nanos, rules.track);
    if nanos >= rules.slow_ns.min(rules.latency_ns) {
        self::long(node, rules, client, long.command, &args, nanos, &client.shared.address);
    }
}

/// A command took as long as somebody wants to hear of.
#[cold]
pub fn long(
    node: &Node,
    rules: &Rules,
    client: &Client,
    command: &Command,
    args: &Args<'_>,
    nanos: u64,
    from: &str,
) {
    let waiter = client.pending.as_ref().and_then(|pending| pending.waiter.as_ref());
    if let Some(waiter) = waiter.filter(|waiter| ptr::eq(waiter.command, command)) {
        waiter.spend(nanos); // it is logged when it is over
    } else if nanos >= rules.slow_ns && !command.is(flag::SKIP_SLOWLOG) {
        log(node, client, command, args, Kind::Slow, nanos / 1000, from);
    }
    if nanos >= rules.latency_ns {
        let event = if command.is(flag::FAST) { FAST_COMMAND } else { COMMAND };
        node.latency.add(event, nanos / 1_000_000);
    }
}

/// A command that waited is over. What it took was spent before it waited and when it was served; waiting does not count.
#[cold]
pub fn ended(node: &Node, client: &Client, waiter: &Waiter, failed: bool) {
    let (command, nanos) = (waiter.command, waiter.took_ns());
    if failed {
        node.meter(client).failed_call(node.table.number(command));
    }
    let rules = Rules::new(&node.settings().observation, true, false);
    if nanos >= rules.slow_ns && !command.is(flag::SKIP_SLOWLOG) {
        let args = waiter.args.view();
        log(node, client, command, &args, Kind::Slow, nanos / 1000, &client.shared.address);
    }
}

/// A request or a reply was as large as somebody wants to hear of.
#[cold]
pub fn large(
    node: &Node,
    rules: &Rules,
    client: &Client,
    args: &Args<'_>,
    (request_bytes, reply_bytes): (usize, usize),
) {
    let Some(command) = client.command.filter(|command| !command.is(flag::SKIP_SLOWLOG)) else { return };
    if request_bytes >= rules.request_bytes {
        log(node, client, command, args, Kind::LargeRequest, request_bytes as u64, &client.shared.address);
    }
    if reply_bytes >= rules.reply_bytes {
        log(node, client, command, args, Kind::LargeReply, reply_bytes as u64, &client.shared.address);
    }
}

fn log(
    node: &Node,
    client: &Client,
    command: &Command,
    args: &Args<'_>,
    kind: Kind,
    value: u64,
    address: &str,
) {
    let settings = node.settings();
    let most = room(&settings.observation, kind);
    // The command itself may have asked to log no more.
    let off = kind == Kind::Slow && settings.observation.slower_than_us < 0;
    if most > 0 && !off {
        let name = client.shared.names().name;
        node.commandlog.add(kind, value, shortened(command, args), (address, name), most);
    }
}

fn room(settings: &Observation, kind: Kind) -> usize {
    match kind {
        Kind::Slow => settings.slow_max,
        Kind::LargeRequest => settings.large_request_max,
        Kind::LargeReply => settings.large_reply_max,
    }
}

/// Tells those who watch of the command that ran, if one did.
#[cold]
pub fn watched(node: &Node, client: &Client, args: &Args<'_>) {
    if let Some(command) = client.command {
        tell(node, client, command, args, &client.shared.address);
    }
}

/// Tells those who watch of a command. `from` is the session's address, or `lua`.
fn tell(node: &Node, client: &Client, command: &Command, args: &Args<'_>, from: &str) {
    if monitor::is_shown(command) {
        let line = monitor::line(client.db, from, command, args);
        node.deliver(node.monitors.places(), &line.into());
    }
}
