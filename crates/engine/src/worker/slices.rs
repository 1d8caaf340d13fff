//! Commands that take long, a slice in a turn: see `command::long`.

use super::Worker;
use super::waits::go_on;
use crate::command::Known;
use crate::command::dispatch::{Request, Turn, execute};
use crate::command::long::{Long, Prepared, Progress};
use crate::config::Settings;
use crate::meter::stopwatch::Rules;
use crate::node::Node;
use crate::observe;
use crate::session::Client;
use larder_protocol::resp::reply::Reply;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

impl Worker {
    /// Carries out a slice for the session whose turn it is. Where others were `served` too, they get as much time as slices
    /// take.
    #[cold]
    pub(super) fn slice(
        &mut self,
        mut turn: Turn,
        rules: &Rules,
        settings: &Settings,
        served: Option<Duration>,
    ) {
        self.sliced = served.map_or(Duration::ZERO, |served| self.sliced.saturating_sub(served));
        if !self.sliced.is_zero() {
            return;
        }
        let Some(index) = self.waits.long.pop_front() else { return };
        let Some(session) = self.sessions.get(index) else { return };
        let Some(pending) = &mut session.client.pending else { return };
        let Some(long) = &mut pending.long else { return };
        let began = Instant::now();
        let progress = match session.client.closing {
            true => Progress::Done,
            false => long.slice(&self.node, &mut session.out),
        };
        let mut changes = 0;
        if !matches!(progress, Progress::More) {
            let dice = (&mut self.pool, &mut self.random);
            turn.out_of_memory = self.node.make_room(settings, self.id, turn.now, dice);
        }
        if matches!(progress, Progress::More) {
            self.waits.long.push_back(index);
        } else if let Some(mut long) = pending.long.take() {
            match progress {
                Progress::Ready(prepared) => {
                    changes += finish(
                        &self.node,
                        &turn,
                        rules,
                        &mut session.client,
                        &mut session.out,
                        (&long, prepared),
                    );
                }
                _ => observe_end(&self.node, rules, &mut session.client, &long),
            }
            let rest = session.client.pending.as_mut().and_then(|pending| pending.long.as_mut());
            if let Some(rest) = rest {
                // It was executed with what was gathered, and its reply is written in slices, too.
                rest.took += long.took;
                rest.aside = std::mem::take(&mut long.aside);
                rest.listed = true;
                self.waits.long.push_back(index);
            } else {
                session.out.raw(&long.aside);
                changes += go_on(&self.node, &turn, rules, session);
                self.sessions.make_ready(index);
            }
            long.end(&self.node.store);
        }
        self.sliced = began.elapsed();
        self.touched.clear();
        self.touched.push(index);
        if changes > 0 {
            self.node.stats.changes.fetch_add(changes, Ordering::Relaxed);
        }
        self.settle_tracking();
        self.deliver();
        self.send_replies(settings);
    }
}

/// Notes a read that is over.
fn observe_end(node: &Node, rules: &Rules, client: &mut Client, long: &Long) {
    if client.closing {
        return;
    }
    client.command = Some(long.command);
    observe::over(node, rules, client, long);
    let (args, bytes) = (long.args.view(), (long.args.memory_bytes(), long.reply_bytes));
    if bytes.0 >= rules.request_bytes || bytes.1 >= rules.reply_bytes {
        observe::large(node, rules, client, &args, bytes);
    }
}

/// Executes a command with what was gathered for it. It is admitted once more, as anything may have happened meanwhile.
fn finish(
    node: &Node,
    turn: &Turn,
    rules: &Rules,
    client: &mut Client,
    out: &mut Reply,
    (long, prepared): (&Long, Prepared),
) -> u64 {
    let args = long.args.view();
    let request = Request { args: &args, command: node.table.get(args.get(0)), keys: &Known::NOTHING };
    let (began, before) = (Instant::now(), out.len());
    let held_back = client.pending.take().map_or_else(Default::default, |pending| pending.held_back);
    client.prepared = Some(Box::new(prepared));
    client.reply_mode = long.reply_mode;
    client.command = None;
    let changes = execute(node, turn, client, &request, out);
    if let Some(mut prepared) = client.prepared.take() {
        prepared.sources.end(&node.store);
        crate::background::drop_later(prepared);
    }
    if let Some(command) = client.command {
        let from = client.shared.clone();
        observe::inner(node, client, command, &args, long.took + began.elapsed(), &from.address);
        observe::large(
            node,
            rules,
            client,
            &args,
            (long.args.memory_bytes(), out.len().saturating_sub(before)),
        );
    }
    // It may have been held back by a pause.
    client.pending.get_or_insert_default().held_back.extend(held_back);
    changes
}
